//! The time that everybody agrees on: the database's clock, and an offset that is zero but in tests.

use super::{Sql, SqlError, dialect::micros, error::store};
use app::ports::{Clock, StoreError, TestClock};
use async_trait::async_trait;
use domain::timestamp::Timestamp;
use sea_orm::{ConnectionTrait, DbErr};
use std::time::Duration;

impl Sql {
    /// Moves the clock of everybody who uses this database into the future. For tests and the test clock.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn advance_clock(&self, by: Duration) -> Result<(), SqlError> {
        Ok(self.move_clock(by).await?)
    }

    /// How far a test moved the clock of this database.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn clock_offset(&self) -> Result<Duration, SqlError> {
        let row = self.lists().query_one_raw(self.dialect().statement("SELECT offset_us FROM clock", [])).await?;
        let micros: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        Ok(Duration::from_micros(micros.unsigned_abs()))
    }

    async fn move_clock(&self, by: Duration) -> Result<(), DbErr> {
        let sql = "UPDATE clock SET offset_us = offset_us + $1";
        self.writer().execute_raw(self.dialect().statement(sql, [micros(by).into()])).await?;
        // What was due later may be due now.
        self.work().tell();
        Ok(())
    }
}

#[async_trait]
impl TestClock for Sql {
    async fn advance(&self, by: Duration) -> Result<Timestamp, StoreError> {
        self.move_clock(by).await.map_err(store)?;
        self.now().await
    }
}

#[async_trait]
impl Clock for Sql {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.read_time().await
    }

    fn steady(&self) -> Duration {
        self.shared.opened_at.elapsed()
    }
}
