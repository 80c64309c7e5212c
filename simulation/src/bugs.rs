//! What can be broken on purpose, to see that it is found.
use crate::oracle::at_once;
use crate::world::{Who, World};
use app::{
    change::{Change, PolicyVersion, Resolution, Stored},
    ports::{
        CommitError, PayoutRepository,
        rail::{Lookup, RailEvent, RailProfile, Recall, Submit},
        repository::BatchForExecution,
    },
};

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal,)+) => {
        /// Something that is broken on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $doc])+ $name,)+
        }
        impl Bug {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

bugs! {
    /// A write under a lost lease is made without it.
    NoFencing "no_fencing",
    /// Each call has a key of its own.
    NewKeyEachAttempt "new_key_each_attempt",
    /// A machine's steady clock counts too slowly.
    SlowMachineClock "worker_clock_lease",
    /// Work that failed is tried again at once.
    NoBackoff "no_backoff_poison",
    /// A notification is answered before it is stored.
    AcknowledgedBeforeCommit "webhook_ack_before_commit",
    /// Whatever is sent to us is believed.
    ForgedNotificationAccepted "forged_webhook_accepted",
}

pub(crate) fn profile(_: &World, profile: RailProfile) -> RailProfile {
    profile
}
pub(crate) fn submitted(_: &World, submit: Submit) -> Submit {
    submit
}
pub(crate) fn looked_up(_: &World, lookup: Lookup) -> Lookup {
    lookup
}
pub(crate) fn recalled(_: &World, recall: Recall) -> Recall {
    recall
}
pub(crate) fn heard(_: &World, event: RailEvent) -> RailEvent {
    event
}
pub(crate) fn batch_read(_: &World, _: Who, found: Option<BatchForExecution>) -> Option<BatchForExecution> {
    found
}
pub(crate) fn policy_read(_: &World, _: Who, found: Option<PolicyVersion>) -> Option<PolicyVersion> {
    found
}
pub(crate) fn resolution_read(_: &World, _: Who, found: Option<Stored<Resolution>>) -> Option<Stored<Resolution>> {
    found
}
pub(crate) fn names_read(_: &World, _: Who, found: Vec<String>) -> Vec<String> {
    found
}
pub(crate) fn unclear(_: &World, done: Result<(), CommitError>) -> Result<(), CommitError> {
    done
}
pub(crate) fn commit(world: &World, change: Change) -> Result<(), CommitError> {
    let memory = world.kernel.memory.as_ref();
    let done = at_once(memory.commit(change.clone())).unwrap_or(Ok(()));
    match done {
        Err(CommitError::LeaseLost) if world.has(Bug::NoFencing) => {
            at_once(memory.commit(Change { lease: None, ..change })).unwrap_or(Ok(()))
        }
        done => done,
    }
}
