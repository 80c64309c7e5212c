//! Stripe, over a Stripe that remembers. A transfer is made at once or not at all, so of the promises those are left out
//! that are about what is paid later or recalled; and Stripe keeps nothing of what it refused, so that is not found. What
//! two calls at the same time are answered, and what Stripe tells by itself, is in `tests/stripe`.

use super::RailBench;
use crate::{
    harness::stripe::{Listening, SECRET_KEY, Stripe},
    stripe::destination,
};
use adapters::rails::stripe_connect::{Mode, Secret, Settings, StripeConnect};
use app::ports::{PayoutRail, rail::Inbound};
use domain::recipient::Destination;
use std::{sync::Arc, time::Duration};

/// A provider that stays while the rails to it come and go.
pub(super) struct StripeBench {
    listening: Listening,
}

pub(super) async fn bench() -> StripeBench {
    let stripe = Stripe::default();
    stripe.account("acct_paid", "active");
    stripe.account("acct_waiting", "pending");
    StripeBench { listening: stripe.listen().await }
}

impl RailBench for StripeBench {
    async fn rail(&self) -> Arc<dyn PayoutRail> {
        let rail = StripeConnect::try_new(Settings {
            secret_key: Secret::new(SECRET_KEY),
            mode: Mode::Test,
            webhook_secrets: Vec::new(),
            api_base: Some(self.listening.url.clone()),
        });
        Arc::new(rail.unwrap())
    }
    fn payable(&self) -> Destination {
        destination("acct_paid")
    }
    fn refused(&self) -> Destination {
        destination("acct_nobody")
    }
    fn unusable(&self) -> (Destination, &'static str) {
        (destination("an account"), "/details/account")
    }
    fn paid_later(&self) -> Destination {
        // Nothing is: no promise about it is asked for.
        self.payable()
    }
    fn must_act(&self) -> Destination {
        destination("acct_waiting")
    }
    async fn pass(&self, _by: Duration) {}
    async fn told(&self, _messages: usize) -> Vec<Inbound> {
        Vec::new()
    }
}
