//! ZIP: the members that the central directory names, in its order, also where names repeat.
//!
//! Folders and the `__MACOSX` resource forks of a Mac are passed over: they hold no records by construction.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use keytrail_model::ledger::Note;
use zip::read::{ArchiveOffset, Config, ZipFile, ZipFileEntry};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipReadOptions};

use super::buffers::{Buffers, Declared};
use super::content::{Content, Late, Whole};
use super::proven::Seal;
use super::source::{Source, SourceReader};
use super::zip_layout::{self, Entry, Layout};
use super::{Members, salvage, zip_start};

/// Flag of a member whose sizes and CRC stand behind its data.
const FLAG_DESCRIPTOR: u16 = 1 << 3;

/// CRC-32 of no bytes.
const CRC_OF_NOTHING: u32 = 0;
/// Data of a folder at most where a writer deflates nothing as if it were something: 2 bytes, or 5 as a stored block. No record fits.
const EMPTY_DEFLATED_BYTES_MAX: u64 = 5;

/// Visits the members of a ZIP file.
pub(super) fn visit<M: Members>(
    source: Source<'_>,
    buffers: &mut Buffers,
    salvage: bool,
    members: &mut M,
) -> Result<(), M::Stop> {
    let mut directory = match open_directory(source) {
        Ok(directory) => directory,
        Err(ZipError::Io(error)) if error.raw_os_error().is_some() => {
            members.unreadable(&error);
            return Ok(());
        }
        Err(error) => {
            members.damaged(None, format!("no readable ZIP directory: {}", describe(&error)));
            return if salvage { salvage::visit_zip_without_directory(source, buffers, members) } else { Ok(()) };
        }
    };
    let (found, at_most) = (directory.len(), members.members_max());
    if found as u64 > at_most {
        members.damaged(None, format!("ZIP directory: expected at most {at_most} members, found {found}"));
        return Ok(());
    }
    // What cannot be read here cannot be read below either, and is told there.
    let layout = layout(&mut directory).unwrap_or_default();
    for fault in layout.faults {
        let text = format!("ZIP: {}", fault.text);
        members.fault(Note { text, ..fault });
    }
    layout.notes.into_iter().for_each(|note| members.note(note));
    let overlapping: HashSet<usize> = layout.overlapping.into_iter().collect();
    let entries = match directory.files() {
        Ok(entries) => entries,
        Err(error) => {
            members.damaged(None, format!("ZIP directory: {}", describe(&error)));
            return Ok(());
        }
    };
    let mut body = Body { source, reader: None };
    for (position, entry) in entries.enumerate() {
        match entry {
            Ok(entry) if overlapping.contains(&position) => {
                let name = name_of(&entry);
                members.damaged(Some(&name), "shares its bytes with another member: expected bytes of its own".into());
            }
            Ok(entry) => visit_entry(entry, &mut body, buffers, members)?,
            Err(error) => {
                members.damaged(None, format!("ZIP directory, entry {position}: {}", describe(&error)));
            }
        }
    }
    Ok(())
}

/// A pass over the directory.
type Directory<'a> = ZipIterable<BufReader<SourceReader<'a>>>;

fn open_directory(source: Source<'_>) -> Result<Directory<'_>, ZipError> {
    let bytes_before = zip_start::bytes_before(&mut source.header_reader()?)?;
    let open = |bytes_before| {
        let config = Config { archive_offset: ArchiveOffset::Known(bytes_before) };
        ZipIterable::try_new(source.header_reader()?, config)
    };
    let opened = open(bytes_before);
    if bytes_before > 0 && opened.is_err() { open(0) } else { opened }
}

/// Whether a file that starts like no container is a ZIP with other bytes in front of it: then its end is that of a ZIP, and its
/// directory leads to a member.
pub(super) fn has_directory(source: Source<'_>) -> bool {
    let Ok(mut directory) = open_directory(source) else {
        return false;
    };
    let first = directory.files().ok().and_then(|entries| entries.next()?.ok()).map(|entry| entry.header_start());
    let Some((start, entries)) = first.zip(directory.files().ok()) else {
        return false;
    };
    let reader = entries.reader_mut();
    let mut header = [0; zip_layout::LOCAL_HEADER_BYTES];
    let read = reader.seek(SeekFrom::Start(start)).and_then(|_| reader.read_exact(&mut header));
    read.is_ok() && zip_layout::name_and_extra_bytes(&header).is_some()
}

/// Holds the directory against the file.
fn layout(directory: &mut Directory<'_>) -> Result<Layout, ZipError> {
    let entries = directory.files()?.map(|entry| {
        let entry = entry?;
        Ok(Entry {
            header_start: entry.header_start(),
            compressed_bytes: entry.compressed_size(),
            bytes: entry.size(),
            crc32: entry.crc32(),
            has_descriptor: entry.flags().as_u16() & FLAG_DESCRIPTOR != 0,
            entry_start: entry.central_header_start(),
        })
    });
    let entries = entries.collect::<Result<Vec<Entry>, ZipError>>()?;
    Ok(zip_layout::check(directory.files()?.reader_mut(), &entries)?)
}

fn name_of(entry: &ZipFileEntry<'_>) -> String {
    entry.name().map_or_else(|_| String::from_utf8_lossy(entry.name_raw()).into_owned(), Cow::into_owned)
}

/// A folder has a name that ends in a slash, and nothing in it: neither a length, nor a checksum, nor data. A directory that says so
/// of a member with data hides its records.
fn is_folder(entry: &ZipFileEntry<'_>) -> bool {
    let is_deflated = entry.compression() == CompressionMethod::Deflated;
    let data_at_most = if is_deflated { EMPTY_DEFLATED_BYTES_MAX } else { 0 };
    entry.name_raw().ends_with(b"/")
        && entry.size() == 0
        && entry.crc32() == CRC_OF_NOTHING
        && entry.compressed_size() <= data_at_most
}

fn visit_entry<M: Members>(
    entry: ZipFileEntry<'static>,
    body: &mut Body<'_>,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<(), M::Stop> {
    let name = name_of(&entry);
    if is_folder(&entry) || is_resource_fork(&name) {
        return Ok(());
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        members.damaged(Some(&name), format!("compressed by {}: expected stored or deflated", entry.compression()));
        return Ok(());
    }
    let declared_bytes = entry.size();
    let is_admitted = members.admits(declared_bytes);
    let wants_parts = is_admitted && buffers.wants_parts(declared_bytes);
    let data = if wants_parts { body.deflated(&entry) } else { None };
    let parts = data.and_then(|data| buffers.parts(data, false));
    if is_admitted
        && parts.is_none()
        && let Some(content) = body.whole(&entry, buffers)
    {
        return members.member(&name, &mut Whole::checked(content, entry.crc32()));
    }
    let declared = Seal::of(declared_bytes, entry.crc32());
    let visit = |content: &mut dyn Content| members.member(&name, content);
    if let Some(parts) = parts {
        let content = Checked { content: Late::new(|| body.content(entry)), declared_bytes, bytes: 0 };
        return buffers.in_parts(parts, content, declared, visit).0;
    }
    match body.content(entry) {
        Ok(content) => {
            let mut content = Checked { content, declared_bytes, bytes: 0 };
            buffers.stream(&mut content, declared_bytes, visit)
        }
        Err(error) if error.raw_os_error().is_some() => {
            members.unreadable(&error);
            Ok(())
        }
        Err(error) => {
            members.damaged(Some(&name), error.to_string());
            Ok(())
        }
    }
}

/// The members' bytes. They are read through a handle of their own, so that neither they nor the directory lose their read-ahead.
struct Body<'a> {
    source: Source<'a>,
    /// Opened when needed.
    reader: Option<BufReader<SourceReader<'a>>>,
}

impl<'a> Body<'a> {
    fn reader(&mut self) -> io::Result<&mut BufReader<SourceReader<'a>>> {
        match &mut self.reader {
            Some(reader) => Ok(reader),
            empty => Ok(empty.insert(self.source.reader()?)),
        }
    }

    /// A member inflated as a whole; its CRC is still to be checked. `None` where anything is not as expected, whatever it is: the
    /// stream tells.
    fn whole<'b>(&'b mut self, entry: &ZipFileEntry<'_>, buffers: &'b mut Buffers) -> Option<&'b [u8]> {
        if entry.encrypted() {
            return None;
        }
        let is_deflated = entry.compression() == CompressionMethod::Deflated;
        let declared = Declared { is_deflated, bytes: entry.size() };
        let (start, data_bytes) = (entry.header_start(), entry.compressed_size());
        if let Source::Memory(bytes) = self.source {
            let (header, rest) = bytes.get(usize::try_from(start).ok()?..)?.split_first_chunk()?;
            let data = rest.get(usize::try_from(zip_layout::name_and_extra_bytes(header)?).ok()?..)?;
            return buffers.inflate(data.get(..usize::try_from(data_bytes).ok()?)?, &declared);
        }
        let data_start = self.data_start(start)?;
        let reader = self.reader().ok()?;
        buffers.read_and_inflate(reader, data_start, data_bytes, &declared)
    }

    /// The byte of the file at which the data of a member starts.
    fn data_start(&mut self, header_start: u64) -> Option<u64> {
        let reader = self.reader().ok()?;
        let mut header = [0; zip_layout::LOCAL_HEADER_BYTES];
        reader.seek(SeekFrom::Start(header_start)).ok()?;
        reader.read_exact(&mut header).ok()?;
        let behind_header = header_start.checked_add(header.len() as u64)?;
        behind_header.checked_add(u64::from(zip_layout::name_and_extra_bytes(&header)?))
    }

    /// A member read as a stream, which checks its CRC. An error is one of the system, with its code, or says what is wrong with the member.
    fn content(&mut self, entry: ZipFileEntry<'static>) -> io::Result<ZipFile<'_, BufReader<SourceReader<'a>>>> {
        entry.with_reader(self.reader()?, ZipReadOptions::new()).map_err(|error| match error {
            ZipError::Io(error) if error.raw_os_error().is_some() => error,
            error => io::Error::other(describe(&error)),
        })
    }

    /// The data of a deflated member, read through a handle of its own. `None` where anything is not as expected.
    fn deflated(&mut self, entry: &ZipFileEntry<'_>) -> Option<io::Take<SourceReader<'a>>> {
        if entry.encrypted() || entry.compression() != CompressionMethod::Deflated {
            return None;
        }
        let start = self.data_start(entry.header_start())?;
        let mut data = self.source.open().ok()?;
        data.seek(SeekFrom::Start(start)).ok()?;
        Some(data.take(entry.compressed_size()))
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
