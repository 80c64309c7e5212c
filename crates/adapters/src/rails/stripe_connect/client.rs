//! Calls to Stripe: one at a time, bounded in time and size, without proxies and without following anybody elsewhere.

use super::{
    profile::{API_VERSION, CONNECT_MAX},
    secret::Secret,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Method, Request, Uri,
    body::{Body, Frame, Incoming, SizeHint},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

/// More than this is no answer of Stripe's.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Connections that nobody used for so long are given up before Stripe does.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// More than this is no pause but a rail that is gone; the gate has its own bounds.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Who calls, as Stripe's log shows it.
const AGENT: &str = concat!("disburse/", env!("CARGO_PKG_VERSION"));

/// Calls Stripe with one key. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Sending>,
    base: String,
    authorization: HeaderValue,
}

/// What Stripe answered, whatever it was.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// `Stripe-Should-Retry`: whether the same call may be answered otherwise later.
    pub(super) should_retry: Option<bool>,
    /// `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// `Request-Id`: the name of the call in Stripe's log.
    pub(super) request: String,
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silence {
    /// The request was never complete on the wire: nobody can have carried it out.
    #[error("the call did not leave: {0}")]
    NotSent(String),
    /// Nobody knows.
    #[error("no answer: {0}")]
    Unclear(String),
}

/// Why calls cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("`{0}` is no address of an API: `https://...`, or `http://` on this machine")]
    Base(String),
    #[error("the key cannot stand in a header")]
    Key,
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl Client {
    pub(super) fn try_new(base: &str, key: &Secret) -> Result<Self, ClientError> {
        let (base, is_plain) = checked_base(base).ok_or_else(|| ClientError::Base(base.to_owned()))?;
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| ClientError::Key)?;
        authorization.set_sensitive(true);
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_MAX));
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let schemes = if is_plain { tls.https_or_http() } else { tls.https_only() };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(schemes.enable_http1().wrap_connector(http));
        Ok(Self { pool, base, authorization })
    }

    /// Asks for something. The query is already encoded.
    pub(super) async fn get(&self, path: &str, query: &str, patience: Duration) -> Result<Reply, Silence> {
        let question = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        self.call(Method::GET, &question, None, patience).await
    }

    /// Posts a form under an idempotency key.
    pub(super) async fn post(
        &self,
        path: &str,
        form: Vec<u8>,
        key: &str,
        patience: Duration,
    ) -> Result<Reply, Silence> {
        self.call(Method::POST, path, Some((form, key)), patience).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        form: Option<(Vec<u8>, &str)>,
        patience: Duration,
    ) -> Result<Reply, Silence> {
        let not_sent = |error: &dyn Error| Silence::NotSent(whole(error));
        let uri = Uri::try_from(format!("{}{path}", self.base)).map_err(|error| not_sent(&error))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(AUTHORIZATION, &self.authorization)
            .header("stripe-version", API_VERSION)
            .header(USER_AGENT, AGENT);
        let left = Arc::new(AtomicBool::new(false));
        let mut bytes = Bytes::new();
        if let Some((form, key)) = form {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").header("idempotency-key", key);
            bytes = Bytes::from(form);
        }
        let sending = Sending { bytes: Some(bytes), left: left.clone() };
        let request = request.body(sending).map_err(|error| not_sent(&error))?;
        let answered = tokio::time::timeout(patience, self.answer(request)).await;
        let silence = match answered {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(why)) => why,
            Err(_) => format!("after {} ms", patience.as_millis()),
        };
        // Whoever did not get the whole form cannot have carried it out.
        Err(if left.load(Ordering::SeqCst) { Silence::Unclear(silence) } else { Silence::NotSent(silence) })
    }

    async fn answer(&self, request: Request<Sending>) -> Result<Reply, String> {
        let response = self.pool.request(request).await.map_err(|error| whole(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers();
        let (should_retry, retry_after) = (should_retry(headers), retry_after(headers));
        let request = text(headers, "request-id").unwrap_or_default().to_owned();
        let body = read(response.into_body()).await?;
        Ok(Reply { status, body, should_retry, retry_after, request })
    }
}

async fn read(body: Incoming) -> Result<Vec<u8>, String> {
    let whole_body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    whole_body.map(|body| body.to_bytes().to_vec()).map_err(|error| whole(&*error))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match text(headers, "stripe-should-retry")? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// An error with what caused it.
fn whole(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

/// The base without a slash at its end, and whether it is not encrypted. That is taken only where nobody listens.
fn checked_base(text: &str) -> Option<(String, bool)> {
    let base = text.trim().trim_end_matches('/');
    let uri: Uri = base.parse().ok()?;
    let authority = uri.authority()?;
    let is_plain = match uri.scheme_str()? {
        "https" => false,
        "http" if ["127.0.0.1", "localhost", "[::1]"].contains(&authority.host()) => true,
        _ => return None,
    };
    let is_base = uri.query().is_none() && !authority.as_str().contains('@') && !base.contains('#');
    is_base.then(|| (base.to_owned(), is_plain))
}

/// A body that notices whether it was taken to be sent.
struct Sending {
    bytes: Option<Bytes>,
    left: Arc<AtomicBool>,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.left.store(true, Ordering::SeqCst);
        Poll::Ready(self.bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
    }
    fn is_end_stream(&self) -> bool {
        self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_called_in_the_clear() {
        let base = |text: &str| checked_base(text);
        assert_eq!(base("https://api.stripe.com"), Some(("https://api.stripe.com".to_owned(), false)));
        assert_eq!(base("http://127.0.0.1:12111/ "), Some(("http://127.0.0.1:12111".to_owned(), true)));
        assert_eq!(base("http://[::1]:1"), Some(("http://[::1]:1".to_owned(), true)));
        for wrong in [
            "",
            "api.stripe.com",
            "http://api.stripe.com",
            "ftp://127.0.0.1",
            "https://u:p@api.stripe.com",
            "http://127.0.0.1.example.com",
            "https://api.stripe.com?x=1",
            "https://api.stripe.com#x",
        ] {
            assert_eq!(base(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn headers_that_say_nothing_are_passed_over() {
        let mut headers = HeaderMap::new();
        assert_eq!((should_retry(&headers), retry_after(&headers)), (None, None));
        headers.insert("stripe-should-retry", HeaderValue::from_static("perhaps"));
        headers.insert("retry-after", HeaderValue::from_static("Wed, 21 Oct 2026 07:28:00 GMT"));
        assert_eq!((should_retry(&headers), retry_after(&headers)), (None, None));
        headers.insert("stripe-should-retry", HeaderValue::from_static("false"));
        headers.insert("retry-after", HeaderValue::from_static("86400"));
        assert_eq!((should_retry(&headers), retry_after(&headers)), (Some(false), Some(RETRY_AFTER_MAX)));
    }

    #[tokio::test]
    async fn a_call_to_where_nobody_listens_did_not_leave() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::try_new(&base, &Secret::new("sk_test_1")).unwrap();
        let silence = client.post("/v1/transfers", b"a=b".to_vec(), "k", Duration::from_secs(2)).await.unwrap_err();
        assert!(matches!(silence, Silence::NotSent(_)), "{silence}");
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_after_the_form_leaves_doubt() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client =
            Client::try_new(&format!("http://{}", listener.local_addr().unwrap()), &Secret::new("sk_test_1")).unwrap();
        let call = client.post("/v1/transfers", b"a=b".to_vec(), "k", Duration::from_millis(300));
        let (silence, _held) = tokio::join!(call, listener.accept());
        assert!(matches!(silence, Err(Silence::Unclear(_))), "{silence:?}");
    }

    #[tokio::test]
    async fn a_handshake_that_never_ends_did_not_send_the_form() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let client = Client::try_new(&base, &Secret::new("sk_test_1")).unwrap();
        let call = client.post("/v1/transfers", b"a=b".to_vec(), "k", Duration::from_millis(300));
        let (silence, _held) = tokio::join!(call, listener.accept());
        assert!(matches!(silence, Err(Silence::NotSent(_))), "{silence:?}");
    }
}
