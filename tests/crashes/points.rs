//! Every named point: a kill there, and an error there.

use std::collections::{BTreeMap, BTreeSet};

use keytrail_store::failpoint::Point;

use super::{Case, Scenario, long, scenarios, shapes, side_by_side};
use crate::support::{Bench, Ran, record};

/// How often each point is reached in the scenario's run.
fn trace(scenario: &Scenario) -> BTreeMap<String, u64> {
    let case = scenario.case();
    let trace = case.bench.path("trace");
    let ran = Ran::of(case.command().env("KEYTRAIL_FAIL_TRACE", &trace).output().unwrap());
    assert!([0, 3].contains(&ran.code), "{}: {}", scenario.name, ran.stderr);
    case.check_reader(scenario, scenario.name);
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

struct Fault<'a> {
    scenario: &'a Scenario,
    point: String,
    when: u64,
    action: &'static str,
}

impl Fault<'_> {
    fn what(&self) -> String {
        format!("{}, {}#{}:{}", self.scenario.name, self.point, self.when, self.action)
    }

    fn strike(&self, case: &Case) -> Ran {
        let order = format!("{}#{}:{}", self.point, self.when, self.action);
        Ran::of(case.command().env("KEYTRAIL_FAIL_AT", order).output().unwrap())
    }

    fn check(&self) {
        let (what, case) = (self.what(), self.scenario.case());
        let ran = self.strike(&case);
        let refused_archive = self.point == "archive-reading" && ran.code == 3;
        match (self.action, ran.code) {
            // How often a point is reached may depend on how work fell to threads: then the run went through.
            (_, 0 | 3) if refused_archive => {
                assert!(ran.stderr.contains("cannot be read: Input/output"), "{what}: {}", ran.stderr);
            }
            (_, 0 | 3) => {}
            ("kill", code) => assert_eq!(code, -1, "{what}: {}", ran.stderr),
            (_, code) => {
                assert_eq!(code, 1, "{what}: {}", ran.stderr);
                let reason = if self.action == "enospc" { "No space left on device" } else { "Input/output error" };
                assert!(ran.stderr.contains(reason), "{what}: {}", ran.stderr);
                assert!(
                    ran.stderr.contains(case.bench.store().parent().unwrap().to_str().unwrap()),
                    "{what} names no file: {}",
                    ran.stderr
                );
            }
        }
        assert!(!ran.stderr.contains("panicked"), "{what}: {}", ran.stderr);
        if refused_archive {
            return check_without_one_archive(self.scenario, &case, &what);
        }
        let seen = case.check_reader(self.scenario, &what);
        if [0, 3].contains(&ran.code) {
            assert_eq!(seen.as_ref(), Some(&self.scenario.after), "{what}: success means that the commit stands");
        }
        case.check_completion(self.scenario, &what);
    }
}

/// An archive that could not be read is named and stops nothing; it comes with the next run, and the counts are the same.
fn check_without_one_archive(scenario: &Scenario, case: &Case, what: &str) {
    let ran = case.run();
    assert!([0, 3].contains(&ran.code), "{what}: {}", ran.stderr);
    let state = case.bench.state().unwrap();
    assert_eq!(state.records(), scenario.after.records(), "{what}");
    assert_eq!(state.ledger.len(), scenario.after.ledger.len(), "{what}");
    assert_eq!(case.bench.keytrail(&["verify"]).code, 0, "{what}");
}

#[test]
fn a_kill_or_an_error_at_any_point_leaves_the_last_commit_and_the_next_run_completes_the_work() {
    let scenarios: Vec<_> = scenarios().into_iter().chain(shapes()).collect();
    let traces: Vec<_> = scenarios.iter().map(trace).collect();
    let with_compaction = scenarios.iter().zip(&traces).find(|(scenario, _)| scenario.compacts()).unwrap();
    assert_eq!(with_compaction.1["published"], 2, "the run is committed, then the compaction");
    let mut faults = Vec::new();
    for (number, (name, _)) in
        (0_usize..).zip(scenarios.iter().zip(&traces).flat_map(|(_, trace)| trace).collect::<BTreeMap<_, _>>())
    {
        let reached: Vec<_> = scenarios.iter().zip(&traces).filter(|(_, trace)| trace.contains_key(name)).collect();
        let actions = ["kill", if number % 2 == 0 { "error" } else { "enospc" }];
        for (turn, action) in actions.into_iter().enumerate() {
            let count = |trace: &BTreeMap<String, u64>| trace[name];
            if long() {
                for (scenario, trace) in &reached {
                    let most = count(trace).min(30);
                    let times = (1..=most).chain((most < count(trace)).then_some(count(trace)));
                    faults.extend(times.map(|when| Fault { scenario, point: name.clone(), when, action }));
                }
            } else {
                // Scenario and moment take turns, so that all come to their right.
                let (scenario, trace) = reached[(number + turn * 3) % reached.len()];
                let when = 1 + (number as u64 * 7 + turn as u64 * 3) % count(trace);
                faults.push(Fault { scenario, point: name.clone(), when, action });
            }
        }
    }
    println!("{} faults", faults.len());
    side_by_side(&faults, Fault::check);
    let reached: BTreeSet<&str> = traces.iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
    let elsewhere = ["checkpoint-begun", "checkpoint-done"];
    let known: BTreeSet<&str> =
        Point::ALL.iter().map(|(_, name)| *name).filter(|name| !elsewhere.contains(name)).collect();
    assert_eq!(reached, known, "every point is reached by some scenario");
}

#[test]
fn a_checkpoint_that_fails_or_is_cut_off_costs_nothing() {
    let template = Bench::new();
    for number in 0..100 {
        let name = format!("{number}.json");
        let time = format!("2026-01-{:02} 00:00:{:02} UTC", 1 + number % 28, number % 60);
        let path = template.write(&name, record(&time, &format!("action-{number}")));
        if number < 99 {
            // Without compactions, which are commits of their own.
            let (code, _, words) = template.ingest(&[&path], &["--no-compact"]);
            assert_eq!(code, 0, "{words}");
        }
    }
    let all = [
        "put-written#2:kill",
        "put-named#2:error",
        "put-named#3:kill",
        "checkpoint-done:error",
        "checkpoint-begun:kill",
        "checkpoint-begun:error",
        "checkpoint-done:kill",
        "put-written#2:enospc",
        "put-named#2:kill",
        "put-synced#2:error",
        "put-begun#3:kill",
        "put-named#3:error",
    ];
    let faults = if long() { &all[..] } else { &all[..4] };
    side_by_side(faults, |fault| {
        let bench = Bench::new();
        super::copy(&template.store(), &bench.store());
        let archive = template.path("99.json");
        let ran = Ran::of(
            bench
                .command()
                .args(["ingest", "--no-compact"])
                .arg(&archive)
                .env("KEYTRAIL_FAIL_AT", fault)
                .output()
                .unwrap(),
        );
        assert_eq!(
            ran.code,
            if fault.ends_with("kill") { -1 } else { 0 },
            "{fault}: a checkpoint is never needed: {}",
            ran.stderr
        );
        assert_eq!(bench.rows("SELECT count(*), count(DISTINCT action) FROM events"), ["100,100"], "{fault}");
        let (code, summary, words) = bench.ingest(&[&archive], &[]);
        assert_eq!((code, crate::support::counts(&summary)), (0, [0, 1, 0, 0, 0, 0, 0]), "{fault}: {words}");
        assert_eq!(bench.rows("SELECT count(*), count(DISTINCT action) FROM events"), ["100,100"], "{fault}");
        assert_eq!(bench.keytrail(&["verify"]).code, 0, "{fault}");
    });
}

#[test]
fn a_commit_that_cannot_be_read_back_is_said_to_be_possible() {
    let mut told = 0;
    for when in 1.. {
        let bench = Bench::new();
        let archive = bench.write("a.json", record("2026-01-05 08:00:01 UTC", "LUNA_LOGIN"));
        bench.ingest(&[&archive], &[]);
        let later = bench.write("b.json", record("2026-01-05 08:00:02 UTC", "LUNA_LOGIN"));
        let mut command = bench.command();
        command.arg("ingest").arg(&later).env("KEYTRAIL_FAIL_AT", format!("commit-reading#{when}:error"));
        let ran = Ran::of(command.output().unwrap());
        if ran.code == 0 {
            break;
        }
        let stands = bench.keytrail(&["head"]).stdout.trim_end().ends_with("@2");
        let is_possible = ran.stderr.contains("version 2 may be committed or not, run again: ");
        assert_eq!(
            stands,
            is_possible || ran.stderr.contains("version 2 is committed, but "),
            "{when}: {}",
            ran.stderr
        );
        told += usize::from(is_possible);
        assert_eq!(bench.ingest(&[&later], &[]).0, 0, "{when}");
        assert_eq!(bench.rows("SELECT count(*) FROM events"), ["2"], "{when}");
    }
    assert_eq!(told, 1, "it is read back once");
}
