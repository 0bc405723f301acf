//! A running API on a real PostgreSQL. The queue is a fake where its failures are the subject; with a real broker the
//! API is tested end to end.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod create;
mod fake_queue;
mod fixture;
mod list;
mod ops;
mod stats;
