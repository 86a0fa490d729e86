//! The encoder of row groups against the reader of the `parquet` crate: what goes in comes out, and all that the footer says of it holds.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow::array::{Array as _, AsArray as _, new_null_array};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::basic::{BoundaryOrder, Encoding};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use proptest::prelude::*;

use super::*;
use crate::{ColumnEncoder, EncodedColumn, TextPage, TextPageEncoder};

type Text = Option<String>;

/// Rows of a text column, described by what they have in common.
#[derive(Debug, Clone)]
enum Rows {
    /// One text, or none, over and over.
    Run(Text, usize),
    /// Texts drawn from a few, some null.
    Drawn { from: Vec<Text>, seed: u64, rows: usize },
    /// Texts that never repeat, each of so many bytes.
    Unique { seed: u64, bytes: usize, rows: usize },
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(String::new())),
        6 => "[a-e]{1,3}".prop_map(Some),
        2 => "\\PC{0,20}".prop_map(Some),
        1 => "[a-z]{60,70}".prop_map(Some),
        1 => "[αβ漢🦀]{100,3000}".prop_map(Some),
    ]
}

fn rows() -> impl Strategy<Value = Rows> {
    let few = || prop_oneof![Just(1_usize), 1..40_usize, 60..70_usize, 900..1100_usize];
    prop_oneof![
        3 => (text(), prop_oneof![9 => few(), 1 => Just(70_000)]).prop_map(|(text, rows)| Rows::Run(text, rows)),
        4 => (prop::collection::vec(text(), 1..40), any::<u64>(), prop_oneof![9 => few(), 1 => Just(80_000)])
            .prop_map(|(from, seed, rows)| Rows::Drawn { from, seed, rows }),
        1 => (any::<u64>(), 8..40_usize, prop_oneof![9 => few(), 1 => Just(20_000)])
            .prop_map(|(seed, bytes, rows)| Rows::Unique { seed, bytes, rows }),
        1 => (any::<u64>(), 300..5000_usize, 1..400_usize)
            .prop_map(|(seed, bytes, rows)| Rows::Unique { seed, bytes, rows }),
    ]
}

/// Numbers that look random, the same for the same seed.
fn draw(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn texts_of(parts: &[Rows]) -> Vec<Text> {
    let mut texts = Vec::new();
    for part in parts {
        match part {
            Rows::Run(text, rows) => texts.extend(std::iter::repeat_n(text.clone(), *rows)),
            Rows::Drawn { from, seed, rows } => {
                let mut draw = draw(*seed);
                texts.extend((0..*rows).map(|_| from[(draw() >> 32) as usize % from.len()].clone()));
            }
            Rows::Unique { seed, bytes, rows } => {
                let mut draw = draw(*seed);
                texts.extend((0..*rows).map(|_| Some(format!("{:0bytes$x}", draw()))));
            }
        }
    }
    texts
}

/// Cuts rows into pieces: `cuts` are positions in them, more or less.
fn pieces(rows: usize, cuts: &[usize]) -> Vec<Range<usize>> {
    let cuts: BTreeSet<_> = cuts.iter().map(|cut| cut % (rows + 1)).chain([0, rows]).collect();
    cuts.iter().zip(cuts.iter().skip(1)).map(|(&from, &until)| from..until).collect()
}

/// The rows as a dictionary array that has entries nobody uses, entries twice, and nulls of both kinds.
fn awkward_dictionary(texts: &[Text]) -> DictionaryArray<Int32Type> {
    let distinct: BTreeSet<_> = texts.iter().flatten().map(String::as_str).collect();
    let mut values: Vec<Option<&str>> = vec![Some("nobody uses this"), None];
    values.extend(distinct.iter().map(|text| Some(*text)));
    values.extend(distinct.iter().rev().map(|text| Some(*text)));
    let key = |row: usize, text: &str| {
        let at = distinct.range(..text).count();
        Some((if row.is_multiple_of(2) { 2 + at } else { values.len() - 1 - at }) as i32)
    };
    let positions: std::collections::HashMap<_, _> =
        distinct.iter().enumerate().map(|(at, text)| (*text, at)).collect();
    let keys = texts.iter().enumerate().map(|(row, text)| match text {
        Some(text) if distinct.len() < 100 => key(row, text),
        Some(text) => Some(2 + positions[text.as_str()] as i32),
        None if row.is_multiple_of(3) => Some(1),
        None => None,
    });
    DictionaryArray::new(keys.collect(), Arc::new(StringArray::from(values)))
}

fn array_of(column: &str, texts: &[Text]) -> ArrayRef {
    match schema::is_dictionary(column) {
        true => Arc::new(awkward_dictionary(texts)),
        false => Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>()),
    }
}

fn encode(column: &str, arrays: &[ArrayRef]) -> EncodedColumn {
    let mut encoder = ColumnEncoder::new(column).unwrap();
    arrays.iter().for_each(|array| encoder.push(array).unwrap());
    encoder.finish().unwrap()
}

/// A row group in which all columns but one hold nothing of interest.
fn columns_around(column: EncodedColumn, name: &str) -> Vec<EncodedColumn> {
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
struct Written {
    bytes: Bytes,
    column: usize,
    metadata: Arc<ParquetMetaData>,
}

impl Written {
    fn new(name: &str, column: EncodedColumn) -> Self {
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

    fn read(&self, selection: Option<RowSelection>) -> ArrayRef {
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

    fn texts(&self, selection: Option<RowSelection>) -> Vec<Text> {
        self.read(selection).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    /// The rows of each page, by the offset index.
    fn page_rows(&self) -> Vec<Range<usize>> {
        let rows = self.metadata.row_group(0).num_rows() as usize;
        let pages = &self.metadata.offset_index().unwrap()[0][self.column].page_locations;
        let starts: Vec<_> = pages.iter().map(|page| page.first_row_index as usize).chain([rows]).collect();
        starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }
}

fn reader(bytes: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options).unwrap()
}

/// What statistics have to say of rows: nulls, least, greatest.
fn summary(texts: &[Text]) -> (usize, Option<&[u8]>, Option<&[u8]>) {
    let present = || texts.iter().flatten().map(String::as_bytes);
    (texts.len() - present().count(), present().min(), present().max())
}

fn check_statistics(written: &Written, texts: &[Text], bounded: bool) {
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

fn check_column_index(written: &Written, texts: &[Text]) {
    let index = &written.metadata.column_index().unwrap()[0][written.column];
    let pages: Vec<_> = written.page_rows().into_iter().map(|rows| summary(&texts[rows])).collect();
    if pages.iter().any(|&(_, least, greatest)| [least, greatest].iter().flatten().any(|bound| bound.len() > 64)) {
        assert!(index.null_counts().is_none(), "no index over long texts");
        return;
    }
    let parquet::file::page_index::column_index::ColumnIndexMetaData::BYTE_ARRAY(bounds) = index else {
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

fn check_bloom(written: &Written, texts: &[Text]) {
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

fn selection(rows: usize, cuts: &[usize]) -> (RowSelection, Vec<usize>) {
    let (mut selectors, mut chosen) = (Vec::new(), Vec::new());
    for (number, piece) in pieces(rows, cuts).into_iter().enumerate() {
        if number % 2 == 0 {
            selectors.push(RowSelector::skip(piece.len()));
        } else {
            selectors.push(RowSelector::select(piece.len()));
            chosen.extend(piece);
        }
    }
    (selectors.into(), chosen)
}

fn check(column: &str, texts: &[Text], cuts: &[usize]) {
    let whole = array_of(column, texts);
    let sliced: Vec<_> =
        pieces(texts.len(), cuts).into_iter().map(|piece| whole.slice(piece.start, piece.len())).collect();
    let written = Written::new(column, encode(column, &sliced));
    assert!(written.texts(None) == texts, "rows are others");
    check_statistics(&written, texts, schema::is_dictionary(column));
    if column == "ouid" {
        check_bloom(&written, texts);
    }
    let (selection, chosen) = selection(texts.len(), cuts);
    let expected: Vec<_> = chosen.iter().map(|&row| texts[row].clone()).collect();
    assert!(chosen.is_empty() || written.texts(Some(selection)) == expected, "selected rows are others");
    let again = Written::new(column, encode(column, &[array_of(column, texts)]));
    assert!(written.bytes == again.bytes, "bytes depend on how rows were handed in");
}

fn parts() -> impl Strategy<Value = Vec<Rows>> {
    prop::collection::vec(rows(), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn texts_come_back(
        parts in parts(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        column in prop::sample::select(vec!["ouid", "status", "trace_id", "extra"]),
    ) {
        check(column, &texts_of(&parts), &cuts);
    }

    #[test]
    fn texts_of_a_column_without_nulls_come_back(parts in parts(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        let texts: Vec<_> = texts_of(&parts).into_iter().map(|text| text.or(Some("none".into()))).collect();
        check("member", &texts, &cuts);
    }

    #[test]
    fn integers_come_back(
        parts in prop::collection::vec((any::<i64>(), 0_u32..64, any::<u64>(), prop_oneof![4 => 1..300_usize, 1 => Just(70_000)]), 1..6),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut values = Vec::new();
        for (start, shift, seed, rows) in parts {
            let mut draw = draw(seed);
            values.extend((0..rows).map(|_| start.wrapping_add((draw() >> shift) as i64)));
        }
        values.extend([i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN]);
        check_integers(&values, &cuts);
    }

    #[test]
    fn pages_come_back(parts in parts(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        let texts = texts_of(&parts);
        let mut pages = TextPageEncoder::new().unwrap();
        let mut column = ColumnEncoder::new("trace_id").unwrap();
        let mut staged = Vec::new();
        for piece in pieces(texts.len(), &cuts) {
            let array: StringArray = texts[piece].iter().map(Option::as_deref).collect();
            let page = pages.encode(&array).unwrap();
            assert_eq!((page.rows() as usize, page.nulls() as usize), (array.len(), array.null_count()));
            assert_eq!(page.decode().unwrap(), array);
            page.write_to(&mut staged);
        }
        let mut rest = Bytes::from(staged);
        while !rest.is_empty() {
            let (page, bytes) = TextPage::read_from(&rest).unwrap();
            assert_eq!((page.clone(), bytes), TextPage::read_shared(&rest).unwrap());
            column.push_page(&page).unwrap();
            rest = rest.slice(bytes..);
        }
        let written = Written::new("trace_id", column.finish().unwrap());
        assert!(written.texts(None) == texts);
        check_statistics(&written, &texts, false);
    }

    #[test]
    fn a_page_that_was_cut_or_changed_is_no_panic(
        parts in prop::collection::vec(rows(), 1..3), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let array: StringArray = texts_of(&parts).into_iter().take(2000).collect();
        let mut staged = Vec::new();
        TextPageEncoder::new().unwrap().encode(&array).unwrap().write_to(&mut staged);
        let at = at.index(staged.len());
        assert!(TextPage::read_from(&staged[..at]).is_err());
        staged[at] ^= byte;
        if let Ok((page, _)) = TextPage::read_from(&staged) {
            let _ = page.decode();
        }
    }
}

fn check_integers(values: &[i64], cuts: &[usize]) {
    let array: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    let sliced: Vec<_> =
        pieces(values.len(), cuts).into_iter().map(|piece| array.slice(piece.start, piece.len())).collect();
    let written = Written::new(schema::ORDINAL, encode(schema::ORDINAL, &sliced));
    assert!(written.read(None).as_primitive::<Int64Type>().values() == values);
    let (selection, chosen) = selection(values.len(), cuts);
    let expected: Vec<_> = chosen.iter().map(|&row| values[row]).collect();
    assert!(chosen.is_empty() || written.read(Some(selection)).as_primitive::<Int64Type>().values() == &expected);
    let bounds = |values: &[i64]| (values.iter().min().copied(), values.iter().max().copied());
    let parquet::file::statistics::Statistics::Int64(statistics) =
        written.metadata.row_group(0).column(written.column).statistics().unwrap()
    else {
        panic!("statistics of another type");
    };
    assert_eq!((statistics.min_opt().copied(), statistics.max_opt().copied()), bounds(values));
    let parquet::file::page_index::column_index::ColumnIndexMetaData::INT64(index) =
        &written.metadata.column_index().unwrap()[0][written.column]
    else {
        panic!("no index");
    };
    for (page, rows) in written.page_rows().into_iter().enumerate() {
        assert_eq!((index.min_value(page).copied(), index.max_value(page).copied()), bounds(&values[rows]));
    }
}

#[test]
fn few_rows_come_back() {
    for values in [&[][..], &[0], &[7, 7], &[i64::MIN], &[i64::MAX, i64::MIN], &[1; 128], &[-3; 129], &[5; 130]] {
        if !values.is_empty() {
            check_integers(values, &[]);
        }
    }
    for texts in [vec![None], vec![Some(String::new())], vec![Some("a".into())], vec![None, Some("b".into()), None]] {
        ["ouid", "status", "trace_id", "extra"].iter().for_each(|column| check(column, &texts, &[]));
    }
}

#[test]
fn a_dictionary_of_any_width_comes_back_and_gives_way_when_it_is_full() {
    for distinct in [1, 2, 3, 4, 5, 16, 17, 256, 257, 300, 5000, 65_536, 65_537, 70_000, 200_000] {
        let texts: Vec<_> = (0..distinct + 1000).map(|n| Some(format!("{:024x}", n % distinct))).collect();
        check("ouid", &texts, &[distinct / 2, distinct]);
        let written = Written::new("ouid", encode("ouid", &[array_of("ouid", &texts)]));
        let chunk = written.metadata.row_group(0).column(written.column);
        let plain = chunk.encodings().any(|encoding| encoding == Encoding::DELTA_LENGTH_BYTE_ARRAY);
        assert_eq!(plain, distinct * 28 > 4 << 20, "{distinct} texts");
        assert!(chunk.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY));
    }
}

#[test]
fn times_are_times() {
    let times: Vec<_> = (0..100_000).map(|n| MORNING + n * n % 1_000_003).collect();
    let array = TimestampMicrosecondArray::from(times.clone()).with_timezone("UTC");
    let written = Written::new(schema::TIME, encode(schema::TIME, &[Arc::new(array)]));
    let read = written.read(None);
    assert_eq!(read.data_type(), &schema::timestamp());
    assert!(read.as_primitive::<TimestampMicrosecondType>().values() == &times);
}

#[test]
fn the_file_has_the_schema_that_the_stock_writer_gives_it() {
    let batch = batch(&[MORNING]);
    let properties = parquet::file::properties::WriterProperties::builder().set_created_by("keytrail".into()).build();
    let options = parquet::arrow::arrow_writer::ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut stock = parquet::arrow::ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options).unwrap();
    stock.write(&batch).unwrap();
    let stock = Bytes::from(stock.into_inner().unwrap());
    let ours = Written::new("ouid", encode("ouid", &[array_of("ouid", &[None])]));
    let (stock, ours) = (reader(&stock).metadata().file_metadata().clone(), ours.metadata.file_metadata());
    assert_eq!(ours.schema(), stock.schema());
    assert_eq!(ours.version(), stock.version());
    assert_eq!(ours.created_by(), stock.created_by());
    assert_eq!(ours.column_orders(), stock.column_orders());
    assert_eq!(ours.key_value_metadata(), stock.key_value_metadata());
}

#[test]
fn a_page_without_texts_takes_a_few_bytes() {
    let page = TextPageEncoder::new().unwrap().encode(&StringArray::new_null(65_536)).unwrap();
    assert!(page.bytes() < 40, "{} bytes", page.bytes());
}

#[test]
fn row_groups_of_either_kind_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let mut file = EventsWriter::create(&path, Month::parse("2026-01").unwrap()).unwrap();
    let group = |texts: &[Text]| columns_around(encode("ouid", &[array_of("ouid", texts)]), "ouid");
    file.append_row_group(group(&[])).unwrap();
    file.write(&batch(&[MORNING + 1, MORNING + 2])).unwrap();
    file.append_row_group(group(&[Some("x".into())])).unwrap();
    file.write(&batch(&[MORNING + 3])).unwrap();
    assert_eq!(file.rows(), 4);
    let staged = file.finish().unwrap();
    assert_eq!((staged.rows, staged.min_time, staged.max_time), (4, MORNING, MORNING + 3));
    let bytes = Bytes::from(fs::read(path).unwrap());
    let groups: Vec<_> = reader(&bytes).metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [2, 1, 1], "rows that waited come first");
}

#[test]
fn what_does_not_fit_is_refused() {
    let text = StringArray::from(vec!["a"]);
    let nothing: DictionaryArray<Int32Type> = [None::<&str>].into_iter().collect();
    let page = TextPageEncoder::new().unwrap().encode(&text).unwrap();
    let encoder = |column| ColumnEncoder::new(column).unwrap();
    let refusals = [
        (
            ColumnEncoder::new("month").err(),
            "column `month` not encoded: expected a column of `events`, found none of that name",
        ),
        (encoder("time").push(&text).err(), "column `time` not encoded: expected Timestamp(µs, \"UTC\"), found Utf8"),
        (encoder("ouid").push(&text).err(), "column `ouid` not encoded: expected Dictionary(Int32, Utf8), found Utf8"),
        (
            encoder("member").push(&nothing).err(),
            "column `member` not encoded: expected a value in every row, found 1 rows without",
        ),
        (
            encoder("ouid").push_page(&page).err(),
            "column `ouid` not encoded: expected Dictionary(Int32, Utf8), found a page of plain texts",
        ),
        (
            encoder("extra").push_constant("a", 1).err(),
            "column `extra` not encoded: expected Utf8, found one text for many rows",
        ),
    ];
    for (error, expected) in refusals {
        assert_eq!(error.unwrap().to_string(), expected);
    }
    let folder = tempfile::tempdir().unwrap();
    let create = || EventsWriter::create(&folder.path().join("f"), Month::parse("2026-01").unwrap()).unwrap();
    let columns = || columns_around(encode("ouid", &[array_of("ouid", &[None, None])]), "ouid");
    let refused = |columns| create().append_row_group(columns).unwrap_err().to_string();
    let mut longer = columns();
    longer.pop();
    assert!(refused(longer).contains("columns: expected time Timestamp"));
    let mut longer = columns();
    *longer.last_mut().unwrap() = encode(schema::ORDINAL, &[Arc::new(Int64Array::from(vec![1, 2, 3]))]);
    let error = refused(longer);
    assert!(error.ends_with("columns of a row group: expected 2 rows in each, found 3 in `ordinal`"), "{error}");
    let mut later = columns();
    let times = TimestampMicrosecondArray::from(vec![MORNING, FEBRUARY]).with_timezone("UTC");
    later[0] = encode(schema::TIME, &[Arc::new(times)]);
    let error = refused(later);
    assert!(error.ends_with("time: expected a time in 2026-01, found 2026-02-01 00:00:00 UTC"), "{error}");
}
