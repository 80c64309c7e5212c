use super::*;
use crate::{ids::RecipientId, revenue_model::ModelSpec, tax::TaxRuleSpec};
use serde_json::{Value, json};

fn of(spec: Value) -> RevenueModel {
    serde_json::from_value::<ModelSpec>(spec).unwrap().with_keys().check().unwrap()
}
fn lines(weights: &[u64], kind: &str) -> Value {
    let line = |(at, weight): (usize, &u64)| json!({ "recipientId": format!("rec_{at}"), kind: weight });
    weights.iter().enumerate().map(line).collect()
}
fn model(weights: &[u64], kind: &str, fee: Value) -> RevenueModel {
    of(json!({ "steps": [{ "type": "share", "lines": lines(weights, kind) }], "platformFee": fee }))
}
fn halves() -> RevenueModel {
    model(&[1, 1], "weight", json!(null))
}
fn rec(at: usize) -> RecipientId {
    format!("rec_{at}").parse().unwrap()
}
fn rule(fields: Value) -> Withholding {
    let mut rule = json!({ "code": "us_nra", "ratePpm": 100_000 });
    rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let rule = serde_json::from_value::<TaxRuleSpec>(rule).unwrap().try_into().unwrap();
    Withholding { rule, year_to_date_minor: 0 }
}
fn taxed(rates: &[u64]) -> Vec<Party> {
    let party = |rate: &u64| {
        let tax = if *rate > 0 { vec![rule(json!({ "ratePpm": rate }))] } else { vec![] };
        Party { tax, ..Party::default() }
    };
    rates.iter().map(party).collect()
}
fn ask<'a>(amount: i64, model: &'a RevenueModel, parties: &'a [Party]) -> Request<'a> {
    Request {
        amount: Money::new(amount, "USD".parse().unwrap()),
        deductions: &[],
        day: "2026-06-15".parse().unwrap(),
        model,
        parties,
        counts: &[],
        detail: Detail::Full,
    }
}
fn run(amount: i64, model: &RevenueModel, parties: &[Party]) -> Calculation {
    calculate(ask(amount, model, parties)).unwrap()
}
/// `gross-fee-tax=net` of each line.
fn text(calculation: &Calculation) -> String {
    let line = |line: &Line| format!("{}-{}-{}={}", line.gross_minor, line.fee_minor, line.tax_minor, line.net_minor);
    calculation.lines.iter().map(line).collect::<Vec<_>>().join(" ")
}
/// What becomes of the first line: `net+carried in=recovered+held+carried forward+payable`.
fn settled(calculation: &Calculation) -> String {
    let Amounts { net_minor: net, carried_in_minor: carried, recovered_minor: recovered, .. } =
        calculation.lines[0].amounts;
    let Amounts { held_minor: held, carried_forward_minor: forward, payable_minor: payable, .. } =
        calculation.lines[0].amounts;
    format!("{net}+{carried}={recovered}+{held}+{forward}+{payable}")
}
fn codes(calculation: &Calculation) -> Vec<&'static str> {
    calculation.warnings.iter().map(Warning::code).collect()
}
fn deduction(amount_minor: i64) -> Deduction {
    Deduction { kind: DeductionKind::PspFee, amount_minor, reference: None }
}

#[test]
fn seventy_thirty_with_a_fee_of_five_percent() {
    let result = run(200_000, &model(&[700_000, 300_000], "ppm", json!({ "ratePpm": 50_000 })), &[]);
    assert_eq!(text(&result), "140000-7000-0=133000 60000-3000-0=57000");
    assert_eq!(result.totals.net_minor, 190_000);
    assert!(result.movements.is_empty(), "a plain share model counts nothing");
}

#[test]
fn thirds_leave_one_cent_to_the_first() {
    let result = run(100_000, &model(&[1, 1, 1], "weight", json!({ "ratePpm": 50_000 })), &[]);
    assert_eq!(text(&result), "33334-1667-0=31667 33333-1667-0=31666 33333-1666-0=31667");
}

#[test]
fn tax_is_taken_on_gross_and_cut_to_what_the_fee_leaves() {
    let thirds = model(&[1, 1, 1], "weight", json!({ "ratePpm": 100_000 }));
    let result = run(300_000, &thirds, &taxed(&[0, 15_000, 240_000]));
    assert_eq!(text(&result), "100000-10000-0=90000 100000-10000-1500=88500 100000-10000-24000=66000");

    let all = run(100, &model(&[1], "weight", json!({ "ratePpm": 500_000 })), &taxed(&[600_000]));
    assert_eq!(text(&all), "100-50-50=0");
    let shortfall = Warning::WithholdingShortfall { recipient: rec(0), missing_minor: 10 };
    assert_eq!(all.warnings, [shortfall, Warning::NothingPayable]);
}

#[test]
fn rules_take_one_after_the_other_and_name_what_they_took() {
    let both = Party {
        tax: vec![rule(json!({})), rule(json!({ "code": "state", "base": "net_of_fee", "ratePpm": 500_000 }))],
        ..Party::default()
    };
    let result = run(1_000, &model(&[1], "weight", json!({ "ratePpm": 200_000 })), &[both]);
    assert_eq!(text(&result), "1000-200-500=300");
    let taken: Vec<(&str, i64)> =
        result.lines[0].taxes.iter().map(|tax| (tax.rule.as_str(), tax.amount_minor)).collect();
    assert_eq!(taken, [("us_nra", 100), ("state", 400)]);
}

#[test]
fn a_year_is_counted_by_the_rule_that_looks_at_it() {
    let threshold = json!({ "threshold": { "amount": 500, "period": "fiscal_year_apr", "mode": "excess_only" } });
    let mut party = Party { tax: vec![rule(threshold)], ..Party::default() };
    party.tax[0].year_to_date_minor = 400;
    let result = run(300, &model(&[1], "weight", json!(null)), &[party]);
    assert_eq!(text(&result), "300-0-20=280");
    let counter = Counter::TaxBase { rule: "us_nra".to_owned(), period: "fy2026".to_owned() };
    assert_eq!(result.movements, [Movement { counter, recipient: Some(rec(0)), add: 300 }]);
}

#[test]
fn the_fee_has_a_fixed_part_and_limits() {
    let fee_of = |amount, fee| run(amount, &model(&[1], "weight", fee), &[]);
    assert_eq!(text(&fee_of(10_000, json!({ "ratePpm": 29_000, "fixed": 30 }))), "10000-320-0=9680");
    assert_eq!(text(&fee_of(1_000, json!({ "ratePpm": 10_000, "min": 50 }))), "1000-50-0=950");
    assert_eq!(text(&fee_of(1_000_000, json!({ "ratePpm": 10_000, "max": 500 }))), "1000000-500-0=999500");
    let clamped = fee_of(20, json!({ "fixed": 30 }));
    assert_eq!(text(&clamped), "20-20-0=0");
    assert_eq!(codes(&clamped), ["fee_clamped", "nothing_payable"]);
}

/// 2,049 ppm of that amount is the largest product with 64 bits; the half to round up by no longer fits beside it.
#[test]
fn a_rate_is_exact_at_the_end_of_64_bits() {
    let amount = i64::try_from(u64::MAX / 2_049).unwrap();
    let result = run(amount, &model(&[1], "weight", json!({ "ratePpm": 2_049 })), &[]);
    assert_eq!(result.totals.fee_minor, 18_446_744_073_710);
}

#[test]
fn the_tax_on_the_fee_is_taken_with_it() {
    let taxed = model(&[2, 1], "weight", json!({ "ratePpm": 100_000, "feeTaxPpm": 190_000 }));
    let result = run(3_000, &taxed, &[]);
    assert_eq!(text(&result), "2000-238-0=1762 1000-119-0=881");
    assert_eq!((result.totals.fee_minor, result.totals.fee_tax_minor), (357, 57));
    assert_eq!(result.lines.iter().map(|line| line.fee_tax_minor).collect::<Vec<_>>(), [38, 19]);
}

#[test]
fn the_fee_is_taken_of_those_lines_that_bear_it() {
    let steps = json!([
        { "type": "fixed", "amount": 400, "recipientId": "rec_9", "feeable": false },
        { "type": "share", "lines": lines(&[1, 1, 1], "weight") }
    ]);
    let with = |fee: Value| run(1_000, &of(json!({ "currency": "USD", "steps": steps, "platformFee": fee })), &[]);
    let all = with(json!({ "ratePpm": 100_000, "base": "gross" }));
    assert_eq!(text(&all), "400-40-0=360 200-20-0=180 200-20-0=180 200-20-0=180");
    let some = with(json!({ "ratePpm": 100_000, "exemptRecipientIds": ["rec_1"] }));
    assert_eq!(text(&some), "400-0-0=400 200-20-0=180 200-0-0=200 200-20-0=180");
    let each = with(json!({ "ratePpm": 12_500, "scope": "line" }));
    assert_eq!(text(&each), "400-0-0=400 200-3-0=197 200-3-0=197 200-3-0=197");
    let whole = with(json!({ "ratePpm": 12_500 }));
    assert_eq!(text(&whole), "400-0-0=400 200-3-0=197 200-3-0=197 200-2-0=198");
}

#[test]
fn a_fee_that_somebody_else_bears_is_only_remembered() {
    let with = |bearer: &str| {
        let fee = json!({ "ratePpm": 29_000, "fixed": 30, "bearer": bearer });
        let totals = run(100_000, &model(&[1], "weight", fee), &[]).totals;
        (totals.fee_minor, totals.net_minor, totals.fee_elsewhere_minor)
    };
    assert_eq!(with("recipients"), (2_930, 97_070, 0));
    assert_eq!(with("platform"), (0, 100_000, 2_930));
    assert_eq!(with("payer"), (0, 100_000, 3_017));
}

#[test]
fn deductions_reduce_the_pool_first() {
    let halves = model(&[1, 1], "weight", json!({ "ratePpm": 100_000 }));
    let with = |deductions: &[Deduction]| calculate(Request { deductions, ..ask(1_000, &halves, &[]) });
    let result = with(&[deduction(150), deduction(50)]).unwrap();
    assert_eq!(text(&result), "400-40-0=360 400-40-0=360");
    assert_eq!(result.totals.deductions_minor, 200);

    let nothing = with(&[deduction(1_000)]).unwrap();
    assert_eq!(text(&nothing), "0-0-0=0 0-0-0=0");
    assert_eq!(codes(&nothing), ["nothing_to_split"]);
    for too_much in [&[deduction(1_001)][..], &[deduction(i64::MAX), deduction(i64::MAX)]] {
        assert_eq!(with(too_much), Err(CalculationError::DeductionsExceedAmount));
    }
}

#[test]
fn a_model_bound_to_a_currency_splits_no_other() {
    let bound = of(json!({ "currency": "EUR", "steps": [{ "type": "remainder", "recipientId": "rec_0" }] }));
    let mismatch = calculate(ask(1, &bound, &[]));
    assert!(matches!(mismatch, Err(CalculationError::CurrencyMismatch { .. })), "{mismatch:?}");
}

#[test]
fn a_held_line_is_calculated_and_not_payable() {
    let parties = [Party::default(), Party { hold: Some(HoldReason::RecipientPlaceholder), ..Party::default() }];
    let result = run(100, &halves(), &parties);
    assert_eq!((result.totals.net_minor, result.totals.held_minor, result.totals.payable_minor), (100, 50, 50));
    assert_eq!(codes(&result), ["recipient_held"]);
}

#[test]
fn of_a_stranger_only_the_model_knows_something() {
    let spec = json!({
        "steps": [{ "type": "share", "lines": [
            { "recipientId": "rec_0", "weight": 1 }, { "recipientId": "rec_1", "weight": 1, "placeholder": true }] }],
        "defaultTaxProfile": { "rules": [{ "code": "us_backup", "ratePpm": 240_000 }] },
    });
    let result = run(200, &of(spec), &[]);
    assert_eq!(text(&result), "100-0-24=76 100-0-24=76");
    assert_eq!((result.totals.held_minor, result.lines[1].hold), (76, Some(HoldReason::RecipientPlaceholder)));
}

/// Rules begin and end, and one calculator splits releases of many days.
#[test]
fn a_stranger_is_taxed_by_the_rules_of_the_day() {
    let spec = json!({
        "steps": [{ "type": "remainder", "recipientId": "rec_0" }],
        "defaultTaxProfile": { "rules": [
            { "code": "old", "ratePpm": 100_000, "effectiveTo": "2026-01-01" },
            { "code": "new", "ratePpm": 200_000, "effectiveFrom": "2026-01-01" },
            { "code": "yen", "ratePpm": 300_000, "currency": "JPY" }] },
    });
    let model = of(spec);
    let mut calculator = Calculator::new(&model);
    let mut tax = |day: &str, currency: &str| {
        let (currency, day) = (currency.parse().unwrap(), day.parse().unwrap());
        let release = Release { amount_minor: 100, currency, deductions_minor: 0, day };
        calculator.split(&release, &[]).unwrap().totals().tax_minor
    };
    assert_eq!([tax("2025-12-31", "USD"), tax("2026-01-01", "USD"), tax("2025-12-31", "USD")], [10, 20, 10]);
    assert_eq!([tax("2026-01-01", "JPY"), tax("2026-01-01", "USD")], [50, 20]);
}

#[test]
fn a_debt_comes_before_a_hold_and_a_hold_before_what_is_carried() {
    let party = |hold| Party { hold, carried_minor: 70, debt_minor: 30, minimum_minor: 200, ..Party::default() };
    let one = model(&[1], "weight", json!(null));
    assert_eq!(settled(&run(100, &one, &[party(None)])), "100+70=30+0+140+0");
    assert_eq!(settled(&run(160, &one, &[party(None)])), "160+70=30+0+0+200");
    let held = run(100, &one, &[party(Some(HoldReason::RecipientPending))]);
    assert_eq!(settled(&held), "100+0=30+70+0+0");
    let debt = Movement { counter: Counter::Debt, recipient: Some(rec(0)), add: -30 };
    assert_eq!(held.movements, [debt], "what is carried stays where it is");
}

#[test]
fn nothing_new_and_nothing_to_send_leaves_what_is_carried_where_it_is() {
    let parties = [Party { carried_minor: 70, minimum_minor: 100, ..Party::default() }, Party::default()];
    let result = run(1, &model(&[1, 1_000], "weight", json!(null)), &parties);
    assert_eq!(settled(&result), "0+0=0+0+0+0");
    assert!(result.movements.is_empty() && result.warnings.is_empty());
}

#[test]
fn what_the_rail_cannot_send_is_carried() {
    let parties = [Party { granularity_minor: 100, ..Party::default() }];
    let result = run(123_456, &model(&[1], "weight", json!(null)), &parties);
    assert_eq!(settled(&result), "123456+0=0+0+56+123400");
    assert_eq!(result.warnings, [Warning::CarriedForward { recipient: rec(0), carried_minor: 56 }]);
}

#[test]
fn more_than_can_be_counted_is_refused() {
    let parties =
        [Party { carried_minor: i64::MAX, ..Party::default() }, Party { carried_minor: 1, ..Party::default() }];
    assert_eq!(calculate(ask(2, &halves(), &parties)), Err(CalculationError::CarriedOutOfRange));
    assert_eq!(calculate(ask(1, &halves(), &parties)), Err(CalculationError::CarriedOutOfRange));
    let one = model(&[1], "weight", json!(null));
    assert_eq!(calculate(ask(1, &one, &parties[..1])), Err(CalculationError::CarriedOutOfRange));
}

#[test]
fn the_largest_amount_there_is() {
    let result = run(i64::MAX, &model(&[1, 1, 1], "weight", json!({ "ratePpm": 1_000_000 })), &[]);
    assert_eq!(result.totals.fee_minor, i64::MAX);
    for amount in [0, -1, i64::MIN] {
        assert_eq!(calculate(ask(amount, &halves(), &[])), Err(CalculationError::AmountNotPositive));
    }
}

#[test]
fn each_step_takes_from_what_the_one_before_left() {
    let spec = json!({ "currency": "USD", "steps": [
        { "type": "share", "portionPpm": 100_000, "lines": lines(&[1], "weight") },
        { "type": "fixed", "amount": 200, "recipientId": "rec_1" },
        { "type": "recoup", "ratePpm": 500_000, "lines": [
            { "recipientId": "rec_2", "principal": 100 }, { "recipientId": "rec_3", "principal": 200 }] },
        { "type": "share", "lines": [{ "recipientId": "rec_4", "ppm": 500_000, "max": 50 }, { "recipientId": "rec_1", "ppm": 500_000, "max": 60 }] },
        { "type": "tiers", "basis": "amount", "mode": "marginal", "tiers": [
            { "upTo": 100, "lines": [{ "recipientId": "rec_5", "ppm": 1_000_000 }] },
            { "upTo": null, "lines": [{ "recipientId": "rec_5", "ppm": 500_000 }, { "recipientId": "rec_6", "ppm": 500_000 }] }] }] });
    let result = run(1_000, &of(spec), &[]);
    let gross: Vec<i64> = result.lines.iter().map(|line| line.gross_minor).collect();
    // 100; 200; of 700 half is enough for 300; 110 of 400; 290: 100 and halves of 190.
    assert_eq!(gross, [100, 260, 100, 200, 50, 195, 95]);
}

#[test]
fn part_of_a_share_goes_to_another_until_it_is_recouped() {
    let spec = json!({ "currency": "USD", "steps": [
        { "type": "recoup_from_share", "fromRecipientId": "rec_0", "toRecipientId": "rec_9", "target": 60, "ratePpm": 500_000 },
        { "type": "share", "lines": lines(&[1, 1], "weight") }] });
    let model = of(spec);
    let with = |counted: i64| calculate(Request { counts: &[counted], ..ask(200, &model, &[]) }).unwrap();
    assert_eq!(text(&with(0)), "50-0-0=50 100-0-0=100 50-0-0=50");
    assert_eq!(text(&with(50)), "90-0-0=90 100-0-0=100 10-0-0=10");
    assert_eq!(with(60).movements, []);
    assert_eq!(with(50).movements[0].add, 10);
}

/// No release leaves a count below zero behind; if one is there, it counts as nothing.
#[test]
fn a_count_below_nothing_promises_nothing() {
    let spec = json!({ "currency": "USD", "steps": [
        { "type": "recoup", "lines": [{ "recipientId": "rec_0", "principal": 10 }] },
        { "type": "remainder", "recipientId": "rec_1" }] });
    let model = of(spec);
    let result = calculate(Request { counts: &[i64::MIN], ..ask(100, &model, &[]) }).unwrap();
    assert_eq!(text(&result), "10-0-0=10 90-0-0=90");
}

#[test]
fn a_summary_speaks_of_the_whole_only() {
    let halves = model(&[1, 1], "weight", json!({ "ratePpm": 50_000 }));
    let explain = |detail| {
        let request = Request { deductions: &[deduction(1)], detail, ..ask(1_001, &halves, &[]) };
        calculate(request).unwrap().explanation
    };
    assert!(explain(Detail::None).is_empty());
    let columns: Vec<Column> = explain(Detail::Summary).iter().map(|line| line.column).collect();
    assert_eq!(columns, [Column::Deduction, Column::PlatformFee]);
    let full = explain(Detail::Full);
    let of = |column| full.iter().filter(|line| line.column == column).count();
    assert_eq!([of(Column::Gross), of(Column::PlatformFee), of(Column::Net), of(Column::Payable)], [2, 3, 2, 2]);
    assert_eq!(full[1].numerator.as_deref(), Some("1000*1"));
    assert!(full.iter().map(|line| line.seq).eq(1..=u32::try_from(full.len()).unwrap()));
}

#[test]
fn what_is_remembered_stands_in_the_explanation() {
    let spec = json!({ "tieBreak": "carry", "steps": [{ "type": "share", "lines": lines(&[1, 1], "weight") }] });
    let model = of(spec);
    let result = calculate(Request { counts: &[-1, 1], ..ask(1, &model, &[]) }).unwrap();
    assert_eq!(text(&result), "0-0-0=0 1-0-0=1");
    let terms: Vec<_> = result.explanation.iter().filter_map(|line| line.numerator.clone()).take(2).collect();
    assert_eq!(terms, ["1*1-1", "1*1+1"]);
}
