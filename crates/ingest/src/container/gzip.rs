//! Gzip: one or more gzip members one after the other are one stream of text, and so one member of ours.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::Members;
use super::buffers::Buffers;
use super::content::{Watched, Whole};
use super::source::Source;
use super::stretch::Stretch;

/// What a gzip file is taken to inflate to, to decide about a second thread. Real ones have more.
const RATIO: u64 = 4;

/// Visits the one member of a gzip file of `file_bytes`. It is called as the header says, else as the file without `.gz`.
pub(super) fn visit<M: Members>(
    file_name: &str,
    file_bytes: u64,
    source: Source<'_>,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<(), M::Stop> {
    if let Source::Memory(file) = source
        && let Some(name) = GzDecoder::new(file).header().map(|header| header.filename().map(name_of))
        && let Some(content) = buffers.gunzip(file)
        && members.admits(content.len() as u64)
    {
        return members.member(&name_or(name, file_name), &mut Whole::sound(content));
    }
    match source.reader() {
        Ok(reader) => visit_stream(file_name, file_bytes, reader, buffers, members),
        Err(error) => {
            members.unreadable(&error);
            Ok(())
        }
    }
}

fn name_or(name: Option<String>, file_name: &str) -> String {
    name.unwrap_or_else(|| file_name.strip_suffix(".gz").unwrap_or(file_name).to_owned())
}

fn visit_stream<M: Members>(
    file_name: &str,
    file_bytes: u64,
    reader: impl BufRead + Send,
    buffers: &mut Buffers,
    members: &mut M,
) -> Result<(), M::Stop> {
    let members_max = members.members_max();
    let state = State::Header(reader);
    let mut stream = GzipStream { state, name: None, file_bytes, trailing: None, members: 0, members_max };
    // The header has to be read before the member can be named.
    let mut first_byte = [0; 1];
    let first = stream.read(&mut first_byte);
    let name = name_or(stream.name.clone(), file_name);
    let mut is_whole = false;
    match first {
        Err(error) => members.damaged(Some(&name), error.to_string()),
        Ok(count) => {
            let head = first_byte.get(..count).unwrap_or_default();
            let expected_bytes = file_bytes.saturating_mul(RATIO);
            let mut content = Watched::new(head.chain(&mut stream));
            buffers.stream(&mut content, expected_bytes, |content| members.member(&name, content))?;
            is_whole = buffers.skip_rest(&mut content, |bytes| members.admits(bytes));
        }
    }
    if let Some(trailing) = stream.trailing.filter(|_| is_whole) {
        let (kind, zero) = if trailing.is_padding() { ("padding", "zero ") } else { ("bytes_after", "") };
        let text = format!("{} {zero}bytes that are not gzip follow the last gzip member", trailing.bytes);
        members.note(trailing.note(kind, text));
    }
    Ok(())
}

/// The text of all gzip members. Each one's CRC and length are checked by the decoder at its end.
struct GzipStream<R> {
    state: State<R>,
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
    Header(R),
    Inside(Box<GzDecoder<R>>),
    Ended,
}

impl<R: BufRead> Read for GzipStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
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

impl<R: BufRead> GzipStream<R> {
    fn end_member(&mut self, mut reader: R) -> io::Result<()> {
        match reader.fill_buf()? {
            [] => {}
            // One byte may be all that the buffer holds: then the next header decides, and fails if it is none.
            [0x1f] | [0x1f, 0x8b, ..] => self.state = State::Header(reader),
            _ => {
                let mut trailing = Stretch::new(0, &[]);
                trailing.read_to_end(&mut reader)?;
                trailing.move_to(self.file_bytes.saturating_sub(trailing.bytes));
                self.trailing = Some(trailing);
            }
        }
        Ok(())
    }
}

/// Header names are Latin-1 by the format's definition; real ones are ASCII or UTF-8.
fn name_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
