//! `POST /tracking/interactions`.

use crate::fake_queue::Mood;
use crate::fixture::Running;
use serde_json::{Value, json};

const VALID: &str =
    r#"{"type":"create_interaction","user_id":123,"interaction":"like","timestamp":"2024-06-01T12:00:00Z"}"#;

#[tokio::test]
async fn an_accepted_command_was_sent_as_it_came_under_its_id() {
    let running = Running::start().await;
    let answer = running.post(VALID).await;
    assert_eq!(answer.status, 202);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.json(), json!({"id": id, "status": "accepted"}));
    assert_eq!(
        answer.header("location"),
        Some(format!("/tracking/interactions/{id}").as_str())
    );
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);

    let named = "01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60";
    let with_id = VALID.replacen('{', &format!(r#"{{ "command_id":"{named}","n":1.10,"#), 1);
    assert_eq!(running.post(&with_id).await.json()["id"], named);

    let stored = running.queue.stored();
    assert_eq!(stored.len(), 2);
    for (message, (payload, id)) in stored.iter().zip([(VALID, id.as_str()), (&with_id, named)]) {
        assert_eq!(message.payload, payload.as_bytes());
        assert_eq!(message.key.as_deref(), Some("123"));
        assert_eq!(
            message.properties,
            [("TRACKING_COMMAND_ID".to_owned(), id.to_owned())]
        );
    }
}

#[tokio::test]
async fn a_wrong_command_is_told_what_is_wrong_and_not_sent() {
    let running = Running::start().await;
    let pointers = |problem: &Value| -> Vec<String> {
        let errors = problem["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect()
    };
    let problem = running
        .post(r#"{"type":"create_interaction","interaction":"Like","timestamp":"noon"}"#)
        .await;
    assert_eq!(
        pointers(&problem.problem(422, "invalid_field")),
        ["/user_id", "/interaction", "/timestamp"]
    );
    assert_eq!(problem.json()["errors"][0]["code"], "required");
    let problem = running
        .post(r#"{"type":"delete_everything","user_id":1}"#)
        .await
        .problem(422, "unknown_type");
    assert_eq!(pointers(&problem), ["/type"]);
    let problem = running
        .post(r#"{"type":"create_interaction""#)
        .await
        .problem(422, "fragment");
    assert!(problem["hint"].as_str().unwrap().contains("-s '|'"), "{problem}");
    running.post("garbage").await.problem(422, "invalid_json");
    running.post("").await.problem(422, "invalid_json");
    running.post("[1]").await.problem(422, "invalid_field");
    // Deep enough to overflow a stack, were it parsed without a limit.
    running
        .post(&"[".repeat(200_000))
        .await
        .problem(422, "invalid_json");
    assert!(running.queue.stored().is_empty());
}

#[tokio::test]
async fn bodies_are_bounded_and_json() {
    let running = Running::start().await;
    let padded = |length: usize| VALID.replacen('{', &format!(r#"{{"pad":"{}","#, "x".repeat(length)), 1);
    let room = 256 * 1024 - padded(0).len();
    assert_eq!(running.post(&padded(room)).await.status, 202);
    running.post(&padded(room + 1)).await.problem(413, "too_large");

    let path = "/tracking/interactions";
    for headers in [
        [("content-type", "text/plain"), ("accept", "*/*")],
        [("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        running
            .request("POST", path, &headers, VALID.into())
            .await
            .problem(415, "unsupported_media_type");
    }
    let headers = [("content-type", "application/vnd.acme+json; charset=utf-8")];
    assert_eq!(
        running.request("POST", path, &headers, VALID.into()).await.status,
        202
    );
    assert_eq!(running.queue.stored().len(), 2);
}

#[tokio::test]
async fn what_the_queue_did_not_store_is_never_accepted() {
    let running = Running::start().await;
    for mood in [Mood::Fails, Mood::Silent] {
        running.queue.turn(mood);
        let answer = running.post(VALID).await;
        let problem = answer.problem(503, "queue_unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(running.queue.stored().is_empty());

        // The same command again under the id that was given: it cannot be recorded twice.
        let id = problem["id"].as_str().unwrap();
        let again = VALID.replacen('{', &format!(r#"{{"command_id":"{id}","#), 1);
        assert_eq!(
            running.post(&again).await.problem(503, "queue_unavailable")["id"],
            id
        );
    }
    running.queue.turn(Mood::Stores);
    assert_eq!(running.post(VALID).await.status, 202);
}
