//! `GET` and `PUT /payouts/policy`: what must be true before a batch is paid.

use super::{Tag, actions::actor};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        fields::{Field, Fields},
        payload::{Body, FromBody, Js},
        problem::Answer,
        responses::responses,
        roles::may,
        scalars::Sc,
    },
};
use app::{change::PolicyVersion, payouts::set_policy::set_policy};
use domain::{
    currency::Currency,
    ids::Requester,
    policy::{APPROVERS_MAX, ApprovalSpec, CalendarSpec, PolicySpec, RULES_MAX, RuleSpec},
    timestamp::Timestamp,
};
use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;
use std::sync::Arc;

/// Most characters of a cron expression or a time zone.
const WORD_MAX: usize = 200;
/// As far as a JSON number is exact.
const WHOLE_MAX: i64 = 9_007_199_254_740_991;

/// What must be true before a batch is paid. An empty one: nobody must say yes, and everything is paid at once.
#[derive(Clone, Debug, Object, Serialize)]
#[oai(rename = "Policy", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct PolicyBody {
    /// Who must say yes to what; nobody, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalBody>,
    /// When payouts are made; at once, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    calendar: Option<CalendarBody>,
}

/// Who must say yes to what.
#[derive(Clone, Debug, Object, Serialize)]
#[oai(rename = "ApprovalPolicy", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ApprovalBody {
    /// What asks for approval; the most of what they ask for is needed.
    #[oai(validator(min_items = 1, max_items = 50))]
    rules: Vec<RuleBody>,
    /// Whose approvals count; everybody's who has the role, if absent.
    #[oai(validator(max_items = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    approvers: Option<Vec<Sc<Requester>>>,
    /// How long an approval counts; for ever, if absent.
    #[oai(validator(minimum(value = "60"), maximum(value = "31622400")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_for_seconds: Option<i64>,
}

/// So many people must say yes, if something is so.
#[derive(Clone, Debug, Object, Serialize)]
#[oai(rename = "ApprovalRule", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct RuleBody {
    when: When,
    /// With `amount`.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Sc<Currency>>,
    /// With `amount`: the least amount of a batch that is meant, in minor units.
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
    /// How many people.
    #[oai(validator(minimum(value = "1"), maximum(value = "10")))]
    approvals: i64,
}

/// What asks for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "ApprovalTrigger", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// So much or more is to be sent.
    Amount,
    /// Somebody is paid for the first time.
    NewDestination,
    /// Somebody is paid elsewhere than ever before.
    ChangedDestination,
}

/// When payouts are made: at the ticks of a cron expression, once what is owed is old enough.
#[derive(Clone, Debug, Object, Serialize)]
#[oai(rename = "PayoutCalendar", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct CalendarBody {
    /// Minute, hour, day of month, month, day of week.
    #[oai(validator(min_length = 1, max_length = 200))]
    cron: String,
    /// A name of the IANA time zone database.
    #[oai(validator(min_length = 1, max_length = 200))]
    time_zone: String,
    /// How old a release must be before it is paid; 0, if absent.
    #[oai(validator(minimum(value = "0"), maximum(value = "31622400")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum_age_seconds: Option<i64>,
}

/// The policy in force.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PolicyInForce", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    /// 0 if nobody ever set one.
    version: u32,
    policy: PolicyBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_by: Option<Sc<Requester>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_at: Option<Sc<Timestamp>>,
}

impl FromBody for PolicyBody {
    const EXAMPLE: Option<&'static str> = Some(
        r#"{ "approval": { "rules": [
               { "when": "amount", "currency": "USD", "from": 1000000, "approvals": 2 },
               { "when": "changed_destination", "approvals": 1 } ], "validForSeconds": 604800 },
             "calendar": { "cron": "0 9 * * 1-5", "timeZone": "Europe/Berlin", "minimumAgeSeconds": 86400 } }"#,
    );

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let approval = fields.optional("approval", ApprovalBody::read);
        let calendar = fields.optional("calendar", CalendarBody::read);
        Some(Self { approval: approval?, calendar: calendar? })
    }
}

impl ApprovalBody {
    fn read(field: Field<'_>) -> Option<Self> {
        field.object(|fields| {
            let rules = fields.required("rules", |rules| rules.list(0..=RULES_MAX, RuleBody::read));
            let approvers = fields.optional("approvers", |who| who.list(0..=APPROVERS_MAX, Sc::read));
            let valid = fields.optional("validForSeconds", whole);
            Some(Self { rules: rules?, approvers: approvers?, valid_for_seconds: valid? })
        })
    }
}

impl RuleBody {
    fn read(field: Field<'_>) -> Option<Self> {
        let words = [
            ("amount", When::Amount),
            ("new_destination", When::NewDestination),
            ("changed_destination", When::ChangedDestination),
        ];
        field.object(|fields| {
            let when = fields.required("when", |when| when.one_of(&words));
            let approvals = fields.required("approvals", whole);
            let (currency, from) = match when {
                Some(When::Amount) => {
                    let currency = fields.required("currency", Sc::read);
                    let from = fields.required("from", whole);
                    (Some(currency?), Some(from?))
                }
                // Without an amount they are unknown fields.
                Some(When::NewDestination | When::ChangedDestination) | None => (None, None),
            };
            Some(Self { when: when?, currency, from, approvals: approvals? })
        })
    }

    fn spec(self) -> Option<RuleSpec> {
        let approvals = self.approvals;
        Some(match self.when {
            When::Amount => RuleSpec::Amount { currency: self.currency?.0, from: self.from?, approvals },
            When::NewDestination => RuleSpec::NewDestination { approvals },
            When::ChangedDestination => RuleSpec::ChangedDestination { approvals },
        })
    }

    fn of(spec: RuleSpec) -> Self {
        match spec {
            RuleSpec::Amount { currency, from, approvals } => {
                Self { when: When::Amount, currency: Some(Sc(currency)), from: Some(from), approvals }
            }
            RuleSpec::NewDestination { approvals } => {
                Self { when: When::NewDestination, currency: None, from: None, approvals }
            }
            RuleSpec::ChangedDestination { approvals } => {
                Self { when: When::ChangedDestination, currency: None, from: None, approvals }
            }
        }
    }
}

impl CalendarBody {
    fn read(field: Field<'_>) -> Option<Self> {
        field.object(|fields| {
            let cron = fields.required("cron", |cron| cron.text(1..=WORD_MAX));
            let time_zone = fields.required("timeZone", |zone| zone.text(1..=WORD_MAX));
            let age = fields.optional("minimumAgeSeconds", whole);
            Some(Self { cron: cron?, time_zone: time_zone?, minimum_age_seconds: age? })
        })
    }
}

/// The domain says which numbers are possible, with all other faults.
fn whole(field: Field<'_>) -> Option<i64> {
    field.whole_number(-WHOLE_MAX..=WHOLE_MAX)
}

impl PolicyBody {
    fn spec(self) -> PolicySpec {
        let approval = self.approval.map(|approval| ApprovalSpec {
            rules: approval.rules.into_iter().filter_map(RuleBody::spec).collect(),
            approvers: approval.approvers.unwrap_or_default().into_iter().map(|who| who.0).collect(),
            valid_for_seconds: approval.valid_for_seconds,
        });
        let calendar = self.calendar.map(|calendar| CalendarSpec {
            cron: calendar.cron,
            time_zone: calendar.time_zone,
            minimum_age_seconds: calendar.minimum_age_seconds.unwrap_or_default(),
        });
        PolicySpec { approval, calendar }
    }

    fn of(spec: PolicySpec) -> Self {
        let approval = spec.approval.map(|approval| ApprovalBody {
            rules: approval.rules.into_iter().map(RuleBody::of).collect(),
            approvers: (!approval.approvers.is_empty()).then(|| approval.approvers.into_iter().map(Sc).collect()),
            valid_for_seconds: approval.valid_for_seconds,
        });
        let calendar = spec.calendar.map(|calendar| CalendarBody {
            cron: calendar.cron,
            time_zone: calendar.time_zone,
            minimum_age_seconds: Some(calendar.minimum_age_seconds),
        });
        Self { approval, calendar }
    }
}

impl From<PolicyVersion> for PolicyView {
    fn from(version: PolicyVersion) -> Self {
        Self {
            version: version.version,
            policy: PolicyBody::of(version.spec),
            set_by: Some(Sc(version.set_by)),
            set_at: Some(Sc(version.set_at)),
        }
    }
}

responses! {
    /// Answers of `GET` and `PUT /payouts/policy`.
    PolicyAnswer {
        /// The policy in force.
        200 Found(Js<PolicyView>),
    }
    errors []
}

/// The endpoints of this file.
pub struct Policies(pub(super) Arc<Service>);

#[OpenApi]
impl Policies {
    /// Read the policy in force
    ///
    /// For approvals and the payout calendar.
    #[oai(path = "/payouts/policy", method = "get", operation_id = "getPolicy", tag = "Tag::Payouts")]
    async fn get(&self, _auth: Auth<may::Read>) -> Answer<PolicyAnswer> {
        let nobody = || PolicyView {
            version: 0,
            policy: PolicyBody { approval: None, calendar: None },
            set_by: None,
            set_at: None,
        };
        let policy = self.0.repository.policy().await?;
        Ok(PolicyAnswer::Found(Js(policy.map_or_else(nobody, PolicyView::from))))
    }

    /// Set the policy
    ///
    /// The whole of it. Every batch that is still to be paid is looked at anew.
    #[oai(path = "/payouts/policy", method = "put", operation_id = "putPolicy", tag = "Tag::Payouts")]
    async fn put(&self, auth: Auth<may::SetPolicy>, body: Body<PolicyBody>) -> Answer<PolicyAnswer> {
        let service = &self.0;
        let actor = actor(&auth.0, None);
        let now = service.now().await?;
        let policy = set_policy(service.acting(&actor, now), body.0.spec(), auth.0.subject).await?;
        Ok(PolicyAnswer::Found(Js(policy.into())))
    }
}
