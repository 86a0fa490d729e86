//! Disks that are full, files that may not grow, archives and data files that cannot be read.

use std::path::Path;
use std::process::Command;

use super::{Case, Scenario, WITH_STAGING_FILES, copy, files, long, scenarios, side_by_side};
use crate::support::model::{Archive, Filter, Log};
use crate::support::{Bench, Ran, counts, record};

/// A run that writes some hundred kilobytes.
fn scenario() -> Scenario {
    let log = Log::new(11, 3000, 30, true);
    let export =
        |name: &str, from, to| Archive { name: name.into(), text: log.export(from, to, &Filter::default(), 2) };
    Scenario::new("large run", &[vec![export("a", 0, 600)]], vec![export("b", 400, 2000), export("c", 1500, 3000)])
}

/// A run with files of at most so many blocks of 512 bytes. Beyond them, the system sends a signal or, where that is ignored, an error.
fn with_short_files(case: &Case, blocks: u64, ignore_signal: bool) -> Ran {
    let script = if ignore_signal { "trap '' XFSZ; ulimit -f $0; exec \"$@\"" } else { "ulimit -f $0; exec \"$@\"" };
    let mut command = Command::new("sh");
    command.args(["-c", script, &blocks.to_string(), env!("CARGO_BIN_EXE_keytrail"), "ingest"]).arg(&case.archives);
    command.args(["--memory", WITH_STAGING_FILES]);
    command.arg("--store").arg(case.bench.store()).current_dir(case.bench.path(""));
    Ran::of(command.output().unwrap())
}

#[test]
fn files_that_may_not_grow_cost_nothing_but_the_run() {
    let mut all = scenarios();
    all.push(scenario());
    let mut cases = Vec::new();
    for scenario in &all {
        let sizes: &[u64] =
            if long() { &[0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024] } else { &[0, 16, 128] };
        cases.extend(sizes.iter().flat_map(|blocks| [(scenario, *blocks, true), (scenario, *blocks, false)]));
    }
    side_by_side(&cases, |(scenario, blocks, ignore_signal)| {
        let what = format!("{}, files of {blocks} blocks, signal ignored: {ignore_signal}", scenario.name);
        let case = scenario.case();
        let ran = with_short_files(&case, *blocks, *ignore_signal);
        let seen = case.check_reader(scenario, &what);
        match ran.code {
            0 | 3 => assert_eq!(seen.as_ref(), Some(&scenario.after), "{what}"),
            code => {
                assert_eq!(code, if *ignore_signal { 1 } else { -1 }, "{what}: {}", ran.stderr);
                assert!(!ignore_signal || ran.stderr.contains("File too large"), "{what}: {}", ran.stderr);
            }
        }
        case.check_completion(scenario, &what);
    });
}

/// A small file system of its own, which goes with the value.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None` where this may not be done.
    fn mount(folder: &Path, kilobytes: u64) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let options = format!("size={kilobytes}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status().unwrap();
        assert!(grown.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_nothing_but_the_run() {
    let scenario = scenario();
    let mut full = 0;
    // The smallest just holds the store before.
    let sizes: Vec<u64> =
        if long() { (5..60).map(|step| step * 12).collect() } else { vec![60, 100, 150, 220, 300, 400] };
    for kilobytes in sizes {
        let what = format!("a disk of {kilobytes} KiB");
        let case = scenario.case();
        let prepared = case.bench.path("prepared");
        std::fs::rename(case.bench.store(), &prepared).unwrap();
        let Some(disk) = SmallDisk::mount(&case.bench.store(), kilobytes) else {
            return eprintln!("passed over: only root may mount a small disk");
        };
        copy(&prepared, &case.bench.store());
        let ran = case.run();
        let seen = case.check_reader(&scenario, &what);
        if [0, 3].contains(&ran.code) {
            assert_eq!(seen.as_ref(), Some(&scenario.after), "{what}");
        } else {
            assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
            assert!(ran.stderr.contains("No space left on device"), "{what}: {}", ran.stderr);
            assert!(ran.stderr.contains(case.bench.store().to_str().unwrap()), "{what} names no file: {}", ran.stderr);
            full += 1;
            // Again, still full: no worse.
            case.run();
            case.check_reader(&scenario, &what);
        }
        disk.grow();
        case.check_completion(&scenario, &what);
    }
    assert!(full >= 3, "only {full} of the disks were too small");
}

#[test]
fn an_archive_that_cannot_be_read_is_named_and_stops_nothing() {
    let bench = Bench::new();
    let good = bench.write("a.json", record("2026-01-01 00:00:00 UTC", "LUNA_LOGIN"));
    // A regular file whose bytes nobody may read: the system says EIO.
    let (code, summary, words) = bench.ingest(&[&good, Path::new("/proc/self/mem")], &[]);
    assert_eq!((code, counts(&summary)), (3, [1, 0, 1, 1, 1, 0, 0]), "{words}");
    assert!(words.contains("/proc/self/mem: failed: cannot be read: Input/output error"), "{words}");
    assert_eq!(bench.rows("SELECT count(*) FROM archives"), ["1"], "what was not read is not known");
    assert_eq!(bench.keytrail(&["verify"]).code, 0);
}

#[test]
fn an_equal_archive_is_read_where_the_first_one_cannot_be() {
    // Too large to be held, so read twice: to be hashed, and to be decoded.
    let line = |n: u32| record(&format!("2026-01-01 00:{:02}:{:02} UTC", n / 60, n % 60), "A") + "\n";
    let lines: String = (0..3600).map(line).collect();
    let pieces = lines.len().div_ceil(256 << 10);
    for (copies, expected) in [(2, [1, 0, 1, 3600, 3600, 0, 0]), (3, [1, 1, 1, 3600, 3600, 0, 0])] {
        let bench = Bench::new();
        for number in 0..copies {
            bench.write(&format!("in/{number}.ndjson"), &lines);
        }
        let mut command = bench.command();
        command.args(["ingest", "in", "--format", "json", "--memory", "128K", "--jobs", "1"]);
        // The first bytes that are read to be decoded, behind those that were hashed and the end that was met.
        command.env("KEYTRAIL_FAIL_AT", format!("archive-reading#{}:error", pieces + 2));
        let ran = Ran::of(command.output().unwrap());
        let summary = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((ran.code, counts(&summary)), (3, expected), "{copies}: {}", ran.stderr);
        assert!(ran.stderr.contains("in/0.ndjson: failed: cannot be read: Input/output error"), "{}", ran.stderr);
        assert_eq!(bench.rows("SELECT path FROM archives"), ["in/1.ndjson"], "{copies}");
        assert_eq!(bench.keytrail(&["verify", "--archives", "in"]).code, 0);
    }
}

#[test]
fn an_archive_that_vanishes_or_changes_during_the_run_is_named_and_stops_nothing() {
    for (vanish, reason) in [(true, "No such file"), (false, "")] {
        let bench = Bench::new();
        bench.write("in/a.json", record("2026-01-01 00:00:00 UTC", "LUNA_LOGIN"));
        let other = bench.write("in/b.json", record("2026-01-02 00:00:00 UTC", "LUNA_SIGN"));
        let mut held = super::at_once::Held::start(&bench, &["ingest", "in"], "opened");
        if vanish {
            std::fs::remove_file(&other).unwrap();
        } else {
            std::fs::write(&other, record("2026-01-03 00:00:00 UTC", "LUNA_SIGN")).unwrap();
        }
        let ran = held.release();
        let rows = bench.rows("SELECT count(*) FROM events");
        match vanish {
            true => {
                assert_eq!((ran.code, rows), (3, vec!["1".to_owned()]), "{}", ran.stderr);
                assert!(
                    ran.stderr.contains("in/b.json: failed: cannot be read") && ran.stderr.contains(reason),
                    "{}",
                    ran.stderr
                );
            }
            false => {
                assert_eq!((ran.code, rows), (0, vec!["2".to_owned()]), "what is read is what counts: {}", ran.stderr);
            }
        }
    }
}

#[test]
fn a_data_file_that_vanished_is_named_by_all_who_need_it() {
    let bench = Bench::new();
    let old = bench.write("old.json", record("2026-01-01 00:00:00 UTC", "LUNA_LOGIN"));
    bench.ingest(&[&old], &[]);
    let data = files(&bench.store()).into_iter().find(|path| path.starts_with("events/month=")).unwrap();
    std::fs::remove_file(bench.store().join(&data)).unwrap();
    let name = data.rsplit('/').next().unwrap();
    // An archive over the same time: its records have to be compared with those of the file.
    let rival = bench.write("rival.json", record("2026-01-01 00:00:00 UTC", "LUNA_SIGN"));
    let before = files(&bench.store());
    let commands: [&[&str]; 3] =
        [&["sql", "SELECT action FROM events"], &["export"], &["ingest", rival.to_str().unwrap()]];
    for command in commands {
        let ran = bench.keytrail(command);
        assert_eq!(ran.code, 1, "{command:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(name), "{command:?}: {}", ran.stderr);
    }
    let verified = bench.keytrail(&["verify"]);
    assert!(verified.code == 5 && verified.stderr.contains(name), "{}", verified.stderr);
    assert_eq!(files(&bench.store()), before, "and nothing else is lost");
}
