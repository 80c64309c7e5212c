//! What the simulator needs to know of a recipient: the outcome they ask for.

use app::failure::Detail;
use domain::recipient::Destination;
use serde_json::Value;

/// What becomes of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is executed.
    Paid,
    /// It is refused.
    Declined,
}

impl Outcome {
    const ALL: [Self; 2] = [Self::Paid, Self::Declined];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Declined => "declined",
        }
    }
    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// The outcome that a destination asks for: `details.outcome`, or `paid`.
    pub(super) fn read(destination: &Destination) -> Result<Self, Vec<Detail>> {
        let mut outcome = Self::Paid;
        let mut faults = Vec::new();
        for (name, value) in &destination.details {
            match (name.as_str(), value) {
                ("outcome", Value::String(word)) if Self::of(word).is_some() => {
                    outcome = Self::of(word).unwrap_or(outcome);
                }
                ("outcome", _) => faults.push(fault("invalid_value", name, "must be `paid` or `declined`")),
                _ => faults.push(fault("unknown_field", name, "the simulator knows only `outcome`")),
            }
        }
        if faults.is_empty() { Ok(outcome) } else { Err(faults) }
    }
}

fn fault(code: &'static str, name: &str, message: &str) -> Detail {
    let name = name.replace('~', "~0").replace('/', "~1");
    Detail { code, field: format!("/details/{name}"), message: message.to_owned(), meta: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(details: Value) -> Result<Outcome, Vec<String>> {
        let details = details.as_object().cloned().unwrap();
        let destination = Destination { rail: "simulator".parse().unwrap(), details };
        Outcome::read(&destination).map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn a_recipient_asks_for_an_outcome_or_is_paid() {
        assert_eq!(read(serde_json::json!({})), Ok(Outcome::Paid));
        assert_eq!(read(serde_json::json!({ "outcome": "paid" })), Ok(Outcome::Paid));
        assert_eq!(read(serde_json::json!({ "outcome": "declined" })), Ok(Outcome::Declined));
    }

    #[test]
    fn everything_else_is_a_fault_and_all_are_told() {
        let faults = read(serde_json::json!({ "outcome": "maybe", "i/ban": "x" }));
        assert_eq!(faults, Err(vec!["/details/i~1ban".to_owned(), "/details/outcome".to_owned()]));
        assert_eq!(read(serde_json::json!({ "outcome": 1 })), Err(vec!["/details/outcome".to_owned()]));
    }
}
