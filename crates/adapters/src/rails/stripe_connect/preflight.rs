//! Whether an account can be paid now, as Stripe sees it.

use super::{
    StripeConnect,
    profile::{PREFLIGHT_MAX, READY_FOR},
    reasons,
    wire::{Account, Refusal},
};
use app::ports::rail::Preflight;
use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

/// The reason why an account cannot be paid whose capability is not active: the one with which Stripe would refuse.
const NOT_ACTIVE: &str = "insufficient_capabilities_for_transfer";
/// Codes that say that there is nobody there who could be paid by us.
const NOBODY: [&str; 2] = ["account_invalid", "resource_missing"];
/// More accounts than this are not remembered.
const READY_MAX: usize = 10_000;

impl StripeConnect {
    pub(super) async fn look_at(&self, account: &str) -> Preflight {
        if self.was_ready_lately(account) {
            return Preflight::Ready;
        }
        let Ok(reply) = self.client.get(&format!("/v1/accounts/{account}"), "", PREFLIGHT_MAX).await else {
            return Preflight::CannotTell;
        };
        if reply.status != 200 {
            let refusal: Refusal = serde_json::from_slice(&reply.body).unwrap_or_default();
            return match refusal.error.code.as_deref() {
                Some(code) if NOBODY.contains(&code) => Preflight::MustAct { reason: reasons::word(Some(code)) },
                _ => Preflight::CannotTell,
            };
        }
        match serde_json::from_slice::<Account>(&reply.body) {
            Ok(found) if found.takes_transfers() => {
                self.remember_ready(account);
                Preflight::Ready
            }
            Ok(_) => Preflight::MustAct { reason: NOT_ACTIVE.to_owned() },
            Err(_) => Preflight::CannotTell,
        }
    }

    /// What is known lately is not asked again, if it is good: what is not may have changed, and whoever is paid there
    /// waits for it. If it is not good any more, the transfer is refused, and nothing is lost.
    fn was_ready_lately(&self, account: &str) -> bool {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.get(account).is_some_and(|at| is_fresh(*at, READY_FOR))
    }

    fn remember_ready(&self, account: &str) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.len() >= READY_MAX {
            ready.retain(|_, at| is_fresh(*at, READY_FOR));
        }
        if ready.len() < READY_MAX {
            ready.insert(account.to_owned(), Instant::now());
        }
    }
}

fn is_fresh(at: Instant, for_how_long: Duration) -> bool {
    at.elapsed() < for_how_long
}
