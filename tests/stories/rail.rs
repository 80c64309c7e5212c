//! A rail that does as it is told, and keeps a book of what it executed.

use app::{
    failure::Detail,
    ports::{
        Clock, PayoutRail,
        rail::{
            About, BookEntry, Class, Inbound, IngestError, Listed, Lookup, Order, Preflight, PrepareError, RailDown,
            RailEvent, RailProfile, Recall, Seen, Submit,
        },
    },
};
use async_trait::async_trait;
use domain::{
    ids::{InstructionId, ItemId},
    instruction::{Instruction, InstructionItem},
    money::Money,
    recipient::Destination,
    timestamp::Timestamp,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::stage::read;

/// What the rail does with a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// It pays.
    Pay,
    /// It refuses, and says so.
    Refuse(&'static str, Class),
    /// It executes, and says nothing; nor later.
    SilentAfter,
    /// It does not execute, and says nothing; nor later.
    SilentBefore,
    /// It would refuse, and says nothing; nor later.
    SilentRefusal,
    /// It does not execute, says nothing, and says afterwards that it has nothing.
    Lost,
    /// It takes it, and settles when it is told to.
    Take,
    /// It executes, and names another amount.
    OtherAmount,
    /// It cannot be reached.
    Down,
}

/// What the rail knows of an instruction.
#[derive(Clone, Debug)]
struct Entry {
    recipient: String,
    amount: Money,
    wire_ref: String,
    /// What was executed; taken and not executed yet, if nothing.
    executed: bool,
    refused: Option<(&'static str, Class)>,
    returned_minor: i64,
    recalled: bool,
}

#[derive(Default)]
struct Told {
    scripts: BTreeMap<String, Script>,
    book: BTreeMap<String, Entry>,
    /// When each call came.
    calls: Vec<Timestamp>,
    is_down: bool,
}

/// The rail.
pub struct Rail {
    clock: Arc<dyn Clock>,
    told: Mutex<Told>,
    /// What it is like; a test may change it before anything is sent.
    pub profile: Mutex<RailProfile>,
}

impl Rail {
    /// A rail that pays, and goes by that clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let profile = RailProfile {
            id: read("simulator"),
            items_max: 1,
            // What was sent once is never sent again by itself: every story decides what comes after.
            replay_window: Some(Duration::ZERO),
            settle_bound: Duration::from_secs(1),
            pays_strangers: true,
            charges_returns: false,
            calls_per_second_max: 1_000_000,
            granularities: BTreeMap::from([(read("HUF"), 100)]),
        };
        Self { clock, told: Mutex::default(), profile: Mutex::new(profile) }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it does that with payments to a recipient.
    pub fn script(&self, recipient: &str, script: Script) {
        self.told().scripts.insert(recipient.to_owned(), script);
    }
    /// From now on payments to that recipient are refused.
    pub fn refuse(&self, recipient: &str) {
        let refusal = Script::Refuse("account_closed", Class::Fail);
        let silent = self.told().scripts.get(recipient) == Some(&Script::SilentAfter);
        self.script(recipient, if silent { Script::SilentRefusal } else { refusal });
    }
    /// From now on nothing is heard of payments to that recipient, until [`Self::speak`].
    pub fn keep_silent(&self, recipient: &str) {
        let refused = matches!(self.told().scripts.get(recipient), Some(Script::Refuse(..)));
        self.script(recipient, if refused { Script::SilentRefusal } else { Script::SilentAfter });
    }
    /// Says what became of them.
    pub fn speak(&self, recipient: &str) {
        let refused = self.told().scripts.get(recipient) == Some(&Script::SilentRefusal);
        let refusal = Script::Refuse("account_closed", Class::Fail);
        self.script(recipient, if refused { refusal } else { Script::Pay });
    }
    /// Nobody can reach it, or everybody can again.
    pub fn is_down(&self, is_down: bool) {
        self.told().is_down = is_down;
    }
    /// It settles what it took for that recipient.
    pub fn settle(&self, recipient: &str) {
        let mut told = self.told();
        let taken = told.book.values_mut().filter(|entry| entry.recipient == recipient);
        taken.filter(|entry| !entry.recalled && entry.refused.is_none()).for_each(|entry| entry.executed = true);
    }
    /// So much of what it paid to that recipient comes back.
    pub fn send_back(&self, recipient: &str, minor: i64) {
        let mut told = self.told();
        let paid = told.book.values_mut().find(|entry| entry.recipient == recipient && entry.executed);
        paid.expect("something was paid").returned_minor += minor;
    }
    /// So much of what it paid under a key has come back by now.
    pub fn returns(&self, key: InstructionId, minor: i64) {
        if let Some(entry) = self.told().book.get_mut(&key.to_string()) {
            entry.returned_minor = minor;
        }
    }
    /// It executes what it has under a key and did not execute. Answers whether there was such a thing.
    pub fn executes(&self, key: InstructionId) -> bool {
        match self.told().book.get_mut(&key.to_string()).filter(|entry| !entry.executed) {
            Some(entry) => {
                (entry.executed, entry.refused, entry.recalled) = (true, None, false);
                true
            }
            None => false,
        }
    }
    /// Whether it executed what it has under a key.
    pub fn has_executed(&self, key: InstructionId) -> bool {
        self.told().book.get(&key.to_string()).is_some_and(|entry| entry.executed)
    }
    /// It executed the first payment to that recipient after all.
    pub fn execute_late(&self, recipient: &str) {
        let mut told = self.told();
        let first = told.book.values_mut().find(|entry| entry.recipient == recipient && !entry.executed);
        first.expect("something was not paid").executed = true;
    }
    /// What a recipient has over the rail.
    pub fn paid(&self, recipient: &str) -> i64 {
        let told = self.told();
        let executed = told.book.values().filter(|entry| entry.recipient == recipient && entry.executed);
        executed.map(|entry| entry.amount.amount_minor - entry.returned_minor).sum()
    }
    /// How often a recipient was paid.
    pub fn times_paid(&self, recipient: &str) -> usize {
        self.told().book.values().filter(|entry| entry.recipient == recipient && entry.executed).count()
    }
    /// When each call came.
    pub fn calls(&self) -> Vec<Timestamp> {
        self.told().calls.clone()
    }

    fn says(entry: &Entry) -> Vec<RailEvent> {
        let reference = Some(format!("ref_{}", entry.recipient));
        let what = match entry {
            Entry { refused: Some((reason, class)), .. } => {
                Seen::Rejected { reason: (*reason).to_owned(), class: *class }
            }
            Entry { recalled: true, .. } => Seen::Recalled,
            Entry { executed: true, returned_minor, .. } if *returned_minor > 0 => Seen::Returned {
                reason: "account_closed".to_owned(),
                returned: Money::new(*returned_minor, entry.amount.currency),
                reference,
            },
            Entry { executed: true, .. } => Seen::Settled { reference },
            Entry { .. } => Seen::Accepted { reference },
        };
        vec![RailEvent::answered(&entry.wire_ref, what, Some(entry.amount), b"told")]
    }
}

fn silence() -> Submit {
    Submit::Unknown { cause: "silence".to_owned() }
}

#[async_trait]
impl PayoutRail for Rail {
    fn profile(&self) -> RailProfile {
        self.profile.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn check(&self, _: &Destination) -> Result<(), Vec<Detail>> {
        Ok(())
    }
    fn prepare(&self, _: InstructionId, orders: &[Order]) -> Result<Vec<u8>, PrepareError> {
        Ok(orders[0].recipient.as_str().as_bytes().to_vec())
    }
    async fn preflight(&self, _: &Destination) -> Preflight {
        Preflight::Ready
    }
    async fn submit(&self, instruction: &Instruction) -> Submit {
        let now = self.clock.now().await.unwrap();
        let mut told = self.told();
        told.calls.push(now);
        let recipient = String::from_utf8(instruction.body.clone()).unwrap();
        let script = told.scripts.get(&recipient).copied().unwrap_or(Script::Pay);
        if told.is_down || script == Script::Down {
            return Submit::NotSent { cause: "connection refused".to_owned(), retry_after: None, ours: false };
        }
        if matches!(script, Script::SilentBefore | Script::Lost) {
            return silence();
        }
        let part: &InstructionItem = &instruction.items[0];
        let amount = Money::new(part.amount_minor, instruction.currency);
        let fresh = Entry {
            recipient,
            amount,
            wire_ref: part.wire_ref.clone(),
            executed: matches!(script, Script::Pay | Script::SilentAfter | Script::OtherAmount),
            refused: match script {
                Script::Refuse(reason, class) => Some((reason, class)),
                Script::SilentRefusal => Some(("account_closed", Class::Fail)),
                _ => None,
            },
            returned_minor: 0,
            recalled: false,
        };
        // One for each key, whatever comes under it later.
        let entry = told.book.entry(instruction.id.to_string()).or_insert(fresh).clone();
        match script {
            Script::SilentAfter | Script::SilentRefusal => silence(),
            Script::OtherAmount => {
                let other = Money::new(amount.amount_minor + 1, amount.currency);
                let events = Self::says(&entry);
                let seen = events.into_iter().map(|event| RailEvent { amount: Some(other), ..event }).collect();
                Submit::Accepted { reference: None, seen }
            }
            _ => match entry.refused {
                Some((reason, class)) => Submit::Refused { reason: reason.to_owned(), class },
                None => Submit::Accepted { reference: None, seen: Self::says(&entry) },
            },
        }
    }
    async fn query(&self, instruction: &Instruction) -> Lookup {
        let now = self.clock.now().await.unwrap();
        let mut told = self.told();
        told.calls.push(now);
        let recipient = String::from_utf8(instruction.body.clone()).unwrap();
        let script = told.scripts.get(&recipient).copied().unwrap_or(Script::Pay);
        let silent = matches!(script, Script::SilentAfter | Script::SilentBefore | Script::SilentRefusal);
        if told.is_down || silent || script == Script::OtherAmount {
            return Lookup::CannotTell { cause: "silence".to_owned() };
        }
        match told.book.get(&instruction.id.to_string()) {
            Some(entry) => Lookup::Found(Self::says(entry)),
            None => Lookup::ProvenAbsent,
        }
    }
    async fn recall(&self, instruction: &Instruction, _: &[ItemId]) -> Recall {
        let mut told = self.told();
        match told.book.get_mut(&instruction.id.to_string()) {
            Some(entry) if !entry.executed => {
                entry.recalled = true;
                Recall::Recalled
            }
            Some(_) => Recall::Refused { reason: "executed".to_owned() },
            None => Recall::Unknown { cause: "silence".to_owned() },
        }
    }
    async fn list(&self, _: Timestamp, _: Option<String>) -> Result<Listed, RailDown> {
        let told = self.told();
        Ok(Listed { events: told.book.values().flat_map(Self::says).collect(), next: None })
    }
    async fn book(&self, after: Option<String>, limit: u32) -> Result<Option<Vec<BookEntry>>, RailDown> {
        let told = self.told();
        let later = told.book.iter().filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
        let entry = |(key, entry): (&String, &Entry)| {
            let executed = if entry.executed { entry.amount.amount_minor - entry.returned_minor } else { 0 };
            BookEntry {
                key: key.clone(),
                executed: Money::new(executed, entry.amount.currency),
                returned_minor: entry.returned_minor,
                cursor: key.clone(),
            }
        };
        Ok(Some(later.take(usize::try_from(limit).unwrap()).map(entry).collect()))
    }
    /// A message of this rail is one saying: its name, a slash, and the name under which the payment was ordered.
    fn ingest(&self, message: &Inbound) -> Result<Vec<RailEvent>, IngestError> {
        let text =
            String::from_utf8(message.body.clone()).map_err(|error| IngestError::Unreadable(error.to_string()))?;
        let mut words = text.split(' ');
        let (Some("signed"), Some(name), Some(wire_ref), Some(what)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(IngestError::Forged("not signed".to_owned()));
        };
        let reference = Some("ref_told".to_owned());
        let what = match what {
            "settled" => Seen::Settled { reference },
            "accepted" => Seen::Accepted { reference },
            "rejected" => Seen::Rejected { reason: "told".to_owned(), class: Class::Fail },
            returned => Seen::Returned {
                reason: "told".to_owned(),
                returned: Money::new(returned.parse().unwrap(), read("USD")),
                reference,
            },
        };
        let event = RailEvent::answered(wire_ref, what, None, text.as_bytes());
        Ok(vec![RailEvent { dedupe: name.to_owned(), about: About::Item(wire_ref.to_owned()), ..event }])
    }
}
