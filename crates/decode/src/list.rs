//! Finding records in a member that is a JSON list, however damaged it is.
//!
//! Elements are found one by one; the list is never parsed as one value. What becomes of each:
//! - An object that the parsers take in, or whose fault leaves no doubt about its end, is one record.
//! - An object that is *broken* (a quote or bracket is missing, or its end) is one reject that reaches to the first resync point
//!   ([`crate::resync`]) behind its start. So its neighbours are kept, also those it seemed to swallow.
//! - Any other element followed by `,` or `]` is one reject.
//! - Anything else between two records is one reject up to the next resync point.
//! - A comma too many, a missing comma, a missing `]` and text behind `]` are one reject each.
//!
//! What is decided never depends on where a window ends, only on the member's bytes; where more bytes could change a decision, the
//! splitter waits for them. It waits for at most the longest record and a few KiB, so memory is bounded; it reads no byte more often than
//! nesting is deep, so time is bounded too.

use keytrail_model::prefetch::prefetch;

use crate::intake::{Records, Verdict};
use crate::resync::{Before, Resync, Search};
use crate::scan::{Scan, ScanEnd, guess_end};
use crate::sink::DecodeError;
use crate::text::{blanks, head, shown, shown_or_end, tail, trim_end};
use crate::window::Window;

/// An element is scanned byte by byte only if no end can be guessed within so many bytes.
const GUESS_BYTES: usize = 4096;
/// Length at which an object without end is first checked for being broken; then at each doubling. Without this check every missing
/// quote would cost a scan of up to the longest record.
const FIRST_CHECK_BYTES: usize = 1024;
/// How far before they are needed bytes are asked for.
const AHEAD_BYTES: usize = 8192;
/// Blanks that are looked through where what follows them decides something; behind more of them it decides nothing.
const MAX_GAP_BYTES: usize = 4096;

/// Splits a list; resumable at any byte. Starts behind the opening `[`.
#[derive(Debug)]
pub(crate) struct ListSplitter {
    max_record_bytes: usize,
    place: Place,
    task: Task,
    /// Byte of a comma that an element must follow.
    comma_to_follow: Option<u64>,
    /// Commas too many, until something else stands behind them.
    surplus: Option<Surplus>,
    /// Whether a `]` has closed the list, or damage at the member's end may have swallowed it.
    closed: bool,
}

/// Where in the list the next token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    AfterElement,
    AfterComma,
    Closed,
}

#[derive(Debug)]
enum Task {
    /// Reading what stands between elements.
    Separate,
    /// Finding the end of an element, which starts the window.
    Element { scan: Scan, next_check: usize },
    /// Passing over bytes up to the next resync point.
    Skip(Box<Skip>),
}

#[derive(Debug, Clone, Copy)]
struct Surplus {
    offset: u64,
    count: u64,
    leading: bool,
}

/// Bytes that will be one reject.
#[derive(Debug)]
struct Skip {
    offset: u64,
    /// The first bytes passed over.
    raw: Vec<u8>,
    /// `None` where parsing the bytes tells the reason.
    reason: Option<String>,
    resync: Resync,
    /// End of a broken object by its brackets, while not passed: where the list ends right behind it, the reject ends there.
    end: Option<u64>,
}

/// What a step did with the start of its window.
enum Step {
    Consumed(usize),
    /// Consumed, and needs bytes behind the window to go on.
    Starved(usize),
}

impl ListSplitter {
    pub(crate) fn new(max_record_bytes: usize) -> Self {
        Self {
            max_record_bytes,
            place: Place::First,
            task: Task::Separate,
            comma_to_follow: None,
            surplus: None,
            closed: false,
        }
    }

    /// Reads elements from a window that starts at byte `base` of the member, behind what was consumed before. Returns how many bytes it
    /// consumed: all of them when the member ends here.
    pub(crate) fn advance(
        &mut self,
        window: Window<'_>,
        base: u64,
        records: &mut Records<'_>,
    ) -> Result<usize, DecodeError> {
        let ends_here = window.ends_here;
        let mut at = 0;
        loop {
            if let Task::Element { scan, .. } = &self.task
                && scan.is_new()
            {
                let usual = usual_records(window.from(at), records)?;
                at += usual.length;
                if usual.ends_with_record {
                    self.finish_element(0);
                    continue;
                }
                if records.waits_for_more(window.from(at)) {
                    return Ok(at);
                }
            }
            let rest = window.from(at).text();
            let offset = base + at as u64;
            let step = match &mut self.task {
                Task::Separate => self.separate(rest, offset, ends_here, records)?,
                Task::Element { .. } if rest.first() == Some(&b'{') => self.object(rest, offset, ends_here, records)?,
                Task::Element { .. } => self.other_element(rest, offset, ends_here, records)?,
                Task::Skip(_) => self.skip(rest, ends_here, records)?,
            };
            match step {
                Step::Consumed(more) => at += more,
                Step::Starved(more) => return Ok(at + more),
            }
        }
    }

    /// Reads blanks, commas and brackets up to the next element or the end of the window.
    fn separate(
        &mut self,
        rest: &[u8],
        offset: u64,
        ends_here: bool,
        records: &mut Records<'_>,
    ) -> Result<Step, DecodeError> {
        let gap = blanks(rest);
        let offset = offset + gap as u64;
        let Some(&byte) = rest.get(gap) else {
            if ends_here {
                self.end(offset, records)?;
            }
            return Ok(Step::Starved(gap));
        };
        if byte != b',' {
            self.reject_surplus(records)?;
        }
        match (self.place, byte) {
            (Place::First | Place::AfterElement | Place::AfterComma, b',') => {
                self.comma(offset);
                return Ok(Step::Consumed(gap + 1));
            }
            (Place::First | Place::AfterElement | Place::AfterComma, b']') => {
                self.reject_trailing_comma(records)?;
                self.place = Place::Closed;
                self.closed = true;
                return Ok(Step::Consumed(gap + 1));
            }
            (Place::First | Place::AfterComma, _) => self.start_element(byte),
            (Place::AfterElement, b'{') => {
                records.reject(
                    offset,
                    format!("expected ',' between records, found '{{' at byte {offset}"),
                    Vec::new(),
                )?;
                self.start_element(byte);
            }
            (Place::Closed, b'{') => {
                records.reject(offset, after_the_list(byte, offset), Vec::new())?;
                self.start_element(byte);
            }
            (Place::AfterElement, _) => {
                let reason = format!("expected ',' or ']' after an element, found {} at byte {offset}", shown(byte));
                self.start_skip(offset, Before::NoMember, Some(reason), None);
            }
            (Place::Closed, _) => {
                self.start_skip(offset, Before::NoMember, Some(after_the_list(byte, offset)), None);
            }
        }
        Ok(Step::Consumed(gap))
    }

    fn comma(&mut self, offset: u64) {
        match (&mut self.surplus, self.place) {
            (Some(surplus), _) => surplus.count += 1,
            (None, Place::AfterElement) => self.comma_to_follow = Some(offset),
            (None, place) => {
                self.surplus = Some(Surplus { offset, count: 1, leading: place == Place::First });
            }
        }
        self.place = Place::AfterComma;
    }

    fn reject_surplus(&mut self, records: &mut Records<'_>) -> Result<(), DecodeError> {
        let Some(Surplus { offset, count, leading }) = self.surplus.take() else {
            return Ok(());
        };
        // A `]` right behind needs no reject of its own.
        self.comma_to_follow = None;
        let expected = if leading { "a record or ']' after '['" } else { "a record after ','" };
        let commas = if count == 1 { "','".to_owned() } else { format!("{count} commas") };
        let raw = vec![b','; usize::try_from(count).unwrap_or(usize::MAX).min(self.max_record_bytes)];
        records.reject(offset, format!("expected {expected}, found {commas} at byte {offset}"), raw)
    }

    fn reject_trailing_comma(&mut self, records: &mut Records<'_>) -> Result<(), DecodeError> {
        let Some(offset) = self.comma_to_follow.take() else {
            return Ok(());
        };
        let reason = format!("expected a record after ',' at byte {offset}, found ']'");
        records.reject(offset, reason, b",".to_vec())
    }

    fn start_element(&mut self, first: u8) {
        self.comma_to_follow = None;
        self.task = Task::Element { scan: Scan::new(first), next_check: FIRST_CHECK_BYTES };
    }

    fn start_skip(&mut self, offset: u64, before: Before, reason: Option<String>, end: Option<usize>) {
        let resync = Resync::new(before, MAX_GAP_BYTES);
        let end = end.map(|end| end as u64);
        self.task = Task::Skip(Box::new(Skip { offset, raw: Vec::new(), reason, resync, end }));
    }

    /// An element of the list was dealt with.
    fn finish_element(&mut self, length: usize) -> Step {
        self.task = Task::Separate;
        self.place = Place::AfterElement;
        Step::Consumed(length)
    }

    /// Finds the end of an object and hands it over.
    fn object(
        &mut self,
        rest: &[u8],
        offset: u64,
        ends_here: bool,
        records: &mut Records<'_>,
    ) -> Result<Step, DecodeError> {
        let Task::Element { scan, next_check } = &mut self.task else {
            return Ok(Step::Consumed(0));
        };
        if scan.is_new() {
            let guess = guess_end(head(rest, GUESS_BYTES));
            if guess.is_none() && rest.len() < GUESS_BYTES && !ends_here {
                return Ok(Step::Starved(0));
            }
            if let Some(length) = guess
                && length <= self.max_record_bytes
                && records.record(offset, head(rest, length))? == Verdict::Settled
            {
                return Ok(self.finish_element(length));
            }
        }
        match find_end(scan, next_check, rest, ends_here, self.max_record_bytes, records) {
            End::At(length) => {
                if records.record(offset, head(rest, length))? == Verdict::Settled {
                    return Ok(self.finish_element(length));
                }
                self.start_skip(offset, before_next(rest), None, Some(length));
            }
            End::Starved => return Ok(Step::Starved(0)),
            End::Broken => self.start_skip(offset, before_next(rest), None, None),
            End::TooFar => {
                let limit = self.max_record_bytes;
                let reason = format!("expected a record of at most {limit} bytes, found a longer one at byte {offset}");
                self.start_skip(offset, Before::Comma, Some(reason), None);
            }
        }
        Ok(Step::Consumed(0))
    }

    /// Finds the end of an element that is no object and rejects it.
    fn other_element(
        &mut self,
        rest: &[u8],
        offset: u64,
        ends_here: bool,
        records: &mut Records<'_>,
    ) -> Result<Step, DecodeError> {
        let Task::Element { scan, next_check } = &mut self.task else {
            return Ok(Step::Consumed(0));
        };
        match find_end(scan, next_check, rest, ends_here, self.max_record_bytes, records) {
            End::Starved => return Ok(Step::Starved(0)),
            End::At(length) => {
                let behind = tail(rest, length);
                let gap = blanks(head(behind, MAX_GAP_BYTES));
                match behind.get(gap) {
                    Some(b',' | b']') => {
                        let element = head(rest, length);
                        let found = records.kind(element);
                        let reason = format!("expected an object, found {found} at byte {offset}");
                        records.reject(offset, reason, element.to_vec())?;
                        return Ok(self.finish_element(length));
                    }
                    None if !ends_here => return Ok(Step::Starved(0)),
                    _ => {}
                }
            }
            End::Broken | End::TooFar => {}
        }
        let found = shown_or_end(rest.first().copied());
        let reason = format!("expected an object, found {found} at byte {offset}");
        self.start_skip(offset, Before::NoMember, Some(reason), None);
        Ok(Step::Consumed(0))
    }

    /// Passes over bytes up to the next resync point and makes them one reject.
    fn skip(&mut self, rest: &[u8], ends_here: bool, records: &mut Records<'_>) -> Result<Step, DecodeError> {
        let Task::Skip(skip) = &mut self.task else {
            return Ok(Step::Consumed(0));
        };
        let Some(to_end) = skip.bytes_to_end() else {
            return match skip.pass(rest, ends_here, self.max_record_bytes) {
                Search::Found(at) => self.resynchronise(at, records),
                Search::NotIn(_) if ends_here => {
                    // Whether the list was closed somewhere in there is part of the same doubt: no further reject for it.
                    self.closed = true;
                    self.place = Place::Closed;
                    let length = skip.resync.passed_to_text();
                    self.reject_skipped(length, records)?;
                    Ok(Step::Consumed(rest.len()))
                }
                Search::NotIn(at) => Ok(Step::Starved(at)),
            };
        };
        if to_end > 0 {
            // What the scan took for the object holds all of a resync point or nothing of it.
            return match skip.pass(head(rest, to_end), true, self.max_record_bytes) {
                Search::Found(at) => self.resynchronise(at, records),
                Search::NotIn(at) => Ok(Step::Consumed(at)),
            };
        }
        match list_ends(rest, ends_here) {
            None => return Ok(Step::Starved(0)),
            Some(false) => skip.end = None,
            Some(true) => {
                let length = skip.resync.passed_to_text();
                self.reject_skipped(length, records)?;
                self.place = Place::AfterElement;
            }
        }
        Ok(Step::Consumed(0))
    }

    /// Goes on with the record at a resync point, so many bytes further.
    fn resynchronise(&mut self, at: usize, records: &mut Records<'_>) -> Result<Step, DecodeError> {
        if let Task::Skip(skip) = &self.task {
            let length = skip.resync.passed_to_separator();
            self.reject_skipped(length, records)?;
        }
        self.place = Place::AfterComma;
        self.start_element(b'{');
        Ok(Step::Consumed(at))
    }

    /// Makes the first bytes passed over one reject.
    fn reject_skipped(&mut self, length: u64, records: &mut Records<'_>) -> Result<(), DecodeError> {
        let Task::Skip(skip) = std::mem::replace(&mut self.task, Task::Separate) else {
            return Ok(());
        };
        let Skip { offset, mut raw, reason, .. } = *skip;
        let is_whole = length <= raw.len() as u64;
        raw.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        let reason = match reason {
            Some(reason) => reason,
            None if is_whole => records.reason(offset, &raw),
            None => format!("expected the end of a record, found none in {length} bytes at byte {offset}"),
        };
        records.reject(offset, reason, raw)
    }

    /// The member ends between elements.
    fn end(&mut self, offset: u64, records: &mut Records<'_>) -> Result<(), DecodeError> {
        self.reject_surplus(records)?;
        if !self.closed {
            self.closed = true;
            let reason = format!("expected ']' at the end of the list, found the end at byte {offset}");
            records.reject(offset, reason, Vec::new())?;
        }
        Ok(())
    }
}

impl Skip {
    /// Bytes to [`Self::end`], if there is one.
    fn bytes_to_end(&self) -> Option<usize> {
        self.end.map(|end| usize::try_from(end.saturating_sub(self.resync.passed())).unwrap_or(usize::MAX))
    }

    /// Passes over a window up to a resync point, keeping its bytes as long as there is room.
    fn pass(&mut self, window: &[u8], ends_here: bool, room: usize) -> Search {
        let search = self.resync.search(window, ends_here);
        let (Search::Found(passed) | Search::NotIn(passed)) = search;
        self.raw.extend_from_slice(head(head(window, passed), room.saturating_sub(self.raw.len())));
        search
    }
}

/// Records of shapes met before, one after the other.
struct Usual {
    /// Bytes: up to the end of a record, or to the start of the next one.
    length: usize,
    ends_with_record: bool,
}

/// Takes records as long as they have shapes met before and only a comma and blanks are between them.
fn usual_records(window: Window<'_>, records: &mut Records<'_>) -> Result<Usual, DecodeError> {
    let mut start = 0;
    loop {
        let rest = tail(window.bytes, start);
        // Records are read faster than the processor fetches them by itself.
        (0..8).for_each(|line| prefetch(rest, AHEAD_BYTES + line * 64));
        let Some(length) = records.find_usual(rest) else {
            return Ok(Usual { length: start, ends_with_record: false });
        };
        records.take_usual(rest, length)?;
        let Some(next) = next_record(tail(rest, length)) else {
            return Ok(Usual { length: start + length, ends_with_record: true });
        };
        start += length + next;
    }
}

/// Bytes from the end of a record to the next one, where only a comma and blanks are between them.
#[inline]
fn next_record(behind: &[u8]) -> Option<usize> {
    if behind.first_chunk() == Some(b",{") {
        return Some(1);
    }
    let comma = blanks(behind);
    let next = comma + 1 + blanks(tail(behind, comma + 1));
    (behind.get(comma) == Some(&b',') && behind.get(next) == Some(&b'{')).then_some(next)
}

/// Where an element ends.
enum End {
    At(usize),
    /// Not in this window, but perhaps further on.
    Starved,
    /// Nowhere: it is broken, or the member ends in it.
    Broken,
    /// Not within the longest record.
    TooFar,
}

/// Finds the end of the element that starts a window.
fn find_end(
    scan: &mut Scan,
    next_check: &mut usize,
    element: &[u8],
    ends_here: bool,
    max_record_bytes: usize,
    records: &mut Records<'_>,
) -> End {
    loop {
        let limit = (*next_check).min(max_record_bytes);
        match scan.resume(element, limit) {
            ScanEnd::At(length) => return End::At(length),
            ScanEnd::Unknown if element.len() < limit => {
                return if ends_here { End::Broken } else { End::Starved };
            }
            ScanEnd::Unknown if limit == max_record_bytes => return End::TooFar,
            ScanEnd::Unknown if records.is_broken_start(head(element, limit)) => return End::Broken,
            ScanEnd::Unknown => *next_check *= 2,
        }
    }
}

/// Whether a window starts with the end of the list and nothing behind it. `None` where further bytes decide.
fn list_ends(window: &[u8], ends_here: bool) -> Option<bool> {
    let view = head(window, MAX_GAP_BYTES);
    let is_all = ends_here || view.len() == MAX_GAP_BYTES;
    let gap = blanks(view);
    match view.get(gap) {
        Some(b']') if trim_end(tail(view, gap + 1)).is_empty() => is_all.then_some(true),
        Some(_) => Some(false),
        None => is_all.then_some(false),
    }
}

/// What must stand before the resync point behind a broken object. Behind a stray `{`, which no name follows, it need not be a comma.
fn before_next(object: &[u8]) -> Before {
    let behind = tail(object, 1);
    if behind.get(blanks(behind)) == Some(&b'"') { Before::Comma } else { Before::NoMember }
}

fn after_the_list(found: u8, offset: u64) -> String {
    format!("expected nothing after the ']' of the list, found {} at byte {offset}", shown(found))
}
