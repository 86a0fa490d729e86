//! Bytes of a file that belong to nothing: what they are, as far as an auditor can use it.

use std::io::{self, Read, Seek, SeekFrom};

use keytrail_model::ledger::Note;
use sha2::{Digest, Sha256};

/// Bytes shown of a stretch.
const FIRST_BYTES: usize = 32;
/// Bytes looked at at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes that were read to their end.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    offset: u64,
    pub(super) bytes: u64,
    sha256: Sha256,
    first: Vec<u8>,
    is_not_zero: bool,
    /// Last bytes of the piece before, in which a signature may begin.
    tail: Vec<u8>,
    /// Signatures with the place of the first of each.
    signatures: Vec<(&'static [u8], Option<u64>)>,
}

impl Stretch {
    /// A stretch that starts at `offset` of the file, in which these signatures, of at most 8 bytes, are looked for.
    pub(super) fn new(offset: u64, signatures: &[&'static [u8]]) -> Self {
        let signatures = signatures.iter().map(|signature| (*signature, None)).collect();
        Self { offset, signatures, ..Self::default() }
    }

    /// Reads the bytes from `from` up to `to`, or to the end of the file.
    pub(super) fn read(
        file: &mut (impl Read + Seek),
        (from, to): (u64, u64),
        signatures: &[&'static [u8]],
    ) -> io::Result<Self> {
        file.seek(SeekFrom::Start(from))?;
        let mut stretch = Self::new(from, signatures);
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
        if self.signatures.iter().any(|(_, at)| at.is_none()) {
            // A signature may lie across two pieces.
            let before = self.tail.len();
            let joined = [self.tail.as_slice(), piece].concat();
            let start = self.offset + self.bytes - before as u64;
            for (signature, at) in self.signatures.iter_mut().filter(|(_, at)| at.is_none()) {
                *at = memchr::memmem::find(&joined, signature).map(|place| start + place as u64);
            }
            self.tail = joined.get(joined.len().saturating_sub(7)..).unwrap_or_default().to_vec();
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

    /// Its first bytes, some 32.
    pub(super) fn first_bytes(&self) -> &[u8] {
        &self.first
    }

    /// Byte of the file at which a signature first stands.
    pub(super) fn first_of(&self, signature: &[u8]) -> Option<u64> {
        self.signatures.iter().find(|(other, _)| *other == signature)?.1
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
            let stretch = Stretch::read(&mut Cursor::new(&file), (from, to), &[b"PK\x01\x02", b"PK\x05\x06"]).unwrap();
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
}
