//! What tests stand on.

pub mod acting;
pub mod answer;
pub mod chance;
pub mod cluster;
pub mod commit_cutter;
pub mod databases;
pub mod home;
pub mod process;
pub mod sick_disk;
pub mod silence;
pub mod sql;
pub mod stripe;
pub mod tools;
pub mod world;

/// A named test of each sentence, on SQLite and on PostgreSQL.
macro_rules! on_both_databases {
    ($($sentence:ident)+) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence(crate::harness::home::Engine::Sqlite).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence(crate::harness::home::Engine::Postgres).await;
            }
        )+}
    };
}
pub(crate) use on_both_databases;
