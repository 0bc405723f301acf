//! The plain way to take typed fields out of a JSON object.

use crate::command::Money;
use crate::ids::check_text;
use crate::{FieldError, InvalidId};
use chrono::{DateTime, SubsecRound, TimeZone, Utc};
use serde_json::{Map, Number, Value};

/// The fields not yet taken, and the mistakes so far.
pub(super) struct Fields {
    pub(super) left: Map<String, Value>,
    pub(super) errors: Vec<FieldError>,
}

impl Fields {
    pub(super) fn wrong(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        self.errors.push(FieldError {
            pointer: format!("/{name}"),
            code,
            detail: detail.into(),
        });
    }

    /// The field, or `None` when it is absent or null.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a field that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        take: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<T> {
        if self.left.get(name).is_none_or(Value::is_null) {
            self.left.remove(name);
            self.wrong(name, "required", "is required");
            return None;
        }
        take(self, name)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong(name, "type", format!("must be a string, not {}", kind(&other)));
                None
            }
        }
    }

    /// A text with a type of its own.
    pub(super) fn parsed<T: TryFrom<String, Error = InvalidId>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        T::try_from(text)
            .map_err(|error| self.wrong(name, "invalid", error.to_string()))
            .ok()
    }

    /// An id that a sender chose: a text, or an integer that is kept as its digits.
    pub(super) fn id(&mut self, name: &str) -> Option<String> {
        let text = match self.take(name)? {
            Value::String(text) => text,
            Value::Number(number) if is_integer(&number) => number.to_string(),
            other => {
                self.wrong(
                    name,
                    "type",
                    format!("must be a string or an integer, not {}", kind(&other)),
                );
                return None;
            }
        };
        check_text(&text)
            .map_err(|error| self.wrong(name, "invalid", error.to_string()))
            .ok()?;
        Some(text)
    }

    /// The user: a text, or a positive integer.
    pub(super) fn user(&mut self, name: &str) -> Option<crate::UserId> {
        if let Some(Value::Number(number)) = self.left.get(name) {
            let text = number.to_string();
            if !is_integer(number) || text.starts_with('-') || text == "0" {
                self.left.remove(name);
                self.wrong(
                    name,
                    "invalid",
                    "must be a positive integer or a non-empty string",
                );
                return None;
            }
        }
        let text = self.id(name)?;
        crate::UserId::try_from(text)
            .map_err(|error| self.wrong(name, "invalid", error.to_string()))
            .ok()
    }

    /// An instant: RFC 3339 with an offset, from 1970 on, cut to the microsecond (what the store keeps).
    pub(super) fn instant(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let earliest = Utc.timestamp_nanos(0);
        match DateTime::parse_from_rfc3339(&text) {
            Ok(time) if earliest <= time => Some(time.with_timezone(&Utc).trunc_subsecs(6)),
            Ok(_) => {
                self.wrong(name, "invalid", "must not be before 1970");
                None
            }
            Err(error) => {
                self.wrong(
                    name,
                    "invalid",
                    format!("must be RFC 3339 with an offset, such as 2024-06-01T12:00:00Z: {error}"),
                );
                None
            }
        }
    }

    /// An object, kept as it is.
    pub(super) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(map) => Some(map),
            other => {
                self.wrong(name, "type", format!("must be an object, not {}", kind(&other)));
                None
            }
        }
    }

    /// `{"amount_minor":1999,"currency":"EUR"}`.
    pub(super) fn money(&mut self, name: &str) -> Option<Money> {
        let mut map = self.object(name)?;
        let amount = map.remove("amount_minor").and_then(|v| v.as_i64());
        let currency = match map.remove("currency") {
            Some(Value::String(text)) if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) => {
                Some(text)
            }
            _ => None,
        };
        if amount.is_none() {
            self.wrong(
                &format!("{name}/amount_minor"),
                "invalid",
                "must be an integer of at most 64 bits",
            );
        }
        if currency.is_none() {
            self.wrong(
                &format!("{name}/currency"),
                "invalid",
                "must be three capital letters (ISO 4217)",
            );
        }
        if let Some(key) = map.keys().next() {
            let key = key.replace('~', "~0").replace('/', "~1");
            self.wrong(
                &format!("{name}/{key}"),
                "invalid",
                "is not known here; put it into properties",
            );
        }
        Some(Money {
            amount_minor: amount?,
            currency: currency?,
        })
    }
}

/// Whether a number was written as an integer: digits, perhaps a sign.
fn is_integer(number: &Number) -> bool {
    let text = number.to_string();
    text.strip_prefix('-')
        .unwrap_or(&text)
        .bytes()
        .all(|b| b.is_ascii_digit())
}

/// What a JSON value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
