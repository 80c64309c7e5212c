//! Pages and screens. A page goes on after an id; nothing is counted, nothing is skipped over.

use super::{
    Sql,
    error::store,
    load::{approvals_of, instructions, items_of, proposed_of},
    rows::{
        Place, audit_entry, batch, batch_line, event, instruction, instruction_item, item, ledger_entry,
        ledger_transaction, policy, recipient, revenue_model, storable,
    },
};
use app::{
    change::{PolicyVersion, Stored},
    ports::{
        PayoutQueries, StoreError,
        queries::{
            AuditFilter, BatchDetails, BatchFilter, Books, EventFilter, Executed, ItemDetails, OwedItem, OwedTo, Page,
            Paged, PublishedEvent, RailPause, TransactionFilter,
        },
    },
};
use async_trait::async_trait;
use domain::{
    audit::AuditEntry,
    batch::{Batch, BatchStatus},
    event::EventKind,
    ids::{AuditId, BatchId, EscrowId, EventId, InstructionId, ItemId, ProjectId, RecipientId, TransactionId},
    item::ItemStatus,
    ledger::{Account, Transaction},
    recipient::Recipient,
    revenue_model::ModelVersion,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, Order, Query, SelectStatement, UnionType},
};
use std::collections::HashMap;

/// The accounts whose entries are found by an index, spelled out as in the index.
const IS_INDEXED: &str = "account_kind NOT IN ('escrow', 'escrow_receivable')";
/// So many of the last movements on an account of a rail tell whether it takes anything.
const MOVED_LAST: u32 = 100;

#[async_trait]
impl PayoutQueries for Sql {
    async fn ping(&self) -> Result<(), StoreError> {
        self.reader().execute_unprepared("SELECT 1").await.map(drop).map_err(store)
    }

    async fn batches(&self, filter: BatchFilter, page: Page<BatchId>) -> Result<Paged<Batch>, StoreError> {
        let BatchFilter { status, project, escrow } = filter;
        let wanted = Condition::all()
            .add_option(status.map(has_status))
            .add_option(project.map(|project| batch::Column::ProjectId.eq(project.as_str())))
            .add_option(escrow.map(|escrow| batch::Column::EscrowId.eq(escrow.as_str())))
            .add_option(page.after.map(|after| batch::Column::Id.lt(after.uuid())));
        let rows = batch::Entity::find().filter(wanted).order_by_desc(batch::Column::Id).limit(one_more(page.limit));
        let rows = rows.all(self.lists()).await.map_err(store)?;
        let batches = rows.into_iter().map(|row| Ok(row.read()?.value)).collect::<Result<_, StoreError>>()?;
        Ok(Paged::cut(batches, page.limit))
    }

    async fn batch(&self, batch: BatchId) -> Result<Option<BatchDetails>, StoreError> {
        let read = self.begin_read().await.map_err(store)?;
        let Some(row) = batch::Entity::find_by_id(batch.uuid()).one(&read).await.map_err(store)? else {
            return Ok(None);
        };
        let items = items_of(&read, batch).await?;
        let theirs = instruction::Entity::find().filter(instruction::Column::BatchId.eq(batch.uuid()));
        let instructions = instructions(&read, theirs).await?;
        let events = event::Entity::find().filter(event::Column::BatchId.eq(batch.uuid()));
        let events = events.order_by_asc(event::Column::Id).all(&read).await.map_err(store)?;
        let approvals = approvals_of(&read, batch).await?;
        read.commit().await.map_err(store)?;
        Ok(Some(BatchDetails {
            batch: row.read()?.value,
            items: values(items),
            instructions: values(instructions),
            events: events.into_iter().map(event::Model::read).collect::<Result<_, _>>()?,
            approvals,
        }))
    }

    async fn item(&self, item: ItemId) -> Result<Option<ItemDetails>, StoreError> {
        let read = self.begin_read().await.map_err(store)?;
        let Some(row) = item::Entity::find_by_id(item.uuid()).one(&read).await.map_err(store)? else {
            return Ok(None);
        };
        let batch = batch::Entity::find_by_id(row.batch_id).one(&read).await.map_err(store)?;
        let Some(batch) = batch.map(batch::Model::read).transpose()? else {
            return Err(StoreError::Corrupt(format!("items {item}: batch_id: there is no such batch")));
        };
        let theirs = instruction::Entity::find().filter(instruction::Column::Id.in_subquery(instructions_for(item)));
        let instructions = instructions(&read, theirs).await?;
        let resolution = proposed_of(&read, item).await?.map(|found| found.value);
        let recipient = recipient::Entity::find_by_id(row.recipient_id.clone()).one(&read).await.map_err(store)?;
        let rail = recipient.map(recipient::Model::read).transpose()?.map(|found| found.value.destination.rail);
        let item = row.read()?.value;
        let pauses = if RailPause::concerns(&item) { self.pauses(&read).await? } else { Vec::new() };
        read.commit().await.map_err(store)?;
        let instructions = values(instructions);
        Ok(Some(ItemDetails { item, batch: batch.value, instructions, resolution, rail, pauses }))
    }

    async fn models(&self, project: &ProjectId, page: Page<u32>) -> Result<Paged<ModelVersion>, StoreError> {
        use revenue_model::{Column, Entity, Model};
        let wanted = Condition::all()
            .add(Column::ProjectId.eq(project.as_str()))
            .add_option(page.after.map(|after| Column::Version.lt(i64::from(after))));
        let rows = Entity::find().filter(wanted).order_by_desc(Column::Version).limit(one_more(page.limit));
        let rows = rows.all(self.lists()).await.map_err(store)?;
        let versions = rows.into_iter().map(Model::read).collect::<Result<_, _>>()?;
        Ok(Paged::cut(versions, page.limit))
    }

    async fn model(&self, project: &ProjectId, version: u32) -> Result<Option<ModelVersion>, StoreError> {
        let found = revenue_model::Entity::find_by_id((project.to_string(), i64::from(version)));
        found.one(self.lists()).await.map_err(store)?.map(revenue_model::Model::read).transpose()
    }

    async fn recipient(&self, recipient: &RecipientId) -> Result<Option<Recipient>, StoreError> {
        let row = recipient::Entity::find_by_id(recipient.to_string()).one(self.lists()).await.map_err(store)?;
        Ok(row.map(recipient::Model::read).transpose()?.map(|found| found.value))
    }

    async fn owed_to(&self, recipient: &RecipientId, limit: u32) -> Result<OwedTo, StoreError> {
        let read = self.begin_read().await.map_err(store)?;
        // The statuses are spelled out, as in the index that holds nothing else.
        let owed = "FROM items JOIN batches ON batches.id = items.batch_id
                    WHERE items.recipient_id = $1 AND items.status IN ('scheduled', 'pending_kyc', 'failed', 'returned')";
        let sql = format!(
            "SELECT batches.currency, items.status, CAST(sum(items.payable_minor - items.taken_minor) AS bigint)
             {owed} GROUP BY batches.currency, items.status ORDER BY batches.currency, items.status"
        );
        let mut found = OwedTo::default();
        for row in
            read.query_all_raw(self.dialect().statement(sql, [recipient.as_str().into()])).await.map_err(store)?
        {
            let (code, status): (String, String) =
                (row.try_get_by_index(0).map_err(store)?, row.try_get_by_index(1).map_err(store)?);
            let place = Place { table: "items", id: recipient };
            found.sums.push((
                place.column("currency", code.parse())?,
                place.word("status", &status, ItemStatus::ALL, ItemStatus::as_str)?,
                row.try_get_by_index(2).map_err(store)?,
            ));
        }
        let owed = item::Entity::find()
            .filter(item::Column::RecipientId.eq(recipient.as_str()))
            .filter(Expr::cust("status IN ('scheduled', 'pending_kyc', 'failed', 'returned')"));
        let items = owed.order_by_desc(item::Column::Id).limit(u64::from(limit)).all(&read).await.map_err(store)?;
        for row in items {
            let batch = batch::Entity::find_by_id(row.batch_id).one(&read).await.map_err(store)?;
            if let Some(batch) = batch.map(batch::Model::read).transpose()? {
                found.items.push(OwedItem { item: row.read()?.value, currency: batch.value.currency });
            }
        }
        read.commit().await.map_err(store)?;
        Ok(found)
    }

    async fn has_lines(&self, recipient: &RecipientId) -> Result<bool, StoreError> {
        let theirs = batch_line::Entity::find().filter(batch_line::Column::RecipientId.eq(recipient.as_str()));
        Ok(theirs.one(self.lists()).await.map_err(store)?.is_some())
    }

    async fn transactions(
        &self,
        filter: TransactionFilter,
        page: Page<TransactionId>,
    ) -> Result<Paged<Transaction>, StoreError> {
        use ledger_transaction::Column;
        let rows = headers(filter, &page).order_by_desc(Column::Id).limit(one_more(page.limit));
        let rows = rows.all(self.lists()).await.map_err(store)?;
        // Nothing is ever added to a transaction that is there: a second statement sees the same one.
        let mut entries = self.entries_of(rows.iter().map(|row| row.id).collect()).await.map_err(store)?;
        let transactions = rows.into_iter().map(|row| {
            let entries = entries.remove(&row.id).unwrap_or_default();
            row.read(entries)
        });
        Ok(Paged::cut(transactions.collect::<Result<_, _>>()?, page.limit))
    }

    async fn events(&self, filter: EventFilter, page: Page<EventId>) -> Result<Paged<PublishedEvent>, StoreError> {
        use event::{Column, Entity, Model};
        let EventFilter { batch, kind } = filter;
        let wanted = Condition::all()
            .add(Column::PublishedAt.is_not_null())
            .add_option(batch.map(|batch| Column::BatchId.eq(batch.uuid())))
            .add_option(kind.map(|kind| Column::Kind.eq(kind)))
            .add_option(page.after.map(|after| Column::Id.lt(after.uuid())));
        let rows = Entity::find().filter(wanted).order_by_desc(Column::Id).limit(one_more(page.limit));
        let rows = rows.all(self.lists()).await.map_err(store)?;
        let events = rows.into_iter().map(Model::read_published).collect::<Result<_, _>>()?;
        Ok(Paged::cut(events, page.limit))
    }

    async fn audit(&self, filter: AuditFilter, page: Page<AuditId>) -> Result<Paged<AuditEntry>, StoreError> {
        use audit_entry::{Column, Entity, Model};
        let AuditFilter { subject, actor, action } = filter;
        let wanted = Condition::all()
            .add_option(subject.map(|subject| Column::Subject.eq(storable(&subject))))
            .add_option(actor.map(|actor| Column::Actor.eq(storable(&actor))))
            .add_option(action.map(|action| Column::Action.eq(storable(&action))))
            .add_option(page.after.map(|after| Column::Id.lt(after.uuid())));
        let rows = Entity::find().filter(wanted).order_by_desc(Column::Id).limit(one_more(page.limit));
        let rows = rows.all(self.lists()).await.map_err(store)?;
        Ok(Paged::cut(rows.into_iter().map(Model::read).collect::<Result<_, _>>()?, page.limit))
    }

    async fn policies(&self, limit: u32) -> Result<Vec<PolicyVersion>, StoreError> {
        let newest = policy::Entity::find().order_by_desc(policy::Column::Version).limit(u64::from(limit));
        newest.all(self.lists()).await.map_err(store)?.into_iter().map(policy::Model::read).collect()
    }

    async fn books(&self) -> Result<Books, StoreError> {
        self.read_books().await
    }

    async fn executed(&self, instructions: &[InstructionId]) -> Result<Vec<Executed>, StoreError> {
        self.read_executed(instructions).await
    }
}

impl Sql {
    /// The entries of the named transactions, in order.
    async fn entries_of(&self, ids: Vec<Uuid>) -> Result<HashMap<Uuid, Vec<ledger_entry::Model>>, DbErr> {
        use ledger_entry::{Column, Entity};
        let entries = Entity::find().filter(Column::TransactionId.is_in(ids)).order_by_asc(Column::Seq);
        let mut by_transaction: HashMap<Uuid, Vec<ledger_entry::Model>> = HashMap::new();
        for entry in entries.all(self.lists()).await? {
            by_transaction.entry(entry.transaction_id).or_default().push(entry);
        }
        Ok(by_transaction)
    }
}

impl Sql {
    /// The rails that refused everything because of us and have taken nothing since.
    async fn pauses(&self, read: &impl ConnectionTrait) -> Result<Vec<RailPause>, StoreError> {
        let alarms = event::Entity::find().filter(event::Column::Kind.eq(EventKind::Alarm.to_string()));
        let newest = alarms.order_by_desc(event::Column::Id).limit(u64::from(RailPause::ALARMS_MAX));
        let newest = newest.all(read).await.map_err(store)?;
        let alarms = newest.into_iter().map(event::Model::read).collect::<Result<Vec<_>, _>>()?;
        let mut pauses = RailPause::told_by(alarms);
        for place in (0..pauses.len()).rev() {
            if self.has_taken_since(read, &pauses[place]).await? {
                pauses.remove(place);
            }
        }
        Ok(pauses)
    }

    /// Whether a rail has taken anything that was sent after it paused. Only what moved last on its accounts is looked
    /// at: while it is paused next to nothing moves there, and afterwards what it takes does.
    async fn has_taken_since(&self, read: &impl ConnectionTrait, pause: &RailPause) -> Result<bool, StoreError> {
        let newest = |kind: &str| {
            format!(
                "SELECT transaction_id FROM (
                   SELECT transaction_id FROM ledger_entries
                   WHERE account_kind = '{kind}' AND account_subject = $1 AND {IS_INDEXED}
                   ORDER BY transaction_id DESC LIMIT {MOVED_LAST}) AS last_{kind}"
            )
        };
        let sql = format!(
            "SELECT 1 FROM ledger_transactions
             JOIN instructions ON instructions.id = ledger_transactions.instruction_id
             JOIN instruction_items ON instruction_items.instruction_id = instructions.id
             WHERE ledger_transactions.id IN ({} UNION ALL {})
               AND instructions.last_sent_at > $2
               AND instruction_items.outcome IN ('accepted', 'settled', 'stray', 'returned')
             LIMIT 1",
            newest("in_transit"),
            newest("cash"),
        );
        let values = [pause.rail.as_str().into(), pause.since.unix_micros().into()];
        let found = read.query_one_raw(self.dialect().statement(sql, values)).await.map_err(store)?;
        Ok(found.is_some())
    }
}

/// One further than asked for tells whether there is more.
fn one_more(limit: u32) -> u64 {
    u64::from(limit) + 1
}

fn values<T>(stored: Vec<Stored<T>>) -> Vec<T> {
    stored.into_iter().map(|stored| stored.value).collect()
}

/// Spelled out, as in the index of those that are not completed: with a parameter it could not be used.
fn has_status(status: BatchStatus) -> Expr {
    let is_status = Expr::cust(format!("status = '{}'", status.as_str()));
    match status {
        BatchStatus::Completed => is_status,
        _ => is_status.and(Expr::cust("status <> 'completed'")),
    }
}

/// The instructions for an item, live and past: one index each.
fn instructions_for(item: ItemId) -> SelectStatement {
    let with = |is_live: &'static str| {
        let mut select = Query::select();
        select.column(instruction_item::Column::InstructionId).from(instruction_item::Entity);
        select.and_where(instruction_item::Column::ItemId.eq(item.uuid())).and_where(Expr::cust(is_live));
        select
    };
    with("live").union(UnionType::All, with("NOT live")).to_owned()
}

fn headers(filter: TransactionFilter, page: &Page<TransactionId>) -> Select<ledger_transaction::Entity> {
    use ledger_transaction::{Column, Entity};
    let TransactionFilter { batch, account } = filter;
    let on_account = account.map(|account| match batch {
        // A batch has few transactions: each is asked for the account.
        Some(_) => Expr::exists(entries_on(&account).and_where(is_of_header()).to_owned()),
        None => match &account {
            // An escrow is that of one batch.
            Account::Escrow(escrow) => {
                let entry = Expr::exists(entries_on(&account).and_where(is_of_header()).to_owned());
                Column::BatchId.in_subquery(batch_of(escrow)).and(entry)
            }
            // An account may have a great many: only as many are read as the page shows.
            _ => Column::Id.in_subquery(newest_on(&account, page)),
        },
    });
    let wanted = Condition::all()
        .add_option(batch.map(|batch| Column::BatchId.eq(batch.uuid())))
        .add_option(on_account)
        .add_option(page.after.map(|after| Column::Id.lt(after.uuid())));
    Entity::find().filter(wanted)
}

fn entries_on(account: &Account) -> SelectStatement {
    use ledger_entry::{Column, Entity};
    let mut entries = Query::select();
    entries.column(Column::TransactionId).from(Entity);
    entries.and_where(Column::AccountKind.eq(account.kind())).and_where(Column::AccountSubject.eq(account.subject()));
    entries
}

fn batch_of(escrow: &EscrowId) -> SelectStatement {
    let mut select = Query::select();
    select.column(batch::Column::Id).from(batch::Entity);
    select.and_where(batch::Column::EscrowId.eq(escrow.as_str())).to_owned()
}

fn is_of_header() -> Expr {
    let header = (ledger_transaction::Entity, ledger_transaction::Column::Id);
    Expr::col((ledger_entry::Entity, ledger_entry::Column::TransactionId)).equals(header)
}

fn newest_on(account: &Account, page: &Page<TransactionId>) -> SelectStatement {
    use ledger_entry::Column;
    let mut entries = entries_on(account);
    // Every release has one on that account: the newest are found without an index.
    if *account != Account::EscrowReceivable {
        entries.and_where(Expr::cust(IS_INDEXED));
    }
    if let Some(after) = page.after {
        entries.and_where(Column::TransactionId.lt(after.uuid()));
    }
    // An account may occur twice in a transaction.
    entries.distinct().order_by(Column::TransactionId, Order::Desc).limit(one_more(page.limit)).to_owned()
}
