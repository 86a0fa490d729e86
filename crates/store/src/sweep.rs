//! Left-overs of killed runs: finding and removing them, by name.
//!
//! Only the writer sweeps, while it holds the lock, so nothing found here can belong to a run in progress. What is left over is known by
//! its name: it is of the version after the last one, since each writer sweeps before it works. Whatever else no commit names is not
//! ours to delete, and is told.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::failpoint::{Point, reach};
use crate::folder::entries;
use crate::layout::{self, Layout};
use crate::signatures::Files as SignatureFiles;
use crate::{Snapshot, StoreError, checkpoints, durable};

/// Refuses a store with links for folders: what lies in them may be anybody's, and here things are deleted.
pub(crate) fn refuse_links(layout: &Layout) -> Result<(), StoreError> {
    for folder in layout.folders() {
        if fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(StoreError::damaged_file(&folder, "a folder of the store", "a symbolic link"));
        }
    }
    Ok(())
}

/// Removes temporary files of the log, which is all that may stand there before the first commit, and of the list of checkpoints. Those of
/// signatures stay: who signs takes no lock.
pub(crate) fn sweep_temporary(layout: &Layout, swept: &mut Vec<String>) -> Result<(), StoreError> {
    remove(layout, &layout.log(), &mut |name| durable::is_temporary(name), swept)?;
    // Below the root others may keep files of such names.
    let list = layout.checkpoints();
    remove(layout, layout.root(), &mut |name| durable::is_temporary_of(&list, name), swept)
}

/// Why a file was swept, in words to stand behind its path.
#[must_use]
pub fn why_swept(path: &str) -> &'static str {
    match path.rsplit('/').next().is_some_and(layout::is_checkpoint) {
        // Sound ones, too, where others were made beside them: what other engines believe must be what the list holds.
        true => "a checkpoint, all of which are made anew: they were not those that are listed",
        false => "left by a run that was stopped",
    }
}

/// Removes all checkpoints, which repeat the commits, and the hint at the last one: for when one of them is damaged, or was not finished.
///
/// The list of them is emptied first, durably: whenever this stops, no file is missing that the list names. The hint goes next, as durably, so that it
/// never leads to a checkpoint that is gone.
pub(crate) fn sweep_checkpoints(layout: &Layout, swept: &mut Vec<String>) -> Result<(), StoreError> {
    checkpoints::Checkpoints::write_none(layout)?;
    let before = swept.len();
    remove(layout, &layout.log(), &mut |name| name == layout::HINT, swept)?;
    if swept.len() > before {
        durable::sync_folder(&layout.log())?;
    }
    remove(layout, &layout.log(), &mut layout::is_checkpoint, swept)
}

/// Removes the files of runs that were not committed. What is removed is named in `swept`, relative to the root; what is strange there,
/// in `warnings`.
///
/// # Errors
/// Something tells of commits that the log does not have, or a file that it names is missing: then what seems left over may be all that
/// there is, and nothing is touched.
pub(crate) fn sweep_runs(
    layout: &Layout,
    snapshot: &Snapshot,
    swept: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Result<(), StoreError> {
    let unnamed = unnamed_by(layout, snapshot)?;
    refuse_lost_commits(layout, snapshot.version(), &unnamed)?;
    if !unnamed.left_over.is_empty() {
        refuse_lost_files(layout, snapshot)?;
    }
    for path in unnamed.left_over {
        let full = layout.root().join(&path);
        let removed = reach(Point::SweepRemoving).and_then(|()| fs::remove_file(&full));
        let removed = removed.and_then(|()| reach(Point::SweepRemoved));
        removed.map_err(StoreError::io("remove the left-over", &full))?;
        swept.push(path);
    }
    let strange = unnamed.strange.iter();
    warnings.extend(strange.map(|path| format!("{path}: no commit names it; programs that read the folder would")));
    Ok(())
}

/// Empties the staging folder.
pub(crate) fn sweep_staging(layout: &Layout, swept: &mut Vec<String>) -> Result<(), StoreError> {
    remove(layout, &layout.staging(), &mut |_| true, swept)
}

/// Parquet files that no commit names. Paths relative to the root, sorted.
#[derive(Debug, Default)]
pub(crate) struct Unnamed {
    /// What a killed run, or one in progress, would leave.
    pub(crate) left_over: Vec<String>,
    /// All others: no run of ours would leave them.
    pub(crate) strange: Vec<String>,
}

/// Finds the Parquet files, and links that may lead to some, that are neither among the `data` files (paths relative to the table) nor
/// among the `sidecars` (relative to the root) of a store of this version.
pub(crate) fn unnamed(
    layout: &Layout,
    version: u64,
    data: &HashSet<&str>,
    sidecars: &HashSet<&str>,
) -> Result<Unnamed, StoreError> {
    let mut found = Vec::new();
    parquet_files(&layout.events(), "", &mut found)?;
    found.retain(|path| !data.contains(path.as_str()));
    let (left_over, strange) = found.into_iter().partition(|path| layout::is_data_file(path) && is_next(path, version));
    let in_events = |paths: Vec<String>| paths.into_iter().map(|path| format!("events/{path}")).collect();
    let mut unnamed = Unnamed { left_over: in_events(left_over), strange: in_events(strange) };
    for folder in layout::SIDECAR_FOLDERS {
        let mut found = Vec::new();
        parquet_files(&layout.root().join(folder), &format!("{folder}/"), &mut found)?;
        found.retain(|path| !sidecars.contains(path.as_str()));
        let (left_over, strange): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|path| path.split('/').count() == 2 && is_next(path, version));
        unnamed.left_over.extend(left_over);
        unnamed.strange.extend(strange);
    }
    Ok(unnamed)
}

/// The same for a snapshot.
fn unnamed_by(layout: &Layout, snapshot: &Snapshot) -> Result<Unnamed, StoreError> {
    let sidecars = snapshot.runs().iter().flat_map(|run| [run.archives.path.as_str(), run.rejects.path.as_str()]);
    let tombstones = snapshot.forgets().iter().map(|forget| forget.forgotten.path.as_str());
    // What a commit removed is not left over: it goes with `vacuum`, when nobody reads it any more.
    let removed = snapshot.removed.iter().map(|file| file.path.as_str());
    let data = snapshot.files().iter().map(|file| file.path.as_str()).chain(removed);
    unnamed(layout, snapshot.version(), &data.collect(), &sidecars.chain(tombstones).collect())
}

/// Whether a file has the name of a run after this version.
fn is_next(path: &str, version: u64) -> bool {
    path.rsplit('/').next().and_then(layout::version_of_run) == Some(version.saturating_add(1))
}

/// Files of later versions than the next one, and signatures, tell of commits that were removed from the log.
pub(crate) fn refuse_lost_commits(layout: &Layout, version: u64, unnamed: &Unnamed) -> Result<(), StoreError> {
    let next = version.saturating_add(1);
    let version_of = |path: &str| layout::version_of_run(path.rsplit('/').next()?);
    let later = unnamed.strange.iter().find(|path| version_of(path).is_some_and(|of| of > next));
    if let Some(path) = later {
        let expected = format!("a commit, since {path} is of a later one");
        return Err(StoreError::damaged_commit(&layout.commit(next), expected, "no such file"));
    }
    match SignatureFiles::list(layout)?
        .statements
        .keys()
        .map(|(about, _)| *about)
        .max()
        .filter(|&about| about > version)
    {
        None => Ok(()),
        Some(about) => Err(StoreError::damaged_commit(
            &layout.commit(about),
            "a commit, since its head was signed",
            "no such file",
        )),
    }
}

/// The same before a snapshot is vouched for without the lock: what a writer did since proves nothing.
pub(crate) fn refuse_cut_log(layout: &Layout, snapshot: &Snapshot) -> Result<(), StoreError> {
    let version = snapshot.version();
    let unnamed = unnamed_by(layout, snapshot)?;
    match refuse_lost_commits(layout, version, &unnamed) {
        Err(_) if layout.commit(version.saturating_add(1)).exists() => Ok(()),
        found => found,
    }
}

/// A live file that is missing may be one that a lost commit removed, and what seems left over may hold its rows.
fn refuse_lost_files(layout: &Layout, snapshot: &Snapshot) -> Result<(), StoreError> {
    for file in snapshot.files() {
        let path = layout.events().join(&file.path);
        match fs::symlink_metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::damaged_file(
                    &path,
                    format!("{} rows of the table", file.rows),
                    "no such file",
                ));
            }
            Err(error) => return Err(StoreError::io("look for the data file", &path)(error)),
        }
    }
    Ok(())
}

/// What keytrail never puts where it stands, other than Parquet files and links ([`unnamed`]) and what is beside signatures. Paths
/// relative to the root, sorted by folder.
pub(crate) fn strangers(layout: &Layout) -> Result<Vec<String>, StoreError> {
    let is_month = |name: &str| name.starts_with("month=");
    let in_log = |name: &str| layout::is_commit(name) || layout::is_checkpoint(name);
    let mut found = Vec::new();
    let mut look = |folder: &Path, is_ours: &dyn Fn(&str) -> bool| -> Result<(), StoreError> {
        for entry in entries(folder)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            // Told elsewhere, and as damage; directly below the root nobody looks for data.
            let is_told = folder != layout.root() && (is_link || name.ends_with(layout::PARQUET));
            if !is_told && !is_ours(&name) && !durable::is_temporary(&name) {
                let path = entry.path();
                found.push(path.strip_prefix(layout.root()).unwrap_or(&path).to_string_lossy().into_owned());
            }
        }
        Ok(())
    };
    look(layout.root(), &layout::is_in_root)?;
    look(&layout.events(), &|name| is_month(name) || layout.log().ends_with(name))?;
    look(&layout.log(), &in_log)?;
    for month in entries(&layout.events())? {
        if is_month(&month.file_name().to_string_lossy()) && month.file_type().is_ok_and(|kind| kind.is_dir()) {
            look(&month.path(), &|_| false)?;
        }
    }
    for folder in layout::SIDECAR_FOLDERS {
        look(&layout.root().join(folder), &|_| false)?;
    }
    Ok(found)
}

/// A data file or sidecar, if there is any. Before the first commit there can be none: it comes before all of them.
pub(crate) fn any_run_file(layout: &Layout) -> Result<Option<String>, StoreError> {
    let found = unnamed(layout, 0, &HashSet::new(), &HashSet::new())?;
    Ok(found.left_over.into_iter().chain(found.strange).next())
}

fn remove(
    layout: &Layout,
    folder: &Path,
    which: &mut dyn FnMut(&str) -> bool,
    swept: &mut Vec<String>,
) -> Result<(), StoreError> {
    for entry in entries(folder)? {
        let name = entry.file_name();
        if !which(&name.to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let remove = || if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        let removed = reach(Point::SweepRemoving).and_then(|()| remove()).and_then(|()| reach(Point::SweepRemoved));
        removed.map_err(StoreError::io("remove the left-over", &path))?;
        let relative = path.strip_prefix(layout.root()).unwrap_or(&path);
        swept.push(relative.to_string_lossy().into_owned());
    }
    Ok(())
}

/// Parquet files and links in a folder and its folders, but for the commits and checkpoints of the log; their paths after `start`, sorted.
fn parquet_files(folder: &Path, start: &str, found: &mut Vec<String>) -> Result<(), StoreError> {
    for entry in entries(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(StoreError::io("look at the file", &entry.path()))?;
        let path = format!("{start}{name}");
        // They are checked by what they hold.
        let is_of_log = layout::is_log_file(&path);
        if kind.is_dir() {
            parquet_files(&entry.path(), &format!("{path}/"), found)?;
        } else if !is_of_log && (kind.is_symlink() || name.ends_with(layout::PARQUET)) {
            found.push(path);
        }
    }
    Ok(())
}
