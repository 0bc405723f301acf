//! Sending: one producer per sink, many messages under way, in order.

use super::PulsarQueue;
use super::admin::Admin;
use super::errors::{of_client, unavailable};
use super::lookup::Service;
use super::names::TopicName;
use super::topics::require_topic;
use crate::{MessageSink, OutgoingMessage, QueueError, Sending};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use pulsar::producer::Message;
use pulsar::routing_policy::RoutingPolicy;
use pulsar::{
    Authentication, ConnectionRetryOptions, OperationRetryOptions, Producer, ProducerOptions, Pulsar,
    TokioExecutor,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

/// Messages under way at once. Together with the limit of a message this bounds memory (invariant 9).
const UNDER_WAY: usize = 1000;
/// The client sends a message again, after a reconnection, until so long after the first time.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// To connect and to make a producer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// For a place among the messages under way, and for a receipt: a bit more than the client takes by itself.
const SEND_TIMEOUT: Duration = Duration::from_secs(12);

/// What a broker takes by default, 5 MiB, less the room for what the client adds.
const MAX_MESSAGE: usize = 5 * 1024 * 1024 - 16 * 1024;

const SEND: &str = "send a message";

/// A sink for one topic.
pub(super) struct PulsarSink {
    inner: Arc<Inner>,
}

struct Inner {
    service: Service,
    topic: TopicName,
    admin: Arc<Admin>,
    producer: Mutex<Option<Life>>,
    /// The life whose producer is in trouble; the next send makes another.
    broken: AtomicU64,
    under_way: Arc<Semaphore>,
}

/// A producer and the client that it lives on. The client goes with it: a connection of its that was cut
/// short while it was made can be left waited for, for ever.
struct Life {
    number: u64,
    producer: Producer<TokioExecutor>,
}

impl PulsarSink {
    /// A sink for the topic, which must exist. The producer is made at once.
    pub(super) async fn open(queue: &PulsarQueue, topic: &str) -> Result<Self, QueueError> {
        let inner = Inner {
            service: queue.service()?,
            topic: TopicName::parse(topic)?,
            admin: queue.admin.clone(),
            producer: Mutex::new(None),
            broken: AtomicU64::new(0),
            under_way: Arc::new(Semaphore::new(UNDER_WAY)),
        };
        let life = inner.open(1).await?;
        *inner.producer.lock().await = Some(life);
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

impl Inner {
    async fn open(&self, number: u64) -> Result<Life, QueueError> {
        // The client calls every failure to connect by one name; here it has its own.
        self.service.connect().await?;
        require_topic(&self.admin, &self.topic).await?;
        let opening = async {
            let mut builder = Pulsar::builder(self.service.url.as_str(), TokioExecutor)
                .with_connection_retry_options(ConnectionRetryOptions {
                    max_retries: 2,
                    connection_timeout: Duration::from_secs(5),
                    keep_alive: self.service.keep_alive,
                    ..ConnectionRetryOptions::default()
                })
                .with_operation_retry_options(OperationRetryOptions {
                    operation_timeout: OPERATION_TIMEOUT,
                    retry_delay: Duration::from_millis(500),
                    max_retries: Some(20),
                })
                .with_outbound_channel_size(UNDER_WAY);
            if let Some(token) = &self.service.token {
                builder = builder.with_auth(Authentication {
                    name: "token".into(),
                    data: token.as_bytes().to_vec(),
                });
            }
            let options = ProducerOptions {
                // Equal keys, one partition; without it the client ignores keys.
                routing_policy: Some(RoutingPolicy::RoundRobin),
                block_queue_if_full: true,
                // No batching: an entry of many keys has no key, and KeyShared no order.
                ..ProducerOptions::default()
            };
            // No name: the broker gives a fresh one, so that its deduplication never takes us for an earlier life.
            let client = Box::pin(builder.build()).await?;
            let producer = client
                .producer()
                .with_topic(self.topic.full())
                .with_options(options);
            Box::pin(producer.build()).await
        };
        match timeout(OPEN_TIMEOUT, opening).await {
            Ok(Ok(producer)) => Ok(Life { number, producer }),
            Ok(Err(error)) => Err(of_client("make a producer", &error)),
            Err(_) => Err(unavailable(
                "make a producer",
                "the broker did not answer in time".into(),
            )),
        }
    }

    /// Hands a message to the producer, making one when there is none or the last is in trouble.
    async fn hand_over(&self, message: Message) -> Result<(u64, pulsar::producer::SendFuture), QueueError> {
        let mut slot = self.producer.lock().await;
        let broken = self.broken.load(Ordering::Acquire);
        let last = slot.as_ref().map_or(broken, |life| life.number);
        if last <= broken {
            *slot = None;
            *slot = Some(self.open(last + 1).await?);
        }
        let life = slot.as_mut().expect("made above when it was missing");
        let number = life.number;
        // The client's future is large: kept off the stack of every handler that sends.
        match Box::pin(life.producer.send_non_blocking(message)).await {
            Ok(receipt) => Ok((number, receipt)),
            Err(error) => {
                self.broken.fetch_max(number, Ordering::AcqRel);
                Err(of_client(SEND, &error))
            }
        }
    }

    /// Waits for the broker's receipt.
    async fn receipt(&self, life: u64, receipt: pulsar::producer::SendFuture) -> Result<(), QueueError> {
        let error = match timeout(SEND_TIMEOUT, receipt).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => of_client(SEND, &error),
            Err(_) => unavailable(SEND, "no receipt in time".into()),
        };
        self.broken.fetch_max(life, Ordering::AcqRel);
        Err(error)
    }
}

/// A broker hangs up on a message above its limit, and with it on all others that are under way.
fn check_size(message: &OutgoingMessage) -> Result<(), QueueError> {
    let pairs: usize = message
        .properties
        .iter()
        .map(|(name, value)| name.len() + value.len() + 16)
        .sum();
    let size = message.payload.len() + message.key.as_ref().map_or(0, String::len) + pairs;
    if size <= MAX_MESSAGE {
        return Ok(());
    }
    let reason = format!("{size} bytes are above a broker's limit of {MAX_MESSAGE}");
    Err(QueueError::Refused { action: SEND, reason })
}

impl MessageSink for PulsarSink {
    fn send(&self, message: OutgoingMessage) -> BoxFuture<'_, Result<Sending, QueueError>> {
        async move {
            check_size(&message)?;
            let place = timeout(SEND_TIMEOUT, self.inner.under_way.clone().acquire_owned())
                .await
                .map_err(|_| unavailable(SEND, "too many messages are under way".into()))?
                .expect("the semaphore is never closed");
            let message = Message {
                payload: message.payload,
                properties: message.properties.into_iter().collect(),
                partition_key: message.key,
                ..Message::default()
            };
            let (life, receipt) = timeout(SEND_TIMEOUT, self.inner.hand_over(message))
                .await
                .unwrap_or_else(|_| Err(unavailable(SEND, "the broker does not answer".into())))?;
            let inner = self.inner.clone();
            let sending: Sending = async move {
                let result = inner.receipt(life, receipt).await;
                drop(place);
                result
            }
            .boxed();
            Ok(sending)
        }
        .boxed()
    }
}
