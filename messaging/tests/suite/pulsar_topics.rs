//! Topics: made by `prepare` alone, left as they are, missed with the remedy.

use crate::harness::{Deployment, SOON, close, numbers, receive, send, settle, source};
use messaging::pulsar::PulsarQueue;
use messaging::{OutgoingMessage, Queue, QueueError, SourceOptions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use testkit::eventually;
use ureq::http::Method;

fn path(topic: &str) -> String {
    topic.replace("://", "/")
}

async fn get(deployment: &Deployment, topic: &str, what: &str) -> Value {
    deployment
        .admin()
        .call(Method::GET, format!("{}/{what}", path(topic)), Value::Null)
        .await
}

async fn existing(deployment: &Deployment) -> Value {
    let namespace = path(&deployment.topics.commands).replace("/commands", "");
    deployment.admin().call(Method::GET, namespace, Value::Null).await
}

fn options() -> SourceOptions {
    SourceOptions {
        consumer_name: "one".into(),
        prefetch: 10,
        prefetch_bytes: 1024,
    }
}

#[tokio::test]
async fn prepare_makes_topics_subscriptions_and_retention_once() {
    let deployment = Deployment::bare(4).await;
    let topics = deployment.topics.clone();
    let done = deployment.queue().prepare().await.unwrap();
    assert_eq!(
        done.len(),
        8,
        "three topics with their retention, two subscriptions: {done:#?}"
    );
    assert_eq!(
        deployment.queue().prepare().await.unwrap(),
        [""; 0],
        "and nothing the second time"
    );

    assert_eq!(
        get(&deployment, &topics.commands, "partitions").await["partitions"],
        4
    );
    assert_eq!(
        get(&deployment, &topics.dead_letters, "partitions").await["partitions"],
        0
    );
    for (topic, days, mb) in [
        (&topics.commands, 7, 10_241),
        (&topics.dead_letters, 30, -1),
        (&topics.events, 7, -1),
    ] {
        let retention = get(&deployment, topic, "retention?applied=true").await;
        assert_eq!(
            retention,
            json!({"retentionTimeInMinutes": days * 24 * 60, "retentionSizeInMB": mb}),
            "{topic}"
        );
    }
    let last = format!("{}-partition-3", topics.commands);
    assert_eq!(get(&deployment, &last, "subscriptions").await, json!(["workers"]));
    assert_eq!(
        get(&deployment, &topics.dead_letters, "subscriptions").await,
        json!(["tracking-dead-letters"])
    );
}

#[tokio::test]
async fn prepare_leaves_what_is_there_as_it_is() {
    let deployment = Deployment::bare(0).await;
    let topics = deployment.topics.clone();
    deployment.admin().create_partitioned(&topics.commands, 2).await;
    let own = json!({"retentionTimeInMinutes": 5, "retentionSizeInMB": 11_000});
    deployment
        .admin()
        .call(
            Method::POST,
            format!("{}/retention", path(&topics.commands)),
            own.clone(),
        )
        .await;
    eventually(SOON, || async {
        (get(&deployment, &topics.commands, "retention?applied=true").await == own).then_some(())
    })
    .await;
    let done = deployment.queue().prepare().await.unwrap();
    assert!(
        done.iter()
            .all(|line| !line.contains("retention of persistent") || !line.contains("/commands to")),
        "{done:#?}"
    );
    assert_eq!(
        get(&deployment, &topics.commands, "partitions").await["partitions"],
        2
    );
    assert_eq!(
        get(&deployment, &topics.commands, "retention?applied=true").await,
        own
    );
    let second = format!("{}-partition-1", topics.commands);
    assert_eq!(
        get(&deployment, &second, "subscriptions").await,
        json!(["workers"]),
        "what was missing was made"
    );
}

#[tokio::test]
async fn a_missing_topic_is_refused_with_the_remedy_and_not_made() {
    let deployment = Deployment::bare(0).await;
    let queue = deployment.queue();
    let errors = [
        queue.commands(options()).await.err(),
        queue.command_sink().await.err(),
        queue.event_sink().await.err(),
        queue.dead_letter_sink().await.err(),
        queue.backlog().await.err(),
    ];
    for error in errors {
        let error = error.expect("there is no topic");
        assert!(
            !error.is_transient() && error.to_string().contains("tracking migrate"),
            "{error}"
        );
    }
    assert_eq!(existing(&deployment).await, json!([]));
}

#[tokio::test]
async fn a_missing_subscription_is_refused_with_the_remedy_and_not_made() {
    let deployment = Deployment::bare(0).await;
    deployment.admin().create_topic(&deployment.topics.commands).await;
    let error = deployment
        .queue()
        .commands(options())
        .await
        .err()
        .expect("there is no subscription");
    assert!(
        !error.is_transient() && error.to_string().contains("tracking migrate"),
        "{error}"
    );
    assert_eq!(
        get(&deployment, &deployment.topics.commands, "subscriptions").await,
        json!([])
    );
}

/// Workers need no admin rights: what the admin API cannot tell is taken for granted, and no topic is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_admin_api_messages_flow_and_prepare_says_what_is_wrong() {
    let deployment = Deployment::prepared(0).await;
    let mut options_ = deployment.options();
    options_.admin_url = "http://127.0.0.1:1".into();
    let queue = PulsarQueue::new(options_.clone());
    send(&queue, None, numbers(3)).await;
    let mut source = source(&queue, "one", 10).await;
    let received = receive(&mut *source, 3).await;
    settle(&*source, received);
    close(source).await;
    assert_eq!(deployment.broker_backlog().await, 0);
    let error = queue.prepare().await.unwrap_err();
    assert!(error.to_string().contains("PULSAR_ADMIN_URL"), "{error}");

    options_.topics.commands = deployment.topics.commands.replace("/commands", "/nothing");
    let error = PulsarQueue::new(options_)
        .commands(options())
        .await
        .err()
        .expect("there is no such topic");
    assert!(matches!(error, QueueError::Refused { .. }), "{error}");
    assert!(!existing(&deployment).await.to_string().contains("nothing"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stays_in_its_partition() {
    let deployment = Deployment::prepared(4).await;
    let queue = deployment.queue();
    for key in 0..12 {
        send(&queue, Some(&format!("user-{key}")), numbers(3)).await;
    }
    let mut source = source(&queue, "one", 100).await;
    let mut partitions: BTreeMap<Arc<str>, BTreeSet<i32>> = BTreeMap::new();
    for delivery in receive(&mut *source, 36).await {
        let key = delivery.envelope.key.expect("a key");
        partitions
            .entry(key)
            .or_default()
            .insert(delivery.envelope.at.partition);
    }
    assert_eq!(partitions.len(), 12);
    assert!(
        partitions.values().all(|of_key| of_key.len() == 1),
        "{partitions:?}"
    );
    assert!(
        partitions.values().flatten().collect::<BTreeSet<_>>().len() > 1,
        "but not all in one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_send_to_their_own_topics_and_the_backlog_tells_the_oldest() {
    let deployment = Deployment::prepared(2).await;
    let queue = deployment.queue();
    assert_eq!(queue.backlog().await.unwrap(), messaging::Backlog::default());
    queue.ping().await.unwrap();
    for sink in [
        queue.dead_letter_sink().await.unwrap(),
        queue.event_sink().await.unwrap(),
    ] {
        let message = OutgoingMessage {
            key: Some("k".into()),
            payload: b"x".to_vec(),
            ..Default::default()
        };
        sink.send(message).await.unwrap().await.unwrap();
    }
    for topic in [&deployment.topics.dead_letters, &deployment.topics.events] {
        assert_eq!(
            get(&deployment, topic, "stats").await["msgInCounter"],
            1,
            "{topic}"
        );
    }
    let before = std::time::SystemTime::now() - Duration::from_secs(1);
    send(&queue, Some("k"), numbers(5)).await;
    let backlog = queue.backlog().await.unwrap();
    assert_eq!(backlog.messages, 5);
    let oldest: std::time::SystemTime = backlog.oldest.expect("the broker tells").into();
    assert!(
        before <= oldest && oldest <= std::time::SystemTime::now(),
        "{oldest:?}"
    );
}

#[tokio::test]
async fn a_message_above_the_brokers_limit_is_refused_and_harms_no_other() {
    let deployment = Deployment::prepared(0).await;
    let sink = deployment.queue().command_sink().await.unwrap();
    let message = |size: usize| OutgoingMessage {
        payload: vec![b'x'; size],
        ..Default::default()
    };
    let error = sink
        .send(message(6 * 1024 * 1024))
        .await
        .err()
        .expect("too large");
    assert!(!error.is_transient(), "{error}");
    sink.send(message(5 * 1024 * 1024 - 20 * 1024))
        .await
        .unwrap()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_with_its_address() {
    let deployment = Deployment::bare(0).await;
    let mut options_ = deployment.options();
    options_.url = "pulsar://127.0.0.1:1".into();
    let queue = PulsarQueue::new(options_);
    let errors = [
        queue.command_sink().await.err(),
        queue.commands(options()).await.err(),
        queue.ping().await.err(),
    ];
    for error in errors {
        let error = error.expect("nobody listens");
        assert!(
            error.is_transient() && error.to_string().contains("pulsar://127.0.0.1:1"),
            "{error}"
        );
    }
}
