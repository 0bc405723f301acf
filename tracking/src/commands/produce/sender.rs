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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use messaging::Sending;
    use std::sync::Mutex;

    /// Says of each attempt in turn whether its receipt comes; keeps what was attempted.
    struct Fickle {
        outcomes: Mutex<Vec<Result<(), bool>>>,
        attempted: Mutex<Vec<Vec<u8>>>,
    }

    impl MessageSink for Fickle {
        fn send(&self, message: OutgoingMessage) -> BoxFuture<'_, Result<Sending, QueueError>> {
            self.attempted.lock().unwrap().push(message.payload);
            let mut outcomes = self.outcomes.lock().unwrap();
            let outcome = if outcomes.len() > 1 {
                outcomes.remove(0)
            } else {
                outcomes[0]
            };
            let result = outcome.map_err(|transient| {
                let (action, reason) = ("send", "no receipt".to_owned());
                if transient {
                    QueueError::Unavailable { action, reason }
                } else {
                    QueueError::Refused { action, reason }
                }
            });
            let sending: Sending = std::future::ready(result).boxed();
            std::future::ready(Ok(sending)).boxed()
        }
    }

    /// Sends five; gives sent, failed, whether it went on to the end, and all attempts.
    async fn send_five(outcomes: Vec<Result<(), bool>>) -> (u64, u64, bool, String) {
        let sink = Arc::new(Fickle {
            outcomes: Mutex::new(outcomes),
            attempted: Mutex::default(),
        });
        let mut sender = Sender::new(sink.clone(), Duration::from_millis(300), CancellationToken::new());
        for n in b'0'..b'5' {
            let message = OutgoingMessage {
                payload: vec![n],
                ..OutgoingMessage::default()
            };
            sender.send(message).await;
        }
        let mut whole = true;
        while let Some(receipt) = sender.receipt().await {
            whole &= sender.settle(receipt).await.is_ok();
        }
        assert_eq!(sender.bytes, 0);
        let attempted = sink.attempted.lock().unwrap().concat();
        let attempted = String::from_utf8(attempted).unwrap();
        (sender.sent, sender.failed, whole, attempted)
    }

    #[tokio::test]
    async fn what_got_no_receipt_is_sent_again_in_order() {
        let outcomes = vec![Ok(()), Err(true), Ok(()), Err(true), Err(true), Err(true), Ok(())];
        assert_eq!(send_five(outcomes).await, (5, 0, true, "012341341".to_owned()),);
    }

    #[tokio::test]
    async fn a_queue_that_takes_nothing_is_given_up_and_what_it_has_is_counted() {
        let (sent, failed, whole, attempted) = send_five(vec![Ok(()), Ok(()), Err(true)]).await;
        assert_eq!((sent, failed, whole), (2, 3, false));
        assert!(attempted.starts_with("01234234"), "{attempted}");
        // What waiting does not mend is not tried again.
        assert_eq!(
            send_five(vec![Ok(()), Err(false)]).await,
            (1, 4, false, "01234".to_owned())
        );
    }
}
