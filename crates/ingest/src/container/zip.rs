//! ZIP: the members that the central directory names, in its order, also where names repeat.
//!
//! Folders and the `__MACOSX` resource forks of a Mac are passed over: they hold no records by construction.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use zip::read::Config;
use zip::read::ZipFileEntry;
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipReadOptions};

use super::{Members, READ_AHEAD_BYTES, salvage};

/// Visits the members of a ZIP file.
pub(super) fn visit<M: Members>(
    path: &Path,
    reader: BufReader<File>,
    salvage: bool,
    members: &mut M,
) -> Result<(), M::Stop> {
    // The directory and the members are read through a handle each, so that neither loses the read-ahead of the other.
    let opened = File::open(path).map_err(ZipError::from).and_then(|file| {
        let directory = ZipIterable::try_new(reader, Config::default())?;
        Ok((directory, BufReader::with_capacity(READ_AHEAD_BYTES, file)))
    });
    let (mut directory, mut body) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            members.damaged(None, format!("no readable ZIP directory: {}", describe(&error)));
            return if salvage { salvage::visit_zip_without_directory(path, members) } else { Ok(()) };
        }
    };
    let entries = match directory.files() {
        Ok(entries) => entries,
        Err(error) => {
            members.damaged(None, format!("ZIP directory: {}", describe(&error)));
            return Ok(());
        }
    };
    for (position, entry) in entries.enumerate() {
        match entry {
            Ok(entry) => visit_entry(entry, &mut body, members)?,
            Err(error) => {
                members.damaged(None, format!("ZIP directory, entry {position}: {}", describe(&error)));
            }
        }
    }
    Ok(())
}

fn visit_entry<M: Members>(
    entry: ZipFileEntry<'static>,
    body: &mut BufReader<File>,
    members: &mut M,
) -> Result<(), M::Stop> {
    let name =
        entry.name().map_or_else(|_| String::from_utf8_lossy(entry.name_raw()).into_owned(), |name| name.into_owned());
    if entry.is_dir() || is_resource_fork(&name) {
        return Ok(());
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        members.damaged(Some(&name), format!("compressed by {}: expected stored or deflated", entry.compression()));
        return Ok(());
    }
    let declared_bytes = entry.size();
    match entry.with_reader(body, ZipReadOptions::new()) {
        Ok(content) => members.member(&name, &mut Checked { content, declared_bytes, bytes: 0 }),
        Err(error) => {
            members.damaged(Some(&name), describe(&error));
            Ok(())
        }
    }
}

fn is_resource_fork(name: &str) -> bool {
    name.starts_with("__MACOSX/") || name.contains("/__MACOSX/")
}

fn describe(error: &ZipError) -> String {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => "encrypted: expected plain content".into(),
        ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "cut: the file ends too early".into(),
        ZipError::Io(error) => error.to_string(),
        ZipError::InvalidArchive(reason) => reason.to_string(),
        other => other.to_string(),
    }
}

/// A member's content, which also has to be as long as the directory says. (Its CRC is checked by the reader within.)
struct Checked<R> {
    content: R,
    declared_bytes: u64,
    bytes: u64,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.bytes += count as u64;
        if count == 0 && !buffer.is_empty() && self.bytes != self.declared_bytes {
            let message = format!("cut: expected {} bytes, found {}", self.declared_bytes, self.bytes);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(count)
    }
}
