//! When what is owed is paid: at the ticks of a cron expression in a time zone, once it is old enough.
//!
//! # Which instants are ticks
//!
//! An expression describes minutes of a clock on a wall. The tick of such a minute is **the first instant at which that
//! clock shows it, or something later**. So every minute has one tick at most, whatever the clock does:
//!
//! * A minute that the clock skips (02:30 in Berlin on the last Sunday of March) ticks when the clock jumps: at 03:00.
//!   Nothing is left out because it was meant for that hour, and several such minutes are one tick.
//! * A minute that the clock shows twice (02:30 in Berlin on the last Sunday of October) ticks the first time. Nothing
//!   is paid twice a night because the hour was.
//!
//! # Which days match
//!
//! As in the cron of Unix: if both the day of the month and the day of the week are restricted, one of them is enough;
//! if one of them starts with `*`, both must hold. Fields have numbers, lists, ranges, steps of `*` and of ranges, and
//! English words of three letters for months and weekdays; Sunday is 0 and 7. One addition: the day of the month `L` is
//! the last one.
//!
//! # What is promised
//!
//! The rules of time zones come with this program, never from the machine; a new version may know of a country's new
//! rules. Whoever must hold on to an instant stores it when it is calculated.

mod cron;

use crate::timestamp::Timestamp;
use cron::Cron;
use jiff::{
    ToSpan,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};
use std::time::Duration;

/// Longest time that something must wait before a tick counts: 366 days.
pub const MINIMUM_AGE_SECONDS_MAX: u64 = 366 * 24 * 60 * 60;

/// When payouts are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    cron: Cron,
    time_zone: TimeZone,
    minimum_age: Duration,
}

/// Why something is no calendar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalendarFault {
    /// Not a cron expression of five fields.
    #[error("{0}")]
    CronInvalid(String),
    /// A cron expression of a day that never comes.
    #[error("none of these months has such a day: name another day, or write `L` for the last day of a month")]
    CronNever,
    /// Not a name of the IANA time zone database.
    #[error("`{0}` is not a time zone: write a name of the IANA database such as `Europe/Berlin` or `UTC`")]
    TimeZoneUnknown(String),
    /// A minimum age above [`MINIMUM_AGE_SECONDS_MAX`].
    #[error("a minimum age is between 0 and {MINIMUM_AGE_SECONDS_MAX} seconds (366 days)")]
    MinimumAgeOutOfRange,
}

impl CalendarFault {
    /// Stable code of the fault.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CronInvalid(_) => "cron_invalid",
            Self::CronNever => "cron_never",
            Self::TimeZoneUnknown(_) => "time_zone_unknown",
            Self::MinimumAgeOutOfRange => "minimum_age_out_of_range",
        }
    }
}

impl Calendar {
    /// Ticks of `cron` on the clocks of `time_zone`, for what is at least so old.
    ///
    /// # Errors
    /// The first fault, in the order of the arguments.
    pub fn try_new(cron: &str, time_zone: &str, minimum_age_seconds: u64) -> Result<Self, CalendarFault> {
        let (cron, time_zone) = (Cron::parse(cron)?, zone(time_zone)?);
        Ok(Self { cron, time_zone, minimum_age: age(minimum_age_seconds)? })
    }

    /// The same, for a form.
    ///
    /// # Errors
    /// All faults, in the order of the arguments.
    pub fn check(cron: &str, time_zone: &str, minimum_age_seconds: u64) -> Result<Self, Vec<CalendarFault>> {
        match (Cron::parse(cron), zone(time_zone), age(minimum_age_seconds)) {
            (Ok(cron), Ok(time_zone), Ok(minimum_age)) => Ok(Self { cron, time_zone, minimum_age }),
            (cron, time_zone, minimum_age) => {
                Err([cron.err(), time_zone.err(), minimum_age.err()].into_iter().flatten().collect())
            }
        }
    }

    /// The expression, with single spaces.
    pub fn cron(&self) -> &str {
        self.cron.as_str()
    }
    /// The name of the time zone as the database spells it.
    pub fn time_zone(&self) -> &str {
        self.time_zone.iana_name().unwrap_or("UTC")
    }
    /// How old something must be.
    pub fn minimum_age_seconds(&self) -> u64 {
        self.minimum_age.as_secs()
    }

    /// When something is paid that was booked at `created_at` and is not to be paid before `execute_at`: the first tick
    /// at which it is old enough and that is not before `execute_at`.
    ///
    /// Before the end of the year 9999 there may be no such tick; then it is [`Timestamp::MAX`].
    pub fn due(&self, created_at: Timestamp, execute_at: Option<Timestamp>) -> Timestamp {
        let old_enough = created_at.after(self.minimum_age);
        let bound = execute_at.map_or(old_enough, |at| at.max(old_enough));
        self.first_tick(bound).unwrap_or(Timestamp::MAX)
    }

    /// What the clock showed just before `bound` has ticked already, and so has everything before that. What comes next
    /// may have ticked too, where the clock shows an hour again.
    fn first_tick(&self, bound: Timestamp) -> Option<Timestamp> {
        let just_before = jiff::Timestamp::from_microsecond(bound.unix_micros() - 1).ok()?;
        let mut passed = minute_of(self.time_zone.to_datetime(just_before));
        loop {
            passed = self.cron.first_from(passed.checked_add(1.minute()).ok()?)?;
            let tick = self.tick_of(passed)?;
            if tick >= bound {
                return Some(tick);
            }
        }
    }

    /// The first instant at which the clock shows `minute`, or something later.
    fn tick_of(&self, minute: DateTime) -> Option<Timestamp> {
        let instant = match self.time_zone.to_ambiguous_timestamp(minute).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(minute).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(minute).ok()?,
            AmbiguousOffset::Gap { after, .. } => {
                let before_jump = after.to_timestamp(minute).ok()?;
                let mut changes = self.time_zone.following(before_jump).map(|change| change.timestamp());
                changes.find(|at| self.time_zone.to_datetime(*at) >= minute)?
            }
        };
        Some(Timestamp::from_unix_micros(instant.as_microsecond()))
    }
}

fn minute_of(at: DateTime) -> DateTime {
    at.date().at(at.hour(), at.minute(), 0, 0)
}

fn zone(name: &str) -> Result<TimeZone, CalendarFault> {
    let zone = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown());
    zone.ok_or_else(|| CalendarFault::TimeZoneUnknown(name.to_owned()))
}

fn age(seconds: u64) -> Result<Duration, CalendarFault> {
    let age = Some(seconds).filter(|seconds| *seconds <= MINIMUM_AGE_SECONDS_MAX);
    age.map(Duration::from_secs).ok_or(CalendarFault::MinimumAgeOutOfRange)
}

#[cfg(test)]
mod tests;
