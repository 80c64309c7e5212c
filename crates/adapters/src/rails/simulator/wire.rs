//! The bytes of an instruction: what a provider would be sent.

use super::destination::Outcome;
use app::ports::rail::{Order, PrepareError};
use domain::{currency::Currency, money::Money};
use serde::{Deserialize, Serialize};

/// One payment as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Payment {
    pub(super) item_id: String,
    pub(super) recipient_id: String,
    pub(super) amount: i64,
    pub(super) currency: Currency,
    /// What the recipient's setting asks the simulator to do.
    outcome: String,
}

impl Payment {
    pub(super) fn of(order: &Order) -> Result<Self, PrepareError> {
        let outcome = Outcome::read(&order.destination);
        let outcome = outcome.map_err(|_| PrepareError("the destination cannot be used".to_owned()))?;
        Ok(Self {
            item_id: order.item.to_string(),
            recipient_id: order.recipient.to_string(),
            amount: order.amount.amount_minor,
            currency: order.amount.currency,
            outcome: outcome.as_str().to_owned(),
        })
    }
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, PrepareError> {
        serde_json::to_vec(self).map_err(|error| PrepareError(error.to_string()))
    }
    pub(super) fn from_bytes(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
    pub(super) fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }
    pub(super) fn outcome(&self) -> Outcome {
        // Only a body that we did not make can say anything else, and that is no reason to pay.
        Outcome::of(&self.outcome).unwrap_or(Outcome::Declined)
    }
}
