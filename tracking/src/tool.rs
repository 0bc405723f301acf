//! What the operators' tools share: settings, log, one attempt to connect, and a job that a signal ends.

use crate::connect;
use eventstore::EventStore;
use service::env::Env;
use service::telemetry::{self, Destination};
use service::{ExitError, Process, Role, Settings, lifecycle};
use std::time::Duration;

/// Longest statement of a tool that says nothing else.
const STATEMENT: Duration = Duration::from_secs(30);

/// Runs a tool on the database. It heeds `process.stopping`, or wraps itself in [`Process::interruptible`].
pub(crate) fn run<S, F>(tool: S) -> anyhow::Result<()>
where
    S: FnOnce(Process, EventStore) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    run_within(STATEMENT, tool)
}

/// The same, with no statement, and so no snapshot, longer than `statement`.
pub(crate) fn run_within<S, F>(statement: Duration, tool: S) -> anyhow::Result<()>
where
    S: FnOnce(Process, EventStore) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let settings = Settings::load(&mut Env::from_process(), Role::Tool).map_err(ExitError::from)?;
    telemetry::init(&settings.log, Destination::Stderr)?;
    lifecycle::run_job(settings.lifecycle, move |process| async move {
        let connecting = connect::store(&settings, statement);
        let store = process.interruptible(connecting).await?;
        tool(process, store).await
    })
}
