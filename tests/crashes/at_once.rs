//! Several programs on one store: runs that wait for each other, runs that are killed while others wait, readers beside them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{history, long, write};
use crate::support::model::{Archive, Filter, Log, Model};
use crate::support::{Bench, Ran, counts};

/// A program that waits at a point.
pub struct Held {
    child: Child,
    words: BufReader<ChildStderr>,
    release: std::path::PathBuf,
}

impl Held {
    /// Starts the program and returns when it is there.
    pub fn start(bench: &Bench, arguments: &[&str], point: &str) -> Self {
        let release = bench.path(&format!("release-{point}"));
        let mut command = bench.command();
        command.args(arguments).env("KEYTRAIL_FAIL_AT", format!("{point}:hold")).env("KEYTRAIL_FAIL_RELEASE", &release);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut held = Self { words: BufReader::new(child.stderr.take().unwrap()), child, release };
        held.wait_for(&format!("held at {point}"));
        held
    }

    fn wait_for(&mut self, words: &str) {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(self.words.read_line(&mut line).unwrap() > 0, "it ended before it said {words:?}");
        }
    }

    /// Lets it go on, to its end.
    pub fn release(&mut self) -> Ran {
        std::fs::write(&self.release, "").unwrap();
        self.end()
    }

    fn kill(&mut self) -> Ran {
        self.child.kill().unwrap();
        self.end()
    }

    fn end(&mut self) -> Ran {
        let mut stderr = String::new();
        self.words.read_to_string(&mut stderr).unwrap();
        Ran { code: self.child.wait().unwrap().code().unwrap_or(-1), stdout: String::new(), stderr }
    }
}

fn bench_with(runs: &[Vec<Archive>]) -> Bench {
    let bench = Bench::new();
    for (number, run) in runs.iter().enumerate() {
        write(&bench, &number.to_string(), run);
    }
    bench
}

fn model_of(runs: &[&[Archive]]) -> Model {
    let mut model = Model::default();
    runs.iter().for_each(|run| model.ingest(run));
    model
}

#[test]
fn two_runs_over_the_same_archives_store_them_once() {
    let runs = history();
    for _ in 0..if long() { 40 } else { 3 } {
        let bench = bench_with(&runs);
        let start = || {
            bench
                .command()
                .args(["ingest", "--format", "json", "1"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let both = [start(), start()].map(|child| Ran::of(child.wait_with_output().unwrap()));
        let summaries = both.each_ref().map(|ran| counts(&serde_json::from_str(&ran.stdout).unwrap()));
        let state = bench.state().unwrap();
        assert_eq!(state.difference(model_of(&[&runs[1]]).state()), "", "{summaries:?}");
        let stored = summaries.map(|summary| summary[4]);
        assert!(stored.contains(&0) && stored.contains(&(state.rows.len() as u64)), "one stored all: {summaries:?}");
        assert_eq!(bench.keytrail(&["verify"]).code, 0);
    }
}

#[test]
fn runs_over_overlapping_archives_give_what_they_give_one_after_the_other() {
    let runs = history();
    for round in 0..if long() { 40 } else { 3 } {
        let bench = bench_with(&runs);
        let start = |number: usize| {
            bench
                .command()
                .args(["ingest", &number.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let children = [0, 1, 2].map(|turn| start((turn + round) % 3));
        for child in children {
            let ran = Ran::of(child.wait_with_output().unwrap());
            assert!([0, 3].contains(&ran.code), "{}", ran.stderr);
        }
        // The order in which they came to their turn is in the ledger.
        let mut order: Vec<(String, usize)> = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            let first = run.iter().map(|archive| crate::support::model::sha256(archive.text.as_bytes()));
            let own: Vec<String> = first.collect();
            let query = format!("SELECT min(run) FROM archives WHERE archive = '{}'", own[1]);
            order.push((bench.rows(&query)[0].clone(), number));
        }
        order.sort();
        let ordered: Vec<&[Archive]> = order.iter().map(|(_, number)| runs[*number].as_slice()).collect();
        assert_eq!(bench.state().unwrap().difference(model_of(&ordered).state()), "", "{order:?}");
        assert_eq!(bench.keytrail(&["verify"]).code, 0);
    }
}

#[test]
fn a_run_that_waits_for_one_that_is_killed_goes_on_alone() {
    let runs = history();
    // Where the first is killed -> whether its commit stands.
    for (point, stands) in [
        ("locked", false),
        ("identities-written", false),
        ("placed", false),
        ("put-written", false),
        ("put-named", true),
        ("published", true),
    ] {
        let bench = bench_with(&runs);
        write(&bench, "before", &runs[0]);
        bench.ingest(&[&bench.path("before")], &[]);
        let mut first = Held::start(&bench, &["ingest", "1"], point);
        let mut command = bench.command();
        let mut second = command.args(["ingest", "2"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let words = BufReader::new(second.stderr.take().unwrap());
        let mut second = Held { child: second, words, release: bench.path("none") };
        second.wait_for("another run holds");
        // Readers do not wait.
        let seen = bench.state().unwrap();
        let expected = if stands { model_of(&[&runs[0], &runs[1]]) } else { model_of(&[&runs[0]]) };
        assert_eq!(seen.difference(expected.state()), "", "killed at {point}");
        assert_eq!(first.kill().code, -1);
        let ran = second.end();
        assert!([0, 3].contains(&ran.code), "killed at {point}: {}", ran.stderr);
        let expected = if stands { model_of(&[&runs[0], &runs[1], &runs[2]]) } else { model_of(&[&runs[0], &runs[2]]) };
        assert_eq!(bench.state().unwrap().difference(expected.state()), "", "killed at {point}");
        let (code, _, words) = bench.ingest(&[&bench.path("1")], &[]);
        assert!([0, 3].contains(&code), "{words}");
        let order = if stands { [0, 1, 2] } else { [0, 2, 1] };
        let expected = model_of(&order.map(|number| runs[number].as_slice()));
        assert_eq!(bench.state().unwrap().difference(expected.state()), "", "killed at {point}");
        assert_eq!(bench.keytrail(&["verify"]).code, 0);
    }
}

#[test]
fn readers_beside_runs_see_committed_states_only() {
    let log = Log::new(23, 1200, 60, true);
    let archive = |number: usize| Archive {
        name: format!("{number}.json"),
        text: log.export(number * 70, number * 70 + 200, &Filter::default(), number as u64),
    };
    let runs: Vec<Vec<Archive>> = (0..if long() { 14 } else { 6 }).map(|number| vec![archive(number)]).collect();
    let bench = bench_with(&runs);
    bench.ingest(&[&bench.path("0")], &[]);
    let mut model = Model::default();
    let committed: Vec<String> = runs
        .iter()
        .map(|run| {
            model.ingest(run);
            format!("{},{}", model.state().rows.len(), model.state().ledger.len())
        })
        .collect();
    let done = AtomicBool::new(false);
    let query = "SELECT (SELECT count(*) FROM events WHERE length(archive) = 64) AS rows, (SELECT count(*) FROM archives) AS archives";
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen: Vec<usize> = Vec::new();
            while !done.load(Ordering::Relaxed) || seen.is_empty() {
                let rows = bench.rows(query);
                let at = committed.iter().position(|counts| counts == &rows[0]);
                seen.push(at.unwrap_or_else(|| panic!("{rows:?} is none of {committed:?}")));
            }
            seen
        });
        let verifier = scope.spawn(|| {
            let mut verified = 0;
            while !done.load(Ordering::Relaxed) || verified == 0 {
                let ran = bench.keytrail(&["verify", "--quick"]);
                assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
                verified += 1;
            }
            verified
        });
        for number in 1..runs.len() {
            let (code, _, words) = bench.ingest(&[&bench.path(&number.to_string())], &[]);
            assert_eq!(code, 0, "{words}");
        }
        done.store(true, Ordering::Relaxed);
        let (seen, verified) = (reader.join().unwrap(), verifier.join().unwrap());
        assert!(seen.is_sorted(), "time does not run backwards: {seen:?}");
        println!("{} counts, {verified} verifications", seen.len());
    });
    assert_eq!(bench.rows(query)[0], *committed.last().unwrap());
}
