//! Where the bytes of an archive are: all in memory, or in its file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::OnceLock;

use keytrail_store::failpoint::{Point, reach};

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
    File(&'a ArchiveFile<'a>),
}

/// An archive that is read from its file.
pub(crate) struct ArchiveFile<'a> {
    path: &'a Path,
    /// Who is told how much of it was read.
    progress: &'a ArchiveProgress<'a>,
    /// The first error of the system. Who reads may take it for damage, or for nothing: libraries make other errors of it, and where there is
    /// another way to read on it may be passed over.
    failure: OnceLock<String>,
}

impl<'a> ArchiveFile<'a> {
    pub(crate) fn new(path: &'a Path, progress: &'a ArchiveProgress<'a>) -> Self {
        Self { path, progress, failure: OnceLock::new() }
    }

    /// Takes note of what went wrong, if it was the system.
    fn watch<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome
            && error.raw_os_error().is_some()
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failure.get_or_init(|| error.to_string());
        }
        outcome
    }
}

impl<'a> Source<'a> {
    /// The first error of the system since the file was begun to be read. Whatever was made of the file then, it says nothing about the
    /// archive.
    pub(crate) fn failure(self) -> Option<&'a str> {
        match self {
            Self::Memory(_) => None,
            Self::File(file) => file.failure.get().map(String::as_str),
        }
    }

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

    /// The same without a buffer.
    pub(super) fn open(self) -> io::Result<SourceReader<'a>> {
        Ok(match self {
            Self::Memory(bytes) => SourceReader::Memory(Cursor::new(bytes)),
            Self::File(file) => SourceReader::File(FileReader::open(file)?),
        })
    }
}

/// Reads an archive.
pub(super) enum SourceReader<'a> {
    Memory(Cursor<&'a [u8]>),
    File(FileReader<'a>),
}

impl<'a> SourceReader<'a> {
    /// The last bytes, so many at most, and where they begin. Leaves the reader anywhere.
    pub(super) fn tail(&mut self, bytes_max: u64) -> io::Result<(u64, Cow<'a, [u8]>)> {
        let from = self.seek(SeekFrom::End(0))?.saturating_sub(bytes_max);
        let tail = match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                Cow::Borrowed(bytes.get_ref().get(from..).unwrap_or_default())
            }
            Self::File(file) => {
                file.seek(SeekFrom::Start(from))?;
                let mut tail = Vec::new();
                file.take(bytes_max).read_to_end(&mut tail)?;
                Cow::Owned(tail)
            }
        };
        Ok((from, tail))
    }
}

impl Read for SourceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => bytes.read(buffer),
            Self::File(file) => file.read(buffer),
        }
    }
}

impl Seek for SourceReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Memory(bytes) => bytes.seek(to),
            Self::File(file) => file.seek(to),
        }
    }
}

/// A file that can be asked for any place, like bytes in memory: beyond its end it ends. The system would refuse some places with an
/// error of its own, and damage of the archive must not look like a fault of the machine.
pub(super) struct FileReader<'a> {
    of: &'a ArchiveFile<'a>,
    file: File,
    bytes: u64,
    /// The place asked for last, where it is beyond the end.
    beyond: Option<u64>,
}

impl<'a> FileReader<'a> {
    fn open(of: &'a ArchiveFile<'a>) -> io::Result<Self> {
        let file = of.watch(File::open(of.path))?;
        let bytes = of.watch(file.metadata())?.len();
        Ok(Self { of, file, bytes, beyond: None })
    }

    fn seek_in_file(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => match self.beyond {
                Some(beyond) => beyond.checked_add_signed(by),
                None => self.file.stream_position()?.checked_add_signed(by),
            },
        };
        let to = to.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no such place in a file"))?;
        self.beyond = (to > self.bytes).then_some(to);
        if self.beyond.is_none() {
            self.file.seek(SeekFrom::Start(to))?;
        }
        Ok(to)
    }
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.beyond.is_some() {
            return Ok(0);
        }
        let read = reach(Point::ArchiveReading).and_then(|()| self.file.read(buffer));
        let count = self.of.watch(read)?;
        self.of.progress.read(count);
        Ok(count)
    }
}

impl Seek for FileReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let sought = self.seek_in_file(to);
        self.of.watch(sought)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_at_any_place_as_memory_is() {
        let path = std::env::temp_dir().join(format!("keytrail-source-{}", std::process::id()));
        std::fs::write(&path, b"0123456789").unwrap();
        let progress = ArchiveProgress::new(&|_| (), 10);
        let file = ArchiveFile::new(&path, &progress);
        let sources = [Source::File(&file), Source::Memory(b"0123456789")];
        for (bytes_max, from) in [(0, 10), (3, 7), (10, 0), (11, 0), (u64::MAX, 0)] {
            for source in sources {
                let tail = source.open().unwrap().tail(bytes_max).unwrap();
                assert_eq!(tail, (from, b"0123456789"[from as usize..].into()), "{bytes_max}");
            }
        }
        let [mut file, mut memory] = sources.map(|source| source.open().unwrap());
        std::fs::remove_file(&path).unwrap();
        let places = [
            SeekFrom::Start(3),
            SeekFrom::Current(2),
            SeekFrom::Current(-9),
            SeekFrom::End(-1),
            SeekFrom::End(0),
            SeekFrom::End(5),
            SeekFrom::Current(-6),
            SeekFrom::End(-11),
            SeekFrom::Start(u64::MAX),
            SeekFrom::Current(1),
            SeekFrom::Current(-1),
            SeekFrom::Start(1 << 63),
            SeekFrom::Current(i64::MIN),
            SeekFrom::Start(0),
        ];
        for place in places {
            let found = [&mut file, &mut memory].map(|reader| {
                let at = reader.seek(place).ok();
                let mut text = [b'.'; 3];
                (at, reader.read(&mut text).unwrap(), text, reader.stream_position().unwrap())
            });
            assert_eq!(found[0], found[1], "{place:?}");
        }
        // That there is no such place is no error of the system.
        assert_eq!(sources.map(Source::failure), [None, None]);
        assert!(sources[0].open().is_err() && sources[0].failure().is_some(), "the file has gone");
    }
}
