//! The loop of one projection: take a fair share of buckets, read a page, fold it, move the checkpoints.

use crate::metrics::Metrics;
use crate::watermark::Heights;
use crate::{Options, publisher};
use eventstore::{EventStore, Position, StoreError};
use messaging::{MessageSink, QueueError};
use readmodels::checkpoints::{self, Lease};
use readmodels::{Advance, ApplyError, Folded, PageError, Projection, ProjectionId, commit_page};
use service::backoff::Backoff;
use service::health::Condition;
use service::{Heartbeat, Process};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How often buckets are claimed or given back.
const REBALANCE: Duration = Duration::from_millis(500);
/// How often checkpoints are written when there was nothing to fold.
const SAVE: Duration = Duration::from_secs(1);
/// Longest wait for the watermark to move.
const IDLE: Duration = Duration::from_millis(250);

/// Buckets and fences that are held, shared with the task that renews their leases.
type Held = Arc<Mutex<Vec<(i16, i64)>>>;

pub(crate) struct Runner {
    store: EventStore,
    projection: Arc<dyn Projection>,
    sink: Option<Arc<dyn MessageSink>>,
    options: Options,
    metrics: Metrics,
    heights: watch::Receiver<Heights>,
    share: watch::Receiver<usize>,
    stopping: CancellationToken,
    condition: Condition,
    held: Held,
    leases: Vec<Lease>,
    rebalanced: Option<Instant>,
    saved: Instant,
}

/// Why a turn of the loop failed.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ApplyError),
    #[error(transparent)]
    Publish(#[from] QueueError),
}

/// What a turn did.
enum Turn {
    Worked,
    Idle,
}

impl Runner {
    #[expect(
        clippy::too_many_arguments,
        reason = "made in one place, from parts that belong to the process"
    )]
    pub(crate) fn new(
        process: &Process,
        store: &EventStore,
        projection: Arc<dyn Projection>,
        sink: Option<Arc<dyn MessageSink>>,
        options: &Options,
        metrics: &Metrics,
        heights: watch::Receiver<Heights>,
        share: watch::Receiver<usize>,
    ) -> Self {
        Self {
            store: store.clone(),
            condition: process.health.condition(projection.id().name),
            projection,
            sink,
            options: options.clone(),
            metrics: metrics.clone(),
            heights,
            share,
            stopping: process.stopping.clone(),
            held: Held::default(),
            leases: Vec::new(),
            rebalanced: None,
            saved: Instant::now(),
        }
    }

    /// Renews the leases, in a task of its own: a page that takes long must not lose them.
    pub(crate) fn renewal(&self) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let (db, id, held) = (
            self.store.database().clone(),
            self.projection.id(),
            Arc::clone(&self.held),
        );
        let (owner, ttl, stopping) = (
            self.options.owner.clone(),
            self.options.lease,
            self.stopping.clone(),
        );
        async move {
            while stopping.run_until_cancelled(sleep(ttl / 4)).await.is_some() {
                let held = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if !held.is_empty()
                    && let Err(error) = checkpoints::renew(&db, id, &owner, &held, ttl).await
                {
                    tracing::warn!(projection = id.name, %error, "leases were not renewed");
                }
            }
            Ok(())
        }
    }

    pub(crate) async fn run(mut self, beat: Heartbeat) -> anyhow::Result<()> {
        let id = self.projection.id();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while !self.stopping.is_cancelled() {
            self.metrics
                .heartbeat_age
                .with_label_values(&[id.name])
                .set(beat.age().as_secs_f64());
            beat.beat();
            match self.turn().await {
                Ok(Turn::Worked) => backoff.reset(),
                Ok(Turn::Idle) => {
                    backoff.reset();
                    self.condition.ready();
                    self.wait().await;
                }
                Err(TurnError::Page(PageError::LeaseLost { wanted, held })) => {
                    tracing::warn!(
                        projection = id.name,
                        wanted,
                        held,
                        "leases were lost; claiming anew"
                    );
                    self.give_up_all().await;
                }
                Err(error) => {
                    self.condition.not_ready(error.to_string());
                    tracing::warn!(projection = id.name, %error, "holding, and trying again");
                    self.stopping.run_until_cancelled(sleep(backoff.wait())).await;
                }
            }
        }
        self.save().await.ok();
        self.give_up_all().await;
        Ok(())
    }

    async fn wait(&mut self) {
        tokio::select! {
            () = self.stopping.cancelled() => {}
            _ = self.heights.changed() => {}
            () = sleep(IDLE) => {}
        }
    }

    async fn turn(&mut self) -> Result<Turn, TurnError> {
        self.rebalance().await?;
        let heights = *self.heights.borrow_and_update();
        let Some(low) = self.leases.iter().map(|lease| lease.at).min() else {
            return Ok(Turn::Idle);
        };
        // Buckets that came from elsewhere may lag behind: they catch up first, then all go on together.
        let next = self
            .leases
            .iter()
            .map(|lease| lease.at)
            .filter(|at| low < *at)
            .min();
        let through = heights
            .watermark
            .min(Position(low.0.saturating_add(self.options.page)));
        let through = next.map_or(through, |next| through.min(next));
        self.show_lag(low, heights);
        if through <= low {
            self.save().await?;
            return Ok(Turn::Idle);
        }
        self.page(low, through).await?;
        Ok(Turn::Worked)
    }

    /// Folds what lies in (low, through] of the buckets that stand at `low`.
    async fn page(&mut self, low: Position, through: Position) -> Result<(), TurnError> {
        let group: Vec<Lease> = self
            .leases
            .iter()
            .filter(|lease| lease.at == low)
            .copied()
            .collect();
        let buckets: Vec<i16> = group.iter().map(|lease| lease.bucket).collect();
        let recorded = self.store.read(&buckets, low, through).await?;
        if recorded.is_empty() {
            self.move_to(low, through, false);
            return Ok(());
        }
        let folded = recorded
            .iter()
            .map(Folded::read)
            .collect::<Result<Vec<Folded>, ApplyError>>()?;
        if let Some(sink) = &self.sink {
            publisher::publish(sink.as_ref(), &recorded).await?;
        }
        self.commit(&group, through, &folded).await?;
        self.move_to(low, through, true);
        self.saved = Instant::now();
        let name = self.id().name;
        self.metrics
            .projected
            .with_label_values(&[name])
            .inc_by(folded.len() as u64);
        if let Some(last) = folded.last() {
            let age = (service::clock::now() - last.recorded_at).as_seconds_f64();
            self.metrics
                .lag_seconds
                .with_label_values(&[name])
                .set(age.max(0.0));
        }
        Ok(())
    }

    async fn commit(&self, group: &[Lease], to: Position, events: &[Folded]) -> Result<(), PageError> {
        let advance = Advance {
            owner: &self.options.owner,
            leases: group,
            to,
            ttl: self.options.lease,
        };
        commit_page(self.store.database(), self.projection.as_ref(), advance, events).await
    }

    fn move_to(&mut self, low: Position, to: Position, stored: bool) {
        for lease in self.leases.iter_mut().filter(|lease| lease.at == low) {
            lease.at = to;
            if stored {
                lease.stored = to;
            }
        }
    }

    /// Writes checkpoints that moved without anything to fold, at most once a second.
    async fn save(&mut self) -> Result<(), TurnError> {
        let Some(low) = self.leases.iter().map(|lease| lease.at).min() else {
            return Ok(());
        };
        let group: Vec<Lease> = self
            .leases
            .iter()
            .filter(|lease| lease.at == low && lease.stored < lease.at)
            .copied()
            .collect();
        if group.is_empty() || (self.saved.elapsed() < SAVE && !self.stopping.is_cancelled()) {
            return Ok(());
        }
        self.commit(&group, low, &[]).await?;
        self.move_to(low, low, true);
        self.saved = Instant::now();
        Ok(())
    }

    fn show_lag(&self, low: Position, heights: Heights) {
        let name = self.id().name;
        let lag = (heights.allocated.0 - low.0).max(0);
        self.metrics.lag_events.with_label_values(&[name]).set(lag);
        if lag == 0 {
            self.metrics.lag_seconds.with_label_values(&[name]).set(0.0);
        }
    }

    /// Claims buckets up to the fair share, and gives back what is above it.
    async fn rebalance(&mut self) -> Result<(), StoreError> {
        if self.rebalanced.is_some_and(|last| last.elapsed() < REBALANCE) {
            return Ok(());
        }
        let share = *self.share.borrow();
        let db = self.store.database();
        if self.leases.len() < share {
            let wanted = share - self.leases.len();
            let new =
                checkpoints::claim(db, self.id(), &self.options.owner, wanted, self.options.lease).await?;
            self.leases.extend(new);
        } else if share < self.leases.len() && 0 < share {
            let surplus: Vec<(i16, i64)> = self.leases.drain(share..).map(|l| (l.bucket, l.fence)).collect();
            checkpoints::release(db, self.id(), &self.options.owner, &surplus).await?;
        }
        self.rebalanced = Some(Instant::now());
        self.publish_held();
        Ok(())
    }

    /// Gives back all that may still be held, for others to claim at once.
    async fn give_up_all(&mut self) {
        let held: Vec<(i16, i64)> = self.leases.drain(..).map(|l| (l.bucket, l.fence)).collect();
        self.publish_held();
        self.rebalanced = None;
        if let Err(error) =
            checkpoints::release(self.store.database(), self.id(), &self.options.owner, &held).await
        {
            tracing::warn!(projection = self.id().name, %error, "buckets move on when their lease expires");
        }
    }

    fn publish_held(&self) {
        let held = self
            .leases
            .iter()
            .map(|lease| (lease.bucket, lease.fence))
            .collect();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        let count = i64::try_from(self.leases.len()).expect("at most 64");
        self.metrics
            .buckets
            .with_label_values(&[self.id().name])
            .set(count);
    }

    fn id(&self) -> ProjectionId {
        self.projection.id()
    }
}
