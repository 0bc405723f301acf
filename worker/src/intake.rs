//! Takes deliveries and hands them to the lanes: equal keys to the same lane, in order.

use crate::Options;
use crate::lane::{Chunk, Lane};
use crate::metrics::Metrics;
use crate::patience::Patience;
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

pub(crate) struct Intake {
    source: Box<dyn CommandSource>,
    lanes: Vec<mpsc::Sender<Chunk>>,
    running: JoinSet<()>,
    budget: Arc<Semaphore>,
    permits: usize,
    stopping: CancellationToken,
    patience: Patience,
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
        let patience = Patience::new(process);
        let mut running = JoinSet::new();
        let lanes = (0..options.lanes)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(CHUNKS);
                let lane = Lane::new(
                    process,
                    store.clone(),
                    source.settler(),
                    options,
                    metrics.clone(),
                    patience.clone(),
                );
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
            patience,
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

    /// Hands deliveries out by key, waiting while too many bytes are under way. Gives up when the patience of a stop is
    /// over, and then hands out nothing more of these: it could overtake what was given up.
    async fn hand_out(&mut self, deliveries: Vec<Delivery>, beat: &Heartbeat) -> anyhow::Result<()> {
        let received = Instant::now();
        self.metrics.received.inc_by(deliveries.len() as u64);
        let expected = deliveries.len() / self.lanes.len() + 1;
        let mut by_lane: Vec<Vec<Delivery>> =
            self.lanes.iter().map(|_| Vec::with_capacity(expected)).collect();
        for delivery in deliveries {
            by_lane[self.lane_of(&delivery)].push(delivery);
        }
        for (lane, deliveries) in self.lanes.iter().zip(by_lane) {
            if deliveries.is_empty() {
                continue;
            }
            let weight: usize = deliveries.iter().map(|delivery| delivery.envelope.weight()).sum();
            let permits = u32::try_from((weight / GRAIN).clamp(1, self.permits)).expect("below the budget");
            let acquire = Arc::clone(&self.budget).acquire_many_owned(permits);
            let Some(share) = self.alive(acquire, beat).await else {
                return Ok(());
            };
            let share = share.context("the budget is never closed")?;
            match self
                .alive(
                    lane.send(Chunk {
                        deliveries,
                        received,
                        share,
                    }),
                    beat,
                )
                .await
            {
                Some(Ok(())) => {}
                None => return Ok(()),
                // A lane that gave up on a database that is away, while the process stops.
                Some(Err(_)) if self.stopping.is_cancelled() => return Ok(()),
                Some(Err(_)) => anyhow::bail!("a lane ended"),
            }
        }
        Ok(())
    }

    /// Waits, showing life, for as long as the database takes. When the process stops, deliveries that were begun are
    /// still handed out whole, since an entry of which only a part is recorded comes again; when the patience is over,
    /// what is left stays with the queue.
    async fn alive<T>(&self, wait: impl Future<Output = T>, beat: &Heartbeat) -> Option<T> {
        let beating = async {
            loop {
                tokio::time::sleep(BEAT).await;
                beat.beat();
            }
        };
        self.patience
            .until_over(async {
                tokio::select! {
                    done = wait => done,
                    never = beating => never,
                }
            })
            .await
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
        if let Err(error) = self.source.close(CLOSE).await {
            // All that was recorded stays recorded; what was not acknowledged comes again and is a repeat.
            tracing::warn!(%error, "the subscription was not left in good order");
        }
        Ok(())
    }
}

fn lane_ended(ended: Option<Result<(), tokio::task::JoinError>>) -> anyhow::Error {
    match ended {
        Some(Err(error)) => anyhow::Error::new(error).context("a lane panicked"),
        _ => anyhow::anyhow!("a lane ended"),
    }
}
