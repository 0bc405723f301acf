//! Dead letters are kept in the batch's own transaction, once, to the byte.

use crate::support::{fixture, item, like};
use eventstore::{DeadLetterFilter, Outcome};

fn all() -> DeadLetterFilter {
    DeadLetterFilter {
        limit: 100,
        ..DeadLetterFilter::default()
    }
}

#[tokio::test]
async fn a_bad_command_is_kept_beside_the_good_ones_and_once() {
    let f = fixture().await;
    let batch = [
        like(1),
        item(2, r#"{"type":"create_interaction""#),
        item(3, "garbage \0"),
    ];
    for _ in 0..2 {
        let outcomes = f.record(&batch).await;
        assert_eq!(outcomes[1], Outcome::DeadLettered(domain::Code::Fragment));
        assert_eq!(outcomes[2], Outcome::DeadLettered(domain::Code::InvalidJson));
    }
    assert_eq!(f.log().await, [1]);
    let kept = f.store.dead_letters(&all()).await.unwrap();
    assert_eq!(kept.len(), 2);
    let shown = serde_json::to_value(&kept[0]).unwrap();
    assert_eq!(shown["code"], "fragment");
    assert_eq!(shown["detail"], "expected `,` or `}` at column 29");
    assert!(
        shown["hint"]
            .as_str()
            .unwrap()
            .starts_with(r"pulsar-client splits -m at commas: add -s '\|'")
    );
    assert_eq!(shown["source"], "persistent://public/default/test 3:2:-1");
    assert_eq!(shown["properties"]["colour"], "green");
    assert_eq!(shown["state"], "open");
    assert_eq!(kept[1].raw, b"garbage \0");
    assert_eq!(f.store.open_dead_letters().await.unwrap().len(), 2);
}

#[tokio::test]
async fn filters_narrow() {
    let f = fixture().await;
    f.record(&[item(1, "x"), item(2, "{}"), item(3, "y")]).await;
    let only = |filter| {
        let store = f.store.clone();
        async move { store.dead_letters(&filter).await.unwrap().len() }
    };
    assert_eq!(
        only(DeadLetterFilter {
            code: Some("invalid_json".into()),
            ..all()
        })
        .await,
        2
    );
    assert_eq!(
        only(DeadLetterFilter {
            state: Some("replayed".into()),
            ..all()
        })
        .await,
        0
    );
    assert_eq!(
        only(DeadLetterFilter {
            id: Some(like(2).command_id.0),
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        only(DeadLetterFilter {
            after: 1,
            limit: 1,
            ..all()
        })
        .await,
        1
    );
}

#[tokio::test]
async fn what_was_published_is_not_published_again_and_a_failure_publishes_nothing() {
    let f = fixture().await;
    f.record(&[item(1, "x"), item(2, "y")]).await;
    let failed = f
        .store
        .publish_dead_letters(10, async |_| Err("broker away"))
        .await
        .unwrap();
    assert_eq!(failed, Err("broker away"));
    let mut sent = Vec::new();
    for _ in 0..3 {
        let publish = async |letters: Vec<eventstore::DeadLetter>| {
            sent.extend(letters.into_iter().map(|letter| letter.payload));
            Ok::<(), ()>(())
        };
        f.store.publish_dead_letters(1, publish).await.unwrap().unwrap();
    }
    assert_eq!(sent, ["x", "y"]);
}
