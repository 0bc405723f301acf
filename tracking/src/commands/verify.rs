//! `tracking verify`: the log against itself, the dedup table, the dead letters and the views.

mod report;
mod walk;

use crate::progress::Progress;
use crate::tool;
use eventstore::verify::{Differences, Order, check_dead_letter};
use eventstore::{EventStore, Position};
use readmodels::checkpoints;
use readmodels::verify::{self, Comparable, DailyStatsCheck, InteractionsCheck};
use report::Report;
use service::{ExitError, exit};
use std::time::{Duration, Instant};

/// Arguments of `tracking verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name at most so many differences; all are counted.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    limit: u16,
}

/// Longest statement, and so oldest snapshot: a longer one would keep the views' tables from being vacuumed.
const STATEMENT: Duration = Duration::from_secs(5);

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let limit = usize::from(arguments.limit);
    tool::run_within(STATEMENT, move |process, store| async move {
        let report = Box::pin(process.interruptible(check(&store, limit))).await?;
        report.show(json)?;
        match report.differences.total {
            0 => Ok(()),
            1 => Err(ExitError::new(exit::DIFFERENCES, "1 difference").into()),
            many => Err(ExitError::new(exit::DIFFERENCES, format!("{many} differences")).into()),
        }
    })
}

async fn check(store: &EventStore, limit: usize) -> anyhow::Result<Report> {
    let begin = Instant::now();
    let (mut found, mut progress) = (Differences::new(limit), Progress::on_stderr());
    // Checkpoints first, then the watermark: what a checkpoint promises then lies below it.
    let buckets = checkpoints::list(store.database()).await?;
    let (through, allocated) = store.heights().await?;
    let Comparable {
        interactions,
        daily_stats,
        left_out,
    } = verify::check_checkpoints(&buckets, allocated, &mut found);
    let mut report = Report::new(through, left_out);
    let mut views = walk::Views {
        interactions: interactions.map(InteractionsCheck::new),
        daily_stats: daily_stats.map(|at| DailyStatsCheck::new(at.map(|at| at.min(through)))),
    };
    let mut order = Order::default();
    walk::log(
        store,
        through,
        &mut views,
        &mut order,
        &mut report,
        &mut found,
        &mut progress,
    )
    .await?;
    report.inversions_without_promise = order.finish(&mut found);
    dead_letters(store, &mut report, &mut found, &mut progress).await?;
    beyond(store, through, &mut views, &mut found).await?;
    if let Some(daily_stats) = &mut views.daily_stats {
        progress.show(|| "counters of daily_stats".to_owned());
        daily_stats.compare(store, &mut found).await?;
        report.daily_stats = daily_stats.counters();
    }
    report.interactions = views.interactions.as_ref().map_or(0, InteractionsCheck::rows);
    report.differences = found;
    report.seconds = begin.elapsed().as_secs_f64();
    Ok(report)
}

/// Dead letters of a page.
const DEAD_LETTERS: i64 = 5_000;

async fn dead_letters(
    store: &EventStore,
    report: &mut Report,
    found: &mut Differences,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let page = store.verify_dead_letters(after, DEAD_LETTERS).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.sequence;
        for letter in &page {
            check_dead_letter(letter, found);
        }
        report.dead_letters += page.len() as u64;
        progress.show(|| format!("{} dead letters", report.dead_letters));
    }
}

/// Rows looked at beyond the settled part of the log.
const BEYOND: i64 = 10_000;

/// What lies where nothing can lie: above what was ever drawn. Each height is read after what must lie below it.
async fn beyond(
    store: &EventStore,
    through: Position,
    views: &mut walk::Views,
    found: &mut Differences,
) -> anyhow::Result<()> {
    let last = store.last_event().await?;
    if let Some(interactions) = &views.interactions {
        let rows = verify::rows_after(store.database(), through, BEYOND).await?;
        InteractionsCheck::beyond(&rows, store.allocated().await?, found);
        interactions.finish(&checkpoints::list(store.database()).await?, found);
    }
    let allocated = store.allocated().await?;
    if allocated < last {
        let detail =
            format!("the sequence stands at {allocated}: the next events would lie among older ones");
        found.add("event_above_sequence", &last, detail);
    }
    Ok(())
}
