//! Threads and open files that cannot be had: a message and an exit code that says so, never a panic, a wait without end, or damage.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{Bench, Ran, measure, record};

/// A run under a limit takes so long at most. Without one it takes a fraction of a second.
const SECONDS: f64 = 30.0;

/// The program in a folder where a user who owns nothing else may run it. Limits on threads count those of a user, and do not hold for root.
struct Guest {
    bench: Bench,
    id: String,
}

impl Guest {
    /// `None` where only we ourselves can run it.
    fn new() -> Option<Self> {
        static GUESTS: AtomicU32 = AtomicU32::new(0);
        // A user of its own, since the other guests' threads would count.
        let id = 1_000_000_000 + std::process::id() * 16 + GUESTS.fetch_add(1, Ordering::Relaxed);
        let guest = Self { bench: Bench::new(), id: id.to_string() };
        let (program, here) = (guest.bench.path("keytrail"), guest.bench.path(""));
        std::fs::hard_link(env!("CARGO_BIN_EXE_keytrail"), &program)
            .or_else(|_| std::fs::copy(env!("CARGO_BIN_EXE_keytrail"), &program).map(|_| ()))
            .unwrap();
        std::fs::set_permissions(&here, std::fs::Permissions::from_mode(0o777)).unwrap();
        let runs = guest.command("--nproc=100", &["--version"]).output().is_ok_and(|output| output.status.success());
        runs.then_some(guest)
    }

    fn command(&self, limit: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.id, "--regid", &self.id, "--clear-groups", "prlimit", limit]);
        command.arg(self.bench.path("keytrail")).args(arguments).current_dir(self.bench.path(""));
        command.env("KEYTRAIL_STORE", self.bench.store());
        command
    }

    fn run(&self, limit: &str, arguments: &[&str]) -> Ran {
        measure(&mut self.command(limit, arguments), SECONDS).ran
    }
}

/// Tries a command with ever more of what is limited, until it is enough and `done` says that it did its work. Less than enough gives one of
/// the exit codes `refused`, and words about what could not be had.
fn with_ever_more(guest: &Guest, limit: &str, arguments: &[&str], refused: &[i32], done: impl Fn(&Ran) -> bool) {
    let mut refusals = 0;
    for count in 1..40 {
        let what = format!("{arguments:?} with {limit} {count}");
        let ran = guest.run(&format!("{limit}={count}"), arguments);
        assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("backtrace"), "{what}: {}", ran.stderr);
        if ran.code == 0 {
            assert!(done(&ran), "{what}: {}{}", ran.stdout, ran.stderr);
            assert!(refusals > 0, "{what}: nothing was tried");
            return;
        }
        // The system's own word where not even the program could be loaded.
        if ran.stderr.contains("error while loading shared libraries") {
            continue;
        }
        let names_it = ran.stderr.contains("temporarily unavailable") || ran.stderr.contains("Too many open files");
        assert!(refused.contains(&ran.code) && names_it, "{what}: {}: {}", ran.code, ran.stderr);
        refusals += 1;
    }
    panic!("{arguments:?} never had enough");
}

/// Tries all commands that need what is limited.
fn try_all(limit: &str) {
    let Some(guest) = Guest::new() else {
        return eprintln!("passed over: only root may run the program as another user (setpriv, prlimit)");
    };
    guest.bench.write("in/a.json", record("2026-01-02 00:00:00 UTC", "LUNA_LOGIN"));
    // An archive that cannot be opened is named, and stops nothing.
    let no_run = &[1, 3];
    let ingest = ["ingest", "in", "--jobs", "2", "--format", "json"];
    with_ever_more(&guest, limit, &ingest, no_run, |ran| ran.stdout.contains(r#""stored":1"#));
    let counts = |ran: &Ran| ran.stdout == "n\n1\n";
    let query = "SELECT count(*) AS n FROM events WHERE action LIKE '%LOGIN'";
    with_ever_more(&guest, limit, &["sql", query, "--jobs", "2", "--format", "csv"], &[1], counts);
    let query = "SELECT count(*) AS n FROM read_archives('in')";
    with_ever_more(&guest, limit, &["sql", query, "--jobs", "2", "--format", "csv"], no_run, counts);
    let report = ["report", "monthly", "--month", "2026-01", "--jobs", "2", "--format", "json"];
    with_ever_more(&guest, limit, &report, &[1], |ran| ran.stdout.starts_with('{'));
    with_ever_more(&guest, limit, &["verify", "--jobs", "2"], &[6], |ran| ran.stdout.starts_with("no damage"));
    let verify = ["verify", "--archives", "in", "--jobs", "2"];
    with_ever_more(&guest, limit, &verify, &[6], |ran| ran.stdout.contains("1 archives"));
}

#[test]
fn threads_that_cannot_be_had_are_told() {
    try_all("--nproc");
}

#[test]
fn files_that_cannot_be_opened_are_told() {
    try_all("--nofile");
}
