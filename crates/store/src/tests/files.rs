//! The Parquet files as others see them.

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};

use super::*;

fn staged(times: &[i64]) -> (Room, StagedFile) {
    let room = Room::new();
    let writer = room.writer();
    let file = stage(&writer, "f", times);
    (room, file)
}

#[test]
fn texts_are_plain_strings() {
    let (_room, staged) = staged(&[MORNING]);
    let file = fs::File::open(&staged.path).unwrap();
    let schema = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().clone();
    let columns: Vec<_> =
        schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
    let expected: Vec<_> = schema::events_file_schema()
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Dictionary(_, _) => (field.name().clone(), DataType::Utf8),
            other => (field.name().clone(), other.clone()),
        })
        .collect();
    assert_eq!(columns, expected.iter().map(|(name, kind)| (name.as_str(), kind.clone())).collect::<Vec<_>>());
}

#[test]
fn page_index_bloom_filter_and_encodings_are_there() {
    let (_room, staged) = staged(&(0..50_000).map(|n| MORNING + n).collect::<Vec<_>>());
    let file = fs::File::open(&staged.path).unwrap();
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = reader.parse_and_finish(&file).unwrap();
    assert!(metadata.column_index().is_some() && metadata.offset_index().is_some());
    assert_eq!(metadata.file_metadata().created_by(), Some("keytrail"));
    let group = metadata.row_group(0);
    let column = |name: &str| group.columns().iter().position(|column| column.column_path().string() == name).unwrap();
    for (name, dictionary, encoding) in [
        ("time", false, Encoding::DELTA_BINARY_PACKED),
        ("ordinal", false, Encoding::DELTA_BINARY_PACKED),
        ("trace_id", false, Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ("ouid", true, Encoding::RLE_DICTIONARY),
        ("archive", true, Encoding::RLE_DICTIONARY),
    ] {
        let column = group.column(column(name));
        assert_eq!(column.dictionary_page_offset().is_some(), dictionary, "{name}");
        assert!(column.encodings().any(|found| found == encoding), "{name}");
        assert_eq!(column.bloom_filter_offset().is_some(), name == "ouid", "{name}");
    }
    let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options = ReadOptionsBuilder::new().with_reader_properties(properties).build();
    let reader = SerializedFileReader::new_with_options(file, options).unwrap();
    let group = reader.get_row_group(0).unwrap();
    let filter = group.get_column_bloom_filter(column("ouid")).unwrap();
    assert!(filter.check("ouid-2") && !filter.check("absent"));
    assert!(staged.bytes < 1_000_000, "a filter of three keys is small: {} bytes", staged.bytes);
}

#[test]
fn a_staged_file_knows_itself() {
    let (_room, staged) = staged(&[MORNING + 5, MORNING + 1, MORNING + 3]);
    let bytes = fs::read(&staged.path).unwrap();
    assert_eq!((staged.rows, staged.bytes), (3, bytes.len() as u64));
    assert_eq!((staged.min_time, staged.max_time), (MORNING + 1, MORNING + 5));
    assert_eq!(staged.sha256, crate::sealed_file::sha256(&bytes));
    assert_eq!(staged.month.to_string(), "2026-01");
}

/// Rows with an `extra` of so many bytes, which no compression makes much shorter.
fn long_rows(rows: usize, extra_bytes: usize) -> RecordBatch {
    let plain = batch(&(0..rows as i64).map(|row| MORNING + row).collect::<Vec<_>>());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state % 94) as u8)
    };
    let texts: Vec<String> = (0..rows).map(|_| (0..extra_bytes).map(|_| letter()).collect()).collect();
    let mut columns = plain.columns().to_vec();
    columns[plain.schema().index_of(schema::EXTRA).unwrap()] = Arc::new(StringArray::from(texts));
    RecordBatch::try_new(plain.schema(), columns).unwrap()
}

fn rows_of_groups(path: &Path, batches: &[RecordBatch]) -> Vec<i64> {
    let mut file = EventsWriter::create(path, Month::parse("2026-01").unwrap()).unwrap();
    batches.iter().for_each(|batch| file.write(batch).unwrap());
    file.finish().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
}

#[test]
fn row_groups_are_bounded_in_rows_and_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let usual = batch(&(0..32_768).map(|row| MORNING + row * 977).collect::<Vec<_>>());
    assert_eq!(rows_of_groups(&path, &vec![usual; 33]), [1 << 20, 32_768], "usual rows: a million to a group");

    let long = long_rows(8192, 24 << 10);
    let groups = rows_of_groups(&path, &[long]);
    assert_eq!(groups.iter().sum::<i64>(), 8192);
    let megabytes: Vec<_> = groups.iter().map(|rows| rows * 24 / 1024).collect();
    assert!(
        groups.len() > 1 && megabytes.iter().all(|&megabytes| megabytes < 90),
        "{megabytes:?} MB of `extra` a group"
    );
}

#[test]
fn equal_rows_give_equal_files() {
    let times: Vec<_> = (0..10_000).map(|n| MORNING + n % 77).collect();
    assert_eq!(staged(&times).1.sha256, staged(&times).1.sha256);
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let room = Room::new();
    let writer = room.writer();
    let create = || EventsWriter::create(&writer.staging_dir().join("f"), Month::parse("2026-01").unwrap()).unwrap();
    let error = create().write(&batch(&[MORNING, FEBRUARY])).unwrap_err().to_string();
    assert!(error.ends_with("time: expected a time in 2026-01, found 2026-02-01 00:00:00 UTC"), "{error}");
    let error = create().write(&batch(&[MORNING]).project(&[0, 1]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("columns: expected time Timestamp"), "{error}");
    let error = create().finish().unwrap_err().to_string();
    assert!(error.ends_with("rows of a data file: expected at least one, found none"), "{error}");
}

#[test]
fn rejects_are_written_also_when_there_are_none() {
    let room = Room::new();
    let writer = room.writer();
    let path = writer.staging_dir().join("r");
    for rows in [0, 1] {
        let mut rejects = RejectsWriter::create(&path).unwrap();
        (0..rows).for_each(|_| rejects.write(&reject("aa")).unwrap());
        assert_eq!(rejects.finish().unwrap().rows, rows);
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap();
        let found: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        assert_eq!(found, (0..rows).map(|_| reject("aa")).collect::<Vec<_>>());
    }
}
