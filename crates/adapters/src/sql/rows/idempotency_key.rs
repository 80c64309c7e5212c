//! The table `idempotency_keys`. It is written with statements that look at what is there.

use super::Place;
use app::{
    idempotency::{KeyedRequest, StoredAnswer},
    ports::{StoreError, idempotency::Claiming},
};
use domain::batch::Fingerprint;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// The operation that the key belongs to.
    #[sea_orm(primary_key, auto_increment = false)]
    pub operation: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    pub fingerprint: Vec<u8>,
    /// Who works on the request; absent once it is answered.
    pub token: Option<Uuid>,
    pub claimed_until: Option<i64>,
    /// The answer, with its headers as a list of pairs; absent until there is one.
    pub status: Option<i64>,
    pub headers: Option<String>,
    pub body: Option<String>,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The headers of an answer, as they are stored.
pub fn headers_text(answer: &StoredAnswer) -> String {
    answer
        .headers
        .iter()
        .map(|(name, value)| serde_json::json!([name, value]))
        .collect::<serde_json::Value>()
        .to_string()
}

impl Model {
    /// What a request finds that claims this key in vain.
    pub fn claiming(self, request: &KeyedRequest) -> Result<Claiming, StoreError> {
        let (fingerprint, answer) = self.read()?;
        Ok(match answer {
            _ if fingerprint != request.fingerprint => Claiming::Another,
            None => Claiming::InProgress,
            Some(answer) => Claiming::Answered(answer),
        })
    }

    /// What the request said, if it was answered.
    pub fn answered_for(self) -> Result<Option<Fingerprint>, StoreError> {
        let (fingerprint, answer) = self.read()?;
        Ok(answer.map(|_| fingerprint))
    }

    fn read(self) -> Result<(Fingerprint, Option<StoredAnswer>), StoreError> {
        let Self { operation, key, fingerprint, token: _, claimed_until: _, status, headers, body, created_at: _ } =
            self;
        let name = format!("{operation} {key}");
        let row = Place { table: "idempotency_keys", id: &name };
        let fingerprint = Fingerprint(row.digest("fingerprint", fingerprint)?);
        let Some(status) = status else { return Ok((fingerprint, None)) };
        let headers = row.needed("headers", headers)?;
        let answer = StoredAnswer {
            status: row.column("status", u16::try_from(status))?,
            headers: row.column("headers", serde_json::from_str(&headers))?,
            body: row.needed("body", body)?,
        };
        Ok((fingerprint, Some(answer)))
    }
}
