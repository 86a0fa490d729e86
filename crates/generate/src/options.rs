//! What can be asked of the generator: [`GenerateOptions`], its defaults and its limits.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::GenerateError;
use crate::fault::{Fault, FaultKind, Place};

/// How the records of an archive are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Container {
    /// A ZIP whose members are JSON lists; `.zip`.
    Zip,
    /// Gzip over one object a line; `.json.gz`.
    GzipLines,
    /// A JSON list in a plain file; `.json`.
    PlainList,
    /// One object a line in a plain file; `.json`.
    PlainLines,
    /// The four others in turn, archive by archive.
    Mixed,
}

/// How `meta` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetaForm {
    /// JSON text inside a string.
    String,
    /// A plain object.
    Object,
    /// Either, record by record; the same record differs between overlapping archives.
    Mixed,
}

/// How many digits of a second are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimePrecision {
    /// Whole seconds.
    Seconds,
    /// Three digits.
    Millis,
    /// Six digits.
    Micros,
    /// One of the three, record by record.
    Mixed,
}

/// Who writes side by side in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// A handful of clients at a time: neighbouring records are often about the same client, partition and key. About
    /// 53 bytes of ZIP a record.
    #[default]
    Sessions,
    /// A service under load: many clients at a time, so that neighbouring records have little in common. About 80 bytes of
    /// ZIP a record.
    Busy,
}

macro_rules! names {
    ($type:ident, $option:literal, $($name:literal => $variant:ident),+) => {
        impl FromStr for $type {
            type Err = GenerateError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(GenerateError::option(
                        $option,
                        format!("{text:?} is not one of {}", [$($name),+].join(", ")),
                    )),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $name),+ })
            }
        }
    };
}

names!(Container, "container", "zip" => Zip, "gzip_lines" => GzipLines, "plain_list" => PlainList,
    "plain_lines" => PlainLines, "mixed" => Mixed);
names!(MetaForm, "meta", "string" => String, "object" => Object, "mixed" => Mixed);
names!(Load, "load", "sessions" => Sessions, "busy" => Busy);
names!(TimePrecision, "precision", "seconds" => Seconds, "millis" => Millis, "micros" => Micros, "mixed" => Mixed);

/// Everything that shapes the output. Two runs with equal options write equal bytes; `jobs` and `overwrite` have no
/// influence on them and are left out of the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateOptions {
    /// Events in the log, which is also the number of records stored in the end. Default 100 000.
    pub records: u64,
    /// Days covered. Default 31.
    pub days: u32,
    /// First day covered. Default 2026-01-01.
    #[serde(with = "day_text")]
    pub first_day: Date,
    /// Archives, each over an equal share of the time. Default 31.
    pub archives: u32,
    /// Archives a day; where given, `archives` is not used. Default none.
    pub archives_per_day: Option<u32>,
    /// Where all chance comes from. Default 1.
    pub seed: u64,
    /// How archives are packed. Default ZIP.
    pub container: Container,
    /// Members of a ZIP, or concatenated gzip streams; plain files have one. Default 1.
    pub members: u32,
    /// How `meta` is written. Default as a string.
    pub meta: MetaForm,
    /// Whether records carry a `traceID`. Default yes.
    pub trace_ids: bool,
    /// Digits of a second. Default six.
    pub precision: TimePrecision,
    /// Who writes side by side. Default sessions. Absent in the answers of earlier versions, which knew no other.
    #[serde(default)]
    pub load: Load,
    /// Clients that act (`actorID`). Default 40.
    pub clients: u32,
    /// Partitions, each one a service instance. Default 12.
    pub partitions: u32,
    /// Keys over all partitions, at least one for each. Default 400.
    pub keys: u32,
    /// Share of CipherTrust records, 0 to 1. Default 0.
    pub cipher_trust: f64,
    /// Share of the previous archive's time span that an archive repeats, 0 to 1. Default 0.
    pub overlap: f64,
    /// Share of records that repeat the record before them in the same archive, as events of their own, 0 to 0.5.
    /// Default 0.
    pub equal_pairs: f64,
    /// Whether archives differ in key order and blanks. Default no.
    pub vary_layout: bool,
    /// Planned destructions, taking turns: wiped by failed logins, zeroized, refused attempt, initialised anew.
    /// Default 8.
    pub zeroize_rounds: u32,
    /// Planned runs of failed logins that end in a lock. Default 4.
    pub lockout_runs: u32,
    /// Archives that are there a second time, byte for byte, under another name. Default 0.
    pub copies: u32,
    /// Whether every good archive has a side file with the request it was exported with. Default no. Absent in the answers of earlier versions.
    #[serde(default)]
    pub requests: bool,
    /// Damage added on top of the good records. Default none.
    pub faults: Vec<Fault>,
    /// Deflate level of ZIP and gzip, 0 to 9. Default 6.
    pub level: u32,
    /// Threads; 0 means one per core.
    #[serde(skip)]
    pub jobs: usize,
    /// Whether an earlier output in the same folder may be replaced.
    #[serde(skip)]
    pub overwrite: bool,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            records: 100_000,
            days: 31,
            first_day: Date::constant(2026, 1, 1),
            archives: 31,
            archives_per_day: None,
            seed: 1,
            container: Container::Zip,
            members: 1,
            meta: MetaForm::String,
            trace_ids: true,
            precision: TimePrecision::Micros,
            load: Load::Sessions,
            clients: 40,
            partitions: 12,
            keys: 400,
            cipher_trust: 0.0,
            overlap: 0.0,
            equal_pairs: 0.0,
            vary_layout: false,
            zeroize_rounds: 8,
            lockout_runs: 4,
            copies: 0,
            requests: false,
            faults: Vec::new(),
            level: 6,
            jobs: 0,
            overwrite: false,
        }
    }
}

impl GenerateOptions {
    /// The defaults for a load. A busy log has 1 000 clients, 40 partitions and 10 000 keys: however they take turns, a few
    /// dozen would come back too soon.
    #[must_use]
    pub fn of_load(load: Load) -> Self {
        match load {
            Load::Sessions => Self::default(),
            Load::Busy => Self { load, clients: 1_000, partitions: 40, keys: 10_000, ..Self::default() },
        }
    }

    /// Number of good archives these options lead to.
    pub fn archive_count(&self) -> u64 {
        match self.archives_per_day {
            Some(per_day) => u64::from(per_day) * u64::from(self.days),
            None => u64::from(self.archives),
        }
    }

    pub(crate) fn fault_count(&self, place: Place) -> u64 {
        self.faults.iter().filter(|fault| fault.kind.place() == place).map(|fault| u64::from(fault.count)).sum()
    }

    /// Checks limits and combinations; [`generate`](crate::generate) does so first of all.
    pub fn validate(&self) -> Result<(), GenerateError> {
        let archives = self.archive_count();
        at_least("days", u64::from(self.days), 1)?;
        at_least("archives", archives, 1)?;
        at_least("members", u64::from(self.members), 1)?;
        at_least("clients", u64::from(self.clients), 1)?;
        at_least("partitions", u64::from(self.partitions), 1)?;
        at_least("keys", u64::from(self.keys), u64::from(self.partitions))?;
        at_least("records", self.records, archives * u64::from(self.members))?;
        at_most("days", u64::from(self.days), 36_600)?;
        at_most("records", self.records, u64::from(u32::MAX))?;
        at_most("archives", archives, u64::from(self.days) * 86_400)?;
        at_most("level", u64::from(self.level), 9)?;
        at_most("copies", u64::from(self.copies), archives)?;
        share("cipher_trust", self.cipher_trust, 1.0)?;
        share("overlap", self.overlap, 1.0)?;
        share("equal_pairs", self.equal_pairs, 0.5)?;
        if !(1970..=2400).contains(&self.first_day.year()) {
            return Err(GenerateError::option("first_day", "the year must lie between 1970 and 2400"));
        }
        self.validate_faults(archives)
    }

    fn validate_faults(&self, archives: u64) -> Result<(), GenerateError> {
        let of = |kind: FaultKind| -> u64 {
            self.faults.iter().filter(|fault| fault.kind == kind).map(|fault| u64::from(fault.count)).sum()
        };
        if of(FaultKind::EmptyFile) > 1 {
            return Err(GenerateError::option("faults", "two empty files are the same archive; ask for one"));
        }
        let has_lists = matches!(self.container, Container::Zip | Container::PlainList);
        if of(FaultKind::TrailingComma) > 0 && !has_lists {
            return Err(GenerateError::option("faults", "trailing_comma needs the container zip or plain_list"));
        }
        if self.fault_count(Place::ListEnd) > archives {
            return Err(GenerateError::option("faults", "more damaged list ends than archives"));
        }
        let gaps = self.records - archives * u64::from(self.members);
        if self.fault_count(Place::Record) > gaps / 4 {
            return Err(GenerateError::option("faults", "more damaged records than good ones could set apart"));
        }
        Ok(())
    }
}

fn at_least(option: &'static str, value: u64, limit: u64) -> Result<(), GenerateError> {
    if value >= limit {
        return Ok(());
    }
    Err(GenerateError::option(option, format!("{value} is too small, at least {limit} is needed")))
}

fn at_most(option: &'static str, value: u64, limit: u64) -> Result<(), GenerateError> {
    if value <= limit {
        return Ok(());
    }
    Err(GenerateError::option(option, format!("{value} is too large, {limit} is the limit")))
}

fn share(option: &'static str, value: f64, limit: f64) -> Result<(), GenerateError> {
    if (0.0..=limit).contains(&value) {
        return Ok(());
    }
    Err(GenerateError::option(option, format!("{value} is not a share between 0 and {limit}")))
}

/// Days as `YYYY-MM-DD`.
mod day_text {
    use jiff::civil::Date;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(day)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
