//! Asks for the watermark, once for all projections of the process, often while the log grows and seldom when not.

use crate::metrics::Metrics;
use eventstore::{EventStore, Position};
use service::backoff::Backoff;
use service::health::Condition;
use service::{Heartbeat, Process};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How far the log may be read, and how far it reaches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heights {
    pub(crate) watermark: Position,
    pub(crate) allocated: Position,
}

const EAGER: Duration = Duration::from_millis(8);
const IDLE: Duration = Duration::from_millis(40);
/// So long after the last growth it is still eager.
const STAY_EAGER: Duration = Duration::from_millis(500);

pub(crate) struct Poller {
    store: EventStore,
    heights: watch::Sender<Heights>,
    stopping: CancellationToken,
    condition: Condition,
    blocked: prometheus::Gauge,
}

impl Poller {
    pub(crate) fn new(
        process: &Process,
        store: EventStore,
        metrics: &Metrics,
    ) -> (Self, watch::Receiver<Heights>) {
        let (heights, receiver) = watch::channel(Heights::default());
        let condition = process.health.condition("database");
        let stopping = process.stopping.clone();
        let blocked = metrics.watermark_blocked.clone();
        (
            Self {
                store,
                heights,
                stopping,
                condition,
                blocked,
            },
            receiver,
        )
    }

    pub(crate) async fn run(self, beat: Heartbeat) -> anyhow::Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut moved = Instant::now();
        while !self.stopping.is_cancelled() {
            beat.beat();
            let wait = match self.store.heights().await {
                Ok((watermark, allocated)) => {
                    backoff.reset();
                    self.condition.ready();
                    let before = *self.heights.borrow();
                    if watermark != before.watermark || allocated != before.allocated {
                        self.heights.send_replace(Heights { watermark, allocated });
                    }
                    if watermark != before.watermark {
                        moved = Instant::now();
                    }
                    let blocked = if watermark < allocated {
                        moved.elapsed().as_secs_f64()
                    } else {
                        0.0
                    };
                    self.blocked.set(blocked);
                    if moved.elapsed() < STAY_EAGER || watermark < allocated {
                        EAGER
                    } else {
                        IDLE
                    }
                }
                Err(error) => {
                    self.condition.not_ready(error.to_string());
                    backoff.wait()
                }
            };
            self.stopping.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }
}
