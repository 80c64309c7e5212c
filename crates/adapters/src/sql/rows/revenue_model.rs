//! The table `revenue_models`.

use super::{Place, digest_of};
use app::ports::StoreError;
use domain::{
    revenue_model::{ModelHash, ModelStatus, ModelVersion},
    timestamp::Timestamp,
};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "revenue_models")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub project_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i64,
    pub status: String,
    pub effective_from: i64,
    pub effective_to: Option<i64>,
    pub spec: String,
    pub hash: Vec<u8>,
    pub created_by: String,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new version.
    pub fn write(version: &ModelVersion) -> Result<Self, StoreError> {
        let ModelVersion { project, version, status, effective_from, effective_to, spec, hash, created_by, created_at } =
            version;
        let name = format!("{project} {version}");
        let row = Place { table: "revenue_models", id: &name };
        Ok(Self {
            project_id: project.to_string(),
            version: i64::from(*version),
            status: status.as_str().to_owned(),
            effective_from: effective_from.unix_micros(),
            effective_to: effective_to.map(Timestamp::unix_micros),
            spec: row.column("spec", serde_json::to_string(spec))?,
            hash: digest_of(hash),
            created_by: created_by.to_string(),
            created_at: created_at.unix_micros(),
        })
    }

    /// The version of a row.
    pub fn read(self) -> Result<ModelVersion, StoreError> {
        let Self { project_id, version, status, effective_from, effective_to, spec, hash, created_by, created_at } =
            self;
        let name = format!("{project_id} {version}");
        let row = Place { table: "revenue_models", id: &name };
        let statuses = [ModelStatus::Draft, ModelStatus::Active];
        Ok(ModelVersion {
            project: row.column("project_id", project_id.parse())?,
            version: row.count("version", version)?,
            status: row.word("status", &status, statuses, ModelStatus::as_str)?,
            effective_from: Timestamp::from_unix_micros(effective_from),
            effective_to: effective_to.map(Timestamp::from_unix_micros),
            spec: row.column("spec", serde_json::from_str(&spec))?,
            hash: ModelHash::of(row.digest("hash", hash)?),
            created_by: row.column("created_by", created_by.parse())?,
            created_at: Timestamp::from_unix_micros(created_at),
        })
    }
}
