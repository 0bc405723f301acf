//! How far a view has come.

use crate::fixture::{Fixture, commands};
use readmodels::{Projection, ReadError, as_of, daily_stats::DailyStats, interactions::Interactions};

#[tokio::test]
async fn lag_is_the_age_of_the_oldest_event_that_is_missing() {
    let fixture = Fixture::new().await;
    let empty = as_of(&fixture.db, Interactions.id()).await.unwrap();
    assert_eq!((empty.position.0, empty.lag_ms), (0, 0));

    let positions = fixture.record(&commands(10)).await;
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    let behind = as_of(&fixture.db, Interactions.id()).await.unwrap();
    assert_eq!(behind.position.0, 0);
    assert!((50..60_000).contains(&behind.lag_ms), "{behind:?}");

    fixture.fold_all().await;
    for id in [Interactions.id(), DailyStats.id()] {
        let reached = as_of(&fixture.db, id).await.unwrap();
        assert_eq!(
            (reached.position, reached.lag_ms),
            (*positions.last().unwrap(), 0)
        );
    }
}

#[tokio::test]
async fn a_quiet_bucket_behind_is_no_lag() {
    let fixture = Fixture::new().await;
    fixture.record(&commands(1)).await;
    fixture.fold_all().await;
    // One bucket has an event and was folded; the checkpoints of the others have not been written yet.
    fixture
        .sql(
            "update projections.bucket b set checkpoint = 0 \
             where not exists (select from eventstore.events e where e.bucket = b.bucket)",
        )
        .await;
    let reached = as_of(&fixture.db, Interactions.id()).await.unwrap();
    assert_eq!((reached.position.0, reached.lag_ms), (0, 0));
}

#[tokio::test]
async fn what_no_projector_has_set_up_is_not_ready() {
    let fixture = Fixture::bare().await;
    let not_ready = |result: Result<_, ReadError>| match result {
        Err(ReadError::NotReady { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        not_ready(as_of(&fixture.db, Interactions.id()).await),
        "no projector has set it up"
    );

    fixture
        .sql("insert into projections.projection values ('interactions', 1, true)")
        .await;
    assert_eq!(
        not_ready(as_of(&fixture.db, Interactions.id()).await),
        "0 of its 64 buckets are set up"
    );

    fixture.sql("update projections.projection set version = 2").await;
    assert_eq!(
        not_ready(as_of(&fixture.db, Interactions.id()).await),
        "version 2 is active, this build reads version 1"
    );

    fixture.sql("drop schema projections cascade").await;
    assert_eq!(
        not_ready(as_of(&fixture.db, Interactions.id()).await),
        "its tables do not exist: run migrate and a projector"
    );
}
