//! What is learned of payments, and what people and rails say of them.

use super::{History, PEOPLE};
use crate::contracts::sample::{approval, audited, first, fresh, insert, policy, proposal, read, said, taken, update};
use app::{
    change::{Change, New, PaidDestination, ResolutionState, Stored, Update},
    ports::{queries::AuditFilter, rail::Seen},
};
use domain::{
    ids::{InstructionId, ItemId, RecipientId},
    instruction::{Instruction, Outcome},
};

impl History<'_> {
    async fn some_instruction(&mut self) -> Option<Stored<Instruction>> {
        let id = self.random.of(&self.known.instructions)?;
        same!(self, repository.instruction(id))
    }

    /// Something becomes known of a part of an instruction, late or not, whatever became of its item.
    pub(super) async fn learn(&mut self) {
        let Some(found) = self.some_instruction().await else { return };
        let place = self.random.below(found.value.items.len());
        let part = found.value.items[place].clone();
        let words = Outcome::WORDS.map(|word| Outcome::of(word, None, Some("late".into())).unwrap());
        let higher: Vec<Outcome> = words.into_iter().filter(|word| word.rank() > part.outcome.rank()).collect();
        let Some(outcome) = self.random.of(&higher) else { return };
        let returned = i64::try_from(self.random.below(2)).unwrap();
        let learned = found.clone().try_map(|known| known.learn(part.item, outcome)).unwrap();
        let value = if self.random.one_in(3) { learned.value.not_sent() } else { learned.value };
        let value = value.came_back(part.item, returned);
        let revision = found.revision - u32::from(self.random.one_in(5));
        let recipient: RecipientId = read(PEOPLE[self.random.below(3)]);
        let at = self.one.now().await;
        let destination = [u8::try_from(self.random.below(4)).unwrap(); 32];
        let paid = New::PaidDestination(PaidDestination { recipient, destination, at });
        let audit = vec![audited("instruction.learn", at)];
        let update = vec![Update::Instruction(Stored { value, revision })];
        self.commit(Change { update, audit, insert: vec![paid], ..Change::default() }).await;
    }

    /// A rail says something, perhaps not for the first time.
    pub(super) async fn hear(&mut self) {
        let about = self.some_instruction().await.map(|found| found.value.id);
        let known = self.random.of(&self.known.said).filter(|_| self.random.one_in(2));
        let name = known.unwrap_or_else(|| format!("evt_{}", self.known.said.len()));
        let event = taken(said(&name, Seen::Recalled), about, self.one.now().await);
        self.commit(insert(New::RailEvent(event))).await;
        self.known.said.push(name);
    }

    /// Somebody approves a part of a batch, perhaps not for the first time.
    pub(super) async fn approve(&mut self) {
        let Some(id) = self.random.of(&self.known.batches) else { return };
        let found = self.one.load(id).await;
        let items: Vec<ItemId> = found.items.iter().map(|item| item.value.id).collect();
        let who = ["usr_ann", "usr_bob"][self.random.below(2)];
        let content = u8::try_from(self.random.below(2)).unwrap();
        let at = self.one.now().await;
        for _ in 0..2 {
            let given = approval(&found.batch.value, who, &items[..1], content, at);
            self.commit(insert(New::Approval(given))).await;
        }
        let mut batch = found.batch;
        batch.value.approvals.given += 1;
        batch.value.due_at = at;
        batch.revision -= u32::from(self.random.one_in(4));
        self.commit(update(Update::Batch(batch))).await;
    }

    pub(super) async fn set_a_policy(&mut self) {
        let version = u32::try_from(1 + self.random.below(6)).unwrap();
        self.commit(insert(New::Policy(policy(version, self.one.now().await)))).await;
    }

    /// Somebody says what became of a payment, and perhaps somebody else what is to become of that.
    pub(super) async fn resolve(&mut self) {
        let Some(found) = self.some_instruction().await else { return };
        let at = self.one.now().await;
        let item = found.value.items[0].item;
        let mut change = Change::default();
        if let Some(known) = same!(self, repository.proposed_resolution(item))
            && !self.random.one_in(4)
        {
            let mut decided = known;
            decided.value.state = match self.random.below(3) {
                0 => ResolutionState::Proposed,
                1 => ResolutionState::Confirmed { by: read("usr_bob"), at },
                _ => ResolutionState::Withdrawn { at },
            };
            change.update.push(Update::Resolution(decided));
        }
        if change.update.is_empty() || self.random.one_in(2) {
            change.insert.push(New::Resolution(proposal(&found.value, 0, at)));
        }
        self.commit(change).await;
    }

    pub(super) async fn look_at_what_was_said(&mut self) {
        let names = [self.random.of(&self.known.said), self.random.of(&self.known.said), Some("evt_none".to_owned())];
        let names: Vec<String> = names.into_iter().flatten().collect();
        same!(self, repository.taken_events(&read("simulator"), &names));
        same!(self, repository.recipients_paid_at(&read("simulator"), "none"));
        same!(self, repository.policy());
        same!(self, queries.policies(3));
        let people = PEOPLE.map(read);
        same!(self, repository.paid_destinations(&people));
        let after = self.random.of(&self.known.batches);
        same!(self, repository.batches_to_be_paid(after, 3));
        let action = Some("instruction.learn".to_owned());
        same!(self, queries.audit(AuditFilter { action: action.clone(), ..AuditFilter::default() }, first(5)));
        let unknown = InstructionId::new(fresh());
        same!(self, repository.instruction(unknown));
        let Some(found) = self.some_instruction().await else { return };
        let part = &found.value.items[0];
        same!(self, repository.instruction_of(&found.value.rail, &part.wire_ref));
        same!(self, repository.batch_of_item(part.item));
        same!(self, queries.item(part.item));
    }
}
