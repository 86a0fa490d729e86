//! Damage on demand: every kind by name, where it is applied, and the outcome that is expected of an engine.
//!
//! Faults never touch a good record. A record fault is one more element between two good ones, a list fault stands behind
//! the last good record of an archive, and an archive fault is one more archive whose records nobody must see.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::GenerateError;

/// One kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// An extra ZIP cut off at about 60 % of its length: failed.
    TruncatedZip,
    /// An extra ZIP whose CRC-32 is wrong in both headers: failed.
    BadCrc,
    /// An extra ZIP whose headers carry the encryption flag: failed.
    Encrypted,
    /// An extra gzip file cut off at about 60 % of its length: failed.
    TruncatedGzip,
    /// An extra gzip file whose CRC-32 is wrong: failed.
    BadGzipCrc,
    /// An extra file with an HTML error page under an archive's name: failed.
    HtmlPage,
    /// An extra file with a line of plain text, no JSON at all: failed.
    PlainText,
    /// An extra file without a byte: failed. At most one, because two would have the same hash.
    EmptyFile,
    /// An extra archive with `[]`: stored, without records.
    EmptyList,
    /// A record with a bare word where a string should be: one reject.
    BrokenRecord,
    /// A record whose `status` lacks its closing quote: one reject.
    MissingQuote,
    /// A record without its closing brace: one reject.
    MissingBrace,
    /// A record whose `time` is absent, null, empty or no time: one reject.
    NoTime,
    /// A list element or line that is a number, a text, `null`, `true` or a list: one reject.
    NotObject,
    /// A comma between the last record and the end of the list: no record is lost, the comma is one reject.
    TrailingComma,
    /// The last member ends in the middle of one more record: that record is one reject.
    CutList,
}

/// Where a kind of damage is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// One more archive that must fail.
    FailedArchive,
    /// One more archive that is fine, and has no records.
    EmptyArchive,
    /// One more element inside a good archive.
    Record,
    /// The end of a good archive.
    ListEnd,
}

impl FaultKind {
    /// All kinds, in the order of this list.
    pub const ALL: [Self; 16] = [
        Self::TruncatedZip,
        Self::BadCrc,
        Self::Encrypted,
        Self::TruncatedGzip,
        Self::BadGzipCrc,
        Self::HtmlPage,
        Self::PlainText,
        Self::EmptyFile,
        Self::EmptyList,
        Self::BrokenRecord,
        Self::MissingQuote,
        Self::MissingBrace,
        Self::NoTime,
        Self::NotObject,
        Self::TrailingComma,
        Self::CutList,
    ];

    /// The name used in options, file names and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::TruncatedZip => "truncated_zip",
            Self::BadCrc => "bad_crc",
            Self::Encrypted => "encrypted",
            Self::TruncatedGzip => "truncated_gzip",
            Self::BadGzipCrc => "bad_gzip_crc",
            Self::HtmlPage => "html_page",
            Self::PlainText => "plain_text",
            Self::EmptyFile => "empty_file",
            Self::EmptyList => "empty_list",
            Self::BrokenRecord => "broken_record",
            Self::MissingQuote => "missing_quote",
            Self::MissingBrace => "missing_brace",
            Self::NoTime => "no_time",
            Self::NotObject => "not_object",
            Self::TrailingComma => "trailing_comma",
            Self::CutList => "cut_list",
        }
    }

    pub(crate) fn place(self) -> Place {
        match self {
            Self::TruncatedZip
            | Self::BadCrc
            | Self::Encrypted
            | Self::TruncatedGzip
            | Self::BadGzipCrc
            | Self::HtmlPage
            | Self::PlainText
            | Self::EmptyFile => Place::FailedArchive,
            Self::EmptyList => Place::EmptyArchive,
            Self::BrokenRecord | Self::MissingQuote | Self::MissingBrace | Self::NoTime | Self::NotObject => {
                Place::Record
            }
            Self::TrailingComma | Self::CutList => Place::ListEnd,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FaultKind {
    type Err = GenerateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            GenerateError::option("faults", format!("no fault is called {text:?}; there are {}", names.join(", ")))
        })
    }
}

/// A kind of damage and how often it is wanted; as text `kind` or `kind=count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind of damage.
    pub kind: FaultKind,
    /// How many times.
    pub count: u32,
}

impl Fault {
    /// One fault of each kind; `trailing_comma` needs archives that hold lists.
    pub fn one_of_each() -> Vec<Self> {
        FaultKind::ALL.into_iter().map(Self::from).collect()
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, count: 1 }
    }
}

impl FromStr for Fault {
    type Err = GenerateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((kind, count)) = text.split_once('=') else {
            return text.parse::<FaultKind>().map(Self::from);
        };
        let count = count
            .parse()
            .map_err(|_| GenerateError::option("faults", format!("{count:?} in {text:?} is not a whole number")))?;
        Ok(Self { kind: kind.parse()?, count })
    }
}
