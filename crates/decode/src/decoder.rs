//! The decoder: feeds the bytes of a member to the splitter they ask for, and keeps what a splitter could not finish yet.

use crate::intake::{Intake, Records};
use crate::lines::LineSplitter;
use crate::list::ListSplitter;
use crate::options::DecodeOptions;
use crate::sink::{DecodeError, MemberSummary, Sink};
use crate::text::{blanks, head, shown, tail, trim_end};
use crate::window::Window;

const BOM: &[u8] = b"\xef\xbb\xbf";
/// Bytes that are joined to an unfinished record at first, to find its end: a few records long.
const FIRST_JOINED_BYTES: usize = 4096;

/// Zeros that are put behind the end of a member, where the short way through its last record looks for more than there is. No record can
/// reach into them: they are neither text nor blank.
const PADDING_BYTES: usize = 512;

/// Bytes behind the first one that is not blank among which a record on a line of its own is looked for, where a member begins like none.
const FORM_BYTES: usize = 64 * 1024;

/// Memory that is kept from record to record for unfinished ones: what one huge record needed is given back.
const KEPT_BYTES: usize = 256 * 1024;

/// Turns the bytes of one member after the other into record batches and rejects.
///
/// Bytes may be cut into chunks anywhere: the outcome is the same. A member must be ended with [`Self::finish`] or given up with
/// [`Self::reset`] before the next one starts. A decoder holds one unfinished record (see [`DecodeOptions::max_record_bytes`]) and one
/// unfinished batch, and reuses its buffers from member to member.
pub struct Decoder {
    max_record_bytes: usize,
    form: Form,
    /// Bytes that the splitter has seen but not finished, or not seen because a sink failed.
    unfinished: Vec<u8>,
    /// Bytes of the member before `unfinished`.
    passed: u64,
    /// Bytes of the member so far.
    bytes: u64,
    failed: bool,
    intake: Intake,
}

/// What is known of the member's form.
enum Form {
    /// Nothing; a BOM may come.
    New,
    /// Nothing; a BOM would be wrong.
    Unknown,
    List(ListSplitter),
    Lines(LineSplitter),
}

impl Decoder {
    /// A decoder for any number of members. Options beyond their bounds are brought to the nearest bound.
    #[must_use]
    pub fn new(options: DecodeOptions) -> Self {
        let options = options.bounded();
        Self {
            max_record_bytes: options.max_record_bytes,
            form: Form::New,
            unfinished: Vec::new(),
            passed: 0,
            bytes: 0,
            failed: false,
            intake: Intake::new(options),
        }
    }

    /// Takes the next bytes of the member.
    ///
    /// # Errors
    /// [`DecodeError::NotRecords`] where the member is no export, [`DecodeError::Sink`] where the sink failed. Either ends the member: until
    /// [`Self::reset`] or [`Self::finish`] is called, further bytes are refused with [`DecodeError::GivenUp`].
    pub fn push(&mut self, chunk: &[u8], sink: &mut dyn Sink) -> Result<(), DecodeError> {
        if self.failed {
            return Err(DecodeError::GivenUp);
        }
        self.bytes += chunk.len() as u64;
        let pushed = self.push_chunk(chunk, sink);
        self.failed = pushed.is_err();
        pushed
    }

    /// Ends the member: hands the last rows and rejects to the sink and returns the counts. The decoder is ready for the next member then,
    /// also after an error.
    ///
    /// # Errors
    /// [`DecodeError::Empty`] where the member held no text; [`DecodeError::GivenUp`] where it had failed before; else as [`Self::push`].
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<MemberSummary, DecodeError> {
        let summary = self.finish_member(sink);
        self.reset();
        summary
    }

    /// Gives up the member at hand, if any: its rows that no batch has taken out yet are dropped.
    pub fn reset(&mut self) {
        self.form = Form::New;
        self.unfinished.clear();
        self.unfinished.shrink_to(KEPT_BYTES);
        self.passed = 0;
        self.bytes = 0;
        self.failed = false;
        self.intake.reset();
    }

    fn finish_member(&mut self, sink: &mut dyn Sink) -> Result<MemberSummary, DecodeError> {
        if self.failed {
            return Err(DecodeError::GivenUp);
        }
        let mut unfinished = std::mem::take(&mut self.unfinished);
        let end = unfinished.len();
        unfinished.resize(end + PADDING_BYTES, 0);
        let advanced = self.advance(Window { bytes: &unfinished, end, ends_here: true }, sink);
        unfinished.truncate(end);
        self.unfinished = unfinished;
        advanced?;
        if matches!(self.form, Form::New | Form::Unknown) {
            return Err(DecodeError::Empty);
        }
        let counts = Records { intake: &mut self.intake, sink }.finish()?;
        Ok(MemberSummary { bytes: self.bytes, ..counts })
    }

    fn push_chunk(&mut self, chunk: &[u8], sink: &mut dyn Sink) -> Result<(), DecodeError> {
        let joined = self.join_unfinished(chunk, sink)?;
        if self.unfinished.is_empty() {
            let rest = tail(chunk, joined);
            let consumed = self.advance(Window::of(rest), sink)?;
            self.unfinished.extend_from_slice(tail(rest, consumed));
        }
        Ok(())
    }

    /// Finishes the unfinished record with the first bytes of a chunk. Most of the chunk is then read where it lies, without a copy.
    /// Returns how many bytes of the chunk need no further look: all, if the record is still unfinished.
    fn join_unfinished(&mut self, chunk: &[u8], sink: &mut dyn Sink) -> Result<usize, DecodeError> {
        let mut joined = 0;
        let mut more = FIRST_JOINED_BYTES;
        while joined < chunk.len() && !self.unfinished.is_empty() {
            let old = self.unfinished.len();
            self.unfinished.extend_from_slice(head(tail(chunk, joined), more));
            let mut unfinished = std::mem::take(&mut self.unfinished);
            let advanced = self.advance(Window::of(&unfinished), sink);
            if let Ok(consumed) = advanced {
                if consumed >= old {
                    joined += consumed - old;
                    unfinished.clear();
                    unfinished.shrink_to(KEPT_BYTES);
                } else {
                    joined += unfinished.len() - old;
                    unfinished.drain(..consumed);
                }
            }
            self.unfinished = unfinished;
            advanced?;
            more *= 2;
        }
        Ok(joined)
    }

    /// Lets the splitter read a window of the member that starts behind the bytes passed; returns how many it consumed.
    fn advance(&mut self, window: Window<'_>, sink: &mut dyn Sink) -> Result<usize, DecodeError> {
        let mut at = 0;
        if matches!(self.form, Form::New) {
            let start = head(window.text(), BOM.len());
            if start.len() < BOM.len() && BOM.starts_with(start) && !window.ends_here {
                return Ok(0);
            }
            at = if start == BOM { BOM.len() } else { 0 };
            self.form = Form::Unknown;
        }
        if matches!(self.form, Form::Unknown) {
            at += self.find_form(window.from(at), self.passed + at as u64)?;
        }
        let rest = window.from(at);
        let base = self.passed + at as u64;
        let mut records = Records { intake: &mut self.intake, sink };
        at += match &mut self.form {
            Form::New | Form::Unknown => 0,
            Form::List(list) => list.advance(rest, base, &mut records)?,
            Form::Lines(lines) => lines.advance(rest, base, &mut records)?,
        };
        self.passed += at as u64;
        Ok(at)
    }

    /// Learns the form from the first byte that is not blank, or from lines behind it; returns how many bytes that took.
    fn find_form(&mut self, window: Window<'_>, offset: u64) -> Result<usize, DecodeError> {
        let gap = blanks(window.text());
        let start = tail(window.text(), gap);
        let is_lines = match *start {
            [] => None,
            [b'[', ..] => {
                self.form = Form::List(ListSplitter::new(self.max_record_bytes));
                return Ok(gap + 1);
            }
            [b'{', ..] => Some(true),
            [byte, ..] => match has_record_on_a_line(start, window.ends_here) {
                Some(false) => {
                    return Err(DecodeError::NotRecords { offset: offset + gap as u64, found: shown(byte) });
                }
                found => found,
            },
        };
        if is_lines == Some(true) {
            self.form = Form::Lines(LineSplitter::new(self.max_record_bytes));
        }
        Ok(gap)
    }
}

/// Whether one of the lines behind the first looks like a record: then what begins here is lines, of which the first ones are damaged.
/// `None` where more has to be seen.
fn has_record_on_a_line(start: &[u8], ends_here: bool) -> Option<bool> {
    let seen = head(start, FORM_BYTES);
    let is_all = ends_here && seen.len() == start.len();
    let whole = if is_all { seen.len() } else { memchr::memrchr(b'\n', seen).unwrap_or(0) };
    let mut lines = head(seen, whole).split(|&byte| byte == b'\n').skip(1);
    let is_found = lines.any(|line| {
        let line = trim_end(tail(line, blanks(line)));
        let inner = line.strip_prefix(b"{").and_then(|line| line.strip_suffix(b"}"));
        inner.is_some_and(|inner| inner.get(blanks(inner)) == Some(&b'"'))
    });
    (is_found || ends_here || seen.len() == FORM_BYTES).then_some(is_found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Rows;
    use crate::sink::{Reject, SinkError};

    /// Counts rows; a reject is a fault.
    struct Counted(usize);

    impl Sink for Counted {
        fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
            self.0 += rows.times().len();
            Ok(())
        }

        fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
            Err(SinkError::new(reject.reason))
        }
    }

    /// Also the last ones of a member, and those at which a chunk ends.
    #[test]
    fn records_of_a_known_shape_are_not_parsed() {
        let record = |number: u32, unknown: &str, in_meta: &str| {
            format!(
                r#"{{{unknown}"time":"2026-01-05 08:00:{:02}.000417 UTC","source":"thales/cloudhsm/1269134682167","resourceID":"r","actorID":"a","tenantID":"t","action":"LUNA_SIGN","status":"LUNA_RET_OK","traceID":"{number:043}","meta":"{{\"clientip\":\"192.0.2.10\",\"hsmid\":\"500001\",\"ouid\":\"8e00000500000129a6630800\",\"partid\":\"1269134682167\",\"role\":\"CU\"{in_meta}}}"}}"#,
                number % 60
            )
        };
        let long = format!(r#""long":"{}","#, "x".repeat(300));
        let cases = [
            ("", ""),
            (r#""version":"1.0","#, ""),
            (r#""level": -1.5e3 , "on":true,"#, r#",\"version\":\"1.0\",\"level\":2"#),
            (long.as_str(), ""),
        ];
        for (unknown, in_meta) in cases {
            let records: Vec<String> = (0..40).map(|number| record(number, unknown, in_meta)).collect();
            // One is learned from.
            are_not_parsed(&records, 1);
        }
        let [mut of_envelope, mut of_meta, mut of_both] = [const { Vec::new() }; 3];
        for number in 0..40 {
            of_envelope.push(record(number, &format!(r#""request":"{:x}","#, number * 7919), ""));
            of_meta.push(record(number, "", &format!(r#",\"sequence\":{}"#, number * number * 7919)));
            let unknown = format!(r#""zone": {number} , "area":"{number}", "on":true,"#);
            of_both.push(record(number, &unknown, &format!(r#",\"a\":\"{number}\""#)));
        }
        for records in [of_envelope, of_meta, of_both] {
            // The first ones seem to be of shapes of their own.
            are_not_parsed(&records, 4);
        }
    }

    /// As records of other services may have in `meta`: lists and objects, whatever these hold.
    #[test]
    fn records_with_lists_and_objects_of_a_known_shape_are_not_parsed() {
        let record = |number: u32, meta_is_text: bool| {
            let escapes = if meta_is_text { "" } else { r#"\n \""# };
            let user = format!("Jürgen {escapes}").repeat(number as usize % 3);
            let (on, size) = (number.is_multiple_of(2), f64::from(number) / 4.0);
            let meta = format!(
                r#"{{"user":{{"name":"{user}","id":{number}}},"on":{on},"sizes":[{size},-1{number},{{}}],"more":[]}}"#
            );
            let meta = if meta_is_text { format!("\"{}\"", meta.replace('"', "\\\"")) } else { meta };
            format!(
                r#"{{"time":"2026-01-05 08:00:01 UTC","source":"cdsp","action":"Create Key","meta":{meta},"level":{{"a":[[{number}]]}}}}"#
            )
        };
        for meta_is_text in [true, false] {
            let records: Vec<String> = (0..40).map(|number| record(number, meta_is_text)).collect();
            are_not_parsed(&records, 4);
        }
    }

    /// A value may be of one kind and then of another: of each it is learned once.
    #[test]
    fn records_with_values_of_several_kinds_are_not_parsed() {
        let values = ["\"text\"", "12", "null", "[]", "{}", "[12]", "[\"text\"]", "{\"a\":true}", "[12,13]"];
        for start in 0..values.len() {
            let records: Vec<String> = (0..200)
                .map(|number| {
                    let value = values[(start + number) % values.len()];
                    format!(
                        r#"{{"time":"2026-01-05 08:00:01 UTC","kind":{value},"number":{number},"action":"Create Key"}}"#
                    )
                })
                .collect();
            // Three with their values, and each kind.
            are_not_parsed(&records, 3 + 8);
        }
    }

    /// Texts that are not plain have to be met once; of many of them, as many are learned as pay for it.
    #[test]
    fn records_of_known_texts_are_not_parsed() {
        let record = |client: u32| {
            format!(
                r#"{{"time":"2026-01-05 08:00:01.000417 UTC","source":"thales\/cloudhsm\/{client}","actorID":"Größe \"{client}\"","action":"LUNA_SIGN","status":"LUNA_RET_OK","meta":"{{\"clientip\":\"192.0.2.10\",\"role\":\"ä {client}\"}}"}}"#
            )
        };
        for (clients, learned_from) in [(1, 1), (9, 9), (100, 2000)] {
            // In an order in which they come again now and then.
            let records = (0..10_000_u32).map(|number| record(number * number / 7 % clients));
            let member = format!("[{}]", records.collect::<Vec<_>>().join(","));
            let mut decoder = Decoder::new(DecodeOptions::default());
            for parsed in [learned_from, 0] {
                let mut counted = Counted(0);
                decoder.push(member.as_bytes(), &mut counted).unwrap();
                decoder.finish_member(&mut counted).unwrap();
                assert_eq!(counted.0, 10_000);
                assert!(decoder.intake.parsed() <= parsed, "{clients}: {}", decoder.intake.parsed());
                decoder.reset();
            }
        }
    }

    /// But for some of the first member, from which their shapes are learned.
    fn are_not_parsed(records: &[String], learned_from: u64) {
        let list = format!("[{}]", records.join(","));
        let lines = format!("{}\n", records.join("\n"));
        let mut decoder = Decoder::new(DecodeOptions::default());
        let mut parsed = learned_from;
        for member in [list, lines] {
            for chunk in [member.len(), member.len(), 5000, 2000, 1100] {
                let mut counted = Counted(0);
                member.as_bytes().chunks(chunk).for_each(|chunk| decoder.push(chunk, &mut counted).unwrap());
                decoder.finish_member(&mut counted).unwrap();
                assert_eq!(counted.0, records.len());
                assert_eq!(decoder.intake.parsed(), parsed, "by {chunk}");
                decoder.reset();
                parsed = 0;
            }
        }
    }
}
