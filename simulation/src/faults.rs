//! What can go wrong. Each seed switches some of it on, and draws how often it happens: what is frequent would hide
//! what is rare.

use crate::{chance::Chance, words::words};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal $most:literal,)+) => {
        words! {
            /// A class of faults.
            pub enum Fault {
                $($(#[doc = $doc])+ $name $word,)+
            }
        }
        impl Fault {
            /// How often it happens at most, in a thousand.
            fn most(self) -> u64 {
                match self {
                    $(Self::$name => $most,)+
                }
            }
        }
    };
}

faults! {
    /// The store does not answer a question.
    ReadFails "read_fails" 20,
    /// A commit is not applied, and says so.
    CommitFails "commit_fails" 60,
    /// A commit is not applied, and nobody says so.
    CommitUnclearUnapplied "commit_unclear_unapplied" 60,
    /// A commit is applied, and the answer is lost.
    CommitUnclearApplied "commit_unclear_applied" 60,
    /// The answer to a commit is lost, and it is applied seconds later.
    CommitAppliedLate "commit_applied_late" 30,
    /// A commit takes longer than a lease.
    CommitSlow "commit_slow" 40,
    /// Jobs are handed out, and the answer is lost.
    ClaimLost "claim_lost" 20,
    /// A process dies wherever it waits.
    ProcessDies "process_dies" 100,
    /// A process stands still for longer than a lease.
    ProcessStops "process_stops" 100,
    /// Every worker is down for hours.
    FleetDown "fleet_down" 500,
    /// The database is down for minutes.
    StoreDown "store_down" 500,
    /// A request never arrives.
    RequestLost "request_lost" 150,
    /// A request arrives after whoever sent it gave up, or died.
    RequestLate "request_late" 150,
    /// It is executed, and the answer is lost.
    AnswerLost "answer_lost" 150,
    /// It is executed, and the answer is an error of the server.
    ErrorAfterwards "error_afterwards" 150,
    /// The rail asks for time.
    TooManyRequests "too_many_requests" 200,
    /// The rail cannot be reached for hours.
    RailDown "rail_down" 500,
    /// What was taken is not found for a while.
    QueryLags "query_lags" 500,
    /// A question is not answered.
    QueryFails "query_fails" 600,
    /// An answer names another amount than was ordered.
    WrongAmount "wrong_amount" 60,
    /// A payment is taken, and executed hours later.
    SettlesLater "settles_later" 500,
    /// A payment is refused, in one of the four classes.
    Declines "declines" 300,
    /// A payment is taken, and refused hours later.
    DeclinesLater "declines_later" 200,
    /// A payment comes back, whole.
    ReturnsWhole "returns_whole" 200,
    /// A payment comes back in parts.
    ReturnsInParts "returns_in_parts" 150,
    /// A payment was refused, and is executed after all: the rail breaks its word.
    SettlesAfterRefusal "settles_after_refusal" 100,
    /// A payment never succeeds: its rail always asks for time.
    Poison "poison" 30,
    /// A notification comes twice or more.
    NotificationAgain "notification_again" 300,
    /// A notification comes hours late, so after later ones.
    NotificationLate "notification_late" 400,
    /// Somebody else sends notifications.
    NotificationForged "notification_forged" 300,
    /// A recall is answered later, refused, or not answered.
    RecallRaces "recall_races" 600,
    /// The rail says that the recipient must act first.
    MustAct "must_act" 60,
    /// Whoever takes events does not.
    PublishFails "publish_fails" 300,
    /// The same release is asked for again, at the same time or later, with the same or with other words.
    ReleasedAgain "released_again" 500,
    /// People hold, release, retry and cancel.
    PeopleMeddle "people_meddle" 500,
    /// Recipients are blocked, and where they are paid changes.
    RecipientsChange "recipients_change" 500,
    /// Releases are taken back.
    Reversals "reversals" 400,
    /// The policy changes while batches wait.
    PolicyChanges "policy_changes" 300,
    /// Every process dies at the moment in which a request arrives, and for up to thirty hours there is none.
    PowerCut "power_cut" 200,
    /// A rail takes payments and answers no question, for hours.
    QuestionsDown "questions_down" 500,
    /// For hours the way to a rail loses most payments and delivers the others late; its questions are answered.
    WayJammed "way_jammed" 600,
    /// A process stands still between its last look at its lease and the bytes on the wire.
    StandsBeforeSending "stands_before_sending" 100,
    /// The store only reads, for minutes.
    StoreReadOnly "store_read_only" 400,
    /// The steady clock of a machine leaps forward.
    ClockLeaps "clock_leaps" 60,
    /// A notification never comes. What comes back is told until somebody listens: nothing else tells of it.
    NotificationLost "notification_lost" 300,
    /// A release is to be paid hours later.
    ReleasedForLater "released_for_later" 500,
    /// Somebody holds or cancels an item between a worker's read and its write.
    ActsBetween "acts_between" 60,
}

/// What goes wrong in one run.
pub struct Faults {
    rates: BTreeMap<Fault, u64>,
    is_on: AtomicBool,
    happened: Mutex<BTreeMap<Fault, u64>>,
}

impl Faults {
    /// Draws what goes wrong: about a half of everything, or, every fourth time, only a few things.
    pub fn draw(chance: &mut Chance) -> Self {
        let share = if chance.below(4) == 0 { 150 } else { 500 };
        let mut rates = BTreeMap::new();
        for fault in Fault::ALL {
            let is_on = chance.per_mille(share);
            let rate = chance.spread(fault.most() / 10, fault.most());
            if is_on {
                rates.insert(*fault, rate);
            }
        }
        Self { rates, is_on: AtomicBool::new(true), happened: Mutex::default() }
    }

    /// Whether it happens now, given a number below a thousand.
    pub fn happens(&self, fault: Fault, drawn: u64) -> bool {
        let happens = self.is_on.load(Ordering::Relaxed) && self.rates.get(&fault).is_some_and(|rate| drawn < *rate);
        if happens {
            *self.happened.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += 1;
        }
        happens
    }
    /// Whether anything of that kind can happen in this run.
    pub fn has(&self, fault: Fault) -> bool {
        self.rates.contains_key(&fault)
    }
    /// From now on things go wrong.
    pub fn start(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }
    /// From now on nothing goes wrong any more.
    pub fn stop(&self) {
        self.is_on.store(false, Ordering::Relaxed);
    }
    /// Whether things still go wrong.
    pub fn are_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }
    /// What happened how often.
    pub fn happened(&self) -> BTreeMap<Fault, u64> {
        self.happened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
