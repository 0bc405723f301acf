//! What was found: counted all, named the first.

use serde::Serialize;
use std::collections::BTreeMap;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What kind, in `snake_case`.
    pub kind: &'static str,
    /// Of what: a command's id, a position, or a counter's key.
    pub id: String,
    /// What is wrong, in words; never what a sender wrote.
    pub detail: String,
}

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Differences {
    /// How many.
    pub total: u64,
    /// How many of each kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// The first ones.
    pub named: Vec<Difference>,
    #[serde(skip)]
    limit: usize,
}

impl Differences {
    /// None yet; the first `limit` will be named.
    pub fn new(limit: usize) -> Self {
        Self {
            total: 0,
            kinds: BTreeMap::new(),
            named: Vec::new(),
            limit,
        }
    }

    /// One more.
    pub fn add(&mut self, kind: &'static str, id: &impl ToString, detail: impl Into<String>) {
        self.total += 1;
        *self.kinds.entry(kind).or_default() += 1;
        if self.named.len() < self.limit {
            self.named.push(Difference {
                kind,
                id: id.to_string(),
                detail: detail.into(),
            });
        }
    }

    /// More of a kind, which are counted alone.
    pub fn count(&mut self, kind: &'static str, more: u64) {
        if 0 < more {
            self.total += more;
            *self.kinds.entry(kind).or_default() += more;
        }
    }
}
