//! The members of a command's object as they were sent, in their canonical order.

use super::scan::scan;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What a member holds.
pub(super) enum Member<'a> {
    /// Borrowed where nothing in it is escaped.
    Text(Cow<'a, str>),
    /// The digits of a positive integer.
    Integer(&'a str),
    Other(Value),
}

/// The members of an object, each name once; sorted by name until one is taken.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Member<'a>)>);

impl<'a> Members<'a> {
    /// The members of the object that `payload` is, or else what it is, or why it is not JSON.
    pub(super) fn of(payload: &'a [u8]) -> Result<Result<Self, Value>, serde_json::Error> {
        if let Some(mut members) = scan(payload) {
            members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            if members.windows(2).all(|pair| pair[0].0 != pair[1].0) {
                return Ok(Ok(Self(members)));
            }
        }
        Ok(match serde_json::from_slice(payload)? {
            Value::Object(map) => Ok(Self::from(map)),
            other => Err(other),
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Member<'a>> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, member)| member)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Member<'a>> {
        let place = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// How deep objects and arrays lie in one another, the object of these members included.
    pub(super) fn depth(&self) -> usize {
        let inner = self.0.iter().map(|(_, member)| match member {
            Member::Text(_) | Member::Integer(_) => 0,
            Member::Other(value) => depth(value),
        });
        1 + inner.max().unwrap_or(0)
    }

    /// The object as JSON in its canonical form, less the members that `skip` names; only before one is taken.
    pub(super) fn canonical(&self, skip: impl Fn(&str) -> bool) -> Vec<u8> {
        let mut json = Vec::with_capacity(256);
        let text = |json: &mut Vec<u8>, text: &Cow<'_, str>| match text {
            Cow::Borrowed(plain) => {
                json.push(b'"');
                json.extend_from_slice(plain.as_bytes());
                json.push(b'"');
            }
            Cow::Owned(text) => write(json, text),
        };
        json.push(b'{');
        for (name, member) in self.0.iter().filter(|(name, _)| !skip(name)) {
            if 1 < json.len() {
                json.push(b',');
            }
            text(&mut json, name);
            json.push(b':');
            match member {
                Member::Text(content) => text(&mut json, content),
                Member::Integer(digits) => json.extend_from_slice(digits.as_bytes()),
                Member::Other(value) => write(&mut json, value),
            }
        }
        json.push(b'}');
        json
    }

    pub(super) fn into_map(self) -> Map<String, Value> {
        let owned = |(name, member): (Cow<'_, str>, Member<'_>)| (name.into_owned(), member.into_value());
        self.0.into_iter().map(owned).collect()
    }
}

impl From<Map<String, Value>> for Members<'_> {
    fn from(map: Map<String, Value>) -> Self {
        let members = map.into_iter().map(|(name, value)| match value {
            Value::String(text) => (Cow::Owned(name), Member::Text(Cow::Owned(text))),
            other => (Cow::Owned(name), Member::Other(other)),
        });
        Self(members.collect())
    }
}

impl Member<'_> {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Other(Value::Null))
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Other(value) => kind(value),
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Integer(digits) => Value::Number(digits.parse().expect("digits are a number")),
            Self::Other(value) => value,
        }
    }
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

/// How deep objects and arrays lie in one another. The parser bounds the recursion.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn write(json: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(json, value).expect("a parsed value is written to memory");
}
