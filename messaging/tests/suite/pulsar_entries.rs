//! Entries: batches are acknowledged as a whole, codecs are opened, what cannot be opened is kept and passed.

use crate::harness::{
    Deployment, QUIET, SOON, close, numbers, receive, receive_until_quiet, send, settle, source, texts,
};
use crate::raw_producer::{PUBLISHED, RawProducer, batch, metadata};
use messaging::{CommandSource, Delivery};
use pulsar::message::Metadata;
use pulsar::message::proto::{CompressionType, EncryptionKeys};
use std::collections::BTreeSet;
use testkit::eventually;
use tokio::time::sleep;

const BATCH: [(&str, &str); 4] = [("a", "0"), ("b", "1"), ("a", "2"), ("c", "3")];

/// Settles one after the other; the broker's own count must stay until the last and then go.
async fn settle_one_by_one(deployment: &Deployment, source: &dyn CommandSource, deliveries: Vec<Delivery>) {
    let last = deliveries.len() - 1;
    for (number, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(
            deployment.broker_backlog().await,
            1,
            "before message {number} of the order"
        );
        settle(source, vec![delivery]);
        if number < last {
            sleep(QUIET / 4).await;
        }
    }
    eventually(SOON, || async {
        (deployment.broker_backlog().await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batched_entry_is_acknowledged_when_all_its_messages_are_settled_in_any_order() {
    let deployment = Deployment::prepared(0).await;
    let mut producer = RawProducer::open(&deployment.topics.commands).await;
    let mut source = source(&deployment.queue(), "one", 100).await;
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let id = producer.send_batch(&BATCH).await;
        let mut received: Vec<Option<Delivery>> =
            receive(&mut *source, 4).await.into_iter().map(Some).collect();
        for (index, delivery) in received.iter().flatten().enumerate() {
            let envelope = &delivery.envelope;
            assert_eq!(
                (envelope.key.as_deref(), &envelope.payload[..]),
                (Some(BATCH[index].0), BATCH[index].1.as_bytes())
            );
            assert_eq!(
                (envelope.at.ledger, envelope.at.entry),
                (id.ledger_id, id.entry_id)
            );
            assert_eq!(envelope.at.batch_index, i32::try_from(index).unwrap());
            assert_eq!(
                (&*envelope.producer, envelope.sequence_id),
                ("raw", 100 + index as u64)
            );
            assert_eq!(
                envelope.publish_time.timestamp_millis(),
                i64::try_from(PUBLISHED).unwrap()
            );
        }
        let ordered = order.map(|index: usize| received[index].take().unwrap());
        settle_one_by_one(&deployment, &*source, ordered.into()).await;
    }
    close(source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_settled_in_part_comes_again_whole() {
    let deployment = Deployment::prepared(0).await;
    RawProducer::open(&deployment.topics.commands)
        .await
        .send_batch(&BATCH)
        .await;
    let mut first = source(&deployment.queue(), "first", 100).await;
    let mut received = receive(&mut *first, 4).await;
    drop(received.pop());
    settle(&*first, received);
    close(first).await;
    let mut second = source(&deployment.queue(), "second", 100).await;
    assert_eq!(texts(&receive(&mut *second, 4).await), ["0", "1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_of_single_and_batched_entries_is_acknowledged_entry_by_entry() {
    let deployment = Deployment::prepared(0).await;
    let mut producer = RawProducer::open(&deployment.topics.commands).await;
    producer.send(metadata(), b"single".to_vec()).await;
    producer.send_batch(&BATCH).await;
    producer.send_batch(&BATCH[..1]).await;
    producer.send(metadata(), b"single".to_vec()).await;
    let mut source = source(&deployment.queue(), "one", 100).await;
    let mut received = receive(&mut *source, 7).await;
    let indices: Vec<i32> = received
        .iter()
        .map(|delivery| delivery.receipt.at().batch_index)
        .collect();
    assert_eq!(indices, [-1, 0, 1, 2, 3, 0, -1]);
    let held = received.remove(2);
    settle(&*source, received);
    eventually(SOON, || async {
        (deployment.broker_backlog().await == 1).then_some(())
    })
    .await;
    sleep(QUIET).await;
    assert_eq!(
        deployment.broker_backlog().await,
        1,
        "the batch with one message out"
    );
    settle(&*source, vec![held]);
    close(source).await;
    assert_eq!(deployment.broker_backlog().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_own_batches_and_codecs_are_read() {
    use pulsar::compression::{
        Compression, CompressionLz4, CompressionSnappy, CompressionZlib, CompressionZstd,
    };
    let deployment = Deployment::prepared(0).await;
    let mut source = source(&deployment.queue(), "one", 1000).await;
    let client = pulsar::Pulsar::builder(testkit::pulsar_url(), pulsar::TokioExecutor)
        .build()
        .await
        .unwrap();
    for compression in [
        None,
        Some(Compression::Lz4(CompressionLz4::default())),
        Some(Compression::Zlib(CompressionZlib::default())),
        Some(Compression::Zstd(CompressionZstd::default())),
        Some(Compression::Snappy(CompressionSnappy::default())),
    ] {
        for batch_size in [None, Some(10)] {
            let options = pulsar::ProducerOptions {
                batch_size,
                compression: compression.clone(),
                block_queue_if_full: true,
                ..Default::default()
            };
            let builder = client
                .producer()
                .with_topic(&deployment.topics.commands)
                .with_options(options);
            let mut producer = Box::pin(builder.build()).await.unwrap();
            for text in numbers(20) {
                drop(
                    Box::pin(producer.send_non_blocking(text.repeat(50)))
                        .await
                        .unwrap(),
                );
            }
            if batch_size.is_some() {
                producer.send_batch().await.unwrap();
            }
            let received = receive(&mut *source, 20).await;
            let expected: Vec<String> = numbers(20).iter().map(|text| text.repeat(50)).collect();
            assert_eq!(texts(&received), expected);
            assert_eq!(
                received[19].receipt.at().batch_index,
                batch_size.map_or(-1, |_| 9)
            );
            settle(&*source, received);
        }
    }
    close(source).await;
    assert_eq!(deployment.broker_backlog().await, 0);
}

/// Java, Go and C++ write snappy as one bare block; the Rust client writes a stream and reads nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_snappy_block_is_read() {
    let deployment = Deployment::prepared(0).await;
    let plain = batch(&BATCH);
    let metadata = Metadata {
        compression: Some(CompressionType::Snappy as i32),
        uncompressed_size: u32::try_from(plain.len()).ok(),
        num_messages_in_batch: Some(4),
        ..metadata()
    };
    let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    RawProducer::open(&deployment.topics.commands)
        .await
        .send(metadata, packed)
        .await;
    let mut source = source(&deployment.queue(), "one", 100).await;
    assert_eq!(texts(&receive(&mut *source, 4).await), ["0", "1", "2", "3"]);
}

/// Words of the reason, and metadata that no client of ours can follow.
fn unreadable() -> [(&'static str, Metadata); 8] {
    let packed = |codec, size| Metadata {
        compression: Some(codec),
        uncompressed_size: Some(size),
        ..metadata()
    };
    let encrypted = EncryptionKeys {
        key: "k".into(),
        value: vec![1],
        metadata: vec![],
    };
    [
        ("lz4", packed(1, 500)),
        ("zlib", packed(2, 500)),
        ("zstd", packed(3, 500)),
        ("snappy", packed(4, 500)),
        ("above the limit", packed(3, u32::MAX)),
        (
            "batch",
            Metadata {
                num_messages_in_batch: Some(3),
                ..metadata()
            },
        ),
        (
            "chunk 1 of 2",
            Metadata {
                num_chunks_from_msg: Some(2),
                chunk_id: Some(0),
                ..metadata()
            },
        ),
        (
            "encrypted",
            Metadata {
                encryption_keys: vec![encrypted],
                ..metadata()
            },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_cannot_be_opened_is_handed_over_raw_and_passed() {
    const RAW: &[u8] = b"\xff\x00no codec ever wrote this";
    let deployment = Deployment::prepared(0).await;
    let queue = deployment.queue();
    let mut producer = RawProducer::open(&deployment.topics.commands).await;
    let mut one = source(&queue, "one", 100).await;
    for (words, metadata) in unreadable() {
        producer.send(self::metadata(), b"before".to_vec()).await;
        let id = producer.send(metadata, RAW.to_vec()).await;
        producer.send(self::metadata(), b"after".to_vec()).await;
        let received = receive(&mut *one, 3).await;
        let envelope = &received[1].envelope;
        let reason = envelope
            .unreadable
            .as_deref()
            .unwrap_or_else(|| panic!("{words}: readable"));
        assert!(reason.contains(words), "{words}: {reason}");
        assert_eq!(
            (&envelope.payload[..], envelope.key.as_deref()),
            (RAW, Some("envelope")),
            "{words}"
        );
        assert_eq!(
            (envelope.at.ledger, envelope.at.entry, envelope.at.batch_index),
            (id.ledger_id, id.entry_id, -1)
        );
        assert_eq!(envelope.property("kind"), Some("raw"), "{words}");
        assert!(
            received
                .iter()
                .step_by(2)
                .all(|delivery| delivery.envelope.unreadable.is_none())
        );
        settle(&*one, received);
    }
    close(one).await;
    assert_eq!(deployment.broker_backlog().await, 0);
    let mut two = source(&queue, "two", 100).await;
    assert_eq!(texts(&receive_until_quiet(&mut *two).await), [""; 0]);
}

/// A large entry among small ones, and a window that is smaller than any entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_larger_than_the_window_pass() {
    let deployment = Deployment::prepared(0).await;
    let queue = deployment.queue();
    let mut producer = RawProducer::open(&deployment.topics.commands).await;
    let texts_of_batch = numbers(500);
    let messages: Vec<(&str, &str)> = texts_of_batch.iter().map(|text| ("k", text.as_str())).collect();
    for _ in 0..20 {
        producer.send_batch(&messages).await;
    }
    producer.send(metadata(), vec![b'x'; 4 * 1024 * 1024]).await;
    send(&queue, None, numbers(3)).await;
    let mut source = source(&queue, "one", 1).await;
    for _ in 0..20 {
        let received = receive(&mut *source, 500).await;
        assert_eq!(received.len(), 500, "an entry at a time");
        settle(&*source, received);
    }
    let received = receive(&mut *source, 1).await;
    assert_eq!(received[0].envelope.payload.len(), 4 * 1024 * 1024);
    settle(&*source, received);
    let received = receive(&mut *source, 3).await;
    settle(&*source, received);
    close(source).await;
    assert_eq!(deployment.broker_backlog().await, 0);
}

/// The broker takes off its permits what an entry claims to hold. What a sender makes up must neither starve the
/// subscription nor ask the broker for permits that it cannot count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_claim_any_number_of_messages_do_not_stop_what_follows() {
    let deployment = Deployment::prepared(0).await;
    let queue = deployment.queue();
    let mut producer = RawProducer::open(&deployment.topics.commands).await;
    let mut source = source(&queue, "one", 20).await;
    let claims: [&[i32]; 5] = [
        &[i32::MAX],
        &[i32::MAX, i32::MAX],
        &[0, 0, 0],
        &[-1000],
        &[i32::MIN],
    ];
    for claimed in claims {
        let mut left = BTreeSet::new();
        for count in claimed {
            let metadata = Metadata {
                num_messages_in_batch: Some(*count),
                ..metadata()
            };
            left.insert(producer.send(metadata, b"not so many".to_vec()).await.entry_id);
        }
        for _ in 0..50 {
            left.insert(producer.send(metadata(), b"after".to_vec()).await.entry_id);
        }
        while !left.is_empty() {
            for delivery in receive(&mut *source, 1).await {
                // What was under way when the subscription began anew comes again.
                left.remove(&delivery.envelope.at.entry);
                settle(&*source, vec![delivery]);
            }
        }
    }
    eventually(SOON, || async { source.connected().ok() }).await;
    let rest = receive_until_quiet(&mut *source).await;
    settle(&*source, rest);
    close(source).await;
    assert_eq!(deployment.broker_backlog().await, 0);
}
