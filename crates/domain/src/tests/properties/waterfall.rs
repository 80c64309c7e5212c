//! Steps in order, and what they count.

use super::config;
use crate::{
    calculation::{Column, Detail},
    revenue_model::{
        ModelSpec,
        spec::{LineSpec, Per, RecoupLineSpec, StepSpec},
    },
    tests::{
        scene::{self, Ledger, Released, Scene, rec, scene, usd},
        tape::{Tape, tapes},
    },
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What the step still wants, by the ledger: its own arithmetic.
fn wanted(step: &StepSpec, ledger: &Ledger) -> i64 {
    let counted = |name: String| ledger.get(&name).map_or(0, |value| i64::try_from(*value).unwrap());
    match step {
        StepSpec::Fixed { key, amount, per, .. } => match (per, key) {
            (Per::Lifetime, Some(key)) => amount - counted(format!("fixed/{key}")),
            _ => *amount,
        },
        StepSpec::Recoup { key: Some(key), lines, multiple_ppm, .. } => {
            let target = |principal: i64| (principal * multiple_ppm.unwrap_or(1_000_000) + 500_000) / 1_000_000;
            let missing = |line: &RecoupLineSpec| {
                target(line.principal) - counted(format!("recouped/{key}/{}", line.recipient_id))
            };
            lines.iter().map(missing).sum()
        }
        StepSpec::Share { key: Some(key), lines, .. } => {
            let room = |line: &LineSpec| {
                let ever = line.lifetime_max.map(|max| max - counted(format!("lifetime/{key}/{}", line.recipient_id)));
                line.max.into_iter().chain(ever).min().unwrap()
            };
            lines.iter().map(room).sum()
        }
        _ => i64::MAX,
    }
}

/// A step that takes all it can until it has what it wants.
fn greedy(tape: &mut Tape, at: usize) -> StepSpec {
    let key = Some(format!("k{at}").parse().unwrap());
    match tape.below(3) {
        0 => StepSpec::Fixed {
            key,
            amount: tape.amount(1, 500),
            per: tape.pick(&[Per::Calculation, Per::Lifetime]),
            recipient_id: Some(rec(tape.count(0, 5))),
            placeholder: false,
            lines: Vec::new(),
            feeable: None,
        },
        1 => StepSpec::Recoup {
            key,
            lines: (0..tape.count(1, 3))
                .map(|who| RecoupLineSpec {
                    recipient_id: rec(who),
                    principal: tape.amount(1, 500),
                    placeholder: false,
                })
                .collect(),
            multiple_ppm: tape.pick(&[None, Some(1_200_000), Some(1_333_333)]),
            rate_ppm: None,
            cross_collateral_id: None,
            feeable: None,
        },
        _ => {
            let mut line = |who: usize| {
                let cap = Some(tape.amount(0, 300));
                let (max, lifetime_max) = tape.pick(&[(cap, None), (None, cap), (cap, cap)]);
                LineSpec { weight: Some(tape.amount(1, 9)), max, lifetime_max, ..LineSpec::of(rec(who)) }
            };
            let lines = vec![line(0), line(1), line(2)];
            StepSpec::Share { key, portion_ppm: None, lines, feeable: None }
        }
    }
}

fn with_remainder(mut steps: Vec<StepSpec>) -> ModelSpec {
    steps.push(StepSpec::Remainder { recipient_id: rec(9), placeholder: false, feeable: None });
    ModelSpec { steps, currency: Some(usd()), ..ModelSpec::default() }
}

/// Somebody's step that wants all of the pool until it has its target, whatever a release brings.
fn patient(tape: &mut Tape, at: usize) -> StepSpec {
    let key = Some(format!("k{at}").parse().unwrap());
    let amount = tape.amount(1, 1_000);
    match tape.below(3) {
        0 => StepSpec::Fixed {
            key,
            amount,
            per: Per::Lifetime,
            recipient_id: Some(rec(at)),
            placeholder: false,
            lines: Vec::new(),
            feeable: None,
        },
        1 => StepSpec::Recoup {
            key,
            lines: vec![RecoupLineSpec { recipient_id: rec(at), principal: amount, placeholder: false }],
            multiple_ppm: tape.pick(&[None, Some(1_750_000)]),
            rate_ppm: None,
            cross_collateral_id: None,
            feeable: None,
        },
        _ => {
            let line = LineSpec { weight: Some(1), lifetime_max: Some(amount), ..LineSpec::of(rec(at)) };
            StepSpec::Share { key, portion_ppm: None, lines: vec![line], feeable: None }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    /// Property 16: the steps sum to the amount, and each takes what it wants or all there is: the next one gets something
    /// only when this one has what it wants.
    #[test]
    fn a_step_gets_something_only_when_those_before_are_satisfied(mut tape in tapes(96)) {
        let steps: Vec<StepSpec> = (0..tape.count(1, 4)).map(|at| greedy(&mut tape, at)).collect();
        let spec = with_remainder(steps);
        let model = spec.check().unwrap();
        let mut ledger = Ledger::new();
        for _ in 0..tape.count(1, 3) {
            let before = ledger.clone();
            let amount = tape.amount(1, 2_000);
            let result = scene::run(&model, &mut ledger, &Released::plain(amount), Detail::Full).unwrap();
            let mut taken: BTreeMap<usize, i64> = BTreeMap::new();
            for line in result.explanation.iter().filter(|line| line.column == Column::Gross && line.recipient.is_some()) {
                *taken.entry(line.step.unwrap()).or_default() += line.value;
            }
            let mut pool = amount;
            for (at, step) in spec.steps.iter().enumerate() {
                let took = taken.get(&at).copied().unwrap_or(0);
                prop_assert_eq!(took, pool.min(wanted(step, &before)), "step {} of {:?}", at, spec);
                pool -= took;
            }
            prop_assert_eq!(pool, 0);
        }
    }

    /// Property 17: steps of one recipient that want everything until they have their target give the same, whether the
    /// money comes at once or in two releases.
    #[test]
    fn how_money_is_cut_into_releases_does_not_matter(mut tape in tapes(48)) {
        let steps: Vec<StepSpec> = (0..tape.count(1, 5)).map(|at| patient(&mut tape, at)).collect();
        let model = with_remainder(steps).check().unwrap();
        let (x, y) = (tape.amount(1, 2_000), tape.amount(1, 2_000));
        let (mut twice, mut once) = (Ledger::new(), Ledger::new());
        let first = scene::gross(&model, &mut twice, x);
        let second = scene::gross(&model, &mut twice, y);
        let whole = scene::gross(&model, &mut once, x + y);
        let sums: Vec<i64> = first.iter().zip(&second).map(|(first, second)| first + second).collect();
        prop_assert_eq!(sums, whole);
        prop_assert_eq!(twice, once);
    }

    /// Property 18: over a history of releases no count passes what it counts towards.
    #[test]
    fn nothing_counted_ever_passes_its_target(mut tape in tapes(220)) {
        let Scene { spec, model, mut ledger, releases } = scene(&mut tape);
        let mut targets: BTreeMap<String, i128> = BTreeMap::new();
        let mut raise = |name: String, target: i128| {
            let known = targets.entry(name).or_insert(target);
            *known = target.max(*known);
        };
        for step in &spec.steps {
            match step {
                StepSpec::Fixed { key: Some(key), amount, .. } => raise(format!("fixed/{key}"), i128::from(*amount)),
                StepSpec::Recoup { key: Some(key), lines, multiple_ppm, cross_collateral_id, .. } => for line in lines {
                    let target = i128::from(line.principal) * i128::from(multiple_ppm.unwrap_or(1_000_000));
                    let name = match cross_collateral_id {
                        Some(id) => format!("cross/{id}/{}", line.recipient_id),
                        None => format!("recouped/{key}/{}", line.recipient_id),
                    };
                    raise(name, (target + 500_000) / 1_000_000);
                },
                StepSpec::Share { key: Some(key), lines, .. } => for line in lines {
                    if let Some(max) = line.lifetime_max {
                        raise(format!("lifetime/{key}/{}", line.recipient_id), i128::from(max));
                    }
                },
                StepSpec::RecoupFromShare { key: Some(key), to_recipient_id, target, .. } => {
                    raise(format!("recouped/{key}/{to_recipient_id}"), i128::from(*target));
                }
                _ => {}
            }
        }
        for release in &releases {
            let before = ledger.clone();
            scene::run(&model, &mut ledger, release, Detail::None).unwrap();
            for (name, target) in &targets {
                let value = |ledger: &Ledger| ledger.get(name).copied().unwrap_or(0);
                prop_assert!((value(&before)..=*target).contains(&value(&ledger)), "{} of {:?}", name, spec);
            }
        }
    }
}
