//! Placeholder of pulsar_topics.
