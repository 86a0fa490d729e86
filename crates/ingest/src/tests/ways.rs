//! However an archive is read (whole, as a stream, ahead by a second thread, in parts, hashed before or beside), the outcome is the same.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use keytrail_store::Store;
use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::claims::Settled;
use crate::container::Budget;
use crate::discover::FoundFile;
use crate::progress::Progress;
use crate::queue::{Decoded, Queue};
use crate::{IngestOptions, Limits, ingest};

const STORED: CompressionMethod = CompressionMethod::Stored;
pub(super) const DEFLATED: CompressionMethod = CompressionMethod::Deflated;

/// Decodes files on `threads` threads, within a budget.
pub(super) fn decode(
    files: Vec<PathBuf>,
    threads: usize,
    budget: Budget,
    options: &IngestOptions,
    observer: &(dyn Fn(Progress) + Sync),
) -> Decoded {
    decode_unless(&Settled::default(), files, threads, budget, options, observer)
}

/// A file as it is found.
fn found(path: PathBuf) -> FoundFile {
    FoundFile { path, has_side_file: None }
}

fn decode_unless(
    settled: &Settled,
    files: Vec<PathBuf>,
    threads: usize,
    budget: Budget,
    options: &IngestOptions,
    observer: &(dyn Fn(Progress) + Sync),
) -> Decoded {
    let staging = tempfile::tempdir().unwrap();
    let options = &IngestOptions { jobs: threads.try_into().ok(), ..options.clone() };
    let queue = Queue { staging: staging.path(), options, settled, observer, budget, stored: &[] };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| queue.decode(files.into_iter().map(found).collect())).unwrap()
}

/// Decodes an archive whole, and leaves what it stages in a folder.
pub(super) fn decode_into(staging: &Path, path: &Path, options: &IngestOptions) -> Decoded {
    let budget = Budget { bytes: 1 << 30, large_bytes: u64::MAX, part_bytes: 0 };
    let queue = Queue { staging, options, settled: &Settled::default(), observer: &|_| (), budget, stored: &[] };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| queue.decode(vec![found(path.to_path_buf())])).unwrap()
}

/// All that is told about archives, as text; their services the first time only.
fn books(decoded: &Decoded) -> Vec<String> {
    let archives = decoded.archives.iter().zip(&decoded.decoded).map(|(archive, found)| {
        format!(
            "{} {} {:?} {:?} read {} accepted {} rejected {} json {} {:?} {:?} faults {:?} notes {:?} {:?} {}",
            archive.path.display(),
            archive.digest.sha256,
            found.container,
            found.members,
            found.read,
            found.accepted,
            found.rejected(),
            found.json_bytes,
            found.times,
            decoded.services.take(&archive.digest.sha256),
            found.faults,
            found.notes,
            found.first_reject,
            found.is_unsettled,
        )
    });
    let mut books: Vec<String> = archives.collect();
    books.push(format!("known {} {:?} unreadable {:?}", decoded.known, decoded.notices, decoded.unreadable));
    books
}

/// Each way of reading a file of so many bytes, and on how many threads: with more than one, the one that is left helps.
fn ways(bytes: usize) -> [(&'static str, Budget, usize); 9] {
    let budget = |bytes, large_bytes| Budget { bytes, large_bytes, part_bytes: 0 };
    let in_parts = |bytes| Budget { bytes, large_bytes: 0, part_bytes: 64 << 10 };
    [
        ("file whole, members in parts by a second thread", in_parts(1 << 30), 2),
        ("file whole, members in parts in turn", in_parts(1 << 30), 1),
        ("file hashed while members are read in parts", in_parts(0), 2),
        ("file and members whole", budget(1 << 30, u64::MAX), 1),
        ("file whole, members streamed", budget(bytes, u64::MAX), 1),
        ("file whole, members ahead", budget(bytes, 0), 2),
        ("file streamed, members whole where they fit", budget(bytes.saturating_sub(1), u64::MAX), 1),
        ("file hashed, then streamed", budget(0, u64::MAX), 1),
        ("file hashed while members are read ahead", budget(0, 0), 2),
    ]
}

/// Reads a file in each way and compares with the plainest, which it returns.
pub(super) fn assert_same(path: &Path, options: &IngestOptions) -> Decoded {
    let bytes = std::fs::metadata(path).unwrap().len();
    let decode = |budget, threads| decode(vec![path.to_path_buf()], threads, budget, options, &|_| ());
    let [.., (_, plainest, threads), _] = ways(0);
    let expected = decode(plainest, threads);
    let expected_books = books(&expected);
    for (way, budget, threads) in ways(usize::try_from(bytes).unwrap()) {
        assert_eq!(books(&decode(budget, threads)), expected_books, "{} {way}", path.display());
    }
    expected
}

/// The trace id of a record of [`json`].
pub(super) fn trace_id(record: usize) -> String {
    format!("{:043x}", record.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub(super) fn json(records: usize) -> Vec<u8> {
    let record = |n: usize| {
        let (second, trace) = (n / 60 % 60, trace_id(n));
        format!(r#"{{"time":"2026-01-31 10:{second:02}:{:02} UTC","action":"LUNA_LOGIN","traceID":"{trace}"}}"#, n % 60)
    };
    format!("[{}]", (0..records).map(record).collect::<Vec<_>>().join(",")).into_bytes()
}

pub(super) fn zip(members: &[(&str, CompressionMethod, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, method, content) in members {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(*method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Sizes and CRC behind the data.
pub(super) fn zip_with_descriptor(content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new_stream(Vec::new());
    writer.start_file("a.json", SimpleFileOptions::default().compression_method(DEFLATED)).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::default());
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

/// Changes bytes of the entry of the directory that names member `number`, at an offset in the entry.
fn with_entry(mut zip: Vec<u8>, number: usize, offset: usize, change: impl Fn(&mut u8)) -> Vec<u8> {
    let entry = memchr::memmem::find_iter(&zip, b"PK\x01\x02").nth(number).unwrap();
    change(&mut zip[entry + offset]);
    zip
}

fn damaged(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 0x55;
    bytes
}

/// Offsets in an entry of a ZIP's directory.
const FLAGS: usize = 8;
const CRC: usize = 16;
const COMPRESSED: usize = 20;
const SIZE: usize = 24;

#[test]
fn the_way_of_reading_makes_no_difference() {
    let list = json(6000);
    let one = || zip(&[("a.json", DEFLATED, list.clone())]);
    let three = || zip(&["a", "b", "c"].map(|name| (name, DEFLATED, json(3000))));
    let joined = |parts: &[&[u8]]| parts.concat();
    let set = |value| move |byte: &mut u8| *byte = value;
    let raise = |byte: &mut u8| *byte = byte.wrapping_add(1);
    let lower = |byte: &mut u8| *byte = byte.wrapping_sub(1);
    let html = [b"<html>".to_vec(), vec![b' '; 600 << 10]].concat();
    let page = b"<html>\n</html>\n";
    let lines = String::from_utf8(list[1..list.len() - 1].to_vec()).unwrap().replace("},{", "}\n{");
    let lines = ["of the log\n", lines.as_str()].concat().into_bytes();
    let cases: Vec<(&str, u64, Vec<u8>)> = vec![
        // Name, records accepted, bytes.
        ("plain", 6000, list.clone()),
        ("plain-html", 0, html.clone()),
        ("plain-page", 0, page.to_vec()),
        ("plain-lines-behind-damage", 6000, lines.clone()),
        ("plain-blank", 0, vec![b' '; 600 << 10]),
        ("deflated", 6000, one()),
        ("stored", 6000, zip(&[("a.json", STORED, list.clone())])),
        ("several", 9000, three()),
        (
            "several-one-empty",
            6000,
            zip(&[("a", DEFLATED, vec![]), ("b", STORED, vec![]), ("c", DEFLATED, list.clone())]),
        ),
        ("html-in-zip", 0, zip(&[("a", DEFLATED, html.clone()), ("b", STORED, html.clone())])),
        ("html-in-gzip", 0, gzip(&html)),
        ("page-in-zip", 0, zip(&[("a", DEFLATED, page.to_vec()), ("b", STORED, page.to_vec())])),
        ("page-in-gzip", 0, gzip(page)),
        ("page-in-gzip-cut", 0, gzip(page)[..gzip(page).len() - 3].to_vec()),
        ("lines-behind-damage-in-zip", 12_000, zip(&[("a", DEFLATED, lines.clone()), ("b", STORED, lines.clone())])),
        ("lines-behind-damage-in-gzip", 6000, gzip(&lines)),
        ("descriptor", 6000, zip_with_descriptor(&list)),
        ("descriptor-and-no-size", 0, with_entry(zip_with_descriptor(b"[]"), 0, SIZE, set(0))),
        ("wrong-crc", 0, with_entry(one(), 0, CRC, raise)),
        ("wrong-crc-stored", 0, with_entry(zip(&[("a", STORED, list.clone())]), 0, CRC, raise)),
        ("wrong-crc-second", 6000, with_entry(three(), 1, CRC, raise)),
        ("size-too-small", 0, with_entry(one(), 0, SIZE, lower)),
        ("size-too-large", 0, with_entry(one(), 0, SIZE, raise)),
        ("size-huge", 0, with_entry(one(), 0, SIZE + 3, set(0x7f))),
        ("compressed-too-small", 0, with_entry(one(), 0, COMPRESSED + 1, lower)),
        ("compressed-too-large", 6000, with_entry(one(), 0, COMPRESSED + 1, raise)),
        ("compressed-huge", 6000, with_entry(one(), 0, COMPRESSED + 3, set(0x7f))),
        ("stored-size-too-small", 0, with_entry(zip(&[("a", STORED, list.clone())]), 0, SIZE, lower)),
        ("encrypted", 0, with_entry(one(), 0, FLAGS, |byte| *byte |= 1)),
        ("broken-data", 0, damaged(one(), one().len() / 2)),
        ("broken-local-header", 0, damaged(one(), 1)),
        ("cut", 0, one()[..one().len() / 2].to_vec()),
        ("bytes-before", 6000, joined(&[b"PK\x03\x04 some bytes before", &one()])),
        ("behind-headers", 6000, joined(&[b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\n\r\n", &one()])),
        ("zeros-after", 6000, joined(&[&one(), &[0; 512]])),
        ("joined", 6000, joined(&[&one(), &one()])),
        ("gzip", 6000, gzip(&list)),
        ("gzip-empty", 0, gzip(b"")),
        ("gzip-several", 6000, joined(&[&gzip(&list[..9999]), &gzip(&list[9999..])])),
        ("gzip-twice-the-same", 2, gzip(b"{\"time\":\"2026-01-31 10:00:00 UTC\"}\n").repeat(2)),
        ("gzip-trailing", 6000, joined(&[&gzip(&list), b"trailing"])),
        ("gzip-zeros", 6000, joined(&[&gzip(&list), &[0; 4096]])),
        ("gzip-trailing-copy", 6000, joined(&[&gzip(&list), b"....", &gzip(&list)[gzip(&list).len() - 8..]])),
        ("gzip-cut", 0, gzip(&list)[..gzip(&list).len() - 3].to_vec()),
        ("gzip-wrong-crc", 0, damaged(gzip(&list), gzip(&list).len() - 8)),
        ("gzip-wrong-size", 0, damaged(gzip(&list), gzip(&list).len() - 4)),
        ("gzip-broken-data", 0, damaged(gzip(&list), gzip(&list).len() / 2)),
        ("gzip-reserved-flag", 0, damaged(gzip(&list), 3)),
        ("gzip-header-only", 0, gzip(&list)[..10].to_vec()),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, accepted, bytes) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let found = assert_same(&path, &IngestOptions::default());
        assert_eq!(found.decoded[0].accepted, accepted, "{name}: {:?}", books(&found));
        assert_same(&path, &IngestOptions { salvage: true, ..IngestOptions::default() });
    }
}

/// A member that a run with little memory inflates in parts, sound and with a bit turned near its end.
#[test]
fn a_long_member_is_read_the_same_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let sound = zip(&[("a", DEFLATED, json(200_000))]);
    let broken = damaged(sound.clone(), sound.len() * 9 / 10);
    for (name, bytes, accepted) in [("sound", sound, 200_000), ("broken", broken, 0)] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        // In turn, and with the help of another thread.
        for threads in [1, 2] {
            let read = |budget| decode(vec![path.clone()], threads, budget, &IngestOptions::default(), &|_| ());
            let [whole, parts] = [512, 96].map(|memory| read(Budget::of(memory << 20, 2)));
            assert_eq!(books(&parts), books(&whole), "{name} {threads}");
            assert_eq!(parts.decoded[0].accepted, accepted, "{name} {threads}: {:?}", books(&parts));
        }
    }
}

#[test]
fn sample_archives_are_read_the_same_in_all_ways() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-samples");
    let found = crate::discover::discover(&[samples.join("good"), samples.join("bad")], Path::new("nowhere")).unwrap();
    assert!(found.files.len() > 30, "{}", found.files.len());
    for path in found.files.into_iter().map(|file| file.path) {
        for salvage in [false, true] {
            assert_same(&path, &IngestOptions { salvage, ..IngestOptions::default() });
        }
    }
}

#[test]
fn limits_stop_at_the_same_byte_in_all_ways() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_member_bytes: 300 << 10, ..Limits::default() };
    let options = IngestOptions { limits, ..IngestOptions::default() };
    for (name, bytes) in
        [("zip", zip(&[("a", DEFLATED, json(6000))])), ("gzip", gzip(&json(6000))), ("plain", json(6000))]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let found = assert_same(&path, &options);
        assert!(found.decoded[0].faults.told[0].text.contains("the limit for a member"), "{:?}", books(&found));
    }
    let bomb = folder.path().join("bomb");
    let blanks = usize::try_from(Limits::RATIO_FREE_BYTES).unwrap() + (1 << 20);
    std::fs::write(&bomb, zip(&[("a", DEFLATED, vec![b' '; blanks])])).unwrap();
    let found = assert_same(&bomb, &IngestOptions::default());
    assert!(found.decoded[0].faults.told[0].text.contains("looks like a bomb"), "{:?}", books(&found));
}

#[test]
fn rejects_stop_at_the_same_byte_in_all_ways() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_rejects_bytes: 200 << 10, ..Limits::default() };
    // Each record is followed by what is none, and there is more of that than the limit lets pass.
    let lines = (0..20_000).map(|number| {
        let record = format!(r#"{{"time":"2026-01-31 10:00:00 UTC","traceID":"{}"}}"#, trace_id(number));
        format!("{record}\n{{\"time\":\"never\",\"number\":{number}}}\n")
    });
    let content = lines.collect::<String>().into_bytes();
    for (name, bytes) in
        [("zip", zip(&[("a", DEFLATED, content.clone())])), ("gzip", gzip(&content)), ("plain", content)]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        for salvage in [false, true] {
            let found =
                assert_same(&path, &IngestOptions { limits: limits.clone(), salvage, ..IngestOptions::default() });
            let fault = &found.decoded[0].faults.told[0].text;
            assert!(fault.contains("the limit for an archive"), "{name}: {:?}", books(&found));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_anywhere_is_told_the_same_in_all_ways(
        container in 0..5_usize, place in 0.0..1.0_f64, bit in 0..8_u32, cut in prop::bool::ANY, salvage: bool,
    ) {
        let mut bytes = match container {
            0 => zip(&[("a", DEFLATED, json(300)), ("b", STORED, json(20))]),
            1 => zip_with_descriptor(&json(300)),
            2 => gzip(&json(300)),
            // More than is held back where it is read in parts.
            3 => zip(&[("a", DEFLATED, json(6000))]),
            _ => [gzip(&json(100)), gzip(&json(100))].concat(),
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place")]
        let at = (bytes.len() as f64 * place) as usize;
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        std::fs::write(&path, bytes).unwrap();
        assert_same(&path, &IngestOptions { salvage, ..IngestOptions::default() });
    }
}

#[test]
fn of_equal_files_the_first_found_is_named_whatever_the_threads_do() {
    let folder = tempfile::tempdir().unwrap();
    let contents = [json(50), json(51), json(50), json(51), json(50), json(400)];
    let paths: Vec<PathBuf> = (0..24).map(|number| folder.path().join(format!("{number:02}.json"))).collect();
    for (path, content) in paths.iter().zip(contents.iter().cycle()) {
        std::fs::write(path, content).unwrap();
    }
    let whole = Budget { bytes: 1 << 20, large_bytes: u64::MAX, part_bytes: 0 };
    for budget in [whole, Budget { bytes: 0, large_bytes: 0, part_bytes: 0 }] {
        for round in 0..20 {
            let found = decode(paths.clone(), 1 + round % 8, budget, &IngestOptions::default(), &|_| ());
            let mut names: Vec<&Path> = found.archives.iter().map(|archive| archive.path.as_path()).collect();
            names.sort();
            assert_eq!(names, [&paths[0], &paths[1], &paths[5]]);
            assert_eq!(found.known, 21);
            assert!(found.decoded.iter().zip(&found.archives).all(|(decoded, archive)| {
                decoded.members == [archive.path.file_name().unwrap().to_string_lossy()]
            }));
        }
    }
}

#[test]
fn what_the_store_has_is_not_decoded_again_in_any_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    // With a reject: its archive's name is waited for, and never comes.
    std::fs::write(&path, [json(60_000), b" x".to_vec()].concat()).unwrap();
    let digest = crate::digest::FileDigest::of(&path).unwrap();
    // Where the store has another length for it, the file is first taken for a new one.
    for bytes in [digest.bytes, 1] {
        for (way, budget, threads) in ways(100) {
            let mut settled = Settled::default();
            settled.add(digest.sha256.clone(), bytes, Some("why".into()));
            let files = vec![path.clone()];
            let found = decode_unless(&settled, files, threads, budget, &IngestOptions::default(), &|_| ());
            assert_eq!(books(&found), [format!("known 1 [({path:?}, \"why\")] unreadable []")], "{way}");
        }
    }
}

/// Files and ledger of a store that ingests the samples, but for what names the run.
fn store_of_samples(options: &IngestOptions) -> String {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-samples");
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let summary = ingest(&[samples.join("good"), samples.join("bad")], &store, options, &mut || ()).unwrap();
    let snapshot = Store::open(&store).unwrap().snapshot().unwrap();
    let files: Vec<_> = snapshot.runs().iter().flat_map(|run| &run.files).map(|file| &file.sha256).collect();
    let rejects: Vec<_> = snapshot.runs().iter().map(|run| &run.rejects.sha256).collect();
    let mut ledger = snapshot.ledger().unwrap();
    ledger.iter_mut().for_each(|row| (row.run, row.ingested_at) = (String::new(), 0));
    ledger.sort_by(|a, b| a.archive.cmp(&b.archive));
    format!("{files:#?} {rejects:#?} {ledger:#?} {summary:#?}")
}

#[test]
fn a_store_is_the_same_whatever_memory_and_threads() {
    let options = |memory_bytes, jobs: usize| IngestOptions {
        memory_bytes,
        jobs: jobs.try_into().ok(),
        ..IngestOptions::default()
    };
    let expected = store_of_samples(&options(512 << 20, 1));
    for (memory_bytes, jobs) in [(1, 1), (1, 3), (12 << 10, 2), (512 << 20, 3)] {
        assert_eq!(store_of_samples(&options(memory_bytes, jobs)), expected, "{memory_bytes} {jobs}");
    }
}

#[test]
fn progress_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let contents = [json(10), json(10), json(90_000), zip(&[("a", STORED, json(60_000))]), gzip(b"x"), vec![]];
    let mut paths: Vec<PathBuf> = (0..contents.len()).map(|number| folder.path().join(number.to_string())).collect();
    paths.iter().zip(&contents).for_each(|(path, content)| std::fs::write(path, content).unwrap());
    paths.push(folder.path().join("gone"));
    let bytes = contents.iter().map(|content| content.len() as u64).sum::<u64>();
    for (way, budget, _) in ways(100) {
        let told = std::sync::Mutex::new(Vec::new());
        decode(paths.clone(), 2, budget, &IngestOptions::default(), &|progress| told.lock().unwrap().push(progress));
        let told = told.into_inner().unwrap();
        assert_eq!(told[0], Progress::Found { archives: 7, bytes }, "{way}");
        let bytes_of = |progress: &Progress| match progress {
            Progress::Read { bytes } | Progress::Archive { bytes } => *bytes,
            _ => 0,
        };
        assert_eq!(told.iter().map(bytes_of).sum::<u64>(), bytes, "{way}");
        assert_eq!(told.iter().filter(|told| matches!(told, Progress::Archive { .. })).count(), 7, "{way}");
        let steps = told.iter().filter(|told| matches!(told, Progress::Read { .. })).count();
        assert_eq!(steps > 1, budget.bytes < 1 << 20, "{way}: steps within files that are streamed, {steps}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_filed() {
    type Change = fn(&Path);
    let grow: Change = |path| std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b" ").unwrap();
    let shrink: Change = |path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(9 << 20).unwrap();
    let vanish: Change = |path| std::fs::remove_file(path).unwrap();
    let content = json(120_000);
    for (number, change) in [grow, shrink, vanish].into_iter().enumerate() {
        for large_bytes in [0, u64::MAX] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.json");
            std::fs::write(&path, &content).unwrap();
            let is_done = std::sync::atomic::AtomicBool::new(false);
            let observer = |progress| {
                let is_first = |_| !is_done.swap(true, std::sync::atomic::Ordering::Relaxed);
                if let Progress::Read { bytes } = progress
                    && is_first(bytes)
                {
                    change(&path);
                }
            };
            let budget = Budget { bytes: 0, large_bytes, part_bytes: 0 };
            let found = decode(vec![path.clone()], 1, budget, &IngestOptions::default(), &observer);
            // Which of the two readers meets the change first is open where both run; nothing is filed either way.
            assert_eq!((found.decoded.len(), found.unreadable.len()), (0, 1), "{number} {:?}", books(&found));
        }
        let path = tempfile::tempdir().unwrap().path().join("gone");
        let whole = Budget { bytes: 1 << 30, large_bytes: u64::MAX, part_bytes: 0 };
        let found = decode(vec![path], 1, whole, &IngestOptions::default(), &|_| ());
        assert!(found.unreadable[0].1.starts_with("cannot be read: "), "{:?}", found.unreadable);
    }
}

/// Files of the system that hold more, or less, than their length says are read as files that change.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_not_as_long_as_it_says_is_not_filed() {
    let whole = Budget { bytes: 1 << 20, large_bytes: u64::MAX, part_bytes: 0 };
    for path in ["/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"].map(Path::new) {
        if path.exists() {
            let found = decode(vec![path.to_path_buf()], 1, whole, &IngestOptions::default(), &|_| ());
            assert_eq!(found.unreadable, [(path.to_path_buf(), "the file changed while it was read".to_owned())]);
        }
    }
}
