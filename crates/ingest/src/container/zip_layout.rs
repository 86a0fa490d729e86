//! Whether the directory of a ZIP file accounts for the whole file.
//!
//! A reader of ZIP files believes the directory at the end. Records would be lost in silence where it names fewer members than there are
//! (a cut count, two files joined, a comment that looks like a directory), or counted twice where two entries name one member. So
//! members, directory and end record have to lie side by side, from the first byte to the last.

use std::io::{self, Read, Seek, SeekFrom};

const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
/// Length of a local header without its name and its extra field.
pub(super) const LOCAL_HEADER_BYTES: usize = 30;
pub(super) const DIRECTORY_ENTRY: [u8; 4] = *b"PK\x01\x02";
const DIRECTORY_ENTRY_BYTES: u64 = 46;
pub(super) const END_RECORD: [u8; 4] = *b"PK\x05\x06";
pub(super) const END_RECORD_BYTES: u64 = 22;
pub(super) const END_RECORD_64: [u8; 4] = *b"PK\x06\x06";
pub(super) const END_LOCATOR_64_BYTES: u64 = 20;
/// Longest descriptor behind a member's data: signature, CRC and two sizes of 8 bytes.
const DESCRIPTOR_BYTES_MAX: u64 = 24;

/// Where an entry of the directory says that its member lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Byte of the local header.
    pub(super) header_start: u64,
    /// Length of the data behind it.
    pub(super) compressed_bytes: u64,
    /// Whether a descriptor may follow the data.
    pub(super) has_descriptor: bool,
    /// Byte of the entry itself.
    pub(super) entry_start: u64,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Members that the directory does not name, or other reasons to believe that records are missing.
    pub(super) faults: Vec<String>,
    /// Bytes that belong to nothing.
    pub(super) notes: Vec<String>,
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
        let (mut covered, mut slack) = (0_u64, 0);
        for (index, entry) in order {
            if entry.header_start < covered {
                self.overlapping.push(index);
                continue;
            }
            if entry.header_start > covered.saturating_add(slack) {
                self.gap(file, covered, entry.header_start)?;
            }
            let data_start = entry.header_start.saturating_add(local_header_bytes(file, entry.header_start)?);
            covered = data_start.saturating_add(entry.compressed_bytes);
            slack = if entry.has_descriptor { DESCRIPTOR_BYTES_MAX } else { 0 };
        }
        Ok(covered.saturating_add(slack))
    }

    /// Bytes between members, or before the first one.
    fn gap(&mut self, file: &mut (impl Read + Seek), from: u64, to: u64) -> io::Result<()> {
        if signature(file, from)? == LOCAL_HEADER {
            self.faults.push(format!("the directory names no member at byte {from}, but there is one"));
        } else {
            self.notes.push(format!("{} bytes at byte {from} belong to no member", to.saturating_sub(from)));
        }
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
            self.faults.push(format!("the directory has more entries than its end record says, at byte {at}"));
            return Ok(());
        }
        if signature(file, at)? == END_RECORD_64 {
            at = at.saturating_add(u64_at(file, at.saturating_add(4))?).saturating_add(12 + END_LOCATOR_64_BYTES);
        }
        if signature(file, at)? != END_RECORD {
            self.notes.push(format!("no end record behind the directory, at byte {at}"));
            return Ok(());
        }
        let comment_bytes = u64::from(u16_at(file, at.saturating_add(20))?);
        let end = at.saturating_add(END_RECORD_BYTES + comment_bytes);
        if end < file_bytes {
            self.notes.push(format!("{} bytes follow the end of the ZIP", file_bytes - end));
        }
        Ok(())
    }
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
pub(super) fn name_and_extra_bytes(header: &[u8; LOCAL_HEADER_BYTES]) -> Option<u32> {
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
