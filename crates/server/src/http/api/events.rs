//! `GET /events`: what was published.

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
use app::ports::queries::{EventFilter, PublishedEvent};
use domain::{
    event::EventKind,
    ids::{BatchId, EventId, ItemId},
    timestamp::Timestamp,
};
use poem_openapi::{Object, OpenApi, registry::MetaSchema};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

impl Scalar for EventKind {
    const NAME: &'static str = "EventType";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("What happened.");
        schema.enum_items = Self::all().map(|kind| kind.to_string().into()).collect();
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        let known = Self::all().find(|kind| kind.to_string() == text);
        known.ok_or_else(|| Fault::invalid_format("This must be a type of event, such as `payout.batch.scheduled`."))
    }
    fn wire(&self) -> Value {
        self.to_string().into()
    }
}

/// Something that happened, and when it was published.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Event", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    event_id: Sc<EventId>,
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: Sc<EventKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<Sc<BatchId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<Sc<ItemId>>,
    occurred_at: Sc<Timestamp>,
    published_at: Sc<Timestamp>,
    data: Facts,
}

impl From<PublishedEvent> for EventView {
    fn from(published: PublishedEvent) -> Self {
        let PublishedEvent { event, published_at } = published;
        Self {
            event_id: Sc(event.id),
            kind: Sc(event.kind),
            batch_id: event.batch.map(Sc),
            item_id: event.item.map(Sc),
            occurred_at: Sc(event.occurred_at),
            published_at: Sc(published_at),
            data: Facts(event.data),
        }
    }
}

responses! {
    /// Answers of `GET /events`.
    ListAnswer {
        /// The events, newest first.
        200 Listed(Js<Page<EventView>>),
    }
    errors []
}

/// The endpoints of this file.
pub struct Events(pub(super) Arc<Service>);

#[OpenApi]
impl Events {
    /// List events
    ///
    /// What was published, newest first. What was published long ago is forgotten: after 30 days, unless set otherwise.
    #[oai(path = "/events", method = "get", operation_id = "listEvents", tag = "Tag::Events")]
    async fn list(
        &self,
        _auth: Auth<may::Read>,
        #[oai(name = "batchId")] batch_id: QueryParam<Option<Sc<BatchId>>>,
        #[oai(name = "type")] kind: QueryParam<Option<Sc<EventKind>>>,
        limit: LimitParam,
        starting_after: AfterParam<EventId>,
    ) -> Answer<ListAnswer> {
        let filter = EventFilter { batch: batch_id.0.map(|id| id.0), kind: kind.0.map(|kind| kind.0.to_string()) };
        let page = page_of(limit, starting_after);
        let events = self.0.queries.events(filter, page).await?;
        Ok(ListAnswer::Listed(Js(events.map(EventView::from).into())))
    }
}
