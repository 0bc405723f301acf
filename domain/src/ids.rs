//! One type per kind of id, checked where it is made, so that nothing inside has to check again.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Why a text is not the id it should be; reads as the rest of a sentence that starts with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(pub(crate) &'static str);

/// Names one command for ever: the same on every redelivery of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub Uuid);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one event; derived from its command, so that recording it again gives the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Most characters of a [`UserId`] and of the other ids that senders choose.
pub(crate) const MAX_TEXT: usize = 200;

/// Checks a text that a sender chose: 1 to 200 characters, none of them NUL (which PostgreSQL cannot store).
pub(crate) fn check_text(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId("must not be empty"));
    }
    if MAX_TEXT < text.len() && MAX_TEXT < text.chars().count() {
        return Err(InvalidId("must have at most 200 characters"));
    }
    if text.contains('\0') {
        return Err(InvalidId("must not contain the character U+0000"));
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                let check: fn(&str) -> Result<(), InvalidId> = $check;
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The user who interacted: 1 to 200 characters. The integer 123 and the text "123" are one user.
    UserId,
    check_text
);

text_id!(
    /// Separates tenants of one installation: `[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}`.
    Project,
    |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts_well && text.len() <= 64 && text.chars().all(plain) {
            Ok(())
        } else {
            Err(InvalidId("must match [a-zA-Z0-9][a-zA-Z0-9._-]{0,63}"))
        }
    }
);

impl Default for Project {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

text_id!(
    /// What the user did, an open set of names: `[a-z][a-z0-9_]{0,63}`.
    InteractionName,
    |text| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= 64 && text.chars().all(plain) {
            Ok(())
        } else {
            Err(InvalidId("must match [a-z][a-z0-9_]{0,63}"))
        }
    }
);
