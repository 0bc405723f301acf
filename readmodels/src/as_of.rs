//! How far the views have come, and reading from them.

use crate::ProjectionId;
use deadpool_postgres::Object;
use domain::BUCKETS;
use eventstore::{Database, Position, StoreError};
use std::time::Duration;
use tokio_postgres::NoTls;

/// How far a view has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    /// Everything up to here is in the view.
    pub position: Position,
    /// Age in ms of the oldest event that is not yet in the view; 0 when there is none.
    pub lag_ms: i64,
}

/// Why a view was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The view does not exist, or not in the version that this build reads. Waiting, or starting a projector, helps.
    #[error("read model `{name}` is not ready: {reason}")]
    NotReady {
        /// The projection's name.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// The answer would have more rows than anyone can use.
    #[error("more than {limit} rows: choose a shorter range, more filters or fewer groups")]
    TooLarge {
        /// Most rows.
        limit: usize,
    },
    /// The database did not answer in time.
    #[error("the database did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Longest time for the statements of one read.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The active version, its buckets and the lowest of their checkpoints. The height of the log is read after the
/// checkpoints, so that a view that seems to have reached it has.
const REACHED: &str = "select p.version, count(b.bucket), min(b.checkpoint) \
    from projections.projection p left join projections.bucket b on b.name = p.name and b.version = p.version \
    where p.name = $1 and p.active group by p.version";

const ALLOCATED: &str = "select eventstore.allocated()";

/// Bucket by bucket, since the checkpoint of a quiet bucket stays behind without anything to be folded in it.
const OLDEST_NOT_FOLDED: &str = "select (extract(epoch from clock_timestamp() - min(e.recorded_at)) * 1000)::bigint \
    from projections.bucket b cross join lateral ( \
        select recorded_at from eventstore.events \
        where bucket = b.bucket and position > b.checkpoint order by position limit 1) e \
    where b.name = $1 and b.version = $2";

/// How far the view `name` has come, in its active version. Ask before reading the view: then the answer holds at
/// least that much.
pub async fn as_of(db: &Database, name: ProjectionId) -> Result<AsOf, ReadError> {
    read(db, async |client| as_of_on(client, name).await).await
}

pub(crate) async fn as_of_on(client: &Object, id: ProjectionId) -> Result<AsOf, ReadError> {
    let failed = |error| StoreError::of("read how far a view has come", error);
    let not_ready = |reason: String| ReadError::NotReady {
        name: id.name,
        reason,
    };
    let statement = client.prepare_cached(REACHED).await.map_err(failed)?;
    let Some(row) = client.query_opt(&statement, &[&id.name]).await.map_err(failed)? else {
        return Err(not_ready("no projector has set it up".to_owned()));
    };
    let (version, buckets): (i32, i64) = (row.get(0), row.get(1));
    if version != id.version {
        return Err(not_ready(format!(
            "version {version} is active, this build reads version {}",
            id.version
        )));
    }
    if buckets != i64::from(BUCKETS) {
        return Err(not_ready(format!(
            "{buckets} of its {BUCKETS} buckets are set up"
        )));
    }
    let reached: i64 = row.get(2);
    let statement = client.prepare_cached(ALLOCATED).await.map_err(failed)?;
    let height: i64 = client.query_one(&statement, &[]).await.map_err(failed)?.get(0);
    let lag_ms = if reached < height {
        let statement = client.prepare_cached(OLDEST_NOT_FOLDED).await.map_err(failed)?;
        let lag: Option<i64> = client
            .query_one(&statement, &[&id.name, &version])
            .await
            .map_err(failed)?
            .get(0);
        // The clock of the server may have been set back since.
        lag.unwrap_or(0).max(0)
    } else {
        0
    };
    Ok(AsOf {
        position: Position(reached),
        lag_ms,
    })
}

/// Runs a read on a connection of the pool; once more when the connection turns out to be lost, as all of the pool's
/// are after a restart of the server.
pub(crate) async fn read<T>(
    db: &Database,
    run: impl AsyncFn(&Object) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    match attempt(db, &run).await {
        Err(Attempt { lost: true, .. }) => attempt(db, &run).await,
        first => first,
    }
    .map_err(|failed| failed.error)
}

/// A failed attempt.
struct Attempt {
    error: ReadError,
    /// Whether the connection was lost under way.
    lost: bool,
}

async fn attempt<T>(
    db: &Database,
    run: &impl AsyncFn(&Object) -> Result<T, ReadError>,
) -> Result<T, Attempt> {
    let client = db.client().await.map_err(|error| Attempt {
        error: error.into(),
        lost: false,
    })?;
    match tokio::time::timeout(READ_TIMEOUT, run(&client)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(ReadError::Store(error))) => {
            let lost = error.connection_lost && error.is_transient();
            db.discard_if_lost(client, &error);
            Err(Attempt {
                error: absent(error),
                lost,
            })
        }
        Ok(Err(error)) => Err(Attempt { error, lost: false }),
        Err(_) => {
            give_up(client).await;
            Err(Attempt {
                error: ReadError::Timeout(READ_TIMEOUT),
                lost: false,
            })
        }
    }
}

/// Ends the statement under way and throws its connection away: the next user must not wait behind it.
async fn give_up(client: Object) {
    let cancel = client.cancel_token();
    drop(Object::take(client));
    // A server that does not answer is past being asked; `statement_timeout` ends the statement then.
    let _ = tokio::time::timeout(Duration::from_secs(1), cancel.cancel_query(NoTls)).await;
}

/// A table that is not there is not the reader's mistake: the projector makes it when it first starts.
fn absent(error: StoreError) -> ReadError {
    match error.sqlstate.as_deref() {
        Some("42P01" | "3F000") => ReadError::NotReady {
            name: "all",
            reason: "its tables do not exist: run migrate and a projector".to_owned(),
        },
        _ => ReadError::Store(error),
    }
}
