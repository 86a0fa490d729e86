//! Spans of time: those that several archives share, and those of archives that are not at hand.

/// Disjoint spans, both ends included, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// All moments that at least `times` of the spans hold.
    pub(super) fn covered(spans: impl Iterator<Item = (i64, i64)>, times: usize) -> Self {
        // A span begins before it ends, also where it holds one moment only.
        let mut edges: Vec<(i64, bool)> = spans.flat_map(|(first, last)| [(first, false), (last, true)]).collect();
        edges.sort_unstable();
        let (mut open, mut since, mut found) = (0_usize, None, Vec::<(i64, i64)>::new());
        for (time, is_end) in edges {
            open = if is_end { open.saturating_sub(1) } else { open + 1 };
            if !is_end && open == times {
                since = Some(time);
            }
            if is_end
                && open + 1 == times
                && let Some(from) = since.take()
            {
                match found.last_mut().filter(|(_, to)| *to >= from) {
                    Some((_, to)) => *to = time,
                    None => found.push((from, time)),
                }
            }
        }
        Self(found)
    }

    pub(super) fn contains(&self, time: i64) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= time);
        after.checked_sub(1).and_then(|place| self.0.get(place)).is_some_and(|(_, last)| time <= *last)
    }

    /// Whether any moment of `from..until` is in a span.
    pub(super) fn touches(&self, (from, until): (i64, i64)) -> bool {
        self.0.iter().any(|(first, last)| *first < until && *last >= from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn moments_are_counted(spans in prop::collection::vec((0..30_i64, 0..9_i64), 0..9), times in 1..4_usize) {
            let spans: Vec<_> = spans.into_iter().map(|(first, length)| (first, first + length)).collect();
            let found = Spans::covered(spans.iter().copied(), times);
            for moment in -1..40 {
                let holding = spans.iter().filter(|(first, last)| (*first..=*last).contains(&moment)).count();
                prop_assert_eq!(found.contains(moment), holding >= times, "{} {:?}", moment, found);
                prop_assert_eq!(found.touches((moment, moment + 1)), holding >= times);
            }
        }
    }
}
