//! One request to a server, repeated as long as that helps.

use super::{columns, failure::BulkError, release::RowFault};
use reqwest::{Response, header, redirect::Policy};
use serde_json::Value;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

const PATH: &str = "/revenue/schedule-payouts";
/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries: at first, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What became of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was booked now.
    Scheduled,
    /// The same request was booked before.
    AlreadyThere,
    /// The server will not have it, ever.
    Refused(Vec<RowFault>),
}

/// A server.
pub(super) struct Client {
    client: reqwest::Client,
    url: String,
    token: String,
    patience: Duration,
    repeated: AtomicU64,
}

/// What an answer means.
enum Meaning {
    Done(Sent),
    /// The same request may be taken later; not before that, if the server says so.
    Later {
        why: String,
        not_before: Option<Duration>,
    },
    /// So will all others fail.
    Hopeless(BulkError),
}

impl Client {
    pub(super) fn new(url: &str, token: String, patience: Duration) -> Result<Self, BulkError> {
        let plain = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        if plain.is_none_or(str::is_empty) {
            let text =
                format!("{url}: a server is named by http://HOST:PORT; for https, send through a proxy beside it");
            return Err(BulkError::Usage(text));
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| BulkError::Failed(error.to_string()))?;
        let url = format!("{}{PATH}", url.trim_end_matches('/'));
        Ok(Self { client, url, token, patience, repeated: AtomicU64::new(0) })
    }

    /// How often a request was repeated.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Sends until there is an answer that stands.
    pub(super) async fn send(&self, body: String) -> Result<Sent, BulkError> {
        let began = Instant::now();
        let mut pause_max = PAUSE;
        loop {
            let (why, not_before) = match self.once(body.clone()).await {
                Meaning::Done(sent) => return Ok(sent),
                Meaning::Hopeless(error) => return Err(error),
                Meaning::Later { why, not_before } => (why, not_before),
            };
            // Full jitter: requests that failed together do not come back together.
            let pause = not_before.unwrap_or_default() + pause_max.mul_f64(rand::random());
            if began.elapsed() + pause > self.patience {
                let text = format!("{} did not take a request for {:?}: {why}", self.url, self.patience);
                return Err(BulkError::Unreachable(text));
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            pause_max = (pause_max * 2).min(PAUSE_MAX);
        }
    }

    async fn once(&self, body: String) -> Meaning {
        let request = self.client.post(&self.url).bearer_auth(&self.token);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        let later = |error: reqwest::Error| Meaning::Later { why: chain(&error), not_before: None };
        match request.send().await {
            Ok(answer) => self.meaning(answer).await.unwrap_or_else(later),
            Err(error) if error.is_builder() => Meaning::Hopeless(BulkError::Usage(chain(&error))),
            Err(error) => later(error),
        }
    }

    async fn meaning(&self, answer: Response) -> Result<Meaning, reqwest::Error> {
        let status = answer.status().as_u16();
        let seconds = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let text = answer.bytes().await?;
        let body: Value = serde_json::from_slice(&text).unwrap_or_default();
        let error = &body["error"];
        let code = error["code"].as_str().unwrap_or("unknown");
        let said = || format!("{status} {code}: {}", error["message"].as_str().unwrap_or("no message"));
        Ok(match (status, code) {
            (201, _) => Meaning::Done(Sent::Scheduled),
            (409, "already_scheduled") if error["existing"]["requestMatches"] == true => {
                Meaning::Done(Sent::AlreadyThere)
            }
            (409 | 422, _) | (404, "project_not_found") => Meaning::Done(Sent::Refused(faults(error))),
            (401 | 403, _) => {
                Meaning::Hopeless(BulkError::Unauthorized(format!("the server refuses the token: {}", said())))
            }
            (408 | 429 | 500..=599, _) => Meaning::Later { why: said(), not_before: seconds.map(Duration::from_secs) },
            _ => Meaning::Hopeless(BulkError::Failed(format!("{} answered {}", self.url, said()))),
        })
    }
}

/// What the server said, column by column where it said which.
fn faults(error: &Value) -> Vec<RowFault> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    let fault = |detail: &Value| {
        let name = detail["field"].as_str().and_then(|field| field.split('/').nth(1)).unwrap_or_default();
        let column = columns::known().find(|known| *known == name).unwrap_or_default();
        RowFault::new(column, text(&detail["code"]), text(&detail["message"]))
    };
    if details.is_empty() {
        let batch = error["existing"]["batchId"].as_str().map(|batch| format!(" ({batch})")).unwrap_or_default();
        return vec![RowFault::new("", text(&error["code"]), format!("{}{batch}", text(&error["message"])))];
    }
    details.iter().map(fault).collect()
}

/// An error with what it came from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::{Arc, Mutex};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// A server that gives these answers, one a connection, and keeps what it was asked.
    async fn server(answers: Vec<(u16, &'static str, Value)>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            for (status, headers, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 64 * 1024];
                let read = stream.read(&mut bytes).await.unwrap();
                seen.lock().unwrap().push(String::from_utf8_lossy(&bytes[..read]).into_owned());
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        });
        (url, asked)
    }
    fn client(url: &str, patience: u64) -> Client {
        Client::new(url, "t0ken".to_owned(), Duration::from_millis(patience)).unwrap()
    }
    fn error(code: &str, more: Value) -> Value {
        let mut error = json!({ "code": code, "message": "so it is" });
        error.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "error": error })
    }

    #[tokio::test]
    async fn booked_now_and_booked_before_are_both_done() {
        let there = |matches: bool| {
            error("already_scheduled", json!({"existing": {"batchId": "batch_1", "requestMatches": matches}}))
        };
        let (url, asked) = server(vec![(201, "", json!({})), (409, "", there(true)), (409, "", there(false))]).await;
        let client = client(&url, 1_000);
        assert_eq!(client.send("{}".to_owned()).await.unwrap(), Sent::Scheduled);
        assert_eq!(client.send("{}".to_owned()).await.unwrap(), Sent::AlreadyThere);
        let refused = Sent::Refused(vec![RowFault::new("", "already_scheduled", "so it is (batch_1)")]);
        assert_eq!(client.send("{}".to_owned()).await.unwrap(), refused);
        let asked = asked.lock().unwrap();
        assert!(
            asked[0].starts_with("POST /revenue/schedule-payouts ") && asked[0].contains("Bearer t0ken"),
            "{}",
            asked[0]
        );
    }

    #[tokio::test]
    async fn a_refusal_says_which_column() {
        let details = json!({"details": [
            {"code": "currency_mismatch", "field": "/currency", "message": "m"},
            {"code": "no_lines", "field": "/steps/0", "message": "n"},
        ]});
        let (url, _) =
            server(vec![(422, "", error("split_invalid", details)), (404, "", error("project_not_found", json!({})))])
                .await;
        let client = client(&url, 1_000);
        let faults = vec![RowFault::new("currency", "currency_mismatch", "m"), RowFault::new("", "no_lines", "n")];
        assert_eq!(client.send("{}".to_owned()).await.unwrap(), Sent::Refused(faults));
        let faults = vec![RowFault::new("", "project_not_found", "so it is")];
        assert_eq!(client.send("{}".to_owned()).await.unwrap(), Sent::Refused(faults));
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again_but_not_before_it_said() {
        let busy = || error("unavailable", json!({}));
        let (url, asked) =
            server(vec![(503, "Retry-After: 1\r\n", busy()), (503, "", busy()), (201, "", json!({}))]).await;
        let client = client(&url, 10_000);
        let began = Instant::now();
        assert_eq!(client.send("{}".to_owned()).await.unwrap(), Sent::Scheduled);
        assert!(began.elapsed() >= Duration::from_secs(1));
        assert_eq!((asked.lock().unwrap().len(), client.repeated()), (3, 2));
    }

    #[tokio::test]
    async fn patience_has_an_end_and_a_wrong_token_none_at_all() {
        let gone = client("http://127.0.0.1:9", 300).send("{}".to_owned()).await.unwrap_err();
        assert!(
            matches!(&gone, BulkError::Unreachable(text) if text.contains("did not take a request for 300ms")),
            "{gone}"
        );
        let (url, _) =
            server(vec![(401, "", error("unauthenticated", json!({}))), (404, "", error("not_found", json!({})))])
                .await;
        let client = client(&url, 1_000);
        assert!(matches!(client.send("{}".to_owned()).await, Err(BulkError::Unauthorized(_))));
        assert!(matches!(client.send("{}".to_owned()).await, Err(BulkError::Failed(_))));
        for url in ["https://x", "127.0.0.1:8080", "http://"] {
            assert!(Client::new(url, String::new(), Duration::ZERO).is_err(), "{url}");
        }
    }
}
