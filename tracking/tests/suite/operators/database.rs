//! A database with a log, and views folded from it, made without the roles.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{BUCKETS, command, decide};
use eventstore::{Content, Database, DatabaseOptions, EventStore, Item, Origin, Outcome, Position};
use readmodels::{Advance, Folded, checkpoints, commit_page, install};
use serde_json::{Value, json};
use std::process::Output;
use std::time::Duration;
use testkit::TestDatabase;
use uuid::Uuid;

const OWNER: &str = "test";
const TTL: Duration = Duration::from_mins(1);

pub(crate) struct Log {
    pub(crate) store: EventStore,
    // Dropped last: dropping it throws everybody out.
    pub(crate) server: TestDatabase,
}

impl Log {
    /// A migrated database with empty views.
    pub(crate) async fn new() -> Self {
        let server = TestDatabase::create().await;
        let db = Database::new(&DatabaseOptions::new(server.url(), 4, "test")).expect("the URL is good");
        eventstore::migrate(&db, None).await.expect("the schema is made");
        for projection in readmodels::all() {
            install(&db, projection.id(), projection.schema())
                .await
                .expect("the views are made");
        }
        Self {
            store: EventStore::new(db),
            server,
        }
    }

    /// With this many events of 20 users, in the views too.
    pub(crate) async fn with_events(count: usize) -> Self {
        let log = Self::new().await;
        log.record(&(0..count).map(like).collect::<Vec<_>>()).await;
        log.fold().await;
        log
    }

    pub(crate) async fn record(&self, items: &[Item]) -> Vec<Outcome> {
        self.store.record(items).await.expect("recorded")
    }

    /// Folds what is settled into all views, as a projector would, page by page.
    pub(crate) async fn fold(&self) {
        let db = self.store.database();
        let watermark = self.store.watermark().await.expect("there is a watermark");
        for projection in readmodels::all() {
            let id = projection.id();
            let mut leases = checkpoints::claim(db, id, OWNER, 64, TTL).await.expect("claimed");
            let after = leases
                .iter()
                .map(|lease| lease.at)
                .min()
                .expect("all buckets are free");
            let buckets: Vec<i16> = (0..BUCKETS).collect();
            let recorded = self
                .store
                .read(&buckets, after, watermark)
                .await
                .expect("readable");
            let events: Vec<Folded> = recorded
                .iter()
                .map(|event| Folded::read(event).expect("readable"))
                .collect();
            let mut pages: Vec<(Position, &[Folded])> = events
                .chunks(events.len() / 2 + 1)
                .filter_map(|page| Some((page.last()?.position, page)))
                .collect();
            pages.push((watermark, &[]));
            for (to, page) in pages {
                let advance = Advance {
                    owner: OWNER,
                    leases: &leases,
                    to,
                    ttl: TTL,
                };
                commit_page(db, projection.as_ref(), advance, page)
                    .await
                    .expect("folded");
                for lease in &mut leases {
                    lease.at = to;
                }
            }
            let held: Vec<(i16, i64)> = leases.iter().map(|lease| (lease.bucket, lease.fence)).collect();
            checkpoints::release(db, id, OWNER, &held)
                .await
                .expect("released");
        }
    }

    /// What a hand with too many rights does.
    pub(crate) async fn sql(&self, text: &str) {
        self.server
            .connect()
            .await
            .batch_execute(text)
            .await
            .expect("the statement is good");
    }

    /// Runs the executable on this database.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        crate::tracking(
            arguments,
            &[("DATABASE_URL", self.server.url()), ("LOG_LEVEL", "warn")],
        )
    }

    /// The same, for its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let value = serde_json::from_slice(&output.stdout);
        (
            output.status.code(),
            value.unwrap_or_else(|_| panic!("{}", crate::stderr(&output))),
        )
    }
}

/// The id of the nth command.
pub(crate) fn id(n: usize) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n as u128)
}

/// The nth command of a mixture, as an item: some of another project, some with details.
pub(crate) fn like(n: usize) -> Item {
    let start: DateTime<Utc> = "2024-06-01T00:00:00Z".parse().expect("a time");
    let at = start + TimeDelta::minutes(i64::try_from(n * 7 % 3000).expect("small"));
    let interaction = ["like", "view"][n % 2];
    let mut command = json!({
        "type": "create_interaction", "command_id": id(n), "user_id": n % 20 + 1,
        "interaction": interaction, "timestamp": at.to_rfc3339(),
    });
    for (every, name, value) in [
        (5, "project", json!("acme")),
        (3, "campaign_id", json!(format!("c{}", n % 4))),
        (
            7,
            "properties",
            json!({"n": n, "big": 12_345_678_901_234_567_890_u64}),
        ),
    ] {
        if n.is_multiple_of(every) {
            command[name] = value;
        }
    }
    item(n, &command.to_string())
}

/// What a worker makes of the nth message.
pub(crate) fn item(n: usize, payload: &str) -> Item {
    let read = command::read(payload.as_bytes());
    let (content, key) = match read.command {
        Ok(command) => {
            let key = command.user_id.to_string();
            (Content::from(&decide(command, DateTime::UNIX_EPOCH)), key)
        }
        Err(rejection) => (Content::Rejected(Box::new(rejection)), "1".to_owned()),
    };
    Item {
        command_id: read.command_id.unwrap_or_else(|| domain::CommandId(id(n))),
        project: read.project,
        fingerprint: read.fingerprint,
        content,
        origin: Origin {
            topic: "persistent://public/default/commands".into(),
            partition: -1,
            ledger: 3,
            entry: i64::try_from(n).expect("small"),
            batch_index: -1,
            key: Some(key.into()),
            producer: "test".into(),
            properties: vec![("colour".to_owned(), "green".to_owned())],
            payload: payload.as_bytes().to_vec().into(),
            attempts: 1,
            first_seen: DateTime::UNIX_EPOCH,
        },
    }
}
