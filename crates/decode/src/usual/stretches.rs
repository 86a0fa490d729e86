//! Values that go together: what stands from one value to a later one, as one piece of bytes seen before.
//!
//! A client acts from one address, on one partition of one service: four or five neighbouring values are then one of a few
//! hundred combinations. A combination is found by some of its bytes at fixed places, and it is the same only if all its bytes are. Its
//! bytes have been read value by value before, so it means the same texts again.

use std::hint::black_box;
use std::iter::repeat;

use keytrail_model::schema::TEXT_COLUMNS;

use super::shapes::{Slot, Step};
use crate::columns::{NULL, Row};

/// Columns whose values go together. A stretch takes the first group that holds its first column.
const GROUPS: [Group; 3] = [
    Group { columns: &["source", "resource_id", "actor_id", "tenant_id"], lengths_vary: false },
    Group { columns: &["action", "status"], lengths_vary: true },
    Group { columns: &["client_ip", "hsm_id", "partition_id", "role"], lengths_vary: false },
];

#[derive(Debug)]
struct Group {
    columns: &'static [&'static str],
    /// Whether the first value is now short, now long.
    lengths_vary: bool,
}

/// Values of a stretch at most.
const VALUES_MAX: usize = 4;
/// Bytes from the start of a stretch among which it is sampled.
const SAMPLED_BYTES: usize = u8::MAX as usize + 8;
/// Bytes of the shortest address.
const SHORTEST_ADDRESS: usize = "0.0.0.0".len();
/// From the first place of a last value to the second: both cover the six digits of an HSM also where the address before it is the longest,
/// `255.255.255.255`, 8 bytes more.
const LATER: usize = 6;
/// Odd numbers whose multiples carry every bit of a word up to the highest ones.
const FACTORS: [u64; VALUES_MAX] =
    [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];
/// Places for combinations, as a power of two. Beyond half as many, or beyond so many bytes, all are forgotten.
const PLACES_BITS: u32 = 12;
const BYTES_MAX: usize = 512 << 10;
/// Places that are looked at for a combination.
const PROBES: usize = 4;
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
    samples: [u8; VALUES_MAX],
    /// Columns of the values; where there are fewer, the last of them again.
    columns: [u8; VALUES_MAX],
    /// Its last step, and the step behind it.
    last: usize,
    next: usize,
    places: Vec<Place>,
    /// Combinations, one behind the other: a header, then the bytes. So both come to the processor together.
    known: Vec<u8>,
    taken: usize,
    sought: u32,
    missed: u32,
    /// Length of the newest combination, and how many in a row had it, up to [`STEADY`].
    length: usize,
    steady: u8,
}

/// Combinations in a row of one length after which the next one is expected to have it, too.
const STEADY: u8 = 16;

/// Where a combination lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its hash, as far as the place itself does not tell it.
    tag: u32,
    /// [`FREE`] where there is none.
    start: u32,
}

const FREE: u32 = u32::MAX;

/// The ids of the values of a combination, in little-endian bytes.
type Ids = [[u8; 4]; VALUES_MAX];

/// A combination, as it lies among the known ones: the length of its bytes, the ids of its values, its bytes and the one behind them.
#[derive(Clone, Copy)]
struct Combination<'a> {
    length: u32,
    ids: &'a Ids,
    /// With the byte behind the last value.
    bytes: &'a [u8],
}

const HEADER_BYTES: usize = 4 * (1 + VALUES_MAX);

impl<'a> Combination<'a> {
    /// The combination at the start of some bytes.
    #[inline]
    fn at(bytes: &'a [u8]) -> Option<Self> {
        let (header, bytes) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (length, ids) = header.as_chunks().0.split_first()?;
        let length = u32::from_le_bytes(*length);
        Some(Self { length, ids: ids.first_chunk()?, bytes: bytes.get(..=length as usize)? })
    }

    fn put(&self, known: &mut Vec<u8>) {
        known.extend_from_slice(&self.length.to_le_bytes());
        known.extend_from_slice(self.ids.as_flattened());
        known.extend_from_slice(self.bytes);
    }
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
        let mut columns = [0; VALUES_MAX];
        for (place, step) in columns.iter_mut().zip(steps.iter().chain(repeat(last))) {
            let Slot::Text(column) = step.slot else {
                return None;
            };
            *place = u8::try_from(column).ok()?;
        }
        self.stretches.push(Stretch {
            samples: samples(steps),
            columns,
            last: first + steps.len() - 1,
            next: last.next,
            places: vec![Place { tag: 0, start: FREE }; 1 << PLACES_BITS],
            known: Vec::new(),
            taken: 0,
            sought: 0,
            missed: 0,
            length: 0,
            steady: 0,
        });
        Some(self.stretches.len() - 1)
    }

    /// Finds a known combination at the start of a window: sets the ids of its columns, tells its length and the step behind it.
    #[inline]
    pub(super) fn find(&mut self, stretch: usize, window: &[u8], row: &mut Row) -> Option<(usize, usize)> {
        let stretch = self.stretches.get_mut(stretch)?;
        let hash = hash_of(window, &stretch.samples)?;
        stretch.sought += 1;
        let Some(Combination { length, ids, .. }) = stretch.combination(window, hash) else {
            stretch.missed += 1;
            stretch.judge();
            return None;
        };
        for (column, id) in stretch.columns.into_iter().zip(ids) {
            row.set_id(column.into(), u32::from_le_bytes(*id));
        }
        Some((stretch.expected(length as usize), stretch.next))
    }

    /// The last step of a stretch; `None` where its combinations are not to be remembered.
    pub(super) fn last_step(&self, stretch: usize) -> Option<usize> {
        self.stretches.get(stretch).filter(|stretch| !stretch.places.is_empty()).map(|stretch| stretch.last)
    }

    /// Remembers a combination of this length at the start of a window, with the ids of its record.
    pub(super) fn insert(&mut self, stretch: usize, window: &[u8], length: usize, row: &Row) {
        let (Some(stretch), Some(bytes)) = (self.stretches.get_mut(stretch), window.get(..=length)) else {
            return;
        };
        let (Some(hash), Ok(length)) = (hash_of(window, &stretch.samples), u32::try_from(length)) else {
            return;
        };
        let ids = stretch.columns.map(|column| row.id(column.into()));
        // Null for an empty text is not remembered.
        if !ids.contains(&NULL) {
            stretch.remember(hash, Combination { length, ids: &ids.map(u32::to_le_bytes), bytes });
        }
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
    /// The combination at the start of a window.
    #[inline]
    fn combination(&self, window: &[u8], hash: u64) -> Option<Combination<'_>> {
        let (first, tag) = first_place(hash);
        for at in first..first + PROBES {
            let place = self.places.get(at % (1 << PLACES_BITS))?;
            if place.tag == tag && place.start != FREE {
                let combination = Combination::at(self.known.get(place.start as usize..)?)?;
                return (window.get(..combination.bytes.len()) == Some(combination.bytes)).then_some(combination);
            }
            if place.start == FREE {
                return None;
            }
        }
        None
    }

    /// Puts a combination into the place of one that only looks the same, or into the first free one. Where there is none, it takes the
    /// place that is looked at first.
    fn remember(&mut self, hash: u64, combination: Combination<'_>) {
        let bytes = HEADER_BYTES + combination.bytes.len();
        if self.taken >= self.places.len() / 2 || self.known.len() + bytes > BYTES_MAX {
            self.forget();
        }
        let Ok(start) = u32::try_from(self.known.len()) else {
            return;
        };
        combination.put(&mut self.known);
        let (first, tag) = first_place(hash);
        let fits = |at: &usize| {
            self.places.get(at % (1 << PLACES_BITS)).is_some_and(|place| place.start == FREE || place.tag == tag)
        };
        let at = (first..first + PROBES).find(fits).unwrap_or(first);
        if let Some(place) = self.places.get_mut(at % (1 << PLACES_BITS)) {
            *place = Place { tag, start };
            self.taken += 1;
        }
    }

    /// The length of a combination: as a guess that was right, where lengths are steady. The processor goes on from a guess at once,
    /// while what was looked up is still on its way.
    #[inline]
    fn expected(&mut self, length: usize) -> usize {
        let guess = self.length;
        // The compiler must not conclude that the guess and the length are the same number: it would wait for the length again.
        let is_right = black_box(guess == length);
        if self.steady == STEADY && is_right {
            return guess;
        }
        // Nor is there a branch, which nobody could foresee where lengths vary.
        self.steady = (self.steady + 1).min(STEADY) * u8::from(is_right);
        self.length = length;
        length
    }

    fn forget(&mut self) {
        self.places.fill(Place { tag: 0, start: FREE });
        self.known.clear();
        self.taken = 0;
    }

    /// Gives up a stretch whose combinations hardly repeat.
    fn judge(&mut self) {
        if self.sought >= TRIAL {
            if self.missed > self.sought / 2 {
                self.places = Vec::new();
                self.known = Vec::new();
            }
            (self.sought, self.missed) = (0, 0);
        }
    }
}

fn column_of(step: &Step) -> Option<&'static str> {
    match step.slot {
        Slot::Text(column) => TEXT_COLUMNS.get(column).copied(),
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
/// Usually the last bytes of each value and the first of the last one; where there is room for twice as many places, also where the same
/// values stand if those before them are longer. Of addresses, whose lengths vary, all bytes. Where more lengths vary: side by side from the
/// first value on, behind `LUNA_`, for about the shortest combination of an action and a status.
fn samples(steps: &[Step]) -> [u8; VALUES_MAX] {
    let mut samples = [0_usize; VALUES_MAX];
    let Some(group) = steps.first().and_then(group_of) else {
        return [0; VALUES_MAX];
    };
    let has_room = steps.len() * 2 <= VALUES_MAX;
    let mut at = 0;
    let (mut usual, mut more) = (Vec::new(), Vec::new());
    for (index, step) in steps.iter().enumerate() {
        let start = at + step.literal.length();
        let is_address = has_room && column_of(step) == Some("client_ip");
        at = start + if is_address { SHORTEST_ADDRESS } else { step.length };
        let is_last = index + 1 == steps.len();
        let (first, second) = match (is_last, is_address) {
            (true, _) => (start, start + LATER),
            (false, true) => (start, start + 8),
            (false, false) => (at.saturating_sub(8), at),
        };
        usual.push(first);
        more.push(second);
    }
    samples.iter_mut().zip(usual.into_iter().chain(more)).for_each(|(sample, at)| *sample = at);
    if group.lengths_vary {
        let start = steps.first().map_or(0, |step| step.literal.length()) + b"LUNA_".len();
        samples.iter_mut().zip((start..).step_by(8)).for_each(|(sample, at)| *sample = at);
    }
    samples.map(|sample| u8::try_from(sample).unwrap_or(u8::MAX))
}

#[inline]
fn hash_of(window: &[u8], samples: &[u8; VALUES_MAX]) -> Option<u64> {
    let head = window.first_chunk::<SAMPLED_BYTES>()?;
    let mut hash = 0_u64;
    for (&sample, factor) in samples.iter().zip(FACTORS) {
        // Every sample lies inside, so nothing is checked.
        let at = usize::from(sample);
        let word = head.get(at..at + 8).and_then(|word| word.first_chunk()).copied().unwrap_or_default();
        // Each word by itself, so that none waits for another.
        hash ^= u64::from_le_bytes(word).wrapping_mul(factor);
    }
    Some(hash)
}

/// The place where a combination is looked for first, and what marks it there.
#[inline]
fn first_place(hash: u64) -> (usize, u32) {
    // The highest bits depend on all others.
    let place = usize::try_from(hash >> (u64::BITS - PLACES_BITS)).unwrap_or_default();
    (place, (hash >> (u64::BITS - PLACES_BITS - u32::BITS)) as u32)
}
