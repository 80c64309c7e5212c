//! Every way a request can fail, and the only place that knows its HTTP status.
//!
//! An [`ApiError`] comes from a use case (any [`Failure`]), from our own extractors, or from the
//! framework; it renders itself as the one error body, so that `?` is enough in a handler.

use super::{context, error_body::ErrorBody, payload::Js};
use app::{
    failure::{Class, Detail, Failure},
    idempotency::StoredAnswer,
};
use poem::{
    IntoResponse, Response,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    error::{ParseParamError, ParsePathError},
    registry::{MetaResponses, Registry},
};
use serde_json::Value;
use std::fmt::Display;

/// What every handler returns: one of its declared answers, or the one error.
pub type Answer<T> = Result<T, ApiError>;

/// How many faults one answer lists: a body of ten thousand unknown fields must not be answered tenfold.
const DETAILS_MAX: usize = 100;

/// The kinds of "no" at this edge, each with one status. Of two with the same status the first stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The body is not JSON.
    MalformedJson,
    /// Nobody we know is calling.
    Unauthenticated,
    /// We know who calls, and they may not.
    Forbidden,
    /// There is nothing of that name.
    NotFound,
    /// There is something of that name, and it cannot do this.
    MethodNotAllowed,
    /// The body did not come in time.
    TooSlow,
    /// The request contradicts what is already there.
    Conflict,
    /// The same request is being worked on.
    InProgress,
    /// The body is larger than we read.
    PayloadTooLarge,
    /// The body is of a kind that we do not read.
    UnsupportedMediaType,
    /// The request is understood, and wrong.
    Invalid,
    /// Too many requests of one subject.
    RateLimited,
    /// Our own fault.
    Internal,
    /// Nothing is wrong with the request; it may succeed later.
    Unavailable,
}

impl Problem {
    /// Every problem.
    pub const ALL: [Self; 14] = [
        Self::MalformedJson,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::Conflict,
        Self::InProgress,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::RateLimited,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::MalformedJson => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict | Self::InProgress => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The code, unless a use case has a better one.
    pub fn code(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooSlow => "request_timeout",
            Self::Conflict => "conflict",
            Self::InProgress => "request_in_progress",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Invalid => "validation_error",
            Self::RateLimited => "rate_limited",
            Self::Internal => "server_error",
            Self::Unavailable => "unavailable",
        }
    }

    /// One sentence for the specification, and for an answer that has nothing better to say.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::MalformedJson => "The body is not a JSON document.",
            Self::Unauthenticated => "The bearer token is missing, invalid or expired.",
            Self::Forbidden => "The role of the bearer token does not allow this.",
            Self::NotFound => "There is nothing here.",
            Self::MethodNotAllowed => "This path exists, but not with this method; see the Allow header.",
            Self::TooSlow => "The body did not come in time. Nothing was done.",
            Self::Conflict => "The request contradicts what is already there.",
            Self::InProgress => "The first request with this Idempotency-Key is not answered yet.",
            Self::PayloadTooLarge => "The body is too large.",
            Self::UnsupportedMediaType => "The body has to be sent as application/json.",
            Self::Invalid => "The request is understood, but something in it is wrong.",
            Self::RateLimited => "The subject of the bearer token asks too often. Nothing was done.",
            Self::Internal => "Something went wrong on our side; the request id finds the log line.",
            Self::Unavailable => "The service is too busy or something it needs is down. Try again.",
        }
    }

    fn of_class(class: Class) -> Self {
        match class {
            Class::NotFound => Self::NotFound,
            Class::Conflict => Self::Conflict,
            Class::InProgress => Self::InProgress,
            Class::Invalid => Self::Invalid,
            Class::Refused => Self::Forbidden,
            Class::Unavailable => Self::Unavailable,
            Class::Internal => Self::Internal,
        }
    }

    fn of_status(status: StatusCode) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| problem.status() == status)
    }
}

/// The one error of the HTTP edge.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// Decides the status.
    pub problem: Problem,
    /// Stable `snake_case` word: clients match on it.
    pub code: &'static str,
    /// What is wrong and what to do about it.
    pub message: String,
    /// Every fault found, where there can be several.
    pub details: Vec<Detail>,
    /// What stands in the way, for a conflict.
    pub existing: Option<Value>,
}

impl ApiError {
    /// An error with its own message.
    pub fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, code: problem.code(), message: message.into(), details: Vec::new(), existing: None }
    }

    /// The caller is known but may not; endpoints differ in the code they promised for it.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, ..Self::new(Problem::Forbidden, message) }
    }

    /// Faults in what was sent, all of them.
    pub fn validation(details: Vec<Detail>) -> Self {
        let message = match details.as_slice() {
            [only] if only.field.is_empty() => only.message.clone(),
            [only] => format!("{}: {}", only.field, only.message),
            several => format!("{} things in the request are wrong; see details.", several.len()),
        };
        Self { details, ..Self::new(Problem::Invalid, message) }
    }

    /// Our own fault. What it was goes to the log and nowhere else.
    pub fn internal(what: impl Display) -> Self {
        tracing::error!(error = %what, request_id = context::request_id(), "a request failed on our side");
        Self::from(Problem::Internal)
    }

    /// What the framework raised. It cannot be a `From`: any type of theirs might become a [`Failure`].
    pub fn of_framework(error: poem::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        let parameter = match (error.downcast_ref::<ParseParamError>(), error.downcast_ref::<ParsePathError>()) {
            (Some(error), _) => Some((error.name, &error.reason)),
            (_, Some(error)) => Some((error.name, &error.reason)),
            (None, None) => None,
        };
        if let Some((name, reason)) = parameter {
            let fault = super::fault::Fault::invalid_format(reason);
            return Self::validation(vec![fault.at(format!("/{name}"))]);
        }
        match Problem::of_status(error.status()) {
            Some(Problem::Internal) | None => Self::internal(error),
            Some(problem) => Self::from(problem),
        }
    }

    /// The error that an answer stands for whose body is not ours.
    pub fn of_status(status: StatusCode) -> Self {
        match Problem::of_status(status) {
            Some(problem) => Self::from(problem),
            None => Self::internal(format_args!("an answer of status {status} is none of ours")),
        }
    }

    /// The error as an answer that is kept.
    pub fn stored(&self) -> StoredAnswer {
        let body = serde_json::to_string(&ErrorBody::of(self, DETAILS_MAX)).unwrap_or_default();
        StoredAnswer { status: self.problem.status().as_u16(), headers: Vec::new(), body }
    }

    /// The error as it leaves.
    pub fn response(&self) -> Response {
        let mut response = Js(ErrorBody::of(self, DETAILS_MAX)).into_response();
        response.set_status(self.problem.status());
        match self.problem {
            Problem::Unauthenticated => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // Of what is limited by the second there is something again after one.
            Problem::Unavailable | Problem::InProgress | Problem::RateLimited => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::new(problem, problem.sentence())
    }
}

impl<F: Failure> From<F> for ApiError {
    fn from(failure: F) -> Self {
        let problem = Problem::of_class(failure.class());
        match problem {
            Problem::Internal => return Self::internal(format_args!("{failure:?}")),
            Problem::Unavailable => {
                tracing::warn!(error = ?failure, code = failure.code(), "a request has to wait");
            }
            _ => {}
        }
        Self {
            problem,
            code: failure.code(),
            message: failure.to_string(),
            details: failure.details(),
            existing: failure.existing(),
        }
    }
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.problem.status()
    }

    fn as_response(&self) -> Response {
        self.response()
    }
}

/// Errors are declared with the answers of an operation (see [`super::routes`]), not with this type.
impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(_registry: &mut Registry) {}
}
