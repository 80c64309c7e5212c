//! Pure: what a behaviour makes of a transfer. Its whole life is planned when it is made; whatever is due by now is true
//! whenever anybody looks, so nothing has to run for days to pass.

use super::api::Happening;
use app::{
    failure::Detail,
    ports::rail::{Behaviour, Conduct, ConductSetting, no_meaning, parse_span},
};
use domain::timestamp::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// The code of a decline that names none.
const DECLINED: &str = "declined_by_simulator";
/// The code of a hold.
const KYC_REQUIRED: &str = "kyc_required";
/// The code of a return that names none.
const RETURN_CODE: &str = "account_closed";
/// How long `slow` takes.
const SLOW: Duration = Duration::from_secs(5);
/// How long what is told in an odd way takes.
const SOON: Duration = Duration::from_secs(1);
/// When what is returned late comes back.
const LATE: Duration = Duration::from_secs(5 * 86_400);
/// How long a caller shall wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a recipient's details ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) conduct: Conduct,
    /// How many calls under one key are lost.
    pub(crate) times: u32,
    /// Whether the recipient did what they had to.
    pub(crate) verified: bool,
}

impl Wish {
    /// Reads the details of a destination: `behaviour` with its settings, or `outcome` (`paid` or `declined`).
    ///
    /// # Errors
    /// All faults of the details. Pointers start at the details (`/behaviour`).
    pub(crate) fn read(details: &BTreeMap<String, String>) -> Result<Self, Vec<Detail>> {
        let mut faults = Vec::new();
        let behaviour = behaviour(details, &mut faults);
        // Nobody can say what means anything with a behaviour that does not exist.
        let is_known = faults.is_empty();
        let mut wish = Self { conduct: Conduct::usual(behaviour), times: 1, verified: false };
        for (name, value) in details {
            if matches!(name.as_str(), "behaviour" | "outcome") {
                continue;
            }
            let Some(setting) = ConductSetting::ALL.into_iter().find(|setting| setting.as_str() == name) else {
                faults.push(fault("unknown_field", name, "the simulator does not know this detail"));
                continue;
            };
            if !wish.set(setting, value) {
                faults.push(fault("invalid_format", name, must_be(setting)));
            } else if is_known
                && matches!(setting, ConductSetting::Times | ConductSetting::Verified)
                && !behaviour.takes(setting)
            {
                faults.push(no_meaning(setting, behaviour));
            }
        }
        if is_known {
            faults.extend(wish.conduct.faults());
        }
        if faults.is_empty() { Ok(wish) } else { Err(faults) }
    }

    fn set(&mut self, setting: ConductSetting, value: &str) -> bool {
        fn put<T>(place: &mut T, value: Option<T>) -> bool {
            value.map(|value| *place = value).is_some()
        }
        let conduct = &mut self.conduct;
        match setting {
            ConductSetting::Code => put(&mut conduct.code, Some(Some(value.to_owned()))),
            ConductSetting::After => put(&mut conduct.after, parse_span(value).map(Some)),
            ConductSetting::RetryAfter => put(&mut conduct.retry_after, parse_span(value).map(Some)),
            ConductSetting::Returned => put(&mut conduct.returned_minor, value.parse().ok().map(Some)),
            ConductSetting::Amount => put(&mut conduct.amount_minor, value.parse().ok().map(Some)),
            ConductSetting::Times => put(&mut self.times, value.parse().ok()),
            ConductSetting::Verified => put(&mut self.verified, value.parse().ok()),
        }
    }

    /// Why the recipient must act first, if they must.
    pub(crate) fn must_act(&self) -> Option<&'static str> {
        (self.conduct.behaviour == Behaviour::KycHold && !self.verified).then_some(KYC_REQUIRED)
    }

    /// The same recipient, treated otherwise.
    #[must_use]
    pub(crate) fn treated(self, conduct: Conduct) -> Self {
        Self { conduct, ..self }
    }
}

fn behaviour(details: &BTreeMap<String, String>, faults: &mut Vec<Detail>) -> Behaviour {
    let outcome = details.get("outcome").map(|word| match word.as_str() {
        "paid" => Some(Behaviour::Paid),
        "declined" => Some(Behaviour::Decline),
        _ => None,
    });
    let behaviour = details.get("behaviour").map(|word| word.parse::<Behaviour>().ok());
    match (behaviour, outcome) {
        (Some(_), Some(_)) => faults.push(fault("invalid_value", "outcome", "give `behaviour` or `outcome`, not both")),
        (Some(None), None) => {
            let known: Vec<&str> = Behaviour::ALL.into_iter().map(Behaviour::as_str).collect();
            faults.push(fault("invalid_value", "behaviour", &format!("must be one of {}", known.join(", "))));
        }
        (None, Some(None)) => faults.push(fault("invalid_value", "outcome", "must be `paid` or `declined`")),
        (Some(Some(_)), None) | (None, Some(Some(_)) | None) => {}
    }
    behaviour.flatten().or(outcome.flatten()).unwrap_or(Behaviour::Paid)
}

fn must_be(setting: ConductSetting) -> &'static str {
    match setting {
        ConductSetting::Code => "must be a word",
        ConductSetting::After | ConductSetting::RetryAfter => "must be a span such as `30s` or `5d`",
        ConductSetting::Returned | ConductSetting::Amount => "must be a number of minor units",
        ConductSetting::Times => "must be a number of calls",
        ConductSetting::Verified => "must be `true` or `false`",
    }
}

fn fault(code: &'static str, name: &str, message: &str) -> Detail {
    let name = name.replace('~', "~0").replace('/', "~1");
    Detail { code, field: format!("/{name}"), message: message.to_owned(), meta: None }
}

/// When a behaviour takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// On the way: the call is lost, and nothing is looked at.
    Transport,
    /// When a transfer is made.
    Execution,
    /// On the way back: what was done stays done.
    Answer,
}

/// When a behaviour takes effect.
pub(crate) fn stage(behaviour: Behaviour) -> Stage {
    match behaviour {
        Behaviour::TimeoutBefore | Behaviour::RateLimit | Behaviour::Error500ThenSuccess | Behaviour::Unavailable => {
            Stage::Transport
        }
        Behaviour::TimeoutAfter => Stage::Answer,
        Behaviour::Paid
        | Behaviour::Decline
        | Behaviour::Slow
        | Behaviour::DuplicateNotification
        | Behaviour::OutOfOrderNotification
        | Behaviour::ForgedNotification
        | Behaviour::LateReturn
        | Behaviour::KycHold
        | Behaviour::WrongAmount
        | Behaviour::Silent => Stage::Execution,
    }
}

/// How long a caller who came too often shall wait.
pub(crate) fn retry_after(conduct: &Conduct) -> Duration {
    conduct.retry_after.unwrap_or(RETRY_AFTER)
}

/// Everything that will happen to a transfer if nobody recalls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// What is executed, once it is.
    pub(crate) executed_minor: i64,
    /// What happens, oldest first.
    pub(crate) events: Vec<Planned>,
    /// When a notification comes that claims a return and that nobody signed.
    pub(crate) forged_at: Option<Timestamp>,
    /// Until when nothing is told.
    pub(crate) silent_until: Option<Timestamp>,
}

/// Something that will happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) what: Happening,
    pub(crate) at: Timestamp,
    pub(crate) code: Option<String>,
    /// What came back by then, all in all.
    pub(crate) returned_minor: Option<i64>,
    /// When it is told, apart from answers to who asks.
    pub(crate) told_at: Vec<Timestamp>,
}

impl Life {
    /// Plans it. What is known when the order is answered is not told once more.
    pub(crate) fn plan(wish: &Wish, ordered_minor: i64, now: Timestamp) -> Self {
        let conduct = &wish.conduct;
        let after = |usual: Duration| now.after(conduct.after.unwrap_or(usual));
        let mut life = Self { executed_minor: ordered_minor, events: Vec::new(), forged_at: None, silent_until: None };
        match conduct.behaviour {
            Behaviour::Paid
            | Behaviour::TimeoutBefore
            | Behaviour::TimeoutAfter
            | Behaviour::RateLimit
            | Behaviour::Error500ThenSuccess
            | Behaviour::Unavailable => life.happens(Happening::Settled, now, &[]),
            Behaviour::Decline => life.refuses(Happening::Declined, now, conduct.code.as_deref().unwrap_or(DECLINED)),
            Behaviour::KycHold => match wish.must_act() {
                Some(code) => life.refuses(Happening::Held, now, code),
                None => life.happens(Happening::Settled, now, &[]),
            },
            Behaviour::Slow => life.settles_later(now, after(SLOW), 1),
            Behaviour::DuplicateNotification => life.settles_later(now, after(SOON), 2),
            Behaviour::ForgedNotification => {
                life.settles_later(now, after(SOON), 1);
                life.forged_at = Some(after(SOON));
            }
            Behaviour::OutOfOrderNotification => {
                let pause = conduct.after.unwrap_or(SOON);
                let (settled, returned, told) = (now.after(pause), now.after(pause * 2), now.after(pause * 2 + SOON));
                life.happens(Happening::Accepted, now, &[]);
                life.happens(Happening::Settled, settled, &[told]);
                life.comes_back(conduct, returned);
            }
            Behaviour::LateReturn => {
                life.happens(Happening::Settled, now, &[]);
                life.comes_back(conduct, after(LATE));
            }
            Behaviour::WrongAmount => {
                life.executed_minor = conduct.amount_minor.unwrap_or(ordered_minor.saturating_add(1));
                life.happens(Happening::Settled, now, &[now.after(SOON)]);
            }
            Behaviour::Silent => {
                let until = conduct.after.map(|span| now.after(span));
                life.silent_until = Some(until.unwrap_or(Timestamp::MAX));
                life.happens(Happening::Settled, now, until.as_slice());
            }
        }
        life
    }

    fn happens(&mut self, what: Happening, at: Timestamp, told_at: &[Timestamp]) {
        self.events.push(Planned { what, at, code: None, returned_minor: None, told_at: told_at.to_vec() });
    }
    fn refuses(&mut self, what: Happening, at: Timestamp, code: &str) {
        let code = Some(code.to_owned());
        self.events.push(Planned { what, at, code, returned_minor: None, told_at: Vec::new() });
    }
    fn settles_later(&mut self, now: Timestamp, at: Timestamp, told_times: usize) {
        self.happens(Happening::Accepted, now, &[]);
        self.happens(Happening::Settled, at, &vec![at; told_times]);
    }
    fn comes_back(&mut self, conduct: &Conduct, at: Timestamp) {
        let returned = conduct.returned_minor.unwrap_or(self.executed_minor).min(self.executed_minor);
        let code = conduct.code.clone().unwrap_or_else(|| RETURN_CODE.to_owned());
        let (what, code, returned_minor) = (Happening::Returned, Some(code), Some(returned));
        self.events.push(Planned { what, at, code, returned_minor, told_at: vec![at] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(details: &[(&str, &str)]) -> Result<Wish, Vec<String>> {
        let details = details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Wish::read(&details).map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }
    /// What happens when, and when it is told.
    fn plan(details: &[(&str, &str)]) -> String {
        let wish = read(details).unwrap();
        let life = Life::plan(&wish, 100, at(0));
        let seconds = |at: &Timestamp| (at.unix_micros() / 1_000_000).to_string();
        let events = life.events.iter().map(|event| {
            let told: Vec<String> = event.told_at.iter().map(seconds).collect();
            let told = if told.is_empty() { String::new() } else { format!(" told {}", told.join(",")) };
            let detail = [event.code.clone(), event.returned_minor.map(|minor| minor.to_string())];
            let detail: Vec<String> = detail.into_iter().flatten().collect();
            let detail = if detail.is_empty() { String::new() } else { format!(" ({})", detail.join(" ")) };
            format!("{}@{}{detail}{told}", event.what.as_str(), seconds(&event.at))
        });
        let mut words: Vec<String> = events.collect();
        if life.executed_minor != 100 {
            words.push(format!("executes {}", life.executed_minor));
        }
        words.extend(life.forged_at.map(|at| format!("forged@{}", seconds(&at))));
        words.extend(life.silent_until.map(|until| {
            if until == Timestamp::MAX { "silent".to_owned() } else { format!("silent until {}", seconds(&until)) }
        }));
        words.join("; ")
    }

    #[test]
    fn each_behaviour_has_its_life() {
        let check = |details: &[(&str, &str)], life: &str| assert_eq!(plan(details), life, "{details:?}");
        check(&[], "paid@0");
        check(&[("outcome", "declined")], "declined@0 (declined_by_simulator)");
        check(&[("behaviour", "decline"), ("code", "account_closed")], "declined@0 (account_closed)");
        check(&[("behaviour", "kyc_hold")], "held@0 (kyc_required)");
        check(&[("behaviour", "kyc_hold"), ("verified", "true")], "paid@0");
        check(&[("behaviour", "slow")], "pending@0; paid@5 told 5");
        check(&[("behaviour", "slow"), ("after", "2h")], "pending@0; paid@7200 told 7200");
        check(&[("behaviour", "duplicate_notification")], "pending@0; paid@1 told 1,1");
        check(
            &[("behaviour", "out_of_order_notification")],
            "pending@0; paid@1 told 3; returned@2 (account_closed 100) told 2",
        );
        check(&[("behaviour", "forged_notification")], "pending@0; paid@1 told 1; forged@1");
        check(&[("behaviour", "late_return")], "paid@0; returned@432000 (account_closed 100) told 432000");
        check(
            &[("behaviour", "late_return"), ("after", "9s"), ("returned", "40"), ("code", "no_account")],
            "paid@0; returned@9 (no_account 40) told 9",
        );
        check(
            &[("behaviour", "late_return"), ("returned", "400")],
            "paid@0; returned@432000 (account_closed 100) told 432000",
        );
        check(&[("behaviour", "wrong_amount")], "paid@0 told 1; executes 101");
        check(&[("behaviour", "wrong_amount"), ("amount", "7")], "paid@0 told 1; executes 7");
        check(&[("behaviour", "silent")], "paid@0; silent");
        check(&[("behaviour", "silent"), ("after", "60s")], "paid@0 told 60; silent until 60");
        for lost in ["timeout_before", "timeout_after", "rate_limit", "error_500_then_success", "unavailable"] {
            check(&[("behaviour", lost), ("times", "3")], "paid@0");
        }
    }

    #[test]
    fn all_faults_of_the_details_are_told() {
        let check = |details: &[(&str, &str)], fields: &[&str]| {
            let told = read(details).err().unwrap_or_default();
            assert_eq!(told, fields, "{details:?}");
        };
        check(&[("outcome", "maybe"), ("i/ban", "x")], &["/outcome", "/i~1ban"]);
        check(&[("outcome", "paid"), ("behaviour", "paid")], &["/outcome"]);
        check(&[("behaviour", "explode"), ("after", "1s")], &["/behaviour"]);
        check(&[("behaviour", "slow"), ("after", "soon"), ("times", "2")], &["/after", "/times"]);
        check(&[("behaviour", "late_return"), ("returned", "-5"), ("verified", "true")], &["/verified", "/returned"]);
        check(&[("behaviour", "timeout_before"), ("times", "-1")], &["/times"]);
    }
}
