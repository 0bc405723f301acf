//! Which entries came damaged, so that the same damage does not end one life of a subscription after the other.
//!
//! Bytes that were damaged on their way come right the second time; those that lie damaged are then taken as they
//! are, unreadable.

use std::collections::BTreeSet;

/// With so many that are not settled it is no accident of the way: whatever comes is taken as it is.
const MOST: usize = 16;

/// Entries, by ledger and entry, that came damaged and are not acknowledged yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Damaged {
    seen: BTreeSet<(u64, u64)>,
}

impl Damaged {
    /// Whether the entry is to be taken as it is, although its checksum is wrong.
    pub(super) fn is_taken(&self, at: (u64, u64)) -> bool {
        self.seen.contains(&at) || self.seen.len() >= MOST
    }

    /// The entry came damaged.
    pub(super) fn remember(&mut self, at: (u64, u64)) {
        self.seen.insert(at);
    }

    /// The entry is acknowledged: it does not come again.
    pub(super) fn forget(&mut self, at: (u64, u64)) {
        self.seen.remove(&at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_taken_the_second_time_until_it_is_acknowledged() {
        let mut damaged = Damaged::default();
        damaged.remember((1, 2));
        damaged.remember((1, 3));
        assert!(damaged.is_taken((1, 2)) && damaged.is_taken((1, 3)) && !damaged.is_taken((2, 2)));
        damaged.forget((1, 2));
        assert!(!damaged.is_taken((1, 2)));
    }

    #[test]
    fn many_are_taken_at_once_and_not_remembered_for_ever() {
        let mut damaged = Damaged::default();
        let mut lives = 0;
        for entry in 0..10_000 {
            if !damaged.is_taken((1, entry)) {
                damaged.remember((1, entry));
                lives += 1;
            }
        }
        assert_eq!((lives, damaged.seen.len()), (MOST, MOST));
    }
}
