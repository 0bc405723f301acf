//! Writes the events of a batch, by COPY: the rows are known to be new, so nothing can conflict.

use super::encode::Rows;
use super::{Commands, Content, Item, Known, event_id};
use crate::StoreError;
use crate::dead_letters::storable;
use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures::SinkExt as _;
use std::error::Error;
use std::pin::pin;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

const COPY_EVENTS: &str = "\
copy eventstore.events (position, occurred_at, event_id, command_id, ledger, entry, partition, batch_index, bucket,
schema_version, project, stream, type, message_key, producer, data, metadata) from stdin binary";

const COLUMNS: [Type; 17] = [
    Type::INT8,
    Type::TIMESTAMPTZ,
    Type::UUID,
    Type::UUID,
    Type::INT8,
    Type::INT8,
    Type::INT4,
    Type::INT4,
    Type::INT2,
    Type::INT2,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::JSON,
    Type::JSON,
];

/// Bytes of a row, for the first allocation.
const USUAL_ROW: usize = 400;

/// JSON that is text already: written as it is, not parsed and printed again.
#[derive(Debug)]
pub(crate) struct JsonText<'a>(pub(crate) &'a str);

impl ToSql for JsonText<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }

    to_sql_checked!();
}

/// Copies the events of the commands that were new.
pub(super) async fn copy(
    tx: &Transaction<'_>,
    items: &[Item],
    commands: &Commands,
    known: &[Option<Known>],
) -> Result<(), StoreError> {
    let failed = |e| StoreError::of("record events", e);
    let Some(rows) = encode(items, commands, known)? else {
        return Ok(());
    };
    let statement = tx.prepare_cached(COPY_EVENTS).await.map_err(failed)?;
    let mut sink = pin!(tx.copy_in::<_, Bytes>(&statement).await.map_err(failed)?);
    sink.send(rows).await.map_err(failed)?;
    sink.finish().await.map_err(failed)?;
    Ok(())
}

/// The rows of what is new; `None` when nothing is.
fn encode(items: &[Item], commands: &Commands, known: &[Option<Known>]) -> Result<Option<Bytes>, StoreError> {
    let new = known.iter().flatten().count();
    if new == 0 {
        return Ok(None);
    }
    let mut rows = Rows::new(&COLUMNS, new * USUAL_ROW);
    for (item, known) in commands.items(items).zip(known) {
        let (
            Some(known),
            Content::Event {
                bucket,
                stream,
                occurred_at,
                encoded,
            },
        ) = (known, &item.content)
        else {
            continue;
        };
        let origin = &item.origin;
        let metadata = metadata(&origin.properties);
        rows.push(&[
            &known.position.0,
            occurred_at,
            &event_id(item),
            &item.command_id.0,
            &origin.ledger,
            &origin.entry,
            &origin.partition,
            &origin.batch_index,
            bucket,
            &encoded.schema_version,
            &item.project.as_str(),
            stream,
            &encoded.event_type,
            &origin.key.as_deref().map(storable),
            &storable(&origin.producer),
            &JsonText(&encoded.data),
            &metadata.as_deref().map(JsonText),
        ])?;
    }
    Ok(Some(rows.finish()))
}

/// The message's properties, less what has a column.
fn metadata(properties: &[(String, String)]) -> Option<String> {
    let rest: serde_json::Map<String, serde_json::Value> = properties
        .iter()
        .filter(|(name, _)| name != "TRACKING_COMMAND_ID")
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    (!rest.is_empty()).then(|| serde_json::json!({ "properties": rest }).to_string())
}
