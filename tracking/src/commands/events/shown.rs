//! An event as JSON, as a row, and as a line.

use chrono::{DateTime, Utc};
use domain::{CommandId, EventId};
use eventstore::{Position, RecordedEvent};
use serde::Serialize;
use serde_json::Value;

/// An event outside: `id` is the command's, as everywhere.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    position: Position,
    id: CommandId,
    event_id: EventId,
    project: &'a str,
    stream: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema_version: i16,
    timestamp: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    data: Value,
}

impl<'a> From<&'a RecordedEvent> for Shown<'a> {
    fn from(event: &'a RecordedEvent) -> Self {
        Self {
            position: event.position,
            id: event.command_id,
            event_id: event.event_id,
            project: &event.project,
            stream: &event.stream,
            event_type: &event.event_type,
            schema_version: event.schema_version,
            timestamp: event.occurred_at,
            recorded_at: event.recorded_at,
            // The column is JSON; should it hold what this parser refuses, the text is shown as it is.
            data: serde_json::from_str(&event.data).unwrap_or_else(|_| event.data.clone().into()),
        }
    }
}

/// What every row of a list is headed with.
pub(super) const HEADING: [&str; 6] = ["POSITION", "RECORDED", "PROJECT", "STREAM", "TYPE", "DATA"];

/// Widest that data become in a row; `--json` shows all of it.
const WIDTH: usize = 100;

pub(super) fn row(event: &RecordedEvent) -> [String; 6] {
    [
        event.position.to_string(),
        event.recorded_at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        event.project.clone(),
        event.stream.clone(),
        event.event_type.clone(),
        crate::output::shortened(&event.data, WIDTH),
    ]
}
