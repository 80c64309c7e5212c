//! The simulator as people and tests see it, in test mode only: its book, how it is told to misbehave, and what it has
//! to tell. A payment itself goes over [`PayoutRail`](super::PayoutRail), as over every rail.

use super::RailDown;
use crate::{
    failure::Detail,
    ports::queries::{Page, Paged},
};
use async_trait::async_trait;
use domain::{money::Money, recipient::InvalidWord, timestamp::Timestamp};
use std::{str::FromStr, time::Duration};

/// What the simulator was asked to pay.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait SimulatorBook: Send + Sync {
    /// A page of transfers, newest first; the cursor is a transfer's id. No fault hides anything here.
    ///
    /// # Errors
    /// If the book cannot be read now.
    async fn transfers(&self, page: Page<String>) -> Result<Paged<Transfer>, RailDown>;
}

/// A transfer in the simulator's book: one for each idempotency key, as long as the key is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The simulator's own name for it.
    pub id: String,
    /// The key it came under.
    pub idempotency_key: String,
    /// The item it pays, as it was told.
    pub item: String,
    /// The recipient, as it was told.
    pub recipient: String,
    /// How much was asked for.
    pub amount: Money,
    /// What it is by now: a word of [`TransferStatus`].
    pub outcome: &'static str,
    /// What was executed, whether or not it came back.
    pub executed: Money,
    /// What came back.
    pub returned: Money,
    /// When it was first asked.
    pub created_at: Timestamp,
}

/// What a transfer is. It changes as time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransferStatus {
    /// Taken; it will be executed later, unless it is recalled before.
    Pending,
    /// Refused: nothing was executed.
    Declined,
    /// Refused because the recipient must act first: nothing was executed.
    Held,
    /// Given up because we asked for it: nothing was executed.
    Recalled,
    /// Executed.
    Paid,
    /// Executed, and all or a part of it came back.
    Returned,
}

impl TransferStatus {
    /// Every status.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Declined, Self::Held, Self::Recalled, Self::Paid, Self::Returned];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Declined => "declined",
            Self::Held => "held",
            Self::Recalled => "recalled",
            Self::Paid => "paid",
            Self::Returned => "returned",
        }
    }
}
impl FromStr for TransferStatus {
    type Err = InvalidWord;
    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(InvalidWord)
    }
}

/// How the simulator behaves towards a payment. A recipient asks for one by `details.behaviour` of their destination;
/// a [`Fault`] makes it happen to the next calls, whoever is paid.
///
/// There are three kinds. Some lose the call on its way, so nothing is executed; some decide what becomes of a transfer;
/// and some are about what is told of it afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// Executed at once.
    Paid,
    /// Refused with `code`, for ever under that key; nothing is executed.
    Decline,
    /// Not executed, and no answer comes.
    TimeoutBefore,
    /// Executed, and no answer comes.
    TimeoutAfter,
    /// HTTP 429 with `Retry-After`; not executed.
    RateLimit,
    /// HTTP 500 without executing anything, then success.
    Error500ThenSuccess,
    /// The connection is refused: the call never left.
    Unavailable,
    /// Taken, and executed after a time; a notification tells it.
    Slow,
    /// As `slow`, and the notification comes twice.
    DuplicateNotification,
    /// As `slow`, then returned; the notification of the return comes before the one of the execution.
    OutOfOrderNotification,
    /// As `slow`, and a notification comes that the simulator did not sign and that claims a return.
    ForgedNotification,
    /// Executed at once, and returned after a time, all of it or a part.
    LateReturn,
    /// Refused until the recipient's details say `verified: "true"`; nothing is executed.
    KycHold,
    /// Executed with another amount than ordered; answer and notification name that.
    WrongAmount,
    /// Executed, and nothing is told: neither an answer, nor a notification, nor when it is asked.
    Silent,
}

/// A setting of a [`Conduct`]; each has a meaning with some behaviours only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConductSetting {
    /// The code of a decline, or of a return.
    Code,
    /// How long until it happens.
    After,
    /// How much of it comes back.
    Returned,
    /// The amount that is executed instead.
    Amount,
    /// How many calls it happens to.
    Times,
    /// How long the caller shall wait.
    RetryAfter,
    /// Whether the recipient did what they had to.
    Verified,
}

impl ConductSetting {
    /// Every setting.
    pub const ALL: [Self; 7] =
        [Self::Code, Self::After, Self::Returned, Self::Amount, Self::Times, Self::RetryAfter, Self::Verified];

    /// Its name, in details and in faults.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::After => "after",
            Self::Returned => "returned",
            Self::Amount => "amount",
            Self::Times => "times",
            Self::RetryAfter => "retryAfter",
            Self::Verified => "verified",
        }
    }
}

impl Behaviour {
    /// Every behaviour.
    pub const ALL: [Self; 15] = [
        Self::Paid,
        Self::Decline,
        Self::TimeoutBefore,
        Self::TimeoutAfter,
        Self::RateLimit,
        Self::Error500ThenSuccess,
        Self::Unavailable,
        Self::Slow,
        Self::DuplicateNotification,
        Self::OutOfOrderNotification,
        Self::ForgedNotification,
        Self::LateReturn,
        Self::KycHold,
        Self::WrongAmount,
        Self::Silent,
    ];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Decline => "decline",
            Self::TimeoutBefore => "timeout_before",
            Self::TimeoutAfter => "timeout_after",
            Self::RateLimit => "rate_limit",
            Self::Error500ThenSuccess => "error_500_then_success",
            Self::Unavailable => "unavailable",
            Self::Slow => "slow",
            Self::DuplicateNotification => "duplicate_notification",
            Self::OutOfOrderNotification => "out_of_order_notification",
            Self::ForgedNotification => "forged_notification",
            Self::LateReturn => "late_return",
            Self::KycHold => "kyc_hold",
            Self::WrongAmount => "wrong_amount",
            Self::Silent => "silent",
        }
    }

    /// Whether that setting means anything with it.
    pub fn takes(self, setting: ConductSetting) -> bool {
        use ConductSetting::{After, Amount, Code, RetryAfter, Returned, Times, Verified};
        match self {
            Self::Paid => false,
            Self::Decline => setting == Code,
            Self::TimeoutBefore | Self::TimeoutAfter | Self::Error500ThenSuccess | Self::Unavailable => {
                setting == Times
            }
            Self::RateLimit => matches!(setting, Times | RetryAfter),
            Self::Slow | Self::DuplicateNotification | Self::ForgedNotification | Self::Silent => setting == After,
            Self::OutOfOrderNotification | Self::LateReturn => matches!(setting, After | Returned | Code),
            Self::KycHold => setting == Verified,
            Self::WrongAmount => setting == Amount,
        }
    }
}
impl FromStr for Behaviour {
    type Err = InvalidWord;
    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        Self::ALL.into_iter().find(|behaviour| behaviour.as_str() == text).ok_or(InvalidWord)
    }
}

/// A behaviour with its settings; what is absent has a usual value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// How it behaves.
    pub behaviour: Behaviour,
    /// The code of a decline (`account_closed`) or of a return.
    pub code: Option<String>,
    /// How long until it happens.
    pub after: Option<Duration>,
    /// How much comes back, in minor units; all of it if absent.
    pub returned_minor: Option<i64>,
    /// What is executed instead, in minor units; one more than ordered if absent.
    pub amount_minor: Option<i64>,
    /// How long the caller shall wait.
    pub retry_after: Option<Duration>,
}

impl Conduct {
    /// That behaviour with everything as usual.
    pub fn usual(behaviour: Behaviour) -> Self {
        Self { behaviour, code: None, after: None, returned_minor: None, amount_minor: None, retry_after: None }
    }

    /// Every setting that cannot be, or means nothing with this behaviour. Pointers start at the settings (`/code`).
    pub fn faults(&self) -> Vec<Detail> {
        use ConductSetting::{After, Amount, Code, RetryAfter, Returned};
        let is_word = |code: &String| {
            (1..=64).contains(&code.len())
                && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let in_range = |span: &Duration| *span <= SPAN_MAX;
        let is_positive = |minor: &i64| *minor > 0;
        let given = [
            (Code, self.code.as_ref().map(is_word), "must be a word of lower-case letters, digits and underscores"),
            (After, self.after.as_ref().map(in_range), "must be at most 3650 days"),
            (Returned, self.returned_minor.as_ref().map(is_positive), "must be a positive number of minor units"),
            (Amount, self.amount_minor.as_ref().map(is_positive), "must be a positive number of minor units"),
            (RetryAfter, self.retry_after.as_ref().map(in_range), "must be at most 3650 days"),
        ];
        let fault = |(setting, is_good, must): (ConductSetting, Option<bool>, &str)| {
            let is_good = is_good?;
            if !self.behaviour.takes(setting) {
                return Some(no_meaning(setting, self.behaviour));
            }
            (!is_good).then(|| setting_fault("out_of_range", setting, must))
        };
        given.into_iter().filter_map(fault).collect()
    }
}

/// The longest span that may be set.
const SPAN_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// A setting that means nothing with that behaviour.
pub fn no_meaning(setting: ConductSetting, behaviour: Behaviour) -> Detail {
    let message = format!("means nothing with `{}`", behaviour.as_str());
    setting_fault("invalid_value", setting, &message)
}

fn setting_fault(code: &'static str, setting: ConductSetting, message: &str) -> Detail {
    Detail { code, field: format!("/{}", setting.as_str()), message: message.to_owned(), meta: None }
}

/// A span as people write it: `500ms`, `30s`, `10m`, `2h`, `5d`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).filter(|(number, _)| (1..=12).contains(&number.len()))?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.saturating_mul(seconds)))
}

/// The same, back: the largest unit that is exact.
pub fn show_span(span: Duration) -> String {
    let seconds = span.as_secs();
    if span.subsec_millis() != 0 {
        return format!("{}ms", span.as_millis());
    }
    let exact = [("d", 86_400), ("h", 3_600), ("m", 60)];
    match exact.into_iter().find(|(_, size)| seconds > 0 && seconds.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", seconds / size),
        None => format!("{seconds}s"),
    }
}

/// A fault to be switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFault {
    /// What happens.
    pub conduct: Conduct,
    /// To whom; to everybody if absent.
    pub recipient: Option<String>,
    /// To how many calls; to every one until it is cleared if absent.
    pub times: Option<u32>,
}

/// A fault that is switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub id: String,
    /// What happens.
    pub conduct: Conduct,
    /// To whom; to everybody if absent.
    pub recipient: Option<String>,
    /// How many calls it still happens to; to every one if absent.
    pub times_left: Option<u32>,
    /// When it was switched on.
    pub created_at: Timestamp,
}

/// What the simulator is like, where a test may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulatorSettings {
    /// How long it remembers a key. After that the same key would execute again, as at a real provider. For ever if
    /// absent, which is usual.
    pub replay_window: Option<Duration>,
    /// Most calls in a second that it says it takes.
    pub calls_per_second_max: u32,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self { replay_window: None, calls_per_second_max: 1_000 }
    }
}

/// How the simulator is told to misbehave. Faults are kept in its book, so all processes that share it share them.
///
/// A fault comes before what a recipient's details ask for, one of a recipient before one of everybody, an older one
/// before a newer one. A fault that loses calls happens to every call that moves money, `unavailable` of everybody also
/// to questions; all others happen to a transfer when it is made, and not to a call that only repeats it.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait SimulatorFaults: Send + Sync {
    /// Switches a fault on. It was checked by [`Conduct::faults`].
    ///
    /// # Errors
    /// If the simulator cannot be asked now.
    async fn set_fault(&self, fault: NewFault) -> Result<Fault, RailDown>;

    /// The faults that are switched on, oldest first.
    ///
    /// # Errors
    /// If the simulator cannot be asked now.
    async fn faults(&self) -> Result<Vec<Fault>, RailDown>;

    /// Switches that fault off, or every one. Answers how many there were.
    ///
    /// # Errors
    /// If the simulator cannot be asked now.
    async fn clear_faults(&self, id: Option<String>) -> Result<u64, RailDown>;

    /// What it is like now.
    ///
    /// # Errors
    /// If the simulator cannot be asked now.
    async fn settings(&self) -> Result<SimulatorSettings, RailDown>;

    /// Makes it like that.
    ///
    /// # Errors
    /// If the simulator cannot be asked now.
    async fn change_settings(&self, settings: SimulatorSettings) -> Result<(), RailDown>;
}

/// A notification on its way to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its name.
    pub id: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, byte by byte.
    pub body: Vec<u8>,
}

/// What the simulator has to tell, where it lives in our process. One that is a process of its own posts what it has to
/// tell, and has nothing here.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait SimulatorNotifications: Send + Sync {
    /// What is due by now. For a while nobody else is given the same; what was not marked by then is given out again.
    ///
    /// # Errors
    /// If the book cannot be read now.
    async fn due_notifications(&self, limit: u32) -> Result<Vec<Notification>, RailDown>;

    /// It was taken.
    ///
    /// # Errors
    /// If the book cannot be written now.
    async fn mark_delivered(&self, id: &str) -> Result<(), RailDown>;

    /// It was not taken: it is given out again later, signed anew, at longer and longer intervals, and at last given up.
    /// What nobody signed is given up at once.
    ///
    /// # Errors
    /// If the book cannot be written now.
    async fn mark_failed(&self, id: &str) -> Result<(), RailDown>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_as_written() {
        for behaviour in Behaviour::ALL {
            assert_eq!(behaviour.as_str().parse(), Ok(behaviour));
        }
        for status in TransferStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }

    #[test]
    fn a_span_is_read_as_people_write_it() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(parse_span(text), millis.map(Duration::from_millis), "{text}");
            if let Some(span) = parse_span(text) {
                assert_eq!(parse_span(&show_span(span)), Some(span), "{text}");
            }
        };
        check("250ms", Some(250));
        check("0s", Some(0));
        check("90s", Some(90_000));
        check("10m", Some(600_000));
        check("2h", Some(7_200_000));
        check("5d", Some(432_000_000));
        for wrong in ["", "5", "d", "-5d", "1.5h", "5 d", "5w", "5dd", "9999999999999s", "５d"] {
            check(wrong, None);
        }
        assert_eq!(show_span(Duration::from_secs(432_000)), "5d");
    }

    #[test]
    fn every_setting_that_cannot_be_is_told() {
        let conduct = Conduct {
            code: Some("No!".to_owned()),
            returned_minor: Some(0),
            amount_minor: Some(5),
            ..Conduct::usual(Behaviour::LateReturn)
        };
        let fields: Vec<String> = conduct.faults().into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["/code", "/returned", "/amount"]);
        assert!(Conduct::usual(Behaviour::Paid).faults().is_empty());
    }
}
