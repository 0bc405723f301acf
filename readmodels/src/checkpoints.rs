//! Who projects which bucket up to where: leases, fences and the fair share.
//!
//! A bucket of a projection belongs to one process at a time, by a lease that it renews. The fence counts owners: a
//! process that was frozen and lost its lease finds another fence and can move nothing.

use crate::ProjectionId;
use eventstore::{Database, Position, StoreError};
use std::time::Duration;

/// A bucket that a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// 0 to 63.
    pub bucket: i16,
    /// The number of this ownership.
    pub fence: i64,
    /// Everything up to here is in the view.
    pub at: Position,
}

/// Says that this process is alive for `ttl`, forgets the dead, and gives how many are alive.
pub async fn heartbeat(db: &Database, owner: &str, ttl: Duration) -> Result<i64, StoreError> {
    let failed = |e| StoreError::of("send a heartbeat", e);
    let client = db.client().await?;
    let beat = "
        with gone as (delete from projections.projector where alive_until < clock_timestamp() - interval '1 minute'
                         and id <> $1)
        insert into projections.projector values ($1, clock_timestamp() + $2 * interval '1 second')
            on conflict (id) do update set alive_until = excluded.alive_until";
    client
        .execute(beat, &[&owner, &ttl.as_secs_f64()])
        .await
        .map_err(failed)?;
    let count = "select count(*) from projections.projector where clock_timestamp() <= alive_until";
    Ok(client.query_one(count, &[]).await.map_err(failed)?.get(0))
}

/// Takes itself off the list of the living.
pub async fn leave(db: &Database, owner: &str) -> Result<(), StoreError> {
    let client = db.client().await?;
    let sql = "delete from projections.projector where id = $1";
    client
        .execute(sql, &[&owner])
        .await
        .map_err(|e| StoreError::of("leave", e))?;
    Ok(())
}

const CLAIM: &str = "
    with free as (
        select bucket from projections.bucket
         where name = $1 and version = $2 and (owner is null or lease_until < clock_timestamp())
         order by updated_at, bucket limit $4 for update skip locked)
    update projections.bucket b
       set owner = $3, fence = b.fence + 1, lease_until = clock_timestamp() + $5 * interval '1 second',
           updated_at = clock_timestamp()
      from free
     where b.name = $1 and b.version = $2 and b.bucket = free.bucket
 returning b.bucket, b.fence, b.checkpoint";

/// Takes up to `most` buckets that nobody holds, the longest unserved first.
pub async fn claim(
    db: &Database,
    id: ProjectionId,
    owner: &str,
    most: usize,
    ttl: Duration,
) -> Result<Vec<Lease>, StoreError> {
    let failed = |e| StoreError::of("claim buckets", e);
    let client = db.client().await?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let statement = client.prepare_cached(CLAIM).await.map_err(failed)?;
    let rows = client
        .query(
            &statement,
            &[&id.name, &id.version, &owner, &most, &ttl.as_secs_f64()],
        )
        .await
        .map_err(failed)?;
    let lease = |row: &tokio_postgres::Row| Lease {
        bucket: row.get(0),
        fence: row.get(1),
        at: Position(row.get(2)),
    };
    Ok(rows.iter().map(lease).collect())
}

/// Rows that a page is moving at this moment are passed over: the page renews them, and waiting for each other in
/// different orders would be a deadlock.
const RENEW: &str = "
    with mine as (
        select b.bucket from projections.bucket b
          join unnest($4::smallint[], $5::bigint[]) as held (bucket, fence) using (bucket, fence)
         where b.name = $1 and b.version = $2 and b.owner = $3
           for update of b skip locked)
    update projections.bucket b set lease_until = clock_timestamp() + $6 * interval '1 second'
      from mine
     where b.name = $1 and b.version = $2 and b.bucket = mine.bucket";

/// Renews the leases that are still held. That one was lost shows when its page cannot be committed.
pub async fn renew(
    db: &Database,
    id: ProjectionId,
    owner: &str,
    held: &[(i16, i64)],
    ttl: Duration,
) -> Result<(), StoreError> {
    let failed = |e| StoreError::of("renew leases", e);
    let client = db.client().await?;
    let (buckets, fences): (Vec<i16>, Vec<i64>) = held.iter().copied().unzip();
    let statement = client.prepare_cached(RENEW).await.map_err(failed)?;
    client
        .execute(
            &statement,
            &[
                &id.name,
                &id.version,
                &owner,
                &buckets,
                &fences,
                &ttl.as_secs_f64(),
            ],
        )
        .await
        .map_err(failed)?;
    Ok(())
}

/// Gives buckets back, for others to claim at once.
pub async fn release(
    db: &Database,
    id: ProjectionId,
    owner: &str,
    held: &[(i16, i64)],
) -> Result<(), StoreError> {
    let failed = |e| StoreError::of("release buckets", e);
    let client = db.client().await?;
    let (buckets, fences): (Vec<i16>, Vec<i64>) = held.iter().copied().unzip();
    let sql = "
        update projections.bucket b set owner = null, lease_until = '-infinity'
          from unnest($4::smallint[], $5::bigint[]) as held (bucket, fence)
         where b.name = $1 and b.version = $2 and b.bucket = held.bucket and b.owner = $3 and b.fence = held.fence";
    client
        .execute(sql, &[&id.name, &id.version, &owner, &buckets, &fences])
        .await
        .map_err(failed)?;
    Ok(())
}

/// One bucket of one projection, for people and for `verify`.
#[derive(Clone, Debug)]
pub struct BucketState {
    /// The projection's name.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// Whether queries read this version.
    pub active: bool,
    /// 0 to 63.
    pub bucket: i16,
    /// Everything up to here is in the view.
    pub checkpoint: Position,
    /// Who holds it now.
    pub owner: Option<String>,
}

/// All buckets of all projections.
pub async fn list(db: &Database) -> Result<Vec<BucketState>, StoreError> {
    let client = db.client().await?;
    let sql = "select p.name, p.version, p.active, b.bucket, b.checkpoint, b.owner
                 from projections.projection p join projections.bucket b using (name, version)
                order by p.name, p.version, b.bucket";
    let rows = client
        .query(sql, &[])
        .await
        .map_err(|e| StoreError::of("list checkpoints", e))?;
    let state = |row: &tokio_postgres::Row| BucketState {
        name: row.get(0),
        version: row.get(1),
        active: row.get(2),
        bucket: row.get(3),
        checkpoint: Position(row.get(4)),
        owner: row.get(5),
    };
    Ok(rows.iter().map(state).collect())
}
