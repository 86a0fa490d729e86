//! Members of a ZIP file that no directory leads to: after a download that stopped, behind a directory's entry that cannot be read, of a ZIP
//! that another was joined to. They are found by their local headers, front to back.
//!
//! Only for salvage. A local header may leave lengths and CRC to a descriptor behind the data, and then nothing is checked here but what
//! DEFLATE itself notices; the archive is filed as salvaged. Whatever is wrong with a member, the search goes on behind its header.

use std::collections::HashSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};

use keytrail_model::ledger::Note;
use libdeflater::Crc;

use super::Members;
use super::buffers::Buffers;
use super::content::{PIECE_BYTES, Watched, read_piece, wrong_crc};
use super::source::{Source, SourceReader};
use super::zip_layout::{self, Entry, FLAG_DESCRIPTOR, LOCAL_HEADER_BYTES};
use super::zip_stream::Inflate;

const FLAG_ENCRYPTED: u16 = 1;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Kind of an extra field that holds lengths which are too long for the header.
const EXTRA_64: u16 = 1;
/// How often the bytes of a stretch are read at most: headers that lie within the data of others could make that the square of its length.
const READINGS_MAX: u64 = 8;

/// A local header.
struct LocalHeader {
    flags: u16,
    method: u16,
    crc32: u32,
    data_bytes: u64,
    /// Inflated.
    bytes: u64,
    name: String,
    /// Byte of the file.
    data_start: u64,
}

impl LocalHeader {
    fn is_named_as_folder(&self) -> bool {
        self.name.ends_with('/')
    }

    /// Whether lengths and CRC are not left to a descriptor.
    fn is_complete(&self) -> bool {
        self.flags & FLAG_DESCRIPTOR == 0
    }

    /// A folder as most writers make it. Behind a stored one that has a descriptor nothing but that can follow.
    fn is_folder_without_data(&self) -> bool {
        let is_known = self.is_complete() || self.method == STORED;
        self.is_named_as_folder() && is_known && self.data_bytes == 0 && self.bytes == 0
    }

    /// Length and CRC-32 that the content has to have, where the header says them.
    fn expected(&self) -> Option<(u64, u32)> {
        self.is_complete().then_some((self.bytes, self.crc32))
    }
}

/// The search in an archive.
pub(super) struct Search<'a> {
    reader: BufReader<SourceReader<'a>>,
    file_bytes: u64,
    /// Length and CRC-32 of the contents that the directory names: what is equal to one is the same once more, and is not taken.
    named: HashSet<(u64, u32)>,
    found: u64,
    /// Bytes of data read in the stretch at hand.
    read: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(source: Source<'a>, named: HashSet<(u64, u32)>) -> io::Result<Self> {
        let mut reader = source.reader()?;
        let file_bytes = reader.seek(SeekFrom::End(0))?;
        Ok(Self { reader, file_bytes, named, found: 0, read: 0 })
    }

    /// Visits the members that are found between two bytes of the file, and says how far it got.
    pub(super) fn visit<M: Members>(
        &mut self,
        (from, to): (u64, u64),
        buffers: &mut Buffers,
        members: &mut M,
    ) -> Result<(), M::Stop> {
        let to = to.min(self.file_bytes);
        let (mut at, before) = (from, self.found);
        self.read = 0;
        let end = loop {
            let header = match self.next(at, to) {
                Ok(Some(header)) => header,
                Ok(None) => break "no other begins",
                Err(error) => {
                    tell(members, &error);
                    break "nothing can be read";
                }
            };
            if self.found >= members.members_max() {
                members.damaged(None, format!("more than {} members, the limit for an archive", members.members_max()));
                break "there are more than the limit";
            }
            if self.read > to.saturating_sub(from).saturating_mul(READINGS_MAX) {
                let text =
                    format!("salvage: expected to read at most {READINGS_MAX} times the bytes searched, found more");
                members.damaged(None, text);
                break "it was not searched";
            }
            self.found += 1;
            at = match self.member(&header, to, buffers, members)? {
                Ok(end) => end,
                Err(error) => {
                    tell(members, &error);
                    break "nothing can be read";
                }
            };
        };
        let found = self.found - before;
        let text =
            format!("{found} members were found by their local headers from byte {from} on; behind byte {at} {end}");
        members.note(Note { offset: Some(at), ..Note::new("salvage_end", text) });
        Ok(())
    }

    /// The next local header.
    fn next(&mut self, at: u64, to: u64) -> io::Result<Option<LocalHeader>> {
        let Some(at) = zip_layout::next_local_header(&mut self.reader, (at, to))? else {
            return Ok(None);
        };
        let mut fixed = [0; LOCAL_HEADER_BYTES];
        zip_layout::seek(&mut self.reader, at)?;
        self.reader.read_exact(&mut fixed)?;
        let field = |at: usize| match fixed.get(at..at + 2) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => 0,
        };
        let long = |at| u32::from(field(at)) | u32::from(field(at + 2)) << 16;
        let (mut name, mut extra) = (vec![0; usize::from(field(26))], vec![0; usize::from(field(28))]);
        self.reader.read_exact(&mut name)?;
        self.reader.read_exact(&mut extra)?;
        let (data_bytes, bytes) = lengths(long(18), long(22), &extra);
        Ok(Some(LocalHeader {
            flags: field(6),
            method: field(8),
            crc32: long(14),
            data_bytes,
            bytes,
            data_start: at + (LOCAL_HEADER_BYTES + name.len() + extra.len()) as u64,
            name: String::from_utf8_lossy(&name).into_owned(),
        }))
    }

    /// Visits a member, and tells the byte from which on to look for the next one.
    fn member<M: Members>(
        &mut self,
        header: &LocalHeader,
        to: u64,
        buffers: &mut Buffers,
        members: &mut M,
    ) -> Result<io::Result<u64>, M::Stop> {
        let name = Some(header.name.as_str());
        if header.flags & FLAG_ENCRYPTED != 0 {
            members.damaged(name, "encrypted: expected plain content".into());
            return Ok(self.behind(header, to));
        }
        if header.is_folder_without_data() {
            return Ok(self.behind_descriptor(header, (header.data_start, 0, Crc::new().sum())));
        }
        match header.method {
            STORED if !header.is_complete() => {
                members.damaged(name, "stored, and its length stands behind its data: expected it in front".into());
                return Ok(self.behind(header, to));
            }
            STORED | DEFLATED => {}
            method => {
                members.damaged(name, format!("compressed by method {method}: expected stored or deflated"));
                return Ok(self.behind(header, to));
            }
        }
        match self.is_named(header, to, members) {
            Ok(false) => {}
            Ok(true) => {
                let text = format!("ZIP: the member at byte {} is one that the directory names", header.data_start);
                members.note(Note { offset: Some(header.data_start), ..Note::new("repeated_member", text) });
                return Ok(self.behind(header, to));
            }
            Err(error) => return Ok(Err(error)),
        }
        if let Err(error) = zip_layout::seek(&mut self.reader, header.data_start) {
            return Ok(Err(error));
        }
        let mut content = Watched::new(Found::new(&mut self.reader, header, to));
        let is_whole = visit_member(header, &mut content, buffers, members)?;
        let is_over = content.is_over();
        let Found { data, bytes, crc, .. } = content.reader;
        // Where the visitor had enough, how far it was read depends on how it was.
        self.read += if is_over { data.used() } else { to.saturating_sub(header.data_start) };
        if !is_whole {
            return Ok(self.behind(header, to));
        }
        let end = header.data_start + data.used();
        Ok(self.behind_descriptor(header, (end, bytes, crc.sum())))
    }

    /// Whether the content is one that the directory names.
    fn is_named(&mut self, header: &LocalHeader, to: u64, members: &impl Members) -> io::Result<bool> {
        if self.named.is_empty() {
            return Ok(false);
        }
        if let Some(expected) = header.expected() {
            return Ok(self.named.contains(&expected));
        }
        zip_layout::seek(&mut self.reader, header.data_start)?;
        let mut content = Watched::new(Found::new(&mut self.reader, header, to));
        let is_whole = content.skip_rest(&mut vec![0; PIECE_BYTES], |bytes| members.admits(bytes));
        let Found { data, bytes, crc, .. } = content.reader;
        self.read += data.used();
        Ok(is_whole && self.named.contains(&(bytes, crc.sum())))
    }

    /// Behind a member that was not read to its end: where its header says that its data ends, if something of a ZIP stands there; else
    /// behind its header.
    fn behind(&mut self, header: &LocalHeader, to: u64) -> io::Result<u64> {
        let end = header.data_start.saturating_add(header.data_bytes);
        if !header.is_complete() || end > to {
            return Ok(header.data_start);
        }
        let is_there = end == to || zip_layout::signature(&mut self.reader, end)?.starts_with(b"PK");
        Ok(if is_there { end } else { header.data_start })
    }

    /// Behind a member whose data ends at a byte, with the length and the CRC-32 of its content.
    fn behind_descriptor(&mut self, header: &LocalHeader, (end, bytes, crc32): (u64, u64, u32)) -> io::Result<u64> {
        if header.is_complete() {
            return Ok(end);
        }
        let compressed_bytes = end - header.data_start;
        let entry = Entry { header_start: 0, compressed_bytes, bytes, crc32, has_descriptor: true, entry_start: 0 };
        Ok(end + zip_layout::descriptor_bytes(&mut self.reader, end, &entry)?)
    }
}

fn tell(members: &mut impl Members, error: &io::Error) {
    if error.raw_os_error().is_some() {
        members.unreadable(error);
    }
}

/// Lengths of the data and of the content: those of a header, or of its extra field where they are too long for it.
fn lengths(data_bytes: u32, bytes: u32, mut extra: &[u8]) -> (u64, u64) {
    let mut field = <&[u8]>::default();
    while let Some((&[id_low, id_high, low, high], rest)) = extra.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (this, others) = rest.split_at(length);
        if u16::from_le_bytes([id_low, id_high]) == EXTRA_64 {
            field = this;
        }
        extra = others;
    }
    let mut next = |short: u32| {
        if short != u32::MAX {
            return u64::from(short);
        }
        let Some((long, rest)) = field.split_first_chunk() else {
            return u64::from(short);
        };
        field = rest;
        u64::from_le_bytes(*long)
    };
    // The length of the content stands first.
    let bytes = next(bytes);
    (next(data_bytes), bytes)
}

/// Visits a member, unless it is a folder: a name that ends in a slash, and nothing in it. Tells whether its end was found.
fn visit_member<M: Members>(
    header: &LocalHeader,
    content: &mut Watched<impl Read + Send>,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<bool, M::Stop> {
    let mut first = [0; 1];
    let count = if header.is_named_as_folder() {
        match read_piece(content, &mut first) {
            Ok(0) => return Ok(true),
            Ok(count) => count,
            Err(error) => {
                members.damaged(Some(&header.name), format!("a folder with content: {error}"));
                return Ok(false);
            }
        }
    } else {
        0
    };
    let mut all = first.get(..count).unwrap_or_default().chain(&mut *content);
    buffers.stream(&mut all, header.bytes, |content| members.member(&header.name, content))?;
    Ok(buffers.skip_rest(content, |bytes| members.admits(bytes)))
}

/// The content of a member, to the end that DEFLATE tells, or the header of a stored one.
struct Found<'b, 'a> {
    data: Data<&'b mut BufReader<SourceReader<'a>>>,
    bytes: u64,
    crc: Crc,
    /// Length and CRC-32 that it has to have in the end.
    expected: Option<(u64, u32)>,
}

enum Data<R> {
    /// With its length.
    Stored(Take<R>, u64),
    Deflated(Inflate<Take<R>>),
}

impl<R: io::BufRead> Data<R> {
    fn used(&self) -> u64 {
        match self {
            Self::Stored(data, bytes) => bytes - data.limit(),
            Self::Deflated(data) => data.used(),
        }
    }
}

impl<'b, 'a> Found<'b, 'a> {
    /// The reader stands at the data.
    fn new(reader: &'b mut BufReader<SourceReader<'a>>, header: &LocalHeader, to: u64) -> Self {
        let at_most = to.saturating_sub(header.data_start);
        let data = if header.method == DEFLATED {
            Data::Deflated(Inflate::new(reader.take(at_most)))
        } else {
            let bytes = header.data_bytes.min(at_most);
            Data::Stored(reader.take(bytes), bytes)
        };
        Self { data, bytes: 0, crc: Crc::new(), expected: header.expected() }
    }
}

impl Read for Found<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.data {
            Data::Stored(data, _) => data.read(buffer)?,
            Data::Deflated(data) => data.read(buffer)?,
        };
        self.bytes += count as u64;
        self.crc.update(buffer.get(..count).unwrap_or_default());
        match self.expected {
            Some((bytes, crc32)) if count == 0 && !buffer.is_empty() => {
                if self.bytes != bytes {
                    let message = format!("expected {bytes} bytes, found {}", self.bytes);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                if self.crc.sum() != crc32 {
                    return Err(wrong_crc(crc32, self.crc.sum()));
                }
                Ok(0)
            }
            _ => Ok(count),
        }
    }
}
