//! What releases are booked on is kept for a moment, as mostly the next release of a project is booked on the same. It is
//! not asked whether it still holds: the commit finds out, in the statement or transaction that books (`at_once`, `commit`),
//! by the notes that whoever changes a fact leaves (`migration::m0011_facts`). So nobody is booked on what had been changed before they
//! asked, and a release that is refused for that reason is decided again on what is read then.
//!
//! Counters that exist are never kept: releases themselves move them.

use super::{bulk, dialect::Dialect, kept::Write};
use app::{
    change::Change,
    ports::repository::{Basis, InForce, Moment, Wanted},
};
use domain::timestamp::Timestamp;
use sea_orm::{ConnectionTrait, DbErr};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// For so long something is kept: the time goes by the clock of this machine meanwhile. Notes are kept for longer, and
/// so long that whoever waits to be committed is done before.
const KEPT_MAX: Duration = Duration::from_secs(10);
/// For so long nothing is kept after a fact was changed: while many are, each would have releases decided twice.
const REST: Duration = Duration::from_secs(1);
/// So many recipients and counters are kept of all projects together.
const NAMES_MAX: usize = 16_384;

/// What was read, by what was wanted.
#[derive(Default)]
pub(super) struct Recall(Mutex<State>);

#[derive(Default)]
struct State {
    kept: HashMap<Wanted, Arc<Kept>>,
    names: usize,
    rests_until: Option<Instant>,
}

struct Kept {
    basis: Basis,
    moment: Moment,
    read_at: Instant,
    /// From then on another version of the model may be in force.
    coming: Option<Timestamp>,
}

impl Recall {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, with the time that it is by now.
    pub(super) fn find(&self, wanted: &Wanted, at: Instant) -> Option<Basis> {
        if !wanted.may_be_recalled {
            return None;
        }
        let kept = self.state().kept.get(wanted).cloned()?;
        kept.after(at.saturating_duration_since(kept.read_at))
    }

    /// What was read as of a moment, and from when on another version of the model may be in force; it was there at
    /// `read_at`.
    pub(super) fn keep(
        &self,
        wanted: &Wanted,
        basis: &Basis,
        (moment, coming): (Moment, Option<Timestamp>),
        read_at: Instant,
    ) {
        let names = wanted.recipients.len() + wanted.counters.len();
        let is_of_use = wanted.as_of.is_none() && names > 0 && basis.counters.is_empty();
        if !is_of_use || !matches!(basis.in_force, InForce::Version(_)) {
            return;
        }
        let mut state = self.state();
        if state.rests_until.is_some_and(|until| read_at < until) {
            return;
        }
        if state.names + names > NAMES_MAX {
            // What is asked for most is soon known again.
            *state = State::default();
        }
        let kept = Arc::new(Kept { basis: basis.clone(), moment, read_at, coming });
        let wanted = Wanted { may_be_recalled: true, ..wanted.clone() };
        if state.kept.insert(wanted, kept).is_none() {
            state.names += names;
        }
    }

    /// A fact was changed, as was noticed at that instant.
    pub(super) fn forget(&self, at: Instant) {
        *self.state() = State { rests_until: Some(at + REST), ..State::default() };
    }
}

impl Kept {
    fn after(&self, since: Duration) -> Option<Basis> {
        // SQLite knows no less than a millisecond: what is due now must not be due only in the next one.
        let now = self.basis.now.after(since - Duration::from_nanos(u64::from(since.subsec_nanos() % 1_000_000)));
        let InForce::Version(version) = &self.basis.in_force else { return None };
        let holds = version.is_in_force(now) && self.coming.is_none_or(|coming| now < coming);
        (since < KEPT_MAX && holds).then(|| Basis { now, recalled: Some(self.moment.clone()), ..self.basis.clone() })
    }
}

/// What changes recalled.
pub(super) struct Recalled<'a> {
    /// Mostly all of them recalled the same: each moment once.
    pub(super) moments: Vec<&'a Moment>,
    /// The place of each change that did, and its moment's, from 1, as the database counts.
    pub(super) by: Vec<(usize, usize)>,
}

impl<'a> Recalled<'a> {
    pub(super) fn of(group: &[&'a Change]) -> Self {
        let recalled =
            || group.iter().enumerate().filter_map(|(place, change)| Some((place, change.recalled.as_ref()?)));
        let mut moments: Vec<&Moment> = recalled().map(|(_, moment)| moment).collect();
        moments.sort();
        moments.dedup();
        let by = recalled().map(|(place, moment)| (place, 1 + moments.partition_point(|one| *one < moment))).collect();
        Self { moments, by }
    }

    /// The places of those changes that recalled what was changed since.
    pub(super) async fn outdated(self, write: &Write<'_>, dialect: Dialect) -> Result<Vec<usize>, DbErr> {
        if self.moments.is_empty() {
            return Ok(Vec::new());
        }
        let gone = match dialect {
            Dialect::Sqlite => {
                let rows =
                    write.query_all_raw(dialect.statement("SELECT CAST(changes AS TEXT) FROM fact_notes", [])).await?;
                let now: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
                let gone = self.moments.iter().zip(1..).filter(|(moment, _)| !now.contains(&moment.0));
                gone.map(|(_, place)| place).collect()
            }
            Dialect::Postgres => {
                let moments = self.moments.iter().map(|moment| vec![moment.0.as_str().into()]).collect();
                let source = bulk::source(dialect, moments)?;
                let sql = format!("SELECT UNNEST(moments_gone(ARRAY({})))", source.sql);
                let rows = write.query_all_raw(dialect.statement(&sql, source.values)).await?;
                rows.iter().map(|row| row.try_get_by_index::<i64>(0)).collect::<Result<Vec<_>, _>>()?
            }
        };
        let is_gone = |moment: usize| i64::try_from(moment).is_ok_and(|moment| gone.contains(&moment));
        Ok(self.by.into_iter().filter(|(_, moment)| is_gone(*moment)).map(|(place, _)| place).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use app::ports::repository::StoredCounter;
    use domain::counter::CounterKey;
    use domain::revenue_model::{ModelHash, ModelSpec, ModelStatus, ModelVersion};

    fn at_second(second: i64) -> Timestamp {
        Timestamp::from_unix_micros(second * 1_000_000)
    }

    fn wanted(recipients: usize) -> Wanted {
        let recipients = (0..recipients).map(|number| format!("rec_{number}").parse().unwrap()).collect();
        Wanted {
            project: "prj_1".parse().unwrap(),
            as_of: None,
            recipients,
            counters: Vec::new(),
            may_be_recalled: true,
        }
    }

    /// Read at second 100; the version is in force until `until`.
    fn basis(until: Option<i64>) -> Basis {
        let version = ModelVersion {
            project: "prj_1".parse().unwrap(),
            version: 1,
            status: ModelStatus::Active,
            effective_from: at_second(50),
            effective_to: until.map(at_second),
            spec: ModelSpec::default(),
            hash: ModelHash::of([1; 32]),
            created_by: "usr_1".parse().unwrap(),
            created_at: at_second(50),
        };
        let in_force = InForce::Version(Box::new(version));
        Basis { now: at_second(100), in_force, policy: None, recipients: vec![], counters: vec![], recalled: None }
    }

    fn kept(basis: &Basis, coming: Option<i64>) -> (Recall, Instant) {
        let (recall, at) = (Recall::default(), Instant::now());
        recall.keep(&wanted(2), basis, (Moment("m".to_owned()), coming.map(at_second)), at);
        (recall, at)
    }

    #[test]
    fn what_was_read_is_known_for_a_moment_as_of_later() {
        let (recall, at) = kept(&basis(None), None);
        let found = recall.find(&wanted(2), at + Duration::from_secs(9)).unwrap();
        assert_eq!(found, Basis { now: at_second(109), recalled: Some(Moment("m".to_owned())), ..basis(None) });
        let found = recall.find(&wanted(2), at + Duration::from_micros(2_900)).unwrap();
        assert_eq!(found.now, at_second(100).after(Duration::from_millis(2)), "in whole milliseconds");
        assert_eq!(recall.find(&wanted(2), at + KEPT_MAX), None);
        assert_eq!(recall.find(&wanted(3), at), None, "somebody else is wanted, too");
        assert_eq!(recall.find(&Wanted { may_be_recalled: false, ..wanted(2) }, at), None);
        assert_eq!(recall.find(&Wanted { as_of: Some(at_second(100)), ..wanted(2) }, at), None);
    }

    #[test]
    fn time_alone_may_bring_another_version() {
        let is_known = |(recall, at): &(Recall, Instant), after| {
            recall.find(&wanted(2), *at + Duration::from_secs(after)).is_some()
        };
        for kept in [kept(&basis(Some(103)), None), kept(&basis(None), Some(103))] {
            assert!(is_known(&kept, 2) && !is_known(&kept, 3));
        }
    }

    #[test]
    fn what_others_move_and_what_is_not_there_is_not_kept() {
        let key = CounterKey::carried(&"rec_0".parse().unwrap(), "USD".parse().unwrap());
        let counter = StoredCounter { key, value: 0, revision: 1 };
        for basis in [
            Basis { counters: vec![counter], ..basis(None) },
            Basis { in_force: InForce::Nothing, ..basis(None) },
            Basis { in_force: InForce::ProjectUnknown, ..basis(None) },
        ] {
            let (recall, at) = kept(&basis, None);
            assert_eq!(recall.find(&wanted(2), at), None);
        }
    }

    #[test]
    fn after_a_change_all_of_it_is_forgotten_and_nothing_kept_for_a_while() {
        let (recall, at) = kept(&basis(None), None);
        recall.forget(at);
        assert_eq!(recall.find(&wanted(2), at), None);
        for (after, is_kept) in [(Duration::ZERO, false), (REST, true)] {
            recall.keep(&wanted(2), &basis(None), (Moment("n".to_owned()), None), at + after);
            assert_eq!(recall.find(&wanted(2), at + after).is_some(), is_kept);
        }
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let (recall, at) = kept(&basis(None), None);
        for number in 0..300 {
            let wanted = Wanted { project: format!("prj_{number}").parse().unwrap(), ..wanted(100) };
            recall.keep(&wanted, &basis(None), (Moment("m".to_owned()), None), at);
            assert!(recall.find(&wanted, at).is_some());
            let state = recall.state();
            assert!(state.names <= NAMES_MAX && state.kept.len() <= state.names);
        }
    }
}
