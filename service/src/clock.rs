//! The one place that reads the system's wall clock.
//!
//! Rules and folds take the time as a parameter; a process reads it here and hands it on.

use chrono::{DateTime, Utc};

/// Where the wall-clock time comes from.
pub trait Clock: Send + Sync {
    /// The time now, in UTC.
    fn now(&self) -> DateTime<Utc>;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        now()
    }
}

/// The machine's wall-clock time, in UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "the sanctioned reading of the wall clock"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
