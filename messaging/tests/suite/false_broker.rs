//! A broker that holds a few entries, hands out some of them damaged, stores nothing, and can fall silent: what a real
//! one does only when its disk or the network fails.

use crate::raw_producer::metadata;
use bytes::BytesMut;
use futures::{SinkExt as _, StreamExt as _};
use pulsar::Payload;
use pulsar::message::proto::base_command::Type;
use pulsar::message::proto::command_lookup_topic_response::LookupType;
use pulsar::message::proto::command_partitioned_topic_metadata_response::LookupType as PartitionLookupType;
use pulsar::message::proto::{
    BaseCommand, CommandConnected, CommandLookupTopicResponse, CommandMessage,
    CommandPartitionedTopicMetadataResponse, CommandPong, CommandProducerSuccess, CommandSuccess,
    MessageIdData,
};
use pulsar::message::{Codec, Message};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::codec::{Encoder as _, Framed};

/// Its topic: entries 0, 1, … of ledger 1.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The entries that are not acknowledged.
    pub(crate) left: BTreeSet<u64>,
    /// Those that come damaged, always.
    pub(crate) damaged: BTreeSet<u64>,
    /// Connections stay, nothing is answered.
    pub(crate) silent: bool,
}

/// Gone, with its connections, on drop.
pub(crate) struct FalseBroker {
    pub(crate) url: String,
    pub(crate) stored: Arc<Mutex<Stored>>,
    accepting: JoinSet<()>,
}

impl FalseBroker {
    pub(crate) async fn start(entries: u64, damaged: impl IntoIterator<Item = u64>) -> Self {
        let stored = Arc::new(Mutex::new(Stored {
            left: (0..entries).collect(),
            damaged: damaged.into_iter().collect(),
            silent: false,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("pulsar://{}", listener.local_addr().expect("an address"));
        let mut broker = Self {
            url,
            stored,
            accepting: JoinSet::new(),
        };
        broker.accept(listener);
        broker
    }

    /// Cuts every connection and listens no more, as a process that is killed.
    pub(crate) async fn kill(&mut self) {
        self.accepting.shutdown().await;
    }

    /// After [`kill`](Self::kill), on the same port.
    pub(crate) async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.url.trim_start_matches("pulsar://"))
            .await
            .expect("the same port");
        self.accept(listener);
    }

    fn accept(&mut self, listener: TcpListener) {
        let (url, stored) = (self.url.clone(), self.stored.clone());
        self.accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, url.clone(), stored.clone()));
            }
        });
    }
}

async fn serve(stream: TcpStream, url: String, stored: Arc<Mutex<Stored>>) {
    let mut frames = Framed::new(stream, Codec);
    let mut handed_out = false;
    while let Some(Ok(Message { command, .. })) = frames.next().await {
        if stored.lock().expect("no test panics with it").silent {
            continue;
        }
        if command.flow.is_some() && !handed_out {
            handed_out = true;
            let (left, damaged) = {
                let stored = stored.lock().expect("no test panics with it");
                (stored.left.clone(), stored.damaged.clone())
            };
            for entry in left {
                let bytes = message(entry, damaged.contains(&entry));
                if frames.get_mut().write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
        if let Some(ack) = &command.ack {
            let mut stored = stored.lock().expect("no test panics with it");
            for id in &ack.message_id {
                stored.left.remove(&id.entry_id);
            }
        }
        if let Some(command) = answer(&command, &url) {
            let answer = Message {
                command,
                payload: None,
            };
            if frames.send(answer).await.is_err() {
                return;
            }
        }
    }
}

fn answer(asked: &BaseCommand, url: &str) -> Option<BaseCommand> {
    let mut answer = BaseCommand::default();
    let success = |request_id| {
        Some(CommandSuccess {
            request_id,
            ..CommandSuccess::default()
        })
    };
    if asked.connect.is_some() {
        answer.r#type = Type::Connected as i32;
        answer.connected = Some(CommandConnected {
            server_version: "false".into(),
            ..CommandConnected::default()
        });
    } else if let Some(asked) = &asked.partition_metadata {
        answer.r#type = Type::PartitionedMetadataResponse as i32;
        answer.partition_metadata_response = Some(CommandPartitionedTopicMetadataResponse {
            partitions: Some(0),
            response: Some(PartitionLookupType::Success as i32),
            request_id: asked.request_id,
            ..CommandPartitionedTopicMetadataResponse::default()
        });
    } else if let Some(asked) = &asked.lookup_topic {
        answer.r#type = Type::LookupResponse as i32;
        answer.lookup_topic_response = Some(CommandLookupTopicResponse {
            broker_service_url: Some(url.to_owned()),
            response: Some(LookupType::Connect as i32),
            request_id: asked.request_id,
            ..CommandLookupTopicResponse::default()
        });
    } else if let Some(asked) = &asked.subscribe {
        answer.r#type = Type::Success as i32;
        answer.success = success(asked.request_id);
    } else if let Some(asked) = &asked.producer {
        answer.r#type = Type::ProducerSuccess as i32;
        answer.producer_success = Some(CommandProducerSuccess {
            request_id: asked.request_id,
            producer_name: "false".into(),
            ..CommandProducerSuccess::default()
        });
    } else if let Some(asked) = &asked.close_consumer {
        answer.r#type = Type::Success as i32;
        answer.success = success(asked.request_id);
    } else if asked.ping.is_some() {
        answer.r#type = Type::Pong as i32;
        answer.pong = Some(CommandPong {});
    } else {
        return None;
    }
    Some(answer)
}

/// An entry's frame; its payload is its number, with the last bit turned when it is damaged.
fn message(entry_id: u64, damaged: bool) -> BytesMut {
    let command = BaseCommand {
        r#type: Type::Message as i32,
        message: Some(CommandMessage {
            consumer_id: 1,
            message_id: MessageIdData {
                ledger_id: 1,
                entry_id,
                ..MessageIdData::default()
            },
            ..CommandMessage::default()
        }),
        ..BaseCommand::default()
    };
    let payload = Some(Payload {
        metadata: metadata(),
        data: entry_id.to_string().into_bytes(),
    });
    let mut bytes = BytesMut::new();
    Codec
        .encode(Message { command, payload }, &mut bytes)
        .expect("a buffer grows");
    if damaged {
        *bytes.last_mut().expect("a payload") ^= 1;
    }
    bytes
}
