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
