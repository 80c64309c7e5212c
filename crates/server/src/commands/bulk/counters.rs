//! What models count from release to release, kept while the file is read: as if every row were released after the one
//! before it.

use super::models::Models;
use domain::{counter::CounterKey, currency::Currency};
use std::collections::HashMap;

/// Every counter that was read so far; those that nobody has moved are zero.
#[derive(Default)]
pub(super) struct Counters {
    values: Vec<i64>,
    places: HashMap<CounterKey, usize>,
    /// The places of what a version counts in a currency, in the order in which the model counts it. Two versions of a
    /// project share what is named alike, and so do projects that recoup the same advance.
    of_version: HashMap<(usize, Currency), Vec<usize>>,
    counts: Vec<i64>,
}

impl Counters {
    /// What the version counted so far.
    pub(super) fn read(&mut self, models: &Models, version: usize, currency: Currency) -> &[i64] {
        let Self { values, places, of_version, counts } = self;
        let mine = of_version.entry((version, currency)).or_insert_with(|| {
            let known = &models.versions()[version];
            let (project, number) = (&known.written.project, known.written.version);
            let keys = known.model.counter_keys(project, number, currency).into_iter();
            keys.map(|key| {
                *places.entry(key).or_insert_with(|| {
                    values.push(0);
                    values.len() - 1
                })
            })
            .collect()
        });
        counts.clear();
        counts.extend(mine.iter().map(|place| values[*place]));
        counts
    }

    /// What it counted now.
    pub(super) fn write(&mut self, version: usize, currency: Currency, counts: &[i64]) {
        for (place, count) in self.of_version.get(&(version, currency)).into_iter().flatten().zip(counts) {
            self.values[*place] = *count;
        }
    }
}
