//! Topics with commands in them, and the queue that reads them.

use crate::proc::Watched;
use crate::rows;
use messaging::pulsar::{PulsarOptions, PulsarQueue};
use messaging::{Queue as _, SourceEvent, SourceOptions, Topics};
use std::time::{Duration, Instant};
use testkit::{Sender, TestNamespace, pulsar_admin_url, pulsar_url};

/// The worker's subscription.
pub(crate) const WORKER: &str = "tracking-workers";
/// That of receiving alone: it reads the same entries.
const RECEIVER: &str = "receive-only";
/// What the worker's source may hold (`tracking worker`).
const PREFETCH: usize = 8_000;
const PREFETCH_BYTES: usize = 16 * 1024 * 1024;
/// Longest wait for the next message.
const PATIENCE: Duration = Duration::from_mins(1);

/// The topics of one measurement.
pub(crate) struct Backlog {
    pub(crate) topics: Topics,
}

impl Backlog {
    /// Empty topics, with the subscriptions of the worker and of receiving alone.
    pub(crate) async fn create(namespace: &TestNamespace, name: &str) -> anyhow::Result<Self> {
        let topics = Topics {
            commands: namespace.topic(&format!("commands.{name}")),
            commands_partitions: 0,
            subscription: WORKER.to_owned(),
            dead_letters: namespace.topic(&format!("dead.{name}")),
            events: namespace.topic(&format!("events.{name}")),
        };
        let backlog = Self { topics };
        for subscription in [WORKER, RECEIVER] {
            backlog.queue(subscription).prepare().await?;
        }
        Ok(backlog)
    }

    /// The queue, read by this subscription.
    pub(crate) fn queue(&self, subscription: &str) -> PulsarQueue {
        PulsarQueue::new(PulsarOptions {
            url: pulsar_url(),
            admin_url: pulsar_admin_url(),
            token: None,
            topics: Topics {
                subscription: subscription.to_owned(),
                ..self.topics.clone()
            },
        })
    }

    /// Sends `count` commands, as the client's batching does in entries of `batch` with mixed keys.
    pub(crate) async fn send(&self, from: u64, count: usize, batch: Option<u32>) {
        let mut sender = Box::pin(Sender::open(&pulsar_url(), &self.topics.commands, batch)).await;
        let numbers = from..from + u64::try_from(count).expect("a usize fits");
        let commands = numbers.map(|n| (rows::user(n).to_string(), rows::payload(n)));
        Box::pin(sender.send(commands)).await;
    }

    /// Receives `count` messages, settling each at once: the time and the CPU seconds that took, of which connecting
    /// is no part.
    pub(crate) async fn receive(&self, count: usize) -> anyhow::Result<(Duration, f64)> {
        let options = SourceOptions {
            consumer_name: "receive-only".to_owned(),
            prefetch: PREFETCH,
            prefetch_bytes: PREFETCH_BYTES,
        };
        let this = Watched::this()?;
        let mut source = self.queue(RECEIVER).commands(options).await?;
        let settler = source.settler();
        let (began, cpu) = (Instant::now(), this.cpu()?);
        let mut received = 0;
        while received < count {
            let next = tokio::time::timeout(PATIENCE, source.next()).await?;
            if let SourceEvent::Deliveries(deliveries) = next? {
                received += deliveries.len();
                settler.settle(deliveries.into_iter().map(|delivery| delivery.receipt).collect());
            }
        }
        let took = (began.elapsed(), this.cpu()? - cpu);
        anyhow::ensure!(received == count, "{received} messages received of {count}");
        source.close(Duration::from_secs(5)).await?;
        Ok(took)
    }
}
