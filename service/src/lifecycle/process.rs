//! What the components of a process share, and how they are started.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures::FutureExt as _;
use prometheus::{IntGaugeVec, Opts, Registry};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Heartbeat;
use crate::exit::{self, ExitError};
use crate::health::Health;
use crate::settings::Lifecycle;

/// One running process. Cheap to clone; clones are the same process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Cancelled when the stop begins: take no more, finish, end.
    pub stopping: CancellationToken,
    /// Cancelled when the stop is aborted: leave everything, the process ends at once.
    pub aborting: CancellationToken,
    /// All that must have ended before the process ends. A task spawned here directly is waited for, not watched.
    pub tasks: TaskTracker,
    /// Where components register their metrics.
    pub registry: Registry,
    /// Readiness.
    pub health: Health,
    /// The limits of start and stop.
    pub limits: Lifecycle,
    /// Cancelled when all of `tasks` have ended.
    drained: CancellationToken,
    /// What outlives `tasks`.
    background: TaskTracker,
    up: IntGaugeVec,
    failure: Arc<Mutex<Option<ExitError>>>,
    watches: Arc<Mutex<Vec<Watch>>>,
}

/// A component whose heartbeat is watched.
#[derive(Clone, Debug)]
struct Watch {
    name: &'static str,
    heartbeat: Heartbeat,
    deadline: Duration,
    /// Cancelled to give the component up.
    abandon: CancellationToken,
    /// Cancelled when the component has ended.
    ended: CancellationToken,
}

impl Process {
    /// A process without components. [`super::run`] makes one; tests of components make their own.
    pub fn new(limits: Lifecycle) -> Self {
        let registry = Registry::new();
        let up = IntGaugeVec::new(
            Opts::new(
                "tracking_component_up",
                "Running instances of a component of this process.",
            ),
            &["component"],
        )
        .expect("the name and the label are valid");
        registry
            .register(Box::new(up.clone()))
            .expect("the registry is new");
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(
                prometheus::process_collector::ProcessCollector::for_self(),
            ))
            .expect("the registry is new");
        let stopping = CancellationToken::new();
        Self {
            health: Health::new(stopping.clone()),
            stopping,
            aborting: CancellationToken::new(),
            tasks: TaskTracker::new(),
            registry,
            limits,
            drained: CancellationToken::new(),
            background: TaskTracker::new(),
            up,
            failure: Arc::default(),
            watches: Arc::default(),
        }
    }

    /// Starts a component that lives until `stopping`: its end before that, by return, error or panic, is a failure of
    /// the process. After `stopping` it has the grace to finish; an error or a panic is a failure then too.
    /// `name` is a metric label, so it comes from a closed set.
    pub fn spawn<F>(&self, name: &'static str, component: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.spawn(self.clone().supervise(name, component));
    }

    /// Like [`Process::spawn`], for a loop that beats its [`Heartbeat`]: silence for `deadline` before `stopping` is a
    /// failure, and the component is dropped where it waits.
    pub fn spawn_with_heartbeat<F>(
        &self,
        name: &'static str,
        deadline: Duration,
        component: impl FnOnce(Heartbeat) -> F,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let watch = Watch {
            name,
            heartbeat: Heartbeat::new(),
            deadline,
            abandon: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        lock(&self.watches).push(watch.clone());
        let component = self.clone().supervise(name, component(watch.heartbeat));
        self.tasks.spawn(async move {
            let _ended = watch.ended.drop_guard();
            watch.abandon.run_until_cancelled(component).await;
        });
    }

    /// Starts what must go on through the drain and ends after it, on the token that `component` gets.
    /// Its end before that is a failure.
    pub fn spawn_until_drained<F>(&self, name: &'static str, component: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let component = component(self.drained.clone());
        self.background.spawn(
            self.clone()
                .supervise_until(name, self.drained.clone(), component),
        );
    }

    /// Stops the process because of `error`: logged here, once, with the component's name; the first one decides the
    /// exit code.
    pub fn fail(&self, component: &'static str, error: &anyhow::Error) {
        let message = format!("{error:#}");
        tracing::error!(
            component,
            error = message,
            "a component failed, the process stops"
        );
        let code = exit::code_of(error);
        lock(&self.failure).get_or_insert_with(|| ExitError::new(code, format!("{component}: {message}")));
        self.stopping.cancel();
    }

    /// Why the process stops, when it is because of a failure.
    pub fn failure(&self) -> Option<ExitError> {
        lock(&self.failure).clone()
    }

    /// Runs `work` to its end, or gives it up when the stop begins: for jobs that may be cut anywhere.
    pub async fn interruptible<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let interrupted = || ExitError::failed("interrupted").into();
        self.stopping
            .run_until_cancelled(work)
            .await
            .unwrap_or_else(|| Err(interrupted()))
    }

    /// Stops the process from within and waits until everything has ended, however long that takes: the whole life of a
    /// process without a supervisor, as tests of components need it.
    pub async fn stop(&self) -> Result<(), ExitError> {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.close_background().await;
        self.failure().map_or(Ok(()), Err)
    }

    /// Ends what outlived the drain.
    pub(super) async fn close_background(&self) {
        self.drained.cancel();
        self.background.close();
        self.background.wait().await;
    }

    /// Fails the components that have been silent for too long and gives them up.
    pub(super) fn check_heartbeats(&self) {
        let silent: Vec<Watch> = {
            let mut watches = lock(&self.watches);
            watches.retain(|watch| !watch.ended.is_cancelled());
            watches
                .iter()
                .filter(|watch| watch.heartbeat.age() > watch.deadline)
                .cloned()
                .collect()
        };
        for watch in silent {
            self.fail(watch.name, &anyhow!("no sign of life for {:?}", watch.deadline));
            watch.abandon.cancel();
        }
    }

    async fn supervise(self, name: &'static str, component: impl Future<Output = anyhow::Result<()>>) {
        let until = self.stopping.clone();
        self.supervise_until(name, until, component).await;
    }

    async fn supervise_until(
        self,
        name: &'static str,
        until: CancellationToken,
        component: impl Future<Output = anyhow::Result<()>>,
    ) {
        let _up = Up::new(&self.up, name);
        let ended = caught(component).await;
        let ended = match ended {
            Ok(()) if until.is_cancelled() => return,
            Ok(()) => Err(anyhow!("ended although the process was not stopping")),
            error => error,
        };
        if let Err(error) = ended {
            self.fail(name, &error);
        }
    }
}

/// Counts a component as up for as long as it lives, however it ends.
struct Up(prometheus::IntGauge);

impl Up {
    fn new(gauges: &IntGaugeVec, name: &'static str) -> Self {
        let gauge = gauges.with_label_values(&[name]);
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The result of `work`, its panic as an error.
pub(super) async fn caught<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // What a component leaves half done is not looked at again: the process stops.
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    ended
        .map_err(|panic| anyhow!("{}", text_of(panic.as_ref())))
        .context("panicked")
        .flatten()
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No critical section here can leave its value half written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
