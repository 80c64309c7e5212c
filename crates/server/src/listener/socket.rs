//! A socket that tells whether its peer reads what it is sent.

use super::pulse::Pulse;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

/// The socket of a connection, with its pulse.
pub(super) struct Socket {
    stream: TcpStream,
    pulse: Arc<Pulse>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse }
    }

    fn told<T>(&self, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match sent {
            Poll::Pending => self.pulse.has_to_wait(Instant::now()),
            Poll::Ready(_) => self.pulse.goes_on(Instant::now()),
        }
        sent
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.told(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.told(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // A TCP stream keeps nothing back: what was written is with the system.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pulse::UNREAD_MAX;
    use super::*;
    use std::time::Duration;
    use tokio::{io::AsyncWriteExt, net::TcpListener, time::timeout};

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_noticed_and_one_that_goes_on_is_forgiven() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let pulse = Arc::new(Pulse::new(Instant::now()));
        let mut socket = Socket::new(listener.accept().await.unwrap().0, Arc::clone(&pulse));
        let _request = pulse.request();
        let is_over = || pulse.is_over(Instant::now() + UNREAD_MAX);

        socket.write_all(b"an answer").await.unwrap();
        assert!(!is_over(), "it fits");
        let much = vec![0; 64 << 20];
        assert!(timeout(Duration::from_millis(200), socket.write_all(&much)).await.is_err());
        assert!(is_over());
        // To the end: what fitted between the two may not fit a second time, when the machine has much else to carry.
        let reading = tokio::spawn(async move { tokio::io::copy(&mut peer, &mut tokio::io::sink()).await });
        socket.write_all(&much[..16 << 20]).await.unwrap();
        assert!(!is_over());
        drop(socket);
        assert!(reading.await.unwrap().unwrap() >= 16 << 20);
    }
}
