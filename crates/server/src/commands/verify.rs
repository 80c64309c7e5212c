//! `disburse verify`: compares the ledger with the items, the batches and the rails' own books, and says which of these
//! it could not see: what could not be asked says nothing about the books.

use super::{Exit, Outcome, say};
use crate::{
    compose::{self, Looking, SIMULATOR},
    config::Config,
};
use app::ledger::check_books::{Check, Compared, Unread, WhyUnread, compare_books, rail_book};
use std::path::Path;

pub(super) async fn run(config: &Config) -> Outcome {
    let Looking { queries, rails, simulator_book, .. } =
        compose::looking(config).await.map_err(|error| say(Exit::Unreachable, &error))?;
    let compared = compare_books(queries.as_ref(), &rails).await;
    let compared = compared.map_err(|error| say(Exit::Unreachable, &format!("{error:?}")))?;
    let is_asked = rails.iter().any(|rail| rail.profile().id.as_str() == SIMULATOR);
    let seen = Seen::of(compared, simulator_book.as_deref().map(|book| (book, is_asked)));
    seen.print();
    seen.outcome()
}

/// What was compared, and what was not, with a sentence that says why.
#[derive(Debug)]
struct Seen {
    checks: Vec<Check>,
    unseen: Vec<(String, String)>,
    /// Whether something is not compared that could be from elsewhere.
    is_partial: bool,
}

impl Seen {
    /// The book of the simulator in our process, if that is what is configured, may not be there, or be a blank one that
    /// was made by somebody else than who paid.
    fn of(compared: Compared, own_simulator: Option<(&Path, bool)>) -> Self {
        let Compared { trial, unread, blank } = compared;
        let mut seen = Self { checks: trial.checks, unseen: Vec::new(), is_partial: false };
        for Unread { rail, why } in unread {
            match (why, own_simulator) {
                (WhyUnread::NoBook, _) => seen.unseen.push((rail_book(&rail), "it keeps no book".to_owned())),
                (WhyUnread::Down(down), _) => seen.misses(rail_book(&rail), down.to_string()),
                // Said below, of whatever is booked.
                (WhyUnread::NotConfigured, Some((_, false))) if rail.as_str() == SIMULATOR => {}
                (WhyUnread::NotConfigured, _) => {
                    seen.misses(rail_book(&rail), "payments went over it, and it is not configured here".to_owned());
                }
            }
        }
        let Some((book, is_asked)) = own_simulator else { return seen };
        let name = format!("rail_book:{SIMULATOR}");
        let book = book.display();
        let hint = "if the simulator is another process, name it by --simulator-url";
        if !is_asked {
            seen.misses(name, format!("there is no book at {book}; {hint}"));
        } else if blank.iter().any(|rail| rail.as_str() == SIMULATOR) {
            seen.checks.retain(|check| check.name != name);
            seen.misses(name, format!("the book at {book} is blank, so it is not the one of these payments; {hint}"));
        }
        seen
    }

    fn misses(&mut self, name: String, why: String) {
        self.unseen.push((name, why));
        self.is_partial = true;
    }

    fn is_balanced(&self) -> bool {
        self.checks.iter().all(Check::is_ok)
    }

    fn print(&self) {
        for check in &self.checks {
            print_check(check);
        }
        for (name, why) in &self.unseen {
            outln!("{:<8} {name:<27} {why}", "UNSEEN");
        }
        outln!("{}", self.verdict());
    }

    fn verdict(&self) -> String {
        let unseen: Vec<&str> = self.unseen.iter().map(|(name, _)| name.as_str()).collect();
        match (self.is_balanced(), self.is_partial) {
            (false, _) => "BOOKS NOT BALANCED".to_owned(),
            (true, false) => "books balanced".to_owned(),
            (true, true) => format!("what was compared balances; NOT COMPARED: {}", unseen.join(", ")),
        }
    }

    fn outcome(&self) -> Outcome {
        match (self.is_balanced(), self.is_partial) {
            (false, _) => Err(Exit::Difference),
            (true, true) => Err(Exit::Unreachable),
            (true, false) => Ok(()),
        }
    }
}

fn print_check(check: &Check) {
    let Check { name, currency, expected, actual, open, differences, differences_more } = check;
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
    if *differences_more > 0 {
        outln!("         … and {differences_more} more");
    }
}
