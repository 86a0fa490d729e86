//! Gzip: one or more gzip members one after the other are one stream of text, and so one member of ours.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};

use flate2::bufread::GzDecoder;

use super::Members;
use super::buffers::Buffers;
use super::content::{Content, Watched, Whole, read_piece};
use super::parts::Parts;
use super::proven::Sum;
use super::source::{Source, SourceReader};
use super::stretch::{Pattern, Stretch};
use super::zip_layout::{LOCAL_HEADER, UNNAMED, begins_like_content};

/// What a gzip file is taken to inflate to, to decide about a second thread. Real ones have more.
const RATIO: u64 = 4;
/// CRC-32 and length at the end of a gzip member.
const TRAILER_BYTES: usize = 8;
/// How a gzip member begins, DEFLATE being the only method there is.
const SIGNATURE: &[u8] = b"\x1f\x8b\x08";

/// Visits the one member of a gzip file of `file_bytes`. It is called as the header says, else as the file without `.gz`.
pub(super) fn visit<M: Members>(
    file_name: &str,
    file_bytes: u64,
    source: Source<'_>,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<(), M::Stop> {
    let long = Long::of(source, buffers, members);
    if long.is_none()
        && let Source::Memory(file) = source
        && let Some(name) = GzDecoder::new(file).header().map(|header| header.filename().map(name_of))
        && let Some(content) = buffers.gunzip(file)
        && members.admits(content.len() as u64)
    {
        return members.member(&name_or(name, file_name), &mut Whole::sound(content));
    }
    let mut stream = Watched::new(GzipStream::new(source, file_bytes, members.members_max()));
    let is_whole = match long {
        Some(Long { name, parts, sum }) => {
            let name = name_or(name, file_name);
            let visit = |content: &mut dyn Content| members.member(&name, content);
            let (outcome, is_proven) = buffers.in_parts(parts, &mut stream, sum, visit);
            outcome?;
            // Then its trailer is the end of the file, and nothing is behind it.
            !is_proven && buffers.skip_rest(&mut stream, |bytes| members.admits(bytes))
        }
        None => visit_stream(file_name, &mut stream, buffers, members)?,
    };
    if let Some(trailing) = stream.reader.trailing.filter(|_| is_whole) {
        tell_trailing(&trailing, members);
    }
    Ok(())
}

/// Bytes behind the last gzip member lose nothing, but where they are, or were, another one.
fn tell_trailing(trailing: &Stretch, members: &mut impl Members) {
    // One byte of the signature may be damaged: then nothing would be left to tell it by but the others.
    let begins_alike = matches!(trailing.first_bytes(), [_, 0x8b, 8, ..] | [0x1f, _, 8, ..]);
    let place = if begins_alike { Some(0) } else { trailing.first_of(SIGNATURE) };
    if let Some(place) = place {
        let bytes = trailing.bytes;
        let text = format!(
            "{bytes} bytes follow the last gzip member: expected another one, found what begins like one at byte {place} of them"
        );
        return members.fault(trailing.note(UNNAMED, text));
    }
    let is_zip = trailing.first_bytes().starts_with(&LOCAL_HEADER);
    if let Some(what) = is_zip.then_some("a ZIP").or_else(|| begins_like_content(trailing)) {
        let text = format!("{} bytes follow the last gzip member, which begin like {what}", trailing.bytes);
        return members.fault(trailing.note(UNNAMED, text));
    }
    let (kind, zero) = if trailing.is_padding() { ("padding", "zero ") } else { ("bytes_after", "") };
    let text = format!("{} {zero}bytes that are not gzip follow the last gzip member", trailing.bytes);
    members.note(trailing.note(kind, text));
}

fn name_or(name: Option<String>, file_name: &str) -> String {
    name.unwrap_or_else(|| file_name.strip_suffix(".gz").unwrap_or(file_name).to_owned())
}

/// Visits the member as a stream; tells whether it was read to a good end.
fn visit_stream<M: Members>(
    file_name: &str,
    stream: &mut Watched<GzipStream<'_>>,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<bool, M::Stop> {
    // The header has to be read before the member can be named.
    let started = stream.reader.start();
    let name = name_or(stream.reader.name.clone(), file_name);
    match started {
        Ok(()) => {
            let expected_bytes = stream.reader.file_bytes.saturating_mul(RATIO);
            buffers.stream(stream, expected_bytes, |content| members.member(&name, content))?;
            Ok(buffers.skip_rest(stream, |bytes| members.admits(bytes)))
        }
        Err(error) => {
            if error.raw_os_error().is_some() {
                members.unreadable(&error);
            } else {
                members.damaged(Some(&name), error.to_string());
            }
            Ok(false)
        }
    }
}

/// A gzip file with a long text, which is taken to be one gzip member: if it is not, its trailer is not that of the text.
struct Long<'a> {
    /// File name in its header.
    name: Option<String>,
    parts: Parts<Take<SourceReader<'a>>>,
    sum: Sum,
}

impl<'a> Long<'a> {
    /// `None` where it is not long, or anything is not as expected.
    fn of(source: Source<'a>, buffers: &mut Buffers, members: &impl Members) -> Option<Self> {
        let (trailer_start, trailer) = source.open().ok()?.tail(TRAILER_BYTES as u64).ok()?;
        let ([crc32, length], []) = trailer.as_chunks::<4>() else {
            return None;
        };
        let length = u32::from_le_bytes(*length);
        if !(members.admits(length.into()) && buffers.wants_parts(length.into())) {
            return None;
        }
        let header = GzDecoder::new(source.header_reader().ok()?);
        let name = header.header()?.filename().map(name_of);
        let start = header.into_inner().stream_position().ok()?;
        let mut data = source.open().ok()?;
        data.seek(SeekFrom::Start(start)).ok()?;
        // What a trailer in front of the last one says counts, whatever it is.
        let parts = buffers.parts(data.take(trailer_start.checked_sub(start)?), |_| true)?;
        Some(Self { name, parts, sum: Sum::of_low_bits(length, u32::from_le_bytes(*crc32)) })
    }
}

/// The text of all gzip members. Each one's CRC and length are checked by the decoder at its end.
struct GzipStream<'a> {
    source: Source<'a>,
    state: State<BufReader<SourceReader<'a>>>,
    /// First byte of the text, where it was read and not given yet.
    first: Option<u8>,
    /// File name in the first header.
    name: Option<String>,
    /// Length of the file.
    file_bytes: u64,
    /// Bytes behind the last member.
    trailing: Option<Stretch>,
    /// Members begun. To begin one costs as much as to inflate some thousand bytes, so many small ones are a bomb of their own.
    members: u64,
    members_max: u64,
}

enum State<R> {
    Unopened,
    Header(R),
    Inside(Box<GzDecoder<R>>),
    Ended,
}

impl<'a> GzipStream<'a> {
    fn new(source: Source<'a>, file_bytes: u64, members_max: u64) -> Self {
        let (state, first, name, trailing) = (State::Unopened, None, None, None);
        Self { source, state, first, name, file_bytes, trailing, members: 0, members_max }
    }

    /// Reads up to the first byte of the text.
    fn start(&mut self) -> io::Result<()> {
        self.state = State::Ended;
        self.state = State::Header(self.source.reader()?);
        let mut first = [0; 1];
        let count = read_piece(self, &mut first)?;
        self.first = first.get(..count).and_then(<[u8]>::first).copied();
        Ok(())
    }

    fn end_member(&mut self, mut reader: BufReader<SourceReader<'a>>) -> io::Result<()> {
        match reader.fill_buf()? {
            [] => {}
            // One byte may be all that the buffer holds: then the next header decides, and fails if it is none.
            [0x1f] | [0x1f, 0x8b, ..] => self.state = State::Header(reader),
            _ => {
                // Counted from where it begins: that is known when its length is.
                let mut trailing = Stretch::new(0, &[Pattern::of(SIGNATURE)]);
                trailing.read_to_end(&mut reader)?;
                trailing.move_to(self.file_bytes.saturating_sub(trailing.bytes));
                self.trailing = Some(trailing);
            }
        }
        Ok(())
    }
}

impl Read for GzipStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let State::Unopened = self.state {
            self.start()?;
        }
        if let (Some(first), Some(to)) = (self.first, buffer.first_mut()) {
            *to = first;
            self.first = None;
            return Ok(1);
        }
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Unopened | State::Ended => return Ok(0),
                State::Header(reader) => {
                    self.members += 1;
                    if self.members > self.members_max {
                        let message = format!("more than {} gzip members, the limit for an archive", self.members_max);
                        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                    }
                    let decoder = GzDecoder::new(reader);
                    if self.name.is_none() {
                        self.name = decoder.header().and_then(|header| header.filename()).map(name_of);
                    }
                    self.state = State::Inside(Box::new(decoder));
                }
                State::Inside(mut decoder) => {
                    let count = decoder.read(buffer)?;
                    if count > 0 {
                        self.state = State::Inside(decoder);
                        return Ok(count);
                    }
                    self.end_member(decoder.into_inner())?;
                }
            }
        }
    }
}

/// Header names are Latin-1 by the format's definition; real ones are ASCII or UTF-8.
fn name_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
