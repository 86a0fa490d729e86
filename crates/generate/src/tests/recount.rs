//! Counting again from the bytes, and comparing with the answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{Cursor, Read};

use serde_json::{Map, Value};

use super::output::rich;
use crate::expected::{ArchiveStatus, KeyUsage, LoginFailures, ZeroizeKind};
use crate::{Container, Expected, Fault, FaultKind, GenerateOptions, Load, MetaForm, TimePrecision, generate};

/// What one archive holds.
pub(super) struct Content {
    /// Good records, as they parse.
    pub(super) records: Vec<Value>,
    bad: u64,
    json_bytes: u64,
}

/// Names and inflated bytes of an archive's members.
pub(super) fn members(bytes: &[u8], file_name: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    if bytes.starts_with(b"PK") {
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
        let read = |index| {
            let mut member = zip.by_index(index).map_err(|error: zip::result::ZipError| error.to_string())?;
            let mut text = Vec::new();
            member.read_to_end(&mut text).map_err(|error| error.to_string().to_lowercase())?;
            let name = member.name().map_err(|error| error.to_string())?.into_owned();
            Ok((name, text))
        };
        let count = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())?.len();
        return (0..count).map(read).collect();
    }
    let mut text = bytes.to_vec();
    if bytes.starts_with(b"\x1f\x8b") {
        text.clear();
        let mut gzip = flate2::read::MultiGzDecoder::new(bytes);
        gzip.read_to_end(&mut text).map_err(|error| error.to_string().to_lowercase())?;
    }
    Ok(vec![(file_name.to_owned(), text)])
}

/// Parses an archive. Broken elements cannot be parsed past, so their bytes are cut out at the given places first.
pub(super) fn read_archive(bytes: &[u8], file_name: &str, expected: Option<&Expected>) -> Result<Content, String> {
    let mut content = Content { records: Vec::new(), bad: 0, json_bytes: 0 };
    for (name, text) in members(bytes, file_name)? {
        content.json_bytes += text.len() as u64;
        let rejects = expected.iter().flat_map(|expected| &expected.rejects);
        let places = rejects.filter(|reject| reject.archive == file_name && reject.member == name);
        let mut places: Vec<usize> = places.map(|reject| reject.offset as usize).collect();
        places.sort_unstable();
        content.bad += places.len() as u64;
        read_member(&text, &places, &mut content.records);
    }
    Ok(content)
}

/// Parses elements one by one; at a bad one it goes on at the next start of an object that parses.
fn read_member(text: &[u8], bad: &[usize], records: &mut Vec<Value>) {
    let mut at = 0;
    let mut bad = bad.iter().peekable();
    while at < text.len() {
        match text[at] {
            b'[' if at == 0 => at += 1,
            b',' if bad.peek() == Some(&&at) => {
                bad.next();
                at += 1;
            }
            b',' | b']' | b' ' | b'\n' | b'\r' => at += 1,
            _ if bad.peek() == Some(&&at) => {
                bad.next();
                at += 1;
                while at < text.len() && !(text[at] == b'{' && parses(&text[at..])) {
                    at += 1;
                }
            }
            _ => {
                let mut stream = serde_json::Deserializer::from_slice(&text[at..]).into_iter::<Value>();
                records.push(stream.next().unwrap().unwrap());
                at += stream.byte_offset();
            }
        }
    }
    assert!(bad.next().is_none());
}

/// Whether a whole record starts here, and not just its `meta`.
fn parses(text: &[u8]) -> bool {
    let first = serde_json::Deserializer::from_slice(text).into_iter::<Value>().next();
    matches!(first, Some(Ok(value)) if value.get("action").is_some())
}

/// A record in one form, whatever form it was written in: key order, blanks and `meta` as text make no difference.
fn plain(record: &Value) -> Map<String, Value> {
    let mut plain = record.as_object().unwrap().clone();
    if let Some(Value::String(text)) = plain.get("meta") {
        let meta = serde_json::from_str(text).unwrap();
        plain.insert("meta".to_owned(), meta);
    }
    plain
}

/// A value as text with all members in the order of their names, whatever order the library's map keeps.
fn by_name(value: &Value) -> String {
    let Value::Object(members) = value else { return value.to_string() };
    let sorted: BTreeMap<_, _> = members.iter().map(|(name, value)| (name, by_name(value))).collect();
    format!("{sorted:?}")
}

/// A time as RFC 3339 with six digits.
fn time(record: &Map<String, Value>) -> String {
    let text = record["time"].as_str().unwrap().strip_suffix(" UTC").unwrap();
    let parsed: jiff::civil::DateTime = text.parse().unwrap();
    format!("{:.6}", parsed.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp())
}

/// All that is counted, from records alone.
#[derive(Default)]
struct Recount {
    read: u64,
    bad: u64,
    json_bytes: u64,
    stored: Vec<Map<String, Value>>,
}

fn recount(folder: &std::path::Path, expected: &Expected) -> Recount {
    let mut most: HashMap<String, (u64, Map<String, Value>)> = HashMap::new();
    let mut count = Recount::default();
    for answer in expected.archive_list.iter().filter(|answer| answer.status == ArchiveStatus::Stored) {
        let bytes = fs::read(folder.join("archives").join(&answer.name)).unwrap();
        let content = read_archive(&bytes, &answer.name, Some(expected)).unwrap();
        assert_eq!(content.records.len() as u64 + content.bad, answer.read, "{}", answer.name);
        assert_eq!((content.bad, content.json_bytes), (answer.rejected, answer.json_bytes), "{}", answer.name);
        count.read += answer.read;
        count.bad += content.bad;
        count.json_bytes += content.json_bytes;
        let mut here: HashMap<String, (u64, Map<String, Value>)> = HashMap::new();
        for record in &content.records {
            let record = plain(record);
            here.entry(by_name(&Value::Object(record.clone()))).or_insert((0, record)).0 += 1;
        }
        for (text, (times, record)) in here {
            let best = most.entry(text).or_insert((0, record));
            best.0 = best.0.max(times);
        }
    }
    for (times, record) in most.into_values() {
        count.stored.extend((0..times).map(|_| record.clone()));
    }
    count.stored.sort_by_key(time);
    count
}

impl Recount {
    fn text<'r>(record: &'r Map<String, Value>, name: &str) -> &'r str {
        record.get(name).or_else(|| record["meta"].get(name)).and_then(Value::as_str).unwrap_or_default()
    }

    fn is_hsm(record: &Map<String, Value>) -> bool {
        Self::text(record, "source").starts_with("thales/cloudhsm/")
    }

    fn by(&self, group: impl Fn(&Map<String, Value>) -> String) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for record in &self.stored {
            *counts.entry(group(record)).or_default() += 1;
        }
        counts
    }

    /// Values of a member in some records, distinct, empty ones left out.
    fn distinct(records: &[&Map<String, Value>], name: &str) -> u64 {
        let values: BTreeSet<_> = records.iter().map(|record| Self::text(record, name)).collect();
        values.iter().filter(|value| !value.is_empty()).count() as u64
    }

    fn grouped(&self, group: impl Fn(&Map<String, Value>) -> String) -> BTreeMap<String, Vec<&Map<String, Value>>> {
        let mut groups: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for record in self.stored.iter().filter(|record| Self::is_hsm(record)) {
            groups.entry(group(record)).or_default().push(record);
        }
        groups.remove("");
        groups
    }

    fn key_usage(&self) -> BTreeMap<String, KeyUsage> {
        let is_ok = |record: &&&Map<String, Value>| Self::text(record, "status") == "LUNA_RET_OK";
        let is_use = |record: &&&Map<String, Value>| {
            let action = Self::text(record, "action");
            (action.ends_with("_END") || action.ends_with("_SINGLEPART")) && !action.contains("DIGEST")
        };
        let groups = self.grouped(|record| Self::text(record, "ouid").to_lowercase());
        let usage = groups.into_iter().map(|(ouid, records)| {
            let usage = KeyUsage {
                operations: records.len() as u64,
                uses: records.iter().filter(is_ok).filter(is_use).count() as u64,
                failed: records.iter().filter(|record| !is_ok(record)).count() as u64,
                actors: Self::distinct(&records, "actorID"),
                client_ips: Self::distinct(&records, "clientip"),
                first_seen: time(records.first().unwrap()),
                last_seen: time(records.last().unwrap()),
            };
            (ouid, usage)
        });
        usage.collect()
    }

    fn login_failures(&self) -> BTreeMap<String, LoginFailures> {
        let is_lock = |status: &str| {
            status.contains("LOCKED") || status.contains("IS_DISABLED") || status.contains("FAILURE_THRESHOLD")
        };
        let is_failure = |status: &str| {
            is_lock(status) || status.contains("PIN_INCORRECT") || status.contains("CHALLENGE_RESPONSE_INCORRECT")
        };
        let mut groups = self.grouped(|record| match Self::text(record, "action") {
            "LUNA_LOGIN" => Self::text(record, "actorID").to_owned(),
            _ => String::new(),
        });
        let failed = |records: &[&'_ Map<String, Value>]| -> Vec<usize> {
            (0..records.len()).filter(|index| is_failure(Self::text(records[*index], "status"))).collect()
        };
        groups.retain(|_, records| !failed(records).is_empty());
        let logins = groups.into_iter().map(|(actor, records)| {
            let failures: Vec<_> = failed(&records).into_iter().map(|index| records[index]).collect();
            let answer = LoginFailures {
                failures: failures.len() as u64,
                lockouts: failures.iter().filter(|record| is_lock(Self::text(record, "status"))).count() as u64,
                attempts: records.len() as u64,
                client_ips: Self::distinct(&records, "clientip"),
                failure_client_ips: Self::distinct(&failures, "clientip"),
                first_failure: time(failures.first().unwrap()),
                last_failure: time(failures.last().unwrap()),
            };
            (actor, answer)
        });
        logins.collect()
    }

    /// Time, kind and partition of destructions.
    fn zeroize_events(&self) -> Vec<(String, ZeroizeKind, String)> {
        let mut events = Vec::new();
        for record in self.stored.iter().filter(|record| Self::is_hsm(record)) {
            let (action, status) = (Self::text(record, "action"), Self::text(record, "status"));
            let mut add = |kind| events.push((time(record), kind, Self::text(record, "partid").to_owned()));
            match (action, status) {
                ("LUNA_PARTITION_ZEROIZE", "LUNA_RET_OK") => add(ZeroizeKind::Zeroize),
                ("LUNA_PARTITION_ZEROIZE", _) => add(ZeroizeKind::ZeroizeAttempt),
                ("LUNA_PARTITION_INIT", "LUNA_RET_OK") if self.was_in_use(record) => add(ZeroizeKind::Reinitialised),
                _ => {}
            }
            if status.contains("ZEROIZED") || status.contains("FAILURE_THRESHOLD") {
                add(ZeroizeKind::WipedByLoginFailures);
            }
        }
        events.sort();
        events
    }

    fn was_in_use(&self, initialisation: &Map<String, Value>) -> bool {
        self.stored.iter().any(|record| {
            Self::text(record, "partid") == Self::text(initialisation, "partid")
                && Self::text(record, "action") != "LUNA_PARTITION_INIT"
                && time(record) < time(initialisation)
        })
    }
}

/// Makes archives, counts them again, compares everything.
fn agrees(options: &GenerateOptions) -> Expected {
    let folder = tempfile::tempdir().unwrap();
    let expected = generate(options, folder.path()).unwrap();
    let count = recount(folder.path(), &expected);
    let records = &expected.records;
    assert_eq!(records.stored, options.records);
    assert_eq!(records.stored, count.stored.len() as u64);
    assert_eq!((records.read, records.rejected), (count.read, count.bad));
    assert_eq!(records.duplicates, count.read - count.bad - count.stored.len() as u64);
    assert_eq!(expected.bytes.json, count.json_bytes);
    assert_eq!(expected.first_time, count.stored.first().map(time));
    assert_eq!(expected.last_time, count.stored.last().map(time));
    assert_eq!(expected.by_action, count.by(|record| Recount::text(record, "action").to_owned()));
    assert_eq!(expected.by_status, count.by(|record| Recount::text(record, "status").to_owned()));
    assert_eq!(expected.by_month, count.by(|record| time(record)[..7].to_owned()));
    let all_three = count.by(|record| {
        format!("{} {} {}", &time(record)[..7], Recount::text(record, "action"), Recount::text(record, "status"))
    });
    let months = expected.by_month_action_status.iter();
    let actions = months.flat_map(|(month, actions)| actions.iter().map(move |(action, rest)| (month, action, rest)));
    let flat = actions.flat_map(|(month, action, statuses)| {
        statuses.iter().map(move |(status, count)| (format!("{month} {action} {status}"), *count))
    });
    assert_eq!(flat.collect::<BTreeMap<_, _>>(), all_three);
    let sources = count.by(|record| if Recount::is_hsm(record) { "cloudhsm" } else { "cdsp" }.to_owned());
    assert_eq!(expected.by_source["cdsp"], sources.get("cdsp").copied().unwrap_or(0));
    assert_eq!(expected.key_usage, count.key_usage());
    assert_eq!(expected.login_failures, count.login_failures());
    let events = expected.zeroize_events.iter();
    let events: Vec<_> = events.map(|event| (event.time.clone(), event.kind, event.partition_id.clone())).collect();
    assert_eq!(events, count.zeroize_events());
    expected
}

#[test]
fn defaults_agree() {
    let expected = agrees(&GenerateOptions { records: 20_000, ..GenerateOptions::default() });
    assert_eq!((expected.records.duplicates, expected.records.rejected), (0, 0));
}

#[test]
fn everything_at_once_agrees() {
    let expected = agrees(&GenerateOptions { faults: Fault::one_of_each(), ..rich() });
    assert!(expected.records.duplicates > 4_000 && expected.records.equal_pairs > 300);
    assert_eq!(expected.records.rejected, 7);
    assert_eq!((expected.archives.new, expected.archives.known, expected.archives.failed), (31, 3, 8));
}

#[test]
fn a_busy_log_agrees() {
    let busy = GenerateOptions { load: Load::Busy, clients: 300, partitions: 20, keys: 900, ..rich() };
    let expected = agrees(&GenerateOptions { faults: Fault::one_of_each(), ..busy });
    let logins = expected.by_action["LUNA_LOGIN"];
    assert!(
        (200..2_000).contains(&logins),
        "{logins} logins in 24 000 records: clients are met in the middle of their work"
    );
}

#[test]
fn whole_seconds_without_trace_ids_agree() {
    let crowded = GenerateOptions {
        days: 1,
        archives_per_day: Some(12),
        trace_ids: false,
        precision: TimePrecision::Seconds,
        clients: 2,
        partitions: 2,
        keys: 2,
        overlap: 0.5,
        ..rich()
    };
    agrees(&crowded);
}

#[test]
fn every_container_agrees_with_faults() {
    for container in [Container::GzipLines, Container::PlainList, Container::PlainLines, Container::Mixed] {
        let mut faults = Fault::one_of_each();
        faults.retain(|fault| fault.kind != FaultKind::TrailingComma);
        for fault in faults.iter_mut().filter(|fault| fault.kind != FaultKind::EmptyFile) {
            fault.count = 3;
        }
        let expected = agrees(&GenerateOptions { records: 6_000, container, faults, ..rich() });
        assert_eq!(expected.records.rejected, 18, "{container}");
    }
}

#[test]
fn smallest_logs_agree() {
    for (records, archives) in [(1, 1), (2, 2), (7, 3), (60, 60)] {
        let options = GenerateOptions {
            records,
            archives,
            days: 1,
            meta: MetaForm::Object,
            clients: 1,
            partitions: 1,
            keys: 1,
            overlap: 1.0,
            ..GenerateOptions::default()
        };
        agrees(&options);
    }
}
