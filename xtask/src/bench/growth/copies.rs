//! Statements that write as many releases as one likes, each like the template, with ids and instants of its own.
//!
//! The n-th is older than the next by [`STEP_MS`]. An id of ours begins with a time in milliseconds: that is replaced,
//! and what follows stays, so that rows find each other and ids grow with time. The same in texts that name an id.

use super::template::{self, Field, Rows, Template};
use crate::bench::ids::{self, DIGITS};

/// Between two releases.
const STEP_MS: u64 = 100;
/// What is this near to the template in time was made with it. Milliseconds.
const NEAR_MS: u128 = 60 * 60 * 1_000;
/// Instants are microseconds: no amount of the template is as large.
const INSTANT_LEAST: i64 = 1_000_000_000_000_000;

/// All of an id but the time.
const TAIL: u128 = (1 << 80) - 1;

/// How a database spells what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// Writes copies of a template.
pub struct Copies<'a> {
    template: &'a Template,
    dialect: Dialect,
    /// How many there are to be at the end: the last one is the youngest, and older than the template.
    total: u64,
}

impl<'a> Copies<'a> {
    /// So many in all.
    pub fn new(template: &'a Template, dialect: Dialect, total: u64) -> Self {
        Self { template, dialect, total }
    }

    /// Statements that write those from `first` to `last`, for one session.
    pub fn statements(&self, first: u64, last: u64) -> Vec<String> {
        let mut statements = self.prepare(first, last);
        statements.extend(self.template.tables.iter().map(|rows| self.insert(rows)));
        statements.push("DROP TABLE g".to_owned());
        statements
    }

    /// The id of the n-th batch, from 1.
    pub fn batch(&self, number: u64) -> u128 {
        let time = (self.template.batch >> 80) - u128::from((self.total + 1 - number) * STEP_MS);
        time << 80 | self.template.batch & TAIL
    }

    /// As if they had come one after the other: sorted, as ids grow.
    fn insert(&self, rows: &Rows) -> String {
        let select = |row: &Vec<Field>| {
            let fields = row.iter().zip(&rows.columns).map(|(field, column)| self.field(field, &column.kind));
            format!("SELECT {} FROM g", fields.collect::<Vec<_>>().join(", "))
        };
        let selects: Vec<String> = rows.rows.iter().map(select).collect();
        // Some columns are words of SQL.
        let columns: Vec<String> = rows.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        format!("INSERT INTO {} ({}) {} ORDER BY 1, 2", rows.table, columns.join(", "), selects.join(" UNION ALL "))
    }

    /// A table with a row for each copy: how much older it is (`us`), and what its ids begin with, as bytes or digits of
    /// base 16 (`head`) and as digits of base 32 in both cases (`low`, `up`); and its escrow, in no order.
    fn prepare(&self, first: u64, last: u64) -> Vec<String> {
        let (newest, next) = (self.template.batch >> 80, self.total + 1);
        // An odd factor: no two of 2^32 are alike.
        let scattered = "(n * 2654435761) & 4294967295";
        let low: Vec<String> = (0..10).rev().map(|place| self.digit(place)).collect();
        let low = low.join(" || ");
        let times = format!("SELECT n, {newest} + (n - {next}) * {STEP_MS} AS ts FROM c");
        let copies = |series: &str, head: &str, scattered: &str| {
            format!(
                "CREATE TEMP TABLE g AS WITH {series}, s AS ({times}), \
                 d AS (SELECT n, {head} AS head, {low} AS low, {scattered} AS scattered FROM s) \
                 SELECT (n - {next}) * {STEP_MS}000 AS us, head, low, upper(low) AS up, \
                 'esc_' || scattered || 'n' || n AS escrow FROM d"
            )
        };
        match self.dialect {
            Dialect::Postgres => {
                let series = format!("c AS (SELECT generate_series({first}::bigint, {last}) AS n)");
                let hex = |number: &str, digits: u8| format!("lpad(to_hex({number}), {digits}, '0')");
                vec![copies(&series, &hex("ts", 12), &hex(scattered, 8))]
            }
            Dialect::Sqlite => {
                // It has no function that makes bytes of digits.
                let bytes: Vec<String> = (0..=255).map(|byte: u8| format!("({byte}, x'{byte:02x}')")).collect();
                let byte = |place| format!("(SELECT b FROM made_bytes WHERE i = (ts >> {}) & 255)", place * 8);
                let head: Vec<String> = (0..6).rev().map(byte).collect();
                let series =
                    format!("RECURSIVE c(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM c WHERE n < {last})");
                vec![
                    "CREATE TEMP TABLE made_bytes (i INTEGER PRIMARY KEY, b BLOB)".to_owned(),
                    format!("INSERT INTO made_bytes VALUES {}", bytes.join(", ")),
                    copies(&series, &head.join(" || "), &format!("printf('%08x', {scattered})")),
                ]
            }
        }
    }

    /// A digit of base 32 of the time, which is the upper 48 bits.
    fn digit(&self, place: u8) -> String {
        let place = place * 5;
        match self.dialect {
            Dialect::Postgres => format!("substr('{DIGITS}', ((ts >> {place}) & 31)::int + 1, 1)"),
            Dialect::Sqlite => format!("substr('{DIGITS}', ((ts >> {place}) & 31) + 1, 1)"),
        }
    }

    fn field(&self, field: &Field, kind: &str) -> String {
        match field {
            // In a union nothing is a text, unless it is told what it is.
            Field::Null if self.dialect == Dialect::Postgres => format!("NULL::{kind}"),
            Field::Null => "NULL".to_owned(),
            Field::Number(number) if number.parse().is_ok_and(|number: i64| number >= INSTANT_LEAST) => {
                format!("{number} + us")
            }
            Field::Number(number) => number.clone(),
            Field::Text(text) => self.text(text),
            Field::Id(id) if self.is_of_the_template(*id) => {
                let tail = format!("{:020x}", id & TAIL);
                match self.dialect {
                    Dialect::Postgres => format!("(head || '{tail}')::uuid"),
                    Dialect::Sqlite => format!("CAST(head || x'{tail}' AS BLOB)"),
                }
            }
            Field::Id(id) => self.bytes(&id.to_be_bytes()),
            Field::Bytes(bytes) => match std::str::from_utf8(bytes) {
                // A body, which names ids as texts do.
                Ok(text) if !self.parts(text).is_empty() => match self.dialect {
                    Dialect::Postgres => format!("convert_to({}, 'UTF8')", self.text(text)),
                    Dialect::Sqlite => format!("CAST({} AS BLOB)", self.text(text)),
                },
                _ => self.bytes(bytes),
            },
        }
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self.dialect {
            Dialect::Postgres => format!("decode('{hex}', 'hex')"),
            Dialect::Sqlite => format!("x'{hex}'"),
        }
    }

    /// A text, with what the copy has instead of the ids and the escrow in it.
    fn text(&self, text: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let (mut terms, mut from) = (Vec::new(), 0);
        for (at, length, name) in self.parts(text) {
            terms.push(quoted(&text[from..at]));
            terms.push(name.to_owned());
            from = at + length;
        }
        terms.push(quoted(&text[from..]));
        terms.join(" || ")
    }

    /// What is replaced in a text: where, how much, and by which column.
    fn parts(&self, text: &str) -> Vec<(usize, usize, &'static str)> {
        let mut parts = Vec::new();
        let mut from = 0;
        let ends = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
        for piece in text.split_inclusive(ends) {
            let word = piece.trim_end_matches(ends);
            let digits_from = word.rfind('_').map_or(0, |at| at + 1);
            let digits = &word[digits_from..];
            if word == template::ESCROW {
                parts.push((from, word.len(), "escrow"));
            } else if ids::digits(digits).is_some_and(|id| self.is_of_the_template(id)) {
                let is_upper = digits.bytes().any(|byte| byte.is_ascii_uppercase());
                parts.push((from + digits_from, 10, if is_upper { "up" } else { "low" }));
            }
            from += piece.len();
        }
        parts
    }

    fn is_of_the_template(&self, id: u128) -> bool {
        (id >> 80).abs_diff(self.template.batch >> 80) < NEAR_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: u128 = 0x01a2_2b49_b641_72c0_8a05_c026_d829_55bf;

    fn check(dialect: Dialect, field: Field, expected: &str) {
        let template = Template { batch: BATCH, tables: Vec::new() };
        assert_eq!(Copies::new(&template, dialect, 10).field(&field, "bigint"), expected);
    }

    #[test]
    fn an_id_keeps_its_end_and_gets_another_time() {
        check(Dialect::Postgres, Field::Id(BATCH), "(head || '72c08a05c026d82955bf')::uuid");
        check(Dialect::Sqlite, Field::Id(BATCH), "CAST(head || x'72c08a05c026d82955bf' AS BLOB)");
        check(Dialect::Sqlite, Field::Id(1), "x'00000000000000000000000000000001'");
    }

    #[test]
    fn instants_move_and_amounts_do_not() {
        check(Dialect::Postgres, Field::Number("1796022580799028".into()), "1796022580799028 + us");
        check(Dialect::Postgres, Field::Number("20000".into()), "20000");
        check(Dialect::Postgres, Field::Number("true".into()), "true");
        check(Dialect::Postgres, Field::Null, "NULL::bigint");
        check(Dialect::Sqlite, Field::Null, "NULL");
    }

    #[test]
    fn a_text_names_the_ids_and_the_escrow_of_its_copy() {
        let json = r#"{"batchId":"batch_01m8nmkdj1eb08m1e04vc2jndz","escrowId":"esc_template","who":"it's"}"#;
        let expected =
            r#"'{"batchId":"batch_' || low || 'eb08m1e04vc2jndz","escrowId":"' || escrow || '","who":"it''s"}'"#;
        check(Dialect::Postgres, Field::Text(json.into()), expected);
        check(Dialect::Postgres, Field::Text("01M8NMKDJDE5AS1151Y4KB7Y5H".into()), "'' || up || 'E5AS1151Y4KB7Y5H'");
        check(Dialect::Sqlite, Field::Text("rec_ana".into()), "'rec_ana'");
        let body = json.replace("it's", "it").into_bytes();
        check(
            Dialect::Sqlite,
            Field::Bytes(body),
            r#"CAST('{"batchId":"batch_' || low || 'eb08m1e04vc2jndz","escrowId":"' || escrow || '","who":"it"}' AS BLOB)"#,
        );
        check(Dialect::Postgres, Field::Bytes(vec![0x80, 1]), "decode('8001', 'hex')");
    }

    #[test]
    fn later_batches_have_larger_ids_and_the_last_comes_before_the_template() {
        let template = Template { batch: BATCH, tables: Vec::new() };
        let copies = Copies::new(&template, Dialect::Postgres, 10);
        assert_eq!((BATCH - copies.batch(10)) >> 80, u128::from(STEP_MS));
        assert_eq!((BATCH - copies.batch(1)) >> 80, u128::from(10 * STEP_MS));
    }
}
