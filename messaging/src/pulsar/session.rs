//! One life of a subscription to one partition: subscribe, receive, acknowledge, close.
//!
//! A life ends when the connection does. Its tracker ends with it: what was handed out and not settled comes again.

use super::connection::Connection;
use super::damaged::Damaged;
use super::entries::Entries;
use super::entry::EntryReader;
use super::errors::unavailable;
use super::lookup::Service;
use super::window::{Cost, Window};
use super::wire::Frame;
use crate::{Delivery, QueueError, Receipt};
use pulsar::message::proto::base_command::Type;
use pulsar::message::proto::command_ack::AckType;
use pulsar::message::proto::command_subscribe::{InitialPosition, SubType};
use pulsar::message::proto::{
    CommandAck, CommandCloseConsumer, CommandFlow, CommandMessage, CommandSubscribe, MessageIdData,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// There is one consumer on a connection.
const CONSUMER: u64 = 1;
/// Ids in one acknowledgement frame.
const ACK_FRAME: usize = 1000;

/// What the facade wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Receive and acknowledge.
    Taking,
    /// Acknowledge only.
    Stopped,
    /// Acknowledge what is due, then leave.
    Closing,
}

/// What to subscribe to, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    /// The topic of messages, without its partition suffix.
    pub(super) topic: Arc<str>,
    /// The partition's full name.
    pub(super) partition_topic: String,
    /// -1 when the topic is not partitioned.
    pub(super) partition: i32,
    pub(super) name: String,
    pub(super) consumer: String,
}

/// How a life ended.
pub(super) enum Ending {
    /// The connection, or the subscription on it, is gone.
    Lost {
        reason: QueueError,
        /// The entries whose bytes came damaged, in this life and before.
        damaged: Damaged,
    },
    /// It was closed as asked; `Err` when the broker did not confirm.
    Closed(Result<(), QueueError>),
}

/// Messages for the receiver.
pub(super) struct Chunk {
    pub(super) generation: u64,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) cost: Cost,
}

/// A subscription, open.
pub(super) struct Session {
    connection: Connection,
    reader: EntryReader,
    entries: Entries,
    generation: u64,
    partition: i32,
    window: Arc<Window>,
    /// Permits that the broker still has.
    outstanding: i64,
    due: Vec<MessageIdData>,
    damaged: Damaged,
    /// An entry after which the broker's count of permits is good for nothing.
    uncountable: Option<(u64, u64)>,
    /// That entry is acknowledged: this life is over.
    spent: bool,
    /// After so much silence the broker is asked whether it is there; it has a third of that to answer.
    silence: Duration,
    heard: Instant,
    pinged: Instant,
}

impl Session {
    /// Subscribes: KeyShared, durable, from the earliest message. Makes no topic.
    pub(super) async fn open(
        service: &Service,
        subscription: &Subscription,
        window: Arc<Window>,
        generation: u64,
        damaged: Damaged,
    ) -> Result<Self, QueueError> {
        let mut connection = service.connect_to_owner(&subscription.partition_topic).await?;
        let request_id = connection.request_id();
        connection.put(Type::Subscribe, |command| {
            command.subscribe = Some(CommandSubscribe {
                topic: subscription.partition_topic.clone(),
                subscription: subscription.name.clone(),
                sub_type: SubType::KeyShared as i32,
                consumer_id: CONSUMER,
                request_id,
                consumer_name: Some(subscription.consumer.clone()),
                durable: Some(true),
                initial_position: Some(InitialPosition::Earliest as i32),
                force_topic_creation: Some(false),
                ..CommandSubscribe::default()
            });
        });
        connection
            .request("subscribe", request_id, |answer| {
                answer.success.filter(|success| success.request_id == request_id)
            })
            .await?;
        window.begin(generation);
        let now = Instant::now();
        Ok(Self {
            connection,
            reader: EntryReader::new(subscription.topic.clone(), subscription.partition, generation),
            entries: Entries::default(),
            generation,
            partition: subscription.partition,
            window,
            outstanding: 0,
            due: Vec::new(),
            damaged,
            uncountable: None,
            spent: false,
            silence: service.keep_alive,
            heard: now,
            pinged: now,
        })
    }

    /// Lives until the connection is lost, or until the phase is `Closing` and all is acknowledged.
    pub(super) async fn run(
        &mut self,
        phase: &mut watch::Receiver<Phase>,
        settled: &mut mpsc::UnboundedReceiver<Vec<Receipt>>,
        deliver: &mut (dyn FnMut(Chunk) + Send),
    ) -> Ending {
        loop {
            match self.turn(phase, settled, deliver).await {
                Ok(true) => {}
                Ok(false) => return Ending::Closed(self.close(settled).await),
                Err(reason) => {
                    return Ending::Lost {
                        reason,
                        damaged: std::mem::take(&mut self.damaged),
                    };
                }
            }
        }
    }

    /// Runs until the phase changes; `false` when it is time to close.
    async fn turn(
        &mut self,
        phase: &mut watch::Receiver<Phase>,
        settled: &mut mpsc::UnboundedReceiver<Vec<Receipt>>,
        deliver: &mut (dyn FnMut(Chunk) + Send),
    ) -> Result<bool, QueueError> {
        let now = *phase.borrow_and_update();
        if now == Phase::Closing {
            return Ok(false);
        }
        let window = self.window.clone();
        let mut tick = interval(
            Duration::from_secs(1)
                .min(self.silence / 3)
                .max(Duration::from_millis(10)),
        );
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if now == Phase::Taking {
                self.give_permits();
            }
            self.connection.flush().await?;
            if self.spent && now == Phase::Taking {
                return Err(self.begin_anew(settled).await);
            }
            // Not reading is what holds the broker back; what it sends after `stop_taking` is read and dropped.
            let reading = now != Phase::Taking || self.window.has_room();
            tokio::select! {
                biased;
                changed = phase.changed() => return Ok(changed.is_ok()),
                Some(receipts) = settled.recv() => self.settle(receipts, settled),
                read = self.connection.fill(), if reading => {
                    read?;
                    self.heard = Instant::now();
                    self.take_frames(now, deliver)?;
                }
                () = window.taken(), if now == Phase::Taking => {}
                _ = tick.tick() => self.watch(reading)?,
            }
        }
    }

    /// Handles the frames that have arrived whole.
    fn take_frames(
        &mut self,
        phase: Phase,
        deliver: &mut (dyn FnMut(Chunk) + Send),
    ) -> Result<(), QueueError> {
        let mut deliveries = Vec::new();
        let mut cost = Cost::default();
        let mut result = Ok(());
        loop {
            match self.connection.take_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => result = self.frame(frame, phase, &mut deliveries, &mut cost),
                Err(error) => result = Err(error),
            }
            if result.is_err() {
                break;
            }
        }
        if !deliveries.is_empty() {
            self.window.put(cost);
            deliver(Chunk {
                generation: self.generation,
                deliveries,
                cost,
            });
        }
        result
    }

    fn frame(
        &mut self,
        frame: Frame,
        phase: Phase,
        deliveries: &mut Vec<Delivery>,
        cost: &mut Cost,
    ) -> Result<(), QueueError> {
        let command = frame.command;
        if let Some(message) = command.message {
            if phase == Phase::Taking {
                self.entry(&message, frame.body, deliveries, cost)?;
            }
        } else if command.ping.is_some() {
            self.connection.put_pong();
        } else if command.close_consumer.is_some() {
            return Err(unavailable(
                "receive",
                "the broker closed the consumer: the topic moves".into(),
            ));
        }
        Ok(())
    }

    fn entry(
        &mut self,
        message: &CommandMessage,
        body: bytes::Bytes,
        deliveries: &mut Vec<Delivery>,
        cost: &mut Cost,
    ) -> Result<(), QueueError> {
        let id = &message.message_id;
        let at = (id.ledger_id, id.entry_id);
        let before = deliveries.len();
        let trust = self.damaged.is_taken(at);
        let Ok(opened) = self.reader.read(id, body, trust, deliveries, cost) else {
            self.damaged.remember(at);
            return Err(unavailable(
                "receive",
                format!("entry {}:{} came damaged", at.0, at.1),
            ));
        };
        match opened.permits {
            Some(permits) => self.outstanding -= i64::from(permits),
            None => self.uncountable = Some(at),
        }
        let fresh = &deliveries[before..];
        if fresh.is_empty() {
            // A batch of which compaction left nothing.
            self.acknowledge(at.0, at.1);
            self.put_acks();
        } else if opened.batched {
            self.entries.handed_out(
                at.0,
                at.1,
                fresh.iter().map(|delivery| delivery.receipt.at.batch_index),
            );
        }
        Ok(())
    }

    /// Takes note of what is settled, all that waits, and writes the acknowledgements that are due.
    fn settle(&mut self, receipts: Vec<Receipt>, more: &mut mpsc::UnboundedReceiver<Vec<Receipt>>) {
        let mut next = Some(receipts);
        while let Some(receipts) = next {
            for Receipt { generation, at } in receipts {
                if generation == self.generation && self.entries.settled(at.ledger, at.entry, at.batch_index)
                {
                    self.acknowledge(at.ledger, at.entry);
                }
            }
            next = more.try_recv().ok();
        }
        self.put_acks();
    }

    /// With the next acknowledgements, an entry of which all is settled.
    fn acknowledge(&mut self, ledger_id: u64, entry_id: u64) {
        self.damaged.forget((ledger_id, entry_id));
        self.spent |= self.uncountable == Some((ledger_id, entry_id));
        self.due.push(MessageIdData {
            ledger_id,
            entry_id,
            partition: Some(self.partition),
            ..MessageIdData::default()
        });
    }

    fn put_acks(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        while !due.is_empty() {
            let rest = due.split_off(due.len().min(ACK_FRAME));
            let message_id = std::mem::replace(&mut due, rest);
            self.connection.put(Type::Ack, |command| {
                command.ack = Some(CommandAck {
                    consumer_id: CONSUMER,
                    ack_type: AckType::Individual as i32,
                    message_id,
                    ..CommandAck::default()
                });
            });
        }
    }

    fn give_permits(&mut self) {
        loop {
            let permits = self.window.permits_due(self.outstanding);
            if permits == 0 {
                return;
            }
            self.outstanding += i64::from(permits);
            self.connection.put(Type::Flow, |command| {
                command.flow = Some(CommandFlow {
                    consumer_id: CONSUMER,
                    message_permits: permits,
                });
            });
        }
    }

    /// Asks a silent broker whether it is there; gives it up when it is not.
    fn watch(&mut self, reading: bool) -> Result<(), QueueError> {
        if !reading {
            // Its words lie unread. Pings of ours keep it from giving us up.
            self.heard = Instant::now();
        }
        let silent = self.heard.elapsed() > self.silence;
        let asked = self.pinged > self.heard;
        if silent && asked && self.pinged.elapsed() > self.silence / 3 {
            return Err(unavailable("receive", "the broker fell silent".into()));
        }
        if (silent && !asked) || (!reading && self.pinged.elapsed() > self.silence) {
            self.pinged = Instant::now();
            self.connection.put_ping();
        }
        Ok(())
    }

    /// Whether this life was ended on purpose, by [`begin_anew`](Self::begin_anew).
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Leaves a broker that has lost count: one entry that claims to hold two thousand million messages takes as many
    /// permits, and makes it stop handing out even after it got them back (seen with 4.0.8). A consumer that leaves
    /// takes its permits with it, whatever their number.
    async fn begin_anew(&mut self, settled: &mut mpsc::UnboundedReceiver<Vec<Receipt>>) -> QueueError {
        match self.close(settled).await {
            Ok(()) => unavailable(
                "receive",
                "an entry claimed so many messages that the broker's permits are counted anew".into(),
            ),
            Err(error) => error,
        }
    }

    /// Sends what is due and leaves the subscription. The broker takes commands in order, so its answer to
    /// the last says that it has the acknowledgements, too.
    async fn close(&mut self, settled: &mut mpsc::UnboundedReceiver<Vec<Receipt>>) -> Result<(), QueueError> {
        self.settle(Vec::new(), settled);
        let request_id = self.connection.request_id();
        self.connection.put(Type::CloseConsumer, |command| {
            command.close_consumer = Some(CommandCloseConsumer {
                consumer_id: CONSUMER,
                request_id,
            });
        });
        self.connection
            .request("close the consumer", request_id, |answer| {
                answer
                    .success
                    .filter(|success| success.request_id == request_id)
                    .map(|_| ())
            })
            .await
    }
}
