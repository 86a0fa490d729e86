//! Bytes: the same seed, any number of threads, the folder, the forms and the faults.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use super::recount::{members, read_archive};
use crate::expected::ArchiveStatus;
use crate::{
    Container, Expected, Fault, FaultKind, GenerateError, GenerateOptions, Load, MetaForm, TimePrecision, generate,
};

/// A small log in which everything happens.
pub(super) fn rich() -> GenerateOptions {
    GenerateOptions {
        records: 24_000,
        days: 45,
        archives: 30,
        members: 3,
        meta: MetaForm::Mixed,
        precision: TimePrecision::Mixed,
        cipher_trust: 0.05,
        overlap: 0.3,
        equal_pairs: 0.02,
        vary_layout: true,
        copies: 3,
        ..GenerateOptions::default()
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
}

fn made(options: &GenerateOptions) -> (tempfile::TempDir, Expected) {
    let folder = tempfile::tempdir().unwrap();
    let expected = generate(options, folder.path()).unwrap();
    (folder, expected)
}

#[test]
fn same_seed_gives_same_bytes_on_any_number_of_threads() {
    let faults = Fault::one_of_each();
    let (one, _) = made(&GenerateOptions { jobs: 1, faults: faults.clone(), ..rich() });
    let (many, _) = made(&GenerateOptions { jobs: 5, faults: faults.clone(), ..rich() });
    assert!(files(&one.path().join("archives")) == files(&many.path().join("archives")));
    let answers = |folder: &Path| fs::read(folder.join("expected.json")).unwrap();
    assert!(answers(one.path()) == answers(many.path()));
    let (other, _) = made(&GenerateOptions { seed: 2, faults, ..rich() });
    assert!(answers(one.path()) != answers(other.path()));
}

#[test]
fn answers_can_be_read_back() {
    let (folder, expected) = made(&rich());
    let text = fs::read_to_string(folder.path().join("expected.json")).unwrap();
    assert_eq!(serde_json::from_str::<Expected>(&text).unwrap(), expected);
}

#[test]
fn every_kind_of_destruction_and_lock_occurs() {
    let (_folder, expected) = made(&rich());
    let kinds: std::collections::BTreeSet<_> = expected.zeroize_events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds.len(), 4);
    for status in ["UM_PIN_INCORRECT_CONTAINER_ZEROIZED", "SO_LOGIN_FAILURE_THRESHOLD", "CONTAINER_LOCKED"] {
        assert!(expected.by_status.contains_key(&format!("LUNA_RET_{status}")), "{status}");
    }
    assert!(expected.login_failures.values().any(|logins| logins.lockouts > 0));
    assert!(expected.login_failures.len() < 40, "some clients never fail");
    // Set up during the log: an initialisation that destroys nothing.
    let initialised = expected.by_month_action_status.values().filter_map(|month| month.get("LUNA_PARTITION_INIT"));
    let successful: u64 = initialised.filter_map(|statuses| statuses.get("LUNA_RET_OK")).sum();
    let anew = expected.zeroize_events.iter().filter(|event| event.action == "LUNA_PARTITION_INIT").count();
    assert!(successful > anew as u64);
}

#[test]
fn an_occupied_folder_is_left_alone_unless_asked() {
    let small = GenerateOptions { records: 500, days: 2, archives: 2, ..GenerateOptions::default() };
    let (folder, _) = made(&small);
    assert!(matches!(generate(&small, folder.path()), Err(GenerateError::NotEmpty { .. })));
    let again = GenerateOptions { overwrite: true, archives: 1, ..small };
    assert_eq!(generate(&again, folder.path()).unwrap().archive_list.len(), 1);
    assert_eq!(files(&folder.path().join("archives")).len(), 1);
    fs::write(folder.path().join("archives/notes.txt"), "mine").unwrap();
    assert!(matches!(generate(&again, folder.path()), Err(GenerateError::NotEmpty { .. })));
    assert!(folder.path().join("archives/notes.txt").exists());
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let of = |change: fn(&mut GenerateOptions)| {
        let mut options = GenerateOptions::default();
        change(&mut options);
        match options.validate() {
            Err(GenerateError::Option { option, .. }) => option,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of(|options| options.archives = 0), "archives");
    assert_eq!(of(|options| options.records = 3), "records");
    assert_eq!(of(|options| options.keys = 2), "keys");
    assert_eq!(of(|options| options.overlap = 1.5), "overlap");
    assert_eq!(of(|options| options.faults = vec![Fault { kind: FaultKind::EmptyFile, count: 2 }]), "faults");
    assert_eq!(of(|options| options.faults = vec![Fault { kind: FaultKind::CutList, count: 32 }]), "faults");
    assert_eq!("no_time=3".parse::<Fault>().unwrap(), Fault { kind: FaultKind::NoTime, count: 3 });
    assert!("no_tme".parse::<Fault>().unwrap_err().to_string().contains("truncated_zip, bad_crc"));
}

#[test]
fn names_sort_by_time() {
    let (_folder, expected) = made(&GenerateOptions { records: 2_000, archives: 120, ..rich() });
    let good = expected.archive_list.iter().filter(|archive| archive.name.starts_with("audit-"));
    let times: Vec<_> = good.map(|archive| archive.last_time.clone()).collect();
    assert_eq!(times.len(), 120);
    assert!(times.is_sorted());
}

#[test]
fn forms_are_what_was_asked_for() {
    let base = GenerateOptions { records: 400, days: 3, archives: 4, ..GenerateOptions::default() };
    let (folder, expected) =
        made(&GenerateOptions { container: Container::Mixed, precision: TimePrecision::Millis, ..base.clone() });
    let names: Vec<_> = expected.archive_list.iter().map(|archive| archive.name.as_str()).collect();
    let wanted = ["2026-01-01-000.zip", "2026-01-01-001.json.gz", "2026-01-02-002.json", "2026-01-03-003.json"];
    assert_eq!(names, wanted.map(|name| format!("audit-{name}")));
    let archives = files(&folder.path().join("archives"));
    let starts: Vec<&[u8]> = archives.values().map(|bytes| &bytes[..2]).collect();
    assert_eq!(starts, [b"PK".as_slice(), b"\x1f\x8b", b"[{", b"{\""]);
    let (_, text) = members(&archives[names[0]], "x").unwrap().remove(0);
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("[{\"time\":\"2026-01-01 ") && text.contains(" UTC\",\"source\":\"thales/cloudhsm/"));
    assert!(text.contains("\"meta\":\"{\\\"clientip\\\":\\\""));
    let mean = expected.bytes.json / expected.records.read;
    assert!((400..=520).contains(&mean), "{mean} bytes a record");

    let bare = GenerateOptions { trace_ids: false, meta: MetaForm::Object, ..base };
    let (folder, _) = made(&bare);
    let bytes = fs::read(folder.path().join("archives/audit-2026-01-01-000.zip")).unwrap();
    let (_, text) = members(&bytes, "x").unwrap().remove(0);
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("traceID") && text.contains("\"meta\":{\"clientip\":\""));
}

#[test]
fn a_record_takes_what_its_load_promises() {
    let cases = [
        (Load::Sessions, true, 50..=58),
        (Load::Sessions, false, 12..=18),
        (Load::Busy, true, 74..=84),
        (Load::Busy, false, 33..=42),
    ];
    for (load, trace_ids, wanted) in cases {
        let options = GenerateOptions { records: 60_000, archives: 4, trace_ids, ..GenerateOptions::of_load(load) };
        let (_folder, expected) = made(&options);
        let mean = expected.bytes.archives / expected.records.read;
        assert!(wanted.contains(&mean), "{load}, trace ids {trace_ids}: {mean} bytes of ZIP a record");
    }
}

#[test]
fn a_busy_log_seldom_has_one_client_twice_in_a_row() {
    let share_of_repeats = |load| {
        let (folder, _) = made(&GenerateOptions { records: 3_000, archives: 1, ..GenerateOptions::of_load(load) });
        let bytes = fs::read(folder.path().join("archives/audit-2026-01-01-000.zip")).unwrap();
        let records = read_archive(&bytes, "x", None).unwrap().records;
        let repeats = records.windows(2).filter(|pair| pair[0]["actorID"] == pair[1]["actorID"]).count();
        repeats as f64 / records.len() as f64
    };
    assert!(share_of_repeats(Load::Sessions) > 0.15);
    assert!(share_of_repeats(Load::Busy) < 0.05);
}

#[test]
fn trace_ids_are_32_bytes_and_differ() {
    let (folder, _) = made(&GenerateOptions { records: 3_000, archives: 1, ..GenerateOptions::default() });
    let bytes = fs::read(folder.path().join("archives/audit-2026-01-01-000.zip")).unwrap();
    let content = read_archive(&bytes, "x", None).unwrap();
    let ids: std::collections::HashSet<String> =
        content.records.iter().map(|record| record["traceID"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 3_000);
    // The last of 43 letters stands for four bits, so only sixteen of 64 can occur.
    assert!(ids.iter().all(|id| id.len() == 43 && "AEIMQUYcgkosw048".contains(&id[42..])));
}

#[test]
fn damaged_archives_are_damaged_as_named() {
    let (folder, expected) = made(&GenerateOptions { faults: Fault::one_of_each(), ..rich() });
    assert_eq!(expected.archives.failed, 8);
    assert_eq!(expected.archives.failed_names.len(), 8);
    for answer in &expected.archive_list {
        let bytes = fs::read(folder.path().join("archives").join(&answer.name)).unwrap();
        assert_eq!(bytes.len() as u64, answer.bytes);
        let content = members(&bytes, &answer.name);
        match answer.fault.as_deref() {
            Some("truncated_zip") => assert!(bytes.starts_with(b"PK\x03\x04") && content.is_err()),
            Some("encrypted") => assert!(content.unwrap_err().contains("Password")),
            Some("bad_crc") => assert!(content.unwrap_err().contains("checksum")),
            Some("truncated_gzip") => {
                let mut partly = Vec::new();
                assert!(flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut partly).is_err());
                assert!(!partly.is_empty() && partly.starts_with(b"{\"time\""));
            }
            Some("bad_gzip_crc") => assert!(content.unwrap_err().contains("checksum")),
            Some("html_page") => assert!(bytes.starts_with(b"<!DOCTYPE html>")),
            Some("plain_text") => assert!(bytes.starts_with(b"Job ")),
            Some("empty_file") => assert!(bytes.is_empty()),
            Some("empty_list") => {
                assert_eq!(answer.status, ArchiveStatus::Stored);
                assert!(serde_json::from_slice::<Vec<()>>(&bytes).unwrap().is_empty());
            }
            Some("trailing_comma") => {
                let (_, text) = content.unwrap().pop().unwrap();
                assert!(text.ends_with(b"},]") && serde_json::from_slice::<serde_json::Value>(&text).is_err());
            }
            Some("cut_list") => {
                let (_, text) = content.unwrap().pop().unwrap();
                assert!(!text.ends_with(b"]"));
            }
            Some(other) => panic!("{other}"),
            None => assert!(content.is_ok()),
        }
    }
}

#[test]
fn rejects_stand_where_they_are_said_to_stand() {
    let (folder, expected) = made(&GenerateOptions { faults: Fault::one_of_each(), ..rich() });
    let mut kinds = Vec::new();
    for reject in &expected.rejects {
        let bytes = fs::read(folder.path().join("archives").join(&reject.archive)).unwrap();
        let found = members(&bytes, &reject.archive).unwrap();
        let (_, text) = found.iter().find(|(name, _)| *name == reject.member).unwrap();
        let tail = &text[reject.offset as usize..];
        let mut element = serde_json::Deserializer::from_slice(tail).into_iter::<serde_json::Value>();
        match reject.fault.as_str() {
            "not_object" => assert!(!element.next().unwrap().unwrap().is_object()),
            "no_time" => {
                let value = element.next().unwrap().unwrap();
                let time = value["time"].as_str().unwrap_or_default();
                assert!(value["action"].is_string() && (time.is_empty() || time.contains("99:00")));
            }
            "trailing_comma" => {
                assert!(tail.trim_ascii_end().ends_with(b"]") && tail.len() < 8 && tail.starts_with(b","));
            }
            _ => assert!(tail.starts_with(b"{") && element.next().unwrap().is_err()),
        }
        kinds.push(reject.fault.clone());
    }
    kinds.sort();
    assert_eq!(
        kinds,
        ["broken_record", "cut_list", "missing_brace", "missing_quote", "no_time", "not_object", "trailing_comma"]
    );
}
