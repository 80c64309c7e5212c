//! A provider of a rail: its own book, its own mind, and the notifications it sends.

use crate::{actors::deliver, faults::Fault, laws::Law, world::World};
use app::ports::rail::{BookEntry, Class, RailEvent, RailProfile, Seen};
use domain::{currency::Currency, ids::ItemId, money::Money, recipient::RailId};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What became of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Taken, and not executed yet.
    Taken,
    /// Executed.
    Settled,
    /// Refused.
    Refused(&'static str, Class),
    /// Given up because somebody asked.
    Recalled,
}

/// A transfer in the provider's book.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The idempotency key it came under.
    pub key: String,
    /// The name it was ordered under.
    pub wire_ref: String,
    /// For which item.
    pub item: ItemId,
    /// How much.
    pub amount: Money,
    /// When it came.
    pub at: Duration,
    /// From when it is found.
    pub found_from: Duration,
    /// What became of it.
    pub fate: Fate,
    /// How much of it came back.
    pub returned_minor: i64,
    /// Executed after the provider had said that it would not be.
    pub is_lie: bool,
}

impl Transfer {
    /// Whether it was executed.
    pub fn is_executed(&self) -> bool {
        self.fate == Fate::Settled
    }
    /// Whether all of it came back.
    pub fn is_back(&self) -> bool {
        self.is_executed() && self.returned_minor == self.amount.amount_minor
    }
    /// What the provider says of it.
    pub fn says(&self) -> Seen {
        let reference = Some(format!("ref_{}", self.wire_ref));
        match &self.fate {
            Fate::Taken => Seen::Accepted { reference },
            Fate::Settled if self.returned_minor > 0 => Seen::Returned {
                reason: "account_closed".to_owned(),
                returned: Money::new(self.returned_minor, self.amount.currency),
                reference,
            },
            Fate::Settled => Seen::Settled { reference },
            Fate::Refused(reason, class) => Seen::Rejected { reason: (*reason).to_owned(), class: *class },
            Fate::Recalled => Seen::Recalled,
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is in the book, and this is said of it.
    Known(Vec<Transfer>),
    /// Not now, and perhaps when again.
    TooMany(Option<Duration>),
}

/// What the provider knows.
#[derive(Default)]
pub struct Book {
    /// Every transfer ever made, in the order in which they came.
    pub transfers: Vec<Transfer>,
    /// The bytes of each key.
    bodies: BTreeMap<String, Vec<u8>>,
    /// The provider cannot be reached until then.
    pub down_until: Duration,
    /// It answers no question until then.
    pub silent_until: Duration,
    /// Payments are lost or late on the way to it until then.
    pub jammed_until: Duration,
    notifications: u64,
}

/// A provider.
pub struct Provider {
    /// What its rail is like.
    pub profile: RailProfile,
    /// How long what it took is not found.
    pub lag: Duration,
    /// How long a request is on its way at most.
    pub late: Duration,
    book: Mutex<Book>,
}

impl Provider {
    /// A provider that was never asked for anything.
    pub fn new(profile: RailProfile, lag: Duration, late: Duration) -> Self {
        Self { profile, lag, late, book: Mutex::default() }
    }
    /// Its name.
    pub fn id(&self) -> &RailId {
        &self.profile.id
    }
    /// What it knows.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The newest transfers under a key, one for each name.
    pub fn of_key(&self, key: &str) -> Vec<Transfer> {
        let book = self.book();
        let mut newest: BTreeMap<&str, &Transfer> = BTreeMap::new();
        for transfer in book.transfers.iter().filter(|transfer| transfer.key == key) {
            newest.insert(&transfer.wire_ref, transfer);
        }
        newest.into_values().cloned().collect()
    }
    /// Every transfer for an item.
    pub fn of_item(&self, item: ItemId) -> Vec<Transfer> {
        self.book().transfers.iter().filter(|transfer| transfer.item == item).cloned().collect()
    }
    /// The book as a page of the rail.
    pub fn entries(&self) -> Vec<BookEntry> {
        let mut entries: BTreeMap<String, BookEntry> = BTreeMap::new();
        for transfer in &self.book().transfers {
            let key = &transfer.key;
            let entry = entries.entry(key.clone()).or_insert_with(|| BookEntry {
                key: key.clone(),
                executed: Money::new(0, transfer.amount.currency),
                returned_minor: 0,
                cursor: key.clone(),
            });
            if transfer.is_executed() {
                entry.executed.amount_minor += transfer.amount.amount_minor - transfer.returned_minor;
                entry.returned_minor += transfer.returned_minor;
            }
        }
        entries.into_values().collect()
    }

    /// A request to pay arrives.
    pub fn receive(self: &Arc<Self>, world: &Arc<World>, key: &str, body: &[u8]) -> Answer {
        let age = world.kernel.age();
        let orders: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
        let is_other = {
            let mut book = self.book();
            let known = book.bodies.entry(key.to_owned()).or_insert_with(|| body.to_vec());
            known != body
        };
        if is_other {
            world.violated(Law::StoredFirst, format!("other bytes came under the key {key}"));
        }
        if orders.iter().any(|order| is_poisoned(world, order["recipient"].as_str().unwrap_or_default())) {
            return Answer::TooMany((world.kernel.below(4) == 0).then_some(Duration::from_secs(5)));
        }
        let mut known = Vec::new();
        for order in &orders {
            let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
            let (Ok(item), Ok(currency), Some(minor)) =
                (text("item").parse(), text("currency").parse(), order["amount"].as_i64())
            else {
                world.violated(Law::StoredFirst, "a provider got what it cannot read");
                continue;
            };
            let wire_ref = text("ref");
            // The key is remembered for a while; after that the same is done anew.
            let window = self.profile.replay_window;
            let before = self.book().transfers.iter().position(|transfer| {
                transfer.key == key
                    && transfer.wire_ref == wire_ref
                    && window.is_none_or(|window| age < transfer.at + window)
            });
            let place = before.unwrap_or_else(|| {
                let lag = if world.happens(Fault::QueryLags) { self.lag } else { Duration::ZERO };
                let transfer = Transfer {
                    key: key.to_owned(),
                    wire_ref,
                    item,
                    amount: Money::new(minor, currency),
                    at: age,
                    found_from: age + lag,
                    fate: Fate::Taken,
                    returned_minor: 0,
                    is_lie: false,
                };
                let mut book = self.book();
                book.transfers.push(transfer);
                let place = book.transfers.len() - 1;
                drop(book);
                self.decide(world, place);
                place
            });
            known.push(self.book().transfers[place].clone());
        }
        Answer::Known(known)
    }

    /// What becomes of a new transfer, now and later.
    fn decide(self: &Arc<Self>, world: &Arc<World>, place: usize) {
        if world.happens(Fault::Declines) {
            let fate = refusal(world);
            self.becomes(world, place, fate, false);
        } else if world.happens(Fault::DeclinesLater) {
            let fate = refusal(world);
            self.later(world, place, fate);
        } else if world.happens(Fault::SettlesLater) {
            self.later(world, place, Fate::Settled);
        } else {
            self.becomes(world, place, Fate::Settled, false);
        }
    }

    fn later(self: &Arc<Self>, world: &Arc<World>, place: usize, fate: Fate) {
        let (this, world) = (self.clone(), world.clone());
        let after = Duration::from_secs(world.kernel.chance(|chance| chance.spread(1, 40_000)));
        world.kernel.clone().spawn(async move {
            world.kernel.sleep(after).await;
            let is_taken = this.book().transfers[place].fate == Fate::Taken;
            if is_taken {
                this.becomes(&world, place, fate, false);
            }
        });
    }

    /// A transfer becomes something, and somebody is told.
    fn becomes(self: &Arc<Self>, world: &Arc<World>, place: usize, fate: Fate, is_lie: bool) {
        let transfer = {
            let mut book = self.book();
            let transfer = &mut book.transfers[place];
            transfer.fate = fate;
            transfer.is_lie |= is_lie;
            transfer.clone()
        };
        world.kernel.note(|| {
            format!(
                "{} {} {:?} {}{}",
                self.id(),
                transfer.wire_ref,
                transfer.fate,
                transfer.amount.amount_minor,
                if is_lie { " (a lie)" } else { "" }
            )
        });
        if transfer.is_executed() {
            world.oracle().executed(world, self, &transfer);
        }
        self.tell(world, place);
        match transfer.fate {
            Fate::Settled if world.happens(Fault::ReturnsWhole) => self.sends_back(world, place, 1),
            Fate::Settled if world.happens(Fault::ReturnsInParts) => self.sends_back(world, place, 2),
            Fate::Refused(..) if world.happens(Fault::SettlesAfterRefusal) => {
                let (this, world) = (self.clone(), world.clone());
                let after = Duration::from_secs(world.kernel.chance(|chance| chance.spread(1, 40_000)));
                world.kernel.clone().spawn(async move {
                    world.kernel.sleep(after).await;
                    this.becomes(&world, place, Fate::Settled, true);
                });
            }
            Fate::Settled | Fate::Refused(..) | Fate::Taken | Fate::Recalled => {}
        }
    }

    fn sends_back(self: &Arc<Self>, world: &Arc<World>, place: usize, parts: i64) {
        let (this, world) = (self.clone(), world.clone());
        let whole = self.book().transfers[place].amount.amount_minor;
        let few = world.kernel.below(2) == 0;
        world.kernel.clone().spawn(async move {
            for part in 1..=parts {
                let after = world.kernel.chance(|chance| chance.spread(1, 40_000));
                world.kernel.sleep(Duration::from_secs(after)).await;
                if parts > 1 && part == parts && few {
                    return;
                }
                let back = (whole * part / parts).max(1);
                {
                    let mut book = this.book();
                    if book.transfers[place].returned_minor >= back {
                        return;
                    }
                    book.transfers[place].returned_minor = back;
                }
                world.kernel.note(|| format!("{} transfer {place}: {back} of {whole} came back", this.id()));
                this.tell(&world, place);
            }
        });
    }

    /// Whoever ordered it is told what became of it.
    pub fn tell(self: &Arc<Self>, world: &Arc<World>, place: usize) {
        let (transfer, name) = {
            let mut book = self.book();
            book.notifications += 1;
            (book.transfers[place].clone(), format!("evt_{}", book.notifications))
        };
        let what = transfer.says();
        // Of what comes back, and of what is executed after it was refused, nothing else tells: nobody asks any more.
        let tells_alone = matches!(what, Seen::Returned { .. }) || transfer.is_lie;
        if !tells_alone && world.happens(Fault::NotificationLost) {
            return;
        }
        let wrong = i64::from(!tells_alone && world.happens(Fault::WrongAmount));
        let body = message(true, &name, &transfer, &what, wrong);
        deliver(world, self.id().clone(), body);
    }

    /// Somebody asks to give a transfer up. Answers whether that is still possible.
    pub fn recall(self: &Arc<Self>, world: &Arc<World>, key: &str, item: ItemId) -> bool {
        let place = self.book().transfers.iter().rposition(|transfer| transfer.key == key && transfer.item == item);
        match place {
            Some(place) if self.book().transfers[place].fate == Fate::Taken => {
                self.becomes(world, place, Fate::Recalled, false);
                true
            }
            Some(place) => self.book().transfers[place].fate == Fate::Recalled,
            None => false,
        }
    }
}

fn refusal(world: &World) -> Fate {
    match world.kernel.below(8) {
        0..=3 => Fate::Refused("try_later", Class::Retry),
        4 => Fate::Refused("must_act", Class::Hold),
        5 => Fate::Refused("not_enough_in_our_account", Class::Ops),
        _ => Fate::Refused("account_closed", Class::Fail),
    }
}

/// Some recipients can never be paid while things go wrong.
fn is_poisoned(world: &World, recipient: &str) -> bool {
    world.faults.has(Fault::Poison)
        && world.faults.are_on()
        && world.kernel.age() < Duration::from_secs(20_000)
        && recipient.ends_with('3')
}

/// A notification: readable by whoever takes it, and signed or not.
pub fn message(is_signed: bool, name: &str, transfer: &Transfer, what: &Seen, wrong: i64) -> Value {
    let returned = if let Seen::Returned { returned, .. } = what { returned.amount_minor } else { 0 };
    let (reason, class) = match what {
        Seen::Rejected { reason, class } => (reason.clone(), class.as_str()),
        _ => (String::new(), ""),
    };
    json!({
        "signed": is_signed,
        "name": name,
        "ref": transfer.wire_ref,
        "what": what.as_str(),
        "amount": transfer.amount.amount_minor + wrong,
        "currency": transfer.amount.currency,
        "returned": returned,
        "reason": reason,
        "class": class,
    })
}

/// What a message of that form says.
pub fn read_message(value: &Value, raw: &[u8]) -> Option<RailEvent> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let currency: Currency = text("currency")?.parse().ok()?;
    let wire_ref = text("ref")?;
    let reference = Some(format!("ref_{wire_ref}"));
    let what = match text("what")?.as_str() {
        "accepted" => Seen::Accepted { reference },
        "settled" => Seen::Settled { reference },
        "rejected" => Seen::Rejected {
            reason: text("reason")?,
            class: Class::ALL.into_iter().find(|class| Some(class.as_str()) == value["class"].as_str())?,
        },
        "returned" => Seen::Returned {
            reason: "account_closed".to_owned(),
            returned: Money::new(value["returned"].as_i64()?, currency),
            reference,
        },
        "recalled" => Seen::Recalled,
        _ => return None,
    };
    let amount = Some(Money::new(value["amount"].as_i64()?, currency));
    Some(RailEvent { dedupe: text("name")?, ..RailEvent::answered(&wire_ref, what, amount, raw) })
}
