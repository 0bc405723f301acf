//! Placeholder of pulsar_entries.
