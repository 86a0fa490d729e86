//! Values that go together: what stands from one value to a later one, as one piece of bytes seen before.
//!
//! A client acts from one address, on one partition of one service: four or five neighbouring values are then one of a few
//! hundred combinations. A combination is found by some of its bytes at fixed places, and it is the same only if all its bytes are. Its
//! bytes have been read value by value before, so it means the same texts again. Where only one step may follow, the bytes that lead to its
//! value belong to the combination.

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
/// Places for combinations, as a power of two. Beyond three quarters as many, or beyond so many bytes, all are forgotten.
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
    /// How many of the bytes that lead to the value of the step behind it belong to a combination: all or none.
    lead: usize,
    places: Vec<Place>,
    /// Combinations, one behind the other: ids, then the bytes. So both come to the processor together.
    known: Vec<u8>,
    taken: usize,
    sought: u32,
    missed: u32,
    /// The length of all known combinations, while they share one: then what is behind them can be looked for before one is found.
    shared_length: Option<u16>,
}

/// Where the walk through a record goes on behind a combination.
pub(super) struct Behind {
    /// Length of the combination.
    pub(super) length: usize,
    pub(super) step: usize,
    /// Whether the combination ends at the value of that step.
    pub(super) at_value: bool,
}

/// Where a combination lies, and how long it is: so the next value can be looked for before the combination is there.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its hash, as far as the place itself does not tell it.
    tag: u32,
    /// Start among the known ones, in units of [`UNIT`].
    start: u16,
    /// Length of its bytes. 0 where there is none.
    length: u16,
}

const FREE: Place = Place { tag: 0, start: 0, length: 0 };

/// Combinations start at multiples of so many bytes.
const UNIT: usize = 16;
const _: () = assert!(BYTES_MAX <= UNIT << u16::BITS, "a place reaches all of them");

/// The ids of the values of a combination, in little-endian bytes.
type Ids = [[u8; 4]; VALUES_MAX];

const IDS_BYTES: usize = size_of::<Ids>();

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
            lead: 0,
            places: vec![FREE; 1 << PLACES_BITS],
            known: Vec::new(),
            taken: 0,
            sought: 0,
            missed: 0,
            shared_length: None,
        });
        Some(self.stretches.len() - 1)
    }

    /// Looks anew at what may follow the stretches, by the steps of all shapes.
    pub(super) fn follow(&mut self, steps: &[Step]) {
        for stretch in &mut self.stretches {
            let lead = steps.get(stretch.next).filter(|next| next.is_alone() && next.stretch.is_none());
            let lead = lead.map_or(0, |next| next.literal.length());
            if lead != stretch.lead {
                stretch.lead = lead;
                stretch.forget();
            }
        }
    }

    /// Finds a known combination at the start of a window: sets the ids of its columns and tells what is behind it.
    #[inline]
    pub(super) fn find(&mut self, stretch: usize, window: &[u8], row: &mut Row) -> Option<Behind> {
        let stretch = self.stretches.get_mut(stretch)?;
        let hash = hash_of(window, &stretch.samples)?;
        stretch.sought += 1;
        let Some((length, ids)) = stretch.combination(window, hash) else {
            stretch.missed += 1;
            stretch.judge();
            return None;
        };
        for (column, id) in stretch.columns.into_iter().zip(ids) {
            row.set_id(column.into(), u32::from_le_bytes(*id));
        }
        Some(Behind { length, step: stretch.next, at_value: stretch.lead > 0 })
    }

    /// How many steps a stretch has that starts at this one.
    pub(super) fn length_of(&self, stretch: usize, start: usize) -> usize {
        self.stretches.get(stretch).map_or(0, |stretch| stretch.last + 1 - start)
    }

    /// The last step of a stretch; `None` where it was given up.
    pub(super) fn last_step(&self, stretch: usize) -> Option<usize> {
        self.stretches.get(stretch).filter(|stretch| !stretch.places.is_empty()).map(|stretch| stretch.last)
    }

    /// Remembers a combination whose values end behind this length at the start of a window, in a record of a known shape with these ids.
    pub(super) fn insert(&mut self, stretch: usize, window: &[u8], length: usize, row: &Row) {
        let Some(stretch) = self.stretches.get_mut(stretch) else {
            return;
        };
        let length = length + stretch.lead;
        let (Some(hash), Some(bytes)) = (hash_of(window, &stretch.samples), window.get(..stretch.compared(length)))
        else {
            return;
        };
        let ids = stretch.columns.map(|column| row.id(column.into()));
        // Null for an empty text is not remembered.
        if let (Ok(length), false) = (u16::try_from(length), ids.contains(&NULL)) {
            stretch.remember(hash, &ids.map(u32::to_le_bytes), bytes, length);
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
    /// The combination at the start of a window: its length and ids.
    #[inline]
    fn combination(&self, window: &[u8], hash: u64) -> Option<(usize, &Ids)> {
        let (first, tag) = first_place(hash);
        for at in first..first + PROBES {
            let place = self.places.get(at % (1 << PLACES_BITS))?;
            if place.length == 0 {
                return None;
            }
            if place.tag == tag {
                let length = self.length_of(place);
                let start = usize::from(place.start) * UNIT;
                let (ids, bytes) = self.known.get(start..)?.split_first_chunk::<IDS_BYTES>()?;
                let compared = self.compared(length);
                let is_same = window.get(..compared)? == bytes.get(..compared)?;
                return is_same.then_some((length, ids.as_chunks().0.first_chunk()?));
            }
        }
        None
    }

    /// The length of the combination of a place.
    #[inline]
    fn length_of(&self, place: &Place) -> usize {
        match self.shared_length {
            // The processor goes on from here at once, while the place is still on its way. The compiler must not know that both are
            // lengths: it would take one of them without a branch, and so wait for both.
            Some(length) => black_box(usize::from(length)),
            None => place.length.into(),
        }
    }

    /// How many bytes have to be the same for a combination of this length to be the same: also the one behind the last value.
    #[inline]
    fn compared(&self, length: usize) -> usize {
        length + usize::from(self.lead == 0)
    }

    /// Puts a combination into the place of one that only looks the same, or into the first free one. Where there is none, it takes the
    /// place that is looked at first.
    fn remember(&mut self, hash: u64, ids: &Ids, bytes: &[u8], length: u16) {
        if self.taken >= self.places.len() / 4 * 3 || self.known.len() + UNIT + IDS_BYTES + bytes.len() > BYTES_MAX {
            self.forget();
        }
        let Ok(start) = u16::try_from(self.known.len().div_ceil(UNIT)) else {
            return;
        };
        self.shared_length = match self.shared_length {
            _ if self.known.is_empty() => Some(length),
            shared => shared.filter(|shared| *shared == length),
        };
        self.known.resize(usize::from(start) * UNIT, 0);
        self.known.extend_from_slice(ids.as_flattened());
        self.known.extend_from_slice(bytes);
        let (first, tag) = first_place(hash);
        let fits = |at: &usize| {
            self.places.get(at % (1 << PLACES_BITS)).is_some_and(|place| place.length == 0 || place.tag == tag)
        };
        let at = (first..first + PROBES).find(fits).unwrap_or(first);
        if let Some(place) = self.places.get_mut(at % (1 << PLACES_BITS)) {
            *place = Place { tag, start, length };
            self.taken += 1;
        }
    }

    fn forget(&mut self) {
        self.places.fill(FREE);
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
