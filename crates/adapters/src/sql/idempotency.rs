//! Keys of requests: claimed, then answered.

use super::{
    Sql,
    dialect::{Dialect, micros},
    error::store,
    kept::Write,
    rows::idempotency_key::{Model, headers_text},
};
use app::{
    idempotency::{Claim, IdempotencyKey, KeyedRequest, Remember},
    ports::{IdempotencyKeys, StoreError, idempotency::Claiming},
};
use async_trait::async_trait;
use domain::batch::Fingerprint;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, Value};
use std::time::Duration;

/// What is true of a key, `$1` and `$2`, while its claim with the token `$3` is the last one and is not answered. That
/// it ran out matters only to others: until one of them claims the key, its answer may come.
const IS_CLAIMED: &str = "operation = $1 AND key = $2 AND token = $3";

/// A key is forgotten once; who finds it gone more often is told to come again.
const CLAIMS_MAX: u32 = 3;

/// Stores the answer of a claim. Answers whether the claim was held, if there is one.
pub(super) async fn answer_claim(
    write: &Write<'_>,
    dialect: Dialect,
    remember: Option<&Remember>,
) -> Result<bool, DbErr> {
    let Some(Remember::Claimed(claim, answer)) = remember else { return Ok(true) };
    let sql = format!(
        "UPDATE idempotency_keys SET token = NULL, claimed_until = NULL, status = $4, headers = $5, body = $6
         WHERE {IS_CLAIMED}"
    );
    let mut values = of_claim(claim);
    values.extend([i64::from(answer.status).into(), headers_text(answer).into(), answer.body.as_str().into()]);
    Ok(write.execute_raw(dialect.statement(sql, values)).await?.rows_affected() == 1)
}

/// Stores an answer that nobody claimed the key for. Answers whether nobody had used it, if there is one.
pub(super) async fn take_key(write: &Write<'_>, dialect: Dialect, remember: Option<&Remember>) -> Result<bool, DbErr> {
    let Some(Remember::Unclaimed(request, answer)) = remember else { return Ok(true) };
    let sql = format!(
        "INSERT INTO idempotency_keys (operation, key, fingerprint, status, headers, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, {}) ON CONFLICT (operation, key) DO NOTHING",
        dialect.now()
    );
    let KeyedRequest { operation, key, fingerprint } = request;
    let values: [Value; 6] = [
        operation.as_str().into(),
        key.as_str().into(),
        fingerprint.0.to_vec().into(),
        i64::from(answer.status).into(),
        headers_text(answer).into(),
        answer.body.as_str().into(),
    ];
    Ok(write.execute_raw(dialect.statement(sql, values)).await?.rows_affected() == 1)
}

fn of_claim(Claim { request, token }: &Claim) -> Vec<Value> {
    vec![request.operation.as_str().into(), request.key.as_str().into(), (*token).into()]
}

impl Sql {
    async fn key_row(&self, operation: &str, key: &IdempotencyKey) -> Result<Option<Model>, StoreError> {
        let id = (operation.to_owned(), key.to_string());
        super::rows::idempotency_key::Entity::find_by_id(id).one(self.lists()).await.map_err(store)
    }
}

#[async_trait]
impl IdempotencyKeys for Sql {
    async fn claim(&self, claim: &Claim, lease: Duration) -> Result<Claiming, StoreError> {
        let dialect = self.dialect();
        let now = dialect.now();
        // Whoever answers the same key at this moment is waited for, and what they wrote is looked at.
        let sql = format!(
            "INSERT INTO idempotency_keys (operation, key, token, fingerprint, claimed_until, created_at)
             VALUES ($1, $2, $3, $4, {now} + $5, {now})
             ON CONFLICT (operation, key) DO UPDATE
               SET token = excluded.token, fingerprint = excluded.fingerprint,
                 claimed_until = excluded.claimed_until, created_at = excluded.created_at
               WHERE idempotency_keys.claimed_until <= excluded.created_at"
        );
        let mut values = of_claim(claim);
        values.extend([claim.request.fingerprint.0.to_vec().into(), micros(lease).into()]);
        for _ in 0..CLAIMS_MAX {
            let statement = dialect.statement(sql.as_str(), values.clone());
            if self.writer().execute_raw(statement).await.map_err(store)?.rows_affected() == 1 {
                return Ok(Claiming::Ours);
            }
            // If it is not there any more, it was old, and was forgotten at this moment: now it is free.
            if let Some(row) = self.key_row(&claim.request.operation, &claim.request.key).await? {
                return row.claiming(&claim.request);
            }
        }
        Ok(Claiming::InProgress)
    }

    async fn give_up(&self, claim: &Claim) -> Result<(), StoreError> {
        let dialect = self.dialect();
        // An update, not a removal: the service need not be allowed to remove anything.
        let sql = format!("UPDATE idempotency_keys SET claimed_until = {} WHERE {IS_CLAIMED}", dialect.now());
        self.writer().execute_raw(dialect.statement(sql, of_claim(claim))).await.map_err(store)?;
        Ok(())
    }

    async fn answered_for(&self, operation: &str, key: &IdempotencyKey) -> Result<Option<Fingerprint>, StoreError> {
        match self.key_row(operation, key).await? {
            Some(row) => row.answered_for(),
            None => Ok(None),
        }
    }

    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        let dialect = self.dialect();
        let sql = format!(
            "WITH old AS MATERIALIZED (
               SELECT operation, key FROM idempotency_keys WHERE created_at < {} - $1
               ORDER BY created_at LIMIT $2 {})
             DELETE FROM idempotency_keys WHERE (operation, key) IN (SELECT operation, key FROM old)",
            dialect.now(),
            dialect.skip_locked()
        );
        let values = [micros(age).into(), i64::from(limit).into()];
        let forgotten = self.writer().execute_raw(dialect.statement(sql, values)).await.map_err(store)?;
        Ok(forgotten.rows_affected())
    }
}
