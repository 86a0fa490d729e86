//! Spans of time in which duplicates are possible at all: equal records have equal times.

use std::collections::BTreeSet;

/// Spans of time in which duplicates are possible: sorted, inclusive, apart from each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// The spans that at least two archives cover, or an archive and a file of the store.
    pub(crate) fn of(archives: impl Iterator<Item = (i64, i64)>, files: impl Iterator<Item = (i64, i64)>) -> Self {
        // At one time, beginnings come before ends: spans that share only an instant do overlap.
        let mut edges: Vec<(i64, bool, bool)> = Vec::new();
        for (is_file, (first, last)) in archives.map(|span| (false, span)).chain(files.map(|span| (true, span))) {
            edges.push((first, false, is_file));
            edges.push((last, true, is_file));
        }
        edges.sort_unstable();
        let (mut open_archives, mut open_files, mut begun) = (0_u64, 0_u64, None);
        let mut spans = Vec::new();
        for (time, is_end, is_file) in edges {
            let open = if is_file { &mut open_files } else { &mut open_archives };
            *open = if is_end { open.saturating_sub(1) } else { *open + 1 };
            let shared = open_archives >= 2 || open_archives >= 1 && open_files >= 1;
            match begun {
                None if shared => begun = Some(time),
                Some(from) if !shared => {
                    spans.push((from, time));
                    begun = None;
                }
                _ => {}
            }
        }
        Self(spans)
    }

    /// Whether any span shares a time with `first..=last`.
    pub(crate) fn touch(&self, first: i64, last: i64) -> bool {
        let next = self.0.partition_point(|&(_, to)| to < first);
        self.0.get(next).is_some_and(|&(from, _)| from <= last)
    }

    /// Whether one span covers all of `first..=last`.
    pub(super) fn cover(&self, first: i64, last: i64) -> bool {
        let next = self.0.partition_point(|&(_, to)| to < first);
        self.0.get(next).is_some_and(|&(from, to)| from <= first && last <= to)
    }

    /// At most so many spans that cover these: only the widest gaps stay open.
    pub(super) fn coarse(&self, most: usize) -> Vec<(i64, i64)> {
        let gaps = self.0.iter().zip(self.0.iter().skip(1)).map(|((_, to), (from, _))| from - to);
        let mut gaps: Vec<(i64, usize)> = gaps.zip(1..).collect();
        gaps.sort_unstable_by(|a, b| b.cmp(a));
        let open: BTreeSet<usize> = gaps.into_iter().map(|(_, next)| next).take(most.saturating_sub(1)).collect();
        let mut coarse: Vec<(i64, i64)> = Vec::new();
        for (index, &(from, to)) in self.0.iter().enumerate() {
            match coarse.last_mut() {
                Some((_, last)) if !open.contains(&index) => *last = to,
                _ => coarse.push((from, to)),
            }
        }
        coarse
    }

    pub(super) fn contain(&self, time: i64) -> bool {
        self.touch(time, time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_are_shared() {
        type Sides = [(i64, i64)];
        let cases: [(&Sides, &Sides, &Sides); 8] = [
            (&[(0, 10), (11, 20)], &[], &[]),
            (&[(0, 10), (10, 20)], &[], &[(10, 10)]),
            (&[(0, 10), (5, 20), (15, 30)], &[], &[(5, 10), (15, 20)]),
            (&[(0, 100), (5, 6), (7, 8)], &[], &[(5, 6), (7, 8)]),
            (&[(0, 10)], &[(0, 10), (3, 4)], &[(0, 10)]),
            (&[], &[(0, 10), (3, 4)], &[]),
            (&[(5, 5), (5, 5)], &[], &[(5, 5)]),
            (&[(8, 20)], &[(0, 10), (18, 30)], &[(8, 10), (18, 20)]),
        ];
        for (archives, files, expected) in cases {
            let spans = Spans::of(archives.iter().copied(), files.iter().copied());
            assert_eq!(spans.0, expected, "{archives:?} {files:?}");
        }
        let spans = Spans(vec![(5, 10), (15, 20)]);
        for (time, inside) in [(4, false), (5, true), (10, true), (11, false), (15, true), (21, false)] {
            assert_eq!(spans.contain(time), inside, "{time}");
        }
        for (first, last, covered) in [(5, 10, true), (6, 9, true), (4, 6, false), (9, 11, false), (5, 20, false)] {
            assert_eq!(spans.cover(first, last), covered, "{first} {last}");
        }
        assert!(spans.touch(0, 5) && spans.touch(20, 90) && spans.touch(11, 16) && !spans.touch(11, 14));
    }

    #[test]
    fn coarse_spans_keep_the_widest_gaps() {
        let spans = Spans(vec![(0, 1), (3, 4), (10, 11), (12, 13), (20, 30)]);
        let cases: [(usize, &[(i64, i64)]); 5] = [
            (9, &[(0, 1), (3, 4), (10, 11), (12, 13), (20, 30)]),
            (4, &[(0, 1), (3, 4), (10, 13), (20, 30)]),
            (3, &[(0, 4), (10, 13), (20, 30)]),
            (2, &[(0, 13), (20, 30)]),
            (1, &[(0, 30)]),
        ];
        for (most, expected) in cases {
            assert_eq!(spans.coarse(most), expected, "{most}");
        }
        assert_eq!(Spans::default().coarse(3), []);
    }
}
