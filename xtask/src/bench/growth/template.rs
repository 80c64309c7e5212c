//! A release that was really booked, or booked and paid, as rows of the tables: what all others are made like.

use crate::bench::ids;
use crate::bench::store::Store;
use crate::failure::{Failure, Result};
use std::collections::BTreeMap;

/// The escrow of the template.
pub const ESCROW: &str = "esc_template";

/// Where rows of a batch are, and which of them are of the batch `{id}`, written `{text}`. Entries come before their
/// headers, as the rule of the ledger wants them.
const TABLES: [(&str, &str); 11] = [
    ("batches", "id = {id}"),
    ("items", "batch_id = {id}"),
    ("batch_lines", "batch_id = {id}"),
    ("batch_inputs", "batch_id = {id}"),
    ("instructions", "batch_id = {id}"),
    ("instruction_items", "item_id IN (SELECT id FROM items WHERE batch_id = {id})"),
    ("ledger_entries", "transaction_id IN (SELECT id FROM ledger_transactions WHERE batch_id = {id})"),
    ("ledger_transactions", "batch_id = {id}"),
    ("jobs", "subject = '{text}'"),
    ("outbox", "batch_id = {id}"),
    // What happens to a batch, and to an item of it, from the booking on.
    ("audit_log", "at >= (SELECT created_at FROM batches WHERE id = {id})"),
];

/// Those of them that are written when a batch is paid.
const OF_PAYING: [&str; 2] = ["instructions", "instruction_items"];

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Nothing.
    Null,
    /// A number or a truth, as the database writes it.
    Number(String),
    /// A text.
    Text(String),
    /// An id of ours.
    Id(u128),
    /// Other bytes.
    Bytes(Vec<u8>),
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the database calls it.
    pub kind: String,
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Which.
    pub table: &'static str,
    /// Its columns.
    pub columns: Vec<Column>,
    /// A field for each column.
    pub rows: Vec<Vec<Field>>,
}

/// All rows of one batch.
pub struct Template {
    /// The batch.
    pub batch: u128,
    /// Its rows, in the order in which they are to be written.
    pub tables: Vec<Rows>,
}

impl Template {
    /// Reads the rows of a batch that `counts` does not count yet: a table that it wrote and that is not known here is a
    /// failure, and so is one that it did not write.
    pub fn read(store: &Store<'_>, batch: &str, is_paid: bool, counts: &BTreeMap<String, u64>) -> Result<Self> {
        let id = ids::decode(batch).ok_or_else(|| Failure::new(format!("`{batch}` is no id")))?;
        let mut tables = Vec::new();
        for (table, which) in TABLES.into_iter().filter(|(table, _)| is_paid || !OF_PAYING.contains(table)) {
            let which = which.replace("{id}", &store.id(id)).replace("{text}", batch);
            tables.push(store.rows(table, &which)?);
        }
        let mut added = store.counts()?;
        for (table, before) in counts {
            added.entry(table.clone()).and_modify(|count| *count -= before);
        }
        for rows in &tables {
            added.entry(rows.table.to_owned()).and_modify(|count| *count -= rows.rows.len() as u64);
        }
        added.retain(|_, count| *count > 0);
        if added.is_empty() {
            return Ok(Self { batch: id, tables });
        }
        Err(Failure::new(format!("a release writes rows that the bench does not know: {added:?}")))
    }
}

/// Reads a line of fields, each with a letter for what it is.
pub fn read_row(line: &str) -> Option<Vec<Field>> {
    line.split('\u{1f}').map(read_field).collect()
}

fn read_field(field: &str) -> Option<Field> {
    let rest = field.get(1..)?;
    Some(match field.chars().next()? {
        'n' => Field::Null,
        'i' => Field::Number(rest.to_owned()),
        't' => Field::Text(rest.to_owned()),
        'u' => Field::Id(u128::from_str_radix(rest, 16).ok()?),
        'b' => Field::Bytes(bytes(rest)?),
        _ => return None,
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_kind_are_read() {
        let row = read_row("n\u{1f}i-5\u{1f}ta|b\u{1f}u0000000000000000000000000000000a\u{1f}b00ff").unwrap();
        let (number, text) = (Field::Number("-5".into()), Field::Text("a|b".into()));
        assert_eq!(row, [Field::Null, number, text, Field::Id(10), Field::Bytes(vec![0, 255])]);
        for bad in ["", "x1", "uzz", "b0", "i1\u{1f}"] {
            assert_eq!(read_row(bad), None, "{bad}");
        }
    }
}
