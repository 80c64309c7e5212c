//! One payment to one recipient, and the only ways it may move (product design, section 2).

use crate::{
    calculation::Line,
    ids::{BatchId, ItemId, RecipientId},
    recipient::HoldReason,
    timestamp::Timestamp,
};

/// One payment to one recipient. Its amounts and its recipient never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Ours.
    pub id: ItemId,
    /// The batch it belongs to.
    pub batch: BatchId,
    /// Its place in the batch, from 0.
    pub seq: u32,
    /// Who is paid.
    pub recipient: RecipientId,
    /// Gross, in minor units.
    pub amount_minor: i64,
    /// The platform's part of it.
    pub fee_minor: i64,
    /// What is withheld of it.
    pub tax_minor: i64,
    /// What is left: gross less fee less tax.
    pub net_minor: i64,
    /// What is sent, held or not: net, and what was carried, less what a debt took and what is carried on.
    pub payable_minor: i64,
    /// What reversals took back of `amount_minor`: gross.
    pub reversed_minor: i64,
    /// What reversals took of `payable_minor`.
    pub taken_minor: i64,
    /// How many instructions were made for it.
    pub attempts: u32,
    /// How many of them the worker made by itself after a refusal, since the last time that a person decided.
    pub retries: u32,
    /// Not to be sent before this: the worker waits between its retries.
    pub not_before: Option<Timestamp>,
    /// When it was booked.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
    state: ItemState,
}

/// What is true of the item now. Data lives only in the states where it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemState {
    /// Owed, and to be sent.
    Scheduled,
    /// Owed, and held until the recipient or an operator acts.
    PendingKyc {
        /// Why.
        reason: HoldReason,
    },
    /// The intent is committed: from here on a crash leaves doubt.
    Processing,
    /// It may have been paid or not. Silence from a rail is never a failure.
    InDoubt,
    /// The rail settled it.
    Paid {
        /// The rail's own name for the payment.
        reference: Option<String>,
        /// When we learned it.
        at: Timestamp,
    },
    /// The rail refused it: the money never left.
    Failed {
        /// The rail's reason.
        reason: String,
        /// When we learned it.
        at: Timestamp,
    },
    /// The money left and came back.
    Returned {
        /// The rail's own name for the payment.
        reference: Option<String>,
        /// Why it came back.
        reason: String,
        /// When we learned it.
        at: Timestamp,
    },
    /// It will not be paid.
    Cancelled {
        /// When that was decided.
        at: Timestamp,
    },
}

/// A state without its data: what is stored in the status column and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemStatus {
    /// Owed, and to be sent.
    Scheduled,
    /// Owed, and held.
    PendingKyc,
    /// Sent, outcome awaited.
    Processing,
    /// Sent, outcome unknown.
    InDoubt,
    /// Settled.
    Paid,
    /// Refused.
    Failed,
    /// Came back.
    Returned,
    /// Will not be paid.
    Cancelled,
}

impl ItemStatus {
    /// Every status, in the order of the design.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::PendingKyc,
        Self::Processing,
        Self::InDoubt,
        Self::Paid,
        Self::Failed,
        Self::Returned,
        Self::Cancelled,
    ];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::PendingKyc => "pending_kyc",
            Self::Processing => "processing",
            Self::InDoubt => "in_doubt",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }
    /// Whether the item's payable amount stands on the recipient's payable account.
    pub fn is_owed(self) -> bool {
        match self {
            Self::Scheduled | Self::PendingKyc | Self::Failed | Self::Returned => true,
            Self::Processing | Self::InDoubt | Self::Paid | Self::Cancelled => false,
        }
    }
    /// Whether nothing can happen to it any more but a return.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Paid | Self::Cancelled)
    }
    /// Whether the item's payable amount stands on the rail's in-transit account.
    pub fn is_in_transit(self) -> bool {
        matches!(self, Self::Processing | Self::InDoubt)
    }
}

/// What can happen to an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemStep {
    /// The intent to send it is committed.
    RecordIntent,
    /// It must wait for the recipient or an operator.
    Hold(HoldReason),
    /// What it waited for is there.
    Release,
    /// An operator or a policy gives it up.
    Cancel,
    /// The rail settled it.
    Settle {
        /// The rail's own name for the payment.
        reference: Option<String>,
    },
    /// The rail refused it, certainly.
    Refuse {
        /// The rail's reason.
        reason: String,
    },
    /// The rail refused it because the recipient must act first; nothing was executed.
    RecipientMustAct(HoldReason),
    /// It is proven that nothing was executed.
    ProveAbsent,
    /// It is proven that the rail recalled it.
    ProveRecalled,
    /// The outcome is unknown.
    LoseTrack,
    /// The rail has it, after all.
    Acknowledge,
    /// The money came back.
    Return {
        /// The rail's own name for the payment.
        reference: Option<String>,
        /// Why it came back.
        reason: String,
    },
    /// An operator sends it again: a new instruction with a new key.
    Retry,
    /// An operator sends it again as soon as the recipient has acted.
    RetryHeld(HoldReason),
    /// An earlier instruction turns out to have been executed, and none was sent since.
    SettleLate {
        /// The rail's own name for the payment.
        reference: Option<String>,
    },
}

impl ItemStep {
    /// The word used in messages and in the printed table.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::RecordIntent => "record_intent",
            Self::Hold(_) => "hold",
            Self::Release => "release",
            Self::Cancel => "cancel",
            Self::Settle { .. } => "settle",
            Self::Refuse { .. } => "refuse",
            Self::RecipientMustAct(_) => "recipient_must_act",
            Self::ProveAbsent => "prove_absent",
            Self::ProveRecalled => "prove_recalled",
            Self::LoseTrack => "lose_track",
            Self::Acknowledge => "acknowledge",
            Self::Return { .. } => "return",
            Self::Retry => "retry",
            Self::RetryHeld(_) => "retry_held",
            Self::SettleLate { .. } => "settle_late",
        }
    }
}

/// A step that the table does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an item that is {from} cannot {step}")]
pub struct IllegalItemStep {
    /// The state it was in.
    pub from: &'static str,
    /// The step that was asked for.
    pub step: &'static str,
}

impl ItemState {
    /// The transition table. What is not listed is illegal.
    ///
    /// # Errors
    /// [`IllegalItemStep`].
    pub fn after(&self, step: ItemStep, at: Timestamp) -> Result<Self, IllegalItemStep> {
        use ItemState as S;
        use ItemStep as T;
        let illegal = IllegalItemStep { from: self.status().as_str(), step: step.as_str() };
        Ok(match (self, step) {
            (S::Scheduled, T::RecordIntent) => S::Processing,
            (S::Scheduled, T::Hold(reason)) => S::PendingKyc { reason },
            (S::PendingKyc { .. }, T::Release) => S::Scheduled,
            (S::Scheduled | S::PendingKyc { .. } | S::Failed { .. } | S::Returned { .. }, T::Cancel) => {
                S::Cancelled { at }
            }
            (S::Processing | S::InDoubt, T::Settle { reference }) => S::Paid { reference, at },
            (S::Processing | S::InDoubt, T::Refuse { reason }) => S::Failed { reason, at },
            (S::Processing | S::InDoubt, T::RecipientMustAct(reason)) => S::PendingKyc { reason },
            (S::Processing | S::InDoubt, T::ProveAbsent) => S::Scheduled,
            (S::Processing | S::InDoubt, T::ProveRecalled) => S::Cancelled { at },
            (S::Processing, T::LoseTrack) => S::InDoubt,
            (S::InDoubt, T::Acknowledge) => S::Processing,
            (S::Processing | S::InDoubt | S::Paid { .. }, T::Return { reference, reason }) => {
                S::Returned { reference, reason, at }
            }
            (S::Failed { .. } | S::Returned { .. }, T::Retry) => S::Scheduled,
            (S::Failed { .. } | S::Returned { .. }, T::RetryHeld(reason)) => S::PendingKyc { reason },
            (S::Failed { .. } | S::Scheduled | S::PendingKyc { .. }, T::SettleLate { reference }) => {
                S::Paid { reference, at }
            }
            _ => return Err(illegal),
        })
    }

    /// The state without its data.
    pub fn status(&self) -> ItemStatus {
        match self {
            Self::Scheduled => ItemStatus::Scheduled,
            Self::PendingKyc { .. } => ItemStatus::PendingKyc,
            Self::Processing => ItemStatus::Processing,
            Self::InDoubt => ItemStatus::InDoubt,
            Self::Paid { .. } => ItemStatus::Paid,
            Self::Failed { .. } => ItemStatus::Failed,
            Self::Returned { .. } => ItemStatus::Returned,
            Self::Cancelled { .. } => ItemStatus::Cancelled,
        }
    }
    /// Why it is held, if it is.
    pub fn hold_reason(&self) -> Option<HoldReason> {
        if let Self::PendingKyc { reason } = self { Some(*reason) } else { None }
    }
    /// Why it was refused or came back, if so.
    pub fn failure_reason(&self) -> Option<&str> {
        match self {
            Self::Failed { reason, .. } | Self::Returned { reason, .. } => Some(reason),
            _ => None,
        }
    }
    /// The rail's own name for the payment, if it told one.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Paid { reference, .. } | Self::Returned { reference, .. } => reference.as_deref(),
            _ => None,
        }
    }
    /// When its outcome became known, if it did.
    pub fn processed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Paid { at, .. } | Self::Failed { at, .. } | Self::Returned { at, .. } | Self::Cancelled { at } => {
                Some(*at)
            }
            Self::Scheduled | Self::PendingKyc { .. } | Self::Processing | Self::InDoubt => None,
        }
    }
}

impl Item {
    /// Books a line of a calculation. A held line starts held; its payable amount is what will be sent all the same.
    pub fn book(id: ItemId, batch: BatchId, seq: u32, line: &Line, at: Timestamp) -> Self {
        let state = line.hold.map_or(ItemState::Scheduled, |reason| ItemState::PendingKyc { reason });
        Self {
            id,
            batch,
            seq,
            recipient: line.recipient.clone(),
            amount_minor: line.gross_minor,
            fee_minor: line.fee_minor,
            tax_minor: line.tax_minor,
            net_minor: line.net_minor,
            payable_minor: line.payable_minor + line.held_minor,
            reversed_minor: 0,
            taken_minor: 0,
            attempts: 0,
            retries: 0,
            not_before: None,
            created_at: at,
            updated_at: at,
            state,
        }
    }

    /// An item that pays what was carried for a recipient, without a release.
    pub fn carry(id: ItemId, batch: BatchId, recipient: RecipientId, payable_minor: i64, at: Timestamp) -> Self {
        Self {
            id,
            batch,
            seq: 0,
            recipient,
            amount_minor: 0,
            fee_minor: 0,
            tax_minor: 0,
            net_minor: 0,
            payable_minor,
            reversed_minor: 0,
            taken_minor: 0,
            attempts: 0,
            retries: 0,
            not_before: None,
            created_at: at,
            updated_at: at,
            state: ItemState::Scheduled,
        }
    }

    /// What is still to be sent, or was: the payable amount less what reversals took of it.
    pub fn due_minor(&self) -> i64 {
        self.payable_minor - self.taken_minor
    }

    /// The item after a reversal of `gross_minor` of it, of which `taken_minor` comes out of what was to be sent. One
    /// that leaves nothing to send cancels it.
    ///
    /// # Errors
    /// [`IllegalItemStep`], if something is taken that is not there any more.
    pub fn reverse(self, gross_minor: i64, taken_minor: i64, at: Timestamp) -> Result<Self, IllegalItemStep> {
        let illegal = IllegalItemStep { from: self.status().as_str(), step: "reverse" };
        let is_free = taken_minor == 0 || self.status().is_owed() && taken_minor <= self.due_minor();
        if self.status().is_in_transit() || !is_free || gross_minor > self.amount_minor - self.reversed_minor {
            return Err(illegal);
        }
        let reversed_minor = self.reversed_minor + gross_minor;
        let item = Self { reversed_minor, taken_minor: self.taken_minor + taken_minor, updated_at: at, ..self };
        if item.due_minor() == 0 && item.status().is_owed() { item.after(ItemStep::Cancel, at) } else { Ok(item) }
    }

    /// The same item in a state that was stored. For adapters that read it back.
    pub fn in_state(self, state: ItemState) -> Self {
        Self { state, ..self }
    }

    /// What is true of it now.
    pub fn state(&self) -> &ItemState {
        &self.state
    }
    /// The state without its data.
    pub fn status(&self) -> ItemStatus {
        self.state.status()
    }

    /// The item after a step.
    ///
    /// # Errors
    /// [`IllegalItemStep`], if the table does not list it.
    pub fn after(self, step: ItemStep, at: Timestamp) -> Result<Self, IllegalItemStep> {
        let attempts = self.attempts + u32::from(step == ItemStep::RecordIntent);
        // Who decides anew starts to count anew.
        let retries = if matches!(step, ItemStep::Retry | ItemStep::RetryHeld(_)) { 0 } else { self.retries };
        Ok(Self { state: self.state.after(step, at)?, attempts, retries, not_before: None, updated_at: at, ..self })
    }

    /// The same item, not to be sent before then. `counts` says whether that is one of a bounded number of retries.
    #[must_use]
    pub fn postponed(self, not_before: Timestamp, counts: bool) -> Self {
        Self { not_before: Some(not_before), retries: self.retries + u32::from(counts), ..self }
    }
}

/// The whole machine as text: a row for each state, a column for each step. It is `docs/states.md`.
pub fn table() -> String {
    let at = Timestamp::from_unix_micros(0);
    let hold = HoldReason::RecipientPending;
    let states = [
        ItemState::Scheduled,
        ItemState::PendingKyc { reason: hold },
        ItemState::Processing,
        ItemState::InDoubt,
        ItemState::Paid { reference: None, at },
        ItemState::Failed { reason: String::new(), at },
        ItemState::Returned { reference: None, reason: String::new(), at },
        ItemState::Cancelled { at },
    ];
    let steps = [
        ItemStep::RecordIntent,
        ItemStep::Hold(hold),
        ItemStep::Release,
        ItemStep::Cancel,
        ItemStep::Settle { reference: None },
        ItemStep::Refuse { reason: String::new() },
        ItemStep::RecipientMustAct(hold),
        ItemStep::ProveAbsent,
        ItemStep::ProveRecalled,
        ItemStep::LoseTrack,
        ItemStep::Acknowledge,
        ItemStep::Return { reference: None, reason: String::new() },
        ItemStep::Retry,
        ItemStep::RetryHeld(hold),
        ItemStep::SettleLate { reference: None },
    ];
    let mut text = String::from("| step |");
    for state in &states {
        text += &format!(" {} |", state.status().as_str());
    }
    text += &format!("\n|---|{}", "---|".repeat(states.len()));
    for step in &steps {
        text += &format!("\n| `{}` |", step.as_str());
        for state in &states {
            let next = state.after(step.clone(), at);
            text += &format!(" {} |", next.map_or("·", |next| next.status().as_str()));
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new way for money is one changed cell here.
    #[test]
    fn the_whole_machine_on_one_screen() {
        let expected = "\
| step | scheduled | pending_kyc | processing | in_doubt | paid | failed | returned | cancelled |
|---|---|---|---|---|---|---|---|---|
| `record_intent` | processing | · | · | · | · | · | · | · |
| `hold` | pending_kyc | · | · | · | · | · | · | · |
| `release` | · | scheduled | · | · | · | · | · | · |
| `cancel` | cancelled | cancelled | · | · | · | cancelled | cancelled | · |
| `settle` | · | · | paid | paid | · | · | · | · |
| `refuse` | · | · | failed | failed | · | · | · | · |
| `recipient_must_act` | · | · | pending_kyc | pending_kyc | · | · | · | · |
| `prove_absent` | · | · | scheduled | scheduled | · | · | · | · |
| `prove_recalled` | · | · | cancelled | cancelled | · | · | · | · |
| `lose_track` | · | · | in_doubt | · | · | · | · | · |
| `acknowledge` | · | · | · | processing | · | · | · | · |
| `return` | · | · | returned | returned | returned | · | · | · |
| `retry` | · | · | · | · | · | scheduled | scheduled | · |
| `retry_held` | · | · | · | · | · | pending_kyc | pending_kyc | · |
| `settle_late` | paid | paid | · | · | · | paid | · | · |
";
        assert_eq!(table(), expected);
    }

    #[test]
    fn an_illegal_step_names_both_sides() {
        let at = Timestamp::from_unix_micros(0);
        let refused = ItemState::Cancelled { at }.after(ItemStep::RecordIntent, at).unwrap_err();
        assert_eq!(refused.to_string(), "an item that is cancelled cannot record_intent");
    }
}
