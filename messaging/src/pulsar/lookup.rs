//! Which broker owns a topic, and how many partitions it has.

use super::connection::Connection;
use super::errors::{refusal, unavailable};
use crate::QueueError;
use pulsar::message::proto::base_command::Type;
use pulsar::message::proto::command_lookup_topic_response::LookupType;
use pulsar::message::proto::{
    CommandLookupTopic, CommandLookupTopicResponse, CommandPartitionedTopicMetadata,
};
use std::time::Duration;
use url::Url;

const LOOK_UP: &str = "look up the topic's broker";
const COUNT: &str = "look up the topic's partitions";
/// Brokers may send on to one another while a topic moves.
const MAX_REDIRECTS: usize = 10;

/// Where Pulsar is, and who we are to it.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) url: Url,
    pub(super) token: Option<String>,
    /// After so much silence on a connection the broker is asked whether it is there.
    pub(super) keep_alive: Duration,
}

impl Service {
    /// Reads the options' address.
    pub(super) fn new(url: &str, token: Option<&str>, keep_alive: Duration) -> Result<Self, QueueError> {
        let parsed = Url::parse(url)
            .ok()
            .filter(|url| url.host_str().is_some())
            .ok_or_else(|| {
                let reason = "PULSAR_URL is no address; write pulsar://host:port".to_owned();
                QueueError::Refused {
                    action: "connect to the broker",
                    reason,
                }
            })?;
        Ok(Self {
            url: parsed,
            token: token.map(str::to_owned),
            keep_alive,
        })
    }

    /// A connection to the service address.
    pub(super) async fn connect(&self) -> Result<Connection, QueueError> {
        Connection::open(&self.url, self.token.as_deref(), None).await
    }

    /// A connection to the broker that owns `topic`. Makes nothing.
    pub(super) async fn connect_to_owner(&self, topic: &str) -> Result<Connection, QueueError> {
        let mut connection = self.connect().await?;
        let mut at = self.url.clone();
        let mut authoritative = false;
        for _ in 0..MAX_REDIRECTS {
            let answer = ask_owner(&mut connection, topic, authoritative).await?;
            let owner = self.owner(&answer)?;
            let redirected = answer.response == Some(LookupType::Redirect as i32);
            if answer.proxy_through_service_url == Some(true) {
                let target = format!("{}:{}", owner.host_str().unwrap_or_default(), port(&owner));
                connection = Connection::open(&self.url, self.token.as_deref(), Some(target)).await?;
            } else if (owner.host_str(), port(&owner)) != (at.host_str(), port(&at)) {
                connection = Connection::open(&owner, self.token.as_deref(), None).await?;
                at = owner;
            }
            if !redirected {
                return Ok(connection);
            }
            authoritative = answer.authoritative == Some(true);
        }
        Err(unavailable(LOOK_UP, "the brokers send on to one another".into()))
    }

    /// How many partitions `topic` has; 0 when it is not partitioned or does not exist.
    pub(super) async fn partition_count(&self, topic: &str) -> Result<u32, QueueError> {
        let mut connection = self.connect().await?;
        let request_id = connection.request_id();
        connection.put(Type::PartitionedMetadata, |command| {
            command.partition_metadata = Some(CommandPartitionedTopicMetadata {
                topic: topic.into(),
                request_id,
                ..Default::default()
            });
        });
        let answer = connection
            .request(COUNT, request_id, |c| c.partition_metadata_response)
            .await?;
        match answer.error {
            Some(code) => Err(refusal(
                COUNT,
                code,
                answer.message.as_deref().unwrap_or_default(),
            )),
            None => Ok(answer.partitions.unwrap_or(0)),
        }
    }

    fn owner(&self, answer: &CommandLookupTopicResponse) -> Result<Url, QueueError> {
        let address = if self.url.scheme() == "pulsar+ssl" {
            &answer.broker_service_url_tls
        } else {
            &answer.broker_service_url
        };
        let address = address.as_deref().unwrap_or_default();
        Url::parse(address).map_err(|_| {
            unavailable(
                LOOK_UP,
                format!("the broker named no {} address", self.url.scheme()),
            )
        })
    }
}

async fn ask_owner(
    connection: &mut Connection,
    topic: &str,
    authoritative: bool,
) -> Result<CommandLookupTopicResponse, QueueError> {
    let request_id = connection.request_id();
    connection.put(Type::Lookup, |command| {
        command.lookup_topic = Some(CommandLookupTopic {
            topic: topic.into(),
            request_id,
            authoritative: Some(authoritative),
            ..Default::default()
        });
    });
    let answer = connection
        .request(LOOK_UP, request_id, |command| command.lookup_topic_response)
        .await?;
    match answer.error {
        Some(code) => Err(refusal(
            LOOK_UP,
            code,
            answer.message.as_deref().unwrap_or_default(),
        )),
        None => Ok(answer),
    }
}

fn port(url: &Url) -> u16 {
    let default = if url.scheme() == "pulsar+ssl" { 6651 } else { 6650 };
    url.port().unwrap_or(default)
}
