//! What Stripe knows: of an instruction, of everything since then, and as a book.

use super::{
    StripeConnect,
    profile::{CALL_MAX, PAGE_MAX},
    submit::TRANSFERS,
    wire::{Page, Transfer},
};
use app::ports::rail::{BookEntry, Listed, Lookup, RailDown, RailEvent};
use domain::{instruction::Instruction, money::Money, timestamp::Timestamp};
use form_urlencoded::Serializer;
use std::time::Duration;

/// Most transfers in a page.
const PAGE: usize = 100;
/// Most pages from the newest to the oldest: a hundred thousand transfers.
const PAGES_MAX: usize = 1_000;

/// Which of two ways a list is walked, and from where.
#[derive(Clone, Copy, Debug)]
enum Walk<'a> {
    /// The newest.
    Newest,
    /// Those before that one.
    Older(&'a str),
    /// Those after that one.
    Newer(&'a str),
}

impl StripeConnect {
    /// Looks for the transfers of an instruction by their group, which cannot be edited.
    pub(super) async fn find(&self, instruction: &Instruction) -> Lookup {
        match tokio::time::timeout(CALL_MAX, self.find_all(instruction)).await {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(down)) => Lookup::CannotTell { cause: down.0 },
            Err(_) => Lookup::CannotTell { cause: format!("no answer in {} ms", CALL_MAX.as_millis()) },
        }
    }

    async fn find_all(&self, instruction: &Instruction) -> Result<Lookup, RailDown> {
        let key = instruction.id.to_string();
        let mut events: Vec<RailEvent> = Vec::new();
        let (mut matching, mut others) = (0, 0);
        let mut last: Option<String> = None;
        loop {
            let walk = last.as_deref().map_or(Walk::Newest, Walk::Older);
            let (page, raw) = self.page(&[("transfer_group", &key)], walk, PAGE, CALL_MAX).await?;
            for transfer in &page.data {
                let is_ours = transfer.instruction() == Some(key.as_str()) && transfer.livemode == self.mode.is_live();
                let wire_ref = transfer.wire_ref().filter(|_| is_ours);
                match wire_ref.filter(|name| instruction.items.iter().any(|part| part.wire_ref == *name)) {
                    Some(wire_ref) => {
                        matching += 1;
                        events.extend(transfer.events(wire_ref, &raw).map_err(|error| RailDown(error.to_string()))?);
                    }
                    None => others += 1,
                }
            }
            last = page.data.last().map(|transfer| transfer.id.clone());
            if !page.has_more || last.is_none() {
                break;
            }
        }
        if matching > instruction.items.len() {
            tracing::error!(alarm = "paid_twice", instruction = %key, transfers = matching, "a person is needed");
        }
        Ok(match (matching, others) {
            (0, 0) => Lookup::ProvenAbsent,
            // Something was paid in our group, and what we had written on it is gone. That is no proof of anything.
            (0, _) => {
                let cause = format!("{others} transfers of this group do not say what they pay");
                tracing::error!(alarm = "transfer_not_recognised", instruction = %key, cause, "a person is needed");
                Lookup::CannotTell { cause }
            }
            (_, _) => Lookup::Found(events),
        })
    }

    /// A page of everything of ours that was made since then, oldest first. The cursor is the name of a transfer.
    pub(super) async fn sweep(&self, since: Timestamp, cursor: Option<String>) -> Result<Listed, RailDown> {
        let (transfers, next) = self.oldest_first(Some(since), cursor, PAGE).await?;
        let mut events = Vec::new();
        for (transfer, raw) in &transfers {
            let Some(wire_ref) = transfer.wire_ref() else { continue };
            match transfer.events(wire_ref, raw) {
                Ok(said) => events.extend(said),
                Err(error) => {
                    tracing::error!(alarm = "amount_not_readable", error = %error, "a person is needed");
                }
            }
        }
        Ok(Listed { events, next })
    }

    /// The book: what was moved and did not come back. It is the same list, so it is as true as that.
    pub(super) async fn entries(&self, after: Option<String>, limit: u32) -> Result<Vec<BookEntry>, RailDown> {
        let limit = usize::try_from(limit).unwrap_or(PAGE).clamp(1, PAGE);
        let mut after = after;
        // Whoever reads goes on until a page is empty, so one without anything of ours is passed over here.
        loop {
            let (transfers, next) = self.oldest_first(None, after, limit).await?;
            let entries: Result<Vec<BookEntry>, RailDown> =
                transfers.iter().filter_map(|(transfer, _)| entry(transfer)).collect();
            let entries = entries?;
            if !entries.is_empty() || next.is_none() {
                return Ok(entries);
            }
            after = next;
        }
    }

    /// A page after a cursor, oldest first, and the cursor of the next one if there is any. Stripe begins with the
    /// newest: without a cursor the oldest is looked for first, page by page.
    async fn oldest_first(
        &self,
        since: Option<Timestamp>,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<(Transfer, Vec<u8>)>, Option<String>), RailDown> {
        let since = since.map(|since| since.unix_micros().div_euclid(1_000_000).to_string());
        let filter: Vec<(&str, &str)> = since.iter().map(|since| ("created[gte]", since.as_str())).collect();
        let (page, raw, is_last) = match &cursor {
            Some(cursor) => {
                let (page, raw) = self.page(&filter, Walk::Newer(cursor), limit, PAGE_MAX).await?;
                let is_last = !page.has_more;
                (page, raw, is_last)
            }
            None => self.oldest_page(&filter, limit).await?,
        };
        let next = page.data.first().map(|newest| newest.id.clone()).filter(|_| !is_last);
        Ok((page.data.into_iter().rev().map(|transfer| (transfer, raw.clone())).collect(), next))
    }

    async fn oldest_page(&self, filter: &[(&str, &str)], limit: usize) -> Result<(Page, Vec<u8>, bool), RailDown> {
        let (mut page, mut raw) = self.page(filter, Walk::Newest, PAGE, PAGE_MAX).await?;
        let mut is_last = true;
        for _ in 0..PAGES_MAX {
            let oldest = page.data.last().map(|oldest| oldest.id.clone());
            let Some(oldest) = oldest.filter(|_| page.has_more) else {
                let too_many = page.data.len().saturating_sub(limit);
                page.data.drain(..too_many);
                return Ok((page, raw, is_last && too_many == 0));
            };
            is_last = false;
            (page, raw) = self.page(filter, Walk::Older(&oldest), PAGE, PAGE_MAX).await?;
        }
        Err(RailDown(format!("there are more than {} transfers", PAGES_MAX * PAGE)))
    }

    async fn page(
        &self,
        filter: &[(&str, &str)],
        walk: Walk<'_>,
        limit: usize,
        patience: Duration,
    ) -> Result<(Page, Vec<u8>), RailDown> {
        let query = query(filter, walk, limit);
        let reply = self.client.get(TRANSFERS, &query, patience).await;
        let reply = reply.map_err(|silence| RailDown(silence.to_string()))?;
        if reply.status != 200 {
            return Err(RailDown(format!("Stripe answered {}, request {}", reply.status, reply.request)));
        }
        let page = serde_json::from_slice(&reply.body)
            .map_err(|error| RailDown(format!("the list cannot be read: {error}, request {}", reply.request)))?;
        Ok((page, reply.body))
    }
}

fn query(filter: &[(&str, &str)], walk: Walk<'_>, limit: usize) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(filter).append_pair("limit", &limit.to_string());
    match walk {
        Walk::Newest => {}
        Walk::Older(than) => _ = query.append_pair("starting_after", than),
        Walk::Newer(than) => _ = query.append_pair("ending_before", than),
    }
    query.finish()
}

/// The entry of a transfer that is ours.
fn entry(transfer: &Transfer) -> Option<Result<BookEntry, RailDown>> {
    transfer.wire_ref()?;
    let key = transfer.instruction()?.to_owned();
    let entry = transfer.moved().and_then(|moved| {
        let returned_minor = transfer.returned()?.amount_minor;
        let executed = Money::new(moved.amount_minor - returned_minor, moved.currency);
        Ok(BookEntry { key, executed, returned_minor, cursor: transfer.id.clone() })
    });
    Some(entry.map_err(|error| RailDown(error.to_string())))
}
