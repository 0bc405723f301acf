//! A running API, and a client for it.

use crate::fake_queue::{FakeQueue, Mood};
use chrono::{DateTime, Utc};
use domain::{BUCKETS, command, decide};
use eventstore::{Content, Database, DatabaseOptions, EventStore, Item, Origin};
use readmodels::{Advance, Folded, checkpoints, commit_page, install};
use serde_json::Value;
use service::{Process, settings};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use testkit::TestDatabase;

pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) queue: Arc<FakeQueue>,
    pub(crate) db: Database,
    /// Dropped last: that throws everybody out.
    database: Option<TestDatabase>,
}

/// An answer: status, headers, body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Checks that it is a problem with this status and code, and gives it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, self.header("content-type")),
            (status, Some("application/problem+json")),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(
            (problem["status"].as_u64(), problem["code"].as_str()),
            (Some(status.into()), Some(code)),
            "{problem}"
        );
        for member in ["type", "title", "detail"] {
            assert!(!problem[member].as_str().unwrap().is_empty(), "{problem}");
        }
        problem
    }
}

impl Running {
    /// With a migrated database, empty views and a queue that works.
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::create().await;
        let mut running = Self::on(database.url());
        running.database = Some(database);
        eventstore::migrate(&running.db, None).await.unwrap();
        for projection in readmodels::all() {
            install(&running.db, projection.id(), projection.schema())
                .await
                .unwrap();
        }
        running
    }

    /// On whatever there is behind a URL; commands are taken. Must be called on a runtime.
    pub(crate) fn on(url: &str) -> Self {
        Self::with(url, Duration::ZERO)
    }

    pub(crate) fn with(url: &str, drain_delay: Duration) -> Self {
        let db = Database::new(&DatabaseOptions::new(url, 4, "test")).unwrap();
        let process = Process::new(settings::Lifecycle {
            shutdown_grace: Duration::from_secs(10),
            startup_timeout: Duration::from_secs(10),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let options = api::Options {
            drain_delay,
            publish_timeout: Duration::from_millis(300),
            position_timeout: Duration::from_secs(2),
            ..api::Options::new(db.clone())
        };
        let api = api::start(&process, listener, options).unwrap();
        let queue = FakeQueue::new(Mood::Stores);
        api.accept_commands(queue.clone(), queue.clone());
        Self {
            process,
            address,
            queue,
            db,
            database: None,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], Vec::new()).await
    }

    pub(crate) async fn post(&self, body: &str) -> Answer {
        self.request(
            "POST",
            "/tracking/interactions",
            &[("content-type", "application/json")],
            body.into(),
        )
        .await
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let answer = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .timeout_global(Some(Duration::from_secs(20)))
                .build()
                .into();
            let mut answer = agent.run(request)?;
            let headers = answer.headers().iter();
            let headers = headers
                .map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned()))
                .collect();
            let text = answer.body_mut().read_to_string()?;
            Ok::<_, ureq::Error>(Answer {
                status: answer.status().as_u16(),
                headers,
                text,
            })
        });
        answer.await.unwrap().unwrap()
    }

    /// Records commands and folds them, as worker and projector do.
    pub(crate) async fn record(&self, commands: &[Value]) {
        self.record_only(commands).await;
        self.fold().await;
    }

    /// Records commands, as a worker does.
    pub(crate) async fn record_only(&self, commands: &[Value]) {
        let items: Vec<Item> = commands.iter().map(item).collect();
        EventStore::new(self.db.clone()).record(&items).await.unwrap();
    }

    /// Folds what is there, as a projector does.
    pub(crate) async fn fold(&self) {
        let store = EventStore::new(self.db.clone());
        let buckets: Vec<i16> = (0..BUCKETS).collect();
        let ttl = Duration::from_mins(1);
        for projection in readmodels::all() {
            let leases = checkpoints::claim(&self.db, projection.id(), "test", 64, ttl)
                .await
                .unwrap();
            let to = store.watermark().await.unwrap();
            let events = store.read(&buckets, leases[0].at, to).await.unwrap();
            let events: Vec<Folded> = events.iter().map(|event| Folded::read(event).unwrap()).collect();
            let advance = Advance {
                owner: "test",
                leases: &leases,
                to,
                ttl,
            };
            commit_page(&self.db, &*projection, advance, &events)
                .await
                .unwrap();
            let held: Vec<_> = leases.iter().map(|lease| (lease.bucket, lease.fence)).collect();
            checkpoints::release(&self.db, projection.id(), "test", &held)
                .await
                .unwrap();
        }
    }

    /// Waits until `/ready` answers `status`, and gives the answer.
    pub(crate) async fn ready_is(&self, status: u16) -> Answer {
        testkit::eventually(Duration::from_secs(20), || async {
            let answer = self.get("/ready").await;
            (answer.status == status).then_some(answer)
        })
        .await
    }
}

fn item(value: &Value) -> Item {
    let now: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let payload = value.to_string();
    let read = command::read(payload.as_bytes());
    Item {
        command_id: read.command_id.unwrap(),
        project: read.project,
        fingerprint: read.fingerprint,
        content: Content::from(&decide(read.command.unwrap(), now)),
        origin: Origin {
            topic: "commands".into(),
            partition: -1,
            ledger: 1,
            entry: 1,
            batch_index: -1,
            key: None,
            producer: "test".into(),
            properties: Vec::new(),
            payload: payload.into_bytes().into(),
            attempts: 1,
            first_seen: now,
        },
    }
}
