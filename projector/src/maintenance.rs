//! Upkeep: partitions made ahead, dead letters counted.

use crate::metrics::Metrics;
use domain::Code;
use eventstore::EventStore;
use service::{Heartbeat, Process};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(10);
/// Longer than a batch may take by its own timeouts.
const STALLED: Duration = Duration::from_mins(1);
/// Partitions beyond the one in use.
const AHEAD: i32 = 2;

pub(crate) struct Maintenance {
    store: EventStore,
    stopping: CancellationToken,
    metrics: Metrics,
}

impl Maintenance {
    pub(crate) fn new(process: &Process, store: EventStore, metrics: &Metrics) -> Self {
        Self {
            store,
            stopping: process.stopping.clone(),
            metrics: metrics.clone(),
        }
    }

    pub(crate) async fn run(self, beat: Heartbeat) -> anyhow::Result<()> {
        while !self.stopping.is_cancelled() {
            beat.beat();
            match self.store.ensure_partitions(AHEAD).await {
                Ok(0) => {}
                Ok(made) => tracing::info!(made, "made partitions of the log"),
                Err(error) => {
                    tracing::warn!(%error, "partitions are not made ahead; writers make them when they must");
                }
            }
            match self.store.end_stalled_writers(STALLED).await {
                Ok(ended) => {
                    for session in ended {
                        tracing::warn!(session, "ended a writer that held the watermark back");
                    }
                }
                Err(error) => tracing::debug!(%error, "stalled writers were not looked for"),
            }
            match self.store.open_dead_letters().await {
                Ok(counts) => self.show(&counts),
                Err(error) => tracing::debug!(%error, "dead letters were not counted"),
            }
            self.stopping.run_until_cancelled(tokio::time::sleep(EVERY)).await;
        }
        Ok(())
    }

    fn show(&self, counts: &[(String, i64)]) {
        for code in Code::ALL {
            let open = counts
                .iter()
                .find(|(name, _)| name == code.as_str())
                .map_or(0, |(_, n)| *n);
            self.metrics
                .dead_letters
                .with_label_values(&[code.as_str()])
                .set(open);
        }
    }
}
