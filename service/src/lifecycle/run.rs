//! Running a process from its start to its exit code.
//!
//! Components run on a multi-threaded runtime. The supervisor (signals, heartbeats, the grace) has a runtime of its own
//! on the main thread: a component that blocks every worker thread cannot keep it from stopping the process.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::stream::{Stream, StreamExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::Process;
use super::process::caught;
use crate::exit::{self, ExitError};
use crate::settings::Lifecycle;

/// How often heartbeats are looked at.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// How long the ops endpoints may take to close when all the work is done.
const CLOSE_BACKGROUND: Duration = Duration::from_secs(3);
/// How long threads that block may go on before the process leaves them behind.
const CLOSE_RUNTIME: Duration = Duration::from_millis(500);

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

/// Runs a service: `start` sets up the components and returns, the process lives until a signal or a failure.
/// While `start` has not returned, readiness says so, and a signal drops it where it waits.
/// Failures are logged; the code is that of the contract. The log must have been started.
pub fn run<S, F>(limits: Lifecycle, start: S) -> ExitCode
where
    S: FnOnce(Process) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let ended = supervisor_runtime().and_then(|supervisor| {
        let signals = with_context(&supervisor, signals)?;
        run_service(&supervisor, limits, signals, start)
    });
    match ended {
        Ok(Ok(())) => ExitCode::from(exit::DONE),
        // Logged where it happened.
        Ok(Err(failure)) => ExitCode::from(failure.code),
        Err(error) => {
            tracing::error!(exit.code = error.code, error = error.message, "the process ends");
            ExitCode::from(error.code)
        }
    }
}

/// Runs a tool: the process lives until `job` returns. The first signal cancels `stopping`, which the job heeds or
/// leaves to [`Process::interruptible`]; the second, or the grace spent, aborts it.
pub fn run_job<S, F>(limits: Lifecycle, job: S) -> anyhow::Result<()>
where
    S: FnOnce(Process) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let supervisor = supervisor_runtime()?;
    let signals = with_context(&supervisor, signals)?;
    run_one_job(&supervisor, limits, signals, job)
}

/// The outer error is an abort or a process that could not begin; the inner one the failure that stopped it.
fn run_service<S, F>(
    supervisor: &Runtime,
    limits: Lifecycle,
    signals: impl Stream<Item = Signal> + Unpin,
    start: S,
) -> Result<Result<(), ExitError>, ExitError>
where
    S: FnOnce(Process) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let workers = worker_runtime()?;
    let process = Process::new(limits);
    let started = process.health.condition("process");
    let setup = {
        let process = process.clone();
        async move {
            let start = caught(async { start(process.clone()).await });
            match process.stopping.run_until_cancelled(start).await {
                Some(Ok(())) => started.ready(),
                Some(Err(error)) => process.fail("start", &error),
                None => {}
            }
        }
    };
    process.tasks.spawn_on(setup, workers.handle());
    let stopped = supervisor.block_on(supervise(&process, signals));
    workers.shutdown_timeout(CLOSE_RUNTIME);
    stopped?;
    Ok(process.failure().map_or(Ok(()), Err))
}

fn run_one_job<S, F>(
    supervisor: &Runtime,
    limits: Lifecycle,
    signals: impl Stream<Item = Signal> + Unpin,
    job: S,
) -> anyhow::Result<()>
where
    S: FnOnce(Process) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let workers = worker_runtime()?;
    let process = Process::new(limits);
    let result = Arc::new(Mutex::new(None));
    let work = {
        let (process, result) = (process.clone(), Arc::clone(&result));
        async move {
            let ended = caught(async { job(process.clone()).await }).await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            process.stopping.cancel();
        }
    };
    process.tasks.spawn_on(work, workers.handle());
    let stopped = supervisor.block_on(supervise(&process, signals));
    workers.shutdown_timeout(CLOSE_RUNTIME);
    stopped?;
    let result = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    result.unwrap_or_else(|| Err(ExitError::failed("the job ended without a result").into()))?;
    process.failure().map_or(Ok(()), |failure| Err(failure.into()))
}

/// Watches until the stop begins, then drains within the grace. An error is an abort.
async fn supervise(
    process: &Process,
    mut signals: impl Stream<Item = Signal> + Unpin,
) -> Result<(), ExitError> {
    let mut received = 0;
    let mut check = interval(CHECK_EVERY);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !process.stopping.is_cancelled() {
        tokio::select! {
            Some(signal) = signals.next() => {
                received += 1;
                tracing::info!(?signal, grace_seconds = process.limits.shutdown_grace.as_secs(), "stopping");
                process.stopping.cancel();
            }
            () = process.stopping.cancelled() => {}
            _ = check.tick() => process.check_heartbeats(),
        }
    }
    let begin = Instant::now();
    drain(process, signals, received, begin + process.limits.shutdown_grace)
        .await
        .inspect_err(|_| process.aborting.cancel())?;
    if timeout(CLOSE_BACKGROUND, process.close_background())
        .await
        .is_err()
    {
        tracing::warn!("the ops endpoints did not close in time and are left behind");
    }
    tracing::info!(
        duration_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
        "stopped"
    );
    Ok(())
}

/// Waits for the components. A stop that began with a failure still has its first signal to come, which changes nothing.
async fn drain(
    process: &Process,
    mut signals: impl Stream<Item = Signal> + Unpin,
    mut received: u32,
    deadline: Instant,
) -> Result<(), ExitError> {
    process.tasks.close();
    loop {
        tokio::select! {
            () = process.tasks.wait() => return Ok(()),
            Some(signal) = signals.next() => {
                received += 1;
                if received > 1 {
                    return Err(aborted(&format!("a second signal came ({signal:?})")));
                }
            }
            () = sleep_until(deadline) => {
                let grace = process.limits.shutdown_grace.as_secs_f64();
                return Err(aborted(&format!("SHUTDOWN_GRACE_SECONDS ({grace} s) was spent")));
            }
        }
    }
}

fn aborted(why: &str) -> ExitError {
    ExitError::new(exit::ABORTED, format!("the stop was aborted: {why}"))
}

/// SIGTERM and SIGINT from now on.
fn signals() -> Result<impl Stream<Item = Signal> + Unpin, ExitError> {
    let listen =
        |kind| signal(kind).map_err(|error| ExitError::failed(format!("listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(futures::stream::poll_fn(move |context| {
        if terminate.poll_recv(context).is_ready() {
            return std::task::Poll::Ready(Some(Signal::Terminate));
        }
        interrupt.poll_recv(context).map(|_| Some(Signal::Interrupt))
    }))
}

fn with_context<T>(runtime: &Runtime, make: impl FnOnce() -> Result<T, ExitError>) -> Result<T, ExitError> {
    let _entered = runtime.enter();
    make()
}

fn supervisor_runtime() -> Result<Runtime, ExitError> {
    build(Builder::new_current_thread().enable_all())
}

fn worker_runtime() -> Result<Runtime, ExitError> {
    build(Builder::new_multi_thread().enable_all().thread_name("worker"))
}

fn build(builder: &mut Builder) -> Result<Runtime, ExitError> {
    builder
        .build()
        .context("start the runtime")
        .map_err(|error| ExitError::failed(format!("{error:#}")))
}

#[cfg(test)]
mod tests;
