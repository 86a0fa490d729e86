//! How long a store of many small runs takes to open. Not a test of right or wrong: `cargo test -p keytrail-store -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use super::*;

#[test]
#[ignore = "a measurement, takes a minute"]
fn opening_a_thousand_small_runs() {
    let room = Room::new();
    let mut writer = room.writer();
    let start = Instant::now();
    for n in 1..=1050 {
        commit(&mut writer, &format!("{n:064}"), &[&[MORNING + n]]);
        if n % 500 == 0 || n == 10 {
            println!("{n} commits after {:?}", start.elapsed());
        }
    }
    drop(writer);
    let mut best = Duration::MAX;
    for round in 0..5 {
        let start = Instant::now();
        // With the look at the first commit, as a program does it.
        let snapshot = Store::open(&room.root).unwrap().snapshot().unwrap();
        let opened = start.elapsed();
        best = best.min(opened);
        let rows = snapshot.ledger().unwrap().len();
        println!(
            "round {round}: snapshot with {} runs {opened:?}, ledger of {rows} rows {:?}",
            snapshot.runs().len(),
            start.elapsed() - opened
        );
    }
    assert!(best < Duration::from_millis(100), "{best:?}");
}
