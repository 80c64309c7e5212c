//! Many rows with one statement. Statements of few lengths are used, so that few are prepared and kept.

use super::{arguments::array, dialect::Dialect, kept::Write};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbErr, EntityName, EntityTrait, IdenStatic, IntoActiveModel, Iterable, Value,
};

/// Most rows of one statement.
const ROWS_MAX: usize = 64;
/// So few rows, as an everyday change has of a table, are written with one statement, however many they are.
const ROWS_FEW: usize = 8;
/// SQLite keeps so many statements ready for each connection: of a dozen tables those of all lengths, and the others.
pub(super) const STATEMENTS_KEPT: usize = 256;

/// All of it, in order, in parts of at most [`ROWS_MAX`]. A part that is not short is a power of two long.
pub(crate) fn parts<T>(mut all: Vec<T>) -> impl Iterator<Item = Vec<T>> {
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

/// Rows of many tables that are added together: on `PostgreSQL` with one statement, because most of what a statement
/// costs is the same however little it does. References among them are looked at when all of it is done.
pub(super) struct Insertions {
    dialect: Dialect,
    statements: Vec<String>,
    values: Vec<Vec<Value>>,
    /// So many values the statement has already.
    width: usize,
}

impl Insertions {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, statements: Vec::new(), values: Vec::new(), width: 0 }
    }

    pub(super) fn add<M, A>(&mut self, rows: Vec<M>) -> Result<(), DbErr>
    where
        M: IntoActiveModel<A>,
        A: ActiveModelTrait,
    {
        for part in statements(self.dialect, rows) {
            let (sql, values) = insertion_after::<A>(self.dialect, self.width, part)?;
            if self.dialect == Dialect::Postgres {
                self.width += values.len();
            }
            self.statements.push(sql);
            self.values.push(values);
        }
        Ok(())
    }

    pub(super) async fn write(mut self, write: &Write<'_>) -> Result<(), DbErr> {
        if self.dialect == Dialect::Postgres
            && let Some(last) = self.statements.pop()
        {
            let others: Vec<String> =
                self.statements.iter().enumerate().map(|(place, sql)| format!("added_{place} AS ({sql})")).collect();
            let others = if others.is_empty() { String::new() } else { format!("WITH {} ", others.join(", ")) };
            self.statements = vec![others + &last];
            self.values = vec![self.values.concat()];
        }
        for (sql, values) in self.statements.into_iter().zip(self.values) {
            write.execute_raw(self.dialect.statement(sql, values)).await?;
        }
        Ok(())
    }
}

/// The statement that adds rows, to which a clause may be added.
pub(super) fn insertion<A: ActiveModelTrait>(
    dialect: Dialect,
    rows: Vec<impl IntoActiveModel<A>>,
) -> Result<(String, Vec<Value>), DbErr> {
    insertion_after(dialect, 0, rows)
}

/// The same, in a statement that has so many values already.
fn insertion_after<A: ActiveModelTrait>(
    dialect: Dialect,
    width: usize,
    rows: Vec<impl IntoActiveModel<A>>,
) -> Result<(String, Vec<Value>), DbErr> {
    let columns = || <A::Entity as EntityTrait>::Column::iter();
    let row = |mut row: A| columns().filter_map(|column| row.take(column).into_value()).collect();
    let rows = rows.into_iter().map(|model| row(model.into_active_model())).collect();
    let source = source_after(dialect, width, rows)?;
    let names: Vec<String> = columns().map(|column| format!("\"{}\"", column.as_str())).collect();
    let table = A::Entity::default();
    Ok((format!("INSERT INTO \"{}\" ({}) {}", table.table_name(), names.join(", "), source.sql), source.values))
}

/// Rows that go with one statement: on `PostgreSQL` all of them.
pub(super) fn statements<T>(dialect: Dialect, all: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let (whole, in_parts) = match dialect {
        Dialect::Postgres => (Some(all).filter(|all| !all.is_empty()), Vec::new()),
        Dialect::Sqlite => (None, all),
    };
    whole.into_iter().chain(parts(in_parts))
}

/// The last one again, until there are 1, 2, 4, 8 and so on: for a statement in which it does no harm to name one
/// twice, so that few are prepared.
pub(super) fn padded<T: Clone>(mut all: Vec<T>) -> Vec<T> {
    if let Some(last) = all.last().cloned() {
        all.resize(all.len().next_power_of_two(), last);
    }
    all
}

/// Rows that a statement takes from its values.
pub(super) struct Source {
    /// `VALUES ...` or `SELECT ...`.
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

/// Rows of equal width and types as the source of a statement. `PostgreSQL` gets an array for each column, so that the
/// statement is the same however many rows there are, and is planned once.
pub(super) fn source(dialect: Dialect, rows: Vec<Vec<Value>>) -> Result<Source, DbErr> {
    source_after(dialect, 0, rows)
}

/// The same, in a statement that has so many values already.
fn source_after(dialect: Dialect, before: usize, rows: Vec<Vec<Value>>) -> Result<Source, DbErr> {
    let width = rows.first().map_or(0, Vec::len);
    match dialect {
        Dialect::Sqlite => {
            let sql = format!("VALUES {}", unnamed_places(rows.len(), width));
            Ok(Source { sql, values: rows.into_iter().flatten().collect() })
        }
        Dialect::Postgres => {
            let mut columns: Vec<Vec<Value>> = (0..width).map(|_| Vec::with_capacity(rows.len())).collect();
            for row in rows {
                for (column, value) in columns.iter_mut().zip(row) {
                    column.push(value);
                }
            }
            let (mut places, mut values) = (Vec::with_capacity(width), Vec::with_capacity(width));
            for column in columns {
                let (of, array) = array(column)?;
                places.push(format!("${}::{of}[]", before + values.len() + 1));
                values.push(array);
            }
            Ok(Source { sql: format!("SELECT * FROM UNNEST({})", places.join(", ")), values })
        }
    }
}

/// That a column has one of these values, as a condition of a statement that has so many values already.
pub(super) fn is_one_of(dialect: Dialect, before: usize, column: &str, wanted: Vec<Value>) -> Result<Source, DbErr> {
    Ok(match dialect {
        Dialect::Sqlite => Source { sql: format!("{column} IN {}", unnamed_places(1, wanted.len())), values: wanted },
        Dialect::Postgres => {
            let (of, array) = array(wanted)?;
            Source { sql: format!("{column} = ANY(${}::{of}[])", before + 1), values: vec![array] }
        }
    })
}

/// A table whose rows count their writes, and the columns that a write sets.
pub(super) struct Revised {
    pub(super) table: &'static str,
    pub(super) columns: &'static [&'static str],
}

/// Sets the columns of rows that still have the revision they were read at, and answers how many those were. A row
/// is its id, the revision, and the values of the columns in order.
pub(super) async fn update(
    write: &Write<'_>,
    dialect: Dialect,
    what: &Revised,
    rows: Vec<Vec<Value>>,
) -> Result<u64, DbErr> {
    let mut updated = 0;
    for part in statements(dialect, rows) {
        let source = source(dialect, part)?;
        let statement = dialect.statement(update_statement(what, &source.sql), source.values);
        updated += write.execute_raw(statement).await?.rows_affected();
    }
    Ok(updated)
}

fn update_statement(Revised { table, columns }: &Revised, source: &str) -> String {
    let sets: Vec<String> = columns.iter().map(|column| format!("{column} = fresh.{column}")).collect();
    format!(
        "WITH fresh (id, seen, {}) AS ({source})
         UPDATE {table} SET {}, revision = {table}.revision + 1 FROM fresh
         WHERE {table}.id = fresh.id AND {table}.revision = fresh.seen",
        columns.join(", "),
        sets.join(", "),
    )
}

/// `(?, ?), (?, ?)` and so on: rows of places for values, in order. For each place that has a name (`$1` is one, for
/// SQLite) the driver searches a list of all names: that would be most of the work of a statement of a thousand places.
pub(crate) fn unnamed_places(rows: usize, width: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(", "));
    vec![row.as_str(); rows].join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(array: Value) -> Vec<Value> {
        if let Value::Array(_, Some(elements)) = array { *elements } else { panic!("{array:?} is no array") }
    }

    #[test]
    fn parts_have_few_lengths_and_lose_nothing() {
        let mut lengths = std::collections::BTreeSet::new();
        for length in 0..300 {
            let all: Vec<usize> = (0..length).collect();
            let parts: Vec<Vec<usize>> = parts(all.clone()).collect();
            lengths.extend(parts.iter().map(Vec::len));
            assert_eq!(parts.concat(), all);
        }
        assert_eq!(lengths, (1..=8).chain([16, 32, 64]).collect());
    }

    #[test]
    fn rows_are_a_place_for_each_value_or_an_array_for_each_column() {
        let rows = || {
            let id = uuid::Uuid::from_u128(7);
            vec![
                vec![Value::from(id), "a\"b\\c, {}".into(), Value::from(-1_i64), true.into(), vec![0_u8, 255].into()],
                vec![Value::from(id), Value::String(None), Value::BigInt(None), Value::Bool(None), Value::Bytes(None)],
                vec![
                    Value::from(id),
                    "NULL".into(),
                    Value::from(i64::MAX),
                    false.into(),
                    Value::from(Vec::<u8>::new()),
                ],
            ]
        };
        let sqlite = source(Dialect::Sqlite, rows()).unwrap();
        assert_eq!(sqlite.sql, "VALUES (?, ?, ?, ?, ?), (?, ?, ?, ?, ?), (?, ?, ?, ?, ?)");
        assert_eq!(sqlite.values, rows().concat());

        let postgres = source(Dialect::Postgres, rows()).unwrap();
        let types = "$1::uuid[], $2::text[], $3::bigint[], $4::boolean[], $5::bytea[]";
        assert_eq!(postgres.sql, format!("SELECT * FROM UNNEST({types})"));
        let columns: Vec<Vec<Value>> = postgres.values.into_iter().map(elements).collect();
        let column = |at: usize| rows().iter().map(|row| row[at].clone()).collect::<Vec<_>>();
        assert_eq!(columns, (0..5).map(column).collect::<Vec<_>>());
        assert!(source(Dialect::Postgres, vec![vec![Value::from(0.5)]]).is_err());
    }

    #[test]
    fn a_source_counts_on_from_the_values_before_it() {
        let postgres = source_after(Dialect::Postgres, 7, vec![vec![Value::from(1_i64), true.into()]]).unwrap();
        assert_eq!(postgres.sql, "SELECT * FROM UNNEST($8::bigint[], $9::boolean[])");
    }

    #[test]
    fn an_update_takes_its_rows_from_where_it_is_told() {
        let sql = update_statement(&Revised { table: "t", columns: &["a"] }, "SOURCE");
        assert!(sql.contains("fresh (id, seen, a) AS (SOURCE)") && sql.contains("SET a = fresh.a, revision"));
    }
}
