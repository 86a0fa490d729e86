//! `keytrail verify`: what is whole is said to be, what is not is named.

use std::path::PathBuf;

use crate::support::{Bench, contents, sample};

fn bench() -> Bench {
    let bench = Bench::new();
    bench.ingest(&[&sample("good"), &sample("bad/broken-lines.ndjson")], &[]);
    bench.ingest(&[&sample("bad/cut-list.json")], &[]);
    bench
}

#[test]
fn a_whole_store_has_no_damage() {
    let bench = bench();
    for depth in [&["verify"][..], &["verify", "--quick"]] {
        let ran = bench.keytrail(depth);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{depth:?}");
        assert!(ran.stdout.starts_with("no damage found: version 2, head "), "{}", ran.stdout);
    }
}

#[test]
fn a_changed_byte_is_found_in_every_kind_of_file() {
    let bench = bench();
    for (path, bytes) in contents(&bench.store()) {
        let relative: PathBuf = path.strip_prefix(bench.store()).unwrap().to_path_buf();
        if bytes.is_empty() {
            continue;
        }
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 0x20;
        std::fs::write(&path, changed).unwrap();
        let ran = bench.keytrail(&["verify"]);
        // The last commit is vouched for by nobody but itself: a byte that only says when or by whom cannot be found out alone.
        let is_last = relative.ends_with("00000000000000000002.json");
        assert!(ran.code == 5 || is_last, "{}: {} {}", relative.display(), ran.stdout, ran.stderr);
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(bench.keytrail(&["verify"]).code, 0, "all is as it was");
}

#[test]
fn a_missing_file_is_named() {
    let bench = bench();
    let files: Vec<PathBuf> = contents(&bench.store()).into_iter().map(|(path, _)| path).collect();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "parquet")) {
        let away = bench.path("away");
        std::fs::rename(path, &away).unwrap();
        for depth in [&["verify"][..], &["verify", "--quick"]] {
            let ran = bench.keytrail(depth);
            assert_eq!(ran.code, 5, "{}", path.display());
            assert!(ran.stderr.contains(path.file_name().unwrap().to_str().unwrap()), "{}", ran.stderr);
        }
        std::fs::rename(&away, path).unwrap();
    }
}

#[test]
fn what_cannot_be_verified_is_no_damage() {
    let bench = Bench::new();
    let ran = bench.keytrail(&["verify"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (6, ""));
    assert!(ran.stderr.contains("could not be done"), "{}", ran.stderr);
}
