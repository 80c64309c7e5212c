//! Cron expressions of five fields, as sets of numbers. Everything here is time on the wall: zones are the calendar's.
//!
//! Written here and not taken from a crate: what is stored must mean the same after every update, and the crates there
//! are differ, also between their versions, in what they add to the five fields and in what they do when clocks change.

use super::CalendarFault;
use jiff::civil::{Date, DateTime};

/// Longest text that is read.
const TEXT_BYTES_MAX: usize = 200;
/// The most days each month can have.
const DAYS_MOST: [i8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A checked expression, of which some minute comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    text: String,
    minutes: Set,
    hours: Set,
    days: Set,
    /// Whether the last day of a month is one of `days`, whatever its number.
    last_day: bool,
    months: Set,
    weekdays: Set,
    /// Whether a day must be in `days` and in `weekdays`; if not, one of them is enough.
    both: bool,
}

/// Numbers from 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn has(self, number: i8) -> bool {
        self.0 & (1 << number) != 0
    }
    fn first_from(self, number: i8) -> Option<i8> {
        let rest = self.0 >> number << number;
        if rest == 0 { None } else { i8::try_from(rest.trailing_zeros()).ok() }
    }
}

/// What may stand in a field.
struct Field {
    name: &'static str,
    least: i8,
    most: i8,
    /// Words for `least` and the numbers that follow it.
    words: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", least: 0, most: 59, words: &[] };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, words: &[] };
const DAY: Field = Field { name: "day of month", least: 1, most: 31, words: &[] };
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    words: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
/// Sunday is 0 and 7.
const WEEKDAY: Field =
    Field { name: "day of week", least: 0, most: 7, words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };

impl Field {
    fn set(&self, text: &str) -> Result<Set, String> {
        text.split(',').try_fold(Set::default(), |set, part| Ok(Set(set.0 | self.part(part)?.0)))
    }

    /// `*`, `5`, `1-5`, and of all or of a range every so many: `*/15`, `8-18/2`.
    fn part(&self, text: &str) -> Result<Set, String> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (text, None),
        };
        let (from, to) = if range == "*" {
            (self.least, self.most)
        } else if let Some((from, to)) = range.split_once('-') {
            (self.number(from)?, self.number(to)?)
        } else if step.is_none() {
            let only = self.number(range)?;
            (only, only)
        } else {
            return Err(format!("{}: a step needs a range: write `{range}-{}/...`", self.name, self.most));
        };
        if from > to {
            return Err(format!("{}: `{range}` ends before it begins", self.name));
        }
        Ok(Set((from..=to).step_by(step.unwrap_or(1)).fold(0, |set, number| set | 1 << number)))
    }

    fn step(&self, text: &str) -> Result<usize, String> {
        let step = digits(text).filter(|step| (1..=self.most).contains(step));
        let step = step.and_then(|step| usize::try_from(step).ok());
        step.ok_or_else(|| format!("{}: the step `{text}` is not a number from 1 to {}", self.name, self.most))
    }

    fn number(&self, text: &str) -> Result<i8, String> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let number = word.and_then(|place| i8::try_from(place).ok()).map(|place| self.least + place);
        number.or_else(|| digits(text)).filter(|number| (self.least..=self.most).contains(number)).ok_or_else(|| {
            let words = self.words.first().map(|word| format!(" or a word such as `{word}`")).unwrap_or_default();
            format!("{}: `{text}` is not a number from {} to {}{words}", self.name, self.least, self.most)
        })
    }
}

/// One or two digits, no sign.
fn digits(text: &str) -> Option<i8> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

impl Cron {
    pub(super) fn parse(text: &str) -> Result<Self, CalendarFault> {
        let cron = Self::read(text).map_err(CalendarFault::CronInvalid)?;
        if cron.is_never() { Err(CalendarFault::CronNever) } else { Ok(cron) }
    }

    fn read(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("a cron expression has at most {TEXT_BYTES_MAX} characters"));
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            let found = fields.len();
            return Err(format!(
                "five fields are needed (minute, hour, day of month, month, day of week), not {found}: write \
                 `0 9 * * 1-5` for nine o'clock from Monday to Friday"
            ));
        };
        let (last, days): (Vec<&str>, Vec<&str>) = day.split(',').partition(|part| part.eq_ignore_ascii_case("L"));
        let weekdays = WEEKDAY.set(weekday)?;
        Ok(Self {
            text: fields.join(" "),
            minutes: MINUTE.set(minute)?,
            hours: HOUR.set(hour)?,
            days: if days.is_empty() { Set::default() } else { DAY.set(&days.join(","))? },
            last_day: !last.is_empty(),
            months: MONTH.set(month)?,
            weekdays: Set(weekdays.0 | u64::from(weekdays.has(7))),
            both: day.starts_with('*') || weekday.starts_with('*'),
        })
    }

    /// Whether no date there is can match. A date that exists falls on every day of the week in some year, so weekdays
    /// never make a difference.
    fn is_never(&self) -> bool {
        let fits = |most: i8| self.days.first_from(1).is_some_and(|day| day <= most);
        let mut months = (1..).zip(DAYS_MOST).filter(|(month, _)| self.months.has(*month));
        self.both && !self.last_day && !months.any(|(_, most)| fits(most))
    }

    /// As written, with single spaces.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The first minute that matches, not before `from`; none, if the years end before.
    pub(super) fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut time = (from.hour(), from.minute());
        loop {
            if !self.months.has(date.month()) {
                date = date.last_of_month();
            } else if let Some((hour, minute)) = self.time_from(time).filter(|_| self.has_day(date)) {
                return Some(date.at(hour, minute, 0, 0));
            }
            date = date.tomorrow().ok()?;
            time = (0, 0);
        }
    }

    fn has_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day()) || (self.last_day && date.day() == date.days_in_month());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        if self.both { day && weekday } else { day || weekday }
    }

    fn time_from(&self, (hour, minute): (i8, i8)) -> Option<(i8, i8)> {
        let within = self.minutes.first_from(minute).filter(|_| self.hours.has(hour));
        within.map(|minute| (hour, minute)).or_else(|| {
            let hour = self.hours.first_from(hour + 1)?;
            Some((hour, self.minutes.first_from(0)?))
        })
    }
}
