//! One process: its components, the stop, and what the end means.
//!
//! A stop has phases. `stopping`: not ready, take no more, finish, acknowledge, end. When all components have ended, what
//! must outlive them (the ops endpoints) is stopped, and the process ends with 0. A second signal, or the grace spent,
//! is an abort: `aborting`, and 70. A component that ends early, panics or falls silent stops the process the same
//! graceful way, and it ends with 1 (invariant 8).

mod heartbeat;
mod process;
mod run;
mod startup;

pub use heartbeat::Heartbeat;
pub use process::Process;
pub use run::{Signal, run, run_job};
pub use startup::{StartupError, retry_at_startup};
