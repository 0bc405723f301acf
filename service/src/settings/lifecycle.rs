//! How long a process may take to start and to stop.

use std::time::Duration;

use super::parse::seconds;
use crate::env::{Env, Variable};

const SHUTDOWN_GRACE_SECONDS: Variable = Variable::plain(
    "SHUTDOWN_GRACE_SECONDS",
    "25",
    "From the first signal to the abort, 1 to 3600; below the pod's terminationGracePeriodSeconds.",
);
const STARTUP_TIMEOUT_SECONDS: Variable = Variable::plain(
    "STARTUP_TIMEOUT_SECONDS",
    "60",
    "How long a missing database or broker is waited for at start, 1 to 3600.",
);

pub(super) const VARIABLES: &[Variable] = &[SHUTDOWN_GRACE_SECONDS, STARTUP_TIMEOUT_SECONDS];

/// The limits of start and stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// From the beginning of the stop to its abort.
    pub shutdown_grace: Duration,
    /// How long a missing database or broker is waited for at start.
    pub startup_timeout: Duration,
}

impl Lifecycle {
    pub(super) fn read(env: &mut Env) -> Self {
        Self {
            shutdown_grace: env.or_default(
                &SHUTDOWN_GRACE_SECONDS,
                SHUTDOWN_GRACE_SECONDS.default,
                seconds(1..=3600),
            ),
            startup_timeout: env.or_default(
                &STARTUP_TIMEOUT_SECONDS,
                STARTUP_TIMEOUT_SECONDS.default,
                seconds(1..=3600),
            ),
        }
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::read(&mut Env::default())
    }
}
