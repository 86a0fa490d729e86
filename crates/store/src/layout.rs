//! Names and places: where every file of a store lies. Touches no disk.

use std::path::{Path, PathBuf};

use keytrail_model::time::Month;

/// Digits of a version in the name of a commit file, as Delta writes them.
const VERSION_DIGITS: usize = 20;
/// Digits of a version in the name of a run: names sort by version up to 100 million runs.
const RUN_DIGITS: usize = 8;

/// The log's folder in the table.
const LOG: &str = "_delta_log";
/// The file in the log that leads other engines to the last checkpoint.
pub(crate) const HINT: &str = "_last_checkpoint";
/// Folders of the files beside the table that commits name, below the root.
pub(crate) const SIDECAR_FOLDERS: [&str; 3] = ["archives", "rejects", FORGOTTEN];
/// How names of data files and sidecars end.
pub(crate) const PARQUET: &str = ".parquet";
/// Folder of the tombstones, below the root.
pub(crate) const FORGOTTEN: &str = "forgotten";

/// The paths below one root.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The Delta table.
    pub(crate) fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.events().join(LOG)
    }

    pub(crate) fn commit(&self, version: u64) -> PathBuf {
        self.events().join(commit_name(version))
    }

    pub(crate) fn archives(&self) -> PathBuf {
        self.root.join("archives")
    }

    pub(crate) fn rejects(&self) -> PathBuf {
        self.root.join("rejects")
    }

    /// Statements about heads, with their signatures.
    pub(crate) fn signatures(&self) -> PathBuf {
        self.root.join("signatures")
    }

    /// What the checkpoints of the log hold: see [`crate::checkpoints`].
    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.root.join("_checkpoints.json")
    }

    /// Tombstones of months that were removed.
    pub(crate) fn forgotten(&self) -> PathBuf {
        self.root.join(FORGOTTEN)
    }

    /// All folders of a store: real ones, in which we delete what we know to be left over.
    pub(crate) fn folders(&self) -> [PathBuf; 8] {
        [
            self.events(),
            self.log(),
            self.archives(),
            self.rejects(),
            self.forgotten(),
            self.signatures(),
            self.readers(),
            self.staging(),
        ]
    }

    /// Files that readers lock while they use a snapshot: see [`crate::leases`].
    pub(crate) fn readers(&self) -> PathBuf {
        self.root.join("_readers")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join("_staging")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("_lock")
    }
}

/// Path of a commit file, below the table.
pub(crate) fn commit_name(version: u64) -> String {
    format!("{LOG}/{version:0VERSION_DIGITS$}.json")
}

/// Name of the file that readers of snapshots lock which were made by the removal of version `epoch` or after it.
pub(crate) fn reader_name(epoch: u64) -> String {
    format!("{epoch:0RUN_DIGITS$}")
}

/// The version in the name of a commit file or a checkpoint, and what follows it: `(7, "json")`.
pub(crate) fn parse_log_name(name: &str) -> Option<(u64, &str)> {
    let (digits, rest) = name.split_at_checked(VERSION_DIGITS)?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((all_digits.then(|| digits.parse().ok()).flatten()?, rest.strip_prefix('.')?))
}

/// Whether a file in the log is a commit.
pub(crate) fn is_commit(name: &str) -> bool {
    parse_log_name(name).is_some_and(|(_, rest)| rest == "json")
}

/// Whether a file in the log is a checkpoint or the hint at the last one. Both only repeat what the commits say.
pub(crate) fn is_checkpoint(name: &str) -> bool {
    name == HINT || parse_log_name(name).is_some_and(|(_, rest)| rest.starts_with("checkpoint."))
}

/// Whether a path below the table lies in its log.
pub(crate) fn is_in_log(path: &str) -> bool {
    path.split('/').next() == Some(LOG)
}

/// Whether a path below the table is that of a commit, a checkpoint or the hint at the last one.
pub(crate) fn is_log_file(path: &str) -> bool {
    let name = path.split_once('/').filter(|(folder, _)| *folder == LOG).map(|(_, name)| name);
    name.is_some_and(|name| !name.contains('/') && (is_commit(name) || is_checkpoint(name)))
}

/// Whether a path below the table is one that we give to data files: `month=YYYY-MM/<name>.parquet`.
pub(crate) fn is_data_file(path: &str) -> bool {
    let Some((folder, name)) = path.split_once('/') else {
        return false;
    };
    let is_month = folder.strip_prefix("month=").is_some_and(|month| Month::parse(month).is_some());
    is_month && !name.contains('/') && name.len() > PARQUET.len() && name.ends_with(PARQUET)
}

/// Whether other engines read a file in the log in place of commits, though keytrail writes none of its kind: commits in one file
/// (`3.9.compacted.json`), and what the table is at a version (`7.crc`).
pub(crate) fn stands_for_commits(name: &str) -> bool {
    parse_log_name(name).is_some_and(|(_, rest)| rest == "crc" || rest.ends_with(".compacted.json"))
}

/// Whether a name is one that stands directly below the root of a store.
pub(crate) fn is_in_root(name: &str) -> bool {
    let layout = Layout::new(Path::new(""));
    let files = [layout.checkpoints(), layout.lock()];
    layout.folders().iter().chain(&files).any(|place| place.as_os_str() == name)
}

/// Folder of a month, below the table.
pub(crate) fn month_folder(month: Month) -> String {
    format!("month={month}")
}

/// Path of a run's ledger, its rejects file or a tombstone, below the root.
pub(crate) fn sidecar(folder: &str, run: &str) -> String {
    format!("{folder}/{run}.parquet")
}

/// Name of the run that makes `version`. `digest` stands for its archives.
pub(crate) fn run_name(version: u64, digest: &str) -> String {
    format!("{version:0RUN_DIGITS$}-{digest}")
}

/// The version that a run's name, or the name of a file of that run, starts with.
pub(crate) fn version_of_run(name: &str) -> Option<u64> {
    let digits = name.split_once('-')?.0;
    (digits.len() >= RUN_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_log() {
        let cases = [
            ("00000000000000000007.json", Some((7, "json"))),
            ("00000000000000000100.checkpoint.parquet", Some((100, "checkpoint.parquet"))),
            ("00000000000000000007.crc", Some((7, "crc"))),
            ("0000000000000000000x.json", None),
            ("+0000000000000000007.json", None),
            ("_last_checkpoint", None),
            ("00000000000000000007json", None),
            ("7.json", None),
            ("ααααααααααααααα.json", None),
        ];
        for (name, expected) in cases {
            assert_eq!(parse_log_name(name), expected, "{name}");
        }
        let name = Layout::new(Path::new("s")).commit(7);
        assert_eq!(name, Path::new("s/events/_delta_log/00000000000000000007.json"));
    }

    #[test]
    fn names_of_checkpoints() {
        let names = [
            "_last_checkpoint",
            "00000000000000000100.checkpoint.parquet",
            "00000000000000000100.checkpoint.0000000001.0000000002.parquet",
        ];
        assert!(names.into_iter().all(is_checkpoint));
        assert!(
            !["00000000000000000100.json", "00000000000000000100.crc", "_last_checkpoint.x"]
                .into_iter()
                .any(is_checkpoint)
        );
    }

    #[test]
    fn paths_of_data_files() {
        let cases = [
            ("month=2026-01/00000001-ab-0000.parquet", true),
            ("month=2026-01/sub/a.parquet", false),
            ("month=2026-13/a.parquet", false),
            ("month=2026-01/a.json", false),
            ("month=2026-01/.parquet", false),
            ("month=2026-01", false),
            ("a.parquet", false),
            ("_delta_log/a.parquet", false),
        ];
        for (path, expected) in cases {
            assert_eq!(is_data_file(path), expected, "{path}");
        }
        assert!(is_in_log("_delta_log/x") && is_in_log("_delta_log") && !is_in_log("_delta_log_/x"));
        for (path, expected) in [
            ("_delta_log/00000000000000000007.json", true),
            ("_delta_log/00000000000000000100.checkpoint.parquet", true),
            ("_delta_log/_last_checkpoint", true),
            ("_delta_log/x.parquet", false),
            ("_delta_log/_sidecars/00000000000000000100.checkpoint.parquet", false),
            ("00000000000000000007.json", false),
        ] {
            assert_eq!(is_log_file(path), expected, "{path}");
        }
    }

    #[test]
    fn names_that_stand_for_commits_and_names_below_the_root() {
        for name in ["00000000000000000007.crc", "00000000000000000003.00000000000000000009.compacted.json"] {
            assert!(stands_for_commits(name), "{name}");
        }
        for name in ["00000000000000000007.json", "x.crc", "_last_checkpoint", "7.crc"] {
            assert!(!stands_for_commits(name), "{name}");
        }
        assert!(["events", "_lock", "_checkpoints.json"].into_iter().all(is_in_root));
        assert!(!["", "event", "events/x", "_lock.x"].into_iter().any(is_in_root));
    }

    #[test]
    fn names_of_runs() {
        assert_eq!(run_name(7, "3fa9"), "00000007-3fa9");
        assert_eq!(version_of_run("00000007-3fa9.parquet"), Some(7));
        assert_eq!(version_of_run(&run_name(1_234_567_890, "x")), Some(1_234_567_890));
        for name in ["part-0000.parquet", "7-3fa9", "00000007", "0000000+-x"] {
            assert_eq!(version_of_run(name), None, "{name}");
        }
    }
}
