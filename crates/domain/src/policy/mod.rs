//! What must be true before a batch is paid: how many people say yes, and when it is time.
//!
//! * `spec`: a policy as written
//! * `check`: every fault of it, found in one pass; without any, the checked policy

mod check;
mod spec;

pub use check::{
    APPROVALS_MAX, APPROVERS_MAX, PolicyFault, PolicyFaultCode, RULES_MAX, VALID_FOR_SECONDS_MAX, VALID_FOR_SECONDS_MIN,
};
pub use spec::{ApprovalSpec, CalendarSpec, PolicySpec, RuleSpec};

use crate::{calendar::Calendar, currency::Currency, ids::Requester};

/// A checked policy. By default nobody must approve anything, and everything is paid at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Who must say yes to what.
    pub approval: ApprovalPolicy,
    /// When payouts are made; at once, if there is none.
    pub calendar: Option<Calendar>,
}

/// Who must say yes to what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalPolicy {
    /// What asks for approval; the most of what they ask for is needed.
    pub rules: Vec<ApprovalRule>,
    /// Whose approvals count; everybody's who has the role, if nobody is named.
    pub approvers: Vec<Requester>,
    /// How long an approval counts; for ever, if this is not said.
    pub valid_for_seconds: Option<u64>,
}

/// So many people must say yes, if something is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRule {
    /// If this is so.
    pub when: Trigger,
    /// How many people: 1 to [`APPROVALS_MAX`].
    pub approvals: u32,
}

/// What asks for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// So much or more is to be sent in this currency. Nothing is said about other currencies.
    Amount {
        /// Which currency.
        currency: Currency,
        /// The least amount that is meant, in minor units.
        from_minor: i64,
    },
    /// Somebody is paid for the first time.
    NewDestination,
    /// Somebody is paid elsewhere than ever before.
    ChangedDestination,
}

/// What is to be sent of a batch, as far as rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalFacts {
    /// The currency of the batch.
    pub currency: Currency,
    /// The sum of what is to be sent, in minor units.
    pub amount_minor: i64,
    /// Whether it goes to somebody who was never paid.
    pub has_new_destination: bool,
    /// Whether it goes elsewhere than ever before.
    pub has_changed_destination: bool,
}

impl ApprovalPolicy {
    /// How many people must say yes: the most that any rule asks for.
    pub fn required(&self, facts: &ApprovalFacts) -> u32 {
        let matching = self.rules.iter().filter(|rule| rule.when.is_met_by(facts));
        matching.map(|rule| rule.approvals).max().unwrap_or(0)
    }
}

impl Trigger {
    fn is_met_by(&self, facts: &ApprovalFacts) -> bool {
        match self {
            Self::Amount { currency, from_minor } => *currency == facts.currency && *from_minor <= facts.amount_minor,
            Self::NewDestination => facts.has_new_destination,
            Self::ChangedDestination => facts.has_changed_destination,
        }
    }
}

#[cfg(test)]
mod tests;
