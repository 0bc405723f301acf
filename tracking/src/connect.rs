//! Connections of the roles and tools: made from the settings, waited for at start, explained when they fail.

use eventstore::{
    Database, DatabaseOptions, EventStore, GRANT, Rights, StoreError, Trouble, check_rights, check_schema,
};
use messaging::pulsar::{PulsarOptions, PulsarQueue};
use messaging::{Queue, QueueError, Topics};
use service::lifecycle::StartupError;
use service::{ExitError, Process, Role, Settings, settings};
use std::sync::Arc;
use std::time::Duration;

/// The store, for a tool that does not wait: one attempt, and a message that says what to do. No statement may take
/// longer than `statement`.
pub(crate) async fn store(settings: &Settings, statement: Duration) -> anyhow::Result<EventStore> {
    let database = settings.database()?;
    let mut options = options(settings, database.url.expose(), database.pool_size.min(4));
    options.statement_timeout = statement;
    let db = pool(&options, "DATABASE_URL")?;
    usable(&db, Rights::Read)
        .await
        .map_err(|error| ExitError::failed(format!("{error}; see DATABASE_URL")))?;
    Ok(EventStore::new(db))
}

/// The store, for a role that waits for it at its start.
pub(crate) async fn store_at_startup(process: &Process, settings: &Settings) -> anyhow::Result<EventStore> {
    let database = settings.database()?;
    let db = open(
        settings,
        database.url.expose(),
        database.pool_size,
        "DATABASE_URL",
    )?;
    let rights = match settings.role {
        Role::Worker => Rights::Record,
        Role::Projector => Rights::Project,
        _ => Rights::Read,
    };
    let check = || async { usable(&db, rights).await.map_err(store_error) };
    process
        .retry_at_startup("database", "DATABASE_URL", check)
        .await?;
    Ok(EventStore::new(db))
}

/// Whether the schema is one that this release works on, and the role may do what it must.
async fn usable(db: &Database, rights: Rights) -> Result<(), StoreError> {
    let checked = match check_schema(db).await {
        Ok(()) => check_rights(db, rights).await,
        Err(error) => Err(error),
    };
    checked.map_err(|error| match error.sqlstate.as_deref() {
        // The schema itself may not be looked into.
        Some("42501") => StoreError {
            message: format!("{}: {GRANT}", error.message),
            ..error
        },
        _ => error,
    })
}

/// A pool for `url`, which `variable` names.
pub(crate) fn open(
    settings: &Settings,
    url: &str,
    pool_size: usize,
    variable: &str,
) -> anyhow::Result<Database> {
    pool(&options(settings, url, pool_size), variable)
}

/// The same for reading alone: a replica will do.
pub(crate) fn open_read(
    settings: &Settings,
    url: &str,
    pool_size: usize,
    variable: &str,
) -> anyhow::Result<Database> {
    let mut options = options(settings, url, pool_size);
    options.read_only = true;
    pool(&options, variable)
}

fn options(settings: &Settings, url: &str, pool_size: usize) -> DatabaseOptions {
    DatabaseOptions::new(url, pool_size, format!("tracking {}", settings.role))
}

fn pool(options: &DatabaseOptions, variable: &str) -> anyhow::Result<Database> {
    Database::new(options).map_err(|error| ExitError::usage(format!("{variable}: {}", error.message)).into())
}

fn store_error(error: StoreError) -> StartupError {
    if error.trouble == Trouble::Transient {
        StartupError::NotReady(error.into())
    } else {
        StartupError::Permanent(error.into())
    }
}

/// The queue. Nothing is connected yet.
pub(crate) fn queue(settings: &settings::Queue) -> Arc<dyn Queue> {
    match settings.kind {
        settings::QueueKind::Pulsar => Arc::new(PulsarQueue::new(PulsarOptions {
            url: settings.pulsar_url.expose().to_owned(),
            admin_url: settings.pulsar_admin_url.expose().to_owned(),
            token: settings
                .pulsar_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
            topics: Topics {
                commands: settings.commands_topic.clone(),
                commands_partitions: settings.commands_partitions,
                subscription: settings.commands_subscription.clone(),
                dead_letters: settings.dead_letter_topic.clone(),
                events: settings.events_topic.clone(),
            },
        })),
    }
}

/// Waits for something of the queue at start.
pub(crate) async fn queue_at_startup<T, F>(process: &Process, attempt: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, QueueError>>,
{
    let attempt = || async {
        attempt().await.map_err(|error| {
            if error.is_transient() {
                StartupError::NotReady(error.into())
            } else {
                StartupError::Permanent(error.into())
            }
        })
    };
    process.retry_at_startup("queue", "PULSAR_URL", attempt).await
}

/// Names this process among its like: host, process, and when it started, so that a restart is another one.
pub(crate) fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "tracking" } else { host };
    format!(
        "{host}-{}-{}",
        std::process::id(),
        service::clock::now().timestamp_millis()
    )
}
