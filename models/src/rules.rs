//! The rules that keep a payment single, each of which can be taken away.

macro_rules! weakenings {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal,)+) => {
        /// A rule that is taken away. The use cases stay as they are: what they see of the world changes, or what
        /// becomes of what they do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Weakening {
            $($(#[doc = $doc])+ $name,)+
        }
        impl Weakening {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

weakenings! {
    /// Absence is believed at once: nobody waits until what is on its way has arrived.
    NoSettleBound "no_settle_bound",
    /// The settle bound is counted from the intent, and not from the last instant at which the call may leave.
    NoAllowance "no_allowance",
    /// The same bytes are sent again however old their key is.
    ReplayAfterWindow "replay_after_window",
    /// The same bytes are sent again as long as the key is known, though they may arrive after that.
    ReplayToTheEnd "replay_to_the_end",
    /// Silence is a refusal: the next call has a new key.
    NewKeyAfterSilence "new_key_after_silence",
    /// Every call has a key of its own.
    NewKeyEachTry "new_key_each_try",
    /// A question that nobody answers proves absence.
    SilenceIsAbsence "silence_is_absence",
    /// An intent that could not be stored is sent.
    UnstoredIntent "unstored_intent",
    /// What was learned last is true, whatever was known.
    RanksIgnored "ranks_ignored",
    /// Nobody looks at the steady clock of the machine before a call.
    NoSteadyClock "no_steady_clock",
    /// A recall that the rail refused is believed.
    RecallBelieved "recall_believed",
    /// People say what became of a payment that may still be on its way.
    ResolvedTooEarly "resolved_too_early",
    /// Whoever proposed what became of a payment confirms it.
    ResolvedAlone "resolved_alone",
    /// What came back is not posted.
    ReturnNotPosted "return_not_posted",
    /// A payment that is executed after it was given up is not booked.
    LateSuccessIgnored "late_success_ignored",
    /// The end of a job's lease is not written: nobody comes back to what was left behind.
    NeverLookedAtAgain "never_looked_at_again",
    /// A write under a lost lease is made.
    NoFencing "no_fencing",
    /// A worker whose clock is behind says itself how long its lease is.
    WorkerClockLease "worker_clock_lease",
    /// Whoever was slower writes all the same.
    StaleIgnored "stale_ignored",
    /// The unique key of the escrow is missing; that there is no batch yet was looked up before.
    CheckThenInsert "check_then_insert",
    /// Another request for the same escrow is taken for the same one.
    FingerprintIgnored "fingerprint_ignored",
    /// A commit whose answer was lost counts as done.
    UnclearIsDone "unclear_is_done",
}
