//! Ids that are worked out, not drawn: the same on every redelivery.

use crate::{CommandId, EventId, Project};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What tells one delivered message from all others, also across brokers that were set up anew.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryCoordinates<'a> {
    /// When the producer published the message, in ms since 1970.
    pub publish_time_ms: u64,
    /// The producer's name.
    pub producer: &'a str,
    /// The producer's sequence id.
    pub sequence_id: u64,
    /// Ledger of the entry.
    pub ledger: u64,
    /// Entry in the ledger.
    pub entry: u64,
    /// Place in a batched entry; -1 when the entry holds one message.
    pub batch_index: i32,
}

/// The id of a command that carries none.
///
/// A UUIDv8: 48 bits of publish time in ms (which keeps the dedup index local), then bits of SHA-256 over
/// `"tracking-command-v1"`, NUL, producer, NUL, and as big-endian 64-bit numbers sequence id, publish time, ledger,
/// entry, batch index (two's complement).
pub fn derive_command_id(at: &DeliveryCoordinates<'_>) -> CommandId {
    let mut hash = Sha256::new();
    hash.update(b"tracking-command-v1\0");
    hash.update(at.producer.as_bytes());
    hash.update([0]);
    hash.update(at.sequence_id.to_be_bytes());
    hash.update(at.publish_time_ms.to_be_bytes());
    hash.update(at.ledger.to_be_bytes());
    hash.update(at.entry.to_be_bytes());
    hash.update(i64::from(at.batch_index).to_be_bytes());
    CommandId(timed_uuid(at.publish_time_ms, &hash.finalize()))
}

/// The id of the event that a command became: its first 48 bits, then bits of SHA-256 over `"tracking-event-v1"`,
/// NUL, project, NUL, and the command id's 16 bytes.
pub fn derive_event_id(project: &Project, command: CommandId) -> EventId {
    let mut hash = Sha256::new();
    hash.update(b"tracking-event-v1\0");
    hash.update(project.as_str());
    hash.update([0]);
    hash.update(command.0.as_bytes());
    let time_ms = u64::try_from(command.0.as_u128() >> 80).expect("48 bits");
    EventId(timed_uuid(time_ms, &hash.finalize()))
}

/// 48 bits of time, then 74 bits of the digest around the version (8) and variant bits.
fn timed_uuid(time_ms: u64, digest: &[u8]) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&time_ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&digest[..10]);
    Uuid::new_v8(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: DeliveryCoordinates<'_> = DeliveryCoordinates {
        publish_time_ms: 1_717_243_200_000,
        producer: "standalone-0-1",
        sequence_id: 7,
        ledger: 3,
        entry: 0,
        batch_index: -1,
    };

    /// The vector of docs/messages.md, worked out apart from this code (see there).
    #[test]
    fn the_test_vector_holds() {
        assert_eq!(
            derive_command_id(&AT).to_string(),
            "018fd3ab-c200-87eb-810a-42d1031e4136"
        );
        let event = derive_event_id(&Project::default(), derive_command_id(&AT));
        assert_eq!(event.to_string(), "018fd3ab-c200-804e-954c-90be5cfc3949");
    }

    #[test]
    fn every_coordinate_counts() {
        let base = derive_command_id(&AT);
        for other in [
            DeliveryCoordinates {
                publish_time_ms: 1_717_243_200_001,
                ..AT
            },
            DeliveryCoordinates {
                producer: "standalone-0-2",
                ..AT
            },
            DeliveryCoordinates { sequence_id: 8, ..AT },
            DeliveryCoordinates { ledger: 4, ..AT },
            DeliveryCoordinates { entry: 1, ..AT },
            DeliveryCoordinates { batch_index: 0, ..AT },
        ] {
            assert_ne!(derive_command_id(&other), base, "{other:?}");
        }
    }
}
