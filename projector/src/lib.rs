//! Folds the log into read models and publishes it.
//!
//! A process takes its fair share of the 64 buckets of every projection and goes through the log page by page:
//! `runner` is that loop, `membership` the share, `watermark` how far it may read. The publisher is a
//! projection whose view is a topic.

mod dead_letters;
mod maintenance;
mod membership;
mod metrics;
mod publisher;
mod runner;
mod watermark;

use eventstore::EventStore;
use messaging::MessageSink;
use readmodels::{Projection, install};
use runner::Runner;
use service::{Process, StartupError};
use std::sync::Arc;
use std::time::Duration;

/// How a projector works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names this process among all projectors; unique, and another one after a restart.
    pub owner: String,
    /// How long a lease holds without being renewed: the time until a crashed projector's buckets move on.
    pub lease: Duration,
    /// Most positions of one page.
    pub page: i64,
}

impl Options {
    /// The values that the system is tuned for.
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            lease: Duration::from_secs(10),
            page: 2_000,
        }
    }
}

/// Where the log is published; nowhere, if the deployment has no queue for it.
pub struct Topics {
    /// Takes every event.
    pub events: Arc<dyn MessageSink>,
    /// Takes a copy of every dead letter.
    pub dead_letters: Arc<dyn MessageSink>,
}

/// A component that says nothing for so long hangs. Longer than any single database call may take.
const STALLED: Duration = Duration::from_secs(90);

/// Installs the read models and starts projecting, until the process stops.
pub async fn start(
    process: &Process,
    store: EventStore,
    topics: Option<Topics>,
    options: Options,
) -> anyhow::Result<()> {
    let mut projections = readmodels::all();
    let mut sinks: Vec<Option<Arc<dyn MessageSink>>> = projections.iter().map(|_| None).collect();
    if let Some(topics) = topics {
        projections.push(Box::new(publisher::Publisher));
        sinks.push(Some(topics.events));
        let letters = dead_letters::Publisher::new(process, store.clone(), topics.dead_letters);
        process.spawn_with_heartbeat("dead_letter_publisher", STALLED, |beat| letters.run(beat));
    }
    for projection in &projections {
        let attempt = || async {
            install(store.database(), projection.id(), projection.schema())
                .await
                .map_err(|error| {
                    if error.is_transient() {
                        StartupError::NotReady(error.into())
                    } else {
                        StartupError::Permanent(error.into())
                    }
                })
        };
        process
            .retry_at_startup("read_models", "DATABASE_URL", attempt)
            .await?;
    }
    let metrics = metrics::Metrics::new(&process.registry)?;
    let (watermark, heights) = watermark::Poller::new(process, store.clone(), &metrics);
    process.spawn_with_heartbeat("watermark", STALLED, |beat| watermark.run(beat));
    let (membership, share) = membership::Membership::new(process, store.database().clone(), &options);
    process.spawn_with_heartbeat("membership", STALLED, |beat| membership.run(beat));
    for (projection, sink) in projections.into_iter().zip(sinks) {
        let name = projection.id().name;
        let projection: Arc<dyn Projection> = projection.into();
        let runner = Runner::new(
            process,
            &store,
            projection,
            sink,
            &options,
            &metrics,
            heights.clone(),
            share.clone(),
        );
        let renewal = runner.renewal();
        process.spawn_with_heartbeat(name, STALLED, |beat| runner.run(beat));
        process.spawn("lease_renewal", renewal);
    }
    let upkeep = maintenance::Maintenance::new(process, store, &metrics);
    process.spawn_with_heartbeat("maintenance", STALLED, |beat| upkeep.run(beat));
    Ok(())
}
