//! What is accepted, what is refused and where, and that `serde_json` agrees.

use super::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;

fn refused(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

/// The tree as `serde_json` would build it: the last of two equal keys wins.
fn as_value(node: &Node<'_>) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::Bool(*value),
        Node::Number(literal) => serde_json::from_str(literal).unwrap(),
        Node::Text(text) => Value::String(text.to_string()),
        Node::List(elements) => elements.iter().map(as_value).collect(),
        Node::Object(members) => members.iter().map(|(key, node)| (key.to_string(), as_value(node))).collect(),
    }
}

#[test]
fn equal_keys_and_number_literals_are_kept_as_written() {
    let node = parse(br#"{"a": 1, "a": 1.0, "b": 123456789012345678901234567890, "c": 1e400}"#).unwrap();
    let Node::Object(members) = node else { panic!("not an object") };
    let seen: Vec<_> = members.iter().map(|(key, node)| format!("{key} {node:?}")).collect();
    assert_eq!(
        seen,
        ["a Number(\"1\")", "a Number(\"1.0\")", "b Number(\"123456789012345678901234567890\")", "c Number(\"1e400\")"]
    );
}

#[test]
fn a_refusal_says_where() {
    for (text, message) in [
        ("", "the text ends where a value was expected at line 1, column 1"),
        ("  \n ", "the text ends where a value was expected at line 2, column 2"),
        ("{\"a\": 1,}", "a key in double quotes was expected at line 1, column 9"),
        ("{\"a\": 1", "`,` or `}` was expected at line 1, column 8"),
        ("{\n  \"é\": tru\n}", "a value was expected at line 2, column 8"),
        ("{} {}", "there is more after the end of the document at line 1, column 4"),
        ("[01]", "a number must not start with 0 at line 1, column 3"),
        ("[1.]", "a digit was expected at line 1, column 4"),
        ("[-]", "a digit was expected at line 1, column 3"),
        ("[NaN]", "a value was expected at line 1, column 2"),
        ("\"a\nb\"", "a control character in a string has to be escaped at line 1, column 3"),
        ("\"\\ud800\"", "half a surrogate pair at line 1, column 8"),
        ("\"\\x\"", "no such escape at line 1, column 3"),
        ("\u{feff}{}", "a value was expected at line 1, column 1"),
    ] {
        assert_eq!(refused(text), message, "{text:?}");
    }
    let not_utf8 = parse(b"{\"a\": \"\xff\"}").unwrap_err().to_string();
    assert_eq!(not_utf8, "the text is not UTF-8 at line 1, column 8");
}

#[test]
fn deep_nesting_is_refused_before_it_costs_a_stack() {
    let nest = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(nest(DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(refused(&nest(DEPTH_MAX + 1)), "the nesting is too deep at line 1, column 65");
    assert_eq!(refused(&"[".repeat(1_000_000)), "the nesting is too deep at line 1, column 65");
}

/// Mutated documents: both readers accept the same ones and see the same values.
#[test]
fn serde_json_agrees() {
    let seeds = [
        r#"{"escrowId":"esc_1","amount":200000,"currency":"USD","deep":[{"x":null},[true,false]]}"#,
        "[\"\\ud83d\\ude00 \\u00e9 \\n\\t\\\"\\\\\\/\", -0, 0.5e-3, 1E+2, 12, \"äöü €\"]",
        " { \"a\" : [ ] , \"b\" : { } , \"a\" : -12.75 } ",
    ];
    let alphabet = b"{}[]\",:\\/0123456789-+.eEtrufalsn \n\x00\x1f\x7f\xc3\xa9\xffdD8";
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..60_000 {
        let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            let byte = alphabet[random.random_range(0..alphabet.len())];
            match random.random_range(0..3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        match (parse(&bytes), serde_json::from_slice::<Value>(&bytes)) {
            (Ok(ours), Ok(theirs)) => assert_eq!(as_value(&ours), theirs, "{shown}"),
            (Err(_), Err(_)) => {}
            // A number that no float can hold is still a number.
            (Ok(_), Err(error)) => assert!(error.to_string().contains("out of range"), "{shown}: {error}"),
            (Err(error), Ok(_)) => panic!("{shown}: {error}"),
        }
    }
}

#[test]
fn the_canonical_form_forgets_spelling_and_nothing_else() {
    let canonical = |text: &str| parse(text.as_bytes()).unwrap().canonical();
    let one = canonical("{\"b\": [1, 2.0, null],\n \"a\": \"x\\u0041\\\"\\n\", \"c\": {\"z\": true, \"y\": false}}");
    assert_eq!(one, r#"{"a":"xA\"\n","b":[1,2.0,null],"c":{"y":false,"z":true}}"#);
    assert_eq!(canonical(&one), one);
    for (a, b) in [
        ("1", "1.0"),
        ("[1,2]", "[2,1]"),
        ("\"1\"", "1"),
        ("null", "\"null\""),
        ("{}", "[]"),
        ("[\"a,b\"]", "[\"a\",\"b\"]"),
    ] {
        assert_ne!(canonical(a), canonical(b));
    }
}
