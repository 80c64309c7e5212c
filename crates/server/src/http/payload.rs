//! Bodies of one document in both directions: [`Body`] for requests, [`Js`] for answers. Those of many documents are in
//! [`ndjson`](super::ndjson).

use super::{
    fields::{self, Fields},
    idempotency, json, params,
    problem::{Answer, ApiError, Problem},
};
use app::failure::Detail;
use bytes::Bytes;
use poem::{
    IntoResponse, Request, RequestBody, Response,
    error::ReadBodyError,
    http::{HeaderMap, header},
    web::headers::{ContentLength, HeaderMapExt},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    payload::Payload,
    registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;
use std::io;

/// The media type of one document.
pub const JSON: &str = "application/json";

/// A request body: its schema comes from `Type`, its value from `read`.
pub trait FromBody: Type {
    /// Bytes that are read at most.
    const LIMIT: usize = 256 * 1024;
    /// A body that is accepted, for the specification.
    const EXAMPLE: Option<&'static str> = None;

    /// Reads every field, also after a faulty one. `None` means that a fault was noted.
    fn read(fields: &mut Fields<'_>) -> Option<Self>
    where
        Self: Sized;
}

/// A JSON body, read to the last fault: media type, then size, then JSON, then fields.
///
/// It belongs behind the [`Auth`](super::auth::Auth) argument and before path and query, for arguments
/// are read in order.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<'a, T: FromBody> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register::<T>(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        check_media_type(request.headers(), JSON)?;
        let bytes = take(request, body, T::LIMIT).await?;
        if request.headers().contains_key(idempotency::HEADER) {
            // Whoever asks what the request said reads it again.
            *body = RequestBody::new(bytes.clone().into());
        }
        // A stray query parameter is a fault of the request like a stray field, and is told with them.
        Ok(read(&bytes, params::strays(request)).map(Self)?)
    }
}

/// Registers the schema of a body, with its example.
pub fn register<T: FromBody>(registry: &mut Registry) {
    T::register(registry);
    if let Some(schema) = registry.schemas.get_mut(T::name().as_ref()) {
        schema.example = example::<T>();
    }
}

/// The example of a body.
pub fn example<T: FromBody>() -> Option<serde_json::Value> {
    T::EXAMPLE.and_then(|text| serde_json::from_str(text).ok())
}

/// What a document says, or every fault in it, among them those that were known before.
pub fn read<T: FromBody>(bytes: &[u8], known: Vec<Detail>) -> Answer<T> {
    if bytes.trim_ascii().is_empty() {
        let message = "The body is empty: send a JSON object, `{}` if there is nothing to say.";
        return Err(ApiError::new(Problem::MalformedJson, message));
    }
    let document = json::parse(bytes)
        .map_err(|error| ApiError::new(Problem::MalformedJson, format!("The body is not JSON: {error}.")))?;
    match fields::read(&document, known, T::read) {
        Ok(value) => Ok(value),
        Err(faults) if faults.is_empty() => Err(ApiError::internal("a body was refused without a fault")),
        Err(faults) => Err(ApiError::validation(faults)),
    }
}

/// Refuses a body that says to be of another media type, or of none.
pub fn check_media_type(headers: &HeaderMap, wanted: &str) -> Answer<()> {
    let refuse = |message: &str| Err(ApiError::new(Problem::UnsupportedMediaType, message));
    let mut sent = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (sent.next(), sent.next()) else {
        return refuse(&format!("Send the body with one header `Content-Type: {wanted}`."));
    };
    let mut parts = only.to_str().unwrap_or_default().split(';').map(str::trim);
    if !parts.next().unwrap_or_default().eq_ignore_ascii_case(wanted) {
        return refuse(&format!("The body has to be sent as `Content-Type: {wanted}`."));
    }
    // JSON is UTF-8. Bytes of another character set would be misread without anybody noticing.
    let other_charset = parts.filter_map(|part| part.split_once('=')).any(|(name, value)| {
        name.eq_ignore_ascii_case("charset") && !value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if other_charset {
        return refuse("The body has to be sent in UTF-8.");
    }
    match headers.get(header::CONTENT_ENCODING).map(|coding| coding.as_bytes()) {
        None | Some(b"identity") => Ok(()),
        Some(_) => refuse("The body has to be sent without a content coding."),
    }
}

/// A body is larger than we read.
pub fn too_large(limit: usize) -> ApiError {
    ApiError::new(Problem::PayloadTooLarge, format!("The body is larger than {limit} bytes."))
}

/// Reads a body, at most so many bytes of it.
pub async fn take(request: &Request, body: &mut RequestBody, limit: usize) -> Answer<Bytes> {
    // A length that is declared is refused before a byte is read; without one, reading stops at the limit.
    let declared = request.headers().typed_get::<ContentLength>();
    if declared.is_some_and(|length| length.0 > limit as u64) {
        return Err(too_large(limit));
    }
    read_whole(body.take().map_err(ApiError::internal)?, limit).await
}

/// Reads what comes, at most so many bytes of it, and as long as it comes in time.
pub async fn read_whole(body: poem::Body, limit: usize) -> Answer<Bytes> {
    match body.into_bytes_limit(limit).await {
        Ok(bytes) => Ok(bytes),
        Err(ReadBodyError::PayloadTooLarge) => Err(too_large(limit)),
        Err(ReadBodyError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Problem::TooSlow.into()),
        Err(_) => Err(ApiError::new(Problem::MalformedJson, "The body broke off before its end.")),
    }
}

/// A JSON answer.
#[derive(Debug)]
pub struct Js<T>(pub T);

impl<T: Type> Payload for Js<T> {
    const CONTENT_TYPE: &'static str = JSON;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Js<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => Response::builder().content_type(JSON).body(bytes),
            Err(error) => ApiError::internal(error).response(),
        }
    }
}

/// The example of a body, read as any other.
#[cfg(test)]
pub fn read_example<T: FromBody>() -> Result<T, String> {
    let document = json::parse(T::EXAMPLE.unwrap_or_default().as_bytes()).map_err(|error| error.to_string())?;
    fields::read(&document, Vec::new(), T::read).map_err(|faults| format!("{faults:?}"))
}
