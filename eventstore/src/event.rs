//! An event as it lies in the log.

use crate::Position;
use chrono::{DateTime, Utc};
use domain::event::DecodeError;
use domain::{CommandId, Event, EventId};

/// An event as it lies in the log.
#[derive(Clone, Debug)]
pub struct RecordedEvent {
    /// Where it lies.
    pub position: Position,
    /// Its bucket, 0 to 63.
    pub bucket: i16,
    /// Whose installation.
    pub project: String,
    /// The stream, `user/123`.
    pub stream: String,
    /// Its id.
    pub event_id: EventId,
    /// The command that it came from.
    pub command_id: CommandId,
    /// The type's name.
    pub event_type: String,
    /// The version of the type's shape.
    pub schema_version: i16,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The JSON, as it was written.
    pub data: String,
}

impl RecordedEvent {
    /// The event in today's shape.
    pub fn decode(&self) -> Result<Event, DecodeError> {
        Event::decode(&self.event_type, self.schema_version, &self.data)
    }
}
