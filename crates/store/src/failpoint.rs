//! Named places where a test can make the program fail: end there as if killed, meet an error of the disk, or wait.
//!
//! [`Point::ALL`] is the whole list: around the steps that touch the disk, after some of them too. A build with debug assertions (the one that
//! tests run) obeys `KEYTRAIL_FAIL_AT=NAME[#N]:ACTION`, where N counts how often the point is reached (1 by default) and ACTION is
//!
//! - `kill`: the process ends on the spot (SIGABRT). No destructor runs, no buffer is flushed: the disk is left as by SIGKILL.
//! - `error`, `enospc`: the step fails with EIO or ENOSPC. At a point *after* a step that is an error after the effect.
//! - `hold`: says so on stderr and waits there until the file `KEYTRAIL_FAIL_RELEASE` exists.
//!
//! `KEYTRAIL_FAIL_TRACE=FILE` appends the name of each point that is reached, one a line. In other builds all of it compiles to
//! nothing. Why not the crate `fail`: its points need a feature, so a second build of everything, and it knows neither kills nor I/O
//! errors. Knows nothing of what the steps do.

macro_rules! points {
    ($($variant:ident $name:literal $when:literal)+) => {
        /// A place where the program can be made to fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Point {
            $(#[doc = $when] $variant,)+
        }

        impl Point {
            /// Every point with its name.
            pub const ALL: &[(Self, &str)] = &[$((Self::$variant, $name)),+];
        }
    };
}

points! {
    RootMade "root-made" "The folder of the store is there; no lock yet."
    Locked "locked" "The lock is held; nothing was looked at."
    LeaseMade "lease-made" "The file that readers of an epoch lock is made."
    TableMade "table-made" "Version 0 is committed."
    Opened "opened" "The store is open for writing: swept, with all its folders."
    SweepRemoving "sweep-removing" "A left-over is about to be removed."
    SweepRemoved "sweep-removed" "A left-over is removed."
    FolderMaking "folder-making" "A folder is about to be made."
    FolderMade "folder-made" "A folder is made, its name not yet synced."
    FolderSyncing "folder-syncing" "A folder is about to be synced."
    FolderSynced "folder-synced" "A folder is synced."
    CommitReading "commit-reading" "A commit file is about to be read."
    LedgerReading "ledger-reading" "A ledger file is about to be read."
    RowsReading "rows-reading" "A data file is about to be read."
    ArchiveReading "archive-reading" "Bytes of an archive are about to be read."
    StagingMade "staging-made" "The staging folder of the run is made."
    StagingFileMade "staging-file-made" "The staging file of a thread is made."
    BlockWriting "block-writing" "A block is about to be staged."
    BlockWritten "block-written" "A block is staged."
    BlockReading "block-reading" "A staged block is about to be read."
    IdentitiesMade "identities-made" "The file of identities is made."
    IdentitiesWriting "identities-writing" "A run of identities is about to be written."
    IdentitiesWritten "identities-written" "A run of identities is written."
    IdentitiesReading "identities-reading" "Identities are about to be read again."
    FileCreating "file-creating" "A data file, ledger or file of rejects is about to be created."
    FileCreated "file-created" "Such a file is created."
    FileWriting "file-writing" "Bytes are about to be written to such a file."
    FileSyncing "file-syncing" "Such a file is written and about to be synced."
    FileSynced "file-synced" "Such a file is synced."
    Moving "moving" "A finished file is about to be moved to its place."
    Moved "moved" "A finished file is in its place."
    Placed "placed" "All files of a commit are in their places and durable."
    PutBegun "put-begun" "A file of the log is about to be written."
    PutWritten "put-written" "A file of the log is written and synced under a temporary name."
    PutNamed "put-named" "A file of the log has its name."
    PutCleared "put-cleared" "The temporary name is gone; the folder is not yet synced."
    PutSynced "put-synced" "A file of the log is durable."
    Published "published" "The commit stands: it was read back."
    CheckpointBegun "checkpoint-begun" "A checkpoint is about to be written."
    CheckpointDone "checkpoint-done" "A checkpoint and the hint at it are written."
    StagingRemoving "staging-removing" "The staging folder of the run is about to be removed."
}

/// Tells that a point is reached.
///
/// # Errors
/// The one that a test asked for; never in a build without debug assertions.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reach(_: Point) -> std::io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
pub use armed::reach;

#[cfg(debug_assertions)]
mod armed {
    use std::env;
    use std::fs::{File, OpenOptions};
    use std::io::{self, Write as _};
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::Point;

    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Action {
        Kill,
        Error(i32),
        Hold,
    }

    /// What the environment asks for.
    struct Orders {
        armed: Result<Option<(Point, u64, Action)>, String>,
        reached: AtomicU64,
        trace: Option<File>,
    }

    /// Tells that a point is reached.
    ///
    /// # Errors
    /// The one that a test asked for.
    pub fn reach(point: Point) -> io::Result<()> {
        static ORDERS: OnceLock<Orders> = OnceLock::new();
        let orders = ORDERS.get_or_init(Orders::from_environment);
        if let Some(mut trace) = orders.trace.as_ref() {
            // One write, so that lines of several threads stay whole.
            trace.write_all(format!("{}\n", name(point)).as_bytes())?;
        }
        match &orders.armed {
            Ok(Some((armed, when, action))) if *armed == point => {
                if orders.reached.fetch_add(1, Ordering::Relaxed) + 1 == *when { act(point, *action) } else { Ok(()) }
            }
            Ok(_) => Ok(()),
            Err(wrong) => Err(io::Error::new(io::ErrorKind::InvalidInput, wrong.clone())),
        }
    }

    fn name(point: Point) -> &'static str {
        Point::ALL.iter().find(|(known, _)| *known == point).map_or("", |(_, name)| name)
    }

    fn act(point: Point, action: Action) -> io::Result<()> {
        match action {
            Action::Kill => std::process::abort(),
            Action::Error(code) => Err(io::Error::from_raw_os_error(code)),
            Action::Hold => {
                let release = env::var_os("KEYTRAIL_FAIL_RELEASE").map(PathBuf::from);
                writeln!(io::stderr(), "keytrail: held at {}", name(point))?;
                while !release.as_ref().is_some_and(|file| file.exists()) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(())
            }
        }
    }

    impl Orders {
        fn from_environment() -> Self {
            let armed = env::var("KEYTRAIL_FAIL_AT").ok().map(|text| parse(&text)).transpose();
            let trace = env::var_os("KEYTRAIL_FAIL_TRACE");
            let open = |path| OpenOptions::new().create(true).append(true).open(path).ok();
            Self { armed, reached: AtomicU64::new(0), trace: trace.and_then(open) }
        }
    }

    /// Reads `NAME[#N]:ACTION`.
    pub(super) fn parse(text: &str) -> Result<(Point, u64, Action), String> {
        let wrong = |what: &str| format!("KEYTRAIL_FAIL_AT={text}: {what}");
        let (place, action) = text.split_once(':').ok_or_else(|| wrong("expected NAME[#N]:ACTION"))?;
        let (name, when) = place.split_once('#').unwrap_or((place, "1"));
        let point = Point::ALL.iter().find(|(_, known)| *known == name).ok_or_else(|| wrong("no such fail point"))?.0;
        let when = when.parse().ok().filter(|when| *when > 0).ok_or_else(|| wrong("expected a number after #"))?;
        let action = match action {
            "kill" => Action::Kill,
            "error" => Action::Error(EIO),
            "enospc" => Action::Error(ENOSPC),
            "hold" => Action::Hold,
            _ => return Err(wrong("expected kill, error, enospc or hold")),
        };
        Ok((point, when, action))
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::{Action, parse};
    use super::*;

    #[test]
    fn orders_are_read_or_refused() {
        let good = [
            ("put-named:kill", (Point::PutNamed, 1, Action::Kill)),
            ("moved#3:error", (Point::Moved, 3, Action::Error(5))),
            ("locked#12:enospc", (Point::Locked, 12, Action::Error(28))),
            ("opened:hold", (Point::Opened, 1, Action::Hold)),
        ];
        for (text, expected) in good {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        let wrong = ["", "moved", "nowhere:kill", "moved#0:kill", "moved#x:kill", "moved:explode", "moved#:kill"];
        for text in wrong {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_unlike_each_other() {
        let mut names: Vec<_> = Point::ALL.iter().map(|(_, name)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
