//! Publishes events for other systems: a projection whose view is a topic.
//!
//! Events go out as CloudEvents 1.0 in binary mode, attributes as properties `ce_…` (the Kafka binding's rule carried
//! over), keyed by user, in the order of the log for each user. A page is sent before its checkpoints move: after a
//! crash it is sent again, recognisable by `ce_id` and `ce_position`.

use chrono::SecondsFormat;
use eventstore::RecordedEvent;
use futures::future::BoxFuture;
use messaging::{MessageSink, OutgoingMessage, QueueError, send_all};
use readmodels::{ApplyError, Folded, Projection, ProjectionId, ViewTx};

/// The projection; its view has no tables.
pub(crate) struct Publisher;

impl Projection for Publisher {
    fn id(&self) -> ProjectionId {
        ProjectionId {
            name: "publisher",
            version: 1,
        }
    }

    fn schema(&self) -> &'static str {
        ""
    }

    fn apply<'a>(&'a self, _: &'a ViewTx<'a>, _: &'a [Folded]) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Sends a page, in order, and waits until the broker has stored all of it.
pub(crate) async fn publish(sink: &dyn MessageSink, events: &[RecordedEvent]) -> Result<(), QueueError> {
    send_all(sink, events.iter().map(message)).await
}

fn message(event: &RecordedEvent) -> OutgoingMessage {
    let key = event.stream.strip_prefix("user/").unwrap_or(&event.stream);
    let property = |name: &str, value: String| (name.to_owned(), value);
    OutgoingMessage {
        key: Some(key.to_owned()),
        payload: event.data.clone().into_bytes(),
        properties: vec![
            property("ce_specversion", "1.0".to_owned()),
            property("ce_id", event.event_id.to_string()),
            property("ce_source", format!("/tracking/{}", event.project)),
            property("ce_type", event.event_type.clone()),
            property("ce_subject", event.stream.clone()),
            property(
                "ce_time",
                event.occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            ),
            property("ce_schemaversion", event.schema_version.to_string()),
            property("ce_position", event.position.to_string()),
            property("ce_commandid", event.command_id.to_string()),
            property("content-type", "application/json".to_owned()),
        ],
    }
}
