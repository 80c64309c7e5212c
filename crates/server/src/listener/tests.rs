//! Connections as a peer has them, on a small endpoint.

use super::*;
use poem::{
    Body, IntoResponse, Request,
    endpoint::{BoxEndpoint, EndpointExt, make},
    error::ReadBodyError,
};
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// How long a thing may take that should be done at once.
const PATIENCE: Duration = Duration::from_secs(20);

struct Served {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

/// What is asked by `GET /slow` is answered after two seconds; of a body is told how long it is.
fn endpoint() -> BoxEndpoint<'static, Response> {
    make(|mut request: Request| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let answer = match request.take_body().into_bytes_limit(1 << 20).await {
            Ok(body) => body.len().to_string(),
            Err(ReadBodyError::Io(error)) => format!("{:?}", error.kind()),
            Err(error) => error.to_string(),
        };
        Ok::<_, poem::Error>(Body::from(answer).into_response())
    })
    .boxed()
}

async fn serve(connections_max: usize, grace: Duration) -> Served {
    let limits = Limits { connections_max, body_max: Duration::from_secs(1) };
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), limits, None).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    Served { address: listener.address(), stop, serving: tokio::spawn(listener.serve(endpoint(), stopped, grace)) }
}

impl Served {
    async fn connect(&self, said: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        stream
    }

    async fn stopped(self) -> Duration {
        let asked = Instant::now();
        self.stop.send(true).unwrap();
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap();
        asked.elapsed()
    }
}

/// Everything that comes until the server hangs up.
async fn heard(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server hangs up");
    // Whoever hangs up with something unread resets the connection.
    let _ = read;
    String::from_utf8_lossy(&bytes).into_owned()
}

const ASK: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_is_answered() {
    let served = serve(4, PATIENCE).await;
    let answer = heard(&mut served.connect(ASK).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n0"), "{answer}");
    assert!(served.stopped().await < Duration::from_secs(2));
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_breaks_off() {
    let served = serve(4, PATIENCE).await;
    for head in ["content-length: 10", "transfer-encoding: chunked"] {
        let asked = Instant::now();
        let mut slow = served.connect(&format!("POST / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n1")).await;
        let answer = heard(&mut slow).await;
        assert!(answer.ends_with("TimedOut"), "{answer}");
        assert!(asked.elapsed() >= Duration::from_secs(1) && asked.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_large_body_has_more_time() {
    let served = serve(4, PATIENCE).await;
    let mut slow =
        served.connect("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 262145\r\n\r\n").await;
    slow.write_all(&vec![b'x'; 256 << 10]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    slow.write_all(b"x").await.unwrap();
    let answer = heard(&mut slow).await;
    assert!(answer.ends_with("\r\n\r\n262145"), "{answer}");
}

#[tokio::test]
async fn when_all_connections_are_taken_the_next_one_waits_for_its_turn() {
    let served = serve(2, PATIENCE).await;
    let (first, mut second) = (served.connect("").await, served.connect("GET / HTTP/1.1\r\n").await);
    let mut third = served.connect(ASK).await;
    let mut nothing = [0];
    let early = tokio::time::timeout(Duration::from_millis(300), third.read(&mut nothing)).await;
    assert!(early.is_err(), "it is served although there is no place");
    drop(first);
    assert!(heard(&mut third).await.starts_with("HTTP/1.1 200 "));
    second.write_all(b"host: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(heard(&mut second).await.starts_with("HTTP/1.1 200 "), "the others keep theirs");
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_nobody_new_is_let_in() {
    let served = serve(4, PATIENCE).await;
    let mut slow = served.connect("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut idle = served.connect("").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let address = served.address;
    let stopping = tokio::spawn(served.stopped());
    assert_eq!(heard(&mut idle).await, "", "who asks for nothing is let go at once");
    assert!(TcpStream::connect(address).await.is_err());
    assert!(heard(&mut slow).await.starts_with("HTTP/1.1 200 "));
    assert!(stopping.await.unwrap() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_takes_longer_than_the_grace_is_broken_off() {
    let served = serve(4, Duration::from_millis(200)).await;
    let mut slow = served.connect("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(served.stopped().await < Duration::from_millis(1_500));
    assert_eq!(heard(&mut slow).await, "");
}
