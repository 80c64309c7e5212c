//! What the last release of a project needed to know. Most likely the next one needs the same, and asks for all of it at
//! once; if it needs more, it asks again.

use domain::{
    counter::CounterKey,
    currency::Currency,
    ids::{ProjectId, RecipientId},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Of so many projects and currencies it is remembered.
const PROJECTS_MAX: usize = 1_024;
/// Whoever needs more than this asks as if nobody had asked before: nobody else is to wait for so much.
const NAMES_MAX: usize = 128;

/// Of each project and currency, as long as this process runs. Nothing depends on its being right.
#[derive(Debug, Default)]
pub struct Needs(Mutex<HashMap<(ProjectId, Currency), Arc<Need>>>);

/// Recipients and counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) recipients: Vec<RecipientId>,
    pub(crate) counters: Vec<CounterKey>,
}

impl Need {
    pub(crate) fn covers_recipients(&self, needed: &[RecipientId]) -> bool {
        // Mostly they are the same, in the same order.
        self.recipients == needed || needed.iter().all(|one| self.recipients.contains(one))
    }

    pub(crate) fn covers_counters(&self, needed: &[CounterKey]) -> bool {
        self.counters == needed || needed.iter().all(|one| self.counters.contains(one))
    }
}

impl Needs {
    /// What the last release needed; nothing, if that is not known.
    pub(crate) fn of(&self, project: &ProjectId, currency: Currency) -> Arc<Need> {
        let needs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        needs.get(&(project.clone(), currency)).cloned().unwrap_or_default()
    }

    /// A release needed this.
    pub(crate) fn remember(&self, project: &ProjectId, currency: Currency, need: &Need) {
        let mut needs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (project.clone(), currency);
        if needs.get(&key).is_some_and(|known| **known == *need) {
            return;
        }
        if need.recipients.len() + need.counters.len() > NAMES_MAX {
            needs.remove(&key);
            return;
        }
        if needs.len() >= PROJECTS_MAX && !needs.contains_key(&key) {
            // Whoever comes next is soon known again.
            needs.clear();
        }
        needs.insert(key, Arc::new(need.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(recipients: usize) -> Need {
        let recipients = (0..recipients).map(|number| format!("rec_{number}").parse().unwrap()).collect();
        Need { recipients, counters: Vec::new() }
    }

    #[test]
    fn the_last_need_of_each_is_remembered_unless_it_is_large() {
        let needs = Needs::default();
        let (one, other, usd) = ("prj_1".parse().unwrap(), "prj_2".parse().unwrap(), "USD".parse().unwrap());
        assert_eq!(*needs.of(&one, usd), Need::default());
        needs.remember(&one, usd, &need(1));
        needs.remember(&one, usd, &need(2));
        assert_eq!((&*needs.of(&one, usd), &*needs.of(&other, usd)), (&need(2), &Need::default()));
        assert_eq!(*needs.of(&one, "EUR".parse().unwrap()), Need::default());
        needs.remember(&one, usd, &need(NAMES_MAX + 1));
        assert_eq!(*needs.of(&one, usd), Need::default());
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let (needs, usd) = (Needs::default(), "USD".parse().unwrap());
        for number in 0..=PROJECTS_MAX {
            needs.remember(&format!("prj_{number}").parse().unwrap(), usd, &need(1));
        }
        assert_eq!(needs.0.lock().unwrap().len(), 1);
    }
}
