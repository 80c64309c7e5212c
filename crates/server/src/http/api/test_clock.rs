//! `POST /test/clock/advance`: days pass. In test mode only.

use super::{Tag, actions::actor};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        fields::Fields,
        idempotency::{Key, Once},
        payload::{Body, FromBody, Js},
        problem::Answer,
        responses::responses,
        roles::may,
        scalars::Sc,
    },
};
use app::payouts::advance_clock::advance_clock;
use domain::timestamp::Timestamp;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// A year.
const SECONDS_MAX: i64 = 366 * 86_400;

/// How far the clock goes forward.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct AdvanceRequest {
    /// It never goes back.
    #[oai(validator(minimum(value = "1"), maximum(value = "31622400")))]
    seconds: i64,
}

impl FromBody for AdvanceRequest {
    const EXAMPLE: Option<&'static str> = Some(r#"{ "seconds": 86400 }"#);

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let seconds = fields.required("seconds", |seconds| seconds.whole_number(1..=SECONDS_MAX));
        Some(Self { seconds: seconds? })
    }
}

/// What time it is now.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "TestClock", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ClockView {
    now: Sc<Timestamp>,
}

responses! {
    /// Answers of `POST /test/clock/advance`.
    ClockAnswer {
        /// It is so late now, for everybody who uses this database.
        200 Advanced(Js<ClockView>),
    }
    errors [NotFound]
}

fn advanced(now: &Timestamp) -> ClockAnswer {
    ClockAnswer::Advanced(Js(ClockView { now: Sc(*now) }))
}

/// The endpoints of this file.
pub struct TestClock(pub(super) Arc<Service>);

#[OpenApi]
impl TestClock {
    /// Advance the test clock
    ///
    /// Makes days pass for everybody who uses this database, the simulator included. In test mode only; real providers
    /// do not follow.
    #[oai(path = "/test/clock/advance", method = "post", operation_id = "advanceTestClock", tag = "Tag::Simulator")]
    async fn advance(
        &self,
        auth: Auth<may::Simulate>,
        body: Body<AdvanceRequest>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ClockAnswer>> {
        let service = &self.0;
        let clock = service.test_mode()?;
        let actor = actor(&auth.0, None);
        let by = Duration::from_secs(body.0.seconds.unsigned_abs());
        key.once(service.keeper(), advanced, async |_remember| {
            let now = service.now().await?;
            Ok(advance_clock(service.acting(&actor, now), clock, by).await?)
        })
        .await
    }
}
