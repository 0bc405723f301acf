//! Makes an item to record of a message: identity, decoding, deciding. Never fails: what is bad is a dead letter.

use chrono::{DateTime, Utc};
use domain::command::{Read, read};
use domain::{
    Code, CommandId, DeliveryCoordinates, FieldError, Project, Rejection, decide, derive_command_id,
};
use eventstore::{Content, Item, Origin};
use messaging::{Envelope, properties};
use std::panic::{AssertUnwindSafe, catch_unwind};
use uuid::Uuid;

/// How often handling a message is tried before it is put aside as poison.
pub(crate) const ATTEMPTS: i32 = 3;

/// What the message is to the store.
pub(crate) fn item(envelope: Envelope, now: DateTime<Utc>) -> Item {
    let (read, attempts) = read_guarded(&envelope);
    let derived = || derived_id(&envelope);
    let (command_id, bad_property) = match envelope.property(properties::COMMAND_ID).map(Uuid::try_parse) {
        Some(Ok(id)) => (CommandId(id), false),
        Some(Err(_)) => (derived(), true),
        None => (read.command_id.unwrap_or_else(derived), false),
    };
    let content = match read.command {
        Ok(_) if bad_property => Content::Rejected(Box::new(wrong_property())),
        Ok(command) => Content::from(&decide(command, envelope.publish_time)),
        Err(rejection) => Content::Rejected(Box::new(rejection)),
    };
    Item {
        command_id,
        project: read.project,
        fingerprint: read.fingerprint,
        content,
        origin: origin(envelope, attempts, now),
    }
}

/// Turns an item that the store refused for its data into a dead letter.
pub(crate) fn poison(item: &mut Item, detail: String) {
    item.origin.attempts = ATTEMPTS;
    item.content = Content::Rejected(Box::new(Rejection::whole(Code::Poison, detail)));
}

/// Reads under a guard: a panic of ours must not take the process, and with it all other commands, down.
fn read_guarded(envelope: &Envelope) -> (Read, i32) {
    if let Some(reason) = &envelope.unreadable {
        return (refused(Code::Unreadable, reason.clone()), 1);
    }
    for attempt in 1..=ATTEMPTS {
        if let Ok(read) = catch_unwind(AssertUnwindSafe(|| read(&envelope.payload))) {
            return (read, attempt);
        }
    }
    let detail = format!("decoding it panicked {ATTEMPTS} times; see the log");
    (refused(Code::Poison, detail), ATTEMPTS)
}

fn refused(code: Code, detail: String) -> Read {
    Read {
        command_id: None,
        project: Project::default(),
        fingerprint: [0; 16],
        command: Err(Rejection::whole(code, detail)),
    }
}

fn wrong_property() -> Rejection {
    let detail = format!("property {} must be a UUID", properties::COMMAND_ID);
    let error = FieldError {
        pointer: String::new(),
        code: "invalid",
        detail: detail.clone(),
    };
    Rejection {
        errors: vec![error],
        ..Rejection::whole(Code::InvalidField, detail)
    }
}

fn derived_id(envelope: &Envelope) -> CommandId {
    derive_command_id(&DeliveryCoordinates {
        publish_time_ms: u64::try_from(envelope.publish_time.timestamp_millis()).unwrap_or(0),
        producer: &envelope.producer,
        sequence_id: envelope.sequence_id,
        ledger: envelope.at.ledger,
        entry: envelope.at.entry,
        batch_index: envelope.at.batch_index,
    })
}

fn origin(envelope: Envelope, attempts: i32, now: DateTime<Utc>) -> Origin {
    // PostgreSQL's numbers have a sign; real ledgers and entries lie far below.
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Origin {
        topic: envelope.topic,
        partition: envelope.at.partition,
        ledger: signed(envelope.at.ledger),
        entry: signed(envelope.at.entry),
        batch_index: envelope.at.batch_index,
        key: envelope.key,
        producer: envelope.producer,
        properties: envelope.properties,
        payload: envelope.payload,
        attempts,
        first_seen: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use messaging::Coordinates;

    fn envelope(payload: &'static str) -> Envelope {
        Envelope {
            topic: "persistent://public/default/commands.tracking".into(),
            at: Coordinates {
                partition: -1,
                ledger: 3,
                entry: 0,
                batch_index: -1,
            },
            key: Some("123".into()),
            payload: Bytes::from_static(payload.as_bytes()),
            properties: Vec::new(),
            publish_time: DateTime::from_timestamp_millis(1_717_243_200_000).unwrap(),
            producer: "standalone-0-1".into(),
            sequence_id: 7,
            unreadable: None,
        }
    }

    const LIKE: &str = r#"{"type":"create_interaction","user_id":123,"interaction":"like"}"#;
    const GIVEN: &str = "01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60";

    #[test]
    fn an_id_is_derived_from_the_delivery_when_none_is_given() {
        let id = item(envelope(LIKE), DateTime::UNIX_EPOCH).command_id;
        assert_eq!(id.to_string(), "018fd3ab-c200-87eb-810a-42d1031e4136");
    }

    #[test]
    fn the_property_wins_over_the_payload_over_the_derived_id() {
        let payload = r#"{"type":"create_interaction","user_id":1,"interaction":"like","command_id":"01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60"}"#;
        assert_eq!(
            item(envelope(payload), DateTime::UNIX_EPOCH)
                .command_id
                .to_string(),
            GIVEN
        );
        let other = "01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f61";
        let mut with_property = envelope(payload);
        with_property
            .properties
            .push((properties::COMMAND_ID.to_owned(), other.to_owned()));
        assert_eq!(
            item(with_property, DateTime::UNIX_EPOCH).command_id.to_string(),
            other
        );
    }

    #[test]
    fn a_property_that_is_no_uuid_is_refused_and_the_message_kept() {
        let mut envelope = envelope(LIKE);
        envelope
            .properties
            .push((properties::COMMAND_ID.to_owned(), "x".to_owned()));
        let Content::Rejected(rejection) = item(envelope, DateTime::UNIX_EPOCH).content else {
            panic!("accepted")
        };
        assert_eq!(rejection.code, Code::InvalidField);
    }

    #[test]
    fn an_entry_that_could_not_be_opened_is_unreadable() {
        let mut envelope = envelope("\u{1}\u{2}");
        envelope.unreadable = Some("unknown compression".to_owned());
        let Content::Rejected(rejection) = item(envelope, DateTime::UNIX_EPOCH).content else {
            panic!("accepted")
        };
        assert_eq!(
            (rejection.code, rejection.detail.as_str()),
            (Code::Unreadable, "unknown compression")
        );
    }
}
