//! The table `jobs`.

use super::Place;
use app::{
    job::{Claimed, Job, JobKind, Lease},
    ports::StoreError,
};
use domain::ids::JobId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: String,
    pub subject: String,
    /// `ready` or `done`.
    pub state: String,
    /// When it is due; while it is leased, when the lease runs out.
    pub run_at: i64,
    pub leased: bool,
    /// Whether there is something to do again once the lease is given back.
    pub woken: bool,
    /// Counts the claims.
    pub attempt: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new job.
    pub fn write(job: &Job) -> Self {
        let Job { id, kind, run_at } = job;
        Self {
            id: id.uuid(),
            kind: kind.as_str().to_owned(),
            subject: kind.subject(),
            state: "ready".to_owned(),
            run_at: run_at.unix_micros(),
            leased: false,
            woken: false,
            attempt: 0,
        }
    }

    /// The job of a row that was just claimed.
    pub fn read(self) -> Result<Claimed, StoreError> {
        let Self { id, kind, subject, state: _, run_at: _, leased: _, woken: _, attempt } = self;
        let id = JobId::new(id);
        let row = Place { table: "jobs", id: &id };
        let found = JobKind::of(&kind, &subject).ok_or_else(|| format!("there is no `{kind}` of `{subject}`"));
        let lease = Lease { job: id, attempt: row.count("attempt", attempt)? };
        Ok(Claimed { lease, kind: row.column("kind", found)? })
    }
}
