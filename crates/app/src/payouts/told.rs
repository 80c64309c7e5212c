//! Pure: what a rail told of a payment, for people: every name that it has, so that it is found by whichever one has.

use crate::ports::rail::RailEvent;
use domain::recipient::RailId;
use serde_json::{Value, json};

/// All that was told, but for what was not. `name` is the saying's own, `key` and `reference` are the payment's: ours, as
/// far as the rail has it, and the rail's. Amounts are minor units of the currency.
pub(crate) fn told(rail: &RailId, event: &RailEvent) -> Value {
    let RailEvent { dedupe, about, key, what, amount, occurred_at, evidence: _ } = event;
    let mut told = json!({ "rail": rail, "name": dedupe, "says": what.as_str(), "wireRef": about.name() });
    let returned = what.returned();
    let parts = [
        ("key", key.as_deref().map(Value::from)),
        ("reference", what.reference().map(Value::from)),
        ("amount", amount.map(|amount| amount.amount_minor.into())),
        ("currency", amount.or(returned).map(|money| money.currency.code().into())),
        ("returned", returned.map(|returned| returned.amount_minor.into())),
        ("occurredAt", occurred_at.map(|at| at.to_string().into())),
    ];
    for (name, part) in parts {
        if let Some(part) = part {
            told[name] = part;
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{now, usd},
        ports::rail::Seen,
    };

    fn of(what: Seen) -> RailEvent {
        RailEvent::answered("W1", what, None, b"raw")
    }

    #[test]
    fn all_that_was_told_is_told_on_and_nothing_else() {
        let rail: RailId = "simulator".parse().unwrap();
        let reference = Some("sim_1".to_owned());
        let event = RailEvent {
            key: Some("ins_1".to_owned()),
            amount: Some(usd(1_000)),
            occurred_at: Some(now()),
            ..of(Seen::Returned { reason: "no_account".to_owned(), returned: usd(300), reference })
        };
        let expected = json!({ "rail": "simulator", "name": "W1/returned/300", "says": "returned", "wireRef": "W1",
            "key": "ins_1", "reference": "sim_1", "amount": 1_000, "currency": "USD", "returned": 300,
            "occurredAt": now().to_string() });
        assert_eq!(told(&rail, &event), expected);
        let expected = json!({ "rail": "simulator", "name": "W1/recalled", "says": "recalled", "wireRef": "W1" });
        assert_eq!(told(&rail, &of(Seen::Recalled)), expected);
    }
}
