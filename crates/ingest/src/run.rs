//! One ingest run from its paths to its commit, and the books of it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::mem::take;
use std::path::{Path, PathBuf};

use keytrail_model::ledger::{ArchiveStatus, LedgerRow, RecordCounts, ServiceSpan};
use keytrail_model::time;
use keytrail_store::failpoint::{Point, reach};
use keytrail_store::{LedgerWriter, RunCommit, RunInfo, Snapshot, StagedLedger, StagedRejects, Writer};

use crate::archive::{Archive, DecodedArchive, display};
use crate::claims::Settled;
use crate::container::Budget;
use crate::dedupe::{self, Duplicates};
use crate::digest::cannot_be_read;
use crate::discover::{FoundFile, discover};
use crate::early::EarlyFiles;
use crate::error::IngestError;
use crate::options::{IngestOptions, threads};
use crate::plan;
use crate::progress::{Observer, Progress};
use crate::queue::{Decoded, Queue};
use crate::request::{self, SideFiles};
use crate::staging::StagingReader;
use crate::summary::{Notice, Summary};
use crate::tidy;
use crate::write::{self, RowSource, RowsWritten};

/// Ingests the archives under the given paths into the store, which is made if it is not there.
///
/// All or nothing: either one commit holds everything new, or the store is as before. Calls `on_wait` once if another run holds the
/// store. Archives that the store knows are skipped after hashing.
///
/// # Errors
/// A path is missing, or this machine or the store fails. A damaged archive is no error: see [`Summary::notices`].
pub fn ingest(
    paths: &[PathBuf],
    store: &Path,
    options: &IngestOptions,
    on_wait: &mut dyn FnMut(),
) -> Result<Summary, IngestError> {
    ingest_observed(paths, store, options, on_wait, &|_| ())
}

/// The same, and tells an observer how far it is: see [`Progress`].
///
/// # Errors
/// As [`ingest`].
pub fn ingest_observed(
    paths: &[PathBuf],
    store: &Path,
    options: &IngestOptions,
    on_wait: &mut dyn FnMut(),
    observer: &(dyn Fn(Progress) + Sync),
) -> Result<Summary, IngestError> {
    let threads = threads(options.jobs, options.memory_bytes);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let found = discover(paths, store)?;
    let mut writer = Writer::open(store, on_wait)?;
    let mut run = Run { options, summary: Summary::default(), known: HashMap::new(), now: time::now(), observer };
    run.summary.swept = writer.swept().to_vec();
    run.known = writer.snapshot().ledger()?.into_iter().map(|row| (row.archive.clone(), row)).collect();
    let unreadable = found.unreadable.into_iter().map(|(path, error)| (path, cannot_be_read(error)));
    run.refuse(unreadable.collect());
    found.side_files.into_iter().for_each(|(path, words)| run.say(path, "note", words));
    let before = writer.snapshot().version();
    pool.install(|| run.convert(found.files, &mut writer))?;
    if writer.snapshot().version() > before {
        tidy::tell_of_forgotten_months(writer.snapshot(), &mut run.summary);
        if options.compact {
            tidy::compact(&mut writer, before, options.memory_bytes, &mut run.summary);
        }
        tidy::free(&writer, &mut run.summary);
    }
    run.summary.store_version = writer.snapshot().version();
    run.summary.warnings.extend_from_slice(writer.warnings());
    run.summary.notices.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(run.summary)
}

/// The state of a run.
struct Run<'a> {
    options: &'a IngestOptions,
    summary: Summary,
    /// Latest ledger row of each archive that the store has seen.
    known: HashMap<String, LedgerRow>,
    /// The one moment that all rows of this run carry.
    now: i64,
    observer: Observer<'a>,
}

impl Run<'_> {
    fn refuse(&mut self, unreadable: Vec<(PathBuf, String)>) {
        for (path, reason) in unreadable {
            self.summary.archives.failed += 1;
            self.summary.notices.push(Notice { path, kind: "failed", reason, records: RecordCounts::default() });
        }
    }

    /// The archives that this run passes over. One that failed before is known, too, unless this run could come to another end: with
    /// `--salvage`, other limits or another version of keytrail.
    fn settled(&self, snapshot: &Snapshot) -> Settled {
        let limits = serde_json::to_value(&self.options.limits).ok();
        let same_end = |run: &&RunInfo| {
            run.keytrail_version == env!("CARGO_PKG_VERSION") && run.options.get("limits") == limits.as_ref()
        };
        let same_end: HashSet<&str> = snapshot.runs().iter().filter(same_end).map(|run| run.run.as_str()).collect();
        let mut settled = Settled::default();
        for (sha256, row) in &self.known {
            let notice = match row.status {
                ArchiveStatus::Failed if self.options.salvage || !same_end.contains(row.run.as_str()) => continue,
                ArchiveStatus::Failed | ArchiveStatus::Salvaged => {
                    let reason = row.reason.as_deref().unwrap_or("no reason given");
                    Some(format!("{} in run {}: {reason}", row.status.as_str(), row.run))
                }
                ArchiveStatus::Stored => None,
            };
            settled.add(sha256.clone(), row.bytes, notice);
        }
        settled
    }

    /// Reads and decodes what is new among the files, and books what is not.
    fn decode(
        &mut self,
        files: Vec<FoundFile>,
        snapshot: &Snapshot,
        staging: &Path,
    ) -> Result<(Decoded, SideFiles), IngestError> {
        let settled = self.settled(snapshot);
        let budget = Budget::of(self.options.memory_bytes, rayon::current_num_threads());
        let stored: Vec<_> = snapshot.files().iter().map(|file| (file.min_time, file.max_time)).collect();
        let (options, observer) = (self.options, self.observer);
        let queue = Queue { staging, options, settled: &settled, observer, budget, stored: &stored };
        let mut found = queue.decode(files)?;
        self.refuse(take(&mut found.unreadable));
        self.summary.archives.known += found.known;
        take(&mut found.notices).into_iter().for_each(|(path, reason)| self.say(path, "known", reason));
        let mut side_files = SideFiles::read(take(&mut found.with_request));
        take(&mut side_files.unreadable).into_iter().for_each(|(path, words)| self.say(path, "note", words));
        Ok((found, side_files))
    }

    /// A notice about an archive of which nothing was decoded.
    fn say(&mut self, path: PathBuf, kind: &'static str, reason: String) {
        self.summary.notices.push(Notice { path, kind, reason, records: RecordCounts::default() });
    }

    /// Rows of archives that this run did not decode but learned a request of; with what they hold, as the earlier run told it. Also
    /// those earlier rows.
    fn late(
        &mut self,
        archives: &[Archive],
        side_files: &SideFiles,
        snapshot: &Snapshot,
    ) -> Result<(Vec<LedgerRow>, Vec<LedgerRow>), IngestError> {
        let decoded: HashSet<&str> = archives.iter().map(|archive| archive.digest.sha256.as_str()).collect();
        let mut rows = side_files.late(&self.known);
        rows.retain(|row| !decoded.contains(row.archive.as_str()));
        let mut earlier = Vec::new();
        if rows.is_empty() {
            return Ok((rows, earlier));
        }
        let mut places: HashMap<String, &mut LedgerRow> =
            rows.iter_mut().map(|row| (row.archive.clone(), row)).collect();
        snapshot.ledger_with_services(&mut |before| {
            if let Some(row) = places.get_mut(&before.archive) {
                row.service_spans.clone_from(&before.service_spans);
                earlier.push(before);
            }
        })?;
        for (row, before) in rows.iter().filter_map(|row| Some((row, self.known.get(&row.archive)?))) {
            for request in row.requests.iter().filter(|request| !before.requests.contains(request)) {
                let words = std::iter::once(request::kept(request));
                let notes = request.notes.iter().map(|note| note.text.clone());
                for reason in words.chain(notes) {
                    let path = PathBuf::from(&row.path);
                    self.summary.notices.push(Notice { path, kind: "note", reason, records: RecordCounts::default() });
                }
            }
        }
        Ok((rows, earlier))
    }

    /// Decodes, removes duplicates, writes, balances and commits.
    fn convert(&mut self, files: Vec<FoundFile>, writer: &mut Writer) -> Result<(), IngestError> {
        let staging = StagingFolder::create(writer.staging_dir())?;
        let staging = staging.0.as_path();
        // Drawn anew for each run: see `Identifier`. It decides nothing that is stored.
        let seed = RandomState::new().hash_one(self.now);
        let (Decoded { archives, decoded, services, memory, early, .. }, side_files) =
            self.decode(files, writer.snapshot(), staging)?;
        let (mut late, earlier) = self.late(&archives, &side_files, writer.snapshot())?;
        if archives.is_empty() && late.is_empty() {
            return Ok(());
        }
        let early = early.unwrap_or_else(|| EarlyFiles::none(archives.len()));
        let reader = StagingReader::open(staging, memory)?;
        early.places().iter().for_each(|place| reader.was_used(*place));
        let memory_bytes = self.options.memory_bytes;
        let retried = self.retried(&archives);
        let duplicates = dedupe::resolve(&decoded, &retried, writer.snapshot(), &reader, staging, seed, memory_bytes)?;
        let files = plan::plan(plan::blocks_of(&archives, &decoded), &duplicates, self.options.row_group_rows);
        let source = RowSource { duplicates: &duplicates, reader: &reader, staging, memory_bytes };
        let of = files.len() as u64;
        (self.observer)(Progress::Writing { done: 0, of });
        let named = archives.iter().map(|archive| archive.digest.sha256.as_str());
        let run = writer.next_run(&mut named.chain(late.iter().map(|row| row.archive.as_str())));
        late.iter_mut().for_each(|row| row.run.clone_from(&run));
        let mut summary = take(&mut self.summary);
        let (files, written, books) = write::write_events(&source, &files, early, || {
            let mut books = BookKeeper::start(&source, archives.len() + late.len(), services.count())?;
            for (index, (archive, decoded)) in archives.iter().zip(&decoded).enumerate() {
                let services = services.take(&archive.digest.sha256);
                let found = (archive, decoded.as_ref(), services);
                let outcome = self.book(index, found, source.duplicates, (&run, &side_files))?;
                summarise(&mut summary, &outcome, decoded);
                books.add(outcome)?;
            }
            books.finish(&source, &decoded, late, (writer.snapshot(), &earlier))
        })?;
        self.summary = summary;
        for (index, archive) in archives.iter().enumerate() {
            books.balance(index, archive, &written)?;
        }
        (self.observer)(Progress::Writing { done: of, of });
        let RunBooks { records, rejects, ledger, .. } = books;
        if ledger.is_empty() {
            return Ok(());
        }
        let options = serde_json::to_value(self.options).map_err(IngestError::Options)?;
        let commit = RunCommit { run, committed_at: self.now, options, records, files, ledger, rejects };
        std::thread::scope(|scope| {
            // What is in memory of very many archives takes a while to be given back, and nobody need wait for it. Without a thread for it, it
            // is given back here.
            let _ = std::thread::Builder::new().spawn_scoped(scope, || drop((archives, decoded, duplicates)));
            writer.commit(commit)
        })?;
        Ok(())
    }

    /// Archives that an earlier run read too, and stored rows of: their indices by SHA-256.
    fn retried<'b>(&self, archives: &'b [Archive]) -> HashMap<&'b str, usize> {
        let has_rows = |sha256: &str| self.known.get(sha256).is_some_and(|row| row.records.stored > 0);
        let numbered = archives.iter().enumerate().map(|(index, archive)| (archive.digest.sha256.as_str(), index));
        numbered.filter(|(sha256, _)| has_rows(sha256)).collect()
    }

    /// The books of one archive: every record read must go somewhere. What writers write is held against them later ([`RunBooks::balance`]).
    fn book(
        &self,
        index: usize,
        (archive, decoded, services): (&Archive, &DecodedArchive, Option<Vec<ServiceSpan>>),
        duplicates: &Duplicates,
        (run, side_files): (&str, &SideFiles),
    ) -> Result<Booked, IngestError> {
        // Counts of three places: the decoder's own, the marks of the duplicate check among the rows staged, the rejects staged.
        let (own, duplicates) = (duplicates.own(index), duplicates.count(index, 0..decoded.accepted));
        let stored = decoded.accepted.saturating_sub(duplicates);
        let counts = RecordCounts { read: decoded.read, stored, duplicates, rejected: decoded.rejected() };
        if !counts.conserved() {
            return Err(not_conserved(archive, counts));
        }
        let before = self.known.get(&archive.digest.sha256);
        let mut row = self.ledger_row(archive, decoded, (counts, own), before, run);
        row.services = services.as_ref().map(|services| services.len() as u64);
        row.service_spans = services;
        let known = before.map(|before| before.requests.as_slice()).unwrap_or_default();
        row.requests = request::merged(known, side_files.of(&row.archive), decoded.times);
        let is_news = before.is_none_or(|before| !same_outcome(before, &row));
        Ok(Booked { row, counts, is_news, path: archive.path.clone() })
    }

    fn ledger_row(
        &self,
        archive: &Archive,
        decoded: &DecodedArchive,
        (counts, found_again): (RecordCounts, u64),
        before: Option<&LedgerRow>,
        run: &str,
    ) -> LedgerRow {
        // An archive that failed and is tried again finds the rows it gave before as duplicates; they are still its rows.
        // What this try, under narrower limits, did not read again, the earlier one did.
        let own_rows = before.map_or(0, |row| row.records.stored);
        let found_again = own_rows.min(found_again);
        let times_before = before.filter(|_| found_again < own_rows).and_then(|row| row.first_time.zip(row.last_time));
        let times = decoded
            .times
            .into_iter()
            .chain(times_before)
            .reduce(|(from, to), (first, last)| (from.min(first), to.max(last)));
        let records = RecordCounts {
            read: counts.read + own_rows - found_again,
            stored: counts.stored + own_rows,
            duplicates: counts.duplicates - found_again,
            rejected: counts.rejected,
        };
        LedgerRow {
            archive: archive.digest.sha256.clone(),
            path: display(&archive.path),
            container: decoded.container.map(|container| container.as_str().to_owned()),
            status: decoded.status(self.options.salvage),
            reason: decoded.faults.first().or(decoded.notes.first()).map(|note| note.text.clone()),
            bytes: archive.digest.bytes,
            json_bytes: decoded.json_bytes,
            members: decoded.members.len() as u64,
            records,
            first_time: times.map(|(first, _)| first),
            last_time: times.map(|(_, last)| last),
            run: run.to_owned(),
            ingested_at: self.now,
            notes: decoded.faults.told.iter().chain(&decoded.notes.told).cloned().collect(),
            requests: Vec::new(),
            services: None,
            service_spans: None,
        }
    }
}

fn summarise(summary: &mut Summary, outcome: &Booked, decoded: &DecodedArchive) {
    match outcome.row.status {
        ArchiveStatus::Failed => summary.archives.failed += 1,
        ArchiveStatus::Stored => summary.archives.new += 1,
        ArchiveStatus::Salvaged => {
            summary.archives.new += 1;
            summary.salvaged += 1;
        }
    }
    summary.records += outcome.counts;
    summary.bytes.archives += outcome.row.bytes;
    summary.bytes.json += outcome.row.json_bytes;
    let mut notice = |kind, reason: &str| {
        let notice = Notice { path: outcome.path.clone(), kind, reason: reason.to_owned(), records: outcome.counts };
        summary.notices.push(notice);
    };
    let kind = if outcome.row.status == ArchiveStatus::Salvaged { "salvaged" } else { "failed" };
    decoded.faults.told.iter().for_each(|fault| notice(kind, &fault.text));
    decoded.notes.told.iter().for_each(|note| notice("note", &note.text));
    let of_requests = outcome.row.requests.iter().flat_map(|request| &request.notes);
    of_requests.for_each(|note| notice("note", &note.text));
    if let (Some(reject), true) = (&decoded.first_reject, decoded.faults.is_empty()) {
        notice("rejects", reject);
    }
}

fn not_conserved(archive: &Archive, counts: RecordCounts) -> IngestError {
    let RecordCounts { read, stored, duplicates, rejected } = counts;
    IngestError::NotConserved { archive: archive.digest.sha256.clone(), read, stored, duplicates, rejected }
}

/// The folder in which a run stages its work; goes with the run, however that ends.
struct StagingFolder(PathBuf);

impl StagingFolder {
    fn create(parent: &Path) -> Result<Self, IngestError> {
        // The parent is empty whenever a writer is opened, so the name is free.
        let folder = parent.join("run");
        std::fs::create_dir(&folder).map_err(IngestError::io("creating", &folder))?;
        let made = Self(folder);
        reach(Point::StagingMade).map_err(IngestError::io("creating", &made.0))?;
        Ok(made)
    }
}

impl Drop for StagingFolder {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        let _ = reach(Point::StagingRemoving).and_then(|()| std::fs::remove_dir_all(&self.0));
    }
}

/// What a run commits beside its data files.
struct RunBooks {
    /// Of each archive, in order, what the run does with its records.
    counts: Vec<RecordCounts>,
    records: RecordCounts,
    rejects: StagedRejects,
    ledger: StagedLedger,
}

/// Writes the books, an archive at a time: of very many, what the ledger says takes more memory than all else.
struct BookKeeper {
    counts: Vec<RecordCounts>,
    records: RecordCounts,
    /// Indices of the archives that the ledger gets a row of.
    news: Vec<usize>,
    ledger: LedgerWriter,
}

impl BookKeeper {
    /// For about so many rows and services of a ledger.
    fn start(source: &RowSource<'_>, rows: usize, services: usize) -> Result<Self, IngestError> {
        let ledger = LedgerWriter::create(&source.staging.join("ledger.parquet"), rows, services)?;
        Ok(Self { counts: Vec::new(), records: RecordCounts::default(), news: Vec::new(), ledger })
    }

    /// Books the next archive.
    fn add(&mut self, outcome: Booked) -> Result<(), IngestError> {
        if outcome.is_news {
            self.news.push(self.counts.len());
            self.records += outcome.counts;
            self.ledger.write(outcome.row)?;
        }
        self.counts.push(outcome.counts);
        Ok(())
    }

    /// Writes the rejects, and the end of the ledger. `late` are rows of archives that the store knows already, and `earlier` what it says
    /// of them.
    fn finish(
        self,
        source: &RowSource<'_>,
        decoded: &[Box<DecodedArchive>],
        late: Vec<LedgerRow>,
        (snapshot, earlier): (&Snapshot, &[LedgerRow]),
    ) -> Result<RunBooks, IngestError> {
        let Self { counts, records, news, mut ledger } = self;
        let news = news.into_iter().filter_map(|index| decoded.get(index));
        let rejects = news.flat_map(|decoded| decoded.rejects.iter().map(|(place, _)| *place));
        let rejects = write::write_rejects(source, rejects, (snapshot, earlier))?;
        late.into_iter().try_for_each(|row| ledger.write(row))?;
        Ok(RunBooks { counts, records, rejects, ledger: ledger.finish()? })
    }
}

impl RunBooks {
    /// Holds the rows that writers wrote of an archive, by their own count, against what its books say.
    fn balance(&self, index: usize, archive: &Archive, written: &RowsWritten) -> Result<(), IngestError> {
        let booked = self.counts.get(index).copied().unwrap_or_default();
        let counts = RecordCounts { stored: written.of(index), ..booked };
        if counts.conserved() { Ok(()) } else { Err(not_conserved(archive, counts)) }
    }
}

/// What became of one archive.
struct Booked {
    row: LedgerRow,
    /// Counts of this run; those of the row include what an earlier try stored.
    counts: RecordCounts,
    /// Whether the ledger does not have this outcome yet.
    is_news: bool,
    path: PathBuf,
}

fn same_outcome(before: &LedgerRow, now: &LedgerRow) -> bool {
    let of = |row: &LedgerRow| (row.status, row.reason.clone(), row.records, row.notes.clone(), row.requests.clone());
    of(before) == of(now)
}
