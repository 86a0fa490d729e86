//! Values that go together: what stands from one value to a later one, as one piece of bytes seen before.
//!
//! A client acts from one address, on one partition of one service: four or five neighbouring values are then one of a few
//! hundred combinations. A combination is found by some of its bytes at fixed places, and it is the same only if all its bytes are. Its
//! bytes have been read value by value before, so it means the same texts again.

use keytrail_model::schema::TEXT_COLUMNS;

use super::shapes::{Slot, Step};
use crate::columns::{NULL, RowIds};

/// Columns whose values go together. A stretch takes the first group that holds its first column.
const GROUPS: [Group; 3] = [
    Group { columns: &["source", "resource_id", "actor_id", "tenant_id"], lengths_vary: false, places_bits: 10 },
    Group { columns: &["action", "status"], lengths_vary: true, places_bits: 10 },
    Group { columns: &["client_ip", "hsm_id", "partition_id", "role"], lengths_vary: false, places_bits: 10 },
];

#[derive(Debug)]
struct Group {
    columns: &'static [&'static str],
    /// Whether the first value is now short, now long.
    lengths_vary: bool,
    /// Number of places for combinations, as a power of two.
    places_bits: u32,
}

/// Values of a stretch at most.
const VALUES_MAX: usize = 4;
/// Bytes from the start of a stretch among which it is sampled.
const SAMPLED_BYTES: usize = 256;
/// Odd numbers whose multiples carry every bit of a word up to the highest ones.
const FACTORS: [u64; VALUES_MAX] =
    [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];
/// Bytes for each place: beyond that all combinations are forgotten.
const BYTES_PER_PLACE: usize = 128;
/// Stretches of all shapes together.
const STRETCHES_MAX: usize = 24;
/// Combinations sought after which a stretch is judged: where most are new, it is not worth its while.
const TRIAL: u32 = 4096;

/// The stretches of all shapes.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    stretches: Vec<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    /// Places of the bytes by which a combination is found, from its start.
    samples: [usize; VALUES_MAX],
    columns: [usize; VALUES_MAX],
    values: usize,
    /// Byte behind the last value.
    end: u8,
    /// Its last step, and the step behind it.
    last: usize,
    next: usize,
    /// Bits of a hash that do not count.
    shift: u32,
    places: Vec<Place>,
    bytes: Vec<u8>,
    sought: u32,
    missed: u32,
}

/// A combination.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    start: u32,
    /// 0 where there is none.
    length: u32,
    ids: [u32; VALUES_MAX],
}

impl Stretches {
    /// How many steps at the start of a chain make one stretch.
    pub(super) fn length_of_next(steps: &[Step]) -> usize {
        let Some(group) = steps.first().and_then(group_of) else {
            return 0;
        };
        let fits = |step: &&Step| column_of(step).is_some_and(|column| group.columns.contains(&column));
        steps.iter().take(VALUES_MAX).take_while(fits).count()
    }

    /// Adds the stretch of these steps, the first of which is step `first`. `None` where it is not worth it or there are too many.
    pub(super) fn add(&mut self, steps: &[Step], first: usize) -> Option<usize> {
        if steps.len() < 2 || self.stretches.len() >= STRETCHES_MAX {
            return None;
        }
        let last = steps.last()?;
        let group = group_of(steps.first()?)?;
        let mut columns = [0; VALUES_MAX];
        for (place, step) in columns.iter_mut().zip(steps) {
            let Slot::Text { column, .. } = step.slot else {
                return None;
            };
            *place = column;
        }
        self.stretches.push(Stretch {
            samples: samples(steps),
            columns,
            values: steps.len(),
            end: last.end,
            last: first + steps.len() - 1,
            next: last.next,
            shift: u64::BITS - group.places_bits,
            places: vec![Place::default(); 1 << group.places_bits],
            bytes: Vec::new(),
            sought: 0,
            missed: 0,
        });
        Some(self.stretches.len() - 1)
    }

    /// Finds a known combination at the start of a window: sets the ids of its columns, tells its length and the step behind it.
    #[inline]
    pub(super) fn find(&mut self, stretch: usize, window: &[u8], ids: &mut RowIds) -> Option<(usize, usize)> {
        let stretch = self.stretches.get_mut(stretch)?;
        let place = stretch.places.get(place_of(window, &stretch.samples, stretch.shift)?)?;
        stretch.sought += 1;
        let (start, length) = (place.start as usize, place.length as usize);
        let same = length > 0
            && window.get(length) == Some(&stretch.end)
            && window.get(..length) == stretch.bytes.get(start..start + length);
        if !same {
            stretch.missed += 1;
            stretch.judge();
            return None;
        }
        for (&column, &id) in stretch.columns.iter().zip(&place.ids).take(stretch.values) {
            *ids.get_mut(column)? = id;
        }
        Some((length, stretch.next))
    }

    /// The last step of a stretch; `None` where its combinations are not to be remembered.
    pub(super) fn last_step(&self, stretch: usize) -> Option<usize> {
        self.stretches.get(stretch).filter(|stretch| !stretch.places.is_empty()).map(|stretch| stretch.last)
    }

    /// Remembers a combination of this length at the start of a window, with the ids of its record.
    pub(super) fn insert(&mut self, stretch: usize, window: &[u8], length: usize, ids: &RowIds) {
        let (Some(stretch), Some(bytes)) = (self.stretches.get_mut(stretch), window.get(..length)) else {
            return;
        };
        if stretch.bytes.len() + bytes.len() > stretch.places.len() * BYTES_PER_PLACE {
            stretch.forget();
        }
        let mut place = Place { start: 0, length: 0, ids: [0; VALUES_MAX] };
        for (id, &column) in place.ids.iter_mut().zip(&stretch.columns).take(stretch.values) {
            // Null for an empty text is not remembered.
            match ids.get(column) {
                Some(&known) if known != NULL => *id = known,
                _ => return,
            }
        }
        let Some(slot) =
            place_of(window, &stretch.samples, stretch.shift).and_then(|slot| stretch.places.get_mut(slot))
        else {
            return;
        };
        place.start = u32::try_from(stretch.bytes.len()).unwrap_or_default();
        place.length = u32::try_from(bytes.len()).unwrap_or_default();
        stretch.bytes.extend_from_slice(bytes);
        *slot = place;
    }

    /// Forgets all combinations.
    pub(super) fn forget(&mut self) {
        self.stretches.iter_mut().for_each(Stretch::forget);
    }

    /// Forgets all stretches.
    pub(super) fn clear(&mut self) {
        self.stretches.clear();
    }
}

impl Stretch {
    fn forget(&mut self) {
        self.places.fill(Place::default());
        self.bytes.clear();
    }

    /// Gives up a stretch whose combinations hardly repeat.
    fn judge(&mut self) {
        if self.sought >= TRIAL {
            if self.missed > self.sought / 2 {
                self.places = Vec::new();
                self.bytes = Vec::new();
            }
            (self.sought, self.missed) = (0, 0);
        }
    }
}

fn column_of(step: &Step) -> Option<&'static str> {
    match step.slot {
        Slot::Text { column, .. } => TEXT_COLUMNS.get(column).copied(),
        _ => None,
    }
}

fn group_of(step: &Step) -> Option<&'static Group> {
    let column = column_of(step)?;
    GROUPS.iter().find(|group| group.columns.contains(&column))
}

/// Where to look for the bytes that tell combinations apart, 8 at each place. The places must lie inside also where values are shorter
/// than in the record that was learned, or not far behind: far behind, there are bytes that never repeat.
///
/// Usually the last bytes of each value and the first of the last one. Where lengths vary: side by side from the first value on, behind
/// `LUNA_`, for about the shortest combination of an action and a status.
fn samples(steps: &[Step]) -> [usize; VALUES_MAX] {
    let mut samples = [0; VALUES_MAX];
    let Some(group) = steps.first().and_then(group_of) else {
        return samples;
    };
    let mut at = 0;
    for (index, (sample, step)) in samples.iter_mut().zip(steps).enumerate() {
        at += step.literal.length();
        let is_last = index + 1 == steps.len();
        *sample = if is_last { at } else { (at + step.length).saturating_sub(8) };
        at += step.length;
    }
    if group.lengths_vary {
        let start = steps.first().map_or(0, |step| step.literal.length()) + b"LUNA_".len();
        samples.iter_mut().zip((start..).step_by(8)).for_each(|(sample, at)| *sample = at);
    }
    samples
}

#[inline]
fn place_of(window: &[u8], samples: &[usize; VALUES_MAX], shift: u32) -> Option<usize> {
    let head = window.first_chunk::<SAMPLED_BYTES>()?;
    let mut hash = 0_u64;
    for (&sample, factor) in samples.iter().zip(FACTORS) {
        // The smaller number is the same one; it spares a check for each sample.
        let at = sample.min(SAMPLED_BYTES - 8);
        let word = head.get(at..at + 8).and_then(|word| word.first_chunk()).copied().unwrap_or_default();
        // Each word by itself, so that none waits for another.
        hash ^= u64::from_le_bytes(word).wrapping_mul(factor);
    }
    usize::try_from(hash >> shift).ok()
}
