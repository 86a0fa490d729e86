//! Bytes of a file that belong to nothing: what they are, as far as an auditor can use it.

use std::io::{self, Read, Seek, SeekFrom};

use keytrail_model::ledger::Note;
use sha2::{Digest, Sha256};

/// Bytes shown of a stretch.
const FIRST_BYTES: usize = 32;
/// Bytes looked at at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// What is looked for in a stretch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern {
    /// What it begins with.
    pub(super) signature: &'static [u8],
    /// Its length, at most [`Self::BYTES_MAX`].
    pub(super) bytes: usize,
    /// Whether its bytes, with so many more of the stretch behind them, are one: a signature can be chance.
    pub(super) fits: fn(&[u8], u64) -> bool,
}

impl Pattern {
    const BYTES_MAX: usize = 32;

    /// Where a signature is all.
    pub(super) const fn of(signature: &'static [u8]) -> Self {
        Self { signature, bytes: signature.len(), fits: |_, _| true }
    }

    /// Where the first one is in `bytes`, behind which `left` more come.
    pub(super) fn find(&self, bytes: &[u8], left: u64) -> Option<usize> {
        memchr::memmem::find_iter(bytes, self.signature).find(|place| {
            let rest = bytes.get(*place..).and_then(|rest| rest.split_at_checked(self.bytes));
            rest.is_some_and(|(found, behind)| (self.fits)(found, left.saturating_add(behind.len() as u64)))
        })
    }
}

/// Bytes that were read to their end.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    offset: u64,
    pub(super) bytes: u64,
    sha256: Sha256,
    first: Vec<u8>,
    is_not_zero: bool,
    /// Last bytes of the pieces before, in which a pattern may begin.
    tail: Vec<u8>,
    /// Bytes of it at most.
    bytes_max: u64,
    /// Patterns with the place of the first of each.
    patterns: Vec<(Pattern, Option<u64>)>,
}

impl Stretch {
    /// A stretch that starts at `offset` of the file, in which patterns are looked for.
    pub(super) fn new(offset: u64, patterns: &[Pattern]) -> Self {
        let patterns = patterns.iter().map(|pattern| (*pattern, None)).collect();
        Self { offset, patterns, ..Self::default() }
    }

    /// Reads the bytes from `from` up to `to`, or to the end of the file.
    pub(super) fn read(
        file: &mut (impl Read + Seek),
        (from, to): (u64, u64),
        patterns: &[Pattern],
    ) -> io::Result<Self> {
        file.seek(SeekFrom::Start(from))?;
        let mut stretch = Self { bytes_max: to.saturating_sub(from), ..Self::new(from, patterns) };
        stretch.read_to_end(&mut file.take(to.saturating_sub(from)))?;
        Ok(stretch)
    }

    /// Adds all that a reader has.
    pub(super) fn read_to_end(&mut self, reader: &mut impl Read) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => self.add(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn add(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        let missing = FIRST_BYTES.saturating_sub(self.first.len()).min(piece.len());
        self.first.extend_from_slice(piece.get(..missing).unwrap_or_default());
        self.is_not_zero |= piece.iter().any(|byte| *byte != 0);
        if !self.patterns.is_empty() {
            // A pattern may lie across two pieces. Each place is looked at once or twice, whatever stands there.
            let joined = [self.tail.as_slice(), piece].concat();
            let start = self.offset + self.bytes - self.tail.len() as u64;
            let left = self.bytes_max.saturating_sub(self.bytes + piece.len() as u64);
            for (pattern, at) in self.patterns.iter_mut().filter(|(_, at)| at.is_none()) {
                *at = pattern.find(&joined, left).map(|place| start + place as u64);
            }
            self.tail = joined.get(joined.len().saturating_sub(Pattern::BYTES_MAX)..).unwrap_or_default().to_vec();
        }
        self.bytes += piece.len() as u64;
    }

    /// Says where it starts, once its length has told.
    pub(super) fn move_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Whether all of it is zeros.
    pub(super) fn is_padding(&self) -> bool {
        !self.is_not_zero
    }

    /// Byte of the file at which a pattern with this signature first stands.
    pub(super) fn first_of(&self, signature: &[u8]) -> Option<u64> {
        self.patterns.iter().find(|(pattern, _)| pattern.signature == signature)?.1
    }

    /// Its first bytes, some 32.
    pub(super) fn first_bytes(&self) -> &[u8] {
        &self.first
    }

    /// The same of its end, where patterns were looked for.
    pub(super) fn ends_with(&self, bytes: &[u8]) -> bool {
        self.tail.ends_with(bytes)
    }

    /// A note about it.
    pub(super) fn note(&self, kind: &str, text: String) -> Note {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sha256 = Some(hex(&self.sha256.clone().finalize()));
        Note { sha256, first_bytes: Some(hex(&self.first)), ..Note::new(kind, text).at(self.offset, self.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_stretch_is_told_by_place_length_hash_first_bytes_and_signatures() {
        for length in [0, 5, CHUNK_BYTES - 2, CHUNK_BYTES + 9] {
            let bytes = [vec![0; length], b"PK\x01\x02".to_vec(), vec![7; 3]].concat();
            let file = [b"front".as_slice(), &bytes, b"behind"].concat();
            let (from, to) = (5, 5 + bytes.len() as u64);
            let stretch = Stretch::read(
                &mut Cursor::new(&file),
                (from, to),
                &[b"PK\x01\x02".as_slice(), b"PK\x05\x06"].map(Pattern::of),
            )
            .unwrap();
            assert_eq!(stretch.first_of(b"PK\x01\x02"), Some(from + length as u64));
            assert_eq!(stretch.first_of(b"PK\x05\x06"), None);
            assert!(!stretch.is_padding());
            let note = stretch.note("kind", "text".into());
            assert_eq!((note.offset, note.bytes), (Some(5), Some(bytes.len() as u64)));
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(note.sha256, Some(digest));
            let first: String = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(note.first_bytes, Some(first));
        }
        assert!(Stretch::read(&mut Cursor::new([0; 100]), (3, 500), &[]).unwrap().is_padding());
    }

    #[test]
    fn the_first_of_a_pattern_is_the_first_that_fits() {
        // Two letters behind the signature say whether it is one, and how much has to be left behind them.
        let fits = |found: &[u8], left| found[4] == b'y' && left >= u64::from(found[5] - b'0');
        let pattern = Pattern { signature: b"sign", bytes: 6, fits };
        let cases: [(&[u8], Option<usize>); 7] = [
            (b"sign", None),
            (b"signy", None),
            (b"signy0", Some(0)),
            (b"signy1", None),
            (b"signn0 signy0", Some(7)),
            (b"signy9 signy1.", Some(7)),
            (b"signsigny0", Some(4)),
        ];
        for (text, expected) in cases {
            // Also across two pieces.
            for before in [0, CHUNK_BYTES - 12, CHUNK_BYTES - 5, CHUNK_BYTES - 1] {
                let bytes = [vec![b' '; before].as_slice(), text].concat();
                let stretch = Stretch::read(&mut Cursor::new(&bytes), (0, bytes.len() as u64), &[pattern]).unwrap();
                let expected = expected.map(|place| (before + place) as u64);
                assert_eq!(stretch.first_of(b"sign"), expected, "{before} {}", text.escape_ascii());
            }
        }
    }
}
