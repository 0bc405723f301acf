//! Entries as senders of every kind write them.

use super::*;
use pulsar::message::proto::KeyValue;

fn id() -> MessageIdData {
    MessageIdData {
        ledger_id: 3,
        entry_id: 9,
        ..MessageIdData::default()
    }
}

fn metadata() -> Metadata {
    Metadata {
        producer_name: "p".into(),
        sequence_id: 5,
        publish_time: 1_700_000_000_123,
        ..Metadata::default()
    }
}

/// An entry's body as a broker sends it.
fn body(metadata: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut rest = u32::try_from(metadata.len()).unwrap().to_be_bytes().to_vec();
    rest.extend(metadata);
    rest.extend(payload);
    let mut body = CHECKSUM_MAGIC.to_be_bytes().to_vec();
    body.extend(CRC32C.checksum(&rest).to_be_bytes());
    body.extend(rest);
    body
}

fn read(body: Vec<u8>, trust: bool) -> Result<(Opened, Vec<Delivery>, Cost), Damaged> {
    let mut reader = EntryReader::new("topic".into(), 2, 77);
    let (mut deliveries, mut cost) = (Vec::new(), Cost::default());
    let opened = reader.read(&id(), body.into(), trust, &mut deliveries, &mut cost)?;
    Ok((opened, deliveries, cost))
}

fn single(metadata: &Metadata, payload: &[u8]) -> Envelope {
    let (_, mut deliveries, _) = read(body(&metadata.encode_to_vec(), payload), false).unwrap();
    assert_eq!(deliveries.len(), 1);
    deliveries.remove(0).envelope
}

#[test]
fn a_message_arrives_with_all_that_its_sender_said() {
    let metadata = Metadata {
        partition_key: Some("user".into()),
        properties: vec![KeyValue {
            key: "a".into(),
            value: "b".into(),
        }],
        ..metadata()
    };
    let envelope = single(&metadata, b"{}");
    assert_eq!(
        envelope.at,
        Coordinates {
            partition: 2,
            ledger: 3,
            entry: 9,
            batch_index: -1
        }
    );
    assert_eq!(envelope.key.as_deref(), Some("user"));
    assert_eq!(
        (&envelope.payload[..], envelope.property("a")),
        (&b"{}"[..], Some("b"))
    );
    assert_eq!((&*envelope.producer, envelope.sequence_id), ("p", 5));
    assert_eq!(envelope.publish_time.timestamp_millis(), 1_700_000_000_123);
    assert_eq!(envelope.unreadable, None);
}

#[test]
fn the_ordering_key_wins_and_keys_in_base64_are_decoded() {
    let key = |ordering: Option<&[u8]>, partition: &str, encoded| {
        let metadata = Metadata {
            ordering_key: ordering.map(<[u8]>::to_vec),
            partition_key: Some(partition.into()),
            partition_key_b64_encoded: encoded,
            ..metadata()
        };
        single(&metadata, b"").key.unwrap().to_string()
    };
    assert_eq!(key(Some(b"order"), "user", None), "order");
    assert_eq!(key(None, "dXNlcg==", Some(true)), "user");
    assert_eq!(
        key(None, "dXNlcg==", None),
        "dXNlcg==",
        "only when it is said to be"
    );
    assert_eq!(key(None, "not base64", Some(true)), "not base64");
    assert_eq!(
        key(None, "/wA=", Some(true)),
        "/wA=",
        "bytes that are no text stay base64"
    );
    assert_eq!(key(Some(&[0xff, 0x00]), "user", None), "/wA=");
    assert_eq!(single(&metadata(), b"").key, None);
}

#[test]
fn metadata_that_cannot_be_decoded_is_unreadable_not_fatal() {
    // A key that is no UTF-8, as a C++ producer can write it.
    let mut bytes = metadata().encode_to_vec();
    bytes.extend([6 << 3 | 2, 2, 0xff, 0xfe]);
    let (opened, deliveries, _) = read(body(&bytes, b"raw"), false).unwrap();
    assert!(!opened.batched);
    let envelope = &deliveries[0].envelope;
    assert!(
        envelope.unreadable.as_deref().unwrap().contains("metadata"),
        "{envelope:?}"
    );
    assert_eq!(&envelope.payload[..], b"raw");
    for body in [vec![], vec![0, 0], vec![0, 0, 0, 9, 1]] {
        let (_, deliveries, _) = read(body.clone(), false).unwrap();
        let envelope = &deliveries[0].envelope;
        assert!(envelope.unreadable.is_some());
        assert_eq!(envelope.payload[..], body[..]);
    }
}

#[test]
fn damaged_bytes_are_refused_once_and_then_kept_as_unreadable() {
    let mut bytes = body(&metadata().encode_to_vec(), b"payload");
    *bytes.last_mut().unwrap() ^= 1;
    assert!(read(bytes.clone(), false).is_err());
    let (_, deliveries, _) = read(bytes, true).unwrap();
    assert!(
        deliveries[0]
            .envelope
            .unreadable
            .as_deref()
            .unwrap()
            .contains("checksum")
    );
    assert_eq!(&deliveries[0].envelope.payload[..], b"payloae");
}

#[test]
fn messages_that_compaction_took_out_are_left_out() {
    let mut payload = Vec::new();
    for out in [true, false, true] {
        let single = SingleMessageMetadata {
            payload_size: 1,
            compacted_out: Some(out),
            ..Default::default()
        };
        payload.extend(u32::try_from(single.encoded_len()).unwrap().to_be_bytes());
        single.encode(&mut payload).unwrap();
        payload.push(b'x');
    }
    let metadata = Metadata {
        num_messages_in_batch: Some(3),
        ..metadata()
    };
    let (opened, deliveries, cost) = read(body(&metadata.encode_to_vec(), &payload), false).unwrap();
    assert_eq!(
        (opened.permits, opened.batched, cost.messages),
        (Some(3), true, 1)
    );
    assert_eq!(deliveries[0].receipt.at.batch_index, 1);
}

#[test]
fn a_batch_cut_short_is_unreadable_as_a_whole() {
    let single = SingleMessageMetadata {
        payload_size: 4,
        ..Default::default()
    };
    let mut payload = u32::try_from(single.encoded_len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    single.encode(&mut payload).unwrap();
    payload.extend(b"full");
    let whole = payload.clone();
    payload.extend(&whole);
    let metadata = Metadata {
        num_messages_in_batch: Some(2),
        ..metadata()
    };
    assert_eq!(
        read(body(&metadata.encode_to_vec(), &payload), false)
            .unwrap()
            .1
            .len(),
        2
    );
    for cut in 0..payload.len() {
        let (opened, deliveries, cost) =
            read(body(&metadata.encode_to_vec(), &payload[..cut]), false).unwrap();
        assert_eq!(
            (deliveries.len(), cost.messages, opened.batched),
            (1, 1, false),
            "cut at {cut}"
        );
        assert!(deliveries[0].envelope.unreadable.is_some(), "cut at {cut}");
    }
}

/// A batch of these messages, zipped.
fn zipped(count: i32, batch: &[u8], metadata: Metadata) -> Vec<u8> {
    let metadata = Metadata {
        num_messages_in_batch: Some(count),
        compression: Some(CompressionType::Zstd as i32),
        uncompressed_size: u32::try_from(batch.len()).ok(),
        ..metadata
    };
    let packed = zstd::stream::encode_all(batch, 3).unwrap();
    body(&metadata.encode_to_vec(), &packed)
}

fn unreadable(body: Vec<u8>) -> (Opened, Envelope, Cost) {
    let (opened, mut deliveries, cost) = read(body, false).unwrap();
    assert_eq!(deliveries.len(), 1);
    assert!(deliveries.capacity() <= MAX_MESSAGES, "{}", deliveries.capacity());
    let envelope = deliveries.remove(0).envelope;
    assert!(envelope.unreadable.is_some());
    (opened, envelope, cost)
}

/// A message without anything takes four bytes, which are zero: 16 MiB of them were 1 GB of deliveries.
#[test]
fn a_small_frame_does_not_become_millions_of_messages() {
    let zeros = vec![0; 16 * 1024 * 1024];
    let body = zipped(4 * 1024 * 1024, &zeros, metadata());
    assert!(body.len() < 10_000, "{}", body.len());
    let (opened, envelope, cost) = unreadable(body);
    let reason = envelope.unreadable.unwrap();
    assert!(reason.contains("above the limit of 20000"), "{reason}");
    assert_eq!((opened.permits, opened.batched), (None, false));
    assert_eq!((cost.messages, cost.bytes), (1, zeros.len()));

    let most = i32::try_from(MAX_MESSAGES).unwrap();
    let (_, deliveries, _) = read(zipped(most, &zeros[..4 * MAX_MESSAGES], metadata()), false).unwrap();
    assert_eq!(deliveries.len(), MAX_MESSAGES, "as many as are allowed");
}

#[test]
fn the_key_of_an_entry_is_one_and_counts_for_each_of_its_messages() {
    let with_key = |length: usize| Metadata {
        partition_key: Some("k".repeat(length)),
        ..metadata()
    };
    let (_, deliveries, cost) = read(zipped(100, &[0; 400], with_key(100_000)), false).unwrap();
    let keys: Vec<_> = deliveries
        .iter()
        .map(|delivery| delivery.envelope.key.as_ref().unwrap())
        .collect();
    assert!(keys.iter().all(|key| Arc::ptr_eq(key, keys[0])));
    assert!(cost.bytes > 100 * 100_000, "{cost:?}");
    let (_, envelope, _) = unreadable(zipped(1000, &[0; 4000], with_key(100_000)));
    let reason = envelope.unreadable.unwrap();
    assert!(reason.contains("more than 67108864 bytes"), "{reason}");
}

#[test]
fn properties_of_two_bytes_each_are_bounded() {
    let properties = |count| SingleMessageMetadata {
        properties: vec![KeyValue::default(); count],
        ..Default::default()
    };
    let batch = |single: &SingleMessageMetadata, count| {
        let mut one = u32::try_from(single.encoded_len())
            .unwrap()
            .to_be_bytes()
            .to_vec();
        single.encode(&mut one).unwrap();
        one.repeat(count)
    };
    let (_, deliveries, cost) = read(zipped(3, &batch(&properties(1000), 3), metadata()), false).unwrap();
    assert_eq!(deliveries.len(), 3);
    assert!(cost.bytes > 3 * 1000 * 48, "{cost:?}");
    for (single, count, words) in [
        (properties(300_000), 1, "metadata of"),
        (properties(100_000), 20, "take more than"),
    ] {
        let (_, envelope, _) = unreadable(zipped(
            i32::try_from(count).unwrap(),
            &batch(&single, count),
            metadata(),
        ));
        let reason = envelope.unreadable.unwrap();
        assert!(reason.contains(words), "{reason}");
    }
    let long = Metadata {
        partition_key: Some("k".repeat(MAX_METADATA)),
        ..metadata()
    };
    let (_, envelope, _) = unreadable(body(&long.encode_to_vec(), b"raw"));
    assert_eq!((&envelope.payload[..], envelope.key), (&b"raw"[..], None));
}

#[test]
fn a_small_message_costs_the_frame_in_which_it_lies() {
    let large = Metadata {
        producer_name: "p".repeat(100_000),
        ..metadata()
    };
    let (_, deliveries, cost) = read(body(&large.encode_to_vec(), b"x"), false).unwrap();
    assert!(deliveries[0].envelope.weight() < 1000);
    assert!(cost.bytes > 100_000, "{cost:?}");
}

/// After a broker was set up anew the same coordinates come again; metadata that tells nothing must not make two
/// entries one.
#[test]
fn entries_of_which_nothing_can_be_told_are_known_by_their_bytes() {
    let producer = |body: Vec<u8>| read(body, true).unwrap().1.remove(0).envelope.producer;
    let mut damaged = body(&metadata().encode_to_vec(), b"payload");
    *damaged.last_mut().unwrap() ^= 1;
    let all = [
        producer(vec![0, 0]),
        producer(vec![0, 0, 0, 9, 1]),
        producer(body(&[0xff], b"one")),
        producer(body(&[0xff], b"two")),
        producer(body(&[0xfe], b"two")),
        producer(damaged.clone()),
    ];
    for (index, producer_) in all.iter().enumerate() {
        let hex = producer_.strip_prefix("unreadable:").expect("its mark");
        assert!(
            hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{hex}"
        );
        assert!(!all[..index].contains(producer_), "{all:?}");
    }
    assert_eq!(producer(damaged), all[5], "and the same on every redelivery");
    assert_eq!(&*producer(body(&metadata().encode_to_vec(), b"")), "p");
}

#[test]
fn permits_are_counted_as_the_broker_does_unless_the_claim_is_absurd() {
    for (claimed, permits) in [
        (None, Some(1)),
        (Some(1), Some(1)),
        (Some(30_000), Some(30_000)),
        (Some(0), None),
        (Some(-1), None),
        (Some(i32::MIN), None),
        (Some(i32::MAX), None),
    ] {
        let metadata = Metadata {
            num_messages_in_batch: claimed,
            ..metadata()
        };
        let (opened, ..) = read(body(&metadata.encode_to_vec(), b"one"), false).unwrap();
        assert_eq!(opened.permits, permits, "{claimed:?}");
    }
}
