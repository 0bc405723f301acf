//! The table of routes, one file per endpoint.

mod interactions_create;
mod interactions_list;
mod stats_daily;

use crate::position::WaitingRoom;
use crate::problem::Problem;
use crate::publish::Publisher;
use actix_web::{HttpResponse, Resource, web};
use chrono::{DateTime, SecondsFormat, Utc};
use eventstore::{Database, Position};
use readmodels::AsOf;
use serde::Serialize;

/// What endpoints work with.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) publisher: Publisher,
    pub(crate) waiting_room: WaitingRoom,
}

/// The header that says what an answer holds at least.
const AS_OF: &str = "Tracking-As-Of";

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/tracking/health", "GET, HEAD")
                .route(web::get().to(service::ops::health))
                .route(web::head().to(service::ops::health)),
        )
        .service(
            resource("/tracking/interactions", "GET, HEAD, POST")
                .route(web::get().to(interactions_list::get))
                .route(web::head().to(interactions_list::get))
                .route(web::post().to(interactions_create::post)),
        )
        .service(
            resource("/tracking/stats/daily", "GET, HEAD")
                .route(web::get().to(stats_daily::get))
                .route(web::head().to(stats_daily::get)),
        )
        .default_service(web::to(async || Err::<HttpResponse, _>(Problem::not_found())));
}

/// A resource that answers other methods with a problem.
fn resource(path: &str, allow: &'static str) -> Resource {
    let refuse = move || std::future::ready(Err::<HttpResponse, _>(Problem::method_not_allowed(allow)));
    web::resource(path).default_service(web::to(refuse))
}

/// How far the view had come, as it is shown beside its data.
#[derive(Serialize)]
struct Meta<'a> {
    as_of: Position,
    lag_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<&'a str>,
}

impl<'a> Meta<'a> {
    fn new(as_of: AsOf, timezone: Option<&'a str>) -> Self {
        Self {
            as_of: as_of.position,
            lag_ms: as_of.lag_ms,
            timezone,
        }
    }
}

/// Answers a read.
fn answer(as_of: AsOf, body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((AS_OF, as_of.position.to_string()))
        .json(body)
}

/// A time as it is shown: RFC 3339, UTC, `Z`, as many digits as it has.
fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
