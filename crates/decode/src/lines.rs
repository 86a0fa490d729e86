//! Finding records in a member of one object a line.
//!
//! Lines end with LF; a CR before it is a blank like others. Blank lines are no records. A line that is not exactly one record is one
//! reject, whatever it holds: the next line starts anew.

use crate::intake::{Records, Verdict};
use crate::sink::DecodeError;
use crate::text::{blanks, head, tail, trim_end};
use crate::window::Window;

/// Splits lines; resumable at any byte.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    max_record_bytes: usize,
    /// A line that has become too long, while its end is sought.
    overlong: Option<Overlong>,
    /// Bytes of the line at hand known to hold no line end.
    searched: usize,
}

#[derive(Debug)]
struct Overlong {
    offset: u64,
    length: u64,
    /// The first bytes of the line.
    raw: Vec<u8>,
}

impl LineSplitter {
    pub(crate) fn new(max_record_bytes: usize) -> Self {
        Self { max_record_bytes, overlong: None, searched: 0 }
    }

    /// Reads lines from a window that starts at byte `base` of the member, behind what was consumed before. Returns how many bytes it
    /// consumed: all of them when the member ends here, else all but the start of a line, at most one byte longer than the longest record.
    pub(crate) fn advance(
        &mut self,
        window: Window<'_>,
        base: u64,
        records: &mut Records<'_>,
    ) -> Result<usize, DecodeError> {
        let ends_here = window.ends_here;
        let mut at = 0;
        loop {
            let rest = window.from(at).text();
            if let Some(overlong) = &mut self.overlong {
                let length = memchr::memchr(b'\n', rest);
                overlong.length += length.unwrap_or(rest.len()) as u64;
                at += length.unwrap_or(rest.len());
                if length.is_none() && !ends_here {
                    return Ok(at);
                }
                self.reject_overlong(records)?;
                continue;
            }
            at += blanks(rest);
            let rest = window.from(at);
            if self.searched == 0 {
                if let Some(length) = usual_line(rest.bytes, records) {
                    records.take_usual(rest.bytes, length)?;
                    at += length;
                    continue;
                }
                if records.waits_for_more(rest) {
                    return Ok(at);
                }
            }
            let rest = rest.text();
            let line_end = memchr::memchr(b'\n', tail(rest, self.searched)).map(|end| self.searched + end);
            let line = head(rest, line_end.unwrap_or(rest.len()));
            // One byte more may be the CR of the line end.
            if line.len() > self.max_record_bytes + 1 || trim_end(line).len() > self.max_record_bytes {
                let raw = head(line, self.max_record_bytes).to_vec();
                self.searched = 0;
                self.overlong = Some(Overlong { offset: base + at as u64, length: 0, raw });
            } else if line_end.is_none() && !ends_here {
                self.searched = line.len();
                return Ok(at);
            } else {
                self.searched = 0;
                if line.is_empty() {
                    return Ok(at);
                }
                let offset = base + at as u64;
                let line = trim_end(line);
                if records.record(offset, line)? == Verdict::Broken {
                    let reason = records.reason(offset, line);
                    records.reject(offset, reason, line.to_vec())?;
                }
                at += line.len();
            }
        }
    }

    fn reject_overlong(&mut self, records: &mut Records<'_>) -> Result<(), DecodeError> {
        let Some(Overlong { offset, length, raw }) = self.overlong.take() else {
            return Ok(());
        };
        let limit = self.max_record_bytes;
        let reason = format!("expected a line of at most {limit} bytes, found {length} bytes at byte {offset}");
        records.reject(offset, reason, raw)
    }
}

/// Length of the record at the start of a window if it has a shape met before and nothing else is on its line.
fn usual_line(window: &[u8], records: &mut Records<'_>) -> Option<usize> {
    let length = records.find_usual_on_one_line(window)?;
    let behind = tail(window, length);
    // Blanks at the end of a line; its LF is one of them.
    head(behind, blanks(behind)).contains(&b'\n').then_some(length)
}
