//! What a refusal means (rails design, section 4). Pure.

use super::{client::Reply, profile::SLOW_DOWN, wire::Refusal};
use app::ports::rail::{Class, Submit};

/// What a code means, whatever status it comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Refused, and what to do about it.
    Refused(Class),
    /// Not carried out, and we are to blame.
    Ours,
    /// Not carried out: the same call may be made again.
    NotYet,
    /// Too many calls.
    TooMany,
    /// Another call under this key is being carried out.
    Busy,
}

/// The codes that say more than that the payment will not work like this.
fn meaning(code: &str) -> Option<Meaning> {
    let is_capability = ["storer_capability_", "financial_account_capability_"].iter().any(|all| code.starts_with(all));
    Some(match code {
        "rate_limit" => Meaning::TooMany,
        "lock_timeout" => Meaning::NotYet,
        "idempotency_key_in_use" => Meaning::Busy,
        // The balance of the platform. Stripe keeps this answer under the key, so what is sent later is a new call.
        "balance_insufficient" | "insufficient_funds" => Meaning::Refused(Class::Ops),
        "platform_account_required"
        | "api_key_expired"
        | "platform_api_key_expired"
        | "secret_key_required"
        | "testmode_charges_only"
        | "livemode_mismatch"
        | "tls_version_unsupported" => Meaning::Ours,
        "transfers_not_allowed" | "payouts_not_allowed" | "insufficient_capabilities_for_transfer" => {
            Meaning::Refused(Class::Hold)
        }
        _ if is_capability => Meaning::Refused(Class::Hold),
        "account_invalid"
        | "resource_missing"
        | "country_unsupported"
        | "not_allowed_on_standard_account"
        | "amount_too_small"
        | "amount_too_large" => Meaning::Refused(Class::Fail),
        _ if code.starts_with("parameter_") => Meaning::Refused(Class::Fail),
        _ => return None,
    })
}

/// What to do about a refusal with that code, where the code alone says it.
pub(super) fn class_of(code: &str) -> Option<Class> {
    match meaning(code)? {
        Meaning::Refused(class) => Some(class),
        Meaning::Ours | Meaning::NotYet | Meaning::TooMany | Meaning::Busy => None,
    }
}

/// What came of a transfer that Stripe did not say it made.
pub(super) fn classify(reply: &Reply) -> Submit {
    let error = serde_json::from_slice::<Refusal>(&reply.body).ok().map(|refusal| refusal.error);
    let has_words = error.as_ref().is_some_and(|error| error.kind.is_some());
    let error = error.unwrap_or_default();
    let word = word(error.code.as_deref().or(error.kind.as_deref()));
    let param = error.param.map(|param| format!(", parameter {param}")).unwrap_or_default();
    let cause = format!("Stripe answered {} {word}{param}, request {}", reply.status, reply.request);
    if error.kind.as_deref() == Some("idempotency_error") && error.code.as_deref() != Some("idempotency_key_in_use") {
        // The same key with other bytes: ours are immutable, so this cannot be. What was carried out under the key is
        // found by asking, and if it is not this payment, that is told as well.
        tracing::error!(alarm = "idempotency_key_reused", cause, "a person is needed");
        return Submit::Unknown { cause };
    }
    let refused = |class| Submit::Refused { reason: word.clone(), class };
    let not_sent = |ours| Submit::NotSent { cause: cause.clone(), retry_after: reply.retry_after, ours };
    match (reply.status, error.code.as_deref().and_then(meaning)) {
        // Told before anything is carried out.
        (429, _) | (400..=499, Some(Meaning::TooMany)) => {
            let retry_after = Some(reply.retry_after.unwrap_or(SLOW_DOWN));
            Submit::NotSent { cause, retry_after, ours: false }
        }
        // The answer is kept under the key, so only a new key can do better.
        (400..=499, Some(Meaning::NotYet)) if reply.should_retry == Some(false) => refused(Class::Retry),
        (400..=499, Some(Meaning::NotYet)) => not_sent(false),
        // It is the very call that is still under way: nothing could be less certain.
        (400..=499, Some(Meaning::Busy)) => Submit::Unknown { cause },
        (400..=499, Some(Meaning::Ours)) => not_sent(true),
        (400..=499, Some(Meaning::Refused(class))) => refused(class),
        (401 | 403, None) => not_sent(true),
        (400 | 402 | 404, None) if has_words && reply.should_retry == Some(true) => not_sent(false),
        (400 | 402 | 404, None) if has_words => refused(Class::Fail),
        _ => Submit::Unknown { cause },
    }
}

/// A stable word: what is none of Stripe's is not passed on.
pub(super) fn word(said: Option<&str>) -> String {
    let is_word = |text: &&str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    said.filter(is_word).unwrap_or("unspecified").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn reply(status: u16, body: &str) -> Reply {
        let request = "req_1".to_owned();
        Reply { status, body: body.as_bytes().to_vec(), should_retry: None, retry_after: None, request }
    }
    fn refusal(status: u16, kind: &str, code: &str) -> Reply {
        let code = if code.is_empty() { String::new() } else { format!(r#","code":"{code}""#) };
        reply(
            status,
            &format!(r#"{{"error":{{"type":"{kind}"{code},"message":"no","param":"destination","new":[1]}}}}"#),
        )
    }
    fn show(submit: &Submit) -> String {
        match submit {
            Submit::Accepted { .. } => "accepted".to_owned(),
            Submit::Refused { reason, class } => format!("refused {} {reason}", class.as_str()),
            Submit::NotSent { retry_after, ours, .. } => {
                let wait = retry_after.map(|wait| format!(" after {}s", wait.as_secs())).unwrap_or_default();
                format!("not sent{}{wait}", if *ours { ", ours" } else { "" })
            }
            Submit::Unknown { .. } => "unknown".to_owned(),
        }
    }

    /// The whole table, row by row as the design has it.
    #[test]
    fn every_answer_has_its_meaning() {
        let invalid = "invalid_request_error";
        for (status, kind, code, expected) in [
            (429, invalid, "rate_limit", "not sent after 1s"),
            (429, invalid, "", "not sent after 1s"),
            (400, invalid, "rate_limit", "not sent after 1s"),
            (409, invalid, "lock_timeout", "not sent"),
            (409, "idempotency_error", "idempotency_key_in_use", "unknown"),
            (409, invalid, "idempotency_key_in_use", "unknown"),
            (409, invalid, "something_new", "unknown"),
            (400, "idempotency_error", "", "unknown"),
            (409, "idempotency_error", "", "unknown"),
            (401, invalid, "", "not sent, ours"),
            (401, invalid, "api_key_expired", "not sent, ours"),
            (403, invalid, "", "not sent, ours"),
            (403, invalid, "something_new", "not sent, ours"),
            (400, invalid, "platform_account_required", "not sent, ours"),
            (400, invalid, "balance_insufficient", "refused ops balance_insufficient"),
            (400, invalid, "transfers_not_allowed", "refused hold transfers_not_allowed"),
            (400, invalid, "payouts_not_allowed", "refused hold payouts_not_allowed"),
            (
                400,
                invalid,
                "insufficient_capabilities_for_transfer",
                "refused hold insufficient_capabilities_for_transfer",
            ),
            (400, invalid, "storer_capability_missing", "refused hold storer_capability_missing"),
            (
                400,
                invalid,
                "financial_account_capability_not_enabled",
                "refused hold financial_account_capability_not_enabled",
            ),
            (400, invalid, "account_invalid", "refused fail account_invalid"),
            (403, invalid, "account_invalid", "refused fail account_invalid"),
            (400, invalid, "resource_missing", "refused fail resource_missing"),
            (404, invalid, "resource_missing", "refused fail resource_missing"),
            (400, invalid, "country_unsupported", "refused fail country_unsupported"),
            (400, invalid, "not_allowed_on_standard_account", "refused fail not_allowed_on_standard_account"),
            (400, invalid, "amount_too_small", "refused fail amount_too_small"),
            (400, invalid, "amount_too_large", "refused fail amount_too_large"),
            (400, invalid, "parameter_invalid_integer", "refused fail parameter_invalid_integer"),
            (400, invalid, "something_new", "refused fail something_new"),
            (400, invalid, "Not A Word", "refused fail unspecified"),
            (400, invalid, "", "refused fail invalid_request_error"),
            (402, "card_error", "", "refused fail card_error"),
            (400, "type_of_tomorrow", "", "refused fail type_of_tomorrow"),
            (500, "api_error", "", "unknown"),
            (503, "api_error", "", "unknown"),
            (500, invalid, "balance_insufficient", "unknown"),
            (302, invalid, "amount_too_small", "unknown"),
            (424, "api_error", "", "unknown"),
        ] {
            assert_eq!(show(&classify(&refusal(status, kind, code))), expected, "{status} {kind} {code}");
        }
    }

    #[test]
    fn a_reason_that_was_stored_means_what_it_meant() {
        assert_eq!(class_of("balance_insufficient"), Some(Class::Ops));
        assert_eq!(class_of("transfers_not_allowed"), Some(Class::Hold));
        assert_eq!(class_of("parameter_invalid_integer"), Some(Class::Fail));
        // It depends on what came with it, or refuses nothing.
        for code in ["lock_timeout", "api_key_expired", "rate_limit", "something_new"] {
            assert_eq!(class_of(code), None, "{code}");
        }
    }

    #[test]
    fn what_is_not_written_by_stripe_proves_nothing() {
        for body in ["", "<html>no</html>", "{}", r#"{"error":"no"}"#, r#"{"error":{}}"#, "\u{0}"] {
            for status in [400, 402, 404, 409, 418, 502] {
                assert_eq!(show(&classify(&reply(status, body))), "unknown", "{status} {body}");
            }
            // Whoever stands in between and does not let us through has not let the call through.
            assert_eq!(show(&classify(&reply(403, body))), "not sent, ours", "{body}");
        }
    }

    #[test]
    fn stripe_says_whether_the_same_call_may_do_better() {
        let with = |should_retry, reply| show(&classify(&Reply { should_retry: Some(should_retry), ..reply }));
        let invalid = "invalid_request_error";
        assert_eq!(with(false, refusal(409, invalid, "lock_timeout")), "refused retry lock_timeout");
        assert_eq!(with(true, refusal(409, invalid, "lock_timeout")), "not sent");
        assert_eq!(with(true, refusal(400, invalid, "something_new")), "not sent");
        assert_eq!(with(false, refusal(400, invalid, "something_new")), "refused fail something_new");
        // Neither turns silence into an answer, nor an answer that is known into another.
        assert_eq!(with(true, refusal(500, "api_error", "")), "unknown");
        assert_eq!(with(false, refusal(500, "api_error", "")), "unknown");
        assert_eq!(with(true, refusal(400, invalid, "balance_insufficient")), "refused ops balance_insufficient");
    }

    #[test]
    fn a_pause_is_as_long_as_stripe_says() {
        let wait = |reply| show(&classify(&Reply { retry_after: Some(Duration::from_secs(7)), ..reply }));
        assert_eq!(wait(refusal(429, "invalid_request_error", "rate_limit")), "not sent after 7s");
        assert_eq!(wait(refusal(409, "invalid_request_error", "lock_timeout")), "not sent after 7s");
    }
}
