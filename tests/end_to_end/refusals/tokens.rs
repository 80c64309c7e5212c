//! Who is not known.

use super::{SECURED, method, world};
use crate::harness::{
    home::{Engine, SECRET},
    on_both_databases,
    world::signed,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

on_both_databases! {
    without_a_token_there_is_nothing_to_see
    a_token_that_is_not_ours_is_not_honoured
}

const FOREVER: u64 = 253_402_300_799;

async fn without_a_token_there_is_nothing_to_see(engine: Engine) {
    let world = world(engine).await;
    let good = world.token("admin");
    for (name, path, _) in SECURED {
        for sent in [vec![], vec!["Bearer".to_owned()], vec!["Bearer x.y.z".to_owned()], vec![format!("Basic {good}")]]
        {
            let mut request = world.request(method(name), path);
            for value in sent {
                request = request.header("authorization", value);
            }
            world.send(request).await.refused(401, "unauthenticated");
        }
        let twice =
            world.request(method(name), path).bearer_auth(&good).header("authorization", format!("Bearer {good}"));
        world.send(twice).await.refused(401, "unauthenticated");
        // A stranger learns nothing about parameters, and no place but the header counts.
        let query = world.request(method(name), &format!("{path}?access_token={good}&x=1"));
        world.send(query).await.refused(401, "unauthenticated");
    }
}

async fn a_token_that_is_not_ours_is_not_honoured(engine: Engine) {
    let world = world(engine).await;
    let claims = json!({ "sub": "usr_1", "role": "admin", "exp": FOREVER });
    let under = |secret: &str, algorithm: Algorithm| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).expect("a token")
    };
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        match value {
            Value::Null => drop(claims.as_object_mut().expect("claims").remove(name)),
            value => claims[name] = value,
        }
        signed(&claims)
    };
    let good = signed(&claims);
    let (head, rest) = good.split_once('.').expect("three parts");
    let none = "eyJhbGciOiJub25lIn0";
    let tokens = [
        ("a foreign key", under("another secret, also of more than 32 bytes", Algorithm::HS256)),
        ("HS384", under(SECRET, Algorithm::HS384)),
        ("HS512", under(SECRET, Algorithm::HS512)),
        ("no algorithm", format!("{none}.{}.", rest.split('.').next().expect("claims"))),
        ("no algorithm, signed", format!("{none}.{rest}")),
        ("no signature", format!("{head}.{}.", rest.split('.').next().expect("claims"))),
        ("a cut signature", good[..good.len() - 2].to_owned()),
        ("expired", with("exp", json!(1_000_000_000))),
        ("no expiry", with("exp", Value::Null)),
        ("an expiry in words", with("exp", json!("tomorrow"))),
        ("an expiry in milliseconds", with("exp", json!(1_900_000_000_000_i64 * 1000))),
        ("not yet", with("nbf", json!(FOREVER - 1))),
        ("no subject", with("sub", Value::Null)),
        ("a subject that is no id", with("sub", json!("Alice"))),
        ("no role", with("role", Value::Null)),
        ("a list of roles", with("role", json!(["admin"]))),
        ("an empty role", with("role", json!(""))),
        ("two words as a role", with("role", json!("admin system"))),
        ("for another audience", with("aud", json!("elsewhere"))),
    ];
    for (name, token) in tokens {
        for path in ["/payouts/batches", "/ledger/trial-balance"] {
            let mut answer = world.send(world.request(Method::GET, path).bearer_auth(&token)).await;
            answer.asked = format!("{} with {name}", answer.asked);
            answer.refused(401, "unauthenticated");
        }
    }
    world.send(world.request(Method::GET, "/payouts/batches").bearer_auth(&good)).await.with(200);
}
