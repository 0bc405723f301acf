//! Counts by day and group.

use super::calendar::{Calendar, Timezone};
use super::{DailyStats, GRAIN};
use crate::ProjectionId;
use crate::as_of::{AsOf, Attempts, ReadError, as_of_on, within};
use crate::interactions::{Conditions, Filter, Interactions};
use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::Object;
use eventstore::{Database, StoreError};
use tokio_postgres::Row;

/// Most days of one query: ten years.
pub const MAX_DAYS: usize = 3_660;
/// Most rows of one answer.
pub const MAX_ROWS: usize = 10_000;

/// What to count apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "a set of four, each in or out")]
pub struct GroupBy {
    /// Each kind of interaction.
    pub interaction: bool,
    /// Each campaign, and what has none.
    pub campaign_id: bool,
    /// Each partner, and what has none.
    pub partner_id: bool,
    /// Each target, and what has none.
    pub target_id: bool,
}

/// Counts to be read.
#[derive(Clone, Debug)]
pub struct DailyQuery {
    /// Of which interactions; its times are not looked at.
    pub filter: Filter,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until before when.
    pub to: DateTime<Utc>,
    /// Whose days.
    pub timezone: Timezone,
    /// What to count apart.
    pub group_by: GroupBy,
}

/// How many on a day. What is not grouped by, and what the interactions did not name, is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DailyCount {
    /// The day, in the query's time zone.
    pub date: NaiveDate,
    /// The kind of interaction.
    pub interaction: Option<String>,
    /// The campaign.
    pub campaign_id: Option<String>,
    /// The partner.
    pub partner_id: Option<String>,
    /// The target.
    pub target_id: Option<String>,
    /// How many; never 0.
    pub count: i64,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct DailyStatistics {
    /// By date, then by what is grouped by.
    pub rows: Vec<DailyCount>,
    /// What the counts hold at least.
    pub as_of: AsOf,
}

/// Counts interactions by day. Gives [`ReadError::TooLarge`] for more than [`MAX_ROWS`] rows, and for ranges of more
/// than [`MAX_DAYS`] days.
pub async fn daily(db: &Database, query: &DailyQuery) -> Result<DailyStatistics, ReadError> {
    let mut attempts = Attempts::new(db);
    loop {
        let client = attempts.client().await?;
        let ran = within(daily_on(&client, query)).await;
        if let Some(done) = attempts.settle(client, ran).await {
            return done;
        }
    }
}

async fn daily_on(client: &Object, query: &DailyQuery) -> Result<DailyStatistics, ReadError> {
    let empty = query.to <= query.from;
    let days = if empty {
        Calendar {
            dates: Vec::new(),
            begins: Vec::new(),
        }
    } else {
        Calendar::cut(query.from, query.to, query.timezone, MAX_DAYS)
            .ok_or(ReadError::TooLarge { limit: MAX_DAYS })?
    };
    let source = Source::of(query, &days);
    // Before the counts, so that they hold at least as much.
    let as_of = as_of_on(client, source.projection).await?;
    let rows = if empty {
        Vec::new()
    } else {
        source.count(client, query, &days).await?
    };
    if MAX_ROWS < rows.len() {
        return Err(ReadError::TooLarge { limit: MAX_ROWS });
    }
    let rows = rows
        .iter()
        .map(|row| daily_count(row, query.group_by, &days.dates))
        .collect();
    Ok(DailyStatistics { rows, as_of })
}

/// Where counts come from.
struct Source {
    projection: ProjectionId,
    /// The table.
    table: &'static str,
    /// The column of time.
    time: &'static str,
    /// How many a row stands for.
    sum: &'static str,
}

const COUNTERS: Source = Source {
    projection: DailyStats::ID,
    table: "readmodels.daily_stats_v1",
    time: "quarter",
    sum: "sum(count)::bigint",
};

const TOTALS: Source = Source {
    table: "readmodels.daily_totals_v1",
    ..COUNTERS
};

const ROWS: Source = Source {
    projection: Interactions::ID,
    table: "readmodels.interactions_v1",
    time: "occurred_at",
    sum: "count(*)",
};

impl Source {
    /// The smallest that knows what is asked for; the rows where the range cuts through a counter.
    fn of(query: &DailyQuery, days: &Calendar) -> Self {
        let (filter, by) = (&query.filter, query.group_by);
        let aligned =
            |time: &DateTime<Utc>| time.timestamp() % GRAIN == 0 && time.timestamp_subsec_nanos() == 0;
        let exact = filter.user_id.is_some() || filter.target_id.is_some() || by.target_id;
        let fine =
            filter.campaign_id.is_some() || filter.partner_id.is_some() || by.campaign_id || by.partner_id;
        if exact || !aligned(&query.to) || !days.begins.iter().all(aligned) {
            ROWS
        } else if fine {
            COUNTERS
        } else {
            TOTALS
        }
    }

    async fn count(
        &self,
        client: &Object,
        query: &DailyQuery,
        days: &Calendar,
    ) -> Result<Vec<Row>, StoreError> {
        let mut conditions = Conditions::default();
        let begins = conditions.param(&days.begins);
        let (from, to) = match self.time {
            "quarter" => ("quarter >=", "quarter <"),
            _ => ("occurred_at >=", "occurred_at <"),
        };
        conditions.and(from, query.from);
        conditions.and(to, query.to);
        conditions.and_all(&query.filter);
        let limit = conditions.param(i64::try_from(MAX_ROWS).expect("a small number") + 1);
        // Always four columns of groups, so that rows read the same whatever is grouped by.
        let group = |wanted: bool, column: &'static str| if wanted { column } else { "''" };
        let by = query.group_by;
        let sql = format!(
            "select width_bucket({time}, ${begins}::timestamptz[]), {interaction}, {campaign}, {partner}, {target}, {sum} \
             from {table} {conditions} group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5 limit ${limit}",
            time = self.time,
            interaction = group(by.interaction, "interaction"),
            campaign = group(by.campaign_id, "coalesce(campaign_id, '')"),
            partner = group(by.partner_id, "coalesce(partner_id, '')"),
            target = group(by.target_id, "coalesce(target_id, '')"),
            sum = self.sum,
            table = self.table,
            conditions = conditions.text(),
        );
        let failed = |error| StoreError::of("count interactions by day", error);
        let statement = client.prepare_cached(&sql).await.map_err(failed)?;
        client
            .query(&statement, &conditions.params())
            .await
            .map_err(failed)
    }
}

fn daily_count(row: &Row, by: GroupBy, dates: &[NaiveDate]) -> DailyCount {
    let day = usize::try_from(row.get::<_, i32>(0) - 1).expect("no row lies before the first day");
    let group = |wanted: bool, column: usize| {
        let text: &str = row.get(column);
        (wanted && !text.is_empty()).then(|| text.to_owned())
    };
    DailyCount {
        date: dates[day],
        interaction: group(by.interaction, 1),
        campaign_id: group(by.campaign_id, 2),
        partner_id: group(by.partner_id, 3),
        target_id: group(by.target_id, 4),
        count: row.get(5),
    }
}
