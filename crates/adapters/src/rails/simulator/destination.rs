//! What the simulator needs to know of a recipient: how they ask to be treated.

use super::provider::behaviour::Wish;
use app::failure::Detail;
use domain::recipient::Destination;
use serde_json::Value;
use std::collections::BTreeMap;

/// The details as texts, checked.
///
/// # Errors
/// All faults of the details. Pointers start at the destination.
pub(super) fn read(destination: &Destination) -> Result<BTreeMap<String, String>, Vec<Detail>> {
    let mut texts = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, value) in &destination.details {
        match value {
            Value::String(text) => {
                texts.insert(name.clone(), text.clone());
            }
            _ => {
                let field = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                let message = "must be a text".to_owned();
                faults.push(Detail { code: "invalid_type", field, message, meta: None });
            }
        }
    }
    faults.extend(Wish::read(&texts).err().unwrap_or_default());
    if faults.is_empty() {
        return Ok(texts);
    }
    Err(faults.into_iter().map(|fault| Detail { field: format!("/details{}", fault.field), ..fault }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(details: Value) -> Vec<String> {
        let details = details.as_object().cloned().unwrap();
        let destination = Destination { rail: "simulator".parse().unwrap(), details };
        read(&destination).err().unwrap_or_default().into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn a_recipient_asks_for_a_behaviour_or_an_outcome_or_nothing() {
        for details in [
            json!({}),
            json!({ "outcome": "paid" }),
            json!({ "outcome": "declined" }),
            json!({ "behaviour": "late_return", "after": "5d", "returned": "100" }),
        ] {
            assert_eq!(fields(details), [""; 0]);
        }
    }

    #[test]
    fn everything_else_is_a_fault_and_all_are_told() {
        assert_eq!(fields(json!({ "outcome": "maybe", "i/ban": "x" })), ["/details/outcome", "/details/i~1ban"]);
        assert_eq!(fields(json!({ "outcome": 1 })), ["/details/outcome"]);
        assert_eq!(fields(json!({ "a~b": true, "behaviour": "no" })), ["/details/a~0b", "/details/behaviour"]);
    }
}
