//! The way to a simulator that is a process of its own: plain HTTP, no redirects, no proxy, answers of a bounded size.

use super::{
    link::{CALL_MAX, Called, Down},
    provider::{
        api::{Answered, Recalled, Saying, TransferView},
        http::{
            CALLS, FaultBody, INVALID, KEY, KEY_REUSED, NOT_FOUND, NOT_RECALLABLE, REPLAY_WINDOW, SettingsBody,
            UNREACHABLE, code_in,
        },
    },
};
use app::ports::rail::{Fault, NewFault, SimulatorSettings, TransferStatus};
use domain::timestamp::Timestamp;
use reqwest::{
    Client, Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// How long until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A client of a simulator.
#[derive(Clone)]
pub(super) struct Remote {
    client: Client,
    url: String,
    /// As the last answer said.
    settings: Arc<RwLock<SimulatorSettings>>,
}

/// The address of the simulator cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It is none.
    #[error("the address of the simulator must be `http://HOST:PORT`")]
    Address,
    /// There can be no client.
    #[error("there can be no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// An answer that was read to its end.
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Down> {
        serde_json::from_slice(&self.body).map_err(|error| Down(format!("the answer cannot be read: {error}")))
    }
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
    /// Whether it is that refusal, and of the simulator, not of whoever else listens there.
    fn is(&self, status: u16, code: &str) -> bool {
        self.status == status && code_in(&self.json()) == Some(code)
    }
    fn header<T: std::str::FromStr>(&self, name: impl reqwest::header::AsHeaderName) -> Option<T> {
        self.headers.get(name)?.to_str().ok()?.parse().ok()
    }
    fn unexpected(&self) -> Down {
        match code_in(&self.json()) {
            Some(code) => Down(format!("HTTP {} {code}", self.status)),
            None => Down(format!("HTTP {}", self.status)),
        }
    }
}

/// A call without an answer.
enum Failed {
    /// It never left.
    NotSent(String),
    /// It may have arrived or not.
    Lost(String),
}

impl From<Failed> for Down {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotSent(cause) | Failed::Lost(cause) => Self(cause),
        }
    }
}

#[derive(Deserialize)]
struct Data<T> {
    data: Vec<T>,
}

impl Remote {
    pub(super) fn to(url: &str) -> Result<Self, ConnectError> {
        let parsed = reqwest::Url::parse(url).map_err(|_| ConnectError::Address)?;
        let is_plain = parsed.scheme() == "http" && parsed.host().is_some() && parsed.query().is_none();
        if !is_plain || !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(ConnectError::Address);
        }
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_MAX)
            .timeout(CALL_MAX)
            .build()?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), settings: Arc::default() })
    }

    pub(super) fn known_settings(&self) -> SimulatorSettings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    async fn call(&self, request: RequestBuilder) -> Result<Got, Failed> {
        let mut answer = request.send().await.map_err(|error| {
            let cause = causes(&error);
            // No connection ever stood, so nothing was sent.
            if error.is_connect() || error.is_builder() { Failed::NotSent(cause) } else { Failed::Lost(cause) }
        })?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| Failed::Lost(causes(&error)))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Failed::Lost("the answer is too large".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        let got = Got { status, headers, body };
        if let Some(calls_per_second_max) = got.header(CALLS) {
            let replay_window = got.header(REPLAY_WINDOW).map(Duration::from_secs);
            let settings = SimulatorSettings { replay_window, calls_per_second_max };
            *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        }
        Ok(got)
    }

    pub(super) async fn transfer(&self, key: &str, body: &[u8]) -> Called {
        let request =
            self.request(Method::POST, "/transfers").header(KEY, key).header(CONTENT_TYPE, "application/json");
        let got = match self.call(request.body(body.to_vec())).await {
            Ok(got) => got,
            Err(Failed::NotSent(cause)) => return Called::NotSent(cause),
            Err(Failed::Lost(cause)) => return Called::Lost(cause),
        };
        let answered = if got.status == 200 {
            match got.read::<TransferView>() {
                Ok(transfer) => Answered::Transfer(Box::new(transfer)),
                Err(Down(cause)) => return Called::Lost(cause),
            }
        } else if got.status == 429 {
            Answered::RateLimited(Duration::from_secs(got.header(RETRY_AFTER).unwrap_or(1)))
        } else if got.is(409, KEY_REUSED) {
            Answered::KeyUsedWithAnotherBody
        } else if got.is(400, INVALID) {
            Answered::Invalid(got.json()["error"]["message"].as_str().unwrap_or_default().to_owned())
        } else if got.is(503, UNREACHABLE) {
            Answered::Unreachable
        } else {
            // Whatever else it is, it does not say that nothing happened.
            return Called::Lost(got.unexpected().0);
        };
        Called::Answered(answered)
    }

    pub(super) async fn find(&self, key: &str) -> Result<Vec<TransferView>, Down> {
        let got = self.call(self.request(Method::GET, &format!("/transfers/{key}"))).await?;
        if got.is(404, NOT_FOUND) {
            return Ok(Vec::new());
        }
        self.data(&got)
    }

    pub(super) async fn recall(&self, key: &str) -> Result<Recalled, Down> {
        let got = self.call(self.request(Method::POST, &format!("/transfers/{key}/recall"))).await?;
        if got.status == 200 && got.json()["status"] == "recalled" {
            return Ok(Recalled::Yes);
        }
        if got.is(404, NOT_FOUND) {
            return Ok(Recalled::NotFound);
        }
        if got.is(409, NOT_RECALLABLE)
            && let Some(status) = got.json()["error"]["message"].as_str().and_then(|word| word.parse().ok())
        {
            let status: TransferStatus = status;
            return Ok(Recalled::TooLate(status));
        }
        Err(got.unexpected())
    }

    pub(super) async fn transfers(
        &self,
        after: Option<&str>,
        limit: u32,
        newest: bool,
    ) -> Result<Vec<TransferView>, Down> {
        let mut path = format!("/transfers?limit={limit}");
        if newest {
            path.push_str("&order=newest");
        }
        if let Some(after) = after.filter(|after| !after.is_empty()) {
            path.push_str(&format!("&after={after}"));
        }
        let got = self.call(self.request(Method::GET, &path)).await?;
        self.data(&got)
    }

    pub(super) async fn said_since(
        &self,
        since: Timestamp,
        after: Option<(Timestamp, String)>,
        limit: u32,
    ) -> Result<Vec<Saying>, Down> {
        let mut path = format!("/events?limit={limit}&since={since}");
        if let Some((at, id)) = after {
            path.push_str(&format!("&after={}.{id}", at.unix_micros()));
        }
        let got = self.call(self.request(Method::GET, &path)).await?;
        self.data(&got)
    }

    fn data<T: DeserializeOwned>(&self, got: &Got) -> Result<Vec<T>, Down> {
        if got.status == 200 { Ok(got.read::<Data<T>>()?.data) } else { Err(got.unexpected()) }
    }

    pub(super) async fn must_act(&self, details: &BTreeMap<String, String>) -> Result<Option<String>, Down> {
        let got = self.call(self.request(Method::POST, "/preflight").json(details)).await?;
        if got.status != 200 {
            return Err(got.unexpected());
        }
        Ok(got.read::<MustAct>()?.must_act)
    }

    pub(super) async fn set_fault(&self, fault: NewFault) -> Result<Fault, Down> {
        let got = self.call(self.request(Method::POST, "/faults").json(&FaultBody::new(fault))).await?;
        if got.status != 201 {
            return Err(got.unexpected());
        }
        let fault = got.read::<FaultBody>()?.live();
        fault.ok_or_else(|| Down("the fault cannot be read".to_owned()))
    }

    pub(super) async fn faults(&self) -> Result<Vec<Fault>, Down> {
        let got = self.call(self.request(Method::GET, "/faults")).await?;
        Ok(self.data::<FaultBody>(&got)?.into_iter().filter_map(FaultBody::live).collect())
    }

    pub(super) async fn clear_faults(&self, id: Option<String>) -> Result<u64, Down> {
        let path = id.map_or_else(|| "/faults".to_owned(), |id| format!("/faults/{id}"));
        let got = self.call(self.request(Method::DELETE, &path)).await?;
        if got.status == 200 { Ok(got.json()["cleared"].as_u64().unwrap_or_default()) } else { Err(got.unexpected()) }
    }

    pub(super) async fn settings(&self) -> Result<SimulatorSettings, Down> {
        let got = self.call(self.request(Method::GET, "/settings")).await?;
        if got.status == 200 { Ok(got.read::<SettingsBody>()?.into()) } else { Err(got.unexpected()) }
    }

    pub(super) async fn change_settings(&self, settings: SimulatorSettings) -> Result<(), Down> {
        let got = self.call(self.request(Method::PUT, "/settings").json(&SettingsBody::of(settings))).await?;
        if got.status == 200 { Ok(()) } else { Err(got.unexpected()) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MustAct {
    must_act: Option<String>,
}

/// What it says and why: the outermost error alone says only that something failed.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
