//! `POST /revenue/schedule-payouts/bulk`: many releases in one call, each with an outcome of its own.

use super::{
    Tag,
    actions::actor,
    revenue::{ScheduleRequest, Scheduled, schedule, scheduled},
};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        error_body::ErrorBody,
        ndjson::{Lines, Outcomes, Places},
        problem::Answer,
        responses::Storable,
        roles::may,
    },
};
use app::idempotency::Remembering;
use poem_openapi::{Object, OpenApi, Union};
use std::sync::Arc;

/// What became of one line.
#[derive(Debug, Object)]
pub struct ScheduleOutcome {
    /// Which line of the request, counted from 1.
    line: u32,
    /// The status that `POST /revenue/schedule-payouts` has for such a release.
    status: u16,
    body: ScheduleOutcomeBody,
}

/// The body that `POST /revenue/schedule-payouts` has for such a release: the batch for 201, else the error.
#[derive(Debug, Union)]
#[oai(one_of)]
pub enum ScheduleOutcomeBody {
    /// It is booked.
    Scheduled(Scheduled),
    /// It is not.
    Refused(ErrorBody),
}

/// The endpoint of this file.
pub struct Bulk {
    service: Arc<Service>,
    places: Places,
}

impl Bulk {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service, places: Places::default() }
    }
}

#[OpenApi]
impl Bulk {
    /// Schedule the payouts of many released escrows
    ///
    /// One release a line, each as `POST /revenue/schedule-payouts` takes it; at most 10000 lines and 8 MiB. Each is
    /// booked or refused by itself, as if it had been sent alone, and answered in its place with the status and the
    /// body that it would have been answered alone. They are worked on side by side, so which of them is booked first
    /// is not said. White space after the last line is no line; any other line is answered.
    ///
    /// The same call can be sent again, whole, after it broke off, too: what was booked is answered 409
    /// `already_scheduled`, with its batch. So no `Idempotency-Key` is taken here. A line of status 503 can be sent
    /// again later. What is wrong with the request as a whole is told before anything is booked.
    #[oai(
        path = "/revenue/schedule-payouts/bulk",
        method = "post",
        operation_id = "schedulePayoutsInBulk",
        tag = "Tag::Revenue"
    )]
    async fn schedule_lines(
        &self,
        auth: Auth<may::Schedule>,
        lines: Lines<ScheduleRequest>,
    ) -> Answer<Outcomes<ScheduleOutcome>> {
        let (service, actor) = (Arc::clone(&self.service), actor(&auth.0, None));
        Ok(Outcomes::of(lines, &self.places, move |asked: ScheduleRequest| {
            let (service, actor) = (Arc::clone(&service), actor.clone());
            async move {
                let batch = schedule(&service, asked.by(actor), &Remembering::nothing()).await?;
                Ok(scheduled(&batch).stored())
            }
        }))
    }
}
