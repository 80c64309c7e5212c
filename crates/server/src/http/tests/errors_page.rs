//! `docs/errors.md`: every stable code there is, printed from the enums.

use super::super::{ndjson::LinesError, problem::Problem};
use app::{
    failure::Failure,
    idempotency::claim_key::ClaimKeyError,
    ledger::check_books::CheckBooksError,
    payouts::{
        act::ActError, explain_item::ExplainItemError, pay_carried::PayCarriedError,
        schedule_payouts::SchedulePayoutsError,
    },
    ports::{CommitError, StoreError, rail::RailDown},
    recipients::{register_recipient::RegisterRecipientError, show_balance::ShowBalanceError},
    revenue::{
        calculate_revenue::CalculateRevenueError, publish_revenue_model::PublishRevenueModelError,
        reverse_revenue::ReverseRevenueError,
    },
};
use domain::{
    calculation::{LawBroken, Warning},
    currency::{Currency, CurrencyError},
    ids::{ItemId, RecipientId},
    recipient::HoldReason,
    revenue_model::FaultCode,
    reversal::ReversalError,
};
use std::{collections::BTreeSet, env, fmt::Write, fs, path::Path};

/// Lines of a table, sorted, each once.
fn table(head: &str, lines: impl IntoIterator<Item = String>) -> String {
    let columns = head.matches('|').count() - 1;
    let lines: BTreeSet<String> = lines.into_iter().collect();
    let lines: Vec<String> = lines.into_iter().collect();
    format!("{head}\n|{}\n{}\n", "---|".repeat(columns), lines.join("\n"))
}

fn edge() -> String {
    let line =
        |problem: Problem| format!("| `{}` | {} | {} |", problem.code(), problem.status().as_u16(), problem.sentence());
    table("| code | status | meaning |", Problem::ALL.map(line))
}

fn nobody() -> RecipientId {
    "rec_1".parse().unwrap()
}

fn too_much() -> ReversalError {
    ReversalError::ExceedsRemaining { remaining_minor: 1, asked_minor: 2 }
}

fn use_cases() -> String {
    let store = || StoreError::Unavailable(String::new());
    let project = || "prj_7".parse().unwrap();
    let dollar: Currency = "USD".parse().unwrap();
    let item: ItemId = "item_00000000000000000000000000".parse().unwrap();
    let reason = HoldReason::RecipientPending;
    let failures: Vec<(&str, Box<dyn Failure>)> = vec![
        ("schedule", Box::new(SchedulePayoutsError::ProjectNotFound(project()))),
        ("schedule", Box::new(SchedulePayoutsError::Law(LawBroken("L1")))),
        ("schedule", Box::new(SchedulePayoutsError::Store(store()))),
        ("schedule", Box::new(SchedulePayoutsError::OutcomeUnknown("esc_1".parse().unwrap()))),
        ("schedule", Box::new(SchedulePayoutsError::Busy)),
        ("calculate", Box::new(CalculateRevenueError::ProjectNotFound(project()))),
        ("calculate", Box::new(CalculateRevenueError::Store(StoreError::Corrupt(String::new())))),
        ("calculate", Box::new(CalculateRevenueError::Store(store()))),
        ("register a recipient", Box::new(RegisterRecipientError::Commit(CommitError::Stale))),
        ("publish a model", Box::new(PublishRevenueModelError::EmptyPeriod)),
        ("publish a model", Box::new(PublishRevenueModelError::VersionConflict { given: 2, expected: 1 })),
        ("publish a model", Box::new(PublishRevenueModelError::Commit(CommitError::Stale))),
        ("register a recipient", Box::new(RegisterRecipientError::Destination(Vec::new()))),
        ("schedule many", Box::new(LinesError::TooMany)),
        ("any POST with a key", Box::new(ClaimKeyError::Reused)),
        ("any POST with a key", Box::new(ClaimKeyError::InProgress)),
        ("reverse", Box::new(ReverseRevenueError::EscrowNotFound("esc_1".parse().unwrap()))),
        ("reverse", Box::new(ReverseRevenueError::Invalid(too_much()))),
        ("pay what is carried", Box::new(PayCarriedError::RecipientNotFound(nobody()))),
        ("pay what is carried", Box::new(PayCarriedError::NothingCarried(nobody(), dollar))),
        ("pay what is carried", Box::new(PayCarriedError::RecipientHeld { recipient: nobody(), reason })),
        ("release an item", Box::new(ActError::RecipientHeld { recipient: nobody(), reason })),
        ("explain an item", Box::new(ExplainItemError::ItemNotFound(item))),
        ("show a balance", Box::new(ShowBalanceError::RecipientNotFound(nobody()))),
        ("check the books", Box::new(CheckBooksError::Rail(RailDown(String::new())))),
    ];
    let line = |(use_case, failure): &(&str, Box<dyn Failure>)| {
        format!("| `{}` | {:?} | {use_case} |", failure.code(), failure.class())
    };
    let mut lines: Vec<String> = failures.iter().map(line).collect();
    lines.push("| `not_system` | Refused | schedule |".to_owned());
    for what in ["batch", "item", "recipient", "reversal", "model_version"] {
        lines.push(format!("| `{what}_not_found` | NotFound | read one |"));
    }
    // These carry more than fits here; the tests of the use cases hold their codes.
    lines.push("| `already_reversed` | Conflict | reverse |".to_owned());
    lines.push("| `already_scheduled` | Conflict | schedule |".to_owned());
    lines.push("| `split_invalid` | Invalid | schedule, calculate, publish a model |".to_owned());
    table("| code | class | use case |", lines)
}

fn details_of_a_split() -> String {
    let faults = FaultCode::ALL.iter().map(|fault| format!("| `{}` |", fault.as_str()));
    let others = ["no_effective_model", "currency_mismatch", "deductions_exceed_amount"];
    table("| code |", faults.chain(others.map(|code| format!("| `{code}` |"))))
}

fn details_of_a_reversal() -> String {
    let faults = [too_much(), ReversalError::NoSuchLine(nobody())].map(ReverseRevenueError::Invalid);
    table("| code |", faults.iter().flat_map(Failure::details).map(|detail| format!("| `{}` |", detail.code)))
}

fn details_of_fields() -> String {
    let currencies = ["usd", "ABC", "BGN", "XAU"].map(|text| text.parse::<Currency>().unwrap_err());
    let currencies = currencies.iter().map(CurrencyError::code);
    let fields = [
        "amount_not_integer",
        "amount_not_positive",
        "amount_out_of_range",
        "currency_mismatch",
        "duplicate_currency",
        "duplicate_key",
        "invalid_format",
        "invalid_value",
        "mismatch",
        "not_accepted",
        "one_of",
        "out_of_range",
        "repeated_parameter",
        "required",
        "unknown_field",
        "unknown_parameter",
        "unknown_rail",
        "wrong_type",
    ];
    table("| code |", currencies.chain(fields).map(|code| format!("| `{code}` |")))
}

fn warnings() -> String {
    let all = [
        Warning::NothingToSplit,
        Warning::NothingPayable,
        Warning::FeeClamped { wanted_minor: 0 },
        Warning::WithholdingShortfall { recipient: nobody(), missing_minor: 0 },
        Warning::RecipientHeld { recipient: nobody(), reason: HoldReason::RecipientPending },
        Warning::CarriedForward { recipient: nobody(), carried_minor: 0 },
    ];
    table("| code |", all.map(|warning| format!("| `{}` |", warning.code())))
}

fn hold_reasons() -> String {
    table("| code |", HoldReason::ALL.map(|reason| format!("| `{}` |", reason.as_str())))
}

#[test]
fn the_page_of_errors_is_current() {
    let mut page =
        "# Errors\n\nGenerated from the enums. `UPDATE_DOCS=1 cargo test -p server errors_page` writes it.\n"
            .to_owned();
    for (title, text) in [
        ("Codes of the edge, with their status", edge()),
        ("Codes of use cases, with their class", use_cases()),
        ("Details of `split_invalid`", details_of_a_split()),
        ("Details of `reversal_invalid`", details_of_a_reversal()),
        ("Details of `validation_error`", details_of_fields()),
        ("Warnings of a calculation", warnings()),
        ("Why an item is held", hold_reasons()),
    ] {
        let _ = write!(page, "\n## {title}\n\n{text}");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, page).unwrap();
        return;
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    assert!(found == page, "docs/errors.md is not current; `UPDATE_DOCS=1 cargo test -p server errors_page` writes it");
}
