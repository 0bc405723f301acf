//! The event store against a real PostgreSQL.

mod dead_letters;
mod invariant_1_recorded_once;
mod invariant_3_order_per_key;
mod invariant_4_nothing_skipped;
mod schema;
mod support;
