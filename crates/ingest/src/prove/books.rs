//! What the store says of each archive: its ledger rows, how it was read, and where its rows stand.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use keytrail_model::digest::RowsDigest;
use keytrail_model::ledger::LedgerRow;
use keytrail_model::places::{MemberPlaces, PlaceSet};
use keytrail_model::time::Month;
use keytrail_store::{RunInfo, Snapshot};

use crate::error::IngestError;
use crate::options::Limits;

/// An archive of the ledger.
pub(super) struct Book {
    /// Its latest row.
    pub(super) row: LedgerRow,
    /// How it was read: each way once, the last one last.
    pub(super) tries: Vec<Try>,
    /// Earliest and latest time of its records, over all tries.
    pub(super) span: Option<(i64, i64)>,
    /// The file that was given for it.
    pub(super) path: Option<PathBuf>,
    /// Whether it was tried more than once, so that the counts of its row are those of several.
    pub(super) was_tried_again: bool,
    /// Records read, the most of all tries.
    pub(super) read_max: u64,
    pub(super) rows: Mutex<Rows>,
}

/// How a run read its archives, and the version of the store that it made.
#[derive(Debug, Clone)]
pub(super) struct Try {
    pub(super) salvage: bool,
    pub(super) limits: Limits,
    pub(super) version: u64,
}

/// Months whose rows were removed by a commit that says so, with the version of the last one that did.
#[derive(Debug, Default)]
pub(super) struct Forgotten(HashMap<Month, u64>);

impl Forgotten {
    /// A removal takes the months that have rows; any other month before its border is as it was.
    fn read(snapshot: &Snapshot) -> Result<Self, IngestError> {
        let mut all = Self::default();
        for (forget, rows) in snapshot.forgotten()? {
            all.0.extend(rows.iter().filter_map(|rows| Some((Month::parse(&rows.month)?, forget.version))));
        }
        Ok(all)
    }

    /// Whether what a version of the store had of a month was removed later.
    pub(super) fn has_removed(&self, month: Month, version: u64) -> bool {
        self.0.get(&month).is_some_and(|removed| version < *removed)
    }

    pub(super) fn months(&self) -> impl Iterator<Item = (Month, u64)> {
        self.0.iter().map(|(month, version)| (*month, *version))
    }
}

/// Rows of an archive in the store.
#[derive(Default)]
pub(super) struct Rows {
    /// By member: the ordinals that are stored.
    places: MemberPlaces,
    /// By month.
    pub(super) stored: HashMap<Month, RowsDigest>,
    /// The same of the records that stand at these places in the archive.
    pub(super) found: HashMap<Month, RowsDigest>,
    /// Digest of its rejects, by places and bytes.
    pub(super) rejects: RowsDigest,
}

impl Rows {
    /// Notes a place. One that the ledger rules out (`limit` records were read) is left out: no record stands there.
    pub(super) fn put(&mut self, member: &str, ordinal: i64, limit: u64) {
        self.places.put(member, ordinal, limit);
    }

    /// The places of a member.
    pub(super) fn of(&self, member: &str) -> Option<&PlaceSet> {
        self.places.of(member)
    }
}

/// All archives of the ledger, by number.
pub(super) struct Books {
    pub(super) numbers: HashMap<String, u32>,
    pub(super) books: Vec<Book>,
    pub(super) forgotten: Forgotten,
}

impl Books {
    /// Reads all that the ledger ever said.
    pub(super) fn read(snapshot: &Snapshot) -> Result<Self, IngestError> {
        let mut all = Self { numbers: HashMap::new(), books: Vec::new(), forgotten: Forgotten::read(snapshot)? };
        for run in snapshot.runs() {
            for row in snapshot.ledger_of(run)? {
                all.add(row, try_of(run));
            }
        }
        Ok(all)
    }

    fn add(&mut self, row: LedgerRow, try_: Try) {
        let number = self.numbers.get(&row.archive).and_then(|&number| self.books.get_mut(number as usize));
        let span = row.first_time.zip(row.last_time);
        let Some(book) = number else {
            self.numbers.insert(row.archive.clone(), u32::try_from(self.books.len()).unwrap_or(u32::MAX));
            let tries = vec![try_];
            let rows = Mutex::default();
            let read_max = row.records.read;
            self.books.push(Book { row, tries, span, path: None, was_tried_again: false, read_max, rows });
            return;
        };
        book.span = match (book.span, span) {
            (Some((from, to)), Some((first, last))) => Some((from.min(first), to.max(last))),
            (one, other) => one.or(other),
        };
        book.read_max = book.read_max.max(row.records.read);
        let was_read = row.ingested_at != book.row.ingested_at;
        book.row = row;
        if !was_read {
            // A request that was learned later: the archive was not read again.
            return;
        }
        book.was_tried_again = true;
        book.tries.retain(|earlier| (earlier.salvage, &earlier.limits) != (try_.salvage, &try_.limits));
        book.tries.push(try_);
    }

    pub(super) fn get(&self, number: u32) -> Option<&Book> {
        self.books.get(number as usize)
    }

    pub(super) fn number(&self, archive: &str) -> Option<u32> {
        self.numbers.get(archive).copied()
    }

    /// Archives with a file.
    pub(super) fn given(&self) -> Vec<u32> {
        (0..).zip(&self.books).filter(|(_, book)| book.path.is_some()).map(|(number, _)| number).collect()
    }

    pub(super) fn rows_of(&self, number: u32) -> Option<std::sync::MutexGuard<'_, Rows>> {
        self.get(number).map(|book| book.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Archives whose rejects a run wrote last.
    pub(super) fn last_of(&self, run: &str) -> HashSet<&str> {
        self.books.iter().filter(|book| book.row.run == run).map(|book| book.row.archive.as_str()).collect()
    }
}

fn try_of(run: &RunInfo) -> Try {
    let limits = run.options.get("limits").cloned().unwrap_or_default();
    Try {
        salvage: run.options.get("salvage").and_then(serde_json::Value::as_bool).unwrap_or_default(),
        limits: serde_json::from_value(limits).unwrap_or_default(),
        version: run.version,
    }
}
