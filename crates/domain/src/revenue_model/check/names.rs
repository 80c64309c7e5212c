//! Who is paid and what is counted: each once, known by its place from then on.

use crate::{
    ids::RecipientId,
    revenue_model::{Counted, StepKey},
};
use std::collections::{HashMap, hash_map::Entry};

#[derive(Default)]
pub(super) struct Names {
    pub(super) recipients: Vec<RecipientId>,
    pub(super) placeholders: Vec<bool>,
    pub(super) counted: Vec<Counted>,
    places: HashMap<RecipientId, usize>,
    counts: HashMap<Counted, usize>,
    keys: HashMap<StepKey, usize>,
}

impl Names {
    /// The recipient's place; a placeholder once is one everywhere.
    pub(super) fn who(&mut self, recipient: &RecipientId, placeholder: bool) -> usize {
        let place = match self.places.entry(recipient.clone()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.recipients.push(recipient.clone());
                self.placeholders.push(false);
                *new.insert(self.recipients.len() - 1)
            }
        };
        self.placeholders[place] |= placeholder;
        place
    }
    pub(super) fn known(&self, recipient: &RecipientId) -> Option<usize> {
        self.places.get(recipient).copied()
    }
    /// Where it is counted.
    pub(super) fn count(&mut self, counted: Counted) -> usize {
        *self.counts.entry(counted.clone()).or_insert_with(|| {
            self.counted.push(counted);
            self.counted.len() - 1
        })
    }
    /// The step that uses this key already, if another does.
    pub(super) fn claim_key(&mut self, key: &StepKey, step: usize) -> Option<usize> {
        let earlier = *self.keys.entry(key.clone()).or_insert(step);
        (earlier != step).then_some(earlier)
    }
}
