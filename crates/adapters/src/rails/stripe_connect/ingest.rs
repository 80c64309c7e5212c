//! What a message of Stripe's says: of a transfer, or of an account that can or cannot be paid by now.

use super::{
    StripeConnect, signature,
    wire::{Event, Transfer},
};
use app::ports::rail::{About, Inbound, IngestError, RailEvent, Seen};
use domain::timestamp::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

impl StripeConnect {
    pub(super) fn heard(&self, message: &Inbound) -> Result<Vec<RailEvent>, IngestError> {
        if self.webhook_secrets.is_empty() {
            return Err(IngestError::NotTaken("no secret of a webhook endpoint is set".to_owned()));
        }
        let header = message.header(signature::HEADER);
        let header = header.ok_or_else(|| IngestError::Forged("it is not signed once".to_owned()))?;
        signature::verify(header, &message.body, &self.webhook_secrets, message.received_at)
            .map_err(IngestError::Forged)?;
        self.said(&message.body)
    }

    /// What a message says that Stripe signed.
    fn said(&self, body: &[u8]) -> Result<Vec<RailEvent>, IngestError> {
        let unreadable = |why: String| IngestError::Unreadable(why);
        let raw: Value = serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
        // Messages of another make are signed alike; none of them is about a transfer.
        if raw.get("object").and_then(Value::as_str) != Some("event") {
            return Ok(Vec::new());
        }
        let event: Event = serde_json::from_value(raw).map_err(|error| unreadable(error.to_string()))?;
        // Stripe sends what happens in a sandbox of a connected account to the endpoint of the live platform, too.
        if event.livemode != self.mode.is_live() {
            return Ok(Vec::new());
        }
        let said = match event.kind.as_str() {
            "transfer.created" | "transfer.updated" | "transfer.reversed" => self.of_a_transfer(&event)?,
            "account.updated" => of_an_account(&event, "id"),
            "capability.updated" => of_an_account(&event, "account"),
            _ => None,
        };
        let evidence = Sha256::digest(body).into();
        let Event { id, created, .. } = event;
        let occurred_at = Some(Timestamp::from_unix_micros(created.saturating_mul(1_000_000)));
        let event = |Said { about, key, what, amount }| RailEvent {
            dedupe: id,
            about,
            key,
            what,
            amount,
            occurred_at,
            evidence,
        };
        Ok(said.map(event).into_iter().collect())
    }

    fn of_a_transfer(&self, event: &Event) -> Result<Option<Said>, IngestError> {
        // A connected account can make transfers of its own.
        if event.account.is_some() {
            return Ok(None);
        }
        let unreadable = |why: String| IngestError::Unreadable(why);
        let transfer: Transfer =
            serde_json::from_value(event.data.object.clone()).map_err(|error| unreadable(error.to_string()))?;
        let Some(wire_ref) = transfer.wire_ref() else { return Ok(None) };
        let what = transfer.seen().map_err(|error| unreadable(error.to_string()))?;
        let amount = transfer.moved().map_err(|error| unreadable(error.to_string()))?;
        let key = transfer.instruction().map(str::to_owned);
        Ok(Some(Said { about: About::Item(wire_ref.to_owned()), key, what, amount: Some(amount) }))
    }
}

struct Said {
    about: About,
    key: Option<String>,
    what: Seen,
    amount: Option<domain::money::Money>,
}

/// Of a connected account, by the field that names it. Our own is nobody whom we pay.
fn of_an_account(event: &Event, field: &str) -> Option<Said> {
    let account = event.data.object.get(field)?.as_str()?;
    let is_theirs = event.account.as_deref() == Some(account);
    let about = About::Destination(account.to_owned());
    is_theirs.then_some(Said { about, key: None, what: Seen::DetailsChanged, amount: None })
}
