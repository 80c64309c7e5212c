use super::*;
use crate::{ids::RecipientId, revenue_model::ModelSpec};
use proptest::prelude::*;
use serde_json::json;

fn model(weights: &[u64], kind: &str, fee: serde_json::Value) -> RevenueModel {
    let lines: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(at, weight)| json!({ "recipientId": format!("rec_{at}"), kind: weight }))
        .collect();
    let spec = json!({ "steps": [{ "type": "share", "lines": lines }], "platformFee": fee });
    serde_json::from_value::<ModelSpec>(spec).unwrap().check().unwrap()
}
fn rec(at: usize) -> RecipientId {
    format!("rec_{at}").parse().unwrap()
}
fn taxed(rates: &[u64]) -> HashMap<RecipientId, Party> {
    let party = |rate: &u64| Party { tax: (*rate > 0).then(|| TaxRule::try_new("us_nra", *rate).unwrap()), hold: None };
    rates.iter().enumerate().map(|(at, rate)| (rec(at), party(rate))).collect()
}
fn run(
    amount: i64,
    deductions: &[Deduction],
    model: &RevenueModel,
    parties: &HashMap<RecipientId, Party>,
) -> Result<Calculation, CalculationError> {
    let amount = Money::new(amount, "USD".parse().unwrap());
    calculate(Request { amount, deductions, model, parties, detail: Detail::Full })
}
/// `gross-fee-tax=net` of each line.
fn text(calculation: &Calculation) -> String {
    let line = |line: &Line| format!("{}-{}-{}={}", line.gross_minor, line.fee_minor, line.tax_minor, line.net_minor);
    calculation.lines.iter().map(line).collect::<Vec<_>>().join(" ")
}
fn codes(calculation: &Calculation) -> Vec<&'static str> {
    calculation.warnings.iter().map(Warning::code).collect()
}
fn deduction(amount_minor: i64) -> Deduction {
    Deduction { kind: DeductionKind::PspFee, amount_minor, reference: None }
}

#[test]
fn seventy_thirty_with_a_fee_of_five_percent() {
    let result =
        run(200_000, &[], &model(&[700_000, 300_000], "ppm", json!({ "ratePpm": 50_000 })), &HashMap::new()).unwrap();
    assert_eq!(text(&result), "140000-7000-0=133000 60000-3000-0=57000");
    assert_eq!(result.totals.net_minor, 190_000);
}

#[test]
fn thirds_leave_one_cent_to_the_first() {
    let result =
        run(100_000, &[], &model(&[1, 1, 1], "weight", json!({ "ratePpm": 50_000 })), &HashMap::new()).unwrap();
    assert_eq!(text(&result), "33334-1667-0=31667 33333-1667-0=31666 33333-1666-0=31667");
}

#[test]
fn tax_is_taken_on_gross_and_cut_to_what_the_fee_leaves() {
    let thirds = model(&[1, 1, 1], "weight", json!({ "ratePpm": 100_000 }));
    let result = run(300_000, &[], &thirds, &taxed(&[0, 15_000, 240_000])).unwrap();
    assert_eq!(text(&result), "100000-10000-0=90000 100000-10000-1500=88500 100000-10000-24000=66000");

    let all = run(100, &[], &model(&[1], "weight", json!({ "ratePpm": 500_000 })), &taxed(&[600_000])).unwrap();
    assert_eq!(text(&all), "100-50-50=0");
    assert_eq!(codes(&all), ["withholding_shortfall", "nothing_payable"]);
}

#[test]
fn the_fee_has_a_fixed_part_and_limits() {
    let fee_of = |amount, fee| run(amount, &[], &model(&[1], "weight", fee), &HashMap::new()).unwrap();
    assert_eq!(text(&fee_of(10_000, json!({ "ratePpm": 29_000, "fixed": 30 }))), "10000-320-0=9680");
    assert_eq!(text(&fee_of(1_000, json!({ "ratePpm": 10_000, "min": 50 }))), "1000-50-0=950");
    assert_eq!(text(&fee_of(1_000_000, json!({ "ratePpm": 10_000, "max": 500 }))), "1000000-500-0=999500");
    let clamped = fee_of(20, json!({ "fixed": 30 }));
    assert_eq!(text(&clamped), "20-20-0=0");
    assert_eq!(codes(&clamped), ["fee_clamped", "nothing_payable"]);
}

#[test]
fn deductions_reduce_the_pool_first() {
    let halves = model(&[1, 1], "weight", json!({ "ratePpm": 100_000 }));
    let result = run(1_000, &[deduction(150), deduction(50)], &halves, &HashMap::new()).unwrap();
    assert_eq!(text(&result), "400-40-0=360 400-40-0=360");
    assert_eq!(result.totals.deductions_minor, 200);

    let nothing = run(1_000, &[deduction(1_000)], &halves, &HashMap::new()).unwrap();
    assert_eq!(text(&nothing), "0-0-0=0 0-0-0=0");
    assert_eq!(codes(&nothing), ["nothing_to_split"]);
    for too_much in [&[deduction(1_001)][..], &[deduction(i64::MAX), deduction(i64::MAX)]] {
        assert_eq!(run(1_000, too_much, &halves, &HashMap::new()), Err(CalculationError::DeductionsExceedAmount));
    }
}

#[test]
fn a_model_bound_to_a_currency_splits_no_other() {
    let spec = json!({ "currency": "EUR", "steps": [{ "type": "share", "lines": [{ "recipientId": "rec_0", "weight": 1 }] }] });
    let bound = serde_json::from_value::<ModelSpec>(spec).unwrap().check().unwrap();
    let mismatch = run(1, &[], &bound, &HashMap::new());
    assert!(matches!(mismatch, Err(CalculationError::CurrencyMismatch { .. })), "{mismatch:?}");
}

#[test]
fn a_held_line_is_calculated_and_not_payable() {
    let parties = HashMap::from([(rec(1), Party { tax: None, hold: Some(HoldReason::RecipientPlaceholder) })]);
    let result = run(100, &[], &model(&[1, 1], "weight", json!(null)), &parties).unwrap();
    assert_eq!((result.totals.net_minor, result.totals.held_minor, result.totals.payable_minor), (100, 50, 50));
    assert_eq!(codes(&result), ["recipient_held"]);
}

#[test]
fn the_largest_amount_there_is() {
    let result =
        run(i64::MAX, &[], &model(&[1, 1, 1], "weight", json!({ "ratePpm": 1_000_000 })), &HashMap::new()).unwrap();
    assert_eq!(result.totals.fee_minor, i64::MAX);
    assert_eq!(
        run(0, &[], &model(&[1], "weight", json!(null)), &HashMap::new()),
        Err(CalculationError::AmountNotPositive)
    );
}

#[test]
fn a_summary_speaks_of_the_whole_only() {
    let halves = model(&[1, 1], "weight", json!({ "ratePpm": 50_000 }));
    let explain = |detail| {
        let amount = Money::new(1_001, "USD".parse().unwrap());
        let request = Request { amount, deductions: &[deduction(1)], model: &halves, parties: &HashMap::new(), detail };
        calculate(request).unwrap().explanation
    };
    assert!(explain(Detail::None).is_empty());
    let columns: Vec<Column> = explain(Detail::Summary).iter().map(|line| line.column).collect();
    assert_eq!(columns, [Column::Deduction, Column::PlatformFee]);
    let full = explain(Detail::Full);
    assert_eq!(full.len(), 6);
    assert_eq!(full[1].numerator.as_deref(), Some("1000*1"));
    assert_eq!(full.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The laws are asserted inside; this drives them over the whole space and repeats the main ones.
    #[test]
    fn the_laws_hold_for_every_model(
        amount in prop_oneof![1..=i64::MAX, 1..=1_000i64],
        weights in prop::collection::vec(1..=1_000_000u64, 1..12),
        (rate, fixed, min, span) in (0..=1_000_000u64, prop_oneof![Just(0u64), 0..=10_000u64], prop_oneof![Just(0u64), 0..=10_000u64], prop::option::of(0..=10_000u64)),
        rates in prop::collection::vec(0..=1_000_000u64, 12),
        off in 0..=1_000i64,
    ) {
        let fee = json!({ "ratePpm": rate, "fixed": fixed, "min": min, "max": span.map(|span| min + span) });
        let deductions = if off > 0 && off <= amount { vec![deduction(off)] } else { vec![] };
        let taken: i64 = deductions.iter().map(|d| d.amount_minor).sum();
        let parties = taxed(&rates[..weights.len()]);
        let result = run(amount, &deductions, &model(&weights, "weight", fee), &parties).unwrap();
        let net: i128 = result.lines.iter().map(|line| i128::from(line.net_minor)).sum();
        prop_assert_eq!(net + i128::from(result.totals.fee_minor) + i128::from(result.totals.tax_minor) + i128::from(taken), i128::from(amount));
        prop_assert!(result.lines.iter().all(|line| line.net_minor >= 0));
        // Unless it was cut to the base, the fee lies within its limits.
        let base = i128::from(result.totals.gross_minor);
        let total_fee = i128::from(result.totals.fee_minor);
        prop_assert!(total_fee == base || total_fee >= i128::from(min));
        if let Some(span) = span {
            prop_assert!(total_fee <= i128::from(min + span));
        }
    }

    #[test]
    fn the_same_input_gives_the_same_result(amount in 1..=i64::MAX, weights in prop::collection::vec(1..=1_000u64, 1..12), rate in 0..=1_000_000u64) {
        let model = model(&weights, "weight", json!({ "ratePpm": rate }));
        prop_assert_eq!(run(amount, &[], &model, &HashMap::new()), run(amount, &[], &model, &HashMap::new()));
    }

    #[test]
    fn more_money_never_means_a_smaller_fee(amount in 1..1_000_000_000i64, more in 0..1_000_000i64, rate in 0..=1_000_000u64, fixed in 0..1_000u64) {
        let model = model(&[1], "weight", json!({ "ratePpm": rate, "fixed": fixed }));
        let fee = |amount| run(amount, &[], &model, &HashMap::new()).unwrap().totals.fee_minor;
        prop_assert!(fee(amount) <= fee(amount + more));
    }
}
