//! CSV records (RFC 4180) within a block of bytes.
//!
//! A line without a quote is cut at its commas, which is most of the work of most files; the rest is left to
//! `csv-core`. A record ends at a line feed; a carriage return before it is no part of it. Empty lines are passed over.

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};
use memchr::{memchr, memchr_iter, memrchr};

/// Whole records, and which line of the file the first one stands in.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The text.
    pub(super) bytes: Vec<u8>,
    /// Number of the first line, from 1; of the first row in a file that has no lines.
    pub(super) line: u64,
    /// Whether records are counted in place of line feeds.
    pub(super) counts_rows: bool,
    /// How much of the input this was, in whatever the input is measured in.
    pub(super) weight: u64,
}

/// Goes through the records of a block.
pub(super) struct Records<'b> {
    bytes: &'b [u8],
    at: usize,
    line: u64,
    counts_rows: bool,
    has_quotes: bool,
}

/// One record; used again for the next.
pub(super) struct Record<'b> {
    /// The line it begins in.
    pub(super) line: u64,
    bytes: &'b [u8],
    fields: Vec<(usize, usize)>,
    /// Where fields stand from which quotes were taken.
    unquoted: Vec<u8>,
    is_unquoted: bool,
}

impl<'b> Record<'b> {
    /// Of that block.
    pub(super) fn of(block: &'b Block) -> Self {
        Self { line: 0, bytes: &block.bytes, fields: Vec::new(), unquoted: Vec::new(), is_unquoted: false }
    }
    /// How many fields it has.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }
    /// A field by its place; nothing, if there is none.
    pub(super) fn field(&self, place: usize) -> &[u8] {
        let bytes = if self.is_unquoted { &self.unquoted } else { self.bytes };
        self.fields.get(place).and_then(|(from, to)| bytes.get(*from..*to)).unwrap_or_default()
    }
    fn is_empty(&self) -> bool {
        matches!(self.fields[..], [(from, to)] if from == to)
    }
}

impl<'b> Records<'b> {
    /// Of that block.
    pub(super) fn of(block: &'b Block) -> Self {
        let bytes = &block.bytes[..];
        let has_quotes = memchr(b'"', bytes).is_some();
        Self { bytes, at: 0, line: block.line, counts_rows: block.counts_rows, has_quotes }
    }

    /// Reads the next record; answers whether there was one.
    pub(super) fn read(&mut self, record: &mut Record<'b>) -> bool {
        while self.at < self.bytes.len() {
            record.line = self.line;
            self.one(record);
            if !record.is_empty() {
                return true;
            }
        }
        false
    }

    /// How far it has read: the byte of the block, and the line of the file.
    pub(super) fn position(&self) -> (usize, u64) {
        (self.at.min(self.bytes.len()), self.line)
    }

    fn one(&mut self, record: &mut Record<'b>) {
        let rest = &self.bytes[self.at..];
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        let (taken, lines) = if self.has_quotes && memchr(b'"', line).is_some() {
            let taken = quoted(rest, record).unwrap_or(rest.len());
            (taken, memchr_iter(b'\n', &rest[..taken]).count())
        } else {
            record.is_unquoted = false;
            record.fields.clear();
            let mut from = self.at;
            for comma in memchr_iter(b',', line) {
                record.fields.push((from, self.at + comma));
                from = self.at + comma + 1;
            }
            let end = self.at + line.strip_suffix(b"\r").unwrap_or(line).len();
            record.fields.push((from, end.max(from)));
            (line.len() + 1, 1)
        };
        self.at += taken;
        self.line += if self.counts_rows { 1 } else { lines as u64 };
    }
}

/// Reads a record that has quotes. Answers how many bytes it is long, unless its end is not there.
fn quoted(bytes: &[u8], record: &mut Record<'_>) -> Option<usize> {
    let mut reader = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
    let (mut read, mut written, mut ended) = (0, 0, 0);
    let Record { fields, unquoted, is_unquoted, .. } = record;
    *is_unquoted = true;
    fields.clear();
    let mut ends = vec![0; 64];
    unquoted.resize(unquoted.len().max(1024), 0);
    let is_whole = loop {
        let is_fed = read < bytes.len();
        let (result, taken, put, fields) =
            reader.read_record(&bytes[read..], &mut unquoted[written..], &mut ends[ended..]);
        read += taken;
        written += put;
        ended += fields;
        match result {
            ReadRecordResult::OutputFull => unquoted.resize(unquoted.len() * 2, 0),
            ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
            // Called once more with nothing to read, it takes that for the end of the file.
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::Record => break is_fed,
            ReadRecordResult::End => break false,
        }
    };
    let mut from = 0;
    for end in &ends[..ended] {
        fields.push((from, *end));
        from = *end;
    }
    if let Some((from, to)) = fields.last_mut() {
        *to = *from + unquoted[*from..*to].strip_suffix(b"\r").map_or(*to - *from, <[u8]>::len);
    }
    is_whole.then_some(read)
}

/// Where the last whole record of `bytes` ends, if there is one.
pub(super) fn end_of_last(bytes: &[u8]) -> Option<usize> {
    if memchr(b'"', bytes).is_none() {
        return memrchr(b'\n', bytes).map(|at| at + 1);
    }
    let block = Block::default();
    let mut record = Record::of(&block);
    let (mut at, mut last) = (0, None);
    while let Some(end) = memchr(b'\n', &bytes[at..]) {
        let has_quotes = memchr(b'"', &bytes[at..at + end]).is_some();
        match if has_quotes { quoted(&bytes[at..], &mut record) } else { Some(end + 1) } {
            Some(taken) => at += taken,
            None => break,
        }
        last = Some(at);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Block {
        Block { bytes: text.into(), line: 1, counts_rows: false, weight: 0 }
    }
    fn read(block: &Block) -> Vec<(u64, Vec<String>)> {
        let (mut records, mut record, mut all) = (Records::of(block), Record::of(block), Vec::new());
        while records.read(&mut record) {
            let fields = (0..record.len()).map(|at| String::from_utf8_lossy(record.field(at)).into_owned());
            all.push((record.line, fields.collect()));
        }
        all
    }
    fn check(text: &str, expected: &[(u64, &[&str])]) {
        let expected: Vec<(u64, Vec<String>)> = expected
            .iter()
            .map(|(line, fields)| (*line, fields.iter().map(|field| (*field).to_owned()).collect()))
            .collect();
        assert_eq!(read(&block(text)), expected, "{text:?}");
        // The same with a quote somewhere, so that the careful way is gone as well.
        let mut more = expected;
        more.push((1 + text.matches('\n').count() as u64, vec!["q".to_owned()]));
        let last = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        if last.is_empty() {
            assert_eq!(read(&block(&format!("{text}\"q\"\n"))), more, "{text:?}");
        }
    }

    #[test]
    fn records_are_lines_cut_at_commas() {
        check("", &[]);
        check("a,b\nc,d\n", &[(1, &["a", "b"]), (2, &["c", "d"])]);
        check("a,b\r\nc,\r\n", &[(1, &["a", "b"]), (2, &["c", ""])]);
        check(",\n", &[(1, &["", ""])]);
        check("a\n\n\r\nb\n", &[(1, &["a"]), (4, &["b"])]);
        check("a,b", &[(1, &["a", "b"])]);
        check(" a , b \n", &[(1, &[" a ", " b "])]);
    }

    #[test]
    fn quotes_keep_commas_quotes_and_lines() {
        check("\"a,b\",c\n", &[(1, &["a,b", "c"])]);
        check("\"a\"\"b\",\"\"\r\nc,d\n", &[(1, &["a\"b", ""]), (2, &["c", "d"])]);
        check("\"a\nb\",c\nd,e\n", &[(1, &["a\nb", "c"]), (3, &["d", "e"])]);
        check("x,\"y\"", &[(1, &["x", "y"])]);
        let long = "z".repeat(5000);
        check(&format!("\"{long}\",{}\n", ",".repeat(99)), &[(1, &[&[long.as_str()][..], &[""; 100]].concat())]);
    }

    #[test]
    fn a_block_ends_where_a_record_ends() {
        for (text, end) in [
            ("", None),
            ("a,b", None),
            ("a\nb", Some(2)),
            ("a\nb\n", Some(4)),
            ("\"a\nb", None),
            ("x\n\"a\nb", Some(2)),
            ("x\n\"a\nb\"", Some(2)),
            ("x\n\"a\nb\"\ny", Some(8)),
            ("x\n\"a\"\"\nb\"\n", Some(10)),
        ] {
            assert_eq!(end_of_last(text.as_bytes()), end, "{text:?}");
        }
    }

    #[test]
    fn rows_are_counted_where_there_are_no_lines() {
        let block = Block { counts_rows: true, ..block("\"a\nb\"\nc\n") };
        let lines: Vec<u64> = read(&block).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 2]);
    }
}
