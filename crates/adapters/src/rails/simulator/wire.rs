//! The bytes of an instruction: what the provider is sent.

use super::{destination, provider::api::TransferRequest};
use app::ports::rail::{Order, PrepareError};

/// The bytes that order one payment.
pub(super) fn bytes(order: &Order) -> Result<Vec<u8>, PrepareError> {
    let details = destination::read(&order.destination);
    let request = TransferRequest {
        item_id: order.item.to_string(),
        reference: order.wire_ref.clone(),
        recipient_id: order.recipient.to_string(),
        amount: order.amount.amount_minor,
        currency: order.amount.currency,
        destination: details.map_err(|_| PrepareError("the destination cannot be used".to_owned()))?,
    };
    serde_json::to_vec(&request).map_err(|error| PrepareError(error.to_string()))
}
