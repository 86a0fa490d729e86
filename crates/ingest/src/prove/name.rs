//! Which records make a difference: a second pass over the store and the archives, which brings equal records together.

use std::collections::HashSet;

use keytrail_model::time::format_service;

use super::Work;
use super::books::Books;
use super::deal::{Deal, Entry, OF_THE_STORE, count_where, most_of_one};
use super::spans::Spans;
use super::watch::Subject;
use crate::error::IngestError;

/// Differences that are named, of each kind.
const NAMED_MAX: usize = 20;

impl Work<'_> {
    /// Names records that are missing from the store or too many there.
    pub(super) fn name_records(&mut self, months: &Spans, unknown: &Spans, given: &[u32]) -> Result<(), IngestError> {
        let subject = Subject { books: &self.books, unknown, shared: months, deal_rows: false };
        let deal = Deal::new(&self.folder.join("records"));
        self.read_store(&subject, Some(&deal))?;
        let (sums, _) = self.read_archives(&subject, &deal, given)?;
        let mut named = Named::default();
        deal.each_group(self.part_bytes(), &|entry| !sums.dropped.contains(&entry.member), &mut |group| {
            let (stored, expected) = (count_where(group, |owner| owner == OF_THE_STORE), most_of_one(group));
            if stored != expected {
                let of_archive = group.iter().find(|entry| entry.owner != OF_THE_STORE);
                named.add(
                    &self.books,
                    of_archive.or(group.first()),
                    &format!("expected {expected} times, found {stored}"),
                );
            }
            Ok(())
        })?;
        self.proof.damages.extend(named.words());
        Ok(())
    }

    /// Names rows that are not the records at their places.
    pub(super) fn name_rows(&mut self, archives: &[u32], unknown: &Spans) -> Result<(), IngestError> {
        let all = Spans::covered([(i64::MIN, i64::MAX)].into_iter(), 1);
        let subject = Subject { books: &self.books, unknown, shared: &all, deal_rows: true };
        let deal = Deal::new(&self.folder.join("rows"));
        self.read_store(&subject, Some(&deal))?;
        let (sums, _) = self.read_archives(&subject, &deal, archives)?;
        let wanted: HashSet<u32> = archives.iter().copied().collect();
        let mut named = Named::default();
        let wanted = |entry: &Entry| wanted.contains(&entry.archive) && !sums.dropped.contains(&entry.member);
        deal.each_group(self.part_bytes(), &wanted, &mut |group| {
            let stored = count_where(group, |owner| owner == OF_THE_STORE);
            // Members of one name share places, and another of them may be the one that is stored: fewer rows are no fault.
            if stored > count_where(group, |owner| owner != OF_THE_STORE) {
                named.add(&self.books, group.last(), "expected the record at this place, found a row of another");
            }
            Ok(())
        })?;
        self.proof.damages.extend(named.words());
        Ok(())
    }
}

/// Some differences in words, and how many there are.
#[derive(Default)]
struct Named {
    words: Vec<String>,
    all: usize,
}

impl Named {
    fn add(&mut self, books: &Books, entry: Option<&Entry>, what: &str) {
        self.all += 1;
        if let Some(entry) = entry.filter(|_| self.words.len() < NAMED_MAX) {
            let archive = books.get(entry.archive).map_or("unknown", |book| book.row.archive.as_str());
            let time = format_service(entry.time);
            self.words.push(format!("record of {time}, archive {archive}, ordinal {}: {what}", entry.ordinal));
        }
    }

    fn words(mut self) -> Vec<String> {
        let more = self.all.saturating_sub(self.words.len());
        if more > 0 {
            self.words.push(format!("{more} more records like these"));
        }
        self.words
    }
}
