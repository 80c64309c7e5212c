//! What the Stripe simulator was asked to do, and what that changed.

use super::{api::Recorded, keys::Keys};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The key that it takes.
pub const SECRET_KEY: &str = "sk_test_simulator";
/// When its first transfer is made; each later one a second after. So a run can be repeated to the byte.
const FIRST_AT: i64 = 1_700_000_000;

/// What befalls a request that would make a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nothing.
    None,
    /// 429, before anything is looked at.
    RateLimit,
    /// 401, before anything is looked at.
    Unauthorized,
    /// 409, and nothing is kept under the key.
    LockTimeout,
    /// 500, nothing is moved, and the answer is kept.
    ErrorInstead,
    /// 500, the money is moved, and the answer is kept.
    ErrorAfterwards,
    /// The money is moved, and no answer comes.
    SilenceAfterwards,
    /// The money is moved, and the answer breaks off.
    HalfAnAnswer,
    /// The money is moved, and the answer is longer than any.
    EndlessAnswer,
    /// The money is moved, and somebody in between answers.
    Garbage,
    /// Somebody in between sends the caller elsewhere.
    Redirect,
    /// The answer names another amount than was asked for.
    OtherAmount,
    /// The answer is about another account than was asked for.
    OtherAccount,
    /// The answer is about another payment than was asked for.
    OtherPayment,
    /// It takes its time: another call under the same key meets this one.
    Slow,
}

/// Everything that is known.
#[derive(Default)]
pub struct Book {
    pub(super) accounts: BTreeMap<String, Value>,
    pub(super) transfers: Vec<Value>,
    pub(super) events: Vec<Value>,
    pub(super) requests: Vec<Recorded>,
    pub(super) keys: Keys,
    pub(super) faults: VecDeque<Fault>,
    pub(super) balance: Option<i64>,
    made: usize,
}

/// A refusal: status, type, code, parameter, message.
pub type Refusal = (u16, &'static str, Option<&'static str>, Option<&'static str>, String);

fn invalid(code: &'static str, param: &'static str, message: &str) -> Refusal {
    (400, "invalid_request_error", Some(code), Some(param), message.to_owned())
}

impl Book {
    fn next(&mut self) -> i64 {
        self.made += 1;
        FIRST_AT + i64::try_from(self.made).expect("few")
    }

    pub(super) fn open_account(&mut self, id: &str, transfers: &str) {
        let account = json!({ "id": id, "object": "account", "capabilities": { "transfers": transfers },
            "charges_enabled": true, "country": "US", "default_currency": "usd", "details_submitted": true,
            "email": null, "metadata": {}, "payouts_enabled": true, "type": "express" });
        self.accounts.insert(id.to_owned(), account.clone());
        self.tell("account.updated", account, Some(id));
    }

    /// What is refused before a call is carried out; nothing of it is kept.
    pub(super) fn validate(params: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let known = ["amount", "currency", "destination", "description", "transfer_group", "source_type"];
        let is_known = |name: &&String| known.contains(&name.as_str()) || name.starts_with("metadata[");
        if let Some(name) = params.keys().find(|name| !is_known(name)) {
            return Err(invalid("parameter_unknown", "", &format!("Received unknown parameter: {name}")));
        }
        for name in ["currency", "destination", "amount"] {
            if !params.contains_key(name) {
                return Err(invalid("parameter_missing", name, &format!("Missing required param: {name}.")));
            }
        }
        let amount = params["amount"].parse::<i64>();
        if amount.is_err() {
            return Err(invalid("parameter_invalid_integer", "amount", "Invalid integer"));
        }
        if !params["currency"].bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err((400, "invalid_request_error", None, Some("currency"), "Invalid currency".to_owned()));
        }
        Ok(())
    }

    /// Moves money. What is refused here is kept under the key.
    pub(super) fn transfer(&mut self, params: &BTreeMap<String, String>) -> Result<Value, Refusal> {
        let amount: i64 = params["amount"].parse().expect("validated");
        if amount < 1 {
            return Err(invalid("amount_too_small", "amount", "This value must be greater than or equal to 1."));
        }
        let destination = &params["destination"];
        let Some(account) = self.accounts.get(destination) else {
            return Err(invalid("resource_missing", "destination", &format!("No such destination: '{destination}'")));
        };
        if account["capabilities"]["transfers"] != "active" {
            let message = "Your destination account needs to have at least one of the following capabilities enabled: \
                           transfers, crypto_transfers, legacy_payments";
            return Err(invalid("insufficient_capabilities_for_transfer", "destination", message));
        }
        if self.balance.is_some_and(|balance| balance < amount) {
            let message = "You have insufficient available funds in your Stripe account.".to_owned();
            return Err((400, "invalid_request_error", Some("balance_insufficient"), None, message));
        }
        self.balance = self.balance.map(|balance| balance - amount);
        let metadata: BTreeMap<&str, &str> = params
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("metadata[")?.strip_suffix(']')?, value.as_str())))
            .collect();
        Ok(self.record(amount, &params["currency"], destination, params.get("transfer_group"), json!(metadata)))
    }

    fn record(&mut self, amount: i64, currency: &str, account: &str, group: Option<&String>, metadata: Value) -> Value {
        let created = self.next();
        let id = format!("tr_{created}");
        let transfer = json!({ "id": id, "object": "transfer", "amount": amount, "amount_reversed": 0,
            "balance_transaction": format!("txn_{created}"), "created": created, "currency": currency,
            "description": null, "destination": account, "destination_payment": format!("py_{created}"),
            "livemode": false, "metadata": metadata,
            "reversals": { "object": "list", "data": [], "has_more": false, "total_count": 0,
                "url": format!("/v1/transfers/{id}/reversals") },
            "reversed": false, "source_transaction": null, "source_type": "card", "transfer_group": group });
        self.transfers.push(transfer.clone());
        self.tell("transfer.created", transfer.clone(), None);
        transfer
    }

    pub(super) fn transfer_of_somebody(&mut self, account: &str, group: Option<&str>) {
        let group = group.map(str::to_owned);
        self.record(77, "usd", account, group.as_ref(), json!({}));
    }

    pub(super) fn find(&mut self, id: &str) -> Option<&mut Value> {
        self.transfers.iter_mut().find(|transfer| transfer["id"] == id)
    }

    pub(super) fn edit(&mut self, id: &str, metadata: Value) -> Option<Value> {
        let transfer = self.find(id)?;
        transfer["metadata"] = metadata;
        let transfer = transfer.clone();
        self.tell("transfer.updated", transfer.clone(), None);
        Some(transfer)
    }

    /// Takes money back, all of what is left if nothing is said.
    pub(super) fn reverse(&mut self, id: &str, number: Option<i64>) -> Result<Value, Refusal> {
        let created = self.next();
        let missing = || {
            (404, "invalid_request_error", Some("resource_missing"), Some("id"), format!("No such transfer: '{id}'"))
        };
        let transfer = self.find(id).ok_or_else(missing)?;
        let whole = transfer["amount"].as_i64().expect("a number");
        let reversed = transfer["amount_reversed"].as_i64().expect("a number");
        let number = number.unwrap_or(whole - reversed);
        if number < 1 || reversed + number > whole {
            return Err((
                400,
                "invalid_request_error",
                None,
                Some("amount"),
                "Too much or nothing to reverse".to_owned(),
            ));
        }
        let reversal = json!({ "id": format!("trr_{created}"), "object": "transfer_reversal", "amount": number,
            "balance_transaction": format!("txn_{created}"), "created": created, "currency": transfer["currency"],
            "destination_payment_refund": null, "metadata": {}, "source_refund": null, "transfer": id });
        transfer["amount_reversed"] = json!(reversed + number);
        transfer["reversed"] = json!(reversed + number == whole);
        transfer["reversals"]["data"].as_array_mut().expect("a list").insert(0, reversal.clone());
        let transfer = transfer.clone();
        self.tell("transfer.reversed", transfer, None);
        Ok(reversal)
    }

    fn tell(&mut self, kind: &str, object: Value, account: Option<&str>) {
        let number = self.events.len() + 1;
        let mut event = json!({ "id": format!("evt_{number}"), "object": "event", "api_version": "2026-10-28.endive",
            "created": FIRST_AT, "data": { "object": object }, "livemode": false, "pending_webhooks": 1,
            "request": { "id": null, "idempotency_key": null }, "type": kind });
        if let Some(account) = account {
            event["account"] = json!(account);
        }
        self.events.push(event);
    }

    /// A page of transfers, newest first.
    pub(super) fn list(&self, query: &BTreeMap<String, String>) -> Value {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<i64>().ok());
        let matches = |transfer: &&Value| {
            let created = transfer["created"].as_i64().expect("a number");
            let same = |name: &str| query.get(name).is_none_or(|wanted| transfer[name] == *wanted);
            same("transfer_group")
                && same("destination")
                && number("created[gte]").is_none_or(|bound| created >= bound)
                && number("created[gt]").is_none_or(|bound| created > bound)
                && number("created[lte]").is_none_or(|bound| created <= bound)
                && number("created[lt]").is_none_or(|bound| created < bound)
        };
        let limit = usize::try_from(number("limit").unwrap_or(10).clamp(1, 100)).expect("small");
        let oldest_first: Vec<&Value> = self.transfers.iter().collect();
        let place = |name: &str| {
            let id = query.get(name)?;
            oldest_first.iter().position(|transfer| transfer["id"] == *id)
        };
        let (mut page, has_more): (Vec<&Value>, bool) = if let Some(place) = place("ending_before") {
            // Those next to it, not the newest of all.
            let newer: Vec<&Value> = oldest_first[place + 1..].iter().copied().filter(matches).collect();
            (newer.iter().take(limit).rev().copied().collect(), newer.len() > limit)
        } else {
            let end = place("starting_after").unwrap_or(oldest_first.len());
            let older: Vec<&Value> = oldest_first[..end].iter().rev().copied().filter(matches).collect();
            (older.iter().take(limit).copied().collect(), older.len() > limit)
        };
        page.truncate(limit);
        json!({ "object": "list", "url": "/v1/transfers", "has_more": has_more, "data": page })
    }
}
