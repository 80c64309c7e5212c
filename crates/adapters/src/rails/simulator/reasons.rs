//! What the codes of the provider mean (rails design, section 4). They are the words that card and bank transfers use.

use app::ports::rail::Class;

/// What to do about a refusal with that code. A code that nobody knows is for an operator to look at.
pub(super) fn class_of(code: &str) -> Class {
    match code {
        // The bank's side: it may work later.
        "could_not_process" | "processing_error" | "bank_unavailable" => Class::Retry,
        // The recipient has to do something first.
        "kyc_required" | "transfers_not_allowed" | "payouts_not_allowed" | "bank_account_unverified" => Class::Hold,
        // Our side: no other payment will do better.
        "insufficient_funds" | "balance_insufficient" | "platform_account_required" | "authentication_failed" => {
            Class::Ops
        }
        // The recipient's details or the payment itself: it needs others.
        // `account_closed`, `account_frozen`, `no_account`, `invalid_account`, `invalid_account_number`,
        // `incorrect_account_holder_name`, `invalid_currency`, `country_unsupported`, `amount_too_large`,
        // `amount_too_small`, `compliance_rejected`, `declined`, `declined_by_simulator`.
        _ => Class::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_class() {
        let check = |class: Class, codes: &[&str]| {
            for code in codes {
                assert_eq!(class_of(code), class, "{code}");
            }
        };
        check(Class::Retry, &["could_not_process"]);
        check(Class::Hold, &["kyc_required", "transfers_not_allowed"]);
        check(Class::Ops, &["insufficient_funds"]);
        check(
            Class::Fail,
            &["account_closed", "invalid_account", "compliance_rejected", "declined_by_simulator", "new"],
        );
    }
}
