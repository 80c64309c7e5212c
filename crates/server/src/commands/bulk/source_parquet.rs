//! Releases from Parquet, as the CSV they would be: the same checks read them, and a row has a number for a line.

use super::{columns, failure::BulkError, records::Block, reject::write_field};
use domain::{day::Day, timestamp::Timestamp};
use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical},
    column::reader::ColumnReader,
    data_type::ByteArray,
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    schema::types::ColumnDescriptor,
};
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

/// A row of CSV is about so long: how many rows make a block.
const ROW_BYTES: usize = 64;

/// A file of Parquet.
pub(super) struct ParquetSource {
    file: SerializedFileReader<File>,
    path: PathBuf,
    header: Vec<String>,
    kinds: Vec<Kind>,
    group: usize,
    columns: Vec<Column>,
    /// Rows of this row group that were not read yet.
    left: usize,
    row: u64,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// A day of the calendar.
    Date,
    /// An instant: so many of its units are a second.
    Instant(i64),
    /// Nothing of ours: it is passed over.
    Other,
}

/// A column of the row group that is being read.
struct Column {
    reader: Option<ColumnReader>,
    /// Which of the rows have a value; empty, if every row must have one.
    levels: Vec<i16>,
    is_optional: bool,
    texts: Vec<ByteArray>,
    numbers: Vec<i64>,
    small: Vec<i32>,
    at: usize,
}

impl ParquetSource {
    pub(super) fn new(file: File, path: &Path) -> Result<Self, BulkError> {
        let bad = |error: ParquetError| BulkError::BadInput(format!("{}: {error}", path.display()));
        let file = SerializedFileReader::new(file).map_err(bad)?;
        let schema = file.metadata().file_metadata().schema_descr();
        let header: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let kinds = schema.columns().iter().map(|column| kind(column)).collect::<Result<_, _>>();
        let kinds = kinds.map_err(|text| BulkError::BadInput(format!("{}: {text}", path.display())))?;
        let path = path.to_owned();
        Ok(Self { file, path, header, kinds, group: 0, columns: Vec::new(), left: 0, row: 1 })
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    pub(super) fn next(&mut self, block: &mut Block, bytes: usize) -> Result<bool, BulkError> {
        let rows = (bytes / ROW_BYTES).max(1);
        self.read(block, rows).map_err(|error| BulkError::BadInput(format!("{}: {error}", self.path.display())))
    }

    fn read(&mut self, block: &mut Block, rows: usize) -> Result<bool, ParquetError> {
        block.bytes.clear();
        block.line = self.row;
        block.counts_rows = true;
        while self.left == 0 {
            if self.group == self.file.num_row_groups() {
                return Ok(false);
            }
            self.open_group()?;
        }
        let rows = rows.min(self.left);
        for column in &mut self.columns {
            column.read(rows)?;
        }
        for _ in 0..rows {
            for (place, (column, kind)) in self.columns.iter_mut().zip(&self.kinds).enumerate() {
                if place > 0 {
                    block.bytes.push(b',');
                }
                column.write(*kind, &mut block.bytes);
            }
            block.bytes.push(b'\n');
        }
        self.left -= rows;
        self.row += rows as u64;
        block.weight = rows as u64;
        Ok(true)
    }

    fn open_group(&mut self) -> Result<(), ParquetError> {
        let group = self.file.get_row_group(self.group)?;
        let schema = self.file.metadata().file_metadata().schema_descr();
        let open = |place: usize| {
            let reader = if self.kinds[place] == Kind::Other { None } else { Some(group.get_column_reader(place)?) };
            let is_optional = schema.column(place).max_def_level() > 0;
            let (levels, texts, numbers, small) = Default::default();
            Ok(Column { reader, levels, is_optional, texts, numbers, small, at: 0 })
        };
        self.columns = (0..self.kinds.len()).map(open).collect::<Result<_, ParquetError>>()?;
        self.left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        self.group += 1;
        Ok(())
    }
}

impl Column {
    /// Takes in so many rows.
    fn read(&mut self, rows: usize) -> Result<(), ParquetError> {
        self.levels.clear();
        self.texts.clear();
        self.numbers.clear();
        self.small.clear();
        self.at = 0;
        let mut read = 0;
        while read < rows {
            let levels = self.is_optional.then_some(&mut self.levels);
            let wanted = rows - read;
            let (got, _, _) = match &mut self.reader {
                Some(ColumnReader::ByteArrayColumnReader(from)) => {
                    from.read_records(wanted, levels, None, &mut self.texts)?
                }
                Some(ColumnReader::Int64ColumnReader(from)) => {
                    from.read_records(wanted, levels, None, &mut self.numbers)?
                }
                Some(ColumnReader::Int32ColumnReader(from)) => {
                    from.read_records(wanted, levels, None, &mut self.small)?
                }
                _ => return Ok(()),
            };
            if got == 0 {
                return Err(ParquetError::General("a column ends before its row group does".to_owned()));
            }
            read += got;
        }
        if !self.small.is_empty() {
            self.numbers.extend(self.small.iter().copied().map(i64::from));
        }
        self.levels.reverse();
        Ok(())
    }

    /// Writes the value of the next row; nothing, if there is none.
    fn write(&mut self, kind: Kind, to: &mut Vec<u8>) {
        if self.is_optional && self.levels.pop() == Some(0) {
            return;
        }
        let at = self.at;
        self.at += 1;
        match (kind, self.texts.get(at), self.numbers.get(at)) {
            (Kind::Text, Some(text), _) => write_field(text.data(), to),
            (Kind::Number, _, Some(number)) => to.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            (Kind::Date, _, Some(days)) => {
                let midnight = Timestamp::from_unix_micros(days.saturating_mul(86_400_000_000));
                let _ = write!(to, "{}", Day::of(midnight));
            }
            (Kind::Instant(per_second), _, Some(units)) => {
                let micros = match per_second {
                    1_000_000_000 => units.div_euclid(1_000),
                    per_second => units.saturating_mul(1_000_000 / per_second),
                };
                let _ = write!(to, "{}", Timestamp::from_unix_micros(micros));
            }
            (Kind::Text | Kind::Number | Kind::Date | Kind::Instant(_) | Kind::Other, _, _) => {}
        }
    }
}

/// What the column holds, or why that cannot be used. A float is no amount.
fn kind(column: &ColumnDescriptor) -> Result<Kind, String> {
    let name = column.path().string();
    if !columns::known().any(|known| known == name) {
        return Ok(Kind::Other);
    }
    let (physical, logical) = (column.physical_type(), column.logical_type_ref());
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::MILLIS => 1_000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    };
    let kind = match (physical, logical, column.converted_type()) {
        (Physical::INT32, Some(LogicalType::Date), _) | (Physical::INT32, None, ConvertedType::DATE) => {
            Some(Kind::Date)
        }
        (Physical::INT64, Some(LogicalType::Timestamp(about)), _) => Some(Kind::Instant(unit(&about.unit))),
        (Physical::INT64, None, ConvertedType::TIMESTAMP_MILLIS) => Some(Kind::Instant(1_000)),
        (Physical::INT64, None, ConvertedType::TIMESTAMP_MICROS) => Some(Kind::Instant(1_000_000)),
        (Physical::INT32 | Physical::INT64, Some(LogicalType::Integer(_)), _) => Some(Kind::Number),
        (Physical::INT32 | Physical::INT64, None, ConvertedType::DECIMAL) => None,
        (Physical::INT32 | Physical::INT64, None, _) => Some(Kind::Number),
        (Physical::BYTE_ARRAY, Some(LogicalType::Decimal(_)), _) => None,
        (Physical::BYTE_ARRAY, _, _) => Some(Kind::Text),
        _ => None,
    };
    let is_time = matches!(kind, Some(Kind::Date | Kind::Instant(_)));
    match kind {
        Some(kind) if column.max_rep_level() == 0 && column.max_def_level() <= 1 && (!is_time || name == "asOf") => {
            Ok(kind)
        }
        _ => Err(format!(
            "column `{name}` is {physical}{}; texts and integers can be read, and dates and timestamps for `asOf`",
            logical.map(|logical| format!(" ({logical:?})")).unwrap_or_default()
        )),
    }
}
