//! `interactions`, row for row.

use super::{Checkpoints, NOWHERE, of};
use crate::Folded;
use crate::checkpoints::BucketState;
use crate::interactions::Interactions;
use chrono::{DateTime, Utc};
use domain::command::Details;
use domain::{Event, InteractionTracked};
use eventstore::verify::Differences;
use eventstore::{Database, Position, StoreError};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A row of the view.
#[derive(Clone, Debug)]
pub struct ViewRow {
    position: i64,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    event_id: Uuid,
    command_id: Uuid,
    project: String,
    user_id: String,
    interaction: String,
    target_id: Option<String>,
    campaign_id: Option<String>,
    partner_id: Option<String>,
    details: Option<String>,
}

impl ViewRow {
    /// Where its event lies.
    pub fn position(&self) -> Position {
        Position(self.position)
    }
}

const ROWS: &str = "select position, occurred_at, recorded_at, event_id, command_id, project, user_id, interaction, \
    target_id, campaign_id, partner_id, details::text \
    from readmodels.interactions_v1 where position > $1 and position <= $2 order by position limit $3";

/// The rows after a position and up to another, in order.
pub async fn read_rows(db: &Database, after: Position, to: Position) -> Result<Vec<ViewRow>, StoreError> {
    read(db, after, to, i64::MAX).await
}

/// The first rows after a position.
pub async fn rows_after(db: &Database, after: Position, limit: i64) -> Result<Vec<ViewRow>, StoreError> {
    read(db, after, Position(i64::MAX), limit).await
}

async fn read(db: &Database, after: Position, to: Position, limit: i64) -> Result<Vec<ViewRow>, StoreError> {
    let failed = |e| StoreError::of("verify interactions", e);
    let client = db.client().await?;
    let statement = client.prepare_cached(ROWS).await.map_err(failed)?;
    let rows = client
        .query(&statement, &[&after.0, &to.0, &limit])
        .await
        .map_err(failed)?;
    Ok(rows
        .iter()
        .map(|row| ViewRow {
            position: row.get(0),
            occurred_at: row.get(1),
            recorded_at: row.get(2),
            event_id: row.get(3),
            command_id: row.get(4),
            project: row.get(5),
            user_id: row.get(6),
            interaction: row.get(7),
            target_id: row.get(8),
            campaign_id: row.get(9),
            partner_id: row.get(10),
            details: row.get(11),
        })
        .collect())
}

/// Compares rows with events. Rows are never changed or taken away, so that what a checkpoint promised before the
/// comparison began must be there at any time after.
#[derive(Debug)]
pub struct InteractionsCheck {
    promised: Checkpoints,
    /// The highest row of each bucket.
    highest: Checkpoints,
    rows: u64,
}

impl InteractionsCheck {
    /// For checkpoints that were read before any row.
    pub fn new(promised: Checkpoints) -> Self {
        Self {
            promised,
            highest: NOWHERE,
            rows: 0,
        }
    }

    /// Rows compared so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// All events and all rows of the same range of positions, both in order.
    pub fn page(&mut self, events: &[Folded], rows: &[ViewRow], found: &mut Differences) {
        let mut rows = rows.iter().peekable();
        for folded in events {
            while let Some(extra) = rows.next_if(|row| row.position < folded.position.0) {
                without_event(extra, found);
            }
            let row = rows.next_if(|row| row.position == folded.position.0);
            match (row, tracked(&folded.event)) {
                (Some(row), Some(tracked)) => self.row(row, folded, tracked, found),
                (Some(row), None) => without_event(row, found),
                (None, Some(_)) if folded.position <= of(&self.promised, folded.bucket) => {
                    let detail = format!(
                        "interactions: no row of position {}, which bucket {} has passed",
                        folded.position, folded.bucket
                    );
                    found.add("view_row_missing", &folded.command_id, detail);
                }
                (None, _) => {}
            }
        }
        for extra in rows {
            without_event(extra, found);
        }
    }

    fn row(&mut self, row: &ViewRow, folded: &Folded, tracked: &InteractionTracked, found: &mut Differences) {
        self.rows += 1;
        if let Some(highest) = usize::try_from(folded.bucket)
            .ok()
            .and_then(|bucket| self.highest.get_mut(bucket))
        {
            *highest = folded.position;
        }
        let wrong = differing(row, folded, tracked);
        if !wrong.is_empty() {
            let detail = format!(
                "interactions: position {}: {} not as the event says",
                row.position,
                wrong.join(", ")
            );
            found.add("view_row_differs", &folded.command_id, detail);
        }
    }

    /// Rows beyond the part of the log that is settled: those above `allocated`, which was read after them, have no
    /// event; the others may have one that is not settled yet.
    pub fn beyond(rows: &[ViewRow], allocated: Position, found: &mut Differences) {
        for row in rows.iter().filter(|row| allocated.0 < row.position) {
            without_event(row, found);
        }
    }

    /// Checkpoints read after all rows: no row may lie above them.
    pub fn finish(&self, buckets: &[BucketState], found: &mut Differences) {
        let id = Interactions::ID;
        for state in buckets
            .iter()
            .filter(|state| state.name == id.name && state.version == id.version)
        {
            let highest = of(&self.highest, state.bucket);
            if state.checkpoint < highest {
                let bucket = format!("{} version {} bucket {}", id.name, id.version, state.bucket);
                let detail = format!(
                    "stands at {}, but has folded up to {highest}: it was taken back",
                    state.checkpoint
                );
                found.add("checkpoint_behind_view", &bucket, detail);
            }
        }
    }
}

/// A row that no event accounts for, such as one that was put in twice.
fn without_event(row: &ViewRow, found: &mut Differences) {
    let command_id = domain::CommandId(row.command_id);
    let detail = format!("interactions: there is no event at position {}", row.position);
    found.add("view_row_without_event", &command_id, detail);
}

fn tracked(event: &Event) -> Option<&InteractionTracked> {
    match event {
        Event::InteractionTracked(tracked) => Some(tracked),
        // Other kinds of events are not shown.
        _ => None,
    }
}

/// The columns that are not as the event says.
fn differing(row: &ViewRow, folded: &Folded, tracked: &InteractionTracked) -> Vec<&'static str> {
    let details = &tracked.details;
    let same = [
        ("occurred_at", row.occurred_at == tracked.timestamp),
        ("recorded_at", row.recorded_at == folded.recorded_at),
        ("event_id", row.event_id == folded.event_id.0),
        ("command_id", row.command_id == folded.command_id.0),
        ("project", row.project == tracked.project.as_str()),
        ("user_id", row.user_id == tracked.user_id.as_str()),
        ("interaction", row.interaction == tracked.interaction.as_str()),
        ("target_id", row.target_id == details.target_id),
        ("campaign_id", row.campaign_id == details.campaign_id),
        ("partner_id", row.partner_id == details.partner_id),
        ("details", same_details(row.details.as_deref(), details)),
    ];
    same.iter()
        .filter(|(_, same)| !same)
        .map(|(name, _)| *name)
        .collect()
}

/// Whether the view's JSON holds what of the details has no column.
fn same_details(kept: Option<&str>, details: &Details) -> bool {
    let Ok(Value::Object(mut expected)) = serde_json::to_value(details) else {
        return false;
    };
    for column in ["target_id", "campaign_id", "partner_id"] {
        expected.remove(column);
    }
    let kept = match kept {
        None => Some(Map::new()),
        Some(text) => serde_json::from_str(text).ok(),
    };
    kept == Some(expected)
}
