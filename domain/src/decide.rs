//! The rule by which a command becomes an event.

use crate::command::CreateInteraction;
use crate::event::{Event, InteractionTracked};
use chrono::{DateTime, SubsecRound, Utc};

/// What a command becomes, given when it was published.
///
/// Every valid interaction is recorded: tracking observes, it does not judge. A time in the future is kept as sent,
/// since a sender's clock is a fact about the sender.
pub fn decide(command: CreateInteraction, published: DateTime<Utc>) -> Event {
    let CreateInteraction {
        project,
        user_id,
        interaction,
        timestamp,
        details,
    } = command;
    let timestamp = timestamp.unwrap_or_else(|| published.trunc_subsecs(6));
    Event::InteractionTracked(InteractionTracked {
        project,
        user_id,
        interaction,
        timestamp,
        details,
    })
}
