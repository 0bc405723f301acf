//! How events are written and read: type, version and JSON.

use super::upcast::{UPCASTERS, Upcaster, upcast};
use super::{Event, InteractionTracked};

const INTERACTION_TRACKED: &str = "InteractionTracked";
const INTERACTION_TRACKED_VERSION: i16 = 1;

/// An event as it is stored and published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The type's name, for ever.
    pub event_type: &'static str,
    /// The version of the type's shape.
    pub schema_version: i16,
    /// The JSON.
    pub data: String,
}

/// Why stored data is no event that this version knows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer version of this software.
    #[error("there is no event type `{event_type}` with version {version} here; a newer version wrote it")]
    Unknown {
        /// The type's name.
        event_type: String,
        /// Its version.
        version: i16,
    },
    /// The data do not match their version's shape.
    #[error("`{event_type}` version {version} does not match its shape")]
    Malformed {
        /// The type's name.
        event_type: String,
        /// Its version.
        version: i16,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Event {
    /// Today's type, version and JSON of this event.
    pub fn encode(&self) -> Encoded {
        let (event_type, schema_version, data) = match self {
            Self::InteractionTracked(event) => (
                INTERACTION_TRACKED,
                INTERACTION_TRACKED_VERSION,
                serde_json::to_string(event),
            ),
        };
        Encoded {
            event_type,
            schema_version,
            data: data.expect("events hold only what JSON can say"),
        }
    }

    /// Reads any version ever written and gives today's shape.
    pub fn decode(event_type: &str, version: i16, data: &str) -> Result<Self, DecodeError> {
        decode_with(UPCASTERS, event_type, version, data)
    }
}

fn decode_with(steps: &[Upcaster], event_type: &str, version: i16, data: &str) -> Result<Event, DecodeError> {
    let unknown = || DecodeError::Unknown {
        event_type: event_type.to_owned(),
        version,
    };
    let malformed = |source| DecodeError::Malformed {
        event_type: event_type.to_owned(),
        version,
        source,
    };
    if event_type != INTERACTION_TRACKED || INTERACTION_TRACKED_VERSION < version {
        return Err(unknown());
    }
    let event: InteractionTracked = if version == INTERACTION_TRACKED_VERSION {
        serde_json::from_str(data).map_err(malformed)?
    } else {
        let old = serde_json::from_str(data).map_err(malformed)?;
        let lifted =
            upcast(steps, event_type, version, INTERACTION_TRACKED_VERSION, old).ok_or_else(unknown)?;
        serde_json::from_value(lifted).map_err(malformed)?
    };
    Ok(Event::InteractionTracked(event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Every file testdata/events/*.json is what some released version wrote: it must be read for ever.
    const GOLDEN_V1: [&str; 2] = [
        include_str!("../../testdata/events/interaction_tracked.v1.minimal.json"),
        include_str!("../../testdata/events/interaction_tracked.v1.full.json"),
    ];

    #[test]
    fn golden_files_are_read_and_written_the_same() {
        for golden in GOLDEN_V1 {
            let event = Event::decode(INTERACTION_TRACKED, 1, golden).unwrap();
            assert_eq!(event.encode().data, golden.trim_end());
        }
    }

    #[test]
    fn an_older_version_is_lifted() {
        // Test-only: a version 0 that called the user `who`.
        let step = Upcaster {
            event_type: INTERACTION_TRACKED,
            from: 0,
            lift: |mut data| {
                let who = data
                    .as_object_mut()
                    .and_then(|map| map.remove("who"))
                    .unwrap_or_default();
                data["user_id"] = who;
                data
            },
        };
        let old =
            json!({"project":"default","who":"123","interaction":"like","timestamp":"2024-06-01T12:00:00Z"});
        let Event::InteractionTracked(event) =
            decode_with(&[step], INTERACTION_TRACKED, 0, &old.to_string()).unwrap();
        assert_eq!(event.user_id.as_str(), "123");
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_from_what_is_broken() {
        let data = GOLDEN_V1[0];
        assert!(matches!(
            Event::decode(INTERACTION_TRACKED, 2, data),
            Err(DecodeError::Unknown { .. })
        ));
        assert!(matches!(
            Event::decode("Other", 1, data),
            Err(DecodeError::Unknown { .. })
        ));
        assert!(matches!(
            Event::decode(INTERACTION_TRACKED, 1, "{}"),
            Err(DecodeError::Malformed { .. })
        ));
        assert!(matches!(
            Event::decode(INTERACTION_TRACKED, 0, data),
            Err(DecodeError::Unknown { .. })
        ));
    }
}
