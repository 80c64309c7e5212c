//! A policy as its author wrote it: what is stored, sent and answered.

use crate::{currency::Currency, ids::Requester};
use serde::{Deserialize, Serialize};

/// A policy as written. Numbers are as wide as JSON lets them be, so that one out of range is told with all other faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// Who must say yes to what; nobody, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalSpec>,
    /// When payouts are made; at once, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarSpec>,
}

/// Who must say yes to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalSpec {
    /// What asks for approval.
    pub rules: Vec<RuleSpec>,
    /// Whose approvals count; everybody's who has the role, if nobody is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<Requester>,
    /// How long an approval counts; for ever, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for_seconds: Option<i64>,
}

/// So many people must say yes, if something is so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "when", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum RuleSpec {
    /// So much or more is to be sent.
    Amount {
        /// In this currency.
        currency: Currency,
        /// The least amount that is meant, in minor units.
        from: i64,
        /// How many people.
        approvals: i64,
    },
    /// Somebody is paid for the first time.
    NewDestination {
        /// How many people.
        approvals: i64,
    },
    /// Somebody is paid elsewhere than ever before.
    ChangedDestination {
        /// How many people.
        approvals: i64,
    },
}

/// When payouts are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalendarSpec {
    /// Minute, hour, day of month, month, day of week.
    pub cron: String,
    /// A name of the IANA time zone database.
    pub time_zone: String,
    /// How old something must be before it is paid; nothing, if absent.
    #[serde(default)]
    pub minimum_age_seconds: i64,
}
