//! Calendar days, in UTC: what contracts, forms and tax years are counted in.

use crate::timestamp::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};
use time::{Date, Month, OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

const FORMAT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// A day of the calendar, in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

/// The text is not a day such as `2026-01-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a day such as `2026-01-31`")]
pub struct InvalidDay;

impl Day {
    /// The day on which an instant lies.
    pub fn of(at: Timestamp) -> Self {
        let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.unix_micros()) * 1000);
        Self(instant.map_or(Date::MIN, OffsetDateTime::date))
    }
    /// The calendar year.
    pub fn year(self) -> i32 {
        self.0.year()
    }
    /// The year in which the fiscal year that begins on the first of April began.
    pub fn fiscal_year_from_april(self) -> i32 {
        if self.0.month() >= Month::April { self.year() } else { self.year() - 1 }
    }
    /// The last day of the calendar year that lies so many years after this day's.
    pub fn last_of_year_after(self, years: i32) -> Self {
        Self(Date::from_calendar_date(self.year().saturating_add(years), Month::December, 31).unwrap_or(Date::MAX))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(FORMAT).map_err(|_| fmt::Error)?)
    }
}
impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Day {
    type Err = InvalidDay;
    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        let day = Date::parse(text, FORMAT).map(Self).map_err(|_| InvalidDay)?;
        if text.len() == 10 { Ok(day) } else { Err(InvalidDay) }
    }
}
impl Serialize for Day {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_back_as_written_and_nothing_else_is() {
        assert_eq!("2026-03-31".parse::<Day>().unwrap().to_string(), "2026-03-31");
        for text in ["", "2026-3-1", "2026-02-30", "26-01-01", "2026-01-01T00:00:00Z", "+2026-01-01"] {
            assert_eq!(text.parse::<Day>(), Err(InvalidDay), "{text}");
        }
    }

    #[test]
    fn a_day_knows_its_years() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        assert_eq!(day("2026-03-31").fiscal_year_from_april(), 2025);
        assert_eq!(day("2026-04-01").fiscal_year_from_april(), 2026);
        assert_eq!(day("2023-05-05").last_of_year_after(3), day("2026-12-31"));
        assert_eq!(Day::of("2026-01-01T00:30:00+01:00".parse().unwrap()), day("2025-12-31"));
    }
}
