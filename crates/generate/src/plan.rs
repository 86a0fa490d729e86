//! The plan: which archive covers which time, with how many records and which faults.

use std::collections::BTreeMap;

use crate::clock::{DAY, SECOND, activity, date_text};
use crate::container::Form;
use crate::dice::{Dice, Purpose, parts_per_million};
use crate::fault::{FaultKind, Place};
use crate::options::GenerateOptions;
use crate::schedule::Due;
use crate::slice::{Manner, SliceRecords};
use crate::world::World;

/// Start and end of the log for some options.
pub(crate) fn span(options: &GenerateOptions) -> (i64, i64) {
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    let days = epoch.duration_until(options.first_day).as_hours() / 24;
    (days * DAY, (days + i64::from(options.days)) * DAY)
}

/// How many planned deeds fit beside the ordinary records that every member of every archive needs.
pub(crate) fn deed_limit(options: &GenerateOptions) -> usize {
    (options.records.saturating_sub(options.archive_count() * u64::from(options.members)) / 2) as usize
}

/// One good archive.
#[derive(Debug)]
pub(crate) struct ArchivePlan<'w> {
    pub(crate) index: u64,
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Records apart from planned deeds.
    ordinary: u64,
    due: &'w [Due<'w>],
    /// Damaged elements: before which of the archive's own records, and a number to choose variants by.
    pub(crate) bad_records: BTreeMap<u64, (FaultKind, u64)>,
    pub(crate) bad_end: Option<FaultKind>,
}

impl ArchivePlan<'_> {
    /// Records of its own time.
    pub(crate) fn own(&self) -> u64 {
        self.ordinary + self.due.len() as u64
    }
}

/// All good archives.
#[derive(Debug)]
pub(crate) struct Plan<'w> {
    pub(crate) options: &'w GenerateOptions,
    pub(crate) world: &'w World,
    pub(crate) archives: Vec<ArchivePlan<'w>>,
}

impl<'w> Plan<'w> {
    pub(crate) fn new(options: &'w GenerateOptions, world: &'w World, due: &'w [Due<'w>]) -> Self {
        let (from, to) = span(options);
        let count = options.archive_count();
        let members = u64::from(options.members);
        let seconds = ((to - from) / SECOND) as u64;
        let edge = |index: u64| from + SECOND * (u128::from(seconds) * u128::from(index) / u128::from(count)) as i64;
        let shared = options.records.saturating_sub(due.len() as u64 + count * members);
        let total_activity = u128::from(activity(from, to)).max(1);
        let (mut passed, mut given, mut due_left) = (0_u128, 0_u64, due);
        let mut archives = Vec::with_capacity(count as usize);
        for index in 0..count {
            let (from, to) = (edge(index), edge(index + 1));
            passed += u128::from(activity(from, to));
            let until = (u128::from(shared) * passed / total_activity) as u64;
            let (now, later) = due_left.split_at(due_left.partition_point(|(time, _)| *time < to));
            due_left = later;
            archives.push(ArchivePlan {
                index,
                from,
                to,
                ordinary: members + until - given,
                due: now,
                bad_records: BTreeMap::new(),
                bad_end: None,
            });
            given = until;
        }
        let mut plan = Self { options, world, archives };
        plan.place_faults();
        plan
    }

    /// Spreads damaged elements so that good records lie between any two of them.
    fn place_faults(&mut self) {
        let mut dice = Dice::new(self.options.seed, Purpose::Faults, 0);
        let all = self.options.faults.iter().flat_map(|fault| (0..fault.count).map(|_| fault.kind));
        let (mut bad_records, mut bad_ends) = (Vec::new(), Vec::new());
        for kind in all {
            match kind.place() {
                Place::Record => bad_records.push(kind),
                Place::ListEnd => bad_ends.push(kind),
                Place::FailedArchive | Place::EmptyArchive => {}
            }
        }
        let archives = self.archives.len();
        let first = dice.below_len(archives);
        for (step, kind) in bad_ends.into_iter().enumerate() {
            if let Some(archive) = self.archives.get_mut((first + step) % archives.max(1)) {
                archive.bad_end = Some(kind);
            }
        }
        for kind in bad_records {
            let variant = dice.word();
            // Chance first; in small or crowded logs the first free place does.
            let start = dice.below_len(archives);
            let free = (0..archives).map(|step| (start + step) % archives).find_map(|index| {
                self.archives.get(index).and_then(|archive| archive.free_place(&mut dice)).map(|place| (index, place))
            });
            if let Some((index, place)) = free
                && let Some(archive) = self.archives.get_mut(index)
            {
                archive.bad_records.insert(place, (kind, variant));
            }
        }
    }

    /// The records of an archive's own time.
    pub(crate) fn records(&self, archive: &ArchivePlan<'w>) -> SliceRecords<'w> {
        let dice = Dice::new(self.options.seed, Purpose::Slice, archive.index);
        let span = (archive.from, archive.to);
        SliceRecords::new(self.world, Manner::of(self.options), dice, span, archive.ordinary, archive.due)
    }

    /// The archive before, and from when on its records are repeated.
    pub(crate) fn repeated(&self, archive: &ArchivePlan<'w>) -> Option<(&ArchivePlan<'w>, i64)> {
        let share = i128::from(parts_per_million(self.options.overlap));
        if share == 0 {
            return None;
        }
        let before = self.archives.get(archive.index.checked_sub(1)? as usize)?;
        let length = i128::from(before.to - before.from) * share / 1_000_000;
        Some((before, before.to - length as i64))
    }

    pub(crate) fn form(&self, archive: &ArchivePlan<'_>) -> Form {
        Form::of_archive(self.options.container, archive.index)
    }

    /// File name without its extension: day and running number, both of fixed width.
    pub(crate) fn stem(&self, archive: &ArchivePlan<'_>) -> String {
        let width = self.archives.len().saturating_sub(1).to_string().len().max(3);
        format!("audit-{}-{:0width$}", date_text(archive.from), archive.index)
    }
}

impl ArchivePlan<'_> {
    /// A place before a record, not the first, that no damaged element has yet.
    fn free_place(&self, dice: &mut Dice) -> Option<u64> {
        let places = self.own().saturating_sub(1);
        if places == 0 {
            return None;
        }
        let start = dice.below(places);
        let tries = (self.bad_records.len() as u64 + 1).min(places);
        (0..tries).map(|step| 1 + (start + step) % places).find(|place| !self.bad_records.contains_key(place))
    }
}
