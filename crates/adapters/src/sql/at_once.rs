//! On `PostgreSQL` releases that are committed at the same time are one statement, which is its own transaction: the
//! database is asked once, where beginning, booking, writing the rest and committing would ask it four times.
//!
//! If the connection breaks, nobody knows whether they were committed, and they are said again over another one. An escrow
//! becomes one batch, so that does no harm: who was committed before finds the escrow taken by themselves.

use super::{
    Sql, WRITERS_MAX,
    arguments::array,
    commit::Refused,
    error,
    kept::{Kept, failed, is_dead, query},
    recall::Recalled,
    rows::{audit_entry, batch, batch_input, batch_line, event, item, job, ledger_entry, ledger_transaction},
};
use app::{
    change::{Change, New},
    ports::CommitError,
};
use domain::batch::Batch;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityName, EntityTrait, IdenStatic, IntoActiveModel, Iterable, QueryFilter,
    Value,
    sqlx::{self, Row, postgres::PgRow},
};
use std::collections::BTreeMap;

/// Whether it is one release and nothing else: whoever is left out because the escrow is taken has then written nothing.
pub(super) fn is_release(change: &Change) -> bool {
    let Change { insert, update, count, post: _, enqueue: _, wake, publish: _, audit: _, recalled: _, remember, lease } =
        change;
    let is_alone = update.is_empty() && count.is_empty() && wake.is_empty() && remember.is_none() && lease.is_none();
    let escrows = batches_of(change).filter(|batch| batch.escrow().is_some()).count();
    let is_of_it = |new: &New| matches!(new, New::Batch(_) | New::Item(_) | New::Line(_) | New::Inputs(_));
    is_alone && escrows == 1 && insert.iter().all(is_of_it)
}

fn batches_of(change: &Change) -> impl Iterator<Item = &Batch> {
    change.insert.iter().filter_map(|new| if let New::Batch(batch) = new { Some(batch) } else { None })
}

impl Sql {
    /// Commits releases of different escrows. Answers each, or nothing if the database refused all of them because of
    /// one, and wrote nothing.
    pub(super) async fn commit_releases(
        &self,
        kept: &mut Kept,
        group: &[&Change],
    ) -> Option<Vec<Result<(), CommitError>>> {
        let all = |error: CommitError| Some(vec![Err(error); group.len()]);
        let mut attempts = 0;
        let lost = loop {
            let Draft { text, values } = match draft(group) {
                Ok(draft) => draft,
                Err(error) => return all(error::store(error).into()),
            };
            attempts += 1;
            let connection = match kept.connection(self).await {
                Ok(connection) => connection,
                Err(error) if attempts == 1 => return all(error::store(error).into()),
                Err(error) => return all(CommitError::Unclear(error.to_string())),
            };
            let lost = async { query(text, values)?.fetch_all(connection).await };
            match self.writer().patience().wait(lost).await.and_then(|rows| left_out(&rows)) {
                Ok(lost) => break lost,
                Err(error) if is_dead(&error) && attempts <= WRITERS_MAX => kept.forget(),
                Err(error) => {
                    let error = error::commit(failed(error));
                    let is_certain = attempts == 1 && matches!(error, CommitError::Store(_));
                    return if is_certain { None } else { all(CommitError::Unclear(error.to_string())) };
                }
            }
        };
        let mut answers = Vec::with_capacity(group.len());
        for (place, change) in group.iter().enumerate() {
            let lost = lost.get(&place);
            let is_booked =
                if lost.is_some() && attempts > 1 { self.is_booked(change).await } else { Ok(lost.is_none()) };
            answers.push(match is_booked {
                Ok(true) => Ok(()),
                // It may still be booked by what was said first, for which nobody waited.
                Ok(false) if lost == Some(&true) && attempts > 1 => {
                    Err(CommitError::Unclear("what was recalled was changed meanwhile".to_owned()))
                }
                Ok(false) => {
                    let refused = if lost == Some(&true) { Refused::Outdated } else { Refused::EscrowTaken };
                    Err(self.explain(refused, change).await)
                }
                Err(error) => Err(CommitError::Unclear(error.to_string())),
            });
        }
        let enqueues = |(change, answer): (&&Change, &Result<_, _>)| answer.is_ok() && !change.enqueue.is_empty();
        if group.iter().zip(&answers).any(enqueues) {
            self.work().tell();
        }
        Some(answers)
    }

    /// Whether a release that was said more than once is there by now.
    async fn is_booked(&self, change: &Change) -> Result<bool, DbErr> {
        let ids = batches_of(change).map(|batch| batch.id.uuid());
        Ok(batch::Entity::find().filter(batch::Column::Id.is_in(ids)).one(self.lists()).await?.is_some())
    }
}

/// Whom the database left out, by their places, and whether that is because what they recalled was changed.
fn left_out(rows: &[PgRow]) -> Result<BTreeMap<usize, bool>, sqlx::Error> {
    let place = |row: &PgRow| row.try_get::<i64, _>(0).map(|place| usize::try_from(place).unwrap_or(usize::MAX));
    rows.iter().map(|row| Ok((place(row)?, row.try_get(1)?))).collect()
}

/// The statement: it writes nothing of those who recalled what was changed since, nor of those whose escrow is taken, and
/// answers their places.
fn draft(group: &[&Change]) -> Result<Draft, DbErr> {
    let mut batches = all(group, |change| batches_of(change).map(batch::Model::write));
    // Two who release the same escrows never wait for each other crosswise.
    batches.sort_by(|(_, one), (_, two)| one.escrow_id.cmp(&two.escrow_id));
    let mut draft = Draft::default();
    let stale = draft.stale(group)?;
    let Source { table, columns, rows } = draft.source(batches)?;
    draft.text = format!(
        "WITH stale AS MATERIALIZED ({stale}),
         wanted AS MATERIALIZED (SELECT * FROM {rows}),
         booked AS (INSERT INTO \"{table}\" ({columns}) SELECT {columns} FROM wanted
           WHERE place <> ALL ((SELECT places FROM stale)::bigint[])
           ON CONFLICT (escrow_id) DO NOTHING RETURNING id),
         lost AS MATERIALIZED (SELECT ARRAY(
           SELECT place FROM wanted WHERE id <> ALL (ARRAY(SELECT id FROM booked))) AS places)"
    );
    let (mut items, mut lines, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
    for (place, new) in all(group, |change| &change.insert) {
        match new {
            New::Item(item) => items.push((place, item::Model::write(item))),
            New::Line(line) => lines.push((place, batch_line::Model::write(line))),
            New::Inputs(of_batch) => inputs.push((place, batch_input::Model::write(of_batch))),
            // Batches are there already, and nothing else comes with a release.
            _ => {}
        }
    }
    draft.add(items)?;
    draft.add(lines)?;
    draft.add(inputs)?;
    draft.add(all(group, |change| change.post.iter().flat_map(ledger_entry::Model::write)))?;
    draft.add(all(group, |change| change.post.iter().map(ledger_transaction::Model::write)))?;
    draft.add(all(group, |change| change.enqueue.iter().map(job::Model::write)))?;
    draft.add(all(group, |change| change.publish.iter().map(event::Model::write)))?;
    draft.add(all(group, |change| change.audit.iter().map(audit_entry::Model::write)))?;
    draft.text += " SELECT place, place = ANY ((SELECT places FROM stale)::bigint[])
                    FROM (SELECT UNNEST(places) AS place FROM lost) AS left_out";
    Ok(draft)
}

/// What there is in each change, with the place of the change.
fn all<'a, T, I: IntoIterator<Item = T>>(group: &[&'a Change], of: impl Fn(&'a Change) -> I) -> Vec<(i64, T)> {
    let places = (0..).zip(group);
    places.flat_map(|(place, change)| of(change).into_iter().map(move |one| (place, one))).collect()
}

/// A statement, as far as it is written.
#[derive(Default)]
struct Draft {
    text: String,
    values: Vec<Value>,
}

/// Where the rows of a table come from.
struct Source {
    table: &'static str,
    /// Their names.
    columns: String,
    /// An array for each column, and one for the places of the changes that they belong to.
    rows: String,
}

impl Draft {
    /// The places of those who recalled what was changed since.
    fn stale(&mut self, group: &[&Change]) -> Result<String, DbErr> {
        let Recalled { moments, by } = Recalled::of(group);
        if by.is_empty() {
            return Ok("SELECT ARRAY[]::bigint[] AS places".to_owned());
        }
        let number = |at: usize| Value::BigInt(i64::try_from(at).ok());
        let (places, of) = by.into_iter().map(|(place, moment)| (number(place), number(moment))).unzip();
        let moments = moments.into_iter().map(|moment| moment.0.clone().into()).collect();
        let moments = self.place_of(moments)?;
        let (places, of) = (self.place_of(places)?, self.place_of(of)?);
        Ok(format!(
            "SELECT ARRAY(SELECT place FROM UNNEST({of}, {places}) AS recalled (moment, place)
               WHERE moment = ANY ((SELECT moments_gone({moments}))::bigint[])) AS places"
        ))
    }

    fn add<M, A>(&mut self, rows: Vec<(i64, M)>) -> Result<(), DbErr>
    where
        M: IntoActiveModel<A>,
        A: ActiveModelTrait,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let Source { table, columns, rows } = self.source(rows)?;
        self.text += &format!(
            ", of_{table} AS (INSERT INTO \"{table}\" ({columns}) SELECT {columns} FROM {rows}
               WHERE place <> ALL ((SELECT places FROM lost)::bigint[]))"
        );
        Ok(())
    }

    fn source<M, A>(&mut self, rows: Vec<(i64, M)>) -> Result<Source, DbErr>
    where
        M: IntoActiveModel<A>,
        A: ActiveModelTrait,
    {
        let names: Vec<_> =
            <A::Entity as EntityTrait>::Column::iter().map(|column| column.as_str().to_owned()).collect();
        let mut columns: Vec<Vec<Value>> = names.iter().map(|_| Vec::with_capacity(rows.len())).collect();
        let mut places = Vec::with_capacity(rows.len());
        for (place, model) in rows {
            places.push(place.into());
            let mut row = model.into_active_model();
            for (column, of) in columns.iter_mut().zip(<A::Entity as EntityTrait>::Column::iter()) {
                let value = row.take(of).into_value();
                column.push(value.ok_or_else(|| DbErr::Type(format!("{} is not set", of.as_str())))?);
            }
        }
        let mut arrays = Vec::with_capacity(columns.len() + 1);
        for column in columns.into_iter().chain([places]) {
            arrays.push(self.place_of(column)?);
        }
        let columns = names.join(", ");
        let rows = format!("UNNEST({}) AS fresh ({columns}, place)", arrays.join(", "));
        Ok(Source { table: A::Entity::default().table_name(), columns, rows })
    }

    /// Adds an array to the values, and answers its place.
    fn place_of(&mut self, column: Vec<Value>) -> Result<String, DbErr> {
        let (of, array) = array(column)?;
        self.values.push(array);
        Ok(format!("${}::{of}[]", self.values.len()))
    }
}
