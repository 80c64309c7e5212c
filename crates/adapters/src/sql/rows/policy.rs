//! The table `policies`.

use super::{Place, json};
use app::{change::PolicyVersion, ports::StoreError};
use domain::timestamp::Timestamp;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "policies")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i64,
    pub spec: String,
    pub set_by: String,
    pub set_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new version.
    pub fn write(policy: &PolicyVersion) -> Self {
        let PolicyVersion { version, spec, set_by, set_at } = policy;
        Self {
            version: i64::from(*version),
            spec: json(spec),
            set_by: set_by.to_string(),
            set_at: set_at.unix_micros(),
        }
    }

    /// The version of a row.
    pub fn read(self) -> Result<PolicyVersion, StoreError> {
        let Self { version, spec, set_by, set_at } = self;
        let row = Place { table: "policies", id: &version };
        Ok(PolicyVersion {
            version: row.count("version", version)?,
            spec: row.column("spec", serde_json::from_str(&spec))?,
            set_by: row.column("set_by", set_by.parse())?,
            set_at: Timestamp::from_unix_micros(set_at),
        })
    }
}
