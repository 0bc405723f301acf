//! A producer that stores any entry whatever, as a foreign or broken client would.

use futures::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use pulsar::Payload;
use pulsar::message::proto::base_command::Type;
use pulsar::message::proto::{
    BaseCommand, CommandConnect, CommandProducer, CommandSend, KeyValue, MessageIdData, SingleMessageMetadata,
};
use pulsar::message::{Codec, Message, Metadata};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

pub(crate) struct RawProducer {
    frames: Framed<TcpStream, Codec>,
    sent: u64,
}

/// Any time that can be told apart from now.
pub(crate) const PUBLISHED: u64 = 1_700_000_000_123;

impl RawProducer {
    /// For a topic (or partition) in the shared broker.
    pub(crate) async fn open(topic: &str) -> Self {
        let address = testkit::pulsar_url().replace("pulsar://", "");
        let stream = TcpStream::connect(address).await.expect("connect");
        let mut this = Self {
            frames: Framed::new(stream, Codec),
            sent: 0,
        };
        this.command(Type::Connect, |command| {
            command.connect = Some(CommandConnect {
                client_version: "test".into(),
                protocol_version: Some(12),
                ..CommandConnect::default()
            });
        })
        .await;
        this.answer().await.connected.expect("a handshake");
        let topic = topic.to_owned();
        this.command(Type::Lookup, |command| {
            command.lookup_topic = Some(pulsar::message::proto::CommandLookupTopic {
                topic: topic.clone(),
                request_id: 1,
                ..Default::default()
            });
        })
        .await;
        this.answer().await.lookup_topic_response.expect("a lookup");
        this.command(Type::Producer, |command| {
            command.producer = Some(CommandProducer {
                topic,
                producer_id: 1,
                request_id: 2,
                ..CommandProducer::default()
            });
        })
        .await;
        this.answer().await.producer_success.expect("a producer");
        this
    }

    /// Stores an entry and says where.
    pub(crate) async fn send(&mut self, metadata: Metadata, data: Vec<u8>) -> MessageIdData {
        self.sent += 1;
        let command = BaseCommand {
            r#type: Type::Send as i32,
            send: Some(CommandSend {
                producer_id: 1,
                sequence_id: self.sent,
                num_messages: metadata.num_messages_in_batch.filter(|count| *count > 0),
                ..CommandSend::default()
            }),
            ..BaseCommand::default()
        };
        self.frames
            .send(Message {
                command,
                payload: Some(Payload { metadata, data }),
            })
            .await
            .expect("send");
        let answer = self.answer().await;
        let receipt = answer
            .send_receipt
            .as_ref()
            .unwrap_or_else(|| panic!("no receipt: {answer:?}"));
        receipt.message_id.clone().expect("an id")
    }

    /// Stores a batch of these payloads, each under its own key.
    pub(crate) async fn send_batch(&mut self, messages: &[(&str, &str)]) -> MessageIdData {
        let metadata = Metadata {
            num_messages_in_batch: i32::try_from(messages.len()).ok(),
            ..metadata()
        };
        self.send(metadata, batch(messages)).await
    }

    async fn command(&mut self, kind: Type, fill: impl FnOnce(&mut BaseCommand)) {
        let mut command = BaseCommand {
            r#type: kind as i32,
            ..BaseCommand::default()
        };
        fill(&mut command);
        self.frames
            .send(Message {
                command,
                payload: None,
            })
            .await
            .expect("send a command");
    }

    async fn answer(&mut self) -> BaseCommand {
        self.frames
            .next()
            .await
            .expect("an answer")
            .expect("a frame")
            .command
    }
}

/// What every message has.
pub(crate) fn metadata() -> Metadata {
    Metadata {
        producer_name: "raw".into(),
        sequence_id: 7,
        publish_time: PUBLISHED,
        partition_key: Some("envelope".into()),
        properties: vec![KeyValue {
            key: "kind".into(),
            value: "raw".into(),
        }],
        ..Metadata::default()
    }
}

/// A batch's payload.
pub(crate) fn batch(messages: &[(&str, &str)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (index, (key, text)) in messages.iter().enumerate() {
        let single = SingleMessageMetadata {
            partition_key: Some((*key).to_owned()),
            payload_size: i32::try_from(text.len()).expect("small"),
            sequence_id: Some(100 + index as u64),
            ..SingleMessageMetadata::default()
        };
        data.extend(u32::try_from(single.encoded_len()).expect("small").to_be_bytes());
        single.encode(&mut data).expect("a vector grows");
        data.extend(text.as_bytes());
    }
    data
}
