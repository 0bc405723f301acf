//! Invariant 1: a command ends as at most one event, or as a dead letter.

use crate::support::{Fixture, fixture, item, like};
use domain::Code;
use eventstore::{Item, Outcome, Position};
use futures::future::join_all;

#[tokio::test]
async fn a_redelivered_batch_is_recorded_once() {
    let f = fixture().await;
    let batch = [like(1), like(2), like(3)];
    assert!(
        f.record(&batch)
            .await
            .iter()
            .all(|o| matches!(o, Outcome::Stored(_)))
    );
    let again = f.record(&[like(0), like(1), like(2), like(3), like(4)]).await;
    assert!(matches!(
        again[..],
        [
            Outcome::Stored(_),
            Outcome::Duplicate(Position(1)),
            Outcome::Duplicate(Position(2)),
            Outcome::Duplicate(Position(3)),
            Outcome::Stored(_)
        ]
    ));
    assert_eq!(f.log().await, [1, 2, 3, 0, 4]);
}

#[tokio::test]
async fn a_repeat_within_a_batch_is_recorded_once() {
    let f = fixture().await;
    let outcomes = f.record(&[like(1), like(2), like(1)]).await;
    assert_eq!(outcomes[2], Outcome::Duplicate(Position(1)));
    assert_eq!(f.log().await, [1, 2]);
}

#[tokio::test]
async fn the_same_id_with_other_content_is_a_conflict_and_kept_as_a_dead_letter() {
    let f = fixture().await;
    let other = item(
        1,
        r#"{"type":"create_interaction","user_id":123,"interaction":"view"}"#,
    );
    f.record(&[like(1)]).await;
    // In a later batch, and within one batch.
    assert_eq!(
        f.record(std::slice::from_ref(&other)).await,
        [Outcome::DeadLettered(Code::Conflict)]
    );
    let mixed = f
        .record(&[
            like(2),
            Item {
                command_id: like(2).command_id,
                ..other
            },
        ])
        .await;
    assert!(matches!(
        mixed[..],
        [Outcome::Stored(_), Outcome::DeadLettered(Code::Conflict)]
    ));
    assert_eq!(f.log().await, [1, 2], "the first stands");
    let kept = f
        .store
        .dead_letters(&eventstore::DeadLetterFilter {
            limit: 10,
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(kept.len(), 2);
    assert!(
        kept.iter()
            .all(|letter| letter.code == "conflict" && letter.payload.contains("view"))
    );
}

#[tokio::test]
async fn the_same_id_in_two_projects_is_two_commands() {
    let f = fixture().await;
    let in_acme = item(
        1,
        r#"{"type":"create_interaction","user_id":123,"interaction":"like","project":"acme"}"#,
    );
    let outcomes = f.record(&[like(1), in_acme]).await;
    assert!(matches!(outcomes[..], [Outcome::Stored(_), Outcome::Stored(_)]));
}

/// Overlapping batches in opposite orders, from many writers at once: deadlocks are retried, nothing is doubled.
async fn storm(f: &Fixture) -> Vec<u128> {
    let writers = (0..8u128).map(|writer| {
        let store = f.store.clone();
        async move {
            let mut items: Vec<Item> = (0..200)
                .map(|n| like(1000 + (n * 7 + writer * 31) % 400))
                .collect();
            if writer % 2 == 1 {
                items.reverse();
            }
            for batch in items.chunks(40) {
                while let Err(error) = store.record(batch).await {
                    assert!(error.is_transient(), "{error}");
                }
            }
        }
    });
    join_all(writers).await;
    let mut log = f.log().await;
    log.sort_unstable();
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_writers_double_nothing() {
    let f = fixture().await;
    let log = storm(&f).await;
    let mut once = log.clone();
    once.dedup();
    assert_eq!(log, once);
    assert!(300 < log.len(), "the storm wrote {}", log.len());
}

/// Shows that the test above can fail: without the unique key the same storm doubles.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_unique_key_the_storm_doubles() {
    let f = fixture().await;
    f.session()
        .await
        .batch_execute("alter table eventstore.commands drop constraint commands_pkey")
        .await
        .unwrap();
    let log = storm(&f).await;
    let mut once = log.clone();
    once.dedup();
    assert_ne!(log, once);
}

#[tokio::test]
async fn what_a_writer_rolled_back_is_recorded_when_it_comes_again() {
    let f = fixture().await;
    let mut session = f.session().await;
    let tx = session.transaction().await.unwrap();
    let id = like(1).command_id.0;
    tx.query_one("select eventstore.declare_append()", &[])
        .await
        .unwrap();
    let sql =
        "insert into eventstore.commands select nextval('eventstore.event_position'), $1, $1, 'default'";
    tx.execute(sql, &[&id]).await.unwrap();
    let waiting = async { f.record(&[like(1), like(2)]).await };
    let roll_back = async {
        f.until_someone_waits().await;
        tx.rollback().await.unwrap();
    };
    let (outcomes, ()) = futures::join!(waiting, roll_back);
    assert!(matches!(outcomes[..], [Outcome::Stored(_), Outcome::Stored(_)]));
    assert_eq!(f.log().await, [1, 2]);
}

#[tokio::test]
async fn a_key_that_postgresql_cannot_hold_does_not_stop_its_command() {
    let f = fixture().await;
    let mut odd = like(1);
    odd.origin.key = Some("a\0b".into());
    odd.origin.producer = "p\0".into();
    assert_eq!(f.record(&[odd]).await, [Outcome::Stored(Position(1))]);
}
