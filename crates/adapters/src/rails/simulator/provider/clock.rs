//! The time of a simulator that is a process of its own: the machine's, and an offset that a test may move.

use super::book::{Book, BookError, plain, statement};
use app::ports::{Clock, StoreError};
use async_trait::async_trait;
use domain::timestamp::Timestamp;
use sea_orm::ConnectionTrait;
use std::time::{Duration, Instant};

/// The clock in a book.
#[derive(Clone)]
pub(crate) struct BookClock {
    book: Book,
    started: Instant,
}

const NOW: &str = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000
     + COALESCE((SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'clock_offset_us'), 0)";

impl BookClock {
    pub(crate) fn of(book: Book) -> Self {
        Self { book, started: Instant::now() }
    }

    /// Moves the clock of everybody who goes by it into the future.
    pub(crate) async fn advance(&self, by: Duration) -> Result<(), BookError> {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        let move_on = "INSERT INTO settings VALUES ('clock_offset_us', ?) ON CONFLICT (name)
             DO UPDATE SET value = CAST(CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER) AS TEXT)";
        self.book.writer().execute_raw(statement(move_on, [micros.to_string().into()])).await?;
        Ok(())
    }

    async fn read(&self) -> Result<Timestamp, BookError> {
        let row = self.book.reader().query_one_raw(plain(NOW)).await?;
        let micros: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        Ok(Timestamp::from_unix_micros(micros))
    }
}

#[async_trait]
impl Clock for BookClock {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.read().await.map_err(|error| StoreError::Unavailable(error.to_string()))
    }
    fn steady(&self) -> Duration {
        self.started.elapsed()
    }
}
