//! `/health`, `/ready` and `/metrics`.
//!
//! The API mounts the routes into its own server; worker and projector serve them alone, to the end of the drain, so
//! that whoever asks in between hears 503 and why.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use prometheus::{Encoder as _, Registry, TextEncoder};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use crate::exit::ExitError;
use crate::health::Health;
use crate::lifecycle::Process;
use crate::settings::Http;

/// Longer than the idle time of usual load balancers, so that they close connections, not we.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// For a client to send the head of its request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const SHUTDOWN_SECONDS: u64 = 2;
const MAX_CONNECTIONS: usize = 256;

/// Connections that may wait to be taken; the system may allow fewer. The standard library's 128 would turn a burst of
/// callers away.
const BACKLOG: u32 = 4096;

/// Listens at `HTTP_ADDR`, or says why not, naming the variable. Must be called within a runtime.
pub fn bind(http: &Http) -> Result<TcpListener, ExitError> {
    let failed = |error| ExitError::failed(format!("listen at {}, see HTTP_ADDR: {error}", http.addr));
    let socket = if http.addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
    .map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(http.addr).map_err(failed)?;
    socket
        .listen(BACKLOG)
        .and_then(tokio::net::TcpListener::into_std)
        .map_err(failed)
}

/// Adds the three routes to a server.
pub fn configure(config: &mut web::ServiceConfig, process: &Process) {
    config
        .app_data(web::Data::new(process.health.clone()))
        .app_data(web::Data::new(process.registry.clone()))
        .service(
            web::resource("/health")
                .route(web::get().to(health))
                .route(web::head().to(health)),
        )
        .service(
            web::resource("/ready")
                .route(web::get().to(ready))
                .route(web::head().to(ready)),
        )
        .service(
            web::resource("/metrics")
                .route(web::get().to(metrics))
                .route(web::head().to(metrics)),
        );
}

/// Serves the three routes on `listener` until the drain is over. For worker and projector.
pub fn serve(listener: TcpListener, process: &Process) -> anyhow::Result<()> {
    let addr = listener
        .local_addr()
        .context("read the address of the listener")?;
    let routes = process.clone();
    let server = HttpServer::new(move || App::new().configure(|config| configure(config, &routes)))
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(REQUEST_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)
        .context("start the ops server")?
        .run();
    process.spawn_until_drained("ops", |drained| serve_until(server, drained, addr));
    Ok(())
}

async fn serve_until(
    mut server: actix_web::dev::Server,
    drained: CancellationToken,
    addr: SocketAddr,
) -> anyhow::Result<()> {
    tracing::info!(%addr, "serving /health, /ready and /metrics");
    let handle = server.handle();
    let ended = tokio::select! {
        ended = &mut server => ended,
        // The server works on its own stop only while it is polled.
        () = drained.cancelled() => futures::future::join(server, handle.stop(true)).await.0,
    };
    ended.context("serve /health, /ready and /metrics")
}

/// Answers `/health`: alive, whatever the conditions. The API answers so at `/tracking/health` too.
pub async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "version": crate::VERSION}))
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    let reasons = health.reasons();
    if reasons.is_empty() {
        HttpResponse::Ok().json(json!({"status": "ready"}))
    } else {
        HttpResponse::ServiceUnavailable().json(json!({"status": "not_ready", "reasons": reasons}))
    }
}

async fn metrics(registry: web::Data<Registry>) -> HttpResponse {
    let encoder = TextEncoder::new();
    let mut body = Vec::new();
    match encoder.encode(&registry.gather(), &mut body) {
        Ok(()) => {
            let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            HttpResponse::Ok().insert_header((CONTENT_TYPE, text)).body(body)
        }
        Err(error) => {
            tracing::error!(%error, "encode the metrics");
            HttpResponse::InternalServerError().finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use serde_json::Value;

    use super::*;
    use crate::settings::Lifecycle;

    fn get(addr: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn get_json(addr: SocketAddr, path: &'static str) -> (u16, Value) {
        let (status, body) = tokio::task::spawn_blocking(move || get(addr, path))
            .await
            .unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = bind(&Http {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        })
        .unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn answers_through_the_drain_and_closes_after_it() {
        let process = Process::new(Lifecycle::default());
        let database = process.health.condition("database");
        let (listener, addr) = listener();
        serve(listener, &process).unwrap();

        let health = (200, json!({"status": "ok", "version": "0.1.0"}));
        assert_eq!(get_json(addr, "/health").await, health);
        let not_ready = |reason: &str| (503, json!({"status": "not_ready", "reasons": [reason]}));
        assert_eq!(get_json(addr, "/ready").await, not_ready("database: starting"));
        database.ready();
        assert_eq!(get_json(addr, "/ready").await, (200, json!({"status": "ready"})));
        process.stopping.cancel();
        assert_eq!(get_json(addr, "/ready").await, not_ready("draining"));
        assert_eq!(get_json(addr, "/health").await, health);

        tokio::time::timeout(Duration::from_secs(10), process.stop())
            .await
            .unwrap()
            .unwrap();
        assert!(TcpStream::connect(addr).is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn metrics_tell_of_components_and_the_process() {
        let process = Process::new(Lifecycle::default());
        let (listener, addr) = listener();
        serve(listener, &process).unwrap();
        let (status, body) = tokio::task::spawn_blocking(move || get(addr, "/metrics"))
            .await
            .unwrap();
        assert_eq!(status, 200);
        assert!(
            body.contains("tracking_component_up{component=\"ops\"} 1\n"),
            "{body}"
        );
        #[cfg(target_os = "linux")]
        assert!(body.contains("process_resident_memory_bytes "), "{body}");
    }

    #[tokio::test]
    async fn a_taken_address_is_an_error_that_names_the_variable() {
        let (_taken, addr) = listener();
        let error = bind(&Http { addr }).unwrap_err();
        assert_eq!(error.code, crate::exit::FAILED);
        assert!(
            error
                .message
                .starts_with(&format!("listen at {addr}, see HTTP_ADDR: ")),
            "{error}"
        );
    }
}
