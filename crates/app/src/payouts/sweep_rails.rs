//! The rails are asked what they know, because we may know less: a failover, or a backup that was restored, loses what was
//! committed last, and what was sent by then moves money all the same.
//!
//! What a rail says is taken as a notification is: it is written down once by its name, moves what it is about, and raises
//! an alarm if it is about nothing of ours. So a sweep that is made again, or by two at once, changes nothing more.

use super::receive_notification::{Ears, ReceiveError, ordered, take};
use crate::ports::{
    Clock, PayoutRail,
    rail::{About, RailDown, RailEvent},
};
use domain::{recipient::RailId, timestamp::Timestamp};

/// What a rail told.
#[derive(Debug)]
pub struct Swept {
    /// Which rail.
    pub rail: RailId,
    /// So many sayings were looked at.
    pub sayings: u64,
    /// So many of them were new to us.
    pub taken: u64,
    /// Those of payments that have no row here, whether that was known before or not.
    pub unknown: Vec<RailEvent>,
    /// Why it ended too early, if it did.
    pub stopped: Option<SweepError>,
}

/// Why not everything that a rail knows was looked at.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The rail cannot be asked.
    #[error(transparent)]
    Rail(#[from] RailDown),
    /// What it said cannot be taken.
    #[error(transparent)]
    Take(#[from] ReceiveError),
}

/// Asks every rail what it was asked to do since then. One that cannot be asked keeps no other from it.
pub async fn sweep_rails(ears: Ears<'_>, clock: &dyn Clock, since: Timestamp) -> Vec<Swept> {
    let mut all = Vec::new();
    for rail in ears.rails.all() {
        let (rail, id) = (rail.as_ref(), rail.profile().id);
        let mut swept = Swept { rail: id, sayings: 0, taken: 0, unknown: Vec::new(), stopped: None };
        swept.stopped = sweep(ears, clock, rail, since, &mut swept).await.err();
        all.push(swept);
    }
    all
}

async fn sweep(
    ears: Ears<'_>,
    clock: &dyn Clock,
    rail: &dyn PayoutRail,
    since: Timestamp,
    swept: &mut Swept,
) -> Result<(), SweepError> {
    let (profile, mut cursor) = (rail.profile(), None);
    loop {
        let page = rail.list(since, cursor.clone()).await?;
        let now = clock.now().await.map_err(ReceiveError::from)?;
        for event in page.events {
            swept.sayings += 1;
            swept.taken += u64::from(take(ears, &profile, &event, now).await?);
            let is_payment = !matches!(event.about, About::Destination(_));
            if is_payment && ordered(ears, &profile, &event).await.map_err(ReceiveError::from)?.is_none() {
                swept.unknown.push(event);
            }
        }
        match page.next {
            None => return Ok(()),
            next if next == cursor => return Err(RailDown("its list does not go on".to_owned()).into()),
            next => cursor = next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{Counting, Middle, Still, down, now, rail},
        ports::{
            Rails,
            rail::{Listed, MockPayoutRail, Seen},
            repository::MockPayoutRepository,
        },
    };
    use domain::event::EventKind;
    use std::sync::{Arc, Mutex};

    fn settled(name: &str) -> RailEvent {
        RailEvent::answered(name, Seen::Settled { reference: None }, None, b"raw")
    }

    /// A rail of which each page of the list is one saying.
    fn listing(id: &str, names: &'static [&'static str]) -> MockPayoutRail {
        let mut rail = rail(id, true);
        rail.expect_list().returning(move |since, cursor| {
            assert_eq!(since, now());
            let place: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
            let next = (place + 1 < names.len()).then(|| (place + 1).to_string());
            Ok(Listed { events: names.get(place).map(|name| settled(name)).into_iter().collect(), next })
        });
        rail
    }

    /// Nothing is ours, and what was said is remembered. Answers with it how many alarms were raised.
    fn forgetful() -> (MockPayoutRepository, Arc<Mutex<u32>>) {
        let (said, alarms) = (Arc::new(Mutex::new(Vec::<String>::new())), Arc::new(Mutex::new(0)));
        let mut repository = MockPayoutRepository::new();
        repository.expect_instruction_of().returning(|_, _| Ok(None));
        let known = Arc::clone(&said);
        repository.expect_taken_events().returning(move |_, names| {
            let known = known.lock().unwrap();
            Ok(names.iter().filter(|name| known.contains(name)).cloned().collect())
        });
        let raised = Arc::clone(&alarms);
        repository.expect_commit().returning(move |change| {
            assert!(change.publish.iter().all(|event| event.kind == EventKind::Alarm));
            *raised.lock().unwrap() += u32::try_from(change.publish.len()).unwrap();
            let names = change.insert.iter().filter_map(|new| match new {
                crate::change::New::RailEvent(taken) => Some(taken.event.dedupe.clone()),
                _ => None,
            });
            said.lock().unwrap().extend(names);
            Ok(())
        });
        (repository, alarms)
    }

    async fn swept(repository: &MockPayoutRepository, all: Vec<MockPayoutRail>) -> Vec<Swept> {
        let mut all = all.into_iter().map(|rail| Arc::new(rail) as Arc<dyn PayoutRail>);
        let rails = Rails::new(all.next().unwrap(), all);
        let ids = Counting::default();
        sweep_rails(Ears { repository, rails: &rails, ids: &ids, dice: &Middle }, &Still, now()).await
    }

    #[tokio::test]
    async fn what_has_no_row_here_raises_its_alarm_once_and_is_named_each_time() {
        let (repository, alarms) = forgetful();
        for (turn, taken) in [(1, 3), (2, 0)] {
            let all = swept(&repository, vec![listing("simulator", &["W1", "W2", "W3"])]).await;
            let names: Vec<&str> = all[0].unknown.iter().map(|event| event.dedupe.as_str()).collect();
            assert_eq!(names, ["W1/settled", "W2/settled", "W3/settled"], "turn {turn}");
            assert_eq!((all[0].sayings, all[0].taken, all[0].stopped.is_none()), (3, taken, true), "turn {turn}");
            assert_eq!(*alarms.lock().unwrap(), 3);
        }
    }

    #[tokio::test]
    async fn a_rail_that_cannot_be_asked_keeps_no_other_from_it() {
        let mut dead = rail("dead", true);
        dead.expect_list().returning(|_, _| Err(RailDown("no answer".to_owned())));
        let mut stuck = rail("stuck", true);
        stuck.expect_list().times(2).returning(|_, _| Ok(Listed { events: Vec::new(), next: Some("1".to_owned()) }));
        let (repository, _) = forgetful();
        let all = swept(&repository, vec![dead, listing("lively", &["W1"]), stuck]).await;
        let told: Vec<_> = all.iter().map(|one| (one.rail.as_str(), one.sayings, one.stopped.is_some())).collect();
        assert_eq!(told, [("dead", 0, true), ("lively", 1, false), ("stuck", 0, true)]);
    }

    #[tokio::test]
    async fn what_was_looked_at_before_the_store_failed_is_told() {
        let mut repository = MockPayoutRepository::new();
        repository.expect_taken_events().returning(|_, _| Err(down()));
        let all = swept(&repository, vec![listing("simulator", &["W1", "W2"])]).await;
        assert!(matches!(all[0].stopped, Some(SweepError::Take(_))));
        assert_eq!((all[0].sayings, all[0].taken), (1, 0));
    }
}
