//! Sends in order with many messages under way, waits for every receipt, and sends again what got none.

use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt as _};
use messaging::{MessageSink, OutgoingMessage, QueueError};
use service::backoff::Backoff;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Messages under way: fewer than a sink takes, so that handing one over never waits for a receipt.
const MESSAGES: usize = 500;
/// Payload bytes under way.
const BYTES: usize = 16 * 1024 * 1024;

type Sent = (OutgoingMessage, Result<(), QueueError>);

/// A window over the messages that have no receipt yet.
pub(super) struct Sender {
    sink: Arc<dyn MessageSink>,
    under_way: FuturesOrdered<BoxFuture<'static, Sent>>,
    bytes: usize,
    /// How long a queue that takes nothing is waited for.
    patience: Duration,
    stopping: CancellationToken,
    /// Messages with a receipt.
    pub(super) sent: u64,
    /// Messages of which it is unknown whether they arrived.
    pub(super) failed: u64,
}

impl Sender {
    pub(super) fn new(sink: Arc<dyn MessageSink>, patience: Duration, stopping: CancellationToken) -> Self {
        Self {
            sink,
            under_way: FuturesOrdered::new(),
            bytes: 0,
            patience,
            stopping,
            sent: 0,
            failed: 0,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.under_way.len() < MESSAGES && self.bytes < BYTES
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Hands a message over; what becomes of it shows in [`Sender::receipt`].
    pub(super) async fn send(&mut self, message: OutgoingMessage) {
        self.bytes += message.payload.len();
        let sending = self.sink.send(message.clone()).await;
        self.under_way.push_back(Box::pin(async move {
            let result = match sending {
                Ok(receipt) => receipt.await,
                Err(error) => Err(error),
            };
            (message, result)
        }));
    }

    /// The next receipt, in order. Cancel-safe.
    pub(super) async fn receipt(&mut self) -> Option<Sent> {
        let (message, result) = self.under_way.next().await?;
        self.bytes -= message.payload.len();
        Some((message, result))
    }

    /// Counts a receipt; when there is none, sends again what is left, in order, until it is there or the queue took
    /// nothing for as long as it is waited for. The same identity makes a message that did arrive a repeat.
    /// An error is the end: what had no receipt then is counted as failed.
    pub(super) async fn settle(&mut self, (message, result): Sent) -> Result<(), QueueError> {
        let Err(mut error) = result else {
            self.sent += 1;
            return Ok(());
        };
        let mut left = vec![message];
        self.collect(&mut left, &mut error).await;
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
        let mut since = Instant::now();
        while !left.is_empty() {
            if !error.is_transient() || self.patience <= since.elapsed() || self.stopping.is_cancelled() {
                self.failed += left.len() as u64;
                return Err(error);
            }
            tracing::warn!(messages = left.len(), %error, "no receipt, sending again");
            self.stopping.run_until_cancelled(sleep(backoff.wait())).await;
            let before = left.len();
            for message in std::mem::take(&mut left) {
                self.send(message).await;
            }
            self.collect(&mut left, &mut error).await;
            if left.len() < before {
                since = Instant::now();
            }
        }
        Ok(())
    }

    /// Waits for all that is under way.
    async fn collect(&mut self, left: &mut Vec<OutgoingMessage>, error: &mut QueueError) {
        while let Some((message, result)) = self.receipt().await {
            match result {
                Ok(()) => self.sent += 1,
                Err(newer) => {
                    *error = newer;
                    left.push(message);
                }
            }
        }
    }
}
