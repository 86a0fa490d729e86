//! The rules of truth, one test each: conservation, archives known before, duplicates, damage, order.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::{Bench, Measured, Ran, contents, counts, measure, noise, record, sample, stored_zip};

#[test]
fn an_archive_seen_before_changes_nothing_whatever_its_name() {
    let bench = Bench::new();
    let good = sample("good");
    let (code, first, _) = bench.ingest(&[&good], &[]);
    assert_eq!(code, 0);
    let before = contents(&bench.store());
    let copy = bench.path("renamed.bin");
    std::fs::copy(sample("good/two-members.zip"), &copy).unwrap();
    let (code, again, stderr) = bench.ingest(&[&good, &copy], &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let archives = counts(&first)[0];
    assert_eq!(counts(&again), [0, archives + 1, 0, 0, 0, 0, 0]);
    assert_eq!(again["version"], first["version"]);
    assert_eq!(contents(&bench.store()), before, "the store is the same to the byte");
}

#[test]
fn a_copy_in_the_same_run_is_known() {
    let bench = Bench::new();
    let content = record("2026-01-01 00:00:00 UTC", "LUNA_LOGIN");
    bench.write("in/a.json", &content);
    bench.write("in/b.json", &content);
    let (code, summary, _) = bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!((code, counts(&summary)), (0, [1, 1, 0, 1, 1, 0, 0]));
}

/// Records of an archive as letters; equal letters are equal records.
fn archive_of(letters: &str, form: usize) -> String {
    let lines: Vec<String> = letters
        .chars()
        .map(|letter| {
            let second = u32::from(letter) - u32::from('a');
            let time = format!("2026-01-01 00:00:{second:02} UTC");
            // The same record in three layouts.
            match form % 3 {
                0 => {
                    format!(r#"{{"time":"{time}","action":"LUNA_SIGN","meta":"{{\"role\":\"CU\",\"ouid\":\"0a\"}}"}}"#)
                }
                1 => {
                    format!(r#"{{ "meta": {{"ouid":"0a", "role":"CU"}}, "action":"LUNA_\u0053IGN", "time":"{time}"}}"#)
                }
                _ => format!(
                    r#"{{"time":"{time}","action":"LUNA_SIGN","traceID":null,"meta":{{"role":"CU","ouid":"0a"}}}}"#
                ),
            }
        })
        .collect();
    format!("[{}]", lines.join(","))
}

#[test]
fn a_record_counts_as_often_as_the_archive_that_holds_it_most_often_has_it() {
    // Archives of each run -> letters in the store.
    let cases: [(&[&[&str]], &str); 8] = [
        (&[&["aab", "ab"]], "aab"),
        (&[&["ab", "aab"]], "aab"),
        (&[&["aab"], &["abb"]], "aabb"),
        (&[&["abc", "bcd", "cde"]], "abcde"),
        (&[&["abc"], &["bcd"], &["cdde"], &["aaabbbccc"]], "aaabbbcccdde"),
        (&[&["aaa"], &["a"], &["aa"], &["aaaa"]], "aaaa"),
        (&[&["ad", "b", "c"], &["bc"]], "abcd"),
        (&[&["a", "b"], &["c", "d"]], "abcd"),
    ];
    for (runs, expected) in cases {
        let bench = Bench::new();
        let mut form = 0;
        for (number, run) in runs.iter().enumerate() {
            for letters in *run {
                bench.write(&format!("{number}/{form}.json"), archive_of(letters, form));
                form += 1;
            }
            let (code, summary, stderr) = bench.ingest(&[&bench.path(&number.to_string())], &[]);
            let [_, _, _, read, stored, duplicates, rejected] = counts(&summary);
            assert_eq!((code, rejected, read), (0, 0, stored + duplicates), "{runs:?}: {stderr}");
        }
        let stored: String = bench
            .rows("SELECT date_part('second', time)::INT FROM events ORDER BY 1")
            .iter()
            .map(|second| char::from(b'a' + second.parse::<u8>().unwrap()))
            .collect();
        assert_eq!(stored, expected, "{runs:?}");
    }
}

#[test]
fn a_failed_archive_is_known_until_the_outcome_could_be_another_and_its_good_members_are_not_stored_twice() {
    let bench = Bench::new();
    let path = sample("bad/one-bad-member.zip");
    let (_, first, _) = bench.ingest(&[&path], &[]);
    assert_eq!(counts(&first), [0, 0, 1, 3, 3, 0, 0]);
    let before = contents(&bench.store());
    let (code, again, stderr) = bench.ingest(&[&path], &[]);
    assert_eq!((code, counts(&again)), (0, [0, 1, 0, 0, 0, 0, 0]), "{stderr}");
    assert!(stderr.contains("one-bad-member.zip: known: failed in run 00000001-"), "{stderr}");
    assert_eq!(contents(&bench.store()), before, "what failed is known to fail");

    let (code, other, stderr) = bench.ingest(&[&path], &["--max-ratio", "401"]);
    assert_eq!((code, counts(&other)), (3, [0, 0, 1, 3, 0, 3, 0]), "tried again with other limits: {stderr}");
    assert_eq!(contents(&bench.store()), before);

    let (code, narrow, stderr) = bench.ingest(&[&path], &["--max-member-size", "1K"]);
    assert_eq!((code, counts(&narrow)), (3, [0, 0, 1, 0, 0, 0, 0]), "narrower limits lose no rows: {stderr}");
    assert_eq!(bench.rows("SELECT status, read, stored, duplicates FROM archives"), ["failed,3,3,0"]);

    let (code, salvaged, stderr) = bench.ingest(&[&path], &["--salvage"]);
    assert_eq!((code, counts(&salvaged)), (3, [1, 0, 0, 6, 3, 3, 0]), "{stderr}");
    assert!(stderr.contains("salvaged"), "{stderr}");
    let ledger = bench.rows("SELECT status, read, stored, duplicates FROM archives");
    assert_eq!(ledger, ["salvaged,6,6,0"], "the row counts what both runs stored");
    let (_, known, _) = bench.ingest(&[&path], &[]);
    assert_eq!(counts(&known), [0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn an_archive_that_is_read_again_has_each_of_its_places_once() {
    // Records of an archive before; of a damaged member and of a good one; places of these two in the end, and rows in all.
    let cases: [(&str, &str, &str, &[&str], usize); 5] = [
        ("", "ab", "a", &["bad 0", "bad 1", "good 0"], 3),
        ("", "a", "baa", &["bad 0", "good 0", "good 1", "good 2"], 4),
        ("a", "aab", "a", &["bad 1", "bad 2", "good 0"], 4),
        ("aab", "aab", "ba", &["good 0", "good 1"], 5),
        ("aa", "caab", "aaa", &["bad 0", "bad 3", "good 0", "good 1", "good 2"], 7),
    ];
    for (before, bad, good, places, rows) in cases {
        let bench = Bench::new();
        let [bad, good] = [bad, good].map(|letters| archive_of(letters, 0));
        bench.write("a/before.json", archive_of(before, 1));
        let zip = bench.write("a/z.zip", stored_zip(&[("bad", &bad, false), ("good", &good, true)]));
        bench.ingest(&[&bench.path("a/before.json")], &[]);
        let (code, _, stderr) = bench.ingest(&[&zip], &[]);
        assert_eq!(code, 3, "{stderr}");
        let (code, summary, stderr) = bench.ingest(&[&zip], &["--salvage"]);
        assert_eq!((code, counts(&summary)[0]), (3, 1), "{stderr}");
        let query = "SELECT concat(member, ' ', ordinal) FROM events WHERE member <> 'before.json' ORDER BY 1";
        assert_eq!(bench.rows(query), places, "{before}");
        assert_eq!(bench.rows("SELECT count(*) FROM events"), [rows.to_string()], "{before}");
        for depth in [&["verify"][..], &["verify", "--archives", "a"]] {
            let ran = bench.keytrail(depth);
            assert_eq!(ran.code, 0, "{before}, {depth:?}: {} {}", ran.stdout, ran.stderr);
        }
    }
}

/// A try under narrower limits leaves out what an earlier one stored: the ledger counts that once, and nobody else's duplicates for it.
#[test]
fn the_ledger_counts_what_all_tries_of_an_archive_read() {
    let record = |day: &str, action: &str| record(&format!("2026-{day} 08:00:01 UTC"), action) + "\n";
    let others: String = (1..=10).map(|day| record(&format!("03-{day:02}"), "other")).collect();
    let long: String = (1..=3).map(|day| record(&format!("04-{day:02}"), &"long".repeat(800))).collect();
    let own = record("01-01", "own") + &record("02-01", "own");
    let bench = Bench::new();
    bench.write("b.json", format!("{others}{long}"));
    bench.write("a.zip", stored_zip(&[("0.json", &format!("{others}{own}"), true), ("1.json", &long, true)]));
    let ledger = || {
        let columns = "status, read, stored, duplicates, rejected, first_time, last_time";
        bench.rows(&format!("SELECT {columns} FROM archives WHERE path LIKE '%a.zip'"))
    };
    bench.ingest(&[&bench.path("b.json")], &[]);
    let tries: [(&[&str], &str); 3] = [
        (&["--max-member-size", "4K"], "failed,12,2,10,0,2026-01-01T08:00:01Z,2026-03-10T08:00:01Z"),
        // The first member has too many months, the second one none of the rows before.
        (&["--max-months", "1"], "failed,5,2,3,0,2026-01-01T08:00:01Z,2026-04-03T08:00:01Z"),
        (&[], "stored,15,2,13,0,2026-01-01T08:00:01Z,2026-04-03T08:00:01Z"),
    ];
    for (options, expected) in tries {
        let (_, _, stderr) = bench.ingest(&[&bench.path("a.zip")], options);
        assert_eq!(ledger(), [expected], "{options:?}: {stderr}");
    }
    let events = bench.rows("SELECT count(*) FROM events");
    assert_eq!(events, ["15"]);
}

#[test]
fn salvage_keeps_what_a_cut_archive_holds() {
    for (name, at_least) in [("bad/truncated.zip", 200), ("bad/truncated.gz", 3), ("bad/bad-crc.zip", 5)] {
        let bench = Bench::new();
        let (code, summary, stderr) = bench.ingest(&[&sample(name)], &["--salvage"]);
        let [new, _, failed, read, stored, _, rejected] = counts(&summary);
        assert_eq!((new, failed, read), (1, 0, stored + rejected), "{name}: {stderr}");
        assert!(stored >= at_least, "{name}: {stored}");
        assert_eq!(code, 3, "{name}: what is damaged stays refused input");
        assert_eq!(bench.rows("SELECT status FROM archives"), ["salvaged"]);
    }
}

#[test]
fn rejects_are_kept_with_their_bytes() {
    let bench = Bench::new();
    bench.ingest(&[&sample("bad/broken-lines.ndjson")], &[]);
    let rows = bench.rows("SELECT ordinal, \"offset\", arrow_cast(raw, 'Utf8') FROM rejects ORDER BY ordinal LIMIT 1");
    let first_line = std::fs::read_to_string(sample("bad/broken-lines.ndjson")).unwrap().lines().next().unwrap().len();
    assert_eq!(rows, [format!("1,{},oops", first_line + 1)]);
}

#[test]
fn neighbours_of_a_damaged_archive_are_whole() {
    let bench = Bench::new();
    for name in ["truncated.zip", "bad-crc.zip", "encrypted.zip", "truncated.gz"] {
        std::fs::create_dir_all(bench.path("in")).unwrap();
        std::fs::copy(sample("bad").join(name), bench.path("in").join(name)).unwrap();
    }
    std::fs::copy(sample("good/two-members.zip"), bench.path("in/z.zip")).unwrap();
    let (code, summary, _) = bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!((code, counts(&summary)), (3, [1, 0, 4, 5, 5, 0, 0]));
    assert_eq!(bench.rows("SELECT status, count(*) FROM archives GROUP BY 1 ORDER BY 1"), ["failed,4", "stored,1"]);
}

#[test]
fn the_same_input_gives_the_same_files_whatever_the_threads() {
    let files = |jobs: &str| {
        let bench = Bench::new();
        let (_, _, stderr) = bench.ingest(&[&sample("good")], &["--jobs", jobs]);
        let events = bench.store().join("events");
        let found: Vec<(PathBuf, Vec<u8>)> = contents(&events)
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "parquet"))
            .map(|(path, bytes)| (path.strip_prefix(&events).unwrap().to_path_buf(), bytes))
            .collect();
        assert!(found.len() >= 3, "{stderr}");
        found
    };
    let one = files("1");
    assert_eq!(one, files("2"));
    assert_eq!(one, files("7"));
}

#[test]
fn rows_stand_in_the_order_of_archives_then_members_then_ordinals() {
    let bench = Bench::new();
    bench.write("in/z.json", format!("{}\n", record("2026-01-01 00:00:05 UTC", "first")));
    bench.write(
        "in/a.json",
        [record("2026-01-01 00:00:09 UTC", "third"), record("2026-01-01 00:00:06 UTC", "fourth")].join("\n"),
    );
    bench.write("in/m.json", format!("{}\n", record("2026-01-01 00:00:05.5 UTC", "second")));
    bench.ingest(&[&bench.path("in")], &[]);
    let exported = bench.keytrail(&["export"]).stdout;
    let actions: Vec<String> = exported
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(actions, ["first", "second", "third", "fourth"]);
}

#[test]
fn two_runs_at_once_both_succeed() {
    let bench = Bench::new();
    let mut children: Vec<_> = (0..4)
        .map(|number| {
            let lines: Vec<String> = (0..50)
                .map(|second| record(&format!("2026-01-0{} 00:00:{second:02} UTC", number + 1), "LUNA_LOGIN"))
                .collect();
            let path = bench.write(&format!("{number}.json"), lines.join("\n"));
            let mut command = bench.command();
            command.arg("ingest").arg(path).stderr(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in children.drain(..) {
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    assert_eq!(bench.rows("SELECT count(*), count(DISTINCT archive) FROM events"), ["200,4"]);
}

#[test]
fn any_bytes_give_a_clear_answer() {
    let whole = std::fs::read(sample("good/two-members.zip")).unwrap();
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("in")).unwrap();
    for (number, end) in (0..whole.len()).step_by(37).enumerate() {
        bench.write(&format!("in/cut-{number}"), &whole[..end]);
        let mut flipped = whole.clone();
        flipped[end] ^= 0xff;
        bench.write(&format!("in/flip-{number}"), flipped);
    }
    let mut numbers = noise(1);
    for number in 0..40 {
        let noise = numbers.by_ref().take(300).map(|number| number.to_le_bytes()[5]);
        let head: &[u8] = [b"[".as_slice(), b"{", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"PK\x05\x06", b""][number % 6];
        bench.write(&format!("in/noise-{number}"), head.iter().copied().chain(noise).collect::<Vec<u8>>());
    }
    let (code, summary, stderr) = bench.ingest(&[&bench.path("in")], &[]);
    assert_eq!(code, 3, "{stderr}");
    let [_, _, failed, read, stored, duplicates, rejected] = counts(&summary);
    assert!(failed > 40 && read == stored + duplicates + rejected, "{summary}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_path_that_is_not_there_is_named_and_nothing_is_made() {
    let bench = Bench::new();
    let ran = bench.keytrail(&["ingest", "nowhere.zip"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("nowhere.zip: expected a file, a folder or a pattern"), "{}", ran.stderr);
    assert!(!bench.store().exists());
}

#[test]
fn words_go_to_stderr_and_a_pipe_may_close() {
    let bench = Bench::new();
    let ran = bench.keytrail(&[Path::new("ingest"), &sample("good")]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("18 new, 0 known, 0 failed"), "{}", ran.stderr);
    let mut command = bench.command();
    let mut child = command.args(["export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn what_cannot_be_said_stops_nothing() {
    let bench = Bench::new();
    let archive = sample("bad/cut-list.json");
    let mut command = bench.command();
    command.args(["ingest", "--format", "json"]).arg(&archive).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let code = child.wait().unwrap().code();
    assert!(code == Some(0) || code == Some(3), "{code:?}");
    assert_eq!(bench.rows("SELECT count(*) FROM events"), ["2"]);
}

#[cfg(unix)]
#[test]
fn links_pipes_and_folders_that_are_no_archives_are_named_and_stop_nothing() {
    let bench = Bench::new();
    let good = bench.write("in/a.json", record("2026-01-01 00:00:00 UTC", "LUNA_LOGIN"));
    std::os::unix::fs::symlink("nowhere", bench.path("in/link")).unwrap();
    std::os::unix::fs::symlink(bench.path("in"), bench.path("in/loop")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(bench.path("in/pipe")).status().unwrap().success());
    let (code, summary, stderr) = bench.ingest(&[&bench.path("in"), &bench.path("in/pipe")], &[]);
    assert_eq!((code, counts(&summary)), (3, [1, 0, 3, 1, 1, 0, 0]), "{stderr}");
    for name in ["in/link: failed", "in/loop: failed", "in/pipe: failed: cannot be read: expected a regular file"] {
        assert!(stderr.contains(name), "{name}: {stderr}");
    }
    let (code, summary, _) = bench.ingest(&[&good], &[]);
    assert_eq!((code, counts(&summary)), (0, [0, 1, 0, 0, 0, 0, 0]));
}

#[test]
fn sql_is_read_from_stdin_where_there_is_no_terminal() {
    let bench = Bench::new();
    bench.ingest(&[&sample("good/two-members.zip")], &[]);
    let mut command = bench.command();
    command.args(["sql", "--format", "csv"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT count(*) AS n FROM events;\nSELECT 1 AS one;").unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "n\n5\none\n1\n"), "{}", ran.stderr);
}

#[test]
fn a_store_may_be_named_relative_to_the_folder_or_not_at_all() {
    for arguments in [&["--store", "here/store"][..], &[]] {
        let bench = Bench::new();
        let run = |command: &[&str]| {
            let mut program = bench.command();
            Ran::of(program.env_remove("KEYTRAIL_STORE").args(command).args(arguments).output().unwrap())
        };
        let archive = sample("good/two-members.zip");
        let ran = run(&["ingest", archive.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        assert_eq!(run(&["sql", "SELECT count(*) AS n FROM events", "--format", "csv"]).stdout, "n\n5\n");
        let store = bench.path(if arguments.is_empty() { "keytrail-store" } else { "here/store" });
        assert!(store.join("_staging").read_dir().unwrap().next().is_none(), "nothing is left in staging");
    }
}

#[test]
fn progress_is_drawn_on_a_terminal_only() {
    let bench = Bench::new();
    let archives = bench.path("archives");
    let made = bench.keytrail(&["generate", archives.to_str().unwrap(), "--records", "5000", "--archives", "4"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let (code, _, words) = bench.ingest(&[&archives.join("archives")], &[]);
    assert_eq!((code, words.contains("/4 archives")), (0, false), "{words}");
    // `script` gives the program a terminal, and what it draws there to us.
    let program = env!("CARGO_BIN_EXE_keytrail");
    let command = format!("'{program}' ingest '{}' --store other --format json", archives.join("archives").display());
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).current_dir(bench.path("")).env("TERM", "xterm");
    let drawn = match terminal.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) if std::env::var_os("CI").is_none() => return eprintln!("passed over, without `script`: {error}"),
        Err(error) => panic!("script: {error}"),
    };
    for part in ["0/4 archives [", "left", "writing files: "] {
        assert!(drawn.contains(part), "{part}: {drawn:?}");
    }
    assert!(drawn.contains("\"stored\":5000"), "{drawn:?}");
}

#[test]
fn with_little_memory_one_row_group_is_held_at_a_time() {
    // One of 60 MB, what it is made from, and the program, which is larger without optimisation. Two would be beyond it.
    const PEAK_MIB: u64 = 192;
    let bench = Bench::new();
    let mut numbers = noise(1);
    // Random letters: what is staged of a record has three quarters of their length, so that there are two row groups of 60 MB.
    let mut letters = |count: usize| -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        numbers.by_ref().take(count).map(|number| char::from(ALPHABET[(number >> 58) as usize])).collect()
    };
    for number in 0..16 {
        let record = |second: usize| {
            let (minute, second) = (second / 60 % 60, second % 60);
            let (time, note) = (format!("2026-01-{:02} 00:{minute:02}:{second:02} UTC", number + 1), letters(4096));
            format!(r#"{{"time":"{time}","action":"LUNA_SIGN","note":"{note}"}}"#)
        };
        let lines: Vec<String> = (0..2500).map(record).collect();
        bench.write(&format!("in/{number:02}.json"), lines.join("\n"));
    }
    let mut command = bench.command();
    command.args(["ingest", "in", "--format", "json", "--memory", "128M"]);
    let Measured { ran, peak_bytes, .. } = measure(&mut command, 120.0);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(counts(&serde_json::from_str(&ran.stdout).unwrap()), [16, 0, 0, 40_000, 40_000, 0, 0]);
    println!("peak {} MiB", peak_bytes >> 20);
    assert!(peak_bytes <= PEAK_MIB << 20, "{} MiB", peak_bytes >> 20);
}
