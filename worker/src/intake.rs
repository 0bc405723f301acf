//! Takes deliveries and hands them to the lanes: equal keys to the same lane, in order.

use crate::Options;
use crate::lane::{Lane, Work, patience};
use crate::metrics::Metrics;
use anyhow::Context as _;
use eventstore::EventStore;
use messaging::{CommandSource, Delivery, SourceEvent};
use service::health::Condition;
use service::{Heartbeat, Process};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Longest wait for deliveries before the loop shows that it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// Time for acknowledgements to be sent and the subscription to be left.
const CLOSE: Duration = Duration::from_secs(5);
/// Chunks that may wait for a lane; their payloads are bounded by the semaphore.
const CHUNKS: usize = 8;

/// One permit stands for so many bytes.
const GRAIN: usize = 256;
/// What a message costs beside its payload.
const OVERHEAD: usize = 512;

pub(crate) struct Intake {
    source: Box<dyn CommandSource>,
    lanes: Vec<mpsc::Sender<Vec<Work>>>,
    running: JoinSet<()>,
    budget: Arc<Semaphore>,
    permits: usize,
    stopping: CancellationToken,
    /// How long a drain may wait for a database that is away.
    patience: Duration,
    condition: Condition,
    metrics: Metrics,
}

impl Intake {
    pub(crate) fn new(
        process: &Process,
        store: &EventStore,
        source: Box<dyn CommandSource>,
        options: Options,
        metrics: Metrics,
    ) -> Self {
        let permits = options.bytes_in_flight / GRAIN;
        let mut running = JoinSet::new();
        let lanes = (0..options.lanes)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(CHUNKS);
                let lane = Lane::new(process, store.clone(), source.settler(), options, metrics.clone());
                running.spawn(lane.run(receiver));
                sender
            })
            .collect();
        Self {
            lanes,
            running,
            budget: Arc::new(Semaphore::new(permits)),
            permits,
            stopping: process.stopping.clone(),
            patience: patience(process),
            condition: process.health.condition("queue"),
            metrics,
            source,
        }
    }

    pub(crate) async fn run(mut self, beat: Heartbeat) -> anyhow::Result<()> {
        while !self.stopping.is_cancelled() {
            beat.beat();
            self.show_connection();
            let next = tokio::select! {
                () = self.stopping.cancelled() => break,
                ended = self.running.join_next() => {
                    return Err(lane_ended(ended));
                }
                next = timeout(BEAT, self.source.next()) => next,
            };
            match next {
                Err(_) => {}
                Ok(Ok(SourceEvent::Deliveries(deliveries))) => self.hand_out(deliveries, &beat).await?,
                Ok(Ok(SourceEvent::Rebuilt { partition, reason })) => {
                    self.metrics.rebuilt.inc();
                    tracing::warn!(partition, reason, "the subscription was lost and rebuilt");
                }
                Ok(Err(error)) => {
                    self.condition.not_ready(error.to_string());
                    tracing::error!(%error, "the queue refuses the subscription");
                    self.stopping
                        .run_until_cancelled(tokio::time::sleep(Duration::from_secs(1)))
                        .await;
                }
            }
        }
        self.drain().await
    }

    fn show_connection(&self) {
        match self.source.connected() {
            Ok(()) => self.condition.ready(),
            Err(reason) => self.condition.not_ready(reason),
        }
    }

    /// Hands deliveries out by key, waiting while too many bytes are under way.
    async fn hand_out(&mut self, deliveries: Vec<Delivery>, beat: &Heartbeat) -> anyhow::Result<()> {
        let received = Instant::now();
        self.metrics.received.inc_by(deliveries.len() as u64);
        let mut chunks: Vec<Vec<Work>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for delivery in deliveries {
            let bytes = delivery.envelope.payload.len() + OVERHEAD;
            let permits = u32::try_from((bytes / GRAIN).clamp(1, self.permits)).expect("below the budget");
            let permit = if let Ok(permit) = Arc::clone(&self.budget).try_acquire_many_owned(permits) {
                permit
            } else {
                // What waits here must reach its lanes first: it may hold all of the budget.
                self.send(&mut chunks, beat).await?;
                let acquire = Arc::clone(&self.budget).acquire_many_owned(permits);
                let Some(permit) = until_abandoned(&self.stopping, self.patience, acquire, beat).await else {
                    return Ok(());
                };
                permit.context("the budget is never closed")?
            };
            let lane = self.lane_of(&delivery);
            chunks[lane].push(Work {
                delivery,
                received,
                share: permit,
            });
        }
        self.send(&mut chunks, beat).await
    }

    async fn send(&mut self, chunks: &mut [Vec<Work>], beat: &Heartbeat) -> anyhow::Result<()> {
        for (lane, chunk) in self.lanes.iter().zip(chunks.iter_mut()) {
            if chunk.is_empty() {
                continue;
            }
            let send = lane.send(std::mem::take(chunk));
            match until_abandoned(&self.stopping, self.patience, send, beat).await {
                Some(Ok(())) | None => {}
                // A lane that gave up on a database that is away, while the process stops.
                Some(Err(_)) if self.stopping.is_cancelled() => {}
                Some(Err(_)) => anyhow::bail!("a lane ended"),
            }
        }
        Ok(())
    }

    /// Equal keys share a lane. Without a key there is no order to keep; an entry stays together.
    fn lane_of(&self, delivery: &Delivery) -> usize {
        let mut hasher = DefaultHasher::new();
        match &delivery.envelope.key {
            Some(key) => key.hash(&mut hasher),
            None => (delivery.envelope.at.ledger, delivery.envelope.at.entry).hash(&mut hasher),
        }
        let lanes = self.lanes.len() as u64;
        usize::try_from(hasher.finish() % lanes).expect("below the number of lanes")
    }

    /// Stops taking, lets the lanes finish, acknowledges, leaves (invariant 8).
    async fn drain(mut self) -> anyhow::Result<()> {
        self.source.stop_taking();
        self.lanes.clear();
        while let Some(ended) = self.running.join_next().await {
            ended.context("a lane panicked")?;
        }
        self.source.close(CLOSE).await.context("leave the subscription")?;
        Ok(())
    }
}

/// Waits, alive, for as long as the database takes. When the process stops, a chunk that was begun is still handed out
/// whole, since an entry of which only a part is recorded comes again; after `patience` what is left stays with the
/// queue.
async fn until_abandoned<T>(
    stopping: &CancellationToken,
    patience: Duration,
    wait: impl Future<Output = T>,
    beat: &Heartbeat,
) -> Option<T> {
    let mut wait = std::pin::pin!(wait);
    let abandoned = async {
        stopping.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    let mut abandoned = std::pin::pin!(abandoned);
    loop {
        tokio::select! {
            done = &mut wait => return Some(done),
            () = &mut abandoned => return None,
            () = tokio::time::sleep(BEAT) => beat.beat(),
        }
    }
}

fn lane_ended(ended: Option<Result<(), tokio::task::JoinError>>) -> anyhow::Error {
    match ended {
        Some(Err(error)) => anyhow::Error::new(error).context("a lane panicked"),
        _ => anyhow::anyhow!("a lane ended"),
    }
}
