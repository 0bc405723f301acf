//! The read models on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod as_of;
mod daily_stats;
mod fixture;
mod interactions;
mod rebuild;
