//! What the Stripe simulator answers.

use super::{
    Stripe,
    book::{Book, Fault, Refusal, SECRET_KEY},
    keys::{Fingerprint, Found},
};
use futures_util::stream;
use poem::{Body, Request, Response, http::StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, io, time::Duration};

/// Longer than anybody waits.
const SILENCE: Duration = Duration::from_secs(30);
/// Long enough for another call to come meanwhile.
const SLOW: Duration = Duration::from_millis(300);

/// A request, as it came.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query, decoded.
    pub query: BTreeMap<String, String>,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its form, decoded.
    pub form: BTreeMap<String, String>,
    /// Its body, to the byte.
    pub body: String,
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn answer(status: u16, body: String) -> Response {
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a status"))
        .header("request-id", "req_simulator")
        .content_type("application/json")
        .body(body)
}

fn refusal((status, kind, code, param, message): Refusal) -> (u16, String) {
    let mut error = json!({ "type": kind, "message": message, "request_log_url": "https://dashboard.stripe.com/logs" });
    if let Some(code) = code {
        error["code"] = json!(code);
        error["doc_url"] = json!(format!("https://stripe.com/docs/error-codes/{code}"));
    }
    if let Some(param) = param {
        error["param"] = json!(param);
    }
    (status, json!({ "error": error }).to_string())
}

fn refused(refused: Refusal) -> Response {
    let (status, body) = refusal(refused);
    answer(status, body)
}

fn missing(what: &str) -> Refusal {
    (404, "invalid_request_error", Some("resource_missing"), Some("id"), format!("No such {what}"))
}

impl Stripe {
    pub(super) async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = body.into_string().await.unwrap_or_default();
        let headers = parts.headers.iter();
        let recorded = Recorded {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: pairs(parts.uri.query().unwrap_or_default()),
            headers: headers
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            form: pairs(&body),
            body,
        };
        self.book().requests.push(recorded.clone());
        let is_allowed =
            recorded.headers.get("authorization").is_some_and(|said| *said == format!("Bearer {SECRET_KEY}"));
        if !is_allowed {
            return refused((401, "invalid_request_error", None, None, "Invalid API Key provided".to_owned()));
        }
        let path = recorded.path.clone();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (recorded.method.as_str(), &segments[..]) {
            ("POST", ["v1", "transfers"]) => self.make(&recorded).await,
            ("POST", ["v1", "transfers", ..]) => {
                self.once(&recorded, |book| change(book, &segments[2..], &recorded.form))
            }
            ("GET", ["v1", "transfers"]) => answer(200, self.book().list(&recorded.query).to_string()),
            ("GET", ["v1", "transfers", id]) => match self.book().find(id) {
                Some(transfer) => answer(200, transfer.to_string()),
                None => refused(missing("transfer")),
            },
            ("GET", ["v1", "accounts", id]) => match self.book().accounts.get(*id) {
                Some(account) => answer(200, account.to_string()),
                None => {
                    let message = format!("The provided key does not have access to account '{id}'");
                    refused((403, "invalid_request_error", Some("account_invalid"), None, message))
                }
            },
            _ => refused((404, "invalid_request_error", None, None, format!("Unrecognized request URL ({path})"))),
        }
    }

    /// A transfer, with what befalls it.
    async fn make(&self, request: &Recorded) -> Response {
        let fault = self.book().faults.pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::RateLimit => {
                return refused((429, "invalid_request_error", Some("rate_limit"), None, "Too many".to_owned()));
            }
            Fault::Unauthorized => {
                return refused((401, "invalid_request_error", Some("api_key_expired"), None, "Expired".to_owned()));
            }
            Fault::LockTimeout => {
                return refused((409, "invalid_request_error", Some("lock_timeout"), None, "Locked".to_owned()));
            }
            Fault::Redirect => {
                let elsewhere = answer(307, String::new());
                return elsewhere.with_header("location", "/v1/transfers");
            }
            _ => {}
        }
        if let Err(refusal) = Book::validate(&request.form) {
            return refused(refusal);
        }
        let key = request.headers.get("idempotency-key");
        if let Some(key) = key {
            let claimed = self.claim(key, request);
            if let Some(answered) = claimed {
                return answered;
            }
        }
        if fault == Fault::Slow {
            tokio::time::sleep(SLOW).await;
        }
        let (status, body) = match fault {
            Fault::ErrorInstead => refusal((500, "api_error", None, None, "An error occurred".to_owned())),
            _ => match self.book().transfer(&request.form) {
                Ok(_) if fault == Fault::ErrorAfterwards => {
                    refusal((500, "api_error", None, None, "An error occurred".to_owned()))
                }
                Ok(mut transfer) => {
                    match fault {
                        Fault::OtherAmount => {
                            transfer["amount"] = json!(transfer["amount"].as_i64().expect("a number") + 1);
                        }
                        Fault::OtherAccount => transfer["destination"] = json!("acct_other"),
                        Fault::OtherPayment => transfer["metadata"]["wire_ref"] = json!("OTHER"),
                        _ => {}
                    }
                    (200, transfer.to_string())
                }
                Err(error) => refusal(error),
            },
        };
        if let Some(key) = key {
            self.book().keys.keep(key, status, &body);
        }
        match fault {
            Fault::SilenceAfterwards => {
                tokio::time::sleep(SILENCE).await;
                answer(status, body)
            }
            Fault::HalfAnAnswer => {
                let half = body[..body.len() / 2].to_owned();
                let parts = [Ok(half), Err(io::Error::other("the line broke"))];
                Response::builder().body(Body::from_bytes_stream(stream::iter(parts)))
            }
            Fault::EndlessAnswer => answer(status, format!("{}{body}", " ".repeat(2 * 1024 * 1024))),
            Fault::Garbage => answer(200, "<html>please wait</html>".to_owned()),
            _ if status >= 500 => answer(status, body).with_header("stripe-should-retry", "false"),
            _ => answer(status, body),
        }
    }

    /// What is kept under the key, if anything.
    fn claim(&self, key: &str, request: &Recorded) -> Option<Response> {
        if key.len() > 255 {
            let message = "Idempotency keys can be at most 255 characters.".to_owned();
            return Some(refused((400, "invalid_request_error", None, None, message)));
        }
        let of = Fingerprint { path: request.path.clone(), params: request.form.clone() };
        match self.book().keys.claim(key, &of) {
            Found::First => None,
            Found::Answered(status, body) => {
                let again = answer(status, body).with_header("idempotent-replayed", "true");
                Some(if status >= 500 { again.with_header("stripe-should-retry", "false") } else { again })
            }
            Found::InUse => {
                let message =
                    "There is currently another in-progress request using this Stripe-Idempotent-Key".to_owned();
                Some(refused((409, "idempotency_error", Some("idempotency_key_in_use"), None, message)))
            }
            Found::Other => {
                let message = "Keys for idempotent requests can only be used with the same parameters they were first \
                               used with."
                    .to_owned();
                Some(refused((400, "idempotency_error", None, None, message)))
            }
        }
    }

    /// Another change, under its key if it has one.
    fn once(&self, request: &Recorded, change: impl FnOnce(&mut Book) -> Result<Value, Refusal>) -> Response {
        let key = request.headers.get("idempotency-key");
        if let Some(answered) = key.and_then(|key| self.claim(key, request)) {
            return answered;
        }
        let mut book = self.book();
        let (status, body) = match change(&mut book) {
            Ok(value) => (200, value.to_string()),
            Err(error) => refusal(error),
        };
        if let Some(key) = key {
            book.keys.keep(key, status, &body);
        }
        answer(status, body)
    }
}

trait WithHeader {
    fn with_header(self, name: &'static str, value: &'static str) -> Self;
}
impl WithHeader for Response {
    fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers_mut().insert(name, value.parse().expect("a header"));
        self
    }
}

/// A reversal of a transfer, or an edit of it.
fn change(book: &mut Book, path: &[&str], form: &BTreeMap<String, String>) -> Result<Value, Refusal> {
    match path {
        [id, "reversals"] => book.reverse(id, form.get("amount").and_then(|amount| amount.parse().ok())),
        [id] => {
            let mut metadata = book.find(id).ok_or_else(|| missing("transfer"))?["metadata"].clone();
            for (name, value) in form {
                if let Some(name) = name.strip_prefix("metadata[").and_then(|name| name.strip_suffix(']')) {
                    metadata[name] = json!(value);
                }
            }
            book.edit(id, metadata).ok_or_else(|| missing("transfer"))
        }
        _ => Err(missing("page")),
    }
}
