//! Many rows with one statement. Statements of few lengths are used, so that few are prepared and kept.

use super::dialect::Dialect;
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, Value};

/// Most rows of one statement.
const ROWS_MAX: usize = 64;
/// So few rows, as an everyday change has of a table, are written with one statement, however many they are.
const ROWS_FEW: usize = 16;

/// All of it, in order, in parts of at most [`ROWS_MAX`]. A part that is not short is a power of two long.
pub(super) fn parts<T>(mut all: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let length = match all.len() {
            0 => return None,
            few @ 1..=ROWS_FEW => few,
            many => 1 << many.min(ROWS_MAX).ilog2(),
        };
        let rest = all.split_off(length);
        Some(std::mem::replace(&mut all, rest))
    })
}

/// Adds rows.
pub(super) async fn insert<M, A>(write: &DatabaseTransaction, rows: Vec<M>) -> Result<(), DbErr>
where
    M: IntoActiveModel<A> + Send,
    A: ActiveModelTrait + Send,
{
    for part in parts(rows) {
        let rows = part.into_iter().map(IntoActiveModel::into_active_model);
        <A::Entity as EntityTrait>::insert_many::<A, _>(rows).exec_without_returning(write).await?;
    }
    Ok(())
}

/// A table whose rows count their writes, and the columns that a write sets.
pub(super) struct Revised {
    pub(super) table: &'static str,
    pub(super) columns: &'static [&'static str],
}

/// Sets the columns of rows that still have the revision they were read at, and answers how many those were. A row
/// is its id, the revision, and the values of the columns in order.
pub(super) async fn update(
    write: &DatabaseTransaction,
    dialect: Dialect,
    what: &Revised,
    rows: Vec<Vec<Value>>,
) -> Result<u64, DbErr> {
    let mut updated = 0;
    for part in parts(rows) {
        let sql = update_statement(what, part.len());
        let statement = dialect.statement(sql, part.into_iter().flatten());
        updated += write.execute_raw(statement).await?.rows_affected();
    }
    Ok(updated)
}

fn update_statement(Revised { table, columns }: &Revised, rows: usize) -> String {
    let sets: Vec<String> = columns.iter().map(|column| format!("{column} = fresh.{column}")).collect();
    format!(
        "WITH fresh (id, seen, {}) AS (VALUES {})
         UPDATE {table} SET {}, revision = {table}.revision + 1 FROM fresh
         WHERE {table}.id = fresh.id AND {table}.revision = fresh.seen",
        columns.join(", "),
        places(rows, columns.len() + 2),
        sets.join(", "),
    )
}

/// `($1, $2), ($3, $4)` and so on: rows of places for values.
pub(super) fn places(rows: usize, width: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> = (1..=width).map(|column| format!("${}", row * width + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_few_lengths_and_lose_nothing() {
        let mut lengths = std::collections::BTreeSet::new();
        for length in 0..300 {
            let all: Vec<usize> = (0..length).collect();
            let parts: Vec<Vec<usize>> = parts(all.clone()).collect();
            lengths.extend(parts.iter().map(Vec::len));
            assert_eq!(parts.concat(), all);
        }
        assert_eq!(lengths, (1..=16).chain([32, 64]).collect());
    }

    #[test]
    fn an_update_names_every_value_once() {
        let what = Revised { table: "t", columns: &["a"] };
        let sql = update_statement(&what, 2);
        assert!(sql.contains("VALUES ($1, $2, $3), ($4, $5, $6)") && sql.contains("SET a = fresh.a, revision"));
    }
}
