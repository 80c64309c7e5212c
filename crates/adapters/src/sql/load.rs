//! What a decision needs.

use super::{
    Sql, bulk,
    counters::movements_of,
    error::store,
    execution::ToExecute,
    rows::{
        approval, batch, batch_input, batch_line, columns, instruction, instruction_item, item, paid_destination,
        rail_event, recipient, resolution, revenue_model, reversal, reversal_line, reversal_source, storable,
    },
};
use app::{
    change::{BatchInputs, Change, PaidDestination, PolicyVersion, Resolution, Stored},
    ports::{
        CommitError, PayoutRepository, StoreError,
        repository::{Basis, BatchForExecution, BatchForReversal, InForce, Raise, StoredCounter, Wanted},
    },
};
use async_trait::async_trait;
use domain::{
    approval::Approval,
    batch::{Batch, BatchLine},
    counter::CounterKey,
    ids::{BatchId, EscrowId, InstructionId, ItemId, ProjectId, RecipientId, ReversalId},
    instruction::Instruction,
    item::Item,
    recipient::{RailId, Recipient},
    revenue_model::ModelVersion,
    reversal::{Reversal, ReversalLine, Source},
    timestamp::Timestamp,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Select, Value,
    prelude::Uuid,
    sea_query::{Expr, Query, SimpleExpr},
};
use std::collections::{BTreeSet, HashMap};

#[async_trait]
impl PayoutRepository for Sql {
    async fn batch_by_escrow(&self, escrow: &EscrowId) -> Result<Option<Batch>, StoreError> {
        self.read_batch_of_escrow(escrow).await
    }

    async fn model_in_force(&self, project: &ProjectId, as_of: Timestamp) -> Result<InForce, StoreError> {
        self.read_model_in_force(project, as_of).await
    }

    async fn basis(&self, wanted: &Wanted) -> Result<Basis, StoreError> {
        self.read_basis(wanted).await
    }

    async fn newest_model(&self, project: &ProjectId) -> Result<Option<ModelVersion>, StoreError> {
        let versions = revenue_model::Entity::find().filter(revenue_model::Column::ProjectId.eq(project.as_str()));
        let newest = versions.order_by_desc(revenue_model::Column::Version).limit(1);
        newest.one(self.lists()).await.map_err(store)?.map(revenue_model::Model::read).transpose()
    }

    async fn recipients(&self, ids: &[RecipientId]) -> Result<Vec<Stored<Recipient>>, StoreError> {
        self.read_recipients(ids).await
    }

    async fn batch_for_execution(&self, batch: BatchId) -> Result<Option<BatchForExecution>, StoreError> {
        Ok(self.read_together::<ToExecute>([batch]).await?.pop())
    }

    async fn instruction(&self, instruction: InstructionId) -> Result<Option<Stored<Instruction>>, StoreError> {
        let named = instruction::Entity::find().filter(instruction::Column::Id.eq(instruction.uuid()));
        self.one_instruction(named).await
    }

    async fn instruction_of(&self, rail: &RailId, wire_ref: &str) -> Result<Option<Stored<Instruction>>, StoreError> {
        let mut named = Query::select();
        named.column(instruction_item::Column::InstructionId).from(instruction_item::Entity);
        named.and_where(instruction_item::Column::WireRef.eq(storable(wire_ref)));
        let of_rail = instruction::Entity::find().filter(instruction::Column::Rail.eq(rail.as_str()));
        self.one_instruction(of_rail.filter(instruction::Column::Id.in_subquery(named))).await
    }

    async fn taken_events(&self, rail: &RailId, names: &[String]) -> Result<Vec<String>, StoreError> {
        use rail_event::{Column, Entity};
        let stored: BTreeSet<String> = names.iter().map(|name| storable(name)).collect();
        let mut taken = BTreeSet::new();
        for part in bulk::parts(stored.into_iter().collect()) {
            let named = Entity::find().filter(Column::Rail.eq(rail.as_str())).filter(Column::Dedupe.is_in(part));
            let found = named.select_only().column(Column::Dedupe).into_tuple::<String>();
            taken.extend(found.all(self.lists()).await.map_err(store)?);
        }
        let names: BTreeSet<&String> = names.iter().filter(|name| taken.contains(&storable(name))).collect();
        Ok(names.into_iter().cloned().collect())
    }

    async fn recipients_paid_at(&self, rail: &RailId, value: &str) -> Result<Vec<RecipientId>, StoreError> {
        // Whoever has it among their details has it somewhere in the text of these: few are left to be read.
        let sql = format!(
            "SELECT {} FROM recipients WHERE rail = $1 AND replace(details, $2, '') <> details ORDER BY id",
            columns::<recipient::Entity>("recipients")
        );
        let value = serde_json::Value::from(value);
        let statement = self.dialect().statement(sql, [rail.as_str().into(), value.to_string().into()]);
        let found = recipient::Model::find_by_statement(statement).all(self.lists()).await.map_err(store)?;
        let mut paid_there = Vec::new();
        for row in found {
            let recipient = row.read()?.value;
            if recipient.destination.details.values().any(|known| *known == value) {
                paid_there.push(recipient.id);
            }
        }
        Ok(paid_there)
    }

    async fn batch_of_item(&self, item: ItemId) -> Result<Option<BatchId>, StoreError> {
        let found = item::Entity::find_by_id(item.uuid()).select_only().column(item::Column::BatchId);
        let found = found.into_tuple::<Uuid>().one(self.lists()).await.map_err(store)?;
        Ok(found.map(BatchId::new))
    }

    async fn policy(&self) -> Result<Option<PolicyVersion>, StoreError> {
        self.read_policy().await
    }

    async fn paid_destinations(&self, recipients: &[RecipientId]) -> Result<Vec<PaidDestination>, StoreError> {
        use paid_destination::{Column, Entity};
        let recipients: BTreeSet<&str> = recipients.iter().map(RecipientId::as_str).collect();
        let mut found = Vec::new();
        for part in bulk::parts(recipients.into_iter().collect()) {
            let theirs = Entity::find().filter(Column::RecipientId.is_in(part));
            let theirs = theirs.order_by_asc(Column::RecipientId).order_by_asc(Column::Destination);
            for row in theirs.all(self.lists()).await.map_err(store)? {
                found.push(row.read()?);
            }
        }
        Ok(found)
    }

    async fn proposed_resolution(&self, item: ItemId) -> Result<Option<Stored<Resolution>>, StoreError> {
        proposed_of(self.lists(), item).await
    }

    async fn batches_to_be_paid(&self, after: Option<BatchId>, limit: u32) -> Result<Vec<Batch>, StoreError> {
        // The statuses are spelled out, as in the index of those that are not completed.
        let wanted = Condition::all()
            .add(Expr::cust("status <> 'completed' AND status IN ('awaiting_approval', 'scheduled')"))
            .add_option(after.map(|after| batch::Column::Id.gt(after.uuid())));
        let rows = batch::Entity::find().filter(wanted).order_by_asc(batch::Column::Id).limit(u64::from(limit));
        let rows = rows.all(self.lists()).await.map_err(store)?;
        rows.into_iter().map(|row| Ok(row.read()?.value)).collect()
    }

    async fn counters(&self, keys: &[CounterKey]) -> Result<Vec<StoredCounter>, StoreError> {
        self.read_counters(keys).await
    }

    async fn counters_of(&self, kind: &str, recipient: &RecipientId) -> Result<Vec<StoredCounter>, StoreError> {
        self.read_counters_of(kind, recipient).await
    }

    async fn raised_by(&self, key: &CounterKey, limit: u32) -> Result<Vec<Raise>, StoreError> {
        self.read_raises(key, limit).await
    }

    async fn batch_for_reversal(&self, batch: BatchId) -> Result<Option<BatchForReversal>, StoreError> {
        let read = self.begin_read().await.map_err(store)?;
        let Some(row) = batch::Entity::find_by_id(batch.uuid()).one(&read).await.map_err(store)? else {
            return Ok(None);
        };
        let found = row.read()?;
        let model = match found.value.release() {
            Some(release) => {
                let id = (release.project.to_string(), i64::from(release.model_version));
                revenue_model::Entity::find_by_id(id).one(&read).await.map_err(store)?
            }
            None => None,
        };
        let reversals = reversal::Entity::find().filter(reversal::Column::BatchId.eq(batch.uuid()));
        let reversals = reversals.order_by_asc(reversal::Column::CreatedAt).order_by_asc(reversal::Column::Id);
        let reversals = reversals.all(&read).await.map_err(store)?;
        let theirs = reversal_line::Column::BatchId.eq(batch.uuid());
        let found = BatchForReversal {
            batch: found,
            items: items_of(&read, batch).await?,
            lines: lines_of(&read, batch).await?,
            reversals: reversals.into_iter().map(reversal::Model::read).collect::<Result<_, _>>()?,
            reversal_lines: reversal_lines(&read, theirs).await?,
            movements: movements_of(&read, self.dialect(), batch).await?,
            model: model.map(revenue_model::Model::read).transpose()?,
        };
        read.commit().await.map_err(store)?;
        Ok(Some(found))
    }

    async fn reversal(&self, reversal: &ReversalId) -> Result<Option<(Reversal, Vec<ReversalLine>)>, StoreError> {
        let read = self.begin_read().await.map_err(store)?;
        let Some(row) = reversal::Entity::find_by_id(reversal.to_string()).one(&read).await.map_err(store)? else {
            return Ok(None);
        };
        let lines = reversal_lines(&read, reversal_line::Column::ReversalId.eq(reversal.as_str())).await?;
        read.commit().await.map_err(store)?;
        Ok(Some((row.read()?, lines)))
    }

    async fn batch_inputs(&self, batch: BatchId) -> Result<Option<(BatchInputs, Vec<BatchLine>)>, StoreError> {
        let read = self.begin_read().await.map_err(store)?;
        let Some(row) = batch_input::Entity::find_by_id(batch.uuid()).one(&read).await.map_err(store)? else {
            return Ok(None);
        };
        let lines = lines_of(&read, batch).await?;
        read.commit().await.map_err(store)?;
        Ok(Some((row.read()?, lines)))
    }

    async fn batches_held_for(
        &self,
        recipient: &RecipientId,
        after: Option<BatchId>,
        limit: u32,
    ) -> Result<Vec<BatchId>, StoreError> {
        let dialect = self.dialect();
        let mut values: Vec<Value> = vec![recipient.as_str().into(), i64::from(limit).into()];
        values.extend(after.map(|after| after.uuid().into()));
        let later = if after.is_some() { "AND batch_id > $3" } else { "" };
        // The status is spelled out, as in the index that holds nothing else.
        let sql = format!(
            "SELECT DISTINCT batch_id FROM items WHERE recipient_id = $1 AND status = 'pending_kyc' {later}
             ORDER BY batch_id LIMIT $2"
        );
        let rows = self.lists().query_all_raw(dialect.statement(sql, values)).await.map_err(store)?;
        rows.iter().map(|row| row.try_get_by_index::<Uuid>(0).map(BatchId::new).map_err(store)).collect()
    }

    async fn commit(&self, change: Change) -> Result<(), CommitError> {
        self.commit_in_turn(change).await
    }
}

impl Sql {
    /// The one selected instruction, if there is one, with what it pays.
    async fn one_instruction(
        &self,
        select: Select<instruction::Entity>,
    ) -> Result<Option<Stored<Instruction>>, StoreError> {
        let read = self.begin_read().await.map_err(store)?;
        let found = instructions(&read, select).await?.pop();
        read.commit().await.map_err(store)?;
        Ok(found)
    }
}

/// Every approval of a batch, oldest first.
pub(super) async fn approvals_of(read: &impl ConnectionTrait, batch: BatchId) -> Result<Vec<Approval>, StoreError> {
    Ok(approvals_of_all(read, vec![batch.uuid()]).await?.remove(&batch.uuid()).unwrap_or_default())
}

/// The same of many batches.
pub(super) async fn approvals_of_all(
    read: &impl ConnectionTrait,
    batches: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<Approval>>, StoreError> {
    use approval::{Column, Entity};
    let given = Entity::find().filter(Column::BatchId.is_in(batches)).order_by_asc(Column::CreatedAt);
    let given = given.order_by_asc(Column::Approver).order_by_asc(Column::Hash);
    let mut by_batch: HashMap<Uuid, Vec<Approval>> = HashMap::new();
    for row in given.all(read).await.map_err(store)? {
        by_batch.entry(row.batch_id).or_default().push(row.read()?);
    }
    Ok(by_batch)
}

/// What was proposed of an item and waits for a second person.
pub(super) async fn proposed_of(
    read: &impl ConnectionTrait,
    item: ItemId,
) -> Result<Option<Stored<Resolution>>, StoreError> {
    let of_item = resolution::Entity::find().filter(resolution::Column::ItemId.eq(item.uuid()));
    // Spelled out, as in the index.
    let proposed = of_item.filter(Expr::cust("status = 'proposed'"));
    proposed.one(read).await.map_err(store)?.map(resolution::Model::read).transpose()
}

/// The items of batches under one of whose instructions something was executed after it had been given up. There are
/// hardly any at all, so all of them are looked at, whatever the batch.
pub(super) async fn strays_of(
    read: &impl ConnectionTrait,
    batches: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<ItemId>>, StoreError> {
    let mut strays = Query::select();
    strays.column(instruction_item::Column::ItemId).from(instruction_item::Entity);
    strays.and_where(Expr::cust("outcome = 'stray'"));
    let theirs = item::Entity::find().filter(item::Column::Id.in_subquery(strays));
    let theirs = theirs.filter(item::Column::BatchId.is_in(batches)).order_by_asc(item::Column::Id);
    let theirs = theirs.select_only().column(item::Column::BatchId).column(item::Column::Id);
    let mut by_batch: HashMap<Uuid, Vec<ItemId>> = HashMap::new();
    for (batch, item) in theirs.into_tuple::<(Uuid, Uuid)>().all(read).await.map_err(store)? {
        by_batch.entry(batch).or_default().push(ItemId::new(item));
    }
    Ok(by_batch)
}

/// All items of a batch, in order.
pub(super) async fn items_of(read: &impl ConnectionTrait, batch: BatchId) -> Result<Vec<Stored<Item>>, StoreError> {
    Ok(items_of_all(read, vec![batch.uuid()]).await?.remove(&batch.uuid()).unwrap_or_default())
}

/// The same of many batches.
pub(super) async fn items_of_all(
    read: &impl ConnectionTrait,
    batches: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<Stored<Item>>>, StoreError> {
    let items = item::Entity::find().filter(item::Column::BatchId.is_in(batches)).order_by_asc(item::Column::Seq);
    let mut by_batch: HashMap<Uuid, Vec<Stored<Item>>> = HashMap::new();
    for row in items.all(read).await.map_err(store)? {
        by_batch.entry(row.batch_id).or_default().push(row.read()?);
    }
    Ok(by_batch)
}

/// All lines of a batch, in order.
async fn lines_of(read: &impl ConnectionTrait, batch: BatchId) -> Result<Vec<BatchLine>, StoreError> {
    let lines = batch_line::Entity::find().filter(batch_line::Column::BatchId.eq(batch.uuid()));
    let lines = lines.order_by_asc(batch_line::Column::Seq).all(read).await.map_err(store)?;
    lines.into_iter().map(batch_line::Model::read).collect()
}

/// The selected lines of reversals, each with its source if that is known.
async fn reversal_lines(read: &impl ConnectionTrait, wanted: SimpleExpr) -> Result<Vec<ReversalLine>, StoreError> {
    use reversal_line::{Column, Entity};
    let lines = Entity::find().filter(wanted);
    let ids = lines.clone().select_only().column(Column::ReversalId).into_query();
    let sources = reversal_source::Entity::find().filter(reversal_source::Column::ReversalId.in_subquery(ids));
    let sources = sources.all(read).await.map_err(store)?;
    let sources: HashMap<(String, i64), Source> =
        sources.into_iter().map(|row| ((row.reversal_id.clone(), row.seq), row.read())).collect();
    let lines = lines.order_by_asc(Column::ReversalId).order_by_asc(Column::Seq).all(read).await.map_err(store)?;
    let line = |row: reversal_line::Model| {
        let source = sources.get(&(row.reversal_id.clone(), row.seq)).copied();
        row.read(source)
    };
    lines.into_iter().map(line).collect()
}

/// The selected instructions with what they pay, oldest first.
pub(super) async fn instructions(
    read: &impl ConnectionTrait,
    select: Select<instruction::Entity>,
) -> Result<Vec<Stored<Instruction>>, StoreError> {
    let rows = select.clone().order_by_asc(instruction::Column::Id).all(read).await.map_err(store)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut parts = parts_of(read, select).await.map_err(store)?;
    rows.into_iter()
        .map(|row| {
            let parts = parts.remove(&row.id).unwrap_or_default();
            row.read(parts)
        })
        .collect()
}

async fn parts_of(
    read: &impl ConnectionTrait,
    select: Select<instruction::Entity>,
) -> Result<HashMap<Uuid, Vec<instruction_item::Model>>, DbErr> {
    use instruction_item::{Column, Entity};
    let ids = select.select_only().column(instruction::Column::Id).into_query();
    let parts = Entity::find().filter(Column::InstructionId.in_subquery(ids));
    let mut by_instruction: HashMap<Uuid, Vec<instruction_item::Model>> = HashMap::new();
    for part in parts.order_by_asc(Column::Seq).all(read).await? {
        by_instruction.entry(part.instruction_id).or_default().push(part);
    }
    Ok(by_instruction)
}
