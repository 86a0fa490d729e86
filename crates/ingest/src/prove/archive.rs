//! One archive that was given, decoded again in each way that a run did, and held against its row of the ledger.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

use keytrail_model::ledger::LedgerRow;
use keytrail_model::time::format_service;

use super::books::{Book, Try};
use super::watch::{Subject, Watch};
use crate::archive::{DecodedArchive, Worker};
use crate::claims::ArchiveId;
use crate::container::{ArchiveFile, Buffers, Source};
use crate::digest::{CHANGED, FileDigest, FileRead, cannot_be_read};
use crate::error::IngestError;
use crate::pages::Buffer;
use crate::progress::ArchiveProgress;

/// Damages of archives, and archives that could not be read.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) damages: Vec<String>,
    pub(super) unsettled: HashMap<u32, String>,
}

/// What a thread works with.
pub(super) struct Hands<'a> {
    pub(super) file: Buffer,
    pub(super) buffers: Buffers,
    pub(super) worker: Worker<Watch<'a>>,
}

impl Hands<'_> {
    /// Decodes an archive in each way that a run did, and compares it with its ledger row.
    pub(super) fn read(
        &mut self,
        number: u32,
        book: &Book,
        progress: &ArchiveProgress<'_>,
        subject: &Subject<'_>,
        findings: &mut Findings,
    ) -> Result<(), IngestError> {
        let Some(path) = &book.path else {
            return Ok(());
        };
        let sha256 = book.row.archive.as_str();
        let rejects = subject.books.rows_of(number).map(|rows| rows.rejects).unwrap_or_default();
        self.worker.staging_mut().begin(number, sha256, book.tries.len());
        let mut last = None;
        // The last one first: of a record that several of them read, the last one says when it was read.
        for try_ in book.tries.iter().rev() {
            self.worker.staging_mut().begin_try(try_.version);
            let decoded = self.decode(path, &book.row, try_, progress)?;
            let is_settled = !decoded.is_unsettled;
            if !is_settled {
                let why = decoded.faults.first().map(|fault| fault.text.clone()).unwrap_or_default();
                findings.unsettled.insert(number, format!("archive {sha256} ({}): {why}", path.display()));
                self.worker.staging_mut().end_archive(false);
                return Ok(());
            }
            self.worker.staging_mut().end_try();
            last = last.or(Some((decoded, try_.salvage)));
        }
        self.worker.staging_mut().end_archive(true);
        let Some((decoded, salvage)) = last.filter(|_| !subject.deal_rows) else {
            return Ok(());
        };
        let found = subject.books.rows_of(number).map(|rows| rows.rejects).unwrap_or_default();
        let mut wrong = |what: &str, expected: &dyn Display, found: &dyn Display| {
            let expected = format!("expected {what} {expected}, as in the ledger, found {found}");
            findings.damages.push(format!("archive {sha256} ({}): {expected}", path.display()));
        };
        compare_books(book, &decoded, salvage, &mut wrong);
        if rejects != found {
            wrong("rejects with the digest", &rejects, &found);
        }
        // What the store has of them is compared once; a second pass finds it as it was.
        if let Some(mut rows) = subject.books.rows_of(number) {
            rows.rejects = rejects;
        }
        Ok(())
    }

    /// Decodes the file that was given for an archive, under the name that it had when it was read: that of its member where it is its own.
    fn decode(
        &mut self,
        path: &Path,
        row: &LedgerRow,
        try_: &Try,
        progress: &ArchiveProgress<'_>,
    ) -> Result<DecodedArchive, IngestError> {
        self.worker.set_limits(try_.limits.clone(), try_.salvage);
        let changed = || DecodedArchive::unsettled(None, CHANGED.into());
        let (sha256, name) = (row.archive.as_str(), Path::new(&row.path));
        let id = ArchiveId::of(sha256);
        match FileDigest::read(path, &mut self.file, self.buffers.budget().bytes) {
            Ok(FileRead::Read(digest, _)) if digest.sha256 == sha256 => {
                self.buffers.begin(self.file.held());
                let bytes = usize::try_from(digest.bytes).unwrap_or_default();
                let source = Source::Memory(self.file.filled(bytes));
                self.worker.decode_guarded(name, digest.bytes, source, &id, &mut self.buffers)
            }
            Ok(FileRead::Read(..) | FileRead::Changed) => Ok(changed()),
            Ok(FileRead::TooLarge) => {
                self.file.release();
                self.buffers.begin(0);
                let digest = match FileDigest::of(path) {
                    Ok(digest) if digest.sha256 == sha256 => digest,
                    Ok(_) => return Ok(changed()),
                    Err(error) => return Ok(DecodedArchive::unsettled(None, cannot_be_read(&error))),
                };
                let file = ArchiveFile::new(path, progress);
                let source = Source::File(&file);
                let decoded = self.worker.decode_guarded(name, digest.bytes, source, &id, &mut self.buffers)?;
                Ok(if digest.is_current(path) { decoded } else { changed() })
            }
            Err(error) => Ok(DecodedArchive::unsettled(None, cannot_be_read(&error))),
        }
    }
}

/// Compares what was found in an archive with its ledger row.
fn compare_books(
    book: &Book,
    decoded: &DecodedArchive,
    salvage: bool,
    wrong: &mut dyn FnMut(&str, &dyn Display, &dyn Display),
) {
    let row = &book.row;
    let status = decoded.status(salvage);
    if row.status != status {
        wrong("status", &row.status.as_str(), &status.as_str());
    }
    let mut count = |what: &str, expected: u64, found: u64| {
        if expected != found {
            wrong(what, &expected, &found);
        }
    };
    count("bytes of JSON", row.json_bytes, decoded.json_bytes);
    count("members", row.members, decoded.members.len() as u64);
    count("records rejected", row.records.rejected, decoded.rejected());
    // The row of an archive that was tried again counts records of several tries.
    if !book.was_tried_again {
        count("records read", row.records.read, decoded.read);
        let span = row.first_time.zip(row.last_time);
        if span != decoded.times {
            let words = |span: Option<(i64, i64)>| match span {
                Some((first, last)) => format!("{} to {}", format_service(first), format_service(last)),
                None => "none".into(),
            };
            wrong("times", &words(span), &words(decoded.times));
        }
    }
}
