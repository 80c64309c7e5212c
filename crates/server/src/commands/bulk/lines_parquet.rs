//! Lines as Parquet: a piece is a row group, its columns are encoded before it is its turn to be written.

use super::{
    lines::{COLUMNS, Head, amounts},
    models::Version,
    output::Output,
};
use bytes::Bytes;
use domain::{calculation::Amounts, currency::Currency};
use parquet::{
    basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical},
    column::writer::{ColumnCloseResult, ColumnWriter, get_column_writer},
    data_type::ByteArray,
    errors::ParquetError,
    file::{
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr},
        writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite},
    },
    schema::types::{ColumnPath, SchemaDescPtr, SchemaDescriptor, Type, TypePtr},
};
use std::{io, sync::Arc};

/// Texts, then amounts, then a number, then a text: the order of [`COLUMNS`].
const TEXTS: usize = 4;
const AMOUNTS: usize = 6;

fn schema() -> Result<TypePtr, ParquetError> {
    let column = |(place, name): (usize, &&str)| {
        let (physical, logical) = match place {
            _ if (TEXTS..TEXTS + AMOUNTS).contains(&place) => (Physical::INT64, None),
            _ if place == TEXTS + AMOUNTS => (Physical::INT32, None),
            _ => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
        column.with_logical_type(logical).build().map(Arc::new)
    };
    let columns: Vec<TypePtr> = COLUMNS.iter().enumerate().map(column).collect::<Result<_, _>>()?;
    Ok(Arc::new(Type::group_type_builder("splits").with_fields(columns).build()?))
}

/// Small without work for the reader: names that repeat are a dictionary, an escrow is told by how it differs from the
/// one before, amounts by their differences.
fn properties() -> WriterPropertiesPtr {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("disburse ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::UNCOMPRESSED)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    let escrow = ColumnPath::from(COLUMNS[0]);
    properties = properties
        .set_column_dictionary_enabled(escrow.clone(), false)
        .set_column_encoding(escrow, Encoding::DELTA_BYTE_ARRAY);
    for name in &COLUMNS[TEXTS..TEXTS + AMOUNTS] {
        let amount = ColumnPath::from(*name);
        properties = properties
            .set_column_dictionary_enabled(amount.clone(), false)
            .set_column_encoding(amount, Encoding::DELTA_BINARY_PACKED);
    }
    Arc::new(properties.build())
}

/// A column of a row group.
type Column = (Bytes, ColumnCloseResult);

/// Puts lines together as columns.
pub(super) struct ParquetLines {
    escrows: Bytes,
    texts: [Vec<ByteArray>; TEXTS],
    amounts: [Vec<i64>; AMOUNTS],
    versions: Vec<i32>,
    hashes: Vec<ByteArray>,
    rendered: Vec<Option<Rendered>>,
    /// Those that were seen.
    currencies: Vec<(Currency, ByteArray)>,
    encoded: Vec<Column>,
    properties: WriterPropertiesPtr,
}

/// The parts of a line that do not depend on the release. Every thread has its own: shared ones would have their
/// counts of references fought over.
struct Rendered {
    project: ByteArray,
    recipients: Vec<ByteArray>,
    number: i32,
    hash: ByteArray,
}

impl Rendered {
    fn new(version: &Version) -> Self {
        let written = &version.written;
        Self {
            project: text(written.project.as_str()),
            recipients: version.model.recipients().iter().map(|recipient| text(recipient.as_str())).collect(),
            number: i32::try_from(written.version).unwrap_or(i32::MAX),
            hash: text(&written.hash.to_string()),
        }
    }
}

fn text(text: &str) -> ByteArray {
    Bytes::copy_from_slice(text.as_bytes()).into()
}

/// The code as a text that need not be made again.
fn currency(known: &mut Vec<(Currency, ByteArray)>, currency: Currency) -> ByteArray {
    if let Some((_, code)) = known.iter().find(|(found, _)| *found == currency) {
        return code.clone();
    }
    let code = text(currency.code());
    known.push((currency, code.clone()));
    code
}

impl ParquetLines {
    pub(super) fn new(versions: usize) -> Self {
        Self {
            escrows: Bytes::new(),
            texts: Default::default(),
            amounts: Default::default(),
            versions: Vec::new(),
            hashes: Vec::new(),
            rendered: std::iter::repeat_with(|| None).take(versions).collect(),
            currencies: Vec::new(),
            encoded: Vec::new(),
            properties: properties(),
        }
    }

    pub(super) fn begin(&mut self, escrows: Bytes) {
        self.escrows = escrows;
    }

    pub(super) fn add<'l>(&mut self, head: &Head<'_>, lines: impl Iterator<Item = &'l Amounts>) {
        let rendered = self.rendered[head.place].get_or_insert_with(|| Rendered::new(head.version));
        let escrow = ByteArray::from(self.escrows.slice(head.escrow.0..head.escrow.1));
        let currency = currency(&mut self.currencies, head.currency);
        let [escrows, projects, recipients, currencies] = &mut self.texts;
        for (recipient, line) in rendered.recipients.iter().zip(lines) {
            escrows.push(escrow.clone());
            projects.push(rendered.project.clone());
            recipients.push(recipient.clone());
            currencies.push(currency.clone());
            for (column, amount) in self.amounts.iter_mut().zip(amounts(line)) {
                column.push(amount);
            }
            self.versions.push(rendered.number);
            self.hashes.push(rendered.hash.clone());
        }
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        if !self.versions.is_empty() {
            self.encoded = self.encode().map_err(io::Error::other)?;
        }
        self.texts.iter_mut().for_each(Vec::clear);
        self.amounts.iter_mut().for_each(Vec::clear);
        self.versions.clear();
        self.hashes.clear();
        self.escrows = Bytes::new();
        Ok(())
    }

    fn encode(&self) -> Result<Vec<Column>, ParquetError> {
        let schema: SchemaDescPtr = Arc::new(SchemaDescriptor::new(schema()?));
        let column = |place: usize| {
            let mut bytes = TrackedWrite::new(Vec::new());
            let pages = Box::new(SerializedPageWriter::new(&mut bytes));
            let mut writer = get_column_writer(schema.column(place), self.properties.clone(), pages);
            match &mut writer {
                ColumnWriter::ByteArrayColumnWriter(writer) => {
                    let texts = if place < TEXTS { &self.texts[place] } else { &self.hashes };
                    writer.write_batch(texts, None, None)?;
                }
                ColumnWriter::Int64ColumnWriter(writer) => {
                    writer.write_batch(&self.amounts[place - TEXTS], None, None)?;
                }
                ColumnWriter::Int32ColumnWriter(writer) => {
                    writer.write_batch(&self.versions, None, None)?;
                }
                _ => return Err(ParquetError::General("a column of another type".to_owned())),
            }
            let closed = writer.close()?;
            Ok((Bytes::from(bytes.into_inner()?), closed))
        };
        (0..COLUMNS.len()).map(column).collect()
    }

    /// The columns of the row group; none, if it has no line.
    pub(super) fn take(&mut self) -> Vec<Column> {
        std::mem::take(&mut self.encoded)
    }
}

/// A file of row groups.
pub(super) struct ParquetSink {
    file: SerializedFileWriter<Output>,
}

impl ParquetSink {
    pub(super) fn new(to: Output) -> io::Result<Self> {
        let file = schema().and_then(|schema| SerializedFileWriter::new(to, schema, properties()));
        Ok(Self { file: file.map_err(told)? })
    }

    pub(super) fn append(&mut self, columns: Vec<Column>) -> io::Result<()> {
        if columns.is_empty() {
            return Ok(());
        }
        let append = || {
            let mut group = self.file.next_row_group()?;
            for (bytes, closed) in columns {
                group.append_column(&bytes, closed)?;
            }
            group.close().map(drop)
        };
        append().map_err(told)
    }

    pub(super) fn finish(self) -> io::Result<Output> {
        self.file.into_inner().map_err(told)
    }
}

/// What the disk said, if it was the disk.
fn told(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        other => io::Error::other(other),
    }
}
