//! Takes orders. Those that come at the same time are taken in one transaction, because what takes long is the disk.

use super::{
    api::{Answered, TransferRequest},
    behaviour::{Life, Stage, Wish, retry_after, stage},
    book::{self, Book, BookError, NewTransfer, statement},
    entries::{Entries, known},
    faults::{Live, settings},
};
use app::ports::{
    Clock, Ids,
    rail::{Behaviour, Conduct, SimulatorSettings},
};
use domain::{money::AMOUNT_MINOR_MAX, timestamp::Timestamp};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::{mpsc, oneshot};

/// Most orders in one transaction.
const GROUP_MAX: usize = 128;
/// Orders that wait.
const WAITING_MAX: usize = 1_024;

/// An order and where its answer goes. Why there is none is a text, for one reason may stop many.
struct Order {
    key: String,
    body: Vec<u8>,
    answer: oneshot::Sender<Result<Answered, String>>,
}

/// Where orders are handed in. It is staffed until the last handle is gone.
#[derive(Clone)]
pub(super) struct Desk(mpsc::Sender<Order>);

/// What the desk works with.
pub(super) struct Staff {
    pub(super) book: Book,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Arc<RwLock<SimulatorSettings>>,
}

impl Desk {
    pub(super) fn open(staff: Staff) -> Self {
        let (sender, mut waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            let mut group = Vec::new();
            while waiting.recv_many(&mut group, GROUP_MAX).await > 0 {
                staff.serve(std::mem::take(&mut group)).await;
            }
        });
        Self(sender)
    }

    pub(super) async fn hand_in(&self, key: &str, body: &[u8]) -> Result<Answered, String> {
        let (answer, answered) = oneshot::channel();
        let order = Order { key: key.to_owned(), body: body.to_vec(), answer };
        let stopping = || BookError::Stopping.to_string();
        self.0.send(order).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}

impl Staff {
    async fn serve(&self, group: Vec<Order>) {
        let answers = self.answer_all(&group).await;
        match answers {
            Ok(answers) => {
                for (order, answer) in group.into_iter().zip(answers) {
                    let _ = order.answer.send(Ok(answer));
                }
            }
            Err(error) => {
                for order in group {
                    let _ = order.answer.send(Err(error.to_string()));
                }
            }
        }
    }

    async fn answer_all(&self, group: &[Order]) -> Result<Vec<Answered>, BookError> {
        let now = self.clock.now().await?;
        let write = self.book.begin_write().await?;
        let settings = settings(&write).await?;
        let mut live = Live::read(&write).await?;
        let known = known(&write, group.iter().map(|order| order.key.as_str())).await?;
        let mut done = Done { known, made: HashMap::new(), entries: Entries::default() };
        let mut answers = Vec::new();
        for Order { key, body, answer } in group {
            // Who waits no longer must not find it executed much later: after the settle bound, absence is proof.
            if answer.is_closed() {
                answers.push(Answered::Silence);
                continue;
            }
            answers.push(self.answer(&write, (&mut live, &mut done), (settings, now), (key, body)).await?);
        }
        done.entries.write(&write).await?;
        live.keep(&write).await?;
        write.commit().await?;
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(answers)
    }

    /// As a provider does it: first whatever happens on the way, then the key, and only then the order itself.
    async fn answer(
        &self,
        write: &DatabaseTransaction,
        (live, done): (&mut Live, &mut Done),
        (settings, now): (SimulatorSettings, Timestamp),
        (key, body): (&str, &[u8]),
    ) -> Result<Answered, BookError> {
        let order = read_order(body);
        let recipient = order.as_ref().map(|(order, _)| order.recipient_id.as_str()).unwrap_or_default();
        let wish = order.as_ref().ok().map(|(_, wish)| wish);
        if let Some(conduct) = live.take(Stage::Transport, Some(recipient)) {
            return Ok(lost(&conduct));
        }
        if let Some(wish) = is_lost(write, Stage::Transport, key, wish).await? {
            return Ok(lost(&wish.conduct));
        }
        let fingerprint = Sha256::digest(body).to_vec();
        let (kept, is_silent) = match done.under(write, key, (settings, now)).await? {
            Some(taken) if taken.fingerprint != fingerprint => return Ok(Answered::KeyUsedWithAnotherBody),
            Some(taken) => (taken.view, taken.is_silent),
            None => {
                let (order, wish) = match &order {
                    Ok((order, wish)) => (order, wish.clone()),
                    Err(why) => return Ok(Answered::Invalid(why.clone())),
                };
                let wish = match live.take(Stage::Execution, Some(recipient)) {
                    Some(conduct) => wish.treated(conduct),
                    None => wish,
                };
                let life = Life::plan(&wish, order.amount, now);
                let new = NewTransfer { key, fingerprint: &fingerprint, order, life, now };
                let kept = book::make(&mut done.entries, self.ids.as_ref(), new)?;
                let is_silent = kept.is_silent(now);
                done.made.insert(key.to_owned(), Taken { fingerprint, view: kept.view.clone(), is_silent });
                (kept.view, is_silent)
            }
        };
        let is_lost = live.take(Stage::Answer, Some(recipient)).is_some()
            || is_lost(write, Stage::Answer, key, wish).await?.is_some();
        Ok(if is_silent || is_lost { Answered::Silence } else { Answered::Transfer(Box::new(kept)) })
    }
}

fn read_order(body: &[u8]) -> Result<(TransferRequest, Wish), String> {
    let order: TransferRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if !(1..=AMOUNT_MINOR_MAX).contains(&order.amount) {
        return Err("the amount is out of range".to_owned());
    }
    let wish = Wish::read(&order.destination).map_err(|faults| {
        let faults: Vec<String> =
            faults.into_iter().map(|fault| format!("{} {}", fault.field, fault.message)).collect();
        faults.join("; ")
    })?;
    Ok((order, wish))
}

/// Whether this call is one of those that the recipient's details say are lost. Counts it.
async fn is_lost<'w>(
    write: &DatabaseTransaction,
    stage_now: Stage,
    key: &str,
    wish: Option<&'w Wish>,
) -> Result<Option<&'w Wish>, BookError> {
    let Some(wish) = wish.filter(|wish| stage(wish.conduct.behaviour) == stage_now) else { return Ok(None) };
    let count = "INSERT INTO lost_calls VALUES (?, 1) ON CONFLICT (idempotency_key) DO UPDATE SET calls = calls + 1
         RETURNING calls";
    let row = write.query_one_raw(statement(count, [key.into()])).await?;
    let calls: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok((calls <= i64::from(wish.times)).then_some(wish))
}

/// What becomes of a call that is lost.
fn lost(conduct: &Conduct) -> Answered {
    match conduct.behaviour {
        Behaviour::RateLimit => Answered::RateLimited(retry_after(conduct)),
        Behaviour::Error500ThenSuccess => Answered::Broken,
        Behaviour::Unavailable => Answered::Unreachable,
        Behaviour::TimeoutBefore
        | Behaviour::TimeoutAfter
        | Behaviour::Paid
        | Behaviour::Decline
        | Behaviour::Slow
        | Behaviour::DuplicateNotification
        | Behaviour::OutOfOrderNotification
        | Behaviour::ForgedNotification
        | Behaviour::LateReturn
        | Behaviour::KycHold
        | Behaviour::WrongAmount
        | Behaviour::Silent => Answered::Silence,
    }
}

/// What was done under the keys of a group.
struct Done {
    /// Keys that stood in the book before.
    known: HashSet<String>,
    /// What the group did by now.
    made: HashMap<String, Taken>,
    /// What of it is still to be written.
    entries: Entries,
}

impl Done {
    /// What was done under a key, if it is remembered.
    async fn under(
        &self,
        write: &DatabaseTransaction,
        key: &str,
        (settings, now): (SimulatorSettings, Timestamp),
    ) -> Result<Option<Taken>, BookError> {
        match self.made.get(key) {
            Some(made) => Ok(settings.replay_window.is_none_or(|window| !window.is_zero()).then(|| made.clone())),
            None if self.known.contains(key) => taken(write, key, (settings, now)).await,
            None => Ok(None),
        }
    }
}

/// What was done under a key that is remembered, as it was when it was first answered.
#[derive(Clone)]
struct Taken {
    fingerprint: Vec<u8>,
    view: super::api::TransferView,
    is_silent: bool,
}

async fn taken(
    write: &DatabaseTransaction,
    key: &str,
    (settings, now): (SimulatorSettings, Timestamp),
) -> Result<Option<Taken>, BookError> {
    let select = "SELECT body_sha256, transfer_id, first_at FROM keys WHERE idempotency_key = ?";
    let Some(row) = write.query_one_raw(statement(select, [key.into()])).await? else { return Ok(None) };
    let first_at = Timestamp::from_unix_micros(row.try_get("", "first_at")?);
    if settings.replay_window.is_some_and(|window| now >= first_at.after(window)) {
        return Ok(None);
    }
    let transfer: String = row.try_get("", "transfer_id")?;
    let select = statement("SELECT * FROM transfers WHERE id = ?", [transfer.clone().into()]);
    let kept = book::views(write, select, first_at).await?.pop();
    let kept = kept.ok_or_else(|| BookError::Corrupt(format!("the transfer {transfer} vanished")))?;
    Ok(Some(Taken { fingerprint: row.try_get("", "body_sha256")?, is_silent: kept.is_silent(now), view: kept.view }))
}
