//! The figures that "books balanced" compares.

use super::{
    Bench, Ports,
    sample::{fresh, instruction, moved, read, refuse, release, sent, settle, update},
};
use app::{
    change::{Change, New, Update},
    ports::queries::{BatchSums, Books, Executed, SumMinor},
};
use domain::{
    calculation::DeductionKind,
    currency::Currency,
    ids::{InstructionId, TransactionId},
    instruction::Outcome,
    item::{ItemState, ItemStep},
    ledger::{Account, postings},
    money::AMOUNT_MINOR_MAX,
    recipient::HoldReason,
};
use std::{
    fmt::Debug,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

async fn books(ports: &Ports) -> Books {
    ports.queries.books().await.unwrap()
}

/// `payable:rec_ana -700, platform_fees -5`, all in one currency.
fn listed<T: FromStr<Err: Debug>>(text: &str, currency: &str) -> Vec<(T, Currency, SumMinor)> {
    let one = |entry: &str| {
        let (subject, sum) = entry.trim().split_once(' ').unwrap();
        (read(subject), read(currency), read(sum))
    };
    text.split(',').filter(|entry| !entry.trim().is_empty()).map(one).collect()
}

fn executed(instruction: InstructionId, executed_minor: SumMinor, unresolved: bool) -> Executed {
    Executed { instruction, rail: read("simulator"), currency: read("USD"), executed_minor, unresolved }
}

pub async fn empty_books_hold_nothing(bench: &dyn Bench) {
    assert_eq!(books(&bench.ports()).await, Books::default());
}

pub async fn scheduling_is_in_the_books(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let one = release(now)
        .deduct(DeductionKind::PspFee, 4)
        .deduct(DeductionKind::Refund, 6)
        .pay_less("rec_ana", 700, 30, 20)
        .pay("rec_bob", 300);
    one.book(&ports).await;
    release(now).pay("rec_ana", 50).hold("rec_cyd", 9, HoldReason::RecipientBlocked).book(&ports).await;
    let found = books(&ports).await;
    let balances = "escrow_receivable 1119, payable:rec_ana -750, payable:rec_bob -300, payable:rec_cyd -9, \
                    platform_fees -30, tax_withheld:withholding -20, deductions:psp_fee -4, deductions:refund -6";
    let sums =
        BatchSums { amount_minor: 1119, deductions_minor: 10, fee_minor: 30, tax_minor: 20, ..BatchSums::default() };
    assert_eq!(found.balances, listed::<Account>(balances, "USD"), "an escrow that was split has nothing left");
    assert_eq!(found.owed, listed("rec_ana 750, rec_bob 300, rec_cyd 9", "USD"));
    assert_eq!(found.batches, [(read("USD"), sums)]);
    assert_eq!((found.unbalanced_transactions, found.unresolved_instructions), (0, 0));
    assert_eq!((found.in_transit, found.executed), (vec![], vec![]));
}

pub async fn sending_paying_and_refusing_are_in_the_books(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = release(now).pay_less("rec_ana", 700, 5, 0).pay("rec_bob", 300).pay("rec_cyd", 40).book(&ports).await;
    let batch = release.batch.id;
    let scheduled = books(&ports).await;

    let one = sent(&ports, batch, &[0, 2]).await;
    let two = sent(&ports, batch, &[1]).await;
    let found = books(&ports).await;
    let in_transit = "escrow_receivable 1045, platform_fees -5, in_transit:simulator -1040";
    assert_eq!(found.balances, listed::<Account>(in_transit, "USD"));
    assert_eq!((&found.owed[..], &found.batches), (&[][..], &scheduled.batches));
    assert_eq!(found.in_transit, listed("simulator 1040", "USD"));
    assert_eq!(found.unresolved_instructions, 2);
    assert_eq!(found.executed, [executed(one.value.id, 0, true), executed(two.value.id, 0, true)]);

    ports.commit(settle(&ports.load(batch).await, &one, now)).await;
    ports.commit(refuse(&ports.load(batch).await, &two, now)).await;
    let found = books(&ports).await;
    let settled = "escrow_receivable 1045, cash:simulator -740, payable:rec_bob -300, platform_fees -5";
    assert_eq!(found.balances, listed::<Account>(settled, "USD"));
    assert_eq!(found.owed, listed("rec_bob 300", "USD"));
    assert_eq!((&found.in_transit[..], found.unresolved_instructions), (&[][..], 0));
    assert_eq!(found.executed, [executed(one.value.id, 740, false), executed(two.value.id, 0, false)]);
}

pub async fn an_item_in_doubt_is_in_transit(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = release(now).pay("rec_ana", 700).pay("rec_bob", 300).book(&ports).await;
    let batch = release.batch.id;
    // Refused once: what was refused is not in transit a second time.
    let refused = sent(&ports, batch, &[0]).await;
    ports.commit(refuse(&ports.load(batch).await, &refused, now)).await;
    ports.commit(moved(&ports.load(batch).await, &[0], ItemStep::Retry, now)).await;
    sent(&ports, batch, &[0, 1]).await;
    let before = books(&ports).await;
    ports.commit(moved(&ports.load(batch).await, &[0], ItemStep::LoseTrack, now)).await;
    let found = books(&ports).await;
    assert_eq!(found.in_transit, listed("simulator 1000", "USD"));
    assert_eq!(found, before);
}

pub async fn currencies_are_kept_apart(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    for (currency, amount) in [("USD", 5), ("JPY", 7), ("USD", 11)] {
        let release =
            release(now).pay("rec_ana", amount).pay("rec_bob", 1).with(|batch| batch.currency = read(currency));
        let batch = release.book(&ports).await.batch.id;
        sent(&ports, batch, &[0]).await;
    }
    let found = books(&ports).await;
    let each = |account: &str, jpy: SumMinor, usd: SumMinor| {
        let account: Account = read(account);
        [(account.clone(), read("JPY"), jpy), (account, read("USD"), usd)]
    };
    let balances =
        [each("escrow_receivable", 8, 18), each("payable:rec_bob", -1, -2), each("in_transit:simulator", -7, -16)];
    assert_eq!(found.balances, balances.concat());
    assert_eq!(found.owed, [(read("rec_bob"), read("JPY"), 1), (read("rec_bob"), read("USD"), 2)]);
    assert_eq!(found.in_transit, [(read("simulator"), read("JPY"), 7), (read("simulator"), read("USD"), 16)]);
    let sums = |amount_minor| BatchSums { amount_minor, ..BatchSums::default() };
    assert_eq!(found.batches, [(read("JPY"), sums(8)), (read("USD"), sums(18))]);
    let currencies: Vec<&str> = found.executed.iter().map(|executed| executed.currency.code()).collect();
    assert_eq!(currencies, ["USD", "JPY", "USD"]);
}

/// What was paid and came back, less what came.
pub async fn what_a_rail_kept_of_what_came_back_is_in_the_books(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let outcomes = [
        (Outcome::Returned { reference: None, reason: "R03".into() }, 690),
        (Outcome::Returned { reference: None, reason: "R03".into() }, 300),
        // A part came back of what stands: nothing was kept.
        (Outcome::Settled { reference: None }, 5),
        (Outcome::Stray { reference: None }, 5),
        (Outcome::Refused { reason: "no".into() }, 0),
        (Outcome::Sent, 0),
    ];
    for (currency, times) in [("USD", 2), ("JPY", 1)] {
        for _ in 0..times {
            let release = release(now).with(|batch| batch.currency = read(currency));
            let release =
                (0..4).fold(release.pay("rec_ana", 700).pay("rec_bob", 300), |more, _| more.pay("rec_cyd", 9));
            let release = release.book(&ports).await;
            let sent = sent(&ports, release.batch.id, &[0, 1, 2, 3, 4, 5]).await;
            let mut known = sent.clone();
            for (part, (outcome, returned_minor)) in known.value.items.iter_mut().zip(outcomes.clone()) {
                (part.outcome, part.returned_minor) = (outcome, returned_minor);
            }
            ports.commit(update(Update::Instruction(known))).await;
        }
    }
    let found = books(&ports).await;
    assert_eq!(found.charges, [(read("JPY"), 10), (read("USD"), 20)]);
    assert_eq!(found.unresolved_instructions, 3, "of each something is still to be learned");
    assert!(found.executed.iter().all(|executed| executed.unresolved));
}

pub async fn every_hold_is_owed(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let states = [
        ItemState::Scheduled,
        ItemState::PendingKyc { reason: HoldReason::RecipientPending },
        ItemState::Processing,
        ItemState::InDoubt,
        ItemState::Paid { reference: None, at: now },
        ItemState::Failed { reason: "no".into(), at: now },
        ItemState::Returned { reference: None, reason: "R03".into(), at: now },
        ItemState::Cancelled { at: now },
    ];
    let mut release = release(now);
    for place in 0..states.len() {
        release = release.pay("rec_ana", 1 << place);
    }
    for (item, state) in release.items.iter_mut().zip(states) {
        *item = item.clone().in_state(state);
    }
    release.book(&ports).await;
    let found = books(&ports).await;
    assert_eq!(found.owed, [(read("rec_ana"), read("USD"), 0b0110_0011)]);
    assert_eq!(found.in_transit, [], "no instruction says where they are");
}

/// 1025 of the largest amount are more than 64 bits can hold.
pub async fn sums_may_exceed_what_one_amount_can_be(bench: &dyn Bench) {
    const MANY: usize = 1100;
    let ports = bench.ports();
    let now = ports.now().await;
    let big = AMOUNT_MINOR_MAX;
    let sum = SumMinor::from(big) * 1100;
    assert!(sum > SumMinor::from(i64::MAX));
    let (mut owed, mut transit, mut sums) = (Change::default(), Change::default(), Change::default());
    let together = |all: &mut Change, one: Change| {
        all.insert.extend(one.insert);
        all.post.extend(one.post);
    };
    for _ in 0..MANY {
        together(&mut owed, release(now).pay("rec_ana", big).change());
        let mut going = release(now).pay("rec_bob", big);
        let order = instruction(&[&going.items[0]], &going.batch, now);
        let sent = postings::sent(TransactionId::new(fresh()), &order, &order.items[0], &going.items[0], now).unwrap();
        going.items[0] = going.items[0].clone().in_state(ItemState::Processing);
        together(&mut transit, going.change());
        transit.insert.push(New::Instruction(order));
        transit.post.push(sent);
        let all_gone = [(big, 0, 0, 0), (0, big, 0, 0), (0, big, big, 0), (0, 0, 0, big)];
        sums.insert.extend(all_gone.map(|(deductions, fee, fee_tax, tax)| {
            let gone = release(now).with(|batch| {
                batch.amount_minor = big;
                (batch.deductions_minor, batch.fee_minor, batch.tax_minor) = (deductions, fee, tax);
                batch.fee_tax_minor = fee_tax;
            });
            New::Batch(gone.batch)
        }));
    }
    for change in [owed, transit, sums] {
        ports.commit(change).await;
    }
    let found = books(&ports).await;
    let usd: Currency = read("USD");
    let expected =
        BatchSums { amount_minor: 6 * sum, deductions_minor: sum, fee_minor: sum, fee_tax_minor: sum, tax_minor: sum };
    assert_eq!(found.batches, [(usd, expected)]);
    assert_eq!(found.owed, [(read("rec_ana"), usd, sum)]);
    assert_eq!(found.in_transit, [(read("simulator"), usd, sum)]);
    let balances = [
        (read("escrow_receivable"), usd, 2 * sum),
        (read("payable:rec_ana"), usd, -sum),
        (read("in_transit:simulator"), usd, -sum),
    ];
    assert_eq!(found.balances, balances);
    assert_eq!((found.unresolved_instructions, found.executed.len()), (1100, MANY));
    assert_eq!(found.unbalanced_transactions, 0);
}

pub async fn executed_answers_for_the_instructions_asked_about(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = release(now).pay("rec_ana", 700).pay("rec_bob", 300).pay("rec_cyd", 40).book(&ports).await;
    let batch = release.batch.id;
    let paid = sent(&ports, batch, &[0, 1]).await;
    let open = sent(&ports, batch, &[2]).await;
    ports.commit(settle(&ports.load(batch).await, &paid, now)).await;
    let ask = async |ids: &[InstructionId]| {
        let mut found = ports.queries.executed(ids).await.unwrap();
        found.sort_by_key(|executed| executed.instruction);
        found
    };
    let (paid, open) = (paid.value.id, open.value.id);
    assert_eq!(ask(&[open]).await, [executed(open, 0, true)]);
    assert_eq!(ask(&[paid]).await, [executed(paid, 1000, false)]);
    let unknown = InstructionId::new(fresh());
    assert_eq!(ask(&[open, unknown, paid]).await, [executed(paid, 1000, false), executed(open, 0, true)]);
    let mut many: Vec<InstructionId> = (0..998).map(|_| InstructionId::new(fresh())).collect();
    many.extend([paid, open]);
    assert_eq!(ask(&many).await, [executed(paid, 1000, false), executed(open, 0, true)]);
}

/// Money moves while the books are read: whatever moment they show, it is one moment.
pub async fn books_are_read_as_of_one_moment(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = release(now).pay("rec_ana", 700).pay("rec_bob", 300).book(&ports).await;
    let batch = release.batch.id;
    let writer = tokio::spawn({
        let ports = ports.clone();
        async move {
            for _ in 0..12 {
                let instruction = sent(&ports, batch, &[0, 1]).await;
                ports.commit(refuse(&ports.load(batch).await, &instruction, now)).await;
                ports.commit(moved(&ports.load(batch).await, &[0, 1], ItemStep::Retry, now)).await;
            }
            let instruction = sent(&ports, batch, &[0, 1]).await;
            ports.commit(settle(&ports.load(batch).await, &instruction, now)).await;
        }
    });
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (ports, over) = (ports.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let found = books(&ports).await;
                    let total = |list: &[SumMinor]| list.iter().sum::<SumMinor>();
                    let of = |kind: &str| {
                        let of_kind = found.balances.iter().filter(|(account, ..)| account.kind() == kind);
                        -total(&of_kind.map(|(.., sum)| *sum).collect::<Vec<_>>())
                    };
                    let owed = total(&found.owed.iter().map(|(.., sum)| *sum).collect::<Vec<_>>());
                    let transit = total(&found.in_transit.iter().map(|(.., sum)| *sum).collect::<Vec<_>>());
                    let paid = total(&found.executed.iter().map(|one| one.executed_minor).collect::<Vec<_>>());
                    assert_eq!((owed, transit, paid), (of("payable"), of("in_transit"), of("cash")));
                    assert_eq!(owed + transit + paid, 1000);
                    assert_eq!(found.unresolved_instructions, u64::from(transit > 0));
                }
            })
        })
        .collect();
    let written = writer.await;
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    written.unwrap();
}
