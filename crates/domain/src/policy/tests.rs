use super::*;
use crate::calendar::CalendarFault;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn spec(policy: Value) -> PolicySpec {
    serde_json::from_value(policy).unwrap()
}
/// The faults of a policy as `pointer code`, in the order in which they are told.
fn faults(policy: Value) -> Vec<String> {
    let text = |fault: &PolicyFault| format!("{} {}", fault.pointer, fault.code.as_str());
    spec(policy).check().map_or_else(|faults| faults.iter().map(text).collect(), |_| Vec::new())
}
fn rules(rules: Value) -> Value {
    json!({ "approval": { "rules": rules } })
}
fn usd(from: i64, approvals: i64) -> Value {
    json!({ "when": "amount", "currency": "USD", "from": from, "approvals": approvals })
}
fn approvers(approvals: i64, approvers: &[&str]) -> Value {
    json!({ "approval": { "rules": [{ "when": "new_destination", "approvals": approvals }], "approvers": approvers } })
}
fn valid_for(seconds: i64) -> Value {
    json!({ "approval": { "rules": [usd(1, 1)], "validForSeconds": seconds } })
}
fn calendar(cron: &str, zone: &str, seconds: i64) -> Value {
    json!({ "calendar": { "cron": cron, "timeZone": zone, "minimumAgeSeconds": seconds } })
}
fn whole() -> Value {
    json!({
        "approval": {
            "rules": [
                { "when": "amount", "currency": "USD", "from": 1_000_000, "approvals": 2 },
                { "when": "amount", "currency": "EUR", "from": 1_000_000, "approvals": 1 },
                { "when": "new_destination", "approvals": 1 },
                { "when": "changed_destination", "approvals": 2 },
            ],
            "approvers": ["usr_ann", "usr_bob"],
            "validForSeconds": 604_800,
        },
        "calendar": { "cron": "0 9 * * 1-5", "timeZone": "Europe/Berlin", "minimumAgeSeconds": 86_400 },
    })
}

#[test]
fn a_policy_is_read_back_as_written_and_means_what_it_says() {
    let spec = spec(whole());
    assert_eq!(serde_json::to_value(&spec).unwrap(), whole());
    let policy = spec.check().unwrap();
    assert_eq!(policy.approval.rules.len(), 4);
    assert_eq!(policy.approval.rules[3], ApprovalRule { when: Trigger::ChangedDestination, approvals: 2 });
    assert_eq!(policy.approval.approvers, ["usr_ann".parse().unwrap(), "usr_bob".parse().unwrap()]);
    assert_eq!(policy.approval.valid_for_seconds, Some(604_800));
    let calendar = policy.calendar.unwrap();
    let said = (calendar.cron(), calendar.time_zone(), calendar.minimum_age_seconds());
    assert_eq!(said, ("0 9 * * 1-5", "Europe/Berlin", 86_400));
}

#[test]
fn nothing_said_is_no_approval_and_no_calendar() {
    assert_eq!(spec(json!({})), PolicySpec::default());
    assert_eq!(serde_json::to_value(PolicySpec::default()).unwrap(), json!({}));
    assert_eq!(PolicySpec::default().check(), Ok(Policy::default()));
    let daily = spec(json!({ "calendar": { "cron": "0 9 * * *", "timeZone": "UTC" } })).check().unwrap();
    assert_eq!(daily.calendar.unwrap().minimum_age_seconds(), 0);
}

#[test]
fn unknown_fields_and_words_are_refused() {
    for policy in [
        json!({ "extra": 1 }),
        json!({ "approval": { "rules": [], "extra": 1 } }),
        json!({ "approval": {} }),
        rules(json!([{ "when": "new_destination", "approvals": 1, "from": 5 }])),
        rules(json!([{ "when": "amount", "currency": "USD", "from": 5, "approvals": 1, "upTo": 7 }])),
        rules(json!([{ "when": "amount", "from": 5, "approvals": 1 }])),
        rules(json!([{ "when": "night", "approvals": 1 }])),
        json!({ "calendar": { "cron": "0 9 * * *", "timeZone": "UTC", "minimumAge": 1 } }),
    ] {
        assert!(serde_json::from_value::<PolicySpec>(policy.clone()).is_err(), "{policy}");
    }
}

/// Every code, and where it is.
fn table() -> Vec<(Value, &'static str)> {
    let people: Vec<String> = (0..=APPROVERS_MAX).map(|at| format!("usr_{at}")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let many: Vec<Value> = (1..).take(RULES_MAX + 1).map(|from| usd(from, 1)).collect();
    let many_effects = (1..=RULES_MAX).map(|at| format!("/approval/rules/{at} rule_without_effect"));
    let mut many_faults: Vec<String> = many_effects.chain(["/approval/rules too_many_rules".to_owned()]).collect();
    many_faults.sort();
    vec![
        (rules(json!([])), "/approval/rules no_rules"),
        (rules(json!(many)), many_faults.join("; ").leak()),
        (rules(json!([usd(5, 1), usd(5, 2)])), "/approval/rules/1 duplicate_rule"),
        (
            rules(
                json!([{ "when": "new_destination", "approvals": 1 }, { "when": "new_destination", "approvals": 2 }]),
            ),
            "/approval/rules/1 duplicate_rule",
        ),
        (rules(json!([usd(5, 2), usd(6, 2)])), "/approval/rules/1 rule_without_effect"),
        (rules(json!([usd(6, 1), usd(5, 2)])), "/approval/rules/0 rule_without_effect"),
        (rules(json!([usd(5, 0)])), "/approval/rules/0/approvals approvals_out_of_range"),
        (rules(json!([usd(5, -1)])), "/approval/rules/0/approvals approvals_out_of_range"),
        (rules(json!([usd(5, 11)])), "/approval/rules/0/approvals approvals_out_of_range"),
        (rules(json!([usd(5, i64::MAX)])), "/approval/rules/0/approvals approvals_out_of_range"),
        (approvers(2, &["usr_a"]), "/approval/rules/0/approvals too_few_approvers"),
        (
            approvers(2, &["usr_a", "usr_a"]),
            "/approval/approvers/1 duplicate_approver; /approval/rules/0/approvals too_few_approvers",
        ),
        (approvers(1, &["usr_a", "usr_b", "usr_a"]), "/approval/approvers/2 duplicate_approver"),
        (approvers(1, &people), "/approval/approvers too_many_approvers"),
        (rules(json!([usd(0, 1)])), "/approval/rules/0/from amount_not_positive"),
        (rules(json!([usd(-5, 1)])), "/approval/rules/0/from amount_not_positive"),
        (rules(json!([usd(9_007_199_254_740_992, 1)])), "/approval/rules/0/from amount_out_of_range"),
        (valid_for(59), "/approval/validForSeconds validity_out_of_range"),
        (valid_for(-1), "/approval/validForSeconds validity_out_of_range"),
        (valid_for(31_622_401), "/approval/validForSeconds validity_out_of_range"),
        (calendar("0 9 * *", "UTC", 0), "/calendar/cron cron_invalid"),
        (calendar("0 9 30 2 *", "UTC", 0), "/calendar/cron cron_never"),
        (calendar("0 9 * * *", "Mars/Olympus", 0), "/calendar/timeZone time_zone_unknown"),
        (calendar("0 9 * * *", "UTC", -1), "/calendar/minimumAgeSeconds minimum_age_out_of_range"),
        (calendar("0 9 * * *", "UTC", 31_622_401), "/calendar/minimumAgeSeconds minimum_age_out_of_range"),
    ]
}

#[test]
fn every_fault_is_told_with_its_place_and_every_code_can_be_told() {
    let mut told = BTreeSet::new();
    for (policy, expected) in table() {
        assert_eq!(faults(policy.clone()).join("; "), expected, "{policy}");
        told.extend(expected.split("; ").map(|fault| fault.split_once(' ').unwrap().1));
    }
    let all: BTreeSet<&str> = PolicyFaultCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(told, all);
}

#[test]
fn what_is_just_in_range_is_accepted() {
    for policy in [
        rules(json!([usd(5, 1), usd(6, 2), usd(7, 10)])),
        rules(json!([usd(5, 2), { "when": "amount", "currency": "EUR", "from": 6, "approvals": 1 }])),
        rules(
            json!([usd(1, 1), { "when": "amount", "currency": "EUR", "from": 9_007_199_254_740_991_i64, "approvals": 1 }]),
        ),
        rules(json!([usd(5, 2), { "when": "new_destination", "approvals": 1 }])),
        approvers(2, &["usr_a", "usr_b"]),
        valid_for(60),
        valid_for(31_622_400),
        calendar("0 9 29 2 *", "America/New_York", 31_622_400),
    ] {
        assert_eq!(faults(policy.clone()), [""; 0], "{policy}");
    }
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_their_places() {
    let policy = json!({
        "approval": {
            "rules": [usd(0, 0), usd(5, 3), { "when": "changed_destination", "approvals": 12 }],
            "approvers": ["usr_a", "usr_a"],
            "validForSeconds": 1,
        },
        "calendar": { "cron": "x", "timeZone": "y", "minimumAgeSeconds": -1 },
    });
    let expected = [
        "/approval/approvers/1 duplicate_approver",
        "/approval/rules/0/approvals approvals_out_of_range",
        "/approval/rules/0/from amount_not_positive",
        "/approval/rules/1/approvals too_few_approvers",
        "/approval/rules/2/approvals approvals_out_of_range",
        "/approval/validForSeconds validity_out_of_range",
        "/calendar/cron cron_invalid",
        "/calendar/minimumAgeSeconds minimum_age_out_of_range",
        "/calendar/timeZone time_zone_unknown",
    ];
    assert_eq!(faults(policy), expected);
}

/// A calendar by itself and a calendar of a policy use the same words.
#[test]
fn the_words_of_a_calendar_are_those_of_a_policy() {
    for (cron, zone, seconds) in
        [("x", "UTC", 0), ("0 0 30 2 *", "UTC", 0), ("* * * * *", "x", 0), ("* * * * *", "UTC", -1)]
    {
        let alone: Vec<CalendarFault> =
            Calendar::check(cron, zone, u64::try_from(seconds).unwrap_or(u64::MAX)).unwrap_err();
        let within = spec(calendar(cron, zone, seconds)).check().unwrap_err();
        assert_eq!((within[0].code.as_str(), &within[0].message), (alone[0].code(), &alone[0].to_string()));
    }
}

fn facts(currency: &str, amount_minor: i64, new: bool, changed: bool) -> ApprovalFacts {
    ApprovalFacts {
        currency: currency.parse().unwrap(),
        amount_minor,
        has_new_destination: new,
        has_changed_destination: changed,
    }
}

#[test]
fn the_most_that_any_matching_rule_asks_for_is_required() {
    let policy = spec(whole()).check().unwrap().approval;
    for (facts, required) in [
        (facts("USD", 999_999, false, false), 0),
        (facts("USD", 1_000_000, false, false), 2),
        (facts("USD", i64::MAX, true, false), 2),
        (facts("EUR", 1_000_000, false, false), 1),
        (facts("JPY", 1_000_000_000, false, false), 0),
        (facts("USD", 1, true, false), 1),
        (facts("USD", 1, false, true), 2),
        (facts("EUR", 1_000_000, true, true), 2),
        (facts("USD", 0, false, false), 0),
    ] {
        assert_eq!(policy.required(&facts), required, "{facts:?}");
    }
    assert_eq!(ApprovalPolicy::default().required(&facts("USD", i64::MAX, true, true)), 0);
}

fn triggers() -> impl Strategy<Value = Trigger> {
    let currencies = prop::sample::select(vec!["USD", "EUR"]);
    let amount = (currencies, 1..100_i64)
        .prop_map(|(currency, from_minor)| Trigger::Amount { currency: currency.parse().unwrap(), from_minor });
    prop_oneof![4 => amount, 1 => Just(Trigger::NewDestination), 1 => Just(Trigger::ChangedDestination)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn more_money_never_needs_fewer_people(
        rules in prop::collection::vec((triggers(), 1..=APPROVALS_MAX), 0..6),
        less in 0..120_i64,
        more in 0..120_i64,
        new in any::<bool>(),
        changed in any::<bool>(),
    ) {
        let rules = rules.into_iter().map(|(when, approvals)| ApprovalRule { when, approvals }).collect();
        let policy = ApprovalPolicy { rules, ..ApprovalPolicy::default() };
        let required = |amount| policy.required(&facts("USD", amount, new, changed));
        prop_assert!(required(less) <= required(less + more));
        prop_assert!(required(less) <= policy.required(&facts("USD", less, true, true)));
        prop_assert!(policy.rules.iter().any(|rule| rule.approvals == required(less)) || required(less) == 0);
    }
}
