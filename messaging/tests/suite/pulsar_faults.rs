//! Placeholder of pulsar_faults.
