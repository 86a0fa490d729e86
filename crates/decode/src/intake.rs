//! Where the splitters hand over what they found: counts every record and reject once and passes them on.

use crate::columns::Columns;
use crate::options::DecodeOptions;
use crate::row::{RecordReader, Refusal};
use crate::rows::Rows;
use crate::sink::{DecodeError, MemberSummary, Reject, Sink};
use crate::text::head;
use crate::usual::UsualReader;
use crate::window::Window;

/// So close to the end of a window, records wait for the next one: usual records with as much again as the short way looks at.
const NEAR_BYTES: usize = 1024;

/// What became of a text that might be a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was a record, good or bad, and is counted.
    Settled,
    /// Its brackets or quotes do not add up, so it is not known where the record ends; nothing was counted.
    Broken,
}

/// The part of a decoder behind the splitters; lives from member to member.
pub(crate) struct Intake {
    options: DecodeOptions,
    reader: RecordReader,
    /// `None` where every record shall go the general way.
    usual: Option<UsualReader>,
    columns: Columns,
    /// JSON of the records in `columns`, in bytes.
    batch_bytes: usize,
    summary: MemberSummary,
}

/// An intake with the sink of the call at hand.
pub(crate) struct Records<'a> {
    pub(crate) intake: &'a mut Intake,
    pub(crate) sink: &'a mut dyn Sink,
}

impl Intake {
    pub(crate) fn new(options: DecodeOptions) -> Self {
        Self {
            options,
            reader: RecordReader::new(options.max_depth),
            usual: options.usual_shapes.then(UsualReader::new),
            columns: Columns::new(),
            batch_bytes: 0,
            summary: MemberSummary::default(),
        }
    }

    /// Good records of the member that did not go the short way.
    #[cfg(test)]
    pub(crate) fn parsed(&self) -> u64 {
        self.usual.as_ref().map_or(0, UsualReader::unknown)
    }

    /// Drops rows and counts of the member at hand.
    pub(crate) fn reset(&mut self) {
        if let Some(usual) = &mut self.usual {
            usual.start_member();
        }
        self.summary = MemberSummary::default();
        self.batch_bytes = 0;
        if self.columns.rows() > 0 {
            self.columns.clear();
        }
    }
}

impl Records<'_> {
    /// Finds a record of a shape met before at the start of a window and tells its length. It counts once it is taken.
    pub(crate) fn find_usual(&mut self, window: &[u8]) -> Option<usize> {
        let Intake { usual, options, columns, .. } = &mut *self.intake;
        usual.as_mut()?.find(window, columns).filter(|&length| length <= options.max_record_bytes)
    }

    /// The same for a record that has to stand on one line: its shape may be known from a list.
    pub(crate) fn find_usual_on_one_line(&mut self, window: &[u8]) -> Option<usize> {
        let length = self.find_usual(window)?;
        self.intake.usual.as_mut()?.is_one_line().then_some(length)
    }

    /// Whether the short way, which was tried at the start of a window, may do where more bytes come: it looks further than the end of a record.
    pub(crate) fn waits_for_more(&self, window: Window<'_>) -> bool {
        !window.ends_here && window.end < NEAR_BYTES && self.intake.usual.as_ref().is_some_and(UsualReader::has_shapes)
    }

    /// Takes the record of this length that was just found in the window.
    #[inline]
    pub(crate) fn take_usual(&mut self, window: &[u8], length: usize) -> Result<(), DecodeError> {
        let Intake { usual, columns, summary, batch_bytes, .. } = &mut *self.intake;
        if let Some(usual) = usual {
            usual.take(window, i64::try_from(summary.read).unwrap_or(i64::MAX), columns);
            summary.read += 1;
            summary.accepted += 1;
            *batch_bytes += length;
        }
        self.hand_out_full_batch()
    }

    /// Takes one record that starts at `offset`, if it is one.
    pub(crate) fn record(&mut self, offset: u64, json: &[u8]) -> Result<Verdict, DecodeError> {
        let ordinal = i64::try_from(self.intake.summary.read).unwrap_or(i64::MAX);
        let reason = match self.intake.reader.read(json, ordinal, &mut self.intake.columns) {
            Ok(()) => {
                self.intake.summary.read += 1;
                self.intake.summary.accepted += 1;
                self.intake.batch_bytes += json.len();
                if let Some(usual) = &mut self.intake.usual {
                    usual.learn(json, &self.intake.columns);
                }
                self.hand_out_full_batch()?;
                return Ok(Verdict::Settled);
            }
            Err(Refusal::Json(fault)) if fault.broken => return Ok(Verdict::Broken),
            Err(Refusal::Json(fault)) => fault.reason(offset),
            Err(Refusal::Record(reason)) => format!("{reason} in the record at byte {offset}"),
        };
        self.reject(offset, reason, json.to_vec())?;
        Ok(Verdict::Settled)
    }

    /// Sets aside what is no record. `raw` is cut at the longest record's length.
    pub(crate) fn reject(&mut self, offset: u64, reason: String, mut raw: Vec<u8>) -> Result<(), DecodeError> {
        raw.truncate(self.intake.options.max_record_bytes);
        let ordinal = self.intake.summary.read;
        self.intake.summary.read += 1;
        self.intake.summary.rejected += 1;
        Ok(self.sink.reject(Reject { ordinal, offset, reason, raw })?)
    }

    /// Why a text that starts at `offset` is no record. For texts that are known to be none.
    pub(crate) fn reason(&mut self, offset: u64, json: &[u8]) -> String {
        match self.intake.reader.fault(json) {
            Some(fault) => fault.reason(offset),
            None => format!("expected a record, found other JSON at byte {offset}"),
        }
    }

    /// What kind of value a text is, for messages.
    pub(crate) fn kind(&mut self, json: &[u8]) -> String {
        match self.intake.reader.kind(json) {
            Ok(kind) => kind.to_owned(),
            Err(_) => format!("'{}'", head(json, 20).escape_ascii()),
        }
    }

    /// Whether no continuation can make a record of a text.
    pub(crate) fn is_broken_start(&mut self, json: &[u8]) -> bool {
        self.intake.reader.fault(json).is_some_and(|fault| fault.broken && !fault.cut)
    }

    /// Hands out the last rows and the counts of the member.
    pub(crate) fn finish(&mut self) -> Result<MemberSummary, DecodeError> {
        self.hand_out_batch()?;
        Ok(std::mem::take(&mut self.intake.summary))
    }

    fn hand_out_full_batch(&mut self) -> Result<(), DecodeError> {
        let Intake { options, columns, batch_bytes, .. } = &*self.intake;
        let full = columns.rows() >= options.batch_rows || *batch_bytes >= options.batch_bytes;
        if full { self.hand_out_batch() } else { Ok(()) }
    }

    fn hand_out_batch(&mut self) -> Result<(), DecodeError> {
        if self.intake.columns.rows() > 0 {
            self.intake.batch_bytes = 0;
            let taken = self.sink.rows(Rows::of(&mut self.intake.columns));
            if self.intake.columns.end_batch()
                && let Some(usual) = &mut self.intake.usual
            {
                usual.forget_ids();
            }
            taken?;
        }
        Ok(())
    }
}
