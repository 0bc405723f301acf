//! Takes typed fields out of a JSON object and notes every mistake, so that a sender learns of all of them at once.

use super::Money;
use super::members::{Member, Members};
use crate::ids::check_text;
use crate::{FieldError, InvalidId};
use chrono::{DateTime, SubsecRound, TimeZone, Utc};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// The fields not yet taken, and the mistakes so far.
pub(super) struct Fields<'a> {
    pub(super) left: Members<'a>,
    pub(super) errors: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    pub(super) fn wrong(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        self.errors.push(FieldError {
            pointer: format!("/{name}"),
            code,
            detail: detail.into(),
        });
    }

    /// The field, or `None` when it is absent or null.
    fn take(&mut self, name: &str) -> Option<Member<'a>> {
        self.left.take(name).filter(|value| !value.is_null())
    }

    /// Takes a field that must be there; `take` notes what else is wrong with it.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        take: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<T> {
        let known = self.errors.len();
        let value = take(self, name);
        if value.is_none() && self.errors.len() == known {
            self.wrong(name, "required", "is required");
        }
        value
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Option<Cow<'a, str>> {
        match self.take(name)? {
            Member::Text(text) => Some(text),
            other => {
                self.wrong(name, "type", format!("must be a string, not {}", other.kind()));
                None
            }
        }
    }

    /// A text with a type of its own.
    pub(super) fn parsed<T: TryFrom<String, Error = InvalidId>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        T::try_from(text.into_owned())
            .map_err(|error| self.wrong(name, "invalid", error.to_string()))
            .ok()
    }

    /// An id that a sender chose: a text, or an integer that is kept as its digits.
    pub(super) fn id(&mut self, name: &str) -> Option<String> {
        let member = self.take(name)?;
        let text = self.id_of(name, member)?;
        check_text(&text)
            .map_err(|error| self.wrong(name, "invalid", error.to_string()))
            .ok()?;
        Some(text)
    }

    fn id_of(&mut self, name: &str, member: Member<'_>) -> Option<String> {
        match member {
            Member::Text(text) => Some(text.into_owned()),
            Member::Integer(digits) => Some(digits.to_owned()),
            Member::Other(Value::Number(number)) if is_integer(&number) => Some(number.as_str().to_owned()),
            Member::Other(_) => {
                let detail = format!("must be a string or an integer, not {}", member.kind());
                self.wrong(name, "type", detail);
                None
            }
        }
    }

    /// The user: a text, or a positive integer.
    pub(super) fn user(&mut self, name: &str) -> Option<crate::UserId> {
        let member = self.take(name)?;
        if let Member::Other(Value::Number(number)) = &member
            && (!is_integer(number) || number.as_str().starts_with('-') || number.as_str() == "0")
        {
            let detail = "must be a positive integer or a non-empty string";
            self.wrong(name, "invalid", detail);
            return None;
        }
        let text = self.id_of(name, member)?;
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
            Member::Other(Value::Object(map)) => Some(map),
            other => {
                self.wrong(name, "type", format!("must be an object, not {}", other.kind()));
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
    let text = number.as_str();
    text.strip_prefix('-')
        .unwrap_or(text)
        .bytes()
        .all(|b| b.is_ascii_digit())
}
