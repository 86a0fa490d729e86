//! Files on top of the good archives: damaged ones, an empty list, and copies.

use std::fs;
use std::path::Path;

use crate::GenerateError;
use crate::archive::Elements;
use crate::clock::DAY;
use crate::container::{Form, Packing};
use crate::dice::{Dice, Purpose};
use crate::expected::{ArchiveAnswer, ArchiveStatus};
use crate::fault::{FaultKind, Place};
use crate::plan::{Plan, span};
use crate::render::{Flaw, Style};
use crate::slice::{Manner, SliceRecords};

/// Records inside an archive that nobody must see.
const HIDDEN_RECORDS: u64 = 200;

/// Writes all extra archives of a plan, and tells about each.
pub(crate) fn write_damaged(plan: &Plan<'_>, folder: &Path) -> Result<Vec<ArchiveAnswer>, GenerateError> {
    let kinds = plan.options.faults.iter().flat_map(|fault| (0..fault.count).map(|_| fault.kind));
    let extra = kinds.filter(|kind| matches!(kind.place(), Place::FailedArchive | Place::EmptyArchive));
    (0_u64..).zip(extra).map(|(number, kind)| write_one(plan, folder, number, kind)).collect()
}

fn write_one(plan: &Plan<'_>, folder: &Path, number: u64, kind: FaultKind) -> Result<ArchiveAnswer, GenerateError> {
    let stem = format!("fault-{number:03}-{kind}");
    let form = match kind {
        FaultKind::TruncatedGzip | FaultKind::BadGzipCrc => Form { packing: Packing::Gzip, lines: true },
        FaultKind::TruncatedZip | FaultKind::BadCrc | FaultKind::Encrypted => {
            Form { packing: Packing::Zip, lines: false }
        }
        _ => Form { packing: Packing::Plain, lines: false },
    };
    let (name, content) = match kind {
        FaultKind::HtmlPage => (
            format!("{stem}.zip"),
            format!(
                "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body><h1>Bad gateway</h1>\
                 <p>Reference {number:08}. Please try again.</p></body></html>\n"
            )
            .into_bytes(),
        ),
        FaultKind::PlainText => {
            (format!("{stem}.zip"), format!("Job {number:08} has expired. Request a new export.\n").into_bytes())
        }
        FaultKind::EmptyFile => (format!("{stem}.zip"), Vec::new()),
        FaultKind::EmptyList => {
            // Blanks keep two of them apart.
            (format!("{stem}.json"), format!("[{}]\n", " ".repeat(number as usize)).into_bytes())
        }
        _ => sound_archive(plan, folder, stem, form, number)?,
    };
    let content = spoil(kind, content);
    let path = folder.join(&name);
    fs::write(&path, &content).map_err(|error| GenerateError::io(&path, error))?;
    let stored = kind.place() == Place::EmptyArchive;
    let bytes = content.len() as u64;
    Ok(ArchiveAnswer {
        name,
        container: form.packing.name().to_owned(),
        status: if stored { ArchiveStatus::Stored } else { ArchiveStatus::Failed },
        fault: Some(kind.name().to_owned()),
        bytes,
        json_bytes: if stored { bytes } else { 0 },
        members: u64::from(stored),
        ..nothing_read()
    })
}

/// Writes an archive of records that are in no answer; returns its name and its bytes.
fn sound_archive(
    plan: &Plan<'_>,
    folder: &Path,
    stem: String,
    form: Form,
    number: u64,
) -> Result<(String, Vec<u8>), GenerateError> {
    let options = plan.options;
    let (from, _) = span(options);
    let style = Style::of_archive(0, false, form.lines);
    let mut elements = Elements::create(folder, stem, form, style, 1, options.level, false)?;
    let dice = Dice::new(options.seed, Purpose::Damaged, number);
    for record in SliceRecords::new(plan.world, Manner::of(options), dice, (from, from + DAY), HIDDEN_RECORDS, &[]) {
        elements.push(&record, false, Flaw::None)?;
    }
    let (name, _, _) = elements.finish(None)?;
    let path = folder.join(&name);
    let content = fs::read(&path).map_err(|error| GenerateError::io(&path, error))?;
    Ok((name, content))
}

/// Does to the bytes of a sound archive what the fault says.
fn spoil(kind: FaultKind, mut content: Vec<u8>) -> Vec<u8> {
    match kind {
        FaultKind::TruncatedZip | FaultKind::TruncatedGzip => content.truncate(content.len() * 6 / 10),
        FaultKind::BadCrc => {
            let central = central_header(&content);
            flip(&mut content, 14, 0xff);
            flip(&mut content, central + 16, 0xff);
        }
        FaultKind::Encrypted => {
            let central = central_header(&content);
            flip(&mut content, 6, 1);
            flip(&mut content, central + 8, 1);
        }
        // The last eight bytes are checksum and length.
        FaultKind::BadGzipCrc => {
            let at = content.len().saturating_sub(8);
            flip(&mut content, at, 0xff);
        }
        _ => {}
    }
    content
}

fn flip(content: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = content.get_mut(at) {
        *byte ^= bits;
    }
}

/// Where the one entry of a ZIP's central directory starts.
fn central_header(content: &[u8]) -> usize {
    content.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap_or(content.len())
}

/// Writes copies of archives under other names, spread over all of them.
pub(crate) fn write_copies(
    copies: u32,
    good: &[ArchiveAnswer],
    folder: &Path,
) -> Result<Vec<ArchiveAnswer>, GenerateError> {
    let stride = good.len() / (copies.max(1) as usize);
    good.iter()
        .step_by(stride.max(1))
        .take(copies as usize)
        .enumerate()
        .map(|(number, original)| {
            let name = format!("copy-{number:03}-of-{}", original.name);
            let path = folder.join(&name);
            fs::copy(folder.join(&original.name), &path).map_err(|error| GenerateError::io(&path, error))?;
            Ok(ArchiveAnswer {
                name,
                container: original.container.clone(),
                status: ArchiveStatus::Copy,
                copy_of: Some(original.name.clone()),
                bytes: original.bytes,
                ..nothing_read()
            })
        })
        .collect()
}

fn nothing_read() -> ArchiveAnswer {
    ArchiveAnswer {
        name: String::new(),
        container: String::new(),
        status: ArchiveStatus::Failed,
        fault: None,
        copy_of: None,
        bytes: 0,
        json_bytes: 0,
        members: 0,
        read: 0,
        repeated: 0,
        rejected: 0,
        first_time: None,
        last_time: None,
    }
}
