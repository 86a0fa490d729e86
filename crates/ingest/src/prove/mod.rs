//! The proof that a store holds what its archives hold: they are decoded again and compared with it.
//!
//! Two comparisons, neither of which uses a line of the duplicate check. By month: the records of the store are those of the archives, each
//! as often as in the archive that has it most often. By archive: every row of the store is the record that stands at its place, rejects are
//! the same, and so are the counts of the ledger. Both by sums of SHA-256 that do not depend on order; where sums differ, a second pass
//! names records. What was read before its month was forgotten does not count: its rows are gone, and what is ingested later is held
//! against what is there. `books` holds what the store says, `archive` decodes one again, `watch` looks at what is in it, `name` names what differs, `deal` brings equal records of several archives together,
//! `spans` says which can have equals at all.
//!
//! Of moments that an archive covers which was not given nothing is said about how often a record should be there.
//!
//! Memory: `memory_bytes` for archives and for dealt records, a bit or two for each record that is stored and for each of archives that are
//! read in several ways (more where they are strewn), some hundred bytes for each archive.

mod archive;
mod books;
mod deal;
mod name;
mod spans;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use keytrail_model::digest::{PlacedRows, RowsDigest};
use keytrail_model::schema::ARCHIVE;
use keytrail_model::time::{Month, format_service};
use keytrail_store::{DataFile, Snapshot, read_data_file};
use rayon::prelude::*;

use crate::archive::Worker;
use crate::container::{Budget, Buffers, FreeCores};
use crate::digest::{FileDigest, cannot_be_read};
use crate::discover::discover;
use crate::error::IngestError;
use crate::options::{Limits, threads};
use crate::pages::Buffer;
use crate::progress::{ArchiveProgress, Observer, Progress};
use archive::{Findings, Hands};
use books::{Book, Books};
use deal::{Deal, Dealer, Entry, OF_THE_STORE, most_of_one};
use spans::Spans;
use watch::{Subject, Sums, Watch, digest_of_rejects, merge};

/// Options of a proof.
#[derive(Debug, Clone)]
pub struct ProofOptions {
    /// Threads; all cores where `None`. Fewer where the memory has no room for them, as in [`crate::IngestOptions::jobs`].
    pub jobs: Option<NonZeroUsize>,
    /// Memory to plan with, in bytes.
    pub memory_bytes: u64,
}

/// What a proof found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// Archives that were decoded again.
    pub archives: u64,
    /// Their lengths.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Rows of the store that were compared.
    pub rows: u64,
    /// The store by month.
    pub months: Vec<MonthProof>,
    /// What the store holds and the archives do not, or the other way round.
    pub damages: Vec<String>,
    /// What is odd and does no harm.
    pub notes: Vec<String>,
    /// What could not be compared, with the reason.
    pub unchecked: Vec<String>,
}

/// A month of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthProof {
    /// The month.
    pub month: Month,
    /// Rows of the store that were compared by content.
    pub rows: u64,
    /// [`RowsDigest`] of their records, without places, in hex.
    pub digest: String,
    /// Whether these are all rows of the month.
    pub whole: bool,
}

/// Decodes the archives under the given paths again and compares them with a store.
///
/// Tells an observer how far it is. Files are written to the system's folder for temporary files only.
///
/// # Errors
/// A path is missing, or this machine fails, or a data file or a ledger cannot be read. Differences are no error: see [`Proof::damages`].
pub fn prove(
    paths: &[PathBuf],
    snapshot: &Snapshot,
    options: &ProofOptions,
    observer: &(dyn Fn(Progress) + Sync),
) -> Result<Proof, IngestError> {
    let threads = threads(options.jobs, options.memory_bytes);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let folder = tempfile::Builder::new().prefix("keytrail-verify-").tempdir();
    let folder = folder.map_err(IngestError::io("making a folder in", &std::env::temp_dir()))?;
    let mut work = Work {
        snapshot,
        options,
        observer,
        folder: folder.path().to_path_buf(),
        books: Books::read(snapshot)?,
        proof: Proof::default(),
    };
    pool.install(|| work.find(paths).and_then(|()| work.compare()))?;
    Ok(work.proof)
}

struct Work<'a> {
    snapshot: &'a Snapshot,
    options: &'a ProofOptions,
    observer: Observer<'a>,
    folder: PathBuf,
    books: Books,
    proof: Proof,
}

/// Records of the store by month.
#[derive(Default)]
struct Stored {
    /// Rows of archives that the ledger does not name.
    strangers: u64,
    months: HashMap<Month, RowsDigest>,
}

impl Work<'_> {
    /// Finds the archives of the ledger among the files.
    fn find(&mut self, paths: &[PathBuf]) -> Result<(), IngestError> {
        let found = discover(paths, self.snapshot.root())?;
        let unreadable = found.unreadable.into_iter();
        self.proof.unchecked.extend(unreadable.map(|(path, error)| format!("{}: {error}", path.display())));
        let hashed: Vec<_> = found.files.into_par_iter().map(|file| (FileDigest::of(&file.path), file.path)).collect();
        for (digest, path) in hashed {
            match digest {
                Err(error) => self.proof.unchecked.push(format!("{}: {}", path.display(), cannot_be_read(&error))),
                Ok(digest) => match self.books.number(&digest.sha256) {
                    None => self.proof.notes.push(format!("{}: not in the ledger", path.display())),
                    Some(number) => {
                        if let Some(book) = self.books.books.get_mut(number as usize) {
                            book.path.get_or_insert(path);
                        }
                    }
                },
            }
        }
        let missing = self.books.books.iter().filter(|book| book.path.is_none());
        self.proof.unchecked.extend(missing.map(|book| {
            let span = book.span.map_or_else(
                || "without records".into(),
                |(first, last)| format!("with records of {} to {}", format_service(first), format_service(last)),
            );
            format!("archive {} ({}) was not given, {span}", book.row.archive, book.row.path)
        }));
        let files = self.books.books.iter().filter(|book| book.path.is_some());
        (self.observer)(Progress::Found { archives: files.clone().count() as u64, bytes: bytes_of(files) });
        Ok(())
    }

    fn compare(&mut self) -> Result<(), IngestError> {
        let given = self.books.given();
        let missing = self.books.books.iter().filter(|book| book.path.is_none());
        let unknown = Spans::covered(missing.filter_map(|book| book.span), 1);
        let shared = Spans::covered(self.books.books.iter().filter_map(|book| book.span), 2);
        let (stored, damages, unsettled, sums) = {
            let subject = Subject { books: &self.books, unknown: &unknown, shared: &shared, deal_rows: false };
            let stored = self.read_store(&subject, None)?;
            self.read_rejects()?;
            let deal = Deal::new(&self.folder.join("shared"));
            let (mut sums, findings) = self.read_archives(&subject, &deal, &given)?;
            let Sums { months, dropped, .. } = &mut sums;
            deal.each_group(self.part_bytes(), &|entry| !dropped.contains(&entry.member), &mut |group| {
                if let Some((entry, month)) = group.first().and_then(|entry| Some((entry, Month::of(entry.time)?))) {
                    months.entry(month).or_default().add_times(entry.digest(), most_of_one(group));
                }
                Ok(())
            })?;
            (stored, findings.damages, findings.unsettled, sums)
        };
        self.proof.damages.extend(damages);
        if stored.strangers > 0 {
            let found = format!("found {} rows of others", stored.strangers);
            self.proof.damages.push(format!("events: expected rows of archives in the ledger, {found}"));
        }
        self.proof.archives = (given.len() - unsettled.len()) as u64;
        let of = |number: &u32| self.books.get(*number);
        self.proof.bytes = bytes_of(given.iter().filter(|number| !unsettled.contains_key(*number)).filter_map(of));
        self.proof.records = sums.records;
        let failed: Vec<(i64, i64)> = unsettled.keys().filter_map(|number| self.books.get(*number)?.span).collect();
        self.proof.unchecked.extend(unsettled.values().cloned());
        let differing = self.compare_months(&stored, &sums, &Spans::covered(failed.into_iter(), 1), &unknown);
        let wrong_rows = self.compare_rows(&given, &unsettled);
        if !differing.is_empty() {
            let months = Spans::covered(differing.iter().map(|month| (month.bounds().0, month.bounds().1 - 1)), 1);
            self.name_records(&months, &unknown, &given)?;
        }
        if !wrong_rows.is_empty() {
            self.name_rows(&wrong_rows, &unknown)?;
        }
        Ok(())
    }

    /// Bytes of dealt records that are held at once.
    fn part_bytes(&self) -> usize {
        usize::try_from(self.options.memory_bytes / 2).unwrap_or(usize::MAX)
    }

    /// Reads all rows of the store. With a deal, they are only dealt.
    fn read_store(&self, subject: &Subject<'_>, deal: Option<&Deal>) -> Result<Stored, IngestError> {
        let all = Mutex::new(Stored::default());
        self.snapshot.files().par_iter().try_for_each(|file| -> Result<(), IngestError> {
            let (mut rows, mut sum, mut strangers) = (HashMap::<u32, RowsDigest>::new(), RowsDigest::default(), 0);
            let mut dealer = deal.map(Dealer::new);
            let Some(month) = Month::parse(&file.month) else {
                return Ok(());
            };
            self.read_file(file, subject, &mut rows, (&mut sum, &mut strangers), dealer.as_mut())?;
            dealer.map_or(Ok(()), Dealer::finish)?;
            if deal.is_some() {
                return Ok(());
            }
            for (archive, digest) in rows {
                if let Some(mut rows) = subject.books.rows_of(archive) {
                    merge(&mut rows.stored, [(month, digest)]);
                }
            }
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.strangers += strangers;
            merge(&mut all.months, [(month, sum)]);
            Ok(())
        })?;
        Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn read_file(
        &self,
        file: &DataFile,
        subject: &Subject<'_>,
        rows: &mut HashMap<u32, RowsDigest>,
        (sum, strangers): (&mut RowsDigest, &mut u64),
        mut dealer: Option<&mut Dealer<'_>>,
    ) -> Result<(), IngestError> {
        read_data_file(self.snapshot, file, &mut |batch| -> Result<(), IngestError> {
            let columns = PlacedRows::of(batch)?;
            let mut archive: Option<(&str, Option<u32>)> = None;
            for index in 0..batch.num_rows() {
                let Some((record, place)) = columns.row(index) else {
                    break;
                };
                let number = match archive.filter(|(sha256, _)| *sha256 == place.archive) {
                    Some((_, number)) => number,
                    None => subject.books.number(place.archive),
                };
                archive = Some((place.archive, number));
                let is_compared = !subject.deal_rows && subject.counts(record.time);
                let mut content = RowsDigest::default();
                if is_compared {
                    content.add_record(&record);
                }
                let Some(number) = number else {
                    *strangers += 1;
                    *sum += content;
                    continue;
                };
                let book = subject.books.get(number);
                let is_given = book.is_some_and(|book| book.path.is_some());
                let mut row = RowsDigest::default();
                if is_given && (dealer.is_none() || subject.deal_rows) {
                    row.add_row(&record, &place);
                }
                if let Some(dealer) = dealer.as_deref_mut() {
                    let digest = if subject.deal_rows { row } else { content };
                    if digest.rows() == 1 && subject.shared.contains(record.time) {
                        let (ordinal, time) = (place.ordinal, record.time);
                        dealer.deal(Entry {
                            hash: digest.limbs(),
                            owner: OF_THE_STORE,
                            member: OF_THE_STORE,
                            ordinal,
                            time,
                            archive: number,
                            count: 1,
                        })?;
                    }
                    continue;
                }
                *sum += content;
                if is_given {
                    *rows.entry(number).or_default() += row;
                    if let Some(mut rows) = subject.books.rows_of(number) {
                        rows.put(place.member, place.ordinal, book.map_or(0, |book| book.read_max));
                    }
                }
            }
            Ok(())
        })
    }

    /// Notes the digest of the rejects that the store holds of each archive, from its last try.
    fn read_rejects(&self) -> Result<(), IngestError> {
        for run in self.snapshot.runs().iter().filter(|run| run.rejects.rows > 0) {
            let last = self.books.last_of(&run.run);
            self.snapshot.read_rejects(run, &mut |batch| -> Result<(), IngestError> {
                use arrow::array::AsArray as _;
                let archives = batch.column_by_name(ARCHIVE).and_then(|archives| archives.as_string_opt::<i32>());
                for (index, archive) in archives.into_iter().flatten().enumerate() {
                    let number =
                        archive.filter(|archive| last.contains(archive)).and_then(|name| self.books.number(name));
                    if let Some(mut rows) = number.and_then(|number| self.books.rows_of(number)) {
                        let one = digest_of_rejects(&batch.slice(index, 1));
                        rows.rejects += one;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Decodes archives on all threads.
    fn read_archives(
        &self,
        subject: &Subject<'_>,
        deal: &Deal,
        archives: &[u32],
    ) -> Result<(Sums, Findings), IngestError> {
        let mut order: Vec<u32> = archives.to_vec();
        order.sort_by_key(|number| std::cmp::Reverse(self.books.get(*number).map_or(0, |book| book.row.bytes)));
        let (next, cores) = (AtomicUsize::new(0), Arc::new(FreeCores::default()));
        let threads = u32::try_from(rayon::current_num_threads()).unwrap_or(1);
        let budget = Budget::of(self.options.memory_bytes, rayon::current_num_threads());
        let done = rayon::broadcast(|context| -> Result<(Sums, Findings), IngestError> {
            let number = u32::try_from(context.index()).unwrap_or_default();
            let watch = Watch::new(subject, Dealer::new(deal), number, threads);
            let mut hands = Hands {
                file: Buffer::default(),
                buffers: Buffers::new(budget, Arc::clone(&cores)),
                worker: Worker::new(watch, Limits::default(), false),
            };
            let mut findings = Findings::default();
            while let Some(&archive) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some(book) = self.books.get(archive) {
                    let progress = ArchiveProgress::new(self.observer, book.row.bytes);
                    hands.read(archive, book, &progress, subject, &mut findings)?;
                    progress.done();
                }
            }
            cores.add();
            Ok((hands.worker.into_staging().finish()?, findings))
        });
        let (mut sums, mut findings) = (Sums::default(), Findings::default());
        for done in done {
            let (of_thread, found) = done?;
            merge(&mut sums.months, of_thread.months);
            sums.records += of_thread.records;
            sums.dropped.extend(of_thread.dropped);
            findings.damages.extend(found.damages);
            findings.unsettled.extend(found.unsettled);
        }
        findings.damages.sort_unstable();
        Ok((sums, findings))
    }

    /// Compares the months; those that differ.
    fn compare_months(&mut self, stored: &Stored, sums: &Sums, failed: &Spans, unknown: &Spans) -> Vec<Month> {
        let months: BTreeMap<Month, ()> =
            stored.months.keys().chain(sums.months.keys()).map(|month| (*month, ())).collect();
        let mut forgotten: Vec<_> = self.books.forgotten.months().collect();
        forgotten.sort_unstable();
        self.proof.notes.extend(forgotten.into_iter().map(|(month, version)| {
            format!("month {month} was forgotten by version {version}: compared with what was ingested since")
        }));
        let mut differing = Vec::new();
        for month in months.into_keys() {
            let [expected, found] =
                [&sums.months, &stored.months].map(|of| of.get(&month).copied().unwrap_or_default());
            if failed.touches(month.bounds()) {
                self.proof
                    .unchecked
                    .push(format!("records of month {month}, since an archive of it could not be read"));
                continue;
            }
            let whole = !unknown.touches(month.bounds());
            self.proof.rows += found.rows();
            self.proof.months.push(MonthProof { month, rows: found.rows(), digest: found.to_string(), whole });
            if expected != found {
                let (expected_rows, found_rows) = (expected.rows(), found.rows());
                self.proof.damages.push(format!(
                    "month {month}: expected {expected_rows} records of the archives (digest {expected}), found {found_rows} rows \
                     ({found})"
                ));
                differing.push(month);
            }
        }
        differing
    }

    /// Compares rows with the records at their places; archives that differ.
    fn compare_rows(&mut self, given: &[u32], unsettled: &HashMap<u32, String>) -> Vec<u32> {
        let mut differing = Vec::new();
        for &number in given.iter().filter(|number| !unsettled.contains_key(*number)) {
            if let Some(rows) = self.books.rows_of(number)
                && rows.stored != rows.found
            {
                differing.push(number);
            }
        }
        differing
    }
}

/// Lengths of archives, as the ledger has them; it may be forged.
fn bytes_of<'a>(books: impl Iterator<Item = &'a Book>) -> u64 {
    books.fold(0, |sum, book| sum.saturating_add(book.row.bytes))
}

#[cfg(test)]
mod tests;
