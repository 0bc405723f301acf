//! The HTTP edge: accepts commands, answers queries.
//!
//! [`start`] serves from the first moment on, so that whoever asks hears what is still missing; commands are taken
//! once [`Api::accept_commands`] has said where they go. The table of routes is in `routes`, one file per endpoint;
//! every error is a [`Problem`].

mod cursor;
mod metrics;
mod params;
mod position;
mod problem;
mod publish;
mod readiness;
mod routes;
mod server;

pub use problem::Problem;

use eventstore::Database;
use messaging::{MessageSink, Queue};
use publish::Publisher;
use service::Process;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// What the API is given.
#[derive(Clone)]
pub struct Options {
    /// The database that queries read, perhaps a replica.
    pub database: Database,
    /// How long requests are still taken after the stop began and `/ready` says so: load balancers learn of it late.
    pub drain_delay: Duration,
    /// How long the queue may take to store a command.
    pub publish_timeout: Duration,
    /// How long a read waits for the position that its caller wants to see.
    pub position_timeout: Duration,
}

impl Options {
    /// The limits that are right behind a load balancer.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            drain_delay: Duration::from_secs(3),
            publish_timeout: Duration::from_secs(10),
            position_timeout: Duration::from_secs(10),
        }
    }
}

/// A running API.
#[derive(Clone)]
pub struct Api {
    process: Process,
    publisher: Publisher,
}

/// Serves the API on `listener` until the process stops, and `/health`, `/ready` and `/metrics` with it.
pub fn start(process: &Process, listener: TcpListener, options: Options) -> anyhow::Result<Api> {
    let metrics = metrics::Metrics::new(&process.registry, &options.database)?;
    let publisher = Publisher::new(process, options.publish_timeout);
    readiness::watch_database(process, options.database.clone());
    let state = routes::State {
        waiting_room: position::WaitingRoom::new(options.database.clone(), options.position_timeout),
        database: options.database,
        publisher: publisher.clone(),
    };
    server::serve(process, listener, state, metrics, options.drain_delay)?;
    Ok(Api {
        process: process.clone(),
        publisher,
    })
}

impl Api {
    /// Takes commands from now on and sends them to `sink`; ready while `queue` answers.
    pub fn accept_commands(&self, queue: Arc<dyn Queue>, sink: Arc<dyn MessageSink>) {
        self.publisher.send_to(sink);
        readiness::watch_queue(&self.process, queue);
    }
}
