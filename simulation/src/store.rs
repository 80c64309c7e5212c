//! The store as a process has it: the memory store, and what can go wrong on the way there.

use crate::{
    actors::Api,
    bugs::{self, Bug},
    faults::Fault,
    laws::Law,
    world::{Who, World},
};
use app::{
    change::{BatchInputs, Change, PaidDestination, PolicyVersion, Resolution, Stored},
    job::{Claimed, Lease},
    payouts::act::Action,
    ports::{
        CommitError, JobQueue, Outbox, PayoutRepository, StoreError,
        repository::{Basis, BatchForExecution, BatchForReversal, InForce, Raise, StoredCounter, Wanted},
    },
};
use async_trait::async_trait;
use domain::{
    batch::{Batch, BatchLine},
    counter::CounterKey,
    event::Event,
    ids::{BatchId, EscrowId, EventId, InstructionId, ItemId, ProjectId, RecipientId, ReversalId},
    instruction::Instruction,
    recipient::{RailId, Recipient},
    revenue_model::ModelVersion,
    reversal::{Reversal, ReversalLine},
    timestamp::Timestamp,
};
use std::{sync::Arc, time::Duration};

/// The store as a process has it.
pub struct Store {
    /// The world.
    pub world: Arc<World>,
    /// The process.
    pub who: Who,
    /// Whose call it is: a number of its own for each request that books a release, or nothing.
    pub call: u64,
}

fn down() -> StoreError {
    StoreError::Unavailable("simulated".to_owned())
}

impl Store {
    async fn reach(&self) -> Result<(), StoreError> {
        self.world.kernel.sleep_up_to(Duration::from_millis(4)).await;
        if self.world.is_store_down() || self.world.happens(Fault::ReadFails) { Err(down()) } else { Ok(()) }
    }

    /// The store of a process.
    pub fn of(world: &Arc<World>, who: Who) -> Self {
        Self { world: world.clone(), who, call: 0 }
    }

    /// Before something is written outside of a commit.
    async fn reach_to_write(&self) -> Result<(), StoreError> {
        self.reach().await?;
        if self.world.is_store_read_only() { Err(down()) } else { Ok(()) }
    }
}

/// What is committed, and what the oracle says to that.
fn apply(world: &World, (who, call): (Who, u64), change: Change) -> Result<(), CommitError> {
    let before = world.oracle().before(world, &change);
    let done = bugs::commit(world, change.clone());
    if done.is_ok() {
        world.oracle().committed(world, (who, call), &change, &before);
    }
    done
}

macro_rules! reads {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty $(, $hook:ident)? $(=> $then:ident)?;)+) => {
        #[async_trait]
        impl PayoutRepository for Store {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$answer, StoreError> {
                self.reach().await?;
                let answer = self.world.kernel.memory.$name($($arg),*).await?;
                $(let answer = bugs::$hook(&self.world, self.who, answer);)?
                $($then(&self.world, self.who, &answer);)?
                Ok(answer)
            })+

            async fn commit(&self, change: Change) -> Result<(), CommitError> {
                self.write(change).await
            }
        }
    };
}

reads! {
    batch_by_escrow(escrow: &EscrowId) -> Option<Batch>;
    model_in_force(project: &ProjectId, as_of: Timestamp) -> InForce;
    basis(wanted: &Wanted) -> Basis;
    newest_model(project: &ProjectId) -> Option<ModelVersion>;
    recipients(ids: &[RecipientId]) -> Vec<Stored<Recipient>>;
    batch_for_execution(batch: BatchId) -> Option<BatchForExecution>, batch_read => acted_between;
    instruction(instruction: InstructionId) -> Option<Stored<Instruction>>;
    instruction_of(rail: &RailId, wire_ref: &str) -> Option<Stored<Instruction>>, instruction_read;
    taken_events(rail: &RailId, names: &[String]) -> Vec<String>, names_read;
    recipients_paid_at(rail: &RailId, value: &str) -> Vec<RecipientId>;
    batch_of_item(item: ItemId) -> Option<BatchId>;
    policy() -> Option<PolicyVersion>, policy_read;
    paid_destinations(recipients: &[RecipientId]) -> Vec<PaidDestination>;
    proposed_resolution(item: ItemId) -> Option<Stored<Resolution>>, resolution_read;
    batches_to_be_paid(after: Option<BatchId>, limit: u32) -> Vec<Batch>;
    counters(keys: &[CounterKey]) -> Vec<StoredCounter>;
    counters_of(kind: &str, recipient: &RecipientId) -> Vec<StoredCounter>;
    raised_by(key: &CounterKey, limit: u32) -> Vec<Raise>;
    batch_for_reversal(batch: BatchId) -> Option<BatchForReversal>;
    reversal(reversal: &ReversalId) -> Option<(Reversal, Vec<ReversalLine>)>;
    batch_inputs(batch: BatchId) -> Option<(BatchInputs, Vec<BatchLine>)>;
    batches_held_for(recipient: &RecipientId, after: Option<BatchId>, limit: u32) -> Vec<BatchId>;
}

impl Store {
    async fn write(&self, change: Change) -> Result<(), CommitError> {
        match self.try_to_write(change).await {
            Err(CommitError::Unclear(_)) if self.world.has(Bug::LostAnswerIsFailure) => Err(down().into()),
            done => done,
        }
    }

    async fn try_to_write(&self, change: Change) -> Result<(), CommitError> {
        let world = &self.world;
        let kernel = &world.kernel;
        kernel.sleep_up_to(Duration::from_millis(10)).await;
        if world.is_store_read_only() || world.happens(Fault::CommitFails) {
            if bugs::is_called_done(world, &change) {
                return Ok(());
            }
            return Err(down().into());
        }
        let unclear = || CommitError::Unclear("simulated".to_owned());
        if world.happens(Fault::CommitUnclearUnapplied) {
            return Err(unclear());
        }
        if world.happens(Fault::CommitAppliedLate) {
            let (world, who, call) = (world.clone(), self.who, self.call);
            kernel.spawn(async move {
                world.kernel.sleep_up_to(Duration::from_secs(10)).await;
                let late = apply(&world, (who, call), change);
                world.kernel.note(|| format!("a commit of {} is applied late: {late:?}", who.name()));
            });
            kernel.sleep_up_to(Duration::from_secs(2)).await;
            return Err(unclear());
        }
        let is_slow = world.happens(Fault::CommitSlow);
        if is_slow {
            kernel.sleep_up_to(Duration::from_secs(25)).await;
        }
        let done = apply(world, (self.who, self.call), change);
        kernel.note(|| format!("{} commits: {}", self.who.name(), shown(&done)));
        if done.is_ok() && world.happens(Fault::CommitUnclearApplied) {
            return Err(unclear());
        }
        if is_slow {
            kernel.sleep_up_to(Duration::from_secs(25)).await;
        } else {
            kernel.sleep_up_to(Duration::from_millis(3)).await;
        }
        done
    }
}

/// Somebody acts on what a worker has just read.
fn acted_between(world: &Arc<World>, who: Who, found: &Option<BatchForExecution>) {
    let (Who::Worker(_), Some(found)) = (who, found) else { return };
    if !world.happens(Fault::ActsBetween) {
        return;
    }
    let kernel = &world.kernel;
    let items: Vec<ItemId> = found.items.iter().map(|stored| stored.value.id).collect();
    let Some(item) = kernel.chance(|chance| chance.pick(&items).copied()) else { return };
    let action = if kernel.below(2) == 0 { Action::HoldItem(item) } else { Action::CancelItem(item) };
    let world = world.clone();
    kernel.spawn(async move {
        world.kernel.sleep_up_to(Duration::from_millis(20)).await;
        Api::new(&world).act("usr_quick", action).await;
    });
}

fn shown(done: &Result<(), CommitError>) -> String {
    match done {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

#[async_trait]
impl JobQueue for Store {
    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Claimed>, StoreError> {
        self.reach_to_write().await?;
        let claimed = self.world.kernel.memory.claim(limit, lease).await?;
        let until = self.world.kernel.age() + lease;
        for one in &claimed {
            let is_first = self.world.oracle().claimed(&self.world, self.who, one, until);
            if !is_first {
                self.world.violated(Law::Leased, format!("{:?} was handed to two at once", one.lease));
            }
            self.world.kernel.note(|| {
                format!(
                    "{} claims {} {} #{}",
                    self.who.name(),
                    one.kind.as_str(),
                    one.kind.subject(),
                    one.lease.attempt
                )
            });
        }
        if !claimed.is_empty() && self.world.happens(Fault::ClaimLost) {
            return Err(down());
        }
        Ok(claimed)
    }
    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<bool, StoreError> {
        self.reach_to_write().await?;
        self.world.kernel.memory.extend(lease, duration).await
    }
    async fn release(&self, lease: &Lease, delay: Duration) -> Result<(), StoreError> {
        self.reach_to_write().await?;
        let delay = if self.world.has(Bug::NoBackoff) { Duration::ZERO } else { delay };
        self.world.kernel.note(|| format!("{} gives back #{} for {delay:?}", self.who.name(), lease.attempt));
        self.world.kernel.memory.release(lease, delay).await?;
        self.world.oracle().released(lease.job, lease.attempt, self.world.kernel.age());
        Ok(())
    }
    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        self.reach_to_write().await?;
        JobQueue::forget(self.world.kernel.memory.as_ref(), age, limit).await
    }
    async fn wait(&self, at_most: Duration) {
        self.world.kernel.sleep(at_most).await;
    }
}

#[async_trait]
impl Outbox for Store {
    async fn unpublished(&self, limit: u32, lease: Duration) -> Result<Vec<Event>, StoreError> {
        self.reach_to_write().await?;
        self.world.kernel.memory.unpublished(limit, lease).await
    }
    async fn mark_published(&self, events: &[EventId]) -> Result<(), StoreError> {
        self.reach_to_write().await?;
        self.world.kernel.memory.mark_published(events).await
    }
    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        self.reach_to_write().await?;
        Outbox::forget(self.world.kernel.memory.as_ref(), age, limit).await
    }
}
