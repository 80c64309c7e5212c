//! "Books balanced" finds what a zero sum cannot: money that is booked, but not where it belongs.

use super::{promises::projects, release, shares};
use crate::harness::{
    home::Engine,
    on_both_databases,
    process::Ran,
    sql::{connect, execute},
    world::{World, list, text},
};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

on_both_databases! {
    the_books_balance_at_every_moment
    money_booked_to_the_wrong_recipient_is_found
    beyond_a_hundred_differences_it_is_said_how_many_there_are
    money_that_only_the_provider_knows_of_is_found
    money_that_the_provider_does_not_know_of_is_found
    an_item_whose_state_was_set_by_hand_is_found
    what_is_booked_can_neither_be_changed_nor_removed
}

/// One batch, paid, and the books balanced. Then somebody comes with SQL.
struct Desk {
    world: World,
    database: DatabaseConnection,
    engine: Engine,
}

impl Desk {
    async fn new(engine: Engine) -> Self {
        let world = World::new(engine).await;
        world.publish_model("prj_1", &shares(&[("rec_ana", 70), ("rec_ben", 30)])).await;
        let batch = world.settled(&world.scheduled(&release("esc_1", "prj_1", 1_000, "USD")).await).await;
        assert_eq!(batch["status"], "completed");
        let verified = world.verify().await;
        assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
        assert!(verified.stdout.ends_with("\nbooks balanced\n"), "{}", verified.stdout);
        let database = connect(&world.home().database_url()).await;
        Self { world, database, engine }
    }

    async fn execute(&self, sql: &str) -> Result<(), String> {
        self.database.execute_unprepared(sql).await.map(drop).map_err(|error| error.to_string())
    }

    /// An id as this database writes it.
    fn id(&self, digit: char) -> String {
        let hex: String = std::iter::repeat_n(digit, 32).collect();
        match self.engine {
            Engine::Sqlite => format!("X'{hex}'"),
            Engine::Postgres => format!("'{hex}'::uuid"),
        }
    }

    /// A transaction with these entries: account kind, subject, amount.
    fn transaction(&self, digit: char, entries: &[(&str, &str, i64)]) -> String {
        let id = self.id(digit);
        let entry = |(seq, (kind, subject, amount)): (usize, &(&str, &str, i64))| {
            format!("INSERT INTO ledger_entries VALUES ({id}, {seq}, '{kind}', '{subject}', 'USD', {amount});")
        };
        let entries: String = entries.iter().enumerate().map(entry).collect();
        format!(
            "BEGIN; {entries} INSERT INTO ledger_transactions (id, kind, batch_id, currency, posted_at)
             SELECT {id}, 'scheduled', id, 'USD', created_at FROM batches; COMMIT;"
        )
    }

    /// What `verify` says now, which is that something differs; and that the API says the same.
    async fn differs(&self, check: &str, subjects: &[(&str, i64, i64)]) -> Ran {
        let verified = self.world.verify().await;
        assert_eq!(verified.code, 6, "{}{}", verified.stdout, verified.stderr);
        assert!(verified.stdout.ends_with("\nBOOKS NOT BALANCED\n"), "{}", verified.stdout);
        let named = verified.stdout.lines().any(|line| line.starts_with("DIFFERS") && line.contains(check));
        assert!(named, "{check} is not named:\n{}", verified.stdout);

        let trial = self.world.trial_balance().await;
        assert_eq!(trial["balanced"], false);
        let of_check = |found: &&Value| found["name"] == check && found["currency"] == "USD";
        let found = list(&trial, "checks").iter().find(of_check).expect("the check");
        assert_eq!(found["ok"], false, "{found:#}");
        let mut told: Vec<(String, i64, i64)> = list(found, "differences")
            .iter()
            .map(|part| (text(part, "subject"), part["expected"].as_i64().unwrap(), part["actual"].as_i64().unwrap()))
            .collect();
        told.sort_unstable();
        let expected: Vec<_> = subjects.iter().map(|(subject, a, b)| ((*subject).to_owned(), *a, *b)).collect();
        assert_eq!(told, expected, "{found:#}");
        for (subject, ..) in subjects {
            assert!(verified.stdout.contains(subject), "{subject} is not named:\n{}", verified.stdout);
        }
        verified
    }
}

/// While money moves, what is under way is open, and nothing differs.
async fn the_books_balance_at_every_moment(engine: Engine) {
    let world = World::new(engine).await;
    projects(&world).await;
    let mut batches = Vec::new();
    let mut open = 0;
    for number in 0..40 {
        batches.push(world.scheduled(&release(&format!("esc_{number}"), "prj_mixed", 1_000, "USD")).await);
        if number % 2 == 0 {
            world.assert_books_balanced().await;
            let trial = world.trial_balance().await;
            open += list(&trial, "checks").iter().filter_map(|check| check["open"].as_u64()).sum::<u64>();
        }
    }
    println!("{engine:?}: {open} open while looking");
    for batch in &batches {
        world.settled(batch).await;
    }
    world.assert_books_balanced().await;
}

async fn money_booked_to_the_wrong_recipient_is_found(engine: Engine) {
    let desk = Desk::new(engine).await;
    let planted = desk.transaction('1', &[("payable", "rec_ana", 5), ("payable", "rec_ben", -5)]);
    desk.execute(&planted).await.expect("a balanced transaction can be added");
    // The sum of all payables is right; who is owed is not.
    desk.differs("payable", &[("rec_ana", 0, -5), ("rec_ben", 0, 5)]).await;
}

async fn beyond_a_hundred_differences_it_is_said_how_many_there_are(engine: Engine) {
    let desk = Desk::new(engine).await;
    let names: Vec<String> = (0..245).map(|number| format!("rec_{number}")).collect();
    let mut entries: Vec<(&str, &str, i64)> = names.iter().map(|name| ("payable", name.as_str(), -1)).collect();
    entries.push(("payable", "rec_ana", 245));
    desk.execute(&desk.transaction('1', &entries)).await.expect("a balanced transaction can be added");
    let verified = desk.world.verify().await;
    assert_eq!(verified.code, 6, "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.lines().any(|line| line.trim() == "… and 146 more"), "{}", verified.stdout);
    let trial = desk.world.trial_balance().await;
    let payable = list(&trial, "checks").iter().find(|check| check["name"] == "payable").expect("the check");
    assert_eq!(list(payable, "differences").len(), 100);
    assert_eq!(payable["differencesMore"], 146);
}

async fn money_that_only_the_provider_knows_of_is_found(engine: Engine) {
    let desk = Desk::new(engine).await;
    let book = desk.world.simulator_book().await;
    let copy = "INSERT INTO events SELECT 'sev_zzzzzzzzzzzzzzzzzzzzzzzzzz', 'sim_zzzzzzzzzzzzzzzzzzzzzzzzzz', seq, what, at, code,
          returned_minor
        FROM events WHERE transfer_id = (SELECT id FROM transfers WHERE recipient_id = 'rec_ana');
        INSERT INTO transfers SELECT 'sim_zzzzzzzzzzzzzzzzzzzzzzzzzz', 'ins_7zzzzzzzzzzzzzzzzzzzzzzzzz', item_id, reference,
          recipient_id, amount_minor, executes_minor, currency, silent_until, created_at
        FROM transfers WHERE recipient_id = 'rec_ana'";
    execute(&book, copy).await;
    desk.differs("rail_book:simulator", &[("ins_7zzzzzzzzzzzzzzzzzzzzzzzzz", 0, 700)]).await;
}

async fn money_that_the_provider_does_not_know_of_is_found(engine: Engine) {
    let desk = Desk::new(engine).await;
    let transfers = desk.world.transfers().await;
    let ben = transfers.iter().find(|transfer| transfer["recipientId"] == "rec_ben").expect("a transfer");
    execute(&desk.world.simulator_book().await, "DELETE FROM transfers WHERE recipient_id = 'rec_ben'").await;
    desk.differs("rail_book:simulator", &[(&text(ben, "idempotencyKey"), 300, 0)]).await;
}

async fn an_item_whose_state_was_set_by_hand_is_found(engine: Engine) {
    let desk = Desk::new(engine).await;
    let unpaid =
        "UPDATE items SET status = 'failed', reason = 'by hand', reference = NULL WHERE recipient_id = 'rec_ben'";
    desk.execute(unpaid).await.expect("the state of an item can be set");
    desk.differs("payable", &[("rec_ben", 300, 0)]).await;
}

async fn what_is_booked_can_neither_be_changed_nor_removed(engine: Engine) {
    let desk = Desk::new(engine).await;
    for (sql, word) in [
        ("UPDATE ledger_entries SET amount_minor = amount_minor + 1".to_owned(), "append_only"),
        ("UPDATE ledger_transactions SET currency = 'EUR'".to_owned(), "append_only"),
        ("DELETE FROM ledger_entries".to_owned(), "append_only"),
        ("DELETE FROM ledger_transactions".to_owned(), "append_only"),
        ("DELETE FROM batches".to_owned(), "append_only"),
        ("UPDATE batches SET amount_minor = 1".to_owned(), "append_only"),
        ("UPDATE items SET payable_minor = payable_minor - 1".to_owned(), "append_only"),
        ("UPDATE revenue_models SET spec = '{}'".to_owned(), "append_only"),
        (desk.transaction('2', &[("payable", "rec_ana", 5), ("payable", "rec_ben", -4)]), "unbalanced"),
        (desk.transaction('3', &[("payable", "rec_ana", 5)]), "unbalanced"),
        (desk.transaction('4', &[]), "unbalanced"),
    ] {
        let refused = desk.execute(&sql).await.expect_err(&sql);
        assert!(refused.contains(word), "{sql}: {refused}");
        // What was begun is taken back before the next try.
        let _ = desk.execute("ROLLBACK").await;
    }
    let mut settled = desk.world.trial_balance().await;
    assert_eq!(settled["balanced"].take(), json!(true));
}
