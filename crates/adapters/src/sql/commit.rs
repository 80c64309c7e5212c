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
        approval, audit_entry, batch, batch_input, batch_line, escheat, event, instruction, instruction_item, item,
        job, ledger_entry, ledger_transaction, paid_destination, policy, rail_event, recipient, resolution,
        revenue_model, reversal, reversal_line, reversal_source,
    },
    taken::ESCROW,
};
use app::{
    change::{Change, New, Update},
    job::{LeaseStep, Wake},
    ports::{CommitError, DuplicateKey, StoreError},
};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, Value, sea_query::OnConflict,
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
    let Change { insert, update, count, post, enqueue, wake, publish, audit, remember, lease } = change;
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
    // Every revision was looked at: from here on it is keys that may be taken.
    update_parts(write, dialect, update).await?;
    insert_rows(write, insert).await?;
    counters::write_moves(write, dialect, moved).await?;
    bulk::insert(write, post.iter().flat_map(ledger_entry::Model::write).collect()).await?;
    bulk::insert(write, post.iter().map(ledger_transaction::Model::write).collect()).await?;
    bulk::insert(write, enqueue.iter().map(job::Model::write).collect()).await?;
    bulk::insert(write, publish.iter().map(event::Model::write).collect()).await?;
    bulk::insert(write, audit.iter().map(audit_entry::Model::write).collect()).await?;
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
    let mut resolutions = Vec::new();
    for update in updates {
        match update {
            Update::Batch(batch) => batches.push(batch::Model::revise(batch)),
            Update::Item(item) => items.push(item::Model::revise(item)),
            Update::Instruction(instruction) => instructions.push(instruction::Model::revise(instruction)),
            Update::Recipient(recipient) => recipients.push(recipient::Model::revise(recipient)),
            Update::Resolution(resolution) => resolutions.push(resolution::Model::revise(resolution)),
        }
    }
    let mut updated = 0;
    for (what, rows) in [
        (batch::Model::REVISED, batches),
        (item::Model::REVISED, items),
        (instruction::Model::REVISED, instructions),
        (recipient::Model::REVISED, recipients),
        (resolution::Model::REVISED, resolutions),
    ] {
        updated += bulk::update(write, dialect, &what, rows).await?;
    }
    Ok(usize::try_from(updated) == Ok(updates.len()))
}

/// What became of the items of instructions. Those that are let go of are written first: another instruction of the
/// change may occupy them.
async fn update_parts(write: &DatabaseTransaction, dialect: Dialect, updates: &[Update]) -> Result<(), DbErr> {
    let parts = updates.iter().flat_map(|update| match update {
        Update::Instruction(instruction) => instruction_item::Model::write(&instruction.value),
        Update::Batch(_) | Update::Item(_) | Update::Recipient(_) | Update::Resolution(_) => Vec::new(),
    });
    let (live, past): (Vec<_>, Vec<_>) = parts.partition(|part| part.live);
    for part in bulk::parts(past).chain(bulk::parts(live)) {
        let sql = parts_statement(part.len());
        let values = part.into_iter().flat_map(instruction_item::Model::revise);
        write.execute_raw(dialect.statement(sql, values)).await?;
    }
    Ok(())
}

/// Of an instruction's many items a write often changes few: the others are left alone.
fn parts_statement(rows: usize) -> String {
    let columns = instruction_item::Model::REVISED;
    let sets = columns.map(|column| format!("{column} = fresh.{column}")).join(", ");
    let differs = columns.map(|column| format!("part.{column} IS DISTINCT FROM fresh.{column}")).join(" OR ");
    format!(
        "WITH fresh (instruction_id, item_id, {}) AS (VALUES {})
         UPDATE instruction_items AS part SET {sets} FROM fresh
         WHERE part.instruction_id = fresh.instruction_id AND part.item_id = fresh.item_id AND ({differs})",
        columns.join(", "),
        bulk::places(rows, columns.len() + 2),
    )
}

async fn insert_rows(write: &DatabaseTransaction, news: &[New]) -> Result<(), Refused> {
    let (mut batches, mut items, mut instructions, mut parts) = (vec![], vec![], vec![], vec![]);
    let (mut versions, mut recipients) = (vec![], vec![]);
    let (mut lines, mut inputs, mut escheats) = (vec![], vec![], vec![]);
    let (mut reversals, mut reversal_lines, mut sources) = (vec![], vec![], vec![]);
    let (mut rail_events, mut approvals, mut policies) = (vec![], vec![], vec![]);
    let (mut paid, mut resolutions) = (vec![], vec![]);
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
            New::RailEvent(taken) => rail_events.push(rail_event::Model::write(taken)),
            New::Approval(approval) => approvals.push(approval::Model::write(approval)),
            New::Policy(version) => policies.push(policy::Model::write(version)),
            New::PaidDestination(destination) => paid.push(paid_destination::Model::write(destination)),
            New::Resolution(resolution) => resolutions.push(resolution::Model::write(resolution)),
        }
    }
    // Two who are told the same at once must not wait for each other crosswise.
    rail_events.sort_by(|one, two| (&one.rail, &one.dedupe).cmp(&(&two.rail, &two.dedupe)));
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
    bulk::insert(write, rail_events).await?;
    bulk::insert(write, approvals).await?;
    bulk::insert(write, policies).await?;
    bulk::insert(write, resolutions).await?;
    insert_paid_destinations(write, paid).await?;
    Ok(())
}

/// Most people are paid where they were paid before: saying so again changes nothing. In order, so that two who pay the
/// same people never wait for each other crosswise.
async fn insert_paid_destinations(
    write: &DatabaseTransaction,
    mut paid: Vec<paid_destination::Model>,
) -> Result<(), DbErr> {
    use paid_destination::{ActiveModel, Column, Entity};
    paid.sort_by(|one, two| (&one.recipient_id, &one.destination).cmp(&(&two.recipient_id, &two.destination)));
    let unless_known = OnConflict::columns([Column::RecipientId, Column::Destination]).do_nothing().to_owned();
    for part in bulk::parts(paid) {
        let rows = part.into_iter().map(IntoActiveModel::into_active_model);
        let insert = Entity::insert_many::<ActiveModel, _>(rows).on_conflict(unless_known.clone());
        insert.exec_without_returning(write).await?;
    }
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
