//! Stands between a service and its PostgreSQL, reads along, and cuts the connection at the COMMIT of a transaction:
//! before the server hears of it, or after it has committed and before anybody is told.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

/// What a transaction is about, by what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writes {
    /// A batch: somebody releases.
    Release,
    /// An instruction: what is sent next.
    Intent,
    /// What became of an instruction.
    Outcome,
}

/// On which side of the commit it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// The server never hears of it.
    Before,
    /// It is committed, and the answer is swallowed.
    After,
}

/// A way to a PostgreSQL server that breaks where it is told to. It ends with the runtime it was made in.
#[derive(Clone)]
pub struct CommitCutter {
    shared: Arc<Shared>,
    url: String,
}

struct Shared {
    server: String,
    /// How the next commits of each kind are cut; nothing means that one passes.
    orders: Mutex<BTreeMap<Writes, VecDeque<Option<Cut>>>>,
    made: Mutex<BTreeMap<(Writes, Cut), usize>>,
}

/// What one session has said.
#[derive(Default)]
struct Session {
    started: bool,
    /// What each prepared statement writes.
    statements: HashMap<Vec<u8>, Writes>,
    /// What the transaction has written so far: of several, the first in order.
    wrote: Option<Writes>,
    /// Between BEGIN and its end. A statement outside is a transaction by itself.
    is_begun: bool,
}

impl CommitCutter {
    /// To the server of that URL.
    pub async fn to(url: &str) -> Self {
        let (server, listener, url) = in_between(url).await;
        let shared = Arc::new(Shared { server, orders: Mutex::default(), made: Mutex::default() });
        let cutter = Self { shared: Arc::clone(&shared), url };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(Arc::clone(&shared), client));
            }
        });
        cutter
    }

    /// The same database, over this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Orders how the next commits of that kind are cut, behind what was ordered before.
    pub fn order(&self, kind: Writes, cuts: impl IntoIterator<Item = Option<Cut>>) {
        lock(&self.shared.orders).entry(kind).or_default().extend(cuts);
    }

    /// How often each was cut.
    pub fn made(&self) -> BTreeMap<(Writes, Cut), usize> {
        lock(&self.shared.made).clone()
    }
}

/// The address of the server of a URL, a listener in between, and the URL of the same database over that.
pub async fn in_between(url: &str) -> (String, TcpListener, String) {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (authority, path) = rest.split_once('/').expect("a database");
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let server = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let at = if user.is_empty() { String::new() } else { format!("{user}@") };
    let url = format!("{scheme}://{at}127.0.0.1:{port}/{path}");
    (server, listener, url)
}

impl Shared {
    /// Whether this commit is to be cut.
    fn next(&self, kind: Option<Writes>) -> Option<Cut> {
        let kind = kind?;
        let cut = lock(&self.orders).get_mut(&kind)?.pop_front()??;
        *lock(&self.made).entry((kind, cut)).or_default() += 1;
        Some(cut)
    }
}

async fn pass_on(shared: Arc<Shared>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(&shared.server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (is_swallowing, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let back = tokio::spawn(answers(from_server, to_client, Arc::clone(&is_swallowing), Arc::clone(&answered)));
    questions(&shared, from_client, to_server, &is_swallowing, &answered).await;
    // Both sides are closed with their halves.
    back.abort();
}

/// What the server says goes back, until an answer is to be swallowed: then nothing does, and it is told that one came.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_swallowing: Arc<AtomicBool>, came: Arc<Notify>) {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let Ok(length @ 1..) = from.read(&mut bytes).await else {
            came.notify_one();
            return;
        };
        if is_swallowing.load(SeqCst) {
            came.notify_one();
            continue;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

/// What the client says goes on, message by message, until it is cut or ends.
async fn questions(
    shared: &Shared,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_swallowing: &AtomicBool,
    answered: &Notify,
) {
    let (mut session, mut heard) = (Session::default(), Vec::new());
    let mut bytes = vec![0; 1 << 16];
    loop {
        let Ok(length @ 1..) = from.read(&mut bytes).await else { return };
        heard.extend_from_slice(&bytes[..length]);
        while let Some(message) = session.next_message(&mut heard) {
            let cut = if session.hears(&message) { shared.next(session.wrote.take()) } else { None };
            if cut == Some(Cut::Before) {
                return;
            }
            // A client that commits has heard every answer before, and what a statement by itself answers is sent with
            // its commit: what comes next is the answer to this.
            is_swallowing.store(cut == Some(Cut::After), SeqCst);
            if to.write_all(&message).await.is_err() {
                return;
            }
            if cut == Some(Cut::After) {
                answered.notified().await;
                return;
            }
        }
    }
}

impl Session {
    /// Takes the next message off, once it is whole. The first ones have no type.
    fn next_message(&mut self, heard: &mut Vec<u8>) -> Option<Vec<u8>> {
        let head = usize::from(self.started);
        let length: [u8; 4] = heard.get(head..head + 4)?.try_into().ok()?;
        let length = head + usize::try_from(u32::from_be_bytes(length)).ok()?;
        if heard.len() < length {
            return None;
        }
        let rest = heard.split_off(length);
        let message = std::mem::replace(heard, rest);
        if !self.started {
            // Requests for encryption come before, and are answered with one letter.
            let code = message.get(4..8).map_or(0, |code| u32::from_be_bytes(code.try_into().unwrap_or_default()));
            self.started = !matches!(code, 80_877_103 | 80_877_104);
            return Some(message);
        }
        Some(message)
    }

    /// Follows what is written. Answers whether this commits it.
    fn hears(&mut self, message: &[u8]) -> bool {
        let Some((kind, rest)) = message.split_first() else { return false };
        let mut texts = rest.get(4..).unwrap_or_default().split(|byte| *byte == 0);
        match kind {
            b'Q' => {
                let said = upper(texts.next().unwrap_or_default());
                let word = said.trim_end_matches(';').trim();
                if word.starts_with("BEGIN") || word == "ROLLBACK" {
                    self.wrote = None;
                }
                if word.starts_with("BEGIN") || word == "ROLLBACK" || word == "COMMIT" {
                    self.is_begun = word.starts_with("BEGIN");
                }
                return word == "COMMIT";
            }
            // Sync: what was written outside of a transaction is committed.
            b'S' => return !self.is_begun && self.wrote.is_some(),
            // Parse: a name, and what it is.
            b'P' => {
                let (name, text) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
                self.statements.remove(name);
                if let Some(writes) = writes(&upper(text)) {
                    self.statements.insert(name.to_owned(), writes);
                }
            }
            // Bind: a portal, and the name of what was prepared.
            b'B' => {
                let (_, name) = (texts.next(), texts.next().unwrap_or_default());
                if let Some(writes) = self.statements.get(name) {
                    self.wrote = Some(self.wrote.map_or(*writes, |wrote| wrote.min(*writes)));
                }
            }
            _ => {}
        }
        false
    }
}

fn upper(text: &[u8]) -> String {
    String::from_utf8_lossy(text).to_uppercase()
}

fn writes(statement: &str) -> Option<Writes> {
    let known = [
        ("INSERT INTO \"BATCHES\"", Writes::Release),
        ("INSERT INTO \"INSTRUCTIONS\"", Writes::Intent),
        ("UPDATE INSTRUCTION_ITEMS", Writes::Outcome),
    ];
    known.into_iter().find(|(text, _)| statement.contains(text)).map(|(_, writes)| writes)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
