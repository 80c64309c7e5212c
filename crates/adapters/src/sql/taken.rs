//! Which key was taken. The database names a constraint, not the row: `PostgreSQL` by its name, SQLite by its columns.

use super::{
    Sql,
    error::store,
    rows::{
        approval, batch, instruction_item, job, policy, rail_event, recipient, resolution, revenue_model, reversal,
        storable,
    },
};
use app::{
    change::{Change, New, ResolutionState, Update},
    ports::{CommitError, DuplicateKey},
};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, sea_query::Expr};

/// The constraint under which an escrow becomes one batch.
pub(super) const ESCROW: &str = "batches_escrow";

impl Sql {
    /// Which of the keys that the change would take is taken.
    pub(super) async fn taken(&self, constraint: &str, change: &Change) -> CommitError {
        let wanted = keys_under(constraint, change);
        for (at, key) in wanted.iter().enumerate() {
            let is_repeated = wanted[..at].contains(key);
            match if is_repeated { Ok(true) } else { self.is_taken(key, change).await } {
                Ok(true) => return CommitError::Duplicate(key.clone()),
                Ok(false) => {}
                Err(error) => return store(error).into(),
            }
        }
        CommitError::Duplicate(DuplicateKey::Other(constraint.to_owned()))
    }

    async fn is_taken(&self, key: &DuplicateKey, change: &Change) -> Result<bool, DbErr> {
        let database = self.lists();
        Ok(match key {
            DuplicateKey::Escrow(escrow) => {
                let taken = batch::Entity::find().filter(batch::Column::EscrowId.eq(escrow.as_str()));
                taken.one(database).await?.is_some()
            }
            DuplicateKey::ModelVersion(project, version) => {
                let id = (project.to_string(), i64::from(*version));
                revenue_model::Entity::find_by_id(id).one(database).await?.is_some()
            }
            DuplicateKey::Recipient(id) => recipient::Entity::find_by_id(id.to_string()).one(database).await?.is_some(),
            DuplicateKey::LiveInstruction(item) => {
                let of_item = instruction_item::Entity::find().filter(instruction_item::Column::ItemId.eq(item.uuid()));
                // What an instruction of the change itself occupies is nobody else's.
                let own = change.update.iter().filter_map(|update| {
                    let Update::Instruction(own) = update else { return None };
                    Some(own.value.id.uuid())
                });
                let others = of_item.filter(instruction_item::Column::InstructionId.is_not_in(own));
                // Spelled out, as in the index.
                others.filter(Expr::cust("live")).one(database).await?.is_some()
            }
            DuplicateKey::Reversal(id) => reversal::Entity::find_by_id(id.to_string()).one(database).await?.is_some(),
            DuplicateKey::RailEvent(rail, name) => {
                let taken = rail_event::Entity::find_by_id((rail.to_string(), storable(name)));
                taken.one(database).await?.is_some()
            }
            DuplicateKey::Approval(batch) => {
                let of_batch = approval::Entity::find().filter(approval::Column::BatchId.eq(batch.uuid()));
                of_batch.one(database).await?.is_some()
            }
            DuplicateKey::Policy(version) => {
                policy::Entity::find_by_id(i64::from(*version)).one(database).await?.is_some()
            }
            DuplicateKey::Resolution(item) => {
                let of_item = resolution::Entity::find().filter(resolution::Column::ItemId.eq(item.uuid()));
                // Spelled out, as in the index.
                of_item.filter(Expr::cust("status = 'proposed'")).one(database).await?.is_some()
            }
            DuplicateKey::Job(id) => job::Entity::find_by_id(id.uuid()).one(database).await?.is_some(),
            // It is looked for by the commit itself.
            DuplicateKey::IdempotencyKey | DuplicateKey::Other(_) => false,
        })
    }
}

/// The keys of a change that a constraint speaks of: by its name, or by its columns.
fn keys_under(constraint: &str, change: &Change) -> Vec<DuplicateKey> {
    let news = change.insert.iter();
    match constraint {
        ESCROW | "batches.escrow_id" => {
            let key = |new: &New| {
                let New::Batch(batch) = new else { return None };
                Some(DuplicateKey::Escrow(batch.escrow()?.clone()))
            };
            news.filter_map(key).collect()
        }
        "revenue_models_pkey" | "revenue_models.project_id, revenue_models.version" => {
            let key = |new: &New| {
                let New::ModelVersion(version) = new else { return None };
                Some(DuplicateKey::ModelVersion(version.project.clone(), version.version))
            };
            news.filter_map(key).collect()
        }
        "recipients_pkey" | "recipients.id" => {
            let key = |new: &New| {
                let New::Recipient(recipient) = new else { return None };
                Some(DuplicateKey::Recipient(recipient.id.clone()))
            };
            news.filter_map(key).collect()
        }
        "reversals_pkey" | "reversals.id" => {
            let key = |new: &New| {
                let New::Reversal(reversal) = new else { return None };
                Some(DuplicateKey::Reversal(reversal.id.clone()))
            };
            news.filter_map(key).collect()
        }
        "instruction_items_live" | "instruction_items.item_id" => {
            let known = change.update.iter().filter_map(|update| {
                let Update::Instruction(known) = update else { return None };
                Some(&known.value)
            });
            let new = news.filter_map(|new| {
                let New::Instruction(instruction) = new else { return None };
                Some(instruction)
            });
            let parts = known.chain(new).flat_map(|instruction| &instruction.items);
            let occupied = parts.filter(|part| part.outcome.is_live());
            occupied.map(|part| DuplicateKey::LiveInstruction(part.item)).collect()
        }
        "rail_events_pkey" | "rail_events.rail, rail_events.dedupe" => {
            let key = |new: &New| {
                let New::RailEvent(taken) = new else { return None };
                Some(DuplicateKey::RailEvent(taken.rail.clone(), taken.event.dedupe.clone()))
            };
            news.filter_map(key).collect()
        }
        "approvals_pkey" | "approvals.batch_id, approvals.approver, approvals.hash, approvals.created_at" => {
            let key = |new: &New| {
                let New::Approval(approval) = new else { return None };
                Some(DuplicateKey::Approval(approval.batch()))
            };
            news.filter_map(key).collect()
        }
        "policies_pkey" | "policies.version" => {
            let key = |new: &New| {
                let New::Policy(policy) = new else { return None };
                Some(DuplicateKey::Policy(policy.version))
            };
            news.filter_map(key).collect()
        }
        "resolutions_proposed" | "resolutions.item_id" => {
            let key = |new: &New| {
                let New::Resolution(resolution) = new else { return None };
                let is_proposed = resolution.state == ResolutionState::Proposed;
                is_proposed.then_some(DuplicateKey::Resolution(resolution.item))
            };
            news.filter_map(key).collect()
        }
        "jobs_pkey" | "jobs.id" => change.enqueue.iter().map(|job| DuplicateKey::Job(job.id)).collect(),
        _ => Vec::new(),
    }
}
