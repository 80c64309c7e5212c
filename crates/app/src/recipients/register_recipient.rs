//! Registers a recipient, or changes one: whether they may be paid, what is withheld, where the money goes.

use crate::{
    RACES_MAX,
    change::{Change, New, Stored, Update},
    failure::{Class, Detail, Failure},
    job::{Job, JobKind},
    ports::{CommitError, DuplicateKey, Ids, PayoutRepository, Rails, StoreError},
};
use domain::{
    approval::{ContentHash, destination_hash},
    audit::{Actor, AuditEntry},
    currency::Currency,
    event::Event,
    ids::{AuditId, EventId, JobId, RecipientId},
    recipient::{Destination, Recipient, RecipientStatus},
    tax::TaxProfile,
    timestamp::Timestamp,
};
use serde_json::json;
use std::collections::BTreeMap;

/// What is asked. Whether and where somebody is paid stays as it is unless it is told: who forgets to say it must
/// neither unblock anybody nor send their money elsewhere.
#[derive(Clone, Debug)]
pub struct RegisterRecipient {
    /// Who.
    pub id: RecipientId,
    /// Whether they may be paid: as it is, or `active` for somebody new, if absent.
    pub status: Option<RecipientStatus>,
    /// What is known of their tax from now on, if anything.
    pub tax: Option<TaxProfile>,
    /// From now on, less than this many minor units is not sent, but carried until it is enough.
    pub payout_minimums: BTreeMap<Currency, i64>,
    /// Where the money goes: as it is, or over the default rail for somebody new, if absent.
    pub destination: Option<Destination>,
    /// Who asks.
    pub actor: Actor,
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

/// Registers or changes. Saying the same again changes nothing. Whatever is held or carried for the recipient is
/// looked at anew by jobs of the same commit.
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
    if let Some(destination) = &ask.destination {
        check(rails, destination)?;
    }
    let mut races = 0;
    loop {
        let known = repository.recipients(std::slice::from_ref(&ask.id)).await?.into_iter().next();
        let new = known.is_none();
        let recipient = recipient(rails, &ask, known.as_ref().map(|known| &known.value), now);
        if let Some(same) = known.as_ref().filter(|known| is_same(&known.value, &recipient)) {
            return Ok(Registered { recipient: same.value.clone(), new: false });
        }
        if ask.destination.is_none() && new {
            check(rails, &recipient.destination)?;
        }
        match repository.commit(change(recipient.clone(), known, &ask.actor, ids, now)).await {
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

fn is_same(known: &Recipient, wanted: &Recipient) -> bool {
    *known == Recipient { updated_at: known.updated_at, ..wanted.clone() }
}

fn recipient(rails: &Rails, ask: &RegisterRecipient, known: Option<&Recipient>, now: Timestamp) -> Recipient {
    let stays = known.map(|known| &known.destination);
    let destination = ask.destination.as_ref().or(stays).cloned();
    let destination = destination.unwrap_or_else(|| Destination::bare(rails.default_id().clone()));
    Recipient {
        id: ask.id.clone(),
        status: ask.status.or(known.map(|known| known.status)).unwrap_or(RecipientStatus::Active),
        tax: ask.tax.clone(),
        payout_minimums: ask.payout_minimums.clone(),
        destination_set_by: match known {
            Some(known) if known.destination == destination => known.destination_set_by.clone(),
            _ => ask.actor.requester(),
        },
        destination,
        created_at: known.map_or(now, |known| known.created_at),
        updated_at: now,
    }
}

fn change(
    recipient: Recipient,
    known: Option<Stored<Recipient>>,
    actor: &Actor,
    ids: &dyn Ids,
    now: Timestamp,
) -> Change {
    let audit = AuditEntry {
        id: AuditId::new(ids.fresh()),
        at: now,
        actor: actor.clone(),
        action: "recipient.set".to_owned(),
        subject: recipient.id.to_string(),
        before: known.as_ref().map(|known| facts(&known.value)),
        after: Some(facts(&recipient)),
    };
    let jobs = [JobKind::ReleaseHeldItems(recipient.id.clone()), JobKind::PayCarried(recipient.id.clone())];
    let mut change = Change {
        publish: vec![Event::recipient_updated(EventId::new(ids.fresh()), &recipient)],
        enqueue: jobs.map(|kind| Job { id: JobId::new(ids.fresh()), kind, run_at: now }).into(),
        audit: vec![audit],
        ..Change::default()
    };
    match known {
        Some(Stored { revision, .. }) => change.update.push(Update::Recipient(Stored { value: recipient, revision })),
        None => change.insert.push(New::Recipient(recipient)),
    }
    change
}

/// What an auditor wants to know; of the destination only whether it is the same.
fn facts(recipient: &Recipient) -> serde_json::Value {
    let minimums: BTreeMap<String, i64> =
        recipient.payout_minimums.iter().map(|(currency, minor)| (currency.to_string(), *minor)).collect();
    json!({
        "status": recipient.status.as_str(),
        "rail": recipient.destination.rail,
        "destinationHash": ContentHash::of(destination_hash(&recipient.destination)),
        "taxRules": recipient.tax.as_ref().map(|tax| tax.rules.len()),
        "payoutMinimums": minimums,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{Counting, down, now, rail, rails, recipient},
        ports::{rail::MockPayoutRail, repository::MockPayoutRepository},
    };

    fn ask() -> RegisterRecipient {
        RegisterRecipient {
            id: "rec_ana".parse().unwrap(),
            status: Some(RecipientStatus::Active),
            tax: None,
            payout_minimums: BTreeMap::new(),
            destination: Some(Destination::bare("simulator".parse().unwrap())),
            actor: Actor::of(&"usr_1".parse().unwrap()),
        }
    }
    fn knowing(known: Option<Stored<Recipient>>) -> MockPayoutRepository {
        let mut repository = MockPayoutRepository::new();
        repository.expect_recipients().returning(move |_| Ok(known.clone().into_iter().collect()));
        repository
    }
    async fn register(
        repository: &MockPayoutRepository,
        ask: RegisterRecipient,
    ) -> Result<Registered, RegisterRecipientError> {
        register_recipient(repository, &rails(rail("simulator", true)), &Counting::default(), now(), ask).await
    }

    #[tokio::test]
    async fn a_stranger_is_inserted_and_somebody_known_is_updated_at_the_revision_that_was_read() {
        let mut repository = knowing(None);
        repository.expect_commit().once().returning(|change| {
            assert!(matches!(change.insert[..], [New::Recipient(_)]) && change.update.is_empty());
            assert!(matches!(change.enqueue[0].kind, JobKind::ReleaseHeldItems(_)));
            Ok(())
        });
        assert!(register(&repository, ask()).await.unwrap().new);

        let mut repository = knowing(Some(recipient("rec_ana", RecipientStatus::Pending)));
        repository.expect_commit().once().returning(|change| {
            assert!(matches!(&change.update[..], [Update::Recipient(stored)] if stored.revision == 1));
            Ok(())
        });
        assert!(!register(&repository, ask()).await.unwrap().new);
    }

    #[tokio::test]
    async fn who_says_neither_whether_nor_where_unblocks_nobody_and_moves_no_money() {
        let mut blocked = recipient("rec_ana", RecipientStatus::Blocked);
        blocked.value.destination.details.insert("account".into(), "1".into());
        let repository = knowing(Some(blocked.clone()));
        let silent = RegisterRecipient { status: None, destination: None, ..ask() };
        let registered = register(&repository, silent.clone()).await.unwrap();
        assert_eq!(registered.recipient, blocked.value, "nothing was committed: nothing changed");

        let mut repository = knowing(None);
        repository.expect_commit().once().returning(|_| Ok(()));
        let Recipient { status, destination, .. } = register(&repository, silent).await.unwrap().recipient;
        assert_eq!((status, destination), (RecipientStatus::Active, Destination::bare("simulator".parse().unwrap())));
    }

    #[tokio::test]
    async fn saying_the_same_again_writes_nothing() {
        let registered = register(&knowing(Some(recipient("rec_ana", RecipientStatus::Active))), ask()).await.unwrap();
        assert!(!registered.new);
    }

    #[tokio::test]
    async fn a_destination_that_cannot_be_used_is_refused_with_its_faults() {
        let pigeon = Destination::bare("pigeon".parse().unwrap());
        let unknown = RegisterRecipient { destination: Some(pigeon), ..ask() };
        let error = register(&knowing(None), unknown).await.unwrap_err();
        assert_eq!((error.code(), error.details()[0].field.as_str()), ("validation_error", "/destination/rail"));

        let mut picky = MockPayoutRail::new();
        let profile = crate::ports::PayoutRail::profile(&rail("simulator", true));
        picky.expect_profile().returning(move || profile.clone());
        picky.expect_check().returning(|_| {
            let field = "/details/iban".to_owned();
            Err(vec![Detail { code: "required", field, message: "This is required.".to_owned(), meta: None }])
        });
        let refused = register_recipient(&knowing(None), &rails(picky), &Counting::default(), now(), ask()).await;
        assert_eq!(refused.unwrap_err().details()[0].field, "/destination/details/iban");
    }

    #[tokio::test]
    async fn who_loses_a_race_decides_anew_but_not_for_ever() {
        let mut repository = knowing(None);
        let mut commits = 0;
        repository.expect_commit().times(2).returning(move |_| {
            commits += 1;
            if commits == 1 { Err(CommitError::Stale) } else { Ok(()) }
        });
        assert!(register(&repository, ask()).await.is_ok());

        let mut unlucky = knowing(None);
        unlucky.expect_commit().returning(|_| Err(CommitError::Stale));
        assert_eq!(register(&unlucky, ask()).await.unwrap_err().class(), Class::Unavailable);
    }

    #[tokio::test]
    async fn every_failure_of_the_store_is_unavailable() {
        let mut repository = MockPayoutRepository::new();
        repository.expect_recipients().returning(|_| Err(down()));
        assert_eq!(register(&repository, ask()).await.unwrap_err().code(), "unavailable");

        let mut repository = knowing(None);
        repository.expect_commit().returning(|_| Err(down().into()));
        assert_eq!(register(&repository, ask()).await.unwrap_err().code(), "unavailable");
    }
}
