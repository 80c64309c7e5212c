//! What Stripe needs to know of a recipient: the connected account.

use app::failure::Detail;
use domain::recipient::Destination;
use serde_json::Value;

/// The name of the detail.
const ACCOUNT: &str = "account";
/// Longer names than this are no names of Stripe's.
const LENGTH_MAX: usize = 64;

/// Whether a text can be the name of an account. It stands in paths and forms as it is.
pub(super) fn is_account(text: &str) -> bool {
    let rest = text.strip_prefix("acct_").unwrap_or_default();
    (1..=LENGTH_MAX).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The account of a destination: `details.account`.
///
/// # Errors
/// Every fault.
pub(super) fn account(destination: &Destination) -> Result<&str, Vec<Detail>> {
    let mut faults: Vec<Detail> = Vec::new();
    for name in destination.details.keys().filter(|name| *name != ACCOUNT) {
        faults.push(fault("unknown_field", name, "Stripe Connect knows only `account`"));
    }
    let account = match destination.details.get(ACCOUNT) {
        Some(Value::String(account)) if is_account(account) => account,
        found => {
            faults.push(match found {
                None => {
                    fault("required", ACCOUNT, "is the connected account that is paid, such as `acct_1PgafTB7WZ01zgkW`")
                }
                Some(Value::String(_)) => fault("invalid_format", ACCOUNT, "must be `acct_` and letters and digits"),
                Some(_) => fault("wrong_type", ACCOUNT, "must be a text"),
            });
            ""
        }
    };
    if faults.is_empty() { Ok(account) } else { Err(faults) }
}

fn fault(code: &'static str, name: &str, message: &str) -> Detail {
    let name = name.replace('~', "~0").replace('/', "~1");
    Detail { code, field: format!("/details/{name}"), message: message.to_owned(), meta: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(details: Value) -> Result<String, Vec<String>> {
        let details = details.as_object().cloned().unwrap();
        let destination = Destination { rail: "stripe_connect".parse().unwrap(), details };
        let faults =
            |faults: Vec<Detail>| faults.iter().map(|fault| format!("{} {}", fault.field, fault.code)).collect();
        account(&destination).map(str::to_owned).map_err(faults)
    }

    #[test]
    fn an_account_is_named() {
        assert_eq!(read(json!({ "account": "acct_1PgafTB7WZ01zgkW" })), Ok("acct_1PgafTB7WZ01zgkW".to_owned()));
    }

    #[test]
    fn everything_else_is_a_fault_and_all_are_told() {
        let told = |faults: &[&str]| Err(faults.iter().map(|fault| (*fault).to_owned()).collect());
        assert_eq!(read(json!({})), told(&["/details/account required"]));
        assert_eq!(read(json!({ "account": 1 })), told(&["/details/account wrong_type"]));
        for text in ["", "acct_", "ba_1", "acct_1/../x", "acct_1&x=y", "acct_1 ", "acct_ü"] {
            assert_eq!(read(json!({ "account": text })), told(&["/details/account invalid_format"]), "{text}");
        }
        let both = told(&["/details/i~1ban unknown_field", "/details/account required"]);
        assert_eq!(read(json!({ "i/ban": "x" })), both);
    }
}
