//! One page: the view's rows and the checkpoints of its buckets move in one transaction (invariant 5).

use crate::checkpoints::Lease;
use crate::{ApplyError, Folded, Projection, ViewTx};
use deadpool_postgres::Transaction;
use eventstore::{Database, Position, StoreError, Trouble};
use std::time::Duration;

/// How the checkpoints move.
#[derive(Clone, Copy, Debug)]
pub struct Advance<'a> {
    /// The owner of the leases.
    pub owner: &'a str,
    /// The buckets of the page.
    pub leases: &'a [Lease],
    /// Where they stand afterwards: with events, the position of the last of them; without, a position up to which
    /// nothing of these buckets lies.
    pub to: Position,
    /// How long the leases hold from now on.
    pub ttl: Duration,
}

/// Why a page was not committed. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Some lease was lost to another process: its fence or checkpoint is not what it was.
    #[error("{held} of {wanted} buckets are still held")]
    LeaseLost {
        /// Buckets of the page.
        wanted: usize,
        /// Those still held.
        held: u64,
    },
    /// The fold failed, or the database.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::Apply(error.into())
    }
}

/// Compare-and-set: owner, fence and the old position must be what they were when the events were read.
const ADVANCE: &str = "
    update projections.bucket b
       set checkpoint = greatest(b.checkpoint, $7), updated_at = clock_timestamp(),
           lease_until = clock_timestamp() + $8 * interval '1 second'
      from unnest($4::smallint[], $5::bigint[], $6::bigint[]) as held (bucket, fence, checkpoint)
     where b.name = $1 and b.version = $2 and b.bucket = held.bucket
       and b.owner = $3 and b.fence = held.fence and b.checkpoint = held.checkpoint";

/// Longest that a page may take before its connection is given up: above the server's statement timeout.
const GIVE_UP: Duration = Duration::from_secs(40);

/// Folds a page and moves its checkpoints, or does nothing.
pub async fn commit_page(
    db: &Database,
    projection: &dyn Projection,
    advance: Advance<'_>,
    events: &[Folded],
) -> Result<(), PageError> {
    let mut client = db.client().await?;
    let committed =
        match tokio::time::timeout(GIVE_UP, commit_in(&mut client, projection, advance, events)).await {
            Ok(committed) => committed,
            Err(_) => Err(StoreError::new("fold a page", Trouble::Transient, "no answer in time").into()),
        };
    if let Err(PageError::Apply(ApplyError::Store(error))) = &committed {
        db.discard_if_lost(client, error);
    }
    committed
}

async fn commit_in(
    client: &mut deadpool_postgres::Object,
    projection: &dyn Projection,
    advance: Advance<'_>,
    events: &[Folded],
) -> Result<(), PageError> {
    let failed = |e| StoreError::of("move checkpoints", e);
    let tx = client.transaction().await.map_err(failed)?;
    let id = projection.id();
    let buckets: Vec<i16> = advance.leases.iter().map(|lease| lease.bucket).collect();
    let fences: Vec<i64> = advance.leases.iter().map(|lease| lease.fence).collect();
    let at: Vec<i64> = advance.leases.iter().map(|lease| lease.at.0).collect();
    let statement = tx.prepare_cached(ADVANCE).await.map_err(failed)?;
    let held = tx
        .execute(
            &statement,
            &[
                &id.name,
                &id.version,
                &advance.owner,
                &buckets,
                &fences,
                &at,
                &advance.to.0,
                &advance.ttl.as_secs_f64(),
            ],
        )
        .await
        .map_err(failed)?;
    if usize::try_from(held).ok() != Some(advance.leases.len()) {
        return Err(PageError::LeaseLost {
            wanted: advance.leases.len(),
            held,
        });
    }
    if events.is_empty() {
        still_nothing(&tx, &buckets, advance).await?;
    } else {
        projection.apply(&ViewTx(&tx), events).await?;
    }
    tx.commit().await.map_err(failed)?;
    Ok(())
}

/// The watermark once more, and a look at what is to be passed over, in the transaction that passes over it.
///
/// Positions that were drawn and never used can be drawn again after a crash of the server, if nothing was committed
/// since. A transaction does not outlive a crash: what it sees settled and empty will stay empty once it commits.
async fn still_nothing(tx: &Transaction<'_>, buckets: &[i16], advance: Advance<'_>) -> Result<(), PageError> {
    let failed = |e| StoreError::of("pass over positions", e);
    let from = advance
        .leases
        .iter()
        .map(|lease| lease.at.0)
        .min()
        .unwrap_or_default();
    let watermark = tx
        .prepare_cached("select eventstore.watermark()")
        .await
        .map_err(failed)?;
    let watermark: i64 = tx.query_one(&watermark, &[]).await.map_err(failed)?.get(0);
    let sql = "select exists (select from eventstore.events
                where bucket = any($1) and position > $2 and position <= $3)";
    let any = tx.prepare_cached(sql).await.map_err(failed)?;
    let any: bool = tx
        .query_one(&any, &[&buckets, &from, &advance.to.0])
        .await
        .map_err(failed)?
        .get(0);
    if any || watermark < advance.to.0 {
        let message = "what was empty is not any more; looking again";
        return Err(StoreError {
            connection_lost: false,
            ..StoreError::new("pass over positions", Trouble::Transient, message)
        }
        .into());
    }
    Ok(())
}
