//! Lost connections: the source comes back by itself, says so, and loses nothing.

use crate::false_broker::FalseBroker;
use crate::harness::{
    Deployment, QUIET, SOON, close, numbers, receive, receive_until_quiet, send, settle, source, texts,
};
use crate::raw_producer::RawProducer;
use messaging::pulsar::{PulsarOptions, PulsarQueue};
use messaging::{CommandSource, OutgoingMessage, Queue, QueueError, SourceEvent, Topics};
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::{PulsarServer, Signal, eventually};
use tokio::time::{Instant, sleep, timeout};
use ureq::http::Method;

/// Until the source says that it came back.
async fn rebuilt(source: &mut dyn CommandSource, within: Duration) -> String {
    timeout(within, async {
        loop {
            if let SourceEvent::Rebuilt { reason, .. } = source.next().await.expect("the source works") {
                return reason;
            }
        }
    })
    .await
    .expect("the source comes back")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_unloaded_in_the_middle_loses_nothing() {
    let deployment = Deployment::prepared(0).await;
    let queue = deployment.queue();
    send(&queue, Some("k"), numbers(500)).await;
    let mut source = source(&queue, "one", 50).await;
    let mut seen = BTreeSet::new();
    let mut rebuilt = 0;
    let deadline = Instant::now() + 2 * SOON;
    let mut unloaded = false;
    while seen.len() < 500 {
        if seen.len() >= 100 && !unloaded {
            unloaded = true;
            deployment.admin().unload(&deployment.topics.commands).await;
        }
        match tokio::time::timeout_at(deadline, source.next())
            .await
            .expect("all of them come")
            .unwrap()
        {
            SourceEvent::Deliveries(deliveries) => {
                seen.extend(texts(&deliveries));
                settle(&*source, deliveries);
            }
            SourceEvent::Rebuilt { reason, .. } => {
                rebuilt += 1;
                assert!(reason.contains("closed"), "{reason}");
            }
        }
    }
    assert!(rebuilt >= 1, "it says that it came back");
    assert_eq!(source.connected(), Ok(()));
    let rest = receive_until_quiet(&mut *source).await;
    settle(&*source, rest);
    close(source).await;
    assert_eq!(deployment.broker_backlog().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_of_an_earlier_life_settle_nothing_in_the_next() {
    let deployment = Deployment::prepared(0).await;
    let batch = [("a", "0"), ("a", "1")];
    RawProducer::open(&deployment.topics.commands)
        .await
        .send_batch(&batch)
        .await;
    let mut source = source(&deployment.queue(), "one", 50).await;
    let mut earlier = receive(&mut *source, 2).await;
    deployment.admin().unload(&deployment.topics.commands).await;
    rebuilt(&mut *source, SOON).await;
    let mut again = receive(&mut *source, 2).await;
    settle(&*source, vec![again.remove(0)]);
    settle(&*source, vec![earlier.remove(1)]);
    sleep(QUIET).await;
    assert_eq!(
        deployment.broker_backlog().await,
        1,
        "half by one life and half by another is not all"
    );
    settle(&*source, again);
    close(source).await;
    assert_eq!(deployment.broker_backlog().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_are_added_are_found() {
    let deployment = Deployment::prepared(1).await;
    let queue = deployment
        .queue()
        .with_partition_refresh(Duration::from_millis(200));
    let mut source = source(&queue, "one", 100).await;
    let path = format!("{}/partitions", deployment.topics.commands.replace("://", "/"));
    deployment
        .admin()
        .call(Method::POST, path, serde_json::json!(3))
        .await;
    let mut found = BTreeSet::new();
    while found.len() < 2 {
        if let SourceEvent::Rebuilt { partition, .. } = timeout(SOON, source.next())
            .await
            .expect("new partitions are found")
            .unwrap()
        {
            found.insert(partition);
        }
    }
    assert_eq!(found, BTreeSet::from([1, 2]));
    assert_eq!(source.connected(), Ok(()));
    send(&queue, None, numbers(30)).await;
    let received = receive(&mut *source, 30).await;
    let partitions: BTreeSet<i32> = received
        .iter()
        .map(|delivery| delivery.envelope.at.partition)
        .collect();
    assert_eq!(partitions, BTreeSet::from([0, 1, 2]));
    assert!(
        received
            .iter()
            .all(|delivery| *delivery.envelope.topic == *deployment.topics.commands)
    );
    settle(&*source, received);
    close(source).await;
    assert_eq!(queue.backlog().await.unwrap().messages, 0);
}

/// Where no admin API is.
const NOBODY: &str = "http://127.0.0.1:1";

fn queue_at(url: &str, admin_url: &str) -> PulsarQueue {
    let topic = |name: &str| format!("persistent://public/default/{name}");
    PulsarQueue::new(PulsarOptions {
        url: url.into(),
        admin_url: admin_url.into(),
        token: None,
        topics: Topics {
            commands: topic("commands"),
            commands_partitions: 0,
            subscription: "workers".into(),
            dead_letters: topic("dead"),
            events: topic("events"),
        },
    })
}

/// Entries that lie damaged end a life each, the first time; they must not take turns for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_lie_damaged_are_kept_as_unreadable_and_passed() {
    let broker = FalseBroker::start(6, [1, 3, 4]).await;
    let mut source = source(&queue_at(&broker.url, NOBODY), "one", 100).await;
    let mut received = Vec::new();
    let mut lives = 1;
    while received.len() < 6 {
        match timeout(SOON, source.next()).await.expect("all of them come") {
            Ok(SourceEvent::Deliveries(deliveries)) => received.extend(deliveries),
            Ok(SourceEvent::Rebuilt { reason, .. }) => {
                assert!(reason.contains("damaged"), "{reason}");
                lives += 1;
                assert!(lives <= 4, "they take turns");
                received.clear();
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(lives, 4, "one for each of the damaged, and the last");
    for delivery in &received {
        let envelope = &delivery.envelope;
        let damaged = broker.stored.lock().unwrap().damaged.contains(&envelope.at.entry);
        assert_eq!(envelope.unreadable.is_some(), damaged, "{envelope:?}");
    }
    settle(&*source, received);
    close(source).await;
    assert!(broker.stored.lock().unwrap().left.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_falls_silent_is_given_up_and_waited_for() {
    let broker = FalseBroker::start(2, []).await;
    let silence = Duration::from_millis(600);
    let mut source = source(
        &queue_at(&broker.url, NOBODY).with_keep_alive(silence),
        "one",
        100,
    )
    .await;
    let received = receive(&mut *source, 2).await;
    sleep(4 * silence).await;
    assert_eq!(source.connected(), Ok(()), "a broker that answers is kept");
    broker.stored.lock().unwrap().silent = true;
    eventually(SOON, || async { source.connected().is_err().then_some(()) }).await;
    settle(&*source, received);
    broker.stored.lock().unwrap().silent = false;
    let reason = rebuilt(&mut *source, 2 * SOON).await;
    assert!(!reason.is_empty());
    let received = receive(&mut *source, 2).await;
    settle(&*source, received);
    close(source).await;
    assert!(broker.stored.lock().unwrap().left.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_is_waited_for() {
    let mut broker = FalseBroker::start(3, []).await;
    let mut source = source(&queue_at(&broker.url, NOBODY), "one", 100).await;
    let mut received = receive(&mut *source, 3).await;
    settle(&*source, vec![received.remove(0)]);
    let left = || broker.stored.lock().unwrap().left.len();
    eventually(SOON, || async { (left() == 2).then_some(()) }).await;
    broker.kill().await;
    eventually(SOON, || async { source.connected().is_err().then_some(()) }).await;
    // Several attempts in vain.
    sleep(Duration::from_secs(2)).await;
    settle(&*source, received);
    broker.start_again().await;
    rebuilt(&mut *source, SOON).await;
    let received = receive(&mut *source, 2).await;
    assert_eq!(texts(&received), ["1", "2"], "what was not settled before");
    settle(&*source, received);
    close(source).await;
    assert!(broker.stored.lock().unwrap().left.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_to_a_broker_that_goes_fails_in_bounded_time() {
    let broker = FalseBroker::start(0, []).await;
    let sink = queue_at(&broker.url, NOBODY).command_sink().await.unwrap();
    let message = || OutgoingMessage {
        payload: b"away".to_vec(),
        ..OutgoingMessage::default()
    };
    let start = Instant::now();
    let under_way = sink.send(message()).await.unwrap();
    drop(broker);
    let later = async { sink.send(message()).await?.await };
    let (first, second) = tokio::join!(under_way, later);
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert!(error.is_transient(), "{error}");
    }
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "in bounded time: {:?}",
        start.elapsed()
    );
}

/// A broker of its own that stops, comes back, freezes, thaws and is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_and_comes_is_waited_for() {
    let server = PulsarServer::start().await;
    let queue = queue_at(&server.url(), &server.admin_url()).with_keep_alive(Duration::from_secs(6));
    queue.prepare().await.unwrap();
    let sink = queue.command_sink().await.unwrap();
    let store = async |text: &str| {
        let message = OutgoingMessage {
            payload: text.into(),
            ..OutgoingMessage::default()
        };
        sink.send(message).await?.await
    };
    store("before").await.unwrap();
    let mut source = source(&queue, "one", 100).await;
    assert_eq!(texts(&receive(&mut *source, 1).await), ["before"]);

    // Gracefully: after a kill a standalone has to be started twice, which takes half a minute more.
    server.stop().await;
    eventually(SOON, || async { source.connected().is_err().then_some(()) }).await;
    let error = queue.ping().await.unwrap_err();
    assert!(error.is_transient(), "{error}");

    // Stored or not: that depends on which of the two is quicker.
    let (away, ()) = tokio::join!(store("away"), server.start_again());
    if let Err(error) = away {
        assert!(error.is_transient(), "{error}");
    }
    rebuilt(&mut *source, 2 * SOON).await;
    let received = receive(&mut *source, 1).await;
    assert_eq!(texts(&received)[0], "before", "it was not settled");
    settle(&*source, received);
    eventually(2 * SOON, || async { store("after").await.ok() }).await;
    let mut received = receive(&mut *source, 1).await;
    // The one that was sent while the broker was away: its error meant unknown, not "not stored".
    received.retain(|delivery| &delivery.envelope.payload[..] != b"away");
    if received.is_empty() {
        received = receive(&mut *source, 1).await;
    }
    assert_eq!(texts(&received)[0], "after");
    queue.ping().await.unwrap();

    server.signal(Signal::Stop);
    eventually(3 * SOON, || async { source.connected().is_err().then_some(()) }).await;
    server.signal(Signal::Continue);
    rebuilt(&mut *source, 4 * SOON).await;
    assert_eq!(source.connected(), Ok(()));

    server.kill();
    let start = Instant::now();
    let closed = source.close(Duration::from_secs(3)).await;
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    if let Err(error) = closed {
        assert!(matches!(error, QueueError::Unavailable { .. }), "{error}");
    }
}
