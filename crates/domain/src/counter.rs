//! Counters: everything that a calculation must remember of earlier ones is a number under a name.
//!
//! What a step has recouped, what a tier has seen, what a year has taxed, what is carried for a recipient, what they
//! owe. A counter is the sum of its movements, which are rows that are only ever added; the number itself is kept to
//! be read fast and to notice that somebody else was faster. A plain share model has none.

use crate::{
    currency::Currency,
    day::Day,
    ids::{ProjectId, RecipientId},
    revenue_model::StepKey,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a counter: a kind and what it belongs to, as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CounterKey(String);

impl CounterKey {
    /// What a step gave a recipient towards its target.
    pub fn recouped(project: &ProjectId, currency: Currency, key: &StepKey, recipient: &RecipientId) -> Self {
        Self(format!("recouped:{project}:{currency}:{key}:{recipient}"))
    }
    /// As [`Self::recouped`], of all steps of all projects that recoup the same advance.
    pub fn cross_recouped(id: &StepKey, currency: Currency, recipient: &RecipientId) -> Self {
        Self(format!("cross_recouped:{id}:{currency}:{recipient}"))
    }
    /// What a `fixed` step gave, of an amount that is due once.
    pub fn fixed(project: &ProjectId, currency: Currency, key: &StepKey) -> Self {
        Self(format!("fixed:{project}:{currency}:{key}"))
    }
    /// What a line of a share step got, of what it gets at most.
    pub fn lifetime(project: &ProjectId, currency: Currency, key: &StepKey, recipient: &RecipientId) -> Self {
        Self(format!("lifetime:{project}:{currency}:{key}:{recipient}"))
    }
    /// What a `tiers` step divided. Another `since` is another count.
    pub fn cumulative(project: &ProjectId, currency: Currency, key: &StepKey, since: Option<Day>) -> Self {
        Self(format!("cumulative:{project}:{currency}:{key}:{}", day(since)))
    }
    /// What the platform fee's tiers have seen.
    pub fn fee_base(project: &ProjectId, currency: Currency, since: Option<Day>) -> Self {
        Self(format!("fee_base:{project}:{currency}:{}", day(since)))
    }
    /// What rounding left over for a line, in units of 1 / the total weight of its step.
    pub fn residue(
        project: &ProjectId,
        version: u32,
        currency: Currency,
        step: usize,
        recipient: &RecipientId,
    ) -> Self {
        Self(format!("residue:{project}:{version}:{currency}:{step}:{recipient}"))
    }
    /// How many releases a project had whose ties go round.
    pub fn sequence(project: &ProjectId) -> Self {
        Self(format!("sequence:{project}"))
    }
    /// What a tax rule has looked at in a period.
    pub fn tax_base(recipient: &RecipientId, currency: Currency, rule: &str, period: &str) -> Self {
        Self(format!("tax_base:{recipient}:{currency}:{rule}:{period}"))
    }
    /// What is carried for a recipient.
    pub fn carried(recipient: &RecipientId, currency: Currency) -> Self {
        Self(format!("carried:{recipient}:{currency}"))
    }
    /// What a recipient owes.
    pub fn debt(recipient: &RecipientId, currency: Currency) -> Self {
        Self(format!("debt:{recipient}:{currency}"))
    }
    /// From what was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The kind of counter: the first word.
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
    /// Whether a reversal moves it back. The turn of a tie and the residue of a rounding are no money.
    pub fn moves_back(&self) -> bool {
        !matches!(self.kind(), "sequence" | "residue")
    }
}

fn day(since: Option<Day>) -> String {
    since.map_or_else(|| "ever".to_owned(), |day| day.to_string())
}

impl fmt::Display for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
