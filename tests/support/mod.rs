//! Running the program, and reading what it said.

pub mod model;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder that goes away with the test, and a store in it.
pub struct Bench {
    folder: tempfile::TempDir,
}

/// How a run of the program ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Runs the program on the store of this folder.
    pub fn keytrail<A: AsRef<std::ffi::OsStr>>(&self, arguments: &[A]) -> Ran {
        let mut command = self.command();
        command.args(arguments);
        Ran::of(command.output().unwrap())
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keytrail"));
        command.current_dir(self.folder.path()).env("KEYTRAIL_STORE", self.store()).env_remove("KEYTRAIL_STATUSES");
        command
    }

    /// Ingests paths with `--format json` and further options; gives the exit code, the object on stdout and the words on stderr.
    pub fn ingest(&self, paths: &[&Path], options: &[&str]) -> (i32, Value, String) {
        let mut arguments = vec!["ingest".to_owned(), "--format".into(), "json".into()];
        arguments.extend(options.iter().map(|&option| option.into()));
        arguments.extend(paths.iter().map(|path| path.to_str().unwrap().to_owned()));
        let ran = self.keytrail(&arguments);
        let summary = serde_json::from_str(&ran.stdout).unwrap_or(Value::Null);
        (ran.code, summary, ran.stderr)
    }

    /// The rows of a query, as CSV without its header.
    pub fn rows(&self, query: &str) -> Vec<String> {
        let ran = self.keytrail(&["sql", query, "--format", "csv"]);
        assert_eq!(ran.code, 0, "{query}: {}", ran.stderr);
        ran.stdout.lines().skip(1).map(str::to_owned).collect()
    }

    /// All rows of a query as JSON objects.
    pub fn json(&self, query: &str) -> Value {
        let ran = self.keytrail(&["sql", query, "--format", "json"]);
        assert_eq!(ran.code, 0, "{query}: {}", ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Numbers that look random in their upper bits, the same for the same seed.
pub fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    std::iter::successors(Some(seed), next).skip(1)
}

/// A file of `data-samples/`.
pub fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data-samples").join(name)
}

/// `(new, known, failed, read, stored, duplicates, rejected)` of an ingest summary.
pub fn counts(summary: &Value) -> [u64; 7] {
    let count = |part: &str, name: &str| summary[part][name].as_u64().unwrap_or(u64::MAX);
    [
        count("archives", "new"),
        count("archives", "known"),
        count("archives", "failed"),
        count("records", "read"),
        count("records", "stored"),
        count("records", "duplicates"),
        count("records", "rejected"),
    ]
}

/// Every file below a folder with its bytes, sorted: to see whether anything changed.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push((entry.path(), std::fs::read(entry.path()).unwrap())),
            }
        }
    }
    found.sort();
    found
}

/// A record with a time and an action, on one line.
pub fn record(time: &str, action: &str) -> String {
    format!(
        r#"{{"time":"{time}","source":"thales/cloudhsm/1","actorID":"a","action":"{action}","status":"LUNA_RET_OK"}}"#
    )
}

/// A ZIP of members that are stored without compression: name, content, and whether the CRC is right.
pub fn stored_zip(members: &[(&str, &str, bool)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content, is_sound) in members {
        let mut crc = flate2::Crc::new();
        crc.update(content.as_bytes());
        let length = u32::try_from(content.len()).unwrap();
        let numbers = [crc.sum() ^ u32::from(!is_sound), length, length].map(u32::to_le_bytes).concat();
        let name_bytes = u16::try_from(name.len()).unwrap().to_le_bytes();
        let fields = [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0], numbers.as_slice(), &name_bytes].concat();
        let at = u32::try_from(file.len()).unwrap().to_le_bytes();
        file.extend([b"PK\x03\x04", fields.as_slice(), &[0, 0], name.as_bytes(), content.as_bytes()].concat());
        directory.extend([b"PK\x01\x02\x14\x03", fields.as_slice(), &[0; 12], &at, name.as_bytes()].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let [at, bytes] = [file.len(), directory.len()].map(|length| u32::try_from(length).unwrap().to_le_bytes());
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &bytes, &at, &[0, 0]].concat();
    [file, directory, end].concat()
}

/// A run of the program with what it took.
pub struct Measured {
    pub ran: Ran,
    /// Most memory that was resident, in bytes; 0 where the system does not tell.
    pub peak_bytes: u64,
    pub seconds: f64,
}

/// Runs a command and watches its memory. It is ended, and the test with it, where it takes longer than so many seconds.
pub fn measure(command: &mut Command, at_most_seconds: f64) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let file = |name| std::fs::File::create(folder.path().join(name)).unwrap();
    let started = std::time::Instant::now();
    // Into files: nobody reads a pipe while we watch.
    let mut child = command.stdout(file("out")).stderr(file("err")).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_bytes = 0;
    let code = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended.code().unwrap_or(-1);
        }
        // The system keeps the peak: only what comes after the last look is missed.
        let peak = std::fs::read_to_string(&status).ok();
        let peak =
            peak.as_deref().and_then(|text| text.split_once("VmHWM:")?.1.split_whitespace().next()?.parse().ok());
        peak_bytes = peak.map_or(peak_bytes, |kilobytes: u64| peak_bytes.max(kilobytes << 10));
        if started.elapsed().as_secs_f64() > at_most_seconds {
            child.kill().unwrap();
            panic!("{command:?} takes more than {at_most_seconds} seconds");
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    let text = |name| String::from_utf8(std::fs::read(folder.path().join(name)).unwrap()).unwrap();
    let ran = Ran { code, stdout: text("out"), stderr: text("err") };
    Measured { ran, peak_bytes, seconds: started.elapsed().as_secs_f64() }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    for (path, bytes) in contents(from) {
        let to = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
}

/// Changes a commit of a store and forges all links after it, as somebody would who knows how: hashes of commits before, and seals.
pub fn forge_commit(store: &Path, version: u64, change: impl FnOnce(&str) -> String) {
    use sha2::{Digest, Sha256};
    let path = |version: u64| store.join(format!("events/_delta_log/{version:020}.json"));
    let hash = |text: &str| -> String { Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect() };
    let mut before = std::fs::read_to_string(path(version)).unwrap();
    let mut forged = change(&before);
    assert_ne!(forged, before, "something is changed");
    for version in version.. {
        if let Some(start) = forged.find("\"seal\":\"").map(|start| start + 8) {
            forged.replace_range(start..start + 64, &"0".repeat(64));
            let seal = hash(&forged);
            forged.replace_range(start..start + 64, &seal);
        }
        std::fs::write(path(version), &forged).unwrap();
        let Ok(next) = std::fs::read_to_string(path(version + 1)) else {
            break;
        };
        let (old, new) = (hash(&before), hash(&forged));
        forged = next.replace(&old, &new);
        before = next;
    }
}
