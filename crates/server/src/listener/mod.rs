//! Where connections come from: so many at once, and none for longer than it is used.
//!
//! The framework's own server waits for ever for a head that comes slowly, so connections are accepted here and served
//! by hyper; the framework sees requests only.
//!
//! * [`connection`]: one connection from its first byte to its last
//! * [`pulse`]: when it is over, because nothing happens on it
//! * [`socket`]: a socket that tells the pulse whether the peer reads what it is sent
//! * [`body`]: the body of a request, which has to come in time
//! * [`tls`]: what is spoken above TLS, if there is a certificate

mod body;
mod connection;
mod pulse;
mod socket;
mod tls;

pub use tls::{Tls, TlsError};

use connection::Door;
use poem::{Endpoint, Response};
use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinSet,
};

/// So many callers may knock at once and wait to be let in: the system turns others away, and they knock again a second
/// later. It has a limit of its own, too (`net.core.somaxconn`).
const BACKLOG: u32 = 1_024;
/// How long nobody is accepted after accepting failed, as it does when the process may open no further file.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// What a caller may take of the process.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. Whoever comes when all are taken waits in the queue of the system.
    pub connections_max: usize,
    /// How long the body of a request may take to come. A large one has [more](body).
    pub body_max: Duration,
}

/// A port that is listened at, and nobody served yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    limits: Limits,
    tls: Option<Tls>,
}

impl Listener {
    /// Listens; to TLS and nothing else, if there is a certificate.
    ///
    /// # Errors
    /// If that address cannot be listened at.
    pub async fn bind(address: SocketAddr, limits: Limits, tls: Option<Tls>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // What was served at this address a moment ago is no reason to refuse it.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, limits, tls })
    }

    /// Where it listens: with the port that the system chose, if that was left to it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is stopped, then lets nobody in, finishes what is in flight, and breaks off what takes longer
    /// than `grace`.
    pub async fn serve<E>(self, endpoint: E, stopped: watch::Receiver<bool>, grace: Duration)
    where
        E: Endpoint<Output = Response> + 'static,
    {
        let Self { socket, address, limits, tls } = self;
        let door = Arc::new(Door::new(endpoint, address, limits.body_max, tls));
        let mut until_stopped = pin!(told_to_stop(stopped.clone()));
        let mut connections = JoinSet::new();
        let mut is_told_full = false;
        loop {
            let taken = connections.len();
            if taken >= limits.connections_max && !is_told_full {
                tracing::warn!(connections = taken, "all connections are taken; others wait");
            }
            // Told anew only after it was quiet in between.
            is_told_full = taken >= limits.connections_max || is_told_full && taken > limits.connections_max / 2;
            tokio::select! {
                () = &mut until_stopped => break,
                Some(_) = connections.join_next() => {}
                accepted = socket.accept(), if taken < limits.connections_max => match accepted {
                    Ok((peer, from)) => {
                        connections.spawn(Arc::clone(&door).serve(peer, from, stopped.clone()));
                    }
                    Err(error) if is_of_one_peer(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(socket);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all_ended).await.is_err() {
            connections.shutdown().await;
        }
    }
}

/// Comes back when somebody says that it is time to stop, or nobody can any more.
async fn told_to_stop(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// The peer went away before it was let in. The next one is another.
fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests;
