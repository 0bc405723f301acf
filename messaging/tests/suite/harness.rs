//! What the tests share: a Pulsar queue of one's own, and receiving with a deadline.

use messaging::pulsar::{PulsarOptions, PulsarQueue};
use messaging::{
    CommandSource, Delivery, OutgoingMessage, Queue, Receipt, SourceEvent, SourceOptions, Topics,
};
use std::time::Duration;
use testkit::{PulsarAdmin, TestNamespace};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) const SOON: Duration = Duration::from_secs(15);
/// Long enough that what should not come would have come.
pub(crate) const QUIET: Duration = Duration::from_millis(700);

/// A deployment of its own in the shared Pulsar.
pub(crate) struct Deployment {
    namespace: TestNamespace,
    pub(crate) topics: Topics,
}

impl Deployment {
    /// Topics made by `prepare`; 0 partitions make a topic that is not partitioned.
    pub(crate) async fn prepared(partitions: u32) -> Self {
        let deployment = Self::bare(partitions).await;
        deployment.queue().prepare().await.expect("prepare the topics");
        deployment
    }

    /// A namespace and nothing in it.
    pub(crate) async fn bare(partitions: u32) -> Self {
        let namespace = TestNamespace::create().await;
        let topics = Topics {
            commands: namespace.topic("commands"),
            commands_partitions: partitions,
            subscription: "workers".into(),
            dead_letters: namespace.topic("commands-workers-DLQ"),
            events: namespace.topic("events"),
        };
        Self { namespace, topics }
    }

    pub(crate) fn options(&self) -> PulsarOptions {
        PulsarOptions {
            url: testkit::pulsar_url(),
            admin_url: testkit::pulsar_admin_url(),
            token: None,
            topics: self.topics.clone(),
        }
    }

    pub(crate) fn queue(&self) -> PulsarQueue {
        PulsarQueue::new(self.options())
    }

    pub(crate) fn admin(&self) -> &PulsarAdmin {
        self.namespace.admin()
    }

    /// The broker's count of entries that are not acknowledged.
    pub(crate) async fn broker_backlog(&self) -> u64 {
        self.admin()
            .backlog(&self.topics.commands, &self.topics.subscription)
            .await
    }
}

/// A source with a window of so many messages.
pub(crate) async fn source(queue: &dyn Queue, name: &str, prefetch: usize) -> Box<dyn CommandSource> {
    let options = SourceOptions {
        consumer_name: name.into(),
        prefetch,
        prefetch_bytes: 16 * 1024 * 1024,
    };
    queue.commands(options).await.expect("subscribe")
}

/// So many messages, or a panic.
pub(crate) async fn receive(source: &mut dyn CommandSource, count: usize) -> Vec<Delivery> {
    let deadline = Instant::now() + SOON;
    let mut received = Vec::new();
    while received.len() < count {
        let Ok(event) = timeout_at(deadline, source.next()).await else {
            panic!("{} of {count} messages came", received.len())
        };
        if let SourceEvent::Deliveries(deliveries) = event.expect("the source works") {
            assert!(!deliveries.is_empty(), "deliveries are never empty");
            received.extend(deliveries);
        }
    }
    received
}

/// What comes until nothing does for a while.
pub(crate) async fn receive_until_quiet(source: &mut dyn CommandSource) -> Vec<Delivery> {
    let mut received = Vec::new();
    while let Ok(event) = timeout(QUIET, source.next()).await {
        if let SourceEvent::Deliveries(deliveries) = event.expect("the source works") {
            received.extend(deliveries);
        }
    }
    received
}

/// Settles all of them.
pub(crate) fn settle(source: &dyn CommandSource, deliveries: Vec<Delivery>) {
    source.settler().settle(receipts(deliveries));
}

pub(crate) fn receipts(deliveries: Vec<Delivery>) -> Vec<Receipt> {
    deliveries.into_iter().map(|delivery| delivery.receipt).collect()
}

/// The payloads as text.
pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries
        .iter()
        .map(|delivery| String::from_utf8_lossy(&delivery.envelope.payload).into_owned())
        .collect()
}

/// Sends `texts`, all under one key or each without one, and waits until they are stored.
pub(crate) async fn send(queue: &dyn Queue, key: Option<&str>, texts: impl IntoIterator<Item = String>) {
    let sink = queue.command_sink().await.expect("a sink");
    let mut sendings = Vec::new();
    for text in texts {
        let message = OutgoingMessage {
            key: key.map(str::to_owned),
            payload: text.into_bytes(),
            properties: vec![("n".into(), "1".into())],
        };
        sendings.push(sink.send(message).await.expect("hand a message over"));
    }
    for sending in sendings {
        sending.await.expect("store a message");
    }
}

/// `0`, `1`, … as texts.
pub(crate) fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Closes, and insists that it was in time and in order.
pub(crate) async fn close(source: Box<dyn CommandSource>) {
    let start = Instant::now();
    source
        .close(Duration::from_secs(5))
        .await
        .expect("close the source");
    assert!(start.elapsed() < Duration::from_secs(5));
}
