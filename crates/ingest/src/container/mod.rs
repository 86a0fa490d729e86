//! Opening an archive file: which container it is, by its first bytes, and the byte streams of its members.
//!
//! A container hands every member to a [`Members`] visitor as a stream that fails where the member is damaged (cut, wrong CRC,
//! encrypted). What the bytes of a member mean, and what a failure leads to, the visitor decides.

mod gzip;
mod salvage;
mod zip;
mod zip_layout;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// Bytes of a file read ahead.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// Kinds of container, told apart by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// `PK\x03\x04`, or `PK\x05\x06` for one without members.
    Zip,
    /// `1f 8b`.
    Gzip,
    /// Anything else: the file is its only member.
    Plain,
}

impl Container {
    pub(crate) fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
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

    /// A member. An error of `content` is damage of this member; reading to the end checks all that the container can check.
    fn member(&mut self, name: &str, content: &mut dyn Read) -> Result<(), Self::Stop>;

    /// A member whose content cannot be opened at all (`None`: the container itself is damaged).
    fn damaged(&mut self, name: Option<&str>, reason: String);

    /// The system could not read the file, which says nothing about the archive.
    fn unreadable(&mut self, error: &io::Error);

    /// Something odd that loses nothing.
    fn note(&mut self, note: String);
}

/// Opens the file and visits its members.
///
/// Damage goes to the visitor, and so does an error of the system while the file is opened.
pub(crate) fn visit<M: Members>(path: &Path, salvage: bool, members: &mut M) -> Result<Option<Container>, M::Stop> {
    let (container, file) = match open(path) {
        Ok(opened) => opened,
        Err(error) => {
            members.unreadable(&error);
            return Ok(None);
        }
    };
    let reader = BufReader::with_capacity(READ_AHEAD_BYTES, file);
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match container {
        Container::Zip => zip::visit(path, reader, salvage, members)?,
        Container::Gzip => gzip::visit(&file_name, reader, members)?,
        Container::Plain => plain(&file_name, reader, members)?,
    }
    Ok(Some(container))
}

fn open(path: &Path) -> io::Result<(Container, File)> {
    let mut file = File::open(path)?;
    let mut first_bytes = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut first_bytes)?;
    file.rewind()?;
    Ok((Container::of(&first_bytes), file))
}

fn plain<M: Members>(file_name: &str, mut reader: BufReader<File>, members: &mut M) -> Result<(), M::Stop> {
    members.member(file_name, &mut reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_apart_by_content() {
        let cases: [(&[u8], Container); 6] = [
            (b"PK\x03\x04rest", Container::Zip),
            (b"PK\x05\x06", Container::Zip),
            (b"\x1f\x8b\x08\x00", Container::Gzip),
            (b"PK\x01\x02", Container::Plain),
            (b"[{\"", Container::Plain),
            (b"", Container::Plain),
        ];
        for (bytes, container) in cases {
            assert_eq!(Container::of(bytes), container, "{bytes:?}");
        }
    }
}
