//! How fast archives are read, without what is done with their records. Run by name (what is measured is optimised in the dev profile):
//! `cargo test -p keytrail-ingest reading_against_libdeflate -- --ignored --nocapture`.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keytrail_generate::{GenerateOptions, generate};
use keytrail_model::ledger::Note;
use libdeflater::{Crc, Decompressor};
use sha2::{Digest, Sha256};

use crate::container::{self, Budget, Buffers, Content, Members, Source};
use crate::digest::{FileDigest, FileRead};
use crate::pages::Buffer;

/// Takes members to their end and counts their bytes.
#[derive(Default)]
struct Counted(u64);

impl Members for Counted {
    type Stop = Infallible;

    fn member(&mut self, _: &str, content: &mut dyn Content) -> Result<(), Infallible> {
        loop {
            match content.piece() {
                Ok([]) => return Ok(()),
                Ok(piece) => self.0 += piece.len() as u64,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn admits(&self, _: u64) -> bool {
        true
    }

    fn members_max(&self) -> u64 {
        u64::MAX
    }

    fn damaged(&mut self, name: Option<&str>, reason: String) {
        panic!("{name:?}: {reason}");
    }

    fn unreadable(&mut self, error: &io::Error) {
        panic!("{error}");
    }

    fn fault(&mut self, fault: Note) {
        panic!("{}", fault.text);
    }

    fn note(&mut self, note: Note) {
        panic!("{}", note.text);
    }
}

/// As a thread of a run reads.
fn as_a_run(paths: &[PathBuf], file: &mut Buffer, buffers: &mut Buffers) -> u64 {
    let mut members = Counted::default();
    for path in paths {
        let FileRead::Read(digest, _) = FileDigest::read(path, file, 96 << 20).unwrap() else {
            panic!("{}: does not fit", path.display());
        };
        buffers.begin(file.held());
        let source = Source::Memory(file.filled(usize::try_from(digest.bytes).unwrap()));
        container::visit(source, ("a", digest.bytes), buffers, false, &mut members).unwrap();
    }
    members.0
}

/// What libdeflate needs to inflate the same, without files: data, length.
fn members_of(paths: &[PathBuf]) -> Vec<(Vec<u8>, usize)> {
    let members = paths.iter().map(|path| {
        let bytes = std::fs::read(path).unwrap();
        let mut archive = zip::ZipArchive::new(io::Cursor::new(&bytes)).unwrap();
        let member = archive.by_index_raw(0).unwrap();
        let start = usize::try_from(member.data_start().unwrap()).unwrap();
        let data = bytes[start..start + usize::try_from(member.compressed_size()).unwrap()].to_vec();
        (data, usize::try_from(member.size()).unwrap())
    });
    members.collect()
}

fn best(mut run: impl FnMut() -> u64) -> (Duration, u64) {
    let runs = (0..7).map(|_| {
        let start = Instant::now();
        let bytes = run();
        (start.elapsed(), bytes)
    });
    runs.min().unwrap()
}

fn archives(folder: &Path, archives: u32, records: u64) -> Vec<PathBuf> {
    let options = GenerateOptions { records, days: 100, archives, ..GenerateOptions::default() };
    generate(&options, folder).unwrap();
    let found = crate::discover::discover(&[folder.join("archives")], Path::new("nowhere")).unwrap();
    found.files.into_iter().map(|file| file.path).collect()
}

#[test]
#[ignore = "a measurement"]
fn reading_against_libdeflate() {
    // 8 archives of 5 MB, 2000 of 50 KB.
    for (count, records) in [(8, 500_000), (2000, 1_250_000)] {
        let folder = tempfile::tempdir().unwrap();
        let paths = archives(folder.path(), count, records);
        let members = members_of(&paths);
        let mut decompressor = Decompressor::new();
        let mut out = vec![0; members.iter().map(|(_, length)| *length).max().unwrap()];
        let (alone, bytes) = best(|| {
            let inflate = |(data, length): &(Vec<u8>, usize)| {
                decompressor.deflate_decompress(data, &mut out[..*length]).unwrap() as u64
            };
            members.iter().map(inflate).sum()
        });
        let (hashing, file_bytes) = best(|| {
            let hash = |(data, _): &(Vec<u8>, usize)| {
                std::hint::black_box(Sha256::digest(data));
                data.len() as u64
            };
            members.iter().map(hash).sum()
        });
        let (checking, _) = best(|| {
            let check = |(data, length): &(Vec<u8>, usize)| {
                let mut crc = Crc::new();
                crc.update(&out[..*length]);
                std::hint::black_box(crc.sum());
                data.len() as u64
            };
            members.iter().map(check).sum()
        });
        let mut file = Buffer::default();
        let mut timed = |bytes| {
            let mut buffers = Buffers::new(Budget { bytes, large_bytes: u64::MAX, part_bytes: 0 }, Arc::default());
            best(|| as_a_run(&paths, &mut file, &mut buffers))
        };
        let (whole, whole_bytes) = timed(96 << 20);
        let (streamed, _) = timed(0);
        assert_eq!(whole_bytes, bytes);
        let per_record = |time: Duration| time.as_nanos() / u128::from(records);
        println!(
            "{count} archives, {} MB, {} MB of JSON; ns a record: libdeflate {}, SHA-256 {}, CRC {}, a run's reading {}, \
             streamed {}; overhead beyond SHA-256 {:.1} %",
            file_bytes / 1_000_000,
            bytes / 1_000_000,
            per_record(alone),
            per_record(hashing),
            per_record(checking),
            per_record(whole),
            per_record(streamed),
            100.0 * ((whole.as_secs_f64() - hashing.as_secs_f64()) / alone.as_secs_f64() - 1.0),
        );
    }
}
