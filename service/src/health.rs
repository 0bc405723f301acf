//! Whether the process can do its work: conditions by name, each ready or not, with a reason.
//!
//! Alive is another question: `/health` answers 200 as long as anything answers, since restarting a process does not
//! bring its database back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The conditions of one process. Cheap to clone; clones share the conditions.
#[derive(Clone, Debug)]
pub struct Health {
    stopping: CancellationToken,
    /// `None`: ready. `Some`: the reason why not.
    conditions: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

impl Health {
    /// Without conditions, thus ready until `stopping` is cancelled.
    pub fn new(stopping: CancellationToken) -> Self {
        Self {
            stopping,
            conditions: Arc::default(),
        }
    }

    /// A condition, not ready and `starting` at first; the one of that name if it exists already.
    pub fn condition(&self, name: &'static str) -> Condition {
        self.lock()
            .entry(name)
            .or_insert_with(|| Some("starting".to_owned()));
        Condition {
            name,
            health: self.clone(),
        }
    }

    /// Why the process is not ready; empty when it is.
    pub fn reasons(&self) -> Vec<String> {
        if self.stopping.is_cancelled() {
            return vec!["draining".to_owned()];
        }
        let line = |(name, reason): (&&str, &Option<String>)| {
            reason.as_ref().map(|reason| format!("{name}: {reason}"))
        };
        self.lock().iter().filter_map(line).collect()
    }

    /// Whether the process is ready.
    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// Sets a reason and tells whether it turned from ready to not ready or back.
    fn set(&self, name: &'static str, reason: Option<String>) -> bool {
        let is_ready = reason.is_none();
        let was_ready = self.lock().insert(name, reason).flatten().is_none();
        is_ready != was_ready
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        // Every critical section is one map operation, which leaves nothing half done.
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One condition, held by the component that knows of it.
#[derive(Clone, Debug)]
pub struct Condition {
    name: &'static str,
    health: Health,
}

impl Condition {
    /// The condition holds.
    pub fn ready(&self) {
        if self.health.set(self.name, None) {
            tracing::info!(condition = self.name, "ready");
        }
    }

    /// The condition does not hold. The reason is shown to whoever asks `/ready`: no secrets, no payloads.
    pub fn not_ready(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.health.set(self.name, Some(reason.clone())) {
            tracing::warn!(condition = self.name, reason, "not ready");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_conditions_hold_and_not_while_draining() {
        let stopping = CancellationToken::new();
        let health = Health::new(stopping.clone());
        let (database, queue) = (health.condition("database"), health.condition("queue"));
        assert_eq!(health.reasons(), ["database: starting", "queue: starting"]);
        database.ready();
        queue.ready();
        assert!(health.is_ready());
        database.not_ready("connection refused");
        assert_eq!(health.reasons(), ["database: connection refused"]);
        assert_eq!(
            health.condition("database").health.reasons(),
            ["database: connection refused"]
        );
        database.ready();
        stopping.cancel();
        assert_eq!(health.reasons(), ["draining"]);
    }
}
