//! Dead letters: written with the batch they came in, listed, shown, and copied to a topic.

use crate::record::{Content, Item, Outcome};
use crate::{EventStore, StoreError};
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use domain::{Code, CommandId};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use uuid::Uuid;

/// A dead letter as it is kept.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    /// Order of arrival among dead letters.
    #[serde(skip)]
    pub sequence: i64,
    /// The command's id.
    pub id: CommandId,
    /// The project.
    pub project: String,
    /// The reason.
    pub code: String,
    /// The reason in words.
    pub detail: String,
    /// JSON pointer to what is wrong.
    pub pointer: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The bytes that came: as text when they are UTF-8, else in base64.
    pub payload: String,
    /// `utf-8` or `base64`.
    pub payload_encoding: &'static str,
    /// The message's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The message's properties.
    pub properties: Map<String, Value>,
    /// Topic and message id.
    pub source: String,
    /// How often handling was attempted.
    pub attempts: i32,
    /// When it was first handled.
    pub first_seen: DateTime<Utc>,
    /// When it was put aside.
    pub failed_at: DateTime<Utc>,
    /// `open`, `replayed` or `discarded`.
    pub state: String,
    /// The bytes that came.
    #[serde(skip)]
    pub raw: Vec<u8>,
    /// The topic.
    #[serde(skip)]
    pub topic: String,
    /// `ledger:entry:partition[:batch index]`.
    #[serde(skip)]
    pub message_id: String,
}

/// Which dead letters to list; all conditions hold.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    /// Only this reason.
    pub code: Option<String>,
    /// Only this state.
    pub state: Option<String>,
    /// Only this project.
    pub project: Option<String>,
    /// Only this command.
    pub id: Option<Uuid>,
    /// After this place in the order of arrival.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

/// Payload bytes of a page that is published: it ends with the letter that goes beyond.
const MOST_BYTES: i32 = 8 * 1024 * 1024;

const INSERT: &str = "\
insert into eventstore.dead_letters (project, command_id, code, detail, pointer, hint, payload, message_key,
       properties, topic, message_id, attempts, first_seen)
select * from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[],
       $9::json[], $10::text[], $11::text[], $12::int[], $13::timestamptz[])
    on conflict do nothing";

const CONFLICT: &str =
    "another command with this id was recorded before, with other content; the first stands";

/// Keeps what did not become an event; once for each command and reason.
pub(crate) async fn insert(
    tx: &Transaction<'_>,
    items: &[Item],
    outcomes: &[Outcome],
) -> Result<(), StoreError> {
    let dead: Vec<(&Item, Code)> = items
        .iter()
        .zip(outcomes)
        .filter_map(|(item, outcome)| match outcome {
            Outcome::DeadLettered(code) => Some((item, *code)),
            _ => None,
        })
        .collect();
    if dead.is_empty() {
        return Ok(());
    }
    let failed = |e| StoreError::of("keep dead letters", e);
    let statement = tx.prepare_cached(INSERT).await.map_err(failed)?;
    let reasons: Vec<_> = dead.iter().map(|(item, _)| reason(item)).collect();
    tx.execute(
        &statement,
        &[
            &column(&dead, |item| item.project.as_str()),
            &column(&dead, |item| item.command_id.0),
            &dead.iter().map(|(_, code)| code.as_str()).collect::<Vec<_>>(),
            &reasons.iter().map(|r| &*r.0).collect::<Vec<_>>(),
            &reasons.iter().map(|r| &*r.1).collect::<Vec<_>>(),
            &reasons.iter().map(|r| r.2).collect::<Vec<_>>(),
            &column(&dead, |item| &item.origin.payload[..]),
            &column(&dead, |item| item.origin.key.as_deref().map(storable)),
            &column(&dead, properties),
            &column(&dead, |item| &*item.origin.topic),
            &column(&dead, message_id),
            &column(&dead, |item| item.origin.attempts),
            &column(&dead, |item| item.origin.first_seen),
        ],
    )
    .await
    .map_err(failed)?;
    Ok(())
}

/// Why an item did not become an event, as far as PostgreSQL can hold it.
fn reason(item: &Item) -> (Cow<'_, str>, Cow<'_, str>, Option<&str>) {
    match &item.content {
        Content::Rejected(r) => (storable(&r.detail), storable(&r.pointer), r.hint.as_deref()),
        Content::Event { .. } => (Cow::Borrowed(CONFLICT), Cow::Borrowed("/command_id"), None),
    }
}

fn column<'a, T>(dead: &[(&'a Item, Code)], of: impl Fn(&'a Item) -> T) -> Vec<T> {
    dead.iter().map(|(item, _)| of(item)).collect()
}

/// Text without NUL, which PostgreSQL cannot hold; the payload beside it is kept to the byte.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn properties(item: &Item) -> Value {
    let pairs = item.origin.properties.iter();
    Value::Object(
        pairs
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect(),
    )
}

fn message_id(item: &Item) -> String {
    let o = &item.origin;
    let batch = if o.batch_index < 0 {
        String::new()
    } else {
        format!(":{}", o.batch_index)
    };
    format!("{}:{}:{}{batch}", o.ledger, o.entry, o.partition)
}

const COLUMNS: &str =
    "sequence, project, command_id, code, detail, pointer, hint, payload, message_key, properties,
       topic, message_id, attempts, first_seen, failed_at, state";

impl EventStore {
    /// Dead letters in the order of their arrival.
    pub async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        let failed = |e| StoreError::of("list dead letters", e);
        let client = self.db.client().await?;
        let sql = format!(
            "select {COLUMNS} from eventstore.dead_letters
              where sequence > $1 and ($2::text is null or code = $2) and ($3::text is null or state = $3)
                and ($4::text is null or project = $4) and ($5::uuid is null or command_id = $5)
              order by sequence limit $6"
        );
        let statement = client.prepare_cached(&sql).await.map_err(failed)?;
        let rows = client
            .query(
                &statement,
                &[
                    &filter.after,
                    &filter.code,
                    &filter.state,
                    &filter.project,
                    &filter.id,
                    &filter.limit,
                ],
            )
            .await
            .map_err(failed)?;
        Ok(rows.iter().map(read).collect())
    }

    /// How many dead letters are open, by code.
    pub async fn open_dead_letters(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let failed = |e| StoreError::of("count dead letters", e);
        let client = self.db.client().await?;
        let sql = "select code, count(*) from eventstore.dead_letters where state = 'open' group by code";
        let rows = client.query(sql, &[]).await.map_err(failed)?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Hands up to `limit` dead letters that were not yet published to `publish`, in order, and marks them published
    /// when it succeeds; other publishers skip them meanwhile. Gives how many there were.
    pub async fn publish_dead_letters<E, F>(
        &self,
        limit: i64,
        publish: F,
    ) -> Result<Result<usize, E>, StoreError>
    where
        F: AsyncFnOnce(Vec<DeadLetter>) -> Result<(), E>,
    {
        let failed = |e| StoreError::of("publish dead letters", e);
        let mut client = self.db.client().await?;
        let tx = client.transaction().await.map_err(failed)?;
        // First how large they are: a page is bounded by bytes, too.
        let sql =
            "select sequence, octet_length(payload) from eventstore.dead_letters where published_at is null
                    order by sequence limit $1 for update skip locked";
        let sizes = tx.query(sql, &[&limit]).await.map_err(failed)?;
        let mut left = MOST_BYTES;
        let page: Vec<i64> = sizes
            .iter()
            .take_while(|row| {
                let fits = 0 < left;
                left -= row.get::<_, i32>(1);
                fits
            })
            .map(|row| row.get(0))
            .collect();
        if page.is_empty() {
            return Ok(Ok(0));
        }
        let sql = format!(
            "select {COLUMNS} from eventstore.dead_letters where sequence = any($1) order by sequence"
        );
        let letters: Vec<DeadLetter> = tx
            .query(&sql, &[&page])
            .await
            .map_err(failed)?
            .iter()
            .map(read)
            .collect();
        if let Err(error) = publish(letters).await {
            return Ok(Err(error));
        }
        let sql = "update eventstore.dead_letters set published_at = now() where sequence = any($1)";
        tx.execute(sql, &[&page]).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Ok(page.len()))
    }
}

fn read(row: &tokio_postgres::Row) -> DeadLetter {
    let raw: Vec<u8> = row.get(7);
    let (payload, payload_encoding) = match std::str::from_utf8(&raw) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (base64(&raw), "base64"),
    };
    let properties = match row.get::<_, Value>(9) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let (topic, message_id): (String, String) = (row.get(10), row.get(11));
    DeadLetter {
        sequence: row.get(0),
        project: row.get(1),
        id: CommandId(row.get(2)),
        code: row.get(3),
        detail: row.get(4),
        pointer: row.get(5),
        hint: row.get(6),
        payload,
        payload_encoding,
        key: row.get(8),
        properties,
        source: format!("{topic} {message_id}"),
        attempts: row.get(12),
        first_seen: row.get(13),
        failed_at: row.get(14),
        state: row.get(15),
        raw,
        topic,
        message_id,
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
