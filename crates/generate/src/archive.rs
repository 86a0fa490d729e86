//! Writing one good archive: repeated records, its own, and the faults between them.

use std::path::Path;

use crate::GenerateError;
use crate::container::{ArchiveFile, Form, Packing};
use crate::expected::{ArchiveAnswer, ArchiveStatus, Reject};
use crate::fault::FaultKind;
use crate::plan::{ArchivePlan, Plan};
use crate::record::Record;
use crate::render::{Flaw, Style, meta_is_object, push_record};
use crate::tally::{Extent, Tally};

/// More than any record takes, in any layout.
const BYTES_PER_RECORD_MAX: u64 = 800;

/// An archive on disk, and what is to be said about it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) answer: ArchiveAnswer,
    pub(crate) rejects: Vec<Reject>,
}

/// Elements of a list or lines, in the members of an archive.
pub(crate) struct Elements {
    file: ArchiveFile,
    form: Form,
    style: Style,
    stem: String,
    file_name: String,
    /// Members there will be; only ZIP members are told apart in answers.
    members: u64,
    member_number: u64,
    member: String,
    /// JSON bytes of the archive before the current member.
    member_start: u64,
    ordinal: u64,
}

impl Elements {
    pub(crate) fn create(
        folder: &Path,
        stem: String,
        form: Form,
        style: Style,
        members: u64,
        level: u32,
        large: bool,
    ) -> Result<Self, GenerateError> {
        let file_name = format!("{stem}.{}", form.packing.extension());
        let file = ArchiveFile::create(&folder.join(&file_name), form.packing, level, large)?;
        let mut elements = Self {
            file,
            form,
            style,
            stem,
            member: String::new(),
            file_name,
            members,
            member_number: 0,
            member_start: 0,
            ordinal: 0,
        };
        elements.open_member()?;
        Ok(elements)
    }

    fn open_member(&mut self) -> Result<(), GenerateError> {
        self.member = match self.form.packing {
            Packing::Zip if self.members == 1 => format!("{}.json", self.stem),
            Packing::Zip => format!("{}-{}.json", self.stem, self.member_number),
            Packing::Gzip | Packing::Plain => self.file_name.clone(),
        };
        self.file.start_member(&self.member)?;
        if self.form.packing == Packing::Zip || self.member_number == 0 {
            self.member_start = self.file.json_bytes();
            self.ordinal = 0;
            if !self.form.lines {
                self.file.buffer().push(b'[');
            }
        }
        self.member_number += 1;
        Ok(())
    }

    /// Ends a member and opens the next; in a plain file nothing happens.
    pub(crate) fn next_member(&mut self) -> Result<(), GenerateError> {
        if self.form.packing == Packing::Zip {
            self.close_list();
        }
        self.open_member()
    }

    fn close_list(&mut self) {
        if !self.form.lines {
            self.file.buffer().push(b']');
        }
    }

    /// Appends one element, sound or not; returns its position and the byte at which it starts.
    pub(crate) fn push(
        &mut self,
        record: &Record<'_>,
        meta_object: bool,
        flaw: Flaw,
    ) -> Result<(u64, u64), GenerateError> {
        if !self.form.lines && self.ordinal > 0 {
            self.file.buffer().extend_from_slice(self.style.between);
        }
        let at = (self.ordinal, self.file.json_bytes() - self.member_start);
        push_record(self.file.buffer(), record, &self.style, meta_object, flaw);
        if self.form.lines {
            self.file.buffer().push(b'\n');
        }
        self.ordinal += 1;
        self.file.flush_when_full()?;
        Ok(at)
    }

    /// Appends the first half of an element, after which nothing may follow.
    fn push_half(&mut self, record: &Record<'_>, meta_object: bool) -> (u64, u64) {
        if !self.form.lines && self.ordinal > 0 {
            self.file.buffer().extend_from_slice(self.style.between);
        }
        let at = (self.ordinal, self.file.json_bytes() - self.member_start);
        let mut text = Vec::new();
        push_record(&mut text, record, &self.style, meta_object, Flaw::None);
        text.truncate(text.len() / 2);
        self.file.buffer().extend_from_slice(&text);
        self.ordinal += 1;
        at
    }

    /// Appends a comma that no element follows.
    fn push_comma(&mut self) -> (u64, u64) {
        let at = (self.ordinal, self.file.json_bytes() - self.member_start);
        self.file.buffer().push(b',');
        at
    }

    fn reject(&self, (ordinal, offset): (u64, u64), fault: FaultKind) -> Reject {
        Reject {
            archive: self.file_name.clone(),
            member: self.member.clone(),
            ordinal,
            offset,
            fault: fault.name().to_owned(),
        }
    }

    /// Ends the archive; returns its name, its size and its JSON bytes.
    pub(crate) fn finish(mut self, end: Option<FaultKind>) -> Result<(String, u64, u64), GenerateError> {
        match end {
            Some(FaultKind::CutList) => {}
            _ => self.close_list(),
        }
        let json_bytes = self.file.json_bytes();
        Ok((self.file_name, self.file.finish()?, json_bytes))
    }
}

/// Writes a good archive and counts its own records.
pub(crate) fn write_archive(
    plan: &Plan<'_>,
    archive: &ArchivePlan<'_>,
    folder: &Path,
    tally: &mut Tally,
) -> Result<Written, GenerateError> {
    let options = plan.options;
    let form = plan.form(archive);
    let style = Style::of_archive(archive.index, options.vary_layout, form.lines);
    let members = if form.packing == Packing::Plain { 1 } else { u64::from(options.members) };
    let repeatable = plan.repeated(archive).map_or(0, |(before, _)| before.own());
    let large = (archive.own() / members + repeatable) * BYTES_PER_RECORD_MAX > u64::from(u32::MAX);
    let elements = Elements::create(folder, plan.stem(archive), form, style, members, options.level, large)?;
    let mut writer = ArchiveWriter { plan, archive, elements, rejects: Vec::new(), seen: Extent::default() };
    let repeated = writer.repeat()?;
    writer.own(members, tally)?;
    let (name, bytes, json_bytes) = writer.elements.finish(archive.bad_end)?;
    let rejected = writer.rejects.len() as u64;
    let answer = ArchiveAnswer {
        name,
        container: form.packing.name().to_owned(),
        status: ArchiveStatus::Stored,
        fault: archive.bad_end.map(|kind| kind.name().to_owned()),
        copy_of: None,
        bytes,
        json_bytes,
        members: if form.packing == Packing::Zip { members } else { 1 },
        read: archive.own() + repeated + rejected,
        repeated,
        rejected,
        first_time: writer.seen.first(),
        last_time: writer.seen.last(),
    };
    Ok(Written { answer, rejects: writer.rejects })
}

/// A good archive on its way to disk.
struct ArchiveWriter<'a, 'w> {
    plan: &'a Plan<'w>,
    archive: &'a ArchivePlan<'w>,
    elements: Elements,
    rejects: Vec<Reject>,
    seen: Extent,
}

impl<'w> ArchiveWriter<'_, 'w> {
    /// Repeats the end of the archive before; returns how many records that were.
    fn repeat(&mut self) -> Result<u64, GenerateError> {
        let mut repeated = 0;
        let Some((before, since)) = self.plan.repeated(self.archive) else { return Ok(0) };
        for record in self.plan.records(before).filter(|record| record.time >= since) {
            self.sound(&record)?;
            repeated += 1;
        }
        Ok(repeated)
    }

    /// Writes the records of the archive's own time, shared out over its members, with the faults between them.
    fn own(&mut self, members: u64, tally: &mut Tally) -> Result<(), GenerateError> {
        let own = self.archive.own();
        let mut member = 1;
        let mut last = None;
        for (place, record) in (0_u64..).zip(self.plan.records(self.archive)) {
            if member < members && place >= own * member / members {
                self.elements.next_member()?;
                member += 1;
            }
            if let Some(&(kind, variant)) = self.archive.bad_records.get(&place) {
                let at = self.elements.push(&record, self.meta_is_object(&record), flaw(kind, variant))?;
                self.rejects.push(self.elements.reject(at, kind));
            }
            self.sound(&record)?;
            tally.add(&record);
            last = Some(record);
        }
        let at = match (self.archive.bad_end, last) {
            (Some(FaultKind::CutList), Some(record)) => self.elements.push_half(&record, self.meta_is_object(&record)),
            (Some(FaultKind::TrailingComma), _) => self.elements.push_comma(),
            _ => return Ok(()),
        };
        self.rejects.extend(self.archive.bad_end.map(|kind| self.elements.reject(at, kind)));
        Ok(())
    }

    fn sound(&mut self, record: &Record<'w>) -> Result<(), GenerateError> {
        self.seen.add(record.time);
        self.elements.push(record, self.meta_is_object(record), Flaw::None).map(|_| ())
    }

    fn meta_is_object(&self, record: &Record<'_>) -> bool {
        meta_is_object(self.plan.options.meta, record, self.archive.index)
    }
}

fn flaw(kind: FaultKind, variant: u64) -> Flaw {
    match kind {
        FaultKind::BrokenRecord => Flaw::BareStatus,
        FaultKind::MissingQuote => Flaw::OpenStatus,
        FaultKind::MissingBrace => Flaw::NoBrace,
        FaultKind::NoTime => Flaw::NoTime(variant),
        FaultKind::NotObject => Flaw::NotObject(variant),
        _ => Flaw::None,
    }
}
