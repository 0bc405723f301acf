//! One walk through the log for all that is checked of it, then one through the dedup table.

use super::Report;
use crate::progress::Progress;
use eventstore::verify::{Differences, LogCheck, LogRow, Order, SEGMENT};
use eventstore::{EventStore, Position, StoreError};
use readmodels::Folded;
use readmodels::verify::{DailyStatsCheck, InteractionsCheck, ViewRow, read_rows};

/// The views that are compared.
pub(super) struct Views {
    pub(super) interactions: Option<InteractionsCheck>,
    pub(super) daily_stats: Option<DailyStatsCheck>,
}

/// Positions of a page at first; fewer when a page takes longer than a statement may.
const PAGE: i64 = 10_000;
const SMALLEST_PAGE: i64 = 100;
/// Rows of the dedup table in a page.
const COMMANDS: i64 = 20_000;
/// `query_canceled`: the statement took too long.
const CANCELED: &str = "57014";

pub(super) async fn log(
    store: &EventStore,
    through: Position,
    views: &mut Views,
    order: &mut Order,
    report: &mut Report,
    found: &mut Differences,
    progress: &mut Progress,
) -> Result<(), StoreError> {
    let mut begin = Position::START;
    while begin < through {
        let end = through.min(Position(begin.0.saturating_add(SEGMENT)));
        let mut check = LogCheck::new(begin, end);
        let (mut at, mut size) = (begin, PAGE);
        while at < end {
            let to = end.min(Position(at.0.saturating_add(size)));
            let (events, rows) = match page(store, views, at, to).await {
                Ok(page) => page,
                Err(error) if error.sqlstate.as_deref() == Some(CANCELED) && SMALLEST_PAGE < size => {
                    size /= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            report.events += events.len() as u64;
            let folded = folded(&events, &mut check, order, found);
            if let Some(interactions) = &mut views.interactions {
                interactions.page(&folded, &rows, found);
            }
            if let Some(daily_stats) = &mut views.daily_stats {
                daily_stats.page(&folded);
            }
            at = to;
            progress.show(|| format!("log and views: {at} of {through}"));
        }
        commands(store, &mut check, report, found, progress).await?;
        begin = end;
    }
    Ok(())
}

/// A range of the log, and the same range of `interactions`, at once.
async fn page(
    store: &EventStore,
    views: &Views,
    after: Position,
    to: Position,
) -> Result<(Vec<LogRow>, Vec<ViewRow>), StoreError> {
    let rows = async {
        match &views.interactions {
            Some(_) => read_rows(store.database(), after, to).await,
            None => Ok(Vec::new()),
        }
    };
    tokio::try_join!(store.verify_events(after, to), rows)
}

/// Checks events and decodes them for the views; one that cannot be read is in no view.
fn folded(rows: &[LogRow], check: &mut LogCheck, order: &mut Order, found: &mut Differences) -> Vec<Folded> {
    rows.iter()
        .filter_map(|row| {
            let event = check.event(row, order, found)?;
            let recorded = &row.event;
            Some(Folded {
                position: recorded.position,
                bucket: recorded.bucket,
                event_id: recorded.event_id,
                command_id: recorded.command_id,
                recorded_at: recorded.recorded_at,
                event,
            })
        })
        .collect()
}

async fn commands(
    store: &EventStore,
    check: &mut LogCheck,
    report: &mut Report,
    found: &mut Differences,
    progress: &mut Progress,
) -> Result<(), StoreError> {
    let (mut last, mut count) = (None, 0);
    loop {
        let page = store.verify_commands(last.as_ref(), COMMANDS).await?;
        for row in &page {
            check.command(row, found);
        }
        count += page.len() as u64;
        report.commands = count;
        progress.show(|| format!("dedup table: {count}"));
        match page.into_iter().next_back() {
            Some(row) => last = Some(row),
            None => return Ok(()),
        }
    }
}
