//! A ZIP file whose directory is gone (a download that stopped): the members are found by their local headers, front to back.
//!
//! Only for salvage. A local header may leave sizes and CRC to a descriptor behind the data, so nothing is checked here but what
//! DEFLATE itself notices; the archive is filed as salvaged.

use std::io::{self, BufRead, Read};

use flate2::bufread::DeflateDecoder;

use super::Members;
use super::buffers::Buffers;
use super::content::{Watched, read_piece};
use super::source::Source;

const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
const FLAG_ENCRYPTED: u16 = 1;
const FLAG_DESCRIPTOR: u16 = 1 << 3;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// The part of a local header that finds the data.
struct LocalHeader {
    flags: u16,
    method: u16,
    compressed_bytes: u64,
    /// Inflated; nothing where a descriptor has it.
    bytes: u64,
    name: String,
}

impl LocalHeader {
    fn is_named_as_folder(&self) -> bool {
        self.name.ends_with('/')
    }

    /// A folder as most writers make it. Behind a stored one that has a descriptor nothing but that can follow; if something does, it is
    /// no header, and the search ends.
    fn is_folder_without_data(&self) -> bool {
        let is_known = self.flags & FLAG_DESCRIPTOR == 0 || self.method == STORED;
        self.is_named_as_folder() && is_known && self.compressed_bytes == 0 && self.bytes == 0
    }
}

/// Visits what members can be found, until something is no local header.
pub(super) fn visit_zip_without_directory<M: Members>(
    source: Source<'_>,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<(), M::Stop> {
    let Ok(mut reader) = source.reader() else {
        return Ok(());
    };
    let mut found = 0;
    while let Ok(Some(header)) = next_header(&mut reader) {
        found += 1;
        if found > members.members_max() {
            members.damaged(None, format!("more than {} members, the limit for an archive", members.members_max()));
            return Ok(());
        }
        if header.flags & FLAG_ENCRYPTED != 0 {
            members.damaged(Some(&header.name), "encrypted: expected plain content".into());
            return Ok(());
        }
        let is_whole = match header.method {
            _ if header.is_folder_without_data() => true,
            DEFLATED => {
                let mut content = Watched::new(DeflateDecoder::new(reader));
                let is_whole = visit_member(&header, &mut content, buffers, members)?;
                reader = content.reader.into_inner();
                is_whole
            }
            STORED if header.flags & FLAG_DESCRIPTOR == 0 => {
                let mut content = Watched::new(reader.by_ref().take(header.compressed_bytes));
                visit_member(&header, &mut content, buffers, members)?
            }
            method => {
                members.damaged(Some(&header.name), format!("method {method} cannot be salvaged"));
                return Ok(());
            }
        };
        if !is_whole || skip_descriptor(&mut reader).is_err() {
            return Ok(());
        }
    }
    Ok(())
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

fn next_header(reader: &mut impl Read) -> io::Result<Option<LocalHeader>> {
    let mut bytes = [0; 30];
    reader.read_exact(&mut bytes)?;
    let (signature, fields) = bytes.split_at(4);
    if signature != LOCAL_HEADER {
        return Ok(None);
    }
    let field = |at: usize| match fields.get(at..at + 2) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    };
    let length = |at| u64::from(field(at)) | u64::from(field(at + 2)) << 16;
    let (compressed_bytes, bytes) = (length(14), length(18));
    let mut name = vec![0; usize::from(field(22))];
    reader.read_exact(&mut name)?;
    io::copy(&mut reader.take(u64::from(field(24))), &mut io::sink())?;
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok(Some(LocalHeader { flags: field(2), method: field(4), compressed_bytes, bytes, name }))
}

/// Steps over a data descriptor (with its usual signature; 32-bit or 64-bit sizes), if there is one.
fn skip_descriptor(reader: &mut impl BufRead) -> io::Result<()> {
    if !reader.fill_buf()?.starts_with(&DESCRIPTOR) {
        return Ok(());
    }
    // CRC and two sizes of 4 or 8 bytes: whichever is followed by another header.
    let mut descriptor = [0; 16];
    reader.read_exact(&mut descriptor)?;
    if !reader.fill_buf()?.starts_with(b"PK") {
        reader.read_exact(descriptor.get_mut(..8).unwrap_or_default())?;
    }
    Ok(())
}
