//! A network that can fail: a TCP proxy that delays, freezes or cuts what passes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// How the network is at the moment.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    cut: bool,
    frozen: bool,
    delay: Duration,
}

/// Listens on a port of 127.0.0.1 and passes everything on to one address. Gone, with its connections, on drop.
/// A Pulsar client is led past it by the broker's own advertised address: right for PostgreSQL and HTTP, and for
/// Pulsar only with a listener that advertises the proxy.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    accepting: JoinHandle<()>,
}

impl TcpProxy {
    /// A proxy for `upstream`, at first transparent.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (weather, watching) = watch::channel(Weather::default());
        #[expect(
            clippy::disallowed_methods,
            reason = "aborted on drop, and its connections with it"
        )]
        let accepting = tokio::spawn(accept(listener, upstream, watching));
        Self {
            address,
            weather,
            accepting,
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection and each new one at once, until [`restore`](Self::restore).
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cut = true);
    }

    /// Lets connections live in which nothing arrives any more, as behind a dead switch; held bytes pass at
    /// [`restore`](Self::restore).
    pub fn freeze(&self) {
        self.weather.send_modify(|weather| weather.frozen = true);
    }

    /// Holds every piece that passes for so long, in each direction and one after another: throughput falls too.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Makes it transparent again.
    pub fn restore(&self) {
        self.weather.send_replace(Weather::default());
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    loop {
        // Fails only when the process is out of sockets: then some must close first.
        let Ok((client, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        if !weather.borrow().cut {
            connections.spawn(connection(client, upstream, weather.clone()));
        }
    }
}

/// Passes both directions until one side closes, or the network is cut. Errors close it: that is all a proxy can say.
async fn connection(client: TcpStream, upstream: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let forth = pass(from_client, to_server, weather.clone());
    let back = pass(from_server, to_client, weather.clone());
    tokio::select! {
        _ = async { tokio::join!(forth, back) } => {}
        _ = weather.wait_for(|weather| weather.cut) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut weather: watch::Receiver<Weather>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let Ok(delay) = weather
            .wait_for(|weather| !weather.frozen)
            .await
            .map(|weather| weather.delay)
        else {
            return;
        };
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // The other direction may still be under way.
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const SOON: Duration = Duration::from_secs(5);
    const A_WHILE: Duration = Duration::from_millis(200);

    /// A server that sends everything back, one connection after another.
    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (mut from, mut to) = socket.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        });
        (address, tasks)
    }

    async fn exchange(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
        stream.write_all(b"ping").await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn passes_freezes_and_delays() {
        let (upstream, _tasks) = echo().await;
        let proxy = TcpProxy::start(upstream).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&exchange(&mut stream).await.unwrap(), b"ping");

        proxy.freeze();
        assert!(timeout(A_WHILE, exchange(&mut stream)).await.is_err());
        proxy.restore();
        let mut held = [0; 4];
        timeout(SOON, stream.read_exact(&mut held))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&held, b"ping");

        proxy.delay(A_WHILE);
        let began = Instant::now();
        exchange(&mut stream).await.unwrap();
        assert!(began.elapsed() >= 2 * A_WHILE);
    }

    #[tokio::test]
    async fn cuts_old_connections_and_new_ones() {
        let (upstream, _tasks) = echo().await;
        let proxy = TcpProxy::start(upstream).await;
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        exchange(&mut old).await.unwrap();

        proxy.cut();
        assert!(timeout(SOON, exchange(&mut old)).await.unwrap().is_err());
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(timeout(SOON, exchange(&mut new)).await.unwrap().is_err());

        proxy.restore();
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(
            &timeout(SOON, exchange(&mut again)).await.unwrap().unwrap(),
            b"ping"
        );
    }
}
