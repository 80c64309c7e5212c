//! The provider over HTTP, without a server: a request comes in as values, and what is to be answered goes out as
//! values. Whoever serves it turns one into the other.
//!
//! | request | answer |
//! |---|---|
//! | `POST /transfers` with `Idempotency-Key` | 200 the transfer, 400, 409, 429, 500 |
//! | `GET /transfers/{key}` | 200 `{data}`, 404 |
//! | `POST /transfers/{key}/recall` | 200, 404, 409 |
//! | `GET /transfers?after=&limit=` | 200 `{data}`, oldest first; with `order=newest` newest first |
//! | `GET /events?since=&after=&limit=` | 200 `{data}`, oldest first |
//! | `POST /preflight` | 200 `{mustAct?}` |
//! | `POST`, `GET`, `DELETE /faults`, `DELETE /faults/{id}` | how it is told to misbehave |
//! | `GET`, `PUT /settings` | what it is like |
//! | `POST /test/clock/advance` | 204 |
//! | `GET /healthz` | 200 |

use super::{
    Provider, Trouble,
    api::{Answered, PAGE_MAX, Recalled},
    book::{Book, BookError},
    clock::BookClock,
};
use app::ports::{
    Clock, Ids,
    rail::{Behaviour, Conduct, Fault, NewFault, SimulatorSettings, parse_span, show_span},
};
use domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// The header with the key of an order.
pub(crate) const KEY: &str = "idempotency-key";
/// The header of every answer that says how long keys are remembered, in seconds; missing if for ever.
pub(crate) const REPLAY_WINDOW: &str = "simulator-replay-window";
/// The header of every answer that says how many calls it takes in a second.
pub(crate) const CALLS: &str = "simulator-calls-per-second";
/// The code of an answer that stands for a connection that is refused: a server cannot refuse one call and take the next.
pub(crate) const UNREACHABLE: &str = "connection_refused";
/// The code of an answer about a transfer that does not exist.
pub(crate) const NOT_FOUND: &str = "transfer_not_found";
/// The code of an answer to a recall that comes too late.
pub(crate) const NOT_RECALLABLE: &str = "not_recallable";
/// The code of an answer to a key that was used with another body.
pub(crate) const KEY_REUSED: &str = "idempotency_error";
/// The code of an answer to an order that cannot be read.
pub(crate) const INVALID: &str = "invalid_request";

/// A request, as values.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    /// `GET`, `POST`, ...
    pub method: &'a str,
    /// The path, percent-encoded as it came.
    pub path: &'a str,
    /// What stands behind the question mark.
    pub query: &'a str,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAnswer {
    /// This.
    Answer {
        /// The status.
        status: u16,
        /// Headers beside `content-type`, which is JSON if there is a body.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Nothing: the caller is to wait in vain.
    Silence,
}

/// A provider that is a process of its own. Cheap to clone.
#[derive(Clone)]
pub struct SimulatorHttp {
    provider: Provider,
    clock: BookClock,
}

impl SimulatorHttp {
    /// Opens the book in that file, or starts one. Its clock is the machine's, and a test may move it on. Without a
    /// secret, notifications are signed with the one that the book was made with.
    ///
    /// # Errors
    /// If the book cannot be used.
    pub async fn open(file: &Path, ids: Arc<dyn Ids>, secret: Option<Vec<u8>>) -> Result<Self, BookError> {
        let book = Book::open(file).await?;
        let clock = BookClock::of(book.clone());
        let by_book: Arc<dyn Clock> = Arc::new(clock.clone());
        Ok(Self { provider: Provider::over(book, ids, by_book, secret).await?, clock })
    }

    /// The provider behind it.
    pub fn provider(&self) -> Provider {
        self.provider.clone()
    }

    /// Answers a request.
    pub async fn answer(&self, request: HttpRequest<'_>) -> HttpAnswer {
        let mut reply = match self.route(request).await {
            Ok(Some(reply)) => reply,
            Ok(None) => return HttpAnswer::Silence,
            Err(trouble) => refusal(503, code_of(&trouble), &trouble.to_string()),
        };
        let settings = self.provider.known_settings();
        reply.headers.push((CALLS, settings.calls_per_second_max.to_string()));
        reply.headers.extend(settings.replay_window.map(|window| (REPLAY_WINDOW, window.as_secs().to_string())));
        let Reply { status, headers, body } = reply;
        HttpAnswer::Answer { status, headers, body }
    }

    async fn route(&self, request: HttpRequest<'_>) -> Result<Option<Reply>, Trouble> {
        let provider = &self.provider;
        let query = read_query(request.query);
        let of = |name: &str| query.get(name).map(String::as_str);
        let limit = of("limit").and_then(|text| text.parse().ok()).unwrap_or(100).clamp(1, PAGE_MAX);
        let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let reply = match (request.method, parts.as_slice()) {
            ("GET", ["healthz"]) => ok(&json!({ "status": "ok" })),
            ("POST", ["transfers"]) => return Ok(self.transfer(request).await),
            ("GET", ["transfers"]) => {
                let found = match of("order") {
                    Some("newest") => provider.newest_first(of("after"), limit).await?,
                    _ => provider.oldest_first(of("after").unwrap_or_default(), limit).await?,
                };
                ok(&json!({ "data": found }))
            }
            ("GET", ["transfers", key]) => match provider.find(&decoded(key)).await? {
                found if found.is_empty() => refusal(404, NOT_FOUND, "nothing came under this key"),
                found => ok(&json!({ "data": found })),
            },
            ("POST", ["transfers", key, "recall"]) => match provider.recall(&decoded(key)).await? {
                Recalled::Yes => ok(&json!({ "status": "recalled" })),
                Recalled::TooLate(status) => refusal(409, NOT_RECALLABLE, status.as_str()),
                Recalled::NotFound => refusal(404, NOT_FOUND, "nothing came under this key"),
            },
            ("GET", ["events"]) => {
                let since = of("since").and_then(|text| text.parse().ok()).unwrap_or(Timestamp::MIN);
                let after = of("after").map(read_cursor);
                match after {
                    Some(None) => refusal(400, INVALID, "the cursor is none"),
                    after => ok(&json!({ "data": provider.said_since(since, after.flatten(), limit).await? })),
                }
            }
            ("POST", ["preflight"]) => match serde_json::from_slice::<BTreeMap<String, String>>(request.body) {
                Ok(details) => ok(&json!({ "mustAct": provider.must_act(&details).await? })),
                Err(error) => refusal(400, INVALID, &error.to_string()),
            },
            ("GET", ["faults"]) => {
                let faults: Vec<FaultBody> = provider.faults().await?.iter().map(FaultBody::of).collect();
                ok(&json!({ "data": faults }))
            }
            ("POST", ["faults"]) => match read_fault(request.body) {
                Ok(fault) => with(201, &FaultBody::of(&provider.set_fault(fault).await?)),
                Err(why) => refusal(422, INVALID, &why),
            },
            ("DELETE", ["faults"]) => ok(&json!({ "cleared": provider.clear_faults(None).await? })),
            ("DELETE", ["faults", id]) => {
                ok(&json!({ "cleared": provider.clear_faults(Some((*id).to_owned())).await? }))
            }
            ("GET", ["settings"]) => ok(&SettingsBody::of(provider.settings().await?)),
            ("PUT", ["settings"]) => match serde_json::from_slice::<SettingsBody>(request.body) {
                Ok(settings) => {
                    provider.change_settings(settings.into()).await?;
                    ok(&SettingsBody::of(provider.settings().await?))
                }
                Err(error) => refusal(422, INVALID, &error.to_string()),
            },
            ("POST", ["test", "clock", "advance"]) => match serde_json::from_slice::<Advance>(request.body) {
                Ok(Advance { seconds }) => {
                    self.clock.advance(Duration::from_secs(seconds)).await?;
                    Reply { status: 204, headers: Vec::new(), body: Vec::new() }
                }
                Err(error) => refusal(422, INVALID, &error.to_string()),
            },
            _ => refusal(404, "not_found", "there is nothing here"),
        };
        Ok(Some(reply))
    }

    async fn transfer(&self, request: HttpRequest<'_>) -> Option<Reply> {
        let key = request.idempotency_key.filter(|key| (1..=255).contains(&key.len()));
        let Some(key) = key else { return Some(refusal(400, INVALID, "an Idempotency-Key of 1 to 255 characters")) };
        Some(match self.provider.transfer(key, request.body).await {
            Ok(Answered::Transfer(transfer)) => ok(&transfer),
            Ok(Answered::KeyUsedWithAnotherBody) => refusal(409, KEY_REUSED, "the key was used with another body"),
            Ok(Answered::Invalid(why)) => refusal(400, INVALID, &why),
            Ok(Answered::RateLimited(wait)) => {
                let mut reply = refusal(429, "rate_limited", "too many calls");
                reply.headers.push(("retry-after", wait.as_secs().max(1).to_string()));
                reply
            }
            Ok(Answered::Broken) => refusal(500, "internal_error", "something went wrong"),
            Ok(Answered::Unreachable) => refusal(503, UNREACHABLE, "this stands for a connection that is refused"),
            Ok(Answered::Silence) => return None,
            Err(why) => refusal(500, "internal_error", &why),
        })
    }
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn ok(body: &impl Serialize) -> Reply {
    with(200, body)
}

fn with(status: u16, body: &impl Serialize) -> Reply {
    match serde_json::to_vec(body) {
        Ok(body) => Reply { status, headers: Vec::new(), body },
        Err(error) => refusal(500, "internal_error", &error.to_string()),
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({ "error": { "code": code, "message": message } }).to_string().into_bytes();
    Reply { status, headers: Vec::new(), body }
}

fn code_of(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Unreachable => UNREACHABLE,
        Trouble::Silent => "cannot_tell",
        Trouble::Book(_) => "internal_error",
    }
}

/// Names and values; the last of several wins.
fn read_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                plain.push(escaped);
                at += 3;
            }
            None => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The cursor behind a saying: when it was, and its name.
pub(crate) fn cursor_of(said: &super::api::Saying) -> String {
    format!("{}.{}", said.created.unix_micros(), said.id)
}

pub(crate) fn read_cursor(text: &str) -> Option<(Timestamp, String)> {
    let (at, id) = text.split_once('.')?;
    Some((Timestamp::from_unix_micros(at.parse().ok()?), id.to_owned()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u64,
}

/// Settings on the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SettingsBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replay_window_seconds: Option<u64>,
    #[serde(default = "calls_usual")]
    calls_per_second_max: u32,
}

fn calls_usual() -> u32 {
    SimulatorSettings::default().calls_per_second_max
}

impl SettingsBody {
    pub(crate) fn of(settings: SimulatorSettings) -> Self {
        let SimulatorSettings { replay_window, calls_per_second_max } = settings;
        Self { replay_window_seconds: replay_window.map(|window| window.as_secs()), calls_per_second_max }
    }
}
impl From<SettingsBody> for SimulatorSettings {
    fn from(body: SettingsBody) -> Self {
        let SettingsBody { replay_window_seconds, calls_per_second_max } = body;
        Self { replay_window: replay_window_seconds.map(Duration::from_secs), calls_per_second_max }
    }
}

/// A fault on the wire, set or to be set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FaultBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    behaviour: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
    /// How many calls it happens to, or still happens to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returned: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
}

impl FaultBody {
    pub(crate) fn of(fault: &Fault) -> Self {
        let Fault { id, conduct, recipient, times_left, created_at } = fault.clone();
        let body = Self::new(NewFault { conduct, recipient, times: times_left });
        Self { id: Some(id), created_at: Some(created_at), ..body }
    }

    pub(crate) fn new(fault: NewFault) -> Self {
        let NewFault { conduct, recipient, times } = fault;
        let Conduct { behaviour, code, after, returned_minor, amount_minor, retry_after } = conduct;
        Self {
            id: None,
            behaviour: behaviour.as_str().to_owned(),
            recipient,
            times,
            code,
            after: after.map(show_span),
            returned: returned_minor,
            amount: amount_minor,
            retry_after: retry_after.map(show_span),
            created_at: None,
        }
    }

    fn fault(self) -> Result<NewFault, String> {
        let span = |name: &str, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_span(&text).map(Some).ok_or_else(|| format!("/{name} must be a span such as `30s`")),
        };
        let known = || Behaviour::ALL.map(Behaviour::as_str).join(", ");
        let conduct = Conduct {
            behaviour: self.behaviour.parse().map_err(|_| format!("/behaviour must be one of {}", known()))?,
            code: self.code,
            after: span("after", self.after)?,
            returned_minor: self.returned,
            amount_minor: self.amount,
            retry_after: span("retryAfter", self.retry_after)?,
        };
        Ok(NewFault { conduct, recipient: self.recipient, times: self.times })
    }

    /// A fault that is switched on.
    pub(crate) fn live(self) -> Option<Fault> {
        let (id, created_at) = (self.id.clone()?, self.created_at?);
        let NewFault { conduct, recipient, times } = self.fault().ok()?;
        Some(Fault { id, conduct, recipient, times_left: times, created_at })
    }
}

fn read_fault(body: &[u8]) -> Result<NewFault, String> {
    let body: FaultBody = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let fault = body.fault()?;
    let faults = fault.conduct.faults();
    if faults.is_empty() {
        return Ok(fault);
    }
    let told: Vec<String> = faults.into_iter().map(|fault| format!("{} {}", fault.field, fault.message)).collect();
    Err(told.join("; "))
}

/// The code of a refusal.
pub(crate) fn code_in(body: &Value) -> Option<&str> {
    body["error"]["code"].as_str()
}
