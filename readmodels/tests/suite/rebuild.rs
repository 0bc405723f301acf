//! View = fold (invariant 5): the rows do not depend on how events were cut into pages, nor by whom.

use crate::fixture::{Fixture, commands};

const TABLES: [&str; 3] = [
    "readmodels.interactions_v1",
    "readmodels.daily_stats_v1",
    "readmodels.daily_totals_v1",
];

#[tokio::test]
async fn rebuilding_gives_the_same_rows_whatever_the_pages() {
    let fixture = Fixture::new().await;
    let commands = commands(900);
    // Built as it goes: some, fold, more, fold.
    for part in commands.chunks(170) {
        fixture.record(part).await;
        fixture.fold(64, |bucket| bucket % 3 == 0).await;
    }
    let mut built = Vec::new();
    for table in TABLES {
        built.push(fixture.dump(table).await);
    }
    assert_eq!(built[0].len(), 900);
    assert!(100 < built[1].len(), "{}", built[1].len());

    for (size, split) in [(1, 64), (7, 40), (100_000, 0)] {
        fixture.reset().await;
        fixture.fold(size, |bucket| bucket < split).await;
        for (table, built) in TABLES.iter().zip(&built) {
            assert_eq!(&fixture.dump(table).await, built, "{table}, pages of {size}");
        }
    }
}

#[tokio::test]
async fn an_event_folded_twice_is_an_error_not_a_second_row() {
    let fixture = Fixture::new().await;
    fixture.record(&commands(3)).await;
    fixture.fold_all().await;
    // A checkpoint that someone took back by hand, without the rows.
    fixture.sql("update projections.bucket set checkpoint = 0").await;
    let refold = std::panic::AssertUnwindSafe(fixture.fold_all());
    assert!(futures::FutureExt::catch_unwind(refold).await.is_err());
    assert_eq!(fixture.dump(TABLES[0]).await.len(), 3);
}
