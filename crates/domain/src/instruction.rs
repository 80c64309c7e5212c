//! What leaves the building: an immutable order to a rail, stored before it is sent.
//!
//! Its id is the idempotency key. A new instruction for the same item (a new generation) starts only after the rail
//! refused the old one, proved it absent, or returned it, or after it was given up unsent; further calls under one key
//! are its tries. What became of it is known item by item: a rail may pay one and refuse the next.
//!
//! Sources: product design, section 4; rails design, section 5.

use crate::{
    currency::Currency,
    ids::{BatchId, InstructionId, ItemId},
    recipient::RailId,
    timestamp::Timestamp,
};

/// An order to a rail, for one or more items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Ours; also the idempotency key.
    pub id: InstructionId,
    /// The batch its items belong to.
    pub batch: BatchId,
    /// The rail it goes to. Routing is decided once.
    pub rail: RailId,
    /// The currency of all of its items.
    pub currency: Currency,
    /// What it pays, and what became of that; never empty.
    pub items: Vec<InstructionItem>,
    /// 1 for the first instruction of an item, 2 after that was refused, and so on.
    pub generation: u32,
    /// The bytes that are sent, the same at every try.
    pub body: Vec<u8>,
    /// How many times it may have been received: counted before each call, and taken back when the call never left.
    pub tries: u32,
    /// When it may first have been sent: the replay window starts here.
    pub first_sent_at: Timestamp,
    /// When it may last have been sent: the settle bound starts a little later, when the call has certainly left.
    pub last_sent_at: Timestamp,
}

/// One item of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstructionItem {
    /// Which item.
    pub item: ItemId,
    /// The name under which the rail reports on it.
    pub wire_ref: String,
    /// Minor units.
    pub amount_minor: i64,
    /// SHA-256 of where it goes: what was approved, and what was paid to before.
    pub destination: [u8; 32],
    /// What became of it.
    pub outcome: Outcome,
    /// What came back of it by now, in minor units.
    pub returned_minor: i64,
}

/// What became of an item under an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may have been sent, and nothing is known.
    Sent,
    /// The rail has it, and will report.
    Accepted {
        /// The rail's own name for it.
        reference: Option<String>,
    },
    /// It was executed.
    Settled {
        /// The rail's own name for it.
        reference: Option<String>,
    },
    /// The rail refused it: nothing was executed.
    Refused {
        /// The rail's reason.
        reason: String,
    },
    /// It is proven that the rail never had it, or it never left: nothing was executed.
    Absent,
    /// The rail gave it up because we asked: nothing was executed.
    Recalled,
    /// It was executed, and came back.
    Returned {
        /// The rail's own name for it.
        reference: Option<String>,
        /// Why.
        reason: String,
    },
    /// It was executed after it had been given up, and the item had been sent anew or cancelled by then: what was paid
    /// is the recipient's debt.
    Stray {
        /// The rail's own name for it.
        reference: Option<String>,
    },
}

impl Outcome {
    /// Every word, in the order of [`Self::rank`].
    pub const WORDS: [&'static str; 8] =
        ["sent", "accepted", "refused", "absent", "recalled", "settled", "stray", "returned"];

    /// The word that is stored and answered.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Accepted { .. } => "accepted",
            Self::Settled { .. } => "settled",
            Self::Refused { .. } => "refused",
            Self::Absent => "absent",
            Self::Recalled => "recalled",
            Self::Returned { .. } => "returned",
            Self::Stray { .. } => "stray",
        }
    }
    /// Whether it occupies its item: no other instruction may exist for it.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Sent | Self::Accepted { .. } | Self::Settled { .. } => true,
            Self::Refused { .. } | Self::Absent | Self::Recalled | Self::Returned { .. } | Self::Stray { .. } => false,
        }
    }
    /// Whether something is still to be learned.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Sent | Self::Accepted { .. })
    }
    /// What is known replaces only what ranks lower, so the order in which a rail's sayings come does not matter
    /// (rails design, section 5, law 4).
    pub fn rank(&self) -> u8 {
        match self {
            Self::Sent => 0,
            Self::Accepted { .. } => 1,
            Self::Refused { .. } | Self::Absent | Self::Recalled => 2,
            Self::Settled { .. } | Self::Stray { .. } => 3,
            Self::Returned { .. } => 4,
        }
    }
    /// The rail's own name for it, if it told one.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Accepted { reference }
            | Self::Settled { reference }
            | Self::Returned { reference, .. }
            | Self::Stray { reference } => reference.as_deref(),
            Self::Sent | Self::Refused { .. } | Self::Absent | Self::Recalled => None,
        }
    }
    /// The rail's reason, if it refused it or sent it back.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused { reason } | Self::Returned { reason, .. } => Some(reason),
            Self::Sent
            | Self::Accepted { .. }
            | Self::Settled { .. }
            | Self::Absent
            | Self::Recalled
            | Self::Stray { .. } => None,
        }
    }
    /// The outcome of that word.
    pub fn of(word: &str, reference: Option<String>, reason: Option<String>) -> Option<Self> {
        Some(match word {
            "sent" => Self::Sent,
            "accepted" => Self::Accepted { reference },
            "settled" => Self::Settled { reference },
            "refused" => Self::Refused { reason: reason? },
            "absent" => Self::Absent,
            "recalled" => Self::Recalled,
            "returned" => Self::Returned { reference, reason: reason? },
            "stray" => Self::Stray { reference },
            _ => return None,
        })
    }
}

/// A step that an instruction cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is {from} under an instruction cannot be {to}")]
pub struct IllegalInstructionStep {
    from: &'static str,
    to: &'static str,
}

impl InstructionItem {
    /// Something that is about to be sent.
    pub fn new(item: ItemId, wire_ref: String, amount_minor: i64, destination: [u8; 32]) -> Self {
        Self { item, wire_ref, amount_minor, destination, outcome: Outcome::Sent, returned_minor: 0 }
    }
}

impl Instruction {
    /// The intent to send it for the first time: to be committed before the rail is called.
    #[expect(clippy::too_many_arguments, reason = "a plain record, made in one place")]
    pub fn record(
        id: InstructionId,
        batch: BatchId,
        rail: RailId,
        currency: Currency,
        items: Vec<InstructionItem>,
        generation: u32,
        body: Vec<u8>,
        at: Timestamp,
    ) -> Self {
        Self { id, batch, rail, currency, items, generation, body, tries: 1, first_sent_at: at, last_sent_at: at }
    }

    /// What it pays of that item.
    pub fn item(&self, item: ItemId) -> Option<&InstructionItem> {
        self.items.iter().find(|part| part.item == item)
    }
    /// The sum of its items, in minor units.
    pub fn amount_minor(&self) -> i64 {
        self.items.iter().map(|item| item.amount_minor).sum()
    }
    /// Whether something is still to be learned of it.
    pub fn is_open(&self) -> bool {
        self.items.iter().any(|part| part.outcome.is_open())
    }
    /// Whether the rail has said that it has it.
    pub fn is_acknowledged(&self) -> bool {
        self.items.iter().any(|part| part.outcome != Outcome::Sent)
    }
    /// Whether it may have been received. If not, nothing of it can ever be executed.
    pub fn may_have_been_received(&self) -> bool {
        self.tries > 0
    }
    /// The word for the whole: that of its items, or `mixed`.
    pub fn status(&self) -> &'static str {
        let mut words = self.items.iter().map(|part| part.outcome.as_str());
        let first = words.next().unwrap_or("sent");
        if words.all(|word| word == first) { first } else { "mixed" }
    }

    /// The intent to send the same bytes under the same key once more: to be committed before the call.
    ///
    /// # Errors
    /// If something is known of it already.
    pub fn try_again(self, at: Timestamp) -> Result<Self, IllegalInstructionStep> {
        match self.items.iter().find(|part| part.outcome != Outcome::Sent) {
            Some(part) => Err(IllegalInstructionStep { from: part.outcome.as_str(), to: "sent again" }),
            // What was never received starts its window anew.
            None if self.tries == 0 => Ok(Self { tries: 1, first_sent_at: at, last_sent_at: at, ..self }),
            None => Ok(Self { tries: self.tries + 1, last_sent_at: at, ..self }),
        }
    }

    /// The last call never left: it is as if it had not been made.
    #[must_use]
    pub fn not_sent(self) -> Self {
        Self { tries: self.tries.saturating_sub(1), ..self }
    }

    /// What became of an item.
    ///
    /// # Errors
    /// If what is known already does not rank lower.
    pub fn learn(mut self, item: ItemId, outcome: Outcome) -> Result<Self, IllegalInstructionStep> {
        if let Some(part) = self.items.iter_mut().find(|part| part.item == item) {
            if outcome.rank() <= part.outcome.rank() {
                return Err(IllegalInstructionStep { from: part.outcome.as_str(), to: outcome.as_str() });
            }
            part.outcome = outcome;
        }
        Ok(self)
    }

    /// What came back of an item by now.
    #[must_use]
    pub fn came_back(mut self, item: ItemId, returned_minor: i64) -> Self {
        if let Some(part) = self.items.iter_mut().find(|part| part.item == item) {
            part.returned_minor = returned_minor;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn item(n: u128) -> ItemId {
        ItemId::new(Uuid::from_u128(n))
    }
    fn sent() -> Instruction {
        let items = [(1, 5), (2, 7)].map(|(n, amount)| InstructionItem::new(item(n), "W".into(), amount, [0; 32]));
        Instruction::record(
            InstructionId::new(Uuid::nil()),
            BatchId::new(Uuid::nil()),
            "simulator".parse().unwrap(),
            "USD".parse().unwrap(),
            items.to_vec(),
            1,
            b"{}".to_vec(),
            Timestamp::from_unix_micros(1),
        )
    }
    fn outcomes() -> Vec<Outcome> {
        Outcome::WORDS.map(|word| Outcome::of(word, Some("ref".into()), Some("no".into())).unwrap()).to_vec()
    }

    #[test]
    fn a_try_keeps_the_key_the_bytes_and_the_first_instant() {
        let again = sent().try_again(Timestamp::from_unix_micros(9)).unwrap();
        assert_eq!((again.id, &again.body, again.tries), (sent().id, &sent().body, 2));
        assert_eq!((again.first_sent_at, again.last_sent_at), (sent().first_sent_at, Timestamp::from_unix_micros(9)));
        assert_eq!(again.amount_minor(), 12);
    }

    #[test]
    fn what_never_left_is_no_try_and_its_window_starts_with_the_next() {
        let never = sent().not_sent();
        assert!(!never.may_have_been_received());
        let again = never.try_again(Timestamp::from_unix_micros(9)).unwrap();
        assert_eq!((again.tries, again.first_sent_at), (1, Timestamp::from_unix_micros(9)));
        let second = again.try_again(Timestamp::from_unix_micros(20)).unwrap().not_sent();
        assert_eq!((second.tries, second.first_sent_at), (1, Timestamp::from_unix_micros(9)));
    }

    #[test]
    fn what_is_known_replaces_only_what_ranks_lower() {
        for before in outcomes() {
            for after in outcomes() {
                let mut known = sent();
                known.items[0].outcome = before.clone();
                let learned = known.learn(item(1), after.clone());
                assert_eq!(learned.is_ok(), after.rank() > before.rank(), "{before:?} {after:?}");
            }
        }
    }

    #[test]
    fn one_item_may_be_paid_and_the_next_refused() {
        let known = sent().learn(item(1), Outcome::Settled { reference: None }).unwrap();
        assert!(known.is_open() && known.status() == "mixed");
        let known = known.learn(item(2), Outcome::Refused { reason: "no".into() }).unwrap();
        assert!(!known.is_open() && known.items[0].outcome.is_live() && !known.items[1].outcome.is_live());
        assert!(known.try_again(Timestamp::from_unix_micros(9)).is_err());
    }

    #[test]
    fn an_outcome_is_read_back_as_written() {
        for outcome in outcomes() {
            let (reference, reason) = (outcome.reference().map(str::to_owned), outcome.reason().map(str::to_owned));
            assert_eq!(Outcome::of(outcome.as_str(), reference, reason), Some(outcome));
        }
        assert_eq!(Outcome::of("maybe", None, None), None);
    }
}
