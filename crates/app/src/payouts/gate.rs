//! How fast a rail may be called, and when it had better not be called at all.
//!
//! A gate is a bucket of tokens and a breaker, kept in this process; each process has its own. What it refuses is not
//! sent, so nothing is in doubt and no try is used up. It reads no clock: every instant is handed in.
//!
//! A breaker opens when several different instructions in a row come to nothing. One alone, however often it is tried,
//! is a poisoned payment and no rail that is down: it must not keep the others from being paid.
//!
//! Whoever comes while it is open is sent away with a place in a queue: they come back one after the other, as fast as
//! the rail may be called. So few go on at once when it is back, and ten thousand do not ask for nothing every second.

use crate::ports::{Dice, rail::RailProfile};
use domain::{
    ids::{BatchId, InstructionId},
    recipient::RailId,
    timestamp::Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Calls for so many different instructions in a row that nobody answered open the breaker.
const FAILING_MAX: usize = 5;
/// How long the breaker stays open for the first time, and at most.
const OPEN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How long a rail pauses that refuses everything because of us.
const OURS: Duration = Duration::from_secs(60);
/// How long one call that tries whether the rail is back may take before another one does.
const PROBE: Duration = Duration::from_secs(15);
/// How long those who come while one call tries are sent away, at first: as long again as it has been trying after that.
const AWAY: Duration = Duration::from_millis(250);
/// Whoever comes while nobody is let through does not come back sooner than after that part of how long that has been
/// so, and at most so long: a rail may ask for one second again and again.
const LONGER: (u32, Duration) = (8, Duration::from_secs(15));
/// Longest queue: whoever would stand behind its end comes back with it.
const QUEUE_MAX: Duration = Duration::from_secs(300);

const MICROS: u64 = 1_000_000;

/// What came of a call, as the gate sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The rail answered, whatever it said.
    Answer,
    /// It did not answer, or not in time.
    Nothing,
    /// It does not want to be called before so long.
    NotBefore(Duration),
    /// It refuses everything, and we are to blame.
    Blame,
}

/// What a gate lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// So many calls may be made now.
    pub calls: u32,
    /// When more may be, if that is fewer than were wanted.
    pub again_at: Timestamp,
}

/// The gates of all rails, in this process.
#[derive(Debug, Default)]
pub struct Gates(Mutex<BTreeMap<RailId, Gate>>);

#[derive(Debug)]
struct Gate {
    /// Millionths of a call that may be made.
    tokens: u64,
    filled_at: Timestamp,
    breaker: Breaker,
    /// Whether it was told that the rail refuses everything because of us, and the rail has answered nothing else since.
    is_blamed: bool,
    queue: Queue,
}

/// Those who were sent away since the breaker was last closed.
#[derive(Debug, Default)]
struct Queue {
    /// When each comes back. Who comes sooner keeps their place, and nobody has two.
    places: BTreeMap<BatchId, Timestamp>,
    /// Where the next one stands.
    end: Option<Timestamp>,
    /// When the first one was sent away.
    since: Option<Timestamp>,
}

impl Queue {
    /// The place of a batch, not before then. The queue moves as fast as the rail may be called: whoever stands in it
    /// loses nothing by it, for the calls of those before them take as long.
    fn place(&mut self, who: BatchId, earliest: Timestamp, now: Timestamp, each: Duration) -> Timestamp {
        if let Some(place) = self.places.get(&who).filter(|place| **place > now && **place >= earliest) {
            return *place;
        }
        let place = self.end.unwrap_or(earliest).clamp(earliest, earliest.after(QUEUE_MAX));
        self.end = Some(place.after(each));
        self.since.get_or_insert(now);
        self.places.insert(who, place);
        place
    }
}

#[derive(Clone, Debug)]
enum Breaker {
    /// Calls are made; those for these instructions came to nothing, and nothing was answered since.
    Closed { failing: BTreeSet<InstructionId> },
    /// No call is made before then; it is open for the so-manieth time in a row.
    Open { until: Timestamp, times: u32 },
    /// One call tries whether the rail is back.
    Probing { since: Timestamp, times: u32 },
}

impl Gates {
    /// Lets through as many of the `wanted` calls of a batch as may be made now.
    pub fn admit(&self, rail: &RailProfile, who: BatchId, wanted: u32, now: Timestamp) -> Admitted {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = u64::from(rail.calls_per_second_max.max(1)) * MICROS;
        let gate = gates.entry(rail.id.clone()).or_insert_with(|| Gate {
            tokens: most,
            filled_at: now,
            breaker: Breaker::Closed { failing: BTreeSet::new() },
            is_blamed: false,
            queue: Queue::default(),
        });
        let filled = u64::try_from(now.since(gate.filled_at).as_micros()).unwrap_or(u64::MAX);
        gate.tokens = gate.tokens.saturating_add(filled.saturating_mul(most / MICROS)).min(most);
        gate.filled_at = now;
        let there = u32::try_from(gate.tokens / MICROS).unwrap_or(u32::MAX);
        let (calls, shut_until) = match gate.breaker {
            Breaker::Closed { .. } => (wanted.min(there), None),
            Breaker::Open { until, .. } if now < until => {
                let so_far = gate.queue.since.map_or(Duration::ZERO, |since| now.since(since));
                (0, Some(until.max(now.after((so_far / LONGER.0).min(LONGER.1)))))
            }
            Breaker::Probing { since, .. } if now < since.after(PROBE) => {
                // It is mostly answered at once; the longer it takes, the longer it may take still.
                let away = now.since(since).max(AWAY);
                (0, Some(now.after(away).min(since.after(PROBE))))
            }
            Breaker::Open { times, .. } | Breaker::Probing { times, .. } => {
                let calls = wanted.min(1).min(there);
                if calls > 0 {
                    gate.breaker = Breaker::Probing { since: now, times };
                }
                (calls, Some(now.after(AWAY)))
            }
        };
        gate.tokens -= u64::from(calls) * MICROS;
        // What is missing of the rest, or of one second's worth of it.
        let missing = (u64::from(wanted - calls) * MICROS).min(most).saturating_sub(gate.tokens);
        let filled_at = now.after(Duration::from_micros(missing / (most / MICROS)));
        let each = Duration::from_micros(MICROS * MICROS / most);
        let again_at = match shut_until {
            Some(until) if calls < wanted => gate.queue.place(who, until, now, each),
            _ => now,
        };
        Admitted { calls, again_at: again_at.max(filled_at) }
    }

    /// So many of the calls that were let through are not made after all.
    pub fn put_back(&self, rail: &RailProfile, calls: u32) {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = u64::from(rail.calls_per_second_max.max(1)) * MICROS;
        if let Some(gate) = gates.get_mut(&rail.id) {
            gate.tokens = gate.tokens.saturating_add(u64::from(calls) * MICROS).min(most);
            if let (1.., Breaker::Probing { since, times }) = (calls, &gate.breaker) {
                // Nobody has tried whether it is back: the next one may.
                gate.breaker = Breaker::Open { until: *since, times: *times };
            }
        }
    }

    /// Whether some rail had better not be called now.
    pub fn is_any_shut(&self, now: Timestamp) -> bool {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.values().any(|gate| match gate.breaker {
            Breaker::Closed { .. } => false,
            Breaker::Open { until, .. } => now < until,
            Breaker::Probing { .. } => true,
        })
    }

    /// Tells what came of a call. Answers whether the rail is paused because of us, and that was not told yet.
    pub fn report(&self, rail: &RailId, (about, came): (InstructionId, Came), dice: &dyn Dice, now: Timestamp) -> bool {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(gate) = gates.get_mut(rail) else { return false };
        let before = std::mem::replace(&mut gate.breaker, Breaker::Closed { failing: BTreeSet::new() });
        gate.breaker = match (came, before) {
            // What left before the rail asked for time says nothing of it: nobody has called since.
            (Came::Answer, Breaker::Open { until, times: 0 }) if now < until => Breaker::Open { until, times: 0 },
            (Came::Answer, _) => Breaker::Closed { failing: BTreeSet::new() },
            // Others that were on their way when it opened say nothing new.
            (Came::Nothing, open @ Breaker::Open { .. }) => open,
            (Came::Nothing, Breaker::Closed { mut failing }) => {
                failing.insert(about);
                if failing.len() < FAILING_MAX { Breaker::Closed { failing } } else { opened(1, dice, now) }
            }
            (Came::Nothing, Breaker::Probing { times, .. }) => opened(times + 1, dice, now),
            (Came::NotBefore(wait), Breaker::Open { until, times }) => {
                Breaker::Open { until: until.max(now.after(wait)), times }
            }
            (Came::NotBefore(wait), _) => Breaker::Open { until: now.after(wait), times: 0 },
            (Came::Blame, _) => Breaker::Open { until: now.after(OURS), times: 1 },
        };
        if matches!(gate.breaker, Breaker::Closed { .. }) {
            gate.queue = Queue::default();
        }
        let is_news = came == Came::Blame && !gate.is_blamed;
        gate.is_blamed = came == Came::Blame || (gate.is_blamed && came != Came::Answer);
        is_news
    }
}

/// Between a half and the whole of a time that doubles.
fn opened(times: u32, dice: &dyn Dice, now: Timestamp) -> Breaker {
    let whole = OPEN.0.saturating_mul(1 << times.saturating_sub(1).min(10)).min(OPEN.1);
    let half = whole / 2;
    let more = dice.below(u64::try_from(half.as_micros()).unwrap_or(u64::MAX));
    Breaker::Open { until: now.after(half + Duration::from_micros(more)), times }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Middle, now, rail_profile};

    fn profile(calls_per_second_max: u32) -> RailProfile {
        RailProfile { calls_per_second_max, ..rail_profile("simulator", true) }
    }
    /// That of one of many instructions.
    fn of(n: u128, came: Came) -> (InstructionId, Came) {
        (InstructionId::new(uuid::Uuid::from_u128(n)), came)
    }
    fn batch(n: u128) -> BatchId {
        BatchId::new(uuid::Uuid::from_u128(n))
    }
    fn at(millis: u64) -> Timestamp {
        now().after(Duration::from_millis(millis))
    }

    #[test]
    fn no_second_sees_more_calls_than_the_rail_allows() {
        let (gates, profile) = (Gates::default(), profile(10));
        assert_eq!(gates.admit(&profile, batch(0), 64, at(0)).calls, 10);
        let none = gates.admit(&profile, batch(0), 1, at(0));
        assert_eq!((none.calls, none.again_at), (0, at(100)));
        assert_eq!(gates.admit(&profile, batch(0), 64, at(500)).calls, 5);
        assert_eq!(gates.admit(&profile, batch(0), 64, at(60_000)).calls, 10, "what was not used does not add up");
    }

    #[test]
    fn a_rail_that_does_not_answer_is_left_alone_and_then_tried_with_one_call() {
        let (gates, profile) = (Gates::default(), profile(100));
        gates.admit(&profile, batch(0), 5, at(0));
        for n in 0..5 {
            assert!(!gates.report(&profile.id, of(n, Came::Nothing), &Middle, at(0)));
        }
        assert_eq!(gates.admit(&profile, batch(0), 9, at(1_000)).calls, 0);
        assert_eq!(gates.admit(&profile, batch(0), 9, at(1_500)).calls, 1, "one tries");
        assert_eq!(gates.admit(&profile, batch(0), 9, at(1_600)).calls, 0, "the others wait for it");
        gates.report(&profile.id, of(1, Came::Nothing), &Middle, at(1_700));
        assert_eq!(gates.admit(&profile, batch(0), 9, at(4_600)).calls, 0, "it waits twice as long");
        assert_eq!(gates.admit(&profile, batch(0), 9, at(4_800)).calls, 1);
        gates.report(&profile.id, of(1, Came::Answer), &Middle, at(4_900));
        assert_eq!(gates.admit(&profile, batch(0), 9, at(5_000)).calls, 9);
    }

    #[test]
    fn a_call_that_tried_and_was_never_heard_of_does_not_close_the_gate_for_ever() {
        let (gates, profile) = (Gates::default(), profile(100));
        gates.admit(&profile, batch(0), 5, at(0));
        for n in 0..5 {
            gates.report(&profile.id, of(n, Came::Nothing), &Middle, at(0));
        }
        assert_eq!(gates.admit(&profile, batch(0), 1, at(2_000)).calls, 1);
        assert_eq!(gates.admit(&profile, batch(0), 1, at(16_000)).calls, 0);
        assert_eq!(gates.admit(&profile, batch(0), 1, at(17_000)).calls, 1);
    }

    #[test]
    fn calls_that_are_put_back_can_be_made_by_somebody_else() {
        let (gates, profile) = (Gates::default(), profile(10));
        assert_eq!(gates.admit(&profile, batch(0), 10, at(0)).calls, 10);
        gates.put_back(&profile, 4);
        assert_eq!(gates.admit(&profile, batch(0), 9, at(0)).calls, 4);
        for n in 0..5 {
            gates.report(&profile.id, of(n, Came::Nothing), &Middle, at(0));
        }
        assert_eq!(gates.admit(&profile, batch(0), 1, at(2_000)).calls, 1);
        gates.put_back(&profile, 1);
        assert_eq!(gates.admit(&profile, batch(0), 1, at(2_000)).calls, 1, "nobody has tried yet whether it is back");
        gates.put_back(&profile, 0);
        assert_eq!(gates.admit(&profile, batch(0), 1, at(2_000)).calls, 0);
    }

    #[test]
    fn single_failures_among_answers_open_nothing() {
        let (gates, profile) = (Gates::default(), profile(100));
        for n in 0..20 {
            gates.admit(&profile, batch(0), 1, at(0));
            gates.report(&profile.id, of(n, Came::Nothing), &Middle, at(0));
            gates.report(&profile.id, of(n, Came::Answer), &Middle, at(0));
        }
        assert!(gates.admit(&profile, batch(0), 1, at(100)).calls == 1);
    }

    #[test]
    fn one_poisoned_payment_keeps_nobody_from_being_paid() {
        let (gates, profile) = (Gates::default(), profile(100));
        for second in 0..50 {
            assert_eq!(gates.admit(&profile, batch(0), 9, at(second * 1_000)).calls, 9);
            gates.report(&profile.id, of(7, Came::Nothing), &Middle, at(second * 1_000));
        }
    }

    #[test]
    fn a_rail_that_blames_us_or_asks_for_time_pauses() {
        let (gates, profile) = (Gates::default(), profile(100));
        gates.admit(&profile, batch(0), 2, at(0));
        assert!(gates.report(&profile.id, of(1, Came::Blame), &Middle, at(0)), "it is told once");
        assert!(!gates.report(&profile.id, of(1, Came::Blame), &Middle, at(0)));
        assert_eq!(gates.admit(&profile, batch(0), 1, at(59_000)), Admitted { calls: 0, again_at: at(60_000) });
        assert_eq!(gates.admit(&profile, batch(0), 1, at(60_000)).calls, 1);
        gates.report(&profile.id, of(1, Came::Answer), &Middle, at(60_000));
        gates.report(&profile.id, of(1, Came::NotBefore(Duration::from_secs(7))), &Middle, at(60_000));
        assert_eq!(gates.admit(&profile, batch(0), 1, at(60_000)), Admitted { calls: 0, again_at: at(67_000) });
        // Another call was on its way when it said so, and is answered.
        gates.report(&profile.id, of(2, Came::Answer), &Middle, at(61_000));
        assert_eq!(gates.admit(&profile, batch(0), 1, at(66_999)).calls, 0);
        assert_eq!(gates.admit(&profile, batch(0), 1, at(67_000)).calls, 1);
    }

    #[test]
    fn a_pause_because_of_us_is_told_once_and_anew_when_the_rail_has_answered_meanwhile() {
        let (gates, profile) = (Gates::default(), profile(100));
        let is_told = |n, came| gates.report(&profile.id, of(n, came), &Middle, at(0));
        gates.admit(&profile, batch(0), 5, at(0));
        // A rail that was away blames us with its first answer.
        for n in 0..5 {
            assert!(!is_told(n, Came::Nothing));
        }
        assert!(is_told(1, Came::Blame));
        for came in [Came::Blame, Came::Nothing, Came::NotBefore(Duration::from_secs(1)), Came::Blame] {
            assert!(!is_told(1, came), "{came:?}");
        }
        assert!(!is_told(1, Came::Answer) && is_told(1, Came::Blame));
    }

    #[test]
    fn when_the_rail_is_back_the_others_go_on_soon() {
        let (gates, profile) = (Gates::default(), profile(100));
        let report = |came, millis| gates.report(&profile.id, of(0, came), &Middle, at(millis));
        assert_eq!(gates.admit(&profile, batch(0), 1, at(0)).calls, 1);
        report(Came::NotBefore(Duration::from_secs(1)), 0);
        // One after the other, not before the rail said.
        for (n, millis) in (0..8).zip([1_000, 1_010, 1_020, 1_030, 1_040, 1_050, 1_060, 1_070]) {
            let sent_away = Admitted { calls: 0, again_at: at(millis) };
            assert_eq!(gates.admit(&profile, batch(n), 1, at(10)), sent_away, "{n}");
        }
        assert_eq!(
            gates.admit(&profile, batch(3), 1, at(20)).again_at,
            at(1_030),
            "whoever comes sooner keeps their place"
        );
        // All of them come, and one tries.
        assert_eq!(gates.admit(&profile, batch(0), 1, at(1_100)).calls, 1);
        let away: Vec<Timestamp> = (1..8).map(|n| gates.admit(&profile, batch(n), 1, at(1_100)).again_at).collect();
        assert_eq!((away[0], away[6]), (at(1_350), at(1_410)));
        report(Came::Answer, 1_120);
        assert!(away.iter().zip(1..).all(|(then, n)| gates.admit(&profile, batch(n), 1, *then).calls == 1));
    }

    /// It asks for a second, and is never called sooner; who waits behind it looks more and more seldom.
    #[test]
    fn a_rail_that_asks_for_a_second_for_ten_minutes_makes_no_storm() {
        let (gates, profile) = (Gates::default(), profile(100));
        let soon = || Came::NotBefore(Duration::from_secs(1));
        gates.admit(&profile, batch(0), 1, at(0));
        gates.report(&profile.id, of(0, soon()), &Middle, at(0));
        let mut due: BTreeSet<(Timestamp, u128)> = (0..8).map(|n| (at(0), n)).collect();
        let mut last_called = at(0);
        let mut looks = [0; 8];
        let mut answered = BTreeMap::new();
        while let Some((now, n)) = due.first().copied().filter(|(now, _)| *now < at(600_000)) {
            due.remove(&(now, n));
            answered.retain(|then, n| {
                let is_over = *then <= now;
                if is_over {
                    gates.report(&profile.id, of(*n, soon()), &Middle, *then);
                }
                !is_over
            });
            looks[usize::try_from(n).unwrap()] += 1;
            let admitted = gates.admit(&profile, batch(n), 1, now);
            if admitted.calls == 1 {
                assert!(now.since(last_called) >= Duration::from_secs(1));
                last_called = now.after(Duration::from_millis(50));
                answered.insert(last_called, n);
            }
            due.insert((admitted.again_at.max(now.after(Duration::from_millis(100))), n));
        }
        assert!(looks.iter().all(|looks| (20..300).contains(looks)), "{looks:?}");
    }

    #[test]
    fn the_longer_one_call_tries_the_less_often_the_others_look() {
        let (gates, profile) = (Gates::default(), profile(100));
        gates.admit(&profile, batch(0), 1, at(0));
        gates.report(&profile.id, of(0, Came::NotBefore(Duration::ZERO)), &Middle, at(0));
        assert_eq!(gates.admit(&profile, batch(0), 1, at(0)).calls, 1);
        let (mut now, mut looks) = (at(10), 0);
        loop {
            let admitted = gates.admit(&profile, batch(1), 1, now);
            if admitted.calls == 1 {
                break;
            }
            (now, looks) = (admitted.again_at, looks + 1);
        }
        // When it is taken for lost, and no sooner.
        assert_eq!((now, looks), (at(15_000), 7));
    }

    #[test]
    fn ten_thousand_that_wait_come_back_one_after_the_other() {
        const WAITING: u128 = 10_000;
        let (gates, profile) = (Gates::default(), profile(50));
        gates.admit(&profile, batch(0), 1, at(0));
        gates.report(&profile.id, of(0, Came::Blame), &Middle, at(0));
        let mut due: BTreeSet<(Timestamp, u128)> = (0..WAITING).map(|n| (at(0), n)).collect();
        let mut looks: BTreeMap<u64, u32> = BTreeMap::new();
        // Nobody answers for ten minutes; every call that tries blames us.
        while let Some((now, n)) = due.first().copied().filter(|(now, _)| *now < at(600_000)) {
            due.remove(&(now, n));
            *looks.entry(now.since(at(0)).as_secs()).or_default() += 1;
            let admitted = gates.admit(&profile, batch(n), 1, now);
            if admitted.calls == 1 {
                gates.report(&profile.id, of(n, Came::Blame), &Middle, now);
            }
            due.insert((admitted.again_at.max(now.after(Duration::from_millis(100))), n));
        }
        looks.remove(&0);
        let busiest = looks.values().max().copied().unwrap_or_default();
        assert!(busiest <= 60, "{busiest} looked in one second");
        // The rail is back: they are paid as fast as it may be called, and the last one not much later.
        let begin = at(600_000);
        let (mut end, mut paid) = (begin, 0);
        while let Some((now, n)) = due.pop_first() {
            let now = now.max(end);
            end = now;
            let admitted = gates.admit(&profile, batch(n), 1, now);
            if admitted.calls == 1 {
                gates.report(&profile.id, of(n, Came::Answer), &Middle, now);
                paid += 1;
            } else {
                due.insert((admitted.again_at, n));
            }
        }
        assert_eq!(paid, WAITING);
        assert!(end.since(begin) < Duration::from_secs(300), "{:?}", end.since(begin));
    }

    #[test]
    fn nobody_tries_without_a_call() {
        let (gates, profile) = (Gates::default(), profile(1));
        assert_eq!(gates.admit(&profile, batch(0), 1, at(0)).calls, 1);
        gates.report(&profile.id, of(0, Came::NotBefore(Duration::from_millis(500))), &Middle, at(0));
        assert_eq!(gates.admit(&profile, batch(0), 1, at(600)), Admitted { calls: 0, again_at: at(1_000) });
        assert_eq!(gates.admit(&profile, batch(1), 1, at(1_000)).calls, 1, "it was not tried yet");
    }
}
