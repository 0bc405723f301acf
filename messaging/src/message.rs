//! What travels: a message as it came in, and one that goes out.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::fmt;
use std::sync::Arc;

/// Names of message properties that the outside holds on to.
pub mod properties {
    /// The command's id; wins over an id in the payload and over the derived one.
    pub const COMMAND_ID: &str = "TRACKING_COMMAND_ID";
    /// Dead letters: the topic on which the original lay.
    pub const REAL_TOPIC: &str = "REAL_TOPIC";
    /// Dead letters: the original's message id, `ledger:entry:partition[:batch index]`.
    pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
    /// Dead letters: how often handling was attempted.
    pub const RECONSUME_TIMES: &str = "RECONSUMETIMES";
    /// Dead letters: the code of the reason.
    pub const ERROR_CODE: &str = "ERROR_CODE";
    /// Dead letters: the reason in words.
    pub const ERROR_DETAIL: &str = "ERROR_DETAIL";
    /// Dead letters: how many bytes the payload has, where the copy does not hold all of them.
    pub const PAYLOAD_TRUNCATED: &str = "PAYLOAD_TRUNCATED";
}

/// Where a message lies in its topic. Ordered by topic order within one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Coordinates {
    /// Partition of the topic; -1 when the topic is not partitioned.
    pub partition: i32,
    /// Ledger of the entry.
    pub ledger: u64,
    /// Entry in the ledger.
    pub entry: u64,
    /// Place within a batched entry; -1 when the entry holds one message.
    pub batch_index: i32,
}

impl fmt::Display for Coordinates {
    /// `ledger:entry:partition`, and `:batch index` for a message of a batch, as Pulsar's own tools print it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.ledger, self.entry, self.partition)?;
        if 0 <= self.batch_index {
            write!(f, ":{}", self.batch_index)
        } else {
            Ok(())
        }
    }
}

/// A message as the queue handed it over.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The topic without its partition suffix.
    pub topic: Arc<str>,
    /// Where it lies.
    pub at: Coordinates,
    /// Ordering key, else partition key; `None` when the sender set neither. Bytes that are no UTF-8 are given
    /// as their base64. Messages of one entry may share it.
    pub key: Option<Arc<str>>,
    /// The bytes that the producer sent, inflated.
    pub payload: Bytes,
    /// The message's properties, in the order in which they were sent.
    pub properties: Vec<(String, String)>,
    /// When the producer published it, by the producer's clock, to the millisecond.
    pub publish_time: DateTime<Utc>,
    /// Name of the producer; `unreadable:` and a hash of the entry when it cannot be told who that was.
    pub producer: Arc<str>,
    /// The producer's sequence id of the message.
    pub sequence_id: u64,
    /// Why the backend could not open the entry; the payload is then the entry's bytes as they lay there, and
    /// the delivery stands for all of the entry. To be kept as a dead letter `unreadable`, and settled.
    pub unreadable: Option<String>,
}

/// What a message takes beside its bytes, roughly: the structs, places in lists, what is made of it on its way.
const MESSAGE_OVERHEAD: usize = 512;
/// What a property takes beside its bytes: two strings.
const PROPERTY_OVERHEAD: usize = 64;

impl Envelope {
    /// How much memory the message takes, in bytes, for those who bound it (invariant 9): rather too much than too
    /// little, and in full what it shares with others, since who stores it makes a copy.
    pub fn weight(&self) -> usize {
        let properties: usize = self
            .properties
            .iter()
            .map(|(name, value)| name.len() + value.len() + PROPERTY_OVERHEAD)
            .sum();
        MESSAGE_OVERHEAD + self.payload.len() + self.key.as_ref().map_or(0, |key| key.len()) + properties
    }

    /// The value of the first property with this name.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What must be handed back, once, when a message is committed as event, repeat or dead letter.
///
/// Dropping it leaves the message with the queue, to be delivered again.
#[must_use = "an unsettled message is delivered again"]
#[derive(Debug)]
pub struct Receipt {
    /// Which consumer life handed it out; a receipt of an earlier life is ignored by a later one.
    pub(crate) generation: u64,
    /// The message.
    pub(crate) at: Coordinates,
}

impl Receipt {
    /// Where the message lies.
    pub fn at(&self) -> Coordinates {
        self.at
    }
}

/// One message and the receipt by which it is settled.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub envelope: Envelope,
    /// To be settled when the message is committed.
    pub receipt: Receipt,
}

/// A message to send.
#[derive(Clone, Debug, Default)]
pub struct OutgoingMessage {
    /// Messages with equal keys keep their order.
    pub key: Option<String>,
    /// The body.
    pub payload: Vec<u8>,
    /// Properties, by name.
    pub properties: Vec<(String, String)>,
}
