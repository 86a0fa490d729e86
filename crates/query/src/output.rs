//! Rows of a query, written for people and machines.
//!
//! CSV, JSON and NDJSON are written batch by batch, Parquet by row group; a table for people needs all rows first, to know how wide its
//! columns are. Times are RFC 3339 in UTC (`2026-01-05T08:00:01.250Z`) with as many digits as they need of 0, 3 or 6; bytes are
//! lower-case hex. A null is nothing in CSV, `null` in JSON, blank in a table.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_schema;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::report::text;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A drawn table, for people. Held in memory.
    Table,
    /// RFC 4180 with a header line.
    Csv,
    /// One JSON list of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Parquet, zstd.
    Parquet,
}

impl Format {
    /// All formats with the names users call them by.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("table", Self::Table),
        ("csv", Self::Csv),
        ("json", Self::Json),
        ("ndjson", Self::Ndjson),
        ("parquet", Self::Parquet),
    ];

    /// The name that users call it by.
    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| *name)
    }

    /// Whether values are found by the name of their column, and by nothing else.
    fn goes_by_names(self) -> bool {
        matches!(self, Self::Json | Self::Ndjson | Self::Parquet)
    }
}

/// Rows could not be written out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The query failed on the way.
    #[error("{0}")]
    Query(#[from] DataFusionError),
    /// The rows have a type that the format cannot hold.
    #[error("rows cannot be written as {format:?}: {source}")]
    Encode {
        /// The format.
        format: Format,
        /// Why.
        source: ArrowError,
    },
    /// Readers of the format would see one of the columns only.
    #[error("two columns are called {name:?}, which {} cannot hold: name one with AS", .format.name())]
    EqualNames {
        /// The format.
        format: Format,
        /// The name that two columns, or two fields of a column, have.
        name: String,
    },
    /// The output does not take bytes. [`io::ErrorKind::BrokenPipe`] means that the reader went away.
    #[error("output: {0}")]
    Io(#[from] io::Error),
}

/// Writes all rows of a stream; returns how many. Nothing is flushed by force: that is for the owner of `out`.
///
/// # Errors
/// The query fails, the format cannot hold its types, or `out` refuses bytes. What was written until then stays written.
pub async fn write(
    stream: SendableRecordBatchStream,
    format: Format,
    out: &mut (dyn Write + Send),
) -> Result<u64, OutputError> {
    if format.goes_by_names()
        && let Some(name) = name_of_two(stream.schema().fields())
    {
        return Err(OutputError::EqualNames { format, name });
    }
    let mut out = Recording { out, failed: None };
    let written = match format {
        Format::Table => table(stream, &mut out).await,
        Format::Csv => csv(stream, &mut out).await,
        Format::Json => match json::<arrow::json::writer::JsonArray>(stream, &mut out).await {
            Ok(rows) => out.write_all(b"\n").map(|()| rows).map_err(Failure::from),
            failed => failed,
        },
        Format::Ndjson => json::<arrow::json::writer::LineDelimited>(stream, &mut out).await,
        Format::Parquet => parquet(stream, &mut out).await,
    };
    // The encoders turn an error of the output into text; what it was still matters (a closed pipe is a normal end).
    match (out.failed, written) {
        (Some(error), _) => Err(OutputError::Io(error)),
        (None, Ok(rows)) => Ok(rows),
        (None, Err(Failure::Query(error))) => Err(OutputError::Query(error)),
        (None, Err(Failure::Encode(source))) => Err(OutputError::Encode { format, source }),
    }
}

/// A name that two columns have, or two fields in one of them.
fn name_of_two(fields: &Fields) -> Option<String> {
    let mut names = HashSet::new();
    let twice = fields.iter().find(|field| !names.insert(field.name()));
    twice
        .map(|field| field.name().clone())
        .or_else(|| fields.iter().find_map(|field| name_of_two_in(field.data_type())))
}

fn name_of_two_in(kind: &DataType) -> Option<String> {
    match kind {
        DataType::Struct(fields) => name_of_two(fields),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => name_of_two_in(item.data_type()),
        DataType::Dictionary(_, values) => name_of_two_in(values),
        _ => None,
    }
}

/// Why an encoder stopped.
enum Failure {
    Query(DataFusionError),
    Encode(ArrowError),
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::Query(error)
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        Self::Encode(error)
    }
}

impl From<ParquetError> for Failure {
    fn from(error: ParquetError) -> Self {
        Self::Encode(ArrowError::ParquetError(error.to_string()))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Encode(ArrowError::IoError(error.to_string(), error))
    }
}

/// Remembers the error of the output behind it.
struct Recording<'a> {
    out: &'a mut (dyn Write + Send),
    failed: Option<io::Error>,
}

impl Recording<'_> {
    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let copy = io::Error::new(error.kind(), error.to_string());
            // An interrupted call is tried again by the caller.
            if error.kind() != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            copy
        })
    }
}

impl Write for Recording<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.noted(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.noted(result)
    }
}

async fn table(mut stream: SendableRecordBatchStream, out: &mut Recording<'_>) -> Result<u64, Failure> {
    let schema = printable_schema(&stream.schema());
    let (mut batches, mut rows) = (Vec::new(), 0);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        batches.push(printable(&batch, &schema)?);
    }
    let drawn = pretty_format_batches_with_schema(schema, &batches)?;
    writeln!(out, "{drawn}")?;
    Ok(rows)
}

/// The schema of a drawn table: the types that can hold a text as texts, and names without control characters.
fn printable_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let kind = if holds_text(field.data_type()) { DataType::Utf8View } else { field.data_type().clone() };
        Field::new(text::visible(field.name()), kind, true)
    });
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

/// Cells without control characters: a record must not be able to move the cursor of a terminal or to draw rows of its own, whatever a
/// query put its texts into.
fn printable(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| match holds_text(column.data_type()) {
        true => printable_texts(column),
        false => Ok(ArrayRef::clone(column)),
    });
    RecordBatch::try_new(SchemaRef::clone(schema), columns.collect::<Result<_, _>>()?)
}

fn holds_text(kind: &DataType) -> bool {
    !(kind.is_primitive() || kind.is_binary() || matches!(kind, DataType::Null | DataType::Boolean))
}

fn printable_texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default().with_display_error(true);
    let cells = ArrayFormatter::try_new(column, &options)?;
    let cells = (0..column.len()).map(|row| {
        let cell = cells.value(row).to_string();
        if text::is_plain(&cell) { cell } else { text::visible(&cell) }
    });
    Ok(Arc::new(StringViewArray::from_iter_values(cells)))
}

async fn csv(mut stream: SendableRecordBatchStream, out: &mut Recording<'_>) -> Result<u64, Failure> {
    let mut rows = 0;
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(out);
    // The header stands there even if no row does.
    writer.write(&RecordBatch::new_empty(stream.schema()))?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    Ok(rows)
}

async fn json<F: arrow::json::writer::JsonFormat>(
    mut stream: SendableRecordBatchStream,
    out: &mut Recording<'_>,
) -> Result<u64, Failure> {
    let mut rows = 0;
    let mut writer = arrow::json::writer::WriterBuilder::new().with_explicit_nulls(true).build::<_, F>(&mut *out);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    writer.finish()?;
    Ok(rows)
}

async fn parquet(mut stream: SendableRecordBatchStream, out: &mut Recording<'_>) -> Result<u64, Failure> {
    let mut rows = 0;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(out, stream.schema(), Some(properties))?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(rows)
}
