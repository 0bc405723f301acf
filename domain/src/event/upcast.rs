//! Upcasters: each lifts one event type from one version to the next, so that code only ever meets today's shape.

use serde_json::Value;

/// One step from a version to the next.
pub(super) struct Upcaster {
    pub(super) event_type: &'static str,
    pub(super) from: i16,
    pub(super) lift: fn(Value) -> Value,
}

/// The steps of production. None yet: every type is at its first version.
pub(super) const UPCASTERS: &[Upcaster] = &[];

/// Applies the steps of `upcasters` from `version` up to `current`; `None` when one is missing.
pub(super) fn upcast(
    upcasters: &[Upcaster],
    event_type: &str,
    version: i16,
    current: i16,
    data: Value,
) -> Option<Value> {
    (version..current).try_fold(data, |data, from| {
        let step = upcasters
            .iter()
            .find(|u| u.event_type == event_type && u.from == from)?;
        Some((step.lift)(data))
    })
}
