//! `GET /tracking/interactions`.

use crate::fixture::Running;
use serde_json::{Value, json};

fn command(n: u32) -> Value {
    json!({"type": "create_interaction", "command_id": format!("01900000-0000-7000-8000-{n:012}"), "user_id": n % 3 + 1,
           "interaction": if n.is_multiple_of(2) { "like" } else { "view" },
           "timestamp": format!("2024-06-{:02}T12:00:00+02:00", n % 5 + 1)})
}

#[tokio::test]
async fn the_answer_has_the_shape_of_the_contract() {
    let running = Running::start().await;
    let id = "01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60";
    running
        .record(&[
            json!({"type": "create_interaction", "command_id": id, "user_id": 123, "interaction": "like",
                          "timestamp": "2024-06-01T12:00:00Z"}),
        ])
        .await;
    let answer = running.get("/tracking/interactions").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json"))
    );
    let mut body = answer.json();
    let row = &mut body["data"][0];
    let position = row["position"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("tracking-as-of"), Some(position.as_str()));
    let event_id = row["event_id"].take();
    assert_eq!(event_id.as_str().unwrap().len(), 36);
    let recorded_at = row["recorded_at"].take();
    assert!(recorded_at.as_str().unwrap().ends_with('Z'), "{recorded_at}");
    assert_eq!(
        body,
        json!({
            "data": [{"id": id, "event_id": null, "position": position, "project": "default", "user_id": "123",
                      "interaction": "like", "timestamp": "2024-06-01T12:00:00Z", "recorded_at": null}],
            "page": {"has_more": false, "limit": 50},
            "meta": {"as_of": position, "lag_ms": 0},
        })
    );
}

#[tokio::test]
async fn what_was_sent_is_shown_to_the_digit() {
    let running = Running::start().await;
    let text = include_str!("../../../domain/testdata/commands/create_interaction.full.json");
    let sent: Value = serde_json::from_str(text).unwrap();
    running.record(std::slice::from_ref(&sent)).await;
    let answer = running
        .get("/tracking/interactions?project=acme&user_id=ada%40example.org")
        .await;
    let row = &answer.json()["data"][0];
    let names = [
        "target_id",
        "campaign_id",
        "partner_id",
        "link_id",
        "session_id",
        "value",
        "order_id",
        "properties",
        "context",
    ];
    for name in names {
        assert_eq!(row[name], sent[name], "{name}");
    }
    assert_eq!(row["sent_at"], "2024-06-01T12:00:01Z");
    assert_eq!(row["timestamp"], "2024-06-01T12:00:00.123456Z");
    assert_eq!(row["extra"], json!({"new_field": [1, {"a": null}]}));
    assert!(answer.text.contains("12345678901234567890.10"), "{}", answer.text);
}

#[tokio::test]
async fn pages_follow_by_cursor_within_the_same_filters_only() {
    let running = Running::start().await;
    let commands: Vec<Value> = (0..25).map(command).collect();
    running.record(&commands).await;
    for order in ["newest", "oldest"] {
        let base = format!("/tracking/interactions?interaction=like&order={order}&limit=4");
        let mut path = base.clone();
        let mut seen = Vec::new();
        loop {
            let body = running.get(&path).await.json();
            seen.extend(
                body["data"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| row["timestamp"].as_str().unwrap().to_owned() + row["id"].as_str().unwrap()),
            );
            let Some(cursor) = body["page"]["next_cursor"].as_str() else {
                assert_eq!(body["page"]["has_more"], false);
                break;
            };
            assert_eq!(body["page"]["has_more"], true);
            path = format!("{base}&cursor={cursor}");
            for other in [
                path.replace("like", "view"),
                path.replace("interaction=like&", ""),
                format!("{path}&from=2024-06-01"),
            ] {
                let problem = running.get(&other).await.problem(400, "invalid_parameter");
                assert_eq!(problem["errors"][0]["parameter"], "cursor", "{problem}");
            }
            // Another size of page is no other filter.
            assert_eq!(running.get(&path.replace("limit=4", "limit=1")).await.status, 200);
        }
        assert_eq!(seen.len(), 13);
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        if order == "newest" {
            sorted.reverse();
        }
        assert_eq!(seen, sorted);
    }
}

#[tokio::test]
async fn times_are_instants_or_days_of_a_zone() {
    let running = Running::start().await;
    let commands: Vec<Value> = (0..5).map(command).collect();
    running.record(&commands).await;
    for (range, count) in [
        ("from=2024-06-02&to=2024-06-04", 2),
        ("from=2024-06-02T10:00:00Z&to=2024-06-04T10:00:00Z", 2),
        ("from=2024-06-02T12:00:01%2B02:00", 3),
        ("from=2024-06-02T12:00:00+02:00", 4),
        // 10:00 UTC is already the next day on Kiritimati.
        ("from=2024-06-02&to=2024-06-03&timezone=Pacific/Kiritimati", 1),
        ("from=2024-06-06", 0),
    ] {
        let body = running
            .get(&format!("/tracking/interactions?{range}"))
            .await
            .json();
        assert_eq!(body["data"].as_array().unwrap().len(), count, "{range} {body}");
    }
}

#[tokio::test]
async fn mistakes_are_told_all_at_once() {
    let running = Running::start().await;
    let problem = running
        .get("/tracking/interactions?limt=5&limit=1001&order=up&user_id=&to=soon")
        .await
        .problem(400, "invalid_parameter");
    let mut named: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["parameter"].as_str().unwrap())
        .collect();
    named.sort_unstable();
    assert_eq!(named, ["limit", "limt", "order", "to", "user_id"]);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("`limt` is not a parameter here"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_read_waits_for_the_position_that_its_caller_wants_to_see() {
    let running = Running::start().await;
    running.record_only(&[command(1)]).await;
    let get = async |path: &str, position: &str| {
        running
            .request("GET", path, &[("tracking-min-position", position)], Vec::new())
            .await
    };
    for path in ["/tracking/interactions", "/tracking/stats/daily"] {
        assert_eq!(get(path, "0").await.status, 200);
        let problem = get(path, "1").await.problem(503, "behind");
        assert!(0 < problem["lag_ms"].as_i64().unwrap(), "{problem}");
        get(path, "soon").await.problem(400, "invalid_parameter");
    }
    let fold = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        running.fold().await;
    };
    let (answer, ()) = futures::join!(get("/tracking/interactions", "1"), fold);
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 1);
}
