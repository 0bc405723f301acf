//! `tracking migrate`: brings the schema up to date and makes topics and subscriptions.

use crate::{connect, output};
use eventstore::{StoreError, Trouble};
use service::env::Env;
use service::lifecycle::StartupError;
use service::telemetry::{self, Destination};
use service::{ExitError, Process, Role, Settings, lifecycle};

/// Arguments of `tracking migrate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave topics, subscriptions and retention alone: for a role without rights on the admin API.
    #[arg(long)]
    skip_topics: bool,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let settings = Settings::load(&mut Env::from_process(), Role::Migrate).map_err(ExitError::from)?;
    telemetry::init(&settings.log, Destination::Stderr)?;
    let skip_topics = arguments.skip_topics;
    lifecycle::run_job(settings.lifecycle, move |process| async move {
        let done = process
            .interruptible(migrate(&process, &settings, skip_topics))
            .await?;
        if json {
            return output::json(&done);
        }
        if done.is_empty() {
            output::text("nothing to do: the schema and the topics are as they should be\n")
        } else {
            output::text(&(done.join("\n") + "\n"))
        }
    })
}

async fn migrate(process: &Process, settings: &Settings, skip_topics: bool) -> anyhow::Result<Vec<String>> {
    let database = settings.database()?;
    let variable = "DATABASE_MIGRATE_URL (or DATABASE_URL)";
    let owner = connect::open(settings, database.migrate_url.expose(), 1, variable)?;
    // The service's role is the one that its URL names.
    let service = connect::open(settings, database.url.expose(), 1, "DATABASE_URL")?;
    let attempt = || async {
        eventstore::migrate(&owner, service.role())
            .await
            .map_err(|error: StoreError| match error.trouble {
                Trouble::Transient => StartupError::NotReady(error.into()),
                _ => StartupError::Permanent(error.into()),
            })
    };
    let mut done = process.retry_at_startup("database", variable, attempt).await?;
    if !skip_topics {
        let queue = connect::queue(&settings.queue);
        let attempt = || async {
            queue.prepare().await.map_err(|error| {
                let transient = error.is_transient();
                let error = anyhow::Error::new(error);
                if transient {
                    StartupError::NotReady(error)
                } else {
                    StartupError::Permanent(error)
                }
            })
        };
        done.extend(
            process
                .retry_at_startup("queue", "PULSAR_ADMIN_URL (or pass --skip-topics)", attempt)
                .await?,
        );
    }
    Ok(done)
}
