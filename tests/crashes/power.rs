//! Power cuts: the disk keeps what was synced, and of the rest whatever it likes.
//!
//! The program runs under `strace`, which records what really reaches the system: writes with their bytes, syncs of files and folders,
//! renames, links, removals. The record is then replayed up to every operation on a file system in memory that knows for each file and
//! each folder what is durable: a file's bytes since its own fsync, a name since the fsync of its folder. What a crash there could leave
//! is laid out as a folder in several forms (only what was synced; all names, with unsynced contents empty, zeroed or cut; a random
//! part of the rest), and the program has to cope with each: the commit before or the new one, and the new one for certain once the
//! run has returned. This is weaker than what common file systems promise.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Case, Scenario, files, long, scenarios, shapes, side_by_side};
use crate::support::model::Dice;

/// Something that happened to the disk. Paths relative to the recorded folder.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    MakeFolder(PathBuf),
    Create { path: PathBuf, cut: bool },
    Write { path: PathBuf, at: Option<usize>, bytes: Vec<u8> },
    SetLength { path: PathBuf, bytes: usize },
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
}

const CALLS: &str = "open,openat,creat,write,pwrite64,writev,ftruncate,truncate,fallocate,copy_file_range,fsync,fdatasync,rename,renameat,\
                     renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat";

/// Runs the scenario's ingest under `strace`. `None` where there is no strace, or it may not trace.
fn record(case: &Case) -> Option<Vec<Event>> {
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let (trace, base) = (case.bench.path("strace"), case.bench.path("").canonicalize().unwrap());
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-xx", "-y", "-s", "16777216", "-e", "signal=none", "-e"])
        .arg(format!("trace={CALLS}"))
        .arg("-o")
        .arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_keytrail")).args(case.command).arg("--store").arg(base.join("store"));
    command.current_dir(&base);
    let output = command.output().unwrap();
    assert!([Some(0), Some(3)].contains(&output.status.code()), "{}", String::from_utf8_lossy(&output.stderr));
    Some(parse(&std::fs::read_to_string(trace).unwrap(), &base))
}

/// Reads the lines of strace. Calls that were interrupted by those of another thread are put together again, at their end.
fn parse(trace: &str, base: &Path) -> Vec<Event> {
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut events = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let whole = if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, start.to_owned());
            continue;
        } else if call.starts_with("<... ") {
            let (_, end) = call.split_once(" resumed>").unwrap();
            begun.remove(thread).unwrap() + end
        } else {
            call.to_owned()
        };
        events.extend(event(&whole, base));
    }
    events
}

/// The event of a call below the base; none for those that failed or only read.
fn event(call: &str, base: &Path) -> Option<Event> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    // A call that was put together again has blanks there.
    let arguments = arguments.trim_end().strip_suffix(')')?;
    if result.starts_with('-') || result.starts_with('?') {
        return None;
    }
    let texts = between(arguments, '"', '"');
    let folders = between(arguments, '<', '>');
    let relative = |folder: usize, text: usize| {
        let path = PathBuf::from(String::from_utf8(texts.get(text)?.clone()).unwrap());
        let folder = folders
            .get(folder)
            .map(|folder| PathBuf::from(String::from_utf8(folder.clone()).unwrap()))
            .unwrap_or_default();
        folder.join(path).strip_prefix(base).ok().map(Path::to_path_buf)
    };
    let of_file = || {
        let path = PathBuf::from(String::from_utf8(folders.first()?.clone()).unwrap());
        path.strip_prefix(base).ok().map(Path::to_path_buf)
    };
    match name {
        "open" | "openat" | "creat" => {
            let path = relative(0, 0)?;
            let writes = name == "creat" || arguments.contains("O_CREAT");
            writes.then(|| Event::Create { path, cut: name == "creat" || arguments.contains("O_TRUNC") })
        }
        "write" => Some(Event::Write { path: of_file()?, at: None, bytes: texts.first()?.clone() }),
        "writev" => Some(Event::Write { path: of_file()?, at: None, bytes: texts.concat() }),
        "pwrite64" => {
            let at = arguments.rsplit_once(", ")?.1.parse().unwrap();
            Some(Event::Write { path: of_file()?, at: Some(at), bytes: texts.first()?.clone() })
        }
        "ftruncate" => {
            let bytes = arguments.rsplit_once(", ")?.1.parse().unwrap();
            Some(Event::SetLength { path: of_file()?, bytes })
        }
        "fsync" | "fdatasync" => of_file().map(Event::Sync),
        "rename" | "renameat" | "renameat2" => Some(Event::Rename(relative(0, 0)?, relative(1, 1)?)),
        "link" | "linkat" => Some(Event::Link(relative(0, 0)?, relative(1, 1)?)),
        "unlink" | "unlinkat" | "rmdir" => relative(0, 0).map(Event::Remove),
        "mkdir" | "mkdirat" => relative(0, 0).map(Event::MakeFolder),
        other => of_file().map(|path| panic!("{other} of {}: the replay does not know it", path.display())),
    }
}

/// The texts between marks, with `\xNN` decoded. Inside them strace writes nothing but such escapes.
fn between(text: &str, open: char, close: char) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(open) {
        let Some((inside, after)) = after.split_once(close) else {
            break;
        };
        let bytes = inside.split("\\x").skip(1).map(|hex| u8::from_str_radix(hex, 16));
        found.extend(bytes.collect::<Result<Vec<u8>, _>>().ok());
        rest = after;
    }
    found
}

/// What is now, and what would be there after a power cut.
#[derive(Clone, Default)]
struct Disk {
    /// Names of each folder, now and durably.
    folders: BTreeMap<usize, Names>,
    files: BTreeMap<usize, Bytes>,
    next: usize,
}

#[derive(Clone, Default)]
struct Names {
    now: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
}

#[derive(Clone, Default)]
struct Bytes {
    now: Vec<u8>,
    durable: Vec<u8>,
}

/// What becomes of that which was not synced.
#[derive(Debug, Clone, Copy)]
enum Crash {
    /// All of it is lost: names, contents, and removals.
    OnlySynced,
    /// Names are there, contents are not: empty.
    NamesEmpty,
    /// Contents are zeros.
    NamesZeroed,
    /// Half of the contents is there.
    NamesCut,
    /// For each folder and each file it is drawn.
    Any(u64),
}

impl Disk {
    /// A folder that is there, and durable.
    fn of(folder: &Path) -> Self {
        let mut disk = Self { next: 1, ..Self::default() };
        disk.folders.insert(0, Names::default());
        disk.take(folder, 0);
        disk
    }

    fn take(&mut self, folder: &Path, into: usize) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let id = self.next;
            self.next += 1;
            let name = entry.file_name().into_string().unwrap();
            let names = self.folders.get_mut(&into).unwrap();
            names.now.insert(name.clone(), id);
            names.durable.insert(name, id);
            if entry.file_type().unwrap().is_dir() {
                self.folders.insert(id, Names::default());
                self.take(&entry.path(), id);
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                self.files.insert(id, Bytes { now: bytes.clone(), durable: bytes });
            }
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.iter().try_fold(0, |folder, name| self.folders.get(&folder)?.now.get(name.to_str()?).copied())
    }

    /// The folder of a path, and its name there.
    fn place(&mut self, path: &Path) -> (&mut Names, String) {
        let folder = self.find(path.parent().unwrap()).unwrap_or_else(|| panic!("no folder of {}", path.display()));
        (self.folders.get_mut(&folder).unwrap(), path.file_name().unwrap().to_str().unwrap().to_owned())
    }

    fn name(&mut self, path: &Path, id: usize) {
        let (names, name) = self.place(path);
        names.now.insert(name, id);
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::MakeFolder(path) => {
                let id = self.next;
                self.next += 1;
                self.folders.insert(id, Names::default());
                self.name(path, id);
            }
            Event::Create { path, cut } => match self.find(path) {
                Some(id) if *cut => self.files.get_mut(&id).unwrap().now.clear(),
                Some(_) => {}
                None => {
                    let id = self.next;
                    self.next += 1;
                    self.files.insert(id, Bytes::default());
                    self.name(path, id);
                }
            },
            Event::Write { path, at, bytes } => {
                let id = self.find(path).unwrap_or_else(|| panic!("no file {}", path.display()));
                let file = &mut self.files.get_mut(&id).unwrap().now;
                let at = at.unwrap_or(file.len());
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Event::SetLength { path, bytes } => {
                let id = self.find(path).unwrap();
                self.files.get_mut(&id).unwrap().now.resize(*bytes, 0);
            }
            Event::Sync(path) => {
                let id = self.find(path).unwrap();
                if let Some(names) = self.folders.get_mut(&id) {
                    names.durable.clone_from(&names.now);
                }
                if let Some(file) = self.files.get_mut(&id) {
                    file.durable.clone_from(&file.now);
                }
            }
            Event::Rename(from, to) => {
                let id = self.find(from).unwrap();
                let (names, name) = self.place(from);
                names.now.remove(&name);
                self.name(to, id);
            }
            Event::Link(from, to) => {
                let id = self.find(from).unwrap();
                self.name(to, id);
            }
            Event::Remove(path) => {
                let (names, name) = self.place(path);
                names.now.remove(&name).unwrap_or_else(|| panic!("no {}", path.display()));
            }
        }
    }

    /// Files and folders after a crash, by path; folders without bytes.
    fn after(&self, crash: Crash) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut dice = Dice::new(if let Crash::Any(seed) = crash { seed } else { 0 });
        let mut left = BTreeMap::new();
        self.lay_out(0, Path::new(""), crash, &mut dice, &mut left);
        left
    }

    fn lay_out(
        &self,
        folder: usize,
        path: &Path,
        crash: Crash,
        dice: &mut Dice,
        left: &mut BTreeMap<PathBuf, Option<Vec<u8>>>,
    ) {
        let names = &self.folders[&folder];
        let kept: BTreeMap<&String, usize> = match crash {
            Crash::OnlySynced => names.durable.iter().map(|(name, id)| (name, *id)).collect(),
            Crash::NamesEmpty | Crash::NamesZeroed | Crash::NamesCut => {
                names.now.iter().map(|(name, id)| (name, *id)).collect()
            }
            Crash::Any(_) => {
                let both: BTreeMap<&String, (Option<&usize>, Option<&usize>)> = names
                    .now
                    .keys()
                    .chain(names.durable.keys())
                    .map(|name| (name, (names.now.get(name), names.durable.get(name))))
                    .collect();
                let pick = |(name, (now, durable)): (&'_ String, (Option<&usize>, Option<&usize>))| {
                    let id = if dice.chance(50) { now } else { durable };
                    names
                        .now
                        .get_key_value(name)
                        .or(names.durable.get_key_value(name))
                        .map(|(name, _)| name)
                        .zip(id.copied())
                };
                both.into_iter().filter_map(pick).collect()
            }
        };
        for (name, id) in kept {
            let path = path.join(name);
            if let Some(file) = self.files.get(&id) {
                left.insert(path, Some(file.after(crash, dice)));
            } else {
                left.insert(path.clone(), None);
                self.lay_out(id, &path, crash, dice, left);
            }
        }
    }
}

impl Bytes {
    fn after(&self, crash: Crash, dice: &mut Dice) -> Vec<u8> {
        let length = self.now.len();
        let zeroed = || vec![0; length];
        let cut = || self.now[..length / 2].to_vec();
        if self.now == self.durable {
            return self.now.clone();
        }
        match crash {
            Crash::OnlySynced => self.durable.clone(),
            Crash::NamesEmpty => Vec::new(),
            Crash::NamesZeroed => zeroed(),
            Crash::NamesCut => cut(),
            Crash::Any(_) => match dice.below(5) {
                0 => self.durable.clone(),
                1 => Vec::new(),
                2 => zeroed(),
                3 => cut(),
                _ => self.now.clone(),
            },
        }
    }
}

struct Cut<'a> {
    scenario: &'a Scenario,
    what: String,
    left: BTreeMap<PathBuf, Option<Vec<u8>>>,
    /// Whether the run had returned by then.
    returned: bool,
}

impl Cut<'_> {
    fn check(&self) {
        let case = self.scenario.case();
        let store = case.bench.store();
        if store.exists() {
            std::fs::remove_dir_all(&store).unwrap();
        }
        for (path, bytes) in self.left.iter().filter(|(path, _)| path.starts_with("store")) {
            match bytes {
                None => std::fs::create_dir_all(case.bench.path("").join(path)).unwrap(),
                Some(bytes) => std::fs::write(case.bench.path("").join(path), bytes).unwrap(),
            }
        }
        let seen = case.check_reader(self.scenario, &self.what);
        if self.returned {
            assert_eq!(seen.as_ref(), Some(&self.scenario.after), "{}: the run had returned", self.what);
        }
        case.check_completion(self.scenario, &self.what);
    }
}

/// What the disk may hold after a power cut at any moment of the scenario's run, each once.
fn cuts(scenario: &Scenario) -> Option<Vec<Cut<'_>>> {
    let case = scenario.case();
    let start = Disk::of(&case.bench.path(""));
    let mut disk = start.clone();
    let events = record(&case)?;
    let syncs = events.iter().filter(|event| matches!(event, Event::Sync(_))).count();
    assert!(
        !scenario.is_ingest() || syncs > 8 && events.iter().any(|event| matches!(event, Event::Link(..))),
        "a record without a commit: {events:?}"
    );
    let (mut met, mut cuts) = (HashSet::new(), Vec::new());
    for (number, event) in (0_u64..).zip(events.iter().map(Some).chain([None])) {
        let forms = [
            Crash::OnlySynced,
            Crash::NamesEmpty,
            Crash::NamesZeroed,
            Crash::NamesCut,
            Crash::Any(number),
            Crash::Any(number + 1000),
        ];
        for crash in forms {
            let left = disk.after(crash);
            if met.insert((left.clone(), event.is_none())) {
                let next = event.map_or("the end".to_owned(), |event| format!("{event:?}").chars().take(200).collect());
                let what = format!("{}: power cut before operation {number} ({next}), {crash:?}", scenario.name);
                cuts.push(Cut { scenario, what, left, returned: event.is_none() });
            }
        }
        event.into_iter().for_each(|event| disk.apply(event));
    }
    check_that_all_is_durable(&start, &disk, &events, &case, scenario.is_ingest());
    Some(cuts)
}

/// At the end of a run, all that the store consists of is durable, name by name and byte by byte; and the replay would have told.
fn check_that_all_is_durable(start: &Disk, end: &Disk, events: &[Event], case: &Case, is_ingest: bool) {
    let of_store = |left: BTreeMap<PathBuf, Option<Vec<u8>>>| -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let is_work = |path: &Path| {
            ["store/_staging", "store/_lock", "store/_readers"].iter().any(|work| path.starts_with(work))
                || !path.starts_with("store")
        };
        left.into_iter().filter(|(path, bytes)| !is_work(path) && bytes.is_some()).collect()
    };
    let now = of_store(end.after(Crash::OnlySynced));
    for path in files(&case.bench.store()) {
        let bytes = std::fs::read(case.bench.store().join(&path)).unwrap();
        let durable =
            now.get(&Path::new("store").join(&path)).unwrap_or_else(|| panic!("{path}: its name is not durable"));
        assert!(durable.as_ref() == Some(&bytes), "{path}: its contents are not durable");
    }
    if !is_ingest {
        return;
    }
    // Without any one of these syncs less would be durable: the replay can tell.
    let without = |left_out: &dyn Fn(&Path) -> bool| {
        let mut disk = start.clone();
        let kept = events.iter().filter(|event| !matches!(event, Event::Sync(path) if left_out(path)));
        kept.for_each(|event| disk.apply(event));
        of_store(disk.after(Crash::OnlySynced))
    };
    let months = events.iter().filter_map(|event| match event {
        Event::Sync(path) if path.parent() == Some(Path::new("store/events")) => path.to_str(),
        _ => None,
    });
    for folder in ["store/events/_delta_log", "store/archives", "store/rejects"].into_iter().chain(months) {
        assert!(without(&|path| path == Path::new(folder)) != now, "without a sync of {folder}");
    }
    assert!(without(&|path| path.extension().is_some()) != now, "without the syncs of files");
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_durable_commit_and_the_next_run_completes_the_work() {
    let scenarios: Vec<_> = scenarios().into_iter().chain(shapes()).collect();
    let mut chosen = Vec::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        let Some(cuts) = cuts(scenario) else {
            assert!(std::env::var_os("KEYTRAIL_TEST_STRACE").is_none(), "strace is asked for and cannot trace");
            return eprintln!("passed over: strace is not there, or may not trace");
        };
        println!("{}: {} states of the disk", scenario.name, cuts.len());
        let step = if long() { 1 } else { cuts.len().div_ceil(8) };
        // The end of the run is always looked at: by then nothing may be lost.
        chosen.extend(
            cuts.into_iter()
                .enumerate()
                .filter(|(at, cut)| at % step == number % step || cut.returned)
                .map(|(_, cut)| cut),
        );
    }
    side_by_side(&chosen, Cut::check);
}

#[test]
fn the_replay_loses_what_was_not_synced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| PathBuf::from(name);
    let write = |name: &str, text: &str| Event::Write { path: path(name), at: None, bytes: text.into() };
    let create = |name: &str| Event::Create { path: path(name), cut: true };
    // Events -> what is left of file `a` or `b` by each kind of crash.
    let after = |events: &[Event], crash: Crash| {
        let mut disk = Disk::of(folder.path());
        events.iter().for_each(|event| disk.apply(event));
        disk.after(crash)
            .into_iter()
            .map(|(path, bytes)| format!("{}={:?}", path.display(), bytes.map(|bytes| bytes.len())))
            .collect::<Vec<_>>()
    };
    let mut events = vec![create("a"), write("a", "1234")];
    assert_eq!(after(&events, Crash::OnlySynced), [""; 0]);
    assert_eq!(after(&events, Crash::NamesCut), ["a=Some(2)"]);
    events.push(Event::Sync(path("a")));
    assert_eq!(after(&events, Crash::OnlySynced), [""; 0], "a file's sync is not its name's");
    events.push(Event::Sync(path("")));
    assert_eq!(after(&events, Crash::OnlySynced), ["a=Some(4)"]);
    let shortened = [events.clone(), vec![Event::SetLength { path: path("a"), bytes: 1 }]].concat();
    assert_eq!(after(&shortened, Crash::OnlySynced), ["a=Some(4)"]);
    assert_eq!(after(&shortened, Crash::NamesZeroed), ["a=Some(1)"]);
    events.push(Event::Rename(path("a"), path("b")));
    assert_eq!(after(&events, Crash::OnlySynced), ["a=Some(4)"]);
    assert_eq!(after(&events, Crash::NamesZeroed), ["b=Some(4)"]);
}

#[test]
fn lines_of_strace_are_understood() {
    let hex = |text: &str| text.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let (file, folder) = (hex("/b/store/f"), hex("/b/store"));
    let trace = format!(
        "7 openat(AT_FDCWD<{cwd}>, \"{file}\", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0666) = 5<{file}>\n\
         7 write(5<{file}>, \"{bytes}\", 3 <unfinished ...>\n\
         8 fsync(6<{folder}>) = 0\n\
         7 <... write resumed>) = 3\n\
         7 pwrite64(5<{file}>, \"{bytes}\", 3, 24 <unfinished ...>\n\
         7 <... pwrite64 resumed>)              = 3\n\
         7 ftruncate(5<{file}>, 2) = 0\n\
         8 unlinkat(6<{folder}>, \"{name}\", 0) = 0\n\
         8 mkdir(\"{other}\", 0777) = -1 EEXIST (File exists)\n\
         8 fsync(9<{other}>) = 0\n",
        cwd = hex("/b"),
        bytes = hex("a\"<"),
        name = hex("f"),
        other = hex("/elsewhere"),
    );
    let path = |name: &str| PathBuf::from(name);
    let expected = [
        Event::Create { path: path("store/f"), cut: false },
        Event::Sync(path("store")),
        Event::Write { path: path("store/f"), at: None, bytes: b"a\"<".to_vec() },
        Event::Write { path: path("store/f"), at: Some(24), bytes: b"a\"<".to_vec() },
        Event::SetLength { path: path("store/f"), bytes: 2 },
        Event::Remove(path("store/f")),
    ];
    assert_eq!(parse(&trace, Path::new("/b")), expected);
}
