//! What happens: commands, events and the rules between them.
//!
//! Pure: no I/O, no clock, no randomness; times and ids are parameters. A command comes in as bytes
//! ([`command::read`]), is decided ([`decide`]) and becomes an [`Event`] or a [`Rejection`].

pub mod command;
mod decide;
pub mod event;
mod identity;
mod ids;
mod rejection;
mod stream;

pub use command::{CreateInteraction, Money};
pub use decide::decide;
pub use event::{Event, InteractionTracked};
pub use identity::{DeliveryCoordinates, derive_command_id, derive_event_id};
pub use ids::{CommandId, EventId, InteractionName, InvalidId, Project, UserId};
pub use rejection::{Code, FieldError, Rejection};
pub use stream::{BUCKETS, Bucket, Stream};
