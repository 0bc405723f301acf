//! `tracking worker`: takes commands from the queue and records them.

use crate::connect;
use messaging::SourceOptions;
use service::env::Env;
use service::telemetry::{self, Destination};
use service::{ExitError, Role, Settings, lifecycle, ops};
use std::process::ExitCode;

/// Messages that the source may hold ahead of the lanes: a batch or two for each.
const PREFETCH: usize = 8_000;
/// Payload bytes that the source may hold ahead of the lanes.
const PREFETCH_BYTES: usize = 16 * 1024 * 1024;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&mut Env::from_process(), Role::Worker).map_err(ExitError::from)?;
    telemetry::init(&settings.log, Destination::Stdout)?;
    Ok(lifecycle::run(settings.lifecycle, |process| async move {
        ops::serve(ops::bind(&settings.http)?, &process)?;
        let store = connect::store_at_startup(&process, &settings).await?;
        let queue = connect::queue(&settings.queue);
        let source = connect::queue_at_startup(&process, || {
            queue.commands(SourceOptions {
                consumer_name: connect::instance(),
                prefetch: PREFETCH,
                prefetch_bytes: PREFETCH_BYTES,
            })
        })
        .await?;
        let options = worker::Options {
            batch_size: settings.worker.batch_size,
            linger: settings.worker.batch_linger,
            lanes: settings.worker.lanes,
            bytes_in_flight: worker::Options::BYTES_IN_FLIGHT,
        };
        worker::start(&process, &store, queue, source, options)
    }))
}
