//! The fast path: records of a shape met before.
//!
//! The records of one archive nearly always have the same members in the same order, between the same bytes. So the bytes between the
//! values of a good record are learned (`learn`, `shapes`), and of the next record only two things are asked: are these bytes the same,
//! and is each value plain text (printable ASCII without quotes and backslashes)? If so, the record is JSON of the same meaning with other
//! texts, and nothing needs to be parsed. Other texts are good where the same bytes were parsed before. Most values were seen before: texts
//! of one column are known by a few of their bytes (`values`), keys by their digits ([`Key`]), and so are whole stretches of values that go
//! together, like partition, service, client and tenant (`stretches`). Time is read as digits (`clock`). Of members with unknown names that
//! differ from record to record, `extra` is made anew (`extra`).
//!
//! Anything else is no matter of this module: the record goes to the general path, with the same result by construction, and may be
//! learned from there. So this module rejects nothing and changes nothing but speed. What it cannot read: escapes and text beyond ASCII that
//! it does not know, values of known names that are no texts, those of unknown ones that differ from record to record and stand in `extra`
//! in another way (escapes that need not be, numbers with exponents), times with digits below the microsecond, and the last bytes of a
//! window.

mod clock;
mod extra;
mod learn;
mod shapes;
mod stretches;
mod values;
mod wide;

use std::ops::Range;

use keytrail_model::key::Key;
use keytrail_model::schema::TEXT_COLUMNS;

use crate::columns::{Columns, EXTRA, Row, TO_BE_FOUND};
use crate::text::tail;
use clock::Clock;
use shapes::{NewStep, Shapes, Slot, Step};
use stretches::Stretches;
use values::{TEXT_BYTES, ValueCache};
use wide::{are_plain, kept_length, plain_length, raw_length, token_length};

/// Records of a member without a known shape after which learning becomes rare: where every record has a shape of its own, or one that
/// cannot be learned, it would cost more than it gives.
const PATIENCE: u64 = 16;
/// Shapes with unknown members that are learned with their values. Where there come more, these seem to differ.
const SHAPES_OF_VALUES: u32 = 3;

/// Reads records of shapes that it has learned.
pub(super) struct UsualReader {
    shapes: Shapes,
    stretches: Stretches,
    clock: Clock,
    /// By column.
    caches: Vec<ValueCache>,
    found: Found,
    /// Records of the member that had no known shape.
    unknown: u64,
    /// Records of the member that were of a known shape.
    known: u64,
    /// Records of the member whose odd texts only were learned; `None` until one has such texts.
    learned_for_texts: Option<u64>,
    /// Shapes that were learned with the values of unknown members.
    of_values: u32,
    /// Memory for `extra`.
    extra: String,
}

/// A record that was found and not taken yet.
struct Found {
    time: i64,
    /// The text that does not repeat: its column, start and length in the window.
    plain: Option<(usize, usize, usize)>,
    /// Its last step.
    end: usize,
    /// Values of unknown members, where these differ from record to record: where they stand in the window.
    others: Vec<Range<usize>>,
    /// Texts that repeat and have no id yet: columns, and start and end in the window.
    unknown: Vec<(usize, usize, usize)>,
    /// Stretches that were not known: which, and start and end in the window.
    unknown_stretches: Vec<(usize, usize, usize)>,
}

/// A stretch whose steps are being walked one by one.
struct Open {
    stretch: usize,
    start: usize,
    /// Its last step.
    last: usize,
}

impl Open {
    const NONE: Self = Self { stretch: 0, start: 0, last: usize::MAX };
}

impl UsualReader {
    pub(super) fn new() -> Self {
        Self {
            shapes: Shapes::default(),
            stretches: Stretches::default(),
            clock: Clock::default(),
            caches: TEXT_COLUMNS.iter().map(|column| ValueCache::of(column)).collect(),
            found: Found {
                time: 0,
                plain: None,
                end: 0,
                others: Vec::new(),
                unknown: Vec::new(),
                unknown_stretches: Vec::new(),
            },
            unknown: 0,
            known: 0,
            learned_for_texts: None,
            of_values: 0,
            extra: String::new(),
        }
    }

    /// Finds a record at the start of a window, makes a row of what is known of it and tells its length. It can be taken then, once,
    /// from the same window.
    pub(super) fn find(&mut self, window: &[u8], columns: &mut Columns) -> Option<usize> {
        let Self { shapes, stretches, clock, caches, found, .. } = self;
        let row = columns.new_row()?;
        found.plain = None;
        found.others.clear();
        found.unknown.clear();
        found.unknown_stretches.clear();
        let mut open = Open::NONE;
        let (mut at, mut place, mut at_value) = (0, 0, false);
        loop {
            let step = shapes.step(place)?;
            let before = at;
            if !at_value {
                let rest = window.get(at..)?;
                if let Some(stretch) = step.stretch {
                    if let Some(behind) = stretches.find(stretch, rest, row) {
                        at += behind.length;
                        (place, at_value) = (behind.step, behind.at_value);
                        continue;
                    }
                    let Some(last) = stretches.last_step(stretch) else {
                        shapes.divide(place, stretches);
                        continue;
                    };
                    open = Open { stretch, start: at, last };
                }
                if !step.literal.stands(rest) {
                    place = step.other;
                    open = Open::NONE;
                    continue;
                }
                at += step.literal.length();
            }
            at_value = false;
            match step.slot {
                Slot::End => {
                    found.end = place;
                    return Some(at);
                }
                Slot::Nothing => {}
                _ => match found.value(step, (caches, clock), row, window, at)? {
                    Some(length) => at += length,
                    // Another kind of value may stand there.
                    None => {
                        (at, place, open) = (before, step.other, Open::NONE);
                        continue;
                    }
                },
            }
            if place == open.last {
                found.unknown_stretches.push((open.stretch, open.start, at));
            }
            place = step.next;
        }
    }

    /// Whether the record just found stands on one line.
    pub(super) fn is_one_line(&mut self) -> bool {
        self.shapes.step(self.found.end).is_some_and(|step| step.is_one_line)
    }

    /// Ends the row of the record just found.
    #[inline]
    pub(super) fn take(&mut self, window: &[u8], ordinal: i64, columns: &mut Columns) {
        let Found { time, plain, end, others, unknown, unknown_stretches } = &self.found;
        if let Some((column, start, length)) = *plain {
            columns.put_plain(column, tail(window, start), length);
        }
        if let Some(extra) = self.shapes.step(*end).and_then(|step| step.extra.as_deref()) {
            columns.set_text(EXTRA, extra.text(window, others, &mut self.extra));
        }
        let time = *time;
        self.known += 1;
        if !(unknown.is_empty() && unknown_stretches.is_empty()) {
            self.remember(window, columns);
        }
        columns.end_row(ordinal, time);
    }

    /// Gives ids to the texts that have none yet, and remembers them and the combinations that were not known.
    fn remember(&mut self, window: &[u8], columns: &mut Columns) {
        let Found { unknown, unknown_stretches, .. } = &self.found;
        for &(column, start, end) in unknown {
            let text = window.get(start..end).unwrap_or_default();
            let id = columns.id_of(column, text);
            if let (Some(id), Some(row), Some(cache)) = (id, columns.row(), self.caches.get_mut(column)) {
                row.set_id(column, id);
                cache.insert(text, id);
            }
        }
        for &(stretch, start, end) in unknown_stretches {
            if let Some(row) = columns.row() {
                self.stretches.insert(stretch, tail(window, start), end - start, row);
            }
        }
    }

    /// Learns the shape of a record that the general path has just taken.
    pub(super) fn learn(&mut self, record: &[u8], columns: &Columns) {
        self.unknown += 1;
        let learns_shapes = self.unknown <= PATIENCE || self.unknown.is_power_of_two();
        if !learns_shapes {
            // As long as it pays: what was learned so is met again.
            match &mut self.learned_for_texts {
                Some(learned) if *learned <= self.known / 2 => *learned += 1,
                _ => return,
            }
        }
        let extra = columns.newest_plain(EXTRA);
        let differ = self.of_values >= SHAPES_OF_VALUES;
        if let Some(steps) = learn::steps(record, extra, differ, &mut self.clock) {
            self.learn_odd_texts(record, &steps, columns);
            if learns_shapes {
                self.of_values += u32::from(extra.is_some() && !differ);
                self.shapes.add(steps, &mut self.stretches);
            }
        }
    }

    /// Remembers texts that are not plain, of a record with these steps, which is the newest row. What plain ones mean, they say themselves.
    fn learn_odd_texts(&mut self, record: &[u8], steps: &[NewStep], columns: &Columns) {
        let mut at = 0;
        for step in steps {
            let start = at + step.literal.length();
            at = start + step.length;
            let Slot::Text(column) = step.slot else {
                continue;
            };
            if let (Some(text), Some(id), Some(cache)) =
                (record.get(start..at), columns.newest_id(column), self.caches.get_mut(column))
                && record.get(at) == Some(&step.end)
                && !are_plain(text)
            {
                cache.insert(text, id);
                self.learned_for_texts.get_or_insert_default();
            }
        }
    }

    /// Good records of the member that had no known shape.
    #[cfg(test)]
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Whether any shape is known.
    pub(super) fn has_shapes(&self) -> bool {
        !self.shapes.is_empty()
    }

    /// Another member comes: it may have other shapes.
    pub(super) fn start_member(&mut self) {
        (self.unknown, self.known) = (0, 0);
        self.learned_for_texts = self.learned_for_texts.map(|_| 0);
    }

    /// Forgets all ids.
    pub(super) fn forget_ids(&mut self) {
        self.caches.iter_mut().for_each(ValueCache::forget);
        self.stretches.forget();
    }
}

impl Found {
    /// Reads the value of a step, which stands at this place of the window: puts what is known of it into the row, notes what is to be looked up
    /// when the record is taken, and tells its length. `Some(None)` where no value of its kind stands there, `None` where the record
    /// is for the general path.
    #[inline(always)]
    fn value(
        &mut self,
        step: &mut Step,
        (caches, clock): (&[ValueCache], &mut Clock),
        row: &mut Row,
        window: &[u8],
        at: usize,
    ) -> Option<Option<usize>> {
        let rest = window.get(at..)?;
        Some(Some(match step.slot {
            Slot::End | Slot::Nothing => 0,
            Slot::Time => {
                let length = step.guess(rest)?;
                self.time = clock.micros(rest.get(..length)?)?;
                length
            }
            Slot::Plain(column) => {
                let length = step.guess_plain(rest)?;
                // A shape has one at most.
                self.plain = Some((column, at, length));
                length
            }
            Slot::UnknownText => {
                let length = step.guess_plain(rest).or_else(|| kept_length(rest, step.end))?;
                self.others.push(at..at + length);
                length
            }
            Slot::UnknownToken => {
                let Some(length) = token_length(rest) else {
                    return Some(None);
                };
                self.others.push(at..at + length);
                length
            }
            Slot::Text(column) => {
                let (id, length) = known_text(step, caches.get(column)?, rest)?;
                match id {
                    Some(id) => row.set_id(column, id),
                    None => self.unknown.push((column, at, at + length)),
                }
                length
            }
            Slot::Key(column) => {
                let key = Key::of(rest, step.end);
                let (id, length) = match key {
                    Some(_) => (Some(TO_BE_FOUND), Key::length()),
                    None => known_text(step, caches.get(column)?, rest)?,
                };
                row.set_key(key.unwrap_or_default());
                match id {
                    Some(id) => row.set_id(column, id),
                    // An empty text is null.
                    None if length == 0 => {}
                    None => self.unknown.push((column, at, at + length)),
                }
                length
            }
        }))
    }
}

/// The id, if it is remembered, and the length of the text at the start of a window.
#[inline(never)]
fn known_text(step: &mut Step, cache: &ValueCache, window: &[u8]) -> Option<(Option<u32>, usize)> {
    // As long as the one before, and seen before: then nothing has to be done but to compare.
    if let Some(id) = cache.find(window, step.length, step.end) {
        return Some((Some(id), step.length));
    }
    other_text(step, cache, window)
}

/// The same for a text of another length, or a new one.
#[inline(never)]
fn other_text(step: &mut Step, cache: &ValueCache, window: &[u8]) -> Option<(Option<u32>, usize)> {
    if let Some(length) = plain_length(window, step.end) {
        step.length = length;
        return Some((cache.find(window, length, step.end), length));
    }
    // One that is not plain is known, or has to be parsed.
    let length = raw_length(window, step.end, TEXT_BYTES)?;
    let id = cache.find(window, length, step.end)?;
    step.length = length;
    Some((Some(id), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(address: &str, hsm: usize) -> String {
        format!(
            r#"{{"time":"2026-01-05 08:00:01 UTC","source":"thales/cloudhsm/1269134682167","resourceID":"r","actorID":"a","tenantID":"t","action":"LUNA_SIGN","status":"LUNA_RET_OK","traceID":"x","meta":"{{\"clientip\":\"{address}\",\"hsmid\":\"{hsm}\",\"ouid\":\"8e00000500000129a6630800\",\"partid\":\"1269134682167\",\"role\":\"CU\"}}"}}"#
        )
    }

    /// Their bytes differ where no other client's do.
    #[test]
    fn clients_with_longer_and_shorter_addresses_are_told_apart() {
        let addresses = (0..240).map(|number| match number % 3 {
            0 => format!("11.0.0.{number}"),
            1 => format!("11.0.{number}.{}", number * 7 % 256),
            _ => format!("192.168.{number}.{}", number * 11 % 256),
        });
        let clients: Vec<String> =
            addresses.flat_map(|address| (505_400..505_403).map(move |hsm| record(&address, hsm))).collect();
        for learned in ["1.0.0.1", "11.0.0.32", "192.168.100.200"] {
            let (mut reader, mut columns) = (UsualReader::new(), Columns::new());
            reader.learn(record(learned, 505_400).as_bytes(), &columns);
            let mut unknown = 0;
            for round in 0..2 {
                for client in &clients {
                    let window = format!("{client},{client}");
                    assert_eq!(reader.find(window.as_bytes(), &mut columns), Some(client.len()));
                    reader.take(window.as_bytes(), 0, &mut columns);
                    unknown += if round > 0 { reader.found.unknown_stretches.len() } else { 0 };
                }
            }
            assert!(unknown * 100 <= clients.len(), "{unknown} of {} were not known again", clients.len());
        }
    }

    /// A record of whose first four values two and two go together.
    fn paired(service: usize, client: usize, behind_hsm: &str) -> String {
        format!(
            r#"{{"time":"2026-01-05 08:00:01 UTC","source":"thales/{service}","resourceID":"r-{service}","actorID":"a-{client}","tenantID":"t-{client}","action":"LUNA_SIGN","status":"LUNA_RET_OK","traceID":"x","meta":"{{\"clientip\":\"11.0.0.1\",\"hsmid\":\"505400\"{behind_hsm}}}"}}"#
        )
    }

    fn ids(reader: &mut UsualReader, columns: &mut Columns, record: &str) -> Vec<u32> {
        let window = format!("{record},{record}");
        assert_eq!(reader.find(window.as_bytes(), columns), Some(record.len()), "{record}");
        reader.take(window.as_bytes(), 0, columns);
        let row = columns.rows() - 1;
        (0..TEXT_COLUMNS.len()).map(|column| columns.id(row, column)).collect()
    }

    #[test]
    fn a_stretch_whose_values_do_not_go_together_is_divided() {
        const CLIENTS: usize = 100;
        const COMBINATIONS: usize = CLIENTS * 100;
        let (mut reader, mut columns) = (UsualReader::new(), Columns::new());
        reader.learn(paired(10, 10, "").as_bytes(), &columns);
        let mut unknown = Vec::new();
        let mut found = Vec::new();
        for round in 0..2 {
            // All services with all clients, in an order in which neither repeats.
            for number in 0..COMBINATIONS {
                let combination = number * 7919 % COMBINATIONS;
                let (service, client) = (combination / CLIENTS, combination % CLIENTS);
                let ids = ids(&mut reader, &mut columns, &paired(service + 10, client + 10, ""));
                if round == 0 {
                    found.push(ids);
                } else {
                    assert_eq!(found[number], ids, "{service} {client}");
                    unknown.push(reader.found.unknown_stretches.len());
                }
            }
            columns.clear();
        }
        let services: std::collections::HashSet<&[u32]> = found.iter().map(|ids| &ids[..2]).collect();
        let clients: std::collections::HashSet<&[u32]> = found.iter().map(|ids| &ids[2..4]).collect();
        assert_eq!((services.len(), clients.len()), (COMBINATIONS / CLIENTS, CLIENTS));
        assert_eq!(unknown.iter().sum::<usize>(), 0, "each half is known by then");
    }

    #[test]
    fn what_follows_a_stretch_may_be_one_thing_and_then_another() {
        let (mut reader, mut columns) = (UsualReader::new(), Columns::new());
        let ends = ["", r#",\"ouid\":\"8e00000500000129a6630800\""#, r#",\"partid\":\"12\",\"role\":\"CU\""#];
        for known in 1..=ends.len() {
            reader.learn(paired(1, 1, ends[known - 1]).as_bytes(), &columns);
            for _ in 0..3 {
                for end in &ends[..known] {
                    ids(&mut reader, &mut columns, &paired(1, 1, end));
                }
                let none = ids(&mut reader, &mut columns, &paired(1, 1, ""));
                assert_eq!(reader.found.unknown_stretches.len(), 0);
                assert_eq!(none[9..12], [u32::MAX; 3], "nothing is left of the record before");
            }
        }
    }
}
