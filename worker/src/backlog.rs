//! Shows how much lies in the topic.

use crate::metrics::Metrics;
use messaging::Queue;
use service::Process;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(10);

pub(crate) async fn watch(process: Process, queue: Arc<dyn Queue>, metrics: Metrics) -> anyhow::Result<()> {
    while !process.stopping.is_cancelled() {
        match queue.backlog().await {
            Ok(backlog) => {
                metrics
                    .backlog
                    .set(i64::try_from(backlog.messages).unwrap_or(i64::MAX));
                let age = backlog
                    .oldest
                    .map_or(0.0, |oldest| (service::clock::now() - oldest).as_seconds_f64());
                metrics.backlog_age.set(age.max(0.0));
            }
            Err(error) => tracing::debug!(%error, "the backlog was not read"),
        }
        process
            .stopping
            .run_until_cancelled(tokio::time::sleep(EVERY))
            .await;
    }
    Ok(())
}
