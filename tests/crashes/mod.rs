//! The program is killed, and its disk fails, at every named point and at random moments; then the store is held against a plain model.
//!
//! After each fault: a reader sees the last commit or the new one and nothing between, `verify` is clean, the next run completes the
//! work and says what it swept, and rows with provenance, ledger and rejects are those of [`crate::support::model`]. By default some
//! dozens of faults; `KEYTRAIL_TEST_LONG=1` walks over all of them.

mod at_once;
mod disk;
mod points;
mod power;
mod random;
mod reads;
mod threads;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::model::{Archive, Filter, Log, Model, State};
use crate::support::{Bench, Ran};

/// Whether the long form of the tests is asked for.
pub fn long() -> bool {
    std::env::var_os("KEYTRAIL_TEST_LONG").is_some_and(|value| value != "0")
}

/// So little memory that a run stages in files. It does more with the disk then.
pub const WITH_STAGING_FILES: &str = "128M";

/// A store before a command, and what it must be before and after it.
pub struct Scenario {
    pub name: &'static str,
    /// Most often an ingest of the folder `new`.
    command: &'static [&'static str],
    /// The store before; there may be none.
    template: Bench,
    /// Archives of the run, if it is one.
    pub archives: Vec<Archive>,
    pub before: Option<State>,
    pub after: State,
}

/// A copy of a scenario's store, to be spoilt.
pub struct Case {
    pub bench: Bench,
    command: &'static [&'static str],
    pub archives: PathBuf,
}

impl Scenario {
    /// A scenario in which the runs before have succeeded.
    pub fn new(name: &'static str, runs: &[Vec<Archive>], archives: Vec<Archive>) -> Self {
        let template = Bench::new();
        let mut model = Model::default();
        for (number, run) in runs.iter().enumerate() {
            let folder = format!("run-{number}");
            write(&template, &folder, run);
            let (code, _, words) = template.ingest(&[&template.path(&folder)], &["--no-compact"]);
            assert!([0, 3].contains(&code), "{name}: {words}");
            model.ingest(run);
        }
        let before = (!runs.is_empty()).then(|| model.state().clone());
        model.ingest(&archives);
        let command = &["ingest", "new", "--memory", WITH_STAGING_FILES];
        let scenario = Self { name, command, template, archives, before, after: model.state().clone() };
        assert_eq!(scenario.template.state(), scenario.before, "{name}: what is there before");
        scenario
    }

    /// The same where what is decoded stays in memory until it is written.
    fn in_memory(self) -> Self {
        Self { command: &["ingest", "new"], ..self }
    }

    /// The store before, with something done to it that must change nothing.
    pub fn with_left_overs(mut self, name: &'static str, spoil: impl Fn(&Bench)) -> Self {
        self.name = name;
        spoil(&self.template);
        assert_eq!(self.template.state(), self.before, "{name}: what is there before");
        self
    }

    /// The same store before another command, which changes its shape, or takes the rows of some months away.
    fn shaped(mut self, name: &'static str, command: &'static [&'static str], goes: impl Fn(&str) -> bool) -> Self {
        (self.name, self.command, self.archives) = (name, command, Vec::new());
        self.after = self.before.clone().unwrap();
        self.after.rows.retain(|row| {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            !goes(row["month"].as_str().unwrap())
        });
        self
    }

    pub fn is_ingest(&self) -> bool {
        self.command[0] == "ingest"
    }

    pub fn case(&self) -> Case {
        let bench = Bench::new();
        if self.template.store().exists() {
            copy(&self.template.store(), &bench.store());
        }
        write(&bench, "new", &self.archives);
        let archives = bench.path("new");
        Case { bench, command: self.command, archives }
    }
}

/// Three runs over two months: filters, windows that overlap, equal records, a failed archive, rejects, an archive without records.
pub fn history() -> Vec<Vec<Archive>> {
    let log = Log::new(7, 90, 480, false);
    let all = Filter::default();
    let archive = |name: &str, text: String| Archive { name: name.into(), text };
    let first = vec![
        archive("a.json", log.export(0, 40, &all, 0)),
        archive("b.json", log.export(30, 55, &all, 1 + 4)),
        archive("page.html", "<html><body>Service unavailable</body></html>".into()),
    ];
    let mut broken = log.export(45, 60, &all, 8);
    broken.push_str("\noops\n{\"time\":\"yesterday\"}\n");
    let second = vec![
        archive("c.json", log.export(20, 75, &Filter { action: Some("LUNA_SIGN"), ..Filter::default() }, 3 + 16)),
        archive("d.ndjson", broken),
        archive("e.json", log.export(35, 70, &Filter { actor: Some("a1"), ..Filter::default() }, 4 + 32)),
        archive("empty", String::new()),
        archive("none.json", "[]".into()),
        archive("a-again.json", log.export(0, 40, &all, 0)),
    ];
    let third = vec![archive("f.json", log.export(60, 90, &all, 5)), archive("g.json", log.export(0, 90, &all, 6))];
    vec![first, second, third]
}

pub fn write(bench: &Bench, folder: &str, archives: &[Archive]) {
    for archive in archives {
        bench.write(&format!("{folder}/{}", archive.name), &archive.text);
    }
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file of a store but those that are locked, relative to its root.
pub fn files(store: &Path) -> BTreeSet<String> {
    if !store.exists() {
        return BTreeSet::new();
    }
    let found = crate::support::contents(store).into_iter();
    let relative = found.map(|(path, _)| path.strip_prefix(store).unwrap().to_str().unwrap().to_owned());
    relative.filter(|path| path != "_lock" && !path.starts_with("_readers/")).collect()
}

impl Case {
    pub fn command(&self) -> std::process::Command {
        let mut command = self.bench.command();
        command.args(self.command);
        command
    }

    pub fn run(&self) -> Ran {
        Ran::of(self.command().output().unwrap())
    }

    /// What a reader sees now, which has to be one of the two commits; and what `verify` says now.
    pub fn check_reader(&self, scenario: &Scenario, what: &str) -> Option<State> {
        let seen = self.bench.state();
        let empty = State::default();
        let is_old = seen == scenario.before || scenario.before.is_none() && seen.as_ref() == Some(&empty);
        if !is_old {
            let found = seen.as_ref().unwrap_or(&empty);
            assert_eq!(found.difference(&scenario.after), "", "{what}: neither the commit before nor the one after");
        }
        let verified = self.bench.keytrail(&["verify"]);
        let expected = if seen.is_none() { 6 } else { 0 };
        assert_eq!(verified.code, expected, "{what}: verify: {}{}", verified.stdout, verified.stderr);
        seen
    }

    /// The next run completes the work, sweeps and says so.
    pub fn check_completion(&self, scenario: &Scenario, what: &str) {
        let left = files(&self.bench.store());
        let ran = self.run();
        assert!([0, 3].contains(&ran.code), "{what}: the next run ended with {}: {}", ran.code, ran.stderr);
        let state = self.bench.state().unwrap_or_default();
        assert_eq!(state.difference(&scenario.after), "", "{what}: after the next run: {}", ran.stderr);
        let now = files(&self.bench.store());
        for gone in left.difference(&now).filter(|_| scenario.is_ingest() && !scenario.compacts()) {
            let said = |line: &str| {
                let swept = line.strip_prefix("keytrail: swept ").and_then(|line| line.split(", left by").next());
                swept.is_some_and(|swept| gone == swept || gone.starts_with(&format!("{swept}/")))
            };
            assert!(ran.stderr.lines().any(said), "{what}: {gone} went without a word: {}", ran.stderr);
        }
        if !scenario.is_ingest() || scenario.compacts() {
            let freed = self.bench.keytrail(&["vacuum", "--grace", "0s"]);
            assert_eq!(freed.code, 0, "{what}: {}", freed.stderr);
        }
        self.check_tidy(what);
        let now = files(&self.bench.store());
        let again = self.run();
        let nothing_new = !scenario.is_ingest() || again.stderr.contains("0 new");
        assert!(again.code == 0 && nothing_new, "{what}: once more: {}", again.stderr);
        assert_eq!(files(&self.bench.store()), now, "{what}: a run without news changes nothing");
    }

    /// No left-overs: a plain glob reads what the log names.
    fn check_tidy(&self, what: &str) {
        let verified = self.bench.keytrail(&["verify"]);
        assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{what}: verify: {}", verified.stdout);
        let all = files(&self.bench.store());
        let stray = all.iter().find(|path| path.starts_with("_staging/") || path.ends_with(".tmp"));
        assert_eq!(stray, None, "{what}: left behind");
        let live = self.bench.keytrail(&["files"]).stdout;
        let globbed = all.iter().filter(|path| path.starts_with("events/month=")).count();
        assert_eq!(live.lines().count(), globbed, "{what}: files that no commit names");
    }
}

/// Calls `each` with all cases, on several threads: most of the time a case waits for programs.
pub fn side_by_side<T: Sync>(cases: &[T], each: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    each(case);
                }
            });
        }
    });
}

/// The scenarios of commands that change the shape of a store, or take months away; and of an ingest with a compaction after it.
pub fn shapes() -> Vec<Scenario> {
    let history = |name| Scenario::new(name, &history(), Vec::new());
    let remains = |_: &str| false;
    let removed = |bench: &Bench| assert_eq!(bench.keytrail(&["compact"]).code, 0);
    let log = Log::new(41, 120, 480, false);
    let window = |from: usize, to: usize| {
        vec![Archive { name: format!("{from}.json"), text: log.export(from, to, &Filter::default(), 0) }]
    };
    // January gets many small files, then a run brings records of February only: January is done with, and compacted.
    let days: Vec<_> = (0..5).map(|number| window(number * 8, number * 8 + 10)).collect();
    vec![
        history("compaction").shaped("compaction", &["compact", "--grace", "0s"], remains),
        history("retention").shaped(
            "retention",
            &["forget", "--before", "2026-02", "--yes", "--grace", "0s"],
            |month| month < "2026-02",
        ),
        history("clean-up").with_left_overs("clean-up", removed).shaped(
            "clean-up",
            &["vacuum", "--grace", "0s"],
            remains,
        ),
        Scenario::new(WITH_COMPACTION, &days, window(100, 120)),
    ]
}

const WITH_COMPACTION: &str = "run with a compaction";

impl Scenario {
    pub fn compacts(&self) -> bool {
        self.name == WITH_COMPACTION
    }
}

/// The scenarios of an ingest.
pub fn scenarios() -> Vec<Scenario> {
    let [first, second, third]: [Vec<Archive>; 3] = history().try_into().unwrap();
    let killed = |bench: &Bench| {
        // A run over other archives that was killed when its files were in their places.
        write(bench, "killed", &third);
        let ran = Ran::of(
            bench
                .command()
                .arg("ingest")
                .arg(bench.path("killed"))
                .env("KEYTRAIL_FAIL_AT", "placed:kill")
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, -1, "{}", ran.stderr);
    };
    vec![
        Scenario::new("first run", &[], first.clone()),
        Scenario::new("second run", std::slice::from_ref(&first), second.clone()).in_memory(),
        Scenario::new("after a kill", &[first], second).with_left_overs("after a kill", killed),
    ]
}
