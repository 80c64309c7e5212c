//! What leaves the building: an immutable order to a rail, stored before it is sent.
//!
//! Its id is the idempotency key. A new instruction for the same item (a new generation) starts only after
//! the rail refused the old one, proved it absent, or returned it; further calls under one key are its tries.
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
    /// What it pays; never empty.
    pub items: Vec<InstructionItem>,
    /// 1 for the first instruction of an item, 2 after that was refused, and so on.
    pub generation: u32,
    /// The bytes that are sent, the same at every try.
    pub body: Vec<u8>,
    /// How many times it may have been sent: counted before each call.
    pub tries: u32,
    /// When it may first have been sent: the replay window starts here.
    pub first_sent_at: Timestamp,
    /// When it may last have been sent: the settle bound starts here.
    pub last_sent_at: Timestamp,
    state: InstructionState,
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
}

/// What is known of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstructionState {
    /// It may have been sent, and the outcome is not known (yet).
    Sent,
    /// The rail took it.
    Accepted {
        /// The rail's own name for it.
        reference: Option<String>,
    },
    /// The rail refused it, certainly: nothing was executed.
    Refused {
        /// The rail's reason.
        reason: String,
    },
}

/// A step that an instruction cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an instruction that is {from} cannot be {to}")]
pub struct IllegalInstructionStep {
    from: &'static str,
    to: &'static str,
}

impl InstructionState {
    /// The word that is stored and answered.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } => "refused",
        }
    }
    /// Whether it occupies its items: no other instruction may exist for them.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Sent | Self::Accepted { .. } => true,
            Self::Refused { .. } => false,
        }
    }
    /// The rail's own name for it, if it told one.
    pub fn reference(&self) -> Option<&str> {
        if let Self::Accepted { reference } = self { reference.as_deref() } else { None }
    }
    /// The rail's reason, if it refused.
    pub fn reason(&self) -> Option<&str> {
        if let Self::Refused { reason } = self { Some(reason) } else { None }
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
        Self {
            id,
            batch,
            rail,
            currency,
            items,
            generation,
            body,
            tries: 1,
            first_sent_at: at,
            last_sent_at: at,
            state: InstructionState::Sent,
        }
    }

    /// The same instruction in a state that was stored. For adapters that read it back.
    pub fn in_state(self, state: InstructionState) -> Self {
        Self { state, ..self }
    }

    /// What is known of it.
    pub fn state(&self) -> &InstructionState {
        &self.state
    }
    /// The sum of its items, in minor units.
    pub fn amount_minor(&self) -> i64 {
        self.items.iter().map(|item| item.amount_minor).sum()
    }

    /// The intent to send the same bytes under the same key once more: to be committed before the call.
    ///
    /// # Errors
    /// If its outcome is known already.
    pub fn try_again(self, at: Timestamp) -> Result<Self, IllegalInstructionStep> {
        match self.state {
            InstructionState::Sent => Ok(Self { tries: self.tries + 1, last_sent_at: at, ..self }),
            _ => Err(self.illegal("sent again")),
        }
    }

    /// The rail took it.
    ///
    /// # Errors
    /// If it was refused before.
    pub fn accept(self, reference: Option<String>) -> Result<Self, IllegalInstructionStep> {
        match self.state {
            InstructionState::Sent => Ok(self.in_state(InstructionState::Accepted { reference })),
            InstructionState::Accepted { .. } | InstructionState::Refused { .. } => Err(self.illegal("accepted")),
        }
    }

    /// The rail refused it, certainly.
    ///
    /// # Errors
    /// If it was accepted before.
    pub fn refuse(self, reason: String) -> Result<Self, IllegalInstructionStep> {
        match self.state {
            InstructionState::Sent => Ok(self.in_state(InstructionState::Refused { reason })),
            InstructionState::Accepted { .. } | InstructionState::Refused { .. } => Err(self.illegal("refused")),
        }
    }

    fn illegal(&self, to: &'static str) -> IllegalInstructionStep {
        IllegalInstructionStep { from: self.state.as_str(), to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn sent() -> Instruction {
        let items = [5, 7].map(|amount_minor| InstructionItem {
            item: ItemId::new(Uuid::nil()),
            wire_ref: "W".into(),
            amount_minor,
        });
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

    #[test]
    fn a_try_keeps_the_key_the_bytes_and_the_first_instant() {
        let again = sent().try_again(Timestamp::from_unix_micros(9)).unwrap();
        assert_eq!((again.id, &again.body, again.tries), (sent().id, &sent().body, 2));
        assert_eq!((again.first_sent_at, again.last_sent_at), (sent().first_sent_at, Timestamp::from_unix_micros(9)));
        assert_eq!(again.amount_minor(), 12);
    }

    #[test]
    fn an_outcome_is_told_once() {
        let accepted = sent().accept(Some("ref".into())).unwrap();
        let refused = sent().refuse("no".into()).unwrap();
        assert!(accepted.state().is_live() && !refused.state().is_live());
        for known in [accepted, refused] {
            assert!(known.clone().accept(None).is_err());
            assert!(known.clone().refuse(String::new()).is_err());
            assert!(known.try_again(Timestamp::from_unix_micros(9)).is_err());
        }
    }
}
