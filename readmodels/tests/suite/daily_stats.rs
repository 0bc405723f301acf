//! Counts by day, against counting by hand.

use crate::fixture::{Fixture, at, commands};
use chrono::{DateTime, Utc};
use readmodels::ReadError;
use readmodels::daily_stats::{DailyQuery, GroupBy, daily};
use readmodels::interactions::Filter;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ALL: GroupBy = GroupBy {
    interaction: true,
    campaign_id: true,
    partner_id: true,
    target_id: true,
};
const NONE: GroupBy = GroupBy {
    interaction: false,
    campaign_id: false,
    partner_id: false,
    target_id: false,
};

type Counts = BTreeMap<(String, [Option<String>; 4]), i64>;

fn query(from: &str, to: &str, timezone: &str, group_by: GroupBy) -> DailyQuery {
    DailyQuery {
        filter: Filter::default(),
        from: at(from),
        to: at(to),
        timezone: timezone.parse().unwrap(),
        group_by,
    }
}

fn by_hand(sent: &[Value], query: &DailyQuery, keep: impl Fn(&Value) -> bool) -> Counts {
    let by = query.group_by;
    let mut counts = Counts::new();
    for command in sent.iter().filter(|command| keep(command)) {
        let time: DateTime<Utc> = at(command["timestamp"].as_str().unwrap());
        if !(query.from..query.to).contains(&time) {
            continue;
        }
        let group = |wanted: bool, name: &str| command[name].as_str().filter(|_| wanted).map(str::to_owned);
        let groups = [
            group(by.interaction, "interaction"),
            group(by.campaign_id, "campaign_id"),
            group(by.partner_id, "partner_id"),
            group(by.target_id, "target_id"),
        ];
        let date = time.with_timezone(&query.timezone).date_naive().to_string();
        *counts.entry((date, groups)).or_default() += 1;
    }
    counts
}

async fn counted(fixture: &Fixture, query: &DailyQuery) -> Counts {
    let rows = daily(&fixture.db, query).await.unwrap().rows;
    let length = rows.len();
    let counts: Counts = rows
        .into_iter()
        .map(|row| {
            (
                (
                    row.date.to_string(),
                    [row.interaction, row.campaign_id, row.partner_id, row.target_id],
                ),
                row.count,
            )
        })
        .collect();
    assert_eq!(counts.len(), length, "no group twice");
    counts
}

#[tokio::test]
async fn days_groups_and_zones_add_up() {
    let fixture = Fixture::new().await;
    let sent = commands(1500);
    fixture.record(&sent).await;
    fixture.fold(97, |bucket| bucket % 2 == 0).await;

    let whole = ("2024-03-28T00:00:00Z", "2024-04-05T00:00:00Z");
    // On and off the grain of 15 minutes.
    let parts = [
        whole,
        ("2024-03-30T10:15:00Z", "2024-04-01T00:30:00Z"),
        ("2024-03-30T10:07:00Z", "2024-04-01T00:00:01Z"),
    ];
    let interaction = GroupBy {
        interaction: true,
        ..NONE
    };
    let campaigns = GroupBy {
        campaign_id: true,
        partner_id: true,
        ..NONE
    };
    for timezone in [
        "UTC",
        "Europe/Berlin",
        "Asia/Kathmandu",
        "America/Sao_Paulo",
        "Pacific/Apia",
    ] {
        for (from, to) in parts {
            for group_by in [interaction, campaigns, ALL, NONE] {
                let query = query(from, to, timezone, group_by);
                assert_eq!(
                    counted(&fixture, &query).await,
                    by_hand(&sent, &query, |_| true),
                    "{query:?}"
                );
            }
        }
    }
    let all: i64 = counted(&fixture, &query(whole.0, whole.1, "UTC", NONE))
        .await
        .values()
        .sum();
    assert_eq!(all, 1500);
}

#[tokio::test]
async fn filters_hold_from_counters_and_from_rows() {
    let fixture = Fixture::new().await;
    let sent = commands(800);
    fixture.record(&sent).await;
    fixture.fold_all().await;

    let base = query(
        "2024-03-28T00:00:00Z",
        "2024-04-05T00:00:00Z",
        "Europe/Berlin",
        ALL,
    );
    for group_by in [
        ALL,
        GroupBy {
            target_id: false,
            ..ALL
        },
    ] {
        let with = |filter: Filter| DailyQuery {
            filter,
            group_by,
            ..base.clone()
        };
        let query = with(Filter {
            project: Some("acme".parse().unwrap()),
            ..Filter::default()
        });
        assert_eq!(
            counted(&fixture, &query).await,
            by_hand(&sent, &query, |c| c["project"] == "acme")
        );
        let query = with(Filter {
            user_id: Some("5".parse().unwrap()),
            ..Filter::default()
        });
        assert_eq!(
            counted(&fixture, &query).await,
            by_hand(&sent, &query, |c| c["user_id"] == json!(5))
        );
        let query = with(Filter {
            target_id: Some("t8".into()),
            ..Filter::default()
        });
        assert_eq!(
            counted(&fixture, &query).await,
            by_hand(&sent, &query, |c| c["target_id"] == "t8")
        );
        let query = with(Filter {
            interaction: Some("like".parse().unwrap()),
            campaign_id: Some("c0".into()),
            partner_id: Some("p0".into()),
            ..Filter::default()
        });
        let expected = by_hand(&sent, &query, |c| {
            c["interaction"] == "like" && c["campaign_id"] == "c0" && c["partner_id"] == "p0"
        });
        assert!(!expected.is_empty());
        assert_eq!(counted(&fixture, &query).await, expected);
    }
}

#[tokio::test]
async fn an_empty_range_is_empty_and_a_boundless_one_refused() {
    let fixture = Fixture::new().await;
    fixture.record(&commands(10)).await;
    fixture.fold_all().await;
    let at_once = "2024-03-30T00:00:00Z";
    assert!(
        counted(&fixture, &query(at_once, at_once, "UTC", NONE))
            .await
            .is_empty()
    );
    let centuries = query("1970-01-01T00:00:00Z", "2970-01-01T00:00:00Z", "UTC", NONE);
    assert!(matches!(
        daily(&fixture.db, &centuries).await,
        Err(ReadError::TooLarge { .. })
    ));
}
