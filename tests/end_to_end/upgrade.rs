//! Old processes beside new ones: a schema that a newer version brought further.

use super::{release, shares};
use crate::harness::{
    home::{Engine, Home},
    on_both_databases,
    sql::{connect, execute},
    world::World,
};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;

on_both_databases! {
    a_schema_that_was_only_added_to_is_served_by_an_older_version_that_runs_and_by_one_that_starts
    a_schema_that_left_a_version_behind_is_refused_by_it
}

/// What a newer version leaves that adds a column to every table.
async fn expand(engine: Engine, url: &str) {
    let database = connect(url).await;
    let tables = match engine {
        Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
        Engine::Postgres => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
    };
    let question = Statement::from_string(database.get_database_backend(), tables);
    let tables = database.query_all_raw(question).await.expect("the tables");
    assert!(tables.len() > 20, "{} tables", tables.len());
    for table in tables {
        let table: String = table.try_get_by_index(0).expect("a name");
        execute(&database, &format!("ALTER TABLE {table} ADD COLUMN of_a_newer_version text")).await;
    }
    execute(&database, "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9001_newer', 1)").await;
}

async fn a_schema_that_was_only_added_to_is_served_by_an_older_version_that_runs_and_by_one_that_starts(
    engine: Engine,
) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 70), ("rec_ben", 30)])).await;
    let pays = async |escrows: &[&str]| {
        for escrow in escrows {
            let batch = world.settled(&world.scheduled(&release(escrow, "prj_1", 1_000, "USD")).await).await;
            assert_eq!(batch["status"], "completed", "{escrow}");
        }
    };
    // Every statement is prepared on every connection by then.
    pays(&["esc_1", "esc_2", "esc_3", "esc_4", "esc_5"]).await;
    expand(engine, &world.home().database_url()).await;
    pays(&["esc_6", "esc_7"]).await;
    for status in ["blocked", "active"] {
        world.change_recipient("rec_ben", &json!({ "status": status })).await;
    }
    world.stop().await;
    world.start().await;
    pays(&["esc_8"]).await;
    world.assert_books_balanced().await;

    let status = world.home().run(&["migrate", "status"]).await;
    assert_eq!((status.code, status.stdout.lines().last()), (0, Some("newer    m9001_newer")), "{}", status.stderr);
    assert_eq!(world.verify().await.code, 0);
}

async fn a_schema_that_left_a_version_behind_is_refused_by_it(engine: Engine) {
    let home = Home::new(engine).await;
    assert_eq!(home.run(&["migrate"]).await.code, 0);
    expand(engine, &home.database_url()).await;
    let database = connect(&home.database_url()).await;
    // This one was replaced by what every version that runs knows.
    execute(&database, "INSERT INTO schema_needs (migration) VALUES ('m0007_needs')").await;
    assert_eq!(home.run(&["migrate"]).await.code, 0);
    execute(&database, "INSERT INTO schema_needs (migration) VALUES ('m9001_newer')").await;
    for command in ["serve", "worker", "migrate", "verify"] {
        let refused = home.run(&[command]).await;
        assert_eq!(refused.code, 69, "{command}: {}", refused.stderr);
        let why = "too new for this version of the service, which does not know `m9001_newer`";
        assert!(refused.stderr.contains(why), "{command}: {}", refused.stderr);
    }
}
