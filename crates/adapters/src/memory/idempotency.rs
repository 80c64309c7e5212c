//! Keys of requests: claimed, then answered.

use super::{Memory, world::World};
use app::{
    change::Change,
    idempotency::{Claim, IdempotencyKey, KeyedRequest, Remember, StoredAnswer},
    ports::{CommitError, DuplicateKey, IdempotencyKeys, StoreError, idempotency::Claiming},
};
use async_trait::async_trait;
use domain::{batch::Fingerprint, timestamp::Timestamp};
use std::time::Duration;
use uuid::Uuid;

/// A key that was used.
#[derive(Clone, Debug)]
pub(super) struct KeyRow {
    fingerprint: Fingerprint,
    state: KeyState,
    since: Timestamp,
}

#[derive(Clone, Debug)]
enum KeyState {
    /// Whoever has the token works on it, unless the claim ran out and somebody else came.
    Claimed {
        token: Uuid,
        until: Timestamp,
    },
    Answered(StoredAnswer),
}

/// Under what a key is found.
pub(super) type KeyName = (String, IdempotencyKey);

fn name(request: &KeyedRequest) -> KeyName {
    (request.operation.clone(), request.key.clone())
}

impl KeyRow {
    fn is_free(&self, now: Timestamp) -> bool {
        matches!(self.state, KeyState::Claimed { until, .. } if until <= now)
    }

    fn is_claimed_by(&self, claim: &Claim) -> bool {
        matches!(self.state, KeyState::Claimed { token, .. } if token == claim.token)
    }
}

impl World {
    /// Nobody else has claimed the key, ours ran out or not.
    pub(super) fn check_claim(&self, change: &Change) -> Result<(), CommitError> {
        let Some(Remember::Claimed(claim, _)) = &change.remember else { return Ok(()) };
        let row = self.idempotency_keys.get(&name(&claim.request));
        if row.is_some_and(|row| row.is_claimed_by(claim)) { Ok(()) } else { Err(CommitError::LeaseLost) }
    }

    /// Nobody has used the key.
    pub(super) fn check_idempotency_key(&self, change: &Change) -> Result<(), CommitError> {
        let Some(Remember::Unclaimed(request, _)) = &change.remember else { return Ok(()) };
        let is_used = self.idempotency_keys.contains_key(&name(request));
        if is_used { Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey)) } else { Ok(()) }
    }

    /// Stores an answer. Whether it may be stored was checked before.
    pub(super) fn remember(&mut self, remember: Remember) {
        let (request, answer) = match remember {
            Remember::Claimed(Claim { request, token: _ }, answer) => (request, answer),
            Remember::Unclaimed(request, answer) => (request, answer),
        };
        let name = name(&request);
        let since = self.idempotency_keys.get(&name).map_or(self.now, |row| row.since);
        let row = KeyRow { fingerprint: request.fingerprint, state: KeyState::Answered(answer), since };
        self.idempotency_keys.insert(name, row);
    }
}

#[async_trait]
impl IdempotencyKeys for Memory {
    async fn claim(&self, claim: &Claim, lease: Duration) -> Result<Claiming, StoreError> {
        let mut world = self.world();
        let (now, until) = (world.now, world.now.after(lease));
        let Claim { request, token } = claim;
        if let Some(row) = world.idempotency_keys.get(&name(request)).filter(|row| !row.is_free(now)) {
            return Ok(match &row.state {
                _ if row.fingerprint != request.fingerprint => Claiming::Another,
                KeyState::Claimed { .. } => Claiming::InProgress,
                KeyState::Answered(answer) => Claiming::Answered(answer.clone()),
            });
        }
        let state = KeyState::Claimed { token: *token, until };
        let row = KeyRow { fingerprint: request.fingerprint, state, since: now };
        world.idempotency_keys.insert(name(request), row);
        Ok(Claiming::Ours)
    }

    async fn give_up(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut world = self.world();
        let now = world.now;
        let row = world.idempotency_keys.get_mut(&name(&claim.request));
        if let Some(row) = row.filter(|row| row.is_claimed_by(claim)) {
            row.state = KeyState::Claimed { token: claim.token, until: now };
        }
        Ok(())
    }

    async fn answered_for(&self, operation: &str, key: &IdempotencyKey) -> Result<Option<Fingerprint>, StoreError> {
        let world = self.world();
        let row = world.idempotency_keys.get(&(operation.to_owned(), key.clone()));
        let answered = row.filter(|row| matches!(row.state, KeyState::Answered(_)));
        Ok(answered.map(|row| row.fingerprint))
    }

    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        let mut world = self.world();
        let now = world.now;
        let old = world.idempotency_keys.iter().filter(|(_, row)| row.since.after(age) < now);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let names: Vec<KeyName> = old.map(|(name, _)| name.clone()).take(limit).collect();
        for name in &names {
            world.idempotency_keys.remove(name);
        }
        Ok(names.len() as u64)
    }
}
