//! Random models without fault, of every kind of step, with recipients of every kind, and a few releases one after the
//! other that each begin with what the earlier ones counted.

mod models;

pub use models::{hold, model, parties, tax_rule};

use super::tape::Tape;
use crate::{
    calculation::{
        Calculation, CalculationError, Counter, Deduction, DeductionKind, Detail, Party, Request, calculate,
    },
    currency::Currency,
    day::Day,
    ids::RecipientId,
    money::Money,
    revenue_model::{
        Counted, ModelSpec, RevenueModel,
        spec::{LineSpec, StepSpec},
    },
};
use std::collections::BTreeMap;

/// The recipient of that number.
pub fn rec(at: usize) -> RecipientId {
    format!("rec_{at}").parse().unwrap()
}

/// The day with that text.
pub fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// What every scene pays in.
pub fn usd() -> Currency {
    "USD".parse().unwrap()
}

/// A model, and what happens to it.
#[derive(Clone, Debug)]
pub struct Scene {
    pub spec: ModelSpec,
    pub model: RevenueModel,
    /// What was counted before the first release.
    pub ledger: Ledger,
    pub releases: Vec<Released>,
}

/// One release, with the recipients as they are that day. What is carried for them, what they owe and what a year has
/// taxed is in the ledger.
#[derive(Clone, Debug)]
pub struct Released {
    pub amount: i64,
    pub deductions: Vec<Deduction>,
    pub day: Day,
    /// Nobody is known, if empty.
    pub parties: Vec<Party>,
}

impl Released {
    /// A release of which nothing else is to be said.
    pub fn plain(amount: i64) -> Self {
        Self { amount, deductions: Vec::new(), day: day("2026-06-15"), parties: Vec::new() }
    }
    pub fn deducted(&self) -> i64 {
        self.deductions.iter().map(|deduction| deduction.amount_minor).sum()
    }
}

/// Everything that is counted, under a name that does not depend on the order of steps.
pub type Ledger = BTreeMap<String, i128>;

/// The name under which the ledger keeps a count of the model.
pub fn name(counted: &Counted, model: &RevenueModel) -> String {
    let who = |who: &usize| &model.recipients()[*who];
    match counted {
        Counted::Recouped { key, who: place } => format!("recouped/{key}/{}", who(place)),
        Counted::CrossRecouped { id, who: place } => format!("cross/{id}/{}", who(place)),
        Counted::Fixed { key } => format!("fixed/{key}"),
        Counted::Lifetime { key, who: place } => format!("lifetime/{key}/{}", who(place)),
        Counted::Cumulative { key, since } => format!("cumulative/{key}/{since:?}"),
        Counted::FeeBase { since } => format!("fee_base/{since:?}"),
        Counted::Residue { step, who: place } => format!("residue/{step}/{}", who(place)),
        Counted::Sequence => "sequence".to_owned(),
    }
}

/// The parties with what the ledger knows of them.
pub fn informed(model: &RevenueModel, release: &Released, ledger: &Ledger) -> Vec<Party> {
    let value = |name: String| ledger.get(&name).map_or(0, |value| i64::try_from(*value).unwrap());
    let mut parties = release.parties.clone();
    for (who, party) in model.recipients().iter().zip(&mut parties) {
        party.carried_minor = value(format!("carried/{who}"));
        party.debt_minor = value(format!("debt/{who}"));
        for withholding in &mut party.tax {
            let period = withholding.rule.spec().threshold.and_then(|threshold| threshold.period.label(release.day));
            let name = period.map(|period| format!("tax/{who}/{}/{period}", withholding.rule.code()));
            withholding.year_to_date_minor = name.map_or(0, value);
        }
    }
    parties
}

/// The model's counts, in its order.
pub fn counts(model: &RevenueModel, ledger: &Ledger) -> Vec<i64> {
    let value = |counted| ledger.get(&name(counted, model)).map_or(0, |value| i64::try_from(*value).unwrap());
    model.counted().iter().map(value).collect()
}

/// Calculates a release and books what it moves.
pub fn run(
    model: &RevenueModel,
    ledger: &mut Ledger,
    release: &Released,
    detail: Detail,
) -> Result<Calculation, CalculationError> {
    let parties = informed(model, release, ledger);
    let calculation = calculate(Request {
        amount: Money::new(release.amount, usd()),
        deductions: &release.deductions,
        day: release.day,
        model,
        parties: &parties,
        counts: &counts(model, ledger),
        detail,
    })?;
    post(model, ledger, &calculation);
    Ok(calculation)
}

/// Books what a calculation moves.
pub fn post(model: &RevenueModel, ledger: &mut Ledger, calculation: &Calculation) {
    for step in &calculation.movements {
        let who = step.recipient.as_ref().map(ToString::to_string).unwrap_or_default();
        let name = match &step.counter {
            Counter::Model(place) => name(&model.counted()[*place], model),
            Counter::TaxBase { rule, period } => format!("tax/{who}/{rule}/{period}"),
            Counter::Carried => format!("carried/{who}"),
            Counter::Debt => format!("debt/{who}"),
        };
        *ledger.entry(name).or_default() += i128::from(step.add);
    }
}

/// A model that every recipient is simply paid by: one step, weights as given.
pub fn shares(weights: &[u64]) -> ModelSpec {
    let line = |(at, weight): (usize, &u64)| LineSpec {
        weight: Some(i64::try_from(*weight).unwrap()),
        ..LineSpec::of(rec(at))
    };
    let lines = weights.iter().enumerate().map(line).collect();
    ModelSpec {
        steps: vec![StepSpec::Share { key: None, portion_ppm: None, lines, feeable: None }],
        ..ModelSpec::default()
    }
}

/// The gross column of a plain release of a model, from the counts in the ledger.
pub fn gross(model: &RevenueModel, ledger: &mut Ledger, amount: i64) -> Vec<i64> {
    let calculation = run(model, ledger, &Released::plain(amount), Detail::None).unwrap();
    calculation.lines.iter().map(|line| line.gross_minor).collect()
}

/// A model of any kind, recipients of any kind, one to four releases.
pub fn scene(tape: &mut Tape) -> Scene {
    let spec = model(tape);
    let model = spec.check().unwrap_or_else(|faults| panic!("{faults:?}\n{spec:#?}"));
    let mut ledger = Ledger::new();
    for who in model.recipients() {
        if tape.one_in(4) {
            ledger.insert(format!("carried/{who}"), i128::from(tape.amount(1, 20_000)));
        }
        if tape.one_in(4) {
            ledger.insert(format!("debt/{who}"), i128::from(tape.amount(1, 20_000)));
        }
    }
    let mut known = if tape.one_in(6) { Vec::new() } else { parties(tape, &model) };
    let mut releases = Vec::new();
    for _ in 0..tape.count(1, 4) {
        for party in &mut known {
            if tape.one_in(6) {
                party.hold = hold(tape);
            }
        }
        releases.push(Released { parties: known.clone(), ..release(tape) });
    }
    Scene { spec, model, ledger, releases }
}

fn release(tape: &mut Tape) -> Released {
    let amount = tape.money();
    let days = ["2026-06-15", "2025-12-31", "2026-01-01", "2026-03-31", "2026-04-01"];
    let mut deductions = Vec::new();
    let mut left = amount;
    for _ in 0..tape.pick(&[0, 0, 0, 1, 2]) {
        let amount_minor = if tape.one_in(8) { left } else { tape.amount(0, left) };
        left -= amount_minor;
        if amount_minor > 0 {
            deductions.push(Deduction { kind: tape.pick(&DeductionKind::ALL), amount_minor, reference: None });
        }
    }
    Released { amount, deductions, day: day(tape.pick(&days)), parties: Vec::new() }
}
