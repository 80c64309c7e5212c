//! Calls the rails with what was written down: the only calls that move money.

use super::{Answer, Heard, Ports};
use crate::{
    change::Stored,
    payouts::gate::Came,
    ports::rail::{Class, Submit},
};
use domain::{instruction::Instruction, recipient::RailId, timestamp::Timestamp};
use futures_util::future::join_all;
use std::{collections::BTreeMap, time::Duration};

/// How long a call to a rail takes at most: what the port promises.
const CALL_MAX: Duration = Duration::from_secs(5);

/// Calls the rails. Nothing is written here.
pub(super) async fn submit(
    ports: Ports<'_>,
    sending: Vec<Stored<Instruction>>,
    (now, leaves_by): (Timestamp, Duration),
    paused: &mut BTreeMap<RailId, String>,
) -> Vec<Heard> {
    let calls = sending.into_iter().map(|before| async {
        let rail = ports.rails.get(&before.value.rail);
        // A machine that slept must not call under a lease that somebody else may have by now.
        let steady = ports.clock.steady();
        let in_time = steady <= leaves_by && steady + CALL_MAX <= ports.lease_ends;
        let submitted = match rail {
            Some(rail) if in_time => Some(rail.submit(&before.value).await),
            _ => None,
        };
        (before, rail.map(|rail| rail.profile()), submitted)
    });
    let mut heard = Vec::new();
    for (before, rail, submitted) in join_all(calls).await {
        if let (Some(submitted), Some(rail)) = (&submitted, &rail)
            && ports.gates.report(&rail.id, (before.value.id, came(submitted)), ports.dice, now)
        {
            paused.insert(rail.id.clone(), said(submitted));
        }
        let answer = match submitted {
            Some(Submit::Accepted { reference, seen }) => Answer::Said { reference, events: seen },
            Some(Submit::Refused { reason, class }) => Answer::Refused { reason, class },
            Some(Submit::NotSent { .. }) | None => Answer::NotSent,
            Some(Submit::Unknown { .. }) => Answer::Unknown,
        };
        heard.push(Heard { before, rail, answer });
    }
    heard
}

/// What a rail says that takes nothing: its reason, or what is known of it.
fn said(submit: &Submit) -> String {
    match submit {
        Submit::Refused { reason: said, .. }
        | Submit::NotSent { cause: said, .. }
        | Submit::Unknown { cause: said } => said.clone(),
        Submit::Accepted { .. } => String::new(),
    }
}

/// What came of a call, as its gate sees it.
fn came(submit: &Submit) -> Came {
    match submit {
        Submit::Refused { class: Class::Ops, .. } | Submit::NotSent { ours: true, .. } => Came::Blame,
        Submit::Accepted { .. } | Submit::Refused { .. } => Came::Answer,
        Submit::NotSent { retry_after: Some(wait), .. } => Came::NotBefore(*wait),
        Submit::NotSent { .. } | Submit::Unknown { .. } => Came::Nothing,
    }
}
