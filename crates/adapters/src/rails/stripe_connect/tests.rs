//! What is decided without a call: settings, and what messages say. Calls are tried against a Stripe simulator in the
//! workspace's tests.

use super::{
    fixtures::{destination, rail, settings},
    *,
};
use app::ports::rail::{About, Seen};
use domain::money::Money;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const NOW_SECONDS: i64 = 1_700_000_000;

fn signed(secret: &str, body: &str) -> Inbound {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = mac.chain_update(format!("{NOW_SECONDS}.{body}")).finalize().into_bytes();
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    Inbound {
        headers: vec![("stripe-signature".to_owned(), format!("t={NOW_SECONDS},v1={hex}"))],
        body: body.as_bytes().to_vec(),
        received_at: Timestamp::from_unix_micros(NOW_SECONDS * 1_000_000),
    }
}
fn event(kind: &str, object: Value) -> Value {
    json!({ "id": "evt_1", "object": "event", "type": kind, "created": 1_699_999_999, "livemode": false,
        "api_version": "2024-06-20", "data": { "object": object } })
}
fn transfer() -> Value {
    json!({ "id": "tr_1", "object": "transfer", "amount": 500, "amount_reversed": 0, "currency": "usd", "created": 1,
        "livemode": false, "destination": "acct_1", "reversed": false, "transfer_group": "ins_1",
        "metadata": { "instruction": "ins_1", "item": "item_1", "wire_ref": "W1" }, "of_tomorrow": {} })
}
fn hear(message: &Value) -> Result<Vec<RailEvent>, IngestError> {
    rail().ingest(&signed("whsec_new", &message.to_string()))
}
fn with(mut value: Value, name: &str, to: Value) -> Value {
    value[name] = to;
    value
}
fn dollars(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

#[test]
fn a_key_must_be_of_the_mode_that_is_configured() {
    let try_new = |key: &str, mode| {
        let settings = Settings { secret_key: Secret::new(key), mode, ..settings() };
        StripeConnect::try_new(settings).map(drop)
    };
    for key in ["sk_test_a", "rk_test_a", " sk_test_a\n"] {
        assert!(try_new(key, Mode::Test).is_ok(), "{key}");
        assert!(matches!(try_new(key, Mode::Live), Err(SetupError::OtherMode("live"))), "{key}");
    }
    for key in ["sk_live_a", "rk_live_a"] {
        assert!(try_new(key, Mode::Live).is_ok(), "{key}");
        assert!(matches!(try_new(key, Mode::Test), Err(SetupError::OtherMode("test"))), "{key}");
    }
    for key in ["", "sk_test_", "pk_test_a", "sk_live", "SK_TEST_a", "sk_test_a b", "whsec_a"] {
        assert!(matches!(try_new(key, Mode::Test), Err(SetupError::NoKey)), "{key}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_is_paid() {
    let secrets = vec![Secret::new("whsec_a"), Secret::new("sk_test_a")];
    let wrong = Settings { webhook_secrets: secrets, ..settings() };
    assert!(matches!(StripeConnect::try_new(wrong), Err(SetupError::NoWebhookSecret)));
    let wrong = Settings { api_base: Some("http://api.stripe.com".to_owned()), ..settings() };
    assert!(matches!(StripeConnect::try_new(wrong), Err(SetupError::Client(_))));
    assert!(!format!("{:?}", settings()).contains("sk_test"), "a key is never printed");
}

#[test]
fn a_transfer_that_was_made_is_settled() {
    for kind in ["transfer.created", "transfer.updated"] {
        let heard = hear(&event(kind, transfer())).unwrap();
        let [heard] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!(heard.dedupe, "evt_1");
        assert_eq!(heard.about, About::Item("W1".to_owned()));
        assert_eq!(heard.key.as_deref(), Some("ins_1"));
        assert_eq!(heard.what, Seen::Settled { reference: Some("tr_1".to_owned()) });
        assert_eq!(heard.amount, Some(dollars(500)));
        assert_eq!(heard.occurred_at, Some(Timestamp::from_unix_micros(1_699_999_999_000_000)));
    }
}

#[test]
fn a_reversal_is_what_came_back_by_now() {
    let whole = with(with(transfer(), "reversed", json!(true)), "amount_reversed", json!(500));
    let part = with(transfer(), "amount_reversed", json!(200));
    for (object, back) in [(whole, 500), (part, 200)] {
        let heard = hear(&event("transfer.reversed", object)).unwrap();
        let returned = dollars(back);
        let reason = "transfer_reversed".to_owned();
        assert_eq!(heard[0].what, Seen::Returned { reason, returned, reference: Some("tr_1".to_owned()) });
        assert_eq!(heard[0].amount, Some(dollars(500)));
    }
}

#[test]
fn an_account_that_changed_may_be_paid_by_now() {
    let theirs = |message: Value| with(message, "account", json!("acct_1"));
    let changed = [
        theirs(event("account.updated", json!({ "id": "acct_1", "object": "account" }))),
        theirs(event("capability.updated", json!({ "id": "transfers", "account": "acct_1", "status": "active" }))),
    ];
    for message in changed {
        let heard = hear(&message).unwrap();
        assert_eq!(
            (&heard[0].about, &heard[0].what),
            (&About::Destination("acct_1".to_owned()), &Seen::DetailsChanged)
        );
    }
}

#[test]
fn what_is_not_about_our_payments_says_nothing() {
    let theirs = |message: Value| with(message, "account", json!("acct_1"));
    let nothing = [
        event("payout.paid", json!({})),
        event("type.of.tomorrow", json!(null)),
        event("transfer.created", with(transfer(), "metadata", json!({}))),
        event("transfer.created", with(transfer(), "metadata", json!({ "wire_ref": "W1" }))),
        event("transfer.created", with(transfer(), "metadata", json!(null))),
        // Made by a connected account.
        theirs(event("transfer.created", transfer())),
        // Of the platform itself.
        event("account.updated", json!({ "id": "acct_platform" })),
        theirs(event("account.updated", json!({ "id": "acct_2" }))),
        // Of the other mode: Stripe sends it to the endpoint all the same.
        with(event("transfer.created", transfer()), "livemode", json!(true)),
        with(event("transfer.created", transfer()), "object", json!("v2.core.event")),
        json!({ "object": "v2.core.event", "id": "evt_2" }),
    ];
    for message in nothing {
        assert_eq!(hear(&message), Ok(Vec::new()), "{message}");
    }
}

#[test]
fn what_stripe_did_not_sign_is_not_believed() {
    let body = event("transfer.created", transfer()).to_string();
    let forged = |message: &Inbound| matches!(rail().ingest(message), Err(IngestError::Forged(_)));
    assert!(rail().ingest(&signed("whsec_old", &body)).is_ok());
    assert!(rail().ingest(&signed("whsec_new", &body)).is_ok());
    assert!(forged(&signed("whsec_other", &body)));
    let good = signed("whsec_new", &body);
    assert!(forged(&Inbound { body: body.replace("500", "900").into_bytes(), ..good.clone() }));
    assert!(forged(&Inbound { headers: Vec::new(), ..good.clone() }));
    assert!(forged(&Inbound { headers: [good.headers.clone(), good.headers.clone()].concat(), ..good.clone() }));
    let late = Timestamp::from_unix_micros((NOW_SECONDS + 301) * 1_000_000);
    assert!(forged(&Inbound { received_at: late, ..good.clone() }));
    let deaf = StripeConnect::try_new(Settings { webhook_secrets: Vec::new(), ..settings() }).unwrap();
    assert!(matches!(deaf.ingest(&good), Err(IngestError::NotTaken(_))));
}

#[test]
fn what_is_signed_and_cannot_be_read_is_told_apart() {
    let unreadable =
        |message: &str| matches!(rail().ingest(&signed("whsec_new", message)), Err(IngestError::Unreadable(_)));
    assert!(unreadable("{"));
    assert!(unreadable(r#"{"object":"event"}"#));
    assert!(unreadable(&event("transfer.created", json!({ "id": "tr_1" })).to_string()));
    assert!(unreadable(&event("transfer.created", with(transfer(), "currency", json!("xxx"))).to_string()));
}

#[test]
fn the_same_message_twice_has_the_same_name() {
    let message = event("transfer.reversed", with(transfer(), "amount_reversed", json!(1)));
    assert_eq!(hear(&message), hear(&message));
}

#[test]
fn a_destination_is_checked_and_a_transfer_is_never_recalled() {
    assert_eq!(rail().check(&destination("acct_1")), Ok(()));
    assert!(rail().check(&destination("acct_")).is_err());
    let profile = rail().profile();
    assert_eq!((profile.id.as_str(), profile.items_max, profile.pays_strangers), (NAME, 1, false));
}
