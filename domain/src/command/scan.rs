//! Reads the usual command quickly: one flat pass over its text, nothing copied.
//!
//! Only ever a shortcut. Whatever is rare (escapes, fractions, names that come twice) or wrong is left to serde_json,
//! which alone decides what is JSON; what is read here is read the same there.

use super::members::{Member, depth};
use serde_json::Value;
use std::borrow::Cow;

/// Deepest nesting of a member that is read here: far from where the parser would stop.
const DEPTH: usize = 32;

/// How serde_json, told to keep numbers as they were written, marks an object that stands for a number.
const NUMBER: &str = "$serde_json::private::Number";

/// The members of the object that `payload` is, in the order sent; `None` when it takes serde_json to tell.
pub(super) fn scan(payload: &[u8]) -> Option<Vec<(Cow<'_, str>, Member<'_>)>> {
    let mut rest = Rest(str::from_utf8(payload).ok()?);
    let mut members = Vec::with_capacity(8);
    rest.skip(b'{')?;
    loop {
        let name = rest.string()?;
        rest.skip(b':')?;
        members.push((Cow::Borrowed(name), rest.value()?));
        if rest.skip(b',').is_none() {
            break;
        }
    }
    rest.skip(b'}')?;
    rest.skip_white();
    (rest.0.is_empty() && members[0].0 != NUMBER).then_some(members)
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip_white(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', ..] = self.0.as_bytes() {
            self.0 = &self.0[1..];
        }
    }

    /// Goes past white space and this (ASCII) byte.
    fn skip(&mut self, byte: u8) -> Option<()> {
        self.skip_white();
        if self.0.as_bytes().first() != Some(&byte) {
            return None;
        }
        self.0 = &self.0[1..];
        Some(())
    }

    fn split(&mut self, at: usize) -> &'a str {
        let (head, tail) = self.0.split_at(at);
        self.0 = tail;
        head
    }

    /// A string in which nothing is escaped, so that it is written as it is read.
    fn string(&mut self) -> Option<&'a str> {
        self.skip(b'"')?;
        let end = self.0.bytes().position(|b| matches!(b, b'"' | b'\\' | ..0x20))?;
        let text = self.split(end);
        self.0 = self.0.strip_prefix('"')?;
        Some(text)
    }

    fn value(&mut self) -> Option<Member<'a>> {
        self.skip_white();
        match self.0.as_bytes().first()? {
            b'"' => self.string().map(|text| Member::Text(Cow::Borrowed(text))),
            b'1'..=b'9' => {
                let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
                Some(Member::Integer(self.split(digits)))
            }
            b'{' | b'[' => self.nested().map(Member::Other),
            _ => {
                self.0 = self.0.strip_prefix("null")?;
                Some(Member::Other(Value::Null))
            }
        }
    }

    fn nested(&mut self) -> Option<Value> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter::<Value>();
        let value = values.next()?.ok().filter(|value| depth(value) <= DEPTH)?;
        self.0 = &self.0[values.byte_offset()..];
        Some(value)
    }
}
