//! What a store has to hold, worked out slowly: the rules of truth over `serde_json` values, without a line of the program.
//!
//! Archives here are plain text (a list, or one object a line), so that no container stands between the rule and its test. The model
//! takes runs as a store does; [`State`] is all that a run leaves: rows with their provenance, ledger, rejects.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Bench;

/// An archive: a file name and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub name: String,
    pub text: String,
}

/// Everything that can be asked of a store, as sorted JSON lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// A line for each row of `events`.
    pub rows: Vec<String>,
    /// Archive, status, read, stored, duplicates, rejected.
    pub ledger: Vec<String>,
    /// Archive, member, ordinal.
    pub rejects: Vec<String>,
}

/// The plain store.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// How often each record is stored.
    counts: HashMap<String, u64>,
    known: BTreeSet<String>,
    state: State,
}

/// What one archive holds.
struct Read {
    name: String,
    sha256: String,
    /// Ordinal, time in microseconds, record with the names of the columns.
    records: Vec<(usize, i64, String)>,
    rejected: Vec<usize>,
    failed: bool,
}

const ENVELOPE: [(&str, &str); 7] = [
    ("source", "source"),
    ("resourceID", "resource_id"),
    ("actorID", "actor_id"),
    ("tenantID", "tenant_id"),
    ("action", "action"),
    ("status", "status"),
    ("traceID", "trace_id"),
];
const META: [(&str, &str); 5] =
    [("clientip", "client_ip"), ("hsmid", "hsm_id"), ("partid", "partition_id"), ("role", "role"), ("ouid", "ouid")];

impl Model {
    /// One run over these archives, in the order in which they are found.
    pub fn ingest(&mut self, archives: &[Archive]) {
        let mut new = Vec::new();
        for archive in archives {
            let read = read(archive);
            if self.known.insert(read.sha256.clone()) {
                new.push(read);
            }
        }
        // By first time, then by hash; those without records last.
        new.sort_by_key(|read| {
            (read.records.iter().map(|record| record.1).min().unwrap_or(i64::MAX), read.sha256.clone())
        });
        for read in new {
            self.add(&read);
        }
        self.state.rows.sort();
        self.state.ledger.sort();
        self.state.rejects.sort();
    }

    fn add(&mut self, read: &Read) {
        let mut shown: HashMap<&str, u64> = HashMap::new();
        let (mut stored, mut duplicates) = (0, 0);
        for (ordinal, time, record) in &read.records {
            let shown = shown.entry(record).or_default();
            *shown += 1;
            if *shown <= self.counts.get(record).copied().unwrap_or_default() {
                duplicates += 1;
                continue;
            }
            stored += 1;
            let mut row: Map<String, Value> = serde_json::from_str(record).unwrap();
            let month = jiff::Timestamp::from_microsecond(*time).unwrap().strftime("%Y-%m").to_string();
            let place = json!({"archive": read.sha256, "member": read.name, "ordinal": ordinal, "month": month});
            row.extend(place.as_object().unwrap().clone());
            self.state.rows.push(Value::Object(row).to_string());
        }
        for (record, shown) in shown {
            let count = self.counts.entry(record.to_owned()).or_default();
            *count = shown.max(*count);
        }
        let status = if read.failed { "failed" } else { "stored" };
        let (rejected, found) = (read.rejected.len(), read.records.len() + read.rejected.len());
        let ledger = json!({
            "archive": read.sha256, "status": status, "read": found, "stored": stored, "duplicates": duplicates,
            "rejected": rejected,
        });
        self.state.ledger.push(ledger.to_string());
        let rejects = read
            .rejected
            .iter()
            .map(|ordinal| json!({"archive": read.sha256, "member": read.name, "ordinal": ordinal}).to_string());
        self.state.rejects.extend(rejects);
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// How often each record is stored, whatever archive it came from: this must not depend on how archives are grouped into runs.
    pub fn records(&self) -> BTreeMap<String, u64> {
        self.counts.iter().map(|(record, count)| (record.clone(), *count)).collect()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn read(archive: &Archive) -> Read {
    let Archive { name, text } = archive;
    let mut read = Read {
        name: name.rsplit('/').next().unwrap().to_owned(),
        sha256: sha256(text.as_bytes()),
        records: Vec::new(),
        rejected: Vec::new(),
        failed: false,
    };
    let values: Vec<Option<Value>> = match text.trim_start().chars().next() {
        Some('[') => serde_json::from_str::<Vec<Value>>(text).unwrap().into_iter().map(Some).collect(),
        Some('{') => {
            text.lines().filter(|line| !line.trim().is_empty()).map(|line| serde_json::from_str(line).ok()).collect()
        }
        _ => {
            read.failed = true;
            Vec::new()
        }
    };
    for (ordinal, value) in values.iter().enumerate() {
        match value.as_ref().and_then(record) {
            Some((time, record)) => read.records.push((ordinal, time, record)),
            None => read.rejected.push(ordinal),
        }
    }
    read.failed |= read.records.is_empty() && !read.rejected.is_empty();
    read
}

/// Time and columns of a record; `None` where it cannot be used.
fn record(value: &Value) -> Option<(i64, String)> {
    let mut members = value.as_object()?.clone();
    let time = members.remove("time")?;
    let time: jiff::Timestamp = time.as_str()?.replace(" UTC", "Z").parse().ok()?;
    let mut meta = match members.remove("meta") {
        None => Map::new(),
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap(),
        Some(meta) => meta.as_object().unwrap().clone(),
    };
    let mut row = Map::new();
    row.insert("time".into(), time.as_microsecond().into());
    for (from, names) in [(&mut members, &ENVELOPE[..]), (&mut meta, &META[..])] {
        for (name, column) in names {
            if let Some(text) = from.remove(*name).filter(|text| !text.is_null() && text.as_str() != Some("")) {
                row.insert((*column).into(), text);
            }
        }
    }
    members.retain(|_, value| !value.is_null());
    assert!(meta.is_empty(), "the model knows no other members of meta");
    if !members.is_empty() {
        row.insert("extra".into(), Value::Object(members).to_string().into());
    }
    Some((time.as_microsecond(), Value::Object(row).to_string()))
}

impl Bench {
    /// All of the store, as the program shows it; `None` where the program says that there is no store.
    pub fn state(&self) -> Option<State> {
        let queries = "SELECT 1 AS of, arrow_cast(time, 'Int64') AS time, source, resource_id, actor_id, tenant_id, action, status, \
                       trace_id, client_ip, hsm_id, partition_id, role, ouid, extra, archive, member, ordinal, month FROM events; \
                       SELECT 2 AS of, archive, status, read, stored, duplicates, rejected FROM archives; \
                       SELECT 3 AS of, archive, member, ordinal FROM rejects";
        let ran = self.keytrail(&["sql", queries, "--format", "ndjson"]);
        if ran.code == 1 && ran.stderr.contains("expected a keytrail store, found no committed") {
            return None;
        }
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mut state = State::default();
        for line in ran.stdout.lines() {
            let mut row: Map<String, Value> = serde_json::from_str(line).unwrap();
            let of = row.remove("of").unwrap();
            row.retain(|_, value| !value.is_null());
            let list = match of.as_u64().unwrap() {
                1 => &mut state.rows,
                2 => &mut state.ledger,
                _ => &mut state.rejects,
            };
            list.push(Value::Object(row).to_string());
        }
        state.rows.sort();
        state.ledger.sort();
        state.rejects.sort();
        Some(state)
    }
}

impl State {
    /// The records of the rows, counted; without their provenance.
    pub fn records(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for row in &self.rows {
            let mut row: Map<String, Value> = serde_json::from_str(row).unwrap();
            for name in ["archive", "member", "ordinal", "month"] {
                row.remove(name);
            }
            *counts.entry(Value::Object(row).to_string()).or_default() += 1;
        }
        counts
    }

    /// The first difference, for a message; empty where there is none.
    pub fn difference(&self, other: &Self) -> String {
        let lists = [
            ("rows", &self.rows, &other.rows),
            ("ledger", &self.ledger, &other.ledger),
            ("rejects", &self.rejects, &other.rejects),
        ];
        for (what, found, expected) in lists {
            let extra = found.iter().find(|line| !expected.contains(line));
            let missing = expected.iter().find(|line| !found.contains(line));
            if found != expected {
                let (found, expected) = (found.len(), expected.len());
                return format!("{what}: {found} instead of {expected}; not expected: {extra:?}; missing: {missing:?}");
            }
        }
        String::new()
    }
}

/// Chance that is the same in every run of a test.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Time in microseconds, the other members, and meta.
type Event = (i64, Map<String, Value>, Map<String, Value>);

/// A log as the service would have it, from which exports are made.
pub struct Log {
    /// In order of time.
    events: Vec<Event>,
}

/// What an export asks for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub action: Option<&'static str>,
    pub actor: Option<&'static str>,
    pub status: Option<&'static str>,
}

pub const ACTIONS: [&str; 4] = ["LUNA_LOGIN", "LUNA_SIGN", "LUNA_GENERATE_KEY", "LUNA_PARTITION_ZEROIZE"];
pub const ACTORS: [&str; 3] = ["a1", "b2", "c3"];
pub const STATUSES: [&str; 2] = ["LUNA_RET_OK", "LUNA_RET_UM_PIN_INCORRECT"];

impl Log {
    /// So many events, from the middle of January 2026 on and `hours` apart on average; with or without trace ids. Some events are equal
    /// to the one before them, in every field.
    pub fn new(seed: u64, events: usize, minutes: u64, trace_ids: bool) -> Self {
        let mut dice = Dice::new(seed);
        let mut time = 1_768_435_200_000_000_i64; // 2026-01-15
        let mut made: Vec<Event> = Vec::new();
        for number in 0..events {
            if let Some(last) = made.last().filter(|_| dice.chance(15)).cloned() {
                made.push(last);
                continue;
            }
            // Several events share a second, as the service writes them.
            if !dice.chance(20) {
                time += i64::try_from(dice.below(2 * 60 * minutes) + 1).unwrap() * 1_000_000;
            }
            let mut pick = |of: &[&str]| of[usize::try_from(dice.below(of.len() as u64)).unwrap()].to_owned();
            let (action, actor, status) = (pick(&ACTIONS), pick(&ACTORS), pick(&STATUSES));
            let (ip, ouid) = (pick(&["192.0.2.1", "2001:db8::1"]), pick(&["", "0a0b", "0c0d"]));
            let mut members = json!({"source": "thales/cloudhsm/1", "resourceID": "r", "tenantID": "t"});
            let object = members.as_object_mut().unwrap();
            object.extend([
                ("action".into(), action.into()),
                ("actorID".into(), actor.into()),
                ("status".into(), status.into()),
            ]);
            if trace_ids {
                object.insert("traceID".into(), format!("trace-{seed}-{number}").into());
            }
            if dice.chance(5) {
                object.insert("later".into(), dice.below(3).into());
            }
            let meta = json!({"clientip": ip, "role": "CU", "ouid": ouid});
            made.push((time, object.clone(), meta.as_object().unwrap().clone()));
        }
        Self { events: made }
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The text of an export of the events at positions `from..to` that pass the filter. `form` decides over layout: list or lines, key
    /// order, meta as text or object; the records are equal whatever it is.
    pub fn export(&self, from: usize, to: usize, filter: &Filter, form: u64) -> String {
        let passes = |members: &Map<String, Value>, name: &str, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| members[name].as_str() == Some(wanted))
        };
        let window = self.events.iter().take(to).skip(from).filter(|(_, members, _)| {
            passes(members, "action", filter.action)
                && passes(members, "actorID", filter.actor)
                && passes(members, "status", filter.status)
        });
        let texts: Vec<String> = window.map(|(time, members, meta)| text_of(*time, members, meta, form)).collect();
        match form % 3 {
            0 => format!("[{}]", texts.join(",")),
            1 => format!("[\n{}\n]\n", texts.join(",\n")),
            _ if texts.is_empty() => "[]".into(),
            _ => texts.join("\n"),
        }
    }
}

fn text_of(time: i64, members: &Map<String, Value>, meta: &Map<String, Value>, form: u64) -> String {
    let time = jiff::Timestamp::from_microsecond(time).unwrap();
    let time =
        if form & 4 == 0 { time.strftime("%Y-%m-%d %H:%M:%S UTC") } else { time.strftime("%Y-%m-%dT%H:%M:%S.000Z") };
    let time = json!(time.to_string()).to_string();
    let meta = Value::Object(meta.clone());
    let meta = if form & 8 == 0 { json!(meta.to_string()).to_string() } else { meta.to_string() };
    let mut parts: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    parts.push(format!("\"time\":{time}"));
    parts.push(format!("\"meta\":{meta}"));
    if form & 16 == 0 {
        parts.reverse();
    }
    format!("{{{}}}", parts.join(if form & 32 == 0 { "," } else { ", " }))
}
