//! Stripe, over a Stripe that remembers. A transfer is made at once or not at all, and is told as soon as it is made.
//! Which promises are left out, and why, stands at the end of `rails.rs`.

use super::RailBench;
use crate::{
    harness::stripe::{Listening, SECRET_KEY, Stripe, sign},
    stripe::destination,
};
use adapters::rails::stripe_connect::{Mode, Secret, Settings, StripeConnect};
use app::ports::{PayoutRail, rail::Inbound};
use domain::{recipient::Destination, timestamp::Timestamp};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What its messages are signed with.
const WEBHOOK_SECRET: &str = "whsec_contract";

/// A provider that stays while the rails to it come and go.
pub(super) struct StripeBench {
    stripe: Stripe,
    listening: Listening,
    /// How many of its messages were looked at.
    looked_at: AtomicUsize,
}

pub(super) async fn bench() -> StripeBench {
    let stripe = Stripe::default();
    stripe.account("acct_paid", "active");
    stripe.account("acct_waiting", "pending");
    // What it tells of accounts that are opened is not about any payment.
    let looked_at = AtomicUsize::new(stripe.events().len());
    StripeBench { listening: stripe.listen().await, stripe, looked_at }
}

impl RailBench for StripeBench {
    async fn rail(&self) -> Arc<dyn PayoutRail> {
        let rail = StripeConnect::try_new(Settings {
            secret_key: Secret::new(SECRET_KEY),
            mode: Mode::Test,
            webhook_secrets: vec![Secret::new(WEBHOOK_SECRET)],
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
        // Nothing is: whoever waits a minute finds it paid, and told, all the same.
        self.payable()
    }
    fn must_act(&self) -> Destination {
        destination("acct_waiting")
    }
    async fn pass(&self, _by: Duration) {}
    fn may_be_busy(&self) -> bool {
        true
    }
    async fn told(&self, messages: usize) -> Vec<Inbound> {
        let all = self.stripe.events();
        let before = self.looked_at.swap(all.len(), Ordering::SeqCst);
        assert_eq!(all.len() - before, messages, "{all:?}");
        all[before..].iter().map(signed).collect()
    }
}

/// A message as it comes: signed a moment ago.
fn signed(event: &Value) -> Inbound {
    let (body, now) = (event.to_string(), 1_700_000_100);
    Inbound {
        headers: vec![("stripe-signature".to_owned(), sign(&body, &[WEBHOOK_SECRET], now))],
        body: body.into_bytes(),
        received_at: Timestamp::from_unix_micros(now * 1_000_000),
    }
}
