//! Every fault is found, once, at the right place.

use super::{super::json, *};

fn amount(field: Field<'_>) -> Option<i64> {
    field.number_with(|number| match number {
        Number::Whole(amount) if amount > 0 => Ok(amount),
        Number::Whole(_) | Number::TooSmall => Err(Fault::new("amount_not_positive", "Too little.")),
        Number::TooLarge => Err(Fault::out_of_range("Too much.")),
        Number::Fraction => Err(Fault::new("amount_not_integer", "Minor units are whole.")),
    })
}

#[derive(Debug, PartialEq)]
struct Sample {
    amount: i64,
    memo: Option<String>,
    note: Option<bool>,
    shares: Vec<i64>,
}

fn sample(fields: &mut Fields<'_>) -> Option<Sample> {
    let amount = fields.required("amount", amount);
    let memo = fields.optional("a/b~c", |field| field.text(1..=5));
    let note = fields.optional("note", |note| note.boolean());
    let shares = fields.required("shares", |field| {
        field.list(1..=3, |share| share.object(|share| share.required("ppm", |ppm| ppm.whole_number(0..=100))))
    });
    Some(Sample { amount: amount?, memo: memo?, note: note?, shares: shares? })
}

/// The faults as `pointer code`, one a line.
fn check(text: &str, expected: &[&str]) {
    let faults = read(&json::parse(text.as_bytes()).unwrap(), Vec::new(), sample).unwrap_err();
    let seen: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.field, fault.code)).collect();
    assert_eq!(seen, expected, "{text}");
}

#[test]
fn a_good_document_is_read() {
    let text = r#"{"amount": 9223372036854775807, "note": true, "shares": [{"ppm": 0}, {"ppm": 100}]}"#;
    let read = read(&json::parse(text.as_bytes()).unwrap(), Vec::new(), sample).unwrap();
    assert_eq!(read, Sample { amount: i64::MAX, memo: None, note: Some(true), shares: vec![0, 100] });
}

#[test]
fn all_faults_at_once_sorted_by_pointer() {
    check(
        r#"{"zebra": 1, "a/b~c": null, "note": 1, "shares": [{"ppm": 101}, 7, {"ppm": 1, "x": {}}], "x~/y": 2}"#,
        &[
            "/amount required",
            "/a~1b~0c wrong_type",
            "/note wrong_type",
            "/shares/0/ppm out_of_range",
            "/shares/1 wrong_type",
            "/shares/2/x unknown_field",
            "/x~0~1y unknown_field",
            "/zebra unknown_field",
        ],
    );
}

#[test]
fn a_document_that_is_no_object_is_one_fault() {
    for text in ["[]", "null", "1", "\"x\"", "true"] {
        check(text, &[" wrong_type"]);
    }
}

#[test]
fn equal_keys_are_one_fault_and_are_not_read() {
    check(
        r#"{"amount": 1, "amount": "x", "shares": [{"ppm": 1, "ppm": 2}]}"#,
        &["/amount duplicate_key", "/shares/0/ppm duplicate_key"],
    );
    check(r#"{"amount": 1, "shares": [{"ppm": 1}], "x": 1, "x": 2}"#, &["/x unknown_field"]);
    check(r#"{"amount": 1, "\u0061mount": 2, "shares": [{"ppm": 1}]}"#, &["/amount duplicate_key"]);
}

#[test]
fn numbers_are_told_apart_by_how_they_are_written() {
    for (literal, code) in [
        ("0", "amount_not_positive"),
        ("-0", "amount_not_positive"),
        ("-1", "amount_not_positive"),
        ("-9223372036854775809", "amount_not_positive"),
        ("9223372036854775808", "out_of_range"),
        ("100000000000000000000000000000", "out_of_range"),
        ("1.0", "amount_not_integer"),
        ("1e2", "amount_not_integer"),
        ("1E400", "amount_not_integer"),
        ("\"1\"", "wrong_type"),
        ("null", "wrong_type"),
        ("true", "wrong_type"),
        ("[1]", "wrong_type"),
        ("{}", "wrong_type"),
    ] {
        let text = format!(r#"{{"amount": {literal}, "shares": [{{"ppm": 1}}]}}"#);
        check(&text, &[&format!("/amount {code}")]);
    }
}

#[test]
fn texts_have_bounds_and_no_nul() {
    let with_memo = |memo: &str| format!(r#"{{"amount": 1, "shares": [{{"ppm": 1}}], "a/b~c": {memo}}}"#);
    check(&with_memo("\"\""), &["/a~1b~0c out_of_range"]);
    check(&with_memo("\"123456\""), &["/a~1b~0c out_of_range"]);
    check(&with_memo("\"a\\u0000\""), &["/a~1b~0c invalid_format"]);
    assert!(read(&json::parse(with_memo("\"äöüßé\"").as_bytes()).unwrap(), Vec::new(), sample).is_ok());
}

#[test]
fn lists_have_bounds() {
    check(r#"{"amount": 1, "shares": []}"#, &["/shares out_of_range"]);
    check(r#"{"amount": 1, "shares": [1,2,3,4]}"#, &["/shares out_of_range"]);
}

#[test]
fn names_of_an_unknown_kind_are_passed_over() {
    let reader = |fields: &mut Fields<'_>| {
        let kind = fields.required("kind", |field| field.one_of(&[("flat", 1), ("tiers", 2)]));
        if kind.is_none() {
            fields.accept_rest();
        }
        assert!(fields.has("ppm"));
        fields.refuse_at("ppm", Fault::new("sum", "Does not add up."));
        fields.refuse(Fault::new("whole", "Contradicts itself."));
        kind
    };
    let faults = |text: &str| {
        let faults = read(&json::parse(text.as_bytes()).unwrap(), Vec::new(), reader).unwrap_err();
        let fault = |fault: &Detail| format!("{} {} {}", fault.field, fault.code, fault.message);
        faults.iter().map(fault).collect::<Vec<_>>()
    };
    let common = [" whole Contradicts itself.", "/kind invalid_format This must be one of `flat`, `tiers`."];
    assert_eq!(faults(r#"{"kind": "cone", "ppm": 1}"#), [&common[..], &["/ppm sum Does not add up."]].concat());
    let known =
        [common[0], "/ppm sum Does not add up.", "/ppm unknown_field There is no such field here; there is kind."];
    assert_eq!(faults(r#"{"kind": "flat", "ppm": 1}"#), known);
}

#[test]
fn null_is_a_value_only_where_it_is_asked_for() {
    let reader = |fields: &mut Fields<'_>| {
        let end = fields.optional("end", |end| end.or_null(|end| end.whole_number(0..=9)));
        end.map(Option::flatten)
    };
    let end = |text: &str| {
        let read = read(&json::parse(text.as_bytes()).unwrap(), Vec::new(), reader);
        read.map_err(|faults| faults.iter().map(|fault| fault.code).collect::<Vec<_>>())
    };
    assert_eq!([end("{}"), end(r#"{"end": null}"#), end(r#"{"end": 9}"#)], [Ok(None), Ok(None), Ok(Some(9))]);
    assert_eq!(end(r#"{"end": 10}"#), Err(vec!["out_of_range"]));
    assert_eq!(end(r#"{"end": "null"}"#), Err(vec!["wrong_type"]));
}
