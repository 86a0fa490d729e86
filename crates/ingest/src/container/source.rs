//! Where the bytes of an archive are: all in memory, or in its file.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use super::Container;
use crate::progress::ArchiveProgress;

/// Bytes read ahead, of a file or of memory. They decide how a member is cut into pieces, and so after how many bytes damage is
/// noticed: the same for both, so that the same is said.
const READ_AHEAD_BYTES: usize = 256 << 10;
/// Bytes read ahead where a few headers are looked at here and there in memory.
const HEADER_BYTES: usize = 1 << 10;

/// The bytes of an archive.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// All of them.
    Memory(&'a [u8]),
    /// The file, and who is told how much of it was read.
    File(&'a Path, &'a ArchiveProgress<'a>),
}

impl<'a> Source<'a> {
    /// A reader of the whole archive, front to back.
    pub(super) fn reader(self) -> io::Result<BufReader<SourceReader<'a>>> {
        Ok(BufReader::with_capacity(READ_AHEAD_BYTES, self.open()?))
    }

    /// A reader for short looks.
    pub(super) fn header_reader(self) -> io::Result<BufReader<SourceReader<'a>>> {
        let bytes = if matches!(self, Self::Memory(_)) { HEADER_BYTES } else { READ_AHEAD_BYTES };
        Ok(BufReader::with_capacity(bytes, self.open()?))
    }

    /// Which container it is.
    pub(super) fn container(self) -> io::Result<Container> {
        let mut first_bytes = Vec::with_capacity(4);
        self.open()?.take(4).read_to_end(&mut first_bytes)?;
        Ok(Container::of(&first_bytes))
    }

    fn open(self) -> io::Result<SourceReader<'a>> {
        Ok(match self {
            Self::Memory(bytes) => SourceReader::Memory(Cursor::new(bytes)),
            Self::File(path, progress) => SourceReader::File(File::open(path)?, progress),
        })
    }
}

/// Reads an archive.
pub(super) enum SourceReader<'a> {
    Memory(Cursor<&'a [u8]>),
    File(File, &'a ArchiveProgress<'a>),
}

impl Read for SourceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => bytes.read(buffer),
            Self::File(file, progress) => {
                let count = file.read(buffer)?;
                progress.read(count);
                Ok(count)
            }
        }
    }
}

impl Seek for SourceReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Memory(bytes) => bytes.seek(to),
            Self::File(file, _) => file.seek(to),
        }
    }
}
