//! What senders may and may not send, in examples.

mod commands;
