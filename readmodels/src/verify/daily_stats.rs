//! `daily_stats`, counter for counter.
//!
//! The log is counted up to the checkpoints of the beginning; then, for each page of counters, on to the checkpoints
//! that were read in the page's own snapshot. So every counter is compared at the position that it stands at.
//! Memory grows with the number of counters, some 60 bytes each, not with the log.

use super::{Checkpoints, NOWHERE, VerifyError, of};
use crate::daily_stats::DailyStats;
use crate::{ApplyError, Folded};
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use domain::{BUCKETS, Event};
use eventstore::verify::Differences;
use eventstore::{EventStore, Position, StoreError};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use tokio_postgres::IsolationLevel;

/// Seconds of one counter, and its shards: part of the view's version.
const GRAIN: i64 = 15 * 60;
const SHARDS: i16 = 4;
/// Counters of a page; a page holds all of its last quarter.
const PAGE: i64 = 5_000;
/// Events of one bucket that are read at once to catch up.
const CATCH_UP: i64 = 200;
/// 4714 BC, before which PostgreSQL knows no time.
const BEGINNING: i64 = -210_866_803_200;

/// Project, interaction, campaign, partner, as numbers of names.
type Names = [u32; 4];

/// The counters of a quarter, by names and shard.
type Counts = HashMap<(Names, i16), i64>;

/// The tables of the view: the second leaves campaigns and partners out.
#[derive(Clone, Copy)]
enum Table {
    Counters,
    Totals,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Counters => "daily_stats_v1",
            Self::Totals => "daily_totals_v1",
        }
    }

    fn columns(self) -> &'static str {
        match self {
            Self::Counters => "quarter, project, interaction, campaign_id, partner_id, shard, count",
            Self::Totals => "quarter, project, interaction, '', '', shard, count",
        }
    }

    /// What this table has of a quarter; `none` is the number of the empty name.
    fn of(self, counts: &Counts, none: u32) -> Cow<'_, Counts> {
        match self {
            Self::Counters => Cow::Borrowed(counts),
            Self::Totals => {
                let mut totals = Counts::new();
                for (([project, interaction, ..], shard), count) in counts {
                    *totals
                        .entry(([*project, *interaction, none, none], *shard))
                        .or_default() += count;
                }
                Cow::Owned(totals)
            }
        }
    }
}

/// Counts the log and compares the counters with it.
#[derive(Debug)]
pub struct DailyStatsCheck {
    counted: Checkpoints,
    /// By begin of the quarter in seconds since 1970.
    quarters: BTreeMap<i64, Counts>,
    numbers: HashMap<String, u32>,
    names: Vec<String>,
    counters: u64,
}

struct Counter {
    quarter: i64,
    names: [String; 4],
    shard: i16,
    count: i64,
}

impl DailyStatsCheck {
    /// Counts up to these checkpoints first.
    pub fn new(checkpoints: Checkpoints) -> Self {
        Self {
            counted: checkpoints,
            quarters: BTreeMap::new(),
            numbers: HashMap::new(),
            names: Vec::new(),
            counters: 0,
        }
    }

    /// Counters compared.
    pub fn counters(&self) -> u64 {
        self.counters
    }

    /// Events of the log: each once. Those above the first checkpoints are left for later.
    pub fn page(&mut self, events: &[Folded]) {
        for folded in events {
            if folded.position <= of(&self.counted, folded.bucket) {
                self.count(folded);
            }
        }
    }

    fn count(&mut self, folded: &Folded) {
        let Event::InteractionTracked(tracked) = &folded.event else {
            return;
        };
        let details = &tracked.details;
        let names = [
            tracked.project.as_str(),
            tracked.interaction.as_str(),
            details.campaign_id.as_deref().unwrap_or_default(),
            details.partner_id.as_deref().unwrap_or_default(),
        ]
        .map(|name| self.number(name));
        let seconds = tracked.timestamp.timestamp();
        let quarter = self
            .quarters
            .entry(seconds - seconds.rem_euclid(GRAIN))
            .or_default();
        *quarter.entry((names, folded.bucket % SHARDS)).or_default() += 1;
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("memory ends before the names do");
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }

    /// Compares all counters, once the whole log up to the first checkpoints was given.
    pub async fn compare(&mut self, store: &EventStore, found: &mut Differences) -> Result<(), VerifyError> {
        self.compare_table(store, Table::Counters, found).await?;
        self.compare_table(store, Table::Totals, found).await
    }

    async fn compare_table(
        &mut self,
        store: &EventStore,
        table: Table,
        found: &mut Differences,
    ) -> Result<(), VerifyError> {
        let mut after = DateTime::from_timestamp(BEGINNING, 0).expect("a time that chrono knows");
        loop {
            let (counters, through, checkpoints) = snapshot(store, table, after).await?;
            self.catch_up(store, &checkpoints).await?;
            self.compare_page(table, &counters, after, through, found);
            match through {
                Some(through) => after = through,
                None => return Ok(()),
            }
        }
    }

    /// Counts on to these checkpoints.
    async fn catch_up(&mut self, store: &EventStore, to: &Checkpoints) -> Result<(), VerifyError> {
        loop {
            let mut ranges = Vec::new();
            for (bucket, (from, to)) in (0..BUCKETS).zip(self.counted.iter().zip(to)) {
                if to < from {
                    let name = DailyStats::ID.name;
                    let (from, to) = (*from, *to);
                    return Err(VerifyError::WentBack {
                        name,
                        bucket,
                        from,
                        to,
                    });
                }
                if from < to {
                    ranges.push((bucket, *from, *to));
                }
            }
            if ranges.is_empty() {
                return Ok(());
            }
            let events = store.read_each(&ranges, CATCH_UP).await?;
            let mut read: HashMap<i16, (i64, Position)> = HashMap::new();
            for event in &events {
                let (count, last) = read.entry(event.bucket).or_default();
                *count += 1;
                *last = event.position.max(*last);
                match Folded::read(event) {
                    Ok(folded) => self.count(&folded),
                    // The log's own check names it.
                    Err(ApplyError::Unreadable { .. }) => {}
                    Err(ApplyError::Store(error)) => return Err(error.into()),
                }
            }
            for (bucket, _, to) in ranges {
                let reached = match read.get(&bucket) {
                    Some((CATCH_UP, last)) => *last,
                    _ => to,
                };
                self.counted[usize::try_from(bucket).expect("one of 0 to 63")] = reached;
            }
        }
    }

    /// The counters of the quarters after one and up to another against what was counted.
    fn compare_page(
        &mut self,
        table: Table,
        counters: &[Counter],
        after: DateTime<Utc>,
        through: Option<DateTime<Utc>>,
        found: &mut Differences,
    ) {
        let mut kept: HashMap<(i64, Names, i16), i64> = HashMap::with_capacity(counters.len());
        for counter in counters {
            self.counters += 1;
            let names = counter.names.each_ref().map(|name| self.number(name));
            kept.insert((counter.quarter, names, counter.shard), counter.count);
        }
        let none = self.number("");
        // What was counted, and not kept or kept otherwise; then what was kept and not counted.
        let range = (
            Bound::Excluded(after.timestamp()),
            through.map_or(Bound::Unbounded, |end| Bound::Included(end.timestamp())),
        );
        let mut wrong = Vec::new();
        for (quarter, counts) in self.quarters.range(range) {
            for ((names, shard), counted) in table.of(counts, none).iter() {
                let kept = kept.remove(&(*quarter, *names, *shard));
                if kept != Some(*counted) {
                    wrong.push((*quarter, *names, *shard, kept, *counted));
                }
            }
        }
        wrong.extend(
            kept.into_iter()
                .map(|((quarter, names, shard), kept)| (quarter, names, shard, Some(kept), 0)),
        );
        wrong.sort_unstable();
        for (quarter, names, shard, kept, counted) in wrong {
            let kept = kept.map_or_else(|| "no counter".to_owned(), |count| count.to_string());
            let detail = format!("{}: the view has {kept}, the log {counted}", table.name());
            found.add("counter_differs", &self.key(quarter, names, shard), detail);
        }
    }

    fn key(&self, quarter: i64, names: Names, shard: i16) -> String {
        let begin = DateTime::from_timestamp(quarter, 0).map_or_else(
            || quarter.to_string(),
            |at| at.format("%Y-%m-%dT%H:%MZ").to_string(),
        );
        let [project, interaction, campaign, partner] = names.map(|number| {
            let index = usize::try_from(number).expect("32 bits");
            &*self.names[index]
        });
        format!("{begin} {project} {interaction} campaign={campaign} partner={partner} shard={shard}")
    }
}

const CHECKPOINTS: &str = "select bucket, checkpoint from projections.bucket where name = $1 and version = $2 \
    and bucket between 0 and 63";

/// A page of counters with its last quarter, `None` for the last page, and the checkpoints at the same instant.
async fn snapshot(
    store: &EventStore,
    table: Table,
    after: DateTime<Utc>,
) -> Result<(Vec<Counter>, Option<DateTime<Utc>>, Checkpoints), StoreError> {
    let failed = |e| StoreError::of("verify daily_stats", e);
    let (name, columns) = (table.name(), table.columns());
    let end = format!(
        "select max(quarter) from (select quarter from readmodels.{name}
          where quarter > $1 order by quarter limit $2) as page having count(*) = $2"
    );
    let page = format!("select {columns} from readmodels.{name} where quarter > $1");
    let mut client = store.database().client().await?;
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(failed)?;
    let end: Option<DateTime<Utc>> = tx
        .query_opt(&end, &[&after, &PAGE])
        .await
        .map_err(failed)?
        .map(|row| row.get(0));
    let rows = match end {
        Some(end) => {
            tx.query(&format!("{page} and quarter <= $2"), &[&after, &end])
                .await
        }
        None => tx.query(&page, &[&after]).await,
    };
    let counters = rows
        .map_err(failed)?
        .iter()
        .map(|row| Counter {
            quarter: row.get::<_, DateTime<Utc>>(0).timestamp(),
            names: [row.get(1), row.get(2), row.get(3), row.get(4)],
            shard: row.get(5),
            count: row.get(6),
        })
        .collect();
    let checkpoints = checkpoints(&tx).await?;
    tx.rollback().await.map_err(failed)?;
    Ok((counters, end, checkpoints))
}

async fn checkpoints(tx: &Transaction<'_>) -> Result<Checkpoints, StoreError> {
    let id = DailyStats::ID;
    let rows = tx
        .query(CHECKPOINTS, &[&id.name, &id.version])
        .await
        .map_err(|e| StoreError::of("verify daily_stats", e))?;
    let mut checkpoints = NOWHERE;
    for row in rows {
        let bucket = usize::try_from(row.get::<_, i16>(0)).expect("the statement asks for 0 to 63");
        checkpoints[bucket] = Position(row.get(1));
    }
    Ok(checkpoints)
}
