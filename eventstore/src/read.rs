//! Reading what is settled (invariant 4).

use crate::{EventStore, Position, RecordedEvent, StoreError};
use chrono::{DateTime, Utc};
use domain::{CommandId, EventId};
use serde::Serialize;

pub(crate) const COLUMNS: &str =
    "position, bucket, project, stream, event_id, command_id, type, schema_version, occurred_at,
       recorded_at, data::text";

/// The session that holds the watermark back.
#[derive(Clone, Debug, Serialize)]
pub struct WatermarkHolder {
    /// The server's process id of the session.
    pub pid: i32,
    /// What the session calls itself.
    pub application_name: String,
    /// The height that it declared: nothing above is settled before it ends.
    pub declared: Position,
    /// When its transaction began.
    pub since: Option<DateTime<Utc>>,
    /// What the session is doing.
    pub state: String,
    /// Its statement.
    pub query: String,
}

impl EventStore {
    /// Up to here everything is settled. Take it first; what is read afterwards, up to it, is all there will be.
    pub async fn watermark(&self) -> Result<Position, StoreError> {
        self.height("select eventstore.watermark()").await
    }

    /// The highest position ever drawn, settled or not.
    pub async fn allocated(&self) -> Result<Position, StoreError> {
        self.height("select eventstore.allocated()").await
    }

    /// Watermark and highest position drawn, in this order, by one statement.
    pub async fn heights(&self) -> Result<(Position, Position), StoreError> {
        let failed = |e| StoreError::of("read the watermark", e);
        let client = self.db.client().await?;
        let sql = "select eventstore.watermark(), eventstore.allocated()";
        let statement = client.prepare_cached(sql).await.map_err(failed)?;
        let row = client.query_one(&statement, &[]).await.map_err(failed)?;
        Ok((Position(row.get(0)), Position(row.get(1))))
    }

    async fn height(&self, sql: &'static str) -> Result<Position, StoreError> {
        let failed = |e| StoreError::of("read the watermark", e);
        let client = self.db.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(failed)?;
        Ok(Position(
            client.query_one(&statement, &[]).await.map_err(failed)?.get(0),
        ))
    }

    /// The events of these buckets after one position and up to another, in order. `through` must not lie above a
    /// watermark taken before; the distance of the two bounds how many there can be.
    pub async fn read(
        &self,
        buckets: &[i16],
        after: Position,
        through: Position,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let failed = |e| StoreError::of("read events", e);
        let client = self.db.client().await?;
        let sql = format!(
            "select {COLUMNS} from eventstore.events
              where bucket = any($1) and position > $2 and position <= $3 order by position"
        );
        let statement = client.prepare_cached(&sql).await.map_err(failed)?;
        let rows = client
            .query(&statement, &[&buckets, &after.0, &through.0])
            .await
            .map_err(failed)?;
        Ok(rows.iter().map(event).collect())
    }

    /// At most `limit` events of all buckets after a position, up to the watermark, in order.
    pub async fn read_all(&self, after: Position, limit: i64) -> Result<Vec<RecordedEvent>, StoreError> {
        let failed = |e| StoreError::of("read events", e);
        let watermark = self.watermark().await?;
        let client = self.db.client().await?;
        // A limited read of each bucket by its index, then merged: sorting the whole range would not stay bounded.
        let sql = format!(
            "select {COLUMNS} from generate_series(0, 63) as b (n) cross join lateral (
                 select * from eventstore.events
                  where bucket = b.n::smallint and position > $1 and position <= $2 order by position limit $3) as e
              order by position limit $3"
        );
        let statement = client.prepare_cached(&sql).await.map_err(failed)?;
        let rows = client
            .query(&statement, &[&after.0, &watermark.0, &limit])
            .await
            .map_err(failed)?;
        Ok(rows.iter().map(event).collect())
    }

    /// The sessions that hold the watermark back, the lowest first.
    pub async fn watermark_holders(&self) -> Result<Vec<WatermarkHolder>, StoreError> {
        let failed = |e| StoreError::of("explain the watermark", e);
        let client = self.db.client().await?;
        let sql = "
            select l.pid, coalesce(a.application_name, ''),
                   ((l.classid::bigint & 65535) << 32) | l.objid::bigint as declared,
                   a.xact_start, coalesce(a.state, ''), coalesce(a.query, '')
              from pg_locks l left join pg_stat_activity a on a.pid = l.pid
             where l.locktype = 'advisory' and l.objsubid = 1 and (l.classid::bigint >> 16) = 29541
               and l.database = (select oid from pg_database where datname = current_database())
             order by declared, a.xact_start";
        let rows = client.query(sql, &[]).await.map_err(failed)?;
        Ok(rows
            .iter()
            .map(|row| WatermarkHolder {
                pid: row.get(0),
                application_name: row.get(1),
                declared: Position(row.get(2)),
                since: row.get(3),
                state: row.get(4),
                query: row.get(5),
            })
            .collect())
    }
}

pub(crate) fn event(row: &tokio_postgres::Row) -> RecordedEvent {
    RecordedEvent {
        position: Position(row.get(0)),
        bucket: row.get(1),
        project: row.get(2),
        stream: row.get(3),
        event_id: EventId(row.get(4)),
        command_id: CommandId(row.get(5)),
        event_type: row.get(6),
        schema_version: row.get(7),
        occurred_at: row.get(8),
        recorded_at: row.get(9),
        data: row.get(10),
    }
}
