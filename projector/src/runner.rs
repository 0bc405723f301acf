//! The loop of one projection: take a fair share of buckets, read a page, fold it, move the checkpoints.

use crate::metrics::Metrics;
use crate::watermark::Heights;
use crate::{Options, publisher};
use eventstore::{EventStore, Page, Position, StoreError};
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
/// Data of one page, beyond the event that goes over it; three projections hold one each.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
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
                Ok(Turn::Worked) => {
                    backoff.reset();
                    self.condition.ready();
                }
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
        self.show_lag(low, heights);
        // Buckets that came from elsewhere may lag behind: they catch up first, then all go on together.
        let next = self
            .leases
            .iter()
            .map(|lease| lease.at)
            .filter(|at| low < *at)
            .min();
        let window = next.map_or(self.options.page, |next| self.options.page.min(next.0 - low.0));
        let group: Vec<Lease> = self
            .leases
            .iter()
            .filter(|lease| lease.at == low)
            .copied()
            .collect();
        let buckets: Vec<i16> = group.iter().map(|lease| lease.bucket).collect();
        let page = self.store.page(&buckets, low, window, PAGE_BYTES).await?;
        if page.through <= low {
            return Ok(Turn::Idle);
        }
        if page.events.is_empty() {
            return self.pass_over(&group, page.through, window).await;
        }
        self.fold(&group, &page).await
    }

    /// Moves checkpoints over positions with nothing in them: at once when there is more to read, else once a second.
    async fn pass_over(
        &mut self,
        group: &[Lease],
        through: Position,
        window: i64,
    ) -> Result<Turn, TurnError> {
        let low = group[0].at;
        if through.0 - low.0 < window && self.saved.elapsed() < SAVE && !self.stopping.is_cancelled() {
            return Ok(Turn::Idle);
        }
        self.commit(group, through, &[]).await?;
        self.move_to(low, through);
        Ok(Turn::Worked)
    }

    /// Folds a page. Checkpoints move to its last event and no further: what lies behind it may be positions that
    /// were never used, which only [`Self::pass_over`] may skip.
    async fn fold(&mut self, group: &[Lease], page: &Page) -> Result<Turn, TurnError> {
        let folded = page
            .events
            .iter()
            .map(Folded::read)
            .collect::<Result<Vec<Folded>, ApplyError>>()?;
        let Some(last) = folded.last() else {
            return Ok(Turn::Idle);
        };
        let (to, recorded_at) = (last.position, last.recorded_at);
        if let Some(sink) = &self.sink {
            publisher::publish(sink.as_ref(), &page.events).await?;
        }
        self.commit(group, to, &folded).await?;
        self.move_to(group[0].at, to);
        let name = self.id().name;
        self.metrics
            .projected
            .with_label_values(&[name])
            .inc_by(folded.len() as u64);
        let age = (service::clock::now() - recorded_at).as_seconds_f64();
        self.metrics
            .lag_seconds
            .with_label_values(&[name])
            .set(age.max(0.0));
        Ok(Turn::Worked)
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

    fn move_to(&mut self, low: Position, to: Position) {
        for lease in self.leases.iter_mut().filter(|lease| lease.at == low) {
            lease.at = to;
        }
        self.saved = Instant::now();
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
