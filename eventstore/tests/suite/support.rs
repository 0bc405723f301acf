//! A migrated database, and items to record.

use bytes::Bytes;
use domain::command::read;
use domain::{CommandId, decide};
use eventstore::{Content, Database, DatabaseOptions, EventStore, Item, Origin, Outcome, Position, migrate};
use std::time::Duration;
use testkit::{TestDatabase, eventually};
use uuid::Uuid;

/// A database with the schema, and the store in it.
pub(crate) struct Fixture {
    pub(crate) database: TestDatabase,
    pub(crate) store: EventStore,
}

pub(crate) async fn fixture() -> Fixture {
    let database = TestDatabase::create().await;
    let db = open(&database, 8);
    migrate(&db, None).await.expect("the schema is made");
    Fixture {
        store: EventStore::new(db),
        database,
    }
}

pub(crate) fn open(database: &TestDatabase, connections: usize) -> Database {
    Database::new(&DatabaseOptions::new(database.url(), connections, "test")).expect("the URL is good")
}

impl Fixture {
    /// A session of its own, for playing the writer that stalls.
    pub(crate) async fn session(&self) -> tokio_postgres::Client {
        testkit::connect(self.database.url()).await
    }

    /// Waits until some session waits for another one's lock.
    pub(crate) async fn until_someone_waits(&self) {
        let session = self.session().await;
        let sql =
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        eventually(Duration::from_secs(10), async || {
            session.query_opt(sql, &[]).await.expect("we may look")
        })
        .await;
    }

    pub(crate) async fn record(&self, items: &[Item]) -> Vec<Outcome> {
        self.store.record(items).await.expect("recorded")
    }

    /// Command ids of everything that is settled, in the order of the log.
    pub(crate) async fn log(&self) -> Vec<u128> {
        let through = self.store.watermark().await.expect("there is a watermark");
        let buckets: Vec<i16> = (0..64).collect();
        let events = self
            .store
            .read(&buckets, Position::START, through)
            .await
            .expect("readable");
        events.iter().map(|event| event.command_id.0.as_u128()).collect()
    }
}

/// A like of user 123 under this command id.
pub(crate) fn like(id: u128) -> Item {
    item(
        id,
        r#"{"type":"create_interaction","user_id":123,"interaction":"like"}"#,
    )
}

/// What the worker would make of this payload.
pub(crate) fn item(id: u128, payload: &str) -> Item {
    let read = read(payload.as_bytes());
    let content = match read.command {
        Ok(command) => Content::from(&decide(command, chrono::DateTime::UNIX_EPOCH)),
        Err(rejection) => Content::Rejected(Box::new(rejection)),
    };
    Item {
        command_id: CommandId(Uuid::from_u128(id)),
        project: read.project,
        fingerprint: read.fingerprint,
        content,
        origin: Origin {
            topic: "persistent://public/default/test".into(),
            partition: -1,
            ledger: 3,
            entry: i64::try_from(id & 0xffff).expect("16 bits"),
            batch_index: -1,
            key: Some("123".into()),
            producer: "test".into(),
            properties: vec![("colour".to_owned(), "green".to_owned())],
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            attempts: 1,
            first_seen: chrono::DateTime::UNIX_EPOCH,
        },
    }
}
