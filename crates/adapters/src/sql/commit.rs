//! A change is one transaction, or shares one with changes that have nothing in common with it: the leases first, then
//! what must still be as it was read, then what must not exist yet. The first that does not hold decides the answer,
//! and leaves nothing behind.
//!
//! Rows of jobs are written before all others, and counters before new rows, each in order, so that two writers never
//! wait for each other crosswise.

use super::{
    Sql, bulk,
    claim::is_leased,
    counters,
    dialect::Dialect,
    error::{self, store, taken_key},
    idempotency,
    kept::{Kept, Write},
    recall::Recalled,
    rows::{
        approval, audit_entry, batch, batch_input, batch_line, escheat, event, instruction, instruction_item, item,
        job, ledger_entry, ledger_transaction, paid_destination, policy, rail_event, recipient, resolution,
        revenue_model, reversal, reversal_line, reversal_source,
    },
    taken::ESCROW,
};
use app::{
    change::{Change, New, Update},
    idempotency::Remember,
    job::{Job, Lease, LeaseStep},
    ports::{CommitError, DuplicateKey, StoreError},
};
use domain::ids::JobId;
use sea_orm::{ConnectionTrait, DbErr, Value, prelude::Uuid};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Instant,
};

/// Why a change cannot be applied.
pub(super) enum Refused {
    LeaseLost,
    Stale,
    /// What was recalled was changed since.
    Outdated,
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

/// What became of the changes of a transaction.
struct Applied {
    /// Those that nothing was written of, by their place.
    left_out: BTreeMap<usize, Refused>,
    /// Whether there is something to claim afterwards.
    is_work: bool,
}

impl Sql {
    pub(super) async fn commit_alone(&self, kept: &mut Kept, change: &Change) -> Result<(), CommitError> {
        let write = kept.begin(self).await.map_err(store)?;
        match apply(&write, self.dialect(), &[change]).await {
            Ok(applied) => self.commit_write(write, applied.is_work).await.map_err(error::commit),
            Err(refused) => {
                roll_back(write).await;
                Err(self.explain(refused, change).await)
            }
        }
    }

    /// Commits changes that have nothing in common. Answers each, or nothing if none was applied and each is to be
    /// tried alone.
    pub(super) async fn commit_together(
        &self,
        kept: &mut Kept,
        group: &[&Change],
    ) -> Option<Vec<Result<(), CommitError>>> {
        let all = |error: CommitError| Some(vec![Err(error); group.len()]);
        let write = match kept.begin(self).await {
            Ok(write) => write,
            Err(error) => return all(store(error).into()),
        };
        let applied = match apply(&write, self.dialect(), group).await {
            Ok(applied) => applied,
            Err(refused) => {
                roll_back(write).await;
                return match refused {
                    // Nobody would fare better alone, and each would wait as long for it.
                    Refused::Database(error) if !error::is_of_one(&error) => all(store(error).into()),
                    _ => None,
                };
            }
        };
        let committed = self.commit_write(write, applied.is_work).await.map_err(error::commit);
        if let Err(CommitError::Store(_)) = committed {
            return None;
        }
        let mut left_out = applied.left_out;
        let mut answers = Vec::with_capacity(group.len());
        for (place, change) in group.iter().enumerate() {
            answers.push(match left_out.remove(&place) {
                Some(refused) => Err(self.explain(refused, change).await),
                None => committed.clone(),
            });
        }
        Some(answers)
    }

    async fn commit_write(&self, write: Write<'_>, is_work: bool) -> Result<(), DbErr> {
        let committed = write.commit().await;
        if is_work {
            // Even if that is not certain: whoever looks in vain loses nothing.
            self.work().tell();
        }
        committed
    }

    pub(super) async fn explain(&self, refused: Refused, change: &Change) -> CommitError {
        match refused {
            Refused::LeaseLost => CommitError::LeaseLost,
            Refused::Stale => CommitError::Stale,
            Refused::Outdated => {
                self.recall().forget(Instant::now());
                CommitError::Stale
            }
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

async fn roll_back(write: Write<'_>) {
    // A connection that cannot even roll back is closed, and that rolls back.
    let _ = write.roll_back().await;
}

/// Writes everything of changes that have nothing in common. One of several whose counters or escrow are not as it
/// thought is left out, if nothing of it was written before; whatever else does not hold fails all of them.
async fn apply(write: &Write<'_>, dialect: Dialect, group: &[&Change]) -> Result<Applied, Refused> {
    let is_ready = step_jobs(write, dialect, group).await?;
    for change in group {
        if !idempotency::answer_claim(write, dialect, change.remember.as_ref()).await? {
            return Err(Refused::LeaseLost);
        }
    }
    if !update_rows(write, dialect, updates_of(group)).await? {
        return Err(Refused::Stale);
    }
    let locked = counters::lock_counters(write, dialect, group.iter().flat_map(|change| &change.count)).await?;
    let mut left_out = BTreeMap::new();
    for (place, change) in group.iter().enumerate() {
        if !locked.are_as_seen(&change.count) {
            leave_out(&mut left_out, group, place, Refused::Stale)?;
        }
    }
    for place in Recalled::of(group).outdated(write, dialect).await? {
        leave_out(&mut left_out, group, place, Refused::Outdated)?;
    }
    // Every revision was looked at: from here on it is keys that may be taken.
    for place in insert_batches(write, dialect, without(group, &left_out)).await? {
        leave_out(&mut left_out, group, place, Refused::EscrowTaken)?;
    }

    let rest: Vec<&Change> = without(group, &left_out).map(|(_, change)| change).collect();
    let moved = locked.move_them(write, dialect, rest.iter().flat_map(|change| &change.count)).await?;
    update_parts(write, dialect, updates_of(&rest)).await?;
    let (mut reversals, mut insertions) = (bulk::Insertions::new(dialect), bulk::Insertions::new(dialect));
    let posted = || rest.iter().flat_map(|change| &change.post);
    let paid = add_rows((&mut reversals, &mut insertions), rest.iter().flat_map(|change| &change.insert))?;
    // When a header comes, its entries are there.
    insertions.add(posted().flat_map(ledger_entry::Model::write).collect())?;
    insertions.add(posted().map(ledger_transaction::Model::write).collect())?;
    insertions.add(rest.iter().flat_map(|change| &change.enqueue).map(job::Model::write).collect())?;
    insertions.add(rest.iter().flat_map(|change| &change.publish).map(event::Model::write).collect())?;
    insertions.add(rest.iter().flat_map(|change| &change.audit).map(audit_entry::Model::write).collect())?;
    // Lines carry the name of their reversal, which may be taken: it is to be found before them.
    reversals.write(write).await?;
    insertions.write(write).await?;
    insert_paid_destinations(write, dialect, paid).await?;
    counters::write_moves(write, dialect, moved).await?;
    for change in &rest {
        if !idempotency::take_key(write, dialect, change.remember.as_ref()).await? {
            return Err(Refused::KeyTaken);
        }
    }
    let is_work = is_ready || rest.iter().any(|change| !change.enqueue.is_empty() || !change.wake.is_empty());
    Ok(Applied { left_out, is_work })
}

/// One that stands alone, or of which something was written, cannot be left out.
fn leave_out(
    left_out: &mut BTreeMap<usize, Refused>,
    group: &[&Change],
    place: usize,
    refused: Refused,
) -> Result<(), Refused> {
    let Change { insert, update, wake, remember, lease, .. } = group[place];
    let is_claimed = matches!(remember, Some(Remember::Claimed(..)));
    let batches = insert.iter().filter(|new| matches!(new, New::Batch(_))).count();
    let may_have_written = !update.is_empty() || !wake.is_empty() || lease.is_some() || is_claimed || batches > 1;
    if group.len() == 1 || may_have_written {
        return Err(refused);
    }
    left_out.insert(place, refused);
    Ok(())
}

fn without<'a>(
    group: &'a [&Change],
    left_out: &'a BTreeMap<usize, Refused>,
) -> impl Iterator<Item = (usize, &'a Change)> {
    group.iter().enumerate().filter(|(place, _)| !left_out.contains_key(place)).map(|(place, change)| (place, *change))
}

fn updates_of<'a>(group: &'a [&Change]) -> impl Iterator<Item = &'a Update> + Clone {
    group.iter().flat_map(|change| &change.update)
}

/// Wakes jobs, and does with leases what the changes say; answers whether a job that was worked on is to be claimed
/// again at once. In the order of their names, so that two writers never wait for each other crosswise.
async fn step_jobs(write: &Write<'_>, dialect: Dialect, group: &[&Change]) -> Result<bool, Refused> {
    let mut wakes: Vec<&Job> = group.iter().flat_map(|change| &change.wake).collect();
    wakes.sort_by_key(|job| job.id);
    let steps: Vec<&LeaseStep> = group.iter().filter_map(|change| change.lease.as_ref()).collect();
    let named: BTreeSet<JobId> =
        wakes.iter().map(|job| job.id).chain(steps.iter().map(|step| step.lease().job)).collect();
    if dialect == Dialect::Postgres && named.len() > 1 {
        let named = bulk::is_one_of(dialect, 0, "id", named.iter().map(|job| job.uuid().into()).collect())?;
        let sql = format!("SELECT 1 FROM jobs WHERE {} ORDER BY id FOR UPDATE", named.sql);
        write.execute_raw(dialect.statement(sql, named.values)).await?;
    }
    for job in wakes {
        // Either it is there, or it was forgotten; unless somebody forgets it, or makes it anew, at this moment.
        while !(wake_job(write, dialect, job).await? || make_anew(write, dialect, job).await?) {}
    }
    step_leases(write, dialect, &steps).await
}

/// Answers whether it is there. A job that somebody has is only told: nobody takes it from them.
async fn wake_job(write: &Write<'_>, dialect: Dialect, job: &Job) -> Result<bool, DbErr> {
    let Job { id, kind: _, run_at } = job;
    let is_leased = is_leased(dialect);
    let sql = format!(
        "UPDATE jobs SET state = 'ready', woken = {is_leased}, leased = {is_leased},
           run_at = CASE WHEN NOT ({is_leased}) AND (state = 'done' OR run_at > $2) THEN $2 ELSE run_at END
         WHERE id = $1"
    );
    let values = [id.uuid().into(), run_at.unix_micros().into()];
    Ok(write.execute_raw(dialect.statement(sql, values)).await?.rows_affected() == 1)
}

/// Makes a job that was forgotten; answers whether nobody else just did. It was claimed less than once a second, so
/// nobody had an attempt that is a count of seconds since 1970, and a lease of before stays lost.
async fn make_anew(write: &Write<'_>, dialect: Dialect, job: &Job) -> Result<bool, DbErr> {
    let Job { id, kind, run_at } = job;
    let sql = format!(
        "INSERT INTO jobs (id, kind, subject, state, run_at, leased, woken, attempt)
         VALUES ($1, $2, $3, 'ready', $4, FALSE, FALSE, {} / 1000000) ON CONFLICT (id) DO NOTHING",
        dialect.now()
    );
    let values = [id.uuid().into(), kind.as_str().into(), kind.subject().into(), run_at.unix_micros().into()];
    Ok(write.execute_raw(dialect.statement(sql, values)).await?.rows_affected() == 1)
}

/// Answers whether one of the jobs is to be claimed again at once. A lease that goes on is written as it is: that locks
/// its job until the commit, and nobody claims it before.
async fn step_leases(write: &Write<'_>, dialect: Dialect, steps: &[&LeaseStep]) -> Result<bool, Refused> {
    let row = |step: &&LeaseStep| {
        let (word, run_at) = match step {
            LeaseStep::Keep(_) => ("keep", None),
            LeaseStep::Finish(_) => ("finish", None),
            LeaseStep::Again(_, run_at) => ("again", Some(run_at.unix_micros())),
        };
        let Lease { job, attempt } = step.lease();
        vec![job.uuid().into(), i64::from(*attempt).into(), word.into(), Value::BigInt(run_at)]
    };
    let (now, is_leased) = (dialect.now(), is_leased(dialect));
    let mut is_ready = false;
    for part in bulk::statements(dialect, steps.iter().map(row).collect()) {
        let held = part.len();
        let source = bulk::source(dialect, part)?;
        let sql = format!(
            "WITH step (job, had, word, due_at) AS ({})
             UPDATE jobs SET state = CASE WHEN word = 'finish' AND NOT woken THEN 'done' ELSE state END,
               run_at = CASE WHEN word = 'keep' THEN run_at WHEN word = 'finish' OR woken THEN {now} ELSE due_at END,
               leased = leased AND word = 'keep', woken = woken AND word = 'keep'
             FROM step WHERE id = job AND attempt = had AND {is_leased}
             RETURNING state = 'ready' AND NOT leased AND run_at <= {now}",
            source.sql
        );
        let rows = write.query_all_raw(dialect.statement(sql, source.values)).await?;
        if rows.len() < held {
            return Err(Refused::LeaseLost);
        }
        for row in rows {
            is_ready |= row.try_get_by_index::<bool>(0)?;
        }
    }
    Ok(is_ready)
}

/// Answers whether all of them were as they were read. Batches come first: whoever moves an item holds its batch.
async fn update_rows<'a>(
    write: &Write<'_>,
    dialect: Dialect,
    updates: impl Iterator<Item = &'a Update> + Clone,
) -> Result<bool, DbErr> {
    let (mut batches, mut items, mut instructions, mut recipients) = (vec![], vec![], vec![], vec![]);
    let mut resolutions = Vec::new();
    for update in updates.clone() {
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
    Ok(usize::try_from(updated) == Ok(updates.count()))
}

/// What became of the items of instructions. Those that are let go of are written first: another instruction of the
/// change may occupy them.
async fn update_parts<'a>(
    write: &Write<'_>,
    dialect: Dialect,
    updates: impl Iterator<Item = &'a Update>,
) -> Result<(), DbErr> {
    let parts = updates.flat_map(|update| match update {
        Update::Instruction(instruction) => instruction_item::Model::write(&instruction.value),
        Update::Batch(_) | Update::Item(_) | Update::Recipient(_) | Update::Resolution(_) => Vec::new(),
    });
    let (live, past): (Vec<_>, Vec<_>) = parts.partition(|part| part.live);
    for part in bulk::statements(dialect, past).chain(bulk::statements(dialect, live)) {
        let source = bulk::source(dialect, part.into_iter().map(|part| part.revise().to_vec()).collect())?;
        write.execute_raw(dialect.statement(parts_statement(&source.sql), source.values)).await?;
    }
    Ok(())
}

/// Of an instruction's many items a write often changes few: the others are left alone.
fn parts_statement(source: &str) -> String {
    let columns = instruction_item::Model::REVISED;
    let sets = columns.map(|column| format!("{column} = fresh.{column}")).join(", ");
    let differs = columns.map(|column| format!("part.{column} IS DISTINCT FROM fresh.{column}")).join(" OR ");
    format!(
        "WITH fresh (instruction_id, item_id, {}) AS ({source})
         UPDATE instruction_items AS part SET {sets} FROM fresh
         WHERE part.instruction_id = fresh.instruction_id AND part.item_id = fresh.item_id AND ({differs})",
        columns.join(", "),
    )
}

/// Everything but batches, and where people were paid, which is answered.
fn add_rows<'a>(
    (before, insertions): (&mut bulk::Insertions, &mut bulk::Insertions),
    news: impl Iterator<Item = &'a New>,
) -> Result<Vec<paid_destination::Model>, Refused> {
    let (mut items, mut instructions, mut parts) = (vec![], vec![], vec![]);
    let (mut versions, mut recipients) = (vec![], vec![]);
    let (mut lines, mut inputs, mut escheats) = (vec![], vec![], vec![]);
    let (mut reversals, mut reversal_lines, mut sources) = (vec![], vec![], vec![]);
    let (mut rail_events, mut approvals, mut policies) = (vec![], vec![], vec![]);
    let (mut paid, mut resolutions) = (vec![], vec![]);
    for new in news {
        match new {
            New::Batch(_) => {}
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
    insertions.add(items)?;
    insertions.add(instructions)?;
    insertions.add(parts)?;
    insertions.add(versions)?;
    insertions.add(recipients)?;
    insertions.add(lines)?;
    insertions.add(inputs)?;
    before.add(reversals)?;
    insertions.add(reversal_lines)?;
    insertions.add(sources)?;
    insertions.add(escheats)?;
    insertions.add(rail_events)?;
    insertions.add(approvals)?;
    insertions.add(policies)?;
    insertions.add(resolutions)?;
    Ok(paid)
}

/// Most people are paid where they were paid before: saying so again changes nothing. In order, so that two who pay the
/// same people never wait for each other crosswise.
async fn insert_paid_destinations(
    write: &Write<'_>,
    dialect: Dialect,
    mut paid: Vec<paid_destination::Model>,
) -> Result<(), DbErr> {
    paid.sort_by(|one, two| (&one.recipient_id, &one.destination).cmp(&(&two.recipient_id, &two.destination)));
    for part in bulk::statements(dialect, paid) {
        let (sql, values) = bulk::insertion(dialect, part)?;
        let sql = format!("{sql} ON CONFLICT (recipient_id, destination) DO NOTHING");
        write.execute_raw(dialect.statement(sql, values)).await?;
    }
    Ok(())
}

/// An escrow that is released twice is an everyday matter, not an error of the database. Answers the places of changes
/// whose escrow is taken. In the order of escrows, so that two who release the same ones never wait crosswise.
async fn insert_batches<'a>(
    write: &Write<'_>,
    dialect: Dialect,
    changes: impl Iterator<Item = (usize, &'a Change)>,
) -> Result<Vec<usize>, DbErr> {
    let mut batches = Vec::new();
    for (place, change) in changes {
        for new in &change.insert {
            if let New::Batch(batch) = new {
                batches.push((place, batch::Model::write(batch)));
            }
        }
    }
    batches.sort_by(|(_, one), (_, two)| one.escrow_id.cmp(&two.escrow_id));
    let mut taken = Vec::new();
    for part in bulk::statements(dialect, batches) {
        let (wanted, rows): (Vec<(usize, Uuid)>, Vec<_>) =
            part.into_iter().map(|(place, row)| ((place, row.id), row)).unzip();
        let (sql, values) = bulk::insertion(dialect, rows)?;
        let sql = format!("{sql} ON CONFLICT (escrow_id) DO NOTHING RETURNING id");
        let inserted = write.query_all_raw(dialect.statement(sql, values)).await?;
        let inserted: HashSet<Uuid> = inserted.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
        taken.extend(wanted.into_iter().filter(|(_, id)| !inserted.contains(id)).map(|(place, _)| place));
    }
    Ok(taken)
}
