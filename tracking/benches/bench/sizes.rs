//! How much is measured: `BENCH_…` variables with the defaults of a full run.

use anyhow::{Context as _, bail};
use serde::Serialize;
use service::settings::Worker;
use std::str::FromStr;

/// The parts that `BENCH_ONLY` names.
const PARTS: [&str; 4] = ["engine", "sweep", "drain", "visible"];

/// The sizes of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sizes {
    /// Rows in the log before a measurement, ascending: one level each.
    pub(crate) stored: Vec<i64>,
    /// Pairs of a ratio.
    pub(crate) pairs: usize,
    /// Rows of one side of the recording engine's ratio.
    pub(crate) rows: usize,
    /// Commands of a backlog in entries of 500.
    pub(crate) backlog: usize,
    /// Commands of a backlog with one command an entry.
    pub(crate) unbatched: usize,
    /// Commands a second while the time to visibility is measured.
    pub(crate) rate: u32,
    /// For so long.
    pub(crate) seconds: u32,
    /// Commands of one transaction.
    pub(crate) batch_size: usize,
    /// Transactions side by side.
    pub(crate) lanes: usize,
    /// What is measured.
    pub(crate) parts: Vec<String>,
}

impl Sizes {
    /// Reads the variables; what is not set is as in a full run, what the worker's settings say is theirs.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let worker = Worker::default();
        let sizes = Self {
            stored: list("BENCH_STORED", "1000000,10000000")?,
            pairs: one("BENCH_PAIRS", 5)?,
            rows: one("BENCH_ROWS", 400_000)?,
            backlog: one("BENCH_BACKLOG", 400_000)?,
            unbatched: one("BENCH_UNBATCHED", 100_000)?,
            rate: one("BENCH_RATE", 1_000)?,
            seconds: one("BENCH_SECONDS", 30)?,
            batch_size: one("BENCH_BATCH_SIZE", worker.batch_size)?,
            lanes: one("BENCH_LANES", worker.lanes)?,
            parts: list("BENCH_ONLY", &PARTS.join(","))?,
        };
        if let Some(part) = sizes.parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
            bail!("BENCH_ONLY: `{part}` is none of {PARTS:?}");
        }
        if !sizes.stored.is_sorted() || sizes.pairs == 0 || crate::POOL < sizes.lanes {
            bail!(
                "BENCH_STORED must ascend, BENCH_PAIRS be at least 1, BENCH_LANES at most {}",
                crate::POOL
            );
        }
        Ok(sizes)
    }

    /// Whether this part is measured.
    pub(crate) fn measures(&self, part: &str) -> bool {
        self.parts.iter().any(|wanted| wanted == part)
    }
}

fn text(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the benchmarks are no part of the service"
    )]
    let value = std::env::var(name).ok();
    value.filter(|value| !value.is_empty())
}

fn one<T: FromStr>(name: &str, default: T) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match text(name) {
        Some(text) => text.parse().with_context(|| format!("{name}={text}")),
        None => Ok(default),
    }
}

fn list<T: FromStr>(name: &str, default: &str) -> anyhow::Result<Vec<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = text(name).unwrap_or_else(|| default.to_owned());
    let parts = text.split(',').map(|part| part.trim().parse());
    parts
        .collect::<Result<_, _>>()
        .with_context(|| format!("{name}={text}"))
}
