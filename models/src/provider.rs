//! The other end of the rail: a book, calls that travel, and messages that are still to be told.

use app::ports::rail::{Class, RailEvent, Seen};
use domain::{ids::InstructionId, instruction::Instruction, money::Money, timestamp::Timestamp};
use std::time::Duration;

/// Longer than this no call is on its way, and nothing that arrived is hidden from questions.
pub const SETTLE_BOUND: Duration = Duration::from_secs(20);
/// How long the provider knows a key, from when it came first.
pub const REPLAY_WINDOW: Duration = Duration::from_secs(60);
/// What the one item is of, in minor units.
pub const AMOUNT_MINOR: i64 = 100;

/// What the provider does with a call under a key that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Receipt {
    /// Pays at once.
    Settles,
    /// Takes it, and reports later.
    Takes,
    /// Refuses it for now.
    RefusesForNow,
    /// Refuses it for good.
    RefusesForGood,
    /// Says that it refuses it for good, and may pay it later all the same.
    Lies,
}

/// What became of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It will be paid or refused.
    Taken,
    /// It is paid.
    Settled,
    /// It was paid and came back.
    Returned,
    /// It was given up because we asked.
    Recalled,
    /// It was refused; `retry` for now.
    Refused {
        /// Whether it may work later.
        retry: bool,
        /// Whether it is not true.
        lies: bool,
    },
}

/// An entry of the provider's book.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The instruction, and which of its calls if every call has a key of its own.
    pub key: (InstructionId, u32),
    /// The name under which it was ordered.
    pub wire_ref: String,
    /// What became of it.
    pub fate: Fate,
    /// When the call left.
    pub left_at: Timestamp,
    /// When the key came first.
    pub received_at: Timestamp,
}

impl Transfer {
    /// What the provider says of it.
    pub fn says(&self) -> RailEvent {
        saying(&self.wire_ref, self.fate)
    }
}

/// A call that left and has not arrived.
#[derive(Clone, Debug)]
pub struct Flight {
    /// As that of [`Transfer`].
    pub key: (InstructionId, u32),
    /// As that of [`Transfer`].
    pub wire_ref: String,
    /// When it left.
    pub left_at: Timestamp,
}

/// The provider, and the way to and from it.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// Its book, oldest first.
    pub transfers: Vec<Transfer>,
    /// What is on its way to it.
    pub flights: Vec<Flight>,
    /// What it has to tell, of which transfer.
    pub messages: Vec<(usize, Fate)>,
}

impl Provider {
    /// What an instruction looks like on its way.
    pub fn flight(instruction: &Instruction, each_try: bool, left_at: Timestamp) -> Flight {
        let wire_ref = instruction.items.first().map(|part| part.wire_ref.clone()).unwrap_or_default();
        Flight { key: (instruction.id, if each_try { instruction.tries } else { 0 }), wire_ref, left_at }
    }

    /// The entry of a key that is still known.
    fn known(&self, key: (InstructionId, u32), now: Timestamp) -> Option<usize> {
        let is_known = |transfer: &Transfer| transfer.key == key && now.since(transfer.received_at) < REPLAY_WINDOW;
        self.transfers.iter().rposition(is_known)
    }
    /// Whether a call under that key does something new.
    pub fn is_new(&self, flight: &Flight, now: Timestamp) -> bool {
        self.known(flight.key, now).is_none()
    }

    /// A call arrives. The same key has effect once, as long as it is known. Answers the entry.
    pub fn receive(&mut self, flight: Flight, receipt: Receipt, now: Timestamp) -> usize {
        if let Some(place) = self.known(flight.key, now) {
            return place;
        }
        let Flight { key, wire_ref, left_at } = flight;
        self.transfers.push(Transfer { key, wire_ref, fate: Fate::Taken, left_at, received_at: now });
        let place = self.transfers.len() - 1;
        match receipt {
            Receipt::Takes => {}
            Receipt::Settles => self.becomes(place, Fate::Settled),
            Receipt::RefusesForNow => self.becomes(place, Fate::Refused { retry: true, lies: false }),
            Receipt::RefusesForGood => self.becomes(place, Fate::Refused { retry: false, lies: false }),
            Receipt::Lies => self.becomes(place, Fate::Refused { retry: false, lies: true }),
        }
        place
    }

    /// Something became of a transfer, and will be told.
    pub fn becomes(&mut self, place: usize, fate: Fate) {
        self.transfers[place].fate = fate;
        self.messages.push((place, fate));
    }

    /// The last entry of an instruction.
    pub fn last_of(&self, instruction: InstructionId) -> Option<usize> {
        self.transfers.iter().rposition(|transfer| transfer.key.0 == instruction)
    }

    /// How many transfers were executed and did not come back.
    pub fn executed(&self) -> i64 {
        let executed = self.transfers.iter().filter(|transfer| transfer.fate == Fate::Settled).count();
        i64::try_from(executed).unwrap_or(i64::MAX)
    }
}

/// What the provider says of a transfer of which that became.
pub fn saying(wire_ref: &str, fate: Fate) -> RailEvent {
    let amount = Money::new(AMOUNT_MINOR, crate::read("USD"));
    let what = match fate {
        Fate::Taken => Seen::Accepted { reference: None },
        Fate::Settled => Seen::Settled { reference: None },
        Fate::Returned => Seen::Returned { reason: "closed".to_owned(), returned: amount, reference: None },
        Fate::Recalled => Seen::Recalled,
        Fate::Refused { retry, .. } => {
            Seen::Rejected { reason: "refused".to_owned(), class: if retry { Class::Retry } else { Class::Fail } }
        }
    };
    RailEvent::answered(wire_ref, what, Some(amount), b"modelled")
}
