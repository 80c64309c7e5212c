//! One connection from its first byte to its last.

use super::{
    body,
    pulse::{Pulse, Request},
    socket::Socket,
    tls::Tls,
    told_to_stop,
};
use bytes::Bytes;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use poem::{
    Addr, Endpoint, Response,
    http::{self, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};

/// Bytes of a head at most, and of what is read ahead.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Requests that one HTTP/2 connection may have under way.
const STREAMS_MAX: u32 = 64;
/// Bytes of the headers of one HTTP/2 request.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// Requests that an HTTP/2 peer may take back before anybody has looked at them.
const RESETS_MAX: usize = 20;
/// How often an HTTP/2 peer with requests under way is asked whether it is still there, and how soon it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How long a connection that is over has to say so.
const FAREWELL: Duration = Duration::from_millis(500);

/// What all connections have in common.
pub(super) struct Door<E> {
    endpoint: E,
    address: SocketAddr,
    body_max: Duration,
    http: Builder<TokioExecutor>,
    tls: Option<Tls>,
}

impl<E: Endpoint<Output = Response> + 'static> Door<E> {
    pub(super) fn new(endpoint: E, address: SocketAddr, body_max: Duration, tls: Option<Tls>) -> Self {
        let mut http = Builder::new(TokioExecutor::new());
        http.http1().max_buf_size(HEAD_BYTES_MAX);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_header_list_size(HEADERS_BYTES_MAX);
        Self { endpoint, address, body_max, http, tls }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(self: Arc<Self>, peer: TcpStream, from: SocketAddr, stopped: watch::Receiver<bool>) {
        // An answer is written whole: there is nothing to wait for.
        let _ = peer.set_nodelay(true);
        let pulse = Arc::new(Pulse::new(Instant::now()));
        let socket = Socket::new(peer, Arc::clone(&pulse));
        let Some(tls) = &self.tls else {
            return self.talk(socket, Scheme::HTTP, from, &pulse, stopped).await;
        };
        let shaken = tokio::select! {
            shaken = tls.accept(socket) => shaken,
            () = told_to_stop(stopped.clone()) => return,
            () = pulse.over() => return,
        };
        match shaken {
            Ok(stream) => self.talk(stream, Scheme::HTTPS, from, &pulse, stopped).await,
            Err(error) => tracing::debug!(%from, %error, "a peer does not shake hands"),
        }
    }

    async fn talk<S>(
        self: &Arc<Self>,
        stream: S,
        scheme: Scheme,
        from: SocketAddr,
        pulse: &Arc<Pulse>,
        stopped: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let (door, scheme, under_way) = (Arc::clone(self), scheme.clone(), pulse.request());
            async move { Ok::<_, Infallible>(door.answer(request, scheme, from, under_way).await) }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = connection.as_mut() => return,
            () = told_to_stop(stopped) => {}
            () = pulse.over() => {}
        }
        connection.as_mut().graceful_shutdown();
        // A request that came at the last moment is served.
        while timeout(FAREWELL, connection.as_mut()).await.is_err() && !pulse.is_over(Instant::now()) {}
    }

    async fn answer(
        &self,
        request: http::Request<Incoming>,
        scheme: Scheme,
        from: SocketAddr,
        under_way: Request,
    ) -> http::Response<Answer<impl Body<Data = Bytes, Error = io::Error> + use<E>>> {
        let (local, remote) = (LocalAddr(Addr::SocketAddr(self.address)), RemoteAddr(Addr::SocketAddr(from)));
        let mut request = poem::Request::from((request, local, remote, scheme));
        let body = body::in_time(request.take_body(), self.body_max);
        request.set_body(body);
        let answer = http::Response::from(self.endpoint.get_response(request).await);
        answer.map(|body| Answer { body, _under_way: under_way })
    }
}

/// The body of an answer. When it has gone, the request has ended.
struct Answer<B> {
    body: B,
    _under_way: Request,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
