//! What `verify` reads of the log, the dedup table and the dead letters: by pages, for no snapshot may be old; and
//! what it makes of them.

mod differences;
mod log;
mod order;

pub use differences::{Difference, Differences};
pub use log::{LogCheck, SEGMENT, check_dead_letter};
pub use order::Order;

use crate::read::{COLUMNS, event};
use crate::{EventStore, Position, RecordedEvent, StoreError};
use domain::{BUCKETS, CommandId};
use tokio_postgres::Row;
use uuid::Uuid;

/// An event with what the dedup table says of its command, and how it came.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// The event.
    pub event: RecordedEvent,
    /// The position that the dedup table holds for its command.
    pub deduplicated: Option<Position>,
    /// Where its message lay: partition, ledger, entry, batch index.
    pub at: Option<(i32, i64, i64, i32)>,
    /// The message's key.
    pub message_key: Option<String>,
    /// The producer's name.
    pub producer: Option<String>,
}

/// A row of the dedup table.
#[derive(Clone, Debug)]
pub struct CommandRow {
    /// The command.
    pub command_id: CommandId,
    /// Its project.
    pub project: String,
    /// Where its event lies.
    pub position: Position,
}

/// A dead letter without its payload.
#[derive(Clone, Debug)]
pub struct DeadLetterRow {
    /// Order of arrival.
    pub sequence: i64,
    /// The command.
    pub command_id: CommandId,
    /// Its project.
    pub project: String,
    /// The reason.
    pub code: String,
    /// The reason in words.
    pub detail: String,
    /// The topic.
    pub topic: String,
    /// `ledger:entry:partition[:batch index]`.
    pub message_id: String,
    /// How often handling was attempted.
    pub attempts: i32,
    /// Whether the properties are a JSON object.
    pub properties_are_object: bool,
    /// Whether a command with its id was recorded.
    pub recorded: bool,
}

/// The look-up of a command is kept apart, so that no plan reads all of the dedup table for a page.
const DEDUPLICATED: &str = "left join lateral (
       select c.position as deduplicated from eventstore.commands c
        where c.command_id = e.command_id and c.project = e.project offset 0) as d on true";

impl EventStore {
    /// The events after a position and up to another, of all buckets, in order, with their dedup rows.
    pub async fn verify_events(&self, after: Position, through: Position) -> Result<Vec<LogRow>, StoreError> {
        let failed = |e| StoreError::of("verify events", e);
        let client = self.database().client().await?;
        let sql = format!(
            "select {COLUMNS}, deduplicated, partition, ledger, entry, batch_index, message_key, producer
               from eventstore.events e {DEDUPLICATED}
              where bucket = any($1) and position > $2 and position <= $3 order by position"
        );
        let statement = client.prepare_cached(&sql).await.map_err(failed)?;
        let rows = client
            .query(&statement, &[&all_buckets(), &after.0, &through.0])
            .await
            .map_err(failed)?;
        Ok(rows.iter().map(log_row).collect())
    }

    /// Events of buckets, of each at most `limit` after one position and up to another, in order within a bucket.
    pub async fn read_each(
        &self,
        ranges: &[(i16, Position, Position)],
        limit: i64,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let failed = |e| StoreError::of("read events", e);
        let client = self.database().client().await?;
        let sql = format!(
            "select {COLUMNS} from unnest($1::smallint[], $2::bigint[], $3::bigint[]) as r (b, lower, upper)
              cross join lateral (select * from eventstore.events
                  where bucket = b and position > lower and position <= upper order by position limit $4) as e"
        );
        let statement = client.prepare_cached(&sql).await.map_err(failed)?;
        let buckets: Vec<i16> = ranges.iter().map(|range| range.0).collect();
        let lower: Vec<i64> = ranges.iter().map(|range| range.1.0).collect();
        let upper: Vec<i64> = ranges.iter().map(|range| range.2.0).collect();
        let rows = client
            .query(&statement, &[&buckets, &lower, &upper, &limit])
            .await
            .map_err(failed)?;
        Ok(rows.iter().map(event).collect())
    }

    /// At most `limit` rows of the dedup table after a command, by command and project.
    pub async fn verify_commands(
        &self,
        after: Option<&CommandRow>,
        limit: i64,
    ) -> Result<Vec<CommandRow>, StoreError> {
        let failed = |e| StoreError::of("verify commands", e);
        let client = self.database().client().await?;
        // No command has the empty project: with it the least id is before all.
        let (id, project) = after.map_or((Uuid::nil(), ""), |row| (row.command_id.0, &row.project));
        let sql = "select command_id, project, position from eventstore.commands
                    where (command_id, project) > ($1, $2) order by command_id, project limit $3";
        let statement = client.prepare_cached(sql).await.map_err(failed)?;
        let rows = client
            .query(&statement, &[&id, &project, &limit])
            .await
            .map_err(failed)?;
        Ok(rows
            .iter()
            .map(|row| CommandRow {
                command_id: CommandId(row.get(0)),
                project: row.get(1),
                position: Position(row.get(2)),
            })
            .collect())
    }

    /// At most `limit` dead letters after a place in the order of their arrival.
    pub async fn verify_dead_letters(
        &self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<DeadLetterRow>, StoreError> {
        let failed = |e| StoreError::of("verify dead letters", e);
        let client = self.database().client().await?;
        let sql = "select sequence, command_id, project, code, detail, topic, message_id, attempts,
                          json_typeof(properties) = 'object',
                          exists (select from eventstore.commands c
                                   where c.command_id = l.command_id and c.project = l.project)
                     from eventstore.dead_letters l where sequence > $1 order by sequence limit $2";
        let statement = client.prepare_cached(sql).await.map_err(failed)?;
        let rows = client
            .query(&statement, &[&after, &limit])
            .await
            .map_err(failed)?;
        Ok(rows.iter().map(dead_letter_row).collect())
    }

    /// The position of the last event, 0 when there is none.
    pub async fn last_event(&self) -> Result<Position, StoreError> {
        let failed = |e| StoreError::of("read the last event", e);
        let client = self.database().client().await?;
        let sql = "select coalesce(max(last), 0) from unnest($1::smallint[]) as b cross join lateral (
                       select position as last from eventstore.events where bucket = b
                        order by position desc limit 1) as e";
        Ok(Position(
            client
                .query_one(sql, &[&all_buckets()])
                .await
                .map_err(failed)?
                .get(0),
        ))
    }
}

fn all_buckets() -> Vec<i16> {
    (0..BUCKETS).collect()
}

fn log_row(row: &Row) -> LogRow {
    let at = |index| -> Option<i64> { row.get(index) };
    let (partition, batch): (Option<i32>, Option<i32>) = (row.get(12), row.get(15));
    let place = partition.zip(at(13)).zip(at(14)).zip(batch);
    LogRow {
        event: event(row),
        deduplicated: row.get::<_, Option<i64>>(11).map(Position),
        at: place.map(|(((partition, ledger), entry), batch)| (partition, ledger, entry, batch)),
        message_key: row.get(16),
        producer: row.get(17),
    }
}

fn dead_letter_row(row: &Row) -> DeadLetterRow {
    DeadLetterRow {
        sequence: row.get(0),
        command_id: CommandId(row.get(1)),
        project: row.get(2),
        code: row.get(3),
        detail: row.get(4),
        topic: row.get(5),
        message_id: row.get(6),
        attempts: row.get(7),
        properties_are_object: row.get(8),
        recorded: row.get(9),
    }
}
