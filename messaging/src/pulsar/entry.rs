//! One entry, opened: checksum, metadata, inflation, the messages of a batch.

use super::compression::inflate;
use super::window::Cost;
use crate::{Coordinates, Delivery, Envelope, Receipt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf, Bytes};
use chrono::{DateTime, Utc};
use crc::{CRC_32_ISCSI, Crc};
use prost::Message as _;
use pulsar::message::Metadata;
use pulsar::message::proto::{CompressionType, KeyValue, MessageIdData, SingleMessageMetadata};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What precedes a checksum.
const CHECKSUM_MAGIC: u16 = 0x0e01;

/// Messages of one entry that are believed; clients send 1,000 or so at most. Not its bytes alone bound an entry: a
/// message may take four of them, and a hundred times that as a delivery (invariant 9).
const MAX_MESSAGES: usize = 20_000;
/// What an entry may claim to hold before the broker's count of permits is not trusted any more.
const MAX_CLAIM: u32 = 1_000_000;
/// What the messages of one entry may take together: several times what is inflated at most.
const MAX_WEIGHT: usize = 64 * 1024 * 1024;
/// The metadata of an entry, or of a message in it.
const MAX_METADATA: usize = 1024 * 1024;

/// Opens the entries of one subscription life.
#[derive(Debug)]
pub(super) struct EntryReader {
    topic: Arc<str>,
    partition: i32,
    generation: u64,
    /// The last entry's producer: most entries share theirs with the one before.
    producer: Arc<str>,
}

/// What became of an entry.
#[derive(Debug)]
pub(super) struct Opened {
    /// The permits that it used up: the broker counts the messages that the entry claims to have, whatever it holds.
    /// `None` for a claim that ruins that count.
    pub(super) permits: Option<u32>,
    /// Whether its messages are numbered.
    pub(super) batched: bool,
}

/// The bytes are not those that were sent.
#[derive(Debug)]
pub(super) struct Damaged;

/// An entry's parts, before the payload is inflated.
struct Parts {
    metadata: Result<Metadata, String>,
    payload: Bytes,
}

impl EntryReader {
    /// A reader for one life of one partition.
    pub(super) fn new(topic: Arc<str>, partition: i32, generation: u64) -> Self {
        Self {
            topic,
            partition,
            generation,
            producer: "".into(),
        }
    }

    /// Appends the entry's messages to `into` and their cost to `cost`.
    ///
    /// An entry that cannot be opened becomes one delivery that says so, with its bytes as they are.
    /// `Err` when the checksum is wrong and `trust` is not set.
    pub(super) fn read(
        &mut self,
        id: &MessageIdData,
        body: Bytes,
        trust: bool,
        into: &mut Vec<Delivery>,
        cost: &mut Cost,
    ) -> Result<Opened, Damaged> {
        let raw = body.clone();
        let parts = match split(body) {
            Ok((parts, true)) => parts,
            Ok((_, false)) if !trust => return Err(Damaged),
            Ok((parts, false)) => Parts {
                metadata: Err("its checksum is wrong".into()),
                ..parts
            },
            Err(reason) => Parts {
                metadata: Err(reason),
                payload: raw.clone(),
            },
        };
        let before = into.len();
        let mut held = raw.len();
        let opened = match parts.metadata {
            Ok(metadata) => {
                let opened = payload_of(&metadata, &parts.payload).and_then(|payload| {
                    held = held.max(payload.len());
                    self.messages(id, &metadata, payload, into)
                });
                if let Err(reason) = &opened {
                    into.truncate(before);
                    let mut envelope = self.envelope(id, &metadata);
                    envelope.payload = parts.payload;
                    envelope.properties = pairs(metadata.properties);
                    self.unreadable(envelope, reason, into);
                }
                Opened {
                    permits: u32::try_from(metadata.num_messages_in_batch.unwrap_or(1))
                        .ok()
                        .filter(|claimed| (1..=MAX_CLAIM).contains(claimed)),
                    batched: opened.is_ok() && metadata.num_messages_in_batch.is_some(),
                }
            }
            Err(reason) => {
                let unknown = Metadata {
                    producer_name: producer_of_unknown(&raw),
                    ..Metadata::default()
                };
                let mut envelope = self.envelope(id, &unknown);
                envelope.payload = parts.payload;
                self.unreadable(envelope, &reason, into);
                Opened {
                    permits: Some(1),
                    batched: false,
                }
            }
        };
        let fresh = &into[before..];
        if !fresh.is_empty() {
            // A small message keeps all of the bytes in which it lies.
            let weight: usize = fresh.iter().map(|delivery| delivery.envelope.weight()).sum();
            cost.add(fresh.len(), weight.max(held));
        }
        Ok(opened)
    }

    /// The messages of an inflated payload.
    fn messages(
        &mut self,
        id: &MessageIdData,
        metadata: &Metadata,
        mut payload: Bytes,
        into: &mut Vec<Delivery>,
    ) -> Result<(), String> {
        let mut whole = self.envelope(id, metadata);
        let Some(count) = metadata.num_messages_in_batch else {
            whole.properties = pairs(metadata.properties.clone());
            whole.payload = payload;
            into.push(self.delivery(whole));
            return Ok(());
        };
        // Each has a length field at least: what claims to be more is not believed.
        let most = payload.len() / 4;
        match usize::try_from(count) {
            Ok(count) if MAX_MESSAGES < count => {
                return Err(format!(
                    "a batch of {count} messages, above the limit of {MAX_MESSAGES}"
                ));
            }
            Ok(fits) if (1..=most).contains(&fits) => into.reserve(fits),
            _ => return Err(format!("a batch of {count} messages in {} bytes", payload.len())),
        }
        let mut weight = 0;
        for index in 0..count {
            let (single, body) =
                take_single(&mut payload).map_err(|why| format!("message {index} of its batch: {why}"))?;
            if single.compacted_out == Some(true) {
                continue;
            }
            let own = key(
                single.ordering_key.as_deref(),
                single.partition_key,
                single.partition_key_b64_encoded,
            );
            let envelope = Envelope {
                topic: whole.topic.clone(),
                at: Coordinates {
                    batch_index: index,
                    ..whole.at
                },
                key: own.or_else(|| whole.key.clone()),
                payload: body,
                properties: pairs(single.properties),
                publish_time: whole.publish_time,
                producer: whole.producer.clone(),
                sequence_id: single.sequence_id.unwrap_or(whole.sequence_id),
                unreadable: None,
            };
            weight += envelope.weight();
            if MAX_WEIGHT < weight {
                return Err(format!(
                    "a batch of {count} messages that take more than {MAX_WEIGHT} bytes with their keys and properties"
                ));
            }
            into.push(self.delivery(envelope));
        }
        Ok(())
    }

    /// An envelope of what the entry's metadata says; no payload and no properties yet.
    fn envelope(&mut self, id: &MessageIdData, metadata: &Metadata) -> Envelope {
        if *self.producer != *metadata.producer_name {
            self.producer = metadata.producer_name.as_str().into();
        }
        let at = Coordinates {
            partition: self.partition,
            ledger: id.ledger_id,
            entry: id.entry_id,
            batch_index: -1,
        };
        Envelope {
            topic: self.topic.clone(),
            at,
            key: key(
                metadata.ordering_key.as_deref(),
                metadata.partition_key.clone(),
                metadata.partition_key_b64_encoded,
            ),
            payload: Bytes::new(),
            properties: Vec::new(),
            publish_time: time(metadata.publish_time),
            producer: self.producer.clone(),
            sequence_id: metadata.sequence_id,
            unreadable: None,
        }
    }

    fn unreadable(&self, mut envelope: Envelope, reason: &str, into: &mut Vec<Delivery>) {
        tracing::warn!(message.id = %envelope.at, reason, "an entry cannot be opened");
        envelope.unreadable = Some(reason.to_owned());
        into.push(self.delivery(envelope));
    }

    fn delivery(&self, envelope: Envelope) -> Delivery {
        Delivery {
            receipt: Receipt {
                generation: self.generation,
                at: envelope.at,
            },
            envelope,
        }
    }
}

/// The metadata, the payload, and whether the checksum is right.
fn split(mut body: Bytes) -> Result<(Parts, bool), String> {
    let mut right = true;
    if body.len() >= 6 && u16::from_be_bytes([body[0], body[1]]) == CHECKSUM_MAGIC {
        body.advance(2);
        right = body.get_u32() == CRC32C.checksum(&body);
    }
    if body.len() < 4 {
        return Err("an entry without metadata".into());
    }
    let length = body.get_u32() as usize;
    if body.len() < length {
        return Err("metadata longer than the entry".into());
    }
    let metadata = body.split_to(length);
    let metadata = match check_metadata(length) {
        Ok(()) => {
            Metadata::decode(metadata).map_err(|error| format!("metadata that cannot be decoded: {error}"))
        }
        Err(reason) => Err(reason),
    };
    Ok((
        Parts {
            metadata,
            payload: body,
        },
        right,
    ))
}

/// Decoding makes a property of two bytes: the structs of a list are many times its bytes.
fn check_metadata(length: usize) -> Result<(), String> {
    if length <= MAX_METADATA {
        return Ok(());
    }
    Err(format!(
        "metadata of {length} bytes, above the limit of {MAX_METADATA}"
    ))
}

/// In place of a producer that cannot be told. A message's identity is derived from its producer and coordinates,
/// and a broker that is set up anew gives out the same coordinates again: the bytes tell such entries apart.
fn producer_of_unknown(raw: &[u8]) -> String {
    let hash = Sha256::digest(raw);
    let start: [u8; 8] = hash[..8].try_into().expect("a hash of 32 bytes");
    format!("unreadable:{:016x}", u64::from_be_bytes(start))
}

/// The payload, inflated.
fn payload_of(metadata: &Metadata, payload: &Bytes) -> Result<Bytes, String> {
    if !metadata.encryption_keys.is_empty() {
        return Err("it is encrypted; send it unencrypted".into());
    }
    if let Some(chunks) = metadata.num_chunks_from_msg.filter(|chunks| *chunks > 1) {
        let chunk = metadata.chunk_id.unwrap_or(0) + 1;
        let uuid = metadata.uuid.as_deref().unwrap_or("?");
        return Err(format!(
            "chunk {chunk} of {chunks} of {uuid}; send it in one message"
        ));
    }
    let code = metadata.compression.unwrap_or(0);
    match CompressionType::try_from(code) {
        Ok(CompressionType::None) => Ok(payload.clone()),
        Ok(codec) => inflate(codec, payload, metadata.uncompressed_size.unwrap_or(0)).map(Bytes::from),
        Err(_) => Err(format!("compression {code} is unknown")),
    }
}

/// Cuts one message off the front of a batch.
fn take_single(batch: &mut Bytes) -> Result<(SingleMessageMetadata, Bytes), String> {
    const SHORT: &str = "it is cut short";
    if batch.len() < 4 {
        return Err(SHORT.into());
    }
    let length = batch.get_u32() as usize;
    if batch.len() < length {
        return Err(SHORT.into());
    }
    check_metadata(length)?;
    let single = SingleMessageMetadata::decode(batch.split_to(length)).map_err(|error| error.to_string())?;
    let size = usize::try_from(single.payload_size).map_err(|_| SHORT)?;
    if batch.len() < size {
        return Err(SHORT.into());
    }
    Ok((single, batch.split_to(size)))
}

/// The ordering key, else the partition key. Bytes that are no text are given as base64.
fn key(ordering: Option<&[u8]>, partition: Option<String>, base64_encoded: Option<bool>) -> Option<Arc<str>> {
    if let Some(bytes) = ordering {
        return Some(text_or_base64(bytes).into());
    }
    let partition = partition?;
    let decoded = (base64_encoded == Some(true)).then(|| BASE64.decode(&partition).ok());
    let text = decoded
        .flatten()
        .map_or(partition, |bytes| text_or_base64(&bytes));
    Some(text.into())
}

fn text_or_base64(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| BASE64.encode(bytes), str::to_owned)
}

fn pairs(properties: Vec<KeyValue>) -> Vec<(String, String)> {
    properties
        .into_iter()
        .map(|property| (property.key, property.value))
        .collect()
}

/// A producer's clock, in ms; the epoch when it names no time that there is.
fn time(millis: u64) -> DateTime<Utc> {
    i64::try_from(millis)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
