//! Readiness: what the API needs is looked at in the background, so that a probe costs nothing and never hangs.

use eventstore::Database;
use messaging::Queue;
use readmodels::ReadError;
use service::Process;
use service::health::Condition;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps the conditions `database` and `read models`.
pub(crate) fn watch_database(process: &Process, database: Database) {
    let (reachable, views) = (
        process.health.condition("database"),
        process.health.condition("read models"),
    );
    let stopping = process.stopping.clone();
    process.spawn("readiness", async move {
        let watch = async {
            loop {
                look_at_database(&database, &reachable, &views).await;
                tokio::time::sleep(EVERY).await;
            }
        };
        stopping.run_until_cancelled(watch).await;
        Ok(())
    });
}

async fn look_at_database(database: &Database, reachable: &Condition, views: &Condition) {
    let look = async {
        for projection in readmodels::all() {
            readmodels::as_of(database, projection.id()).await?;
        }
        Ok::<(), ReadError>(())
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(Ok(())) => {
            reachable.ready();
            views.ready();
        }
        Ok(Err(error @ ReadError::NotReady { .. })) => {
            reachable.ready();
            views.not_ready(error.to_string());
        }
        // The message names no host and no role's password; what it does name helps an operator.
        Ok(Err(error)) => reachable.not_ready(error.to_string()),
        Err(_) => reachable.not_ready("no answer in time"),
    }
}

/// Keeps the condition `queue`.
pub(crate) fn watch_queue(process: &Process, queue: Arc<dyn Queue>) {
    let reachable = process.health.condition("queue");
    let stopping = process.stopping.clone();
    process.spawn("queue readiness", async move {
        let watch = async {
            loop {
                match tokio::time::timeout(PATIENCE, queue.ping()).await {
                    Ok(Ok(())) => reachable.ready(),
                    Ok(Err(error)) => reachable.not_ready(error.to_string()),
                    Err(_) => reachable.not_ready("no answer in time"),
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        stopping.run_until_cancelled(watch).await;
        Ok(())
    });
}
