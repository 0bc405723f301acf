//! Takes commands from the queue and records them.
//!
//! `intake` hands deliveries to lanes by key; each `lane` makes batches and records them one after another, so that
//! equal keys are never in two batches at once (invariant 3); what is recorded is settled, after the commit
//! (invariant 2). `prepare` makes an item of a message.

mod backlog;
mod intake;
mod lane;
mod metrics;
mod patience;
mod prepare;

use eventstore::EventStore;
use messaging::{CommandSource, Queue};
use service::Process;
use std::sync::Arc;
use std::time::Duration;

/// How a worker batches.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most commands of one transaction.
    pub batch_size: usize,
    /// How long a batch waits to fill up.
    pub linger: Duration,
    /// Batches recorded at the same time.
    pub lanes: usize,
    /// Payload bytes that may be under way in the lanes.
    pub bytes_in_flight: usize,
}

impl Options {
    /// Bytes in flight that keep a worker well below 128 MiB.
    pub const BYTES_IN_FLIGHT: usize = 24 * 1024 * 1024;
}

/// A component that says nothing for so long hangs. Longer than any single database call may take.
const STALLED: Duration = Duration::from_secs(90);

/// Starts taking and recording, until the process stops; then finishes what was taken and leaves the subscription.
pub fn start(
    process: &Process,
    store: &EventStore,
    queue: Arc<dyn Queue>,
    source: Box<dyn CommandSource>,
    options: Options,
) -> anyhow::Result<()> {
    let metrics = metrics::Metrics::new(&process.registry)?;
    let backlog = backlog::watch(process.clone(), queue, metrics.clone());
    process.spawn("backlog", backlog);
    let intake = intake::Intake::new(process, store, source, options, metrics);
    process.spawn_with_heartbeat("consumer", STALLED, |beat| intake.run(beat));
    Ok(())
}
