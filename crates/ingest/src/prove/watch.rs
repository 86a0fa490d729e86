//! Watching an archive being decoded: its records are compared with the store instead of being staged.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use keytrail_decode::Rows;
use keytrail_model::digest::{Provenance, RowsDigest};
use keytrail_model::places::PlaceSet;
use keytrail_model::record::RecordColumns;
use keytrail_model::schema::{MEMBER, ORDINAL};
use keytrail_model::time::Month;
use sha2::{Digest as _, Sha256};

use super::books::Books;
use super::deal::{Dealer, Entry};
use super::spans::Spans;
use crate::error::IngestError;
use crate::staging::{Place, Records, StagedBlock, StagedEnd};

/// What all threads compare with.
pub(super) struct Subject<'a> {
    pub(super) books: &'a Books,
    /// Moments of which nothing can be said.
    pub(super) unknown: &'a Spans,
    /// Moments of which several archives hold records: these are dealt.
    pub(super) shared: &'a Spans,
    /// Whether rows are dealt with their places, instead of records without.
    pub(super) deal_rows: bool,
}

impl Subject<'_> {
    /// Whether the store should hold a record of this time as often as the archives say.
    pub(super) fn counts(&self, time: i64) -> bool {
        !self.unknown.contains(time)
    }
}

/// What was found in the archives.
#[derive(Default)]
pub(super) struct Sums {
    /// Records that no other archive can hold, by month.
    pub(super) months: HashMap<Month, RowsDigest>,
    /// Records that were looked at.
    pub(super) records: u64,
    /// Members whose entries do not count: damaged ones.
    pub(super) dropped: HashSet<u32>,
}

/// Takes the records of one archive after the other.
pub(super) struct Watch<'a> {
    subject: &'a Subject<'a>,
    dealer: Dealer<'a>,
    pub(super) sums: Sums,
    /// Numbers of members that no other watch uses: first and step.
    next_member: u32,
    step: u32,
    archive: u32,
    sha256: String,
    /// Version of the store that the try at hand made.
    version: u64,
    /// Whether it is the last one that there was: its rejects count.
    is_last: bool,
    /// Positions read by a later try, by number of the member in the archive.
    seen: Option<HashMap<u32, PlaceSet>>,
    /// What the archive gave so far.
    kept: Part,
    rejects: RowsDigest,
    members: Vec<u32>,
    /// What the member at hand gave.
    pending: Part,
    pending_rejects: RowsDigest,
    member: Option<u32>,
    /// Its positions, and its number in the archive.
    pending_seen: PlaceSet,
    member_index: u32,
}

/// Sums of a part of an archive.
#[derive(Default)]
struct Part {
    months: HashMap<Month, RowsDigest>,
    rows: HashMap<Month, RowsDigest>,
    records: u64,
}

impl Part {
    fn add(&mut self, other: &mut Self) {
        merge(&mut self.months, other.months.drain());
        merge(&mut self.rows, other.rows.drain());
        self.records += std::mem::take(&mut other.records);
    }
}

pub(super) fn merge(to: &mut HashMap<Month, RowsDigest>, from: impl IntoIterator<Item = (Month, RowsDigest)>) {
    for (month, digest) in from {
        *to.entry(month).or_default() += digest;
    }
}

impl<'a> Watch<'a> {
    /// The watch of thread `number` of `threads`.
    pub(super) fn new(subject: &'a Subject<'a>, dealer: Dealer<'a>, number: u32, threads: u32) -> Self {
        Self {
            subject,
            dealer,
            sums: Sums::default(),
            next_member: number,
            step: threads,
            archive: 0,
            sha256: String::new(),
            version: 0,
            is_last: true,
            seen: None,
            kept: Part::default(),
            rejects: RowsDigest::default(),
            members: Vec::new(),
            pending: Part::default(),
            pending_rejects: RowsDigest::default(),
            member: None,
            pending_seen: PlaceSet::default(),
            member_index: 0,
        }
    }

    /// An archive comes. Of one that is read in several ways a record counts once.
    pub(super) fn begin(&mut self, archive: u32, sha256: &str, tries: usize) {
        self.archive = archive;
        sha256.clone_into(&mut self.sha256);
        self.seen = (tries > 1).then(HashMap::new);
        self.is_last = true;
        (self.kept, self.rejects) = (Part::default(), RowsDigest::default());
        self.members.clear();
        self.drop_pending();
    }

    /// A try comes: the last one, then those before it.
    pub(super) fn begin_try(&mut self, version: u64) {
        self.keep_pending();
        self.version = version;
    }

    /// The archive was read to its end once.
    pub(super) fn end_try(&mut self) {
        self.keep_pending();
        self.is_last = false;
    }

    /// The archive was read to its end. With `is_settled` false nothing of it counts.
    pub(super) fn end_archive(&mut self, is_settled: bool) {
        if !is_settled {
            self.sums.dropped.extend(self.members.drain(..));
            self.drop_pending();
            return;
        }
        self.keep_pending();
        self.sums.records += self.kept.records;
        merge(&mut self.sums.months, self.kept.months.drain());
        if let Some(mut rows) = self.subject.books.rows_of(self.archive) {
            merge(&mut rows.found, self.kept.rows.drain());
            rows.rejects = self.rejects;
        }
    }

    pub(super) fn finish(self) -> Result<Sums, IngestError> {
        self.dealer.finish()?;
        Ok(self.sums)
    }

    /// The member at hand was good.
    fn keep_pending(&mut self) {
        self.kept.add(&mut self.pending);
        if self.is_last {
            self.rejects += self.pending_rejects;
        }
        if let Some(seen) = &mut self.seen {
            seen.entry(self.member_index).or_default().add(&self.pending_seen);
        }
        self.drop_pending();
    }

    fn drop_pending(&mut self) {
        (self.pending, self.pending_rejects, self.member) = (Part::default(), RowsDigest::default(), None);
        self.pending_seen = PlaceSet::default();
    }

    /// The number of the member at hand.
    fn member_number(&mut self) -> u32 {
        if let Some(member) = self.member {
            return member;
        }
        let member = self.next_member;
        self.next_member = self.next_member.saturating_add(self.step);
        self.members.push(member);
        self.member = Some(member);
        member
    }
}

impl Records for Watch<'_> {
    fn end(&mut self) -> StagedEnd {
        self.keep_pending();
        StagedEnd::default()
    }

    fn take_back(&mut self, _: StagedEnd) -> Result<(), IngestError> {
        self.sums.dropped.extend(self.member);
        self.drop_pending();
        Ok(())
    }

    fn records(
        &mut self,
        rows: Rows<'_>,
        (index, name): (u32, &str),
        first_row: u64,
        blocks: &mut Vec<StagedBlock>,
    ) -> Result<(), IngestError> {
        let batch = rows.into_batch()?;
        let columns = RecordColumns::of(&batch)?;
        let ordinals = batch.column_by_name(ORDINAL).and_then(|ordinals| ordinals.as_primitive_opt::<Int64Type>());
        let ordinals = ordinals.map(|ordinals| ordinals.values().as_ref()).unwrap_or_default();
        let tag = self.member_number();
        let subject = self.subject;
        let rows = subject.books.rows_of(self.archive);
        let places = rows.as_ref().and_then(|rows| rows.of(name));
        let mut month: Option<(Month, (i64, i64))> = None;
        for (row, &ordinal) in ordinals.iter().enumerate() {
            let Some(record) = columns.row(row) else {
                break;
            };
            if let Some(seen) = &self.seen {
                if seen.get(&index).is_some_and(|seen| seen.has_ordinal(ordinal)) {
                    continue;
                }
                self.pending_seen.put(ordinal, u64::MAX);
                self.member_index = index;
            }
            let (of, bounds) = match month.filter(|(_, (from, until))| (*from..*until).contains(&record.time)) {
                Some(month) => month,
                None => {
                    let Some(of) = Month::of(record.time) else {
                        continue;
                    };
                    (of, of.bounds())
                }
            };
            month = Some((of, bounds));
            self.pending.records += 1;
            if subject.books.forgotten.has_removed(of, self.version) {
                continue;
            }
            let entry = |digest: RowsDigest| Entry {
                hash: digest.limbs(),
                owner: self.archive,
                member: tag,
                ordinal,
                time: record.time,
                archive: self.archive,
                count: 1,
            };
            let place = Provenance { archive: &self.sha256, member: name, ordinal };
            if places.is_some_and(|places| places.has_ordinal(ordinal)) {
                let mut digest = RowsDigest::default();
                digest.add_row(&record, &place);
                if subject.deal_rows {
                    self.dealer.deal(entry(digest))?;
                }
                *self.pending.rows.entry(of).or_default() += digest;
            }
            if !subject.deal_rows && subject.counts(record.time) {
                let mut digest = RowsDigest::default();
                digest.add_record(&record);
                if subject.shared.contains(record.time) {
                    self.dealer.deal(entry(digest))?;
                } else {
                    *self.pending.months.entry(of).or_default() += digest;
                }
            }
        }
        drop(rows);
        note_months(columns.times(), index, first_row, blocks);
        Ok(())
    }

    fn rejects(&mut self, batch: &RecordBatch) -> Result<Place, IngestError> {
        self.pending_rejects += digest_of_rejects(batch);
        Ok(Place::default())
    }
}

/// Notes blocks that stand for the rows of a batch in the books of their archive: one for each month, with nothing behind it.
fn note_months(times: &[i64], member: u32, first_row: u64, blocks: &mut Vec<StagedBlock>) {
    let mut months = BTreeMap::<Month, (u32, (i64, i64))>::new();
    let mut current: Option<(Month, (i64, i64))> = None;
    for &time in times {
        let of = match current.filter(|(_, (from, until))| (*from..*until).contains(&time)) {
            Some((month, _)) => Some(month),
            None => Month::of(time),
        };
        let Some(month) = of else {
            continue;
        };
        current = Some((month, month.bounds()));
        let (rows, (first, last)) = months.entry(month).or_insert((0, (time, time)));
        *rows += 1;
        (*first, *last) = ((*first).min(time), (*last).max(time));
    }
    let mut first_row = first_row;
    for (month, (rows, times)) in months {
        blocks.push(StagedBlock { place: Place::default(), first_row, times, rows, member, month });
        first_row += u64::from(rows);
    }
}

/// Digest of rejects by their places and bytes. Their reasons are words, which later versions of keytrail may choose better.
pub(super) fn digest_of_rejects(batch: &RecordBatch) -> RowsDigest {
    let mut sum = RowsDigest::default();
    let numbers = |name: &str| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let members = batch.column_by_name(MEMBER).and_then(|column| column.as_string_opt::<i32>());
    let raw = batch.column_by_name("raw").and_then(|column| column.as_binary_opt::<i32>());
    let (Some(members), Some(raw), Some(ordinals), Some(offsets)) = (members, raw, numbers(ORDINAL), numbers("offset"))
    else {
        return sum;
    };
    for row in 0..batch.num_rows().min(members.len()) {
        let mut hash = Sha256::new();
        for bytes in [members.value(row).as_bytes(), raw.value(row)] {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hash.update(ordinals.value(row).to_le_bytes());
        hash.update(offsets.value(row).to_le_bytes());
        let mut limbs = [0; 4];
        limbs.iter_mut().zip(hash.finalize().as_chunks::<8>().0).for_each(|(to, from)| *to = u64::from_le_bytes(*from));
        sum += RowsDigest::of_limbs(1, limbs);
    }
    sum
}
