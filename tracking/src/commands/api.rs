//! `tracking api`: takes commands over HTTP and answers queries.

use crate::connect;
use service::env::Env;
use service::telemetry::{self, Destination};
use service::{ExitError, Role, Settings, lifecycle, ops};
use std::process::ExitCode;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&mut Env::from_process(), Role::Api).map_err(ExitError::from)?;
    telemetry::init(&settings.log, Destination::Stdout)?;
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(lifecycle::run(settings.lifecycle, |process| async move {
        let database = settings.database()?;
        let db = connect::open_read(
            &settings,
            database.read_url.expose(),
            database.pool_size,
            "DATABASE_READ_URL",
        )?;
        let api = api::start(&process, ops::bind(&settings.http)?, api::Options::new(db))?;
        // The log itself must be there too, and in a version that this release knows.
        connect::store_at_startup(&process, &settings).await?;
        let queue = connect::queue(&settings.queue);
        let sink = connect::queue_at_startup(&process, || queue.command_sink()).await?;
        api.accept_commands(queue, sink);
        Ok(())
    }))
}
