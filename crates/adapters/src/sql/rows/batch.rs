//! The table `batches`.

use super::{Place, digest_of};
use crate::sql::bulk::Revised;
use app::{change::Stored, ports::StoreError};
use domain::{
    batch::{Approvals, Batch, BatchStatus, Fingerprint, Origin, Release},
    ids::{BatchId, JobId},
    revenue_model::ModelHash,
    timestamp::Timestamp,
};
use sea_orm::{Value, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "batches")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: String,
    pub recipient_id: Option<String>,
    pub escrow_id: Option<String>,
    pub project_id: Option<String>,
    pub milestone_id: Option<String>,
    pub scheduled_by: String,
    pub currency: String,
    pub amount_minor: i64,
    pub deductions_minor: i64,
    pub fee_minor: i64,
    pub fee_tax_minor: i64,
    pub tax_minor: i64,
    pub total_net_minor: i64,
    pub model_version: Option<i64>,
    pub model_hash: Option<Vec<u8>>,
    pub as_of: Option<i64>,
    pub execute_at: Option<i64>,
    pub due_at: i64,
    pub approvals_required: i64,
    pub approvals_given: i64,
    pub fingerprint: Option<Vec<u8>>,
    pub job_id: Uuid,
    pub items_count: i64,
    pub status: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new batch.
    pub fn write(batch: &Batch) -> Self {
        let Batch {
            id,
            origin,
            scheduled_by,
            currency,
            amount_minor,
            deductions_minor,
            fee_minor,
            fee_tax_minor,
            tax_minor,
            total_net_minor,
            execute_at,
            due_at,
            approvals: Approvals { required, given },
            job,
            items_count,
            status,
            created_at,
            updated_at,
        } = batch;
        let (recipient, release) = match origin {
            Origin::Release(release) => (None, Some(release)),
            Origin::Carry(recipient) => (Some(recipient), None),
        };
        Self {
            id: id.uuid(),
            kind: origin.kind().to_owned(),
            recipient_id: recipient.map(ToString::to_string),
            escrow_id: release.map(|release| release.escrow.to_string()),
            project_id: release.map(|release| release.project.to_string()),
            milestone_id: release.and_then(|release| release.milestone.as_ref().map(ToString::to_string)),
            scheduled_by: scheduled_by.to_string(),
            currency: currency.code().to_owned(),
            amount_minor: *amount_minor,
            deductions_minor: *deductions_minor,
            fee_minor: *fee_minor,
            fee_tax_minor: *fee_tax_minor,
            tax_minor: *tax_minor,
            total_net_minor: *total_net_minor,
            model_version: release.map(|release| i64::from(release.model_version)),
            model_hash: release.map(|release| digest_of(&release.model_hash)),
            as_of: release.map(|release| release.as_of.unix_micros()),
            execute_at: execute_at.map(Timestamp::unix_micros),
            due_at: due_at.unix_micros(),
            approvals_required: i64::from(*required),
            approvals_given: i64::from(*given),
            fingerprint: release.map(|release| release.fingerprint.0.to_vec()),
            job_id: job.uuid(),
            items_count: i64::from(*items_count),
            status: status.as_str().to_owned(),
            created_at: created_at.unix_micros(),
            updated_at: updated_at.unix_micros(),
            revision: 1,
        }
    }

    /// What a write of the batch sets.
    pub const REVISED: Revised = Revised {
        table: "batches",
        columns: &["due_at", "approvals_required", "approvals_given", "status", "updated_at"],
    };

    /// The values of [`Self::REVISED`].
    pub fn revise(batch: &Stored<Batch>) -> Vec<Value> {
        let Self {
            id,
            kind: _,
            recipient_id: _,
            escrow_id: _,
            project_id: _,
            milestone_id: _,
            scheduled_by: _,
            currency: _,
            amount_minor: _,
            deductions_minor: _,
            fee_minor: _,
            fee_tax_minor: _,
            tax_minor: _,
            total_net_minor: _,
            model_version: _,
            model_hash: _,
            as_of: _,
            execute_at: _,
            due_at,
            approvals_required,
            approvals_given,
            fingerprint: _,
            job_id: _,
            items_count: _,
            status,
            created_at: _,
            updated_at,
            revision: _,
        } = Self::write(&batch.value);
        vec![
            id.into(),
            i64::from(batch.revision).into(),
            due_at.into(),
            approvals_required.into(),
            approvals_given.into(),
            status.into(),
            updated_at.into(),
        ]
    }

    /// The batch of a row.
    pub fn read(self) -> Result<Stored<Batch>, StoreError> {
        let Self {
            id,
            kind: _,
            recipient_id,
            escrow_id,
            project_id,
            milestone_id,
            scheduled_by,
            currency,
            amount_minor,
            deductions_minor,
            fee_minor,
            fee_tax_minor,
            tax_minor,
            total_net_minor,
            model_version,
            model_hash,
            as_of,
            execute_at,
            due_at,
            approvals_required,
            approvals_given,
            fingerprint,
            job_id,
            items_count,
            status,
            created_at,
            updated_at,
            revision,
        } = self;
        let id = BatchId::new(id);
        let row = Place { table: "batches", id: &id };
        let origin = match recipient_id {
            Some(recipient) => Origin::Carry(row.column("recipient_id", recipient.parse())?),
            None => Origin::Release(Box::new(Release {
                escrow: row.column("escrow_id", row.needed("escrow_id", escrow_id)?.parse())?,
                project: row.column("project_id", row.needed("project_id", project_id)?.parse())?,
                milestone: row.column("milestone_id", milestone_id.map(|text| text.parse()).transpose())?,
                model_version: row.count("model_version", row.needed("model_version", model_version)?)?,
                model_hash: ModelHash::of(row.digest("model_hash", row.needed("model_hash", model_hash)?)?),
                as_of: Timestamp::from_unix_micros(row.needed("as_of", as_of)?),
                fingerprint: Fingerprint(row.digest("fingerprint", row.needed("fingerprint", fingerprint)?)?),
            })),
        };
        let value = Batch {
            id,
            origin,
            scheduled_by: row.column("scheduled_by", scheduled_by.parse())?,
            currency: row.column("currency", currency.parse())?,
            amount_minor,
            deductions_minor,
            fee_minor,
            fee_tax_minor,
            tax_minor,
            total_net_minor,
            execute_at: execute_at.map(Timestamp::from_unix_micros),
            due_at: Timestamp::from_unix_micros(due_at),
            approvals: Approvals {
                required: row.count("approvals_required", approvals_required)?,
                given: row.count("approvals_given", approvals_given)?,
            },
            job: JobId::new(job_id),
            items_count: row.count("items_count", items_count)?,
            status: row.word("status", &status, BatchStatus::ALL, BatchStatus::as_str)?,
            created_at: Timestamp::from_unix_micros(created_at),
            updated_at: Timestamp::from_unix_micros(updated_at),
        };
        Ok(Stored { value, revision: row.count("revision", revision)? })
    }
}
