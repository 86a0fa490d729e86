//! Whether the directory of a ZIP file accounts for the whole file.
//!
//! A reader of ZIP files believes the directory at the end. Records would be lost in silence where it names fewer members than there are
//! (a cut count, two files joined, a comment that looks like a directory), or counted twice where two entries name one member. So
//! members, directory and end record have to lie side by side, from the first byte to the last.

use std::io::{self, Read, Seek, SeekFrom};

use keytrail_model::ledger::Note;

use super::stretch::Stretch;

const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
/// Length of a local header without its name and its extra field.
pub(crate) const LOCAL_HEADER_BYTES: usize = 30;
pub(super) const DIRECTORY_ENTRY: [u8; 4] = *b"PK\x01\x02";
const DIRECTORY_ENTRY_BYTES: u64 = 46;
pub(super) const END_RECORD: [u8; 4] = *b"PK\x05\x06";
pub(super) const END_RECORD_BYTES: u64 = 22;
pub(super) const END_RECORD_64: [u8; 4] = *b"PK\x06\x06";
pub(super) const END_LOCATOR_64_BYTES: u64 = 20;
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
/// What is looked for in bytes that belong to nothing.
const SIGNATURES: [&[u8]; 3] = [&LOCAL_HEADER, &DIRECTORY_ENTRY, &END_RECORD];
/// Methods of compression are numbered up to this.
const METHOD_MAX: u16 = 99;

/// Where an entry of the directory says that its member lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Byte of the local header.
    pub(super) header_start: u64,
    /// Length of the data behind it.
    pub(super) compressed_bytes: u64,
    /// Length of the data, inflated.
    pub(super) bytes: u64,
    /// CRC-32 of it.
    pub(super) crc32: u32,
    /// Whether a descriptor may follow the data.
    pub(super) has_descriptor: bool,
    /// Byte of the entry itself.
    pub(super) entry_start: u64,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Members that the directory does not name, or other reasons to believe that records are missing.
    pub(super) faults: Vec<Note>,
    /// Bytes that belong to nothing, and what else is odd.
    pub(super) notes: Vec<Note>,
    /// Indices of entries whose member shares bytes with the member of an earlier entry: reading them would count records twice.
    pub(super) overlapping: Vec<usize>,
}

/// Compares the entries, given in the directory's order, with the bytes of the file.
pub(super) fn check(file: &mut (impl Read + Seek), entries: &[Entry]) -> io::Result<Layout> {
    let mut layout = Layout::default();
    let file_bytes = file.seek(SeekFrom::End(0))?;
    let directory_start = match entries.first() {
        Some(first) => first.entry_start,
        None => file_bytes.saturating_sub(END_RECORD_BYTES),
    };
    let covered = layout.check_members(file, entries)?;
    if covered < directory_start && (covered > 0 || !entries.is_empty() || signature(file, 0)? == LOCAL_HEADER) {
        layout.gap(file, covered, directory_start)?;
    }
    layout.check_end(file, entries, file_bytes)?;
    Ok(layout)
}

impl Layout {
    /// Walks the members in the order of their bytes; tells where the last one ends.
    fn check_members(&mut self, file: &mut (impl Read + Seek), entries: &[Entry]) -> io::Result<u64> {
        let mut order: Vec<(usize, &Entry)> = entries.iter().enumerate().collect();
        order.sort_by_key(|(index, entry)| (entry.header_start, *index));
        let mut covered = 0_u64;
        for (index, entry) in order {
            if entry.header_start < covered {
                self.overlapping.push(index);
                continue;
            }
            if entry.header_start > covered {
                self.gap(file, covered, entry.header_start)?;
            }
            let data_start = entry.header_start.saturating_add(local_header_bytes(file, entry.header_start)?);
            covered = data_start.saturating_add(entry.compressed_bytes);
            if entry.has_descriptor {
                covered = covered.saturating_add(descriptor_bytes(file, covered, entry)?);
            }
        }
        Ok(covered)
    }

    /// Bytes between members, or before the first one, or behind the last one.
    fn gap(&mut self, file: &mut (impl Read + Seek), from: u64, to: u64) -> io::Result<()> {
        let gap = Stretch::read(file, (from, to), &SIGNATURES)?;
        if let Some(at) = gap.first_of(&LOCAL_HEADER)
            && (at == from || is_local_header(file, at)?)
        {
            let text = format!("the directory names no member at byte {at}, but there is one");
            self.faults.push(gap.note("unnamed_member", text));
            return Ok(());
        }
        let (bytes, directory) = (gap.bytes, gap.first_of(&DIRECTORY_ENTRY).or(gap.first_of(&END_RECORD)));
        self.notes.push(match directory {
            Some(at) => gap.note(
                "second_directory",
                format!("a second directory at byte {at}, in bytes that belong to no member"),
            ),
            None if from == 0 => gap.note("bytes_before", format!("{bytes} bytes before the first member")),
            None if gap.is_padding() => {
                gap.note("padding", format!("{bytes} zero bytes at byte {from} belong to no member"))
            }
            None => gap.note("bytes_between", format!("{bytes} bytes at byte {from} belong to no member")),
        });
        Ok(())
    }

    /// Behind the last entry comes the end record, and behind it and its comment the file ends.
    fn check_end(&mut self, file: &mut (impl Read + Seek), entries: &[Entry], file_bytes: u64) -> io::Result<()> {
        let mut at = match entries.last() {
            Some(last) => last.entry_start.saturating_add(directory_entry_bytes(file, last.entry_start)?),
            None => match signature(file, 0)? {
                END_RECORD => 0,
                // Members or other bytes, and a directory without entries: told by the gap.
                _ => return Ok(()),
            },
        };
        if signature(file, at)? == DIRECTORY_ENTRY {
            let text = format!("the directory has more entries than its end record says, at byte {at}");
            self.faults.push(Note { offset: Some(at), ..Note::new("uncounted_entry", text) });
            return Ok(());
        }
        if signature(file, at)? == END_RECORD_64 {
            at = at.saturating_add(u64_at(file, at.saturating_add(4))?).saturating_add(12 + END_LOCATOR_64_BYTES);
        }
        if signature(file, at)? != END_RECORD {
            let text = format!("no end record behind the directory, at byte {at}");
            self.notes.push(Note { offset: Some(at), ..Note::new("no_end_record", text) });
            return Ok(());
        }
        let comment_bytes = u64::from(u16_at(file, at.saturating_add(20))?);
        let comment_start = at.saturating_add(END_RECORD_BYTES);
        let end = comment_start.saturating_add(comment_bytes);
        if comment_bytes > 0 {
            let comment = Stretch::read(file, (comment_start, end), &SIGNATURES)?;
            self.notes.push(comment.note("zip_comment", format!("a ZIP comment of {comment_bytes} bytes")));
        }
        if end < file_bytes {
            let rest = Stretch::read(file, (end, file_bytes), &SIGNATURES)?;
            let (kind, zero) = if rest.is_padding() { ("padding", "zero ") } else { ("bytes_after", "") };
            self.notes.push(rest.note(kind, format!("{} {zero}bytes follow the end of the ZIP", rest.bytes)));
        }
        Ok(())
    }
}

/// Length of the descriptor behind a member's data: CRC and two sizes of 4 or 8 bytes, with its usual signature or without. 0 where there
/// is none that fits the directory.
fn descriptor_bytes(file: &mut (impl Read + Seek), at: u64, entry: &Entry) -> io::Result<u64> {
    let found: [u8; 24] = read_at(file, at)?;
    let crc = entry.crc32.to_le_bytes();
    let short = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let long = [crc.as_slice(), &entry.compressed_bytes.to_le_bytes(), &entry.bytes.to_le_bytes()].concat();
    let short = [crc.as_slice(), &short(entry.compressed_bytes), &short(entry.bytes)].concat();
    let signed = |rest: &[u8]| [DESCRIPTOR.as_slice(), rest].concat();
    let forms = [signed(&long), signed(&short), long, short];
    Ok(forms.iter().find(|form| found.starts_with(form)).map_or(0, |form| form.len() as u64))
}

/// Whether what has the signature of a local header looks like one in its other fields: four bytes can be chance.
fn is_local_header(file: &mut (impl Read + Seek), at: u64) -> io::Result<bool> {
    let header: [u8; LOCAL_HEADER_BYTES] = read_at(file, at)?;
    let field = |from: usize| match header.get(from..from + 2) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    };
    let (version, method, name_bytes) = (field(4) & 0xff, field(8), field(26));
    Ok(version <= u16::from(u8::MAX >> 1) && method <= METHOD_MAX && (1..=4096).contains(&name_bytes))
}

fn read_at<const N: usize>(file: &mut (impl Read + Seek), at: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(&mut bytes) {
        // Past the end there are no bytes, so nothing that we look for.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok([0; N]),
        read => read.map(|()| bytes),
    }
}

pub(super) fn signature(file: &mut (impl Read + Seek), at: u64) -> io::Result<[u8; 4]> {
    read_at(file, at)
}

fn u16_at(file: &mut (impl Read + Seek), at: u64) -> io::Result<u16> {
    Ok(u16::from_le_bytes(read_at(file, at)?))
}

pub(super) fn u64_at(file: &mut (impl Read + Seek), at: u64) -> io::Result<u64> {
    Ok(u64::from_le_bytes(read_at(file, at)?))
}

/// Length of a local header with its name and its extra field.
fn local_header_bytes(file: &mut (impl Read + Seek), at: u64) -> io::Result<u64> {
    let lengths: [u8; 4] = read_at(file, at.saturating_add(26))?;
    Ok(LOCAL_HEADER_BYTES as u64 + u64::from(sum_of_two(lengths)))
}

/// Bytes between a local header and the data: its name and its extra field. `None` where it is no local header.
pub(crate) fn name_and_extra_bytes(header: &[u8; LOCAL_HEADER_BYTES]) -> Option<u32> {
    let lengths = header.last_chunk()?;
    header.starts_with(&LOCAL_HEADER).then(|| sum_of_two(*lengths))
}

fn sum_of_two([low, high, other_low, other_high]: [u8; 4]) -> u32 {
    u32::from(u16::from_le_bytes([low, high])) + u32::from(u16::from_le_bytes([other_low, other_high]))
}

/// Length of a directory entry with its name, its extra field and its comment.
fn directory_entry_bytes(file: &mut (impl Read + Seek), at: u64) -> io::Result<u64> {
    let lengths: [u8; 6] = read_at(file, at.saturating_add(28))?;
    let (pairs, _) = lengths.as_chunks::<2>();
    Ok(DIRECTORY_ENTRY_BYTES + pairs.iter().map(|pair| u64::from(u16::from_le_bytes(*pair))).sum::<u64>())
}
