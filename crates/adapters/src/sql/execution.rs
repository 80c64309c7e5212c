//! What is known of batches that are to be paid: of all that are worked on at the same time, in one look.

use super::{
    Sql, bulk,
    error::store,
    kept::Kept,
    load::{approvals_of_all, instructions, items_of_all, strays_of},
    queue::Queue,
    reads::{Found, Kind, Reader, Reads},
    rows::{batch, instruction},
};
use app::ports::{StoreError, repository::BatchForExecution};
use async_trait::async_trait;
use domain::ids::BatchId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Uuid, sea_query::Expr};
use std::collections::{BTreeSet, HashMap};

pub(super) enum ToExecute {}

#[async_trait]
impl Kind for ToExecute {
    type Key = BatchId;
    type Value = BatchForExecution;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>> {
        &reads.batches_to_execute
    }

    async fn read(sql: &Sql, _: &mut Kept, wanted: BTreeSet<BatchId>) -> Result<Found<Self>, StoreError> {
        let ids = bulk::padded(wanted.into_iter().map(BatchId::uuid).collect());
        let read = sql.begin_read_on(sql.reader()).await.map_err(store)?;
        let batches = batch::Entity::find().filter(batch::Column::Id.is_in(ids.clone()));
        let batches = batches.all(&read).await.map_err(store)?;

        let mut items = items_of_all(&read, ids.clone()).await?;
        // Spelled out, as in the index.
        let open = instruction::Entity::find()
            .filter(instruction::Column::BatchId.is_in(ids.clone()))
            .filter(Expr::cust("open"));
        let mut unresolved: HashMap<Uuid, Vec<_>> = HashMap::new();
        for stored in instructions(&read, open).await? {
            unresolved.entry(stored.value.batch.uuid()).or_default().push(stored);
        }

        let mut strays = strays_of(&read, ids.clone()).await?;

        let mut approvals = approvals_of_all(&read, ids).await?;
        read.commit().await.map_err(store)?;

        let mut found = Found::<Self>::new();
        for row in batches {
            let id = row.id;
            let batch = BatchForExecution {
                batch: row.read()?,
                items: items.remove(&id).unwrap_or_default(),
                unresolved: unresolved.remove(&id).unwrap_or_default(),
                strays: strays.remove(&id).unwrap_or_default(),
                approvals: approvals.remove(&id).unwrap_or_default(),
            };
            found.insert(BatchId::new(id), batch);
        }
        Ok(found)
    }
}
