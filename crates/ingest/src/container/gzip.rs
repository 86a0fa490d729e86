//! Gzip: one or more gzip members one after the other are one stream of text, and so one member of ours.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::Members;

/// Visits the one member of a gzip file. It is called as the header says, else as the file without `.gz`.
pub(super) fn visit<M: Members>(file_name: &str, reader: BufReader<File>, members: &mut M) -> Result<(), M::Stop> {
    let mut stream = GzipStream { state: State::Header(reader), name: None, trailing_bytes: 0 };
    // The header has to be read before the member can be named.
    let mut first_byte = [0; 1];
    let first = stream.read(&mut first_byte);
    let name = stream.name.clone().unwrap_or_else(|| file_name.strip_suffix(".gz").unwrap_or(file_name).to_owned());
    match first {
        Err(error) => members.damaged(Some(&name), error.to_string()),
        Ok(count) => {
            let head = first_byte.get(..count).unwrap_or_default();
            members.member(&name, &mut head.chain(&mut stream))?;
        }
    }
    if stream.trailing_bytes > 0 {
        members.note(format!("{} bytes that are not gzip follow the last gzip member", stream.trailing_bytes));
    }
    Ok(())
}

/// The text of all gzip members. Each one's CRC and length are checked by the decoder at its end.
struct GzipStream {
    state: State,
    /// File name in the first header.
    name: Option<String>,
    /// Bytes behind the last member, counted at the end.
    trailing_bytes: u64,
}

enum State {
    Header(BufReader<File>),
    Inside(Box<GzDecoder<BufReader<File>>>),
    Ended,
}

impl Read for GzipStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Header(reader) => {
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

impl GzipStream {
    fn end_member(&mut self, mut reader: BufReader<File>) -> io::Result<()> {
        match reader.fill_buf()? {
            [] => {}
            // One byte may be all that the buffer holds: then the next header decides, and fails if it is none.
            [0x1f] | [0x1f, 0x8b, ..] => self.state = State::Header(reader),
            _ => self.trailing_bytes = io::copy(&mut reader, &mut io::sink())?,
        }
        Ok(())
    }
}

/// Header names are Latin-1 by the format's definition; real ones are ASCII or UTF-8.
fn name_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
