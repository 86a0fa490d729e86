//! Chance: streams of random numbers that depend on the seed, a purpose and an index, and on nothing else.
//!
//! Ranges and weights are computed here, on whole numbers, so that the output does not change with the distributions of
//! the random library or with a machine's floating point.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// What a stream is for; streams of different purposes have nothing in common.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Clients, partitions and keys.
    World = 1,
    /// Planned rare events.
    Schedule = 2,
    /// Records of a slice.
    Slice = 3,
    /// Where faults go.
    Faults = 4,
    /// Contents of damaged archives.
    Damaged = 5,
}

/// One stream of chance.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut bytes = [0_u8; 32];
        let words = [seed, purpose as u64, index];
        for (to, from) in bytes.iter_mut().zip(words.iter().flat_map(|word| word.to_le_bytes())) {
            *to = from;
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `limit`; 0 where the limit is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(limit)) >> 64) as u64
    }

    pub(crate) fn below_len(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `parts` of a million cases.
    pub(crate) fn chance(&mut self, parts: u32) -> bool {
        parts > 0 && self.below(1_000_000) < u64::from(parts)
    }

    /// One of a list, all equally likely.
    pub(crate) fn one<T: Copy>(&mut self, list: &[T], fallback: T) -> T {
        let index = self.below_len(list.len());
        list.get(index).copied().unwrap_or(fallback)
    }

    /// One of a list, by weight.
    pub(crate) fn weighted<T: Copy>(&mut self, list: &[(T, u32)], fallback: T) -> T {
        let total: u64 = list.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = self.below(total);
        for &(item, weight) in list {
            let weight = u64::from(weight);
            if left < weight {
                return item;
            }
            left -= weight;
        }
        fallback
    }
}

/// Ranks by Zipf's law: rank n is drawn 1/n times as often as the first.
#[derive(Debug)]
pub(crate) struct Zipf(Vec<u64>);

impl Zipf {
    pub(crate) fn new(ranks: usize) -> Self {
        let mut sum = 0_u64;
        Self(
            (1..=ranks as u64)
                .map(|rank| {
                    sum += (1_u64 << 32) / rank;
                    sum
                })
                .collect(),
        )
    }

    /// A rank below `ranks`, from 0.
    pub(crate) fn draw(&self, dice: &mut Dice, ranks: usize) -> usize {
        let sums = self.0.get(..ranks.min(self.0.len())).unwrap_or_default();
        let point = dice.below(sums.last().copied().unwrap_or(0));
        sums.partition_point(|sum| *sum <= point).min(ranks.saturating_sub(1))
    }
}

/// A share as parts of a million.
pub(crate) fn parts_per_million(share: f64) -> u32 {
    (share * 1_000_000.0).round() as u32
}
