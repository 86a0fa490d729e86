//! A file with one column of interest, read by the stock reader and held against the rows that went in.

use std::ops::Range;

use arrow::array::{AsArray as _, new_null_array};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::basic::BoundaryOrder;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::super::*;
use super::samples::{Text, encode};
use crate::{ColumnEncoder, EncodedColumn};

/// A row group in which all columns but one hold nothing of interest.
pub(super) fn columns_around(column: EncodedColumn, name: &str) -> Vec<EncodedColumn> {
    let rows = column.rows() as usize;
    let mut column = Some(column);
    let schema = schema::events_file_schema();
    let others = schema.fields().iter().map(|field| match field.name().as_str() {
        found if found == name => column.take().unwrap(),
        schema::TIME => {
            let times = TimestampMicrosecondArray::from(vec![MORNING; rows]).with_timezone("UTC");
            encode(schema::TIME, &[Arc::new(times)])
        }
        schema::ORDINAL => encode(schema::ORDINAL, &[Arc::new(Int64Array::from_iter_values(0..rows as i64))]),
        constant @ (schema::ARCHIVE | schema::MEMBER) => {
            let mut encoder = ColumnEncoder::new(constant).unwrap();
            encoder.push_constant("the same", rows as u64).unwrap();
            encoder.finish().unwrap()
        }
        empty => encode(empty, &[new_null_array(field.data_type(), rows)]),
    });
    others.collect()
}

/// A file with one column of interest.
pub(super) struct Written {
    pub(super) bytes: Bytes,
    pub(super) column: usize,
    pub(super) metadata: Arc<ParquetMetaData>,
}

impl Written {
    pub(super) fn new(name: &str, column: EncodedColumn) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut file = EventsWriter::create(&path, Month::parse("2026-01").unwrap()).unwrap();
        file.append_row_group(columns_around(column, name)).unwrap();
        file.finish().unwrap();
        let bytes = Bytes::from(fs::read(path).unwrap());
        let column = schema::events_file_schema().index_of(name).unwrap();
        let metadata = Arc::clone(reader(&bytes).metadata());
        Self { bytes, column, metadata }
    }

    pub(super) fn read(&self, selection: Option<RowSelection>) -> ArrayRef {
        let mut reader = reader(&self.bytes);
        let mask = ProjectionMask::leaves(reader.parquet_schema(), [self.column]);
        if let Some(selection) = selection {
            reader = reader.with_row_selection(selection);
        }
        let batches: Vec<_> =
            reader.with_projection(mask).with_batch_size(1 << 20).build().unwrap().map(Result::unwrap).collect();
        let arrays: Vec<_> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
        arrow::compute::concat(&arrays).unwrap()
    }

    pub(super) fn texts(&self, selection: Option<RowSelection>) -> Vec<Text> {
        self.read(selection).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    /// The rows of each page, by the offset index.
    pub(super) fn page_rows(&self) -> Vec<Range<usize>> {
        let rows = self.metadata.row_group(0).num_rows() as usize;
        let pages = &self.metadata.offset_index().unwrap()[0][self.column].page_locations;
        let starts: Vec<_> = pages.iter().map(|page| page.first_row_index as usize).chain([rows]).collect();
        starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }
}

pub(super) fn reader(bytes: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options).unwrap()
}

/// What statistics have to say of rows: nulls, least, greatest.
pub(super) fn summary(texts: &[Text]) -> (usize, Option<&[u8]>, Option<&[u8]>) {
    let present = || texts.iter().flatten().map(String::as_bytes);
    (texts.len() - present().count(), present().min(), present().max())
}

pub(super) fn check_statistics(written: &Written, texts: &[Text], bounded: bool) {
    let chunk = written.metadata.row_group(0).column(written.column);
    let statistics = chunk.statistics().unwrap();
    let (nulls, least, greatest) = summary(texts);
    assert_eq!(statistics.null_count_opt(), Some(nulls as u64));
    let told = [least, greatest].iter().flatten().all(|bound| bound.len() <= 64) && bounded;
    assert_eq!(statistics.min_bytes_opt(), least.filter(|_| told));
    assert_eq!(statistics.max_bytes_opt(), greatest.filter(|_| told));
    let exact = told && least.is_some();
    assert_eq!((statistics.min_is_exact(), statistics.max_is_exact()), (exact, exact));
    if bounded {
        check_column_index(written, texts);
    }
}

pub(super) fn check_column_index(written: &Written, texts: &[Text]) {
    let index = &written.metadata.column_index().unwrap()[0][written.column];
    let pages: Vec<_> = written.page_rows().into_iter().map(|rows| summary(&texts[rows])).collect();
    if pages.iter().any(|&(_, least, greatest)| [least, greatest].iter().flatten().any(|bound| bound.len() > 64)) {
        assert!(index.null_counts().is_none(), "no index over long texts");
        return;
    }
    let ColumnIndexMetaData::BYTE_ARRAY(bounds) = index else {
        panic!("no index: {index:?}");
    };
    for (page, &(nulls, least, greatest)) in pages.iter().enumerate() {
        assert_eq!(index.null_count(page), Some(nulls as i64));
        assert_eq!(index.is_null_page(page), least.is_none());
        assert_eq!((bounds.min_value(page), bounds.max_value(page)), (least, greatest));
    }
    let bounds: Vec<_> = pages.iter().filter_map(|page| Some((page.1?, page.2?))).collect();
    let ordered = |order: fn(&[u8], &[u8]) -> bool| {
        bounds.windows(2).all(|pair| order(pair[0].0, pair[1].0) && order(pair[0].1, pair[1].1))
    };
    match index.get_boundary_order().unwrap() {
        BoundaryOrder::ASCENDING => assert!(ordered(|one, next| one <= next)),
        BoundaryOrder::DESCENDING => assert!(ordered(|one, next| one >= next)),
        BoundaryOrder::UNORDERED => assert!(!ordered(|one, next| one <= next) && !ordered(|one, next| one >= next)),
    }
}

pub(super) fn check_bloom(written: &Written, texts: &[Text]) {
    let chunk = written.metadata.row_group(0).column(written.column);
    let start = chunk.bloom_filter_offset().unwrap() as usize;
    let bytes = written.bytes.slice(start..start + chunk.bloom_filter_length().unwrap() as usize);
    let filter = Sbbf::from_bytes(&bytes).unwrap();
    let mut texts: Vec<_> = texts.iter().flatten().collect();
    texts.sort();
    texts.dedup();
    assert!(texts.iter().all(|text| filter.check(text.as_str())));
    let let_through = (0..1000).filter(|n| filter.check(format!("absent {n}").as_str())).count();
    assert!(let_through < 60, "{let_through} of 1000 let through with {} texts", texts.len());
}
