//! Splitting one release: our integers, and the same with `rust_decimal` in the same run.
//!
//!     cargo bench -p benches --bench split
//!
//! For a race with other languages (`cargo xtask bench calculator`), `SPLIT_EXPECTED` names a file: amounts and what they
//! are split into are written there, and the time of one split is told in nanoseconds.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on says so by panicking")]

use divan::{Bencher, black_box};
use domain::{
    calculation::{Calculator, Detail, Release, Request, calculate},
    money::Money,
    revenue_model::{ModelSpec, RevenueModel},
};
use rust_decimal::{Decimal, RoundingStrategy};
use std::{env, fmt::Write, fs, path::Path, time::Instant};

const PARTS_PPM: [u32; 5] = [350_000, 250_000, 200_000, 133_333, 66_667];
const FEE_PPM: u32 = 50_000;

/// Splits of one race.
const RACE_SPLITS: u32 = 1_000_000;

fn main() {
    the_two_agree();
    match env::var_os("SPLIT_EXPECTED") {
        Some(file) => race(Path::new(&file)),
        None => divan::main(),
    }
}

/// The amounts that all race with, what they are split into, and how long one takes here.
fn race(file: &Path) {
    let (model, mut amount) = (five(), amounts());
    let mut calculator = Calculator::new(&model);
    let amounts: Vec<i64> = (0..10_000).map(|_| amount()).collect();
    let mut lines = String::new();
    for amount in &amounts {
        let split = calculator.split(&release(*amount), &[]).unwrap();
        let nets: Vec<String> = split.lines().map(|(_, line)| line.net_minor.to_string()).collect();
        writeln!(lines, "{amount},{}", nets.join(",")).unwrap();
    }
    fs::write(file, lines).unwrap();
    let template = release(1);
    let integers_ns = time_of_one(&amounts, |amount_minor| {
        let release = Release { amount_minor, ..template };
        black_box(calculator.split(black_box(&release), &[]).unwrap().totals());
    });
    let mut decimals = Decimals::new();
    let decimals_ns = time_of_one(&amounts, |amount_minor| {
        decimals.split(Decimal::new(black_box(amount_minor), 2));
        black_box(&decimals.net);
    });
    println!("RESULT integers={integers_ns} decimals={decimals_ns}");
}

fn time_of_one(amounts: &[i64], mut split: impl FnMut(i64)) -> f64 {
    let started = Instant::now();
    for amount in amounts.iter().cycle().take(RACE_SPLITS as usize) {
        split(*amount);
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(RACE_SPLITS)
}

fn model(lines: impl Iterator<Item = String>) -> RevenueModel {
    let lines: Vec<String> = lines.collect();
    let text = format!(
        r#"{{"platformFee":{{"ratePpm":{FEE_PPM}}},"steps":[{{"type":"share","lines":[{}]}}]}}"#,
        lines.join(",")
    );
    serde_json::from_str::<ModelSpec>(&text).unwrap().check().unwrap()
}

fn five() -> RevenueModel {
    model(PARTS_PPM.iter().enumerate().map(|(at, ppm)| format!(r#"{{"recipientId":"rec_{at}","ppm":{ppm}}}"#)))
}

fn ten_thousand() -> RevenueModel {
    model((0..10_000).map(|at| format!(r#"{{"recipientId":"rec_{at}","weight":{}}}"#, 1 + at * 7919 % 1000)))
}

/// Amounts of all sizes up to a million units, so that nothing can be guessed from the one before.
fn amounts() -> impl FnMut() -> i64 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + i64::try_from((state >> 33) % 100_000_000).unwrap()
    }
}

fn release(amount_minor: i64) -> Release {
    Release { amount_minor, currency: "USD".parse().unwrap(), deductions_minor: 0, day: "2026-01-31".parse().unwrap() }
}

#[divan::bench(sample_count = 1000, sample_size = 100)]
fn five_recipients_integers(bencher: Bencher<'_, '_>) {
    let (model, template) = (five(), release(1));
    let (mut calculator, mut amount) = (Calculator::new(&model), amounts());
    bencher.bench_local(|| {
        let release = Release { amount_minor: amount(), ..template };
        black_box(calculator.split(black_box(&release), &[]).unwrap().totals())
    });
}

#[divan::bench(sample_count = 1000, sample_size = 100)]
fn five_recipients_rust_decimal(bencher: Bencher<'_, '_>) {
    let (mut decimals, mut amount) = (Decimals::new(), amounts());
    bencher.bench_local(|| {
        decimals.split(Decimal::new(black_box(amount()), 2));
        black_box(&decimals.net);
    });
}

/// With names, warnings and an explanation for each value: what the API answers.
#[divan::bench(sample_count = 1000, sample_size = 100)]
fn five_recipients_explained(bencher: Bencher<'_, '_>) {
    let (model, template, mut amount) = (five(), release(1), amounts());
    bencher.bench_local(|| {
        let amount = Money::new(amount(), template.currency);
        let (day, detail) = (template.day, Detail::Full);
        let request = Request { amount, deductions: &[], day, model: &model, parties: &[], counts: &[], detail };
        calculate(black_box(request)).unwrap()
    });
}

#[divan::bench(sample_count = 200, sample_size = 10)]
fn ten_thousand_recipients_integers(bencher: Bencher<'_, '_>) {
    let (model, template) = (ten_thousand(), release(1));
    let (mut calculator, mut amount) = (Calculator::new(&model), amounts());
    bencher.bench_local(|| {
        let release = Release { amount_minor: amount(), ..template };
        black_box(calculator.split(black_box(&release), &[]).unwrap().totals())
    });
}

/// The same with decimals: parts by the largest remainder, a fee on the whole, apportioned over the lines by the
/// largest remainder, net. It keeps its lists, too.
struct Decimals {
    parts: Vec<Decimal>,
    gross: Vec<Decimal>,
    fee: Vec<Decimal>,
    net: Vec<Decimal>,
    rest: Vec<Decimal>,
}

impl Decimals {
    fn new() -> Self {
        let parts = PARTS_PPM.iter().map(|ppm| Decimal::new(i64::from(*ppm), 6)).collect();
        Self { parts, gross: Vec::new(), fee: Vec::new(), net: Vec::new(), rest: Vec::new() }
    }

    fn split(&mut self, amount: Decimal) {
        let Self { parts, gross, fee, net, rest } = self;
        apportion(amount, parts.iter().map(|part| amount * part), gross, rest);
        let rate = Decimal::new(i64::from(FEE_PPM), 6);
        let whole = (amount * rate).round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
        apportion(whole, gross.iter().map(|gross| whole * gross / amount), fee, rest);
        net.clear();
        net.extend(gross.iter().zip(&*fee).map(|(gross, fee)| gross - fee));
    }
}

/// Rounds down to the cent, then gives the cents that are left to the largest remainders, ties to the first.
fn apportion(
    amount: Decimal,
    quotas: impl Iterator<Item = Decimal>,
    shares: &mut Vec<Decimal>,
    rest: &mut Vec<Decimal>,
) {
    shares.clear();
    rest.clear();
    let mut left = amount;
    for quota in quotas {
        let share = quota.round_dp_with_strategy(2, RoundingStrategy::ToZero);
        left -= share;
        shares.push(share);
        rest.push(quota - share);
    }
    let cent = Decimal::new(1, 2);
    while left >= cent {
        let mut best = 0;
        for (at, remainder) in rest.iter().enumerate() {
            if *remainder > rest[best] {
                best = at;
            }
        }
        shares[best] += cent;
        rest[best] = Decimal::NEGATIVE_ONE;
        left -= cent;
    }
}

/// A race proves something only if both run the same way.
fn the_two_agree() {
    let (model, mut decimals, mut amount) = (five(), Decimals::new(), amounts());
    let mut calculator = Calculator::new(&model);
    for _ in 0..100_000 {
        let minor = amount();
        let split = calculator.split(&release(minor), &[]).unwrap();
        let ours: Vec<Decimal> = split.lines().map(|(_, line)| Decimal::new(line.net_minor, 2)).collect();
        decimals.split(Decimal::new(minor, 2));
        assert_eq!(ours, decimals.net, "{minor}");
    }
}
