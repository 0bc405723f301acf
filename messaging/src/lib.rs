//! How it travels: the queue interface ([`Queue`], [`CommandSource`], [`MessageSink`]) and its backends.
//!
//! Nothing outside this crate knows which broker is behind it. A backend promises, and the conformance suite
//! (`tests/`) checks of every backend:
//! - every message is delivered at least once until it is settled, across crashes of either side;
//! - messages with equal keys are delivered in the order in which they were sent (senders that keep keys apart);
//! - a message is given up to the broker only when every message of its entry has been settled (invariant 2);
//! - everything is bounded: a receiver that does not settle stops being fed (invariant 9).

mod message;
mod queue;

pub mod pulsar;

pub use message::{Coordinates, Delivery, Envelope, OutgoingMessage, Receipt, properties};
pub use queue::{
    Backlog, CommandSource, MessageSink, Queue, QueueError, Sending, Settler, SourceEvent, SourceOptions,
    Topics, send_all,
};
