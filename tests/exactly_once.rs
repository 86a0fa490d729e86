//! A record counts as often as the archive that holds it most often has it: across archives, across runs, against what is stored.
//!
//! Held against [`crate::support::model`] (rows with provenance, ledger, rejects) and against a program of its own in Python
//! (`tests/model/check.py`), which reads the archives as anybody could. `KEYTRAIL_TEST_LONG=1` plays many more rounds.

use std::path::Path;
use std::process::Command;

use crate::crashes::{files, long, side_by_side, write};
use crate::support::model::{ACTIONS, ACTORS, Archive, Dice, Filter, Log, Model, STATUSES};
use crate::support::{Bench, Ran, counts, record};

/// Exports of one log: filters, windows that are repeated, nested, shifted, and late ones for the time before.
fn exports(log: &Log, dice: &mut Dice, count: usize) -> Vec<Archive> {
    let end = log.len() as u64;
    let mut windows: Vec<(u64, u64)> = Vec::new();
    let mut archives: Vec<Archive> = Vec::new();
    for number in 0..count {
        let last = windows.last().copied();
        let (from, to) = match (dice.below(5), last) {
            // The same window again.
            (0, Some(last)) => last,
            // One inside it.
            (1, Some((from, to))) => (from + (to - from) / 4, to - (to - from) / 4),
            // One that is shifted.
            (2, Some((from, to))) => (from + (to - from) / 2, (to + (to - from) / 2).min(end)),
            _ => {
                let from = dice.below(end);
                (from, (from + 1 + dice.below(end / 2)).min(end))
            }
        };
        windows.push((from, to));
        let mut pick = |of: &[&'static str]| Some(of[usize::try_from(dice.below(of.len() as u64)).unwrap()]);
        let filter = match number % 5 {
            1 => Filter { action: pick(&ACTIONS), ..Filter::default() },
            2 => Filter { actor: pick(&ACTORS), ..Filter::default() },
            3 => Filter { status: pick(&STATUSES), ..Filter::default() },
            _ => Filter::default(),
        };
        let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
        let mut text = log.export(from, to, &filter, dice.below(64));
        if text.starts_with('{') && dice.chance(30) {
            text.push_str("\nnot JSON\n");
        }
        archives.push(Archive { name: format!("{number:03}.json"), text });
    }
    archives
}

/// Deals archives into runs, in an order that is drawn.
fn deal(archives: &[Archive], dice: &mut Dice) -> Vec<Vec<Archive>> {
    let mut left = archives.to_vec();
    let mut runs = Vec::new();
    while !left.is_empty() {
        let size = usize::try_from(1 + dice.below(4)).unwrap().min(left.len());
        let mut run: Vec<Archive> =
            (0..size).map(|_| left.swap_remove(usize::try_from(dice.below(left.len() as u64)).unwrap())).collect();
        // Below a folder files are found in the order of their names.
        run.sort_by(|a, b| a.name.cmp(&b.name));
        runs.push(run);
    }
    runs
}

fn ingest(bench: &Bench, runs: &[Vec<Archive>], options: &[&str]) {
    for (number, run) in runs.iter().enumerate() {
        let folder = format!("runs-{number}");
        write(bench, &folder, run);
        let (code, summary, words) = bench.ingest(&[&bench.path(&folder)], options);
        assert!([0, 3].contains(&code), "{words}");
        let [_, _, _, read, stored, duplicates, rejected] = counts(&summary);
        assert_eq!(read, stored + duplicates + rejected, "{words}");
    }
}

#[test]
fn counts_do_not_depend_on_how_archives_are_grouped_into_runs() {
    let seeds: Vec<u64> = (1..=if long() { 150 } else { 6 }).collect();
    side_by_side(&seeds, |&seed| {
        let mut dice = Dice::new(seed);
        // Some logs lie within a day, some go over months; with and without trace ids.
        let log = Log::new(seed, 120, if seed % 3 == 0 { 10 } else { 700 }, seed % 2 == 0);
        let count = 4 + usize::try_from(dice.below(12)).unwrap();
        let archives = exports(&log, &mut dice, count);
        let mut at_once = Model::default();
        at_once.ingest(&archives);
        for grouping in 0..2 {
            let runs = if grouping == 0 { vec![archives.clone()] } else { deal(&archives, &mut dice) };
            let mut model = Model::default();
            runs.iter().for_each(|run| model.ingest(run));
            assert_eq!(model.records(), at_once.records(), "the model itself");
            let bench = Bench::new();
            ingest(&bench, &runs, if seed % 4 == 0 { &["--memory", "1M", "--jobs", "3"] } else { &[] });
            let state = bench.state().unwrap();
            let what = format!("seed {seed}, {} archives in {} runs", archives.len(), runs.len());
            assert_eq!(state.difference(model.state()), "", "{what}");
            assert_eq!(state.records(), at_once.records(), "{what}");
            assert_eq!(bench.keytrail(&["verify"]).code, 0, "{what}");
        }
    });
}

#[test]
fn late_archives_for_old_months_are_compared_with_what_those_months_hold() {
    let log = Log::new(31, 400, 400, false);
    let export =
        |name: &str, from, to, filter: Filter| Archive { name: name.into(), text: log.export(from, to, &filter, 2) };
    let all = Filter::default;
    // The newest first, then older ones, then one over everything, then one that only a filter makes other.
    let runs = [
        vec![export("new", 300, 400, all())],
        vec![export("old", 0, 120, all())],
        vec![export("between", 100, 310, all())],
        vec![export("whole", 0, 400, all())],
        vec![export("signs", 0, 400, Filter { action: Some("LUNA_SIGN"), ..all() })],
    ];
    let (bench, mut model) = (Bench::new(), Model::default());
    for (number, run) in runs.iter().enumerate() {
        model.ingest(run);
        let folder = number.to_string();
        write(&bench, &folder, run);
        let (_, summary, words) = bench.ingest(&[&bench.path(&folder)], &[]);
        assert_eq!(bench.state().unwrap().difference(model.state()), "", "run {number}: {words}");
        if number >= 3 {
            assert_eq!(counts(&summary)[4], 0, "nothing is new in run {number}");
        }
    }
    assert_eq!(bench.state().unwrap().rows.len(), log.len());
}

#[test]
fn what_does_not_overlap_is_not_read() {
    let bench = Bench::new();
    let day = |day: u32, action: &str| record(&format!("2026-01-{day:02} 12:00:00 UTC"), action);
    for number in [1, 10, 20] {
        let path = bench.write(&format!("{number}.json"), day(number, "LUNA_LOGIN"));
        assert_eq!(bench.ingest(&[&path], &["--jobs", "1"]).0, 0);
    }
    // Data files of the first and the last day hold garbage of the same length: who reads them fails.
    let data: Vec<String> =
        files(&bench.store()).into_iter().filter(|path| path.starts_with("events/month=")).collect();
    assert_eq!(data.len(), 3);
    let kept: Vec<Vec<u8>> = data.iter().map(|path| std::fs::read(bench.store().join(path)).unwrap()).collect();
    for (path, bytes) in [(&data[0], &kept[0]), (&data[2], &kept[2])] {
        std::fs::write(bench.store().join(path), vec![0; bytes.len()]).unwrap();
    }
    // Archive -> whether it can be ingested.
    let cases = [
        (vec![day(5, "a")], true),
        (vec![day(10, "LUNA_LOGIN"), day(11, "b")], true),
        (vec![day(31, "c")], true),
        (vec![day(1, "d")], false),
        (vec![day(20, "e")], false),
        (vec![day(10, "f"), day(20, "g")], false),
    ];
    for (number, (lines, whole)) in cases.into_iter().enumerate() {
        let path = bench.write(&format!("late-{number}.json"), lines.join("\n"));
        let (code, _, words) = bench.ingest(&[&path], &[]);
        assert_eq!(code, if whole { 0 } else { 1 }, "{lines:?}: {words}");
    }
    for (path, bytes) in data.iter().zip(kept) {
        std::fs::write(bench.store().join(path), bytes).unwrap();
    }
    assert_eq!(bench.rows("SELECT count(*) FROM events"), ["6"]);
}

/// Runs the model in Python over archives and the store.
fn python_model(bench: &Bench, archives: &Path) -> Ran {
    let [export, ledger] = ["export.ndjson", "ledger.json"].map(|name| bench.path(name));
    assert_eq!(bench.keytrail(&["export", "-o", export.to_str().unwrap()]).code, 0);
    assert_eq!(bench.keytrail(&["archives", "--format", "json", "-o", ledger.to_str().unwrap()]).code, 0);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model/check.py");
    let mut python = Command::new("python3");
    python.arg("-B").arg(script).arg(archives).arg("--export").arg(export).arg("--ledger").arg(ledger);
    Ran::of(python.output().unwrap())
}

#[test]
fn both_models_and_the_store_agree_on_what_is_equal() {
    let bench = Bench::new();
    let with =
        |more: &str| record("2026-01-05 08:00:01 UTC", "LUNA_LOGIN").replace("{\"time\"", &format!("{{{more}\"time\""));
    // Each of these is a record of its own, though another archive has one that is nearly the same.
    let apart = [
        "",
        "\"new\":null,",
        "\"meta\":{\"new\":null},",
        "\"new\":0,",
        "\"new\":-0,",
        "\"new\":0.0,",
        "\"new\":\"0\",",
        "\"new\":-0.0,",
        "\"new\":1.5,",
        "\"new\":-1.5,",
        "\"new\":100000,",
        "\"new\":1e5,",
        "\"meta\":{\"new\":[0.1]},",
        // What no double holds to the last digit.
        "\"new\":0.1000000000000000055511151231257827,",
        "\"new\":1e400,",
        "\"new\":1e-400,",
        "\"new\":4.9e-324,",
        "\"new\":5e-324,",
    ];
    // These are one of them again.
    let same = [
        "\"traceID\":null,",
        "\"TRACEID\":null,",
        "\"meta\":{\"role\":null,\"ouid\":\"\"},",
        "\"meta\":null,",
        "\"meta\":\"\",",
        "\"new\":0e999999999999999999999,",
        "\"new\":-0.00,",
        "\"new\":1.50,",
        "\"new\":15e-1,",
        "\"new\":0.15E+1,",
        "\"new\":-150e-2,",
        "\"new\":100000.0,",
        "\"meta\":\"{\\\"new\\\":[1e-1]}\",",
        "\"new\":50e-325,",
    ];
    for (number, more) in apart.iter().chain(&same).enumerate() {
        bench.write(&format!("in/{number:02}.json"), with(more));
    }
    let (code, summary, words) = bench.ingest(&[&bench.path("in")], &[]);
    let (all, kept) = ((apart.len() + same.len()) as u64, apart.len() as u64);
    assert_eq!((code, counts(&summary)), (0, [all, 0, 0, all, kept, all - kept, 0]), "{words}");
    let ran = python_model(&bench, &bench.path("in"));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn both_models_and_the_store_agree_on_what_is_a_record() {
    let bench = Bench::new();
    let at = |time: &str| record(time, "LUNA_SIGN").into_bytes();
    let with = |more: &[u8]| [b"{\"x\":", more, b",", &at("2026-01-05 08:00:01 UTC")[1..]].concat();
    let kept = [
        at("2026-01-05t08:00:01.1234567z"),
        at("2026-01-05 08:00:01+01:30"),
        at("0001-01-01 00:00:00 UTC"),
        at("9999-12-30 21:59:59 UTC"),
        // Neither separates lines of NDJSON.
        with("\"\u{2028}\u{85}\"".as_bytes()),
        with(br#""\ud83d\ude00""#),
    ];
    let rejected = [
        at("2026-01-05 08:00:01UTC"),
        at("2026-01-05 08:00:01 Z"),
        at("2026-01-05 08:00:01+0130"),
        at("2026-01-05 08:00:01 UTC\\n"),
        at("2026-01-05 08:00:01 +01:00"),
        at("\u{662}026-01-05 08:00:01 UTC"),
        at("2026-02-30 08:00:01 UTC"),
        at("9999-12-31 23:59:59 UTC"),
        with(b"\"\xff\""),
        with(br#""\ud83d""#),
        // Also where a later member of the same name takes its place.
        with(br#""\ud83d","x":1"#),
    ];
    let lines: Vec<&[u8]> = kept.iter().chain(&rejected).map(Vec::as_slice).collect();
    bench.write("in/lines.json", [b"\xef\xbb\xbf", lines.join(&b'\n').as_slice()].concat());
    // The same in a list, but for what cannot stand in one.
    let listed: Vec<&[u8]> = lines.iter().copied().filter(|line| std::str::from_utf8(line).is_ok()).collect();
    bench.write("in/list.json", [b"[", listed.join(&b',').as_slice(), b"]"].concat());
    let (code, summary, words) = bench.ingest(&[&bench.path("in")], &[]);
    let (read, kept) = ((lines.len() + listed.len()) as u64, kept.len() as u64);
    assert_eq!((code, counts(&summary)), (3, [2, 0, 0, read, kept, kept, read - 2 * kept]), "{words}");
    let ran = python_model(&bench, &bench.path("in"));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_model_in_python_finds_the_same_records_in_the_same_archives() {
    let sets: [&[&str]; 5] = [
        &["--overlap", "0.5", "--equal-pairs", "0.1", "--copies", "2", "--no-trace-ids", "--precision", "seconds"],
        &["--overlap", "0.3", "--members", "3", "--container", "mixed", "--meta", "mixed", "--vary-layout"],
        &[
            "--overlap",
            "0.9",
            "--equal-pairs",
            "0.3",
            "--container",
            "gzip_lines",
            "--days",
            "70",
            "--precision",
            "mixed",
        ],
        &["--no-trace-ids", "--cipher-trust", "0.1", "--container", "plain_lines", "--overlap", "0.2"],
        &[
            "--overlap",
            "0.4",
            "--no-trace-ids",
            "--fault",
            "bad_crc",
            "--fault",
            "truncated_zip",
            "--fault",
            "html_page",
            "--fault",
            "empty_file",
            "--fault",
            "empty_list",
            "--fault",
            "encrypted",
        ],
    ];
    let numbered: Vec<(usize, &[&str])> = sets.into_iter().enumerate().collect();
    side_by_side(&numbered, |(number, options)| {
        let bench = Bench::new();
        let common = ["generate", "made", "--records", "6000", "--archives", "13", "--seed", &number.to_string()]
            .map(str::to_owned);
        let arguments: Vec<String> =
            common.into_iter().chain(options.iter().map(|option| (*option).to_owned())).collect();
        assert_eq!(bench.keytrail(&arguments).code, 0);
        let archives = bench.path("made/archives");
        // In two runs, the later half first.
        let mut names: Vec<_> = std::fs::read_dir(&archives).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let (early, late) = names.split_at(names.len() / 2);
        for half in [late, early] {
            let paths: Vec<&Path> = half.iter().map(AsRef::as_ref).collect();
            assert!([0, 3].contains(&bench.ingest(&paths, &[]).0));
        }
        let ran = python_model(&bench, &archives);
        assert_eq!(ran.code, 0, "{options:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.starts_with("equal: "), "{}", ran.stdout);
    });
}

#[test]
fn the_model_in_python_agrees_about_the_good_samples() {
    let bench = Bench::new();
    let good = crate::support::sample("good");
    assert_eq!(bench.ingest(&[&good], &[]).0, 0);
    let ran = python_model(&bench, &good);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn the_model_in_python_tells_a_difference() {
    let bench = Bench::new();
    let lines = ["00", "01", "01", "02"].map(|second| record(&format!("2026-01-01 00:00:{second} UTC"), "LUNA_SIGN"));
    let path = bench.write("in/a.json", lines.join("\n"));
    bench.ingest(&[&path], &[]);
    assert_eq!(python_model(&bench, &bench.path("in")).code, 0);
    // An archive more than was ingested: three of a record of which the store has two.
    bench.write("in/b.json", [lines[1].as_str(); 3].join("\n"));
    let ran = python_model(&bench, &bench.path("in"));
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    for words in ["2 instead of 3 times", "00:00:01", "not in the ledger: "] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    // And one too few.
    std::fs::remove_file(bench.path("in/b.json")).unwrap();
    bench.write("in/a.json", lines[..2].join("\n"));
    let ran = python_model(&bench, &bench.path("in"));
    assert!(ran.code == 1 && ran.stdout.contains("1 instead of 0 times"), "{}", ran.stdout);
}

#[test]
fn a_run_in_which_all_overlaps_stays_within_its_memory() {
    // What writing takes however little memory there is (see `keytrail ingest --help`), and the program itself.
    const FLOOR_MIB: u64 = 128;
    let (records, memory_mib) = if long() { ("2000000", 256) } else { ("150000", 48) };
    let bench = Bench::new();
    for container in ["zip", "gzip_lines"] {
        // The same log twice, in archives of other bytes.
        let made = bench.keytrail(&[
            "generate",
            container,
            "--records",
            records,
            "--archives",
            "20",
            "--days",
            "60",
            "--container",
            container,
        ]);
        assert_eq!(made.code, 0, "{}", made.stderr);
    }
    // The system counts the memory of children that have ended; the standard library of Rust does not ask it.
    let measure = "import resource, subprocess, sys\nended = subprocess.run(sys.argv[1:]).returncode\n\
                   print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, file=sys.stderr)\nsys.exit(ended)";
    let memory = format!("{memory_mib}M");
    let ran = |archives: &[&str], store: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", measure, env!("CARGO_BIN_EXE_keytrail"), "ingest", "--format", "json", "--memory", &memory]);
        python.args(archives).args(["--store", store]).current_dir(bench.path(""));
        let ran = Ran::of(python.output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let peak: u64 = ran.stderr.lines().last().unwrap().parse().unwrap();
        println!("{archives:?}: peak {peak} MiB with --memory {memory}");
        assert!(peak <= memory_mib.max(FLOOR_MIB), "{archives:?}: peak {peak} MiB with --memory {memory}");
        counts(&serde_json::from_str(&ran.stdout).unwrap())
    };
    let count: u64 = records.parse().unwrap();
    let [zip, gzip] = ["zip/archives", "gzip_lines/archives"];
    // Within one run, then against what is stored.
    assert_eq!(ran(&[zip, gzip], "one"), [40, 0, 0, 2 * count, count, count, 0]);
    ran(&[zip], "two");
    assert_eq!(ran(&[gzip], "two"), [20, 0, 0, count, 0, count, 0]);
}
