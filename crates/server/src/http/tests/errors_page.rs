//! `docs/errors.md`: every stable code there is, printed from the enums.

use super::super::problem::Problem;
use app::{
    failure::Failure,
    ledger::check_books::CheckBooksError,
    payouts::schedule_payouts::SchedulePayoutsError,
    ports::{CommitError, StoreError, rail::RailDown},
    recipients::register_recipient::RegisterRecipientError,
    revenue::{calculate_revenue::CalculateRevenueError, publish_revenue_model::PublishRevenueModelError},
};
use domain::{
    calculation::{LawBroken, Warning},
    currency::{Currency, CurrencyError},
    recipient::HoldReason,
    revenue_model::FaultCode,
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

fn use_cases() -> String {
    let store = || StoreError::Unavailable(String::new());
    let project = || "prj_7".parse().unwrap();
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
        ("check the books", Box::new(CheckBooksError::Rail(RailDown(String::new())))),
    ];
    let line = |(use_case, failure): &(&str, Box<dyn Failure>)| {
        format!("| `{}` | {:?} | {use_case} |", failure.code(), failure.class())
    };
    let mut lines: Vec<String> = failures.iter().map(line).collect();
    lines.push("| `not_system` | Refused | schedule |".to_owned());
    for what in ["batch", "item", "recipient", "model_version"] {
        lines.push(format!("| `{what}_not_found` | NotFound | read one |"));
    }
    // These two carry more than fits here; the tests of the use case hold their codes.
    lines.push("| `already_scheduled` | Conflict | schedule |".to_owned());
    lines.push("| `split_invalid` | Invalid | schedule, calculate, publish a model |".to_owned());
    table("| code | class | use case |", lines)
}

fn details_of_a_split() -> String {
    let faults = FaultCode::ALL.map(|fault| format!("| `{}` |", fault.as_str()));
    let others = ["no_effective_model", "currency_mismatch", "deductions_exceed_amount", "not_supported"];
    table("| code |", faults.into_iter().chain(others.map(|code| format!("| `{code}` |"))))
}

fn details_of_fields() -> String {
    let currencies = ["usd", "ABC", "BGN", "XAU"].map(|text| text.parse::<Currency>().unwrap_err());
    let currencies = currencies.iter().map(CurrencyError::code);
    let fields = [
        "amount_not_integer",
        "amount_not_positive",
        "amount_out_of_range",
        "duplicate_key",
        "invalid_format",
        "invalid_value",
        "mismatch",
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
    let recipient = || "rec_1".parse().unwrap();
    let all = [
        Warning::NothingToSplit,
        Warning::NothingPayable,
        Warning::FeeClamped { wanted_minor: 0 },
        Warning::WithholdingShortfall { recipient: recipient(), missing_minor: 0 },
        Warning::RecipientHeld { recipient: recipient(), reason: HoldReason::RecipientPending },
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
