//! The simulator inside this process tells what it has to tell: as a provider's messages come in over HTTP, so do these,
//! only that they are fetched.

use super::receive_notification::{Ears, ReceiveError, receive_notification};
use crate::{
    failure::Failure,
    ports::{
        Clock, SimulatorNotifications, StoreError,
        rail::{Inbound, RailDown},
    },
};

/// Messages taken in one turn.
const MESSAGES_MAX: u32 = 64;

/// Why nothing could be heard.
#[derive(Debug, thiserror::Error)]
pub enum HearError {
    /// The simulator cannot be asked.
    #[error(transparent)]
    Simulator(#[from] RailDown),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes what is due by now. Answers how many messages there were.
///
/// # Errors
/// See [`HearError`]. A message that is not taken comes again; it never stops those behind it.
pub async fn hear_the_simulator(
    notifications: &dyn SimulatorNotifications,
    ears: Ears<'_>,
    clock: &dyn Clock,
) -> Result<usize, HearError> {
    let due = notifications.due_notifications(MESSAGES_MAX).await?;
    let rail = ears.rails.default_id().clone();
    let count = due.len();
    for message in due {
        let received_at = clock.now().await?;
        let inbound = Inbound { headers: message.headers, body: message.body, received_at };
        match receive_notification(ears, &rail, inbound).await {
            Ok(_) => notifications.mark_delivered(&message.id).await?,
            Err(error) if error.class().may_succeed_later() => {
                tracing::warn!(message = message.id, error = ?error, "a notification is not taken yet");
                notifications.mark_failed(&message.id).await?;
            }
            // As an answer of 4xx. It comes again: what was too old when we came to it is signed anew. What nobody signed
            // is given up by whoever gives it out.
            Err(error @ (ReceiveError::Ingest(_) | ReceiveError::RailNotFound(_))) => {
                tracing::warn!(message = message.id, error = ?error, "a notification is refused");
                notifications.mark_failed(&message.id).await?;
            }
            Err(error) => {
                tracing::error!(message = message.id, error = ?error, "a notification cannot be taken");
                notifications.mark_failed(&message.id).await?;
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{Counting, Middle, Still, rail, rails},
        ports::{
            rail::{IngestError, MockSimulatorNotifications, Notification},
            repository::MockPayoutRepository,
        },
    };

    /// It was signed before this machine slept, and is too old now. The next time it is signed anew.
    #[tokio::test]
    async fn what_is_not_believed_now_comes_again() {
        let mut speaker = rail("simulator", true);
        speaker.expect_ingest().returning(|_| Err(IngestError::Forged("it is too old".to_owned())));
        let (rails, ids, repository) = (rails(speaker), Counting::default(), MockPayoutRepository::new());
        let mut notifications = MockSimulatorNotifications::new();
        let told = Notification { id: "ntf_1".to_owned(), headers: Vec::new(), body: Vec::new() };
        notifications.expect_due_notifications().return_once(move |_| Ok(vec![told]));
        notifications.expect_mark_failed().once().withf(|id| id == "ntf_1").returning(|_| Ok(()));
        let ears = Ears { repository: &repository, rails: &rails, ids: &ids, dice: &Middle };
        assert_eq!(hear_the_simulator(&notifications, ears, &Still).await.unwrap(), 1);
    }
}
