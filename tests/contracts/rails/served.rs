//! The provider over real HTTP in the test's process, and whoever it notifies.

use adapters::rails::simulator::provider::{HttpAnswer, HttpRequest, SimulatorHttp};
use app::ports::rail::Inbound;
use domain::timestamp::Timestamp;
use poem::{
    Body, Endpoint, Request, Response, Server,
    endpoint::make,
    http::StatusCode,
    listener::{Acceptor, Listener, TcpListener},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinHandle;

/// A server on a port of its own. It ends with this value.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    pub(super) async fn start(endpoint: impl Endpoint + 'static) -> Self {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = *acceptor.local_addr()[0].as_socket_addr().unwrap();
        let task = tokio::spawn(async move {
            Server::new_with_acceptor(acceptor).run(endpoint).await.unwrap();
        });
        Self { address, task }
    }
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The provider's answers as HTTP.
pub(super) fn provider(http: SimulatorHttp) -> impl Endpoint {
    make(move |mut request: Request| {
        let http = http.clone();
        async move {
            let body = request.take_body().into_bytes_limit(1 << 20).await?;
            let key = request.headers().get("idempotency-key").and_then(|value| value.to_str().ok());
            let answer = http.answer(HttpRequest {
                method: request.method().as_str(),
                path: request.uri().path(),
                query: request.uri().query().unwrap_or_default(),
                idempotency_key: key,
                body: &body,
            });
            match answer.await {
                HttpAnswer::Answer { status, headers, body } => {
                    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
                    for (name, value) in headers {
                        response = response.header(name, value);
                    }
                    Ok::<_, poem::Error>(response.body(body))
                }
                HttpAnswer::Silence => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    Ok(StatusCode::GATEWAY_TIMEOUT.into())
                }
            }
        }
    })
}

/// Always the same answer.
pub(super) fn always(status: u16, body: Vec<u8>) -> impl Endpoint {
    let body = Arc::new(body);
    make(move |_: Request| {
        let body = body.clone();
        async move {
            let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
            Ok::<_, poem::Error>(response.body(Body::from(body.to_vec())))
        }
    })
}

/// Sends everybody on to another server.
pub(super) fn redirect(url: String) -> impl Endpoint {
    make(move |request: Request| {
        let location = format!("{url}{}", request.uri().path());
        async move {
            let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT);
            Ok::<_, poem::Error>(response.header("location", location).finish())
        }
    })
}

/// What came in, and how many are still refused before one is taken.
#[derive(Clone, Default)]
pub(super) struct Inbox {
    pub(super) taken: Arc<Mutex<Vec<Inbound>>>,
    pub(super) refuse: Arc<Mutex<u32>>,
}

/// Takes what it is told, as the service does.
pub(super) fn receiver(inbox: Inbox) -> impl Endpoint {
    make(move |mut request: Request| {
        let inbox = inbox.clone();
        async move {
            let body = request.take_body().into_bytes().await?.to_vec();
            {
                let mut refuse = inbox.refuse.lock().unwrap();
                if *refuse > 0 {
                    *refuse -= 1;
                    return Ok::<_, poem::Error>(StatusCode::SERVICE_UNAVAILABLE);
                }
            }
            let header = |(name, value): (&poem::http::HeaderName, &poem::http::HeaderValue)| {
                (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
            };
            let headers = request.headers().iter().map(header).collect();
            inbox.taken.lock().unwrap().push(Inbound { headers, body, received_at: Timestamp::from_unix_micros(0) });
            Ok(StatusCode::NO_CONTENT)
        }
    })
}
