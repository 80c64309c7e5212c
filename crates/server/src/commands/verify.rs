//! `disburse verify`: compares the ledger with the items, the batches and the rails' own books.

use super::{Exit, Outcome, say};
use crate::{compose, config::Config};
use app::ledger::check_books::{Check, TrialBalance, check_books};

pub(super) async fn run(config: &Config) -> Outcome {
    let service = compose::existing_service(config).await.map_err(|error| say(Exit::Unreachable, &error))?;
    let balance = check_books(service.queries.as_ref(), &service.rails).await;
    let balance = balance.map_err(|error| say(Exit::Unreachable, &format!("{error:?}")))?;
    print(&balance);
    if balance.is_balanced() { Ok(()) } else { Err(Exit::Difference) }
}

fn print(balance: &TrialBalance) {
    for check in &balance.checks {
        print_check(check);
    }
    outln!("{}", if balance.is_balanced() { "books balanced" } else { "BOOKS NOT BALANCED" });
}

fn print_check(check: &Check) {
    let Check { name, currency, expected, actual, open, differences } = check;
    let currency = currency.map(|currency| currency.to_string()).unwrap_or_default();
    let mark = if check.is_ok() { "ok   " } else { "DIFFERS" };
    let open = if *open > 0 { format!("  ({open} open)") } else { String::new() };
    outln!("{mark:<8} {name:<22} {currency:<4} expected {expected:>16}  actual {actual:>16}{open}");
    for difference in differences {
        outln!(
            "         {:<27} expected {:>16}  actual {:>16}",
            difference.subject,
            difference.expected,
            difference.actual
        );
    }
}
