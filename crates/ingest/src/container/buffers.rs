//! What a thread reads members with: buffers that are used again, and libdeflate, within a budget.
//!
//! libdeflate is a third faster than reading a stream, but inflates whole members only, into a buffer that is large enough. So that is
//! what is done where a member fits, and, in parts, where a long one does not; whatever is odd about one is left to the stream, which tells
//! what it is and how far it got.

use std::io::{Read, Seek, SeekFrom};

use libdeflater::Decompressor;
use memmap2::MmapMut;

use super::ahead::{ReadPieces, read_ahead};
use super::content::{Content, PIECE_BYTES, Streamed, Watched};
use super::parts::Parts;
use super::proven::Proven;
use crate::pages;

/// DEFLATE cannot inflate further than this: what declares more is wrong.
const RATIO_MAX: u64 = 1032;

/// How much a thread may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Bytes of a file and of a member inflated from it, together.
    pub(crate) bytes: usize,
    /// Inflated bytes from which on a member that does not fit is worth a second thread.
    pub(crate) large_bytes: u64,
    /// Bytes of text of a part at most, where such a member is inflated in parts; not in parts where there is no room for them.
    pub(crate) part_bytes: usize,
}

impl Budget {
    /// More is of no use: larger archives are few, and are read ahead.
    const BYTES_MAX: usize = 96 << 20;
    const LARGE_BYTES: u64 = 16 << 20;
    /// Enough that finding where the next part begins costs little; at the least, that hardly a block is longer.
    const PART_BYTES: usize = 4 << 20;
    const PART_BYTES_LEAST: usize = 2 << 20;
    /// Parts that the budget has room for: those under way, those held back, and the compressed bytes.
    const PARTS: usize = 8;

    /// The program itself, as far as it is in memory, and what all threads share.
    const PROGRAM_BYTES: u64 = 32 << 20;

    /// Half of the memory that a run has beside the program, divided among its threads.
    pub(crate) fn of(memory_bytes: u64, threads: usize) -> Self {
        let left = memory_bytes - Self::PROGRAM_BYTES.min(memory_bytes / 2);
        let share = left / 2 / threads.max(1) as u64;
        let bytes = usize::try_from(share).unwrap_or(usize::MAX).min(Self::BYTES_MAX);
        let part_bytes = Self::PART_BYTES.min(bytes / Self::PARTS);
        let is_worth_it = part_bytes >= Self::PART_BYTES_LEAST;
        Self { bytes, large_bytes: Self::LARGE_BYTES, part_bytes: if is_worth_it { part_bytes } else { 0 } }
    }
}

/// Memory that is used again: pages of fresh memory cost as much as filling them. It comes from the system and not from the allocator
/// ([`pages`]).
#[derive(Default)]
pub(crate) struct Buffer(Option<MmapMut>);

impl Buffer {
    /// Room for so many bytes, with any content; `None` where there is no memory. Grows by more than is needed, to grow seldom, but not
    /// beyond `at_most` for that.
    pub(crate) fn room(&mut self, bytes: usize, at_most: usize) -> Option<&mut [u8]> {
        if self.held() < bytes {
            let length = bytes.saturating_add(bytes / 4).min(at_most).max(bytes);
            // Freed first: nothing in it is wanted, and both at once would be beyond the budget.
            self.release();
            self.0 = Some(pages::fresh(length)?);
        }
        match &mut self.0 {
            Some(memory) => memory.get_mut(..bytes),
            None => Some(&mut []),
        }
    }

    /// The first bytes, as they were filled.
    pub(crate) fn filled(&self, bytes: usize) -> &[u8] {
        self.0.as_deref().and_then(|memory| memory.get(..bytes)).unwrap_or_default()
    }

    pub(crate) fn held(&self) -> usize {
        self.0.as_deref().map_or(0, <[u8]>::len)
    }

    pub(crate) fn release(&mut self) {
        self.0 = None;
    }
}

/// Buffers of one thread.
pub(crate) struct Buffers {
    budget: Budget,
    /// Bytes that the archive at hand takes of the budget.
    archive_bytes: usize,
    /// A member as it stands in a file that is not in memory.
    compressed: Buffer,
    inflated: Buffer,
    decompressor: Decompressor,
    chunk: Vec<u8>,
}

impl Buffers {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            archive_bytes: 0,
            compressed: Buffer::default(),
            inflated: Buffer::default(),
            decompressor: Decompressor::new(),
            chunk: vec![0; PIECE_BYTES],
        }
    }

    pub(crate) fn budget(&self) -> Budget {
        self.budget
    }

    /// An archive comes, of which so many bytes are held elsewhere; makes room for it.
    pub(crate) fn begin(&mut self, archive_bytes: usize) {
        self.archive_bytes = archive_bytes;
        if archive_bytes > 0 {
            self.compressed.release();
        }
        if archive_bytes.saturating_add(self.inflated.held()) > self.budget.bytes {
            self.inflated.release();
        }
    }

    /// Inflates a member of known length whole; `None` where it does not fit or is not as declared.
    pub(super) fn inflate<'a>(&'a mut self, data: &'a [u8], declared: &Declared) -> Option<&'a [u8]> {
        let left = self.left_for(data.len() as u64, declared.bytes, self.archive_bytes)?;
        inflate(&mut self.decompressor, &mut self.inflated, left, data, declared)
    }

    /// The same for a member in a file that is not in memory: `data_bytes` of it, at `data_start`.
    pub(super) fn read_and_inflate(
        &mut self,
        file: &mut (impl Read + Seek),
        data_start: u64,
        data_bytes: u64,
        declared: &Declared,
    ) -> Option<&[u8]> {
        let data_length = usize::try_from(data_bytes).ok()?;
        self.left_for(data_bytes, declared.bytes, self.archive_bytes.saturating_add(data_length))?;
        self.compressed.room(data_length, self.budget.bytes / 8)?;
        let left =
            self.left_for(data_bytes, declared.bytes, self.archive_bytes.saturating_add(self.compressed.held()))?;
        if self.inflated.held() > left {
            self.inflated.release();
        }
        let data = self.compressed.room(data_length, 0)?;
        file.seek(SeekFrom::Start(data_start)).ok()?;
        file.read_exact(data).ok()?;
        inflate(&mut self.decompressor, &mut self.inflated, left, data, declared)
    }

    /// Inflates all of a gzip file that is one gzip member; `None` where it is not, or not sound.
    pub(super) fn gunzip(&mut self, file: &[u8]) -> Option<&[u8]> {
        let (_, length) = file.split_last_chunk::<4>()?;
        let declared = u32::from_le_bytes(*length);
        // A gzip member ends in its length, and libdeflate does not tell where that was. Where these bytes stand at the end of the file
        // only, it was there. (Else, one time in thousands by chance, the stream finds out.)
        (memchr::memmem::find(file, length)? + length.len() == file.len()).then_some(())?;
        let left = self.left_for(file.len() as u64, u64::from(declared), self.archive_bytes)?;
        let out = self.inflated.room(usize::try_from(declared).ok()?, left)?;
        let bytes = self.decompressor.gzip_decompress(file, out).ok()?;
        (bytes == out.len()).then_some(out)
    }

    /// Bytes of the budget that are left for inflating a member, beside those held; `None` where it does not fit, or cannot be true.
    fn left_for(&self, data_bytes: u64, inflated_bytes: u64, held: usize) -> Option<usize> {
        let left = self.budget.bytes.checked_sub(held)?;
        (inflated_bytes <= left as u64 && inflated_bytes / RATIO_MAX <= data_bytes).then_some(left)
    }

    /// Calls `visit` with content that is read as a stream, of some `expected_bytes`: a guess that only decides about a second thread.
    pub(super) fn stream<T>(
        &mut self,
        reader: &mut (dyn Read + Send),
        expected_bytes: u64,
        visit: impl FnOnce(&mut dyn Content) -> T,
    ) -> T {
        if expected_bytes >= self.budget.large_bytes {
            return read_ahead(&mut ReadPieces(reader), visit);
        }
        visit(&mut Streamed { reader, chunk: &mut self.chunk })
    }

    /// Whether a member of so many bytes, which does not fit, is to be inflated in parts.
    pub(super) fn wants_parts(&self, declared_bytes: u64) -> bool {
        self.budget.part_bytes > 0 && declared_bytes >= self.budget.large_bytes
    }

    /// Calls `visit` with the content of `data`, inflated in parts by a second thread; and with that of `stream`, the same read as a
    /// stream, where that cannot be.
    pub(super) fn in_parts<T>(
        &mut self,
        data: impl Read + Send,
        stream: impl Read + Send,
        declared: (u64, u32),
        visit: impl FnOnce(&mut dyn Content) -> T,
    ) -> T {
        // Members that fit are inflated elsewhere, and this one has the room.
        self.inflated.release();
        self.compressed.release();
        let parts = Parts::new(data, self.budget.part_bytes);
        read_ahead(&mut Proven::new(parts, stream, declared), visit)
    }

    /// Reads what was left of a stream; tells whether that was its end. See [`Watched::skip_rest`].
    pub(super) fn skip_rest(&mut self, reader: &mut Watched<impl Read>, admits: impl Fn(u64) -> bool) -> bool {
        reader.skip_rest(&mut self.chunk, admits)
    }
}

/// What the container says about a member.
pub(super) struct Declared {
    pub(super) is_deflated: bool,
    pub(super) bytes: u64,
}

fn inflate<'a>(
    decompressor: &mut Decompressor,
    inflated: &'a mut Buffer,
    left: usize,
    data: &'a [u8],
    declared: &Declared,
) -> Option<&'a [u8]> {
    let bytes = usize::try_from(declared.bytes).ok()?;
    let content = if declared.is_deflated {
        let out = inflated.room(bytes, left)?;
        let count = decompressor.deflate_decompress(data, out).ok()?;
        out.get(..count)?
    } else {
        data
    };
    (content.len() == bytes).then_some(content)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder};

    use super::*;

    const TEXT: &[u8] = b"a text that is a text and repeats what it says, says what it says";

    fn buffers(bytes: usize) -> Buffers {
        Buffers::new(Budget { bytes, large_bytes: u64::MAX, part_bytes: 0 })
    }

    fn deflated() -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(TEXT).unwrap();
        encoder.finish().unwrap()
    }

    fn gzipped(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_a_thread_may_hold_follows_from_memory_and_threads() {
        let cases = [
            // Memory in MiB, threads: MiB held, MiB of a part.
            (512, 1, 96, 4),
            (512, 2, 96, 4),
            (512, 8, 30, 3),
            (128, 2, 24, 3),
            (96, 2, 16, 2),
            (94, 2, 15, 0),
            (64, 1, 16, 2),
            (32, 1, 8, 0),
            (0, 2, 0, 0),
        ];
        for (memory, threads, bytes, part_bytes) in cases {
            let budget = Budget::of(memory << 20, threads);
            assert_eq!((budget.bytes >> 20, budget.part_bytes >> 20), (bytes, part_bytes), "{memory} {threads}");
            assert!(Budget::PARTS * budget.part_bytes <= budget.bytes, "{memory} {threads}");
        }
    }

    #[test]
    fn a_buffer_has_room_or_none() {
        let mut buffer = Buffer::default();
        for (bytes, at_most, held) in [
            (0, 0, Some(0)),
            (100, 110, Some(110)),
            (110, 110, Some(110)),
            (200, 1000, Some(250)),
            // No machine has that; what was held before was given up for it.
            (isize::MAX as usize, usize::MAX, None),
            (3, 3, Some(3)),
        ] {
            assert_eq!(buffer.room(bytes, at_most).map(|room| room.len()), held.map(|_| bytes), "{bytes}");
            assert_eq!(buffer.held(), held.unwrap_or_default(), "{bytes}");
        }
        buffer.release();
        assert_eq!((buffer.held(), buffer.filled(0), buffer.filled(1)), (0, &[][..], &[][..]));
    }

    #[test]
    fn a_member_is_inflated_whole_where_it_is_as_declared_and_fits() {
        let bytes = TEXT.len() as u64;
        let cases = [
            // Budget, declared length: whether it is taken.
            (1 << 20, bytes, true),
            (TEXT.len(), bytes, true),
            (TEXT.len() - 1, bytes, false),
            (1 << 20, bytes - 1, false),
            (1 << 20, bytes + 1, false),
            (1 << 20, 0, false),
            (usize::MAX, u64::MAX, false),
        ];
        for (budget, bytes, is_taken) in cases {
            for (is_deflated, data) in [(true, deflated()), (false, TEXT.to_vec())] {
                let declared = Declared { is_deflated, bytes };
                let case = format!("{budget} {bytes} {is_deflated}");
                let expected = is_taken.then_some(TEXT);
                assert_eq!(buffers(budget).inflate(&data, &declared), expected, "in memory: {case}");
                let mut file = Cursor::new([b"front", data.as_slice()].concat());
                // Here the data is held, too.
                let mut with_data = buffers(budget.saturating_add(data.len()));
                let found = with_data.read_and_inflate(&mut file, 5, data.len() as u64, &declared);
                assert_eq!(found, expected, "in a file: {case}");
            }
        }
    }

    #[test]
    fn a_gzip_file_is_inflated_whole_where_it_is_one_member() {
        let (one, length) = (gzipped(TEXT), gzipped(TEXT).len());
        let cases = [
            ("one", one.clone(), true),
            ("twice the same", one.repeat(2), false),
            ("two", [gzipped(b"x"), one.clone()].concat(), false),
            ("trailing bytes", [&one, b"trailing".as_slice()].concat(), false),
            ("a copy of its end behind it", [one.as_slice(), &one[length - 8..]].concat(), false),
            ("cut", one[..length - 1].to_vec(), false),
            ("three bytes", one[..3].to_vec(), false),
            ("no bytes", Vec::new(), false),
        ];
        for (name, file, is_taken) in cases {
            assert_eq!(buffers(1 << 20).gunzip(&file), is_taken.then_some(TEXT), "{name}");
        }
        assert_eq!(buffers(TEXT.len() - 1).gunzip(&one), None, "does not fit");
    }

    #[test]
    fn buffers_together_keep_to_the_budget() {
        let budget = 1000;
        let mut buffers = buffers(budget);
        let declared = |bytes| Declared { is_deflated: true, bytes };
        for (archive, data, inflated) in [(0, 100, 900), (0, 800, 200), (900, 10, 100), (10, 10, 990), (0, 500, 500)] {
            buffers.begin(archive);
            let data_bytes = vec![0; data];
            if archive == 0 {
                let mut file = Cursor::new(data_bytes);
                let _ = buffers.read_and_inflate(&mut file, 0, data as u64, &declared(inflated));
            } else {
                let _ = buffers.inflate(&data_bytes, &declared(inflated));
            }
            let held = archive + buffers.compressed.held() + buffers.inflated.held();
            assert!(held <= budget, "{archive} {data} {inflated}: {held}");
        }
    }
}
