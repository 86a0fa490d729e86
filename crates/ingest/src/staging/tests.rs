//! Blocks hold what was put into them, whatever that is, and damage is noticed.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use keytrail_decode::{DecodeOptions, Decoder, Reject, Rows, Sink, SinkError};
use keytrail_model::schema::{self, TEXT_COLUMNS};
use keytrail_model::time;
use proptest::prelude::*;
use serde_json::json;

use super::block::BlockEncoder;
use super::*;

/// A record: time, ordinal, and one text for all columns of texts.
pub(crate) type Row = (i64, i64, Option<String>);

/// Rows as the decoder hands them out.
pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from(rows.iter().map(|row| row.0).collect::<Vec<_>>());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(times.with_timezone("UTC"))];
    for column in TEXT_COLUMNS {
        let texts = rows.iter().map(|row| row.2.as_deref());
        columns.push(match schema::is_dictionary(column) {
            true => Arc::new(texts.collect::<DictionaryArray<Int32Type>>()),
            false => Arc::new(texts.collect::<StringArray>()),
        });
    }
    columns.push(Arc::new(Int64Array::from(rows.iter().map(|row| row.1).collect::<Vec<_>>())));
    RecordBatch::try_new(schema::decoded_schema(), columns).unwrap()
}

fn view(bytes: &[u8]) -> BlockView {
    BlockView::new(Bytes::copy_from_slice(bytes)).unwrap()
}

fn moment(text: &str) -> i64 {
    time::parse(text).unwrap().micros
}

/// The same rows, whatever their dictionaries look like.
fn assert_same(found: &RecordBatch, expected: &RecordBatch, what: &str) {
    assert_eq!(found.schema(), expected.schema(), "{what}");
    let plain = |batch: &RecordBatch| -> Vec<ArrayRef> {
        let fields = batch.schema();
        let texts = fields.fields().iter().zip(batch.columns()).map(|(field, column)| {
            match schema::dictionary() == *field.data_type() {
                true => {
                    let dictionary = column.as_any().downcast_ref::<DictionaryArray<Int32Type>>().unwrap();
                    let texts = dictionary.downcast_dict::<StringArray>().unwrap();
                    Arc::new(texts.into_iter().collect::<StringArray>())
                }
                false => Arc::clone(column),
            }
        });
        texts.collect()
    };
    assert!(plain(found) == plain(expected), "{what}: {found:?}");
}

#[test]
fn a_block_holds_its_rows() {
    let text = |text: &str| Some(text.to_owned());
    let distinct = |count: i64, nulls: bool| -> Vec<Row> {
        (0..count).map(|row| (row, row, (!nulls || row % 7 > 0).then(|| format!("text {row}")))).collect()
    };
    let (first, last) = (moment("0001-01-01 00:00:00 UTC"), moment("9999-12-30 21:59:59.999999 UTC"));
    let cases: Vec<(&str, Vec<Row>)> = vec![
        ("one row", vec![(0, 0, text("a"))]),
        ("one row of nothing", vec![(0, 0, None)]),
        ("empty texts and nulls", vec![(0, 0, text("")), (1, 1, None), (2, 2, text("")), (3, 3, text("ä"))]),
        ("nulls only", (0..300).map(|row| (row, row, None)).collect()),
        ("one text only", (0..300).map(|row| (row, row, text("same"))).collect()),
        ("one text and nulls", (0..300).map(|row| (row, row, (row % 3 == 0).then(|| "x".into()))).collect()),
        ("extremes of time", vec![(first, 0, None), (last, 1, None), (-1, 2, None), (0, 3, None)]),
        ("gaps in ordinals", [3, 4, 9, 10, 11, 50, 7].into_iter().map(|ordinal| (0, ordinal, None)).collect()),
        ("extremes of ordinals", [i64::MAX - 1, i64::MAX, 0, i64::MIN].into_iter().map(|o| (0, o, None)).collect()),
        ("256 texts", distinct(256, false)),
        ("256 codes with the one of null", (0..510).map(|n| (n, n, (n < 255).then(|| n.to_string()))).collect()),
        ("257 codes with the one of null", (0..512).map(|n| (n, n, (n < 256).then(|| n.to_string()))).collect()),
        ("texts of one length", (0..300).map(|row| (row, row, Some(format!("{row:09}")))).collect()),
        (
            "one of another length",
            (0..300).map(|row| (row, row, Some(format!("{row:0$}", 2 + row as usize / 299)))).collect(),
        ),
        (
            "characters of one length",
            (0..300).map(|row| (row, row, text(["ä", "ab", "ö"][row as usize % 3]))).collect(),
        ),
        ("as long as a page", distinct(4096, true)),
        ("65536 texts", distinct(65536, false)),
        ("65537 codes with the one of null", (0..65540).map(|n| (n, n, (n < 65536).then(|| n.to_string()))).collect()),
        ("more than 65536 texts", distinct(80_000, true)),
        ("a long text", vec![(0, 0, Some("long ".repeat(1 << 20))), (0, 1, None)]),
    ];
    let mut encoder = BlockEncoder::new().unwrap();
    for (name, rows) in cases {
        let rows = batch(&rows);
        let bytes = encoder.encode(&rows, None).unwrap();
        assert_same(&view(bytes).batch().unwrap(), &rows, name);
        let some: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap()).filter(|row| row % 3 != 1).collect();
        let bytes = encoder.encode(&rows, Some(&some)).unwrap();
        let expected = take_record_batch(&rows, &UInt32Array::from(some)).unwrap();
        assert_same(&view(bytes).batch().unwrap(), &expected, name);
    }
}

#[test]
fn a_block_of_few_rows_takes_few_texts() {
    let rows: Vec<Row> = (0..30_000).map(|row| (row, row, Some(format!("text {row}")))).collect();
    let mut encoder = BlockEncoder::new().unwrap();
    assert!(encoder.encode(&batch(&rows), Some(&[7, 9000])).unwrap().len() < 1000);
}

/// Hands what comes out of a decoder on to a closure.
struct Each<F>(F);

impl<F: FnMut(Rows<'_>)> Sink for Each<F> {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        (self.0)(rows);
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        panic!("{reject:?}")
    }
}

/// A member of records with these OUIDs and trace ids, and other texts by turns.
fn member(records: &[(Option<String>, Option<String>)]) -> String {
    let record = |(row, (ouid, trace_id)): (usize, &(Option<String>, Option<String>))| {
        let action = (row % 3 > 0).then(|| format!("ACTION_{}", row % 300));
        let meta = json!({"ouid": ouid, "clientip": format!("192.0.2.{}", row % 7)});
        let time = format!("2026-01-05 08:00:{:02}.{row:06} UTC", row % 60);
        json!({"time": time, "source": "one", "action": action, "traceID": trace_id, "meta": meta}).to_string()
    };
    records.iter().enumerate().map(record).collect::<Vec<_>>().join("\n")
}

fn check_rows(records: &[(Option<String>, Option<String>)], batch_rows: usize) {
    let member = member(records);
    let decode = |sink: &mut dyn Sink| {
        let mut decoder = Decoder::new(DecodeOptions { batch_rows, ..DecodeOptions::default() });
        decoder.push(member.as_bytes(), sink).unwrap();
        decoder.finish(sink).unwrap();
    };
    let (mut batches, mut blocks) = (Vec::new(), Vec::new());
    decode(&mut Each(|rows: Rows<'_>| batches.push(rows.into_batch().unwrap())));
    let mut encoder = BlockEncoder::new().unwrap();
    decode(&mut Each(|rows: Rows<'_>| blocks.push(encoder.encode_rows(&rows).unwrap().to_vec())));
    assert_eq!(blocks.len(), batches.len());
    for (block, batch) in blocks.iter().zip(&batches) {
        assert_same(&view(block).batch().unwrap(), batch, &member);
        // The longer way, for batches of several months, gives the same rows.
        assert_same(&view(encoder.encode(batch, None).unwrap()).batch().unwrap(), batch, &member);
    }
}

#[test]
fn a_block_holds_the_rows_that_the_decoder_has() {
    let key = |row: usize| format!("2c000005{:016x}", row * 7919 % 1000);
    let trace_id = |row: usize| format!("{:043}", row * row);
    type Record = (Option<String>, Option<String>);
    // Whether a row has an OUID, and whether that is no key.
    type Is = fn(usize) -> bool;
    let cases: [(&str, Is, Is); 6] = [
        ("keys", |_| true, |_| false),
        ("keys and other texts", |_| true, |row| row % 50 == 7),
        ("keys, other texts and nulls", |row| row % 5 > 0, |row| row % 50 == 7),
        ("mostly other texts", |row| row % 5 > 0, |row| row % 3 > 0),
        ("nothing", |_| false, |_| false),
        ("one key", |row| row == 4000, |_| false),
    ];
    for (name, is_there, is_other) in cases {
        for rows in [1, 7, 5000] {
            let ouid = |row: usize| if is_other(row) { format!("Key {}", row % 90) } else { key(row) };
            let record = |row: usize| (is_there(row).then(|| ouid(row)), is_there(row + 1).then(|| trace_id(row)));
            let records: Vec<Record> = (0..rows).map(record).collect();
            println!("{name}, {rows}");
            check_rows(&records, 4999);
        }
    }
}

#[test]
fn records_are_staged_by_month() {
    let times = [
        "2026-01-31 23:59:59.999999 UTC",
        "2026-02-01 00:00:00 UTC",
        "2026-01-31 23:59:59 UTC",
        "2026-03-01 00:00:00 UTC",
        "2026-01-01 00:00:00 UTC",
    ];
    let rows: Vec<Row> = (0..).zip(times).map(|(row, time)| (moment(time), row, Some(time.to_owned()))).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut writer = StagingWriter::create(folder.path(), 0, 12, Arc::default()).unwrap();
    let mut blocks = Vec::new();
    writer.append_records(&batch(&rows[..0]), 4, 0, &mut blocks).unwrap();
    writer.append_records(&batch(&rows[1..2]), 4, 0, &mut blocks).unwrap();
    let rejects = writer.append(&batch(&rows)).unwrap();
    writer.append_records(&batch(&rows), 5, 1, &mut blocks).unwrap();

    let reader = StagingReader::open(folder.path(), Arc::default()).unwrap();
    // Month, member, position of the first row, rows of the batch.
    let expected = [
        ("2026-02", 4, 0, vec![1]),
        ("2026-01", 5, 1, vec![0, 2, 4]),
        ("2026-02", 5, 4, vec![1]),
        ("2026-03", 5, 5, vec![3]),
    ];
    assert_eq!(blocks.len(), expected.len());
    for (block, (month, member, first_row, held)) in blocks.iter().zip(expected) {
        assert_eq!((block.month.to_string().as_str(), block.member, block.first_row), (month, member, first_row));
        let held: Vec<Row> = held.into_iter().map(|row: usize| rows[row].clone()).collect();
        let times = held.iter().map(|row| row.0);
        assert_eq!(block.rows as usize, held.len());
        assert_eq!(block.times, (times.clone().min().unwrap(), times.max().unwrap()));
        let mut bytes = vec![0; block.place.bytes()];
        reader.read(block.place, &mut bytes).unwrap();
        assert_same(&view(&bytes).batch().unwrap(), &batch(&held), month);
    }
    assert_eq!(reader.batch(rejects).unwrap(), batch(&rows));
}

#[test]
fn records_stay_in_memory_where_there_is_room() {
    let times = ["2026-01-05 00:00:00 UTC", "2026-02-05 00:00:00 UTC"];
    let rows: Vec<Row> = (0..).zip(times).map(|(row, time)| (moment(time), row, Some(time.to_owned()))).collect();
    let folder = tempfile::tempdir().unwrap();
    let room = Arc::new(MemoryRoom::of(1 << 30, 1, 1, 0));
    let mut writer = StagingWriter::create(folder.path(), 0, 12, Arc::clone(&room)).unwrap();
    let mut blocks = Vec::new();
    writer.append_records(&batch(&rows), 0, 0, &mut blocks).unwrap();
    let end = writer.end();
    writer.append_records(&batch(&rows), 1, 0, &mut Vec::new()).unwrap();
    writer.take_back(end).unwrap();
    assert_eq!(writer.end(), end);
    writer.append_records(&batch(&rows[1..]), 2, 0, &mut blocks).unwrap();
    let rejects = writer.append(&batch(&rows)).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the file for rejects and no other");

    let reader = StagingReader::open(folder.path(), room).unwrap();
    assert_eq!(reader.batch(rejects).unwrap(), batch(&rows));
    assert!(reader.in_memory(rejects).unwrap().is_none());
    for (block, row) in blocks.iter().zip([0, 1, 1]) {
        let mut read = vec![0; block.place.bytes()];
        reader.read(block.place, &mut read).unwrap();
        assert_eq!(reader.in_memory(block.place).unwrap().unwrap(), read);
        assert_same(&view(&read).batch().unwrap(), &batch(&rows[row..=row]), times[row]);
    }
    blocks.iter().for_each(|block| reader.was_used(block.place));
    let gone = reader.in_memory(blocks[0].place).map(|_| ()).unwrap_err().to_string();
    assert!(gone.contains("given back"), "{gone}");
    assert!(reader.read(blocks[1].place, &mut vec![0; blocks[1].place.bytes()]).is_err());
}

#[test]
fn a_block_in_memory_is_small() {
    // A hundred thousand archives of a block each have to fit.
    assert!(size_of::<StagedBlock>() <= 64);
}

proptest! {
    #[test]
    fn damage_to_keys_is_an_error_or_other_rows_and_never_a_panic(
        records in prop::collection::vec((prop::option::of("[0-9a-f]{24}|[A-F]{24}"), Just(None)), 1..60),
        place: prop::sample::Index,
        change: Option<u8>,
    ) {
        check_rows(&records, 7);
        let mut decoder = Decoder::new(DecodeOptions::default());
        let mut encoder = BlockEncoder::new().unwrap();
        let mut bytes = Vec::new();
        let mut sink = Each(|rows: Rows<'_>| bytes = encoder.encode_rows(&rows).unwrap().to_vec());
        decoder.push(member(&records).as_bytes(), &mut sink).unwrap();
        decoder.finish(&mut sink).unwrap();
        let place = place.index(bytes.len());
        match change {
            Some(change) => bytes[place] ^= change,
            None => bytes.truncate(place),
        }
        let _ = BlockView::new(bytes.into()).and_then(|view| view.batch());
    }

    #[test]
    fn damage_is_an_error_or_other_rows_and_never_a_panic(
        texts in prop::collection::vec(prop::option::of("[a-c]{0,3}"), 1..40),
        place: prop::sample::Index,
        change: Option<u8>,
    ) {
        let rows: Vec<Row> = (0..).zip(texts).map(|(row, text)| (row, row, text)).collect();
        let mut encoder = BlockEncoder::new().unwrap();
        let mut bytes = encoder.encode(&batch(&rows), None).unwrap().to_vec();
        let place = place.index(bytes.len());
        match change {
            Some(change) => bytes[place] ^= change,
            None => bytes.truncate(place),
        }
        let _ = BlockView::new(bytes.into()).and_then(|view| view.batch());
    }
}

#[test]
fn a_month_is_given_up_with_its_last_block() {
    let times = ["2026-01-05 00:00:00 UTC", "2026-02-05 00:00:00 UTC", "2027-01-05 00:00:00 UTC"];
    let rows: Vec<Row> = (0..).zip(times).map(|(row, time)| (moment(time), row, None)).collect();
    // How many files months may have; which months share one; and so after which block there is less.
    for (month_files, shrinks) in [(12, [false, true, true]), (1, [false, false, true]), (0, [false, false, true])] {
        let folder = tempfile::tempdir().unwrap();
        let staged = || {
            let files = std::fs::read_dir(folder.path()).unwrap();
            files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
        };
        let mut writer = StagingWriter::create(folder.path(), 0, month_files, Arc::default()).unwrap();
        let rejects = writer.append(&batch(&rows)).unwrap();
        let mut blocks = Vec::new();
        writer.append_records(&batch(&rows), 0, 0, &mut blocks).unwrap();
        let end = writer.end();
        writer.append_records(&batch(&rows), 1, 0, &mut Vec::new()).unwrap();
        writer.take_back(end).unwrap();
        let reader = StagingReader::open(folder.path(), Arc::default()).unwrap();
        for (block, shrinks) in blocks.iter().zip(shrinks) {
            let mut bytes = vec![0; block.place.bytes()];
            reader.read(block.place, &mut bytes).unwrap();
            let before = staged();
            reader.was_used(block.place);
            assert_eq!(staged() < before, shrinks, "{month_files} {block:?}");
        }
        assert_eq!(staged(), rejects.bytes() as u64);
        assert_eq!(reader.batch(rejects).unwrap().num_rows(), 3);
    }
}

/// While workers append to the file that they are in.
#[cfg(target_os = "linux")]
#[test]
fn what_was_written_early_is_given_back_whatever_else_is_in_its_file() {
    use std::os::unix::fs::MetadataExt;

    let rows: Vec<Row> = (0..20_000).map(|row| (moment("2026-01-05 00:00:00 UTC") + row, row, None)).collect();
    let batch = batch(&rows);
    let folder = tempfile::tempdir().unwrap();
    let taken = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum::<u64>()
    };
    let mut writer = StagingWriter::create(folder.path(), 0, 12, Arc::default()).unwrap();
    let mut blocks = Vec::new();
    (0..4).for_each(|member| writer.append_records(&batch, member, 0, &mut blocks).unwrap());
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|block: usize| blocks[block].place);
    let reader = StagingReader::open_some(folder.path(), Arc::default(), [first, fourth].into_iter()).unwrap();
    let read = |reader: &StagingReader, place: Place| {
        let mut bytes = vec![0; place.bytes()];
        reader.read(place, &mut bytes).unwrap();
        view(&bytes).batch().unwrap()
    };
    assert_eq!(read(&reader, first), batch);
    let before = taken();
    [first, second, fourth].into_iter().for_each(|place| reader.was_used(place));
    assert_eq!(taken(), before, "a file that grows is not cut off");
    reader.release([fourth, first, second].into_iter());
    // Whole pages only.
    let given_back = before - taken();
    assert!(given_back + 4 * 4096 > 3 * first.bytes() as u64, "{given_back} of {before}");
    writer.append_records(&batch, 4, 0, &mut blocks).unwrap();
    let all = StagingReader::open(folder.path(), Arc::default()).unwrap();
    assert_eq!((read(&all, third), read(&all, blocks[4].place)), (batch.clone(), batch.clone()));
    [first, second, fourth].into_iter().for_each(|place| all.was_used(place));
    assert_eq!(read(&all, third), batch);
    [third, blocks[4].place].into_iter().for_each(|place| all.was_used(place));
    assert_eq!(taken(), 0);
}
