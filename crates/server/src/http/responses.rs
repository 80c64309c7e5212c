//! What an operation may answer: one enum an endpoint, and the errors it declares.
//!
//! ```text
//! responses! {
//!     /// Answers of `POST /revenue/schedule-payouts`.
//!     SchedulePayoutsAnswer {
//!         /// The batch is scheduled.
//!         201 Created(Js<Scheduled>, "Location" location: Option<String>),
//!     }
//!     errors [NotFound, Conflict]
//! }
//! ```
//!
//! An endpoint lists the errors of its use case. Those that the edge raises by itself (a missing token,
//! a body that is not JSON, 500, 503) are added by [`super::routes`], which also refuses to send a status
//! that was not declared: the specification cannot lie.

use super::{
    error_body::ErrorBody,
    payload::{JSON, Js},
    problem::{ApiError, Problem},
};
use app::idempotency::StoredAnswer;
use poem::{
    Response,
    http::{HeaderName, HeaderValue, StatusCode},
};
use poem_openapi::{
    registry::{MetaHeader, MetaMediaType, MetaResponse},
    types::Type,
};
use serde::Serialize;

/// When to ask again, in seconds.
pub const RETRY_AFTER: &str = "Retry-After";

/// Makes the enum of an endpoint's answers. A variant holds its body, then its headers.
macro_rules! responses {
    (
        $(#[$about:meta])*
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $status:literal $variant:ident($body:ty $(, $header:literal $value:ident: $kind:ty)* $(,)?)
            ),+ $(,)?
        }
        errors [$($problem:ident),* $(,)?]
    ) => {
        $(#[$about])*
        pub enum $name {
            $($(#[doc = $doc])+ $variant($body $(, $kind)*)),+
        }

        impl poem::IntoResponse for $name {
            fn into_response(self) -> poem::Response {
                match self {
                    $(Self::$variant(body $(, $value)*) => {
                        #[allow(unused_mut, reason = "not every answer has headers")]
                        let mut response = poem::IntoResponse::into_response(body);
                        response.set_status(poem::http::StatusCode::from_u16($status).unwrap_or_default());
                        $(if let Some(value) = poem_openapi::types::ToHeader::to_header(&$value) {
                            response.headers_mut().insert($header, value);
                        })*
                        response
                    })+
                }
            }
        }

        impl $crate::http::responses::Storable for $name {
            fn stored(&self) -> app::idempotency::StoredAnswer {
                match self {
                    $(Self::$variant(body $(, $value)*) => $crate::http::responses::stored(
                        $status,
                        body,
                        [$(($header, poem_openapi::types::ToHeader::to_header($value))),*],
                    ),)+
                }
            }
        }

        impl poem_openapi::ApiResponse for $name {
            fn meta() -> poem_openapi::registry::MetaResponses {
                let mut responses = vec![$(poem_openapi::registry::MetaResponse {
                    description: concat!($($doc),+).trim(),
                    status: Some($status),
                    status_range: None,
                    content: <$body as poem_openapi::ResponseContent>::media_types(),
                    headers: vec![$($crate::http::responses::header::<$kind>($header)),*],
                }),+];
                responses.extend([$($crate::http::problem::Problem::$problem),*].map($crate::http::responses::declare));
                poem_openapi::registry::MetaResponses { responses }
            }

            fn register(registry: &mut poem_openapi::registry::Registry) {
                $(<$body as poem_openapi::ResponseContent>::register(registry);)+
            }
        }
    };
}
pub(crate) use responses;

/// An answer that can be kept, and given again.
pub trait Storable {
    /// The same answer as it leaves.
    fn stored(&self) -> StoredAnswer;
}

/// An answer as it leaves. One that cannot be written is our own fault, now and when it is asked for again.
pub fn stored<T: Serialize, const N: usize>(
    status: u16,
    body: &Js<T>,
    headers: [(&str, Option<HeaderValue>); N],
) -> StoredAnswer {
    let text = |(name, value): (&str, Option<HeaderValue>)| Some((name.to_owned(), value?.to_str().ok()?.to_owned()));
    match serde_json::to_string(&body.0) {
        Ok(body) => StoredAnswer { status, headers: headers.into_iter().filter_map(text).collect(), body },
        Err(error) => ApiError::internal(error).stored(),
    }
}

/// An answer that was kept, as it leaves again.
pub fn restored(StoredAnswer { status, headers, body }: StoredAnswer) -> Response {
    let mut response = Response::builder().content_type(JSON).body(body);
    response.set_status(StatusCode::from_u16(status).unwrap_or_default());
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A header as the specification shows it.
pub fn header<T: Type>(name: &str) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: None,
        required: T::IS_REQUIRED,
        deprecated: false,
        schema: T::schema_ref(),
    }
}

/// An error answer as the specification shows it, with the headers that [`problem`](super::problem) sends.
pub fn declare(problem: Problem) -> MetaResponse {
    let headers = match problem {
        Problem::Unauthenticated => vec![header::<String>("WWW-Authenticate")],
        Problem::Unavailable | Problem::InProgress | Problem::RateLimited => vec![header::<u32>(RETRY_AFTER)],
        _ => Vec::new(),
    };
    MetaResponse {
        description: problem.sentence(),
        status: Some(problem.status().as_u16()),
        status_range: None,
        content: vec![MetaMediaType { content_type: JSON, schema: ErrorBody::schema_ref() }],
        headers,
    }
}
