//! The service as a caller sees it: verbs, not requests.

use super::{
    answer::Answer,
    home::{Engine, Home, SECRET},
    process::{PATIENCE, Process, Ran},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    ops::Deref,
    process::ExitStatus,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// The end of the year 9999: test tokens do not expire, and no test reads a clock for them.
pub const NEVER: u64 = 253_402_300_799;

/// A deployment: the real server over a database of its own.
pub struct World {
    server: Mutex<Option<Process>>,
    /// Where the server listens; another place after a restart.
    url: Mutex<String>,
    options: Vec<&'static str>,
    client: reqwest::Client,
    home: Option<Home>,
}

/// One that several sentences look at; it goes with the last of them.
pub struct Shared(Arc<World>);

static SHARED: LazyLock<Shelf> = LazyLock::new(Mutex::default);
type Shelf = Mutex<HashMap<(&'static str, Engine), Arc<tokio::sync::Mutex<Weak<World>>>>>;

impl World {
    /// A server with the worker inside, over an empty database.
    pub async fn new(engine: Engine) -> Self {
        Self::with_options(engine, &[]).await
    }

    /// A server with these options, over an empty database.
    pub async fn with_options(engine: Engine, options: &[&'static str]) -> Self {
        Self::in_home(Home::new(engine).await, options).await
    }

    /// A server in a home that is there already.
    pub async fn in_home(home: Home, options: &[&'static str]) -> Self {
        let world = Self::asleep(home, options);
        world.start().await;
        world
    }

    /// One whose server was not started yet.
    pub fn asleep(home: Home, options: &[&'static str]) -> Self {
        // Without connections that idle: the sentences that share a world run on runtimes of their own.
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build();
        Self {
            server: Mutex::new(None),
            url: Mutex::default(),
            options: options.to_vec(),
            client: client.expect("an HTTP client"),
            home: Some(home),
        }
    }

    /// The server that all sentences of a theme share. They must not count on being alone.
    pub async fn shared(theme: &'static str, engine: Engine) -> Shared {
        let slot = Arc::clone(lock(&SHARED).entry((theme, engine)).or_default());
        let mut slot = slot.lock().await;
        if let Some(world) = slot.upgrade() {
            return Shared(world);
        }
        let world = Arc::new(Self::new(engine).await);
        *slot = Arc::downgrade(&world);
        Shared(world)
    }

    /// Where it lives.
    pub fn home(&self) -> &Home {
        self.home.as_ref().expect("a world has a home")
    }

    /// Ends it, but not the home.
    pub fn into_home(mut self) -> Home {
        self.kill();
        self.home.take().expect("a world has a home")
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        lock(&self.url).clone()
    }

    // --- its life -------------------------------------------------------------------------------------------

    /// Starts the server, and waits until it is ready.
    pub async fn start(&self) {
        self.start_with(&[]).await;
        if let Some((status, said)) = self.ended() {
            panic!("the server ended with {status} before it served:\n{said}");
        }
        self.get("/readyz").await.with(200);
    }

    /// Starts the server with these variables, and waits until it serves. It may have ended by then.
    pub async fn start_with(&self, variables: &[(&str, &str)]) {
        let arguments: Vec<&str> = std::iter::once("serve").chain(self.options.iter().copied()).collect();
        let mut command = self.home().command(&arguments);
        command.envs(variables.iter().copied());
        let mut server = Process::start(command, self.home().log());
        if let Ok(serving) = server.says_or_ends("serving").await {
            *lock(&self.url) = serving["url"].as_str().expect("the server says where").to_owned();
        }
        *lock(&self.server) = Some(server);
    }

    /// How the server ended, and what it said, if it did.
    pub fn ended(&self) -> Option<(ExitStatus, String)> {
        let mut server = lock(&self.server);
        let server = server.as_mut()?;
        server.ended().map(|status| (status, server.said()))
    }

    /// Ends the server at once, wherever it stands.
    pub fn kill(&self) {
        if let Some(mut server) = lock(&self.server).take() {
            server.kill();
        }
    }

    /// Asks the server to stop, which it does, and well.
    pub async fn stop(&self) {
        let server = lock(&self.server).take();
        let mut server = server.expect("there is a server to be stopped");
        let status = server.stop().await;
        assert!(status.success(), "the server stopped with {status}:\n{}", server.said());
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        lock(&self.server).as_ref().expect("a server").id()
    }

    /// The server's resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        lock(&self.server).as_ref().expect("a server").resident_bytes()
    }

    /// `disburse verify`.
    pub async fn verify(&self) -> Ran {
        self.home().run(&["verify"]).await
    }

    // --- what one can say to it -----------------------------------------------------------------------------

    /// A token of that role.
    pub fn token(&self, role: &str) -> String {
        signed(&json!({ "sub": "usr_test", "role": role, "exp": NEVER }))
    }

    /// A request with nothing but what is said here.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url()))
    }

    /// Sends a request, which has to be answered.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends a request that may find nobody.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let (client, request) = request.build_split();
        let request = request?;
        let asked = format!("{} {}", request.method(), request.url());
        Answer::of(asked, client.execute(request).await?).await
    }

    /// Reads, as an admin.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).bearer_auth(self.token("admin"))).await
    }

    /// Posts, as the system.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).bearer_auth(self.token("system")).json(body)).await
    }

    /// Puts, as an admin.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).bearer_auth(self.token("admin")).json(body)).await
    }

    /// Stores a new version of a project's model.
    pub async fn publish_model(&self, project: &str, model: &Value) -> Value {
        self.put(&format!("/projects/{project}/revenue-model"), model).await.with(201)
    }

    /// Registers a recipient.
    pub async fn register(&self, recipient: &str, about: &Value) -> Value {
        self.put(&format!("/recipients/{recipient}"), about).await.with(201)
    }

    /// Asks for the payouts of a release.
    pub async fn schedule(&self, release: &Value) -> Answer {
        self.schedule_at(&self.url(), release).await
    }

    /// Asks another server of this home for the payouts of a release.
    pub async fn schedule_at(&self, url: &str, release: &Value) -> Answer {
        let request = self.client.post(format!("{url}/revenue/schedule-payouts"));
        self.send(request.bearer_auth(self.token("system")).json(release)).await
    }

    /// Many releases for a server of this home, one a line. There is time for as many as one call takes.
    pub fn lines_to(&self, url: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = self.client.post(format!("{url}/revenue/schedule-payouts/bulk")).timeout(10 * PATIENCE);
        let request = request.bearer_auth(self.token("system")).header("content-type", "application/x-ndjson");
        request.body(body)
    }

    /// Asks for the payouts of many releases, one a line.
    pub async fn schedule_lines(&self, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.lines_to(&self.url(), body)).await
    }

    /// Schedules a release, and answers the id of its batch.
    pub async fn scheduled(&self, release: &Value) -> String {
        text(&self.schedule(release).await.with(201), "batchId")
    }

    // --- what one can learn from it -------------------------------------------------------------------------

    /// A batch with its items, attempts and timeline.
    pub async fn batch(&self, batch: &str) -> Value {
        self.get(&format!("/payouts/batches/{batch}")).await.with(200)
    }

    /// The batch, once nothing of it is on its way any more.
    pub async fn settled(&self, batch: &str) -> Value {
        self.settled_by(batch, Instant::now() + PATIENCE).await
    }

    /// The same, which must be before then.
    pub async fn settled_by(&self, batch: &str, deadline: Instant) -> Value {
        let is_settled = |batch: &Value| !matches!(text(batch, "status").as_str(), "scheduled" | "processing");
        self.once(&format!("/payouts/batches/{batch}"), deadline, is_settled).await
    }

    /// The batch, once it is as it should be.
    pub async fn batch_once(&self, batch: &str, good: impl Fn(&Value) -> bool) -> Value {
        self.once(&format!("/payouts/batches/{batch}"), Instant::now() + PATIENCE, good).await
    }

    /// What is to be read there, once it is as it should be, which must be before then.
    pub async fn once(&self, path: &str, deadline: Instant, good: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let found = self.get(path).await.with(200);
            if good(&found) {
                return found;
            }
            assert!(Instant::now() < deadline, "after {:?} {path} is still {found:#}", started.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every entry of a list, page by page.
    pub async fn all(&self, path: &str, id: &str) -> Vec<Value> {
        self.all_by(path, id, 100).await
    }

    /// Every entry of a list, in pages of so many.
    pub async fn all_by(&self, path: &str, id: &str, limit: usize) -> Vec<Value> {
        let mut found: Vec<Value> = Vec::new();
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let after = found.last().map(|last| format!("&starting_after={}", plain(&last[id])));
            let page = self.get(&format!("{path}{mark}limit={limit}{}", after.unwrap_or_default())).await.with(200);
            let rows = page["data"].as_array().expect("a page has data").clone();
            let more = page["has_more"].as_bool().expect("a page says whether there are more");
            assert!(rows.len() == limit || !more, "{path}: a page of {} with more behind it", rows.len());
            found.extend(rows);
            if !more {
                return found;
            }
        }
    }

    /// The simulator's own book, oldest first.
    pub async fn transfers(&self) -> Vec<Value> {
        let mut transfers = self.all("/simulator/transfers", "id").await;
        transfers.reverse();
        transfers
    }

    /// What was published about a batch, oldest first, once there is at least so much.
    pub async fn events(&self, batch: &str, at_least: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut events = self.all(&format!("/events?batchId={batch}"), "eventId").await;
            events.reverse();
            if events.len() >= at_least {
                return events;
            }
            assert!(Instant::now() < deadline, "after {PATIENCE:?} only {events:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every check and every balance.
    pub async fn trial_balance(&self) -> Value {
        self.get("/ledger/trial-balance").await.with(200)
    }

    /// The books balance: every check there is, and there are some.
    pub async fn assert_books_balanced(&self) {
        assert_balanced(&self.trial_balance().await);
    }

    /// The books balance, once what the provider did a moment ago is told and taken.
    pub async fn assert_books_balance_soon(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let trial = self.trial_balance().await;
            if trial["balanced"] == true || Instant::now() > deadline {
                return assert_balanced(&trial);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Debits less credits of an account.
    pub async fn balance(&self, account: &str, currency: &str) -> i64 {
        let trial = self.trial_balance().await;
        let balances = trial["balances"].as_array().expect("there are balances").clone();
        let found = balances.iter().find(|known| known["account"] == account && known["currency"] == currency);
        found.map_or(0, |known| known["balance"].as_i64().expect("a balance is a number"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
        if let Some(home) = &self.home {
            home.tell_if_panicking();
        }
    }
}

impl Deref for Shared {
    type Target = World;
    fn deref(&self) -> &World {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.home().tell_if_panicking();
    }
}

/// A token with any claims, under the key that the server knows.
pub fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}

/// A field that is a text.
#[track_caller]
pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no text `{name}` in {value:#}")).to_owned()
}

/// A field that is a list.
#[track_caller]
pub fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list `{name}` in {value:#}"))
}

/// Every check there is, and there are some.
#[track_caller]
fn assert_balanced(trial: &Value) {
    let checks = trial["checks"].as_array().expect("there are checks");
    assert!(checks.len() >= 13, "{trial:#}");
    for check in checks {
        let good = check["ok"] == true && check["expected"] == check["actual"] && check["differences"] == json!([]);
        assert!(good, "{check:#}");
    }
    assert_eq!(trial["balanced"], true);
}

fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
