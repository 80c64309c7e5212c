//! `GET /audit`: who did what, when, and what was before and after.

use super::{Tag, values::Facts};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        fault::Fault,
        page::{AfterParam, LimitParam, Page, page_of},
        params::QueryParam,
        payload::Js,
        problem::Answer,
        responses::responses,
        roles::may,
        scalars::{Sc, Scalar},
    },
};
use app::ports::queries::AuditFilter;
use domain::{audit::AuditEntry, ids::AuditId, timestamp::Timestamp};
use poem_openapi::{Object, OpenApi, registry::MetaSchema};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// A word of the audit log to look for: a subject, an actor, an action.
#[derive(Clone, Debug)]
pub struct AuditWord(String);

impl Scalar for AuditWord {
    const NAME: &'static str = "AuditWord";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("What stands in an entry of the audit log, exactly.");
        schema.pattern = Some("^[A-Za-z0-9_.:-]{1,128}$".to_owned());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        let is_word = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
        if is_word {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault::invalid_format("This must be a word such as an id."))
        }
    }
    fn wire(&self) -> Value {
        self.0.clone().into()
    }
}

/// Something that was done.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AuditEntry", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    audit_id: Sc<AuditId>,
    at: Sc<Timestamp>,
    /// The subject of a token, `sys_worker`, or `rail:` and the name of a rail.
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// Such as `batch.approve` or `item.settle`.
    action: String,
    /// The id of what it was done to.
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Facts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Facts>,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            audit_id: Sc(entry.id),
            at: Sc(entry.at),
            actor: entry.actor.name,
            role: entry.actor.role,
            action: entry.action,
            subject: entry.subject,
            note: entry.actor.note,
            request_id: entry.actor.request,
            before: entry.before.map(Facts),
            after: entry.after.map(Facts),
        }
    }
}

responses! {
    /// Answers of `GET /audit`.
    ListAnswer {
        /// The entries, newest first.
        200 Listed(Js<Page<AuditView>>),
    }
    errors []
}

/// The endpoints of this file.
pub struct Audit(pub(super) Arc<Service>);

#[OpenApi]
impl Audit {
    /// Read the audit log
    ///
    /// One entry for each action of a person and each move of an item, newest first.
    #[oai(path = "/audit", method = "get", operation_id = "listAudit", tag = "Tag::Audit")]
    async fn list(
        &self,
        _auth: Auth<may::ReadAudit>,
        subject: QueryParam<Option<Sc<AuditWord>>>,
        actor: QueryParam<Option<Sc<AuditWord>>>,
        action: QueryParam<Option<Sc<AuditWord>>>,
        limit: LimitParam,
        starting_after: AfterParam<AuditId>,
    ) -> Answer<ListAnswer> {
        let word = |word: QueryParam<Option<Sc<AuditWord>>>| word.0.map(|word| word.0.0);
        let filter = AuditFilter { subject: word(subject), actor: word(actor), action: word(action) };
        let entries = self.0.queries.audit(filter, page_of(limit, starting_after)).await?;
        Ok(ListAnswer::Listed(Js(entries.map(AuditView::from).into())))
    }
}
