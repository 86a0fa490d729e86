//! Files that others made to test their readers with: never a panic, a hang, much memory, or a good record lost beside a bad one.
//!
//! `KEYTRAIL_FOREIGN_FILES` names folders of such files, separated by `:` (test suites of JSON parsers, archives of ZIP
//! implementations); without it a small selection of our own is taken. Of JSON files whose name begins with `y_`, `n_` or `i_` it is known
//! whether they are JSON, as in the well-known suite of that naming.

use std::path::{Path, PathBuf};

use crate::support::{Bench, Measured, counts, measure, record, sample};

const PEAK_BYTES: u64 = 400 << 20;
const SECONDS: f64 = 60.0;

/// JSON texts of our own, named in the suite's way.
const JSON: [(&str, &[u8]); 34] = [
    ("y_list", b"[]"),
    ("y_object", b"{}"),
    ("y_list_of_objects", b"[{\"a\":1},{\"b\":[null]}]"),
    ("y_blanks", b" \t\n[ { } ]\r\n "),
    ("y_number", b"-12.5E+3"),
    ("y_escapes", b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\""),
    ("y_delete", b"\"\x7f\""),
    ("y_equal_names", b"{\"a\":1,\"a\":2}"),
    ("y_literals", b"[true,false,null]"),
    ("y_text_of_brackets", b"\"]},{[\""),
    ("n_nothing", b"\x01"),
    ("n_two_values", b"1 2"),
    ("n_open_list", b"[1"),
    ("n_open_object", b"{\"a\":1"),
    ("n_open_text", b"\"a"),
    ("n_closed_twice", b"[1]]"),
    ("n_closed_by_another", b"[1}"),
    ("n_comma_last", b"[1,]"),
    ("n_comma_first", b"[,1]"),
    ("n_no_colon", b"{\"a\" 1}"),
    ("n_name_without_quotes", b"{a:1}"),
    ("n_single_quotes", b"{'a':1}"),
    ("n_comment", b"[1/*2*/]"),
    ("n_leading_zero", b"01"),
    ("n_plus", b"+1"),
    ("n_hexadecimal", b"0x1"),
    ("n_nan", b"NaN"),
    ("n_capitals", b"TRUE"),
    ("n_control", b"\"\x1f\""),
    ("n_bad_escape", b"\"\\x41\""),
    ("n_not_utf8", b"\"\xe9\""),
    ("i_lone_surrogate", b"\"\\udc00\""),
    ("i_huge_number", b"1e9999"),
    ("i_deep", b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
];

/// All files below folders, sorted; of our own where none are named.
fn files(bench: &Bench) -> Vec<PathBuf> {
    let named = std::env::var("KEYTRAIL_FOREIGN_FILES").ok();
    let mut folders: Vec<PathBuf> = match named {
        Some(named) => named.split(':').map(PathBuf::from).collect(),
        None => {
            JSON.iter().for_each(|(name, json)| drop(bench.write(&format!("own/{name}.json"), json)));
            vec![bench.path("own"), sample("bad"), sample("good")]
        }
    };
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    assert!(files.len() > 20, "{}", files.len());
    files
}

/// Ingests paths into a store of their own: done, or done with some input refused.
fn ingest(bench: &Bench, store: &str, paths: &[&Path], options: &[&str]) -> (Measured, [u64; 7]) {
    let mut command = bench.command();
    command.env("KEYTRAIL_STORE", bench.path(store)).args(["ingest", "--format", "json"]);
    let measured = measure(command.args(options).args(paths), SECONDS);
    let Measured { ran, peak_bytes, .. } = &measured;
    assert!(matches!(ran.code, 0 | 3), "{paths:?} {options:?}: {} {}", ran.code, ran.stderr);
    assert!(!ran.stderr.contains("internal error") && !ran.stderr.contains("panicked"), "{paths:?}: {}", ran.stderr);
    assert!(*peak_bytes < PEAK_BYTES, "{paths:?} {options:?}: {peak_bytes} bytes");
    let counts = counts(&serde_json::from_str(&ran.stdout).unwrap());
    let [_, _, _, read, stored, duplicates, rejected] = counts;
    assert_eq!(read, stored + duplicates + rejected, "{paths:?}");
    (measured, counts)
}

#[test]
fn foreign_files_are_read_or_refused_alone_and_together() {
    let bench = Bench::new();
    let files = files(&bench);
    let mut archives = [0; 3];
    for (number, file) in files.iter().enumerate() {
        let (_, [new, known, failed, ..]) = ingest(&bench, &format!("alone/{number}"), &[file], &[]);
        assert_eq!(new + known + failed, 1, "{}", file.display());
        archives = [archives[0] + new, archives[1] + known, archives[2] + failed];
    }
    for options in [&[][..], &["--salvage"], &["--memory", "1M"]] {
        let all: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let (measured, [new, known, failed, ..]) = ingest(&bench, &format!("all{}", options.len()), &all, options);
        assert_eq!(new + known + failed, files.len() as u64);
        // Equal files are known when they come together.
        assert!(options.contains(&"--salvage") || new + known >= archives[0], "{new} {known} {archives:?}");
        println!("{} files {options:?}: {:.2} s, {} MiB", files.len(), measured.seconds, measured.peak_bytes >> 20);
    }
}

#[test]
fn json_of_a_suite_is_taken_or_refused_wherever_it_stands() {
    let bench = Bench::new();
    let files = files(&bench);
    let kind_of = |path: &Path| match path.file_name()?.to_str()?.split_once('_')? {
        (kind @ ("y" | "n" | "i"), name) if name.ends_with(".json") => Some(kind.to_owned()),
        _ => None,
    };
    let good = ["A", "B"].map(|action| record("2026-01-05 08:00:01 UTC", action));
    let open = r#"{"time":"2026-01-05 08:00:02 UTC","action":"X","#;
    let forms = [
        // Around the JSON: where it stands, what is before it in its record and what is behind.
        ("extra", format!("{open}\"x\":"), "}"),
        ("meta", format!("{open}\"meta\":"), "}"),
        ("record", String::new(), ""),
    ];
    for (form, before, behind) in forms {
        let mut expected = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let Some(kind) = kind_of(file) else { continue };
            let json = std::fs::read(file).unwrap();
            // Each differs from all others, so that none is known already.
            let front = format!("[{},{}", good[0].replace("\"a\"", &format!("\"{number}\"")), before);
            let list = [front.as_bytes(), &json, behind.as_bytes(), b",", good[1].as_bytes(), b"]"].concat();
            bench.write(&format!("{form}/{number:05}"), list);
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            expected.push((format!("{number:05}"), kind, name, front.len() - before.len()));
        }
        assert!(expected.len() > 30, "{}", expected.len());
        let store = format!("store-{form}");
        ingest(&bench, &store, &[&bench.path(form)], &[]);
        let query = "SELECT a.path, a.rejected, r.\"offset\", a.stored + a.duplicates AS kept FROM archives a \
                     LEFT JOIN rejects r ON r.archive = a.archive ORDER BY a.path, r.ordinal";
        let store = bench.path(&store);
        let ran = bench.keytrail(&["sql", query, "--store", store.to_str().unwrap(), "--format", "json"]);
        let rows: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        for (file, kind, name, offset) in expected {
            let mut of_file =
                rows.as_array().unwrap().iter().filter(|row| row["path"].as_str().unwrap().ends_with(&file));
            let row = of_file.next().unwrap_or_else(|| panic!("{name}: not in the ledger"));
            let (rejected, kept) = (row["rejected"].as_u64().unwrap(), row["kept"].as_u64().unwrap());
            assert!(kept >= 2, "{form} {name}: the good ones around it are kept: {row}");
            match (kind.as_str(), form) {
                // As a record even good JSON lacks a time.
                ("y", "extra" | "meta") => assert_eq!((rejected, kept), (0, 3), "{form} {name}: {row}"),
                ("y", _) => assert_eq!(rejected, 1, "{form} {name}: {row}"),
                ("n", _) => {
                    assert!(rejected >= 1, "{form} {name}: {row}");
                    assert!(row["offset"].as_u64().unwrap() >= offset as u64, "{form} {name}: {row}, {offset}");
                }
                _ => assert!(rejected <= 1, "{form} {name}: {row}"),
            }
        }
    }
}
