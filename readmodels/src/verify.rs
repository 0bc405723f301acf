//! Compares views with a fold of the log (invariant 5), while projectors go on working.
//!
//! The folds here are written a second time, apart from those that fill the views: a mistake in one of them shows.
//! Checkpoints are read before what they promise, or in one snapshot with it, and everything by pages.

mod daily_stats;
mod interactions;

pub use daily_stats::DailyStatsCheck;
pub use interactions::{InteractionsCheck, ViewRow, read_rows, rows_after};

use crate::checkpoints::BucketState;
use crate::daily_stats::DailyStats;
use crate::interactions::Interactions;
use crate::{Projection as _, ProjectionId};
use domain::BUCKETS;
use eventstore::verify::Differences;
use eventstore::{Position, StoreError};
use std::collections::BTreeMap;

/// A checkpoint for each bucket.
pub type Checkpoints = [Position; BUCKETS as usize];

const NOWHERE: Checkpoints = [Position::START; BUCKETS as usize];

/// Why a view could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A checkpoint went back while it ran: the view is being rebuilt.
    #[error("the checkpoint of bucket {bucket} of {name} went back from {from} to {to}: try again later")]
    WentBack {
        /// The projection.
        name: &'static str,
        /// The bucket.
        bucket: i16,
        /// Where it was.
        from: Position,
        /// Where it is.
        to: Position,
    },
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The views that can be compared, with the checkpoints they stand at.
#[derive(Clone, Debug, Default)]
pub struct Comparable {
    /// `interactions`.
    pub interactions: Option<Checkpoints>,
    /// `daily_stats`.
    pub daily_stats: Option<Checkpoints>,
    /// What cannot be compared, and why.
    pub left_out: Vec<String>,
}

/// Checks the checkpoints of the active versions: 64 buckets, none above `allocated`, which was read after them.
pub fn check_checkpoints(
    buckets: &[BucketState],
    allocated: Position,
    found: &mut Differences,
) -> Comparable {
    let mut projections: BTreeMap<(&str, i32), Vec<&BucketState>> = BTreeMap::new();
    for state in buckets.iter().filter(|state| state.active) {
        projections
            .entry((&state.name, state.version))
            .or_default()
            .push(state);
    }
    let mut comparable = Comparable::default();
    for id in [Interactions.id(), DailyStats.id()] {
        if !projections.contains_key(&(id.name, id.version)) {
            let text = format!(
                "{}: version {} is not active, and this build folds no other",
                id.name, id.version
            );
            comparable.left_out.push(text);
        }
    }
    for ((name, version), states) in projections {
        let mut checkpoints = NOWHERE;
        let mut missing = vec![true; checkpoints.len()];
        for state in states {
            let bucket = format!("{name} version {version} bucket {}", state.bucket);
            let Some(index) = usize::try_from(state.bucket)
                .ok()
                .filter(|index| *index < missing.len())
            else {
                found.add("checkpoint_unknown_bucket", &bucket, "there is no such bucket");
                continue;
            };
            missing[index] = false;
            checkpoints[index] = state.checkpoint;
            if allocated < state.checkpoint {
                let detail = format!("stands at {}, the log ends at {allocated}", state.checkpoint);
                found.add("checkpoint_above_log", &bucket, detail);
            }
        }
        for bucket in missing
            .iter()
            .enumerate()
            .filter_map(|(n, missing)| missing.then_some(n))
        {
            let id = format!("{name} version {version} bucket {bucket}");
            found.add("checkpoint_missing", &id, "nobody projects this bucket");
        }
        let is = |id: ProjectionId| (id.name, id.version) == (name, version);
        if is(Interactions.id()) {
            comparable.interactions = Some(checkpoints);
        } else if is(DailyStats.id()) {
            comparable.daily_stats = Some(checkpoints);
        }
    }
    comparable
}

/// The checkpoint of a bucket. An event in a bucket that does not exist is folded by nobody.
fn of(checkpoints: &Checkpoints, bucket: i16) -> Position {
    usize::try_from(bucket)
        .ok()
        .and_then(|index| checkpoints.get(index))
        .copied()
        .unwrap_or_default()
}
