//! The rows that were not taken: which line, which column, and why.

use super::{failure::BulkError, output::Output, release::RowFault};
use std::{
    io::{self, Write},
    path::Path,
};

const HEADER: &str = "line,column,code,message,escrowId";
/// How many are shown where no file is kept of them.
const SHOWN: u64 = 10;

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// The line it begins in; the number of the row, in a file without lines.
    pub(super) line: u64,
    /// Its escrow, if that could be read.
    pub(super) escrow: String,
    /// Everything that is wrong with it.
    pub(super) faults: Vec<RowFault>,
}

/// Where they are told.
pub(super) struct Rejects {
    file: Option<Output>,
    /// How many rows there were.
    pub(super) count: u64,
    text: Vec<u8>,
}

impl Rejects {
    /// A file, or the first few on standard error.
    pub(super) fn new(path: Option<&Path>) -> Result<Self, BulkError> {
        let Some(path) = path else { return Ok(Self { file: None, count: 0, text: Vec::new() }) };
        if path.as_os_str() == "-" {
            return Err(BulkError::Usage("--reject needs a file".to_owned()));
        }
        let mut file = Output::create(path)?;
        writeln!(file, "{HEADER}").map_err(|error| BulkError::write(path, error))?;
        Ok(Self { file: Some(file), count: 0, text: Vec::new() })
    }

    /// Tells of some, in the order of their lines.
    pub(super) fn tell(&mut self, rejected: &[Rejected]) -> io::Result<()> {
        self.text.clear();
        for row in rejected {
            self.count += 1;
            for fault in &row.faults {
                if self.file.is_some() {
                    self.line(row, fault);
                } else if self.count <= SHOWN {
                    let column = if fault.column.is_empty() { String::new() } else { format!(", {}", fault.column) };
                    eprintln!("line {}{column}: {} ({})", row.line, fault.message, fault.code);
                }
            }
            if self.file.is_none() && self.count == SHOWN {
                eprintln!("... those were the first {SHOWN}; --reject FILE keeps all");
            }
        }
        match &mut self.file {
            Some(file) => file.write_all(&self.text),
            None => Ok(()),
        }
    }

    fn line(&mut self, row: &Rejected, fault: &RowFault) {
        let line = row.line.to_string();
        let fields = [&*line, &*fault.column, &*fault.code, &*fault.message, &*row.escrow];
        for (place, field) in fields.into_iter().enumerate() {
            if place > 0 {
                self.text.push(b',');
            }
            write_field(field.as_bytes(), &mut self.text);
        }
        self.text.push(b'\n');
    }

    /// The file is whole, also if it is empty: an old one must not be taken for this one.
    pub(super) fn keep(self) -> io::Result<()> {
        self.file.map_or(Ok(()), Output::keep)
    }
}

/// A field of a CSV file, in quotes if it needs them.
pub(super) fn write_field(field: &[u8], to: &mut Vec<u8>) {
    if !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        to.extend_from_slice(field);
        return;
    }
    to.push(b'"');
    for byte in field {
        if *byte == b'"' {
            to.push(b'"');
        }
        to.push(*byte);
    }
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reject_says_where_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.csv");
        let mut rejects = Rejects::new(Some(&path)).unwrap();
        let faults = vec![
            RowFault::new("amount", "amount_not_integer", "no, this is \"it\""),
            RowFault::new("", "column_count", "short"),
        ];
        rejects.tell(&[Rejected { line: 7, escrow: "esc_1".to_owned(), faults }]).unwrap();
        assert_eq!(rejects.count, 1);
        rejects.keep().unwrap();
        let expected = "line,column,code,message,escrowId\n\
                        7,amount,amount_not_integer,\"no, this is \"\"it\"\"\",esc_1\n\
                        7,,column_count,short,esc_1\n";
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
    }
}
