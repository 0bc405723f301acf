//! Health, readiness, metrics, what is not there, and the stop.

use crate::fake_queue::Mood;
use crate::fixture::Running;
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::{Postgres, TestDatabase};

#[tokio::test]
async fn health_is_told_and_what_is_not_there_is_a_problem() {
    let running = Running::start().await;
    for path in ["/health", "/tracking/health"] {
        assert_eq!(
            running.get(path).await.json(),
            json!({"status": "ok", "version": "0.1.0"})
        );
        assert_eq!(running.request("HEAD", path, &[], Vec::new()).await.status, 200);
    }
    for path in [
        "/",
        "/tracking",
        "/tracking/interactions/",
        "/tracking/stats/daily/x",
        "/tracking//interactions",
    ] {
        running.get(path).await.problem(404, "not_found");
    }
    let answer = running
        .request("DELETE", "/tracking/interactions", &[], Vec::new())
        .await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
    running
        .request("POST", "/tracking/stats/daily", &[], Vec::new())
        .await
        .problem(405, "method_not_allowed");
    assert_eq!(
        running
            .request("DELETE", "/health", &[], Vec::new())
            .await
            .problem(405, "http")["title"],
        "Method Not Allowed"
    );
}

#[tokio::test]
async fn metrics_count_routes_not_paths() {
    let running = Running::start().await;
    running.get("/tracking/interactions?user_id=secret-user").await;
    running.get("/secret-path").await;
    running
        .request("BREW", "/tracking/interactions", &[], Vec::new())
        .await
        .problem(405, "method_not_allowed");
    let text = running.get("/metrics").await.text;
    for line in [
        r#"tracking_http_requests_total{method="GET",route="/tracking/interactions",status="200"} 1"#,
        r#"tracking_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"tracking_http_requests_total{method="other",route="/tracking/interactions",status="405"} 1"#,
        r#"tracking_http_request_duration_seconds_count{method="GET",route="/tracking/interactions"} 1"#,
        r#"tracking_db_pool_connections{state="max"} 4"#,
        r#"tracking_component_up{component="http"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn views_that_no_projector_has_made_are_not_ready() {
    let database = TestDatabase::create().await;
    let running = Running::on(database.url());
    running
        .get("/tracking/interactions")
        .await
        .problem(503, "not_ready");
    running
        .get("/tracking/stats/daily")
        .await
        .problem(503, "not_ready");
    let answer = running.ready_is(503).await;
    testkit::eventually(Duration::from_secs(10), || async {
        let reasons = running.get("/ready").await.json()["reasons"].to_string();
        reasons.contains("read models: read model").then_some(())
    })
    .await;
    drop(answer);
    eventstore::migrate(&running.db, None).await.unwrap();
    for projection in readmodels::all() {
        readmodels::install(&running.db, projection.id(), projection.schema())
            .await
            .unwrap();
    }
    running.ready_is(200).await;
    assert_eq!(running.get("/tracking/interactions").await.status, 200);
}

#[tokio::test]
async fn readiness_follows_the_queue() {
    let running = Running::start().await;
    running.ready_is(200).await;
    running.queue.turn(Mood::Fails);
    let reasons = running.ready_is(503).await.json()["reasons"].to_string();
    assert!(
        reasons.contains("queue: ") && reasons.contains("connection refused"),
        "{reasons}"
    );
    running.queue.turn(Mood::Stores);
    running.ready_is(200).await;
}

#[tokio::test]
async fn a_database_that_goes_away_is_a_503_and_one_that_comes_back_is_used() {
    let server = Postgres::start_with(&["fsync=off"]).await;
    let running = Running::on(&server.url("postgres"));
    eventstore::migrate(&running.db, None).await.unwrap();
    for projection in readmodels::all() {
        readmodels::install(&running.db, projection.id(), projection.schema())
            .await
            .unwrap();
    }
    running.ready_is(200).await;

    server.stop_immediate().await;
    let began = Instant::now();
    running
        .get("/tracking/interactions")
        .await
        .problem(503, "database_unavailable");
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    running.ready_is(503).await;
    // Commands go to the queue, which is there.
    let command = r#"{"type":"create_interaction","user_id":1,"interaction":"like"}"#;
    assert_eq!(running.post(command).await.status, 202);
    assert_eq!(running.get("/health").await.status, 200);

    server.start_again().await;
    running.ready_is(200).await;
    assert_eq!(running.get("/tracking/interactions").await.status, 200);
    // Restarted between two requests: the pool's connections are dead, which a reader must not notice.
    server.stop().await;
    server.start_again().await;
    assert_eq!(running.get("/tracking/interactions").await.status, 200);
}

#[tokio::test]
async fn a_stop_is_announced_before_requests_are_refused() {
    let database = TestDatabase::create().await;
    let running = Running::with(database.url(), Duration::from_millis(1500));
    let stop = running.process.clone();
    stop.stopping.cancel();
    assert_eq!(
        running.get("/ready").await.json(),
        json!({"status": "not_ready", "reasons": ["draining"]})
    );
    let command = r#"{"type":"create_interaction","user_id":1,"interaction":"like"}"#;
    assert_eq!(running.post(command).await.status, 202);
    let began = Instant::now();
    stop.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(std::net::TcpStream::connect(running.address).is_err());
}
