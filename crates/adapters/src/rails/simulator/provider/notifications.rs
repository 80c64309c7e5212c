//! What the simulator has to tell by itself: rows that fall due, signed when they are given out.

use super::{
    Provider, Trouble,
    book::{BookError, statement},
};
use crate::rails::simulator::signature;
use app::ports::rail::Notification;
use domain::timestamp::Timestamp;
use sea_orm::ConnectionTrait;
use std::time::Duration;
use tokio::sync::watch;

/// How long what was given out is given to nobody else.
const LEASE: Duration = Duration::from_secs(30);
/// The first and the longest pause after somebody did not take it.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));
/// After so many tries it is given up.
const TRIES_MAX: i64 = 16;
/// How often it is looked whether something is due.
const POLL: Duration = Duration::from_millis(200);
/// How many are posted before it is looked again.
const POST_MAX: u32 = 32;
/// How long whoever is told may take.
const POST_PATIENCE: Duration = Duration::from_secs(10);

impl Provider {
    /// What is due by now, in the order in which it is to come. Nobody else is given the same for a while.
    pub(crate) async fn due(&self, limit: u32) -> Result<Vec<Notification>, Trouble> {
        let now = self.now().await?;
        let at = now.unix_micros();
        let is_due = statement("SELECT 1 FROM notifications WHERE is_done = 0 AND next_at <= ? LIMIT 1", [at.into()]);
        if self.book.reader().query_one_raw(is_due).await.map_err(BookError::from)?.is_none() {
            return Ok(Vec::new());
        }
        let claim = "UPDATE notifications SET next_at = ?, tries = tries + 1 WHERE id IN
             (SELECT id FROM notifications WHERE is_done = 0 AND next_at <= ? ORDER BY next_at, id LIMIT ?)
             RETURNING id, due_at, is_forged, body";
        let values = [now.after(LEASE).unix_micros().into(), at.into(), i64::from(limit).into()];
        let rows = self.book.writer().query_all_raw(statement(claim, values)).await.map_err(BookError::from)?;
        let mut due = Vec::new();
        for row in rows {
            let read = || -> Result<(i64, String, bool, Vec<u8>), sea_orm::DbErr> {
                let id = row.try_get("", "id")?;
                Ok((row.try_get("", "due_at")?, id, row.try_get("", "is_forged")?, row.try_get("", "body")?))
            };
            due.push(read().map_err(BookError::from)?);
        }
        due.sort();
        Ok(due.into_iter().map(|(_, id, is_forged, body)| self.signed((id, is_forged, body), now)).collect())
    }

    fn signed(&self, (id, is_forged, body): (String, bool, Vec<u8>), now: Timestamp) -> Notification {
        // Whoever forges does not know the secret.
        let secret: &[u8] = if is_forged { b"a guess" } else { &self.secret };
        let signature = signature::sign(secret, now, &body);
        let headers = [("content-type", "application/json".to_owned()), (signature::HEADER, signature)];
        Notification { id, headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(), body }
    }

    /// It was taken, or refused for good.
    pub(crate) async fn mark_delivered(&self, id: &str) -> Result<(), Trouble> {
        let done = statement("UPDATE notifications SET is_done = 1 WHERE id = ?", [id.into()]);
        self.book.writer().execute_raw(done).await.map_err(BookError::from)?;
        Ok(())
    }

    /// It was not taken: later again, or never. Nobody forges twice.
    pub(crate) async fn mark_failed(&self, id: &str) -> Result<(), Trouble> {
        let now = self.now().await?;
        let select = statement("SELECT tries FROM notifications WHERE id = ?", [id.into()]);
        let row = self.book.reader().query_one_raw(select).await.map_err(BookError::from)?;
        let tries: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0)).map_err(BookError::from)?;
        let doubled = u32::try_from(tries.saturating_sub(1)).unwrap_or_default().min(20);
        let pause = PAUSE.0.saturating_mul(1 << doubled).min(PAUSE.1);
        let later = "UPDATE notifications SET next_at = ?, is_done = (tries >= ? OR is_forged) WHERE id = ?";
        let values = [now.after(pause).unix_micros().into(), TRIES_MAX.into(), id.into()];
        self.book.writer().execute_raw(statement(later, values)).await.map_err(BookError::from)?;
        Ok(())
    }

    /// Posts what falls due to that address, until told to stop.
    ///
    /// # Errors
    /// If there can be no client for it.
    pub async fn post_notifications(self, url: String, mut stop: watch::Receiver<bool>) -> Result<(), reqwest::Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(POST_PATIENCE)
            .build()?;
        while !*stop.borrow() {
            match self.due(POST_MAX).await {
                Ok(due) if due.is_empty() => {}
                Ok(due) => {
                    for notification in due {
                        self.post(&client, &url, notification).await;
                    }
                    continue;
                }
                Err(error) => tracing::warn!(%error, "cannot read what is to be told; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        Ok(())
    }

    async fn post(&self, client: &reqwest::Client, url: &str, notification: Notification) {
        let Notification { id, headers, body } = notification;
        let mut request = client.post(url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await;
        let marked = match answer {
            Ok(answer) if answer.status().is_success() => self.mark_delivered(&id).await,
            Ok(answer) => {
                tracing::info!(notification = id, status = answer.status().as_u16(), "not taken; later again");
                self.mark_failed(&id).await
            }
            Err(error) => {
                tracing::info!(notification = id, %error, "not taken; later again");
                self.mark_failed(&id).await
            }
        };
        if let Err(error) = marked {
            tracing::warn!(%error, "what was told may be told again");
        }
    }
}
