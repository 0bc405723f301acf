//! What a process is, and which settings that asks for.

use std::fmt;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The HTTP edge.
    Api,
    /// Takes commands from the queue and records them.
    Worker,
    /// Folds the log into read models and publishes it.
    Projector,
    /// Prepares database and topics.
    Migrate,
    /// Sends commands; the only role without a database.
    Produce,
    /// An operator's command on the database.
    Tool,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Api,
        Self::Worker,
        Self::Projector,
        Self::Migrate,
        Self::Produce,
        Self::Tool,
    ];

    /// The name, as in the subcommand.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Projector => "projector",
            Self::Migrate => "migrate",
            Self::Produce => "produce",
            Self::Tool => "tool",
        }
    }

    /// Whether it runs until it is told to stop, and answers health checks.
    pub const fn serves_http(self) -> bool {
        matches!(self, Self::Api | Self::Worker | Self::Projector)
    }

    /// Whether `DATABASE_URL` is required.
    pub const fn uses_database(self) -> bool {
        !matches!(self, Self::Produce)
    }

    /// `HTTP_ADDR` when it is not set.
    pub(super) const fn default_http_addr(self) -> &'static str {
        match self {
            Self::Projector => "0.0.0.0:8011",
            Self::Worker => "0.0.0.0:8012",
            _ => "0.0.0.0:8010",
        }
    }

    /// `DATABASE_POOL_SIZE` when it is not set.
    pub(super) const fn default_pool_size(self) -> &'static str {
        match self {
            Self::Api => "8",
            Self::Worker | Self::Projector => "4",
            _ => "2",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
