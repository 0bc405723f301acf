//! How far the views have come, and reading from them.

use crate::ProjectionId;
use deadpool_postgres::Object;
use domain::BUCKETS;
use eventstore::{Database, Position, StoreError};
use std::time::Duration;
use tokio::time::error::Elapsed;
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

/// The active version, its buckets, the lowest of their checkpoints, and the height of the log. The height is read by
/// a volatile function after the statement's snapshot of the checkpoints: a view that seems to have reached it has.
const REACHED: &str = "select p.version, count(b.bucket), min(b.checkpoint), eventstore.allocated() \
    from projections.projection p left join projections.bucket b on b.name = p.name and b.version = p.version \
    where p.name = $1 and p.active group by p.version";

/// Bucket by bucket, since the checkpoint of a quiet bucket stays behind without anything to be folded in it.
const OLDEST_NOT_FOLDED: &str = "select (extract(epoch from clock_timestamp() - min(e.recorded_at)) * 1000)::bigint \
    from projections.bucket b cross join lateral ( \
        select recorded_at from eventstore.events \
        where bucket = b.bucket and position > b.checkpoint order by position limit 1) e \
    where b.name = $1 and b.version = $2";

/// How far the view `name` has come, in its active version. Ask before reading the view: then the answer holds at
/// least that much.
pub async fn as_of(db: &Database, name: ProjectionId) -> Result<AsOf, ReadError> {
    let mut attempts = Attempts::new(db);
    loop {
        let client = attempts.client().await?;
        let ran = within(as_of_on(&client, name)).await;
        if let Some(done) = attempts.settle(client, ran).await {
            return done;
        }
    }
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
    let (reached, height): (i64, i64) = (row.get(2), row.get(3));
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

/// The attempts of one read: a second one when the connection turns out to be lost, as all of the pool's are after a
/// restart of the server.
pub(crate) struct Attempts<'a> {
    db: &'a Database,
    left: u8,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(db: &'a Database) -> Self {
        Self { db, left: 2 }
    }

    /// A connection for the next attempt.
    pub(crate) async fn client(&self) -> Result<Object, ReadError> {
        Ok(self.db.client().await?)
    }

    /// Gives the connection back or throws it away; `None` asks for another attempt.
    pub(crate) async fn settle<T>(
        &mut self,
        client: Object,
        ran: Result<Result<T, ReadError>, Elapsed>,
    ) -> Option<Result<T, ReadError>> {
        self.left -= 1;
        let Ok(ran) = ran else {
            give_up(client).await;
            return Some(Err(ReadError::Timeout(READ_TIMEOUT)));
        };
        let Err(ReadError::Store(error)) = ran else {
            return Some(ran);
        };
        // A statement that ran too long would do so again.
        let cancelled = error.sqlstate.as_deref() == Some("57014");
        let lost = error.connection_lost && error.is_transient() && !cancelled;
        self.db.discard_if_lost(client, &error);
        if lost && 0 < self.left {
            None
        } else {
            Some(Err(absent(error)))
        }
    }
}

/// Gives the statements of one attempt their time.
pub(crate) async fn within<T>(
    run: impl Future<Output = Result<T, ReadError>>,
) -> Result<Result<T, ReadError>, Elapsed> {
    tokio::time::timeout(READ_TIMEOUT, run).await
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
