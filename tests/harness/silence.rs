//! Stands between a service and its PostgreSQL, and falls silent: as if the machine of the database had stopped, and
//! another one had its address from then on.

use super::commit_cutter::in_between;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A way to a PostgreSQL server. It ends with the runtime it was made in.
pub struct Silence {
    /// How often it fell silent.
    times: Arc<AtomicU32>,
    url: String,
}

impl Silence {
    /// To the server of that URL.
    pub async fn to(url: &str) -> Self {
        let (server, listener, url) = in_between(url).await;
        let times = Arc::<AtomicU32>::default();
        tokio::spawn(accept(listener, server, Arc::clone(&times)));
        Self { times, url }
    }

    /// The same database, over this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing passes over the connections that there are. They stay open. New ones are as new.
    pub fn fall_silent(&self) {
        self.times.fetch_add(1, SeqCst);
    }
}

async fn accept(listener: TcpListener, server: String, times: Arc<AtomicU32>) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, times) = (server.clone(), Arc::clone(&times));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else { return };
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            let born = times.load(SeqCst);
            let passes = move || times.load(SeqCst) == born;
            tokio::join!(pass_on(from_client, to_server, passes.clone()), pass_on(from_server, to_client, passes));
        });
    }
}

async fn pass_on(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, passes: impl Fn() -> bool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if passes() && to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
