//! Faults that are switched on, and settings: rows of the book, so that all processes that share it share them.

use super::{
    behaviour::{Stage, stage},
    book::{Book, BookError, digits, plain, statement},
};
use app::ports::{
    Ids,
    rail::{Behaviour, Conduct, Fault, NewFault, SimulatorSettings},
};
use domain::timestamp::Timestamp;
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Value};
use std::time::Duration;

/// The faults that are switched on, as one transaction sees and uses them up.
pub(crate) struct Live(Vec<(Fault, bool)>);

impl Live {
    pub(crate) async fn read(connection: &impl ConnectionTrait) -> Result<Self, BookError> {
        let rows = connection.query_all_raw(plain("SELECT * FROM faults ORDER BY created_at, id")).await?;
        Ok(Self(rows.iter().map(|row| Ok((read(row)?, false))).collect::<Result<_, BookError>>()?))
    }

    /// The fault that happens to this call, used once: one of the recipient before one of everybody, older before newer.
    /// Without a recipient the call is a question, to which only what happens to everybody can happen.
    pub(crate) fn take(&mut self, stage_now: Stage, recipient: Option<&str>) -> Option<Conduct> {
        let is_meant = |fault: &Fault, of_recipient: bool| {
            let behaviour = fault.conduct.behaviour;
            fault.times_left != Some(0)
                && stage(behaviour) == stage_now
                && (recipient.is_some() || behaviour == Behaviour::Unavailable)
                && if of_recipient {
                    fault.recipient.is_some() && fault.recipient.as_deref() == recipient
                } else {
                    fault.recipient.is_none()
                }
        };
        let of_recipient = self.0.iter().position(|(fault, _)| is_meant(fault, true));
        let place = of_recipient.or_else(|| self.0.iter().position(|(fault, _)| is_meant(fault, false)))?;
        let (fault, is_used) = self.0.get_mut(place)?;
        if let Some(left) = &mut fault.times_left {
            *left -= 1;
            *is_used = true;
        }
        Some(fault.conduct.clone())
    }

    /// Whether a call that is no order is lost.
    pub(crate) fn loses_question(&mut self) -> bool {
        self.take(Stage::Transport, None).is_some()
    }

    /// Writes down what was used. What is used up goes.
    pub(crate) async fn keep(self, write: &DatabaseTransaction) -> Result<(), BookError> {
        for (fault, _) in self.0.into_iter().filter(|(_, is_used)| *is_used) {
            let change = match fault.times_left {
                Some(0) => statement("DELETE FROM faults WHERE id = ?", [fault.id.into()]),
                left => statement("UPDATE faults SET times_left = ? WHERE id = ?", [left.into(), fault.id.into()]),
            };
            write.execute_raw(change).await?;
        }
        Ok(())
    }
}

impl Book {
    pub(crate) async fn set_fault(&self, ids: &dyn Ids, fault: NewFault, now: Timestamp) -> Result<Fault, BookError> {
        let NewFault { conduct, recipient, times } = fault;
        // The behaviour is named after what comes after it.
        let usual = (conduct.behaviour == Behaviour::Error500ThenSuccess).then_some(1);
        let id = format!("flt_{}", digits(ids));
        let fault = Fault { id, conduct, recipient, times_left: times.or(usual), created_at: now };
        let conduct = &fault.conduct;
        let values: [Value; 10] = [
            fault.id.clone().into(),
            conduct.behaviour.as_str().into(),
            fault.recipient.clone().into(),
            fault.times_left.into(),
            conduct.code.clone().into(),
            conduct.after.map(micros).into(),
            conduct.returned_minor.into(),
            conduct.amount_minor.into(),
            conduct.retry_after.map(micros).into(),
            now.unix_micros().into(),
        ];
        let insert = "INSERT INTO faults VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        self.writer().execute_raw(statement(insert, values)).await?;
        Ok(fault)
    }

    pub(crate) async fn faults(&self) -> Result<Vec<Fault>, BookError> {
        let Live(faults) = Live::read(self.reader()).await?;
        Ok(faults.into_iter().map(|(fault, _)| fault).filter(|fault| fault.times_left != Some(0)).collect())
    }

    pub(crate) async fn clear_faults(&self, id: Option<String>) -> Result<u64, BookError> {
        let delete = match id {
            Some(id) => statement("DELETE FROM faults WHERE id = ?", [id.into()]),
            None => plain("DELETE FROM faults"),
        };
        Ok(self.writer().execute_raw(delete).await?.rows_affected())
    }

    pub(crate) async fn settings(&self) -> Result<SimulatorSettings, BookError> {
        settings(self.reader()).await
    }

    pub(crate) async fn change_settings(&self, settings: SimulatorSettings) -> Result<(), BookError> {
        let window = settings.replay_window.map(|window| window.as_secs().to_string());
        let calls = Some(settings.calls_per_second_max.to_string());
        let write = self.begin_write().await?;
        for (name, value) in [(REPLAY_WINDOW, window), (CALLS, calls)] {
            let change = match value {
                Some(value) => statement("INSERT OR REPLACE INTO settings VALUES (?, ?)", [name.into(), value.into()]),
                None => statement("DELETE FROM settings WHERE name = ?", [name.into()]),
            };
            write.execute_raw(change).await?;
        }
        Ok(write.commit().await?)
    }

    /// A setting by its name.
    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>, BookError> {
        let select = statement("SELECT value FROM settings WHERE name = ?", [name.into()]);
        Ok(self.reader().query_one_raw(select).await?.map(|row| row.try_get_by_index(0)).transpose()?)
    }
}

const REPLAY_WINDOW: &str = "replay_window_seconds";
const CALLS: &str = "calls_per_second_max";

/// What the simulator is like, where a test may choose.
pub(crate) async fn settings(connection: &impl ConnectionTrait) -> Result<SimulatorSettings, BookError> {
    let select =
        statement("SELECT name, value FROM settings WHERE name IN (?, ?)", [REPLAY_WINDOW.into(), CALLS.into()]);
    let mut settings = SimulatorSettings::default();
    for row in connection.query_all_raw(select).await? {
        let (name, value): (String, String) = (row.try_get("", "name")?, row.try_get("", "value")?);
        let number: u64 = value.parse().map_err(|_| BookError::Corrupt(format!("{name} `{value}`")))?;
        match name.as_str() {
            REPLAY_WINDOW => settings.replay_window = Some(Duration::from_secs(number)),
            _ => settings.calls_per_second_max = u32::try_from(number).unwrap_or(u32::MAX),
        }
    }
    Ok(settings)
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn read(row: &QueryResult) -> Result<Fault, BookError> {
    let span = |name: &str| -> Result<Option<Duration>, BookError> {
        let micros: Option<i64> = row.try_get("", name)?;
        Ok(micros.map(|micros| Duration::from_micros(micros.unsigned_abs())))
    };
    let behaviour: String = row.try_get("", "behaviour")?;
    Ok(Fault {
        id: row.try_get("", "id")?,
        conduct: Conduct {
            behaviour: behaviour.parse().map_err(|_| BookError::Corrupt(format!("behaviour `{behaviour}`")))?,
            code: row.try_get("", "code")?,
            after: span("after_us")?,
            returned_minor: row.try_get("", "returned_minor")?,
            amount_minor: row.try_get("", "amount_minor")?,
            retry_after: span("retry_after_us")?,
        },
        recipient: row.try_get("", "recipient_id")?,
        times_left: row.try_get("", "times_left")?,
        created_at: Timestamp::from_unix_micros(row.try_get("", "created_at")?),
    })
}
