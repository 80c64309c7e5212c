//! Where releases come from: CSV as it is, Parquet as the CSV it would be. Either way block by block.

use super::{
    failure::BulkError,
    lines::Format,
    records::{Block, Record, Records, end_of_last},
    source_parquet::ParquetSource,
};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// A record longer than this is none: a quote was not closed.
const RECORD_MAX: usize = 1024 * 1024;

/// Blocks of releases, one after the other.
pub(super) enum Source {
    Csv(CsvSource),
    Parquet(Box<ParquetSource>),
}

impl Source {
    /// Opens a file, or standard input (`-`, CSV), and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self, BulkError> {
        let format = Format::of(path).ok_or_else(|| {
            BulkError::Usage(format!("{}: the name must end in .csv or .parquet, or be - for CSV", path.display()))
        })?;
        if path.as_os_str() == "-" {
            return Ok(Self::Csv(CsvSource::new(Box::new(io::stdin()), None, path)?));
        }
        let failed = |error| BulkError::read(path, error);
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.is_dir() {
            return Err(BulkError::Usage(format!("{} is a folder", path.display())));
        }
        match format {
            Format::Csv => {
                let size = about.is_file().then_some(about.len());
                Ok(Self::Csv(CsvSource::new(Box::new(file), size, path)?))
            }
            Format::Parquet => Ok(Self::Parquet(Box::new(ParquetSource::new(file, path)?))),
        }
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &[String] {
        match self {
            Self::Csv(source) => &source.header,
            Self::Parquet(source) => source.header(),
        }
    }

    /// How much there is, measured as the weight of blocks is, if that is known.
    pub(super) fn total(&self) -> Option<u64> {
        match self {
            Self::Csv(source) => source.size,
            Self::Parquet(source) => Some(source.rows()),
        }
    }

    /// Reads the next block of about so many bytes; answers whether there was one.
    pub(super) fn next(&mut self, block: &mut Block, bytes: usize) -> Result<bool, BulkError> {
        match self {
            Self::Csv(source) => source.next(block, bytes),
            Self::Parquet(source) => source.next(block, bytes),
        }
    }
}

/// A stream of CSV.
pub(super) struct CsvSource {
    from: Box<dyn Read + Send>,
    path: PathBuf,
    size: Option<u64>,
    header: Vec<String>,
    /// What was read and is not whole yet.
    rest: Vec<u8>,
    line: u64,
    /// How many bytes were taken in so far.
    read: u64,
    is_at_end: bool,
}

impl CsvSource {
    fn new(from: Box<dyn Read + Send>, size: Option<u64>, path: &Path) -> Result<Self, BulkError> {
        let (path, header) = (path.to_owned(), Vec::new());
        let mut source = Self { from, path, size, header, rest: Vec::new(), line: 1, read: 0, is_at_end: false };
        let mut block = Block::default();
        if !source.next(&mut block, 1)? {
            return Err(BulkError::BadInput(format!("{} is empty: a header is needed", source.path.display())));
        }
        if block.bytes.starts_with(b"\xef\xbb\xbf") {
            block.bytes.drain(..3);
        }
        source.take_header(&block);
        // What is left is what there is to do.
        let left = source.rest.len() as u64;
        source.size = source.size.map(|size| size.saturating_sub(source.read).saturating_add(left));
        Ok(source)
    }

    /// The first record is the header; the others go back to where they came from.
    fn take_header(&mut self, block: &Block) {
        let (mut records, mut record) = (Records::of(block), Record::of(block));
        records.read(&mut record);
        let names = (0..record.len()).map(|place| String::from_utf8_lossy(record.field(place)).trim().to_owned());
        self.header = names.collect();
        let (at, line) = records.position();
        self.line = line;
        let later = std::mem::take(&mut self.rest);
        self.rest = [&block.bytes[at..], &later].concat();
    }

    fn next(&mut self, block: &mut Block, bytes: usize) -> Result<bool, BulkError> {
        block.bytes.clear();
        block.bytes.append(&mut self.rest);
        block.line = self.line;
        block.counts_rows = false;
        let mut wanted = bytes;
        let end = loop {
            self.fill(&mut block.bytes, wanted)?;
            if self.is_at_end {
                break block.bytes.len();
            }
            if let Some(end) = end_of_last(&block.bytes) {
                break end;
            }
            if block.bytes.len() > bytes + RECORD_MAX {
                let name = self.path.display();
                let text = format!(
                    "{name}: line {}: a record of more than {RECORD_MAX} bytes; is a quote not closed?",
                    self.line
                );
                return Err(BulkError::BadInput(text));
            }
            wanted = block.bytes.len() * 2;
        };
        self.rest.extend_from_slice(&block.bytes[end..]);
        block.bytes.truncate(end);
        block.weight = end as u64;
        self.line += memchr::memchr_iter(b'\n', &block.bytes).count() as u64;
        Ok(!block.bytes.is_empty())
    }

    /// Reads until there are so many bytes.
    fn fill(&mut self, bytes: &mut Vec<u8>, wanted: usize) -> Result<(), BulkError> {
        let missing = wanted.saturating_sub(bytes.len()) as u64;
        if missing > 0 && !self.is_at_end {
            let read = self.from.by_ref().take(missing).read_to_end(bytes);
            let read = read.map_err(|error| BulkError::read(&self.path, error))?;
            self.read += read as u64;
            self.is_at_end = (read as u64) < missing;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of each block, with the number of its first line.
    type Blocks = Vec<(u64, String)>;

    fn blocks(text: &str, bytes: usize) -> Result<(Vec<String>, Blocks), String> {
        let from = Box::new(io::Cursor::new(text.to_owned().into_bytes()));
        let mut source = CsvSource::new(from, None, Path::new("x.csv")).map_err(|error| error.to_string())?;
        let (mut block, mut all) = (Block::default(), Vec::new());
        while source.next(&mut block, bytes).map_err(|error| error.to_string())? {
            all.push((block.line, String::from_utf8(block.bytes.clone()).unwrap()));
        }
        Ok((source.header, all))
    }

    #[test]
    fn blocks_are_whole_records_with_their_lines() {
        let (header, all) = blocks("\u{feff}a, b\r\n1,2\n\"3\n3\",4\n5,6", 5).unwrap();
        assert_eq!(header, ["a", "b"]);
        let expected = [(2, "1,2\n"), (3, "\"3\n3\",4\n"), (5, "5,6")];
        assert_eq!(all, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn however_it_is_cut_nothing_is_lost() {
        let rows: String =
            (0..200).map(|row| format!("{row},{}\n", if row % 7 == 0 { "\"x\ny\"" } else { "z" })).collect();
        for bytes in [1, 2, 3, 7, 64, 1000, 100_000] {
            let (_, all) = blocks(&format!("a,b\n{rows}"), bytes).unwrap();
            let mut line = 2;
            for (first, text) in &all {
                assert_eq!(*first, line);
                line += text.matches('\n').count() as u64;
            }
            assert_eq!(all.into_iter().map(|(_, text)| text).collect::<String>(), rows, "{bytes}");
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_is_told() {
        assert!(blocks("", 5).unwrap_err().contains("a header is needed"));
        let error = blocks(&format!("a\nb\n\"{}", "c\n".repeat(RECORD_MAX)), 5).unwrap_err();
        assert!(error.contains("line 3: a record of more than"), "{error}");
    }
}
