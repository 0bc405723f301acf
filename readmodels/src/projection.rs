//! What a read model is to the engine.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use domain::{BUCKETS, CommandId, Event, EventId};
use eventstore::{Database, Position, RecordedEvent, StoreError};
use futures::future::BoxFuture;
use tokio_postgres::types::ToSql;

/// Name and version, such as `daily_stats` 1. A new version has its own tables and checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectionId {
    /// The name.
    pub name: &'static str,
    /// The version.
    pub version: i32,
}

/// An event, decoded, with its place in the log.
#[derive(Clone, Debug)]
pub struct Folded {
    /// Where it lies.
    pub position: Position,
    /// Its bucket.
    pub bucket: i16,
    /// Its id.
    pub event_id: EventId,
    /// The command that it came from.
    pub command_id: CommandId,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// What happened.
    pub event: Event,
}

impl Folded {
    /// Decodes an event of the log.
    pub fn read(recorded: &RecordedEvent) -> Result<Self, ApplyError> {
        let event = recorded.decode().map_err(|source| ApplyError::Unreadable {
            position: recorded.position,
            source,
        })?;
        Ok(Self {
            position: recorded.position,
            bucket: recorded.bucket,
            event_id: recorded.event_id,
            command_id: recorded.command_id,
            recorded_at: recorded.recorded_at,
            event,
        })
    }
}

/// Why a page could not be folded.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An event of the log cannot be decoded.
    #[error("event at position {position} cannot be read")]
    Unreadable {
        /// Where it lies.
        position: Position,
        /// Why.
        source: domain::event::DecodeError,
    },
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A transaction on the read side that only the engine can commit, so that no view can part from its checkpoint
/// (invariant 5).
pub struct ViewTx<'t>(pub(crate) &'t Transaction<'t>);

impl ViewTx<'_> {
    /// Runs a statement; the text must be one of a fixed set, for it is prepared and kept.
    pub async fn execute(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let statement = self
            .0
            .prepare_cached(sql)
            .await
            .map_err(|e| StoreError::of("prepare a fold", e))?;
        self.0
            .execute(&statement, params)
            .await
            .map_err(|e| StoreError::of("fold a page", e))
    }
}

/// A read model.
pub trait Projection: Send + Sync {
    /// Its name and version.
    fn id(&self) -> ProjectionId;

    /// Creates this version's tables in schema `readmodels`; runs at every start, so it must be repeatable.
    fn schema(&self) -> &'static str;

    /// Folds events, in the order of their positions, into the view, by statements over sets with keys in sorted
    /// order. Committed together with the checkpoint. The outcome must not depend on how events are cut into pages.
    fn apply<'a>(&'a self, tx: &'a ViewTx<'a>, events: &'a [Folded])
    -> BoxFuture<'a, Result<(), ApplyError>>;
}

/// Makes the tables of a projection and its 64 checkpoints, where they are missing; the first version of a name
/// becomes the one that queries read. Repeatable, and safe from several processes at once.
pub async fn install(db: &Database, id: ProjectionId, schema: &str) -> Result<(), StoreError> {
    let failed = |e| StoreError::of("install a projection", e);
    let mut client = db.client().await?;
    let tx = client.transaction().await.map_err(failed)?;
    // Two processes that make the same table at once would fail each other.
    tx.batch_execute("select pg_advisory_xact_lock(29541, 2)")
        .await
        .map_err(failed)?;
    // Statements that make tables lock them even when there is nothing to make, against folds that run.
    let installed = "select exists (select from projections.projection where name = $1 and version = $2)";
    if tx
        .query_one(installed, &[&id.name, &id.version])
        .await
        .map_err(failed)?
        .get(0)
    {
        return Ok(());
    }
    tx.batch_execute(schema).await.map_err(failed)?;
    tx.execute(
        "insert into projections.projection (name, version, active)
         select $1, $2, not exists (select from projections.projection where name = $1)
             on conflict do nothing",
        &[&id.name, &id.version],
    )
    .await
    .map_err(failed)?;
    tx.execute(
        "insert into projections.bucket (name, version, bucket)
         select $1, $2, n from generate_series(0, $3 - 1) as n on conflict do nothing",
        &[&id.name, &id.version, &i32::from(BUCKETS)],
    )
    .await
    .map_err(failed)?;
    tx.commit().await.map_err(failed)
}
