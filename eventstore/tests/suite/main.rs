//! The event store against a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod dead_letters;
mod invariant_1_recorded_once;
mod invariant_3_order_per_key;
mod invariant_4_nothing_skipped;
mod schema;
mod support;
