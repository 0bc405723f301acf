//! Recording a batch: dedup, events and dead letters in one transaction (invariants 1, 3, 4).
//!
//! The order of steps carries the guarantees: the watermark is declared before the first position is drawn, and
//! positions are drawn one by one as the dedup rows go in, in the order of arrival. A writer that meets a row of an
//! overlapping redelivery waits there, before it has drawn the positions of what follows, so that the order of a
//! key's events cannot turn round.

mod encode;
mod events;
mod outcome;

use crate::{EventStore, Position, StoreError, Trouble};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Transaction};
use domain::event::Encoded;
use domain::{CommandId, Event, Project, Rejection, derive_event_id};
use outcome::Known;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// One message of a batch.
#[derive(Clone, Debug)]
pub struct Item {
    /// The command's id: given, or derived.
    pub command_id: CommandId,
    /// The project; the default where the command named none.
    pub project: Project,
    /// What tells a repeat from a conflict.
    pub fingerprint: [u8; 16],
    /// What it became.
    pub content: Content,
    /// How it came.
    pub origin: Origin,
}

/// What a message became.
#[derive(Clone, Debug)]
pub enum Content {
    /// An event, ready to be written.
    Event {
        /// Stream, bucket, times.
        bucket: i16,
        /// The stream.
        stream: String,
        /// When it happened.
        occurred_at: DateTime<Utc>,
        /// Type, version, JSON.
        encoded: Encoded,
    },
    /// Nothing: it is kept as a dead letter.
    Rejected(Box<Rejection>),
}

impl From<&Event> for Content {
    fn from(event: &Event) -> Self {
        let stream = event.stream();
        Self::Event {
            bucket: domain::Bucket::of(event.project(), &stream).0,
            stream: stream.as_str().to_owned(),
            occurred_at: event.occurred_at(),
            encoded: event.encode(),
        }
    }
}

/// How a message came: kept with the event, so that order can be verified from the log, and with a dead letter whole.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The topic.
    pub topic: Arc<str>,
    /// Partition, -1 when there is none.
    pub partition: i32,
    /// Ledger of the entry.
    pub ledger: i64,
    /// Entry in the ledger.
    pub entry: i64,
    /// Place in a batched entry, -1 when there is none.
    pub batch_index: i32,
    /// The message's key.
    pub key: Option<Arc<str>>,
    /// The producer's name.
    pub producer: Arc<str>,
    /// The message's properties.
    pub properties: Vec<(String, String)>,
    /// The bytes as they came.
    pub payload: Bytes,
    /// How often handling was attempted.
    pub attempts: i32,
    /// When it was first handled here.
    pub first_seen: DateTime<Utc>,
}

/// What became of a message. All of them are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Recorded now.
    Stored(Position),
    /// Recorded before, with the same content.
    Duplicate(Position),
    /// Kept as a dead letter, now or before.
    DeadLettered(domain::Code),
}

/// Longest that a batch may take before its connection is given up: above the server's own statement timeout.
const GIVE_UP: Duration = Duration::from_secs(40);

impl EventStore {
    /// Records a batch, in order, once, whatever was recorded of it before; outcomes are in the order of the items.
    ///
    /// After an error nothing, or (when the connection broke in the commit) everything is recorded: the same batch
    /// may be given again until it succeeds.
    pub async fn record(&self, items: &[Item]) -> Result<Vec<Outcome>, StoreError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let mut client = self.db.client().await?;
        let recorded = match tokio::time::timeout(GIVE_UP, record_in(&mut client, items)).await {
            Ok(recorded) => recorded,
            Err(_) => Err(StoreError::new(
                "record a batch",
                Trouble::Transient,
                "no answer in time",
            )),
        };
        match recorded {
            Ok(outcomes) => Ok(outcomes),
            Err(error) => {
                self.db.discard_if_lost(client, &error);
                if error.sqlstate.as_deref() == Some(SqlState::CHECK_VIOLATION.code()) {
                    // The log has grown past its partitions faster than maintenance made them.
                    self.ensure_partitions(2).await?;
                    return Err(StoreError {
                        trouble: Trouble::Transient,
                        ..error
                    });
                }
                Err(error)
            }
        }
    }

    /// Makes partitions until `ahead` of them lie beyond the one in use; says how many were made.
    pub async fn ensure_partitions(&self, ahead: i32) -> Result<i32, StoreError> {
        let client = self.db.client().await?;
        let row = client
            .query_one("select eventstore.ensure_partitions($1)", &[&ahead])
            .await
            .map_err(|e| StoreError::of("make partitions", e))?;
        Ok(row.get(0))
    }
}

async fn record_in(client: &mut Object, items: &[Item]) -> Result<Vec<Outcome>, StoreError> {
    let tx = client
        .transaction()
        .await
        .map_err(|e| StoreError::of("begin a batch", e))?;
    let commands = Commands::of(items);
    let mut known = insert_commands(&tx, items, &commands).await?;
    events::copy(&tx, items, &commands, &known).await?;
    outcome::read_known(&tx, items, &commands, &mut known).await?;
    let outcomes = outcome::of(items, &commands, &known);
    crate::dead_letters::insert(&tx, items, &outcomes).await?;
    tx.commit()
        .await
        .map_err(|e| StoreError::of("commit a batch", e))?;
    Ok(outcomes)
}

/// The commands of a batch that are to become events.
struct Commands {
    /// Indices of the items by which each command arrived first, in order.
    first: Vec<usize>,
    /// For each item the place in `first` of its command; `None` for what was rejected.
    place: Vec<Option<usize>>,
}

impl Commands {
    fn of(items: &[Item]) -> Self {
        let mut seen: HashMap<(Uuid, &str), usize> = HashMap::with_capacity(items.len());
        let mut first = Vec::with_capacity(items.len());
        let place = items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                matches!(item.content, Content::Event { .. }).then(|| {
                    *seen
                        .entry((item.command_id.0, item.project.as_str()))
                        .or_insert_with(|| {
                            first.push(index);
                            first.len() - 1
                        })
                })
            })
            .collect();
        Self { first, place }
    }

    fn items<'a>(&self, items: &'a [Item]) -> impl Iterator<Item = &'a Item> {
        self.first.iter().map(|index| &items[*index])
    }
}

/// `nextval` is evaluated row by row as rows go in, in the order of the arrays; what went in comes back in that order.
const INSERT_COMMANDS: &str = "\
insert into eventstore.commands (command_id, project, fingerprint, position)
select c.command_id, c.project, c.fingerprint, nextval('eventstore.event_position')
  from unnest($1::uuid[], $2::text[], $3::uuid[]) with ordinality as c (command_id, project, fingerprint, arrival)
 order by c.arrival
    on conflict do nothing
returning command_id, project, position";

/// Declares the append, then inserts what is new into the dedup table. Gives, in step with `commands.first`, what is
/// known of each: the position of the new ones, nothing yet of the others.
async fn insert_commands(
    tx: &Transaction<'_>,
    items: &[Item],
    commands: &Commands,
) -> Result<Vec<Option<Known>>, StoreError> {
    let failed = |e| StoreError::of("record commands", e);
    if commands.first.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = commands.items(items).map(|item| item.command_id.0).collect();
    let projects: Vec<&str> = commands.items(items).map(|item| item.project.as_str()).collect();
    let prints: Vec<Uuid> = commands
        .items(items)
        .map(|item| Uuid::from_bytes(item.fingerprint))
        .collect();
    let declare = tx
        .prepare_cached("select eventstore.declare_append()")
        .await
        .map_err(failed)?;
    let insert = tx.prepare_cached(INSERT_COMMANDS).await.map_err(failed)?;
    tx.query_one(&declare, &[]).await.map_err(failed)?;
    let rows = tx
        .query(&insert, &[&ids, &projects, &prints])
        .await
        .map_err(failed)?;
    let mut inserted = rows.iter().peekable();
    let known = commands
        .items(items)
        .map(|item| {
            let row = inserted.next_if(|row| {
                row.get::<_, Uuid>(0) == item.command_id.0 && row.get::<_, &str>(1) == item.project.as_str()
            })?;
            Some(Known {
                position: Position(row.get(2)),
                fingerprint: Uuid::from_bytes(item.fingerprint),
                now: true,
            })
        })
        .collect();
    match inserted.next() {
        None => Ok(known),
        // Never seen; an event without a row, or a row without an event, would be worse than a batch that is held.
        Some(_) => Err(StoreError::new(
            "record commands",
            Trouble::Transient,
            "rows came back out of order",
        )),
    }
}

pub(crate) fn event_id(item: &Item) -> Uuid {
    derive_event_id(&item.project, item.command_id).0
}
