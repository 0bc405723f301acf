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
        single(&metadata, b"").key.unwrap()
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
    assert_eq!((opened.permits, opened.batched, cost.messages), (3, true, 1));
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
