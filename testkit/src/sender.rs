//! A producer as others write it: with the client's own batching, which mixes keys in one entry, or without.

use pulsar::producer::Message;
use pulsar::routing_policy::RoutingPolicy;
use pulsar::{Producer, ProducerOptions, Pulsar, TokioExecutor};
use std::time::Duration;

/// Receipts awaited at once.
const UNDER_WAY: usize = 1_000;

/// Sends to one topic and panics when that fails.
pub struct Sender {
    producer: Producer<TokioExecutor>,
    batching: bool,
}

impl Sender {
    /// A producer on `topic`; entries of `batch` messages when that is given, else one message an entry.
    pub async fn open(url: &str, topic: &str, batch: Option<u32>) -> Self {
        let pulsar: Pulsar<TokioExecutor> = Pulsar::builder(url, TokioExecutor)
            .build()
            .await
            .expect("the broker answers");
        let options = ProducerOptions {
            batch_size: batch,
            batch_timeout: batch.map(|_| Duration::from_millis(20)),
            routing_policy: Some(RoutingPolicy::RoundRobin),
            block_queue_if_full: true,
            ..ProducerOptions::default()
        };
        let producer = Box::pin(pulsar.producer().with_topic(topic).with_options(options).build()).await;
        Self {
            producer: producer.expect("the topic takes a producer"),
            batching: batch.is_some(),
        }
    }

    /// Sends all of them, in order, and waits until the broker has them.
    pub async fn send(&mut self, messages: impl IntoIterator<Item = (String, String)>) {
        let mut receipts = Vec::new();
        for (key, payload) in messages {
            let message = Message {
                payload: payload.into_bytes(),
                partition_key: Some(key),
                ..Message::default()
            };
            receipts.push(
                Box::pin(self.producer.send_non_blocking(message))
                    .await
                    .expect("accepted"),
            );
            if receipts.len() == UNDER_WAY {
                self.settle(&mut receipts).await;
            }
        }
        self.settle(&mut receipts).await;
    }

    async fn settle(&mut self, receipts: &mut Vec<pulsar::producer::SendFuture>) {
        if self.batching {
            self.producer.send_batch().await.expect("flushed");
        }
        for receipt in receipts.drain(..) {
            receipt.await.expect("stored by the broker");
        }
    }
}
