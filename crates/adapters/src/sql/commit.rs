//! A change is one transaction: the lease first, then what must still be as it was read, then what must not exist
//! yet. The first that does not hold decides the answer, and leaves nothing behind.
//!
//! Rows of jobs are written before all others, and counters before new rows, so that two writers never wait for each
//! other crosswise.

use super::{
    Sql, bulk,
    claim::{is_held, is_leased},
    counters,
    dialect::Dialect,
    error::{self, store, taken_key},
    idempotency,
    rows::{
        batch, batch_input, batch_line, escheat, event, instruction, instruction_item, item, job, ledger_entry,
        ledger_transaction, recipient, revenue_model, reversal, reversal_line, reversal_source,
    },
    taken::ESCROW,
};
use app::{
    change::{Change, New, Update},
    job::{LeaseStep, Wake},
    ports::{CommitError, DuplicateKey, StoreError},
};
use domain::instruction::Instruction;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter, Value,
    sea_query::OnConflict,
};

/// Why a change cannot be applied.
pub(super) enum Refused {
    LeaseLost,
    Stale,
    EscrowTaken,
    KeyTaken,
    Store(StoreError),
    Database(DbErr),
}

impl From<DbErr> for Refused {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl Sql {
    pub(super) async fn commit_change(&self, change: &Change) -> Result<(), CommitError> {
        let write = self.begin_write().await.map_err(store)?;
        match apply(&write, self.dialect(), change).await {
            Ok(is_work) => {
                let committed = write.commit().await;
                if is_work {
                    // Even if that is not certain: whoever looks in vain loses nothing.
                    self.work().tell();
                }
                committed.map_err(error::commit)
            }
            Err(refused) => {
                // A connection that cannot even roll back is closed, and that rolls back.
                let _ = write.rollback().await;
                Err(self.explain(refused, change).await)
            }
        }
    }

    async fn explain(&self, refused: Refused, change: &Change) -> CommitError {
        match refused {
            Refused::LeaseLost => CommitError::LeaseLost,
            Refused::Stale => CommitError::Stale,
            Refused::EscrowTaken => self.taken(ESCROW, change).await,
            Refused::KeyTaken => CommitError::Duplicate(DuplicateKey::IdempotencyKey),
            Refused::Store(error) => error.into(),
            Refused::Database(error) => match taken_key(&error) {
                Some(constraint) => self.taken(&constraint, change).await,
                None => store(error).into(),
            },
        }
    }
}

/// Writes everything. Answers whether there is something to claim afterwards.
async fn apply(write: &DatabaseTransaction, dialect: Dialect, change: &Change) -> Result<bool, Refused> {
    let Change { insert, update, count, post, enqueue, wake, publish, remember, lease } = change;
    let all_woken = wake_jobs(write, dialect, wake).await?;
    let is_ready = match lease {
        Some(step) => step_lease(write, dialect, step).await?,
        None => false,
    };
    if !idempotency::answer_claim(write, dialect, remember.as_ref()).await? {
        return Err(Refused::LeaseLost);
    }
    if !all_woken || !update_rows(write, dialect, update).await? {
        return Err(Refused::Stale);
    }
    let moved = counters::move_counters(write, dialect, count).await?;
    insert_rows(write, insert).await?;
    counters::write_moves(write, dialect, moved).await?;
    bulk::insert(write, post.iter().flat_map(ledger_entry::Model::write).collect()).await?;
    bulk::insert(write, post.iter().map(ledger_transaction::Model::write).collect()).await?;
    bulk::insert(write, enqueue.iter().map(job::Model::write).collect()).await?;
    bulk::insert(write, publish.iter().map(event::Model::write).collect()).await?;
    if !idempotency::take_key(write, dialect, remember.as_ref()).await? {
        return Err(Refused::KeyTaken);
    }
    Ok(is_ready || !enqueue.is_empty() || !wake.is_empty())
}

/// Answers whether all of them exist. A job that somebody has is only told: nobody takes it from them.
async fn wake_jobs(write: &DatabaseTransaction, dialect: Dialect, wakes: &[Wake]) -> Result<bool, DbErr> {
    let is_leased = is_leased(dialect);
    let sql = format!(
        "UPDATE jobs SET state = 'ready', woken = {is_leased}, leased = {is_leased},
           run_at = CASE WHEN NOT ({is_leased}) AND (state = 'done' OR run_at > $2) THEN $2 ELSE run_at END
         WHERE id = $1"
    );
    let mut wakes: Vec<&Wake> = wakes.iter().collect();
    wakes.sort_by_key(|wake| wake.job);
    let mut all_exist = true;
    for Wake { job, run_at } in wakes {
        let values = [job.uuid().into(), run_at.unix_micros().into()];
        let result = write.execute_raw(dialect.statement(sql.as_str(), values)).await?;
        all_exist &= result.rows_affected() == 1;
    }
    Ok(all_exist)
}

/// Answers whether the job is to be claimed again.
async fn step_lease(write: &DatabaseTransaction, dialect: Dialect, step: &LeaseStep) -> Result<bool, Refused> {
    let now = dialect.now();
    let (lease, sets, run_at) = match step {
        // Locks the row until the commit: nobody claims the job before.
        LeaseStep::Keep(lease) => (lease, "leased = leased".to_owned(), None),
        LeaseStep::Finish(lease) => {
            let sets = format!(
                "state = CASE WHEN woken THEN 'ready' ELSE 'done' END, leased = FALSE, woken = FALSE, run_at = {now}"
            );
            (lease, sets, None)
        }
        LeaseStep::Again(lease, run_at) => {
            let sets = format!("leased = FALSE, woken = FALSE, run_at = CASE WHEN woken THEN {now} ELSE $3 END");
            (lease, sets, Some(run_at))
        }
    };
    let sql = format!("UPDATE jobs SET {sets} WHERE {} RETURNING state = 'ready' AND NOT leased", is_held(dialect));
    let mut values: Vec<Value> = vec![lease.job.uuid().into(), i64::from(lease.attempt).into()];
    values.extend(run_at.map(|run_at| run_at.unix_micros().into()));
    let row = write.query_one_raw(dialect.statement(sql, values)).await?;
    Ok(row.ok_or(Refused::LeaseLost)?.try_get_by_index(0)?)
}

/// Answers whether all of them were as they were read. Batches come first: whoever moves an item holds its batch.
async fn update_rows(write: &DatabaseTransaction, dialect: Dialect, updates: &[Update]) -> Result<bool, DbErr> {
    let (mut batches, mut items, mut instructions, mut recipients) = (vec![], vec![], vec![], vec![]);
    let mut known = Vec::new();
    for update in updates {
        match update {
            Update::Batch(batch) => batches.push(batch::Model::revise(batch)),
            Update::Item(item) => items.push(item::Model::revise(item)),
            Update::Instruction(instruction) => {
                instructions.push(instruction::Model::revise(instruction));
                known.push(&instruction.value);
            }
            Update::Recipient(recipient) => recipients.push(recipient::Model::revise(recipient)),
        }
    }
    let mut updated = 0;
    for (what, rows) in [
        (batch::Model::REVISED, batches),
        (item::Model::REVISED, items),
        (instruction::Model::REVISED, instructions),
        (recipient::Model::REVISED, recipients),
    ] {
        updated += bulk::update(write, dialect, &what, rows).await?;
    }
    occupy_items(write, &known).await?;
    Ok(usize::try_from(updated) == Ok(updates.len()))
}

/// Whether an instruction occupies its items follows from its state.
async fn occupy_items(write: &DatabaseTransaction, instructions: &[&Instruction]) -> Result<(), DbErr> {
    use instruction_item::{Column, Entity};
    for live in [false, true] {
        let of_state = instructions.iter().filter(|instruction| instruction.state().is_live() == live);
        let ids = of_state.map(|instruction| instruction.id.uuid()).collect();
        for part in bulk::parts::<sea_orm::prelude::Uuid>(ids) {
            let theirs = Entity::update_many().filter(Column::InstructionId.is_in(part));
            theirs.filter(Column::Live.ne(live)).col_expr(Column::Live, live.into()).exec(write).await?;
        }
    }
    Ok(())
}

async fn insert_rows(write: &DatabaseTransaction, news: &[New]) -> Result<(), Refused> {
    let (mut batches, mut items, mut instructions, mut parts) = (vec![], vec![], vec![], vec![]);
    let (mut versions, mut recipients) = (vec![], vec![]);
    let (mut lines, mut inputs, mut escheats) = (vec![], vec![], vec![]);
    let (mut reversals, mut reversal_lines, mut sources) = (vec![], vec![], vec![]);
    for new in news {
        match new {
            New::Batch(batch) => batches.push(batch::Model::write(batch)),
            New::Item(item) => items.push(item::Model::write(item)),
            New::Instruction(instruction) => {
                instructions.push(instruction::Model::write(instruction));
                parts.extend(instruction_item::Model::write(instruction));
            }
            New::ModelVersion(version) => {
                versions.push(revenue_model::Model::write(version).map_err(Refused::Store)?);
            }
            New::Recipient(recipient) => recipients.push(recipient::Model::write(recipient)),
            New::Line(line) => lines.push(batch_line::Model::write(line)),
            New::Inputs(of_batch) => inputs.push(batch_input::Model::write(of_batch)),
            New::Reversal(reversal) => reversals.push(reversal::Model::write(reversal)),
            New::ReversalLine(line) => reversal_lines.push(reversal_line::Model::write(line)),
            New::Source(source) => sources.push(reversal_source::Model::write(source)),
            New::Escheat(escheat) => escheats.push(escheat::Model::write(escheat)),
        }
    }
    insert_batches(write, batches).await?;
    bulk::insert(write, items).await?;
    bulk::insert(write, instructions).await?;
    bulk::insert(write, parts).await?;
    bulk::insert(write, versions).await?;
    bulk::insert(write, recipients).await?;
    bulk::insert(write, lines).await?;
    bulk::insert(write, inputs).await?;
    bulk::insert(write, reversals).await?;
    bulk::insert(write, reversal_lines).await?;
    bulk::insert(write, sources).await?;
    bulk::insert(write, escheats).await?;
    Ok(())
}

/// An escrow that is released twice is an everyday matter, not an error of the database.
async fn insert_batches(write: &DatabaseTransaction, batches: Vec<batch::Model>) -> Result<(), Refused> {
    let unless_taken = OnConflict::column(batch::Column::EscrowId).do_nothing().to_owned();
    for part in bulk::parts(batches) {
        let rows = part.len();
        let batches = part.into_iter().map(IntoActiveModel::into_active_model);
        let insert = batch::Entity::insert_many::<batch::ActiveModel, _>(batches).on_conflict(unless_taken.clone());
        if usize::try_from(insert.exec_without_returning(write).await?) != Ok(rows) {
            return Err(Refused::EscrowTaken);
        }
    }
    Ok(())
}
