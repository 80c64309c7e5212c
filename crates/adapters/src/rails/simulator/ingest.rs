//! What the provider says, as events: in an answer, to a question, or in a notification. A saying has the same name and
//! the same evidence in all three.

use super::{
    provider::api::{Happening, Saying},
    reasons, signature,
};
use app::ports::rail::{About, Inbound, IngestError, RailEvent, Seen};
use domain::money::Money;
use sha2::{Digest, Sha256};

/// The reason of a refusal or a return that names none.
const UNKNOWN: &str = "unknown";

/// A saying as an event, with the bytes it came in if they are known.
pub(super) fn event(said: &Saying, raw: Option<&[u8]>) -> RailEvent {
    let reference = || Some(said.transfer.clone());
    let reason = || said.code.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    let what = match said.what {
        Happening::Accepted => Seen::Accepted { reference: reference() },
        Happening::Settled => Seen::Settled { reference: reference() },
        Happening::Declined | Happening::Held => {
            let reason = reason();
            Seen::Rejected { class: reasons::class_of(&reason), reason }
        }
        Happening::Returned => Seen::Returned {
            reason: reason(),
            returned: Money::new(said.returned.unwrap_or(said.amount), said.currency),
            reference: reference(),
        },
        Happening::Recalled => Seen::Recalled,
    };
    let written = || serde_json::to_vec(said).unwrap_or_default();
    let evidence = raw.map_or_else(|| Sha256::digest(written()), Sha256::digest).into();
    RailEvent {
        dedupe: said.id.clone(),
        about: About::Item(said.reference.clone()),
        key: Some(said.idempotency_key.clone()),
        what,
        amount: Some(Money::new(said.amount, said.currency)),
        occurred_at: Some(said.created),
        evidence,
    }
}

/// What a notification says, if the provider signed it.
pub(super) fn ingest(message: &Inbound, secret: Option<&[u8]>) -> Result<Vec<RailEvent>, IngestError> {
    let secret = secret.ok_or_else(|| IngestError::NotTaken("the secret of the simulator is not set".to_owned()))?;
    let forged = |why: &str| IngestError::Forged(why.to_owned());
    let value = message.header(signature::HEADER).ok_or_else(|| forged("it is missing"))?;
    signature::verify(secret, value, &message.body, message.received_at).map_err(forged)?;
    let said: Saying =
        serde_json::from_slice(&message.body).map_err(|error| IngestError::Unreadable(error.to_string()))?;
    Ok(vec![event(&said, Some(&message.body))])
}
