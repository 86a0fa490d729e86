//! Which records of a member: a bit for each ordinal up to the last one that was put there.

/// Ordinals of a member.
#[derive(Debug, Default)]
pub(crate) struct Ordinals(Vec<u64>);

impl Ordinals {
    /// Puts an ordinal there. One from `limit` on is left out: no record of the archive stands there, and it would cost memory.
    pub(crate) fn put(&mut self, ordinal: i64, limit: u64) {
        let Some((word, bit)) = place(ordinal).filter(|_| ordinal.cast_unsigned() < limit) else {
            return;
        };
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    pub(crate) fn has(&self, ordinal: i64) -> bool {
        place(ordinal).is_some_and(|(word, bit)| self.0.get(word).is_some_and(|word| word & bit != 0))
    }
}

/// Index of a word, and the bit in it.
fn place(ordinal: i64) -> Option<(usize, u64)> {
    let ordinal = u64::try_from(ordinal).ok()?;
    Some((usize::try_from(ordinal / 64).ok()?, 1 << (ordinal % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_there_once_put() {
        let mut ordinals = Ordinals::default();
        [3, 64, 3, 700, -1, 701, i64::MAX].into_iter().for_each(|ordinal| ordinals.put(ordinal, 701));
        let found: Vec<i64> = (-2..800).filter(|&ordinal| ordinals.has(ordinal)).collect();
        assert_eq!(found, [3, 64, 700]);
        assert!(!ordinals.has(i64::MAX) && !ordinals.has(i64::MIN));
        let mut others = Ordinals::default();
        others.put(5, 9);
        others.add(&ordinals);
        ordinals.add(&others);
        for sum in [ordinals, others] {
            assert_eq!((0..800).filter(|&ordinal| sum.has(ordinal)).collect::<Vec<i64>>(), [3, 5, 64, 700]);
        }
    }
}
