//! How a process lives: configuration, lifecycle, ops endpoints, telemetry.
//!
//! Knows nothing of commands, events, queues or databases. In the order in which a process meets them:
//! [`mod@env`] reads variables and collects mistakes, [`settings`] gives them types, [`telemetry`] starts the log,
//! [`lifecycle`] runs the components and stops them, [`health`] and [`ops`] tell the outside how it goes,
//! [`exit`] names the exit codes.

pub mod backoff;
pub mod clock;
pub mod env;
pub mod exit;
pub mod health;
pub mod lifecycle;
pub mod ops;
pub mod secret;
pub mod settings;
pub mod telemetry;

pub use exit::ExitError;
pub use health::Health;
pub use lifecycle::{Heartbeat, Process, StartupError};
pub use secret::{Secret, SecretUrl};
pub use settings::{Role, Settings};

/// The version of this build, as `/health` reports it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
