//! How far a partition may run ahead of its receiver (invariant 9).
//!
//! Three bounds work together. Permits tell the broker how many messages it may send; the broker overshoots
//! them with batched entries, by its own estimate of their size. So reading stops when what is held reaches
//! the count or the bytes, and the rest waits in the broker. Acknowledgements are written all the while.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Permits in one frame, at most. The broker keeps them as signed 32 bits and refuses what is not above 0; what it
/// overshot by more than this is made up for by several frames.
const MOST_PERMITS: u32 = 100_000;

/// Messages held for the receiver, and how many may be.
#[derive(Debug)]
pub(super) struct Window {
    messages: usize,
    bytes: usize,
    held_messages: AtomicUsize,
    held_bytes: AtomicUsize,
    /// The life whose messages still count; those of earlier ones come again.
    generation: AtomicU64,
    taken: Notify,
}

impl Window {
    /// A window of so many messages and bytes; at least one message.
    pub(super) fn new(messages: usize, bytes: usize) -> Self {
        Self {
            messages: messages.max(1),
            bytes: bytes.max(1),
            held_messages: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            taken: Notify::new(),
        }
    }

    /// Begins a life: what was handed out before is of no use any more.
    pub(super) fn begin(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// Whether messages of this life still count.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    /// Messages were put before the receiver.
    pub(super) fn put(&self, cost: Cost) {
        self.held_messages.fetch_add(cost.messages, Ordering::AcqRel);
        self.held_bytes.fetch_add(cost.bytes, Ordering::AcqRel);
    }

    /// The receiver took them.
    pub(super) fn take(&self, cost: Cost) {
        self.held_messages.fetch_sub(cost.messages, Ordering::AcqRel);
        self.held_bytes.fetch_sub(cost.bytes, Ordering::AcqRel);
        self.taken.notify_one();
    }

    /// Until the receiver has taken something.
    pub(super) async fn taken(&self) {
        self.taken.notified().await;
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.held_messages.load(Ordering::Acquire) < self.messages
            && self.held_bytes.load(Ordering::Acquire) < self.bytes
    }

    /// How many permits to give the broker now, when `outstanding` are with it (below 0 when it overshot), so that
    /// it has no more than the window's: ask again until it is 0.
    ///
    /// Half a window at a time, so that permits cost little; the next half when bytes allow.
    pub(super) fn permits_due(&self, outstanding: i64) -> u32 {
        let held = i64::try_from(self.held_messages.load(Ordering::Acquire)).unwrap_or(i64::MAX);
        let size = i64::try_from(self.messages).unwrap_or(i64::MAX);
        let free = size.saturating_sub(held).saturating_sub(outstanding);
        let worth_it = free >= (size + 1) / 2 && self.held_bytes.load(Ordering::Acquire) < self.bytes;
        if worth_it {
            u32::try_from(free).map_or(MOST_PERMITS, |free| free.min(MOST_PERMITS))
        } else {
            0
        }
    }
}

/// What a list of messages costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Cost {
    /// More messages of one entry, which take so many bytes together.
    pub(super) fn add(&mut self, messages: usize, bytes: usize) {
        self.messages += messages;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(messages: usize) -> Cost {
        Cost {
            messages,
            bytes: messages * 300,
        }
    }

    #[test]
    fn permits_are_given_by_halves_of_what_is_free() {
        let window = Window::new(1000, usize::MAX);
        assert_eq!(window.permits_due(0), 1000);
        assert_eq!(window.permits_due(501), 0);
        assert_eq!(window.permits_due(500), 500);
        window.put(cost(600));
        assert_eq!(window.permits_due(0), 0);
        window.take(cost(600));
        assert_eq!(
            window.permits_due(-99_000),
            100_000,
            "what the broker overshot is made up for"
        );
    }

    #[test]
    fn a_debt_however_large_is_made_up_for_in_frames_that_the_broker_can_read() {
        let window = Window::new(1000, usize::MAX);
        let mut outstanding = -10_000_000_000;
        let mut frames = 0;
        loop {
            let permits = window.permits_due(outstanding);
            if permits == 0 {
                break;
            }
            assert!(permits <= MOST_PERMITS, "{permits}");
            outstanding += i64::from(permits);
            frames += 1;
        }
        assert_eq!(
            (outstanding, frames),
            (1000, 100_001),
            "and no more than the window"
        );
    }

    #[test]
    fn a_full_window_stops_the_reading_by_count_or_by_bytes() {
        let window = Window::new(10, 1_000_000);
        window.put(cost(10));
        assert!(!window.has_room());
        window.take(cost(1));
        assert!(window.has_room());
        let window = Window::new(1000, 2000);
        window.put(Cost {
            messages: 1,
            bytes: 2000,
        });
        assert!(!window.has_room());
        assert_eq!(window.permits_due(0), 0);
    }

    #[test]
    fn a_window_of_nothing_still_lets_one_message_through() {
        let window = Window::new(0, 0);
        assert!(window.has_room());
        assert_eq!(window.permits_due(0), 1);
    }
}
