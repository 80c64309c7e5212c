//! The same history on every store: 200 operations that a seed draws, done by the real use cases. Whatever the store,
//! each is answered alike, and the end is the same to the cent, the posting and the audit entry.
//!
//! Names and instants differ, so what is compared is told by escrow, recipient and generation. Time moves by hours
//! after each operation, so that the moments that a database takes decide nothing.

use super::{
    rail::Script,
    stage::{Person, Stage, shares},
};
use crate::contracts::Bench;
use app::{
    change::Resolved,
    failure::Failure,
    payouts::act::Action,
    ports::{
        queries::{BatchDetails, BatchFilter, Page},
        rail::Class,
    },
};
use domain::{batch::Batch, instruction::Outcome, item::Item, recipient::RecipientStatus};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

const OPERATIONS: usize = 200;
/// Together they see whatever can happen; the last test looks after that.
const SEEDS: [u64; 3] = [1, 2, 10];
const PEOPLE: [&str; 4] = ["rec_ana", "rec_ben", "rec_cem", "rec_dee"];
const STAFF: [&str; 3] = ["usr_ann", "usr_bob", "usr_cyd"];
const HOUR: Duration = Duration::from_secs(3_600);

/// What a history was like: what each operation was answered, and what there is at the end.
type Told = (Vec<String>, BTreeMap<String, Vec<String>>);

/// One history of a seed.
struct History<'a> {
    stage: Stage<'a>,
    drawn: u64,
    batches: Vec<Batch>,
    messages: u32,
    answers: Vec<String>,
}

async fn played(bench: &dyn Bench, seed: u64) -> Told {
    let stage = Stage::one_by_one(bench);
    let mut history = History { stage, drawn: seed, batches: Vec::new(), messages: 0, answers: Vec::new() };
    history.stage.model(shares(&[("rec_ana", 40), ("rec_ben", 30), ("rec_cem", 20), ("rec_dee", 10)])).await;
    for operation in 0..OPERATIONS {
        history.operation().await;
        let hours = [1, 5, 30][history.below(3)];
        // Time stands still in memory while work is done, and does not on a database: what waits for a moment gets it.
        for pause in [HOUR / 60, HOUR * hours] {
            history.stage.pass(pause).await;
        }
        if operation % 20 == 19 {
            history.stage.assert_balanced_after(|| history.answers.join("\n")).await;
        }
    }
    let end = history.end().await;
    (history.answers, end)
}

impl History<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.drawn = self.drawn.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.drawn ^ (self.drawn >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
    fn answered<T, E: Failure>(&mut self, what: &str, answer: Result<T, E>) -> Option<T> {
        let word = answer.as_ref().err().map_or("done", Failure::code);
        self.answers.push(format!("{what}: {word}"));
        answer.ok()
    }

    async fn operation(&mut self) {
        match self.below(28) {
            0..5 => self.release().await,
            5 => self.release_again().await,
            6 => self.register().await,
            7 | 8 => self.instruct_the_rail(),
            9 => self.act("hold", |item| Action::HoldItem(item.id)).await,
            10 => self.act("release", |item| Action::ReleaseItem(item.id)).await,
            11 => self.act("cancel", |item| Action::CancelItem(item.id)).await,
            12 => self.act("retry", |item| Action::RetryItem(item.id)).await,
            13 => self.act("retry batch", |item| Action::RetryBatch(item.batch)).await,
            14 => self.act("cancel batch", |item| Action::CancelBatch(item.batch)).await,
            15 | 16 => self.approve().await,
            17 => self.set_a_policy().await,
            18 | 19 => self.resolve().await,
            20 => self.reverse().await,
            21 => self.pay_carried().await,
            22 => self.comes_back().await,
            _ => self.executes_late().await,
        }
    }

    async fn release(&mut self) {
        let escrow = format!("esc_{}", self.batches.len());
        let amount = 5_000 + i64::try_from(self.below(20_000)).unwrap();
        let released = self.stage.try_release(&escrow, amount, "USD").await;
        let batch = self.answered(&format!("release {escrow} {amount}"), released);
        self.batches.extend(batch);
    }
    async fn release_again(&mut self) {
        let Some(known) = self.some_batch() else { return };
        let amount = known.amount_minor + i64::from(self.below(2) == 0);
        let again = self.stage.try_release(known.escrow().unwrap().as_str(), amount, "USD").await;
        self.answered("release again", again);
    }
    async fn register(&mut self) {
        let who = self.of(&PEOPLE);
        let statuses = [RecipientStatus::Active, RecipientStatus::Active, RecipientStatus::Pending];
        let status = self.of(&[statuses.as_slice(), &[RecipientStatus::Blocked]].concat());
        let minimum = self.of(&[None, Some(("USD", 3_000))]);
        self.stage.register(who, Person { status, tax: None, minimum }).await;
        self.answers.push(format!("register {who} {}", status.as_str()));
    }
    fn instruct_the_rail(&mut self) {
        let who = self.of(&PEOPLE);
        let script = self.of(&[
            Script::Pay,
            Script::Pay,
            Script::Refuse("account_closed", Class::Fail),
            Script::Refuse("try_later", Class::Retry),
            Script::Refuse("must_act", Class::Hold),
            Script::SilentAfter,
            Script::SilentBefore,
            Script::Lost,
            Script::Take,
            Script::OtherAmount,
            Script::Down,
        ]);
        self.stage.rail.script(who, script);
        if self.below(3) == 0 {
            self.stage.rail.settle(who);
        }
        self.answers.push(format!("{who} {script:?}"));
    }

    fn some_batch(&mut self) -> Option<Batch> {
        // One of the newest: what is old has come to its rest.
        let newest: Vec<Batch> = self.batches.iter().rev().take(6).cloned().collect();
        if newest.is_empty() { None } else { Some(newest[self.below(newest.len())].clone()) }
    }
    async fn some_item(&mut self) -> Option<(String, Item, BatchDetails)> {
        let batch = self.some_batch()?;
        let details = self.stage.batch(batch.id).await;
        let item = details.items.get(self.below(details.items.len().max(1)))?.clone();
        let name = format!("{} {}", batch.escrow().unwrap().as_str(), item.recipient);
        Some((name, item, details))
    }
    async fn act(&mut self, what: &str, action: impl Fn(&Item) -> Action) {
        let Some((name, item, _)) = self.some_item().await else { return };
        let acted = self.stage.act("usr_op", action(&item)).await;
        self.answered(&format!("{what} {name}"), acted);
    }
    async fn approve(&mut self) {
        let Some(batch) = self.some_batch() else { return };
        for who in [self.of(&STAFF), self.of(&STAFF)] {
            let approved = self.stage.approve(who, &batch).await;
            let name = batch.escrow().unwrap();
            self.answered(&format!("{who} approves {name}"), approved);
        }
    }
    async fn set_a_policy(&mut self) {
        let rule = json!({ "when": "amount", "currency": "USD", "from": 6_000, "approvals": 1 + self.below(2) });
        let asks = self.below(2) == 0;
        let policy = if asks { json!({ "approval": { "rules": [rule] } }) } else { json!({}) };
        self.answers.push(format!("policy {policy}"));
        self.stage.policy(policy).await;
    }
    /// Two people say the same, or one of them says it twice.
    async fn resolve(&mut self) {
        let Some((name, item, details)) = self.some_item().await else { return };
        let not_paid = self.of(&[Resolved::NotExecuted, Resolved::Failed]);
        let sent = details.instructions.iter().rfind(|sent| sent.item(item.id).is_some());
        let is_paid = sent.is_some_and(|sent| self.stage.rail.has_executed(sent.id));
        let outcome = if is_paid { Resolved::Paid } else { not_paid };
        let people = if self.below(4) == 0 { ["usr_ann", "usr_ann"] } else { ["usr_ann", "usr_bob"] };
        for who in people {
            let resolved = self.stage.resolve(who, item.id, outcome).await;
            if self.answered(&format!("{who} resolves {name} {}", outcome.as_str()), resolved).is_none() {
                return;
            }
        }
        self.answers.push("confirmed".to_owned());
    }
    async fn reverse(&mut self) {
        let Some(batch) = self.some_batch() else { return };
        let amount = 1 + i64::try_from(self.below(6_000)).unwrap();
        let id = format!("ref_{}", self.answers.len());
        let escrow = batch.escrow().unwrap().as_str().to_owned();
        let strategy = self.of(&["split_ratio", "platform"]);
        let reversed = self.stage.try_reverse(&id, &escrow, amount, strategy).await;
        self.answered(&format!("reverse {escrow} {amount} {strategy}"), reversed);
    }
    async fn pay_carried(&mut self) {
        let who = self.of(&PEOPLE);
        let paid = self.stage.pay_carried(who, "USD").await;
        self.answered(&format!("pay what {who} is carried"), paid);
    }
    /// What was paid comes back, whole or in part.
    async fn comes_back(&mut self) {
        let Some((name, item, details)) = self.some_item().await else { return };
        let parts = details.instructions.iter().filter_map(|sent| Some((sent, sent.item(item.id)?)));
        let settled = |outcome: &Outcome| matches!(outcome, Outcome::Settled { .. });
        let Some((sent, part)) = parts.rev().find(|(_, part)| settled(&part.outcome)) else { return };
        let back = part.amount_minor / i64::try_from(1 + self.below(2)).unwrap();
        if back > part.returned_minor {
            self.stage.rail.returns(sent.id, back);
            self.hears(&format!("{name} comes back"), &part.wire_ref, &back.to_string()).await;
        }
    }
    /// What was refused or given up is executed after all.
    async fn executes_late(&mut self) {
        let Some((name, item, details)) = self.some_item().await else { return };
        let given_up = details.instructions.iter().find_map(|sent| {
            let part = sent.item(item.id)?;
            matches!(part.outcome, Outcome::Refused { .. } | Outcome::Absent | Outcome::Recalled)
                .then_some((sent, part))
        });
        let Some((sent, part)) = given_up else { return };
        if self.stage.rail.executes(sent.id) {
            self.hears(&format!("{name} is paid late"), &part.wire_ref, "settled").await;
        }
    }
    async fn hears(&mut self, what: &str, wire_ref: &str, says: &str) {
        self.messages += 1;
        let heard = self.stage.hear(&format!("signed evt_{} {wire_ref} {says}", self.messages)).await;
        self.answered(what, heard);
    }

    // --- what there is at the end -----------------------------------------------------------------------------

    async fn end(&mut self) -> BTreeMap<String, Vec<String>> {
        let mut end: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = Page { limit: 100, after };
            let batches = self.stage.ports.queries.batches(BatchFilter::default(), page).await.unwrap();
            for batch in &batches.data {
                let about = batch.escrow().map_or_else(|| "carried".to_owned(), ToString::to_string);
                let lines = self.told_of(batch).await;
                end.entry(about).or_default().extend(lines);
            }
            after = batches.data.last().map(|batch| batch.id);
            if !batches.has_more {
                break;
            }
        }
        for who in PEOPLE {
            end.insert(who.to_owned(), vec![format!("{:?}", self.stage.balance(who).await)]);
        }
        end.insert("the accounts".to_owned(), self.stage.accounts().await);
        end.insert("the alarms".to_owned(), self.stage.alarms().await);
        end.values_mut().for_each(|lines| lines.sort());
        end
    }

    async fn told_of(&self, batch: &Batch) -> Vec<String> {
        let BatchDetails { batch, items, instructions, approvals, .. } = self.stage.batch(batch.id).await;
        let Batch { amount_minor, fee_minor, tax_minor, total_net_minor, items_count, .. } = batch;
        let figures = [amount_minor, fee_minor, tax_minor, total_net_minor];
        let mut told = vec![
            format!("{}, {figures:?}, {items_count} items, {:?}", batch.status.as_str(), batch.approvals),
            format!("{:?}", approvals.iter().map(|approval| approval.approver().as_str()).collect::<Vec<_>>()),
            format!("{:?}", self.stage.audit(&batch.id.to_string()).await),
        ];
        for item in items {
            let Item { amount_minor, payable_minor, reversed_minor, taken_minor, attempts, retries, .. } = item;
            let figures = [amount_minor, payable_minor, reversed_minor, taken_minor];
            let mut sent: Vec<String> = Vec::new();
            for instruction in &instructions {
                if let Some(part) = instruction.item(item.id) {
                    let (generation, tries) = (instruction.generation, instruction.tries);
                    let (amount, back) = (part.amount_minor, part.returned_minor);
                    sent.push(format!("{generation} {:?} {amount} {back} {tries}", part.outcome));
                }
            }
            let name = &item.recipient;
            told.push(format!(
                "{name}: {} {:?} {figures:?} {attempts} {retries}",
                item.status().as_str(),
                item.state().hold_reason()
            ));
            told.push(format!("{name}: {sent:?}"));
            told.push(format!("{name}: {:?}", self.stage.posted(&item).await));
            told.push(format!("{name}: {:?}", self.stage.audit(&item.id.to_string()).await));
        }
        told
    }
}

/// On any store the history of a seed is what it is in memory.
async fn assert_same_as_in_memory(bench: &dyn Bench, seed: u64) {
    let (expected, expected_end) = played(&crate::contracts::memory().await, seed).await;
    let (answers, end) = played(bench, seed).await;
    for (place, (one, two)) in expected.iter().zip(&answers).enumerate() {
        assert_eq!(one, two, "seed {seed}, answer {place}");
    }
    for (about, lines) in &expected_end {
        assert_eq!(Some(lines), end.get(about), "seed {seed}, {about}");
    }
    assert_eq!((expected.len(), expected_end.len()), (answers.len(), end.len()), "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite_200_operations_end_as_in_memory() {
    for seed in SEEDS {
        assert_same_as_in_memory(&crate::contracts::sqlite().await, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres_200_operations_end_as_in_memory() {
    for seed in SEEDS {
        assert_same_as_in_memory(&crate::contracts::postgres().await, seed).await;
    }
}

/// A history that never sees anything but success would prove little.
#[tokio::test]
async fn the_histories_see_what_can_happen() {
    let mut seen = String::new();
    for seed in SEEDS {
        let (answers, end) = played(&crate::contracts::memory().await, seed).await;
        seen += &[answers, end.into_values().flatten().collect()].concat().join("\n");
    }
    let words = [
        ": scheduled",
        ": pending_kyc",
        ": in_doubt",
        ": paid",
        ": failed",
        ": returned",
        ": cancelled",
        "already_scheduled",
        "wrong_state",
        "already_approved",
        "reversal_invalid",
        "second_person_needed",
        "confirmed",
        "Settled",
        "Refused",
        "Absent",
        "Recalled",
        "Stray",
        "returned_in_part",
        "paid_twice",
    ];
    let unseen: Vec<&str> = words.into_iter().filter(|word| !seen.contains(word)).collect();
    assert!(unseen.is_empty(), "never seen: {unseen:?}");
}
