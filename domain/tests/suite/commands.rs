//! Reading commands.

use domain::command::{MAX_DEPTH, MAX_PAYLOAD, Read, read};
use domain::{Code, Event, Rejection, decide};
use serde_json::json;

const SEED: &str =
    r#"{"type":"create_interaction","user_id":123,"interaction":"like","timestamp":"2024-06-01T12:00:00Z"}"#;

fn rejection(payload: &str) -> Rejection {
    read(payload.as_bytes()).command.expect_err(payload)
}

fn with(field: &str, value: serde_json::Value) -> Read {
    let mut command: serde_json::Value = serde_json::from_str(SEED).expect("the seed is JSON");
    command[field] = value;
    read(command.to_string().as_bytes())
}

#[test]
fn the_shortest_command_is_complete() {
    let command = read(SEED.as_bytes()).command.unwrap();
    let Event::InteractionTracked(event) = decide(command, chrono::DateTime::UNIX_EPOCH) else {
        unreachable!()
    };
    assert_eq!(event.user_id.as_str(), "123");
    assert_eq!(event.interaction.as_str(), "like");
    assert_eq!(event.project.as_str(), "default");
    assert_eq!(event.timestamp.to_rfc3339(), "2024-06-01T12:00:00+00:00");
}

#[test]
fn a_missing_timestamp_becomes_the_publish_time() {
    let command = with("timestamp", serde_json::Value::Null).command.unwrap();
    let published = chrono::DateTime::from_timestamp_millis(1_717_243_200_123).unwrap();
    assert_eq!(decide(command, published).occurred_at(), published);
}

#[test]
fn everything_optional_is_kept_and_unknown_fields_too() {
    let golden = include_str!("../../testdata/commands/create_interaction.full.json");
    let read = read(golden.as_bytes());
    assert_eq!(
        read.command_id.unwrap().to_string(),
        "01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60"
    );
    assert_eq!(read.project.as_str(), "acme");
    let event = decide(read.command.unwrap(), chrono::DateTime::UNIX_EPOCH);
    let expected = include_str!("../../testdata/events/interaction_tracked.v1.full.json");
    assert_eq!(event.encode().data, expected.trim_end());
}

#[test]
fn the_seed_line_split_at_commas_is_four_fragments_with_the_hint() {
    let pieces: Vec<&str> = SEED.split(',').collect();
    assert_eq!(pieces.len(), 4);
    for piece in &pieces {
        let rejection = rejection(piece);
        assert_eq!(rejection.code, Code::Fragment, "{piece}");
        assert!(rejection.hint.unwrap().contains(r"add -s '\|'"));
    }
    assert_eq!(rejection(pieces[0]).detail, "expected `,` or `}` at column 29");
}

#[test]
fn a_command_that_came_one_character_at_a_time_is_explained() {
    assert!(rejection("t").hint.expect("a hint").contains(r"use -s '\|'"));
}

#[test]
fn bad_payloads_have_codes() {
    for (payload, code) in [
        ("", Code::InvalidJson),
        ("garbage", Code::InvalidJson),
        ("\u{feff}{}", Code::InvalidJson),
        ("[]", Code::InvalidField),
        ("17", Code::InvalidField),
        ("{}", Code::InvalidField),
        (r#"{"type":7}"#, Code::InvalidField),
        (r#"{"type":"delete_everything"}"#, Code::UnknownType),
    ] {
        assert_eq!(rejection(payload).code, code, "{payload}");
    }
    assert_eq!(read(&[0xff, 0xfe]).command.unwrap_err().code, Code::InvalidJson);
    assert_eq!(
        read(&vec![b' '; MAX_PAYLOAD + 1]).command.unwrap_err().code,
        Code::TooLarge
    );
    assert_eq!(
        rejection(&"[".repeat(100_000)).code,
        Code::InvalidJson,
        "depth is limited"
    );
}

#[test]
fn every_wrong_field_is_named() {
    let rejection = rejection(
        r#"{"type":"create_interaction","user_id":-1,"interaction":"No","timestamp":"yesterday","value":{"amount_minor":1.5},"campaign_id":[],"schema_version":2,"command_id":"x"}"#,
    );
    let pointers: Vec<&str> = rejection.errors.iter().map(|e| e.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/command_id",
            "/user_id",
            "/interaction",
            "/timestamp",
            "/schema_version",
            "/campaign_id",
            "/value/amount_minor",
            "/value/currency"
        ]
    );
    assert_eq!(rejection.pointer, "/command_id");
}

#[test]
fn user_ids_are_positive_integers_or_texts() {
    for good in [json!(1), json!("x"), json!("ü".repeat(200)), json!(u64::MAX)] {
        assert!(with("user_id", good.clone()).command.is_ok(), "{good}");
    }
    for bad in [
        json!(0),
        json!(-5),
        json!(1.5),
        json!(""),
        json!("x".repeat(201)),
        json!("a\0b"),
        json!(true),
        json!({}),
    ] {
        let rejection = with("user_id", bad.clone()).command.expect_err(&bad.to_string());
        assert_eq!(
            (rejection.code, rejection.pointer.as_str()),
            (Code::InvalidField, "/user_id"),
            "{bad}"
        );
    }
}

#[test]
fn the_content_leaves_out_what_is_about_the_sending() {
    let base = read(SEED.as_bytes()).fingerprint;
    for (field, value) in [
        ("command_id", json!("01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60")),
        ("sent_at", json!("2024-06-01T12:00:00Z")),
        ("context", json!({"a": 1})),
        ("schema_version", json!(1)),
    ] {
        assert_eq!(with(field, value).fingerprint, base, "{field}");
    }
    for (field, value) in [
        ("user_id", json!(124)),
        ("properties", json!({})),
        ("unknown", json!(1)),
    ] {
        assert_ne!(with(field, value).fingerprint, base, "{field}");
    }
}

#[test]
fn the_content_does_not_depend_on_order_or_white_space() {
    let turned = r#" { "timestamp":"2024-06-01T12:00:00Z", "interaction":"l\u0069ke", "user_id":123,
        "type":"create_interaction" } "#;
    assert_eq!(
        read(turned.as_bytes()).fingerprint,
        read(SEED.as_bytes()).fingerprint
    );
}

/// Whatever is accepted must be readable for ever: one event that is not would stop every projection.
#[test]
fn every_accepted_command_becomes_an_event_that_can_be_read_again() {
    for depth in 1..=130 {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for field in ["unknown", "properties", "context"] {
            let value = if field == "unknown" {
                nested.clone()
            } else {
                format!(r#"{{"x":{nested}}}"#)
            };
            let payload = format!(
                r#"{{"type":"create_interaction","user_id":1,"interaction":"like","{field}":{value}}}"#
            );
            let Ok(command) = read(payload.as_bytes()).command else {
                assert!(MAX_DEPTH < depth + 2, "{field} {depth} is refused");
                continue;
            };
            assert!(depth <= MAX_DEPTH, "{field} {depth} is accepted");
            let event = decide(command, chrono::DateTime::UNIX_EPOCH);
            let encoded = event.encode();
            let again = Event::decode(encoded.event_type, encoded.schema_version, &encoded.data);
            assert_eq!(again.expect("readable"), event);
        }
    }
}
