//! Sends commands to the queue and waits until it has stored them.

use crate::problem::Problem;
use messaging::{MessageSink, OutgoingMessage, QueueError};
use service::Process;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Where commands go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Publisher {
    sink: Arc<OnceLock<Arc<dyn MessageSink>>>,
    timeout: Duration,
    /// The process's runtime: what the queue's client starts there outlives the server's worker threads.
    runtime: Handle,
    tasks: TaskTracker,
}

impl Publisher {
    /// Without a sink as yet. Must be called on the process's runtime.
    pub(crate) fn new(process: &Process, timeout: Duration) -> Self {
        Self {
            sink: Arc::default(),
            timeout,
            runtime: Handle::current(),
            tasks: process.tasks.clone(),
        }
    }

    /// Sends there from now on; the first one given stays.
    pub(crate) fn send_to(&self, sink: Arc<dyn MessageSink>) {
        let _ = self.sink.set(sink);
    }

    /// Ends well when the queue has stored the message, and only then (invariant 7). Goes on to the end also when the
    /// caller is gone, and a stop waits for it.
    pub(crate) async fn publish(&self, message: OutgoingMessage) -> Result<(), Problem> {
        let sink = self
            .sink
            .get()
            .ok_or_else(|| unavailable("the queue is not connected yet"))?
            .clone();
        let stored = async move { sink.send(message).await?.await };
        let stored = self
            .tasks
            .spawn_on(tokio::time::timeout(self.timeout, stored), &self.runtime);
        match stored.await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => {
                tracing::warn!(error = error.to_string(), "a command was not published");
                Err(unavailable(match error {
                    QueueError::Unavailable { .. } => "the queue cannot be reached at this moment",
                    QueueError::Refused { .. } => "the queue refuses commands",
                }))
            }
            Ok(Err(_)) => {
                tracing::warn!(
                    seconds = self.timeout.as_secs(),
                    "the queue gave no receipt in time"
                );
                Err(unavailable(
                    "the queue gave no receipt in time: the command may be stored or not",
                ))
            }
            Err(error) => {
                tracing::error!(%error, "publishing a command failed");
                Err(unavailable("the command may be stored or not"))
            }
        }
    }
}

fn unavailable(detail: &str) -> Problem {
    Problem::unavailable(
        "queue_unavailable",
        format!("{detail}; send it again with the same id"),
    )
}
