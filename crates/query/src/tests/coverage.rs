//! Coverage on stores whose answer can be told by hand, and on random ones against a plain slow reference.

use keytrail_model::ledger::{ArchiveStatus, ExportRequest};

use super::stores::{Archive, Record, TestStore, archive, hsm, micros, request, rows};

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
