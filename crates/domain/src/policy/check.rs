//! Every fault of a policy, found in one pass; without any, the checked policy.

use super::{ApprovalPolicy, ApprovalRule, ApprovalSpec, CalendarSpec, Policy, PolicySpec, RuleSpec, Trigger};
use crate::{
    calendar::{Calendar, CalendarFault},
    currency::Currency,
    fault_codes::fault_codes,
    money::{AMOUNT_MINOR_MAX, Money},
};

/// Most people that one rule may ask for.
pub const APPROVALS_MAX: u32 = 10;
/// Most rules of one policy.
pub const RULES_MAX: usize = 50;
/// Most people named as approvers.
pub const APPROVERS_MAX: usize = 100;
/// Shortest validity of an approval: a minute.
pub const VALID_FOR_SECONDS_MIN: u64 = 60;
/// Longest validity of an approval: 366 days.
pub const VALID_FOR_SECONDS_MAX: u64 = 366 * 24 * 60 * 60;

fault_codes! {
    /// Stable words for what can be wrong with a policy.
    pub enum PolicyFaultCode;

    /// Approval without a rule that asks for it.
    NoRules = "no_rules";
    /// More rules than [`RULES_MAX`].
    TooManyRules = "too_many_rules";
    /// Two rules ask for approval of the same.
    DuplicateRule = "duplicate_rule";
    /// A rule of a lower amount asks for as many people or more.
    RuleWithoutEffect = "rule_without_effect";
    /// Less than one approval, or more than [`APPROVALS_MAX`].
    ApprovalsOutOfRange = "approvals_out_of_range";
    /// More approvals than people who could give them.
    TooFewApprovers = "too_few_approvers";
    /// More people than [`APPROVERS_MAX`].
    TooManyApprovers = "too_many_approvers";
    /// Somebody is named twice.
    DuplicateApprover = "duplicate_approver";
    /// An amount that must be above zero is not.
    AmountNotPositive = "amount_not_positive";
    /// An amount beyond 2^53 - 1.
    AmountOutOfRange = "amount_out_of_range";
    /// A validity below [`VALID_FOR_SECONDS_MIN`] or above [`VALID_FOR_SECONDS_MAX`].
    ValidityOutOfRange = "validity_out_of_range";
    /// Not a cron expression of five fields.
    CronInvalid = "cron_invalid";
    /// A cron expression of a day that never comes.
    CronNever = "cron_never";
    /// Not a name of the IANA time zone database.
    TimeZoneUnknown = "time_zone_unknown";
    /// A minimum age below zero, or above 366 days.
    MinimumAgeOutOfRange = "minimum_age_out_of_range";
}

/// One fault, where it is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFault {
    /// What is wrong.
    pub code: PolicyFaultCode,
    /// JSON pointer into the policy.
    pub pointer: String,
    /// For people.
    pub message: String,
}

impl PolicySpec {
    /// The checked policy.
    ///
    /// # Errors
    /// All faults there are, sorted by where they are; never only the first.
    pub fn check(&self) -> Result<Policy, Vec<PolicyFault>> {
        let mut faults = Faults::default();
        let approval = self.approval.as_ref().map(|spec| faults.approval(spec)).unwrap_or_default();
        let calendar = self.calendar.as_ref().and_then(|spec| faults.calendar(spec));
        let Faults(mut faults) = faults;
        faults.sort_by(|a, b| (&a.pointer, a.code).cmp(&(&b.pointer, b.code)));
        if faults.is_empty() { Ok(Policy { approval, calendar }) } else { Err(faults) }
    }
}

impl RuleSpec {
    fn trigger(&self) -> Trigger {
        match self {
            Self::Amount { currency, from, .. } => Trigger::Amount { currency: *currency, from_minor: *from },
            Self::NewDestination { .. } => Trigger::NewDestination,
            Self::ChangedDestination { .. } => Trigger::ChangedDestination,
        }
    }
    fn approvals(&self) -> i64 {
        match self {
            Self::Amount { approvals, .. }
            | Self::NewDestination { approvals }
            | Self::ChangedDestination { approvals } => *approvals,
        }
    }
    /// How many people, if it is so many as may be asked for.
    fn approvals_in_range(&self) -> Option<u32> {
        u32::try_from(self.approvals()).ok().filter(|approvals| (1..=APPROVALS_MAX).contains(approvals))
    }
}

/// Collects everything that is wrong.
#[derive(Default)]
struct Faults(Vec<PolicyFault>);

impl Faults {
    fn add(&mut self, code: PolicyFaultCode, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(PolicyFault { code, pointer: pointer.into(), message: message.into() });
    }

    fn approval(&mut self, spec: &ApprovalSpec) -> ApprovalPolicy {
        self.sizes(spec);
        self.approvers(spec);
        // The triggers once, so that fifty rules are compared without being made anew each time.
        let triggers: Vec<Trigger> = spec.rules.iter().map(RuleSpec::trigger).collect();
        let mut rules = Vec::new();
        for (at, rule) in spec.rules.iter().enumerate() {
            let pointer = format!("/approval/rules/{at}");
            self.amount(rule, &pointer);
            if let Some(earlier) = triggers[..at].iter().position(|trigger| *trigger == triggers[at]) {
                let message = format!("rule {earlier} is of the same: leave one of them out");
                self.add(PolicyFaultCode::DuplicateRule, &pointer, message);
            }
            let Some(approvals) = self.approvals(rule, spec, &pointer) else { continue };
            self.effect(rule, spec, &pointer);
            rules.push(ApprovalRule { when: triggers[at].clone(), approvals });
        }
        let valid_for_seconds = spec.valid_for_seconds.map(|seconds| self.validity(seconds));
        ApprovalPolicy { rules, approvers: spec.approvers.clone(), valid_for_seconds }
    }

    fn sizes(&mut self, spec: &ApprovalSpec) {
        if spec.rules.is_empty() {
            let message = "without a rule nobody has to approve anything: add one, or leave `approval` out";
            self.add(PolicyFaultCode::NoRules, "/approval/rules", message);
        }
        if spec.rules.len() > RULES_MAX {
            let message = format!("a policy has at most {RULES_MAX} rules");
            self.add(PolicyFaultCode::TooManyRules, "/approval/rules", message);
        }
        if spec.approvers.len() > APPROVERS_MAX {
            let message = format!("at most {APPROVERS_MAX} people are named: name nobody to let the role decide");
            self.add(PolicyFaultCode::TooManyApprovers, "/approval/approvers", message);
        }
    }

    fn approvers(&mut self, spec: &ApprovalSpec) {
        for (at, approver) in spec.approvers.iter().enumerate() {
            if let Some(earlier) = spec.approvers[..at].iter().position(|other| other == approver) {
                let message = format!("`{approver}` is named already, at {earlier}: leave it out here");
                self.add(PolicyFaultCode::DuplicateApprover, format!("/approval/approvers/{at}"), message);
            }
        }
    }

    fn amount(&mut self, rule: &RuleSpec, pointer: &str) {
        let RuleSpec::Amount { from, .. } = rule else { return };
        let pointer = format!("{pointer}/from");
        if *from < 1 {
            let message = "an amount must be greater than zero: write 1 to ask for approval of everything";
            self.add(PolicyFaultCode::AmountNotPositive, pointer, message);
        } else if *from > AMOUNT_MINOR_MAX {
            let message = format!("an amount is at most {AMOUNT_MINOR_MAX}");
            self.add(PolicyFaultCode::AmountOutOfRange, pointer, message);
        }
    }

    fn approvals(&mut self, rule: &RuleSpec, spec: &ApprovalSpec, pointer: &str) -> Option<u32> {
        let pointer = format!("{pointer}/approvals");
        let Some(approvals) = rule.approvals_in_range() else {
            let message = format!("between 1 and {APPROVALS_MAX} people can be asked for");
            self.add(PolicyFaultCode::ApprovalsOutOfRange, pointer, message);
            return None;
        };
        let people = spec.people();
        if !spec.approvers.is_empty() && u32::try_from(people).is_ok_and(|people| people < approvals) {
            let message = format!("{approvals} approvals are asked for, and {people} could give one: name more people");
            self.add(PolicyFaultCode::TooFewApprovers, pointer, message);
        }
        Some(approvals)
    }

    /// The most counts, so a rule of a higher amount that asks for no more than one of a lower amount does nothing; its
    /// author thinks that it does.
    fn effect(&mut self, rule: &RuleSpec, spec: &ApprovalSpec, pointer: &str) {
        let RuleSpec::Amount { currency, from, approvals } = rule else { return };
        let mut lower = spec.rules.iter().filter(|other| other.is_amount_below(*currency, *from));
        let covers = |other: &&RuleSpec| other.approvals_in_range().is_some() && other.approvals() >= *approvals;
        if let Some(RuleSpec::Amount { from: lower, approvals: more, .. }) = lower.find(covers) {
            let money = Money::new(*lower, *currency);
            let message = format!("{more} are asked for from {money} on: ask for more here, or leave this rule out");
            self.add(PolicyFaultCode::RuleWithoutEffect, pointer, message);
        }
    }

    fn validity(&mut self, seconds: i64) -> u64 {
        let range = VALID_FOR_SECONDS_MIN..=VALID_FOR_SECONDS_MAX;
        u64::try_from(seconds).ok().filter(|seconds| range.contains(seconds)).unwrap_or_else(|| {
            let message = format!(
                "an approval counts between {VALID_FOR_SECONDS_MIN} and {VALID_FOR_SECONDS_MAX} seconds (366 days); \
                 leave `validForSeconds` out if it counts for ever"
            );
            self.add(PolicyFaultCode::ValidityOutOfRange, "/approval/validForSeconds", message);
            VALID_FOR_SECONDS_MAX
        })
    }

    fn calendar(&mut self, spec: &CalendarSpec) -> Option<Calendar> {
        // What is below zero is as much out of range as what is above the maximum.
        let minimum_age_seconds = u64::try_from(spec.minimum_age_seconds).unwrap_or(u64::MAX);
        let calendar = Calendar::check(&spec.cron, &spec.time_zone, minimum_age_seconds);
        calendar.map_err(|faults| faults.iter().for_each(|fault| self.calendar_fault(fault))).ok()
    }

    fn calendar_fault(&mut self, fault: &CalendarFault) {
        let (code, field) = match fault {
            CalendarFault::CronInvalid(_) => (PolicyFaultCode::CronInvalid, "cron"),
            CalendarFault::CronNever => (PolicyFaultCode::CronNever, "cron"),
            CalendarFault::TimeZoneUnknown(_) => (PolicyFaultCode::TimeZoneUnknown, "timeZone"),
            CalendarFault::MinimumAgeOutOfRange => (PolicyFaultCode::MinimumAgeOutOfRange, "minimumAgeSeconds"),
        };
        self.add(code, format!("/calendar/{field}"), fault.to_string());
    }
}

impl ApprovalSpec {
    /// How many different people are named.
    fn people(&self) -> usize {
        self.approvers.iter().collect::<std::collections::BTreeSet<_>>().len()
    }
}

impl RuleSpec {
    fn is_amount_below(&self, wanted: Currency, amount_minor: i64) -> bool {
        matches!(self, Self::Amount { currency, from, .. } if *currency == wanted && *from < amount_minor)
    }
}
