//! Forty and more tokens that must not be honoured, beside the few that must.

use super::*;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a secret of thirty-two bytes, ok";

fn key() -> TokenKey {
    TokenKey::with_clock(SECRET, || NOW).unwrap()
}

fn good_claims() -> Value {
    json!({"sub": "user_1", "role": "admin", "exp": NOW + 60})
}

/// The claims with one of them replaced, or removed where the value is `null`.
fn with(name: &str, value: Value) -> String {
    let mut claims = good_claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims.to_string()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().chain([&0, &0]).take(3).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in (0..4).take(chunk.len() + 1) {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

/// A token with any header and claims, properly signed by HMAC with this algorithm and secret.
fn signed_by(algorithm: Algorithm, secret: &[u8], header: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn signed(header: &str, claims: &str) -> String {
    signed_by(Algorithm::HS256, SECRET, header, claims)
}

const HS256: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

fn good() -> String {
    signed(HS256, &good_claims().to_string())
}

#[test]
fn our_own_tokens_are_honoured() {
    let key = key();
    let subject: Requester = "5F1A7C3E-0000-4000-8000-00000000000A".parse().unwrap();
    let token = key.sign(&subject, "system", Duration::from_secs(60)).unwrap();
    let caller = key.verify(&token).unwrap();
    assert_eq!(caller, Caller { subject, role: "system".to_owned() });
    assert_eq!(caller.known_role(), Some(Role::System));
}

#[test]
fn good_tokens_of_others_are_honoured() {
    for claims in [
        good_claims().to_string(),
        with("role", json!("auditor-2")),
        with("sub", json!("507F1F77BCF86CD799439011")),
        with("exp", json!(NOW - 29)),
        with("exp", json!(EXPIRY_MAX)),
        with("nbf", json!(NOW + 30)),
        with("iat", json!("whenever")),
    ] {
        assert!(key().verify(&signed(HS256, &claims)).is_ok(), "{claims}");
    }
    for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","typ":"at+jwt","kid":"2026-01"}"#] {
        assert!(key().verify(&signed(header, &good_claims().to_string())).is_ok(), "{header}");
    }
}

#[test]
fn bad_tokens_are_not() {
    let good = good();
    let claims = good_claims().to_string();
    let [head, body, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let foreign = TokenKey::with_clock(b"another secret of 32 bytes, yes!", || NOW).unwrap();
    let unsigned = |header: &str| format!("{}.{}.", base64(header.as_bytes()), base64(claims.as_bytes()));
    let other_key = |header: &str| signed_by(Algorithm::HS256, b"", header, &claims);
    let jwk = r#"{"kty":"oct","k":"AAAA","alg":"HS256"}"#;

    let cases: Vec<(&str, String)> = vec![
        // What is no token at all.
        ("nothing", String::new()),
        ("a word", "token".to_owned()),
        ("dots", "..".to_owned()),
        ("two parts", format!("{head}.{body}")),
        ("four parts", format!("{good}.{signature}")),
        ("a dot before", format!(".{good}")),
        ("a dot after", format!("{good}.")),
        ("no header", format!(".{body}.{signature}")),
        ("no claims", format!("{head}..{signature}")),
        ("no signature", format!("{head}.{body}.")),
        ("a space before", format!(" {good}")),
        ("a line break after", format!("{good}\n")),
        ("padding", format!("{head}.{body}.{signature}=")),
        ("padding in the claims", format!("{head}.{body}==.{signature}")),
        ("not base64", format!("{head}.{body}.***")),
        ("base64 of another alphabet", good.replace(['-', '_'], "+") + "/"),
        ("header is not JSON", signed("HS256", &claims)),
        ("header is a list", signed("[]", &claims)),
        ("claims are not JSON", signed(HS256, "sub=user_1")),
        ("claims are a list", signed(HS256, "[]")),
        ("claims are null", signed(HS256, "null")),
        ("claims go on", signed(HS256, &format!("{claims}{{}}"))),
        // Signatures.
        ("another key", foreign.sign(&"user_1".parse().unwrap(), "admin", Duration::from_secs(60)).unwrap()),
        ("a changed signature", format!("{head}.{body}.{}", signature.chars().rev().collect::<String>())),
        ("a cut signature", good[..good.len() - 4].to_owned()),
        ("changed claims", format!("{head}.{}.{signature}", base64(with("role", json!("system")).as_bytes()))),
        ("a changed header", format!("{}.{body}.{signature}", base64(br#"{"alg":"HS256"}"#))),
        // Algorithms.
        ("none", unsigned(r#"{"alg":"none"}"#)),
        ("None", unsigned(r#"{"alg":"None"}"#)),
        ("none, with a signature", signed(r#"{"alg":"none"}"#, &claims)),
        ("no algorithm", signed(r#"{"typ":"JWT"}"#, &claims)),
        ("an empty algorithm", signed(r#"{"alg":""}"#, &claims)),
        ("lower case", signed(r#"{"alg":"hs256"}"#, &claims)),
        ("HS384", signed_by(Algorithm::HS384, SECRET, r#"{"alg":"HS384"}"#, &claims)),
        ("HS512", signed_by(Algorithm::HS512, SECRET, r#"{"alg":"HS512"}"#, &claims)),
        ("HS512 under the name of HS256", signed_by(Algorithm::HS512, SECRET, HS256, &claims)),
        ("RS256, signed with our secret", signed(r#"{"alg":"RS256"}"#, &claims)),
        ("ES256, signed with our secret", signed(r#"{"alg":"ES256"}"#, &claims)),
        ("EdDSA, signed with our secret", signed(r#"{"alg":"EdDSA"}"#, &claims)),
        ("two algorithms", signed(r#"{"alg":"HS256","alg":"HS256"}"#, &claims)),
        // Headers that want to be believed.
        ("kid to an empty file", other_key(r#"{"alg":"HS256","kid":"../../../dev/null"}"#)),
        ("kid to a table", other_key(r#"{"alg":"HS256","kid":"' UNION SELECT '' --"}"#)),
        ("jku", other_key(r#"{"alg":"HS256","jku":"https://attacker.example/keys"}"#)),
        ("jku, under our key", signed(r#"{"alg":"HS256","jku":"https://attacker.example/keys"}"#, &claims)),
        ("x5u, under our key", signed(r#"{"alg":"HS256","x5u":"https://attacker.example/cert"}"#, &claims)),
        ("jwk", signed_by(Algorithm::HS256, &[0; 3], &format!(r#"{{"alg":"HS256","jwk":{jwk}}}"#), &claims)),
        ("jwk, under our key", signed(&format!(r#"{{"alg":"HS256","jwk":{jwk}}}"#), &claims)),
        ("a rule to be understood", signed(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, &claims)),
        // Claims.
        ("no sub", signed(HS256, &with("sub", Value::Null))),
        ("no role", signed(HS256, &with("role", Value::Null))),
        ("no exp", signed(HS256, &with("exp", Value::Null))),
        ("sub is a number", signed(HS256, &with("sub", json!(1)))),
        ("sub is empty", signed(HS256, &with("sub", json!("")))),
        ("sub is a name", signed(HS256, &with("sub", json!("Alice")))),
        ("sub is a path", signed(HS256, &with("sub", json!("user_1/../admin")))),
        ("role is a number", signed(HS256, &with("role", json!(1)))),
        ("role is a list", signed(HS256, &with("role", json!(["admin"])))),
        ("role is empty", signed(HS256, &with("role", json!("")))),
        ("role is two words", signed(HS256, &with("role", json!("admin system")))),
        (
            "role under another name",
            signed(HS256, &with("role", Value::Null).replace("\"sub\"", "\"roles\":[\"admin\"],\"sub\"")),
        ),
        ("exp is a text", signed(HS256, &with("exp", json!((NOW + 60).to_string())))),
        ("exp is a fraction", signed(HS256, &with("exp", json!(1_800_000_060.5)))),
        ("exp is a float", signed(HS256, &with("exp", json!(1.9e9)))),
        ("exp is negative", signed(HS256, &with("exp", json!(-1)))),
        ("exp is zero", signed(HS256, &with("exp", json!(0)))),
        ("exp is in milliseconds", signed(HS256, &with("exp", json!((NOW + 60) * 1000)))),
        ("exp is huge", signed(HS256, &with("exp", json!(u64::MAX)))),
        ("exp is beyond 64 bits", signed(HS256, &claims.replace(&(NOW + 60).to_string(), "99999999999999999999"))),
        ("exp is null", signed(HS256, &claims.replace(&(NOW + 60).to_string(), "null"))),
        ("exp is true", signed(HS256, &with("exp", json!(true)))),
        ("expired", signed(HS256, &with("exp", json!(NOW - 30)))),
        ("not yet", signed(HS256, &with("nbf", json!(NOW + 31)))),
        ("nbf is a text", signed(HS256, &with("nbf", json!("now")))),
        ("nbf is null", signed(HS256, &claims.replace("\"sub\"", "\"nbf\":null,\"sub\""))),
        ("nbf is negative", signed(HS256, &with("nbf", json!(-1)))),
        ("two roles", signed(HS256, &claims.replace("\"sub\"", "\"role\":\"guest\",\"sub\""))),
        ("two expiries", signed(HS256, &claims.replace("\"sub\"", "\"exp\":1,\"sub\""))),
        ("two subjects", signed(HS256, &claims.replace("\"sub\"", "\"sub\":\"user_2\",\"sub\""))),
        ("for another audience", signed(HS256, &with("aud", json!("another-service")))),
    ];
    assert!(cases.len() >= 35);
    for (name, token) in cases {
        assert!(key().verify(&token).is_err(), "{name}: {token}");
    }
}

#[test]
fn a_good_token_that_is_out_of_its_time_says_so() {
    let verify = |claims: String| key().verify(&signed(HS256, &claims));
    assert_eq!(verify(with("exp", json!(NOW - 30))), Err(BadToken::Expired));
    assert_eq!(verify(with("nbf", json!(NOW + 31))), Err(BadToken::NotYet));
}

#[test]
fn a_short_secret_is_refused_and_a_good_one_is_not_shown() {
    assert_eq!(TokenKey::new(&[7; 31]).unwrap_err(), WeakSecret { bytes: 31 });
    let key = TokenKey::new(SECRET).unwrap();
    assert_eq!(format!("{key:?}"), "TokenKey");
}

#[test]
fn the_wall_clock_is_after_this_was_written() {
    assert!(system_seconds() > 1_700_000_000);
}
