//! The encoder of row groups against the reader of the `parquet` crate: what goes in comes out, and all that the footer says of it holds.

mod samples;
mod written;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use keytrail_model::key::Key;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::basic::Encoding;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::{CodedTexts, Codes, ColumnEncoder, EncodedColumn, KeyTexts, TextPage, TextPageEncoder, TextSlice};

use samples::{Text, array_of, draw, encode, parts, pieces, rows, texts_of};
use written::{Written, check_bloom, check_statistics, columns_around, reader};

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
            let start = staged.len();
            page.write_to(&mut staged);
            let mut at_once = Vec::new();
            pages.encode_to(&TextSlice::of(&array), &mut at_once).unwrap();
            assert_eq!(at_once, staged[start..]);
        }
        let mut rest = Bytes::from(staged);
        while !rest.is_empty() {
            let (page, bytes) = TextPage::read_from(&rest).unwrap();
            let mut again = Vec::new();
            page.write_to(&mut again);
            assert_eq!(again, rest.split_to(bytes));
            column.push_page(page).unwrap();
        }
        let written = Written::new("trace_id", column.finish().unwrap());
        assert!(written.texts(None) == texts);
        check_statistics(&written, &texts, false);
    }

    #[test]
    fn texts_of_one_length_give_the_bytes_that_arrays_give(
        parts in prop::collection::vec((0..70_usize, prop_oneof![8 => 0..9_usize, 1 => Just(40_000)], any::<bool>(), any::<u64>()), 1..6),
    ) {
        let (mut even, mut column) = (ColumnEncoder::new("trace_id").unwrap(), ColumnEncoder::new("trace_id").unwrap());
        for (length, rows, is_null, seed) in parts {
            let mut draw = draw(seed);
            let bytes: Vec<u8> = (0..length * rows).map(|_| b'A' + (draw() % 26) as u8).collect();
            let texts = |row: usize| (!is_null).then(|| std::str::from_utf8(&bytes[row * length..][..length]).unwrap());
            let array: StringArray = (0..rows).map(texts).collect();
            let slice = match is_null {
                true => TextSlice::null(rows),
                false => TextSlice::even(&bytes, i32::try_from(length).unwrap(), rows),
            };
            assert_eq!(slice.len(), rows);
            assert!(slice.iter().eq(array.iter().map(|text| text.map(str::as_bytes))));
            let expected = (rows > 0 && !is_null).then_some((bytes.as_slice(), i32::try_from(length).unwrap()));
            assert_eq!((TextSlice::of(&array).as_even(), slice.as_even()), (expected, expected));
            assert_eq!((TextSlice::of(&array).is_null(), slice.is_null()), (is_null && rows > 0, is_null));
            even.push_texts(&slice).unwrap();
            column.push(&array).unwrap();
        }
        even.push_texts(&TextSlice::even(b"last", 4, 1)).unwrap();
        column.push(&StringArray::from(vec!["last"])).unwrap();
        let [even, column] = [even, column].map(|column| Written::new("trace_id", column.finish().unwrap()).bytes);
        assert!(even == column);
    }

    #[test]
    fn codes_give_the_bytes_that_arrays_give(parts in parts(), cuts in prop::collection::vec(any::<usize>(), 0..6), wide in 0..3_usize) {
        let texts = texts_of(&parts);
        for name in ["ouid", "role"] {
            let mut column = ColumnEncoder::new(name).unwrap();
            let mut arrays = Vec::new();
            for piece in pieces(texts.len(), &cuts) {
                let array: DictionaryArray<Int32Type> = texts[piece].iter().map(Option::as_deref).collect();
                let coded = Coded::of(&array, wide);
                assert_eq!(coded.texts().nulls().map_or(0, |nulls| nulls.null_count()), array.null_count());
                column.push_coded(&coded.texts()).unwrap();
                arrays.push(Arc::new(array) as ArrayRef);
            }
            let written = Written::new(name, column.finish().unwrap());
            assert!(written.bytes == Written::new(name, encode(name, &arrays)).bytes);
            assert!(written.texts(None) == texts);
        }
    }

    #[test]
    fn keys_give_the_bytes_that_arrays_give(
        rows in prop::collection::vec((0..40_u8, any::<u16>()), 1..3000),
        keys in select(vec![1, 20, 1000]),
        odd in select(vec![1, 2, 8]),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let text = |&(kind, number): &(u8, u16)| match kind {
            kind if kind >= odd => Some(key_text(u32::from(number) % keys)),
            0 => None,
            kind => Some(format!("other {}", u16::from(kind) + number % 50)),
        };
        check_keys(&rows.iter().map(text).collect::<Vec<_>>(), &cuts);
    }

    #[test]
    fn a_page_that_was_cut_or_changed_is_refused(
        parts in prop::collection::vec(rows(), 1..3), at in any::<prop::sample::Index>(), byte in 1..=u8::MAX,
    ) {
        let array: StringArray = texts_of(&parts).into_iter().take(2000).collect();
        let mut staged = Vec::new();
        TextPageEncoder::new().unwrap().encode(&array).unwrap().write_to(&mut staged);
        let at = at.index(staged.len());
        assert!(TextPage::read_from(&Bytes::copy_from_slice(&staged[..at])).is_err());
        staged[at] ^= byte;
        assert!(TextPage::read_from(&staged.into()).is_err());
    }
}

/// An array as it is staged.
struct Coded {
    texts: String,
    ends: Vec<u32>,
    one: Vec<u8>,
    two: Vec<[u8; 2]>,
    four: Vec<[u8; 4]>,
    has_nulls: bool,
}

impl Coded {
    /// In codes of at least so many times two bytes.
    fn of(array: &DictionaryArray<Int32Type>, wide: usize) -> Self {
        let texts: &StringArray = array.values().as_string();
        let ends = texts.value_offsets()[1..].iter().map(|&end| u32::try_from(end).unwrap()).collect();
        let codes = || array.keys().iter().map(|key| key.map_or(texts.len(), |key| usize::try_from(key).unwrap()));
        let fit = |limit: usize| texts.len() < limit;
        Self {
            texts: texts.iter().flatten().collect(),
            ends,
            one: if wide == 0 && fit(256) { codes().map(|code| code as u8).collect() } else { Vec::new() },
            two: if wide == 1 && fit(65536) {
                codes().map(|code| (code as u16).to_le_bytes()).collect()
            } else {
                Vec::new()
            },
            four: codes().map(|code| (code as u32).to_le_bytes()).collect(),
            has_nulls: array.null_count() > 0,
        }
    }

    fn texts(&self) -> CodedTexts<'_> {
        let rows = self.four.len();
        let codes = if !self.one.is_empty() {
            Codes::One(&self.one)
        } else if !self.two.is_empty() {
            Codes::Two(&self.two)
        } else if self.four.iter().all(|code| *code == [0; 4]) {
            Codes::Zero(rows)
        } else {
            Codes::Four(&self.four)
        };
        CodedTexts::new(&self.texts, self.ends.clone(), codes, self.has_nulls)
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
    let Statistics::Int64(statistics) = written.metadata.row_group(0).column(written.column).statistics().unwrap()
    else {
        panic!("statistics of another type");
    };
    assert_eq!((statistics.min_opt().copied(), statistics.max_opt().copied()), bounds(values));
    let ColumnIndexMetaData::INT64(index) = &written.metadata.column_index().unwrap()[0][written.column] else {
        panic!("no index");
    };
    for (page, rows) in written.page_rows().into_iter().enumerate() {
        assert_eq!((index.min_value(page).copied(), index.max_value(page).copied()), bounds(&values[rows]));
    }
}

/// Keys whose first digits are alike, or not.
fn key_text(number: u32) -> String {
    format!("{:02x}000005{number:08x}{:04x}0800", number % 3, number.wrapping_mul(40_503) & 0xffff)
}

/// A column of rows that come as digits, as far as they are keys, has the bytes of one that comes as texts.
fn check_keys(texts: &[Text], cuts: &[usize]) {
    let mut column = ColumnEncoder::new("ouid").unwrap();
    let mut arrays = Vec::new();
    for piece in pieces(texts.len(), cuts) {
        let piece = &texts[piece];
        let key = |text: &Text| text.as_deref().and_then(Key::of_text);
        let digits: Vec<_> = piece.iter().map(|text| key(text).unwrap_or_default().to_bytes()).collect();
        let others = piece.iter().enumerate().filter(|(_, text)| key(text).is_none());
        let others = others.filter_map(|(row, text)| Some((row, text.as_deref()?))).collect();
        let valid = piece.iter().map(Option::is_some).collect();
        column.push_keys(&KeyTexts::new(&digits, others, Some(valid))).unwrap();
        let array: DictionaryArray<Int32Type> = piece.iter().map(Option::as_deref).collect();
        arrays.push(Arc::new(array) as ArrayRef);
    }
    let written = Written::new("ouid", column.finish().unwrap());
    assert!(written.texts(None) == texts, "rows are others");
    assert!(written.bytes == Written::new("ouid", encode("ouid", &arrays)).bytes, "bytes are others");
    check_statistics(&written, texts, true);
}

#[test]
fn keys_give_way_to_plain_texts_when_the_dictionary_is_full() {
    let text = |number: u32| match number % 1000 {
        500 => None,
        501 => Some(format!("other {number}")),
        // Some twice, near and far.
        502 => Some(key_text(number - 1)),
        503 => Some(key_text(number / 2)),
        _ => Some(key_text(number)),
    };
    let texts: Vec<Text> = (0..200_000).map(text).collect();
    check_keys(&texts, &[70_000, 120_001, 149_900]);
}

#[test]
fn few_rows_come_back() {
    for values in [&[0][..], &[7, 7], &[i64::MIN], &[i64::MAX, i64::MIN], &[1; 128], &[-3; 129], &[5; 130]] {
        check_integers(values, &[]);
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
fn columns_and_pages_are_made_on_any_thread() {
    fn sendable<T: Send>() {}
    sendable::<ColumnEncoder>();
    sendable::<EncodedColumn>();
    sendable::<TextPage>();
    sendable::<TextPageEncoder>();
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
            encoder("member").push_coded(&CodedTexts::new("", vec![], Codes::Zero(2), true)).err(),
            "column `member` not encoded: expected a value in every row, found 2 rows without",
        ),
        (
            encoder("role").push_coded(&CodedTexts::new("ab", vec![1, 2], Codes::One(&[0, 2]), false)).err(),
            "column `role` not encoded: Parquet error: key 2 into a list of 2 texts",
        ),
        (
            encoder("role").push_coded(&CodedTexts::new("ä", vec![1, 2], Codes::One(&[0, 1]), false)).err(),
            "column `role` not encoded: Parquet error: key 0 into a list of 2 texts",
        ),
        (
            encoder("extra").push_coded(&CodedTexts::new("", vec![], Codes::Zero(0), false)).err(),
            "column `extra` not encoded: expected Utf8, found texts that repeat",
        ),
        (
            encoder("ouid").push_page(page).err(),
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
