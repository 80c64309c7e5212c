//! Registers a recipient, or changes one: whether they may be paid, what is withheld, where the money goes.

use crate::{
    RACES_MAX,
    change::{Change, New, Stored, Update},
    failure::{Class, Detail, Failure},
    job::{Job, JobKind},
    ports::{CommitError, DuplicateKey, Ids, PayoutRepository, Rails, StoreError},
};
use domain::{
    event::Event,
    ids::{EventId, JobId, RecipientId},
    recipient::{Destination, Recipient, RecipientStatus, TaxRule},
    timestamp::Timestamp,
};

/// What is asked: the whole of what is known from now on.
#[derive(Clone, Debug)]
pub struct RegisterRecipient {
    /// Who.
    pub id: RecipientId,
    /// Whether they may be paid.
    pub status: RecipientStatus,
    /// What is withheld, if anything.
    pub tax: Option<TaxRule>,
    /// Where the money goes.
    pub destination: Destination,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The recipient.
    pub recipient: Recipient,
    /// Whether nobody had registered them before.
    pub new: bool,
}

/// Why it was not done, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum RegisterRecipientError {
    /// The destination cannot be used.
    #[error("the destination cannot be used")]
    Destination(Vec<Detail>),
    /// It could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<StoreError> for RegisterRecipientError {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}

impl Failure for RegisterRecipientError {
    fn code(&self) -> &'static str {
        match self {
            Self::Destination(_) => "validation_error",
            Self::Commit(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Destination(_) => Class::Invalid,
            Self::Commit(error) => error.class(),
        }
    }
    fn details(&self) -> Vec<Detail> {
        match self {
            Self::Destination(details) => details.clone(),
            Self::Commit(_) => Vec::new(),
        }
    }
}

/// Registers or changes. Saying the same again changes nothing. Whatever is held for the recipient is looked at
/// anew by a job of the same commit.
///
/// # Errors
/// See [`RegisterRecipientError`].
pub async fn register_recipient(
    repository: &dyn PayoutRepository,
    rails: &Rails,
    ids: &dyn Ids,
    now: Timestamp,
    ask: RegisterRecipient,
) -> Result<Registered, RegisterRecipientError> {
    check(rails, &ask.destination)?;
    let mut races = 0;
    loop {
        let known = repository.recipients(std::slice::from_ref(&ask.id)).await?.into_iter().next();
        if let Some(same) = known.as_ref().filter(|known| is_same(&known.value, &ask)) {
            return Ok(Registered { recipient: same.value.clone(), new: false });
        }
        let new = known.is_none();
        let recipient = recipient(&ask, known.as_ref(), now);
        match repository.commit(change(recipient.clone(), known, ids, now)).await {
            Ok(()) => return Ok(Registered { recipient, new }),
            Err(CommitError::Stale | CommitError::Duplicate(DuplicateKey::Recipient(_))) if races < RACES_MAX => {
                races += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn check(rails: &Rails, destination: &Destination) -> Result<(), RegisterRecipientError> {
    let Some(rail) = rails.get(&destination.rail) else {
        let known: Vec<String> = rails.all().map(|rail| format!("`{}`", rail.profile().id)).collect();
        let message = format!("there is no rail `{}`; there is {}", destination.rail, known.join(", "));
        let field = "/destination/rail".to_owned();
        return Err(RegisterRecipientError::Destination(vec![Detail {
            code: "unknown_rail",
            field,
            message,
            meta: None,
        }]));
    };
    let below = |mut detail: Detail| {
        detail.field = format!("/destination{}", detail.field);
        detail
    };
    let faults = rail.check(destination).map_err(|faults| faults.into_iter().map(below).collect());
    faults.map_err(RegisterRecipientError::Destination)
}

fn is_same(known: &Recipient, ask: &RegisterRecipient) -> bool {
    known.status == ask.status && known.tax == ask.tax && known.destination == ask.destination
}

fn recipient(ask: &RegisterRecipient, known: Option<&Stored<Recipient>>, now: Timestamp) -> Recipient {
    Recipient {
        id: ask.id.clone(),
        status: ask.status,
        tax: ask.tax.clone(),
        destination: ask.destination.clone(),
        created_at: known.map_or(now, |known| known.value.created_at),
        updated_at: now,
    }
}

fn change(recipient: Recipient, known: Option<Stored<Recipient>>, ids: &dyn Ids, now: Timestamp) -> Change {
    let kind = JobKind::ReleaseHeldItems(recipient.id.clone());
    let mut change = Change {
        publish: vec![Event::recipient_updated(EventId::new(ids.fresh()), &recipient)],
        enqueue: vec![Job { id: JobId::new(ids.fresh()), kind, run_at: now }],
        ..Change::default()
    };
    match known {
        Some(Stored { revision, .. }) => change.update.push(Update::Recipient(Stored { value: recipient, revision })),
        None => change.insert.push(New::Recipient(recipient)),
    }
    change
}
