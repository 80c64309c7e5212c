use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
fn calendar(cron: &str, zone: &str) -> Calendar {
    Calendar::try_new(cron, zone, 0).unwrap()
}
/// What is booked at `from` is due at `due`; both in UTC.
fn check(cron: &str, zone: &str, from: &str, due: &str) {
    assert_eq!(calendar(cron, zone).due(at(from), None), at(due), "{cron} in {zone} from {from}");
}
/// The ticks from an instant on.
fn ticks(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let calendar = calendar(cron, zone);
    let mut ticks = vec![calendar.due(at(from), None)];
    while ticks.len() < count {
        ticks.push(calendar.due(ticks[ticks.len() - 1].after(Duration::from_micros(1)), None));
    }
    ticks.iter().map(ToString::to_string).collect()
}
fn code(cron: &str, zone: &str, seconds: u64) -> &'static str {
    Calendar::try_new(cron, zone, seconds).map_or_else(|fault| fault.code(), |_| "ok")
}

#[test]
fn a_tick_itself_is_due_and_a_microsecond_later_the_next_one_is() {
    for (from, due) in [
        ("2026-01-05T08:00:00Z", "2026-01-05T08:00:00Z"),
        ("2026-01-05T07:59:59.999999Z", "2026-01-05T08:00:00Z"),
        ("2026-01-05T08:00:00.000001Z", "2026-01-06T08:00:00Z"),
        ("2026-01-09T08:00:01Z", "2026-01-12T08:00:00Z"),
        ("2026-07-05T12:00:00Z", "2026-07-06T07:00:00Z"),
    ] {
        check("0 9 * * 1-5", "Europe/Berlin", from, due);
    }
}

#[test]
fn an_hour_that_is_skipped_ticks_when_the_clock_jumps() {
    let berlin = ticks("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
    assert_eq!(berlin, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    let new_york = ticks("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2);
    assert_eq!(new_york, ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]);
    // 02:00, 02:15, 02:30 and 02:45 are skipped: one tick, which is also that of 03:00.
    let quarters = ticks("*/15 * * * *", "Europe/Berlin", "2026-03-29T00:45:00Z", 3);
    assert_eq!(quarters, ["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"]);
    // A whole day was skipped: 30 December 2011 ticks where the 31st begins.
    let apia = ticks("0 9 30 12 *", "Pacific/Apia", "2011-06-01T00:00:00Z", 2);
    assert_eq!(apia, ["2011-12-30T10:00:00Z", "2012-12-29T19:00:00Z"]);
}

#[test]
fn an_hour_that_comes_twice_ticks_the_first_time() {
    let berlin = ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(berlin, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let new_york = ticks("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2);
    assert_eq!(new_york, ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
    // Between the first 02:30 and 03:00 there is an hour and a half.
    let halves = ticks("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3);
    assert_eq!(halves, ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"]);
    // In the second of the two hours the first one is over.
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z");
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z");
}

#[test]
fn zones_far_from_whole_hours_tick_on_their_own_clocks() {
    check("0 9 * * *", "Asia/Kathmandu", "2026-02-01T00:00:00Z", "2026-02-01T03:15:00Z");
    check("0 0 * * *", "Pacific/Chatham", "2026-02-01T00:00:00Z", "2026-02-01T10:15:00Z");
    check("0 9 * * *", "UTC", "2026-02-01T00:00:00Z", "2026-02-01T09:00:00Z");
    // Half an hour is skipped: 02:00 to 02:30.
    check("15 2 4 10 *", "Australia/Lord_Howe", "2026-10-01T00:00:00Z", "2026-10-03T15:30:00Z");
}

#[test]
fn days_that_are_rare_come_all_the_same() {
    for (cron, from, due) in [
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
        // The 29th of February on a Sunday: `*/7` starts with a star, so both must hold.
        ("0 0 29 2 */7", "2033-01-01T00:00:00Z", "2060-02-29T00:00:00Z"),
        ("0 0 31 * *", "2026-02-01T00:00:00Z", "2026-03-31T00:00:00Z"),
        ("0 0 L * *", "2026-02-01T00:00:00Z", "2026-02-28T00:00:00Z"),
        ("0 0 15,L 2 *", "2028-02-16T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 1 JAN *", "2026-01-01T00:00:00.000001Z", "2027-01-01T00:00:00Z"),
        ("59 23 31 12 *", "9998-12-31T23:59:01Z", "9999-12-31T23:59:59.999999Z"),
    ] {
        check(cron, "UTC", from, due);
    }
}

#[test]
fn a_day_needs_both_fields_only_if_one_starts_with_a_star() {
    let first_days = |cron| ticks(cron, "UTC", "2026-06-01T00:00:00Z", 4).map_days();
    assert_eq!(first_days("0 0 13 * 5"), ["06-05", "06-12", "06-13", "06-19"]);
    assert_eq!(first_days("0 0 * * 5"), ["06-05", "06-12", "06-19", "06-26"]);
    assert_eq!(first_days("0 0 13 * *"), ["06-13", "07-13", "08-13", "09-13"]);
    assert_eq!(first_days("0 0 */2 * FRI"), ["06-05", "06-19", "07-03", "07-17"]);
    assert_eq!(first_days("0 0 * * 7"), first_days("0 0 * * 0"));
    assert_eq!(first_days("0 0 * * 5-7"), ["06-05", "06-06", "06-07", "06-12"]);
    assert_eq!(first_days("0 0 1-31/10 * *"), ["06-01", "06-11", "06-21", "07-01"]);
    assert_eq!(first_days("0 0 1 jun,Dec *"), ["06-01", "12-01", "06-01", "12-01"]);
}
trait Days {
    fn map_days(self) -> Vec<String>;
}
impl Days for Vec<String> {
    fn map_days(self) -> Vec<String> {
        self.iter().map(|tick| tick[5..10].to_owned()).collect()
    }
}

#[test]
fn it_waits_for_the_age_and_for_the_date_whichever_is_later() {
    let weekly = Calendar::try_new("0 9 * * 1", "Europe/Berlin", 86_400).unwrap();
    let due = |created: &str, execute: Option<&str>| weekly.due(at(created), execute.map(at)).to_string();
    assert_eq!(due("2026-01-04T08:00:00Z", None), "2026-01-05T08:00:00Z");
    assert_eq!(due("2026-01-04T08:00:01Z", None), "2026-01-12T08:00:00Z");
    assert_eq!(due("2026-01-04T08:00:00Z", Some("2026-01-01T00:00:00Z")), "2026-01-05T08:00:00Z");
    assert_eq!(due("2026-01-04T08:00:00Z", Some("2026-01-05T08:00:01Z")), "2026-01-12T08:00:00Z");
    assert_eq!(due("2026-01-04T08:00:01Z", Some("2026-01-05T08:00:00Z")), "2026-01-12T08:00:00Z");
}

#[test]
fn the_ends_of_time_are_no_reason_to_panic() {
    for cron in ["* * * * *", "0 0 29 2 */7"] {
        for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Niue", "America/New_York"] {
            let calendar = calendar(cron, zone);
            assert!(calendar.due(Timestamp::MIN, None) >= Timestamp::MIN);
            assert_eq!(calendar.due(Timestamp::MAX, None), Timestamp::MAX);
            assert_eq!(calendar.due(Timestamp::MIN, Some(Timestamp::MAX)), Timestamp::MAX);
        }
    }
}

#[test]
fn what_is_no_cron_expression_is_refused() {
    for cron in [
        "",
        "* * * *",
        "* * * * * *",
        "@daily",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "*/60 * * * *",
        "5/10 * * * *",
        "1, * * * *",
        ", * * * *",
        "-1 * * * *",
        "+1 * * * *",
        "1- * * * *",
        "1-2-3 * * * *",
        "*/5/5 * * * *",
        "** * * * *",
        "a * * * *",
        "* * * MON *",
        "* * * * JAN",
        "* * L-1 * *",
        "* * * * L",
        "* * ? * *",
        "* * LW * *",
        "001 * * * *",
        "\u{661} * * * *",
        "* * * * SAT-SUN",
    ] {
        assert_eq!(code(cron, "UTC", 0), "cron_invalid", "{cron}");
    }
    let long = format!("{}1 * * * *", "1,".repeat(100));
    assert_eq!(code(&long, "UTC", 0), "cron_invalid");
}

#[test]
fn a_day_that_never_comes_is_refused_and_a_rare_one_is_not() {
    for cron in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 FEB */2", "0 0 30-31 2 *"] {
        assert_eq!(code(cron, "UTC", 0), "cron_never", "{cron}");
    }
    for cron in ["0 0 29 2 *", "0 0 29 2 */7", "0 0 30 2 1", "0 0 30,L 2 *", "0 0 30 2,3 *", "0 0 */31 2 *"] {
        assert_eq!(code(cron, "UTC", 0), "ok", "{cron}");
    }
}

#[test]
fn zones_are_known_by_name_and_spelled_as_the_database_does() {
    for (zone, found) in [("europe/berlin", "Europe/Berlin"), ("UTC", "UTC"), ("utc", "UTC"), ("Etc/UTC", "Etc/UTC")] {
        assert_eq!(calendar("0 9 * * *", zone).time_zone(), found);
    }
    for zone in ["", "Berlin", "+01:00", "CET-1CEST", "Etc/Unknown", "Europe/Berlin ", "../etc/localtime"] {
        assert_eq!(code("0 9 * * *", zone, 0), "time_zone_unknown", "{zone}");
    }
}

#[test]
fn a_minimum_age_has_an_end_and_a_form_tells_every_fault() {
    assert_eq!(code("0 9 * * *", "UTC", MINIMUM_AGE_SECONDS_MAX), "ok");
    assert_eq!(code("0 9 * * *", "UTC", MINIMUM_AGE_SECONDS_MAX + 1), "minimum_age_out_of_range");
    let faults = Calendar::check("9", "Berlin", u64::MAX).unwrap_err();
    let codes: Vec<_> = faults.iter().map(CalendarFault::code).collect();
    assert_eq!(codes, ["cron_invalid", "time_zone_unknown", "minimum_age_out_of_range"]);
    let calendar = Calendar::check(" 0  9 * * * ", "UTC", 60).unwrap();
    assert_eq!((calendar.cron(), calendar.minimum_age_seconds()), ("0 9 * * *", 60));
}

/// Some hours and minutes on some weekdays.
#[derive(Clone, Debug)]
struct Naive {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    weekdays: Vec<i8>,
}

impl Naive {
    fn cron(&self) -> String {
        let list = |numbers: &[i8]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        format!("{} {} * * {}", list(&self.minutes), list(&self.hours), list(&self.weekdays))
    }
    fn matches(&self, minute: DateTime) -> bool {
        self.minutes.contains(&minute.minute())
            && self.hours.contains(&minute.hour())
            && self.weekdays.contains(&minute.weekday().to_sunday_zero_offset())
    }
    /// The first tick not before `bound`, found by watching the clock minute by minute: there is one whenever it shows,
    /// or has just passed over, a minute that matches and that it did not show before.
    fn due(&self, zone: &TimeZone, bound: i64) -> i64 {
        let shown = |minute: i64| zone.to_datetime(jiff::Timestamp::from_second(minute * 60).unwrap());
        let mut at = bound.div_euclid(60) - 26 * 60;
        let mut latest = shown(at);
        loop {
            at += 1;
            let mut is_tick = false;
            let now = shown(at);
            while latest < now {
                latest = latest.checked_add(1.minute()).unwrap();
                is_tick |= self.matches(latest);
            }
            if is_tick && at * 60 >= bound {
                return at * 60;
            }
        }
    }
}

/// Often at the hours at which clocks change.
fn naive() -> impl Strategy<Value = Naive> {
    let some = |most: i8, least: usize| prop::collection::vec(0..=most, least..least + 4);
    let quarters = prop::sample::subsequence(vec![0, 15, 30, 45], 1..=4);
    let minutes = prop_oneof![3 => quarters, 1 => some(59, 1)];
    let hours = prop_oneof![3 => some(3, 1), 1 => some(23, 1)];
    let weekdays = prop_oneof![3 => Just((0..=6).collect()), 1 => some(6, 3)];
    (minutes, hours, weekdays).prop_map(|(minutes, hours, weekdays)| Naive { minutes, hours, weekdays })
}

/// A zone and a second: often near a change of its clocks, often on a quarter of an hour.
fn places() -> impl Strategy<Value = (&'static str, i64)> {
    let changes = vec![
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("Asia/Kathmandu", "1985-12-31T18:30:00Z"),
    ];
    let off = prop_oneof![(-9..9_i64).prop_map(|quarters| quarters * 900), -8_000..8_000_i64];
    let near = (prop::sample::select(changes), off)
        .prop_map(|((zone, change), off)| (zone, at(change).unix_micros() / 1_000_000 + off));
    let zones =
        prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "UTC"]);
    prop_oneof![4 => near, 1 => (zones, 0..4_000_000_000_i64)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_due_is_the_first_tick_of_the_clock_not_before_its_bound(
        naive in naive(),
        (zone, bound) in places(),
    ) {
        let calendar = calendar(&naive.cron(), zone);
        let found = calendar.due(Timestamp::from_unix_micros(bound * 1_000_000), None);
        let expected = naive.due(&calendar.time_zone, bound);
        prop_assert_eq!(found, Timestamp::from_unix_micros(expected * 1_000_000));
    }

    #[test]
    fn what_is_due_is_never_too_early_and_stays_when_it_is_asked_for_again(
        naive in naive(),
        (zone, created) in places(),
        execute in prop::option::of(places().prop_map(|(_, second)| second)),
        age in 0..10_000_000_u64,
    ) {
        let calendar = Calendar::try_new(&naive.cron(), zone, age).unwrap();
        let at = |second: i64| Timestamp::from_unix_micros(second * 1_000_000);
        let due = calendar.due(at(created), execute.map(at));
        prop_assert!(due >= at(created).after(Duration::from_secs(age)));
        prop_assert!(execute.is_none_or(|execute| due >= at(execute)));
        prop_assert_eq!(calendar.due(at(created), Some(due)), due);
    }
}
