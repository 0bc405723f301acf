//! Read model `daily_stats`: how many interactions, in counters of 15 minutes that add up to the days of any time zone.

mod calendar;
mod count;
mod fold;

pub use calendar::{Timezone, start_of_day};
pub use count::{DailyCount, DailyQuery, DailyStatistics, GroupBy, MAX_DAYS, MAX_ROWS, daily};

use crate::{ApplyError, Folded, Projection, ProjectionId, ViewTx};
use futures::future::BoxFuture;

/// The read model `daily_stats`, version 1.
pub struct DailyStats;

impl DailyStats {
    pub(crate) const ID: ProjectionId = ProjectionId {
        name: "daily_stats",
        version: 1,
    };
}

/// Seconds of one counter. Every offset in use today is a multiple of it.
const GRAIN: i64 = 15 * 60;

impl Projection for DailyStats {
    fn id(&self) -> ProjectionId {
        Self::ID
    }

    fn schema(&self) -> &'static str {
        include_str!("daily_stats/schema.sql")
    }

    fn apply<'a>(
        &'a self,
        tx: &'a ViewTx<'a>,
        events: &'a [Folded],
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(fold::apply(tx, events))
    }
}
