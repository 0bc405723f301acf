//! A queue whose failures can be chosen.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use messaging::{
    Backlog, CommandSource, MessageSink, OutgoingMessage, Queue, QueueError, Sending, SourceOptions,
};
use std::sync::{Arc, Mutex};

/// What it does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Stores,
    Fails,
    /// Takes the message and gives no receipt.
    Silent,
}

pub(crate) struct FakeQueue {
    mood: Mutex<Mood>,
    sent: Mutex<Vec<OutgoingMessage>>,
}

impl FakeQueue {
    pub(crate) fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(mood),
            sent: Mutex::default(),
        })
    }

    pub(crate) fn turn(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// What was stored.
    pub(crate) fn stored(&self) -> Vec<OutgoingMessage> {
        self.sent.lock().unwrap().clone()
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }
}

fn down() -> QueueError {
    QueueError::Unavailable {
        action: "send",
        reason: "connection refused".to_owned(),
    }
}

impl MessageSink for FakeQueue {
    fn send(&self, message: OutgoingMessage) -> BoxFuture<'_, Result<Sending, QueueError>> {
        let sending: Result<Sending, QueueError> = match self.mood() {
            Mood::Stores => {
                self.sent.lock().unwrap().push(message);
                Ok(async { Ok(()) }.boxed())
            }
            Mood::Fails => Err(down()),
            Mood::Silent => Ok(std::future::pending().boxed()),
        };
        async { sending }.boxed()
    }
}

impl Queue for FakeQueue {
    fn prepare(&self) -> BoxFuture<'_, Result<Vec<String>, QueueError>> {
        async { Err(down()) }.boxed()
    }

    fn commands(&self, _: SourceOptions) -> BoxFuture<'_, Result<Box<dyn CommandSource>, QueueError>> {
        async { Err(down()) }.boxed()
    }

    fn command_sink(&self) -> BoxFuture<'_, Result<Arc<dyn MessageSink>, QueueError>> {
        async { Err(down()) }.boxed()
    }

    fn dead_letter_sink(&self) -> BoxFuture<'_, Result<Arc<dyn MessageSink>, QueueError>> {
        async { Err(down()) }.boxed()
    }

    fn event_sink(&self) -> BoxFuture<'_, Result<Arc<dyn MessageSink>, QueueError>> {
        async { Err(down()) }.boxed()
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, QueueError>> {
        async { Err(down()) }.boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        let answer = if self.mood() == Mood::Stores {
            Ok(())
        } else {
            Err(down())
        };
        async { answer }.boxed()
    }
}
