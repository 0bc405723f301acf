//! How many projectors are alive, from which each works out its fair share of buckets.

use crate::Options;
use domain::BUCKETS;
use eventstore::Database;
use readmodels::checkpoints;
use service::{Heartbeat, Process};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Membership {
    db: Database,
    owner: String,
    ttl: Duration,
    share: watch::Sender<usize>,
    stopping: CancellationToken,
}

impl Membership {
    pub(crate) fn new(process: &Process, db: Database, options: &Options) -> (Self, watch::Receiver<usize>) {
        let (share, receiver) = watch::channel(0);
        let membership = Self {
            db,
            owner: options.owner.clone(),
            ttl: options.lease,
            share,
            stopping: process.stopping.clone(),
        };
        (membership, receiver)
    }

    pub(crate) async fn run(self, beat: Heartbeat) -> anyhow::Result<()> {
        while !self.stopping.is_cancelled() {
            beat.beat();
            match checkpoints::heartbeat(&self.db, &self.owner, self.ttl).await {
                Ok(alive) => {
                    let share = fair_share(alive);
                    if self
                        .share
                        .send_if_modified(|old| std::mem::replace(old, share) != share)
                    {
                        tracing::info!(
                            projectors = alive,
                            buckets = share,
                            "fair share of every projection"
                        );
                    }
                }
                // The watermark's poller reports a database that is away.
                Err(error) => tracing::debug!(%error, "no heartbeat"),
            }
            self.stopping.run_until_cancelled(tokio::time::sleep(EVERY)).await;
        }
        if let Err(error) = checkpoints::leave(&self.db, &self.owner).await {
            tracing::warn!(%error, "the others learn of the stop when the heartbeat expires");
        }
        Ok(())
    }
}

/// Rounded up, so that the shares of all cover all buckets.
fn fair_share(alive: i64) -> usize {
    let buckets = i64::from(BUCKETS);
    usize::try_from((buckets + alive.max(1) - 1) / alive.max(1)).expect("positive")
}

#[cfg(test)]
mod tests {
    use super::fair_share;

    #[test]
    fn shares_cover_all_buckets() {
        for alive in 1..=70 {
            let share = fair_share(alive);
            assert!(64 <= share * usize::try_from(alive).unwrap() && 1 <= share);
        }
        assert_eq!(
            (fair_share(0), fair_share(1), fair_share(2), fair_share(3)),
            (64, 64, 32, 22)
        );
    }
}
