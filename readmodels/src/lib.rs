//! What is shown: one file per read model, with its tables, its fold, its queries and its tests.
//!
//! To add one: write `src/<name>.rs` with a type that implements [`Projection`] and its queries, name it in [`all`],
//! and give it an endpoint in `api`. Everything else (leases, checkpoints, metrics, rebuild) iterates over [`all`].

mod as_of;
pub mod checkpoints;
pub mod daily_stats;
pub mod interactions;
mod page;
mod projection;
pub mod verify;

pub use as_of::{AsOf, ReadError, as_of};
pub use page::{Advance, PageError, commit_page};
pub use projection::{ApplyError, Folded, Projection, ProjectionId, ViewTx, install};

/// Every read model there is.
pub fn all() -> Vec<Box<dyn Projection>> {
    vec![
        Box::new(interactions::Interactions),
        Box::new(daily_stats::DailyStats),
    ]
}
