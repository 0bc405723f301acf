//! Invariant 4: a reader that goes up to the watermark skips nothing, whatever the order of commits.

use crate::support::{Fixture, fixture, like};
use eventstore::{Item, Position};
use futures::future::join_all;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// A writer that drew the first position commits after one that drew the second; what a reader in between sees, and
/// what it sees from there on.
async fn late_commit(f: &Fixture) -> (usize, usize) {
    let mut session = f.session().await;
    let late = session.transaction().await.unwrap();
    late.query_one("select eventstore.declare_append()", &[])
        .await
        .unwrap();
    let sql = "with drawn as (select nextval('eventstore.event_position') as position)
        insert into eventstore.events (position, occurred_at, event_id, command_id, bucket, schema_version, project,
                                       stream, type, data)
        select position, now(), $1, $1, 0, 1, 'default', 'user/1', 'InteractionTracked', '{}' from drawn";
    late.execute(sql, &[&like(1).command_id.0]).await.unwrap();
    f.record(&[like(2)]).await;

    let buckets: Vec<i16> = (0..64).collect();
    let first = f.store.watermark().await.unwrap();
    let before = f
        .store
        .read(&buckets, Position::START, first)
        .await
        .unwrap()
        .len();
    late.commit().await.unwrap();
    let second = f.store.watermark().await.unwrap();
    let after = f.store.read(&buckets, first, second).await.unwrap().len();
    (before, after)
}

#[tokio::test]
async fn an_out_of_order_commit_is_waited_for() {
    let f = fixture().await;
    assert_eq!(late_commit(&f).await, (0, 2));
}

/// Shows that the test above can fail: a writer that declares nothing is skipped.
#[tokio::test]
async fn without_the_declaration_the_late_commit_is_skipped() {
    let f = fixture().await;
    let sql = "create or replace function eventstore.declare_append() returns void language sql as 'select'";
    f.session().await.batch_execute(sql).await.unwrap();
    assert_eq!(late_commit(&f).await, (1, 0));
}

#[tokio::test]
async fn a_rolled_back_writer_holds_nothing_back_and_a_frozen_one_is_named() {
    let f = fixture().await;
    let mut session = f.session().await;
    let frozen = session.transaction().await.unwrap();
    frozen
        .batch_execute("set local application_name = 'frozen'")
        .await
        .unwrap();
    frozen
        .query_one(
            "select eventstore.declare_append(), nextval('eventstore.event_position')",
            &[],
        )
        .await
        .unwrap();
    f.record(&[like(1)]).await;
    assert_eq!(f.store.watermark().await.unwrap(), Position(0));
    let holders = f.store.watermark_holders().await.unwrap();
    assert_eq!(
        holders
            .iter()
            .map(|h| h.application_name.as_str())
            .collect::<Vec<_>>(),
        ["frozen"]
    );
    frozen.rollback().await.unwrap();
    assert_eq!(
        f.store.watermark().await.unwrap(),
        f.store.allocated().await.unwrap()
    );
    assert_eq!(f.log().await, [1]);
}

#[tokio::test]
async fn a_frozen_writer_is_ended_by_the_server() {
    let f = fixture().await;
    // A session of the pool has the timeout; here it is shortened so as not to wait for all of it.
    let client = f.store.database().client().await.unwrap();
    client
        .batch_execute("set idle_in_transaction_session_timeout = '300ms'; begin")
        .await
        .unwrap();
    client
        .query_one(
            "select eventstore.declare_append(), nextval('eventstore.event_position')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(f.store.watermark().await.unwrap(), Position(0));
    testkit::eventually(std::time::Duration::from_secs(10), async || {
        (f.store.watermark().await.unwrap() == Position(1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_pool_sets_the_timeouts_and_durable_commits() {
    let f = fixture().await;
    let client = f.store.database().client().await.unwrap();
    let row = client
        .query_one(
            "select current_setting('idle_in_transaction_session_timeout'), current_setting('statement_timeout'),
                    current_setting('synchronous_commit')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), ("5s", "30s", "on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_beside_many_writers_sees_every_event_once_and_in_order() {
    let f = fixture().await;
    let done = AtomicBool::new(false);
    let writers = async {
        let tasks = (0..6u128).map(|writer| {
            let store = f.store.clone();
            async move {
                for n in 0..40u128 {
                    let size = 1 + (writer + n) % 17;
                    let batch: Vec<Item> = (0..size).map(|i| like((writer << 32) | (n << 16) | i)).collect();
                    store.record(&batch).await.unwrap();
                }
            }
        });
        join_all(tasks).await;
        done.store(true, Ordering::SeqCst);
    };
    let reader = async {
        let buckets: Vec<i16> = (0..64).collect();
        let (mut at, mut seen) = (Position::START, Vec::new());
        loop {
            let last_round = done.load(Ordering::SeqCst);
            let through = f.store.watermark().await.unwrap();
            seen.extend(
                f.store
                    .read(&buckets, at, through)
                    .await
                    .unwrap()
                    .iter()
                    .map(|e| e.position),
            );
            // It may go back when a slow writer declares an old height; a reader never does.
            at = at.max(through);
            if last_round {
                return seen;
            }
        }
    };
    let ((), seen) = futures::join!(writers, reader);
    let total = f.log().await.len();
    assert!(seen.is_sorted() && seen.iter().collect::<HashSet<_>>().len() == seen.len());
    assert_eq!(seen.len(), total);
    assert_eq!(
        total,
        (0..6)
            .flat_map(|w| (0..40).map(move |n| 1 + (w + n) % 17))
            .sum::<usize>()
    );
}

/// A writer that stops in the middle of a COPY is neither idle nor does its statement time out.
#[tokio::test]
async fn a_writer_that_stops_in_the_middle_of_a_copy_is_ended() {
    let f = fixture().await;
    let session = f.session().await;
    let begin = "begin; set local statement_timeout = '200ms'; set local idle_in_transaction_session_timeout = '200ms';
        select eventstore.declare_append(), nextval('eventstore.event_position')";
    session.batch_execute(begin).await.unwrap();
    let copy = session
        .copy_in::<_, bytes::Bytes>("copy eventstore.events from stdin")
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(
        f.store.watermark().await.unwrap(),
        Position(0),
        "the server lets it be"
    );
    assert!(
        f.store
            .end_stalled_writers(std::time::Duration::from_mins(1))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        f.store
            .end_stalled_writers(std::time::Duration::ZERO)
            .await
            .unwrap()
            .len(),
        1
    );
    testkit::eventually(std::time::Duration::from_secs(10), async || {
        (f.store.watermark().await.unwrap() == Position(1)).then_some(())
    })
    .await;
    drop(copy);
}

#[tokio::test]
async fn pages_are_bounded_by_positions_and_by_bytes() {
    let f = fixture().await;
    f.record(&(1..=10).map(like).collect::<Vec<Item>>()).await;
    let buckets: Vec<i16> = (0..64).collect();
    let page = f.store.page(&buckets, Position(2), 3, 1_000_000).await.unwrap();
    let positions: Vec<i64> = page.events.iter().map(|e| e.position.0).collect();
    assert_eq!((positions, page.through), (vec![3, 4, 5], Position(5)));
    let page = f.store.page(&buckets, Position(2), 100, 150).await.unwrap();
    assert_eq!(
        (page.events.len(), page.through, page.cut),
        (2, Position(4), true)
    );
    let page = f.store.page(&buckets, Position(10), 100, 150).await.unwrap();
    assert_eq!((page.events.len(), page.through), (0, Position(10)));
}
