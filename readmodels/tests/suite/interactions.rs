//! The list: what a row shows, filters, order, cursors.

use crate::fixture::{Fixture, at, commands, id};
use eventstore::Position;
use readmodels::interactions::{Filter, Interaction, ListQuery, Order, list};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn query(filter: Filter) -> ListQuery {
    ListQuery {
        filter,
        order: Order::Newest,
        limit: 1000,
        after: None,
    }
}

#[tokio::test]
async fn a_row_shows_all_that_was_sent() {
    let fixture = Fixture::new().await;
    let full: Value = serde_json::from_str(include_str!(
        "../../../domain/testdata/commands/create_interaction.full.json"
    ))
    .unwrap();
    let plain = json!({"type": "create_interaction", "command_id": id(1), "user_id": 123, "interaction": "like",
                       "timestamp": "2024-06-01T12:00:00Z"});
    let positions = fixture.record(&[full.clone(), plain]).await;
    fixture.fold_all().await;

    let listing = list(&fixture.db, &query(Filter::default())).await.unwrap();
    assert_eq!((listing.as_of.position, listing.as_of.lag_ms), (positions[1], 0));
    assert!(listing.next.is_none());
    let [richest, plainest] = &listing.rows[..] else {
        panic!("{listing:?}")
    };
    assert_eq!(richest.position, positions[0]);
    assert_eq!(
        (richest.project.as_str(), richest.user_id.as_str()),
        ("acme", "ada@example.org")
    );
    assert_eq!(richest.occurred_at, at("2024-06-01T12:00:00.123456Z"));
    let mut details = serde_json::to_value(&richest.details).unwrap();
    for name in [
        "target_id",
        "campaign_id",
        "partner_id",
        "link_id",
        "session_id",
        "value",
        "order_id",
        "properties",
        "context",
    ] {
        assert_eq!(details[name], full[name], "{name}");
    }
    assert_eq!(details["extra"].take(), json!({"new_field": full["new_field"]}));
    // Not as a float: to the digit.
    assert!(
        serde_json::to_string(&richest.details)
            .unwrap()
            .contains("12345678901234567890.10")
    );

    assert_eq!(plainest.command_id.0, id(1));
    assert_eq!(
        (plainest.user_id.as_str(), plainest.interaction.as_str()),
        ("123", "like")
    );
    assert_eq!(serde_json::to_value(&plainest.details).unwrap(), json!({}));
}

#[tokio::test]
async fn filters_leave_what_matches_all_of_them() {
    let fixture = Fixture::new().await;
    let sent = commands(600);
    fixture.record(&sent).await;
    fixture.fold_all().await;

    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let is = |command: &Value, name: &str, wanted: &str| match (&command[name], name) {
        (Value::Null, "project") => wanted == "default",
        (value, _) => text(value) == wanted,
    };
    let cases: Vec<(Filter, Vec<(&str, &str)>)> = vec![
        (
            Filter {
                project: Some("acme".parse().unwrap()),
                ..Filter::default()
            },
            vec![("project", "acme")],
        ),
        (
            Filter {
                user_id: Some("5".parse().unwrap()),
                ..Filter::default()
            },
            vec![("user_id", "5")],
        ),
        (
            Filter {
                interaction: Some("view".parse().unwrap()),
                ..Filter::default()
            },
            vec![("interaction", "view")],
        ),
        (
            Filter {
                campaign_id: Some("c2".into()),
                ..Filter::default()
            },
            vec![("campaign_id", "c2")],
        ),
        (
            Filter {
                partner_id: Some("p3".into()),
                ..Filter::default()
            },
            vec![("partner_id", "p3")],
        ),
        (
            Filter {
                target_id: Some("t8".into()),
                ..Filter::default()
            },
            vec![("target_id", "t8")],
        ),
        (
            Filter {
                project: Some("default".parse().unwrap()),
                interaction: Some("view".parse().unwrap()),
                campaign_id: Some("c4".into()),
                ..Filter::default()
            },
            vec![
                ("project", "default"),
                ("interaction", "view"),
                ("campaign_id", "c4"),
            ],
        ),
        (
            Filter {
                campaign_id: Some("none".into()),
                ..Filter::default()
            },
            vec![("campaign_id", "none")],
        ),
    ];
    for (filter, wanted) in cases {
        let expected: BTreeSet<String> = sent
            .iter()
            .filter(|command| wanted.iter().all(|(name, value)| is(command, name, value)))
            .map(|command| text(&command["command_id"]))
            .collect();
        let rows = list(&fixture.db, &query(filter.clone())).await.unwrap().rows;
        assert_eq!(rows.len(), expected.len(), "{filter:?}");
        assert_eq!(
            rows.iter()
                .map(|row| row.command_id.to_string())
                .collect::<BTreeSet<_>>(),
            expected,
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn a_range_holds_its_first_instant_but_not_its_last() {
    let fixture = Fixture::new().await;
    let sent = commands(600);
    fixture.record(&sent).await;
    fixture.fold_all().await;

    let (from, to) = (at("2024-03-30T00:00:00Z"), at("2024-03-31T00:00:00Z"));
    let filter = Filter {
        from: Some(from),
        to: Some(to),
        ..Filter::default()
    };
    let expected = sent
        .iter()
        .filter(|c| (from..to).contains(&at(c["timestamp"].as_str().unwrap())))
        .count();
    let rows = list(&fixture.db, &query(filter)).await.unwrap().rows;
    assert_eq!(rows.len(), expected);
    assert!(0 < expected && expected < 600);
}

#[tokio::test]
async fn a_walk_in_either_order_meets_every_row_once_also_where_times_are_equal() {
    let fixture = Fixture::new().await;
    fixture.record(&commands(250)).await;
    fixture.fold_all().await;

    let mut walked: Vec<Vec<Position>> = Vec::new();
    for order in [Order::Newest, Order::Oldest] {
        // Two at a time: pages end in the middle of the threes of equal times.
        for limit in [2, 7, 250, 1000] {
            let rows = walk(&fixture, order, limit).await;
            assert_eq!(rows.len(), 250, "{order:?} {limit}");
            let mut sorted = rows.clone();
            sorted.sort_by_key(|row| (row.occurred_at, row.position));
            if order == Order::Newest {
                sorted.reverse();
            }
            assert_eq!(rows, sorted, "{order:?} {limit}");
            walked.push(rows.iter().map(|row| row.position).collect());
        }
    }
    let backwards: Vec<Position> = walked[0].iter().rev().copied().collect();
    assert_eq!(backwards, walked[4]);
}

async fn walk(fixture: &Fixture, order: Order, limit: u16) -> Vec<Interaction> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let listing = list(
            &fixture.db,
            &ListQuery {
                filter: Filter::default(),
                order,
                limit,
                after,
            },
        )
        .await
        .unwrap();
        assert!(listing.rows.len() <= usize::from(limit));
        rows.extend(listing.rows);
        after = listing.next;
        if after.is_none() {
            return rows;
        }
    }
}
