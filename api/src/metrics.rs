//! What an operator sees of the API. Labels come from closed sets: route patterns, known methods, statuses.

use actix_web::Error;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::Next;
use eventstore::Database;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use std::time::Instant;

use crate::problem::Problem;

#[derive(Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, database: &Database) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("tracking_http_requests_total", "Requests answered."),
            &["method", "route", "status"],
        )?;
        let seconds = vec![
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0,
        ];
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "tracking_http_request_duration_seconds",
                "From the head of a request to the head of its answer.",
            )
            .buckets(seconds),
            &["method", "route"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(Pool::new(database.clone())?))?;
        Ok(Self { requests, duration })
    }

    fn count(&self, method: &Method, route: &str, status: u16, since: Instant) {
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
            _ => "other",
        };
        self.requests
            .with_label_values(&[method, route, &status.to_string()])
            .inc();
        self.duration
            .with_label_values(&[method, route])
            .observe(since.elapsed().as_secs_f64());
    }
}

/// Counts every answer, and gives errors that the framework made without a body the shape of ours.
pub(crate) async fn observe<B: MessageBody + 'static>(
    metrics: Metrics,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let since = Instant::now();
    let method = request.method().clone();
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let response = match next.call(request).await {
        Ok(response) => response,
        Err(error) => {
            metrics.count(
                &method,
                &route,
                error.as_response_error().status_code().as_u16(),
                since,
            );
            return Err(error);
        }
    };
    metrics.count(&method, &route, response.status().as_u16(), since);
    let status = response.status();
    let shaped = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if (status.is_client_error() || status.is_server_error()) && !shaped {
        let problem = actix_web::ResponseError::error_response(&Problem::of_status(status));
        return Ok(response.into_response(problem).map_into_right_body());
    }
    Ok(response.map_into_left_body())
}

/// The pool's connections, read when they are asked for.
struct Pool {
    database: Database,
    connections: IntGaugeVec,
}

impl Pool {
    fn new(database: Database) -> prometheus::Result<Self> {
        let connections = IntGaugeVec::new(
            Opts::new(
                "tracking_db_pool_connections",
                "Connections to the database: in_use, idle, and max, the limit.",
            ),
            &["state"],
        )?;
        Ok(Self {
            database,
            connections,
        })
    }
}

impl Collector for Pool {
    fn desc(&self) -> Vec<&Desc> {
        self.connections.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (in_use, idle, max) = self.database.connections();
        for (state, count) in [("in_use", in_use), ("idle", idle), ("max", max)] {
            self.connections
                .with_label_values(&[state])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.connections.collect()
    }
}
