//! Everything beside the model that a calculation depends on: what is known of the recipients, and what was counted.

use super::needs::Need;
use crate::{
    change::{Cause, Count, Reason, Stored},
    ports::{PayoutRepository, Rails, StoreError, repository::StoredCounter},
};
use domain::{
    calculation::{
        self, Calculation, CalculationError, Counter, Deduction, Detail, Movement, Party, Request, Withholding,
    },
    counter::CounterKey,
    currency::Currency,
    day::Day,
    ids::{BatchId, ProjectId, RecipientId},
    money::Money,
    recipient::{HoldReason, RailId, Recipient},
    revenue_model::RevenueModel,
    tax::TaxRule,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// For whom and when.
#[derive(Clone, Copy)]
pub(crate) struct Occasion<'a> {
    /// Whose model; nobody's if it is only tried: then nothing of it was counted before.
    pub(crate) project: Option<(&'a ProjectId, u32)>,
    pub(crate) currency: Currency,
    pub(crate) day: Day,
}

/// What was read before: nobody asks for that again.
#[derive(Default)]
pub(crate) struct Known {
    /// What was asked for: what of it was not found is not there.
    pub(crate) asked: Arc<Need>,
    pub(crate) recipients: Vec<Stored<Recipient>>,
    /// None, if they may have moved since.
    pub(crate) counters: Option<Vec<StoredCounter>>,
}

/// What is known.
pub(crate) struct Facts {
    pub(crate) parties: Vec<Party>,
    pub(crate) counts: Vec<i64>,
    /// Of whom and what it was to be known.
    pub(crate) need: Need,
    model_keys: Vec<CounterKey>,
    counters: HashMap<CounterKey, (i64, u32)>,
    currency: Currency,
    day: Day,
}

/// Why nothing may be paid to a recipient now, if so. Somebody that nobody registered is paid over the
/// default rail, if that rail pays strangers; a placeholder waits until somebody registers them.
pub(crate) fn hold(recipient: Option<&Recipient>, is_placeholder: bool, rails: &Rails) -> Option<HoldReason> {
    let pays_strangers = |rail: &RailId| rails.get(rail).is_some_and(|rail| rail.profile().pays_strangers);
    match recipient {
        Some(known) => known.hold(),
        None if is_placeholder => Some(HoldReason::RecipientPlaceholder),
        None if pays_strangers(rails.default_id()) => None,
        None => Some(HoldReason::RecipientUnregistered),
    }
}

/// What a rail can send of a currency to a recipient is a multiple of so many minor units.
pub(crate) fn granularity_minor(recipient: Option<&Recipient>, currency: Currency, rails: &Rails) -> i64 {
    let rail = recipient.map_or(rails.default_id(), |known| &known.destination.rail);
    rails.get(rail).map_or(1, |rail| rail.profile().granularity_minor(currency))
}

impl Facts {
    /// Reads what is not known of them: recipients first, then every counter at once.
    pub(crate) async fn read(
        repository: &dyn PayoutRepository,
        rails: &Rails,
        model: &RevenueModel,
        occasion: Occasion<'_>,
        known: Known,
    ) -> Result<Self, StoreError> {
        let Occasion { project, currency, day } = occasion;
        let Known { asked, recipients, counters } = known;
        let recipients = if asked.covers_recipients(model.recipients()) {
            recipients
        } else {
            repository.recipients(model.recipients()).await?
        };
        let known: HashMap<&RecipientId, &Recipient> =
            recipients.iter().map(|stored| (&stored.value.id, &stored.value)).collect();
        let model_keys = project.map(|(project, version)| model.counter_keys(project, version, currency));
        let model_keys = model_keys.unwrap_or_default();
        let rules: Vec<Vec<&TaxRule>> =
            model.recipients().iter().map(|who| rules(known.get(who).copied(), model, currency, day)).collect();

        let mut keys = model_keys.clone();
        for (who, rules) in model.recipients().iter().zip(&rules) {
            keys.push(CounterKey::carried(who, currency));
            keys.push(CounterKey::debt(who, currency));
            keys.extend(rules.iter().filter_map(|rule| tax_key(who, currency, rule, day)));
        }
        let stored = match counters {
            Some(counters) if asked.covers_counters(&keys) => counters,
            _ => repository.counters(&keys).await?,
        };
        let counters: HashMap<CounterKey, (i64, u32)> =
            stored.into_iter().map(|counter| (counter.key, (counter.value, counter.revision))).collect();
        let value = |key: &CounterKey| counters.get(key).map_or(0, |(value, _)| *value);

        let mut parties = Vec::with_capacity(rules.len());
        for (place, (who, rules)) in model.recipients().iter().zip(rules).enumerate() {
            let recipient = known.get(who).copied();
            let year_to_date = |rule: &TaxRule| tax_key(who, currency, rule, day).map_or(0, |key| value(&key));
            let withholding =
                |rule: &TaxRule| Withholding { rule: rule.clone(), year_to_date_minor: year_to_date(rule) };
            parties.push(Party {
                hold: hold(recipient, model.is_placeholder(place), rails),
                tax: rules.into_iter().map(withholding).collect(),
                carried_minor: value(&CounterKey::carried(who, currency)),
                debt_minor: value(&CounterKey::debt(who, currency)),
                minimum_minor: recipient.map_or(0, |known| minimum_minor(known, currency)),
                granularity_minor: granularity_minor(recipient, currency, rails),
            });
        }
        let counts = model_keys.iter().map(value).collect();
        let need = Need { recipients: model.recipients().to_vec(), counters: keys };
        Ok(Self { parties, counts, need, model_keys, counters, currency, day })
    }

    /// The split of an amount, as of the day for which they were read.
    pub(crate) fn calculate(
        &self,
        model: &RevenueModel,
        amount: Money,
        deductions: &[Deduction],
        detail: Detail,
    ) -> Result<Calculation, CalculationError> {
        let (parties, counts, day) = (&self.parties, &self.counts, self.day);
        calculation::calculate(Request { amount, deductions, day, model, parties, counts, detail })
    }

    /// Grows whenever anything that was counted moves.
    pub(crate) fn ledger_version(&self) -> u64 {
        self.counters.values().map(|(_, revision)| u64::from(*revision)).sum()
    }

    /// The counter that a move is about.
    pub(crate) fn key(&self, step: &Movement) -> Option<CounterKey> {
        let who = step.recipient.as_ref();
        match &step.counter {
            Counter::Model(place) => self.model_keys.get(*place).cloned(),
            Counter::TaxBase { rule, period } => who.map(|who| CounterKey::tax_base(who, self.currency, rule, period)),
            Counter::Carried => who.map(|who| CounterKey::carried(who, self.currency)),
            Counter::Debt => who.map(|who| CounterKey::debt(who, self.currency)),
        }
    }

    /// The movements as they are committed: everything that was read of the model is held still, so that two releases
    /// never count the same.
    pub(crate) fn count(&self, movements: &[Movement], batch: BatchId) -> Vec<Count> {
        let mut counts: BTreeMap<CounterKey, Count> = BTreeMap::new();
        let mut add = |key: CounterKey, add: i64, recipient: Option<RecipientId>| {
            let seen = Some(self.counters.get(&key).map_or(0, |(_, revision)| *revision));
            let cause = Cause { batch, reversal: None, recipient, reason: Reason::Release };
            counts.entry(key.clone()).or_insert(Count { key, seen, add: 0, cause }).add += add;
        };
        for step in movements {
            if let Some(key) = self.key(step) {
                add(key, step.add, step.recipient.clone());
            }
        }
        for key in self.model_keys.iter().filter(|key| self.counters.contains_key(key)) {
            add(key.clone(), 0, None);
        }
        counts.into_values().collect()
    }

    /// What the calculation depends on beside the model, to be stored with its batch.
    pub(crate) fn inputs(&self, deductions: &[Deduction]) -> Inputs {
        let plain = Party::default();
        let parties = self.parties.iter().enumerate().filter(|(_, party)| **party != plain);
        Inputs {
            deductions: deductions.to_vec(),
            parties: parties.map(|(place, party)| (place, party.clone())).collect(),
            counts: self.counts.clone(),
        }
    }
}

/// What a calculation depended on beside the model. Who is simply paid is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    pub(crate) deductions: Vec<Deduction>,
    parties: BTreeMap<usize, Party>,
    pub(crate) counts: Vec<i64>,
}

impl Inputs {
    /// As it is stored.
    pub(crate) fn write(&self) -> Value {
        // Strings and integers only, which cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
    pub(crate) fn read(inputs: Value) -> Result<Self, StoreError> {
        serde_json::from_value(inputs).map_err(|error| StoreError::Corrupt(format!("inputs of a batch: {error}")))
    }
    /// The parties of a model of so many recipients.
    pub(crate) fn parties(&self, recipients: usize) -> Vec<Party> {
        (0..recipients).map(|place| self.parties.get(&place).cloned().unwrap_or_default()).collect()
    }
}

/// Less than this is carried.
pub(crate) fn minimum_minor(recipient: &Recipient, currency: Currency) -> i64 {
    recipient.payout_minimums.get(&currency).copied().unwrap_or(0)
}

/// What is withheld: by the recipient's own profile, or by the model's if there is none or its form has expired.
fn rules<'a>(
    recipient: Option<&'a Recipient>,
    model: &'a RevenueModel,
    currency: Currency,
    day: Day,
) -> Vec<&'a TaxRule> {
    let own = recipient.and_then(|known| known.tax.as_ref());
    let profile = match (own, model.default_tax()) {
        (Some(own), Some(default)) => Some(if own.is_valid(day) { own } else { default }),
        // Without a default an expired form still says more than nothing.
        (own, default) => own.or(default),
    };
    profile.map(|profile| profile.rules_for(currency, day)).unwrap_or_default()
}

fn tax_key(who: &RecipientId, currency: Currency, rule: &TaxRule, day: Day) -> Option<CounterKey> {
    let period = rule.spec().threshold.and_then(|threshold| threshold.period.label(day))?;
    Some(CounterKey::tax_base(who, currency, rule.code(), &period))
}
