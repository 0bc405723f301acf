//! Reading what is settled (invariant 4).

use crate::{EventStore, Position, RecordedEvent, StoreError};
use chrono::{DateTime, Utc};
use domain::{CommandId, EventId};
use futures::TryStreamExt as _;
use serde::Serialize;
use std::pin::pin;
use std::time::Duration;
use tokio_postgres::types::ToSql;

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

/// What [`EventStore::page`] found.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events, in order.
    pub events: Vec<RecordedEvent>,
    /// Everything up to here was looked at.
    pub through: Position,
    /// Whether there was more than the bytes allowed.
    pub cut: bool,
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

    /// The next page of these buckets after a position: what is settled in the `window` positions after it, in order,
    /// as far as `most_bytes` of data go.
    ///
    /// Watermark and page are read on one connection, so that no crash of the server can lie between: after a crash
    /// the sequence may stand lower than a watermark that was seen before.
    pub async fn page(
        &self,
        buckets: &[i16],
        after: Position,
        window: i64,
        most_bytes: usize,
    ) -> Result<Page, StoreError> {
        let failed = |e| StoreError::of("read a page of events", e);
        let client = self.db.client().await?;
        let watermark = client
            .prepare_cached("select eventstore.watermark()")
            .await
            .map_err(failed)?;
        let watermark: i64 = client.query_one(&watermark, &[]).await.map_err(failed)?.get(0);
        let through = watermark.min(after.0.saturating_add(window));
        let mut page = Page {
            events: Vec::new(),
            through: Position(through),
            cut: false,
        };
        if through <= after.0 {
            page.through = after;
            return Ok(page);
        }
        let statement = client.prepare_cached(&select_between()).await.map_err(failed)?;
        let parameters: [&(dyn ToSql + Sync); 3] = [&buckets, &after.0, &through];
        let mut rows = pin!(client.query_raw(&statement, parameters).await.map_err(failed)?);
        let mut bytes = 0;
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let event = event(&row);
            bytes += event.data.len();
            page.events.push(event);
            if most_bytes < bytes {
                page.cut = true;
                break;
            }
        }
        if let Some(last) = page.events.last()
            && page.cut
        {
            page.through = last.position;
        }
        Ok(page)
    }

    /// The events of these buckets after one position and up to another, in order. `through` must not lie above a
    /// watermark taken before; the distance of the two bounds how many there can be. Projectors take
    /// [`EventStore::page`], which is bounded by bytes, too; this is for looking at a log that is known to be small.
    pub async fn read(
        &self,
        buckets: &[i16],
        after: Position,
        through: Position,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let failed = |e| StoreError::of("read events", e);
        let client = self.db.client().await?;
        let statement = client.prepare_cached(&select_between()).await.map_err(failed)?;
        let rows = client
            .query(&statement, &[&buckets, &after.0, &through.0])
            .await
            .map_err(failed)?;
        Ok(rows.iter().map(event).collect())
    }

    /// Ends sessions that have held the watermark back for longer than any batch may take, and gives their names.
    ///
    /// A writer that stops in the middle of a COPY, with its host alive, is ended by no timeout of the server: it is
    /// neither idle nor does its statement time out while it waits for data.
    pub async fn end_stalled_writers(&self, older: Duration) -> Result<Vec<String>, StoreError> {
        let failed = |e| StoreError::of("end stalled writers", e);
        let client = self.db.client().await?;
        // Ended in the outer list, from rows that are chosen for good: as a condition it could be tried on any session.
        let sql = "
            with stalled as materialized (
                select distinct a.pid, a.application_name
                  from pg_locks l join pg_stat_activity a using (pid)
                 where l.locktype = 'advisory' and l.objsubid = 1 and (l.classid::bigint >> 16) = 29541
                   and l.database = (select oid from pg_database where datname = current_database())
                   and a.usename = current_user
                   and a.xact_start < clock_timestamp() - $1 * interval '1 second')
            select application_name || ' (process ' || pid || ' of the server)', pg_terminate_backend(pid)
              from stalled";
        let rows = client.query(sql, &[&older.as_secs_f64()]).await.map_err(failed)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
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

/// The events of some buckets between two positions, in order.
fn select_between() -> String {
    format!(
        "select {COLUMNS} from eventstore.events
          where bucket = any($1) and position > $2 and position <= $3 order by position"
    )
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
