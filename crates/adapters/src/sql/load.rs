//! What a decision needs.

use super::{
    Sql, bulk,
    error::store,
    rows::{batch, instruction, instruction_item, item, recipient, revenue_model},
};
use app::{
    change::{Change, Stored},
    ports::{
        CommitError, PayoutRepository, StoreError,
        repository::{BatchForExecution, InForce},
    },
};
use async_trait::async_trait;
use domain::{
    batch::Batch,
    ids::{BatchId, EscrowId, ProjectId, RecipientId},
    instruction::Instruction,
    item::Item,
    recipient::Recipient,
    revenue_model::ModelVersion,
    timestamp::Timestamp,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Select, Value, prelude::Uuid,
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
