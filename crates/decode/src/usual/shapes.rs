//! The shapes of records: what stands between their values.
//!
//! A shape is a chain of steps: some bytes, then a value. Shapes that start alike share their first steps; where they part, a step knows
//! the others that may stand in its place. Two different steps never match the same bytes to different ends, because each is
//! the way of a JSON parser through the record, and there is only one.

use super::extra::Extra;
use super::stretches::Stretches;
use super::wide::{LANE, are_plain, equal_start, mask, plain_length};

/// Longest run of bytes between two values.
pub(super) const LITERAL_BYTES: usize = 2 * LANE;
/// Steps of all shapes together. Usual archives have one to four shapes of some 15 steps.
const STEPS_MAX: usize = 512;
/// No step.
const NONE: usize = usize::MAX;

/// Bytes that have to stand as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Literal {
    length: usize,
    bytes: [[u8; LANE]; 2],
    masks: [[u8; LANE]; 2],
}

impl Literal {
    /// `None` where there are too many bytes.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let mut padded = [0; LITERAL_BYTES];
        padded.get_mut(..text.len())?.copy_from_slice(text);
        let (bytes, _) = padded.as_chunks::<LANE>();
        let masks = [mask(text.len()), mask(text.len().saturating_sub(LANE))];
        Some(Self { length: text.len(), bytes: *bytes.first_chunk()?, masks })
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn has_line_feed(&self) -> bool {
        self.bytes.as_flattened().contains(&b'\n')
    }

    /// Whether a window starts with these bytes. `false` also where the window ends soon behind them.
    #[inline]
    pub(super) fn stands(&self, window: &[u8]) -> bool {
        let Some((start, rest)) = window.split_first_chunk::<LANE>() else {
            return false;
        };
        let [first, second] = &self.bytes;
        let [first_mask, second_mask] = &self.masks;
        equal_start(start, first, first_mask)
            && (self.length <= LANE
                || rest.first_chunk().is_some_and(|behind| equal_start(behind, second, second_mask)))
    }
}

/// What follows the bytes of a step. Columns by their place in `TEXT_COLUMNS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The record ends.
    End,
    /// More bytes follow that have to stand as they are.
    Nothing,
    Time,
    /// A text that repeats.
    Text(usize),
    /// A key, of which there are many; an empty text is null.
    Key(usize),
    /// A text that does not repeat.
    Plain(usize),
    /// A text of an unknown member.
    UnknownText,
    /// A number, a truth value or null of an unknown member.
    UnknownToken,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) literal: Literal,
    pub(super) slot: Slot,
    /// Byte that ends the value: `"`, or the `\` of `\"`.
    pub(super) end: u8,
    /// Length of the newest value: the guess for the next one.
    pub(super) length: usize,
    /// Step behind the value.
    pub(super) next: usize,
    /// Another step for the same place.
    pub(super) other: usize,
    /// The stretch that starts with this step.
    pub(super) stretch: Option<usize>,
    /// Where a record ends: what is left of it for `extra`.
    pub(super) extra: Option<Box<Extra>>,
    /// Where a record ends: whether it stands on one line.
    pub(super) is_one_line: bool,
}

impl Step {
    /// Whether no other step may stand in its place.
    pub(super) fn is_alone(&self) -> bool {
        self.other == NONE
    }

    /// Length of the text at the start of a window, which ends before [`Self::end`]; what it is made of is for the caller to check.
    #[inline]
    pub(super) fn guess(&mut self, window: &[u8]) -> Option<usize> {
        if window.get(self.length) != Some(&self.end) {
            self.length = plain_length(window, self.end)?;
        }
        Some(self.length)
    }

    /// Length of the plain text at the start of a window.
    #[inline]
    pub(super) fn guess_plain(&mut self, window: &[u8]) -> Option<usize> {
        if window.get(self.length) != Some(&self.end) || !are_plain(window.get(..self.length)?) {
            self.length = plain_length(window, self.end)?;
        }
        Some(self.length)
    }
}

/// A step to learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewStep {
    pub(super) literal: Literal,
    pub(super) slot: Slot,
    pub(super) end: u8,
    /// Length of the value.
    pub(super) length: usize,
    /// As in [`Step::extra`].
    pub(super) extra: Option<Box<Extra>>,
    /// As in [`Step::is_one_line`].
    pub(super) is_one_line: bool,
}

/// All shapes known. Step 0 is where every record starts.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy)]
enum Link {
    Next,
    Other,
}

impl Shapes {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    #[inline]
    pub(super) fn step(&mut self, place: usize) -> Option<&mut Step> {
        self.steps.get_mut(place)
    }

    /// Adds a shape. When there are too many, all others are forgotten.
    pub(super) fn add(&mut self, shape: Vec<NewStep>, stretches: &mut Stretches) {
        if self.steps.len() + shape.len() > STEPS_MAX {
            self.steps.clear();
            stretches.clear();
        }
        let known = self.steps.len();
        // The step to follow, and what leads to it.
        let mut place = 0;
        let mut link: Option<(usize, Link)> = None;
        for new in shape {
            (place, link) = self.skip_others(place, link, &new);
            let found = if place < known { place } else { self.append(new, link) };
            link = Some((found, Link::Next));
            place = self.steps.get(found).map_or(NONE, |step| step.next);
        }
        self.mark_stretches(known, stretches);
        stretches.follow(&self.steps);
    }

    /// Follows the others for a place to one that is the same as a new step, or to the end.
    fn skip_others(
        &self,
        mut place: usize,
        mut link: Option<(usize, Link)>,
        new: &NewStep,
    ) -> (usize, Option<(usize, Link)>) {
        while let Some(step) = self.steps.get(place)
            && (step.literal != new.literal || step.slot != new.slot)
        {
            link = Some((place, Link::Other));
            place = step.other;
        }
        (place, link)
    }

    fn append(&mut self, new: NewStep, link: Option<(usize, Link)>) -> usize {
        let index = self.steps.len();
        let NewStep { literal, slot, end, length, extra, is_one_line } = new;
        let (next, other, stretch) = (NONE, NONE, None);
        self.steps.push(Step { literal, slot, end, length, next, other, stretch, extra, is_one_line });
        match link.and_then(|(from, link)| Some((self.steps.get_mut(from)?, link))) {
            Some((step, Link::Next)) => step.next = index,
            Some((step, Link::Other)) => step.other = index,
            None => {}
        }
        index
    }

    /// Makes two stretches of one that is given up, which starts at a step, where it is long enough: of values that do not go together
    /// some may.
    #[cold]
    pub(super) fn divide(&mut self, start: usize, stretches: &mut Stretches) {
        let stretch = self.steps.get_mut(start).and_then(|step| step.stretch.take());
        let length = stretch.map_or(0, |stretch| stretches.length_of(stretch, start));
        let middle = start + length.div_ceil(2);
        for (from, to) in [(start, middle), (middle, start + length)] {
            let stretch = self.steps.get(from..to).and_then(|steps| stretches.add(steps, from));
            if let Some(step) = self.steps.get_mut(from).filter(|_| from < to) {
                step.stretch = stretch;
            }
        }
        stretches.follow(&self.steps);
    }

    /// Finds the stretches among the steps from one on, which follow each other.
    fn mark_stretches(&mut self, from: usize, stretches: &mut Stretches) {
        let mut start = from;
        while let Some(rest) = self.steps.get(start..).filter(|rest| !rest.is_empty()) {
            let length = Stretches::length_of_next(rest).max(1);
            let stretch = rest.get(..length).and_then(|steps| stretches.add(steps, start));
            if let Some(step) = self.steps.get_mut(start) {
                step.stretch = stretch;
            }
            start += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        let long = "x".repeat(LITERAL_BYTES);
        for text in ["", "a", "{\"time\":\"", &long[..LANE], &long[..LANE + 1], &long] {
            let literal = Literal::of(text.as_bytes()).unwrap();
            let window = format!("-{text}{}", "-".repeat(2 * LANE));
            assert!(literal.stands(&window.as_bytes()[1..]), "{text}");
            assert!(text.is_empty() || !literal.stands(window.as_bytes()), "{text}");
            assert!(!literal.stands(text.as_bytes()) || text.len() >= LANE, "the window ends soon: {text}");
            assert!(!literal.stands(b""), "{text}");
        }
        assert_eq!(Literal::of(format!("{long}x").as_bytes()), None);
    }
}
