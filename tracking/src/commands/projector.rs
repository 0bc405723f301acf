//! `tracking projector`: folds the log into read models and publishes it.

use crate::connect;
use service::env::Env;
use service::telemetry::{self, Destination};
use service::{ExitError, Role, Settings, lifecycle, ops};
use std::process::ExitCode;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&mut Env::from_process(), Role::Projector).map_err(ExitError::from)?;
    telemetry::init(&settings.log, Destination::Stdout)?;
    Ok(lifecycle::run(settings.lifecycle, |process| async move {
        ops::serve(ops::bind(&settings.http)?, &process)?;
        let store = connect::store_at_startup(&process, &settings).await?;
        let queue = connect::queue(&settings.queue);
        let topics = projector::Topics {
            events: connect::queue_at_startup(&process, || queue.event_sink()).await?,
            dead_letters: connect::queue_at_startup(&process, || queue.dead_letter_sink()).await?,
        };
        let options = projector::Options::new(connect::instance());
        projector::start(&process, store, Some(topics), options).await
    }))
}
