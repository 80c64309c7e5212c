//! `/simulator/faults` and `/simulator/settings`: how the simulator is told to misbehave. In test mode only.

use super::{BookDown, Tag, actions::actor};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        fault::Fault as FieldFault,
        fields::Fields,
        idempotency::{Key, Once},
        payload::{Body, FromBody, Js},
        problem::{Answer, ApiError},
        responses::responses,
        roles::may,
        scalars::{Sc, Scalar},
    },
};
use app::ports::rail::{Behaviour, Conduct, Fault, NewFault, SimulatorSettings};
use domain::{ids::RecipientId, timestamp::Timestamp};
use poem_openapi::{Object, OpenApi, registry::MetaSchema};
use serde::Serialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Ten years.
const SECONDS_MAX: i64 = 3_650 * 86_400;
/// As far as a JSON number is exact.
const MINOR_MAX: i64 = 9_007_199_254_740_991;

impl Scalar for Behaviour {
    const NAME: &'static str = "SimulatorBehaviour";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("How the simulator behaves towards a payment.");
        schema.enum_items = Self::ALL.iter().map(Self::wire).collect();
    }
    fn parse(text: &str) -> Result<Self, FieldFault> {
        text.parse().map_err(|_| FieldFault::invalid_format("This must be a behaviour, such as `timeout_after`."))
    }
    fn wire(&self) -> Value {
        self.as_str().into()
    }
}

/// A fault to be switched on. What means nothing with the behaviour is refused.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct FaultRequest {
    behaviour: Sc<Behaviour>,
    /// To whom it happens; to everybody, if absent.
    recipient_id: Option<Sc<RecipientId>>,
    /// To how many calls; to every one until it is cleared, if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    times: Option<i64>,
    /// The code of a decline (`account_closed`) or of a return.
    #[oai(validator(pattern = "^[a-z0-9_]{1,64}$"))]
    code: Option<String>,
    /// How long until it happens.
    #[oai(validator(minimum(value = "0"), maximum(value = "315360000")))]
    after_seconds: Option<i64>,
    /// How much comes back, in minor units; all of it, if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    returned: Option<i64>,
    /// What is executed instead, in minor units.
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    amount: Option<i64>,
    /// How long the caller shall wait.
    #[oai(validator(minimum(value = "0"), maximum(value = "315360000")))]
    retry_after_seconds: Option<i64>,
}

impl FromBody for FaultRequest {
    const EXAMPLE: Option<&'static str> = Some(r#"{ "behaviour": "timeout_after", "times": 1 }"#);

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let behaviour = fields.required("behaviour", Sc::<Behaviour>::read);
        let recipient_id = fields.optional("recipientId", Sc::read);
        let times = fields.optional("times", |times| times.whole_number(1..=1_000_000));
        let code = fields.optional("code", |code| code.text(1..=64));
        let after_seconds = fields.optional("afterSeconds", |after| after.whole_number(0..=SECONDS_MAX));
        let returned = fields.optional("returned", |minor| minor.whole_number(1..=MINOR_MAX));
        let amount = fields.optional("amount", |minor| minor.whole_number(1..=MINOR_MAX));
        let wait = fields.optional("retryAfterSeconds", |wait| wait.whole_number(0..=SECONDS_MAX));
        let request = Self {
            behaviour: behaviour?,
            recipient_id: recipient_id?,
            times: times?,
            code: code?,
            after_seconds: after_seconds?,
            returned: returned?,
            amount: amount?,
            retry_after_seconds: wait?,
        };
        for detail in request.conduct().faults() {
            let name = match detail.field.trim_start_matches('/') {
                "after" => "afterSeconds",
                "retryAfter" => "retryAfterSeconds",
                "returned" => "returned",
                "amount" => "amount",
                _ => "code",
            };
            fields.refuse_at(name, FieldFault::new(detail.code, format!("This {}.", detail.message)));
        }
        Some(request)
    }
}

impl FaultRequest {
    fn conduct(&self) -> Conduct {
        let seconds = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
        Conduct {
            behaviour: self.behaviour.0,
            code: self.code.clone(),
            after: self.after_seconds.map(seconds),
            returned_minor: self.returned,
            amount_minor: self.amount,
            retry_after: self.retry_after_seconds.map(seconds),
        }
    }
}

/// A fault that is switched on.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "SimulatorFault", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct FaultView {
    fault_id: String,
    behaviour: Sc<Behaviour>,
    /// To whom it happens; to everybody, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<String>,
    /// How many calls it still happens to; to every one, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    times_left: Option<u32>,
    created_at: Sc<Timestamp>,
}

impl From<Fault> for FaultView {
    fn from(fault: Fault) -> Self {
        Self {
            fault_id: fault.id,
            behaviour: Sc(fault.conduct.behaviour),
            recipient_id: fault.recipient,
            times_left: fault.times_left,
            created_at: Sc(fault.created_at),
        }
    }
}

/// The faults that are switched on.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "SimulatorFaults")]
pub struct FaultsView {
    /// Oldest first.
    data: Vec<FaultView>,
}

/// So many faults were switched off.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "FaultsCleared")]
pub struct ClearedView {
    cleared: u64,
}

/// What the simulator is like, where one may choose.
#[derive(Clone, Debug, Object, Serialize)]
#[oai(rename = "SimulatorSettings", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct SettingsBody {
    /// How long it remembers an idempotency key. After that the same key executes again, as at a real provider. For ever,
    /// if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "315360000")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_window_seconds: Option<i64>,
    /// Most calls in a second; 1000, if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "100000")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_per_second_max: Option<i64>,
}

impl FromBody for SettingsBody {
    const EXAMPLE: Option<&'static str> = Some(r#"{ "replayWindowSeconds": 86400 }"#);

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let window = fields.optional("replayWindowSeconds", |window| window.whole_number(1..=SECONDS_MAX));
        let calls = fields.optional("callsPerSecondMax", |calls| calls.whole_number(1..=100_000));
        Some(Self { replay_window_seconds: window?, calls_per_second_max: calls? })
    }
}

responses! {
    /// Answers of `POST /simulator/faults`.
    SetAnswer {
        /// It is switched on.
        201 Set(Js<FaultView>),
    }
    errors [NotFound]
}

responses! {
    /// Answers of `GET /simulator/faults`.
    ListAnswer {
        /// The faults that are switched on.
        200 Listed(Js<FaultsView>),
    }
    errors [NotFound]
}

responses! {
    /// Answers of `DELETE /simulator/faults`.
    ClearAnswer {
        /// They are switched off.
        200 Cleared(Js<ClearedView>),
    }
    errors [NotFound]
}

responses! {
    /// Answers of `PUT /simulator/settings`.
    SettingsAnswer {
        /// It is like that from now on.
        200 Changed(Js<SettingsBody>),
    }
    errors [NotFound]
}

fn set(fault: &Fault) -> SetAnswer {
    SetAnswer::Set(Js(fault.clone().into()))
}

/// The endpoints of this file.
pub struct Faults(pub(super) Arc<Service>);

#[OpenApi]
impl Faults {
    /// Switch a fault of the simulator on
    ///
    /// It comes before what a recipient's details ask for. In test mode only.
    #[oai(path = "/simulator/faults", method = "post", operation_id = "setFault", tag = "Tag::Simulator")]
    async fn set(
        &self,
        auth: Auth<may::Simulate>,
        body: Body<FaultRequest>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<SetAnswer>> {
        let service = &self.0;
        let faults = service.simulator()?.faults.as_ref();
        let fault = NewFault {
            conduct: body.0.conduct(),
            recipient: body.0.recipient_id.as_ref().map(|id| id.0.to_string()),
            times: body.0.times.and_then(|times| u32::try_from(times).ok()),
        };
        let actor = actor(&auth.0, None);
        key.once(service.keeper(), set, async |_remember| {
            let said = json!({ "behaviour": fault.conduct.behaviour.as_str(), "recipientId": fault.recipient });
            service.record(&actor, "simulator.set_fault", said).await?;
            faults.set_fault(fault).await.map_err(BookDown).map_err(ApiError::from)
        })
        .await
    }

    /// List the faults of the simulator
    ///
    /// In test mode only.
    #[oai(path = "/simulator/faults", method = "get", operation_id = "listFaults", tag = "Tag::Simulator")]
    async fn list(&self, _auth: Auth<may::Simulate>) -> Answer<ListAnswer> {
        let faults = self.0.simulator()?.faults.faults().await.map_err(BookDown)?;
        Ok(ListAnswer::Listed(Js(FaultsView { data: faults.into_iter().map(FaultView::from).collect() })))
    }

    /// Switch all faults of the simulator off
    ///
    /// In test mode only.
    #[oai(path = "/simulator/faults", method = "delete", operation_id = "clearFaults", tag = "Tag::Simulator")]
    async fn clear(&self, auth: Auth<may::Simulate>) -> Answer<ClearAnswer> {
        self.0.record(&actor(&auth.0, None), "simulator.clear_faults", json!({})).await?;
        let cleared = self.0.simulator()?.faults.clear_faults(None).await.map_err(BookDown)?;
        Ok(ClearAnswer::Cleared(Js(ClearedView { cleared })))
    }

    /// Choose what the simulator is like
    ///
    /// The whole of it. In test mode only.
    #[oai(path = "/simulator/settings", method = "put", operation_id = "putSimulatorSettings", tag = "Tag::Simulator")]
    async fn settings(&self, auth: Auth<may::Simulate>, body: Body<SettingsBody>) -> Answer<SettingsAnswer> {
        let usual = SimulatorSettings::default();
        let settings = SimulatorSettings {
            replay_window: body.0.replay_window_seconds.map(|window| Duration::from_secs(window.unsigned_abs())),
            calls_per_second_max: body
                .0
                .calls_per_second_max
                .and_then(|calls| u32::try_from(calls).ok())
                .unwrap_or(usual.calls_per_second_max),
        };
        self.0.record(&actor(&auth.0, None), "simulator.change_settings", json!(body.0)).await?;
        self.0.simulator()?.faults.change_settings(settings).await.map_err(BookDown)?;
        Ok(SettingsAnswer::Changed(Js(body.0)))
    }
}
