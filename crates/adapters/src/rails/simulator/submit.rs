//! Pure: what the provider's answers mean.

use super::{
    ingest::event,
    link::{Called, Down},
    provider::api::{Answered, Happening, Recalled, TransferView},
    reasons,
};
use app::ports::rail::{BookEntry, Class, Lookup, RailEvent, Recall, Submit, Transfer};

/// What an answer to an order means.
pub(super) fn submitted(called: Called) -> Submit {
    match called {
        Called::Answered(Answered::Transfer(transfer)) => {
            let refusal =
                transfer.events.iter().find(|said| matches!(said.what, Happening::Declined | Happening::Held));
            match refusal {
                Some(said) => {
                    let reason = said.code.clone().unwrap_or_default();
                    Submit::Refused { class: reasons::class_of(&reason), reason }
                }
                None => Submit::Accepted { reference: Some(transfer.id.clone()), seen: events(&[*transfer]) },
            }
        }
        // Whatever was executed under the key is not known here: that is doubt, not a refusal.
        Called::Answered(Answered::KeyUsedWithAnotherBody) => {
            Submit::Unknown { cause: "the key was used with another body".to_owned() }
        }
        // Nothing that reads like this is ever executed.
        Called::Answered(Answered::Invalid(why)) => {
            tracing::error!(why, "the simulator cannot read what we ordered");
            Submit::Refused { reason: "invalid_request".to_owned(), class: Class::Fail }
        }
        Called::Answered(Answered::RateLimited(wait)) => {
            Submit::NotSent { cause: "too many calls".to_owned(), retry_after: Some(wait), ours: false }
        }
        Called::Answered(Answered::Unreachable) => {
            Submit::NotSent { cause: "the connection is refused".to_owned(), retry_after: None, ours: false }
        }
        Called::Answered(Answered::Broken) => Submit::Unknown { cause: "HTTP 500".to_owned() },
        Called::Answered(Answered::Silence) => Submit::Unknown { cause: "no answer came".to_owned() },
        Called::NotSent(cause) => Submit::NotSent { cause, retry_after: None, ours: false },
        Called::Lost(cause) => Submit::Unknown { cause },
    }
}

/// What an answer to a question means.
pub(super) fn found(found: Result<Vec<TransferView>, Down>) -> Lookup {
    match found {
        Ok(transfers) if transfers.is_empty() => Lookup::ProvenAbsent,
        Ok(transfers) => Lookup::Found(events(&transfers)),
        Err(Down(cause)) => Lookup::CannotTell { cause },
    }
}

/// What an answer to a recall means.
pub(super) fn recalled(answer: Result<Recalled, Down>) -> Recall {
    match answer {
        Ok(Recalled::Yes) => Recall::Recalled,
        Ok(Recalled::TooLate(status)) => Recall::Refused { reason: status.as_str().to_owned() },
        // It may still be on its way.
        Ok(Recalled::NotFound) => Recall::Refused { reason: "not_found".to_owned() },
        Err(Down(cause)) => Recall::Unknown { cause },
    }
}

fn events(transfers: &[TransferView]) -> Vec<RailEvent> {
    transfers.iter().flat_map(|transfer| &transfer.events).map(|said| event(said, None)).collect()
}

pub(super) fn book_entry(transfer: TransferView) -> BookEntry {
    let kept = transfer.executed.saturating_sub(transfer.returned);
    BookEntry {
        executed: transfer.money(kept),
        returned_minor: transfer.returned,
        key: transfer.idempotency_key,
        cursor: transfer.id,
    }
}

pub(super) fn transfer(view: TransferView) -> Transfer {
    Transfer {
        amount: view.money(view.amount),
        executed: view.money(view.executed),
        returned: view.money(view.returned),
        id: view.id,
        idempotency_key: view.idempotency_key,
        item: view.item_id,
        recipient: view.recipient_id,
        outcome: view.status.0.as_str(),
        created_at: view.created_at,
    }
}
