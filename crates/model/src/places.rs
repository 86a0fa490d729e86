//! Sets of places: numbers of records within a member, most of which follow each other.

use std::collections::HashMap;

/// Words of a block: a cache line.
const WORDS: u64 = 8;

/// A set of numbers, with a bit for each of numbers that follow each other.
///
/// Memory depends on how many numbers are held, not on how large they are: an ordinal, and the count that limits it, may be forged. A
/// number that is far from all others takes some hundred bytes.
#[derive(Debug, Clone, Default)]
pub struct PlaceSet(HashMap<u64, [u64; WORDS as usize]>);

impl PlaceSet {
    /// Takes `rows` numbers from `first` on; how many of them were taken already, and the least of those.
    pub fn take(&mut self, first: u64, rows: u64) -> (u64, Option<u64>) {
        let (mut at, end, mut again, mut least) = (first, first.saturating_add(rows), 0, None);
        while at < end {
            let (block, word, bit) = split(at);
            let length = (64 - bit).min(end - at);
            let mask = (u64::MAX >> (64 - length)) << bit;
            if let Some(word) = self.0.entry(block).or_default().get_mut(word) {
                let repeated = *word & mask;
                again += u64::from(repeated.count_ones());
                if repeated != 0 {
                    least.get_or_insert(at - bit + u64::from(repeated.trailing_zeros()));
                }
                *word |= mask;
            }
            at += length;
        }
        (again, least)
    }

    /// Takes an ordinal below `limit`; elsewhere no record stands.
    pub fn put(&mut self, ordinal: i64, limit: u64) {
        if let Some(number) = u64::try_from(ordinal).ok().filter(|&number| number < limit) {
            self.take(number, 1);
        }
    }

    /// Takes all that another set has.
    pub fn add(&mut self, other: &Self) {
        for (block, words) in &other.0 {
            let own = self.0.entry(*block).or_default();
            own.iter_mut().zip(words).for_each(|(own, other)| *own |= other);
        }
    }

    /// Whether an ordinal was taken.
    #[must_use]
    pub fn has_ordinal(&self, ordinal: i64) -> bool {
        u64::try_from(ordinal).is_ok_and(|number| self.has(number))
    }

    fn has(&self, number: u64) -> bool {
        let (block, word, bit) = split(number);
        self.0.get(&block).and_then(|block| block.get(word)).is_some_and(|word| word >> bit & 1 == 1)
    }
}

/// Places of an archive, by the name of the member. Members of one name share theirs.
#[derive(Debug, Clone, Default)]
pub struct MemberPlaces(HashMap<String, PlaceSet>);

impl MemberPlaces {
    /// The places of a member.
    #[must_use]
    pub fn of(&self, member: &str) -> Option<&PlaceSet> {
        self.0.get(member)
    }

    /// As [`PlaceSet::put`], for a member.
    pub fn put(&mut self, member: &str, ordinal: i64, limit: u64) {
        self.on(member, |places| places.put(ordinal, limit));
    }

    /// As [`PlaceSet::take`], for a member.
    pub fn take(&mut self, member: &str, first: u64, rows: u64) -> (u64, Option<u64>) {
        self.on(member, |places| places.take(first, rows))
    }

    /// The name is copied only where it is new: this is called for every row.
    fn on<R>(&mut self, member: &str, work: impl FnOnce(&mut PlaceSet) -> R) -> R {
        match self.0.get_mut(member) {
            Some(places) => work(places),
            None => work(self.0.entry(member.to_owned()).or_default()),
        }
    }

    /// Members that have places.
    #[must_use]
    pub fn members(&self) -> usize {
        self.0.len()
    }
}

/// Block of a number, word in the block, bit in the word.
fn split(number: u64) -> (u64, usize, u64) {
    let word = number / 64;
    (word / WORDS, (word % WORDS) as usize, number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_a_set_of_numbers(
            base in prop::sample::select(vec![0, 1 << 40, 1 << 61, u64::MAX - 2000]),
            takes in prop::collection::vec((0..1500_u64, 0..500_u64), 0..10),
        ) {
            let (mut places, mut plain) = (PlaceSet::default(), BTreeSet::new());
            for (first, rows) in takes {
                let again: Vec<u64> = (base + first..base + first + rows).filter(|number| !plain.insert(*number)).collect();
                prop_assert_eq!(places.take(base + first, rows), (again.len() as u64, again.first().copied()));
            }
            for number in base..=base + 2000 {
                prop_assert_eq!(places.has(number), plain.contains(&number));
            }
        }
    }

    #[test]
    fn ordinals_are_there_once_put() {
        let mut places = PlaceSet::default();
        [3, 64, 3, 700, -1, 701, i64::MAX].into_iter().for_each(|ordinal| places.put(ordinal, 701));
        let found = |places: &PlaceSet| (-2..800).filter(|&ordinal| places.has_ordinal(ordinal)).collect::<Vec<i64>>();
        assert_eq!(found(&places), [3, 64, 700]);
        assert!(!places.has_ordinal(i64::MAX) && !places.has_ordinal(i64::MIN));
        let mut others = PlaceSet::default();
        others.put(5, 9);
        others.add(&places);
        places.add(&others);
        assert_eq!((found(&places), found(&others)), (vec![3, 5, 64, 700], vec![3, 5, 64, 700]));
    }

    #[test]
    fn memory_is_taken_for_what_is_held() {
        let mut places = PlaceSet::default();
        for number in [0, 1 << 20, 1 << 40, 1 << 61, u64::MAX] {
            assert_eq!(places.take(number, 1), (0, None));
        }
        assert_eq!(places.0.len(), 4, "a block for each; the last number has none behind it");
    }
}
