//! Whether threads are done about as soon in one order of files as in another.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How much longer files may take in the order of time than largest first, in hundredths.
const LONGER_MAX: u64 = 2;

/// Whether files of these lengths, taken in their order by so many threads, take no longer than largest first, or hardly so.
pub(crate) fn takes_no_longer(bytes: &[u64], threads: usize) -> bool {
    let mut largest_first = bytes.to_vec();
    largest_first.sort_unstable_by_key(|bytes| Reverse(*bytes));
    let least = busy(&largest_first, threads);
    busy(bytes, threads) <= least.saturating_add(least / 100 * LONGER_MAX)
}

/// Bytes of the thread that has most to do, if each takes the next file when it is done with one, and all are as fast.
fn busy(bytes: &[u64], threads: usize) -> u64 {
    let mut busy: BinaryHeap<Reverse<u64>> = (0..threads.max(1)).map(|_| Reverse(0)).collect();
    for bytes in bytes {
        if let Some(mut least) = busy.peek_mut() {
            least.0 = least.0.saturating_add(*bytes);
        }
    }
    busy.into_iter().map(|Reverse(bytes)| bytes).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matters_where_a_large_file_comes_late() {
        let cases: [(&[u64], usize, bool); 8] = [
            (&[], 2, true),
            (&[7], 2, true),
            (&[1, 1, 1, 1, 1, 100], 1, true),
            (&[10; 30], 2, true),
            (&[10; 31], 2, true),
            (&[100, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10], 2, true),
            (&[10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 100], 2, false),
            (&[u64::MAX, u64::MAX, u64::MAX], 2, true),
        ];
        for (bytes, threads, expected) in cases {
            assert_eq!(takes_no_longer(bytes, threads), expected, "{bytes:?} {threads}");
        }
        assert_eq!(busy(&[3, 5, 4, 1], 2), 7, "3 + 4, then 5 + 1");
        assert_eq!(busy(&[3], 0), 3);
    }
}
