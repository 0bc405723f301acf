//! The supervisor of one partition: lives of its subscription, one after the other.

use super::admin::Admin;
use super::damaged::Damaged;
use super::lookup::Service;
use super::session::{Chunk, Ending, Phase, Session, Subscription};
use super::topics::require_subscription;
use super::window::Window;
use crate::{QueueError, Receipt};
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// A life of this length was a good one: the next trouble begins with short waits again.
const GOOD_LIFE: Duration = Duration::from_secs(10);
/// To look up, connect and subscribe.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// Numbers the lives of all subscriptions of the process, so that a receipt fits one life only.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// What a partition tells the facade.
pub(super) enum Notice {
    Deliveries(Arc<Window>, Chunk),
    Rebuilt { partition: i32, reason: String },
    Refused(QueueError),
}

/// Why each partition is not subscribed; `None` when it is.
#[derive(Clone, Default)]
pub(super) struct Health(Arc<Mutex<BTreeMap<i32, Option<String>>>>);

impl Health {
    pub(super) fn set(&self, partition: i32, trouble: Option<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(partition, trouble);
    }

    /// The first trouble, with its partition.
    pub(super) fn check(&self) -> Result<(), String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all
            .iter()
            .find_map(|(partition, trouble)| Some((partition, trouble.as_ref()?)))
        {
            None => Ok(()),
            Some((-1, trouble)) => Err(trouble.clone()),
            Some((partition, trouble)) => Err(format!("partition {partition}: {trouble}")),
        }
    }
}

/// What all partitions of a source share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) service: Service,
    pub(super) admin: Arc<Admin>,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) health: Health,
}

/// One partition, from its first life to its last.
pub(super) struct Partition {
    shared: Shared,
    subscription: Subscription,
    window: Arc<Window>,
    settled: mpsc::UnboundedReceiver<Vec<Receipt>>,
}

impl Partition {
    pub(super) fn new(
        shared: Shared,
        subscription: Subscription,
        window: Arc<Window>,
        settled: mpsc::UnboundedReceiver<Vec<Receipt>>,
    ) -> Self {
        shared
            .health
            .set(subscription.partition, Some("not subscribed yet".into()));
        Self {
            shared,
            subscription,
            window,
            settled,
        }
    }

    pub(super) fn number(&self) -> i32 {
        self.subscription.partition
    }

    /// Subscribes, within a bound.
    pub(super) async fn open(&self, damaged: Damaged) -> Result<Session, QueueError> {
        let opening = async {
            require_subscription(&self.shared.admin, &self.subscription).await?;
            let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
            Session::open(
                &self.shared.service,
                &self.subscription,
                self.window.clone(),
                generation,
                damaged,
            )
            .await
        };
        let session = timeout(OPEN_TIMEOUT, opening).await.unwrap_or_else(|_| {
            Err(super::errors::unavailable(
                "subscribe",
                "the broker did not answer in time".into(),
            ))
        })?;
        self.shared.health.set(self.subscription.partition, None);
        Ok(session)
    }

    /// Lives, and begins anew when the connection is lost, until it is closed.
    pub(super) async fn run(mut self, first: Option<Session>) -> Result<(), QueueError> {
        let mut phase = self.shared.phase.clone();
        let mut backoff = FIRST_BACKOFF;
        let mut session = first;
        let mut why = None;
        let mut damaged = Damaged::default();
        loop {
            if let Some(mut alive) = session.take() {
                let born = Instant::now();
                match self.live(&mut alive, &mut phase).await {
                    Ending::Closed(result) => return result,
                    Ending::Lost {
                        reason,
                        damaged: entry,
                    } => {
                        damaged = entry;
                        self.lost(&reason);
                        why = Some(reason.to_string());
                    }
                }
                if born.elapsed() > GOOD_LIFE || alive.is_spent() {
                    backoff = FIRST_BACKOFF;
                }
            }
            if !wait(&mut phase, jittered(backoff)).await {
                return Ok(());
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
            session = self.reopen(&mut phase, damaged.clone(), &mut why).await;
        }
    }

    async fn live(&mut self, session: &mut Session, phase: &mut watch::Receiver<Phase>) -> Ending {
        let (notices, window) = (self.shared.notices.clone(), self.window.clone());
        let mut deliver = move |chunk| {
            // The facade is gone: the phase will say so.
            let _ = notices.send(Notice::Deliveries(window.clone(), chunk));
        };
        session.run(phase, &mut self.settled, &mut deliver).await
    }

    fn lost(&self, reason: &QueueError) {
        let partition = self.subscription.partition;
        tracing::warn!(partition, %reason, "the subscription was lost");
        self.window.begin(0);
        self.shared.health.set(partition, Some(reason.to_string()));
    }

    /// One attempt at a new life. Tells the facade of it, or of what stands against it.
    async fn reopen(
        &self,
        phase: &mut watch::Receiver<Phase>,
        damaged: Damaged,
        why: &mut Option<String>,
    ) -> Option<Session> {
        let partition = self.subscription.partition;
        let opened = tokio::select! {
            opened = self.open(damaged) => opened,
            () = stopped(phase) => return None,
        };
        match opened {
            Ok(session) => {
                let reason = why.take().unwrap_or_else(|| "newly subscribed".into());
                let _ = self.shared.notices.send(Notice::Rebuilt { partition, reason });
                Some(session)
            }
            Err(error) => {
                let reason = error.to_string();
                self.shared.health.set(partition, Some(reason.clone()));
                if why.as_ref() != Some(&reason) {
                    tracing::warn!(partition, %reason, "cannot subscribe; trying again");
                    if !error.is_transient() {
                        let _ = self.shared.notices.send(Notice::Refused(error));
                    }
                    *why = Some(reason);
                }
                None
            }
        }
    }
}

/// Waits for a time; `false` when closing began meanwhile.
///
/// After `stop_taking` there is no new life: what is out belongs to the one that was lost.
async fn wait(phase: &mut watch::Receiver<Phase>, time: Duration) -> bool {
    let stopping = async {
        stopped(phase).await;
        let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
    };
    tokio::select! {
        biased;
        () = stopping => false,
        () = sleep(time) => true,
    }
}

/// Until nothing more is to be taken.
async fn stopped(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase != Phase::Taking).await;
}

/// Between half of a time and the whole of it, so that workers do not come back all at once.
fn jittered(time: Duration) -> Duration {
    // A fresh hasher is seeded at random: enough for this.
    let random = RandomState::new().hash_one(0) % 1024;
    time / 2 + time.mul_f64(random as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_keeps_within_the_half_and_the_whole() {
        for _ in 0..1000 {
            let time = jittered(MAX_BACKOFF);
            assert!(MAX_BACKOFF / 2 <= time && time < MAX_BACKOFF, "{time:?}");
        }
    }

    #[test]
    fn health_names_the_partition_in_trouble() {
        let health = Health::default();
        health.set(0, None);
        assert_eq!(health.check(), Ok(()));
        health.set(1, Some("gone".into()));
        assert_eq!(health.check(), Err("partition 1: gone".into()));
        health.set(1, None);
        assert_eq!(health.check(), Ok(()));
    }
}
