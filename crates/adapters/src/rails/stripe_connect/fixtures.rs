//! What the tests of this rail start from.

use super::{Mode, Secret, Settings, StripeConnect};
use app::ports::rail::Order;
use domain::{
    ids::{InstructionId, ItemId},
    money::Money,
    recipient::Destination,
};
use serde_json::json;
use uuid::Uuid;

pub(super) fn key(n: u128) -> InstructionId {
    InstructionId::new(Uuid::from_u128(n))
}

pub(super) fn destination(account: &str) -> Destination {
    let details = json!({ "account": account }).as_object().cloned().unwrap();
    Destination { rail: "stripe_connect".parse().unwrap(), details }
}

pub(super) fn order(n: u128, amount_minor: i64, currency: &str) -> Order {
    let item = ItemId::new(Uuid::from_u128(n));
    Order {
        item,
        wire_ref: item.digits(),
        recipient: "rec_1".parse().unwrap(),
        amount: Money::new(amount_minor, currency.parse().unwrap()),
        destination: destination("acct_1"),
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        secret_key: Secret::new("sk_test_1"),
        mode: Mode::Test,
        webhook_secrets: vec![Secret::new("whsec_old"), Secret::new("whsec_new")],
        api_base: None,
    }
}

pub(super) fn rail() -> StripeConnect {
    StripeConnect::try_new(settings()).unwrap()
}
