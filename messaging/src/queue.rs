//! The queue interface that every backend implements.

use crate::{Delivery, OutgoingMessage, Receipt};
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;

/// The topics and the subscription of one deployment, by their full names.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Where commands arrive, `persistent://tenant/namespace/name` (see `COMMANDS_TOPIC`).
    pub commands: String,
    /// Partitions when the commands topic has to be made; 0 makes one that is not partitioned.
    pub commands_partitions: u32,
    /// The durable KeyShared subscription of the workers.
    pub subscription: String,
    /// Copies of dead letters.
    pub dead_letters: String,
    /// Published events.
    pub events: String,
}

/// How a source reads.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Unique, stable within the process's life; a suffix per partition is added.
    pub consumer_name: String,
    /// How many messages the source may hold ahead of the caller, over all partitions. Bounds memory (invariant 9).
    pub prefetch: usize,
    /// How many payload bytes the source may hold ahead of the caller.
    pub prefetch_bytes: usize,
}

/// Why the queue did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The broker cannot be reached or did not answer in time; trying again may help.
    #[error("{action}: the queue is unavailable: {reason}")]
    Unavailable {
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// The client's own words.
        reason: String,
    },
    /// The broker refused for lack of rights, or because something that `migrate` makes is missing; waiting does not help.
    #[error("{action}: {reason}")]
    Refused {
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// The broker's words and the remedy.
        reason: String,
    },
}

impl QueueError {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// What a source yields.
#[derive(Debug)]
pub enum SourceEvent {
    /// Messages of one partition, in topic order. Never empty.
    Deliveries(Vec<Delivery>),
    /// The connection was lost and rebuilt: what was delivered and not settled will come again.
    Rebuilt {
        /// Which partition; -1 when the topic is not partitioned.
        partition: i32,
        /// Why.
        reason: String,
    },
}

/// Hands receipts back, from any task; never blocks.
pub trait Settler: Send + Sync {
    /// The messages of these receipts are committed. The entry is acknowledged when all its messages are.
    fn settle(&self, receipts: Vec<Receipt>);
}

/// A stream of commands. Reconnects by itself for ever; says so by [`SourceEvent::Rebuilt`].
pub trait CommandSource: Send + Sync {
    /// The next messages. Cancel-safe: dropping the future loses no delivery.
    ///
    /// `Err` only for what waiting does not mend ([`QueueError::Refused`]); the source stays usable and keeps trying.
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, QueueError>>;

    /// A handle that settles; outlives borrows of the source.
    fn settler(&self) -> Arc<dyn Settler>;

    /// Whether every partition is subscribed at this moment, with the reason when not.
    fn connected(&self) -> Result<(), String>;

    /// Stops taking new messages, at once: `next` yields nothing more. Settling goes on.
    fn stop_taking(&mut self);

    /// Sends every acknowledgement that is due, leaves the subscription and closes, in at most `within`.
    fn close(self: Box<Self>, within: Duration) -> BoxFuture<'static, Result<(), QueueError>>;
}

/// The outcome of a send, to be awaited apart from handing the message over, so that many can be under way in order.
pub type Sending = BoxFuture<'static, Result<(), QueueError>>;

/// Sends messages to one topic.
///
/// `Err` of a [`Sending`] means unknown, not "not stored": send again with the same identity.
pub trait MessageSink: Send + Sync {
    /// Hands the message over, in order, waiting while too much is under way; the inner future ends when the broker has stored it.
    fn send(&self, message: OutgoingMessage) -> BoxFuture<'_, Result<Sending, QueueError>>;
}

/// What lies in the commands topic, unacknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Entries not yet acknowledged (Pulsar counts entries; one may hold many messages).
    pub messages: u64,
    /// When the oldest of them was published, where the backend knows.
    pub oldest: Option<DateTime<Utc>>,
}

/// A queue: makes sources and sinks. One per process and role.
pub trait Queue: Send + Sync {
    /// Makes the topics, subscriptions and retention that are missing; leaves existing ones as they are. Says what it did, a line each.
    fn prepare(&self) -> BoxFuture<'_, Result<Vec<String>, QueueError>>;

    /// Subscribes to the commands. Fails when the subscription cannot be had now; later trouble is the source's to mend.
    fn commands(&self, options: SourceOptions) -> BoxFuture<'_, Result<Box<dyn CommandSource>, QueueError>>;

    /// Where commands are sent.
    fn command_sink(&self) -> BoxFuture<'_, Result<Arc<dyn MessageSink>, QueueError>>;

    /// Where copies of dead letters are sent.
    fn dead_letter_sink(&self) -> BoxFuture<'_, Result<Arc<dyn MessageSink>, QueueError>>;

    /// Where events are published.
    fn event_sink(&self) -> BoxFuture<'_, Result<Arc<dyn MessageSink>, QueueError>>;

    /// The commands not yet acknowledged.
    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, QueueError>>;

    /// Whether the broker answers, within a second or two.
    fn ping(&self) -> BoxFuture<'_, Result<(), QueueError>>;
}

/// Receipts that [`send_all`] waits for at once; below what a sink lets be under way.
const SEND_AHEAD: usize = 256;

/// Sends all of these, in order, and waits until the broker has stored every one.
pub async fn send_all(
    sink: &dyn MessageSink,
    messages: impl IntoIterator<Item = OutgoingMessage>,
) -> Result<(), QueueError> {
    let mut under_way = FuturesUnordered::new();
    for message in messages {
        if under_way.len() == SEND_AHEAD {
            under_way.next().await.transpose()?;
        }
        let sending = sink.send(message).await?;
        under_way.push(sending);
    }
    while under_way.next().await.transpose()?.is_some() {}
    Ok(())
}
