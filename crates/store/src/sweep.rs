//! Left-overs of killed runs: finding and removing them, by name.
//!
//! Only the writer sweeps, while it holds the lock, so nothing found here can belong to a run in progress. Every file that a plain
//! glob over the table would read, and that no commit names, goes.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::path::Path;

use crate::failpoint::{Point, reach};
use crate::layout::{self, Layout};
use crate::{Snapshot, StoreError, durable};

/// Removes temporary files from the log, which is all that may stand there before the first commit.
pub(crate) fn sweep_log(layout: &Layout, swept: &mut Vec<String>) -> Result<(), StoreError> {
    remove(layout, &layout.log(), &mut |name| durable::is_temporary(name), swept)
}

/// Removes all checkpoints, which repeat the commits, and the hint at the last one: for when one of them is damaged.
pub(crate) fn sweep_checkpoints(layout: &Layout, swept: &mut Vec<String>) -> Result<(), StoreError> {
    let list = layout.checkpoints();
    match fs::remove_file(&list) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("remove the list of checkpoints", &list)(error))
        }
        _ => remove(layout, &layout.log(), &mut layout::is_checkpoint, swept),
    }
}

/// Removes the files of runs that were not committed. What is removed is named in `swept`, relative to the root.
pub(crate) fn sweep_runs(layout: &Layout, snapshot: &Snapshot, swept: &mut Vec<String>) -> Result<(), StoreError> {
    let sidecars = snapshot.runs().iter().flat_map(|run| [run.archives.path.as_str(), run.rejects.path.as_str()]);
    let tombstones = snapshot.forgets().iter().map(|forget| forget.forgotten.path.as_str());
    // What a commit removed is not left over: it goes with `vacuum`, when nobody reads it any more.
    let removed = snapshot.removed.iter().map(|file| file.path.as_str());
    let data = snapshot.files().iter().map(|file| file.path.as_str()).chain(removed);
    let orphans = orphans(layout, &data.collect(), &sidecars.chain(tombstones).collect())?;
    refuse_lost_commits(layout, snapshot.version(), &orphans)?;
    for path in orphans {
        let full = layout.root().join(&path);
        let removed = reach(Point::SweepRemoving).and_then(|()| fs::remove_file(&full));
        let removed = removed.and_then(|()| reach(Point::SweepRemoved));
        removed.map_err(StoreError::io("remove the left-over", &full))?;
        swept.push(path);
    }
    Ok(())
}

/// Empties the staging folder.
pub(crate) fn sweep_staging(layout: &Layout, swept: &mut Vec<String>) -> Result<(), StoreError> {
    remove(layout, &layout.staging(), &mut |_| true, swept)
}

/// Parquet files that are neither among the `data` files (paths relative to the table) nor among the `sidecars` (relative
/// to the root). Paths relative to the root.
pub(crate) fn orphans(
    layout: &Layout,
    data: &HashSet<&str>,
    sidecars: &HashSet<&str>,
) -> Result<Vec<String>, StoreError> {
    let mut orphans = Vec::new();
    for month in entries(&layout.events())?.into_iter().filter(|entry| is_folder(entry, "month=")) {
        let folder = month.file_name().to_string_lossy().into_owned();
        let paths = parquet_names(&month.path())?.into_iter().map(|name| format!("{folder}/{name}"));
        orphans.extend(paths.filter(|path| !data.contains(path.as_str())).map(|path| format!("events/{path}")));
    }
    for folder in ["archives", "rejects", layout::FORGOTTEN] {
        let paths = parquet_names(&layout.root().join(folder))?.into_iter().map(|name| format!("{folder}/{name}"));
        orphans.extend(paths.filter(|path| !sidecars.contains(path.as_str())));
    }
    Ok(orphans)
}

/// A killed run leaves files of the next version only, because each writer sweeps before it works. Files of later versions tell of
/// commits that were removed from the log: then nothing is touched.
pub(crate) fn refuse_lost_commits(layout: &Layout, version: u64, orphans: &[String]) -> Result<(), StoreError> {
    let next = version.saturating_add(1);
    let version_of = |path: &str| layout::version_of_run(path.rsplit('/').next()?);
    let Some(path) = orphans.iter().find(|path| version_of(path).is_some_and(|of| of > next)) else {
        return Ok(());
    };
    Err(StoreError::damaged_commit(
        &layout.commit(next),
        format!("a commit, since {path} is of a later one"),
        "no such file",
    ))
}

/// Whether an orphan can be of a killed run, or of one in progress, on top of `version`.
pub(crate) fn is_left_over(path: &str, version: u64) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    layout::version_of_run(name).is_some_and(|of| of > version)
}

/// What keytrail never puts where it stands, other than Parquet files ([`orphans`]) and what is beside signatures. Paths relative to
/// the root, sorted by folder.
pub(crate) fn strangers(layout: &Layout) -> Result<Vec<String>, StoreError> {
    let is_month = |name: &str| name.starts_with("month=");
    let is_data = |name: &str| name.ends_with(".parquet");
    let in_log = |name: &str| layout::is_commit(name) || layout::is_checkpoint(name);
    let mut found = Vec::new();
    let mut look = |folder: &Path, is_ours: &dyn Fn(&str) -> bool| -> Result<(), StoreError> {
        for entry in entries(folder)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_ours(&name) && !durable::is_temporary(&name) {
                let path = entry.path();
                found.push(path.strip_prefix(layout.root()).unwrap_or(&path).to_string_lossy().into_owned());
            }
        }
        Ok(())
    };
    look(layout.root(), &layout::is_in_root)?;
    look(&layout.events(), &|name| is_month(name) || layout.log().ends_with(name))?;
    look(&layout.log(), &in_log)?;
    for month in entries(&layout.events())?.into_iter().filter(|entry| is_folder(entry, "month=")) {
        look(&month.path(), &is_data)?;
    }
    for folder in [layout.archives(), layout.rejects(), layout.forgotten()] {
        look(&folder, &is_data)?;
    }
    Ok(found)
}

/// Whether there are data files or sidecars. Before the first commit there can be none: it comes before all of them.
pub(crate) fn any_run_file(layout: &Layout) -> Result<Option<String>, StoreError> {
    for month in entries(&layout.events())?.into_iter().filter(|entry| is_folder(entry, "month=")) {
        if let Some(name) = parquet_names(&month.path())?.into_iter().next() {
            return Ok(Some(format!("events/{}/{name}", month.file_name().to_string_lossy())));
        }
    }
    for folder in ["archives", "rejects", layout::FORGOTTEN] {
        if let Some(name) = parquet_names(&layout.root().join(folder))?.into_iter().next() {
            return Ok(Some(format!("{folder}/{name}")));
        }
    }
    Ok(None)
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

fn is_folder(entry: &DirEntry, start: &str) -> bool {
    entry.file_name().to_string_lossy().starts_with(start) && entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// Names of the Parquet files in a folder, sorted.
fn parquet_names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let names = entries(folder)?.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name.ends_with(".parquet")).collect())
}

/// Entries of a folder, sorted by name; none where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(Iterator::collect::<Result<Vec<_>, _>>),
    };
    let mut entries = listed.map_err(StoreError::io("list the folder", folder))?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}
