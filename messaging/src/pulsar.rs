//! The Pulsar backend.
//!
//! Receiving: one connection and KeyShared subscription per partition, each under a supervisor (`partition`,
//! `session`), behind one stream (`source`). Sending: the `pulsar` crate's producer (`sink`). Topics,
//! subscriptions, retention and statistics: the admin API (`topics`, `backlog`).

mod admin;
mod backlog;
mod compression;
mod connection;
mod damaged;
mod entries;
mod entry;
mod errors;
mod lookup;
mod names;
mod partition;
mod session;
mod sink;
mod source;
mod tls;
mod topics;
mod window;
mod wire;

use crate::{Backlog, CommandSource, MessageSink, Queue, QueueError, SourceOptions, Topics};
use admin::Admin;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use lookup::Service;
use sink::PulsarSink;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How often the topic is asked for partitions that were added.
const PARTITION_REFRESH: Duration = Duration::from_mins(1);
/// After so much silence a broker is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// How to reach Pulsar.
#[derive(Clone)]
pub struct PulsarOptions {
    /// `pulsar://host:port` or `pulsar+ssl://…`.
    pub url: String,
    /// `http(s)://host:port` of the admin API.
    pub admin_url: String,
    /// Token for both.
    pub token: Option<String>,
    /// The deployment's names.
    pub topics: Topics,
}

impl fmt::Debug for PulsarOptions {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PulsarOptions")
            .field("url", &self.url)
            .field("admin_url", &self.admin_url)
            .field("token", &self.token.as_ref().map(|_| "REDACTED"))
            .field("topics", &self.topics)
            .finish()
    }
}

/// A Pulsar cluster as a queue. Connects when something is asked of it.
pub struct PulsarQueue {
    options: PulsarOptions,
    admin: Arc<Admin>,
    partition_refresh: Duration,
    keep_alive: Duration,
}

impl PulsarQueue {
    /// A queue by these options; what is wrong with them is told by the first use.
    pub fn new(options: PulsarOptions) -> Self {
        let admin = Admin::new(&options.admin_url, options.token.as_deref());
        Self {
            options,
            admin: Arc::new(admin),
            partition_refresh: PARTITION_REFRESH,
            keep_alive: KEEP_ALIVE,
        }
    }

    /// How often a source asks for partitions that were added; 60 s when not set.
    #[must_use]
    pub fn with_partition_refresh(mut self, every: Duration) -> Self {
        self.partition_refresh = every;
        self
    }

    /// After how much silence a broker is asked whether it is there; 15 s when not set. A broker that does not answer
    /// within a third of that is given up.
    #[must_use]
    pub fn with_keep_alive(mut self, silence: Duration) -> Self {
        self.keep_alive = silence;
        self
    }

    fn service(&self) -> Result<Service, QueueError> {
        Service::new(&self.options.url, self.options.token.as_deref(), self.keep_alive)
    }

    fn sink<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Arc<dyn MessageSink>, QueueError>> {
        async move { Ok(Arc::new(PulsarSink::open(self, topic).await?) as Arc<dyn MessageSink>) }.boxed()
    }
}

impl Queue for PulsarQueue {
    fn prepare(&self) -> BoxFuture<'_, Result<Vec<String>, QueueError>> {
        topics::prepare(&self.admin, &self.options.topics).boxed()
    }

    fn commands(&self, options: SourceOptions) -> BoxFuture<'_, Result<Box<dyn CommandSource>, QueueError>> {
        async move { Ok(Box::new(source::open(self, options).await?) as Box<dyn CommandSource>) }.boxed()
    }

    fn command_sink(&self) -> BoxFuture<'_, Result<Arc<dyn MessageSink>, QueueError>> {
        self.sink(&self.options.topics.commands)
    }

    fn dead_letter_sink(&self) -> BoxFuture<'_, Result<Arc<dyn MessageSink>, QueueError>> {
        self.sink(&self.options.topics.dead_letters)
    }

    fn event_sink(&self) -> BoxFuture<'_, Result<Arc<dyn MessageSink>, QueueError>> {
        self.sink(&self.options.topics.events)
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, QueueError>> {
        backlog::read(&self.admin, &self.options.topics).boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        async move {
            let service = self.service()?;
            match timeout(PING_TIMEOUT, service.connect()).await {
                Ok(connected) => connected.map(drop),
                Err(_) => Err(errors::unavailable("ping the broker", "no answer in time".into())),
            }
        }
        .boxed()
    }
}
