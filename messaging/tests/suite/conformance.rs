//! What every backend promises. Each function gets a prepared, empty queue; a backend's tests call them all.

use crate::harness::{close, numbers, receipts, receive, receive_until_quiet, send, settle, source, texts};
use messaging::{Queue, SourceEvent};
use std::collections::HashMap;
use std::time::Duration;
use testkit::eventually;
use tokio::time::timeout;

/// What was sent arrives as it was sent; what is settled does not come again.
pub(crate) async fn what_is_settled_does_not_come_again(queue: &dyn Queue) {
    send(queue, Some("k"), numbers(50)).await;
    let mut first = source(queue, "first", 1000).await;
    let received = receive(&mut *first, 50).await;
    assert_eq!(texts(&received), numbers(50));
    for delivery in &received {
        let envelope = &delivery.envelope;
        assert_eq!(envelope.key.as_deref(), Some("k"));
        assert_eq!(envelope.property("n"), Some("1"));
        assert_eq!(envelope.unreadable, None);
        assert_eq!(delivery.receipt.at(), envelope.at);
    }
    settle(&*first, received);
    close(first).await;
    let mut second = source(queue, "second", 1000).await;
    assert_eq!(texts(&receive_until_quiet(&mut *second).await), [""; 0]);
    assert_eq!(queue.backlog().await.expect("the backlog").messages, 0);
}

/// What is not settled comes again, to the next source, and nothing else does.
pub(crate) async fn what_is_not_settled_comes_again(queue: &dyn Queue) {
    send(queue, Some("k"), numbers(20)).await;
    let mut first = source(queue, "first", 1000).await;
    let mut received = receive(&mut *first, 20).await;
    let kept = received.split_off(12);
    settle(&*first, received);
    close(first).await;
    drop(kept);
    let mut second = source(queue, "second", 1000).await;
    let again = receive_until_quiet(&mut *second).await;
    assert_eq!(texts(&again), numbers(20)[12..]);
    assert!(queue.backlog().await.expect("the backlog").messages > 0);
    settle(&*second, again);
    close(second).await;
    assert_eq!(queue.backlog().await.expect("the backlog").messages, 0);
}

/// A source that is dropped without a close, as in a crash, leaves what it had to others.
pub(crate) async fn a_source_that_vanishes_leaves_its_messages(queue: &dyn Queue) {
    send(queue, None, numbers(10)).await;
    let mut first = source(queue, "first", 1000).await;
    let received = receive(&mut *first, 10).await;
    drop(first);
    drop(received);
    let mut second = source(queue, "second", 1000).await;
    let mut again = texts(&receive(&mut *second, 10).await);
    again.sort_by_key(|text| text.parse::<usize>().ok());
    assert_eq!(again, numbers(10));
}

/// Two sources share the keys, and each key arrives in order.
pub(crate) async fn keys_keep_their_order_over_two_sources(queue: &dyn Queue) {
    const KEYS: usize = 20;
    const EACH: usize = 25;
    let (mut one, mut two) = (source(queue, "one", 100).await, source(queue, "two", 100).await);
    let sink = queue.command_sink().await.expect("a sink");
    let mut sendings = Vec::new();
    for number in 0..EACH {
        for key in 0..KEYS {
            let message = messaging::OutgoingMessage {
                key: Some(format!("user-{key}")),
                payload: number.to_string().into_bytes(),
                properties: Vec::new(),
            };
            sendings.push(sink.send(message).await.expect("hand a message over"));
        }
    }
    for sending in sendings {
        sending.await.expect("store a message");
    }
    let mut seen: HashMap<String, Vec<usize>> = HashMap::new();
    let mut by_source = [0_usize; 2];
    let deadline = tokio::time::Instant::now() + crate::harness::SOON;
    while by_source.iter().sum::<usize>() < KEYS * EACH {
        let (index, event) = tokio::select! {
            event = one.next() => (0, event),
            event = two.next() => (1, event),
            () = tokio::time::sleep_until(deadline) => panic!("{by_source:?} of {} came", KEYS * EACH),
        };
        let SourceEvent::Deliveries(deliveries) = event.expect("the source works") else {
            continue;
        };
        by_source[index] += deliveries.len();
        for delivery in &deliveries {
            let number = String::from_utf8_lossy(&delivery.envelope.payload)
                .parse()
                .expect("a number");
            seen.entry(delivery.envelope.key.clone().expect("a key").to_string())
                .or_default()
                .push(number);
        }
        settle(if index == 0 { &*one } else { &*two }, deliveries);
    }
    assert_eq!(seen.len(), KEYS);
    for (key, numbers) in seen {
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>(), "{key}");
    }
    assert!(
        by_source.iter().all(|count| *count > 0),
        "both work: {by_source:?}"
    );
    close(one).await;
    close(two).await;
    assert_eq!(queue.backlog().await.expect("the backlog").messages, 0);
}

/// A receiver that takes nothing more is not fed without end, and what it settles goes out all the same.
pub(crate) async fn a_slow_receiver_is_bounded_and_its_settled_messages_go(queue: &dyn Queue) {
    const WINDOW: usize = 50;
    send(queue, Some("k"), numbers(1000)).await;
    let mut slow = source(queue, "slow", WINDOW).await;
    let received = receive(&mut *slow, 10).await;
    let taken = received.len() as u64;
    assert!(taken < 1000, "the window holds it back");
    // From here on it takes nothing.
    slow.settler().settle(receipts(received));
    eventually(crate::harness::SOON, || async {
        let left = queue.backlog().await.expect("the backlog").messages;
        (left == 1000 - taken).then_some(())
    })
    .await;
    // And it is fed again when it takes again.
    let rest = receive(&mut *slow, 1000 - usize::try_from(taken).expect("small")).await;
    settle(&*slow, rest);
    close(slow).await;
    assert_eq!(queue.backlog().await.expect("the backlog").messages, 0);
}

/// The drain: stop taking, settle what is out, close; nothing is left of what was taken, nothing else was taken.
pub(crate) async fn a_drain_acknowledges_what_was_taken_and_leaves_the_rest(queue: &dyn Queue) {
    send(queue, Some("k"), numbers(300)).await;
    let mut source_ = source(queue, "drained", 200).await;
    let received = receive(&mut *source_, 100).await;
    let taken = received.len();
    source_.stop_taking();
    let more = timeout(Duration::from_millis(300), source_.next()).await;
    assert!(more.is_err(), "nothing comes after stop_taking: {more:?}");
    settle(&*source_, received);
    close(source_).await;
    assert_eq!(
        queue.backlog().await.expect("the backlog").messages,
        300 - taken as u64
    );
    let mut next = source(queue, "next", 1000).await;
    let rest = receive(&mut *next, 300 - taken).await;
    assert_eq!(texts(&rest), numbers(300)[taken..]);
}

/// `next` may be dropped at any await, as a `select!` does, and loses nothing.
pub(crate) async fn next_loses_nothing_when_it_is_dropped(queue: &dyn Queue) {
    let mut source = source(queue, "cancelled", 100).await;
    let sending = send(queue, Some("k"), numbers(400));
    let receiving = async {
        let mut received = Vec::new();
        while received.len() < 400 {
            let Ok(event) = timeout(Duration::from_micros(200), source.next()).await else {
                continue;
            };
            if let SourceEvent::Deliveries(deliveries) = event.expect("the source works") {
                received.extend(texts(&deliveries));
                settle(&*source, deliveries);
            }
        }
        received
    };
    let (received, ()) = tokio::join!(receiving, sending);
    assert_eq!(received, numbers(400));
    close(source).await;
    assert_eq!(queue.backlog().await.expect("the backlog").messages, 0);
}
