//! How fast a rail may be called, and when it had better not be called at all.
//!
//! A gate is a bucket of tokens and a breaker, kept in this process; each process has its own. What it refuses is not
//! sent, so nothing is in doubt and no try is used up. It reads no clock: every instant is handed in.
//!
//! A breaker opens when several different instructions in a row come to nothing. One alone, however often it is tried,
//! is a poisoned payment and no rail that is down: it must not keep the others from being paid.

use crate::ports::{Dice, rail::RailProfile};
use domain::{ids::InstructionId, recipient::RailId, timestamp::Timestamp};
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
    /// Lets through as many of `wanted` calls as may be made now.
    pub fn admit(&self, rail: &RailProfile, wanted: u32, now: Timestamp) -> Admitted {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = u64::from(rail.calls_per_second_max.max(1)) * MICROS;
        let gate = gates.entry(rail.id.clone()).or_insert(Gate {
            tokens: most,
            filled_at: now,
            breaker: Breaker::Closed { failing: BTreeSet::new() },
        });
        let filled = u64::try_from(now.since(gate.filled_at).as_micros()).unwrap_or(u64::MAX);
        gate.tokens = gate.tokens.saturating_add(filled.saturating_mul(most / MICROS)).min(most);
        gate.filled_at = now;
        let (allowed, again_at) = match gate.breaker {
            Breaker::Closed { .. } => (wanted, now),
            Breaker::Open { until, .. } if now < until => (0, until),
            Breaker::Probing { since, .. } if now < since.after(PROBE) => (0, since.after(PROBE)),
            Breaker::Open { times, .. } | Breaker::Probing { times, .. } => {
                if wanted > 0 {
                    gate.breaker = Breaker::Probing { since: now, times };
                }
                (wanted.min(1), now.after(Duration::from_secs(1)))
            }
        };
        let there = u32::try_from(gate.tokens / MICROS).unwrap_or(u32::MAX);
        let calls = allowed.min(there);
        gate.tokens -= u64::from(calls) * MICROS;
        // What is missing of the rest, or of one second's worth of it.
        let missing = (u64::from(wanted - calls) * MICROS).min(most).saturating_sub(gate.tokens);
        let filled_at = now.after(Duration::from_micros(missing / (most / MICROS)));
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

    /// Tells what came of a call. Answers whether the rail is paused from now on because of us.
    pub fn report(&self, rail: &RailId, (about, came): (InstructionId, Came), dice: &dyn Dice, now: Timestamp) -> bool {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(gate) = gates.get_mut(rail) else { return false };
        let before = std::mem::replace(&mut gate.breaker, Breaker::Closed { failing: BTreeSet::new() });
        let was_closed = matches!(before, Breaker::Closed { .. });
        gate.breaker = match (came, before) {
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
        came == Came::Blame && was_closed
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
    fn at(millis: u64) -> Timestamp {
        now().after(Duration::from_millis(millis))
    }

    #[test]
    fn no_second_sees_more_calls_than_the_rail_allows() {
        let (gates, profile) = (Gates::default(), profile(10));
        assert_eq!(gates.admit(&profile, 64, at(0)).calls, 10);
        let none = gates.admit(&profile, 1, at(0));
        assert_eq!((none.calls, none.again_at), (0, at(100)));
        assert_eq!(gates.admit(&profile, 64, at(500)).calls, 5);
        assert_eq!(gates.admit(&profile, 64, at(60_000)).calls, 10, "what was not used does not add up");
    }

    #[test]
    fn a_rail_that_does_not_answer_is_left_alone_and_then_tried_with_one_call() {
        let (gates, profile) = (Gates::default(), profile(100));
        gates.admit(&profile, 5, at(0));
        for n in 0..5 {
            assert!(!gates.report(&profile.id, of(n, Came::Nothing), &Middle, at(0)));
        }
        assert_eq!(gates.admit(&profile, 9, at(1_000)).calls, 0);
        assert_eq!(gates.admit(&profile, 9, at(1_500)).calls, 1, "one tries");
        assert_eq!(gates.admit(&profile, 9, at(1_600)).calls, 0, "the others wait for it");
        gates.report(&profile.id, of(1, Came::Nothing), &Middle, at(1_700));
        assert_eq!(gates.admit(&profile, 9, at(4_600)).calls, 0, "it waits twice as long");
        assert_eq!(gates.admit(&profile, 9, at(4_800)).calls, 1);
        gates.report(&profile.id, of(1, Came::Answer), &Middle, at(4_900));
        assert_eq!(gates.admit(&profile, 9, at(5_000)).calls, 9);
    }

    #[test]
    fn a_call_that_tried_and_was_never_heard_of_does_not_close_the_gate_for_ever() {
        let (gates, profile) = (Gates::default(), profile(100));
        gates.admit(&profile, 5, at(0));
        for n in 0..5 {
            gates.report(&profile.id, of(n, Came::Nothing), &Middle, at(0));
        }
        assert_eq!(gates.admit(&profile, 1, at(2_000)).calls, 1);
        assert_eq!(gates.admit(&profile, 1, at(16_000)).calls, 0);
        assert_eq!(gates.admit(&profile, 1, at(17_000)).calls, 1);
    }

    #[test]
    fn calls_that_are_put_back_can_be_made_by_somebody_else() {
        let (gates, profile) = (Gates::default(), profile(10));
        assert_eq!(gates.admit(&profile, 10, at(0)).calls, 10);
        gates.put_back(&profile, 4);
        assert_eq!(gates.admit(&profile, 9, at(0)).calls, 4);
        for n in 0..5 {
            gates.report(&profile.id, of(n, Came::Nothing), &Middle, at(0));
        }
        assert_eq!(gates.admit(&profile, 1, at(2_000)).calls, 1);
        gates.put_back(&profile, 1);
        assert_eq!(gates.admit(&profile, 1, at(2_000)).calls, 1, "nobody has tried yet whether it is back");
        gates.put_back(&profile, 0);
        assert_eq!(gates.admit(&profile, 1, at(2_000)).calls, 0);
    }

    #[test]
    fn single_failures_among_answers_open_nothing() {
        let (gates, profile) = (Gates::default(), profile(100));
        for n in 0..20 {
            gates.admit(&profile, 1, at(0));
            gates.report(&profile.id, of(n, Came::Nothing), &Middle, at(0));
            gates.report(&profile.id, of(n, Came::Answer), &Middle, at(0));
        }
        assert!(gates.admit(&profile, 1, at(100)).calls == 1);
    }

    #[test]
    fn one_poisoned_payment_keeps_nobody_from_being_paid() {
        let (gates, profile) = (Gates::default(), profile(100));
        for second in 0..50 {
            assert_eq!(gates.admit(&profile, 9, at(second * 1_000)).calls, 9);
            gates.report(&profile.id, of(7, Came::Nothing), &Middle, at(second * 1_000));
        }
    }

    #[test]
    fn a_rail_that_blames_us_or_asks_for_time_pauses() {
        let (gates, profile) = (Gates::default(), profile(100));
        gates.admit(&profile, 2, at(0));
        assert!(gates.report(&profile.id, of(1, Came::Blame), &Middle, at(0)), "it is told once");
        assert!(!gates.report(&profile.id, of(1, Came::Blame), &Middle, at(0)));
        assert_eq!(gates.admit(&profile, 1, at(59_000)), Admitted { calls: 0, again_at: at(60_000) });
        assert_eq!(gates.admit(&profile, 1, at(60_000)).calls, 1);
        gates.report(&profile.id, of(1, Came::Answer), &Middle, at(60_000));
        gates.report(&profile.id, of(1, Came::NotBefore(Duration::from_secs(7))), &Middle, at(60_000));
        assert_eq!(gates.admit(&profile, 1, at(60_000)), Admitted { calls: 0, again_at: at(67_000) });
    }
}
