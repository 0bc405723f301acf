//! Invariant 3: overlapping redeliveries cannot turn the order of a key's events round.

use crate::support::{fixture, like};
use eventstore::Item;

#[tokio::test]
async fn arrival_order_is_position_order() {
    let f = fixture().await;
    let ids: Vec<u128> = (0..500).map(|n| (n * 7919) % 500 + 1).collect();
    f.record(&ids.iter().map(|id| like(*id)).collect::<Vec<Item>>())
        .await;
    assert_eq!(f.log().await, ids);
}

/// A first run stalls on something else while its redelivery overtakes it.
///
/// Fails when the positions of a batch are drawn before its dedup rows are in: the stalled run would put command 2
/// at a position that it drew before command 1 got its own.
#[tokio::test]
async fn a_redelivery_that_overtakes_a_stalled_run_keeps_the_order() {
    let f = fixture().await;
    let mut other = f.session().await;
    let tx = other.transaction().await.unwrap();
    let id = like(7).command_id.0;
    tx.execute(
        "insert into eventstore.commands select 0, $1, $1, 'default'",
        &[&id],
    )
    .await
    .unwrap();

    let stalled = async { f.record(&[like(7), like(1), like(2)]).await };
    let overtaking = async {
        f.until_someone_waits().await;
        f.record(&[like(1)]).await;
        tx.rollback().await.unwrap();
    };
    futures::join!(stalled, overtaking);
    let log = f.log().await;
    let place = |id| log.iter().position(|other| *other == id).unwrap();
    assert!(place(1) < place(2), "{log:?}");
}
