//! What was taken back is booked beside what was taken from, once.

use super::{
    Bench, Ports,
    duplicates::refused,
    lines::assert_stray,
    sample::{
        Release, Reversed, bare, booked, carried, count, debt, escheat, found, fresh, insert, moves, read, release,
        reverse, seconds, sent, settle, source, update, version,
    },
};
use app::{
    change::{Cause, Change, New, Reason, ReversalSource, Stored, Update},
    ports::{CommitError, DuplicateKey, repository::Movement},
};
use domain::{
    batch::Fingerprint,
    calculation::{Amounts, RuleTax},
    ids::{BatchId, ItemId},
    item::{Item, ItemState, ItemStatus},
    recipient::HoldReason,
    reversal::{Reversal, ReversalLine, Source, Strategy},
    timestamp::Timestamp,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Barrier;

/// A release of which Ana is paid, Bob is held, Cyd is sent and Dan is carried.
async fn lived_in(ports: &Ports) -> Release {
    let now = ports.now().await;
    let release = release(now)
        .line("rec_ana", Amounts { net_minor: 600, fee_minor: 60, fee_tax_minor: 10, ..Amounts::default() }, None)
        .hold("rec_bob", 300, HoldReason::RecipientPending)
        .pay_less("rec_cyd", 80, 0, 20)
        .carry("rec_dan", 40);
    let batch = release.batch.id;
    let count = vec![count(&carried("rec_dan"), Some(0), 40, batch)];
    ports.commit(Change { count, ..release.change() }).await;
    let one = sent(ports, batch, &[0]).await;
    ports.commit(settle(&ports.load(batch).await, &one, now)).await;
    sent(ports, batch, &[2]).await;
    release
}

async fn take_back(ports: &Ports, batch: BatchId, id: &str, amount_minor: i64) -> Reversed {
    let at = ports.now().await;
    let reversed = reverse(&found(ports, batch).await, id, amount_minor, Strategy::SplitRatio, at);
    ports.commit(reversed.change.clone()).await;
    reversed
}

/// As it is read before anybody knows where its money comes from.
fn waiting(line: &ReversalLine) -> ReversalLine {
    ReversalLine { source: None, ..line.clone() }
}

pub async fn reversals_are_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let batch = bare(now).batch;
    ports.commit(insert(New::Batch(batch.clone()))).await;
    let mut written = Vec::new();
    let strategies = [Strategy::SplitRatio, Strategy::Platform, Strategy::Recipient(read("rec_ana"))];
    for ((strategy, platform_minor), at) in strategies.into_iter().zip([0, i64::MAX, 1]).zip([9, 3, 6]) {
        let reversal = Reversal {
            id: read(&format!("ref_{at}")),
            batch: batch.id,
            amount_minor: i64::MAX,
            currency: read("KWD"),
            strategy,
            platform_minor,
            reason: (at > 3).then(|| "it's \"broken\"; -- \\ \n \u{4e2d}".to_owned()),
            requested_by: read("507f1f77bcf86cd799439011"),
            fingerprint: Fingerprint(std::array::from_fn(|byte| u8::try_from(byte * at).unwrap_or(u8::MAX))),
            created_at: now.after(seconds(u64::try_from(at).unwrap())),
        };
        ports.commit(insert(New::Reversal(reversal.clone()))).await;
        let found = ports.repository.reversal(&reversal.id).await.unwrap();
        assert_eq!(found, Some((reversal.clone(), vec![])));
        written.push(reversal);
    }
    written.rotate_left(1);
    assert_eq!(found(&ports, batch.id).await.reversals, written, "oldest first");
}

pub async fn lines_of_reversals_are_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = lived_in(&ports).await;
    let plain = reverse(&found(&ports, release.batch.id).await, "ref_1", 1000, Strategy::SplitRatio, now);
    let max = i64::MAX;
    let tax = |rule: &str, amount_minor| RuleTax { rule: rule.to_owned(), amount_minor };
    let mut lines = plain.lines.clone();
    lines[0].taxes = vec![tax("us_nra", 3), tax("in_tds", 0), tax("vat_2", 4)];
    lines[0].gross_minor += 7;
    lines.extend([
        ReversalLine {
            seq: 7,
            gross_minor: max,
            net_minor: max,
            fee_minor: 0,
            fee_tax_minor: 0,
            item: None,
            ..waiting(&lines[1])
        },
        ReversalLine { seq: 8, gross_minor: max, net_minor: 0, taxes: vec![tax("all", max)], ..waiting(&lines[1]) },
        ReversalLine { seq: 9, fee_kept_minor: max, fee_tax_kept_minor: max - 1, ..waiting(&lines[1]) },
    ]);
    let whole = Source { payable_minor: max, carried_minor: max - 1, debt_minor: max - 2 };
    lines[5].source = Some(whole);
    let other = Reversal { id: read("ref_2"), ..plain.reversal.clone() };
    let of_other = ReversalLine { reversal: other.id.clone(), ..waiting(&lines[0]) };
    let mut rows = vec![New::Reversal(plain.reversal.clone()), New::Reversal(other.clone())];
    rows.extend(lines.iter().cloned().map(New::ReversalLine));
    rows.push(New::ReversalLine(of_other.clone()));
    let booked = lines.iter().filter(|line| line.source.is_some());
    rows.extend(booked.map(|line| New::Source(source(line, Timestamp::MAX))));
    // The order in which they are written is not theirs.
    rows.reverse();
    ports.commit(Change { insert: rows, ..Change::default() }).await;

    let found_now = ports.repository.reversal(&plain.reversal.id).await.unwrap();
    assert_eq!(found_now, Some((plain.reversal, lines.clone())), "by place");
    assert_eq!(ports.repository.reversal(&other.id).await.unwrap(), Some((other, vec![of_other.clone()])));
    lines.push(of_other);
    assert_eq!(found(&ports, release.batch.id).await.reversal_lines, lines);
    let with_source: Vec<bool> = lines.iter().map(|line| line.source.is_some()).collect();
    assert_eq!(with_source, [true, true, false, true, false, true, false, false]);
}

pub async fn where_the_money_came_from_may_be_told_later_but_once(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = lived_in(&ports).await;
    let reversed = take_back(&ports, release.batch.id, "ref_1", 1000).await;
    let open = reversed.lines.iter().find(|line| line.source.is_none()).expect("Cyd's payment is in flight");
    let later = open.drawn(0, 0);
    let at = ports.now().await;
    ports.commit(insert(New::Source(source(&later, at)))).await;
    let (_, lines) = ports.repository.reversal(&reversed.reversal.id).await.unwrap().unwrap();
    let expected: Vec<ReversalLine> =
        reversed.lines.iter().map(|line| if line.seq == later.seq { later.clone() } else { line.clone() }).collect();
    assert_eq!(lines, expected);
    for line in &lines {
        let other = Source { payable_minor: 1, ..Source::default() };
        let again = ReversalSource { source: other, ..source(line, at) };
        let error = refused(&ports, insert(New::Source(again))).await;
        assert!(matches!(error, CommitError::Duplicate(DuplicateKey::Other(_))), "{error:?}");
    }
}

pub async fn a_batch_is_read_with_all_that_was_taken_back_of_it(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    for number in [1, 2] {
        ports.commit(insert(New::ModelVersion(version("prj_film", number, now)))).await;
    }
    let (one, two) = (lived_in_twice(&ports, 1).await, lived_in_twice(&ports, 2).await);
    for (release, number) in [(&one, 1), (&two, 2)] {
        let batch = release.batch.id;
        let before = found(&ports, batch).await;
        let ids = [format!("ref_{number}b"), format!("ref_{number}a")];
        let first = take_back(&ports, batch, &ids[0], 500).await;
        bench.pass(seconds(1)).await;
        let second = take_back(&ports, batch, &ids[1], 200).await;
        let history = found(&ports, batch).await;
        assert_eq!(history.batch, ports.load(batch).await.batch);
        assert_eq!(history.batch.revision, before.batch.revision + 2);
        assert_eq!((history.items.len(), &history.lines), (3, &release.lines));
        assert_eq!(history.reversals, [first.reversal.clone(), second.reversal.clone()], "oldest first");
        let mut lines = [first.lines.clone(), second.lines.clone()].concat();
        lines.sort_by(|one, two| (&one.reversal, one.seq).cmp(&(&two.reversal, two.seq)));
        assert_eq!(history.reversal_lines, lines);
        assert_eq!(history.model.as_ref().map(|version| version.version), Some(number));
        let taken = |recipient: &str| {
            let theirs = |line: &&ReversalLine| line.recipient.as_str() == recipient;
            lines.iter().filter(theirs).map(|line| line.source.map_or(0, |source| source.payable_minor)).sum::<i64>()
        };
        assert_eq!(history.items[1].value.taken_minor, taken("rec_bob"));
        assert!(history.movements.iter().all(|movement| movement.cause.batch == batch));
        let debts = history.movements.iter().filter(|movement| movement.key == debt("rec_ana"));
        let named: Vec<String> =
            debts.map(|movement| movement.cause.reversal.clone().expect("a reversal made it").to_string()).collect();
        assert_eq!(named, ids);
    }
    let unknown = lived_in_twice(&ports, 3).await;
    assert_eq!(found(&ports, unknown.batch.id).await.model, None, "nobody stored that version");
}

/// As [`lived_in`], split by that version and without what could not be there twice.
async fn lived_in_twice(ports: &Ports, model_version: u32) -> Release {
    let now = ports.now().await;
    let release = release(now).pay("rec_ana", 600).hold("rec_bob", 300, HoldReason::RecipientPending);
    let release = release.pay_less("rec_cyd", 80, 0, 20).of(|release| release.model_version = model_version);
    let release = release.book(ports).await;
    let one = sent(ports, release.batch.id, &[0]).await;
    ports.commit(settle(&ports.load(release.batch.id).await, &one, now)).await;
    release
}

pub async fn a_reversal_is_booked_once(bench: &dyn Bench) {
    let ports = bench.ports();
    let (one, two) = (lived_in(&ports).await, booked(&ports).await);
    let reversed = take_back(&ports, one.batch.id, "ref_1", 100).await;
    // Neither of the same batch nor of another.
    for batch in [one.batch.id, two.batch.id] {
        let at = ports.now().await;
        let again = reverse(&found(&ports, batch).await, "ref_1", 70, Strategy::SplitRatio, at).change;
        match refused(&ports, again).await {
            CommitError::Duplicate(DuplicateKey::Reversal(id)) => assert_eq!(id, reversed.reversal.id),
            other => panic!("{other:?}"),
        }
    }
    let line = ReversalLine { recipient: read("rec_zoe"), ..waiting(&reversed.lines[0]) };
    let error = refused(&ports, insert(New::ReversalLine(line))).await;
    assert!(matches!(error, CommitError::Duplicate(DuplicateKey::Other(_))), "{error:?}");
}

pub async fn of_many_who_book_one_reversal_one_does(bench: &dyn Bench) {
    const CALLERS: usize = 16;
    let ports = bench.ports();
    let release = release(ports.now().await).pay("rec_ana", 6000).book(&ports).await;
    let (batch, at) = (release.batch.id, ports.now().await);
    let start = Arc::new(Barrier::new(CALLERS));
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let asked = 100 + i64::try_from(caller).unwrap();
        let mut reversed = reverse(&found(&ports, batch).await, "ref_1", asked, Strategy::Platform, at);
        // Nothing but the name is in their way.
        reversed.change.update.clear();
        let (ports, start) = (ports.clone(), start.clone());
        callers.push(tokio::spawn(async move {
            start.wait().await;
            (reversed.reversal, ports.repository.commit(reversed.change).await)
        }));
    }
    let mut won = Vec::new();
    for caller in callers {
        match caller.await.unwrap() {
            (reversal, Ok(())) => won.push(reversal),
            (reversal, Err(CommitError::Duplicate(DuplicateKey::Reversal(id)))) => assert_eq!(id, reversal.id),
            (_, Err(other)) => panic!("{other:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(found(&ports, batch).await.reversals, won);
    assert_eq!(ports.events().await.len(), 2, "the losers said nothing");
}

pub async fn what_belongs_to_nothing_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let (known, at) = (lived_in(&ports).await, ports.now().await);
    let reversed = take_back(&ports, known.batch.id, "ref_1", 100).await;
    let line = waiting(&reversed.lines[0]);
    let (batch, item) = (BatchId::new(fresh()), ItemId::new(fresh()));
    assert_stray(&ports, New::Reversal(Reversal { id: read("ref_2"), batch, ..reversed.reversal.clone() })).await;
    assert_stray(&ports, New::ReversalLine(ReversalLine { reversal: read("ref_2"), ..line.clone() })).await;
    assert_stray(&ports, New::ReversalLine(ReversalLine { seq: 9, batch, ..line.clone() })).await;
    assert_stray(&ports, New::ReversalLine(ReversalLine { seq: 9, item: Some(item), ..line.clone() })).await;
    let source = source(&line.drawn(0, 0), at);
    assert_stray(&ports, New::Source(ReversalSource { seq: 9, ..source.clone() })).await;
    assert_stray(&ports, New::Source(ReversalSource { reversal: read("ref_2"), ..source })).await;
    let let_go = escheat(&known.items[1], 300, at);
    assert_stray(&ports, New::Escheat(app::change::Escheat { item, ..let_go.clone() })).await;
    assert_stray(&ports, New::Escheat(app::change::Escheat { batch, ..let_go })).await;
}

pub async fn an_item_is_let_go_once(bench: &dyn Bench) {
    let ports = bench.ports();
    let (release, at) = (lived_in(&ports).await, ports.now().await);
    ports.commit(insert(New::Escheat(escheat(&release.items[1], 300, at)))).await;
    let error = refused(&ports, insert(New::Escheat(escheat(&release.items[1], 1, at)))).await;
    assert!(matches!(error, CommitError::Duplicate(DuplicateKey::Other(_))), "{error:?}");
    ports.commit(insert(New::Escheat(escheat(&release.items[0], 1, at)))).await;
}

pub async fn a_reversal_changes_of_an_item_what_it_took_and_nothing_else(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let later = ports.now().await.after(seconds(5));
    let read = ports.load(release.batch.id).await.items;
    // 700 and 300 are to be paid: of the one a part is taken, of the other all.
    let [one, two] = [(0, 70), (1, 300)].map(|(place, taken): (usize, i64)| {
        read[place].clone().try_map(|item| item.reverse(taken, taken, later)).unwrap()
    });
    assert_eq!(two.value.status(), ItemStatus::Cancelled);
    // What else it may say is not taken over.
    let mut said = one.clone();
    said.value.amount_minor = 1;
    said.value.payable_minor = 9_999;
    said.value.net_minor = 1;
    ports.commit(Change { update: vec![Update::Item(said), Update::Item(two)], ..Change::default() }).await;

    let expect = |item: &Item, taken: i64, state: ItemState| {
        let mut value = item.clone().in_state(state);
        (value.reversed_minor, value.taken_minor, value.updated_at) = (taken, taken, later);
        Stored { value, revision: 2 }
    };
    let expected = [
        expect(&release.items[0], 70, ItemState::Scheduled),
        expect(&release.items[1], 300, ItemState::Cancelled { at: later }),
    ];
    assert_eq!(ports.load(release.batch.id).await.items, expected);
    assert_eq!(found(&ports, release.batch.id).await.items, expected);
    assert_eq!(found(&ports, release.batch.id).await.lines, release.lines, "the lines stay as they were split");
    let shown = ports.queries.item(release.items[0].id).await.unwrap().unwrap().item;
    assert_eq!((shown.taken_minor, shown.reversed_minor, shown.due_minor()), (70, 70, 630));
    // Taking gross without anything to be sent: it was paid already, and is owed back.
    let more = expected[0].clone().try_map(|item| item.reverse(30, 0, later)).unwrap();
    ports.commit(update(Update::Item(more))).await;
    let shown = ports.queries.item(release.items[0].id).await.unwrap().unwrap().item;
    assert_eq!((shown.taken_minor, shown.reversed_minor), (70, 100));
}

pub async fn a_movement_names_its_reversal(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = lived_in(&ports).await;
    let reversed = take_back(&ports, release.batch.id, "ref_1", 1100).await;
    let movements = found(&ports, release.batch.id).await.movements;
    let of = |key| movements.iter().filter(|movement| movement.key == key).cloned().collect::<Vec<_>>();
    let cause = |who| Cause {
        batch: release.batch.id,
        reversal: Some(reversed.reversal.id.clone()),
        recipient: Some(read(who)),
        reason: Reason::Reversal,
    };
    let [first, back] = &of(carried("rec_dan"))[..] else { panic!("{movements:?}") };
    assert_eq!((first.add, &first.cause.reversal), (40, &None));
    assert_eq!(*back, Movement { key: carried("rec_dan"), add: -40, cause: cause("rec_dan") });
    assert_eq!(of(debt("rec_ana")), [Movement { key: debt("rec_ana"), add: 600, cause: cause("rec_ana") }]);
    assert_eq!(of(debt("rec_bob")), [], "what was held is not sent any more");
    let owing = moves([count(&debt("rec_ana"), Some(1), -1, release.batch.id)]);
    ports.commit(owing).await;
}

/// A reader never sees a half of a reversal.
pub async fn a_batch_for_reversal_is_read_as_of_one_moment(bench: &dyn Bench) {
    const TURNS: i64 = 30;
    let ports = bench.ports();
    let release = release(ports.now().await).pay("rec_ana", 5000).pay("rec_bob", 5000).book(&ports).await;
    let batch = release.batch.id;
    let writer = tokio::spawn({
        let ports = ports.clone();
        async move {
            for turn in 0..TURNS {
                take_back(&ports, batch, &format!("ref_{turn}"), 20).await;
            }
        }
    });
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (ports, over) = (ports.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let found = found(&ports, batch).await;
                    let reversed: i64 = found.reversals.iter().map(|reversal| reversal.amount_minor).sum();
                    let of_lines: i64 = found.reversal_lines.iter().map(|line| line.gross_minor).sum();
                    let of_items: i64 = found.items.iter().map(|item| item.value.reversed_minor).sum();
                    assert_eq!((of_lines, of_items), (reversed, reversed));
                    assert!(found.reversal_lines.iter().all(|line| line.source.is_some()));
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
    assert_eq!(found(&ports, batch).await.reversals.len(), usize::try_from(TURNS).unwrap());
}
