//! A change is checked as a whole before any of it is applied: so there is nothing to take back.

use super::{
    jobs::JobRow,
    keys::{Key, occupied_by, owners_of, proposed_by, taken_by},
    outbox::Pending,
    world::World,
};
use app::{
    change::{Change, New, Resolution, ResolutionState, Stored, Update},
    job::LeaseStep,
    ports::{CommitError, StoreError},
};
use domain::{instruction::Instruction, recipient::Recipient};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    /// Applies all of a change, or none of it.
    pub(super) fn commit(&mut self, change: Change) -> Result<(), CommitError> {
        self.check_lease(&change)?;
        self.check_claim(&change)?;
        self.check_revisions(&change)?;
        let keys = self.check_keys(&change)?;
        self.check_owners(&change, &keys)?;
        check_second_person(&change)?;
        self.check_counters(&change)?;
        self.check_idempotency_key(&change)?;
        self.apply(change);
        self.keys = keys.applied_to(std::mem::take(&mut self.keys));
        Ok(())
    }

    fn check_lease(&self, change: &Change) -> Result<(), CommitError> {
        let Some(lease) = change.lease.as_ref().map(LeaseStep::lease) else { return Ok(()) };
        let held = self.jobs.get(&lease.job).is_some_and(|job| job.is_held(lease.attempt, self.now));
        if held { Ok(()) } else { Err(CommitError::LeaseLost) }
    }

    fn check_revisions(&self, change: &Change) -> Result<(), CommitError> {
        let mut seen = BTreeSet::new();
        let current = change.update.iter().all(|update| {
            let (key, found, read) = match update {
                Update::Batch(new) => (Key::Batch(new.value.id), revision(&self.batches, &new.value.id), new.revision),
                Update::Item(new) => (Key::Item(new.value.id), revision(&self.items, &new.value.id), new.revision),
                Update::Instruction(new) => {
                    let id = new.value.id;
                    (Key::Instruction(id), revision(&self.instructions, &id), new.revision)
                }
                Update::Recipient(new) => {
                    let id = &new.value.id;
                    (Key::Recipient(id.clone()), revision(&self.recipients, id), new.revision)
                }
                Update::Resolution(new) => {
                    let id = new.value.id;
                    (Key::Resolution(id), revision(&self.resolutions, &id), new.revision)
                }
            };
            // Whoever writes a row twice in one change read it before the first of the two.
            found == Some(read) && seen.insert(key)
        });
        let counted = self.counters_are_as_read(&change.count);
        if current && counted { Ok(()) } else { Err(CommitError::Stale) }
    }

    fn check_keys(&self, change: &Change) -> Result<Keys, CommitError> {
        let mut keys = Keys::default();
        let mut wanted = Vec::new();
        for update in &change.update {
            match update {
                Update::Instruction(new) => {
                    if let Some(old) = self.instructions.get(&new.value.id) {
                        keys.freed.extend(occupied_by(&old.value));
                        wanted.extend(occupied_by(&learned(&old.value, &new.value)));
                    }
                }
                Update::Resolution(new) => {
                    if let Some(old) = self.resolutions.get(&new.value.id) {
                        keys.freed.extend(proposed_by(&old.value));
                        wanted.extend(proposed_by(&decided(&old.value, &new.value)));
                    }
                }
                Update::Batch(_) | Update::Item(_) | Update::Recipient(_) => {}
            }
        }
        wanted.extend(taken_by(change));
        for key in wanted {
            let is_free = !self.keys.contains(&key) || keys.freed.contains(&key);
            if !is_free || !keys.taken.insert(key.clone()) {
                return Err(CommitError::Duplicate(key.refusal()));
            }
        }
        Ok(keys)
    }

    /// What a row belongs to is there, or comes with it.
    fn check_owners(&self, change: &Change, keys: &Keys) -> Result<(), CommitError> {
        let movers = change.count.iter().filter(|count| count.add != 0).map(|count| Key::Batch(count.cause.batch));
        for owner in change.insert.iter().flat_map(owners_of).chain(movers) {
            if !self.keys.contains(&owner) && !keys.taken.contains(&owner) {
                return Err(StoreError::Corrupt(format!("a row belongs to {owner:?}, which does not exist")).into());
            }
        }
        Ok(())
    }

    fn check_counters(&self, change: &Change) -> Result<(), CommitError> {
        let too_large = || StoreError::Corrupt("a counter would be larger than it can be".to_owned());
        if self.counters_fit(&change.count) { Ok(()) } else { Err(too_large().into()) }
    }

    fn apply(&mut self, change: Change) {
        let Change { insert, update, count, post, enqueue, wake, publish, audit, recalled: _, remember, lease } =
            change;
        update.into_iter().for_each(|update| self.update(update));
        insert.into_iter().for_each(|new| self.insert(new));
        count.into_iter().for_each(|count| self.move_counter(count));
        self.transactions.extend(post.into_iter().map(|transaction| (transaction.id(), transaction)));
        self.jobs.extend(enqueue.into_iter().map(|job| (job.id, JobRow::new(job))));
        wake.into_iter().for_each(|job| self.wake(job));
        self.pending.extend(publish.into_iter().map(|event| (event.id, Pending::new(event))));
        self.audit.extend(audit.into_iter().map(|entry| (entry.id, entry)));
        if let Some(remember) = remember {
            self.remember(remember);
        }
        if let Some(step) = lease {
            self.step_lease(step);
        }
    }

    fn insert(&mut self, new: New) {
        match new {
            New::Batch(batch) => {
                if let Some(escrow) = batch.escrow() {
                    self.by_escrow.insert(escrow.clone(), batch.id);
                }
                self.batches.insert(batch.id, first(batch));
            }
            New::Item(item) => {
                self.places.insert((item.batch, item.seq), item.id);
                self.items.insert(item.id, first(item));
            }
            New::Instruction(instruction) => {
                self.instructions_of.insert((instruction.batch, instruction.id));
                let names = instruction.items.iter().map(|part| (part.wire_ref.clone(), instruction.id));
                self.by_wire_ref.extend(names);
                self.instructions.insert(instruction.id, first(instruction));
            }
            New::ModelVersion(version) => {
                self.models.insert((version.project.clone(), version.version), version);
            }
            New::Recipient(recipient) => {
                self.recipients.insert(recipient.id.clone(), first(recipient));
            }
            New::Line(line) => {
                self.lines.insert((line.batch, line.seq), line);
            }
            New::Inputs(inputs) => {
                self.inputs.insert(inputs.batch, inputs);
            }
            New::Reversal(reversal) => {
                self.reversals.insert(reversal.id.clone(), reversal);
            }
            New::ReversalLine(line) => {
                self.reversal_lines.insert((line.reversal.clone(), line.seq), line);
            }
            New::Source(source) => {
                self.sources.insert((source.reversal.clone(), source.seq), source);
            }
            New::Escheat(escheat) => {
                self.escheats.insert(escheat.item, escheat);
            }
            New::RailEvent(taken) => {
                self.rail_events.insert((taken.rail.clone(), taken.event.dedupe.clone()), *taken);
            }
            New::Approval(approval) => {
                let key = (approval.batch(), approval.at(), approval.approver().clone(), approval.hash());
                self.approvals.insert(key, approval);
            }
            New::Policy(policy) => {
                self.policies.insert(policy.version, policy);
            }
            New::PaidDestination(paid) => {
                self.paid_destinations.entry((paid.recipient.clone(), paid.destination)).or_insert(paid);
            }
            New::Resolution(resolution) => {
                self.resolutions.insert(resolution.id, first(resolution));
            }
        }
    }

    /// Only what may change is taken over: the rest of a row stays as it was written first.
    fn update(&mut self, update: Update) {
        match update {
            Update::Batch(Stored { value: new, .. }) => rewrite(&mut self.batches, &new.id, |old| {
                old.due_at = new.due_at;
                old.approvals = new.approvals;
                old.status = new.status;
                old.updated_at = new.updated_at;
            }),
            Update::Item(Stored { value: new, .. }) => rewrite(&mut self.items, &new.id, |old| {
                old.attempts = new.attempts;
                old.retries = new.retries;
                old.not_before = new.not_before;
                old.reversed_minor = new.reversed_minor;
                old.taken_minor = new.taken_minor;
                old.updated_at = new.updated_at;
                *old = old.clone().in_state(new.state().clone());
            }),
            Update::Instruction(Stored { value: new, .. }) => rewrite(&mut self.instructions, &new.id, |old| {
                *old = learned(old, &new);
            }),
            Update::Recipient(Stored { value: new, .. }) => rewrite(&mut self.recipients, &new.id, |old| {
                *old = Recipient { created_at: old.created_at, ..new.clone() };
            }),
            Update::Resolution(Stored { value: new, .. }) => rewrite(&mut self.resolutions, &new.id, |old| {
                *old = decided(old, &new);
            }),
        }
    }
}

/// An instruction as it is known now. What it orders stays as it was written first.
fn learned(old: &Instruction, new: &Instruction) -> Instruction {
    let mut now = Instruction {
        tries: new.tries,
        first_sent_at: new.first_sent_at,
        last_sent_at: new.last_sent_at,
        ..old.clone()
    };
    for part in &mut now.items {
        if let Some(known) = new.item(part.item) {
            part.outcome = known.outcome.clone();
            part.returned_minor = known.returned_minor;
        }
    }
    now
}

/// A resolution of which it is decided what becomes of it.
fn decided(old: &Resolution, new: &Resolution) -> Resolution {
    Resolution { state: new.state.clone(), ..old.clone() }
}

/// Whoever proposed a resolution does not confirm it.
fn check_second_person(change: &Change) -> Result<(), CommitError> {
    let updated = change.update.iter().filter_map(|update| match update {
        Update::Resolution(new) => Some(&new.value),
        Update::Batch(_) | Update::Item(_) | Update::Instruction(_) | Update::Recipient(_) => None,
    });
    let inserted = change.insert.iter().filter_map(|new| {
        let New::Resolution(resolution) = new else { return None };
        Some(resolution)
    });
    let alone = |resolution: &Resolution| match &resolution.state {
        ResolutionState::Confirmed { by, .. } => *by == resolution.proposed_by,
        ResolutionState::Proposed | ResolutionState::Withdrawn { .. } => false,
    };
    match updated.chain(inserted).find(|resolution| alone(resolution)) {
        Some(found) => Err(StoreError::Corrupt(format!("{} is confirmed by who proposed it", found.id)).into()),
        None => Ok(()),
    }
}

/// What a change gives back, and what it takes.
#[derive(Default)]
struct Keys {
    freed: BTreeSet<Key>,
    taken: BTreeSet<Key>,
}

impl Keys {
    fn applied_to(self, mut keys: BTreeSet<Key>) -> BTreeSet<Key> {
        for key in &self.freed {
            keys.remove(key);
        }
        keys.extend(self.taken);
        keys
    }
}

fn first<T>(value: T) -> Stored<T> {
    Stored { value, revision: 1 }
}

fn revision<K: Ord, T>(rows: &BTreeMap<K, Stored<T>>, key: &K) -> Option<u32> {
    rows.get(key).map(|row| row.revision)
}

fn rewrite<K: Ord, T>(rows: &mut BTreeMap<K, Stored<T>>, key: &K, change: impl FnOnce(&mut T)) {
    if let Some(row) = rows.get_mut(key) {
        change(&mut row.value);
        row.revision += 1;
    }
}
