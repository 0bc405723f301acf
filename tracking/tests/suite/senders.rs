//! Other people's senders: Pulsar's own command line, batching producers, ours.

use crate::system::{EVENTS, KEPT, System};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use testkit::Sender;

const SEED: &str =
    r#"{"type":"create_interaction","user_id":123,"interaction":"like","timestamp":"2024-06-01T12:00:00Z"}"#;
const SOON: Duration = Duration::from_secs(30);

/// `bin/pulsar-client produce`, as a shell would start it.
fn pulsar_client(topic: &str, arguments: &[&str]) {
    #[expect(clippy::disallowed_methods, reason = "where `make test` put Pulsar")]
    let home = std::env::var_os("TEST_PULSAR_HOME").expect("run `make test`");
    let output = Command::new(PathBuf::from(home).join("bin/pulsar-client"))
        .args(["--url", &testkit::pulsar_url(), "produce"])
        .args(arguments)
        .args(["-k", "test", topic])
        .output()
        .expect("pulsar-client starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_line_is_four_fragments_with_the_hint_and_with_a_separator_one_like() {
    let system = System::start().await;
    let worker = system.role("worker").await;
    let projector = system.role("projector").await;
    pulsar_client(&system.topic(), &["-m", SEED]);
    system.until(KEPT, 4, SOON).await;
    let client = system.look().await;
    let letters = client
        .query("select code, hint from eventstore.dead_letters", &[])
        .await
        .expect("readable");
    assert_eq!(letters.len(), 4);
    for letter in &letters {
        assert_eq!(letter.get::<_, &str>(0), "fragment");
        assert!(letter.get::<_, &str>(1).contains(r"add -s '\|'"));
    }
    // The remedy that the hint names.
    pulsar_client(&system.topic(), &["-s", r"\|", "-m", SEED]);
    system.until(EVENTS, 1, SOON).await;
    system.until_projected(SOON).await;
    assert_eq!(system.count(KEPT).await, Some(5));
    worker.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batched_unbatched_and_our_own_commands_all_appear_once_over_http() {
    let system = System::start().await;
    let topic = system.topic();
    let like = |user: u32| {
        let payload = format!(r#"{{"type":"create_interaction","user_id":{user},"interaction":"like"}}"#);
        (user.to_string(), payload)
    };
    // Sent before anyone listens: the subscription keeps them.
    Sender::open(&testkit::pulsar_url(), &topic, Some(50))
        .await
        .send((0..200).map(|n| like(1000 + n)))
        .await;
    Sender::open(&testkit::pulsar_url(), &topic, None)
        .await
        .send((0..100).map(|n| like(2000 + n)))
        .await;
    let produced = system.run(&["produce", SEED]);
    assert!(produced.status.success(), "{}", crate::stderr(&produced));

    let worker = system.role("worker").await;
    let projector = system.role("projector").await;
    let api = system.role("api").await;
    system.until(EVENTS, 301, SOON).await;
    system.until_projected(SOON).await;
    system.until_acknowledged(SOON).await;
    assert_eq!(system.count(KEPT).await, Some(301));

    let list = api.get("/tracking/interactions?user_id=123");
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["data"][0]["timestamp"], "2024-06-01T12:00:00Z");
    let all = api.get("/tracking/interactions?limit=1000");
    assert_eq!(all["data"].as_array().map(Vec::len), Some(301));
    let stats = api.get("/tracking/stats/daily?from=2024-06-01&to=2024-06-02");
    assert_eq!(stats["data"][0]["count"], 1, "{stats}");
    for role in [worker, projector, api] {
        role.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_like_is_accepted_and_appears() {
    let system = System::start().await;
    let worker = system.role("worker").await;
    let projector = system.role("projector").await;
    let api = system.role("api").await;
    let url = format!("{}/tracking/interactions", api.url);
    let mut answer = ureq::post(&url)
        .header("content-type", "application/json")
        .send(SEED)
        .expect("accepted");
    assert_eq!(answer.status(), 202);
    let accepted: serde_json::Value = answer.body_mut().read_json().expect("JSON");
    system.until(EVENTS, 1, SOON).await;
    system.until_projected(SOON).await;
    let list = api.get("/tracking/interactions");
    assert_eq!(list["data"][0]["id"], accepted["id"], "{list}");
    for role in [worker, projector, api] {
        role.stop().await;
    }
}
