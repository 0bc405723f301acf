//! Errors as RFC 9457 problems: every answer of 400 and above has this shape.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use domain::{Code, CommandId, FieldError, Rejection};
use eventstore::{Position, Trouble};
use readmodels::{AsOf, ReadError};
use serde::Serialize;
use std::fmt;

/// An answer that is an error. Boxed, as it is the rare end of most results here.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Body>);

#[derive(Clone, Debug, Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    /// What is wrong with which part of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Mistake>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Under which id to send the command again.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<CommandId>,
    /// How far behind the read models are.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_ms: Option<i64>,
    #[serde(skip)]
    allow: Option<&'static str>,
}

/// One part of a request that is wrong: by its JSON pointer in the body, or by the parameter's name.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Mistake {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl From<FieldError> for Mistake {
    fn from(error: FieldError) -> Self {
        Self {
            pointer: Some(error.pointer),
            parameter: None,
            code: error.code,
            detail: error.detail,
        }
    }
}

impl Problem {
    /// A problem; `code` is of the documented, closed set.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Body {
            kind: format!("urn:tracking:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            errors: Vec::new(),
            hint: None,
            id: None,
            lag_ms: None,
            allow: None,
        }))
    }

    /// Mistakes in the query string.
    pub(crate) fn parameters(errors: Vec<Mistake>) -> Self {
        let details: Vec<&str> = errors.iter().map(|error| error.detail.as_str()).collect();
        let detail = details.join("; ");
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail);
        problem.0.errors = errors;
        problem
    }

    /// What is needed is not there at this moment.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// A command that was not accepted.
    pub(crate) fn rejected(rejection: Rejection) -> Self {
        let status = match rejection.code {
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let mut errors: Vec<Mistake> = rejection.errors.into_iter().map(Mistake::from).collect();
        if errors.is_empty() {
            errors.push(Mistake {
                pointer: Some(rejection.pointer),
                parameter: None,
                code: rejection.code.as_str(),
                detail: rejection.detail.clone(),
            });
        }
        let mut problem = Self::new(status, rejection.code.as_str(), rejection.detail);
        problem.0.errors = errors;
        problem.0.hint = rejection.hint;
        problem
    }

    /// The same, naming the id under which the command may be sent again without being recorded twice.
    #[must_use]
    pub(crate) fn with_id(mut self, id: CommandId) -> Self {
        self.0.id = Some(id);
        self
    }

    /// The read models have not come as far as the caller wants to see.
    pub(crate) fn behind(wanted: Position, as_of: AsOf) -> Self {
        let detail = format!(
            "the read models are at position {}, not yet at {wanted}",
            as_of.position
        );
        let mut problem = Self::unavailable("behind", detail);
        problem.0.lag_ms = Some(as_of.lag_ms);
        problem
    }

    /// No such resource.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
    }

    /// The resource does not know the method; `allow` lists those that it knows.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this resource knows {allow}");
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        problem.0.allow = Some(allow);
        problem
    }

    /// For an error that the server framework made.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::INTERNAL_SERVER_ERROR => Self::internal(),
            _ => Self::new(status, "http", "the request was refused"),
        }
    }

    /// Our own fault; what it is stands in the log.
    fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "this is our fault; it has been logged",
        )
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::NotReady { .. } => Self::unavailable("not_ready", error.to_string()),
            ReadError::TooLarge { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "too_many_rows", error.to_string())
            }
            ReadError::Timeout(_) => {
                tracing::warn!(%error, "a query took too long");
                Self::unavailable(
                    "timeout",
                    "the answer took too long: choose a shorter range or more filters",
                )
            }
            ReadError::Store(store) if store.trouble == Trouble::Data => {
                tracing::error!(%error, "a query failed");
                Self::internal()
            }
            ReadError::Store(_) => {
                tracing::warn!(%error, "a query failed");
                Self::unavailable(
                    "database_unavailable",
                    "the database cannot be read at this moment",
                )
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.status, self.0.code, self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).expect("made of a status")
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if self.0.status == StatusCode::SERVICE_UNAVAILABLE.as_u16() {
            response.insert_header((RETRY_AFTER, "1"));
        }
        if let Some(allow) = self.0.allow {
            response.insert_header((ALLOW, allow));
        }
        response.body(serde_json::to_string(self).expect("a problem is texts and numbers"))
    }
}
