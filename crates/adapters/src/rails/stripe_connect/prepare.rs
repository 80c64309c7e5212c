//! The bytes of an instruction: the form that is posted, the same at every try.

use super::{amounts, destination};
use app::ports::rail::{Order, PrepareError};
use domain::ids::InstructionId;
use form_urlencoded::Serializer;

/// What Stripe keeps with a transfer, and shows to whoever may edit it there.
pub(super) const INSTRUCTION: &str = "instruction";
pub(super) const ITEM: &str = "item";
pub(super) const WIRE_REF: &str = "wire_ref";

/// One transfer for one order.
pub(super) fn transfer(key: InstructionId, orders: &[Order]) -> Result<Vec<u8>, PrepareError> {
    let [order] = orders else { return Err(PrepareError("a transfer pays one item".to_owned())) };
    let account = destination::account(&order.destination)
        .map_err(|_| PrepareError("the destination is no connected account".to_owned()))?;
    let number = amounts::to_stripe(order.amount).map_err(PrepareError)?;
    let key = key.to_string();
    let mut form = Serializer::new(String::new());
    form.append_pair("amount", &number.to_string())
        .append_pair("currency", &order.amount.currency.code().to_ascii_lowercase())
        .append_pair("destination", account)
        // The name under which it is found again once the idempotency key is forgotten. It cannot be edited.
        .append_pair("transfer_group", &key)
        .append_pair(&format!("metadata[{INSTRUCTION}]"), &key)
        .append_pair(&format!("metadata[{WIRE_REF}]"), &order.wire_ref)
        .append_pair(&format!("metadata[{ITEM}]"), &order.item.to_string());
    Ok(form.finish().into_bytes())
}

/// Where a form pays to.
pub(super) fn account_of(body: &[u8]) -> Option<String> {
    form_urlencoded::parse(body).find(|(name, _)| name == "destination").map(|(_, account)| account.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{key, order};
    use super::*;

    #[test]
    fn a_transfer_is_a_form() {
        let body = String::from_utf8(transfer(key(7), &[order(1, 1_050, "USD")]).unwrap()).unwrap();
        let ins = "ins_00000000000000000000000007";
        let expected = format!(
            "amount=1050&currency=usd&destination=acct_1&transfer_group={ins}&metadata%5Binstruction%5D={ins}\
             &metadata%5Bwire_ref%5D=00000000000000000000000001&metadata%5Bitem%5D=item_00000000000000000000000001"
        );
        assert_eq!(body, expected);
        assert_eq!(account_of(body.as_bytes()).as_deref(), Some("acct_1"));
    }

    #[test]
    fn what_cannot_be_sent_is_not_prepared() {
        assert!(transfer(key(7), &[]).is_err());
        assert!(transfer(key(7), &[order(1, 1, "USD"), order(2, 1, "USD")]).is_err());
        assert!(transfer(key(7), &[order(1, 4_510, "HUF")]).is_err());
        assert!(transfer(key(7), &[order(1, 100, "LYD")]).is_err());
    }
}
