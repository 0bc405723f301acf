//! Which messages of which entries are still out, so that an entry is acknowledged once, when all of it is settled.
//!
//! The broker knows entries only: to acknowledge one message of a batch is to acknowledge them all (invariant 2).

use std::collections::HashMap;

/// The entries of one subscription life that hold several messages and are not settled yet.
#[derive(Debug, Default)]
pub(super) struct Entries {
    open: HashMap<(u64, u64), Open>,
}

/// An entry's messages as bits, not as a count: an entry can be handed out twice, and a count would then be
/// done when half of it is.
#[derive(Debug)]
struct Open {
    /// A set bit is a message that is still out.
    bits: Vec<u64>,
    left: usize,
}

impl Entries {
    /// An entry was handed out whose messages have these indices. Keeps what is known when it is still out.
    pub(super) fn handed_out(&mut self, ledger: u64, entry: u64, indices: impl Iterator<Item = i32>) {
        self.open.entry((ledger, entry)).or_insert_with(|| {
            let mut open = Open {
                bits: Vec::new(),
                left: 0,
            };
            for index in indices.filter_map(|index| usize::try_from(index).ok()) {
                let (word, bit) = (index / 64, 1 << (index % 64));
                if open.bits.len() <= word {
                    open.bits.resize(word + 1, 0);
                }
                if open.bits[word] & bit == 0 {
                    open.bits[word] |= bit;
                    open.left += 1;
                }
            }
            open
        });
    }

    /// A message was settled. Whether its entry is to be acknowledged now.
    ///
    /// `index` is -1 for an entry of one message, which is due at once.
    pub(super) fn settled(&mut self, ledger: u64, entry: u64, index: i32) -> bool {
        let Ok(index) = usize::try_from(index) else {
            return true;
        };
        let Some(open) = self.open.get_mut(&(ledger, entry)) else {
            return false;
        };
        let (word, bit) = (index / 64, 1 << (index % 64));
        match open.bits.get_mut(word) {
            Some(bits) if *bits & bit != 0 => *bits &= !bit,
            _ => return false,
        }
        open.left -= 1;
        if open.left == 0 {
            self.open.remove(&(ledger, entry));
            return true;
        }
        false
    }

    /// How many entries are still out.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_due_once_when_its_last_message_is_settled_in_any_order() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut entries = Entries::default();
            entries.handed_out(1, 7, 0..3);
            let due: Vec<bool> = order.iter().map(|&index| entries.settled(1, 7, index)).collect();
            assert_eq!(due, [false, false, true]);
            assert_eq!(entries.len(), 0);
            assert!(!entries.settled(1, 7, 0), "not due a second time");
        }
    }

    #[test]
    fn one_message_settled_many_times_does_not_make_its_entry_due() {
        let mut entries = Entries::default();
        entries.handed_out(1, 7, 0..2);
        for _ in 0..5 {
            assert!(!entries.settled(1, 7, 0));
        }
        assert!(entries.settled(1, 7, 1));
    }

    #[test]
    fn an_entry_handed_out_again_while_it_is_out_keeps_what_was_settled() {
        let mut entries = Entries::default();
        entries.handed_out(1, 7, 0..2);
        assert!(!entries.settled(1, 7, 0));
        entries.handed_out(1, 7, 0..2);
        assert!(
            entries.settled(1, 7, 1),
            "0 of the first time and 1 of the second"
        );
        assert!(!entries.settled(1, 7, 0));
    }

    #[test]
    fn entries_are_told_apart_by_ledger_and_entry() {
        let mut entries = Entries::default();
        entries.handed_out(1, 7, 0..1);
        entries.handed_out(2, 7, 0..1);
        assert!(!entries.settled(1, 8, 0));
        assert!(entries.settled(2, 7, 0));
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn indices_may_have_holes_and_be_many() {
        let mut entries = Entries::default();
        entries.handed_out(1, 7, (0..1000).filter(|index| index % 3 == 0));
        for index in (0..1000).rev() {
            let due = entries.settled(1, 7, index);
            assert_eq!(due, index == 0, "{index}");
        }
    }

    #[test]
    fn an_entry_of_one_message_is_due_at_once() {
        assert!(Entries::default().settled(1, 7, -1));
    }
}
