//! Copies dead letters to their topic, once each unless the process dies in between.

use eventstore::{DeadLetter, EventStore};
use messaging::{MessageSink, OutgoingMessage, QueueError, properties, send_all};
use service::backoff::Backoff;
use service::health::Condition;
use service::{Heartbeat, Process};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const IDLE: Duration = Duration::from_millis(500);
/// At most so many under way; their bytes are bounded, too.
const PAGE: i64 = 50;
/// Longest payload of a copy; the whole is in the database. Brokers take 5 MiB by default.
const MOST_PAYLOAD: usize = 4 * 1024 * 1024;
/// Longest detail in a property: brokers limit the metadata of a message.
const MOST_DETAIL: usize = 1_000;

pub(crate) struct Publisher {
    store: EventStore,
    sink: Arc<dyn MessageSink>,
    stopping: CancellationToken,
    condition: Condition,
}

impl Publisher {
    pub(crate) fn new(process: &Process, store: EventStore, sink: Arc<dyn MessageSink>) -> Self {
        let condition = process.health.condition("dead_letter_publisher");
        Self {
            store,
            sink,
            stopping: process.stopping.clone(),
            condition,
        }
    }

    pub(crate) async fn run(self, beat: Heartbeat) -> anyhow::Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
        while !self.stopping.is_cancelled() {
            beat.beat();
            let sent = self
                .store
                .publish_dead_letters(PAGE, async |letters| self.send(letters).await)
                .await;
            let trouble = match sent {
                Ok(Ok(count)) => {
                    self.condition.ready();
                    backoff.reset();
                    if 0 < count {
                        continue;
                    }
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            let wait = trouble.map_or(IDLE, |reason| {
                self.condition.not_ready(reason);
                backoff.wait()
            });
            self.stopping.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }

    /// Within the time that a session may sit in a transaction.
    async fn send(&self, letters: Vec<DeadLetter>) -> Result<(), QueueError> {
        let send = send_all(self.sink.as_ref(), letters.into_iter().map(message));
        let unavailable = |_| QueueError::Unavailable {
            action: "publish dead letters",
            reason: "no receipt within 4 seconds".to_owned(),
        };
        tokio::time::timeout(Duration::from_secs(4), send)
            .await
            .map_err(unavailable)??;
        Ok(())
    }
}

/// The original's payload, key and properties, and why it is here.
fn message(letter: DeadLetter) -> OutgoingMessage {
    let own = [
        (properties::REAL_TOPIC, letter.topic),
        (properties::ORIGIN_MESSAGE_ID, letter.message_id),
        (properties::RECONSUME_TIMES, letter.attempts.to_string()),
        (properties::COMMAND_ID, letter.id.to_string()),
        (properties::ERROR_CODE, letter.code),
        (
            properties::ERROR_DETAIL,
            letter.detail.chars().take(MOST_DETAIL).collect(),
        ),
    ];
    let kept = letter
        .properties
        .into_iter()
        .filter_map(|(name, value)| match value {
            serde_json::Value::String(value) if own.iter().all(|(own, _)| *own != name) => {
                Some((name, value))
            }
            _ => None,
        });
    let mut all: Vec<(String, String)> = kept.collect();
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    let mut payload = letter.raw;
    if MOST_PAYLOAD < payload.len() {
        all.push((
            properties::PAYLOAD_TRUNCATED.to_owned(),
            payload.len().to_string(),
        ));
        payload.truncate(MOST_PAYLOAD);
    }
    OutgoingMessage {
        key: letter.key,
        payload,
        properties: all,
    }
}
