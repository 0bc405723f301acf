//! The whole system as processes: a PostgreSQL that may be crashed, topics of its own on a real Pulsar, the roles.

use serde_json::Value;
use std::time::Duration;
use testkit::{Postgres, Process, TestNamespace, eventually, pulsar_admin_url, pulsar_url};

pub(crate) const SUBSCRIPTION: &str = "tracking-workers";

pub(crate) struct System {
    pub(crate) postgres: Postgres,
    pub(crate) namespace: TestNamespace,
    variables: Vec<(String, String)>,
}

impl System {
    /// Servers, schema and topics.
    pub(crate) async fn start() -> Self {
        let postgres = Postgres::start().await;
        let namespace = TestNamespace::create().await;
        let variables = [
            ("DATABASE_URL", postgres.url("postgres")),
            ("PULSAR_URL", pulsar_url()),
            ("PULSAR_ADMIN_URL", pulsar_admin_url()),
            ("COMMANDS_TOPIC", namespace.topic("commands.tracking")),
            ("EVENTS_TOPIC", namespace.topic("events.tracking")),
            ("STARTUP_TIMEOUT_SECONDS", "30".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        let system = Self {
            postgres,
            namespace,
            variables,
        };
        let migrate = system.run(&["migrate"]);
        assert!(
            migrate.status.success(),
            "{}",
            String::from_utf8_lossy(&migrate.stderr)
        );
        system
    }

    pub(crate) fn topic(&self) -> String {
        self.namespace.topic("commands.tracking")
    }

    /// A tool, to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> std::process::Output {
        let variables: Vec<(&str, &str)> = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        crate::tracking(arguments, &variables)
    }

    /// A role on a port of its own, once it is ready.
    pub(crate) async fn role(&self, role: &str) -> Role {
        self.role_with(role, &[]).await
    }

    /// The same with more variables.
    pub(crate) async fn role_with(&self, role: &str, more: &[(&str, &str)]) -> Role {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        drop(listener);
        let mut variables: Vec<(&str, &str)> = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        variables.push(("HTTP_ADDR", &address));
        variables.extend(more);
        let process = Process::spawn(env!("CARGO_BIN_EXE_tracking"), &[role], &variables);
        let mut role = Role {
            process,
            url: format!("http://{address}"),
        };
        let ready = format!("{}/ready", role.url);
        role.process.ready(&ready, Duration::from_mins(1)).await;
        role
    }

    /// A connection for looking.
    pub(crate) async fn look(&self) -> testkit::tokio_postgres::Client {
        testkit::connect(&self.postgres.url("postgres")).await
    }

    /// One number from the database; `None` while that is away.
    pub(crate) async fn count(&self, sql: &str) -> Option<i64> {
        let (client, connection) =
            testkit::tokio_postgres::connect(&self.postgres.url("postgres"), testkit::tokio_postgres::NoTls)
                .await
                .ok()?;
        let question = async { client.query_one(sql, &[]).await.ok().map(|row| row.get(0)) };
        tokio::select! {
            answer = question => answer,
            _ = connection => None,
        }
    }

    /// Waits until `sql` gives at least `least`.
    pub(crate) async fn until(&self, sql: &str, least: i64, within: Duration) {
        eventually(within, async || {
            self.count(sql).await.filter(|count| least <= *count)
        })
        .await;
    }

    /// Waits until the broker knows of every acknowledgement.
    pub(crate) async fn until_acknowledged(&self, within: Duration) {
        let (admin, topic) = (self.namespace.admin(), self.topic());
        eventually(within, async || {
            (admin.backlog(&topic, SUBSCRIPTION).await == 0).then_some(())
        })
        .await;
    }

    /// Waits until every read model has everything, and the events are published.
    pub(crate) async fn until_projected(&self, within: Duration) {
        let behind = "select count(*) from projections.bucket b
            where exists (select from eventstore.events e where e.bucket = b.bucket and b.checkpoint < e.position)";
        eventually(within, async || {
            self.count(behind).await.filter(|count| *count == 0)
        })
        .await;
    }
}

pub(crate) const EVENTS: &str = "select count(*) from eventstore.events";
pub(crate) const KEPT: &str =
    "select (select count(*) from eventstore.events) + (select count(*) from eventstore.dead_letters)";

/// A running role.
pub(crate) struct Role {
    pub(crate) process: Process,
    pub(crate) url: String,
}

impl Role {
    /// Asks the role over HTTP; panics unless it answers JSON.
    pub(crate) fn get(&self, path: &str) -> Value {
        let mut answer = ureq::get(format!("{}{path}", self.url))
            .call()
            .expect("an answer");
        answer.body_mut().read_json().expect("JSON")
    }

    /// SIGTERM, and a graceful end within the grace.
    pub(crate) async fn stop(mut self) {
        self.process.signal(testkit::Signal::Terminate);
        let status = self.process.wait(Duration::from_secs(30)).await;
        assert_eq!(status.code(), Some(0), "{}", self.process.stdout());
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.process.signal(testkit::Signal::Kill);
        self.process.wait(Duration::from_secs(5)).await;
    }
}
