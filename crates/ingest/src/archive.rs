//! One archive from its file to the staging area, with the books of what was found in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keytrail_decode::{DecodeError, DecodeOptions, Decoder, MemberSummary, Reject, Rows, Sink, SinkError};
use keytrail_model::ledger::{ArchiveStatus, Note, ServiceSpan};
use keytrail_model::time::Month;

use crate::claims::ArchiveId;
use crate::container::{self, Buffers, Container, Content, Members, Source};
use crate::digest::{FileDigest, cannot_be_read};
use crate::error::IngestError;
use crate::options::Limits;
use crate::rejects::PendingRejects;
use crate::services::{KnownServices, Services};
use crate::staging::{Place, Records, StagedBlock, StagingWriter};
use crate::told::Told;

/// Bytes of a member after which its rejects are held against their limit: at the same places, however it comes in pieces.
const CHECKED_BYTES: u64 = 256 << 10;
/// Bytes of rejects held before they are staged.
const REJECTS_BYTES_MAX: usize = 1 << 20;

/// An archive that was decoded.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    pub(crate) path: PathBuf,
    pub(crate) digest: FileDigest,
}

/// What was found in an archive. Its records lie in the staging area.
#[derive(Debug, Default)]
pub(crate) struct DecodedArchive {
    pub(crate) container: Option<Container>,
    /// Names of the members, damaged ones included.
    pub(crate) members: Vec<String>,
    /// Records, in order of member and ordinal.
    pub(crate) blocks: Vec<StagedBlock>,
    /// Rejects, in the same order, in the schema of `rejects`: where they lie, with their count.
    pub(crate) rejects: Vec<(Place, u64)>,
    /// Bytes of the rejects.
    pub(crate) rejects_bytes: u64,
    /// Months of the records.
    pub(crate) months: BTreeSet<Month>,
    /// Bytes of the names of members.
    pub(crate) names_bytes: u64,
    /// Records and rejects, as the decoder counted them when it met them.
    pub(crate) read: u64,
    /// Records staged.
    pub(crate) accepted: u64,
    pub(crate) json_bytes: u64,
    /// Earliest and latest time of a record.
    pub(crate) times: Option<(i64, i64)>,
    /// Services of the records staged; `None` where they were too many to count.
    pub(crate) services: Option<Vec<ServiceSpan>>,
    /// Why the archive is damaged.
    pub(crate) faults: Told,
    /// What is odd about it and loses nothing.
    pub(crate) notes: Told,
    /// Where and why its first record was rejected.
    pub(crate) first_reject: Option<String>,
    /// Whether the faults are those of the moment (a disk error, a file that changed) and not of the archive's bytes: then nothing of
    /// it is kept, and the ledger is not told.
    pub(crate) is_unsettled: bool,
}

impl DecodedArchive {
    /// Rejects, as they were staged.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejects.iter().map(|(_, rows)| rows).sum()
    }

    /// What has become of the archive, with or without `--salvage`.
    pub(crate) fn status(&self, salvage: bool) -> ArchiveStatus {
        match (self.faults.is_empty(), salvage && self.accepted > 0) {
            (true, _) => ArchiveStatus::Stored,
            (false, true) => ArchiveStatus::Salvaged,
            (false, false) => ArchiveStatus::Failed,
        }
    }

    /// Name of a member, by its index.
    pub(crate) fn member(&self, index: u32) -> &str {
        self.members.get(index as usize).map(String::as_str).unwrap_or_default()
    }

    /// Moves what stays for the rest of the run to memory of its own, now that the buffers of reading are free again. Where it was made,
    /// among those buffers, each archive would keep some 10 KiB of heap from being used for anything else.
    fn compact(&mut self) {
        self.members = self.members.iter().map(|name| name.as_str().to_owned()).collect();
        self.blocks = self.blocks.as_slice().to_vec();
        self.rejects = self.rejects.as_slice().to_vec();
        // Blocks tell them; they were collected for their number only.
        self.months = BTreeSet::new();
    }

    /// An archive that could not be read now.
    pub(crate) fn unsettled(container: Option<Container>, fault: String) -> Self {
        let mut unsettled = Self { container, is_unsettled: true, ..Self::default() };
        unsettled.faults.tell(Note::new("unreadable", fault));
        unsettled
    }
}

/// What archives are put in order by: their first time, then their hash; those without records last.
pub(crate) fn order_key(times: Option<(i64, i64)>, sha256: &str) -> (bool, Option<i64>, &str) {
    (times.is_none(), times.map(|(first, _)| first), sha256)
}

/// Decodes archives, one after the other, with buffers that are used again.
pub(crate) struct Worker<S = StagingWriter> {
    decoder: Decoder,
    staging: S,
    known_services: KnownServices,
    limits: Limits,
    salvage: bool,
}

impl<S: Records> Worker<S> {
    pub(crate) fn new(staging: S, limits: Limits, salvage: bool) -> Self {
        let decoder = Decoder::new(decode_options(&limits));
        Self { decoder, staging, known_services: KnownServices::default(), limits, salvage }
    }

    /// Reads what comes under other limits.
    pub(crate) fn set_limits(&mut self, limits: Limits, salvage: bool) {
        if limits != self.limits {
            self.decoder = Decoder::new(decode_options(&limits));
        }
        (self.limits, self.salvage) = (limits, salvage);
    }

    /// Where the records go.
    pub(crate) fn staging_mut(&mut self) -> &mut S {
        &mut self.staging
    }

    /// Where the records went, and the end of the work.
    pub(crate) fn into_staging(self) -> S {
        self.staging
    }

    /// Decodes an archive of `bytes` from its source. Damage is part of the result; an error is a fault of this machine.
    ///
    /// Should a library below panic on hostile bytes, that fails this archive and not the run.
    pub(crate) fn decode_guarded(
        &mut self,
        path: &Path,
        bytes: u64,
        source: Source<'_>,
        id: &ArchiveId,
        buffers: &mut Buffers,
    ) -> Result<DecodedArchive, IngestError> {
        let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let staged = self.staging.end();
        let decode = || self.decode(&file_name, bytes, source, id, buffers);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode));
        caught.unwrap_or_else(|_| {
            // Nothing that the decoder held can be trusted now. What was staged is not referred to.
            self.decoder.reset();
            self.staging.take_back(staged)?;
            Ok(DecodedArchive::unsettled(None, "internal error while it was read; please report it".into()))
        })
    }

    fn decode(
        &mut self,
        file_name: &str,
        bytes: u64,
        source: Source<'_>,
        id: &ArchiveId,
        buffers: &mut Buffers,
    ) -> Result<DecodedArchive, IngestError> {
        let (salvage, staged) = (self.salvage, self.staging.end());
        let decoded = DecodedArchive::default();
        let services = Services::default();
        let mut visit = ArchiveVisit { worker: self, id, bytes, decoded, services, system_error: None };
        let container = container::visit(source, (file_name, bytes), buffers, salvage, &mut visit)?;
        let ArchiveVisit { mut decoded, services, system_error, .. } = visit;
        decoded.container = container;
        decoded.services = services.finish();
        let failure = || source.failure().map(cannot_be_read);
        if let Some(error) = system_error.or_else(failure) {
            decoded = DecodedArchive::unsettled(container, error);
            self.staging.take_back(staged)?;
        }
        decoded.compact();
        Ok(decoded)
    }
}

fn decode_options(limits: &Limits) -> DecodeOptions {
    let &Limits { max_record_bytes, max_depth, .. } = limits;
    DecodeOptions { max_record_bytes, max_depth, ..DecodeOptions::default() }
}

/// One archive being visited.
struct ArchiveVisit<'a, S> {
    worker: &'a mut Worker<S>,
    id: &'a ArchiveId,
    /// Length of its file.
    bytes: u64,
    decoded: DecodedArchive,
    services: Services,
    /// An error of the system while the file was read.
    system_error: Option<String>,
}

impl<S: Records> Members for ArchiveVisit<'_, S> {
    type Stop = IngestError;

    fn member(&mut self, name: &str, content: &mut dyn Content) -> Result<(), IngestError> {
        let Some(member) = self.add_member(name) else {
            return Ok(());
        };
        let staged = self.worker.staging.end();
        let mut sink = MemberSink::new(self.worker, self.id, name, member, &self.decoded);
        let outcome = sink.read(content, self.decoded.json_bytes, self.bytes);
        let MemberSink { out, bytes, .. } = sink;
        let StagingSink { blocks, rejects, first_reject, services, rejects_bytes, months, .. } = out;
        let (summary, fault, is_usable) = match outcome {
            Ok(summary) => (summary, None, true),
            Err(MemberEnd::Stop(error)) => return Err(*error),
            Err(MemberEnd::System(error)) => {
                self.unreadable(&error);
                return Ok(());
            }
            Err(MemberEnd::GivenUp) => return self.worker.staging.take_back(staged),
            Err(MemberEnd::Damaged { summary, fault }) => (summary, Some(fault), self.worker.salvage),
            Err(MemberEnd::Refused { fault }) => (MemberSummary::default(), Some(fault), false),
        };
        self.decoded.json_bytes += bytes;
        if let Some(fault) = fault {
            self.fault(Note::new("damaged_member", format!("member {}: {fault}", shown(name))));
        }
        if !is_usable {
            return self.worker.staging.take_back(staged);
        }
        (self.decoded.rejects_bytes, self.decoded.months) = (rejects_bytes, months);
        self.services.merge(services);
        self.keep(&summary, blocks, rejects, first_reject);
        Ok(())
    }

    fn admits(&self, bytes: u64) -> bool {
        let inflated = self.decoded.json_bytes.saturating_add(bytes);
        !self.id.is_void() && over_limits(&self.worker.limits, bytes, inflated, self.bytes).is_none()
    }

    fn members_max(&self) -> u64 {
        self.worker.limits.max_members
    }

    fn damaged(&mut self, name: Option<&str>, reason: String) {
        match name {
            Some(name) => {
                if self.add_member(name).is_some() {
                    self.fault(Note::new("damaged_member", format!("member {}: {reason}", shown(name))));
                }
            }
            None => self.fault(Note::new("damaged_container", reason)),
        }
    }

    fn unreadable(&mut self, error: &std::io::Error) {
        self.system_error = Some(cannot_be_read(error));
    }

    fn fault(&mut self, fault: Note) {
        self.decoded.faults.tell(fault);
    }

    fn note(&mut self, note: Note) {
        self.decoded.notes.tell(note);
    }
}

impl<S: Records> ArchiveVisit<'_, S> {
    /// Takes note of a member; its index. `None`, and a fault, where names take too much: all of them stay in memory.
    fn add_member(&mut self, name: &str) -> Option<u32> {
        let decoded = &mut self.decoded;
        let names_bytes = decoded.names_bytes + name.len() as u64;
        if names_bytes > Limits::NAMES_BYTES {
            let at_most = Limits::NAMES_BYTES;
            let text = format!("member {}: names of members: expected at most {at_most} bytes in all", shown(name));
            decoded.faults.tell(Note::new("damaged_member", text));
            return None;
        }
        decoded.names_bytes = names_bytes;
        decoded.members.push(name.to_owned());
        u32::try_from(decoded.members.len() - 1).ok()
    }

    fn keep(
        &mut self,
        summary: &MemberSummary,
        blocks: Vec<StagedBlock>,
        rejects: Vec<(Place, u64)>,
        first_reject: Option<String>,
    ) {
        let decoded = &mut self.decoded;
        for &(earliest, latest) in blocks.iter().map(|block| &block.times) {
            let (first, last) = decoded.times.unwrap_or((earliest, latest));
            decoded.times = Some((first.min(earliest), last.max(latest)));
        }
        decoded.read += summary.read;
        decoded.accepted += blocks.iter().map(|block| u64::from(block.rows)).sum::<u64>();
        decoded.blocks.extend(blocks);
        decoded.rejects.extend(rejects);
        if summary.accepted == 0 && summary.read > 0 {
            let member = shown(decoded.members.last().map_or("", String::as_str));
            let first = first_reject.clone().unwrap_or_default();
            let text = format!("member {member}: holds no usable record; first reject: {first}");
            decoded.faults.tell(Note::new("no_usable_record", text));
        }
        decoded.first_reject = decoded.first_reject.take().or(first_reject);
    }
}

/// How a member ended, if not well.
enum MemberEnd {
    /// This machine failed.
    Stop(Box<IngestError>),
    /// The system could not read the file.
    System(std::io::Error),
    /// The archive need not be decoded after all.
    GivenUp,
    /// The member is damaged; the summary counts what came before.
    Damaged { summary: MemberSummary, fault: String },
    /// Nothing of the member can be taken, not even by salvage.
    Refused { fault: String },
}

/// Takes the records of one member out of the decoder and into staging.
struct MemberSink<'a, S> {
    decoder: &'a mut Decoder,
    limits: &'a Limits,
    out: StagingSink<'a, S>,
    bytes: u64,
}

/// The part of a [`MemberSink`] that the decoder calls back.
struct StagingSink<'a, S> {
    staging: &'a mut S,
    known_services: &'a mut KnownServices,
    id: &'a ArchiveId,
    name: &'a str,
    member: u32,
    next_row: u64,
    blocks: Vec<StagedBlock>,
    rejects: Vec<(Place, u64)>,
    pending: PendingRejects,
    first_reject: Option<String>,
    services: Services,
    error: Option<IngestError>,
    limits: &'a Limits,
    /// Bytes of rejects of the archive so far, and months of its records.
    rejects_bytes: u64,
    months: BTreeSet<Month>,
}

impl<'a, S: Records> MemberSink<'a, S> {
    fn new(worker: &'a mut Worker<S>, id: &'a ArchiveId, name: &'a str, member: u32, archive: &DecodedArchive) -> Self {
        let Worker { decoder, staging, known_services, limits, .. } = worker;
        let out = StagingSink {
            staging,
            known_services,
            id,
            name,
            member,
            next_row: archive.accepted,
            blocks: Vec::new(),
            rejects: Vec::new(),
            pending: PendingRejects::default(),
            first_reject: None,
            services: Services::default(),
            error: None,
            limits,
            rejects_bytes: archive.rejects_bytes,
            months: archive.months.clone(),
        };
        Self { decoder, limits, out, bytes: 0 }
    }

    fn read(
        &mut self,
        content: &mut dyn Content,
        bytes_before: u64,
        archive_bytes: u64,
    ) -> Result<MemberSummary, MemberEnd> {
        let fault = self.read_to_end(content, bytes_before, archive_bytes)?;
        // The end of what could be read is the end of the member for the decoder: a record cut by damage becomes a reject.
        let summary = match self.decoder.finish(&mut self.out) {
            Ok(summary) => summary,
            Err(error) => return self.end_of_decoding(&error, fault),
        };
        self.out.flush_rejects().map_err(|error| MemberEnd::Stop(Box::new(error)))?;
        self.out.check_months()?;
        match fault {
            None => Ok(summary),
            Some(fault) => Err(MemberEnd::Damaged { summary, fault }),
        }
    }

    /// Feeds the decoder until the content ends or is found damaged; tells the damage.
    fn read_to_end(
        &mut self,
        content: &mut dyn Content,
        bytes_before: u64,
        archive_bytes: u64,
    ) -> Result<Option<String>, MemberEnd> {
        loop {
            let piece = match content.piece() {
                Ok([]) => return Ok(self.too_many_rejects()),
                Ok(piece) => piece,
                Err(error) if error.raw_os_error().is_some() => {
                    self.decoder.reset();
                    return Err(MemberEnd::System(error));
                }
                Err(error) => return Ok(Some(format!("after {} bytes of JSON: {}", self.bytes, describe(&error)))),
            };
            if self.out.id.is_void() {
                self.decoder.reset();
                return Err(MemberEnd::GivenUp);
            }
            let bytes_so_far = self.bytes;
            self.bytes += piece.len() as u64;
            if let Some(fault) = over_limits(self.limits, self.bytes, bytes_before + self.bytes, archive_bytes) {
                return Ok(Some(fault));
            }
            if let Some(fault) = self.push(piece, bytes_so_far)? {
                return Ok(Some(fault));
            }
        }
    }

    /// Feeds the decoder a piece that stands behind so many bytes of the member; tells what is wrong with it.
    fn push(&mut self, mut piece: &[u8], mut bytes: u64) -> Result<Option<String>, MemberEnd> {
        while !piece.is_empty() {
            let unchecked = usize::try_from(CHECKED_BYTES - bytes % CHECKED_BYTES).unwrap_or(usize::MAX);
            let (next, rest) = piece.split_at_checked(unchecked).unwrap_or((piece, &[]));
            if let Err(error) = self.decoder.push(next, &mut self.out) {
                return self.end_of_decoding(&error, None);
            }
            if let Err(refused) = self.out.check_months() {
                self.decoder.reset();
                return Err(refused);
            }
            bytes += next.len() as u64;
            if bytes.is_multiple_of(CHECKED_BYTES)
                && let Some(fault) = self.too_many_rejects()
            {
                self.bytes = bytes;
                return Ok(Some(fault));
            }
            piece = rest;
        }
        Ok(None)
    }

    fn too_many_rejects(&self) -> Option<String> {
        let at_most = self.limits.max_rejects_bytes;
        (self.out.rejects_bytes > at_most)
            .then(|| format!("rejects of more than {at_most} bytes, the limit for an archive"))
    }

    /// The decoder gave up: the member is no list of records, or staging failed.
    fn end_of_decoding<T>(&mut self, error: &DecodeError, fault: Option<String>) -> Result<T, MemberEnd> {
        self.decoder.reset();
        if let Some(error) = self.out.error.take() {
            return Err(MemberEnd::Stop(Box::new(error)));
        }
        if let (DecodeError::NotRecords { offset, .. }, None) = (error, &fault) {
            // How much was read until that was clear is a matter of how the member came in pieces: what counts is where it stands.
            self.bytes = offset.saturating_add(1);
        }
        Err(MemberEnd::Damaged { summary: MemberSummary::default(), fault: fault.unwrap_or_else(|| error.to_string()) })
    }
}

fn over_limits(limits: &Limits, member_bytes: u64, inflated: u64, archive_bytes: u64) -> Option<String> {
    if member_bytes > limits.max_member_bytes {
        return Some(format!("more than {} bytes of JSON, the limit for a member", limits.max_member_bytes));
    }
    if inflated > limits.max_archive_bytes {
        return Some(format!("more than {} bytes of JSON, the limit for an archive", limits.max_archive_bytes));
    }
    let ratio = inflated / archive_bytes.max(1);
    (inflated > Limits::RATIO_FREE_BYTES && ratio > limits.max_ratio)
        .then(|| format!("inflates {ratio} times, the limit is {}: looks like a bomb", limits.max_ratio))
}

fn describe(error: &std::io::Error) -> String {
    match (error.kind(), error.to_string()) {
        (std::io::ErrorKind::UnexpectedEof, text) if !text.starts_with("cut:") => {
            format!("cut: the compressed data ends too early ({text})")
        }
        (_, text) => text,
    }
}

impl<S: Records> Sink for StagingSink<'_, S> {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        // A record for each of thousands of months would be as many blocks, and then as many files of the store.
        if self.months.len() > self.limits.max_months {
            return Ok(());
        }
        let (before, count) = (self.blocks.len(), rows.times().len() as u64);
        let counted = self.services.add(&rows, self.known_services);
        self.noted(counted)?;
        let staged = self.staging.records(rows, (self.member, self.name), self.next_row, &mut self.blocks);
        self.noted(staged)?;
        self.months.extend(self.blocks.iter().skip(before).map(|block| block.month));
        self.next_row += count;
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        if self.first_reject.is_none() {
            let Reject { ordinal, offset, reason, .. } = &reject;
            let name = shown(self.name);
            self.first_reject = Some(format!("member {name}, record {ordinal}, byte {offset}: {reason}"));
        }
        self.rejects_bytes += self.pending.push(self.name, &reject) as u64;
        if self.pending.bytes() >= REJECTS_BYTES_MAX {
            let flushed = self.flush_rejects();
            self.noted(flushed)?;
        }
        Ok(())
    }
}

impl<S: Records> StagingSink<'_, S> {
    /// Keeps an error of ours while the decoder unwinds.
    fn noted<T>(&mut self, result: Result<T, IngestError>) -> Result<T, SinkError> {
        result.map_err(|error| {
            let message = error.to_string();
            self.error = Some(error);
            SinkError::new(message)
        })
    }

    fn check_months(&self) -> Result<(), MemberEnd> {
        let (found, at_most) = (self.months.len(), self.limits.max_months);
        if found <= at_most {
            return Ok(());
        }
        Err(MemberEnd::Refused { fault: format!("records of more than {at_most} months, the limit for an archive") })
    }

    fn flush_rejects(&mut self) -> Result<(), IngestError> {
        // The name may have to be waited for. Where it never comes, nobody asks for the rejects.
        if self.pending.bytes() > 0
            && let Some(archive) = self.id.sha256()
        {
            let batch = self.pending.finish(archive)?;
            self.rejects.push((self.staging.rejects(&batch)?, batch.num_rows() as u64));
        }
        Ok(())
    }
}

/// Characters of a member's name that messages show.
const SHOWN_CHARACTERS: usize = 200;

/// A member's name for messages, in quotes and on one line, and not without end: it can have 64 KiB.
fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{:?}... ({} bytes)", name.get(..end).unwrap_or_default(), name.len()),
        None => format!("{name:?}"),
    }
}

/// A path for messages and for the ledger.
pub(crate) fn display(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
