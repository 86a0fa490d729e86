//! One core: decoded rows to the columns of a row group, column by column, and trace ids to pages.
//!
//! Names are `encode/column` and, for the page that is made of trace ids when they are decoded, `encode/trace_id page`. Rates are of
//! rows and of encoded bytes.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench stops at the first surprise"
)]

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keytrail_benches::Archives;
use keytrail_decode::{DecodeOptions, Decoder, Reject, Rows, Sink, SinkError};
use keytrail_store::{ColumnEncoder, EncodedColumn, TextPageEncoder};

const RECORDS: u64 = 500_000;

struct Batches(Vec<RecordBatch>);

impl Sink for Batches {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        let batch = rows.into_batch()?;
        self.0.push(batch);
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        panic!("generated records are good: {}", reject.reason)
    }
}

fn decoded() -> Vec<RecordBatch> {
    let members = Archives::generate(RECORDS, 20).deflated().expect("readable archives");
    let (mut decoder, mut batches) = (Decoder::new(DecodeOptions::default()), Batches(Vec::new()));
    let (mut decompressor, mut buffer) = (libdeflater::Decompressor::new(), Vec::new());
    for member in members {
        let json = member.inflate_whole(&mut decompressor, &mut buffer).expect("good data");
        decoder.push(json, &mut batches).expect("good data");
        decoder.finish(&mut batches).expect("good data");
    }
    batches.0
}

fn column(batches: &[RecordBatch], name: &str) -> EncodedColumn {
    let mut encoder = ColumnEncoder::new(name).expect("a column");
    for batch in batches {
        encoder.push(batch.column_by_name(name).expect("a column").as_ref()).expect("rows");
    }
    encoder.finish().expect("a column")
}

fn benches(criterion: &mut Criterion) {
    let batches = decoded();
    let mut group = criterion.benchmark_group("encode");
    group.sample_size(10);
    let schema = batches[0].schema();
    // Trace ids come as pages: what is left to do for them is to copy these.
    for name in schema.fields().iter().map(|field| field.name()).filter(|name| *name != "trace_id") {
        let bytes = column(&batches, name).bytes() as u64;
        group.throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes });
        group.bench_function(name, |bencher| bencher.iter(|| assert_eq!(column(&batches, name).rows(), RECORDS)));
    }
    let mut encoder = TextPageEncoder::new().expect("an encoder");
    let pages = |encoder: &mut TextPageEncoder| {
        let texts = batches.iter().map(|batch| batch.column_by_name("trace_id").expect("a column").as_string());
        texts.map(|texts| encoder.encode(texts).expect("a page")).collect::<Vec<_>>()
    };
    let made = pages(&mut encoder);
    let bytes = made.iter().map(|page| page.bytes() as u64).sum();
    group.throughput(Throughput::ElementsAndBytes { elements: RECORDS, bytes });
    group.bench_function("trace_id page", |bencher| {
        bencher.iter(|| assert_eq!(pages(&mut encoder).len(), batches.len()));
    });
    group.bench_function("trace_id", |bencher| {
        bencher.iter(|| {
            let mut encoder = ColumnEncoder::new("trace_id").expect("a column");
            made.iter().for_each(|page| encoder.push_page(page.clone()).expect("a page"));
            assert_eq!(encoder.finish().expect("a column").rows(), RECORDS);
        });
    });
    group.finish();
}

criterion_group!(encode_benches, benches);
criterion_main!(encode_benches);
