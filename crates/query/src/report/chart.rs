//! The geometry of a bar chart: one bar a day. All in whole units of the picture, so that equal figures give equal bytes.

use serde::Serialize;

/// Width and height of the picture.
const WIDTH: i64 = 760;
const HEIGHT: i64 = 220;
/// Left edge, top and bottom of the area of the bars.
const LEFT: i64 = 70;
const TOP: i64 = 12;
const BOTTOM: i64 = 190;
/// Blank units between two bars.
const BLANK: i64 = 4;

/// A chart, ready for the template.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    id: &'static str,
    title: &'static str,
    description: String,
    width: i64,
    height: i64,
    left: i64,
    bottom: i64,
    bars: Vec<Bar>,
    ticks: Vec<Tick>,
}

#[derive(Debug, Serialize)]
struct Bar {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
    middle: i64,
    /// Shown below the bar: the day of the month.
    day: String,
    /// Shown on pointing at the bar.
    title: String,
}

#[derive(Debug, Serialize)]
struct Tick {
    y: i64,
    label: String,
}

/// A chart of one count a day; `days` are (`YYYY-MM-DD`, count).
pub(super) fn of(id: &'static str, title: &'static str, days: &[(&str, i64)]) -> Chart {
    let most = days.iter().map(|(_, count)| *count).max().unwrap_or_default();
    let top = round_up(most);
    let slot = (WIDTH - LEFT) / i64::try_from(days.len().max(1)).unwrap_or(1);
    // In 128 bits, because a count times a height may not fit in 64.
    let height_of = |count: i64| -> i64 {
        // Rounded up: a day with one record among millions is not a day without.
        let height = (i128::from(count) * i128::from(BOTTOM - TOP) + i128::from(top) - 1) / i128::from(top);
        i64::try_from(height).unwrap_or(BOTTOM - TOP)
    };
    let bars = (0..).zip(days).map(|(index, (date, count))| {
        let (x, height) = (LEFT + index * slot + BLANK / 2, height_of(*count));
        let width = (slot - BLANK).max(1);
        let day = date.rsplit('-').next().unwrap_or_default().trim_start_matches('0').to_owned();
        Bar { x, y: BOTTOM - height, width, height, middle: x + width / 2, day, title: format!("{date}: {count}") }
    });
    let mut ticks = vec![0, top / 2, top];
    ticks.dedup();
    Chart {
        id,
        title,
        description: describe(days, most),
        width: WIDTH,
        height: HEIGHT,
        left: LEFT,
        bottom: BOTTOM,
        bars: bars.collect(),
        ticks: ticks.into_iter().map(|count| Tick { y: BOTTOM - height_of(count), label: count.to_string() }).collect(),
    }
}

/// The chart in words, for readers who do not see it.
fn describe(days: &[(&str, i64)], most: i64) -> String {
    let total: i64 = days.iter().map(|(_, count)| count).sum();
    let empty = days.iter().filter(|(_, count)| *count == 0).count();
    match days.iter().find(|(_, count)| *count == most) {
        Some((date, _)) if most > 0 => {
            format!("{total} in {} days; most on {date} ({most}); none on {empty} days.", days.len())
        }
        _ => "None in the whole month.".into(),
    }
}

/// The least of 1, 2, 5, 10, 20, 50, ... that is not below a count; at least 1.
fn round_up(count: i64) -> i64 {
    let mut unit: i64 = 1;
    loop {
        for factor in [1, 2, 5] {
            let candidate = unit.saturating_mul(factor);
            if candidate >= count {
                return candidate;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_ends() {
        for (count, expected) in [(0, 1), (1, 1), (3, 5), (5, 5), (6, 10), (101, 200), (i64::MAX, i64::MAX)] {
            assert_eq!(round_up(count), expected);
        }
    }

    #[test]
    fn bars_stand_for_their_counts() {
        let chart = of("c", "C", &[("2026-01-01", 0), ("2026-01-02", 1), ("2026-01-03", 1000)]);
        let heights: Vec<i64> = chart.bars.iter().map(|bar| bar.height).collect();
        assert_eq!(heights, [0, 1, BOTTOM - TOP]);
        assert!(chart.bars.iter().all(|bar| bar.y + bar.height == BOTTOM && bar.x + bar.width <= WIDTH));
        assert_eq!(chart.ticks.iter().map(|tick| tick.label.as_str()).collect::<Vec<_>>(), ["0", "500", "1000"]);
        assert_eq!(chart.description, "1001 in 3 days; most on 2026-01-03 (1000); none on 1 days.");
        assert_eq!(of("c", "C", &[("2026-01-01", 0)]).description, "None in the whole month.");
    }
}
