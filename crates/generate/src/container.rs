//! Archive files: ZIP members, concatenated gzip streams or plain bytes, written through one buffer.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::GenerateError;
use crate::options::Container;

/// Bytes gathered before they go to the compressor.
const BUFFER: usize = 256 * 1024;

/// How the bytes of an archive are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Zip,
    Gzip,
    Plain,
}

/// Packing and layout of one archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) packing: Packing,
    /// One object a line, instead of a list.
    pub(crate) lines: bool,
}

impl Form {
    pub(crate) fn of_archive(container: Container, index: u64) -> Self {
        let zip = Self { packing: Packing::Zip, lines: false };
        let gzip = Self { packing: Packing::Gzip, lines: true };
        let list = Self { packing: Packing::Plain, lines: false };
        let lines = Self { packing: Packing::Plain, lines: true };
        match container {
            Container::Zip => zip,
            Container::GzipLines => gzip,
            Container::PlainList => list,
            Container::PlainLines => lines,
            Container::Mixed => match index % 4 {
                0 => zip,
                1 => gzip,
                2 => list,
                _ => lines,
            },
        }
    }
}

impl Packing {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Gzip => "json.gz",
            Self::Plain => "json",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Gzip => "gzip",
            Self::Plain => "plain",
        }
    }
}

enum Sink {
    Zip(Box<ZipWriter<BufWriter<File>>>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
    Plain(BufWriter<File>),
}

/// An archive that is being written.
pub(crate) struct ArchiveFile {
    path: PathBuf,
    level: u32,
    /// Members of a ZIP may pass 4 GiB, which needs room in their headers.
    large: bool,
    /// None only while one gzip stream is exchanged for the next.
    sink: Option<Sink>,
    members: u64,
    flushed: u64,
    buffer: Vec<u8>,
}

impl ArchiveFile {
    pub(crate) fn create(path: &Path, packing: Packing, level: u32, large: bool) -> Result<Self, GenerateError> {
        let file = BufWriter::new(File::create(path).map_err(|error| GenerateError::io(path, error))?);
        let sink = match packing {
            Packing::Zip => Sink::Zip(Box::new(ZipWriter::new(file))),
            Packing::Gzip => Sink::Gzip(Box::new(GzEncoder::new(file, Compression::new(level)))),
            Packing::Plain => Sink::Plain(file),
        };
        let buffer = Vec::with_capacity(BUFFER + 4096);
        Ok(Self { path: path.to_path_buf(), level, large, sink: Some(sink), members: 0, flushed: 0, buffer })
    }

    /// Opens a member of a ZIP or one more gzip stream; a plain file goes on.
    pub(crate) fn start_member(&mut self, name: &str) -> Result<(), GenerateError> {
        self.flush()?;
        let io = |error| GenerateError::io(&self.path, error);
        self.sink = match self.sink.take() {
            Some(Sink::Zip(mut zip)) => {
                let options = SimpleFileOptions::default()
                    .compression_method(CompressionMethod::Deflated)
                    .compression_level(Some(i64::from(self.level)))
                    .last_modified_time(DateTime::default())
                    .unix_permissions(0o644)
                    .large_file(self.large);
                zip.start_file(name, options).map_err(|error| GenerateError::zip(&self.path, error))?;
                Some(Sink::Zip(zip))
            }
            Some(Sink::Gzip(gzip)) if self.members > 0 => {
                let file = gzip.finish().map_err(io)?;
                Some(Sink::Gzip(Box::new(GzEncoder::new(file, Compression::new(self.level)))))
            }
            other => other,
        };
        self.members += 1;
        Ok(())
    }

    /// Bytes of JSON so far, over all members.
    pub(crate) fn json_bytes(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Where to append; followed by [`Self::flush_when_full`].
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) fn flush_when_full(&mut self) -> Result<(), GenerateError> {
        if self.buffer.len() < BUFFER { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), GenerateError> {
        let written = match &mut self.sink {
            _ if self.buffer.is_empty() => Ok(()),
            Some(Sink::Zip(zip)) => zip.write_all(&self.buffer),
            Some(Sink::Gzip(gzip)) => gzip.write_all(&self.buffer),
            Some(Sink::Plain(file)) => file.write_all(&self.buffer),
            None => Ok(()),
        };
        written.map_err(|error| GenerateError::io(&self.path, error))?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Closes the archive and tells the size of the file.
    pub(crate) fn finish(mut self) -> Result<u64, GenerateError> {
        self.flush()?;
        let io = |error| GenerateError::io(&self.path, error);
        let file = match self.sink.take() {
            Some(Sink::Zip(zip)) => Some(zip.finish().map_err(|error| GenerateError::zip(&self.path, error))?),
            Some(Sink::Gzip(gzip)) => Some(gzip.finish().map_err(io)?),
            Some(Sink::Plain(file)) => Some(file),
            None => None,
        };
        if let Some(mut file) = file {
            file.flush().map_err(io)?;
        }
        Ok(std::fs::metadata(&self.path).map_err(io)?.len())
    }
}
