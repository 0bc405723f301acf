//! How long a worker that was told to stop waits for a database that is away.

use service::Process;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// One deadline for all that waits in the worker: it begins with the stop, not with each wait. Clones share it.
#[derive(Clone)]
pub(crate) struct Patience {
    stopping: CancellationToken,
    limit: Duration,
    begun: Arc<OnceLock<Instant>>,
}

impl Patience {
    /// Half of the grace: the rest is for acknowledging and leaving.
    pub(crate) fn new(process: &Process) -> Self {
        let limit = process.limits.shutdown_grace / 2;
        Self {
            stopping: process.stopping.clone(),
            limit,
            begun: Arc::default(),
        }
    }

    /// Ends when the patience is over; never, while the process is not told to stop.
    pub(crate) async fn over(&self) {
        self.stopping.cancelled().await;
        let begun = *self.begun.get_or_init(Instant::now);
        sleep_until(begun + self.limit).await;
    }

    /// The outcome of `work`, or `None` when the patience is over first.
    pub(crate) async fn until_over<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.over() => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::settings::Lifecycle;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn many_short_waits_share_one_deadline_that_begins_with_the_stop() {
        let process = Process::new(Lifecycle {
            shutdown_grace: Duration::from_secs(20),
            startup_timeout: Duration::from_secs(1),
        });
        let patience = Patience::new(&process);
        let second = || sleep(Duration::from_secs(1));
        for _ in 0..30 {
            assert!(patience.until_over(second()).await.is_some());
        }
        process.stopping.cancel();
        let begun = Instant::now();
        while patience.clone().until_over(second()).await.is_some() {}
        assert_eq!(begun.elapsed().as_secs(), 10);
    }
}
