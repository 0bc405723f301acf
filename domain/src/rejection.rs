//! Why a command was not accepted, in words that help its sender.

use serde::Serialize;
use std::fmt;

/// The closed set of reasons for a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not JSON.
    InvalidJson,
    /// A piece of a JSON document that a tool split at commas.
    Fragment,
    /// `type` names no command.
    UnknownType,
    /// A field is missing or has a value it may not have.
    InvalidField,
    /// Over 256 KiB.
    TooLarge,
    /// A command with this id and other content was recorded before.
    Conflict,
    /// The queue's client could not open the entry.
    Unreadable,
    /// Handling it failed three times for no fault that could be named.
    Poison,
}

impl Code {
    /// All codes, for metrics.
    pub const ALL: [Self; 8] = [
        Self::InvalidJson,
        Self::Fragment,
        Self::UnknownType,
        Self::InvalidField,
        Self::TooLarge,
        Self::Conflict,
        Self::Unreadable,
        Self::Poison,
    ];

    /// The name outside.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::Fragment => "fragment",
            Self::UnknownType => "unknown_type",
            Self::InvalidField => "invalid_field",
            Self::TooLarge => "too_large",
            Self::Conflict => "conflict",
            Self::Unreadable => "unreadable",
            Self::Poison => "poison",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field.
    pub pointer: String,
    /// `required`, `type` or `invalid`.
    pub code: &'static str,
    /// What was expected.
    pub detail: String,
}

/// Why a command was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Rejection {
    /// The reason.
    pub code: Code,
    /// The reason in words.
    pub detail: String,
    /// JSON pointer to the first field that is wrong; empty for the whole document.
    pub pointer: String,
    /// What to do about it, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// All fields that are wrong.
    pub errors: Vec<FieldError>,
}

impl Rejection {
    /// A rejection of the whole document.
    pub fn whole(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            pointer: String::new(),
            hint: None,
            errors: Vec::new(),
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A rejection for one or more fields, which must not be empty.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        let named: Vec<String> = errors
            .iter()
            .map(|e| format!("{} {}", e.pointer, e.detail))
            .collect();
        Self {
            code: Code::InvalidField,
            detail: named.join("; "),
            pointer: errors.first().map(|e| e.pointer.clone()).unwrap_or_default(),
            hint: None,
            errors,
        }
    }
}
