//! A line becomes a message: checked, keyed, and given its identity.

use domain::command::{self, MAX_PAYLOAD};
use domain::{Code, CommandId, Rejection, UserId};
use messaging::{OutgoingMessage, properties};
use serde_json::Value;
use uuid::Uuid;

/// A message and the identity that it travels under.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) id: CommandId,
    pub(super) message: OutgoingMessage,
}

/// Makes a message of a line, the bytes as they are. Without `validate` only what is too long is refused.
pub(super) fn prepare(text: Option<Vec<u8>>, validate: bool) -> Result<Prepared, Rejection> {
    let Some(payload) = text else {
        let detail = format!("longer than the {MAX_PAYLOAD} bytes that a command may have");
        return Err(Rejection::whole(Code::TooLarge, detail));
    };
    let read = command::read(&payload);
    let user = match read.command {
        Ok(command) => Some(command.user_id),
        Err(rejection) if validate => return Err(rejection),
        Err(_) => user_of(&payload),
    };
    let id = read.command_id.unwrap_or_else(fresh);
    Ok(Prepared {
        id,
        message: OutgoingMessage {
            key: user.map(String::from),
            payload,
            properties: vec![(properties::COMMAND_ID.to_owned(), id.to_string())],
        },
    })
}

/// The user of something that is no valid command, if it names one.
fn user_of(payload: &[u8]) -> Option<UserId> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    match value.get("user_id")? {
        Value::String(user) => user.parse().ok(),
        Value::Number(user) => user.to_string().parse().ok(),
        _ => None,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the identity of a command that was given none is made once, here, before it is first sent"
)]
fn fresh() -> CommandId {
    CommandId(Uuid::now_v7())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIKE: &str = r#"{"type":"create_interaction","user_id":123,"interaction":"like"}"#;

    fn checked(text: &str) -> Result<Prepared, Rejection> {
        prepare(Some(text.as_bytes().to_vec()), true)
    }

    fn unchecked(text: &str) -> Prepared {
        prepare(Some(text.as_bytes().to_vec()), false).unwrap()
    }

    #[test]
    fn a_command_is_keyed_by_the_bare_user_and_sent_as_given() {
        for text in [LIKE, &LIKE.replace("123", " \"123\"")] {
            let prepared = checked(text).unwrap();
            assert_eq!(prepared.message.key.as_deref(), Some("123"));
            assert_eq!(prepared.message.payload, text.as_bytes());
            let id = prepared.id.to_string();
            assert_eq!(
                prepared.message.properties,
                [(properties::COMMAND_ID.to_owned(), id)]
            );
            assert_eq!(prepared.id.0.get_version_num(), 7);
        }
        assert_ne!(checked(LIKE).unwrap().id, checked(LIKE).unwrap().id);
    }

    #[test]
    fn an_id_that_was_given_is_kept() {
        let given = "01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60";
        let text = LIKE.replace('{', &format!(r#"{{"command_id":"{given}","#));
        assert_eq!(checked(&text).unwrap().id.to_string(), given);
    }

    #[test]
    fn what_is_wrong_is_refused_or_sent_as_it_is() {
        let nobody = r#"{"type":"create_interaction","interaction":"like"}"#;
        let rejection = checked(nobody).unwrap_err();
        assert_eq!(
            (rejection.code, &*rejection.pointer),
            (Code::InvalidField, "/user_id")
        );
        assert_eq!(unchecked(nobody).message.key, None);
        assert_eq!(unchecked(r#"{"user_id":7}"#).message.key.as_deref(), Some("7"));
        assert_eq!(unchecked("garbage").message.payload, b"garbage");
        for validate in [true, false] {
            assert_eq!(prepare(None, validate).unwrap_err().code, Code::TooLarge);
        }
    }
}
