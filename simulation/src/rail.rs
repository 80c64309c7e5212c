//! The way from a process to a provider: what is lost, late or garbled on it.

use crate::{
    bugs::{self, Bug},
    faults::Fault,
    provider::{Answer, Fate, Provider, Transfer, read_message},
    world::{Who, World},
};
use app::{
    failure::Detail,
    ports::{
        PayoutRail,
        rail::{
            About, BookEntry, Inbound, IngestError, Listed, Lookup, Order, Preflight, PrepareError, RailDown,
            RailEvent, RailProfile, Recall, Seen, Submit,
        },
    },
};
use async_trait::async_trait;
use domain::{
    ids::{InstructionId, ItemId},
    instruction::Instruction,
    money::Money,
    recipient::Destination,
    timestamp::Timestamp,
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long a process waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A rail as one process has it.
pub struct Line {
    /// The world.
    pub world: Arc<World>,
    /// The other end.
    pub provider: Arc<Provider>,
    /// This end.
    pub who: Who,
}

/// Whoever waits for an answer to a payment, until they have it, give up or die.
struct Waiting<'a> {
    world: &'a World,
    instruction: &'a Instruction,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.world.oracle().submitted(self.instruction);
    }
}

/// A request that has not left its process yet, until it does or the process dies.
struct Standing<'a> {
    world: &'a World,
    instruction: &'a Instruction,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.world.oracle().arrives(self.instruction);
    }
}

impl Line {
    fn is_down(&self) -> bool {
        self.world.kernel.age() < self.provider.book().down_until
    }
    fn unknown(cause: &str) -> Submit {
        Submit::Unknown { cause: cause.to_owned() }
    }
    fn is_silent(&self) -> bool {
        self.is_down() || self.world.kernel.age() < self.provider.book().silent_until
    }
    fn is_jammed(&self) -> bool {
        self.world.kernel.age() < self.provider.book().jammed_until
    }
    /// What the provider says of its transfers, in an answer.
    fn says(&self, transfers: &[Transfer]) -> Vec<RailEvent> {
        let one = |transfer: &Transfer| {
            let wrong = i64::from(self.world.happens(Fault::WrongAmount));
            if wrong == 0 {
                self.world.oracle().told_credibly(&transfer.wire_ref);
            }
            let amount = Money::new(transfer.amount.amount_minor + wrong, transfer.amount.currency);
            let event = RailEvent::answered(&transfer.wire_ref, transfer.says(), Some(amount), b"simulated");
            bugs::heard(&self.world, event)
        };
        transfers.iter().map(one).collect()
    }

    /// `stood` is how long the process has stood still since it looked at its lease for the last time: a rail's settle
    /// bound is meant to cover that as well.
    async fn call(&self, instruction: &Instruction, stood: Duration) -> Submit {
        let world = &self.world;
        let kernel = &world.kernel;
        if self.is_down() {
            kernel.sleep_up_to(PATIENCE).await;
            return if kernel.below(2) == 0 {
                Submit::NotSent { cause: "connection refused".to_owned(), retry_after: None, ours: false }
            } else {
                Self::unknown("no answer")
            };
        }
        if world.happens(Fault::TooManyRequests) {
            let wait = Duration::from_secs(kernel.chance(|chance| chance.spread(1, 600)));
            let retry_after = (kernel.below(2) == 0).then_some(wait);
            return Submit::NotSent { cause: "429".to_owned(), retry_after, ours: false };
        }
        let is_jammed = self.is_jammed();
        if world.happens(Fault::RequestLost) || (is_jammed && kernel.below(10) > 0) {
            kernel.sleep(PATIENCE).await;
            return Self::unknown("no answer");
        }
        // From here on it is on its way, whatever becomes of whoever sent it.
        let is_late = world.happens(Fault::RequestLate) || is_jammed;
        let there = if is_late { self.provider.late.saturating_sub(stood) } else { Duration::from_millis(300) };
        let mut arrives = Duration::from_micros(kernel.below(u64::try_from(there.as_micros()).unwrap_or(0)));
        if is_jammed {
            arrives = (arrives + there) / 2;
        }
        let answer: Arc<Mutex<Option<Answer>>> = Arc::default();
        let key = if world.has(Bug::NewKeyEachAttempt) {
            format!("{}/{}", instruction.id, kernel.number())
        } else {
            instruction.id.to_string()
        };
        world.oracle().leaves(instruction);
        {
            let (world, provider, answer) = (world.clone(), self.provider.clone(), answer.clone());
            let instruction = instruction.clone();
            kernel.spawn(async move {
                world.kernel.sleep(arrives).await;
                world.kernel.note(|| format!("arrives: {} try {}", instruction.id, instruction.tries));
                world.oracle().arrives(&instruction);
                let came = provider.receive(&world, &key, &instruction.body);
                *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
                if world.happens(Fault::PowerCut) {
                    let span = world.kernel.chance(|chance| chance.spread(1_800, 108_000));
                    let until = world.kernel.age() + Duration::from_secs(span);
                    world.site_goes_down(until);
                    if world.happens(Fault::QuestionsDown) {
                        // Whoever comes back learns nothing for a while.
                        let more = world.kernel.chance(|chance| chance.spread(600, 10_000));
                        provider.book().silent_until = until + Duration::from_secs(more);
                    }
                }
            });
        }
        let back = Duration::from_micros(kernel.below(200_000));
        kernel.sleep((arrives + back + Duration::from_micros(1)).min(PATIENCE)).await;
        let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match answer {
            None => Self::unknown("no answer in time"),
            Some(Answer::TooMany(retry_after)) => Submit::NotSent { cause: "429".to_owned(), retry_after, ours: false },
            Some(Answer::Known(_)) if world.happens(Fault::AnswerLost) => {
                kernel.sleep(PATIENCE.saturating_sub(arrives + back)).await;
                Self::unknown("no answer")
            }
            Some(Answer::Known(_)) if world.happens(Fault::ErrorAfterwards) => Self::unknown("502"),
            Some(Answer::Known(transfers)) => match transfers.first().map(|transfer| &transfer.fate) {
                Some(Fate::Refused(reason, class)) if transfers.len() == 1 => {
                    world.oracle().told_credibly(&transfers[0].wire_ref);
                    Submit::Refused { reason: (*reason).to_owned(), class: *class }
                }
                _ => Submit::Accepted { reference: None, seen: self.says(&transfers) },
            },
        }
    }

    async fn ask(&self, instruction: &Instruction) -> Lookup {
        let world = &self.world;
        let kernel = &world.kernel;
        if self.is_silent() || world.happens(Fault::QueryFails) {
            kernel.sleep_up_to(PATIENCE).await;
            return Lookup::CannotTell { cause: "no answer".to_owned() };
        }
        kernel.sleep_up_to(Duration::from_millis(300)).await;
        let age = kernel.age();
        let found: Vec<Transfer> = self.provider.of_key(&instruction.id.to_string());
        let found: Vec<Transfer> = found.into_iter().filter(|transfer| transfer.found_from <= age).collect();
        let lookup = if found.is_empty() { Lookup::ProvenAbsent } else { Lookup::Found(self.says(&found)) };
        kernel.sleep_up_to(Duration::from_millis(300)).await;
        lookup
    }
}

#[async_trait]
impl PayoutRail for Line {
    fn profile(&self) -> RailProfile {
        bugs::profile(&self.world, self.provider.profile.clone())
    }
    fn check(&self, _: &Destination) -> Result<(), Vec<Detail>> {
        Ok(())
    }
    fn prepare(&self, _: InstructionId, orders: &[Order]) -> Result<Vec<u8>, PrepareError> {
        let order = |order: &Order| {
            json!({ "item": order.item, "ref": order.wire_ref, "recipient": order.recipient,
                "amount": order.amount.amount_minor, "currency": order.amount.currency,
                "destination": order.destination.details })
        };
        Ok(Value::Array(orders.iter().map(order).collect()).to_string().into_bytes())
    }
    async fn preflight(&self, _: &Destination) -> Preflight {
        self.world.kernel.sleep_up_to(Duration::from_millis(20)).await;
        if self.world.happens(Fault::MustAct) {
            return Preflight::MustAct { reason: "must_act".to_owned() };
        }
        if self.is_down() { Preflight::CannotTell } else { Preflight::Ready }
    }
    async fn submit(&self, instruction: &Instruction) -> Submit {
        let kernel = &self.world.kernel;
        kernel.note(|| format!("{} submits {} try {}", self.who.name(), instruction.id, instruction.tries));
        self.world.oracle().submits(&self.world, self.who, instruction);
        let _waiting = Waiting { world: &self.world, instruction };
        let mut stood = Duration::ZERO;
        if self.world.happens(Fault::StandsBeforeSending) {
            let longest = u64::try_from(self.provider.late.as_micros()).unwrap_or(0);
            stood = Duration::from_micros(kernel.below(longest));
            self.world.oracle().leaves(instruction);
            let _standing = Standing { world: &self.world, instruction };
            kernel.sleep(stood).await;
        }
        let submit = bugs::submitted(&self.world, self.call(instruction, stood).await);
        kernel.note(|| format!("{} hears of {}: {}", self.who.name(), instruction.id, word(&submit)));
        submit
    }
    async fn query(&self, instruction: &Instruction) -> Lookup {
        self.world.oracle().asks(&self.world, instruction);
        let lookup = bugs::answered(&self.world, self.ask(instruction).await);
        self.world.kernel.note(|| format!("{} asks for {}: {}", self.who.name(), instruction.id, told(&lookup)));
        lookup
    }
    async fn recall(&self, instruction: &Instruction, items: &[ItemId]) -> Recall {
        let world = &self.world;
        let kernel = &world.kernel;
        kernel.sleep_up_to(Duration::from_millis(300)).await;
        let key = instruction.id.to_string();
        let unknown = || Recall::Unknown { cause: "no answer".to_owned() };
        let recall = if self.is_down() {
            unknown()
        } else if world.happens(Fault::RecallRaces) {
            match kernel.below(4) {
                0 => Recall::Refused { reason: "too late".to_owned() },
                1 => {
                    let (world, provider, items) = (world.clone(), self.provider.clone(), items.to_vec());
                    let after = Duration::from_secs(kernel.chance(|chance| chance.spread(1, 10_000)));
                    kernel.spawn(async move {
                        world.kernel.sleep(after).await;
                        for item in items {
                            provider.recall(&world, &key, item);
                        }
                    });
                    Recall::Asked
                }
                2 => unknown(),
                _ => {
                    for item in items {
                        self.provider.recall(world, &key, *item);
                    }
                    unknown()
                }
            }
        } else {
            let mut all = true;
            for item in items {
                all &= self.provider.recall(world, &key, *item);
            }
            if all { Recall::Recalled } else { Recall::Refused { reason: "too late".to_owned() } }
        };
        kernel.note(|| format!("recall of {}: {recall:?}", instruction.id));
        bugs::recalled(world, recall)
    }
    async fn list(&self, _: Timestamp, _: Option<String>) -> Result<Listed, RailDown> {
        Err(RailDown("this rail keeps no list".to_owned()))
    }
    async fn book(&self, after: Option<String>, limit: u32) -> Result<Option<Vec<BookEntry>>, RailDown> {
        let entries = self.provider.entries().into_iter();
        let later = entries.filter(|entry| after.as_ref().is_none_or(|after| entry.cursor > *after));
        Ok(Some(later.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()))
    }
    fn ingest(&self, message: &Inbound) -> Result<Vec<RailEvent>, IngestError> {
        let value: Value =
            serde_json::from_slice(&message.body).map_err(|error| IngestError::Unreadable(error.to_string()))?;
        if value["signed"] != true && !self.world.has(Bug::ForgedNotificationAccepted) {
            return Err(IngestError::Forged("not signed".to_owned()));
        }
        let event = read_message(&value, &message.body);
        let event = event.ok_or_else(|| IngestError::Unreadable("not a message of this rail".to_owned()))?;
        if let (About::Item(wire_ref), Some(said)) = (&event.about, event.amount) {
            let book = self.provider.book();
            let is_right = book.transfers.iter().any(|one| one.wire_ref == *wire_ref && one.amount == said);
            drop(book);
            if is_right {
                self.world.oracle().told_credibly(wire_ref);
            }
        }
        Ok(vec![bugs::heard(&self.world, event)])
    }
}

fn word(submit: &Submit) -> String {
    match submit {
        Submit::Accepted { seen, .. } => format!("accepted {}", said(seen)),
        Submit::Refused { reason, class } => format!("refused {reason} {}", class.as_str()),
        Submit::NotSent { cause, .. } => format!("not sent: {cause}"),
        Submit::Unknown { cause } => format!("unknown: {cause}"),
    }
}

fn told(lookup: &Lookup) -> String {
    match lookup {
        Lookup::Found(events) => format!("found {}", said(events)),
        Lookup::ProvenAbsent => "absent".to_owned(),
        Lookup::CannotTell { .. } => "cannot tell".to_owned(),
    }
}

fn said(events: &[RailEvent]) -> String {
    let one = |event: &RailEvent| match &event.what {
        Seen::Returned { returned, .. } => format!("returned {}", returned.amount_minor),
        other => other.as_str().to_owned(),
    };
    events.iter().map(one).collect::<Vec<_>>().join(",")
}
