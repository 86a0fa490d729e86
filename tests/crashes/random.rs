//! SIGKILL from outside, at random moments.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Scenario, history, long, side_by_side};
use crate::support::model::{Archive, Dice, Filter, Log};

/// A run that takes long enough to be hit in all its stages.
fn scenario() -> Scenario {
    let log = Log::new(3, 6000, 12, true);
    let archive = |number: usize| {
        let from = number * 500;
        Archive {
            name: format!("{number}.json"),
            text: log.export(from, from + 800, &Filter::default(), number as u64),
        }
    };
    let mut archives: Vec<Archive> = (0..11).map(archive).collect();
    let before = archives.split_off(8);
    Scenario::new("random", &[history().remove(0), before], archives)
}

#[test]
fn a_kill_at_any_moment_leaves_the_last_commit_and_the_next_run_completes_the_work() {
    let scenario = scenario();
    let started = Instant::now();
    let whole = scenario.case().run();
    // What a run takes, at most: other tests may have slowed this one down.
    let micros = AtomicU64::new(u64::try_from(started.elapsed().as_micros()).unwrap());
    assert!([0, 3].contains(&whole.code), "{}", whole.stderr);
    let mut dice = Dice::new(5);
    let thousandths: Vec<u64> = (0..if long() { 400 } else { 16 }).map(|_| dice.below(1250)).collect();
    let hit = AtomicU64::new(0);
    side_by_side(&thousandths, |thousandths| {
        let case = scenario.case();
        let delay = micros.load(Ordering::Relaxed) * thousandths / 1000;
        let what = format!("killed after {delay} us");
        let mut command = case.command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(delay));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let seen = case.check_reader(&scenario, &what);
        match status.signal() {
            Some(_) => _ = hit.fetch_add(1, Ordering::Relaxed),
            None => {
                assert_eq!(seen.as_ref(), Some(&scenario.after), "{what}: it had ended well");
                micros.fetch_min(delay, Ordering::Relaxed);
            }
        }
        case.check_completion(&scenario, &what);
    });
    let hit = hit.into_inner();
    println!("{hit} of {} runs were hit", thousandths.len());
    assert!(hit * 3 >= thousandths.len() as u64, "only {hit} of {} runs were hit", thousandths.len());
}
