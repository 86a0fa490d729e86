//! The days of a month, and the runs of days that lack something.

use std::collections::BTreeSet;

use jiff::civil::Date;
use keytrail_model::time::Month;

/// All days of a month, in order.
pub(super) fn days_of(month: Month) -> Vec<Date> {
    let text = format!("{month}-01");
    let Ok(first) = text.parse::<Date>() else {
        return Vec::new();
    };
    first.series(jiff::ToSpan::days(1)).take(usize::try_from(first.days_in_month()).unwrap_or_default()).collect()
}

/// First and last day of every unbroken run of `days` that are not `present` (written `YYYY-MM-DD`).
pub(super) fn gaps(days: &[Date], present: &BTreeSet<&str>) -> Vec<(Date, Date, i64)> {
    let mut runs: Vec<(Date, Date, i64)> = Vec::new();
    let mut open = false;
    for day in days {
        let missing = !present.contains(day.to_string().as_str());
        match runs.last_mut() {
            Some((_, last, length)) if missing && open => {
                *last = *day;
                *length += 1;
            }
            _ if missing => runs.push((*day, *day, 1)),
            _ => {}
        }
        open = missing;
    }
    runs
}

/// Runs of days as one text: `2026-01-03, 2026-01-05 to 2026-01-09`.
pub(super) fn gaps_text(gaps: &[(Date, Date, i64)]) -> String {
    let runs = gaps.iter().map(|(first, last, length)| match length {
        1 => first.to_string(),
        _ => format!("{first} to {last}"),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_missing_days() {
        let days = days_of(Month::parse("2028-02").unwrap());
        assert_eq!(days.len(), 29);
        let all: Vec<String> = days.iter().map(ToString::to_string).collect();
        let cases: [(&[usize], &str); 4] = [
            (&[], "2028-02-01 to 2028-02-29"),
            (&[0, 1, 28], "2028-02-03 to 2028-02-28"),
            (&[1, 3], "2028-02-01, 2028-02-03, 2028-02-05 to 2028-02-29"),
            (&[27], "2028-02-01 to 2028-02-27, 2028-02-29"),
        ];
        for (present, expected) in cases {
            let present: BTreeSet<&str> = present.iter().map(|&index| all[index].as_str()).collect();
            assert_eq!(gaps_text(&gaps(&days, &present)), expected);
        }
        assert!(gaps(&days, &all.iter().map(String::as_str).collect()).is_empty());
    }
}
