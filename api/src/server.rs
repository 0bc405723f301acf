//! The server: its limits, and its stop.

use crate::metrics::{Metrics, observe};
use crate::routes::{self, State};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use anyhow::Context as _;
use service::{Process, ops};
use std::net::TcpListener;
use std::time::Duration;

/// Per worker thread. With 2 to 4 of them this is above the 10,000 flows that the service is made for.
const MAX_CONNECTIONS: usize = 10_000;
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// What the process needs for the rest of its stop when the last request has been answered.
const RESERVE: Duration = Duration::from_secs(3);

/// Starts the server as a component of the process.
pub(crate) fn serve(
    process: &Process,
    listener: TcpListener,
    state: State,
    metrics: Metrics,
    drain_delay: Duration,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("read the address of the listener")?;
    let workers = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, 4);
    let finish = process
        .limits
        .shutdown_grace
        .saturating_sub(drain_delay + RESERVE)
        .max(Duration::from_secs(1));
    let ops = process.clone();
    let server = HttpServer::new(move || {
        let metrics = metrics.clone();
        App::new()
            .wrap(from_fn(move |request, next| {
                observe(metrics.clone(), request, next)
            }))
            .app_data(web::Data::new(state.clone()))
            .configure(|config| ops::configure(config, &ops))
            .configure(routes::configure)
    })
    .workers(workers)
    .max_connections(MAX_CONNECTIONS)
    .keep_alive(ops::KEEP_ALIVE)
    .client_request_timeout(ops::REQUEST_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .shutdown_timeout(finish.as_secs())
    .disable_signals()
    .listen(listener)
    .context("start the API's server")?
    .run();
    let stopping = process.stopping.clone();
    process.spawn("http", async move {
        tracing::info!(%address, workers, "serving the API");
        let handle = server.handle();
        let stop = async {
            stopping.cancelled().await;
            // `/ready` says 503 by now; requests are taken until those who send them have heard of it.
            tokio::time::sleep(drain_delay).await;
            handle.stop(true).await;
        };
        // The server works on its own stop only while it is polled. One that ends by itself is not waited for.
        tokio::pin!(server, stop);
        let ended = tokio::select! {
            ended = &mut server => ended,
            () = &mut stop => server.await,
        };
        ended.context("serve the API")
    });
    Ok(())
}
