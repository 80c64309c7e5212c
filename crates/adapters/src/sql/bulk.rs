//! Many rows with one statement. Statements of few lengths are used, so that few are prepared and kept.

use super::dialect::Dialect;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityName, EntityTrait, IdenStatic,
    IntoActiveModel, Iterable, Value,
};

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
pub(super) async fn insert<M, A>(write: &DatabaseTransaction, dialect: Dialect, rows: Vec<M>) -> Result<(), DbErr>
where
    M: IntoActiveModel<A>,
    A: ActiveModelTrait,
{
    for part in statements(dialect, rows) {
        let (sql, values) = insertion::<A>(dialect, part)?;
        write.execute_raw(dialect.statement(sql, values)).await?;
    }
    Ok(())
}

/// The statement that adds rows, to which a clause may be added.
pub(super) fn insertion<A: ActiveModelTrait>(
    dialect: Dialect,
    rows: Vec<impl IntoActiveModel<A>>,
) -> Result<(String, Vec<Value>), DbErr> {
    let columns = || <A::Entity as EntityTrait>::Column::iter();
    let row = |row: A| columns().filter_map(|column| row.get(column).into_value()).collect();
    let source = source(dialect, rows.into_iter().map(|model| row(model.into_active_model())).collect())?;
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

/// Rows that a statement takes from its values.
pub(super) struct Source {
    /// `VALUES ...` or `SELECT ...`.
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

/// Rows of equal width and types as the source of a statement. `PostgreSQL` gets an array for each column, so that the
/// statement is the same however many rows there are, and is planned once. An array is sent as text: the driver's own
/// arrays know no NULL.
pub(super) fn source(dialect: Dialect, rows: Vec<Vec<Value>>) -> Result<Source, DbErr> {
    let width = rows.first().map_or(0, Vec::len);
    match dialect {
        Dialect::Sqlite => {
            let sql = format!("VALUES {}", places(rows.len(), width));
            Ok(Source { sql, values: rows.into_iter().flatten().collect() })
        }
        Dialect::Postgres => {
            let (mut arrays, mut values) = (Vec::with_capacity(width), Vec::with_capacity(width));
            for column in 0..width {
                let array = Array::of(rows.iter().filter_map(|row| row.get(column)))?;
                arrays.push(format!("${}::text::{}[]", column + 1, array.of));
                values.push(array.text.into());
            }
            Ok(Source { sql: format!("SELECT * FROM UNNEST({})", arrays.join(", ")), values })
        }
    }
}

/// That a column has one of these values, as a condition of a statement that has no other values.
pub(super) fn is_one_of(dialect: Dialect, column: &str, wanted: Vec<Value>) -> Result<Source, DbErr> {
    Ok(match dialect {
        Dialect::Sqlite => Source { sql: format!("{column} IN {}", places(1, wanted.len())), values: wanted },
        Dialect::Postgres => {
            let array = Array::of(wanted.iter())?;
            Source { sql: format!("{column} = ANY($1::text::{}[])", array.of), values: vec![array.text.into()] }
        }
    })
}

/// An array as `PostgreSQL` writes it: `{1,NULL,3}`.
struct Array {
    /// The type of its elements.
    of: &'static str,
    text: String,
}

impl Array {
    fn of<'v>(values: impl Iterator<Item = &'v Value>) -> Result<Self, DbErr> {
        let (mut of, mut text) = ("text", String::from("{"));
        for value in values {
            if text.len() > 1 {
                text.push(',');
            }
            of = match value {
                Value::BigInt(number) => push(&mut text, "bigint", number.map(|number| number.to_string())),
                Value::Bool(flag) => push(&mut text, "boolean", flag.map(|flag| flag.to_string())),
                Value::Uuid(id) => push(&mut text, "uuid", id.map(|id| id.to_string())),
                Value::Bytes(bytes) => push(&mut text, "bytea", bytes.as_deref().map(in_hex)),
                Value::String(word) => push(&mut text, "text", word.as_deref().map(quoted)),
                other => return Err(DbErr::Type(format!("there is no array of {other:?}"))),
            };
        }
        text.push('}');
        Ok(Self { of, text })
    }
}

fn push(text: &mut String, of: &'static str, element: Option<String>) -> &'static str {
    text.push_str(element.as_deref().unwrap_or("NULL"));
    of
}

fn in_hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut hex = String::with_capacity(2 * bytes.len() + 5);
    hex.push_str("\"\\\\x");
    for byte in bytes {
        hex.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    hex.push('"');
    hex
}

fn quoted(word: &str) -> String {
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('"');
    for character in word.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
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
        assert!(sqlite.sql.starts_with("VALUES ($1, $2, $3, $4, $5), ($6, "), "{}", sqlite.sql);
        assert_eq!(sqlite.values, rows().concat());

        let postgres = source(Dialect::Postgres, rows()).unwrap();
        let types = "$1::text::uuid[], $2::text::text[], $3::text::bigint[], $4::text::boolean[], $5::text::bytea[]";
        assert_eq!(postgres.sql, format!("SELECT * FROM UNNEST({types})"));
        let id = "00000000-0000-0000-0000-000000000007";
        let arrays = [
            format!("{{{id},{id},{id}}}"),
            r#"{"a\"b\\c, {}",NULL,"NULL"}"#.to_owned(),
            format!("{{-1,NULL,{}}}", i64::MAX),
            "{true,NULL,false}".to_owned(),
            r#"{"\\x00ff",NULL,"\\x"}"#.to_owned(),
        ];
        assert_eq!(postgres.values, arrays.map(Value::from));
        assert!(source(Dialect::Postgres, vec![vec![Value::from(0.5)]]).is_err());
    }

    #[test]
    fn an_update_takes_its_rows_from_where_it_is_told() {
        let sql = update_statement(&Revised { table: "t", columns: &["a"] }, "SOURCE");
        assert!(sql.contains("fresh (id, seen, a) AS (SOURCE)") && sql.contains("SET a = fresh.a, revision"));
    }
}
