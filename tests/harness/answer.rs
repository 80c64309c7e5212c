//! What the API answered, and the one shape that every error has.

use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// What was asked, for messages.
    pub asked: String,
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// Reads an answer, which may break off.
    pub async fn of(asked: String, answer: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Self { asked, status, headers, text: answer.text().await? })
    }

    /// A header that was sent once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut sent = self.headers.get_all(name).iter();
        let only = sent.next()?;
        assert_eq!(sent.next(), None, "{}: {name} was sent twice", self.asked);
        only.to_str().ok()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}: {}", self.asked, self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{}: {error}: {}", self.asked, self.text))
    }

    /// The body, if this is the status.
    #[track_caller]
    pub fn with(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text);
        self.json()
    }

    /// The status and the body that each line of a good answer of lines holds, each in its place, and nothing else.
    #[track_caller]
    pub fn outcomes(&self) -> Vec<(u16, Value)> {
        assert_eq!((self.status, self.header("content-type")), (200, Some("application/x-ndjson")), "{}", self.text);
        assert!(self.text.ends_with('\n'), "{}: the last line is not whole: {}", self.asked, self.text);
        let outcome = |(text, place): (&str, u64)| {
            let line: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            let line =
                object(&line, "a line", &["line", "status", "body"], &[]).unwrap_or_else(|what| panic!("{what}"));
            assert_eq!(line["line"], place, "{text}");
            let status = line["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status");
            if status != 201 {
                let error = one_shape(&line["body"]).unwrap_or_else(|what| panic!("{what}: {text}"));
                assert_eq!(error["requestId"].as_str(), self.header("x-request-id"), "{text}");
            }
            (status, line["body"].clone())
        };
        self.text.lines().zip(1..).map(outcome).collect()
    }

    /// The error, if this is the status and the code, and the body is nothing but the one shape.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let body = self.with(status);
        let error = one_shape(&body).unwrap_or_else(|what| panic!("{}: {what}: {body}", self.asked));
        assert_eq!(error["code"], code, "{}: {body}", self.asked);
        assert_eq!(error["requestId"].as_str(), self.header("x-request-id"), "{}: {body}", self.asked);
        assert_eq!(self.header("cache-control"), Some("no-store"), "{}", self.asked);
        assert_eq!(self.header("www-authenticate"), (status == 401).then_some("Bearer"), "{}", self.asked);
        let later = matches!(status, 429 | 503) || code == "request_in_progress";
        assert_eq!(self.header("retry-after").is_some(), later, "{}", self.asked);
        error.clone()
    }

    /// A 422 with this code and exactly these faults, each `field code`, in any order.
    #[track_caller]
    pub fn faults(&self, code: &str, expected: &[&str]) -> Value {
        let error = self.refused(422, code);
        let none = Vec::new();
        let details = error["details"].as_array().unwrap_or(&none).iter();
        let told = details.map(|detail| format!("{} {}", text(&detail["field"]), text(&detail["code"])));
        let (mut told, mut expected): (Vec<String>, Vec<&str>) = (told.collect(), expected.to_vec());
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected, "{}: {error}", self.asked);
        error
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The error in a body, if the body is `{ error: { code, message, details?, existing?, requestId } }` with details
/// `{ code, field, message, meta? }` and nothing else.
fn one_shape(body: &Value) -> Result<&Value, String> {
    let outer = object(body, "the body", &["error"], &[])?;
    let error = object(&outer["error"], "the error", &["code", "message", "requestId"], &["details", "existing"])?;
    word(&error["code"])?;
    sentence(&error["message"])?;
    sentence(&error["requestId"])?;
    if let Some(details) = error.get("details") {
        let details = details.as_array().filter(|details| !details.is_empty()).ok_or("details is no list of faults")?;
        for detail in details {
            let detail = object(detail, "a detail", &["code", "field", "message"], &["meta"])?;
            word(&detail["code"])?;
            sentence(&detail["message"])?;
            let field = detail["field"].as_str().ok_or("a field is no text")?;
            if !(field.is_empty() || field.starts_with('/')) {
                return Err(format!("`{field}` is no pointer"));
            }
            if detail.get("meta").is_some_and(|meta| !meta.is_object()) {
                return Err("meta is no object".to_owned());
            }
        }
    }
    if let Some(existing) = error.get("existing") {
        object(existing, "existing", &["batchId", "status", "requestMatches"], &["reversalId"])?;
    }
    Ok(&body["error"])
}

fn object<'v>(
    value: &'v Value,
    what: &str,
    required: &[&str],
    optional: &[&str],
) -> Result<&'v Map<String, Value>, String> {
    let object = value.as_object().ok_or(format!("{what} is no object"))?;
    if let Some(missing) = required.iter().find(|name| !object.contains_key(**name)) {
        return Err(format!("{what} has no `{missing}`"));
    }
    let known = |name: &&String| required.contains(&name.as_str()) || optional.contains(&name.as_str());
    match object.keys().find(|name| !known(name)) {
        Some(stray) => Err(format!("{what} has a `{stray}`")),
        None => Ok(object),
    }
}

/// A stable word for programs.
fn word(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !text.is_empty() && text.bytes().all(good) { Ok(()) } else { Err(format!("{value} is no word")) }
}

fn sentence(value: &Value) -> Result<(), String> {
    if value.as_str().is_some_and(|text| !text.trim().is_empty()) {
        Ok(())
    } else {
        Err(format!("{value} says nothing"))
    }
}

#[test]
fn anything_but_the_one_shape_is_told_apart() {
    use serde_json::json;
    let good = json!({ "error": { "code": "a_1", "message": "m", "requestId": "r",
        "details": [{ "code": "c", "field": "/f", "message": "m", "meta": {} }] } });
    assert!(one_shape(&good).is_ok());
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        one_shape(&body).map(drop)
    };
    for (pointer, value) in [
        ("/stray", json!(1)),
        ("/error/stray", json!(1)),
        ("/error/code", json!("Not A Word")),
        ("/error/message", json!("")),
        ("/error/requestId", json!(null)),
        ("/error/details", json!([])),
        ("/error/details/0/stray", json!(1)),
        ("/error/details/0/field", json!("f")),
        ("/error/details/0/meta", json!(null)),
        ("/error/existing", json!({})),
    ] {
        assert!(with(pointer, value).is_err(), "{pointer}");
    }
}
