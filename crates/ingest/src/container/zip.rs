//! ZIP: the members that the central directory names, in its order, also where names repeat.
//!
//! Folders and the `__MACOSX` resource forks of a Mac are passed over: they hold no records by construction.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use keytrail_model::ledger::Note;
use zip::CompressionMethod;
use zip::read::{ArchiveOffset, Config, ZipFileEntry};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

use super::buffers::{Buffers, Declared};
use super::content::{Content, Late, Watched, Whole};
use super::proven::Sum;
use super::salvage::Search;
use super::source::{Source, SourceReader};
use super::zip_layout::{self, Entry, FLAG_DESCRIPTOR, Layout};
use super::zip_stream::{self, ZipStream};
use super::{Members, zip_start};

/// Bytes in front of a ZIP without directory, at most, behind which it is found: HTTP headers have a few kilobytes.
const BYTES_BEFORE_MAX: u64 = 64 << 10;
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
            return if salvage {
                search(source, vec![(0, u64::MAX)], HashSet::new(), buffers, members)
            } else {
                Ok(())
            };
        }
    };
    let (found, at_most) = (directory.len(), members.members_max());
    if found as u64 > at_most {
        members.damaged(None, format!("ZIP directory: expected at most {at_most} members, found {found}"));
        return Ok(());
    }
    let Checked { layout, overlapping, broken } = match check(&mut directory) {
        Ok(checked) => checked,
        Err(error) => {
            tell(members, None, &error);
            return Ok(());
        }
    };
    if let Some(reason) = broken {
        members.damaged(None, reason);
    }
    let mut unnamed = tell_layout(members, layout);
    let entries = match directory.files() {
        Ok(entries) => entries,
        Err(error) => {
            tell(members, None, &io_error(error));
            return Ok(());
        }
    };
    let mut body = Body { source, reader: None };
    // Length and CRC-32 of the members that were read: what is equal to one is the same once more.
    let mut named = HashSet::new();
    for (position, entry) in entries.enumerate() {
        match entry {
            Ok(entry) if overlapping.contains(&position) => {
                let name = name_of(&entry);
                members.damaged(Some(&name), "shares its bytes with another member: expected bytes of its own".into());
            }
            Ok(entry) => {
                let visited = visit_entry(&entry, &mut body, buffers, members)?;
                unnamed.extend(visited.unnamed);
                if visited.is_read {
                    named.insert((entry.size(), entry.crc32()));
                }
            }
            // Told already.
            Err(_) => break,
        }
    }
    if salvage { search(source, unnamed, named, buffers, members) } else { Ok(()) }
}

/// Looks in stretches of the file for members that the directory does not name.
fn search<M: Members>(
    source: Source<'_>,
    stretches: Vec<(u64, u64)>,
    named: HashSet<(u64, u32)>,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<(), M::Stop> {
    if stretches.is_empty() {
        return Ok(());
    }
    match Search::new(source, named) {
        Ok(mut search) => joined(stretches).into_iter().try_for_each(|stretch| search.visit(stretch, buffers, members)),
        Err(error) => {
            members.unreadable(&error);
            Ok(())
        }
    }
}

/// An error of the system, with its code, or what is wrong with a member, or the directory.
fn tell(members: &mut impl Members, name: Option<&str>, error: &io::Error) {
    if error.raw_os_error().is_some() {
        members.unreadable(error);
    } else {
        members.damaged(name, error.to_string());
    }
}

/// Stretches in the order of their bytes, no byte twice: data that is said to reach beyond the directory covers what stands behind that.
fn joined(mut stretches: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    stretches.sort_unstable();
    stretches.dedup_by(|next, last| {
        let is_joined = next.0 < last.1;
        last.1 = if is_joined { last.1.max(next.1) } else { last.1 };
        is_joined
    });
    stretches
}

/// Tells what was found, and gives the places of members that the directory does not name.
fn tell_layout(members: &mut impl Members, layout: Layout) -> Vec<(u64, u64)> {
    for fault in layout.faults {
        let text = format!("ZIP: {}", fault.text);
        members.fault(Note { text, ..fault });
    }
    layout.notes.into_iter().for_each(|note| members.note(note));
    layout.unnamed
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

/// What there is to know of a directory before its members are read.
struct Checked {
    layout: Layout,
    /// Positions of entries whose members are not: see [`Layout::overlapping`].
    overlapping: HashSet<usize>,
    /// Why it could not be read to its end.
    broken: Option<String>,
}

/// Holds the directory, as far as it can be read, against the file.
fn check(directory: &mut Directory<'_>) -> io::Result<Checked> {
    let count = directory.len();
    let files = directory.files().map_err(io_error)?;
    let start = files.reader_mut().stream_position()?;
    let (mut entries, mut broken) = (Vec::new(), None);
    for (position, entry) in files.enumerate() {
        match entry {
            Ok(entry) => entries.push(Entry {
                header_start: entry.header_start(),
                compressed_bytes: entry.compressed_size(),
                bytes: entry.size(),
                crc32: entry.crc32(),
                has_descriptor: entry.flags().as_u16() & FLAG_DESCRIPTOR != 0,
                entry_start: entry.central_header_start(),
            }),
            Err(ZipError::Io(error)) if error.raw_os_error().is_some() => return Err(error),
            Err(error) => {
                let text = format!("ZIP directory, entry {position} of {count}: {}", describe(&error));
                broken = Some(format!("{text}: it and those behind it are not read, {} in all", count - position));
            }
        }
    }
    let found = zip_layout::Directory { start, entries, is_broken: broken.is_some() };
    let layout = zip_layout::check(directory.files().map_err(io_error)?.reader_mut(), &found)?;
    let overlapping: HashSet<usize> = layout.overlapping.iter().copied().collect();
    Ok(Checked { layout, overlapping, broken })
}

/// Whether a member begins in the first bytes of a file without directory.
pub(super) fn has_member(source: Source<'_>) -> bool {
    let found =
        source.header_reader().and_then(|mut reader| zip_layout::next_local_header(&mut reader, (0, BYTES_BEFORE_MAX)));
    matches!(found, Ok(Some(_)))
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

/// What came of a member.
struct Visited {
    /// Places of others that its data hides.
    unnamed: Vec<(u64, u64)>,
    /// Whether its content was read, be it to a bad end, or need not be.
    is_read: bool,
}

impl Visited {
    const READ: Self = Self { unnamed: Vec::new(), is_read: true };
    const REFUSED: Self = Self { unnamed: Vec::new(), is_read: false };
}

/// Visits a member.
fn visit_entry<M: Members>(
    entry: &ZipFileEntry<'static>,
    body: &mut Body<'_>,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<Visited, M::Stop> {
    let name = name_of(entry);
    if is_folder(entry) || is_resource_fork(&name) {
        return Ok(Visited::READ);
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        members.damaged(Some(&name), format!("compressed by {}: expected stored or deflated", method(entry)));
        return Ok(Visited::REFUSED);
    }
    if entry.encrypted() {
        members.damaged(Some(&name), "encrypted: expected plain content".into());
        return Ok(Visited::REFUSED);
    }
    let declared_bytes = entry.size();
    let is_admitted = members.admits(declared_bytes);
    let wants_parts = is_admitted && buffers.wants_parts(declared_bytes);
    let data = if wants_parts { body.deflated(entry) } else { None };
    let parts = data.and_then(|data| buffers.parts(data, zip_layout::may_end_early));
    if is_admitted
        && parts.is_none()
        && let Some(content) = body.whole(entry, buffers)
    {
        members.member(&name, &mut Whole::checked(content, entry.crc32()))?;
        return Ok(Visited::READ);
    }
    let visit = |members: &mut M, content: &mut dyn Content| members.member(&name, content);
    let mut beyond = None;
    if let Some(parts) = parts {
        let declared = Sum::of(declared_bytes, entry.crc32());
        let mut content = Watched::new(Late::new(|| body.content(entry)));
        let (outcome, is_proven) = buffers.in_parts(parts, &mut content, declared, |content| visit(members, content));
        outcome?;
        // Then its stream ends where its data does, or nothing behind it is to be told.
        if !is_proven && buffers.skip_rest(&mut content, |bytes| members.admits(bytes)) {
            beyond = content.reader.reader().map(Opened::beyond);
        }
    } else {
        match body.content(entry) {
            Ok(content) => {
                let mut content = Watched::new(content);
                buffers.stream(&mut content, declared_bytes, |content| visit(members, content))?;
                if buffers.skip_rest(&mut content, |bytes| members.admits(bytes)) {
                    beyond = Some(content.reader.beyond());
                }
            }
            Err(error) => {
                tell(members, Some(&name), &error);
                return Ok(Visited::REFUSED);
            }
        }
    }
    let found = beyond.map(|beyond| body.reader().and_then(|reader| zip_layout::beyond(reader, beyond)));
    Ok(match found {
        Some(Ok(found)) => Visited { unnamed: tell_layout(members, found), is_read: true },
        Some(Err(error)) => {
            tell(members, Some(&name), &error);
            Visited::READ
        }
        None => Visited::READ,
    })
}

/// The method by its number, as far as there is no name for it.
#[allow(deprecated, reason = "the only way to the number; not deprecated where it is fuzzed")]
fn method(entry: &ZipFileEntry<'_>) -> String {
    match entry.compression() {
        CompressionMethod::Unsupported(number) => format!("method {number}"),
        known => known.to_string(),
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
        let is_deflated = entry.compression() == CompressionMethod::Deflated;
        let declared = Declared { is_deflated, bytes: entry.size() };
        let (start, data_bytes) = (entry.header_start(), entry.compressed_size());
        if let Source::Memory(bytes) = self.source {
            let (header, rest) = bytes.get(usize::try_from(start).ok()?..)?.split_first_chunk()?;
            let data = rest.get(usize::try_from(zip_layout::name_and_extra_bytes(header)?).ok()?..)?;
            return buffers.inflate(data.get(..usize::try_from(data_bytes).ok()?)?, &declared);
        }
        let data_start = self.data_start(start).ok()?;
        let reader = self.reader().ok()?;
        buffers.read_and_inflate(reader, data_start, data_bytes, &declared)
    }

    /// The byte of the file at which the data of a member starts.
    fn data_start(&mut self, header_start: u64) -> io::Result<u64> {
        let reader = self.reader()?;
        let mut header = [0; zip_layout::LOCAL_HEADER_BYTES];
        reader.seek(SeekFrom::Start(header_start))?;
        let header = match reader.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            read => read.map(|()| Some(header))?,
        };
        let behind_header = header_start.checked_add(zip_layout::LOCAL_HEADER_BYTES as u64);
        let name_and_extra_bytes = header.as_ref().and_then(zip_layout::name_and_extra_bytes);
        let start = behind_header.zip(name_and_extra_bytes).and_then(|(at, bytes)| at.checked_add(bytes.into()));
        start.ok_or_else(|| {
            let found = if header.is_some() { "other bytes" } else { "the end of the file" };
            io::Error::other(format!("expected a local header at byte {header_start}, found {found}"))
        })
    }

    /// A member read as a stream, which checks its CRC. An error is one of the system, with its code, or says what is wrong with the member.
    fn content(&mut self, entry: &ZipFileEntry<'_>) -> io::Result<Opened<'_, 'a>> {
        let data_start = self.data_start(entry.header_start())?;
        let reader = self.reader()?;
        reader.seek(SeekFrom::Start(data_start))?;
        let packed = zip_stream::Packed {
            is_deflated: entry.compression() == CompressionMethod::Deflated,
            data_bytes: entry.compressed_size(),
            bytes: entry.size(),
            crc32: entry.crc32(),
        };
        Ok(Opened { stream: ZipStream::new(reader, packed), data: (data_start, entry.compressed_size()) })
    }

    /// The data of a deflated member, read through a handle of its own. `None` where anything is not as expected.
    fn deflated(&mut self, entry: &ZipFileEntry<'_>) -> Option<io::Take<SourceReader<'a>>> {
        if entry.compression() != CompressionMethod::Deflated {
            return None;
        }
        let start = self.data_start(entry.header_start()).ok()?;
        let mut data = self.source.open().ok()?;
        data.seek(SeekFrom::Start(start)).ok()?;
        Some(data.take(entry.compressed_size()))
    }
}

fn is_resource_fork(name: &str) -> bool {
    name.starts_with("__MACOSX/") || name.contains("/__MACOSX/")
}

/// A member's content, and where its data starts and how long that is.
struct Opened<'b, 'a> {
    stream: ZipStream<&'b mut BufReader<SourceReader<'a>>>,
    data: (u64, u64),
}

impl Opened<'_, '_> {
    /// First byte behind what was read of the data, and behind all of it.
    fn beyond(&self) -> (u64, u64) {
        let (start, bytes) = self.data;
        (start.saturating_add(self.stream.used()), start.saturating_add(bytes))
    }
}

impl Read for Opened<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

/// The error of the system that it is, or its words.
fn io_error(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) if error.raw_os_error().is_some() => error,
        error => io::Error::other(describe(&error)),
    }
}

fn describe(error: &ZipError) -> String {
    match error {
        ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "cut: the file ends too early".into(),
        ZipError::Io(error) => error.to_string(),
        ZipError::InvalidArchive(reason) if reason.as_ref() == "Could not find EOCD" => {
            format!("expected an end record in the last {} bytes, found none", zip_start::TAIL_BYTES)
        }
        // It names types of the library.
        ZipError::InvalidArchive(reason) if reason.starts_with("Unexpected end of") => {
            "cut: the file ends too early".into()
        }
        ZipError::InvalidArchive(reason) => reason.to_string(),
        other => other.to_string(),
    }
}
