//! `GET /tracking/stats/daily`.

use crate::fixture::Running;
use serde_json::{Value, json};

fn command(n: u32, campaign: Option<&str>, time: &str) -> Value {
    let mut command = json!({"type": "create_interaction", "command_id": format!("01900000-0000-7000-8000-{n:012}"),
                             "user_id": n, "interaction": "like", "timestamp": time});
    if let Some(campaign) = campaign {
        command["campaign_id"] = campaign.into();
    }
    command
}

async fn running() -> Running {
    let running = Running::start().await;
    running
        .record(&[
            command(1, None, "2024-06-01T12:00:00Z"),
            command(2, Some("summer"), "2024-06-01T12:00:00Z"),
            // In Berlin it is the second already.
            command(3, Some("summer"), "2024-06-01T22:30:00Z"),
        ])
        .await;
    running
}

#[tokio::test]
async fn the_answer_has_the_shape_of_the_contract() {
    let running = running().await;
    let answer = running
        .get("/tracking/stats/daily?from=2024-06-01&to=2024-06-03")
        .await;
    let as_of = answer.header("tracking-as-of").unwrap().to_owned();
    assert_eq!(
        answer.json(),
        json!({"data": [{"date": "2024-06-01", "interaction": "like", "count": 3}],
               "meta": {"as_of": as_of, "lag_ms": 0, "timezone": "UTC"}})
    );
}

#[tokio::test]
async fn groups_zones_and_filters_are_those_asked_for() {
    let running = running().await;
    for (query, data) in [
        (
            "group_by=campaign_id&timezone=Europe/Berlin",
            json!([{"date": "2024-06-01", "count": 1}, {"date": "2024-06-01", "campaign_id": "summer", "count": 1},
                   {"date": "2024-06-02", "campaign_id": "summer", "count": 1}]),
        ),
        ("group_by=", json!([{"date": "2024-06-01", "count": 3}])),
        (
            "user_id=3",
            json!([{"date": "2024-06-01", "interaction": "like", "count": 1}]),
        ),
        ("interaction=view", json!([])),
        (
            "group_by=campaign_id,interaction&campaign_id=summer",
            json!([{"date": "2024-06-01", "interaction": "like", "campaign_id": "summer", "count": 2}]),
        ),
    ] {
        let body = running
            .get(&format!(
                "/tracking/stats/daily?from=2024-06-01&to=2024-06-03&{query}"
            ))
            .await
            .json();
        assert_eq!(body["data"], data, "{query}");
    }
    // The last 30 days do not reach back so far.
    assert_eq!(
        running.get("/tracking/stats/daily").await.json()["data"],
        json!([])
    );
}

#[tokio::test]
async fn mistakes_are_told() {
    let running = running().await;
    for query in [
        "timezone=Mars/Phobos",
        "group_by=user_id",
        "limit=5",
        "from=2024-06-02&to=2024-06-01",
    ] {
        running
            .get(&format!("/tracking/stats/daily?{query}"))
            .await
            .problem(400, "invalid_parameter");
    }
    running
        .get("/tracking/stats/daily?from=0001-01-01&to=9999-01-01")
        .await
        .problem(400, "too_many_rows");
}
