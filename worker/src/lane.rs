//! One lane: batches, recorded one after another on one connection, and settled after their commit.

use crate::Options;
use crate::metrics::Metrics;
use crate::patience::Patience;
use crate::prepare;
use eventstore::{EventStore, Item, Outcome, StoreError, Trouble};
use messaging::{Delivery, Receipt, Settler};
use service::Process;
use service::backoff::Backoff;
use service::health::Condition;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, timeout_at};

/// Messages on their way, in order, and their share of the memory.
pub(crate) struct Chunk {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) received: Instant,
    pub(crate) share: OwnedSemaphorePermit,
}

/// A batch under way. `items` and `receipts` go in step.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    receipts: Vec<Receipt>,
    /// When they were received, and how many of them.
    received: Vec<(Instant, usize)>,
    /// The memory of the batch, given back with it.
    shares: Vec<OwnedSemaphorePermit>,
}

pub(crate) struct Lane {
    store: EventStore,
    settler: Arc<dyn Settler>,
    options: Options,
    metrics: Metrics,
    condition: Condition,
    patience: Patience,
}

impl Lane {
    pub(crate) fn new(
        process: &Process,
        store: EventStore,
        settler: Arc<dyn Settler>,
        options: Options,
        metrics: Metrics,
        patience: Patience,
    ) -> Self {
        let condition = process.health.condition("database");
        condition.ready();
        Self {
            store,
            settler,
            options,
            metrics,
            condition,
            patience,
        }
    }

    pub(crate) async fn run(self, mut chunks: mpsc::Receiver<Chunk>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let Some(chunk) = chunks.recv().await else { return };
                waiting.push_back(chunk);
            }
            self.collect(&mut chunks, &mut waiting).await;
            let batch = self.batch(&mut waiting);
            if !self.record(batch).await {
                // What is not recorded stays with the queue and is delivered again.
                return;
            }
        }
    }

    /// Fills up to a batch, for at most the linger.
    async fn collect(&self, chunks: &mut mpsc::Receiver<Chunk>, waiting: &mut VecDeque<Chunk>) {
        let until = Instant::now() + self.options.linger;
        let mut count: usize = waiting.iter().map(|chunk| chunk.deliveries.len()).sum();
        while count < self.options.batch_size {
            match timeout_at(until, chunks.recv()).await {
                Ok(Some(chunk)) => {
                    count += chunk.deliveries.len();
                    waiting.push_back(chunk);
                }
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// Decodes and decides the first of what waits, as many as a batch may have.
    fn batch(&self, waiting: &mut VecDeque<Chunk>) -> Batch {
        let now = service::clock::now();
        let mut batch = Batch::default();
        while batch.items.len() < self.options.batch_size
            && let Some(mut chunk) = waiting.pop_front()
        {
            let room = self.options.batch_size - batch.items.len();
            let rest = chunk.deliveries.split_off(chunk.deliveries.len().min(room));
            batch.received.push((chunk.received, chunk.deliveries.len()));
            batch.items.reserve(chunk.deliveries.len());
            batch.receipts.reserve(chunk.deliveries.len());
            for Delivery { envelope, receipt } in chunk.deliveries {
                batch.items.push(prepare::item(envelope, now));
                batch.receipts.push(receipt);
            }
            if rest.is_empty() {
                batch.shares.push(chunk.share);
            } else {
                waiting.push_front(Chunk {
                    deliveries: rest,
                    ..chunk
                });
            }
        }
        batch
    }

    /// Records a batch and settles it; `false` when the process stops and the database does not come back in time.
    async fn record(&self, mut batch: Batch) -> bool {
        let started = Instant::now();
        let Some(outcomes) = self.record_items(&mut batch.items).await else {
            return false;
        };
        self.settler.settle(batch.receipts);
        drop(batch.shares);
        let done = Instant::now();
        let duration = self.metrics.duration.local();
        for (received, count) in batch.received {
            let seconds = (done - received).as_secs_f64();
            (0..count).for_each(|_| duration.observe(seconds));
        }
        duration.flush();
        self.metrics.batch_size.observe(outcomes.len() as f64);
        let (stored, duplicate, dead_lettered) = self.metrics.processed(&outcomes);
        let duration_ms = u64::try_from((done - started).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(stored, duplicate, dead_lettered, duration_ms, "batch recorded");
        true
    }

    /// Holds and tries again in place, for as long as it takes: a batch is never handed back, which would break the
    /// order of its keys. A batch that can never succeed is halved until the item is found that is to blame.
    async fn record_items(&self, items: &mut [Item]) -> Option<Vec<Outcome>> {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        let mut attempts = 0;
        loop {
            let error = match self.patience.until_over(self.store.record(items)).await? {
                Ok(outcomes) => {
                    self.condition.ready();
                    return Some(outcomes);
                }
                Err(error) => error,
            };
            if error.trouble == Trouble::Data {
                if 1 < items.len() {
                    let (first, second) = items.split_at_mut(items.len() / 2);
                    let mut outcomes = Box::pin(self.record_items(first)).await?;
                    outcomes.extend(Box::pin(self.record_items(second)).await?);
                    return Some(outcomes);
                }
                attempts += 1;
                if attempts == prepare::ATTEMPTS {
                    tracing::error!(command.id = %items[0].command_id, %error, "put aside as poison");
                    prepare::poison(&mut items[0], error.to_string());
                }
                if attempts <= prepare::ATTEMPTS {
                    continue;
                }
            }
            self.hold(&error, &mut backoff).await?;
        }
    }

    /// Waits before the next attempt; `None` when the process stops and its patience is over.
    async fn hold(&self, error: &StoreError, backoff: &mut Backoff) -> Option<()> {
        self.condition.not_ready(error.to_string());
        if error.trouble == Trouble::Configuration {
            tracing::error!(%error, "the database refuses to record; commands stay in the topic until it is mended");
        } else {
            tracing::warn!(%error, "holding the batch, and trying again");
        }
        self.patience.until_over(sleep(backoff.wait())).await
    }
}
