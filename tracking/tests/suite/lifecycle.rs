//! Real signals on the real executable, with work in flight.

use crate::system::{EVENTS, System};
use std::time::Duration;
use testkit::{Sender, Signal, eventually};

const SOON: Duration = Duration::from_mins(1);

fn likes(count: u32) -> impl Iterator<Item = (String, String)> {
    (1..=count).map(|n| {
        let payload = format!(r#"{{"type":"create_interaction","user_id":{n},"interaction":"like"}}"#);
        (n.to_string(), payload)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_finishes_what_it_has_and_leaves_the_rest() {
    let system = System::start().await;
    Sender::open(&testkit::pulsar_url(), &system.topic(), Some(100))
        .await
        .send(likes(20_000))
        .await;
    let worker = system.role("worker").await;
    system.until(EVENTS, 500, SOON).await;
    worker.stop().await;
    let kept = system.count(EVENTS).await.expect("the database is there");
    // What was committed was acknowledged before the end: the next worker meets hardly anything twice.
    let next = system.role("worker").await;
    system.until(EVENTS, 20_000, SOON).await;
    system.until_acknowledged(SOON).await;
    let metrics = ureq::get(format!("{}/metrics", next.url))
        .call()
        .expect("metrics")
        .body_mut()
        .read_to_string();
    let metrics = metrics.expect("text");
    let duplicates = metrics
        .lines()
        .find_map(|line| line.strip_prefix(r#"tracking_commands_processed_total{outcome="duplicate"} "#))
        .and_then(|n| n.parse::<u32>().ok())
        .expect("the metric is there");
    assert_eq!(duplicates, 0, "kept {kept} at the stop");
    next.stop().await;
    assert_eq!(system.count(EVENTS).await, Some(20_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_aborts_with_70_and_loses_nothing() {
    let system = System::start().await;
    let mut worker = system.role("worker").await;
    // The database is frozen, so that the drain has something to wait for.
    system.postgres.signal(Signal::Stop);
    Sender::open(&testkit::pulsar_url(), &system.topic(), None)
        .await
        .send(likes(10))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    worker.process.signal(Signal::Terminate);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(worker.process.is_running(), "{}", worker.process.stdout());
    worker.process.signal(Signal::Terminate);
    assert_eq!(
        worker.process.wait(SOON).await.code(),
        Some(70),
        "{}",
        worker.process.stdout()
    );
    system.postgres.signal(Signal::Continue);
    let next = system.role("worker").await;
    system.until(EVENTS, 10, SOON).await;
    next.stop().await;
    assert_eq!(system.count(EVENTS).await, Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_waited_for_and_said() {
    let system = System::start().await;
    let mut worker = system.role("worker").await;
    let projector = system.role("projector").await;
    system.postgres.stop_immediate().await;
    Sender::open(&testkit::pulsar_url(), &system.topic(), None)
        .await
        .send(likes(100))
        .await;
    let ready = format!("{}/ready", worker.url);
    eventually(SOON, async || ureq::get(&ready).call().is_err().then_some(())).await;
    assert!(worker.process.is_running());
    system.postgres.start_again().await;
    system.until(EVENTS, 100, SOON).await;
    system.until_projected(SOON).await;
    assert_eq!(
        system.count("select count(*) from eventstore.dead_letters").await,
        Some(0)
    );
    worker.process.ready(&ready, SOON).await;
    worker.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_projector_loses_its_buckets_and_doubles_nothing() {
    let system = System::start().await;
    let frozen = system.role("projector").await;
    let worker = system.role("worker").await;
    Sender::open(&testkit::pulsar_url(), &system.topic(), Some(100))
        .await
        .send(likes(5_000))
        .await;
    system
        .until("select count(*) from readmodels.interactions_v1", 100, SOON)
        .await;
    frozen.process.signal(Signal::Stop);
    let other = system.role("projector").await;
    system.until_projected(SOON).await;
    frozen.process.signal(Signal::Continue);
    Sender::open(&testkit::pulsar_url(), &system.topic(), Some(100))
        .await
        .send(likes(5_000))
        .await;
    system.until(EVENTS, 10_000, SOON).await;
    system.until_projected(SOON).await;
    assert_eq!(
        system
            .count("select count(*) from readmodels.interactions_v1")
            .await,
        Some(10_000)
    );
    assert_eq!(
        system
            .count("select sum(count)::bigint from readmodels.daily_stats_v1")
            .await,
        Some(10_000)
    );
    for role in [frozen, other, worker] {
        role.stop().await;
    }
}
