//! Whether the directory of a ZIP file accounts for the whole file.
//!
//! A reader of ZIP files believes the directory at the end. Records would be lost in silence where it names fewer members than there are
//! (a cut count, two files joined, a comment that looks like a directory), or counted twice where two entries name one member. So
//! members, directory and end record have to lie side by side, from the first byte to the last; and in each stretch of bytes that belong to
//! none of them, a member is looked for.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use keytrail_model::ledger::Note;

use super::stretch::{Pattern, Stretch};

pub(super) const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
/// Length of a local header without its name and its extra field.
pub(crate) const LOCAL_HEADER_BYTES: usize = 30;
pub(super) const DIRECTORY_ENTRY: [u8; 4] = *b"PK\x01\x02";
const DIRECTORY_ENTRY_BYTES: u64 = 46;
pub(super) const END_RECORD: [u8; 4] = *b"PK\x05\x06";
pub(super) const END_RECORD_BYTES: u64 = 22;
pub(super) const END_RECORD_64: [u8; 4] = *b"PK\x06\x06";
pub(super) const END_LOCATOR_64_BYTES: u64 = 20;
/// Flag of a member whose sizes and CRC stand behind its data.
pub(super) const FLAG_DESCRIPTOR: u16 = 1 << 3;
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
/// Length of a ZIP64 end record as everybody writes it.
pub(super) const END_RECORD_64_BYTES: u64 = 56;
/// What is looked for in bytes that belong to nothing.
const PATTERNS: [Pattern; 3] = [
    Pattern { signature: &LOCAL_HEADER, bytes: LOCAL_HEADER_BYTES, fits: is_local_header },
    Pattern::of(&DIRECTORY_ENTRY),
    Pattern::of(&END_RECORD),
];
/// Kind of the fault that there are members which nothing names.
pub(super) const UNNAMED: &str = "unnamed_member";
/// Bytes looked at at a time.
const SEARCHED_BYTES: usize = 16 << 10;
/// Zeros that the data of no deflated text ends in: the code of its end would have to be zeros, and what comes before it.
const ZEROS: [u8; 4] = [0; 4];
/// Methods of compression are numbered up to this.
const METHOD_MAX: u16 = 99;

/// Where an entry of the directory says that its member lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Byte of the local header.
    pub(super) header_start: u64,
    /// Length of the data behind it.
    pub(super) compressed_bytes: u64,
    /// Length of the data, inflated.
    pub(super) bytes: u64,
    /// CRC-32 of it.
    pub(super) crc32: u32,
    /// Whether a descriptor may follow the data.
    pub(super) has_descriptor: bool,
    /// Byte of the entry itself.
    pub(super) entry_start: u64,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Members that the directory does not name, or other reasons to believe that records are missing.
    pub(super) faults: Vec<Note>,
    /// Bytes that belong to nothing, and what else is odd.
    pub(super) notes: Vec<Note>,
    /// Where the members are that the directory does not name: from the first one to the end of the bytes that belong to nothing.
    pub(super) unnamed: Vec<(u64, u64)>,
    /// Indices of entries whose member shares bytes with the member of an earlier entry: reading them would count records twice.
    pub(super) overlapping: Vec<usize>,
}

/// The directory as far as it could be read.
pub(super) struct Directory {
    /// Its first byte.
    pub(super) start: u64,
    /// Its entries, in its order.
    pub(super) entries: Vec<Entry>,
    /// Whether there are more, which could not be read.
    pub(super) is_broken: bool,
}

/// Compares the directory with the bytes of the file.
pub(super) fn check(file: &mut (impl Read + Seek), directory: &Directory) -> io::Result<Layout> {
    let mut layout = Layout::default();
    let file_bytes = file.seek(SeekFrom::End(0))?;
    let is_empty = directory.entries.is_empty() && !directory.is_broken;
    // An empty one in a file that starts with it leads nowhere.
    let start = if is_empty && signature(file, 0)? == END_RECORD { 0 } else { directory.start.min(file_bytes) };
    let covered = layout.check_members(file, &directory.entries)?;
    if covered < start {
        layout.gap(file, (covered, start))?;
    }
    let end = match directory.entries.last() {
        Some(last) => last.entry_start.saturating_add(directory_entry_bytes(file, last.entry_start)?),
        None => start,
    };
    if directory.is_broken {
        // What is wrong is told by who read it.
        layout.unclaimed(file, (end, file_bytes), |_| None)?;
    } else {
        layout.check_end(file, end, file_bytes)?;
    }
    Ok(layout)
}

/// Whether there can be something behind the end of a DEFLATE stream which is to be [told](beyond). libdeflate does not tell where a stream
/// ends; to find out takes inflating it once more, so that is only done where this says so. It costs next to nothing beside inflating:
/// `PK` is found at the speed of memory, in data which is a twentieth of the text. By chance the signatures come up once in a gigabyte.
pub(super) fn may_end_early(data: &[u8]) -> bool {
    let is_signature = |place: usize| {
        let found = data.get(place..).and_then(<[u8]>::first_chunk::<4>);
        found.is_some_and(|found| PATTERNS.iter().any(|pattern| pattern.signature == *found))
    };
    data.ends_with(&ZEROS) || memchr::memmem::find_iter(data, b"PK").any(is_signature)
}

/// Bytes of a member's data behind the end of its DEFLATE stream, which belong to nothing. Told is what can be told of any member, however
/// it was read: see [`may_end_early`].
pub(super) fn beyond(file: &mut (impl Read + Seek), (from, to): (u64, u64)) -> io::Result<Layout> {
    let mut layout = Layout::default();
    let to = to.min(file.seek(SeekFrom::End(0))?);
    layout.unclaimed(file, (from, to), |stretch| {
        let is_told =
            stretch.ends_with(&ZEROS) || stretch.first_of(&DIRECTORY_ENTRY).or(stretch.first_of(&END_RECORD)).is_some();
        is_told.then(|| between(stretch, from))
    })?;
    Ok(layout)
}

impl Layout {
    /// Walks the members in the order of their bytes; tells where the last one ends.
    fn check_members(&mut self, file: &mut (impl Read + Seek), entries: &[Entry]) -> io::Result<u64> {
        let mut order: Vec<(usize, &Entry)> = entries.iter().enumerate().collect();
        order.sort_by_key(|(index, entry)| (entry.header_start, *index));
        let mut covered = 0_u64;
        for (index, entry) in order {
            // An entry that leads to no header tells nothing of the bytes there; reading its member will say so.
            let Some(header_bytes) = local_header_bytes(file, entry.header_start)? else {
                continue;
            };
            if entry.header_start < covered {
                self.overlapping.push(index);
                continue;
            }
            if entry.header_start > covered {
                self.gap(file, (covered, entry.header_start))?;
            }
            let data_start = entry.header_start.saturating_add(header_bytes);
            covered = data_start.saturating_add(entry.compressed_bytes);
            if entry.has_descriptor {
                covered = covered.saturating_add(descriptor_bytes(file, covered, entry)?);
            }
        }
        Ok(covered)
    }

    /// Bytes that belong to nothing: a fault where a member is among them, else the note that is made of them.
    fn unclaimed(
        &mut self,
        file: &mut (impl Read + Seek),
        (from, to): (u64, u64),
        note: impl FnOnce(&Stretch) -> Option<Note>,
    ) -> io::Result<()> {
        if from >= to {
            return Ok(());
        }
        let stretch = Stretch::read(file, (from, to), &PATTERNS)?;
        // Where a member is to be expected, its header may be damaged.
        let is_at_start =
            stretch.first_bytes().starts_with(&LOCAL_HEADER) && stretch.bytes >= LOCAL_HEADER_BYTES as u64;
        if let Some(at) = is_at_start.then_some(from).or(stretch.first_of(&LOCAL_HEADER)) {
            let text = format!("the directory names no member at byte {at}, but there is one");
            self.faults.push(stretch.note(UNNAMED, text));
            self.unnamed.push((at, to));
        } else if let Some(note) = note(&stretch) {
            if note.kind == UNNAMED { self.faults.push(note) } else { self.notes.push(note) }
        }
        Ok(())
    }

    /// Bytes between members, or before the first one, or behind the last one.
    fn gap(&mut self, file: &mut (impl Read + Seek), (from, to): (u64, u64)) -> io::Result<()> {
        self.unclaimed(file, (from, to), |gap| Some(between(gap, from)))
    }

    /// Behind the last entry, which ends `at` a byte, comes the end record, and behind it and its comment the file ends.
    fn check_end(&mut self, file: &mut (impl Read + Seek), mut at: u64, file_bytes: u64) -> io::Result<()> {
        if signature(file, at)? == DIRECTORY_ENTRY {
            let text = format!("the directory has more entries than its end record says, at byte {at}");
            self.faults.push(Note { offset: Some(at), ..Note::new("uncounted_entry", text) });
            return Ok(());
        }
        if signature(file, at)? == END_RECORD_64 {
            let fields_end = at.saturating_add(END_RECORD_64_BYTES);
            at = at.saturating_add(12).saturating_add(u64_at(file, at.saturating_add(4))?);
            self.gap(file, (fields_end, at.min(file_bytes)))?;
            at = at.saturating_add(END_LOCATOR_64_BYTES);
        }
        if signature(file, at)? != END_RECORD {
            let text = format!("no end record behind the directory, at byte {at}");
            return self.unclaimed(file, (at, file_bytes), |rest| Some(rest.note("no_end_record", text)));
        }
        let comment_start = at.saturating_add(END_RECORD_BYTES);
        let end = comment_start.saturating_add(u16_at(file, at.saturating_add(20))?.into());
        self.unclaimed(file, (comment_start, end.min(file_bytes)), |comment| {
            Some(comment.note("zip_comment", format!("a ZIP comment of {} bytes", comment.bytes)))
        })?;
        self.unclaimed(file, (end, file_bytes), |rest| {
            if let Some(what) = begins_like_content(rest) {
                let bytes = rest.bytes;
                return Some(
                    rest.note(UNNAMED, format!("{bytes} bytes follow the end of the ZIP, which begin like {what}")),
                );
            }
            let (kind, zero) = if rest.is_padding() { ("padding", "zero ") } else { ("bytes_after", "") };
            Some(rest.note(kind, format!("{} {zero}bytes follow the end of the ZIP", rest.bytes)))
        })
    }
}

/// What bytes behind a container begin like that are no padding: what others joined to it would be lost in silence.
pub(super) fn begins_like_content(rest: &Stretch) -> Option<&'static str> {
    match rest.first_bytes() {
        [0x1f, 0x8b, 8, ..] => Some("gzip"),
        [b'[', b'{', ..] | [b'{', b'"', ..] => Some("records"),
        _ => None,
    }
}

/// The note about bytes without a member that stand where members do.
fn between(gap: &Stretch, from: u64) -> Note {
    let bytes = gap.bytes;
    match gap.first_of(&DIRECTORY_ENTRY).or(gap.first_of(&END_RECORD)) {
        Some(at) => {
            gap.note("second_directory", format!("a second directory at byte {at}, in bytes that belong to no member"))
        }
        None if from == 0 => gap.note("bytes_before", format!("{bytes} bytes before the first member")),
        None if gap.is_padding() => {
            gap.note("padding", format!("{bytes} zero bytes at byte {from} belong to no member"))
        }
        None => gap.note("bytes_between", format!("{bytes} bytes at byte {from} belong to no member")),
    }
}

/// Where the first local header begins between two bytes of the file.
pub(super) fn next_local_header(
    file: &mut BufReader<impl Read + Seek>,
    (from, to): (u64, u64),
) -> io::Result<Option<u64>> {
    let [pattern, ..] = PATTERNS;
    // A few bytes first: mostly one follows the other.
    let mut wanted = LOCAL_HEADER_BYTES;
    let (mut at, mut bytes) = (from, Vec::new());
    seek(file, from)?;
    while at < to {
        let wanted_now = (wanted as u64).min((to - at).saturating_sub(bytes.len() as u64));
        let read = file.by_ref().take(wanted_now).read_to_end(&mut bytes)?;
        let left = (to - at).saturating_sub(bytes.len() as u64);
        if let Some(place) = pattern.find(&bytes, left) {
            return Ok(Some(at + place as u64));
        }
        if read == 0 {
            break;
        }
        let looked_at = (bytes.len() + 1).saturating_sub(LOCAL_HEADER_BYTES);
        bytes.drain(..looked_at);
        at += looked_at as u64;
        wanted = SEARCHED_BYTES;
    }
    Ok(None)
}

/// Goes to a byte, and keeps what was read ahead, if it is there.
pub(super) fn seek(file: &mut BufReader<impl Read + Seek>, to: u64) -> io::Result<()> {
    let at = file.stream_position()?;
    match i64::try_from(i128::from(to) - i128::from(at)) {
        Ok(by) => file.seek_relative(by),
        Err(_) => file.seek(SeekFrom::Start(to)).map(|_| ()),
    }
}

/// Length of the descriptor behind a member's data: CRC and two sizes of 4 or 8 bytes, with its usual signature or without. 0 where there
/// is none that fits the directory.
pub(super) fn descriptor_bytes(file: &mut (impl Read + Seek), at: u64, entry: &Entry) -> io::Result<u64> {
    let found: [u8; 24] = read_at(file, at)?;
    let crc = entry.crc32.to_le_bytes();
    let short = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let long = [crc.as_slice(), &entry.compressed_bytes.to_le_bytes(), &entry.bytes.to_le_bytes()].concat();
    let short = [crc.as_slice(), &short(entry.compressed_bytes), &short(entry.bytes)].concat();
    let signed = |rest: &[u8]| [DESCRIPTOR.as_slice(), rest].concat();
    let forms = [signed(&long), signed(&short), long, short];
    Ok(forms.iter().find(|form| found.starts_with(form)).map_or(0, |form| form.len() as u64))
}

/// Whether what has the signature of a local header, and `left` bytes behind it, is one: four bytes can be chance. One without name and data
/// holds nothing.
fn is_local_header(header: &[u8], left: u64) -> bool {
    let Some((header, lengths)) =
        header.first_chunk::<LOCAL_HEADER_BYTES>().and_then(|all| Some((all, all.last_chunk()?)))
    else {
        return false;
    };
    let field = |from: usize| match header.get(from..from + 2) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    };
    let (version, flags, method) = (field(4) & 0xff, field(6), field(8));
    let [data_low, data_high, name] = [18, 20, 26].map(field);
    let holds_nothing = (data_low, data_high, name, flags & FLAG_DESCRIPTOR) == (0, 0, 0, 0);
    version <= u16::from(u8::MAX >> 1)
        && method <= METHOD_MAX
        && u64::from(sum_of_two(*lengths)) <= left
        && !holds_nothing
}

fn read_at<const N: usize>(file: &mut (impl Read + Seek), at: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(&mut bytes) {
        // Past the end there are no bytes, so nothing that we look for.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok([0; N]),
        read => read.map(|()| bytes),
    }
}

pub(super) fn signature(file: &mut (impl Read + Seek), at: u64) -> io::Result<[u8; 4]> {
    read_at(file, at)
}

fn u16_at(file: &mut (impl Read + Seek), at: u64) -> io::Result<u16> {
    Ok(u16::from_le_bytes(read_at(file, at)?))
}

pub(super) fn u64_at(file: &mut (impl Read + Seek), at: u64) -> io::Result<u64> {
    Ok(u64::from_le_bytes(read_at(file, at)?))
}

/// Length of a local header with its name and its extra field; `None` where there is none.
fn local_header_bytes(file: &mut (impl Read + Seek), at: u64) -> io::Result<Option<u64>> {
    let header: [u8; LOCAL_HEADER_BYTES] = read_at(file, at)?;
    Ok(name_and_extra_bytes(&header).map(|bytes| LOCAL_HEADER_BYTES as u64 + u64::from(bytes)))
}

/// Bytes between a local header and the data: its name and its extra field. `None` where it is no local header.
pub(crate) fn name_and_extra_bytes(header: &[u8; LOCAL_HEADER_BYTES]) -> Option<u32> {
    let lengths = header.last_chunk()?;
    header.starts_with(&LOCAL_HEADER).then(|| sum_of_two(*lengths))
}

fn sum_of_two([low, high, other_low, other_high]: [u8; 4]) -> u32 {
    u32::from(u16::from_le_bytes([low, high])) + u32::from(u16::from_le_bytes([other_low, other_high]))
}

/// Length of a directory entry with its name, its extra field and its comment.
fn directory_entry_bytes(file: &mut (impl Read + Seek), at: u64) -> io::Result<u64> {
    let lengths: [u8; 6] = read_at(file, at.saturating_add(28))?;
    let (pairs, _) = lengths.as_chunks::<2>();
    Ok(DIRECTORY_ENTRY_BYTES + pairs.iter().map(|pair| u64::from(u16::from_le_bytes(*pair))).sum::<u64>())
}
