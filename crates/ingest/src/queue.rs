//! The archives of a run on their way through its threads: read, hashed, claimed, decoded.
//!
//! Large files come first, so that no thread is left with one while the others have nothing; where rows are written while others are
//! still decoded, files come in the order of time. Each thread keeps its buffers, its decoder and its staging file from archive to archive.
//! What comes out is in an order that does not depend on threads.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use rayon::prelude::*;

use crate::ahead::{ReadAhead, ask_for, ask_for_start};
use crate::archive::{Archive, DecodedArchive, Worker, order_key};
use crate::claims::{ArchiveId, Claim, Claims, Naming, Settled};
use crate::container::{ArchiveFile, Budget, Buffers, Container, FreeCores, Source};
use crate::digest::{CHANGED, FileDigest, FileRead, Stamp, cannot_be_read};
use crate::discover::FoundFile;
use crate::early::{EarlyFiles, EarlyWriter, HEAD_BYTES, first_time, takes_no_longer};
use crate::error::IngestError;
use crate::options::{IngestOptions, WriteEarly, cores};
use crate::pages::Buffer;
use crate::progress::{ArchiveProgress, Observer, Progress};
use crate::request::side_file_of;
use crate::services::RunServices;
use crate::staging::{MemoryRoom, StagingWriter};
use crate::told::RunTold;
use crate::write::{LITTLE_MEMORY, finish_files, joined, start};

/// Staging files open at once, about: systems allow a process 1024 files and fewer.
const STAGING_FILES: usize = 256;
/// Mean length of files from which on it pays to look at each of them before: that takes some 30 microseconds.
const MEAN_BYTES_MIN: u64 = 256 << 10;
/// What a thread holds beside an archive while it decodes it, usually.
const PART_BYTES: u64 = 24 << 20;

/// What became of the files of a run.
#[derive(Default)]
pub(crate) struct Decoded {
    /// Archives in their final order: by first time, then by hash, those without records last.
    pub(crate) archives: Vec<Archive>,
    /// What was found in each of them.
    #[expect(clippy::vec_box, reason = "of a hundred thousand archives a copy side by side would take 30 MB more")]
    pub(crate) decoded: Vec<Box<DecodedArchive>>,
    /// Files that are equal to another, or that the store has.
    pub(crate) known: u64,
    /// What to tell about known ones.
    pub(crate) notices: Vec<(PathBuf, String)>,
    /// Files that could not be read, with the reason.
    pub(crate) unreadable: Vec<(PathBuf, String)>,
    /// Archives, new or known, that have a side file with their request; with the hash of each.
    pub(crate) with_request: Vec<(PathBuf, String)>,
    /// Services of the archives.
    pub(crate) services: RunServices,
    /// What was staged in memory.
    pub(crate) memory: Arc<MemoryRoom>,
    /// Files that are written already; `None` where there are none.
    pub(crate) early: Option<EarlyFiles>,
}

/// What all threads share.
pub(crate) struct Queue<'a> {
    pub(crate) staging: &'a Path,
    pub(crate) options: &'a IngestOptions,
    pub(crate) settled: &'a Settled,
    pub(crate) observer: Observer<'a>,
    /// How much each thread may hold.
    pub(crate) budget: Budget,
    /// Spans of time of the store's files.
    pub(crate) stored: &'a [(i64, i64)],
}

/// What all archives of the run share a budget for.
#[derive(Default)]
struct OfRun {
    services: RunServices,
    told: RunTold,
}

impl OfRun {
    /// Takes what has to keep to a budget out of an archive.
    fn keep(&self, sha256: &str, found: &mut DecodedArchive) {
        if let Some(spans) = found.services.take() {
            self.services.keep(sha256, spans);
        }
        self.told.keep(sha256, [&mut found.faults, &mut found.notes].map(std::mem::take));
    }

    /// Puts back what was told of it.
    fn give_back(&self, sha256: &str, found: &mut DecodedArchive) {
        [found.faults, found.notes] = self.told.take(sha256);
        found.faults.finish("faults");
        found.notes.finish("notes");
    }
}

/// What the threads of a run share.
struct Shared<'a> {
    claims: Claims<'a>,
    of_run: OfRun,
    ahead: ReadAhead,
    /// Those that stage something are numbered without gaps, whichever threads get work.
    workers: AtomicU32,
    /// Cores without a thread, and those whose threads have nothing left to take: they help with large archives.
    cores: Arc<FreeCores>,
    /// For what they stage in memory.
    room: Arc<MemoryRoom>,
}

impl Shared<'_> {
    /// Asks for files whose turn comes soon after a job's own, where that is of use.
    fn ask_ahead(&self, job: &Job, jobs: &[Job]) {
        let behind = jobs.get(job.number + 1..).unwrap_or_default();
        let wanted = self.ahead.wanted(job.number, behind.iter().map(|job| job.bytes));
        jobs.get(wanted).unwrap_or_default().iter().for_each(|job| ask_for(&job.path));
    }
}

/// Files that the threads of a run take in turn.
struct Turns<'a, 'e> {
    jobs: &'a [Job],
    early: Option<&'a EarlyWriter<'e>>,
    /// Number of the next file.
    next: AtomicUsize,
    /// Whether the others need not go on.
    is_over: AtomicBool,
}

/// A file to look at.
#[derive(Clone)]
struct Job {
    /// Place in the order in which files are taken.
    number: usize,
    /// Place in the order of discovery.
    position: usize,
    path: PathBuf,
    /// Length when the run began; 0 where it could not be told.
    bytes: u64,
    /// When its first record is thought to be, in microseconds; the least number where that is not known.
    begin: i64,
    /// Whether no other file of the run is as long.
    is_unlike_others: bool,
    /// Whether a side file with its request lies beside it.
    has_request: bool,
}

/// What became of a file.
enum Outcome {
    Decoded(Archive, Box<DecodedArchive>),
    /// The store has it: its hash, and what to tell about it.
    Known(String, Option<String>),
    /// Equal to a file that was found earlier: its hash.
    Repeated(String),
    Unreadable(String),
}

impl Outcome {
    /// What was decoded.
    fn found(&self) -> Option<(&Archive, &DecodedArchive)> {
        match self {
            Self::Decoded(archive, found) if !found.is_unsettled => Some((archive, found)),
            _ => None,
        }
    }
}

impl Queue<'_> {
    /// Decodes the files, given in the order of discovery, on the threads of the current pool.
    ///
    /// # Errors
    /// This machine fails. A file that cannot be read is no error.
    pub(crate) fn decode(&self, files: Vec<FoundFile>) -> Result<Decoded, IngestError> {
        let mut jobs = jobs(files);
        let bytes = bytes_of(&jobs);
        (self.observer)(Progress::Found { archives: jobs.len() as u64, bytes });
        let room = self.room(&jobs, 0);
        let has_room = room.holds_all(bytes);
        if let Some(in_time) = self.in_order_of_time(&jobs, has_room) {
            if let Some(decoded) = self.decode_early(&in_time)? {
                return Ok(decoded);
            }
            // Begun anew, as if nothing had been.
            clear(self.staging)?;
            (self.observer)(Progress::Found { archives: jobs.len() as u64, bytes });
        }
        let room = if has_room { room } else { MemoryRoom::default() };
        number(&mut jobs);
        Ok(self.decode_jobs(&jobs, &Arc::new(room), None)?.unwrap_or_default())
    }

    /// The room that staged blocks have in memory, beside what else is there at the same time.
    fn room(&self, jobs: &[Job], beside: u64) -> MemoryRoom {
        MemoryRoom::of(self.options.memory_bytes, rayon::current_num_threads(), jobs.len(), beside)
    }

    /// The files in the order of time, where rows may be settled early and it pays to write them then.
    fn in_order_of_time(&self, jobs: &[Job], has_room: bool) -> Option<Vec<Job>> {
        let bytes = bytes_of(jobs);
        let pays =
            !has_room && self.options.memory_bytes >= LITTLE_MEMORY && bytes / MEAN_BYTES_MIN >= jobs.len() as u64;
        let wanted = match self.options.write_early {
            WriteEarly::WhereItPays => pays,
            WriteEarly::Always => true,
            WriteEarly::Never => false,
        };
        if !wanted || jobs.len() < 2 {
            return None;
        }
        let mut jobs = jobs.to_vec();
        // All at once: a disk finds many places as fast as one.
        jobs.iter().for_each(|job| ask_for_start(&job.path, HEAD_BYTES));
        jobs.par_iter_mut().for_each(|job| job.begin = first_time(&job.path).unwrap_or(i64::MIN));
        jobs.sort_by_key(|job| (job.begin, job.position));
        number(&mut jobs);
        let bytes: Vec<u64> = jobs.iter().map(|job| job.bytes).collect();
        let is_as_fast = takes_no_longer(&bytes, rayon::current_num_threads());
        (is_as_fast || self.options.write_early == WriteEarly::Always).then_some(jobs)
    }

    /// Decodes files in the order of time, and writes row groups when they are settled. `None` where they were not.
    fn decode_early(&self, jobs: &[Job]) -> Result<Option<Decoded>, IngestError> {
        // Each thread holds an archive, and a part of a member, while a row group is being written.
        let largest = jobs.iter().map(|job| job.bytes).max().unwrap_or_default();
        let held = largest.saturating_add(PART_BYTES).min(self.budget.bytes as u64);
        let room = Arc::new(self.room(jobs, held.saturating_mul(rayon::current_num_threads() as u64)));
        let (to_disk, written) = channel();
        let files = jobs.iter().map(|job| (job.begin, job.bytes));
        let staging = (self.staging, Arc::clone(&room));
        let early = EarlyWriter::new(staging, self.options, self.stored, files, to_disk);
        let (decoded, early, files) = std::thread::scope(|scope| {
            let finisher = start(scope, self.staging, "finish", move || finish_files(&written))?;
            let decoded = self.decode_jobs(jobs, &room, Some(&early));
            let early = early.into_written();
            let files = joined(self.staging, finisher);
            // Where both failed, decoding was told that the other had.
            files.and_then(|files| Ok((decoded?, early, files)))
        })?;
        Ok(decoded.and_then(|decoded| {
            let early = early.confirm(&decoded.archives, &decoded.decoded, self.stored, files)?;
            Some(Decoded { early: Some(early), ..decoded })
        }))
    }

    /// Decodes files in the order given. `None` where rows were written early before which others have to stand.
    fn decode_jobs(
        &self,
        jobs: &[Job],
        room: &Arc<MemoryRoom>,
        early: Option<&EarlyWriter<'_>>,
    ) -> Result<Option<Decoded>, IngestError> {
        let shared = Shared {
            claims: Claims::new(self.settled),
            of_run: OfRun::default(),
            ahead: ReadAhead::default(),
            workers: AtomicU32::new(0),
            cores: Arc::new(FreeCores::new(cores(self.options.jobs).saturating_sub(rayon::current_num_threads()))),
            room: Arc::clone(room),
        };
        let turns = Turns { jobs, early, next: AtomicUsize::new(0), is_over: AtomicBool::new(false) };
        let outcomes = rayon::broadcast(|_| {
            let outcomes = self.take_turns(&turns, &shared);
            turns.is_over.fetch_or(outcomes.is_err(), Ordering::Relaxed);
            shared.cores.add();
            outcomes
        });
        let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, IngestError>>()?;
        if early.is_some_and(EarlyWriter::is_wrong) {
            return Ok(None);
        }
        let mut outcomes: Vec<(&Job, Outcome)> = outcomes.into_iter().flatten().collect();
        outcomes.par_sort_unstable_by_key(|(job, _)| job.position);
        self.decode_left_behind(&mut outcomes, &shared)?;
        Ok(Some(Decoded { memory: shared.room, ..collect(outcomes, shared.of_run) }))
    }

    /// What one thread does: as long as files are left it takes one, and writes what is settled between them.
    fn take_turns<'a>(
        &self,
        turns: &Turns<'a, '_>,
        shared: &Shared<'_>,
    ) -> Result<Vec<(&'a Job, Outcome)>, IngestError> {
        let Turns { jobs, early, next, is_over } = turns;
        let mut outcomes = Vec::new();
        let mut hands = None;
        while !is_over.load(Ordering::Relaxed) {
            let is_left = next.load(Ordering::Relaxed) < jobs.len();
            if early.map_or(Ok(false), |early| early.write_next(is_left))? {
                continue;
            }
            let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            shared.ask_ahead(job, jobs);
            let outcome = self.outcome(job, shared, &mut hands)?;
            if let Some(early) = early {
                early.done((job.begin, job.number), outcome.found());
                is_over.fetch_or(early.is_wrong(), Ordering::Relaxed);
            }
            outcomes.push((job, outcome));
        }
        Ok(outcomes)
    }

    /// An equal file was left to another one, which then could not be read: its turn comes now, on one of the cores that have nothing left.
    fn decode_left_behind(&self, outcomes: &mut [(&Job, Outcome)], shared: &Shared<'_>) -> Result<(), IngestError> {
        let mut hands = None;
        shared.cores.take();
        loop {
            let again = left_behind(outcomes);
            if again.is_empty() {
                return Ok(());
            }
            for (sha256, index) in again {
                let Some((job, outcome)) = outcomes.get_mut(index) else {
                    continue;
                };
                shared.claims.give_back(&sha256);
                *outcome = self.outcome(job, shared, &mut hands)?;
            }
        }
    }

    fn outcome(&self, job: &Job, shared: &Shared<'_>, hands: &mut Option<Hands>) -> Result<Outcome, IngestError> {
        let hands = match hands {
            Some(hands) => hands,
            none => {
                let worker = shared.workers.fetch_add(1, Ordering::Relaxed);
                none.insert(Hands::new(self, worker, shared)?)
            }
        };
        let progress = ArchiveProgress::new(self.observer, job.bytes);
        let mut outcome = hands.outcome(job, shared, self.settled, &progress);
        progress.done();
        match &mut outcome {
            Ok(Outcome::Decoded(archive, found)) if !found.is_unsettled => {
                shared.of_run.keep(&archive.digest.sha256, found);
            }
            _ => {}
        }
        outcome
    }
}

/// Their lengths in all; sparse files can claim any.
fn bytes_of(jobs: &[Job]) -> u64 {
    jobs.iter().fold(0, |bytes, job| bytes.saturating_add(job.bytes))
}

/// The files, largest first; equal lengths in the order of discovery, so that of equal files the first one is nearly always decoded first.
fn jobs(files: Vec<FoundFile>) -> Vec<Job> {
    let found = files.into_par_iter().enumerate().map(|(position, FoundFile { path, has_side_file })| {
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let has_request = has_side_file.unwrap_or_else(|| side_file_of(&path).is_file());
        Job { number: 0, position, path, bytes, begin: i64::MIN, is_unlike_others: true, has_request }
    });
    let mut jobs: Vec<Job> = found.collect();
    jobs.sort_by_key(|job| (Reverse(job.bytes), job.position));
    for alike in jobs.chunk_by_mut(|one, other| one.bytes == other.bytes).filter(|alike| alike.len() > 1) {
        alike.iter_mut().for_each(|job| job.is_unlike_others = false);
    }
    jobs
}

/// Tells the files their turn.
fn number(jobs: &mut [Job]) {
    jobs.iter_mut().enumerate().for_each(|(number, job)| job.number = number);
}

/// Empties the staging area.
fn clear(staging: &Path) -> Result<(), IngestError> {
    let clear = || std::fs::remove_dir_all(staging).and_then(|()| std::fs::create_dir(staging));
    clear().map_err(IngestError::io("clearing", staging))
}

/// Contents that could not be read where they were tried, each with the first file that was taken for a copy and not decoded: its place
/// among the outcomes.
fn left_behind(outcomes: &[(&Job, Outcome)]) -> Vec<(String, usize)> {
    let repeated = || {
        outcomes.iter().enumerate().filter_map(|(index, (_, outcome))| match outcome {
            Outcome::Repeated(sha256) => Some((index, sha256)),
            _ => None,
        })
    };
    let mut is_read: HashMap<&str, bool> = repeated().map(|(_, sha256)| (sha256.as_str(), false)).collect();
    if is_read.is_empty() {
        return Vec::new();
    }
    for (_, outcome) in outcomes {
        if let Outcome::Decoded(archive, found) = outcome
            && let Some(is_read) = is_read.get_mut(archive.digest.sha256.as_str())
        {
            *is_read |= !found.is_unsettled;
        }
    }
    // Of each content one file only.
    let first_unread = |(index, sha256): (usize, &String)| {
        (is_read.remove(sha256.as_str()) == Some(false)).then(|| (sha256.clone(), index))
    };
    repeated().filter_map(first_unread).collect()
}

fn collect(outcomes: Vec<(&Job, Outcome)>, of_run: OfRun) -> Decoded {
    let mut all = Decoded::default();
    let mut decoded = Vec::with_capacity(outcomes.len());
    for (job, outcome) in outcomes {
        let sha256 = match &outcome {
            Outcome::Decoded(archive, _) => Some(&archive.digest.sha256),
            Outcome::Known(sha256, _) | Outcome::Repeated(sha256) => Some(sha256),
            Outcome::Unreadable(_) => None,
        };
        if let Some(sha256) = sha256.filter(|_| job.has_request) {
            all.with_request.push((job.path.clone(), sha256.clone()));
        }
        match outcome {
            Outcome::Decoded(_, found) if found.is_unsettled => {
                let reason = found.faults.first().map(|fault| fault.text.clone());
                all.unreadable.push((job.path.clone(), reason.unwrap_or_default()));
            }
            Outcome::Decoded(archive, found) => decoded.push((job.position, archive, found)),
            Outcome::Repeated(_) => all.known += 1,
            Outcome::Known(_, notice) => {
                all.known += 1;
                all.notices.extend(notice.map(|notice| (job.path.clone(), notice)));
            }
            Outcome::Unreadable(reason) => all.unreadable.push((job.path.clone(), reason)),
        }
    }
    decoded.par_sort_unstable_by(|(position, archive, found), (other_position, other_archive, other_found)| {
        let by_content = order_key(found.times, &archive.digest.sha256)
            .cmp(&order_key(other_found.times, &other_archive.digest.sha256));
        by_content.then(position.cmp(other_position))
    });
    // Decoded, and so was an equal file that was found earlier: what was staged is not referred to.
    let before = decoded.len();
    decoded.dedup_by(|(_, later, _), (_, earlier, _)| later.digest.sha256 == earlier.digest.sha256);
    all.known += (before - decoded.len()) as u64;
    for (_, archive, found) in &mut decoded {
        of_run.give_back(&archive.digest.sha256, found);
    }
    all.services = of_run.services;
    (all.archives, all.decoded) = decoded.into_iter().map(|(_, archive, found)| (archive, found)).unzip();
    all
}

/// What a thread works with.
struct Hands {
    file: Buffer,
    buffers: Buffers,
    worker: Worker,
}

impl Hands {
    fn new(queue: &Queue<'_>, worker: u32, shared: &Shared<'_>) -> Result<Self, IngestError> {
        let month_files = STAGING_FILES / rayon::current_num_threads();
        let staging = StagingWriter::create(queue.staging, worker, month_files, Arc::clone(&shared.room))?;
        let worker = Worker::new(staging, queue.options.limits.clone(), queue.options.salvage);
        let buffers = Buffers::new(queue.budget, Arc::clone(&shared.cores));
        Ok(Self { file: Buffer::default(), buffers, worker })
    }

    fn outcome(
        &mut self,
        job: &Job,
        Shared { claims, ahead, .. }: &Shared<'_>,
        settled: &Settled,
        progress: &ArchiveProgress<'_>,
    ) -> Result<Outcome, IngestError> {
        match FileDigest::read(&job.path, &mut self.file, self.buffers.budget().bytes) {
            Ok(FileRead::Read(digest, slow)) => {
                if slow {
                    ahead.was_slow(job.number);
                }
                self.decode_read(job, digest, claims)
            }
            Ok(FileRead::Changed) => Ok(Outcome::Unreadable(CHANGED.into())),
            Ok(FileRead::TooLarge) => {
                self.file.release();
                self.buffers.begin(0);
                let is_large = job.bytes >= self.buffers.budget().large_bytes;
                if is_large && job.is_unlike_others && !settled.has_length(job.bytes) {
                    self.decode_while_hashing(job, claims, progress)
                } else {
                    self.decode_hashed(job, claims, progress)
                }
            }
            Err(error) => Ok(unreadable(&error)),
        }
    }

    /// A file that was read into memory.
    fn decode_read(&mut self, job: &Job, digest: FileDigest, claims: &Claims<'_>) -> Result<Outcome, IngestError> {
        match claims.claim(&digest.sha256, job.position) {
            Claim::Granted => {}
            refused => return Ok(known(digest, refused)),
        }
        self.buffers.begin(self.file.held());
        let bytes = usize::try_from(digest.bytes).unwrap_or_default();
        let (source, id) = (Source::Memory(self.file.filled(bytes)), ArchiveId::of(&digest.sha256));
        let decoded = self.worker.decode_guarded(&job.path, digest.bytes, source, &id, &mut self.buffers)?;
        Ok(Outcome::Decoded(Archive { path: job.path.clone(), digest }, Box::new(decoded)))
    }

    /// A larger file: hashed, and if it is new, read again.
    fn decode_hashed(
        &mut self,
        job: &Job,
        claims: &Claims<'_>,
        progress: &ArchiveProgress<'_>,
    ) -> Result<Outcome, IngestError> {
        let digest = match FileDigest::of(&job.path) {
            Ok(digest) => digest,
            Err(error) => return Ok(unreadable(&error)),
        };
        match claims.claim(&digest.sha256, job.position) {
            Claim::Granted => {}
            refused => return Ok(known(digest, refused)),
        }
        let (file, id) = (ArchiveFile::new(&job.path, progress), ArchiveId::of(&digest.sha256));
        let source = Source::File(&file);
        let decoded = self.worker.decode_guarded(&job.path, digest.bytes, source, &id, &mut self.buffers)?;
        Ok(checked(job, digest, decoded))
    }

    /// A large file that no other is like: all but certainly new, so it is decoded while another thread hashes it. Should it be known
    /// after all, decoding is given up.
    fn decode_while_hashing(
        &mut self,
        job: &Job,
        claims: &Claims<'_>,
        progress: &ArchiveProgress<'_>,
    ) -> Result<Outcome, IngestError> {
        // Taken before either reader begins: what one of them reads before a change, the other could read behind it.
        let stamp = match Stamp::now(&job.path) {
            Ok(stamp) => stamp,
            Err(error) => return Ok(unreadable(&error)),
        };
        let id = ArchiveId::default();
        std::thread::scope(|scope| {
            let hashing = std::thread::Builder::new().spawn_scoped(scope, || {
                let id = Naming(&id);
                let digest = FileDigest::of(&job.path)?;
                let claim = claims.claim(&digest.sha256, job.position);
                id.0.settle((claim == Claim::Granted).then_some(digest.sha256.as_str()));
                Ok((digest, claim))
            });
            let hashing = match hashing {
                Ok(hashing) => hashing,
                Err(_) => return self.decode_hashed(job, claims, progress),
            };
            let file = ArchiveFile::new(&job.path, progress);
            let source = Source::File(&file);
            let decoded = self.worker.decode_guarded(&job.path, job.bytes, source, &id, &mut self.buffers)?;
            let hashed: std::io::Result<_> =
                hashing.join().unwrap_or_else(|_| Err(std::io::Error::other("internal error while it was hashed")));
            Ok(match hashed {
                Ok((digest, Claim::Granted)) if digest.is_of(&stamp) => checked(job, digest, decoded),
                Ok((digest, Claim::Granted)) => changed(job, digest, decoded.container),
                Ok((digest, refused)) => known(digest, refused),
                Err(error) => unreadable(&error),
            })
        })
    }
}

/// What is decoded after hashing, or beside it, is filed under the hash: a file that changed meanwhile must not be.
fn checked(job: &Job, digest: FileDigest, decoded: DecodedArchive) -> Outcome {
    if digest.is_current(&job.path) {
        Outcome::Decoded(Archive { path: job.path.clone(), digest }, Box::new(decoded))
    } else {
        changed(job, digest, decoded.container)
    }
}

fn changed(job: &Job, digest: FileDigest, container: Option<Container>) -> Outcome {
    let decoded = DecodedArchive::unsettled(container, CHANGED.into());
    Outcome::Decoded(Archive { path: job.path.clone(), digest }, Box::new(decoded))
}

fn known(digest: FileDigest, refused: Claim) -> Outcome {
    match refused {
        Claim::Settled(notice) => Outcome::Known(digest.sha256, notice),
        Claim::Granted | Claim::Repeated => Outcome::Repeated(digest.sha256),
    }
}

fn unreadable(error: &std::io::Error) -> Outcome {
    Outcome::Unreadable(cannot_be_read(error))
}
