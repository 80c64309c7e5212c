//! A small scenario with everything in it that can happen to a payment, played by somebody who does not give up: what is
//! not answered is asked again, and a server that died is started again.

use super::super::{release, shares};
use crate::harness::{
    answer::Answer,
    home::{Engine, Home},
    process::PATIENCE,
    sql::{connect, execute, value},
    world::{World, list, text},
};
use reqwest::Method;
use sea_orm::DatabaseConnection;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

/// Longer than every lease there is: of jobs, events, notifications, idempotency keys.
const BEYOND_LEASES_SECONDS: u64 = 70;
/// How far the clock is moved while something is waited for: at first by less than a lease, and further and further, for
/// what was sent long ago is looked at seldom.
const STEPS_SECONDS: [u64; 6] = [3, 6, 12, 24, 60, 120];
/// How long a server may go on that has nothing to do and was told to die.
const STILL_TO_DIE_WITHIN: Duration = Duration::from_secs(3);
/// When what takes long has happened.
const LATER_SECONDS: u64 = 1_000;

/// Who is paid, how the simulator treats them, and what becomes of it.
pub const CAST: [(&str, &str, &str); 9] = [
    ("rec_paid", "paid", "paid"),
    ("rec_declined", "decline", "failed"),
    ("rec_slow", "slow", "paid"),
    ("rec_lost", "timeout_after", "paid"),
    ("rec_broken", "error_500_then_success", "paid"),
    ("rec_held", "paid", "paid"),
    ("rec_recalled", "slow", "cancelled"),
    ("rec_retried", "decline", "paid"),
    ("rec_back", "late_return", "returned"),
];

fn behaviour(recipient: &str, behaviour: &str) -> Value {
    let after = match recipient {
        "rec_slow" | "rec_back" => Some("15m"),
        "rec_recalled" => Some("300d"),
        _ => None,
    };
    let mut details = json!({ "behaviour": behaviour });
    if let Some(after) = after {
        details["after"] = after.into();
    }
    json!({ "rail": "simulator", "details": details })
}

/// A deployment that knows the cast, and in which nothing has happened yet. Nobody runs in it.
pub async fn stage(engine: Engine) -> Home {
    let home = Home::new(engine).await;
    let world = World::in_home(home, &["--no-worker"]).await;
    for (recipient, treated, _) in CAST {
        let status = if recipient == "rec_held" { "pending" } else { "active" };
        world.register(recipient, &json!({ "status": status, "destination": behaviour(recipient, treated) })).await;
    }
    world.publish_model("prj_cast", &shares(&CAST.map(|(recipient, ..)| (recipient, 1)))).await;
    world.stop().await;
    world.into_home()
}

/// Where a server is to die, and whether it did.
pub struct Crash {
    /// The point.
    pub point: String,
    /// When it comes there for so many times.
    pub n: u64,
    /// Whether it did.
    pub happened: bool,
}

/// One who plays it.
pub struct Player {
    pub world: World,
    pub crash: Option<Crash>,
    /// Whether the database refuses that anybody is paid, until the server died.
    pub in_trouble: bool,
    /// How often the server was started again.
    pub restarts: u32,
}

impl Player {
    /// In that home, with a server that dies there, or writes down where it comes.
    pub async fn new(home: Home, crash: Option<(&str, u64)>, log: Option<&str>, in_trouble: bool) -> Self {
        if in_trouble {
            refuse_that_anybody_is_paid(&home).await;
        }
        let world = World::asleep(home, &[]);
        let crash = crash.map(|(point, n)| Crash { point: point.to_owned(), n, happened: false });
        let at = crash.as_ref().map(|crash| format!("{}:{}", crash.point, crash.n));
        let variables = [("DISBURSE_CRASH_AT", at.as_deref()), ("DISBURSE_CRASH_LOG", log)];
        let variables: Vec<_> = variables.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
        world.start_with(&variables).await;
        Self { world, crash, in_trouble, restarts: 0 }
    }

    /// Starts the server again if it died, which it does where it was told to and nowhere else. What it had in its
    /// hands is free at once: the clock goes on beyond every lease.
    async fn revive(&mut self) {
        let Some((status, said)) = self.world.ended() else { return };
        let crash = self.crash.as_mut().filter(|crash| !crash.happened);
        let Some(crash) = crash else { panic!("the server ended with {status}:\n{said}") };
        assert_eq!(status.signal(), Some(9), "the server was not killed:\n{said}");
        let last_words = format!("disburse: dies at {}:{}", crash.point, crash.n);
        assert!(said.lines().any(|line| line == last_words), "it did not die where it should:\n{said}");
        crash.happened = true;
        self.restarts += 1;
        self.world.start().await;
        self.pass(BEYOND_LEASES_SECONDS).await;
    }

    /// Whether the server still is to die.
    pub fn still_to_die(&self) -> bool {
        self.crash.as_ref().is_some_and(|crash| !crash.happened)
    }

    /// Asks until there is an answer.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        role: &str,
        (body, key): (Option<&Value>, Option<&str>),
    ) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            Box::pin(self.revive()).await;
            let mut request = self.world.request(method.clone(), path).bearer_auth(self.world.token(role));
            if let Some(body) = body {
                request = request.json(body);
            }
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            let last = match self.world.try_send(request).await {
                Ok(answer) if answer.status != 503 && !answer.text.contains("request_in_progress") => return answer,
                Ok(answer) => answer.text,
                Err(error) => error.to_string(),
            };
            assert!(Instant::now() < deadline, "{method} {path}: {last}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn get(&mut self, path: &str) -> Value {
        self.ask(Method::GET, path, "admin", (None, None)).await.with(200)
    }

    async fn post(&mut self, path: &str, body: &Value, key: Option<&str>) -> Answer {
        self.ask(Method::POST, path, "admin", (Some(body), key)).await
    }

    /// Lets time pass, for everybody.
    async fn pass(&mut self, seconds: u64) {
        self.post("/test/clock/advance", &json!({ "seconds": seconds }), None).await.with(200);
    }

    /// The batch, once it is as it should be. Time passes meanwhile.
    async fn until(&mut self, batch: &str, good: impl Fn(&BTreeMap<String, Value>) -> bool) -> BTreeMap<String, Value> {
        let path = format!("/payouts/batches/{batch}");
        let deadline = Instant::now() + PATIENCE;
        let mut looked = 0;
        loop {
            let found = self.get(&path).await;
            let items = list(&found, "items").iter().map(|item| (text(item, "recipientId"), item.clone())).collect();
            if good(&items) {
                return items;
            }
            let shown: Vec<_> =
                list(&found, "items").iter().map(|item| (&item["recipientId"], &item["status"])).collect();
            assert!(Instant::now() < deadline, "the batch is still {shown:?}");
            looked += 1;
            tokio::time::sleep(Duration::from_millis(25)).await;
            if looked % 4 == 0 {
                self.pass(step(looked / 4)).await;
            }
        }
    }

    /// Plays all of it. Answers the batch that was promised.
    pub async fn play(&mut self) -> String {
        let body = release("esc_1", "prj_cast", 9_000, "USD");
        let answer = self.post("/revenue/schedule-payouts", &body, None).await;
        let batch = match answer.status {
            201 => text(&answer.json(), "batchId"),
            // It was booked, and the server died before it said so.
            _ => text(&answer.refused(409, "already_scheduled")["existing"], "batchId"),
        };
        let again = self.post("/revenue/schedule-payouts", &body, None).await.refused(409, "already_scheduled");
        assert_eq!(text(&again["existing"], "batchId"), batch, "an escrow is one batch, however often it is sent");
        if self.in_trouble {
            self.through_trouble().await;
        }
        let is = |items: &BTreeMap<String, Value>, wanted: &[(&str, &str)]| {
            wanted.iter().all(|(recipient, status)| {
                let found = items[*recipient]["status"].as_str();
                status.split(' ').any(|status| found == Some(status))
            })
        };
        let early = [
            ("rec_paid", "paid"),
            ("rec_declined", "failed"),
            // After trouble it is later than it seems.
            ("rec_slow", "processing paid"),
            ("rec_lost", "paid"),
            ("rec_broken", "paid"),
            ("rec_held", "pending_kyc"),
            ("rec_recalled", "processing"),
            ("rec_retried", "failed"),
            ("rec_back", "paid returned"),
        ];
        let items = self.until(&batch, |items| is(items, &early)).await;

        let active = json!({ "status": "active", "destination": behaviour("rec_held", "paid") });
        self.ask(Method::PUT, "/recipients/rec_held", "admin", (Some(&active), None)).await.with(200);
        let well = json!({ "status": "active", "destination": behaviour("rec_retried", "paid") });
        self.ask(Method::PUT, "/recipients/rec_retried", "admin", (Some(&well), None)).await.with(200);
        let item = |recipient: &str| text(&items[recipient], "itemId");
        self.post(&format!("/payouts/items/{}/retry", item("rec_retried")), &json!({}), Some("k1")).await.with(200);
        let path = format!("/payouts/items/{}/cancel", item("rec_recalled"));
        let cancelled = self.post(&path, &json!({}), Some("k2")).await;
        if cancelled.status != 200 {
            // The server died after the rail was asked and before that was written down; the worker heard of it.
            assert!(self.restarts > 0, "{}", cancelled.text);
            let error = cancelled.refused(409, "wrong_state");
            assert!(text(&error, "message").contains("`cancelled`"), "{error}");
        }
        let middle = [("rec_held", "paid"), ("rec_retried", "paid"), ("rec_recalled", "cancelled")];
        self.until(&batch, |items| is(items, &middle)).await;

        self.pass(LATER_SECONDS).await;
        let last = CAST.map(|(recipient, _, end)| (recipient, end));
        self.until(&batch, |items| is(items, &last)).await;
        self.until_quiet().await;
        batch
    }

    /// Until the server has died of it, or has met all of it, and the database is as it was.
    async fn through_trouble(&mut self) {
        let started = Instant::now();
        let met = self.crash.is_none();
        while self.still_to_die() || met && started.elapsed() < STILL_TO_DIE_WITHIN {
            assert!(started.elapsed() < PATIENCE, "it has not died");
            self.pass(LATER_SECONDS / 10).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let database = self.database().await;
        let on = if self.is_postgres() { "ON items" } else { "" };
        execute(&database, &format!("DROP TRIGGER trouble {on}")).await;
        database.close().await.expect("a connection can be closed");
        self.pass(BEYOND_LEASES_SECONDS).await;
    }

    fn is_postgres(&self) -> bool {
        self.world.home().database_url().starts_with("postgres")
    }

    /// Until no job is left, and every event is published.
    async fn until_quiet(&mut self) {
        let database = self.database().await;
        let left = "SELECT (SELECT count(*) FROM jobs WHERE state <> 'done')
                         + (SELECT count(*) FROM outbox WHERE published_at IS NULL)";
        let started = Instant::now();
        let mut looked = 0;
        while value::<i64>(&database, left).await > 0 || self.still_to_die() && started.elapsed() < STILL_TO_DIE_WITHIN
        {
            assert!(started.elapsed() < PATIENCE, "there are jobs or events left");
            looked += 1;
            self.pass(step(looked)).await;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        self.revive().await;
        database.close().await.expect("a connection can be closed");
    }

    /// The database behind the server.
    async fn database(&self) -> DatabaseConnection {
        connect(&self.world.home().database_url()).await
    }
}

/// How far the clock is moved that time.
fn step(turn: usize) -> u64 {
    STEPS_SECONDS[turn.saturating_sub(1).min(STEPS_SECONDS.len() - 1)]
}

/// From now on it cannot be written down that somebody was paid.
async fn refuse_that_anybody_is_paid(home: &Home) {
    let url = home.database_url();
    let database = connect(&url).await;
    if url.starts_with("postgres") {
        let function = "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS
                        $$ BEGIN RAISE EXCEPTION 'trouble'; END $$";
        execute(&database, function).await;
        let trigger = "CREATE TRIGGER trouble BEFORE UPDATE ON items FOR EACH ROW
                       WHEN (NEW.status IN ('paid', 'returned')) EXECUTE FUNCTION trouble()";
        execute(&database, trigger).await;
    } else {
        let trigger = "CREATE TRIGGER trouble BEFORE UPDATE ON items WHEN NEW.status IN ('paid', 'returned')
                       BEGIN SELECT RAISE(ABORT, 'trouble'); END";
        execute(&database, trigger).await;
    }
    database.close().await.expect("a connection can be closed");
}
