//! Coverage on stores whose answer can be told by hand, and on random ones against a plain slow reference.

use std::collections::BTreeSet;

use keytrail_model::ledger::{ArchiveStatus, ExportRequest};
use keytrail_model::time::{Month, format_service};

use super::stores::{Archive, Record, TestStore, archive, hsm, micros, request, rows};
use crate::report::rfc3339;

const ALL: &str =
    "SELECT month, resource_id, source_kind, kind, basis, from_time, to_time, archives, detail FROM coverage";

fn of(resource: &str, times: &[&str]) -> Vec<Record> {
    times.iter().map(|time| hsm(time, &format!("resource_id={resource} tenant_id=t1"))).collect()
}

fn asked(name: &str, records: Vec<Record>, window: (&str, &str), filters: &str) -> Archive {
    Archive { requests: vec![request(window, filters)], ..archive(name, records) }
}

/// Rows of a store's coverage with only the columns that matter here.
async fn coverage(archives: Vec<Archive>, query: &str) -> String {
    TestStore::new(&[archives]).rows(query).await
}

#[tokio::test]
async fn windows_cover_and_records_are_a_guess() {
    let archives = vec![
        asked("a", of("r1", &["2026-01-01 10:00:00"]), ("2026-01-01 00:00:00", "2026-01-20 00:00:00"), ""),
        asked("b", of("r1", &["2026-01-25 10:00:00"]), ("2026-01-22 00:00:00", "2026-01-31 23:59:59"), ""),
        archive("c", of("r1", &["2026-01-21 06:00:00", "2026-01-21 18:00:00"])),
    ];
    let expected = "\
2026-01,r1,hsm,covered,request,2026-01-01T00:00:00Z,2026-01-20T00:00:00Z,1,
2026-01,r1,hsm,gap,records,2026-01-20T00:00:00Z,2026-01-21T06:00:00Z,,
2026-01,r1,hsm,covered,records,2026-01-21T06:00:00Z,2026-01-21T18:00:00.000001Z,1,
2026-01,r1,hsm,gap,records,2026-01-21T18:00:00.000001Z,2026-01-22T00:00:00Z,,
2026-01,r1,hsm,covered,request,2026-01-22T00:00:00Z,2026-01-31T23:59:59Z,1,
2026-01,r1,hsm,seam,request,2026-01-31T23:59:59Z,2026-02-01T00:00:00Z,,";
    assert_eq!(coverage(archives, &format!("{ALL} WHERE kind <> 'silent_day'")).await, expected);
}

/// All of January.
const JANUARY: (&str, &str) = ("2026-01-01 00:00:00", "2026-02-01 00:00:00");

/// Kinds of rows with their basis and detail, without times.
const KINDS: &str = "SELECT resource_id, kind, basis, detail FROM coverage WHERE kind NOT IN ('silent_day', 'gap')";

#[tokio::test]
async fn what_a_window_covers() {
    let r1 = || of("r1", &["2026-01-05 00:00:00"]);
    let others =
        || archive("others", [of("r1", &["2026-01-10 00:00:00"]), of("r2", &["2026-01-10 00:00:00"])].concat());
    let with = |change: &dyn Fn(&mut ExportRequest)| {
        let mut made = asked("a", r1(), JANUARY, "");
        made.requests.iter_mut().for_each(change);
        made
    };
    let status = |status| Archive { status: Some(status), ..asked("a", r1(), JANUARY, "") };
    // What is known of archive a, beside one archive of both services without a window: rows that are not by records.
    let whole = "r1,covered,request,\nr2,covered,request,";
    let cases: Vec<(&str, Archive, &str)> = vec![
        ("no filter", asked("a", r1(), JANUARY, ""), whole),
        ("by resource", asked("a", r1(), JANUARY, "resourceId=R1"), "r1,covered,request,"),
        ("by another resource", asked("a", vec![], JANUARY, "resourceId=r9"), "r9,covered,request,"),
        ("by source", asked("a", r1(), JANUARY, "source=thales/cloudhsm/1"), whole),
        ("by another source", asked("a", r1(), JANUARY, "source=cdsp"), ""),
        ("by tenant", asked("a", r1(), JANUARY, "tenantId=T1"), whole),
        ("by another tenant", asked("a", vec![], JANUARY, "tenantId=t2"), ""),
        (
            "by action",
            asked("a", r1(), JANUARY, "action=LUNA_LOGIN"),
            "r1,partial,request,filtered by action\nr2,partial,request,filtered by action",
        ),
        (
            "by resource and status",
            asked("a", r1(), JANUARY, "resourceId=r1 status=LUNA_RET_OK"),
            "r1,partial,request,filtered by status",
        ),
        ("no records", asked("a", vec![], JANUARY, ""), whole),
        ("succeeded", with(&|request| request.job_state = Some("succeeded".into())), whole),
        (
            "cancelled",
            with(&|request| request.job_state = Some("CANCELLED".into())),
            "r1,partial,request,job state CANCELLED\nr2,partial,request,job state CANCELLED",
        ),
        ("salvaged", status(ArchiveStatus::Salvaged), "r1,partial,request,salvaged\nr2,partial,request,salvaged"),
        ("failed", status(ArchiveStatus::Failed), ""),
        ("records outside", asked("a", r1(), ("2026-01-06 00:00:00", "2026-01-20 00:00:00"), ""), ""),
        ("a record at the end", asked("a", r1(), ("2026-01-01 00:00:00", "2026-01-05 00:00:00"), ""), whole),
        ("no window", with(&|request| request.window_from = None), ""),
        ("backwards", with(&|request| request.window_from = request.window_to), ""),
        ("years", asked("a", r1(), ("2020-01-01 00:00:00", "2026-02-01 00:00:00"), ""), ""),
        ("job before the window", with(&|request| request.job_started_at = request.window_from), ""),
    ];
    for (name, made, expected) in cases {
        let found = coverage(vec![made, others()], &format!("{KINDS} AND basis = 'request'")).await;
        assert_eq!(found, expected, "{name}");
    }
}

#[tokio::test]
async fn what_is_narrowed_covers_nothing_by_its_records_either() {
    let mut narrowed = asked("a", of("r1", &["2026-01-05 00:00:00"]), JANUARY, "action=LUNA_LOGIN");
    narrowed.requests[0].window_from = None;
    assert_eq!(coverage(vec![narrowed], KINDS).await, "r1,partial,records,filtered by action");
    let salvaged =
        Archive { status: Some(ArchiveStatus::Salvaged), ..archive("a", of("r1", &["2026-01-05 00:00:00"])) };
    assert_eq!(coverage(vec![salvaged], KINDS).await, "r1,partial,records,salvaged");
}

#[tokio::test]
async fn a_window_covers_no_other_tenant() {
    let of_tenant = |resource: &str, tenant: &str| {
        vec![hsm("2026-01-05 00:00:00", &format!("resource_id={resource} tenant_id={tenant}"))]
    };
    let two = vec![asked("a", of_tenant("r1", "t1"), JANUARY, ""), archive("b", of_tenant("r2", "t2"))];
    let query = format!("{KINDS} AND basis = 'request'");
    assert_eq!(coverage(two.clone(), &query).await, "r1,covered,request,");
    let unknown = "whether the request covers all of the service is not known";
    let quiet =
        vec![asked("q", vec![], JANUARY, ""), archive("a", of_tenant("r1", "t1")), archive("b", of_tenant("r2", "t2"))];
    let expected = format!("r1,partial,request,{unknown}\nr2,partial,request,{unknown}");
    assert_eq!(coverage(quiet, &query).await, expected);
    // A service with partitions of its own: one of them does not speak for the other.
    let mixed = vec![
        asked("a", of("r1", &["2026-01-05 00:00:00"]), JANUARY, "source=thales/cloudhsm/1"),
        archive("b", vec![hsm("2026-01-06 00:00:00", "resource_id=r1 tenant_id=t1 source=thales/cloudhsm/2")]),
    ];
    assert_eq!(coverage(mixed, &query).await, format!("r1,partial,request,{unknown}"));
}

#[tokio::test]
async fn duplicates_and_a_job_that_ran_early_and_quiet_exports() {
    // What archive b brought was all in a already: covered twice all the same.
    let days = ["2026-01-05 00:00:00", "2026-01-07 00:00:00"];
    let doubled = Archive { duplicates: of("r1", &days), ..archive("b", vec![]) };
    let query = "SELECT kind, from_time, to_time FROM coverage WHERE kind IN ('covered', 'overlap')";
    let span = "2026-01-05T00:00:00Z,2026-01-07T00:00:00.000001Z";
    let found = coverage(vec![archive("a", of("r1", &days)), doubled], query).await;
    assert_eq!(found, format!("covered,{span}\noverlap,{span}"));
    // The window ends when the job began.
    let mut early = asked("a", of("r1", &["2026-01-05 00:00:00"]), JANUARY, "");
    early.requests[0].job_started_at = Some(micros("2026-01-20 12:00:00"));
    assert_eq!(coverage(vec![early], query).await, "covered,2026-01-01T00:00:00Z,2026-01-20T12:00:00Z");
    // The same few bytes were exported for two quiet weeks: both count.
    let mut quiet = asked("q", vec![], ("2026-01-10 00:00:00", "2026-01-17 00:00:00"), "");
    quiet.requests.push(request(("2026-01-17 00:00:00", "2026-01-24 00:00:00"), ""));
    let silent =
        "SELECT count(*), min(from_time), max(to_time), min(basis), max(basis) FROM coverage WHERE kind = 'silent_day'";
    let store = TestStore::new(&[vec![quiet, archive("a", of("r1", &["2026-01-03 12:00:00"]))]]);
    assert_eq!(store.rows(silent).await, "14,2026-01-10T00:00:00Z,2026-01-24T00:00:00Z,request,request");
}

#[tokio::test]
async fn archives_of_an_older_ledger_are_told_by_their_rows() {
    let old = |name: &str, times: &[&str]| Archive { is_old: true, ..archive(name, of("r1", times)) };
    let store = TestStore::new(&[
        vec![old("a", &["2026-01-02 00:00:00", "2026-01-04 00:00:00"])],
        vec![archive("b", of("r1", &["2026-01-06 00:00:00"]))],
    ]);
    let session = store.session().await;
    let expected = "\
2,2026-01-02T00:00:00Z,2026-01-04T00:00:00Z,stored
1,2026-01-06T00:00:00Z,2026-01-06T00:00:00Z,records";
    let query = "SELECT records, first_time, last_time, basis FROM archive_services ORDER BY first_time";
    assert_eq!(rows(&session, query).await, expected);
    let covered = "SELECT from_time, to_time, basis FROM coverage WHERE kind = 'covered'";
    let expected = "\
2026-01-02T00:00:00Z,2026-01-04T00:00:00.000001Z,records
2026-01-06T00:00:00Z,2026-01-06T00:00:00.000001Z,records";
    assert_eq!(rows(&session, covered).await, expected);
    assert_eq!(rows(&session, "SELECT requests, services FROM archives ORDER BY first_time").await, ",\n,1");
}

#[tokio::test]
async fn services_of_all_kinds_and_months() {
    let cdsp = |time: &str| hsm(time, "source=cdsp resource_id=r1 tenant_id=t1 status=success");
    let archives = vec![
        archive(
            "a",
            [of("r1", &["2025-12-31 23:59:59.5", "2026-01-01 00:00:00.5"]), vec![cdsp("2026-01-02 00:00:00")]].concat(),
        ),
        archive("b", vec![hsm("2026-02-03 00:00:00", "")]),
    ];
    let months = "SELECT month, resource_id, source_kind, sum(seconds) FROM coverage WHERE kind IN ('covered', 'gap', 'seam') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    let (december, february) = (31 * 86400, 28 * 86400);
    let expected = format!(
        "2025-12,r1,hsm,{december}.0\n2026-01,r1,ciphertrust,{december}.0\n2026-01,r1,hsm,{december}.0\n\
         2026-02,r1,ciphertrust,{february}.0\n2026-02,r1,hsm,{february}.0\n2026-02,,hsm,{february}.0"
    );
    assert_eq!(coverage(archives, months).await, expected, "each month of a service is covered, or is not");
}

#[tokio::test]
async fn the_summary_counts_days() {
    let archives = vec![
        asked("a", of("r1", &["2026-01-01 10:00:00"]), ("2026-01-01 00:00:00", "2026-01-10 12:00:00"), ""),
        asked("b", of("r1", &["2026-01-10 14:00:00"]), ("2026-01-10 13:00:00", "2026-01-10 20:00:00"), ""),
        asked("c", of("r1", &["2026-01-13 00:00:00"]), ("2026-01-12 06:00:00", "2026-01-31 23:59:59"), ""),
        asked("d", of("r1", &["2026-01-13 00:00:00.5"]), ("2026-01-13 00:00:00", "2026-01-14 00:00:00"), ""),
    ];
    let summary = "SELECT days, covered_days, gap_days, gaps, seams, overlaps, silent_days, unexplained_days, partial, whole, requested_share = share FROM coverage_summary";
    // Gaps touch the 10th (twice), the 11th and the 12th; records are on the 1st, 10th and 13th.
    let silent = (2..=9).count() + (14..=31).count();
    assert_eq!(coverage(archives, summary).await, format!("31,28,3,2,1,1,{silent},0,0,false,true"));
    let whole = vec![asked("a", of("r1", &["2026-01-01 10:00:00"]), JANUARY, "")];
    let share = "SELECT share, whole FROM coverage_summary";
    assert_eq!(coverage(whole, share).await, "1.0,true");
}

/// Numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A span of the reference: from, until, whether it is a window.
type Span = (i64, i64, bool);

/// The rows that must come out for one service, told moment by moment: between two neighbouring ends of spans nothing changes.
fn reference(resource: &str, spans: &[Span], records: &BTreeSet<i64>, last_month: Month) -> Vec<String> {
    let mut told = Vec::new();
    let first = spans.iter().map(|span| span.0).min().unwrap();
    let mut month = Month::of(first).unwrap();
    while month <= last_month {
        let (from, until) = month.bounds();
        let clipped: Vec<Span> =
            spans.iter().map(|(f, u, w)| ((*f).max(from), (*u).min(until), *w)).filter(|(f, u, _)| f < u).collect();
        let mut ends: Vec<i64> = clipped.iter().flat_map(|(f, u, _)| [*f, *u]).chain([from, until]).collect();
        ends.sort_unstable();
        ends.dedup();
        let depth = |at: i64| clipped.iter().filter(|(f, u, _)| *f <= at && at < *u).count();
        let stretches = |wanted: &dyn Fn(usize) -> bool| {
            let mut found: Vec<(i64, i64)> = Vec::new();
            for pair in ends.windows(2).filter(|pair| wanted(depth(pair[0]))) {
                match found.last_mut() {
                    Some(last) if last.1 == pair[0] => last.1 = pair[1],
                    _ => found.push((pair[0], pair[1])),
                }
            }
            found
        };
        let mut tell = |kind: &str, basis: &str, (f, u): (i64, i64)| {
            told.push(format!("{month},{resource},{kind},{basis},{},{}", rfc3339(f), rfc3339(u)));
        };
        for (f, u) in stretches(&|depth| depth > 0) {
            let by_windows = |at: &i64| clipped.iter().any(|span| span.0 <= *at && *at < span.1 && span.2);
            let mut moments = ends.iter().filter(|end| f <= **end && **end < u).map(by_windows);
            let basis = match (moments.clone().all(|is| is), moments.any(|is| is)) {
                (true, _) => "request",
                (_, true) => "mixed",
                _ => "records",
            };
            tell("covered", basis, (f, u));
        }
        for (f, u) in stretches(&|depth| depth == 0) {
            let window_ends = f == from || clipped.iter().any(|span| span.1 == f && span.2);
            let window_begins = u == until || clipped.iter().any(|span| span.0 == u && span.2);
            let basis = if window_ends && window_begins && !clipped.is_empty() { "request" } else { "records" };
            tell(if u - f <= SECOND { "seam" } else { "gap" }, basis, (f, u));
        }
        for (f, u) in stretches(&|depth| depth > 1) {
            tell("overlap", "", (f, u));
        }
        for day in (from..until).step_by(usize::try_from(DAY).unwrap()) {
            let is_within = |only_windows: bool| {
                // All of the day is covered, but for stretches of a second.
                let mut bare: Vec<(i64, i64)> = Vec::new();
                for pair in ends.windows(2) {
                    let bare_here =
                        !clipped.iter().any(|(f, u, w)| *f <= pair[0] && pair[0] < *u && (*w || !only_windows));
                    match (bare.last_mut(), bare_here) {
                        (Some(last), true) if last.1 == pair[0] => last.1 = pair[1],
                        (_, true) => bare.push((pair[0], pair[1])),
                        _ => {}
                    }
                }
                bare.iter().all(|(f, u)| (*u).min(day + DAY) - (*f).max(day) <= SECOND)
            };
            if is_within(false) && records.range(day..day + DAY).next().is_none() {
                tell("silent_day", if is_within(true) { "request" } else { "records" }, (day, day + DAY));
            }
        }
        let (_, next) = month.bounds();
        month = Month::of(next).unwrap();
    }
    told.sort();
    told
}

/// A store of random spans, several services side by side, and what the reference says about them.
fn random_store(seed: u64, services: usize) -> (Vec<Archive>, Vec<String>) {
    let mut dice = Dice(seed);
    let start = micros("2026-01-25 00:00:00");
    let last_month = Month::parse("2026-03").unwrap();
    let (mut archives, mut expected) = (Vec::new(), Vec::new());
    for service in 0..services {
        let resource = format!("r{service:03}");
        let (mut spans, mut records): (Vec<Span>, BTreeSet<i64>) = (Vec::new(), BTreeSet::new());
        for number in 0..=dice.below(6) {
            // Ends that meet, miss each other by a second, or lie anywhere.
            let moment = |dice: &mut Dice| {
                let day = start + i64::try_from(dice.below(40)).unwrap() * DAY;
                day + dice.pick(&[0, 0, 0, -SECOND, SECOND, DAY / 2, 7 * SECOND, -2 * SECOND])
            };
            let (one, other) = (moment(&mut dice), moment(&mut dice));
            let (from, until) = (one.min(other), one.max(other));
            let (from, until) = if from == until { (from, until + SECOND) } else { (from, until) };
            let name = format!("{seed} {service} {number}");
            let record = |at: i64| {
                hsm(format_service(at).trim_end_matches(" UTC"), &format!("resource_id={resource} tenant_id=t1"))
            };
            if dice.below(2) == 0 {
                let moments = [from, until - SECOND].into_iter().take(usize::try_from(dice.below(3)).unwrap());
                let moments: Vec<i64> = moments.collect();
                records.extend(&moments);
                let told = |at: i64| format_service(at).trim_end_matches(" UTC").to_owned();
                let window = request((&told(from), &told(until)), &format!("resourceId={resource}"));
                let made = archive(&name, moments.into_iter().map(record).collect());
                archives.push(Archive { requests: vec![window], ..made });
                spans.push((from, until, true));
            } else {
                records.extend([from, until]);
                archives.push(archive(&name, vec![record(from), record(until)]));
                spans.push((from, until + 1, false));
            }
        }
        expected.extend(reference(&resource, &spans, &records, last_month));
    }
    // One more service ends the calendar.
    archives.push(archive("end", of("z", &["2026-03-31 23:59:59"])));
    (archives, expected)
}

#[tokio::test]
async fn spans_are_those_of_a_plain_reference() {
    let seeds = std::env::var("KEYTRAIL_COVERAGE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3);
    for seed in 1..=seeds {
        let (archives, mut expected) = random_store(seed, 60);
        let query = "SELECT month, resource_id, kind, basis, from_time, to_time FROM coverage WHERE resource_id <> 'z'";
        let found = coverage(archives, query).await;
        let mut found: Vec<&str> = found.lines().collect();
        found.sort_unstable();
        expected.sort();
        assert!(expected.len() > 600, "{}", expected.len());
        let missing: Vec<_> = expected.iter().filter(|row| !found.contains(&row.as_str())).take(5).collect();
        let extra: Vec<_> = found.iter().filter(|row| !expected.iter().any(|other| other == *row)).take(5).collect();
        assert!(missing.is_empty() && extra.is_empty(), "seed {seed}: missing {missing:?}, too much {extra:?}");
        assert_eq!(found.len(), expected.len(), "seed {seed}");
    }
}
