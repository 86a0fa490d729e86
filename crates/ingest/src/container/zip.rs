//! ZIP: the members that the central directory names, in its order, also where names repeat.
//!
//! Folders and the `__MACOSX` resource forks of a Mac are passed over: they hold no records by construction.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use zip::read::Config;
use zip::read::ZipFileEntry;
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipReadOptions};

use super::zip_layout::{self, Entry, Layout};
use super::{Members, READ_AHEAD_BYTES, salvage};

/// Members that an archive can have. The service puts one into each.
const MEMBERS_MAX: usize = 1 << 20;
/// Flag of a member whose sizes and CRC stand behind its data.
const FLAG_DESCRIPTOR: u16 = 1 << 3;

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
        Err(ZipError::Io(error)) if error.raw_os_error().is_some() => {
            members.unreadable(&error);
            return Ok(());
        }
        Err(error) => {
            members.damaged(None, format!("no readable ZIP directory: {}", describe(&error)));
            return if salvage { salvage::visit_zip_without_directory(path, members) } else { Ok(()) };
        }
    };
    if directory.len() > MEMBERS_MAX {
        let found = directory.len();
        members.damaged(None, format!("ZIP directory: expected at most {MEMBERS_MAX} members, found {found}"));
        return Ok(());
    }
    // What cannot be read here cannot be read below either, and is told there.
    let layout = layout(&mut directory, &mut body).unwrap_or_default();
    layout.faults.iter().for_each(|fault| members.damaged(None, format!("ZIP: {fault}")));
    layout.notes.iter().for_each(|note| members.note(note.clone()));
    let overlapping: HashSet<usize> = layout.overlapping.into_iter().collect();
    let entries = match directory.files() {
        Ok(entries) => entries,
        Err(error) => {
            members.damaged(None, format!("ZIP directory: {}", describe(&error)));
            return Ok(());
        }
    };
    for (position, entry) in entries.enumerate() {
        match entry {
            Ok(entry) if overlapping.contains(&position) => {
                let name = name_of(&entry);
                members.damaged(Some(&name), "shares its bytes with another member: expected bytes of its own".into());
            }
            Ok(entry) => visit_entry(entry, &mut body, members)?,
            Err(error) => {
                members.damaged(None, format!("ZIP directory, entry {position}: {}", describe(&error)));
            }
        }
    }
    Ok(())
}

/// Holds the directory against the file.
fn layout(directory: &mut ZipIterable<BufReader<File>>, body: &mut BufReader<File>) -> Result<Layout, ZipError> {
    let entries = directory.files()?.map(|entry| {
        let entry = entry?;
        Ok(Entry {
            header_start: entry.header_start(),
            compressed_bytes: entry.compressed_size(),
            has_descriptor: entry.flags().as_u16() & FLAG_DESCRIPTOR != 0,
            entry_start: entry.central_header_start(),
        })
    });
    let entries = entries.collect::<Result<Vec<Entry>, ZipError>>()?;
    Ok(zip_layout::check(body, &entries)?)
}

fn name_of(entry: &ZipFileEntry<'_>) -> String {
    entry.name().map_or_else(|_| String::from_utf8_lossy(entry.name_raw()).into_owned(), Cow::into_owned)
}

/// A folder has a name that ends in a slash, and nothing in it.
fn is_folder(entry: &ZipFileEntry<'_>) -> bool {
    entry.name_raw().ends_with(b"/") && entry.size() == 0
}

fn visit_entry<M: Members>(
    entry: ZipFileEntry<'static>,
    body: &mut BufReader<File>,
    members: &mut M,
) -> Result<(), M::Stop> {
    let name =
        entry.name().map_or_else(|_| String::from_utf8_lossy(entry.name_raw()).into_owned(), |name| name.into_owned());
    if is_folder(&entry) || is_resource_fork(&name) {
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
