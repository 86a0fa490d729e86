//! `keytrail verify`, `head` and `sign`: what is whole is said to be, what is not is named.
//!
//! `KEYTRAIL_BYTES` sets how many single bytes are changed in turn (several hundred by default).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Bench, Ran, contents, noise, record, sample};

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

/// A store with every kind of file: two runs, rejects, a failed archive, a signed head.
fn signed_bench() -> Bench {
    let bench = bench();
    assert_eq!(bench.keytrail(&["sign", "--generate-key", "k", "--no-password"]).code, 0);
    let ran = bench.keytrail(&["sign", "--secret-key", "k.key", "--comment", "for the test"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    bench
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let bench = signed_bench();
    let changes = std::env::var("KEYTRAIL_BYTES").ok().and_then(|text| text.parse().ok()).unwrap_or(240_usize);
    let files: Vec<_> = contents(&bench.store()).into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    let kinds = ["_delta_log/", "month=", "archives/", "rejects/", ".minisig", ".txt", ".pub"];
    for kind in kinds {
        assert!(files.iter().any(|(path, _)| path.to_str().unwrap().contains(kind)), "{kind}");
    }
    let mut numbers = noise(0x9e37_79b9);
    let mut dice = |below: usize| (numbers.next().unwrap() >> 33) as usize % below;
    for number in 0..changes {
        // In turn, so that small files get as many changes as large ones.
        let (path, bytes) = &files[number % files.len()];
        let (place, flip) = (dice(bytes.len()), 1 << dice(8));
        let mut changed = bytes.clone();
        changed[place] ^= flip;
        std::fs::write(path, changed).unwrap();
        let ran = bench.keytrail(&["verify"]);
        assert_eq!(ran.code, 5, "{} byte {place}: {} {}", path.display(), ran.stdout, ran.stderr);
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(bench.keytrail(&["verify"]).code, 0, "all is as it was");
}

#[test]
fn swapped_files_and_bytes_behind_the_end_are_found() {
    let bench = signed_bench();
    let files = contents(&bench.store());
    let of =
        |ending: &str| files.iter().filter(|(path, _)| path.to_str().unwrap().ends_with(ending)).collect::<Vec<_>>();
    for ending in [".parquet", ".json"] {
        for pair in of(ending).windows(2) {
            let [(one, one_bytes), (other, other_bytes)] = pair else { unreachable!() };
            std::fs::write(one, other_bytes).unwrap();
            std::fs::write(other, one_bytes).unwrap();
            assert_eq!(bench.keytrail(&["verify", "--quick"]).code, 5, "{} and {}", one.display(), other.display());
            std::fs::write(one, one_bytes).unwrap();
            std::fs::write(other, other_bytes).unwrap();
        }
    }
    for (path, bytes) in files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        for end in [b"\n".as_slice(), b" ", b"{}\n", b"\0"] {
            std::fs::write(path, [bytes, end].concat()).unwrap();
            assert_eq!(bench.keytrail(&["verify"]).code, 5, "{} {end:?}", path.display());
        }
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(bench.keytrail(&["verify"]).code, 0, "all is as it was");
}

#[test]
fn a_file_that_was_added_is_found() {
    let bench = signed_bench();
    let data = bench.keytrail(&["files"]).stdout.lines().next().map(PathBuf::from).unwrap();
    let added = data.with_file_name("copy.parquet");
    std::fs::copy(&data, &added).unwrap();
    for depth in [&["verify"][..], &["verify", "--quick"]] {
        let ran = bench.keytrail(depth);
        assert_eq!(ran.code, 5, "{}", ran.stderr);
        assert!(ran.stderr.contains("copy.parquet: expected a commit that names it, found none"), "{}", ran.stderr);
    }
    std::fs::remove_file(added).unwrap();
    assert_eq!(bench.keytrail(&["verify"]).code, 0);
}

#[test]
fn a_head_that_was_noted_shows_what_was_cut_off() {
    let bench = bench();
    let head = bench.keytrail(&["head"]);
    assert_eq!((head.code, head.stderr.as_str()), (0, "unsigned\n"));
    let noted = head.stdout.trim().to_owned();
    assert!(noted.ends_with("@2"), "{noted}");
    let told: Value = serde_json::from_str(&bench.keytrail(&["head", "--format", "json"]).stdout).unwrap();
    assert_eq!(format!("{}@{}", told["head"].as_str().unwrap(), told["version"]), noted);
    let expects = |bench: &Bench, head: &str| bench.keytrail(&["verify", "--quick", "--expect-head", head]);
    assert_eq!(expects(&bench, &noted).code, 0);
    bench.ingest(&[&sample("bad/trailing-comma.json")], &[]);
    let later = expects(&bench, &noted);
    assert_eq!(later.code, 0);
    assert!(later.stderr.contains("of version 2 is followed by 1 commits"), "{}", later.stderr);
    assert_eq!(expects(&bench, &noted.replace("@2", "@3")).code, 5);
    // The last two commits go, with all that they brought: nothing in the store tells.
    for (path, _) in contents(&bench.store()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let of_later = ["00000002-", "00000003-"].iter().any(|start| name.starts_with(start));
        if of_later || name == "00000000000000000002.json" || name == "00000000000000000003.json" {
            std::fs::remove_file(&path).unwrap();
        }
    }
    assert_eq!(bench.keytrail(&["verify"]).code, 0);
    let ran = expects(&bench, &noted);
    assert_eq!(ran.code, 5);
    assert!(ran.stderr.contains("no such commit up to version 1"), "{}", ran.stderr);
    assert_eq!(expects(&bench, "12").code, 2);
}

#[test]
fn a_removed_last_commit_and_two_neighbours_are_found() {
    for versions in [&[2_u64][..], &[1, 2], &[1], &[0], &[0, 1]] {
        let bench = bench();
        let noted = bench.keytrail(&["head"]).stdout.trim().to_owned();
        for version in versions {
            std::fs::remove_file(commit(&bench, *version)).unwrap();
        }
        let ran = bench.keytrail(&["verify", "--quick", "--expect-head", &noted]);
        assert_eq!(ran.code, 5, "{versions:?}: {}", ran.stderr);
    }
}

fn commit(bench: &Bench, version: u64) -> PathBuf {
    bench.store().join(format!("events/_delta_log/{version:020}.json"))
}

#[test]
fn a_changed_last_commit_is_not_built_upon() {
    let bench = bench();
    assert_eq!(bench.keytrail(&["sign", "--generate-key", "k", "--no-password"]).code, 0);
    let path = commit(&bench, 2);
    let whole = std::fs::read_to_string(&path).unwrap();
    let changed = whole.replace("\"duplicates\":0,\"read\":", "\"duplicates\":8,\"read\":8");
    assert_ne!(changed, whole);
    std::fs::write(&path, &changed).unwrap();
    bench.write("new.json", record("2026-01-05 08:00:01 UTC", "LUNA_LOGIN"));
    let writing: [&[&str]; 5] = [
        &["ingest", "new.json"],
        &["compact"],
        &["vacuum"],
        &["forget", "--before", "2026-02", "--yes"],
        &["sign", "--secret-key", "k.key"],
    ];
    for command in writing {
        let ran = bench.keytrail(command);
        assert_eq!(ran.code, 1, "{command:?}: {}", ran.stderr);
        let words = "00000000000000000002.json: damaged commit: expected bytes of the seal ";
        assert!(ran.stderr.contains(words), "{command:?}: {}", ran.stderr);
    }
    assert!(!commit(&bench, 3).exists() && std::fs::read_to_string(&path).unwrap() == changed);
    assert_eq!(bench.keytrail(&["sql", "SELECT 1 FROM events LIMIT 1"]).code, 0, "what is there can be read");
    assert_eq!(bench.keytrail(&["verify", "--quick"]).code, 5);
    std::fs::write(&path, &whole).unwrap();
    bench.ingest(&[&bench.path("new.json")], &[]);
    assert_eq!(bench.keytrail(&["verify"]).code, 0);
    // Also where a later commit names the changed bytes, as one of an earlier keytrail may.
    std::fs::write(&path, changed).unwrap();
    let ran = bench.keytrail(&["verify", "--quick"]);
    assert_eq!(ran.code, 5);
    assert!(ran.stderr.contains("00000000000000000002.json: expected bytes of the seal "), "{}", ran.stderr);
}

#[test]
fn commits_of_other_software_are_found() {
    let bench = bench();
    let listed = bench.keytrail(&["files"]).stdout;
    let path = listed.lines().next().unwrap();
    let relative = Path::new(path).strip_prefix(bench.store().join("events")).unwrap().to_str().unwrap().to_owned();
    let month = relative[6..13].to_owned();
    let size = std::fs::metadata(path).unwrap().len();
    let stats = r#"{\"numRecords\":1}"#;
    let add = |more: &str| {
        format!(
            r#"{{"add":{{"path":"{relative}","partitionValues":{{"month":"{month}"}},"size":{size},"modificationTime":0,"dataChange":true,"stats":"{stats}"{more}}}}}"#
        )
    };
    let remove = format!(r#"{{"remove":{{"path":"{relative}","deletionTimestamp":1,"dataChange":true}}}}"#);
    let vector = r#","deletionVector":{"storageType":"u","pathOrInlineDv":"ab^-aqEH.-t@S}K{vb[*k^","offset":4,"sizeInBytes":40,"cardinality":1}"#;
    let columns = r#"{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[]}","partitionColumns":["month"],"configuration":{"delta.columnMapping.mode":"name"},"createdTime":0}}"#;
    let protocol = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#;
    let cases = [
        ("nothing", vec![]),
        ("a file removed", vec![remove.clone()]),
        ("a file rewritten", vec![remove.clone(), add("")]),
        ("a deletion vector", vec![remove, add(vector)]),
        ("column mapping", vec![columns.to_owned()]),
        ("a feature", vec![protocol.to_owned()]),
    ];
    for (what, lines) in cases {
        let lines = [r#"{"commitInfo":{"operation":"WRITE"}}"#.to_owned()].into_iter().chain(lines).collect::<Vec<_>>();
        std::fs::write(commit(&bench, 3), lines.join("\n") + "\n").unwrap();
        for depth in [&["verify"][..], &["verify", "--quick"]] {
            let ran = bench.keytrail(depth);
            assert_eq!(ran.code, 5, "{what}: {}", ran.stderr);
            assert!(ran.stderr.contains("version 3 of another program"), "{what}: {}", ran.stderr);
        }
        std::fs::remove_file(commit(&bench, 3)).unwrap();
    }
    assert_eq!(bench.keytrail(&["verify"]).code, 0);
}

#[test]
fn the_outcome_is_told_as_json_too() {
    let bench = signed_bench();
    let told = |arguments: &[&str]| -> (i32, Value) {
        let ran = bench.keytrail(&[&["verify", "--format", "json"], arguments].concat());
        (ran.code, serde_json::from_str(&ran.stdout).unwrap())
    };
    let (code, whole) = told(&[]);
    assert_eq!((code, &whole["verdict"], &whole["version"]), (0, &"no damage found".into(), &2.into()));
    assert_eq!((whole["signatures"][0]["version"].as_u64(), &whole["archives"]), (Some(2), &Value::Null));
    let (code, found) = told(&["--archives", sample("good").to_str().unwrap()]);
    assert_eq!((code, &found["verdict"]), (6, &"not all could be checked".into()));
    assert_eq!(found["unchecked"].as_array().unwrap().len(), 2, "{found}");
    assert!(found["archives"]["months"].as_array().unwrap().len() > 1);
    std::fs::remove_file(commit(&bench, 1)).unwrap();
    let (code, damaged) = told(&["--quick"]);
    assert_eq!((code, &damaged["verdict"]), (5, &"DAMAGED".into()));
    assert!(damaged["damages"][0]["path"].as_str().unwrap().ends_with("00000000000000000001.json"));
}

#[test]
fn the_archives_prove_what_the_store_holds() {
    let bench = bench();
    let (good, bad) = (sample("good"), sample("bad"));
    let ran = bench.keytrail(&[Path::new("verify"), Path::new("--archives"), &good, &bad]);
    assert_eq!(ran.code, 0, "{} {}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("20 archives ("), "{}", ran.stdout);
    assert!(ran.stderr.contains("bad-crc.zip: not in the ledger"), "{}", ran.stderr);
    let some = bench.keytrail(&[Path::new("verify"), Path::new("--archives"), &good]);
    assert_eq!(some.code, 6);
    assert!(some.stderr.contains("broken-lines.ndjson) was not given, with records of "), "{}", some.stderr);
    assert_eq!(bench.keytrail(&["verify", "--quick", "--archives", "x"]).code, 2);
    assert_eq!(bench.keytrail(&["verify", "--archives", "nowhere"]).code, 6);
}

#[test]
fn archives_that_cannot_be_compared_hide_no_damage() {
    let verify = |bench: &Bench, archives: &Path| {
        let ran = bench.keytrail(&[Path::new("verify"), Path::new("--archives"), archives, Path::new("--format=json")]);
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        let named =
            |list: &str, words: &str| told[list].as_array().unwrap().iter().any(|one| one.to_string().contains(words));
        (ran.code, named("damages", "SHA-256"), named("unchecked", "the archives"), ran.stderr)
    };
    // What the comparison needs itself is damaged: it ends with an error.
    for part in ["events/month=", "archives/00000001-"] {
        let bench = bench();
        let files = contents(&bench.store());
        let (path, bytes) = files.iter().find(|(path, _)| path.to_str().unwrap().contains(part)).unwrap();
        std::fs::write(path, [&bytes[..4], &[0xff; 60], &bytes[64..]].concat()).unwrap();
        let (code, damaged, unchecked, stderr) = verify(&bench, &sample("good"));
        assert_eq!((code, damaged, unchecked), (5, true, true), "{part}: {stderr}");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            stderr.contains(&format!("damage: {}", &path.strip_prefix(bench.store()).unwrap().display())),
            "{name}: {stderr}"
        );
        let (code, damaged, unchecked, stderr) = verify(&bench, Path::new("nowhere"));
        assert_eq!((code, damaged, unchecked), (5, true, true), "{part}, no archives: {stderr}");
    }
    let (code, damaged, unchecked, stderr) = verify(&bench(), Path::new("nowhere"));
    assert_eq!((code, damaged, unchecked), (6, false, true), "{stderr}");
}

#[test]
fn what_makes_the_parquet_library_fail_is_told_as_damage() {
    let bench = Bench::new();
    let lines: Vec<String> = (0..60).map(|n| record(&format!("2026-01-05 08:00:{n:02} UTC"), "LUNA_LOGIN")).collect();
    let archive = bench.write("a.json", lines.join("\n"));
    bench.ingest(&[&archive], &[]);
    let listed = bench.keytrail(&["files"]).stdout;
    let whole = std::fs::read(listed.trim_end()).unwrap();
    // The header of the first page of numbers is there: with other widths, some of it makes an assertion of the library fail.
    for at in 20..48 {
        let mut changed = whole.clone();
        changed[at] ^= 0x80;
        std::fs::write(listed.trim_end(), changed).unwrap();
        let ran = bench.keytrail(&[Path::new("verify"), Path::new("--archives"), &archive]);
        assert_eq!(
            (ran.code, ran.stdout.lines().next().map(|line| &line[..7])),
            (5, Some("DAMAGED")),
            "byte {at}: {}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("panicked"), "byte {at}: {}", ran.stderr);
    }
}

#[test]
fn a_changed_data_file_decides_nothing() {
    let bench = Bench::new();
    let lines: Vec<String> = (0..60).map(|n| record(&format!("2026-01-05 08:00:{n:02} UTC"), "LUNA_LOGIN")).collect();
    bench.ingest(&[&bench.write("a.json", lines.join("\n"))], &[]);
    // The same export again, in other bytes.
    let again = bench.write("b.json", format!("[{}]", lines.join(",")));
    let head = bench.keytrail(&["head"]).stdout;
    let listed = bench.keytrail(&["files"]).stdout;
    let whole = std::fs::read(listed.trim_end()).unwrap();
    for at in (4..whole.len()).step_by(whole.len() / 12) {
        let mut changed = whole.clone();
        changed[at] ^= 4;
        std::fs::write(listed.trim_end(), changed).unwrap();
        let (code, _, ingested) = bench.ingest(&[&again], &[]);
        let exported = bench.keytrail(&["export"]);
        assert_eq!((code, exported.code, exported.stdout.as_str()), (1, 1, ""), "byte {at}: {ingested}");
        for words in [ingested, exported.stderr] {
            assert!(words.contains("damaged file: expected SHA-256 "), "byte {at}: {words}");
        }
        assert_eq!(bench.keytrail(&["head"]).stdout, head, "byte {at}");
    }
    std::fs::write(listed.trim_end(), &whole).unwrap();
    let (code, summary, words) = bench.ingest(&[&again], &[]);
    assert_eq!((code, &summary["records"]["duplicates"]), (0, &60.into()), "{words}");
}

#[test]
fn archives_prove_a_store_under_any_name() {
    let bench = Bench::new();
    let line = record("2026-01-05 08:00:01 UTC", "LUNA_LOGIN") + "\noops\n";
    for name in ["a.json", "b.gz"] {
        let content =
            if name == "a.json" { line.clone().into_bytes() } else { gzip(line.replace("08", "09").as_bytes()) };
        bench.ingest(&[&bench.write(name, &content)], &[]);
        std::fs::remove_file(bench.path(name)).unwrap();
        bench.write(&format!("kept/2026/{name}.bak"), content);
    }
    let ran = bench.keytrail(&["verify", "--archives", "kept"]);
    assert_eq!(ran.code, 0, "{} {}", ran.stdout, ran.stderr);
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_came_after_its_month_was_forgotten_is_proved_too() {
    let bench = Bench::new();
    let archive = |name: &str, times: &[&str]| {
        let lines = times.iter().map(|time| record(&format!("{time} 08:00:01 UTC"), "LUNA_LOGIN") + "\n");
        bench.write(&format!("in/{name}"), lines.collect::<String>())
    };
    bench.ingest(&[&archive("a.json", &["2025-12-05", "2026-01-05", "2026-01-05", "2026-02-05"])], &[]);
    assert_eq!(bench.keytrail(&["forget", "--before", "2026-02", "--yes"]).code, 0);
    // One of them is equal to what was forgotten, and counts as if that had never been there.
    let (_, _, words) = bench.ingest(&[&archive("b.json", &["2026-01-05", "2026-01-06", "2026-02-05"])], &[]);
    assert!(words.contains("records of 2026-01 are in the store again"), "{words}");
    let (_, _, words) = bench.ingest(&[&archive("c.json", &["2025-11-05", "2026-01-06", "2026-01-06"])], &[]);
    assert!(!words.contains("2025-11"), "never forgotten, since nothing was there: {words}");
    let ran = bench.keytrail(&["verify", "--archives", "in", "--format", "json"]);
    assert_eq!(ran.code, 0, "{} {}", ran.stdout, ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let months = told["archives"]["months"].as_array().unwrap().iter();
    let months: Vec<_> =
        months.map(|month| (month["month"].as_str().unwrap(), month["rows"].as_u64().unwrap())).collect();
    assert_eq!(months, [("2025-11", 1), ("2026-01", 3), ("2026-02", 1)]);
    for month in ["2025-12", "2026-01"] {
        let note = format!("month {month} was forgotten by version 2: compared with what was ingested since");
        assert!(told["notes"].as_array().unwrap().iter().any(|told| told == &note), "{told}");
    }
}

#[test]
fn generated_archives_prove_their_store() {
    let bench = Bench::new();
    let made = [
        "generate",
        "made",
        "--records",
        "20000",
        "--days",
        "50",
        "--archives",
        "12",
        "--overlap",
        "0.3",
        "--equal-pairs",
        "0.02",
        "--copies",
        "2",
        "--vary-layout",
        "--meta",
        "mixed",
        "--fault",
        "bad_crc",
        "--fault",
        "broken_record=3",
    ];
    assert_eq!(bench.keytrail(&made).code, 0);
    bench.ingest(&[&bench.path("made/archives")], &[]);
    for memory in ["1M", "1G"] {
        let ran = bench.keytrail(&["verify", "--archives", "made/archives", "--memory", memory]);
        assert_eq!(ran.code, 0, "{} {}", ran.stdout, ran.stderr);
    }
}

/// Debian's `minisign`, where it is installed (`scripts/install-minisign`).
fn minisign() -> Option<&'static str> {
    if Command::new("minisign").arg("-v").output().is_ok() {
        return Some("minisign");
    }
    assert!(std::env::var_os("CI").is_none(), "run scripts/install-minisign first");
    eprintln!("passed over: run scripts/install-minisign to compare with the minisign tool");
    None
}

#[test]
fn the_minisign_tool_and_keytrail_verify_each_other() {
    let Some(minisign) = minisign() else {
        return;
    };
    let bench = bench();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(minisign);
        Ran::of(command.current_dir(bench.path("")).args(arguments).output().unwrap())
    };
    assert_eq!(run(&["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"]).code, 0);
    let ours = bench.keytrail(&["sign", "--generate-key", "ours", "--no-password"]).stdout.trim().to_owned();
    let theirs = std::fs::read_to_string(bench.path("theirs.pub")).unwrap().lines().nth(1).unwrap().to_owned();
    bench.write("report.html", "a report");
    for (secret, public) in [("ours.key", ours.as_str()), ("theirs.key", theirs.as_str())] {
        // A file, signed by us.
        assert_eq!(bench.keytrail(&["sign", "--secret-key", secret, "report.html", "--comment", "March"]).code, 0);
        let ran = run(&["-Vm", "report.html", "-P", public]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("file:report.html March"), "{}", ran.stdout);
        // The store, signed by us.
        let ran = bench.keytrail(&["sign", "--secret-key", secret]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let signature = ran.stdout.trim().to_owned();
        let statement = signature.trim_end_matches(".minisig").to_owned();
        let ran = run(&["-Vm", &statement, "-P", public]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("keytrail store version 2 head "), "{}", ran.stdout);
        // The same statement, signed by the tool, verified by us.
        std::fs::remove_file(&signature).unwrap();
        let ran = run(&["-Sm", &statement, "-s", secret, "-t", "by the tool"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let ran = bench.keytrail(&["verify", "--quick", "--public-key", public]);
        assert_eq!(ran.code, 0, "{} {}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(": by the tool"), "{}", ran.stdout);
        std::fs::write(&statement, "another text").unwrap();
        assert_ne!(run(&["-Vm", &statement, "-P", public]).code, 0);
        assert_eq!(bench.keytrail(&["verify", "--quick"]).code, 5);
        assert_eq!(bench.keytrail(&["sign", "--secret-key", secret]).code, 0, "signed anew");
        assert_eq!(bench.keytrail(&["verify", "--quick"]).code, 0);
    }
}

#[test]
fn a_signature_is_checked_with_the_key_that_is_given() {
    let bench = signed_bench();
    let head = bench.keytrail(&["head"]);
    assert!(head.stderr.starts_with("signed up to version 2 by key "), "{}", head.stderr);
    let ran = bench.keytrail(&["verify", "--quick", "--public-key", "k.pub"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("signed: version 2 by the given key") && ran.stdout.contains("for the test"),
        "{}",
        ran.stdout
    );
    bench.keytrail(&["sign", "--generate-key", "other", "--no-password"]);
    let ran = bench.keytrail(&["verify", "--quick", "--public-key", "other.pub"]);
    assert_eq!(ran.code, 6, "nobody signed with this key: {}", ran.stdout);
    assert_eq!(bench.keytrail(&["verify", "--public-key", "nothing"]).code, 2);
    let before = bench.keytrail(&["head"]).stdout;
    assert_eq!(bench.keytrail(&["sign", "--secret-key", "k.key"]).code, 0);
    assert_eq!(bench.keytrail(&["head"]).stdout, before, "signing changes nothing that is hashed");
    assert_eq!(bench.keytrail(&["sign", "--secret-key", "k.pub"]).code, 1);
    assert_eq!(bench.keytrail(&["sign", "--secret-key", "k.key", "--comment", "two\nlines"]).code, 1);
}

#[test]
fn a_removed_signature_is_missed() {
    let bench = signed_bench();
    bench.ingest(&[&sample("bad/trailing-comma.json")], &[]);
    let signature = bench.keytrail(&["sign", "--secret-key", "k.key"]).stdout.trim().to_owned();
    assert_eq!(bench.keytrail(&["verify", "--quick", "--public-key", "k.pub"]).code, 0);
    std::fs::remove_file(&signature).unwrap();
    for arguments in [&["verify", "--quick"][..], &["verify", "--quick", "--public-key", "k.pub"]] {
        let ran = bench.keytrail(arguments);
        assert_eq!(ran.code, 6, "{arguments:?}: {}", ran.stderr);
        let words = format!(
            "not checked: signatures/{}: expected its signature",
            Path::new(&signature).file_stem().unwrap().display()
        );
        assert!(ran.stderr.contains(&words), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(bench.keytrail(&["sign", "--secret-key", "k.key"]).code, 0, "signed anew");
    assert_eq!(bench.keytrail(&["verify", "--quick", "--public-key", "k.pub"]).code, 0);
}

#[test]
fn an_encrypted_key_takes_its_password_from_a_file_or_the_environment() {
    let bench = bench();
    let password = bench.write("password", "secret words\nand more\n");
    let ran = bench.keytrail(&["sign", "--generate-key", "k", "--password-file", password.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let with = |password: Option<&str>| {
        let mut command = bench.command();
        command.args(["sign", "--secret-key", "k.key"]).stdin(std::process::Stdio::null());
        password.map(|password| command.env("KEYTRAIL_PASSWORD", password));
        Ran::of(command.output().unwrap())
    };
    assert_eq!(with(Some("secret words")).code, 0);
    let wrong = with(Some("other words"));
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("another password, or a damaged key"), "{}", wrong.stderr);
    assert_eq!(with(None).code, 2, "no password, no terminal");
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
