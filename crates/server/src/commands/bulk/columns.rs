//! Which column of the input is what.

use super::failure::BulkError;

/// The names of the columns that are known. Those of `REQUIRED` have to be there.
const REQUIRED: [&str; 4] = ["escrowId", "projectId", "amount", "currency"];
const OPTIONAL: [&str; 3] = ["milestoneId", "asOf", "deductions"];

/// The names that are known, in the order in which a row is read.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    REQUIRED.into_iter().chain(OPTIONAL)
}

/// Where each of them stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) escrow: usize,
    pub(super) project: usize,
    pub(super) amount: usize,
    pub(super) currency: usize,
    pub(super) milestone: Option<usize>,
    pub(super) as_of: Option<usize>,
    pub(super) deductions: Option<usize>,
    /// How many columns there are.
    pub(super) count: usize,
}

impl Columns {
    /// Finds them in the header. All that is wrong with it is told at once.
    pub(super) fn find(header: &[String], passes_over_others: bool) -> Result<Self, BulkError> {
        let place = |name: &str| header.iter().position(|found| found == name);
        let missing = REQUIRED.iter().filter(|name| place(name).is_none());
        let mut faults: Vec<String> = missing.map(|name| format!("there is no column `{name}`")).collect();
        for (at, name) in header.iter().enumerate() {
            if header[..at].contains(name) {
                faults.push(format!("there are two columns `{name}`"));
            } else if !known().any(|known| known == name) && !passes_over_others {
                let hint = meant(name).map(|known| format!("; `{known}` was meant?")).unwrap_or_default();
                faults.push(format!("column `{name}` is not known{hint}"));
            }
        }
        if !faults.is_empty() {
            let known: Vec<&str> = known().collect();
            let hint = "--ignore-unknown-columns passes over others";
            let text = format!("the header: {} (known are {}; {hint})", faults.join(", "), known.join(", "));
            return Err(BulkError::BadInput(text));
        }
        let required = |name: &str| place(name).unwrap_or_default();
        Ok(Self {
            escrow: required("escrowId"),
            project: required("projectId"),
            amount: required("amount"),
            currency: required("currency"),
            milestone: place("milestoneId"),
            as_of: place("asOf"),
            deductions: place("deductions"),
            count: header.len(),
        })
    }
}

/// The name that was probably meant: the same letters, whatever their case and what stands between them.
fn meant(name: &str) -> Option<&'static str> {
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    known().find(|known| plain(known) == plain(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(header: &str, passes_over_others: bool) -> Result<Columns, String> {
        let header: Vec<String> = header.split(',').map(str::to_owned).collect();
        Columns::find(&header, passes_over_others).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_stand_in_any_order() {
        let columns = find("currency,amount,projectId,escrowId,asOf", false).unwrap();
        assert_eq!((columns.escrow, columns.project, columns.amount, columns.currency), (3, 2, 1, 0));
        assert_eq!((columns.as_of, columns.milestone, columns.deductions, columns.count), (Some(4), None, None, 5));
    }

    #[test]
    fn every_fault_of_the_header_is_told_at_once() {
        let error = find("escrow_id,projectId,amount,amount,note", false).unwrap_err();
        for part in [
            "no column `escrowId`",
            "no column `currency`",
            "two columns `amount`",
            "`escrow_id` is not known; `escrowId` was meant?",
            "`note` is not known",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(find("escrowId,projectId,amount,currency,note", false).is_err());
        assert_eq!(find("escrowId,projectId,amount,currency,note", true).unwrap().count, 5);
    }
}
