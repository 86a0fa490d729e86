//! Removing months, never silently: the commit names what went, and a tombstone says of each archive and month how many rows these were
//! and what their digest is.
//!
//! The ledger stays as it is: it is the history of what was read. Rejects stay, too, since they have no time by which they belong to a
//! month; who calls this says so.

use std::collections::BTreeMap;
use std::path::Path;

use keytrail_model::digest::{PlacedRows, RowsDigest};
use keytrail_model::time::Month;

use crate::chain::{CommitRecord, ForgetRecord, SidecarRecord};
use crate::forgotten_file::{self, ForgottenRows};
use crate::parallel::{in_parallel, readers};
use crate::scan::{read_whole, wrong_columns};
use crate::sealed_file::{check_sha256, sha256};
use crate::writer::{Placed, RUN_DIGEST_DIGITS, move_file};
use crate::{DataFile, ForgetInfo, Snapshot, StoreError, Writer, durable, layout};

/// Months that are about to be removed, and all that will be said about them.
#[derive(Debug, Clone)]
pub struct Forgetting {
    before: Month,
    months: Vec<ForgettingMonth>,
    /// Paths of the data files, sorted.
    files: Vec<String>,
    /// By month, then archive.
    rows: Vec<ForgottenRows>,
}

/// A month that is about to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgettingMonth {
    /// `YYYY-MM`.
    pub month: String,
    /// Its data files.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Rows of them.
    pub rows: u64,
    /// Archives that these rows came from.
    pub archives: usize,
}

impl Forgetting {
    /// The months, in their order. None where there is nothing to remove.
    #[must_use]
    pub fn months(&self) -> &[ForgettingMonth] {
        &self.months
    }

    /// Rows in all.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.months.iter().map(|month| month.rows).sum()
    }

    /// Archives that lose rows, each once, sorted: SHA-256 in lower-case hex.
    #[must_use]
    pub fn archives(&self) -> Vec<&str> {
        let mut archives: Vec<_> = self.rows.iter().map(|rows| rows.archive.as_str()).collect();
        archives.sort_unstable();
        archives.dedup();
        archives
    }
}

impl Snapshot {
    /// Looks at the months before `before` that have rows, for [`Writer::forget`]. Reads all their files and checks their SHA-256:
    /// a tombstone must not tell of damaged rows.
    ///
    /// # Errors
    /// A file is missing, changed or unreadable.
    pub fn forgetting(&self, before: Month) -> Result<Forgetting, StoreError> {
        let files = files_before(self, before);
        let mut tallies: BTreeMap<(String, String), RowsDigest> = BTreeMap::new();
        for (file, tally) in files.iter().zip(read_all(self, &files)?) {
            for (archive, digest) in tally {
                *tallies.entry((file.month.clone(), archive)).or_default() += digest;
            }
        }
        let mut months: BTreeMap<String, ForgettingMonth> = BTreeMap::new();
        for file in &files {
            let month = file.month.clone();
            let empty = ForgettingMonth { month: month.clone(), files: 0, bytes: 0, rows: 0, archives: 0 };
            let entry = months.entry(month).or_insert(empty);
            (entry.files, entry.bytes, entry.rows) =
                (entry.files + 1, entry.bytes + file.bytes, entry.rows + file.rows);
        }
        for (month, _) in tallies.keys() {
            if let Some(month) = months.get_mut(month) {
                month.archives += 1;
            }
        }
        let rows = tallies.into_iter().map(|((month, archive), digest)| ForgottenRows { archive, month, digest });
        Ok(Forgetting {
            before,
            months: months.into_values().collect(),
            files: files.iter().map(|file| file.path.clone()).collect(),
            rows: rows.collect(),
        })
    }

    /// The tombstones, oldest first: each removal of months with what it took away. Checks the SHA-256 of their files.
    ///
    /// # Errors
    /// A file is missing, changed or unreadable.
    pub fn forgotten(&self) -> Result<Vec<(&ForgetInfo, Vec<ForgottenRows>)>, StoreError> {
        let read = |forget: &'_ ForgetInfo| {
            let (path, bytes) = self.read_sidecar(&forget.forgotten)?;
            forgotten_file::read(&path, &bytes)
        };
        self.forgets().iter().map(|forget| Ok((forget, read(forget)?))).collect()
    }
}

impl Writer {
    /// Removes months with all their rows, in one commit with a tombstone. The removed files stay on the disk for [`Writer::vacuum`].
    ///
    /// # Errors
    /// There is nothing to remove, the months have changed since they were looked at, or the disk refuses. The last commit then still
    /// stands.
    pub fn forget(
        &mut self,
        forgetting: &Forgetting,
        reason: Option<&str>,
        committed_at: i64,
    ) -> Result<ForgetInfo, StoreError> {
        let placed = self.place_forget(forgetting, reason, committed_at)?;
        self.publish(&placed)?;
        let missing = || StoreError::NotFound { path: self.layout.forgotten() };
        self.snapshot().forgets().last().cloned().ok_or_else(missing)
    }

    /// Writes the tombstone and makes it durable in its place. Nothing counts yet.
    pub(crate) fn place_forget(
        &self,
        forgetting: &Forgetting,
        reason: Option<&str>,
        committed_at: i64,
    ) -> Result<Placed, StoreError> {
        let version = self.snapshot().version() + 1;
        let now = files_before(self.snapshot(), forgetting.before);
        if !now.iter().map(|file| &file.path).eq(&forgetting.files) {
            return Err(StoreError::Conflict { path: self.layout.events(), version: self.snapshot().version() });
        }
        let digest = sha256(forgetting.files.join("\n").as_bytes());
        let name = layout::run_name(version, digest.get(..RUN_DIGEST_DIGITS).unwrap_or(&digest));
        if forgetting.files.is_empty() {
            let expected = format!("rows before {}", forgetting.before);
            return Err(StoreError::Inconsistent { run: name, what: "months".into(), expected, found: "none".into() });
        }
        let staged = self.staging.join("forgotten.parquet");
        let seal = forgotten_file::write(&staged, &forgetting.rows)?;
        let forgotten = SidecarRecord::new(layout::sidecar(layout::FORGOTTEN, &name), &seal);
        durable::create_folder(&self.layout.forgotten())?;
        move_file(&staged, &self.layout.root().join(&forgotten.path))?;
        durable::sync_folder(&self.layout.forgotten())?;
        durable::sync_folder(self.layout.root())?;
        let removes = self.live(&forgetting.files)?;
        let forget = ForgetRecord {
            name,
            committed_at,
            before: forgetting.before.to_string(),
            reason: reason.map(str::to_owned),
            removed: forgetting.files.clone(),
            rows: forgetting.rows(),
            forgotten,
        };
        let record = CommitRecord { forget: Some(forget), ..self.record(&[], &removes) };
        Ok(Placed { version, record, adds: Vec::new(), removes })
    }
}

/// Files of months before a month, sorted by path.
fn files_before(snapshot: &Snapshot, before: Month) -> Vec<&DataFile> {
    let earlier = |file: &&DataFile| Month::parse(&file.month).is_some_and(|month| month < before);
    snapshot.files().iter().filter(earlier).collect()
}

/// Rows of a file by archive.
type Tally = BTreeMap<String, RowsDigest>;

/// The tallies of files, in their order.
fn read_all(snapshot: &Snapshot, files: &[&DataFile]) -> Result<Vec<Tally>, StoreError> {
    let path = |file: &DataFile| snapshot.events_dir().join(&file.path);
    let done = in_parallel(readers(files.len()), files, |file| read(&path(file), file));
    let panicked = |file| Err(StoreError::undecodable(&path(file)));
    done.into_iter().zip(files).map(|(done, file)| done.unwrap_or_else(|| panicked(*file))).collect()
}

fn read(path: &Path, file: &DataFile) -> Result<Tally, StoreError> {
    if let Some(expected) = &file.sha256 {
        check_sha256(path, expected)?;
    }
    let (mut tally, mut rows) = (Tally::new(), 0);
    read_whole(path, file.sha256.is_some(), &mut |batch| -> Result<(), StoreError> {
        let placed = PlacedRows::of(batch).map_err(wrong_columns(path))?;
        for (record, place) in (0..batch.num_rows()).filter_map(|row| placed.row(row)) {
            rows += 1;
            match tally.get_mut(place.archive) {
                Some(digest) => digest.add_row(&record, &place),
                None => tally.entry(place.archive.to_owned()).or_default().add_row(&record, &place),
            }
        }
        Ok(())
    })?;
    if rows != file.rows {
        return Err(StoreError::damaged_file(path, format!("{} rows", file.rows), format!("{rows} rows")));
    }
    Ok(tally)
}
