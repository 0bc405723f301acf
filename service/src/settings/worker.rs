//! How the worker batches.

use std::time::Duration;

use super::parse::{milliseconds, whole};
use crate::env::{Env, Variable};

const WORKER_BATCH_SIZE: Variable = Variable::plain(
    "WORKER_BATCH_SIZE",
    "2000",
    "Commands in one transaction at most, 1 to 10000.",
);
const WORKER_BATCH_LINGER_MS: Variable = Variable::plain(
    "WORKER_BATCH_LINGER_MS",
    "5",
    "How long a batch waits to fill up, 0 to 1000; paid by every command when there are few.",
);
const WORKER_LANES: Variable = Variable::plain(
    "WORKER_LANES",
    "DATABASE_POOL_SIZE, at most 4",
    "Batches recorded at the same time, each on a connection of its own; equal keys share a lane.",
);

pub(super) const VARIABLES: &[Variable] = &[WORKER_BATCH_SIZE, WORKER_BATCH_LINGER_MS, WORKER_LANES];

/// The worker settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Commands in one transaction at most.
    pub batch_size: usize,
    /// How long a batch waits to fill up.
    pub batch_linger: Duration,
    /// Batches recorded at the same time.
    pub lanes: usize,
}

impl Worker {
    const DEFAULT_LANES: usize = 4;

    pub(super) fn read(env: &mut Env, pool_size: usize) -> Self {
        let batch_size = env.or_default(&WORKER_BATCH_SIZE, WORKER_BATCH_SIZE.default, whole(1..=10_000));
        let batch_linger = env.or_default(
            &WORKER_BATCH_LINGER_MS,
            WORKER_BATCH_LINGER_MS.default,
            milliseconds(0..=1000),
        );
        // More lanes than connections would wait for one another.
        let lanes = env.or_default(
            &WORKER_LANES,
            &pool_size.min(Self::DEFAULT_LANES).to_string(),
            |text| whole(1..=pool_size)(text).map_err(|expected| format!("{expected} (DATABASE_POOL_SIZE)")),
        );
        Self {
            batch_size,
            batch_linger,
            lanes,
        }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::read(&mut Env::default(), Self::DEFAULT_LANES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_keep_within_the_pool() {
        assert_eq!(Worker::read(&mut Env::default(), 2).lanes, 2);
        assert_eq!(Worker::read(&mut Env::default(), 100).lanes, 4);
        let mut env = Env::from_pairs([("WORKER_LANES", "3")]);
        Worker::read(&mut env, 2);
        let message = env.check().unwrap_err().to_string();
        assert!(
            message.contains("WORKER_LANES: expected a whole number from 1 to 2 (DATABASE_POOL_SIZE)"),
            "{message}"
        );
    }
}
