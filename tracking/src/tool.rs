//! What the operators' tools share: settings, log, one attempt to connect, and a job that a signal ends.

use crate::connect;
use eventstore::EventStore;
use service::env::Env;
use service::telemetry::{self, Destination};
use service::{ExitError, Process, Role, Settings, lifecycle};

/// Runs a tool on the database. It heeds `process.stopping`, or wraps itself in [`Process::interruptible`].
pub(crate) fn run<S, F>(tool: S) -> anyhow::Result<()>
where
    S: FnOnce(Process, EventStore) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let settings = Settings::load(&mut Env::from_process(), Role::Tool).map_err(ExitError::from)?;
    telemetry::init(&settings.log, Destination::Stderr)?;
    lifecycle::run_job(settings.lifecycle, move |process| async move {
        let store = process.interruptible(connect::store(&settings)).await?;
        tool(process, store).await
    })
}
