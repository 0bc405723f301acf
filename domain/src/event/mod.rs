//! Events: what happened, self-contained, and how each version of it is written and read.

mod codec;
mod upcast;

pub use codec::{DecodeError, Encoded};

use crate::command::Details;
use crate::{InteractionName, Project, Stream, UserId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A user did something. Version 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InteractionTracked {
    /// Whose installation.
    pub project: Project,
    /// Who.
    pub user_id: UserId,
    /// Did what.
    pub interaction: InteractionName,
    /// When, to the microsecond.
    pub timestamp: DateTime<Utc>,
    /// Everything else that was sent.
    #[serde(default)]
    pub details: Details,
}

/// Everything that can have happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A user did something.
    InteractionTracked(InteractionTracked),
}

impl Event {
    /// Whose installation.
    pub fn project(&self) -> &Project {
        match self {
            Self::InteractionTracked(event) => &event.project,
        }
    }

    /// The stream that it belongs to.
    pub fn stream(&self) -> Stream {
        match self {
            Self::InteractionTracked(event) => Stream::of_user(&event.user_id),
        }
    }

    /// When it happened, by the sender's account.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        match self {
            Self::InteractionTracked(event) => event.timestamp,
        }
    }
}
