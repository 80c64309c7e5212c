//! How often one subject may ask: a bucket of requests for each, as many as it may make in a second, that fills in one.
//!
//! A bucket that is full again says nothing, so it is forgotten: what is kept are the subjects of the last two seconds,
//! and each of them is named by a token under our key. Each process counts for itself.

use super::problem::{Answer, Problem};
use app::ports::Clock;
use domain::ids::Requester;
use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What a bucket fills in, and how often those that are full are looked for.
const SECOND: Duration = Duration::from_secs(1);

/// The limit, and who has asked. Cheap to clone.
#[derive(Clone)]
pub struct RateLimit(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    buckets: Mutex<Buckets>,
}

impl RateLimit {
    /// So many requests in a second.
    pub fn new(a_second: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        let buckets = Mutex::new(Buckets::new(a_second));
        Self(Arc::new(Inner { clock, buckets }))
    }

    /// Takes a request out of the subject's bucket.
    ///
    /// # Errors
    /// If there is none in it.
    pub fn admit(&self, subject: &Requester) -> Answer<()> {
        let now = self.0.clock.steady();
        let mut buckets = self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.take(subject, now) { Ok(()) } else { Err(Problem::RateLimited.into()) }
    }
}

struct Buckets {
    /// What one request takes out, as time that it takes to come back.
    one: Duration,
    /// When the bucket of each is full again. Whoever is not here has a full one.
    full_at: HashMap<Requester, Duration>,
    forgot_at: Duration,
}

impl Buckets {
    fn new(a_second: NonZeroU32) -> Self {
        Self { one: SECOND / a_second.get(), full_at: HashMap::new(), forgot_at: Duration::ZERO }
    }

    fn take(&mut self, subject: &Requester, now: Duration) -> bool {
        if now >= self.forgot_at + SECOND {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.forgot_at = now;
        }
        let known = self.full_at.get_mut(subject);
        let full_at = known.as_deref().map_or(now, |full_at| now.max(*full_at)) + self.one;
        if full_at > now + SECOND {
            return false;
        }
        match known {
            Some(known) => *known = full_at,
            None => drop(self.full_at.insert(subject.clone(), full_at)),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(a_second: u32) -> Buckets {
        Buckets::new(NonZeroU32::new(a_second).unwrap())
    }

    fn taken(buckets: &mut Buckets, subject: &str, at_ms: u64, times: usize) -> usize {
        let subject = subject.parse().unwrap();
        (0..times).filter(|_| buckets.take(&subject, Duration::from_millis(at_ms))).count()
    }

    #[test]
    fn a_bucket_holds_a_second_and_fills_in_one() {
        let mut buckets = buckets(4);
        assert_eq!(taken(&mut buckets, "usr_ann", 5_000, 9), 4);
        assert_eq!(taken(&mut buckets, "usr_ann", 5_249, 9), 0);
        assert_eq!(taken(&mut buckets, "usr_ann", 5_250, 9), 1);
        assert_eq!(taken(&mut buckets, "usr_ann", 5_999, 9), 2);
        // What was not used does not add up.
        assert_eq!(taken(&mut buckets, "usr_ann", 60_000, 9), 4);
    }

    #[test]
    fn what_is_refused_takes_nothing() {
        let mut buckets = buckets(1);
        assert_eq!(taken(&mut buckets, "usr_ann", 0, 1_000), 1);
        assert_eq!(taken(&mut buckets, "usr_ann", 1_000, 1_000), 1);
    }

    #[test]
    fn each_subject_has_its_own() {
        let mut buckets = buckets(2);
        assert_eq!((taken(&mut buckets, "usr_ann", 0, 5), taken(&mut buckets, "usr_ben", 0, 5)), (2, 2));
    }

    #[test]
    fn no_second_sees_more_than_twice_the_limit() {
        let mut buckets = buckets(10);
        let admitted: Vec<u64> =
            (0..5_000).step_by(3).filter(|at| taken(&mut buckets, "usr_ann", *at, 1) == 1).collect();
        for start in &admitted {
            let within = admitted.iter().filter(|at| (*start..start + 1_000).contains(*at)).count();
            assert!(within <= 20, "{within} from {start} ms on");
        }
        assert!((50..=60).contains(&admitted.len()), "{}", admitted.len());
    }

    #[test]
    fn who_has_not_asked_for_a_while_is_forgotten() {
        let mut buckets = buckets(3);
        for number in 0..10_000 {
            assert_eq!(taken(&mut buckets, &format!("usr_{number}"), number, 1), 1);
        }
        assert!(buckets.full_at.len() <= 2_000, "{} are kept", buckets.full_at.len());
    }
}
