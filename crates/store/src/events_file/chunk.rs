//! Pages of a column, put together as a column chunk: their order, the statistics and the indices over them.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType, Type};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// Longest text that statistics hold. Beyond it a column chunk has no bounds: they would be longer than they help.
const BOUND_BYTES: usize = 64;

/// A least or a greatest value. Those of one column are all numbers or all texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bound {
    Number(i64),
    Text(Vec<u8>),
}

/// Least and greatest value.
pub(super) type Bounds = (Bound, Bound);

/// A data page, compressed, and what the indices say of it.
pub(super) struct DataPage {
    pub(super) body: Bytes,
    /// Length of the body before it was compressed.
    pub(super) plain_bytes: usize,
    pub(super) encoding: Encoding,
    pub(super) rows: u32,
    pub(super) nulls: u32,
    /// Absent where all rows are null, and where nobody asks for bounds.
    pub(super) bounds: Option<Bounds>,
}

/// A dictionary page, compressed.
pub(super) struct DictionaryPage {
    pub(super) body: Bytes,
    pub(super) plain_bytes: usize,
    pub(super) entries: u32,
}

/// The data pages of a column chunk so far.
pub(super) struct Chunk {
    column: ColumnDescPtr,
    codec: Compression,
    bounded: bool,
    /// Pages that are laid out.
    pages: Vec<PlacedPage>,
    layout: Layout,
    /// Pages that wait for the dictionary, which stands before them and is known last.
    waiting: Vec<DataPage>,
}

/// A data page in its place, and what the indices say of it.
struct PlacedPage {
    /// Offset and length, both with the header.
    place: (i64, i32),
    rows: u32,
    nulls: u32,
    bounds: Option<Bounds>,
}

/// A column chunk: its bytes, and all that the footer says of it with offsets from the start of the bytes.
pub(super) struct FinishedChunk {
    pub(super) bytes: Bytes,
    pub(super) close: ColumnCloseResult,
    /// Over all rows; absent where the statistics have none.
    pub(super) bounds: Option<Bounds>,
}

impl Chunk {
    /// An empty chunk. With `bounded`, least and greatest values are told by chunk and by page.
    pub(super) fn new(column: ColumnDescPtr, codec: Compression, bounded: bool) -> Self {
        Self { column, codec, bounded, pages: Vec::new(), layout: Layout::new(Vec::new()), waiting: Vec::new() }
    }

    /// Puts pages into this memory, which is made to hold so many bytes of them.
    pub(super) fn fill(&mut self, memory: Vec<u8>, bytes: usize) {
        self.layout = Layout::new(memory);
        self.layout.reserve(bytes);
    }

    /// Appends a page to a chunk that gets a dictionary.
    pub(super) fn push(&mut self, page: DataPage) {
        self.waiting.push(page);
    }

    /// Appends a page to a chunk without dictionary. Its body is not held any longer.
    pub(super) fn put(&mut self, page: DataPage) -> Result<()> {
        let DataPage { body, plain_bytes, encoding, rows, nulls, bounds } = page;
        let place = self.layout.put_page(body, plain_bytes, encoding, rows)?;
        self.pages.push(PlacedPage { place, rows, nulls, bounds });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.waiting.is_empty()
    }

    /// Bytes so far, about.
    pub(super) fn bytes(&self) -> usize {
        self.layout.bytes() + self.waiting.iter().map(|page| page.body.len()).sum::<usize>()
    }

    /// Puts the pages together, the dictionary first.
    pub(super) fn finish(mut self, dictionary: Option<DictionaryPage>, bloom: Option<Sbbf>) -> Result<FinishedChunk> {
        let waiting = std::mem::take(&mut self.waiting);
        let bodies: usize = waiting.iter().map(|page| page.body.len()).sum();
        self.layout.reserve(bodies + dictionary.as_ref().map_or(0, |page| page.body.len()));
        let dictionary_offset = dictionary.map(|page| self.layout.put_dictionary(page)).transpose()?;
        waiting.into_iter().try_for_each(|page| self.put(page))?;
        let rows: u64 = self.pages.iter().map(|page| u64::from(page.rows)).sum();
        let nulls: u64 = self.pages.iter().map(|page| u64::from(page.nulls)).sum();
        let bounds = self.bounds();
        let column_index = self.bounded.then(|| self.column_index()).transpose()?.flatten();
        let data_offset = self.pages.first().map_or(self.layout.offset(), |page| page.place.0);
        let mut offset_index = OffsetIndexBuilder::new();
        for page in &self.pages {
            let (offset, length) = page.place;
            offset_index.append_row_count(i64::from(page.rows));
            offset_index.append_offset_and_size(offset, length);
        }
        let (bytes, plain_bytes, encodings) = self.layout.finish()?;
        let mut used: Vec<Encoding> = encodings.iter().map(|stats| stats.encoding).collect();
        // Levels are in that encoding; the stock writer names it for columns without levels as well.
        used.push(Encoding::RLE);
        let metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(self.codec)
            .set_encodings(used)
            .set_page_encoding_stats(encodings)
            .set_total_compressed_size(signed(bytes.len())?)
            .set_total_uncompressed_size(signed(plain_bytes)?)
            .set_num_values(i64::try_from(rows).unwrap_or(i64::MAX))
            .set_data_page_offset(data_offset)
            .set_dictionary_page_offset(dictionary_offset)
            .set_statistics(statistics(self.column.physical_type(), bounds.clone(), nulls))
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows,
            metadata,
            bloom_filter: bloom,
            column_index,
            offset_index: Some(offset_index.build()),
        };
        Ok(FinishedChunk { bytes, close, bounds })
    }

    fn page_bounds(&self) -> impl Iterator<Item = &Bounds> {
        self.pages.iter().filter_map(|page| page.bounds.as_ref())
    }

    /// Bounds of all pages, unless one is too long to be told.
    fn bounds(&self) -> Option<Bounds> {
        let least = self.page_bounds().map(|(least, _)| least).min()?;
        let greatest = self.page_bounds().map(|(_, greatest)| greatest).max()?;
        (least.is_short() && greatest.is_short()).then(|| (least.clone(), greatest.clone()))
    }

    /// None where a bound is too long: an index has to name bounds for every page, so there is none at all then.
    fn column_index(&self) -> Result<Option<ColumnIndexMetaData>> {
        if self.page_bounds().any(|(least, greatest)| !least.is_short() || !greatest.is_short()) {
            return Ok(None);
        }
        let mut index = ColumnIndexBuilder::new(self.column.physical_type());
        for page in &self.pages {
            let (least, greatest) = match &page.bounds {
                Some((least, greatest)) => (least.to_bytes(), greatest.to_bytes()),
                None => Default::default(),
            };
            index.append(page.bounds.is_none(), least, greatest, i64::from(page.nulls));
        }
        index.set_boundary_order(self.order());
        index.build().map(Some)
    }

    fn order(&self) -> BoundaryOrder {
        let ordered = |before: fn(&Bound, &Bound) -> bool| {
            let pairs = self.page_bounds().zip(self.page_bounds().skip(1));
            pairs.into_iter().all(|(one, next)| before(&one.0, &next.0) && before(&one.1, &next.1))
        };
        match () {
            () if ordered(|one, next| one <= next) => BoundaryOrder::ASCENDING,
            () if ordered(|one, next| one >= next) => BoundaryOrder::DESCENDING,
            () => BoundaryOrder::UNORDERED,
        }
    }
}

impl Bound {
    fn is_short(&self) -> bool {
        !matches!(self, Self::Text(text) if text.len() > BOUND_BYTES)
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Number(number) => number.to_le_bytes().to_vec(),
            Self::Text(text) => text.clone(),
        }
    }
}

fn statistics(kind: Type, bounds: Option<Bounds>, nulls: u64) -> Statistics {
    match (kind, bounds) {
        (Type::INT64, bounds) => {
            let number = |bound: Bound| match bound {
                Bound::Number(number) => Some(number),
                Bound::Text(_) => None,
            };
            let (least, greatest) = bounds.map_or((None, None), |(least, greatest)| (number(least), number(greatest)));
            let statistics = ValueStatistics::new(least, greatest, None, Some(nulls), false);
            // Signed numbers: old readers look at older fields, and understand them rightly.
            Statistics::Int64(statistics.with_backwards_compatible_min_max(true))
        }
        (_, bounds) => {
            let text = |bound: Bound| Some(ByteArray::from(bound.to_bytes()));
            let (least, greatest) = bounds.map_or((None, None), |(least, greatest)| (text(least), text(greatest)));
            Statistics::ByteArray(ValueStatistics::new(least, greatest, None, Some(nulls), false))
        }
    }
}

/// Pages as they are laid out one behind the other.
struct Layout {
    sink: TrackedWrite<Vec<u8>>,
    plain_bytes: usize,
    encodings: Vec<PageEncodingStats>,
}

impl Layout {
    fn new(memory: Vec<u8>) -> Self {
        Self { sink: TrackedWrite::new(memory), plain_bytes: 0, encodings: Vec::new() }
    }

    /// Makes room for pages of so many bytes, and some for their headers.
    fn reserve(&mut self, bytes: usize) {
        self.sink.inner_mut().reserve(bytes + bytes / 64 + 4096);
    }

    fn bytes(&self) -> usize {
        self.sink.bytes_written()
    }

    fn offset(&self) -> i64 {
        i64::try_from(self.sink.bytes_written()).unwrap_or(i64::MAX)
    }

    fn put_dictionary(&mut self, page: DictionaryPage) -> Result<i64> {
        let DictionaryPage { body, plain_bytes, entries } = page;
        let page = Page::DictionaryPage { buf: body, num_values: entries, encoding: Encoding::PLAIN, is_sorted: false };
        Ok(self.put(CompressedPage::new(page, plain_bytes))?.0)
    }

    fn put_page(&mut self, body: Bytes, plain_bytes: usize, encoding: Encoding, rows: u32) -> Result<(i64, i32)> {
        let page = Page::DataPage {
            buf: body,
            num_values: rows,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        self.put(CompressedPage::new(page, plain_bytes))
    }

    /// Offset of the page and its length, both with its header.
    fn put(&mut self, page: CompressedPage) -> Result<(i64, i32)> {
        let (page_type, encoding) = (page.page_type(), page.encoding());
        let offset = self.offset();
        let spec = SerializedPageWriter::new(&mut self.sink).write_page(page)?;
        self.plain_bytes += spec.uncompressed_size;
        self.count(page_type, encoding);
        let length =
            i32::try_from(spec.compressed_size).map_err(|_| ParquetError::General("page beyond 2 GiB".into()))?;
        Ok((offset, length))
    }

    fn count(&mut self, page_type: PageType, encoding: Encoding) {
        match self.encodings.iter_mut().find(|stats| stats.page_type == page_type && stats.encoding == encoding) {
            Some(stats) => stats.count += 1,
            None => self.encodings.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
    }

    fn finish(self) -> Result<(Bytes, usize, Vec<PageEncodingStats>)> {
        Ok((self.sink.into_inner()?.into(), self.plain_bytes, self.encodings))
    }
}

fn signed(bytes: usize) -> Result<i64> {
    i64::try_from(bytes).map_err(|_| ParquetError::General(format!("column chunk of {bytes} bytes")))
}
