//! One connection to a broker or proxy: TCP or TLS, the handshake, requests and their answers.
//!
//! The consumer speaks the protocol itself (with the `pulsar` crate's protocol definitions) instead of
//! using that crate's consumer, because there deliveries and acknowledgements share one task that a slow
//! receiver blocks, payloads are inflated without a limit, and an entry that cannot be opened arrives
//! without its id. Here reading and writing are independent: a receiver that is slow stops the reading,
//! never the acknowledgements.

use super::errors::{refusal, unavailable};
use super::tls;
use super::wire::{Frame, missing, put_command, take_frame};
use crate::QueueError;
use bytes::BytesMut;
use pulsar::message::proto::base_command::Type;
use pulsar::message::proto::{BaseCommand, CommandConnect, CommandPing, CommandPong};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

/// To reach one address, and to shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the answer to one request, and for one write.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// The protocol version that the `pulsar` crate speaks, too.
const PROTOCOL_VERSION: i32 = 12;
/// A broker's default limit for a message, taken when it does not name its own.
const DEFAULT_MAX_MESSAGE: usize = 5 * 1024 * 1024;
/// What a frame may need beside its message.
const FRAME_OVERHEAD: usize = 128 * 1024;
/// How much is read at once.
const READ_CHUNK: usize = 64 * 1024;

const TALK: &str = "talk to the broker";

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// An open connection.
pub(super) struct Connection {
    reader: Reader,
    writer: Writer,
    inbox: BytesMut,
    /// Commands written but not yet sent.
    pub(super) outbox: BytesMut,
    frame_limit: usize,
    next_request: u64,
}

impl Connection {
    /// Connects to `url` and shakes hands; through a proxy on to `proxy_to` (`host:port`) when given.
    pub(super) async fn open(
        url: &Url,
        token: Option<&str>,
        proxy_to: Option<String>,
    ) -> Result<Self, QueueError> {
        match timeout(CONNECT_TIMEOUT, Self::open_unbounded(url, token, proxy_to)).await {
            Ok(result) => result,
            Err(_) => Err(unavailable(
                "connect to the broker",
                format!("{} did not answer in time", shown(url)),
            )),
        }
    }

    async fn open_unbounded(
        url: &Url,
        token: Option<&str>,
        proxy_to: Option<String>,
    ) -> Result<Self, QueueError> {
        let (reader, writer) = dial(url)
            .await
            .map_err(|reason| unavailable("connect to the broker", reason))?;
        let mut connection = Self {
            reader,
            writer,
            inbox: BytesMut::with_capacity(READ_CHUNK),
            outbox: BytesMut::new(),
            frame_limit: DEFAULT_MAX_MESSAGE + FRAME_OVERHEAD,
            next_request: 0,
        };
        put_command(&mut connection.outbox, Type::Connect, |command| {
            command.connect = Some(CommandConnect {
                client_version: concat!("tracking-", env!("CARGO_PKG_VERSION")).into(),
                auth_method_name: token.map(|_| "token".into()),
                auth_data: token.map(|token| token.as_bytes().to_vec()),
                protocol_version: Some(PROTOCOL_VERSION),
                proxy_to_broker_url: proxy_to,
                ..CommandConnect::default()
            });
        });
        connection.flush().await?;
        let answer = connection.next_frame().await?.command;
        if let Some(error) = answer.error {
            return Err(refusal("connect to the broker", error.error, &error.message));
        }
        let Some(connected) = answer.connected else {
            return Err(unavailable(
                "connect to the broker",
                "an answer that is no handshake".into(),
            ));
        };
        if let Some(limit) = connected
            .max_message_size
            .and_then(|limit| usize::try_from(limit).ok())
        {
            connection.frame_limit = limit.max(DEFAULT_MAX_MESSAGE) + FRAME_OVERHEAD;
        }
        Ok(connection)
    }

    /// A number for the next request.
    pub(super) fn request_id(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request
    }

    /// Writes a command into the outbox.
    pub(super) fn put(&mut self, kind: Type, fill: impl FnOnce(&mut BaseCommand)) {
        put_command(&mut self.outbox, kind, fill);
    }

    /// Writes a ping into the outbox.
    pub(super) fn put_ping(&mut self) {
        self.put(Type::Ping, |command| command.ping = Some(CommandPing {}));
    }

    /// Writes the answer to a ping into the outbox.
    pub(super) fn put_pong(&mut self) {
        self.put(Type::Pong, |command| command.pong = Some(CommandPong {}));
    }

    /// Sends what the outbox holds.
    pub(super) async fn flush(&mut self) -> Result<(), QueueError> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let sent = timeout(OPERATION_TIMEOUT, async {
            self.writer.write_all(&self.outbox).await?;
            self.writer.flush().await
        });
        match sent.await {
            Ok(Ok(())) => {
                self.outbox.clear();
                Ok(())
            }
            Ok(Err(error)) => Err(unavailable(TALK, error.to_string())),
            Err(_) => Err(unavailable(TALK, "it does not take what is sent".into())),
        }
    }

    /// Reads what has arrived, at least one byte. Cancel-safe.
    pub(super) async fn fill(&mut self) -> Result<(), QueueError> {
        self.inbox.reserve(missing(&self.inbox).max(READ_CHUNK / 4));
        match self.reader.read_buf(&mut self.inbox).await {
            Ok(0) => Err(unavailable(TALK, "it closed the connection".into())),
            Ok(_) => Ok(()),
            Err(error) => Err(unavailable(TALK, error.to_string())),
        }
    }

    /// A frame that has arrived whole, if there is one.
    pub(super) fn take_frame(&mut self) -> Result<Option<Frame>, QueueError> {
        take_frame(&mut self.inbox, self.frame_limit).map_err(|reason| unavailable(TALK, reason))
    }

    /// The next frame, awaited.
    async fn next_frame(&mut self) -> Result<Frame, QueueError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Sends the outbox, then discards frames until one is wanted by `pick`, answering pings meanwhile.
    ///
    /// The broker's error for `request` ends the wait as an `Err`.
    pub(super) async fn request<T>(
        &mut self,
        action: &'static str,
        request: u64,
        mut pick: impl FnMut(BaseCommand) -> Option<T>,
    ) -> Result<T, QueueError> {
        let answer = timeout(OPERATION_TIMEOUT, async {
            self.flush().await?;
            loop {
                let command = self.next_frame().await?.command;
                if command.ping.is_some() {
                    self.put_pong();
                    self.flush().await?;
                } else if let Some(error) = command.error.as_ref().filter(|error| error.request_id == request)
                {
                    return Err(refusal(action, error.error, &error.message));
                } else if let Some(answer) = pick(command) {
                    return Ok(answer);
                }
            }
        });
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(unavailable(action, "no answer in time".into())),
        }
    }
}

/// Opens the byte stream.
async fn dial(url: &Url) -> Result<(Reader, Writer), String> {
    let secure = match url.scheme() {
        "pulsar" => false,
        "pulsar+ssl" => true,
        other => return Err(format!("{other}:// is no scheme of Pulsar's")),
    };
    let host = url
        .host_str()
        .ok_or_else(|| format!("{} names no host", shown(url)))?;
    let port = url.port().unwrap_or(if secure { 6651 } else { 6650 });
    let address = (host.trim_start_matches('[').trim_end_matches(']'), port);
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("{}: {error}", shown(url)))?;
    // A lone acknowledgement must not wait for the answer to the one before.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    if secure {
        let stream = tls::wrap(stream, address.0)
            .await
            .map_err(|error| format!("{}: {error}", shown(url)))?;
        let (reader, writer) = tokio::io::split(stream);
        Ok((Box::new(reader), Box::new(writer)))
    } else {
        let (reader, writer) = stream.into_split();
        Ok((Box::new(reader), Box::new(writer)))
    }
}

/// An address for messages, without what may be secret.
fn shown(url: &Url) -> String {
    format!(
        "{}://{}:{}",
        url.scheme(),
        url.host_str().unwrap_or("?"),
        url.port().unwrap_or(6650)
    )
}
