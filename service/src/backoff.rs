//! Waiting times between attempts: doubling up to a cap, with jitter so that processes do not retry in step.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Gives one waiting time after the other.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins at `first` and doubles until `cap`.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            next: first.min(cap),
        }
    }

    /// The time to wait before the next attempt: between half and the whole of the current step.
    pub fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.cap);
        let half = step / 2;
        half + half.mul_f64(random_fraction())
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.cap);
    }
}

/// From 0 to 1. The standard library seeds every `RandomState` differently, which is random enough to spread retries.
fn random_fraction() -> f64 {
    let bits = RandomState::new().hash_one(0_u8);
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for step in [100, 200, 300, 300] {
            let wait = backoff.wait();
            assert!(wait >= Duration::from_millis(step / 2), "{wait:?} for {step}");
            assert!(wait <= Duration::from_millis(step), "{wait:?} for {step}");
        }
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(100));
    }

    #[test]
    fn two_processes_do_not_retry_in_step() {
        let waits: std::collections::BTreeSet<Duration> = (0..20)
            .map(|_| Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).wait())
            .collect();
        assert!(waits.len() > 10, "{waits:?}");
    }
}
