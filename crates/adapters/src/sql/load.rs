//! What a decision needs.

use super::{
    Sql, bulk,
    counters::movements_of,
    error::store,
    rows::{
        batch, batch_input, batch_line, instruction, instruction_item, item, recipient, revenue_model, reversal,
        reversal_line, reversal_source,
    },
};
use app::{
    change::{BatchInputs, Change, Stored},
    ports::{
        CommitError, PayoutRepository, StoreError,
        repository::{BatchForExecution, BatchForReversal, InForce, Raise, StoredCounter},
    },
};
use async_trait::async_trait;
use domain::{
    batch::{Batch, BatchLine},
    counter::CounterKey,
    ids::{BatchId, EscrowId, ProjectId, RecipientId, ReversalId},
    instruction::Instruction,
    item::Item,
    recipient::Recipient,
    revenue_model::ModelVersion,
    reversal::{Reversal, ReversalLine, Source},
    timestamp::Timestamp,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Select, Value, prelude::Uuid, sea_query::SimpleExpr,
};
use std::collections::{BTreeSet, HashMap};

#[async_trait]
impl PayoutRepository for Sql {
    async fn batch_by_escrow(&self, escrow: &EscrowId) -> Result<Option<Batch>, StoreError> {
        let of_escrow = batch::Entity::find().filter(batch::Column::EscrowId.eq(escrow.as_str()));
        let row = of_escrow.one(self.database()).await.map_err(store)?;
        Ok(row.map(batch::Model::read).transpose()?.map(|found| found.value))
    }

    async fn model_in_force(&self, project: &ProjectId, as_of: Timestamp) -> Result<InForce, StoreError> {
        // One statement, so one moment: of all versions the one in force, else any.
        let sql = "SELECT * FROM revenue_models WHERE project_id = $1
                   ORDER BY status = 'active' AND effective_from <= $2
                     AND (effective_to IS NULL OR effective_to > $2) DESC, version DESC LIMIT 1";
        let values = [project.as_str().into(), as_of.unix_micros().into()];
        let found = revenue_model::Model::find_by_statement(self.dialect().statement(sql, values));
        let Some(row) = found.one(self.database()).await.map_err(store)? else {
            return Ok(InForce::ProjectUnknown);
        };
        let version = row.read()?;
        Ok(if version.is_in_force(as_of) { InForce::Version(Box::new(version)) } else { InForce::Nothing })
    }

    async fn newest_model(&self, project: &ProjectId) -> Result<Option<ModelVersion>, StoreError> {
        let versions = revenue_model::Entity::find().filter(revenue_model::Column::ProjectId.eq(project.as_str()));
        let newest = versions.order_by_desc(revenue_model::Column::Version).limit(1);
        newest.one(self.database()).await.map_err(store)?.map(revenue_model::Model::read).transpose()
    }

    async fn recipients(&self, ids: &[RecipientId]) -> Result<Vec<Stored<Recipient>>, StoreError> {
        // Each once, however often it is named.
        let ids: BTreeSet<&str> = ids.iter().map(RecipientId::as_str).collect();
        let mut found = Vec::with_capacity(ids.len());
        for part in bulk::parts(ids.into_iter().collect()) {
            let named = recipient::Entity::find().filter(recipient::Column::Id.is_in(part));
            for row in named.all(self.database()).await.map_err(store)? {
                found.push(row.read()?);
            }
        }
        Ok(found)
    }

    async fn batch_for_execution(&self, batch: BatchId) -> Result<Option<BatchForExecution>, StoreError> {
        let read = self.begin_read().await.map_err(store)?;
        let Some(row) = batch::Entity::find_by_id(batch.uuid()).one(&read).await.map_err(store)? else {
            return Ok(None);
        };
        let items = items_of(&read, batch).await?;
        let sent = instruction::Entity::find()
            .filter(instruction::Column::BatchId.eq(batch.uuid()))
            .filter(instruction::Column::Status.eq("sent"));
        let unresolved = instructions(&read, sent).await?;
        read.commit().await.map_err(store)?;
        Ok(Some(BatchForExecution { batch: row.read()?, items, unresolved }))
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
        let rows = self.database().query_all_raw(dialect.statement(sql, values)).await.map_err(store)?;
        rows.iter().map(|row| row.try_get_by_index::<Uuid>(0).map(BatchId::new).map_err(store)).collect()
    }

    async fn commit(&self, change: Change) -> Result<(), CommitError> {
        self.commit_change(&change).await
    }
}

/// All items of a batch, in order.
pub(super) async fn items_of(read: &impl ConnectionTrait, batch: BatchId) -> Result<Vec<Stored<Item>>, StoreError> {
    let items = item::Entity::find().filter(item::Column::BatchId.eq(batch.uuid())).order_by_asc(item::Column::Seq);
    items.all(read).await.map_err(store)?.into_iter().map(item::Model::read).collect()
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
