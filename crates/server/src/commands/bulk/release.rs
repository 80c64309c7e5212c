//! One row: a released escrow, as the API would take it.

use super::{columns::Columns, records::Record};
use domain::{
    calculation::DeductionKind,
    currency::Currency,
    day::Day,
    ids::{EscrowId, MilestoneId},
    money::AMOUNT_MINOR_MAX,
    timestamp::Timestamp,
};
use std::{borrow::Cow, fmt::Display, str::FromStr};

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowFault {
    /// The column; empty, if it is the row as a whole.
    pub(super) column: Cow<'static, str>,
    /// The stable word, the API's where it has one.
    pub(super) code: Cow<'static, str>,
    /// For people.
    pub(super) message: String,
}

impl RowFault {
    pub(super) fn new(
        column: impl Into<Cow<'static, str>>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { column: column.into(), code: code.into(), message: message.into() }
    }
}

/// A row without faults of its own. Whether there is such a project is another matter.
#[derive(Debug)]
pub(super) struct Release<'r> {
    pub(super) escrow: EscrowId,
    /// As written.
    pub(super) project: &'r [u8],
    pub(super) milestone: Option<MilestoneId>,
    pub(super) amount_minor: i64,
    pub(super) currency: Currency,
    /// When it was earned, if the row says so.
    pub(super) as_of: Option<Earned>,
    /// As written: see [`deductions`].
    pub(super) deductions: &'r [u8],
}

/// When something was earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Earned {
    pub(super) at: Timestamp,
    pub(super) day: Day,
}

impl From<Timestamp> for Earned {
    fn from(at: Timestamp) -> Self {
        Self { at, day: Day::of(at) }
    }
}

impl FromStr for Earned {
    type Err = &'static str;
    /// An instant of RFC 3339, or a day, which means its first instant in UTC.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "must be an instant of RFC 3339 such as `2026-01-31T12:00:00Z`, or a day such as `2026-01-31`";
        let instant = if text.len() == 10 { &format!("{text}T00:00:00Z") } else { text };
        instant.parse::<Timestamp>().map(Self::from).map_err(|_| wrong)
    }
}

/// Something taken off before the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeductionText<'r> {
    pub(super) kind: DeductionKind,
    pub(super) amount_minor: i64,
    pub(super) reference: Option<&'r str>,
}

/// Reads rows. What a row has in common with the one before it is not read again.
pub(super) struct Rows {
    columns: Columns,
    currency: Option<([u8; 3], Currency)>,
    as_of: Option<(Vec<u8>, Earned)>,
}

impl Rows {
    pub(super) fn new(columns: Columns) -> Self {
        Self { columns, currency: None, as_of: None }
    }

    /// The release, or everything that is wrong with the row.
    pub(super) fn read<'r>(&mut self, record: &'r Record<'_>) -> Result<Release<'r>, Vec<RowFault>> {
        let Columns { escrow, project, amount, currency, milestone, as_of, deductions: deducted, count } = self.columns;
        if record.len() != count {
            let message = format!("this row has {} columns, the header has {count}", record.len());
            return Err(vec![RowFault::new("", "column_count", message)]);
        }
        let optional = |place: Option<usize>| place.map(|place| record.field(place)).filter(|text| !text.is_empty());
        let escrow = text("escrowId", record.field(escrow));
        let project_text = record.field(project);
        let project = if project_text.is_empty() { Err(required("projectId")) } else { Ok(project_text) };
        let milestone = optional(milestone).map(|bytes| text("milestoneId", bytes)).transpose();
        let amount_minor = amount_minor("amount", record.field(amount));
        let currency = self.currency(record.field(currency));
        let as_of = optional(as_of).map(|bytes| self.as_of(bytes)).transpose();
        let deductions = optional(deducted).unwrap_or_default();
        let deductions = if deductions.is_empty() { Ok(deductions) } else { all_of(deductions) };
        match (escrow, project, milestone, amount_minor, currency, as_of, deductions) {
            (Ok(escrow), Ok(project), Ok(milestone), Ok(amount_minor), Ok(currency), Ok(as_of), Ok(deductions)) => {
                Ok(Release { escrow, project, milestone, amount_minor, currency, as_of, deductions })
            }
            (escrow, project, milestone, amount, currency, as_of, deductions) => {
                let faults = [
                    escrow.err(),
                    project.err(),
                    milestone.err(),
                    amount.err(),
                    currency.err(),
                    as_of.err(),
                    deductions.err(),
                ];
                Err(faults.into_iter().flatten().collect())
            }
        }
    }

    fn currency(&mut self, bytes: &[u8]) -> Result<Currency, RowFault> {
        if let Some((_, known)) = self.currency.filter(|(text, _)| text == bytes) {
            return Ok(known);
        }
        let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty()) else {
            return Err(required("currency"));
        };
        let fault = |error: domain::currency::CurrencyError| RowFault::new("currency", error.code(), error.to_string());
        let currency: Currency = text.parse().map_err(fault)?;
        self.currency = bytes.try_into().ok().map(|text| (text, currency));
        Ok(currency)
    }

    fn as_of(&mut self, bytes: &[u8]) -> Result<Earned, RowFault> {
        if let Some((text, known)) = &self.as_of
            && text == bytes
        {
            return Ok(*known);
        }
        let earned: Earned = text("asOf", bytes)?;
        let (mut known, _) = self.as_of.take().unwrap_or_else(|| (Vec::new(), earned));
        known.clear();
        known.extend_from_slice(bytes);
        self.as_of = Some((known, earned));
        Ok(earned)
    }
}

fn required(column: &'static str) -> RowFault {
    RowFault::new(column, "required", "this is required")
}

fn text<T: FromStr>(column: &'static str, bytes: &[u8]) -> Result<T, RowFault>
where
    T::Err: Display,
{
    if bytes.is_empty() {
        return Err(required(column));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| RowFault::new(column, "invalid_format", "this is not UTF-8"))?;
    text.parse().map_err(|error: T::Err| RowFault::new(column, "invalid_format", format!("this {error}")))
}

/// Minor units: digits and nothing else. `1e3`, `10.0` and `1,000` are no whole numbers here.
fn amount_minor(column: &'static str, bytes: &[u8]) -> Result<i64, RowFault> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(required(column));
    }
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        let message = "this must be a whole number of minor units, such as 1250 for 12.50 USD";
        return Err(RowFault::new(column, "amount_not_integer", message));
    }
    let add = |value: i64, digit: &u8| value.checked_mul(10)?.checked_add(i64::from(digit - b'0'));
    match digits.iter().try_fold(0, add).filter(|value| *value <= AMOUNT_MINOR_MAX) {
        None => Err(RowFault::new(column, "amount_out_of_range", format!("this is at most {AMOUNT_MINOR_MAX}"))),
        Some(value) if value == 0 || bytes.len() > digits.len() => {
            Err(RowFault::new(column, "amount_not_positive", "this must be greater than zero"))
        }
        Some(value) => Ok(value),
    }
}

/// Every part, as long as none has a fault.
fn all_of(bytes: &[u8]) -> Result<&[u8], RowFault> {
    deductions(bytes).try_for_each(|deduction| deduction.map(drop)).map(|()| bytes)
}

/// `psp_fee:250;expense:10000:Studio`: what for, minor units, and the caller's own reference, if any.
pub(super) fn deductions(bytes: &[u8]) -> impl Iterator<Item = Result<DeductionText<'_>, RowFault>> {
    let parts = bytes.split(|byte| *byte == b';').filter(|part| !part.is_empty());
    parts.map(|part| {
        let wrong = || {
            let kinds: Vec<&str> = DeductionKind::ALL.iter().map(|kind| kind.as_str()).collect();
            let kinds = kinds.join(", ");
            let message = format!(
                "this must be `type:amount` or `type:amount:reference`, several with `;` between; types are {kinds}"
            );
            RowFault::new("deductions", "invalid_format", message)
        };
        let text = std::str::from_utf8(part).map_err(|_| wrong())?;
        let mut words = text.splitn(3, ':');
        let kind = words.next().unwrap_or_default();
        let kind = DeductionKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(wrong)?;
        let amount_minor = amount_minor("deductions", words.next().ok_or_else(wrong)?.as_bytes())?;
        Ok(DeductionText { kind, amount_minor, reference: words.next().filter(|text| !text.is_empty()) })
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::records::{Block, Records},
        *,
    };

    const HEADER: [&str; 7] = ["escrowId", "projectId", "amount", "currency", "milestoneId", "asOf", "deductions"];

    fn faults(row: &str) -> Vec<String> {
        let header: Vec<String> = HEADER.iter().map(|name| (*name).to_owned()).collect();
        let block = Block { bytes: row.into(), line: 2, ..Block::default() };
        let mut record = Record::of(&block);
        assert!(Records::of(&block).read(&mut record));
        let mut rows = Rows::new(Columns::find(&header, false).unwrap());
        // Twice: what is remembered must not make a difference.
        let first = rows.read(&record).map(drop);
        assert_eq!(rows.read(&record).map(drop), first);
        let faults = first.err().unwrap_or_default();
        faults.into_iter().map(|fault| format!("{}:{}", fault.column, fault.code)).collect()
    }

    #[test]
    fn a_row_is_what_the_api_would_take() {
        for row in [
            "esc_1,prj_1,1,USD,,,",
            "0110C853-1D09-52D8-D73E-1194E95B5F19,prj_1,9007199254740991,JPY,ms_1,2026-01-31,psp_fee:3",
            "507F1F77BCF86CD799439011,prj_1,007,USD,,2026-01-31T12:00:00+02:00,refund:1;expense:2:a:b;",
        ] {
            assert_eq!(faults(row), [""; 0], "{row}");
        }
    }

    #[test]
    fn every_fault_of_a_row_is_told() {
        for (row, expected) in [
            (",,,,,,", vec!["escrowId:required", "projectId:required", "amount:required", "currency:required"]),
            (
                "1,prj_1,1.5,usd,x,y,z",
                vec![
                    "escrowId:invalid_format",
                    "milestoneId:invalid_format",
                    "amount:amount_not_integer",
                    "currency:currency_malformed",
                    "asOf:invalid_format",
                    "deductions:invalid_format",
                ],
            ),
            ("esc_1,prj_1,0,XAU,,,", vec!["amount:amount_not_positive", "currency:currency_not_payable"]),
            ("esc_1,prj_1,-5,BGN,,,", vec!["amount:amount_not_positive", "currency:currency_withdrawn"]),
            ("esc_1,prj_1,9007199254740992,USD,,,", vec!["amount:amount_out_of_range"]),
            (
                "esc_1,prj_1,99999999999999999999,ABC,,,",
                vec!["amount:amount_out_of_range", "currency:currency_unknown"],
            ),
            ("esc_1,prj_1,+5,USD,,,fee:1", vec!["amount:amount_not_integer", "deductions:invalid_format"]),
            (
                "esc_1,prj_1, 5,USD,,2026-02-30,psp_fee",
                vec!["amount:amount_not_integer", "asOf:invalid_format", "deductions:invalid_format"],
            ),
            (
                "esc_1,prj_1,5,USD,,2026-01-31 12:00,psp_fee:0",
                vec!["asOf:invalid_format", "deductions:amount_not_positive"],
            ),
            ("esc_1,prj_1,5,USD", vec![":column_count"]),
            ("esc_1,prj_1,5,USD,,,,", vec![":column_count"]),
        ] {
            assert_eq!(faults(row), expected, "{row}");
        }
    }

    #[test]
    fn a_day_means_its_first_instant() {
        let earned: Earned = "2026-01-31".parse().unwrap();
        assert_eq!(
            (earned.at.to_string().as_str(), earned.day.to_string().as_str()),
            ("2026-01-31T00:00:00Z", "2026-01-31")
        );
    }
}
