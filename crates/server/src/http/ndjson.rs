//! Bodies of many documents, one a line: [`Lines`] for requests, [`Outcomes`] for answers.
//!
//! Each line is what another operation takes as its body, is read by the same reader, and is answered as that
//! operation would answer it. What is wrong with one line is no fault of its neighbours. What is wrong with the request
//! as a whole is told before anything is done.

mod outcomes;

pub use outcomes::{Outcomes, Places};

use super::{
    fault::Fault,
    idempotency, params,
    payload::{self, FromBody},
    problem::{Answer, ApiError, Problem},
};
use app::failure::{Class, Failure};
use bytes::Bytes;
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry},
};
use std::marker::PhantomData;

/// The media type of one document a line.
pub const NDJSON: &str = "application/x-ndjson";
/// Most lines of one request.
pub const LINES_MAX: usize = 10_000;
/// Bytes of a request that are read at most.
const LIMIT: usize = 8 * 1024 * 1024;

/// Why a request of many lines is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinesError {
    /// There are too many.
    #[error("The body has more than {LINES_MAX} lines: send them in several calls. Nothing was done.")]
    TooMany,
}

impl Failure for LinesError {
    fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "too_many_lines",
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::TooMany => Class::Invalid,
        }
    }
}

/// A body of lines, none of them read yet.
///
/// It takes no `Idempotency-Key`: an answer of so many lines is committed in as many parts, and a key that brings back
/// a half of them would be a lie. So it is for lines that are done once by what they name.
#[derive(Debug)]
pub struct Lines<T>(Vec<Bytes>, PhantomData<fn() -> T>);

impl<'a, T: FromBody> ApiExtractor<'a> for Lines<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        payload::register::<T>(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let schema = MetaSchema {
            example: payload::example::<T>().map(|one| format!("{one}\n").into()),
            // There is something in it.
            pattern: Some(r"[^ \t\r\n]".to_owned()),
            ..schema(T::schema_ref())
        };
        let content = vec![MetaMediaType { content_type: NDJSON, schema: MetaSchemaRef::Inline(Box::new(schema)) }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        payload::check_media_type(request.headers(), NDJSON)?;
        let lines = split(&payload::take(request, body, LIMIT).await.map_err(in_several_calls)?)?;
        let mut faults = params::strays(request);
        if request.headers().contains_key(idempotency::HEADER) {
            let message = "This is not taken here: each line is done at most once by what it names, so the same call \
                           can be sent again without a key.";
            faults.push(Fault::new("not_accepted", message).at(format!("/{}", idempotency::HEADER)));
        }
        if faults.is_empty() { Ok(Self(lines, PhantomData)) } else { Err(ApiError::validation(faults).into()) }
    }
}

/// Lines as the specification shows them: a text, for that is what a client has to make of them. Its `items` are
/// published beside it by [`openapi`](super::openapi).
fn schema(line: MetaSchemaRef) -> MetaSchema {
    MetaSchema {
        description: Some("One JSON document a line, without a line break inside; see `x-itemSchema`."),
        items: Some(Box::new(line)),
        ..MetaSchema::new("string")
    }
}

fn in_several_calls(error: ApiError) -> ApiError {
    match error.problem {
        Problem::PayloadTooLarge => {
            ApiError { message: format!("{} Send its lines in several calls.", error.message), ..error }
        }
        _ => error,
    }
}

/// The lines of a body. What stands after the last of them is white space at most, and is none; an empty one before it
/// is a line as any other, so that the n-th answer belongs to the n-th line, whoever counts.
fn split(body: &Bytes) -> Answer<Vec<Bytes>> {
    let end = body.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).map_or(0, |last| last + 1);
    if end == 0 {
        return Err(ApiError::new(Problem::MalformedJson, "The body is empty: send one JSON object a line."));
    }
    let mut lines = Vec::new();
    let mut from = 0;
    for at in memchr::memchr_iter(b'\n', &body[..end]).chain([end]) {
        if lines.len() == LINES_MAX {
            return Err(LinesError::TooMany.into());
        }
        // A line break may be of two characters.
        let to = if body[from..at].ends_with(b"\r") { at - 1 } else { at };
        lines.push(body.slice(from..to));
        from = at + 1;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: &str) -> Vec<Bytes> {
        split(&Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    #[test]
    fn what_ends_the_last_line_begins_none() {
        for body in ["a\nb", "a\nb\n", "a\nb\n\n \t\r\n"] {
            assert_eq!(lines(body), ["a", "b"], "{body:?}");
        }
        assert_eq!(lines("a\r\n\r\nb\r\n"), ["a", "", "b"]);
    }

    #[test]
    fn an_empty_line_before_another_is_counted() {
        assert_eq!(lines("\na\n\n\nb\n"), ["", "a", "", "", "b"]);
    }

    #[test]
    fn nothing_is_no_request() {
        for body in ["", " ", "\n", "\r\n\t \n"] {
            let error = split(&Bytes::copy_from_slice(body.as_bytes())).unwrap_err();
            assert_eq!((error.problem, error.code), (Problem::MalformedJson, "malformed_json"), "{body:?}");
        }
    }

    #[test]
    fn there_is_a_most_and_not_a_line_more() {
        assert_eq!(lines(&"a\n".repeat(LINES_MAX)).len(), LINES_MAX);
        assert_eq!(lines(&("\n".repeat(LINES_MAX - 1) + "a\n\n\n")).len(), LINES_MAX);
        let error = split(&"\n".repeat(LINES_MAX).chars().chain(['a']).collect::<String>().into()).unwrap_err();
        assert_eq!((error.problem, error.code), (Problem::Invalid, "too_many_lines"));
        assert!(error.message.contains("10000") && error.message.contains("several calls"), "{}", error.message);
    }
}
