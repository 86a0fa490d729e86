//! Opening an archive file: which container it is, by its first bytes, and the byte streams of its members.
//!
//! A container hands every member to a [`Members`] visitor in pieces, and fails where the member is damaged (cut, wrong CRC, encrypted).
//! What the bytes of a member mean, and what a failure leads to, the visitor decides. How a member is read (inflated as a whole before it
//! is handed on, in parts, or as a stream; the last two also by a second thread) makes no difference to the visitor but in time.
//!
//! The fuzz targets compile these sources in by their path: a module of the crate that is used here has to stand in `fuzz/src/lib.rs`, too.

mod ahead;
mod block_start;
mod buffers;
mod content;
mod gzip;
mod part_frame;
mod parts;
mod proven;
mod salvage;
mod source;
mod stretch;
mod zip;
mod zip_layout;
mod zip_start;
mod zip_stream;

use std::io;

use keytrail_model::ledger::Note;

pub(crate) use ahead::FreeCores;
pub(crate) use buffers::{Budget, Buffers};
pub(crate) use content::Content;
pub(crate) use source::{ArchiveFile, Source};
pub(crate) use zip_layout::{LOCAL_HEADER_BYTES, name_and_extra_bytes};

/// Bytes in which a plain file shows whether it starts like JSON.
const FIRST_BYTES: usize = 1 << 10;

/// Kinds of container, told apart by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// `PK\x03\x04`, or `PK\x05\x06` or `PK\x06\x06` for one without members; or one with other bytes in front of it, told by its end.
    Zip,
    /// `1f 8b`.
    Gzip,
    /// Anything else: the file is its only member.
    Plain,
}

impl Container {
    pub(crate) fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 6, 6, ..] => Self::Zip,
            [0x1f, 0x8b, ..] => Self::Gzip,
            _ => Self::Plain,
        }
    }

    /// The text in the column `container` of `archives`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Gzip => "gzip",
            Self::Plain => "plain",
        }
    }
}

/// What a container tells about its members, in their order.
pub(crate) trait Members {
    /// Why the visitor wants to stop: a fault of ours, not of the archive.
    type Stop;

    /// A member. An error of `content` is damage of this member.
    fn member(&mut self, name: &str, content: &mut dyn Content) -> Result<(), Self::Stop>;

    /// Whether a member of so many bytes would be taken to its end. Else it is not worth inflating whole.
    fn admits(&self, bytes: u64) -> bool;

    /// How many members are visited at most; more are damage of the container.
    fn members_max(&self) -> u64;

    /// A member whose content cannot be opened at all (`None`: the container itself is damaged).
    fn damaged(&mut self, name: Option<&str>, reason: String);

    /// The system could not read the file, which says nothing about the archive.
    fn unreadable(&mut self, error: &io::Error);

    /// Something about the container as a whole that loses records, or may.
    fn fault(&mut self, fault: Note);

    /// Something odd that loses nothing.
    fn note(&mut self, note: Note);
}

/// Visits the members of an archive of `bytes`, whose file is called `file_name`.
///
/// Damage goes to the visitor, and so does an error of the system while the file is opened.
pub(crate) fn visit<M: Members>(
    source: Source<'_>,
    (file_name, bytes): (&str, u64),
    buffers: &mut Buffers,
    salvage: bool,
    members: &mut M,
) -> Result<Option<Container>, M::Stop> {
    let container = match source.container() {
        Ok(Container::Plain) if is_zip_behind_other_bytes(source, salvage) => Container::Zip,
        Ok(container) => container,
        Err(error) => {
            members.unreadable(&error);
            return Ok(None);
        }
    };
    match container {
        Container::Zip => zip::visit(source, buffers, salvage, members)?,
        Container::Gzip => gzip::visit(file_name, bytes, source, buffers, members)?,
        Container::Plain => plain(file_name, source, buffers, members)?,
    }
    Ok(Some(container))
}

/// A download with its HTTP headers in front, a self-extracting archive; for salvage also one that is cut. What starts like JSON is JSON,
/// whatever it ends like.
fn is_zip_behind_other_bytes(source: Source<'_>, salvage: bool) -> bool {
    let Ok(mut reader) = source.header_reader() else {
        return false;
    };
    let mut first = [0; FIRST_BYTES];
    let count = content::read_piece(&mut reader, &mut first).unwrap_or_default();
    let first = first.get(..count).unwrap_or_default();
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    !matches!(first, [] | [b'[' | b'{', ..]) && (zip::has_directory(source) || salvage && zip::has_member(source))
}

/// A file that is its own member.
fn plain<M: Members>(
    file_name: &str,
    source: Source<'_>,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<(), M::Stop> {
    if let Source::Memory(bytes) = source {
        return members.member(file_name, &mut content::Whole::sound(bytes));
    }
    match source.reader() {
        // Nothing is to be inflated ahead: no second thread.
        Ok(mut reader) => buffers.stream(&mut reader, 0, |content| members.member(file_name, content)),
        Err(error) => {
            members.unreadable(&error);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
