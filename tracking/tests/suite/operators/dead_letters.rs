//! `tracking deadletters`.

use super::database::{Log, id, item, like};
use serde_json::json;

const CONFLICTING: &str = r#"{"type":"create_interaction","user_id":1,"interaction":"share"}"#;

async fn some() -> Log {
    let log = Log::new().await;
    log.record(&[
        like(0),
        item(1, "{}"),
        item(2, "{\"type\":\"create_interaction\""),
        item(3, "\u{1b}[2J"),
    ])
    .await;
    // Two of the same command: it is wrong, then it conflicts with itself.
    log.record(&[item(4, CONFLICTING)]).await;
    log.record(&[item(4, &CONFLICTING.replace("share", "like")), item(4, "garbage")])
        .await;
    log.sql("update eventstore.dead_letters set state = 'discarded' where code = 'invalid_field'")
        .await;
    log
}

#[tokio::test]
async fn dead_letters_are_listed_by_what_they_are() {
    let log = some().await;
    let ids = |arguments: &[&str]| -> Vec<String> {
        let (code, letters) = log.json(&[&["deadletters", "list"], arguments].concat());
        assert_eq!(code, Some(0));
        let letters = letters.as_array().expect("an array").clone();
        letters
            .iter()
            .map(|letter| letter["id"].as_str().expect("a text").to_owned())
            .collect()
    };
    let expected = |numbers: &[usize]| numbers.iter().map(|n| id(*n).to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&[]), expected(&[1, 2, 3, 4, 4]));
    assert_eq!(ids(&["--code", "fragment"]), expected(&[2]));
    assert_eq!(ids(&["--state", "discarded"]), expected(&[1]));
    assert_eq!(
        ids(&["--id", &id(4).to_string(), "--code", "conflict"]),
        expected(&[4])
    );
    assert_eq!(ids(&["--project", "acme"]), expected(&[]));
    // A list goes on after the last sequence number of the one before.
    let (_, letters) = log.json(&["deadletters", "list", "--limit", "2"]);
    let last = letters[1]["sequence"].as_str().expect("a text").to_owned();
    assert_eq!(ids(&["--after", &last]), expected(&[3, 4, 4]));
    let wrong = log.run(&["deadletters", "list", "--code", "nonsense"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test]
async fn one_is_shown_whole() {
    let log = some().await;
    let (code, mut letter) = log.json(&["deadletters", "show", &id(2).to_string()]);
    assert_eq!(code, Some(0));
    let fields = letter.as_object_mut().expect("an object");
    assert!(fields.remove("failed_at").expect("there").is_string());
    assert!(
        fields
            .remove("hint")
            .expect("there")
            .as_str()
            .expect("a text")
            .contains("-s")
    );
    assert_eq!(
        letter,
        json!({
            "id": id(2).to_string(), "project": "default", "code": "fragment",
            "detail": "expected `,` or `}` at column 29", "pointer": "",
            "payload": "{\"type\":\"create_interaction\"", "payload_encoding": "utf-8", "key": "1",
            "properties": {"colour": "green"}, "source": "persistent://public/default/commands 3:2:-1",
            "attempts": 1, "first_seen": "1970-01-01T00:00:00Z", "state": "open",
        })
    );
    let text = crate::stdout(&log.run(&["deadletters", "show", &id(2).to_string()]));
    assert!(text.contains("property    colour=green\n"), "{text}");
    assert!(text.ends_with("\n\n{\"type\":\"create_interaction\"\n"), "{text}");
    // What a sender wrote does not steer the operator's terminal.
    let text = crate::stdout(&log.run(&["deadletters", "show", &id(3).to_string()]));
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[tokio::test]
async fn an_id_that_names_none_or_several_is_refused() {
    let log = some().await;
    let none = log.run(&["deadletters", "show", &id(77).to_string()]);
    assert_eq!(none.status.code(), Some(1));
    assert!(crate::stderr(&none).contains("there is no such dead letter"));
    let several = log.run(&["deadletters", "show", &id(4).to_string()]);
    assert_eq!(several.status.code(), Some(2));
    let text = crate::stderr(&several);
    assert!(text.contains("--project default --code conflict"), "{text}");
    let one = log.run(&["deadletters", "show", &id(4).to_string(), "--code", "conflict"]);
    assert_eq!(one.status.code(), Some(0));
}
