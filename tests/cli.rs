//! The command line itself: usage, exit codes, listings, output files.

use std::io::Read as _;

use crate::support::{Bench, Ran, contents, measure, record, sample};

#[test]
fn exit_codes_of_wrong_usage_and_failure() {
    let bench = Bench::new();
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 2, "Usage"),
        (&["ingest"], 2, "PATH"),
        (&["frobnicate"], 2, "unrecognized"),
        (&["ingest", "x", "--memory", "lots"], 2, "512M"),
        (&["sql", "SELECT * FROM events"], 1, "expected a keytrail store"),
        (&["archives"], 1, "expected a keytrail store"),
        (&["views", "nonsense"], 2, "login_failures"),
        (&["report", "monthly"], 2, "--month"),
        (&["--help"], 0, ""),
        (&["--version"], 0, ""),
        (&["completions", "bash"], 0, ""),
        (&["views"], 0, ""),
    ];
    for (arguments, code, words) in cases {
        let ran = bench.keytrail(arguments);
        assert_eq!(ran.code, *code, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout.is_empty(), *code != 0, "{arguments:?}");
    }
}

#[test]
fn sql_errors_name_the_fault() {
    let bench = Bench::new();
    bench.ingest(&[&sample("good/two-members.zip")], &[]);
    for (query, words) in [
        ("SELECT nothing FROM events", "nothing"),
        ("SELEC 1", "SELEC"),
        ("DROP TABLE events", "refused"),
        ("INSERT INTO events SELECT * FROM events", "refused"),
        ("COPY events TO 'x.csv'", "refused"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "refused"),
    ] {
        let ran = bench.keytrail(&["sql", query]);
        assert_eq!(ran.code, 1, "{query}");
        assert!(ran.stderr.contains(words), "{query}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{query}");
    }
    assert_eq!(bench.keytrail(&["sql", "SELECT 1", "-f", "x.sql"]).code, 2);
    let several = "SET datafusion.execution.batch_size = 100; SELECT 1; SELECT 2";
    for format in ["json", "parquet"] {
        let ran = bench.keytrail(&["sql", several, "--format", format]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{format}: {}", ran.stderr);
        let ran = bench.keytrail(&["sql", "SELECT a.time, b.time FROM events a, events b", "--format", format]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{format}");
        assert!(ran.stderr.contains("two columns are called \"time\""), "{format}: {}", ran.stderr);
    }
    let kept = bench.write("kept.csv", "what was there");
    assert_eq!(bench.keytrail(&["sql", "SELEC", "-o", "kept.csv"]).code, 1);
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "what was there");
    assert_eq!(bench.keytrail(&["sql", "-f", "not-there.sql"]).code, 1);
}

#[test]
fn statements_that_only_set_something_are_no_answers() {
    let bench = Bench::new();
    bench.ingest(&[&sample("good/two-members.zip")], &[]);
    for script in [
        "SET datafusion.execution.batch_size = 100; SELECT 1 AS one",
        "/* first */ set datafusion.execution.batch_size = 100; SELECT 1 AS one",
        "RESET datafusion.execution.batch_size; SELECT 1 AS one",
        "PREPARE p AS SELECT 1 AS one; EXECUTE p; DEALLOCATE p",
    ] {
        assert_eq!(bench.json(script).to_string(), r#"[{"one":1}]"#, "{script}");
    }
}

#[test]
fn a_byte_order_mark_before_a_script_is_no_sql() {
    let bench = Bench::new();
    bench.ingest(&[&sample("good/two-members.zip")], &[]);
    let file = bench.write("one.sql", "\u{feff}SELECT 1 AS one");
    let ran = bench.keytrail(&["sql", "--format", "csv", "-f", "one.sql"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "one\n1\n"), "{}", ran.stderr);
    let mut command = bench.command();
    command.args(["sql", "--format", "csv"]).stdin(std::fs::File::open(file).unwrap());
    let ran = Ran::of(command.output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "one\n1\n"), "{}", ran.stderr);
}

#[test]
fn statements_of_any_depth_end_with_an_answer_or_a_message() {
    let bench = Bench::new();
    bench.ingest(&[&sample("good/two-members.zip")], &[]);
    let ask = |name: &str, script: String| {
        bench.write(name, script);
        bench.keytrail(&["sql", "--format", "csv", "-f", name])
    };
    let chain = |item: &str, joint: &str, items: usize| vec![item; items].join(joint);
    for (name, script, expected) in [
        ("nulls.sql", format!("SELECT 1 {} AS answer", chain("IS NULL", " ", 1000)), "answer\nfalse\n"),
        ("ors.sql", format!("SELECT count(*) AS n FROM events WHERE {}", chain("action = 'x'", " OR ", 900)), "n\n0\n"),
        (
            "list.sql",
            format!("SELECT count(*) AS n FROM events WHERE action NOT IN ({})", chain("'x'", ",", 10_000)),
            "n\n5\n",
        ),
    ] {
        let ran = ask(name, script);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, expected), "{name}: {}", ran.stderr);
    }
    for (name, script) in [
        ("terms.sql", format!("SELECT {}", chain("1", "+", 100_000))),
        ("brackets.sql", format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000))),
        ("unions.sql", chain("SELECT 1, 2", " UNION ALL ", 20_000)),
        ("ors.sql", format!("SELECT * FROM events WHERE {}", chain("action = 'x'", " OR ", 10_000))),
        ("nots.sql", format!("SELECT {} true", chain("NOT", " ", 10_000))),
        ("joins.sql", format!("SELECT 1 FROM {}", chain("actions", ", ", 10_000))),
        ("explains.sql", format!("{} SELECT 1", chain("EXPLAIN", " ", 10_000))),
        ("types.sql", format!("SELECT arrow_cast(NULL, '{}Int8{}')", "List(".repeat(20_000), ")".repeat(20_000))),
    ] {
        let ran = ask(name, script);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{name}");
        assert!(ran.stderr.starts_with("keytrail: ") && ran.stderr.len() < 500, "{name}: {}", ran.stderr);
    }
}

#[test]
fn every_format_to_stdout_and_to_a_file() {
    let bench = Bench::new();
    bench.ingest(&[&sample("good/two-members.zip")], &[]);
    let query = "SELECT action, count(*) AS n, min(time) AS first FROM events GROUP BY 1";
    let expected = [
        ("csv", "action,n,first\nLUNA_SIGN_SINGLEPART,5,2026-02-05T09:00:00Z\n"),
        ("json", "[{\"action\":\"LUNA_SIGN_SINGLEPART\",\"n\":5,\"first\":\"2026-02-05T09:00:00Z\"}]\n"),
        ("ndjson", "{\"action\":\"LUNA_SIGN_SINGLEPART\",\"n\":5,\"first\":\"2026-02-05T09:00:00Z\"}\n"),
    ];
    for (format, text) in expected {
        assert_eq!(bench.keytrail(&["sql", query, "--format", format]).stdout, text, "{format}");
        let ran = bench.keytrail(&["sql", query, "--format", format, "-o", "out.txt"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
        assert_eq!(std::fs::read_to_string(bench.path("out.txt")).unwrap(), text, "{format}");
    }
    assert!(bench.keytrail(&["sql", query]).stdout.contains("| LUNA_SIGN_SINGLEPART | 5 |"));
    bench.keytrail(&["sql", query, "--format", "parquet", "-o", "out.parquet"]);
    assert!(std::fs::read(bench.path("out.parquet")).unwrap().starts_with(b"PAR1"));
}

#[test]
fn a_users_statuses_go_before_ours() {
    let bench = Bench::new();
    bench.ingest(&[&sample("good/small-service-2026-01.zip")], &[]);
    let failures = |options: &[&str]| {
        let query = ["sql", "SELECT failures FROM login_failures", "--format", "csv"];
        bench.keytrail(&[&query, options].concat()).stdout
    };
    assert_eq!(failures(&[]), "failures\n7\n");
    bench.write("statuses.csv", "status,class\nLUNA_RET_UM_PIN_INCORRECT,bad_argument\n");
    assert_eq!(failures(&["--statuses", "statuses.csv"]), "failures\n3\n");
    bench.write("wrong.csv", "name,class\nx,y\n");
    let ran = bench.keytrail(&["sql", "SELECT 1", "--statuses", "wrong.csv"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("wrong.csv") && ran.stderr.contains("status,class"), "{}", ran.stderr);
}

#[test]
fn listings() {
    let bench = Bench::new();
    bench.ingest(&[&sample("good/two-members.zip"), &sample("bad/broken-lines.ndjson")], &[]);
    let archives = bench.keytrail(&["archives", "--format", "csv"]).stdout;
    let header = "archive,path,container,status,reason,bytes,json_bytes,members,read,stored,duplicates,rejected,first_time,last_time,run,ingested_at,notes,requests,request_sha256,window_from,window_to,filters,job_id,job_state,services";
    assert_eq!(archives.lines().next(), Some(header));
    assert_eq!(archives.lines().count(), 3);
    let rejects = bench.keytrail(&["rejects", "--format", "csv"]).stdout;
    assert_eq!(rejects.lines().next(), Some("archive,member,ordinal,offset,reason,raw"));
    assert_eq!(rejects.lines().count(), 5);
    assert_eq!(bench.keytrail(&["files"]).stdout.lines().count(), 1);
    assert!(bench.keytrail(&["views", "login_failures"]).stdout.contains("LUNA_LOGIN"));
}

#[test]
fn archives_are_asked_without_a_store() {
    let bench = Bench::new();
    let ask = |pattern: &str| {
        let query = format!("SELECT action, count(*) AS n FROM read_archives('{pattern}') GROUP BY 1");
        bench.keytrail(&["sql", &query, "--format", "csv"])
    };
    let ran = ask(sample("good/two-*.zip").to_str().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "action,n\nLUNA_SIGN_SINGLEPART,5\n"), "{}", ran.stderr);
    let ran = ask(sample("bad/cut-list.json").to_str().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "action,n\nLUNA_SIGN_SINGLEPART,2\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("cut-list.json: rejects"), "{}", ran.stderr);
    let ran = ask("nowhere.zip");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("nowhere.zip: expected a file, a folder or a pattern"), "{}", ran.stderr);
    assert!(!bench.store().exists(), "nothing is made");
    bench.ingest(&[&sample("good/stored.zip")], &[]);
    let query = format!(
        "SELECT count(*) FROM events UNION ALL SELECT count(*) FROM read_archives('{}')",
        sample("good/zip64.zip").display()
    );
    assert_eq!(bench.rows(&query), ["2", "2"], "beside a store");
}

#[test]
fn a_missing_store_is_not_an_empty_one() {
    let bench = Bench::new();
    let archive = sample("good/stored.zip");
    let archive = archive.display();
    for query in [
        format!("SELECT (SELECT count(*) FROM events) AS e, count(*) AS n FROM read_archives('{archive}')"),
        format!("SELECT * FROM key_usage JOIN read_archives('{archive}') USING (ouid)"),
        format!(
            "EXPLAIN SELECT * FROM read_archives('{archive}') WHERE archive IN (SELECT archive FROM Public.Archives)"
        ),
        "SELECT * FROM events -- read_archives".into(),
        "SELECT 'read_archives(1)' FROM login_failures".into(),
    ] {
        let ran = bench.keytrail(&["sql", &query, "--format", "csv"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{query}");
        assert!(ran.stderr.contains("expected a keytrail store"), "{query}: {}", ran.stderr);
    }
    let script = format!("SELECT count(*) AS n FROM read_archives('{archive}'); SELECT count(*) FROM events");
    let ran = bench.keytrail(&["sql", &script, "--format", "csv"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "n\n2\n"), "{script}");
    assert!(ran.stderr.contains("expected a keytrail store"), "{}", ran.stderr);
    for query in [
        format!("SELECT count(*) AS n FROM READ_ARCHIVES('{archive}')"),
        format!("WITH events AS (SELECT * FROM Read_Archives('{archive}')) SELECT count(*) AS n FROM events"),
        format!("SELECT count(*) AS n FROM read_archives('{archive}') AS archives LEFT JOIN actions USING (action)"),
        format!("PREPARE p AS SELECT count(*) AS n FROM read_archives('{archive}'); EXECUTE p"),
    ] {
        let ran = bench.keytrail(&["sql", &query, "--format", "csv"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "n\n2\n"), "{query}: {}", ran.stderr);
    }
    for (query, answer) in [
        ("SELECT 1 AS one", "one\n1\n"),
        ("SELECT count(*) > 40 AS many FROM actions", "many\ntrue\n"),
        ("SELECT class FROM statuses WHERE status = 'LUNA_RET_OK'", "class\nok\n"),
        ("SELECT status_class('LUNA_RET_OK') AS class", "class\nok\n"),
    ] {
        let ran = bench.keytrail(&["sql", query, "--format", "csv"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, answer), "{query}: {}", ran.stderr);
    }
    assert!(!bench.store().exists(), "nothing is made");
    std::fs::create_dir(bench.store()).unwrap();
    let ran = bench.keytrail(&["sql", "SELECT 1"]);
    assert_eq!(ran.code, 1, "a folder that is no store is a mistake, whatever is asked");
}

#[test]
fn stores_of_archives_that_are_asked_go_with_the_program() {
    let bench = Bench::new();
    let archive = bench.write("in/a.json", record("2026-01-02 00:00:00 UTC", "LUNA_LOGIN"));
    std::fs::create_dir(bench.path("tmp")).unwrap();
    let ask = |what: &str| {
        let mut command = bench.command();
        let query = format!("SELECT {what} FROM read_archives('{}')", archive.display());
        command.args(["sql", &query, "--format", "csv"]).env("TMPDIR", bench.path("tmp"));
        command
    };
    let left = || std::fs::read_dir(bench.path("tmp")).unwrap().count();
    let count = || Ran::of(ask("count(*)").output().unwrap());
    assert_eq!((count().code, left()), (0, 0));

    // One that waits for its reader.
    let mut waiting = ask("repeat(action, 1000000)").stdout(std::process::Stdio::piped()).spawn().unwrap();
    waiting.stdout.as_mut().unwrap().read_exact(&mut [0; 100]).unwrap();
    let living = left();
    let ran = count();
    assert_eq!((ran.code, ran.stderr.as_str(), left()), (0, "", living), "what a living program has is not touched");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    // What only looks alike is none of ours, nor is one that may just be beginning.
    bench.write("tmp/keytrail-archives-x/store/a", "");
    bench.write("tmp/keytrail-archives-y/lock", "");
    bench.write("tmp/keytrail-archives-z", "");
    assert_eq!(left(), living + 3);
    let ran = count();
    assert_eq!((ran.code, left()), (0, 3), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("keytrail: swept ") && ran.stderr.contains("keytrail-archives-"), "{}", ran.stderr);
}

#[test]
fn a_closed_stdout_hides_no_outcome() {
    let bench = Bench::new();
    let archive = bench.write("in/a.json", [record("2026-01-02 00:00:00 UTC", "LUNA_LOGIN"), "oops".into()].join("\n"));
    let into_nowhere = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Ran::of(bench.command().args(arguments).stdout(writer).output().unwrap())
    };
    let archive = archive.to_str().unwrap();
    let query = format!("SELECT * FROM read_archives('{archive}')");
    // Of several statements the first one's answer is more than any buffer holds.
    let refusing = format!("SELECT repeat('x', 1000000); {query}");
    let cases: &[(&[&str], i32)] = &[
        (&["verify", "--format", "json"], 6),
        (&["sql", &query], 3),
        (&["sql", &refusing, "--format", "csv"], 3),
        (&["sql", &refusing, "--format", "csv", "-o", "/dev/stdout"], 3),
        (&["sql", "SELECT repeat('x', 1000000); SELECT nothing FROM events", "--format", "csv"], 1),
        (&["sql", "SELECT repeat('x', 1000000); SELECT 1", "--format", "csv"], 0),
        (&["ingest", archive, "--format", "json"], 3),
        (&["sql", "SELECT * FROM events"], 0),
        (&["archives"], 0),
        (&["views"], 0),
        (&["verify"], 0),
        (&["coverage"], 0),
        (&["coverage", "--fail-on", "gaps"], 4),
        (&["coverage", "--fail-on", "gaps", "-o", "/dev/stdout"], 4),
        (&["report", "monthly", "--month", "2026-01"], 0),
        (&["report", "monthly", "--month", "2026-01", "--fail-on", "notice"], 4),
        (&["sql", "SELECT nothing FROM events"], 1),
    ];
    for (arguments, code) in cases {
        let ran = into_nowhere(arguments);
        assert_eq!(ran.code, *code, "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("pipe"), "{arguments:?}: {}", ran.stderr);
    }
    for (path, bytes) in contents(&bench.store()).iter().filter(|(path, _)| path.to_str().unwrap().contains("month=")) {
        std::fs::write(path, [bytes.as_slice(), b"x"].concat()).unwrap();
    }
    for arguments in [&["verify"][..], &["verify", "--quick", "--format", "json"]] {
        assert_eq!(into_nowhere(arguments).code, 5, "{arguments:?}");
    }
}

#[test]
fn a_full_stdout_is_named_and_the_run_before_it() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        return eprintln!("passed over: there is no /dev/full");
    };
    let bench = Bench::new();
    bench.write("in/a.json", record("2026-01-02 00:00:00 UTC", "LUNA_LOGIN"));
    let told = |arguments: &[&str]| {
        let ran = Ran::of(bench.command().args(arguments).stdout(full.try_clone().unwrap()).output().unwrap());
        assert_eq!(ran.code, 1, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("writing to stdout: No space left on device"), "{arguments:?}: {}", ran.stderr);
        ran.stderr
    };
    let words = told(&["ingest", "in", "--format", "json"]);
    assert!(words.contains("the run is done") && words.contains("at version 1)"), "{words}");
    for format in ["table", "csv", "json", "ndjson", "parquet"] {
        told(&["sql", "SELECT * FROM events", "--format", format]);
    }
    for arguments in [&["export"][..], &["archives"], &["verify"], &["report", "monthly", "--month", "2026-01"]] {
        told(arguments);
    }
}

#[test]
fn a_full_device_that_is_written_to_is_named() {
    if !std::path::Path::new("/dev/full").exists() {
        return eprintln!("passed over: there is no /dev/full");
    }
    let bench = Bench::new();
    bench.write("in/a.json", record("2026-01-02 00:00:00 UTC", "LUNA_LOGIN"));
    bench.ingest(&[&bench.path("in")], &[]);
    let mut commands = vec![
        vec!["report", "monthly", "--month", "2026-01"],
        vec!["export"],
        vec!["archives"],
        vec!["sql", "SELECT repeat('x', 1000000)"],
    ];
    commands.extend(
        ["table", "csv", "json", "ndjson", "parquet"].map(|form| vec!["sql", "SELECT * FROM events", "--format", form]),
    );
    for arguments in commands {
        let ran = bench.keytrail(&[arguments.as_slice(), &["-o", "/dev/full"]].concat());
        assert_eq!(ran.code, 1, "{arguments:?}: {}", ran.stderr);
        let words = "writing /dev/full: No space left on device";
        assert_eq!(ran.stderr.matches(words).count(), 1, "{arguments:?}: {}", ran.stderr);
    }
}

#[cfg(unix)]
#[test]
fn an_output_file_keeps_its_permissions_and_links_to_it() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let written = |name: &str| {
        let ran = bench.keytrail(&["sql", "SELECT 1 AS one", "--format", "csv", "-o", name]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        assert_eq!(std::fs::read_to_string(bench.path(name)).unwrap(), "one\n1\n", "{name}");
        std::fs::metadata(bench.path(name)).unwrap().permissions().mode() & 0o777
    };
    for mode in [0o600, 0o640, 0o666] {
        let path = bench.write("present.csv", "secret");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(written("present.csv"), mode, "{mode:o}");
    }
    assert_eq!(written("new.csv") & 0o600, 0o600);
    let target = bench.write("elsewhere/target.csv", "secret");
    std::fs::set_permissions(&target, PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("elsewhere/target.csv", bench.path("link.csv")).unwrap();
    assert_eq!(written("link.csv"), 0o600);
    assert!(std::fs::symlink_metadata(bench.path("link.csv")).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "one\n1\n");
    assert_eq!(std::fs::read_dir(bench.path("elsewhere")).unwrap().count(), 1, "no draft is left");
    let ran = bench.keytrail(&["sql", "SELECT nothing", "-o", "link.csv"]);
    assert_eq!((ran.code, std::fs::read_to_string(target).unwrap().as_str()), (1, "one\n1\n"));
}

#[cfg(unix)]
#[test]
fn paths_that_are_no_text_are_written_as_they_are() {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let bench = Bench::new();
    let archive = bench.write("a.json", record("2026-01-02 00:00:00 UTC", "LUNA_LOGIN"));
    let store = bench.path("").join(std::ffi::OsStr::from_bytes(b"store-\xe9"));
    let run = |command: &str, arguments: &[&str]| {
        let ran = bench.command().args([command, "--store"]).arg(&store).args(arguments).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    };
    run("ingest", &[archive.to_str().unwrap()]);
    let listed = run("files", &[]);
    let path = std::ffi::OsString::from_vec(listed.strip_suffix(b"\n").unwrap().to_vec());
    assert!(std::fs::read(path).unwrap().starts_with(b"PAR1"));
}

#[test]
fn more_threads_than_are_of_use_are_not_started() {
    let bench = Bench::new();
    bench.write("in/a.json", record("2026-01-02 00:00:00 UTC", "LUNA_LOGIN"));
    let commands: &[&[&str]] = &[
        &["generate", "made", "--records", "100"],
        &["ingest", "in"],
        &["sql", "SELECT action, count(*) FROM events GROUP BY 1"],
        &["verify"],
        &["verify", "--archives", "in"],
    ];
    for arguments in commands {
        let measured = measure(bench.command().args(*arguments).args(["--jobs", "30000"]), 60.0);
        assert_eq!(measured.ran.code, 0, "{arguments:?}: {}", measured.ran.stderr);
        assert!(measured.peak_bytes < 512 << 20, "{arguments:?}: {} bytes", measured.peak_bytes);
    }
}
