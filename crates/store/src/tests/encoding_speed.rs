//! What the encoder of row groups costs, by column. Not a test of right or wrong; it wants a data file of realistic events:
//! `KEYTRAIL_EVENTS=FILE.parquet cargo test -p keytrail-store encoding_speed -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use arrow::array::AsArray as _;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::*;
use crate::{ColumnEncoder, EncodedColumn, TextPageEncoder};

/// Rows of a batch, as many as a block of the pipeline has.
const BATCH_ROWS: usize = 32_768;

fn events() -> (Vec<RecordBatch>, Vec<(String, f64)>) {
    let path = std::env::var("KEYTRAIL_EVENTS").expect("KEYTRAIL_EVENTS names a data file");
    let options = ArrowReaderOptions::new().with_schema(schema::events_file_schema());
    let file = fs::File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    let metadata = Arc::clone(builder.metadata());
    let rows = metadata.file_metadata().num_rows() as f64;
    let sizes = (0..metadata.file_metadata().schema_descr().num_columns()).map(|column| {
        let chunks = metadata.row_groups().iter().map(|group| group.column(column));
        let name = metadata.row_group(0).column(column).column_path().string();
        (name, chunks.map(|chunk| chunk.compressed_size()).sum::<i64>() as f64 / rows)
    });
    let sizes = sizes.collect();
    (builder.with_batch_size(BATCH_ROWS).build().unwrap().map(Result::unwrap).collect(), sizes)
}

/// Best of some rounds, in nanoseconds a row.
fn measure(rows: usize, mut round: impl FnMut()) -> f64 {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed()
    });
    times.min().unwrap_or(Duration::ZERO).as_nanos() as f64 / rows as f64
}

#[test]
#[ignore = "a measurement of a file of events"]
fn encoding_by_column() {
    let (batches, before) = events();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut columns = Vec::new();
    let (mut all_time, mut all_bytes) = (0.0, 0.0);
    println!("{rows} rows     ns a row  bytes a row  in the file given");
    for (index, (name, size)) in before.iter().enumerate() {
        let plain = !schema::is_dictionary(name);
        let mut encoder = TextPageEncoder::new().unwrap();
        let mut pages = || -> Vec<_> {
            let texts = batches.iter().map(|batch| batch.column(index).as_string());
            texts.map(|texts| encoder.encode(texts).unwrap()).collect()
        };
        let made = if plain { pages() } else { Vec::new() };
        if plain {
            let time = measure(rows, || drop(pages()));
            println!("{name:>14} {time:>8.2}  into pages");
        }
        let encode = || -> EncodedColumn {
            let mut encoder = ColumnEncoder::new(name).unwrap();
            if plain {
                made.iter().for_each(|page| encoder.push_page(page.clone()).unwrap());
            } else {
                batches.iter().for_each(|batch| encoder.push(batch.column(index)).unwrap());
            }
            encoder.finish().unwrap()
        };
        let time = measure(rows, || drop(encode()));
        let encoded = encode();
        let bytes = encoded.bytes() as f64 / rows as f64;
        println!("{name:>14} {time:>8.2} {bytes:>8.4} {size:>8.4}");
        (all_time, all_bytes) = (all_time + time, all_bytes + bytes);
        columns.push(encoded);
    }
    println!("{:>14} {all_time:>8.2} {all_bytes:>8.4}", "together");
    let folder = tempfile::tempdir().unwrap();
    let month = Month::of(batches[0].column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(0));
    let start = Instant::now();
    let mut file = EventsWriter::create(&folder.path().join("f"), month.unwrap()).unwrap();
    file.append_row_group(columns).unwrap();
    let appended = start.elapsed();
    let staged = file.finish().unwrap();
    println!(
        "{:>14} {:>8.2}, synced after {:?}",
        "into the file",
        appended.as_nanos() as f64 / rows as f64,
        start.elapsed()
    );
    println!("{:>14} {:>17.4}", "file", staged.bytes as f64 / rows as f64);
    if let Ok(copy) = std::env::var("KEYTRAIL_COPY") {
        fs::copy(&staged.path, copy).unwrap();
    }
}
