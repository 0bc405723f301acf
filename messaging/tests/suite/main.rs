//! The queue's promises, checked against real brokers.
//!
//! `conformance` is written against the interface alone and runs for every backend; the other files check what
//! is particular to one.

mod conformance;
mod false_broker;
mod harness;
mod pulsar_backend;
mod pulsar_entries;
mod pulsar_faults;
mod pulsar_topics;
mod raw_producer;
