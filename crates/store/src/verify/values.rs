//! Statistics of a data file against its values: least and greatest value, nulls, page index, bloom filters.
//!
//! An engine passes over what the statistics rule out. A wrong bound, or a filter that lacks a key, loses rows from answers though every row
//! is in the file; so each column is read and compared with all that the file says of it. Memory: some rows of one column.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::basic::BoundaryOrder;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::Findings;
use crate::StoreError;

/// Rows that are looked at at once; fewer where pages are shorter, since those hold long texts.
const BATCH_ROWS: usize = 1 << 16;

/// A value of a column, by which engines order and compare.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(Vec<u8>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text) => write!(formatter, "{:?}", String::from_utf8_lossy(text)),
        }
    }
}

/// What some rows of a column hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Extent {
    rows: u64,
    nulls: u64,
    /// Least and greatest value; none where all are null.
    bounds: Option<(Value, Value)>,
}

/// What the file says of some rows of a column; nothing where it is silent.
#[derive(Debug, Clone, Default)]
struct Claim {
    nulls: Option<u64>,
    least: Option<Value>,
    greatest: Option<Value>,
    /// Whether the bounds are said to be values of the column, and not only around them.
    is_exact: bool,
}

/// Checks one column of one row group.
pub(super) fn check_chunk(
    path: &Path,
    metadata: &ArrowReaderMetadata,
    (group, column): (usize, usize),
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let Some(chunk) = metadata.metadata().row_groups().get(group).and_then(|group| group.columns().get(column)) else {
        return Ok(());
    };
    let place = format!("column `{}` in row group {group}", chunk.column_path().string());
    let mut wrong = |expected: String, found: String| findings.damage(path, expected, found);
    let file = File::open(path).map_err(StoreError::io("open the data file", path))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
    let filter = builder.get_row_group_column_bloom_filter(group, column).map_err(StoreError::parquet(path))?;
    let starts = page_starts(metadata, (group, column));
    let projection = ProjectionMask::leaves(builder.parquet_schema(), [column]);
    let reader = builder
        .with_row_groups(vec![group])
        .with_projection(projection)
        .with_batch_size(shortest(&starts))
        .build()
        .map_err(StoreError::parquet(path))?;
    let mut pages = vec![Extent::default(); starts.len()];
    let mut missing = None;
    let mut row = 0;
    for batch in reader {
        let batch = batch.map_err(|error| StoreError::parquet(path)(error.into()))?;
        let Some(values) = batch.columns().first() else {
            continue;
        };
        missing = missing.or_else(|| filter.as_ref().and_then(|filter| missing_key(filter, values)));
        for (page, from, rows) in stretches(&starts, row, values.len()) {
            if let Some(page) = pages.get_mut(page) {
                page.add(&Extent::of(&values.slice(from, rows)));
            }
        }
        row += values.len();
    }
    let mut whole = Extent::default();
    pages.iter().for_each(|page| whole.add(page));
    let rows = u64::try_from(chunk.num_values()).unwrap_or_default();
    if whole.rows != rows {
        wrong(format!("{rows} rows in {place}"), format!("{} rows", whole.rows));
    }
    if let Some(key) = missing {
        wrong(format!("{key} in the bloom filter of {place}"), "a filter that rules it out".into());
    }
    whole.compare(&claim_of(chunk), &place, &mut wrong);
    if let Some(index) = metadata.metadata().column_index().and_then(|index| index.get(group)?.get(column)) {
        check_index(index, &pages, &place, &mut wrong);
    }
    Ok(())
}

/// First row of each page, from 0; one page where the file does not tell.
fn page_starts(metadata: &ArrowReaderMetadata, (group, column): (usize, usize)) -> Vec<usize> {
    let index = metadata.metadata().offset_index().and_then(|index| index.get(group)?.get(column));
    let starts = index.into_iter().flat_map(|index| index.page_locations());
    let starts: Vec<usize> = starts.map(|page| usize::try_from(page.first_row_index).unwrap_or(usize::MAX)).collect();
    if starts.first() == Some(&0) { starts } else { vec![0] }
}

/// Rows to read at once, so that a batch holds no more than some pages of long texts.
fn shortest(starts: &[usize]) -> usize {
    let lengths = starts.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?));
    lengths.min().unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS)
}

/// The pages that `rows` rows from `first` on lie in: number of the page, first row counted from `first`, rows.
fn stretches(starts: &[usize], first: usize, rows: usize) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    let mut at = first;
    while at < first + rows {
        let page = starts.partition_point(|&start| start <= at).saturating_sub(1);
        let end = starts.get(page + 1).map_or(usize::MAX, |&next| next.max(at + 1)).min(first + rows);
        found.push((page, at - first, end - at));
        at = end;
    }
    found
}

/// A value that a filter of its column rules out.
fn missing_key(filter: &Sbbf, values: &dyn Array) -> Option<String> {
    let texts = texts_of(values);
    texts.into_iter().find(|text| !filter.check(*text)).map(|text| format!("{:?}", String::from_utf8_lossy(text)))
}

/// The texts of an array: those that a dictionary really uses, each once.
fn texts_of(values: &dyn Array) -> Vec<&[u8]> {
    if let Some(texts) = values.as_string_opt::<i32>() {
        return texts.iter().flatten().map(str::as_bytes).collect();
    }
    let Some(dictionary) = values.as_dictionary_opt::<Int32Type>() else {
        return Vec::new();
    };
    let Some(texts) = dictionary.values().as_string_opt::<i32>() else {
        return Vec::new();
    };
    let mut used = vec![false; texts.len()];
    for key in dictionary.keys_iter().flatten() {
        if let Some(used) = used.get_mut(key) {
            *used = true;
        }
    }
    let used = used.into_iter().enumerate().filter(|(key, used)| *used && texts.is_valid(*key));
    used.map(|(key, _)| texts.value(key).as_bytes()).collect()
}

impl Extent {
    fn of(values: &dyn Array) -> Self {
        let numbers = values
            .as_primitive_opt::<TimestampMicrosecondType>()
            .map(|times| (arrow::compute::min(times), arrow::compute::max(times)))
            .or_else(|| {
                let numbers = values.as_primitive_opt::<Int64Type>()?;
                Some((arrow::compute::min(numbers), arrow::compute::max(numbers)))
            });
        let bounds = match numbers {
            Some((least, greatest)) => least.map(Value::Number).zip(greatest.map(Value::Number)),
            None => {
                let texts = texts_of(values);
                let text = |text: Option<&&[u8]>| text.map(|text| Value::Text(text.to_vec()));
                text(texts.iter().min()).zip(text(texts.iter().max()))
            }
        };
        Self { rows: values.len() as u64, nulls: values.logical_null_count() as u64, bounds }
    }

    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.nulls += other.nulls;
        let Some((least, greatest)) = &other.bounds else {
            return;
        };
        self.bounds = Some(match self.bounds.take() {
            Some((from, to)) => (from.min(least.clone()), to.max(greatest.clone())),
            None => (least.clone(), greatest.clone()),
        });
    }

    fn compare(&self, claim: &Claim, place: &str, wrong: &mut dyn FnMut(String, String)) {
        if let Some(nulls) = claim.nulls.filter(|&nulls| nulls != self.nulls) {
            wrong(format!("{nulls} nulls in {place}, as the statistics say"), format!("{} nulls", self.nulls));
        }
        let Some((least, greatest)) = &self.bounds else {
            return;
        };
        /// Whether a claim (first) about a value (second) is wrong in a way that loses rows.
        type Loses = fn(&Value, &Value) -> bool;
        let mut bound = |which: &str, claimed: &Option<Value>, found: &Value, loses: Loses| {
            if let Some(claimed) = claimed.as_ref().filter(|claimed| loses(claimed, found)) {
                wrong(format!("{claimed} as the {which} value of {place}, as the statistics say"), found.to_string());
            }
        };
        let (above, below): (Loses, Loses) = match claim.is_exact {
            true => (|claimed, found| claimed != found, |claimed, found| claimed != found),
            false => (|claimed, found| claimed > found, |claimed, found| claimed < found),
        };
        bound("least", &claim.least, least, above);
        bound("greatest", &claim.greatest, greatest, below);
    }
}

/// What the footer says of a column chunk.
fn claim_of(chunk: &ColumnChunkMetaData) -> Claim {
    let Some(statistics) = chunk.statistics() else {
        return Claim::default();
    };
    let (least, greatest) = match statistics {
        Statistics::Int64(numbers) => {
            (numbers.min_opt().copied().map(Value::Number), numbers.max_opt().copied().map(Value::Number))
        }
        Statistics::ByteArray(_) => {
            let text = |bytes: Option<&[u8]>| bytes.map(|bytes| Value::Text(bytes.to_vec()));
            (text(statistics.min_bytes_opt()), text(statistics.max_bytes_opt()))
        }
        _ => (None, None),
    };
    let is_exact = statistics.min_is_exact() && statistics.max_is_exact();
    Claim { nulls: statistics.null_count_opt(), least, greatest, is_exact }
}

/// Checks the index over the pages of a column chunk.
fn check_index(index: &ColumnIndexMetaData, pages: &[Extent], place: &str, wrong: &mut dyn FnMut(String, String)) {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| Value::Text(bytes.to_vec()));
    let bounds = |page: usize| match index {
        ColumnIndexMetaData::INT64(numbers) => {
            (numbers.min_value(page).copied().map(Value::Number), numbers.max_value(page).copied().map(Value::Number))
        }
        ColumnIndexMetaData::BYTE_ARRAY(texts) => (text(texts.min_value(page)), text(texts.max_value(page))),
        _ => (None, None),
    };
    if matches!(index, ColumnIndexMetaData::NONE) {
        return;
    }
    if index.num_pages() != pages.len() as u64 {
        return wrong(format!("an index over {} pages of {place}", pages.len()), format!("{}", index.num_pages()));
    }
    for (number, page) in pages.iter().enumerate() {
        let place = format!("page {number} of {place}");
        if index.is_null_page(number) != page.bounds.is_none() {
            let words = |nulls| if nulls { "no value" } else { "a value" };
            wrong(
                format!("{} in {place}, as the index says", words(index.is_null_page(number))),
                words(page.bounds.is_none()).into(),
            );
        }
        let (least, greatest) = bounds(number);
        let nulls = index.null_count(number).and_then(|nulls| u64::try_from(nulls).ok());
        page.compare(&Claim { nulls, least, greatest, is_exact: false }, &place, wrong);
    }
    let pairs = || pages.iter().filter_map(|page| page.bounds.as_ref());
    let ordered = |holds: fn(&Value, &Value) -> bool| {
        pairs().zip(pairs().skip(1)).all(|(one, next)| holds(&one.0, &next.0) && holds(&one.1, &next.1))
    };
    let is_right = match index.get_boundary_order() {
        Some(BoundaryOrder::ASCENDING) => ordered(|one, next| one <= next),
        Some(BoundaryOrder::DESCENDING) => ordered(|one, next| one >= next),
        _ => true,
    };
    if !is_right {
        wrong(format!("pages of {place} in the order that the index says"), "another order".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_dealt_to_their_pages() {
        assert_eq!(stretches(&[0], 5, 3), [(0, 0, 3)]);
        assert_eq!(stretches(&[0, 4, 8], 2, 7), [(0, 0, 2), (1, 2, 4), (2, 6, 1)]);
        assert_eq!(stretches(&[0, 4], 4, 2), [(1, 0, 2)]);
        assert_eq!(stretches(&[0, 4, 4, 9], 3, 3), [(0, 0, 1), (2, 1, 2)], "an empty page has no rows");
        assert_eq!(
            stretches(&[0, 9, 3], 0, 10).iter().map(|(_, _, rows)| rows).sum::<usize>(),
            10,
            "whatever is forged"
        );
        assert_eq!(stretches(&[0], 0, 0), []);
    }

    #[test]
    fn a_bound_is_wrong_where_it_loses_a_value() {
        let number = |number| Some(Value::Number(number));
        let extent = Extent { rows: 5, nulls: 1, bounds: number(10).zip(number(20)) };
        let cases = [
            (Claim::default(), 0),
            (Claim { nulls: Some(1), least: number(10), greatest: number(20), is_exact: true }, 0),
            (Claim { least: number(9), greatest: number(21), ..Claim::default() }, 0),
            (Claim { least: number(9), greatest: number(21), is_exact: true, ..Claim::default() }, 2),
            (Claim { least: number(11), greatest: number(20), ..Claim::default() }, 1),
            (Claim { least: number(10), greatest: number(19), ..Claim::default() }, 1),
            (Claim { nulls: Some(0), ..Claim::default() }, 1),
        ];
        for (claim, expected) in cases {
            let mut found = 0;
            extent.compare(&claim, "here", &mut |_, _| found += 1);
            assert_eq!(found, expected, "{claim:?}");
        }
    }
}
