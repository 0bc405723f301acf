//! Projecting against a real PostgreSQL: shares, hand-over, positions that were never used, large events.

use bytes::Bytes;
use domain::command::read;
use domain::{CommandId, decide};
use eventstore::{Content, Database, DatabaseOptions, EventStore, Item, Origin, migrate};
use projector::Options;
use readmodels::checkpoints;
use service::Process;
use service::settings::Lifecycle;
use std::time::Duration;
use testkit::{Postgres, TestDatabase, eventually};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);

async fn store(url: &str) -> EventStore {
    let db = Database::new(&DatabaseOptions::new(url, 8, "test")).expect("the URL is good");
    migrate(&db, None).await.expect("the schema is made");
    EventStore::new(db)
}

fn like(id: u128, filler: usize) -> Item {
    let payload = format!(
        r#"{{"type":"create_interaction","user_id":{},"interaction":"like","timestamp":"2024-06-01T12:00:00Z","properties":{{"filler":"{}"}}}}"#,
        id % 97 + 1,
        "x".repeat(filler)
    );
    let read = read(payload.as_bytes());
    Item {
        command_id: CommandId(Uuid::from_u128(id)),
        project: read.project,
        fingerprint: read.fingerprint,
        content: Content::from(&decide(
            read.command.expect("valid"),
            chrono::DateTime::UNIX_EPOCH,
        )),
        origin: Origin {
            topic: "test".into(),
            partition: -1,
            ledger: 1,
            entry: i64::try_from(id).expect("small"),
            batch_index: -1,
            key: None,
            producer: "test".into(),
            properties: Vec::new(),
            payload: Bytes::from(payload),
            attempts: 1,
            first_seen: chrono::DateTime::UNIX_EPOCH,
        },
    }
}

async fn start(store: &EventStore, owner: &str) -> Process {
    let process = Process::new(Lifecycle {
        shutdown_grace: SOON,
        startup_timeout: SOON,
    });
    let options = Options {
        lease: Duration::from_secs(2),
        ..Options::new(owner)
    };
    projector::start(&process, store.clone(), None, options)
        .await
        .expect("started");
    process
}

async fn viewed(store: &EventStore) -> i64 {
    let client = store.database().client().await.expect("a connection");
    let sql = "select (select count(*) from readmodels.interactions_v1)";
    client.query_one(sql, &[]).await.expect("the view").get(0)
}

async fn until_viewed(store: &EventStore, count: i64) {
    eventually(SOON, async || (viewed(store).await == count).then_some(())).await;
}

/// Buckets of `interactions` by owner.
async fn owned(store: &EventStore, owner: &str) -> usize {
    let all = checkpoints::list(store.database()).await.expect("checkpoints");
    all.iter()
        .filter(|b| b.name == "interactions" && b.owner.as_deref() == Some(owner))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn projectors_share_the_buckets_and_hand_them_over_when_they_stop() {
    let database = TestDatabase::create().await;
    let store = store(database.url()).await;
    let first = start(&store, "first").await;
    store
        .record(&(0..500).map(|n| like(n, 0)).collect::<Vec<Item>>())
        .await
        .expect("recorded");
    until_viewed(&store, 500).await;
    assert_eq!(owned(&store, "first").await, 64);

    let second = start(&store, "second").await;
    eventually(SOON, async || {
        (owned(&store, "first").await == 32 && owned(&store, "second").await == 32).then_some(())
    })
    .await;
    store
        .record(&(500..1000).map(|n| like(n, 0)).collect::<Vec<Item>>())
        .await
        .expect("recorded");
    until_viewed(&store, 1000).await;

    // Less than a lease: handed over, not waited for.
    first.stop().await.expect("a graceful stop");
    eventually(Duration::from_millis(1_900), async || {
        (owned(&store, "second").await == 64).then_some(())
    })
    .await;
    store
        .record(&(1000..1500).map(|n| like(n, 0)).collect::<Vec<Item>>())
        .await
        .expect("recorded");
    until_viewed(&store, 1500).await;
    second.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_pass_over_positions_that_were_never_used() {
    let database = TestDatabase::create().await;
    let store = store(database.url()).await;
    let process = start(&store, "only").await;
    let batch: Vec<Item> = (0..3000).map(|n| like(n, 0)).collect();
    for _ in 0..3 {
        store.record(&batch).await.expect("recorded");
    }
    until_viewed(&store, 3000).await;
    let height = store.allocated().await.expect("the height");
    assert_eq!(height.0, 9000, "repeats use positions up");
    eventually(SOON, async || {
        let all = checkpoints::list(store.database()).await.expect("checkpoints");
        all.iter().all(|bucket| bucket.checkpoint == height).then_some(())
    })
    .await;
    process.stop().await.expect("a graceful stop");
}

/// Positions that a rolled-back batch drew are drawn again when the server crashes before they were flushed. A
/// projector that had passed over them would skip what is recorded there afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn positions_that_a_crash_gives_back_are_not_skipped() {
    let postgres = Postgres::start().await;
    let store = store(&postgres.url("postgres")).await;
    let process = start(&store, "only").await;
    store.record(&[like(1, 0)]).await.expect("recorded");
    until_viewed(&store, 1).await;
    let mut expected = 1;
    for round in 0..3u128 {
        let session = testkit::connect(&postgres.url("postgres")).await;
        let burn = "begin; select eventstore.declare_append();
            select count(nextval('eventstore.event_position')) from generate_series(1, 500); rollback";
        session.batch_execute(burn).await.expect("burnt");
        postgres.stop_immediate().await;
        postgres.start_again().await;
        let batch: Vec<Item> = (0..400).map(|n| like(1000 * (round + 1) + n, 0)).collect();
        eventually(SOON, async || store.record(&batch).await.ok()).await;
        expected += 400;
        until_viewed(&store, expected).await;
    }
    process.stop().await.expect("a graceful stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_events_come_in_small_pages() {
    let database = TestDatabase::create().await;
    let store = store(database.url()).await;
    let batch: Vec<Item> = (0..120).map(|n| like(n, 200_000)).collect();
    for part in batch.chunks(20) {
        store.record(part).await.expect("recorded");
    }
    let process = start(&store, "only").await;
    until_viewed(&store, 120).await;
    process.stop().await.expect("a graceful stop");
}
