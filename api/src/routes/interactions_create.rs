//! `POST /tracking/interactions`: takes a command, answers when the queue has stored it.

use super::State;
use crate::problem::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::command::MAX_PAYLOAD;
use domain::{CommandId, command};
use messaging::{OutgoingMessage, properties};
use serde::Serialize;
use std::time::Duration;
use uuid::{NoContext, Timestamp, Uuid};

/// For the whole body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Accepted {
    id: CommandId,
    status: &'static str,
}

pub(super) async fn post(
    request: HttpRequest,
    body: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    check_headers(&request)?;
    let payload = read_body(body).await?;
    let read = command::read(&payload);
    let command = read.command.map_err(Problem::rejected)?;
    let id = read.command_id.unwrap_or_else(fresh_id);
    let message = OutgoingMessage {
        key: Some(command.user_id.to_string()),
        payload: payload.into(),
        properties: vec![(properties::COMMAND_ID.to_owned(), id.to_string())],
    };
    state
        .publisher
        .publish(message)
        .await
        .map_err(|problem| problem.with_id(id))?;
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/tracking/interactions/{id}")))
        .json(Accepted {
            id,
            status: "accepted",
        }))
}

/// JSON, as it is. No media type at all is taken for JSON.
fn check_headers(request: &HttpRequest) -> Result<(), Problem> {
    let unsupported = |detail: &str| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        )
    };
    if let Some(encoding) = request.headers().get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(unsupported("send the body without Content-Encoding"));
    }
    let Some(kind) = request.headers().get(CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(unsupported("send `Content-Type: application/json`"))
}

/// The body, bounded in size before it is parsed, and in time.
async fn read_body(body: Payload) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("a command may have {MAX_PAYLOAD} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    };
    let late = |_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "the body did not arrive in time",
        )
    };
    let cut = |error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "body_unreadable",
            format!("the body cannot be read: {error}"),
        )
    };
    let read = tokio::time::timeout(BODY_TIMEOUT, body.to_bytes_limited(MAX_PAYLOAD));
    read.await.map_err(late)?.map_err(|_| too_large())?.map_err(cut)
}

/// An id for a command that brought none: unique, and ordered by time, which keeps the dedup index local.
fn fresh_id() -> CommandId {
    let now = service::clock::now();
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    CommandId(Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        seconds,
        now.timestamp_subsec_nanos(),
    )))
}
