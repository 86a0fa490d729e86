//! What a thread reads members with: buffers that are used again, and libdeflate, within a budget.
//!
//! libdeflate is a third faster than reading a stream, but inflates whole members only, into a buffer that is large enough. So that is
//! what is done with a member that is not long. A long one is inflated in parts: memory that was not touched yet can cost more than
//! all that is then done in it, where a virtual machine has to get it first. Whatever is odd about a member is left to the stream, which
//! tells what it is and how far it got.

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use libdeflater::Decompressor;

use super::ahead::{FreeCores, ReadPieces, read};
use super::content::{Content, PIECE_BYTES, Streamed, Watched};
use super::parts::{Odd, Parts, PartsRoom};
use super::proven::{PARTS_AHEAD, PARTS_IN_TURN, Proven, Sum};
use super::zip_layout::may_end_early;
use crate::pages::Buffer;

/// DEFLATE cannot inflate further than this: what declares more is wrong.
const RATIO_MAX: u64 = 1032;

/// How much a thread may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Bytes of a file and of a member inflated from it, together.
    pub(crate) bytes: usize,
    /// Inflated bytes from which on a member is long: inflated in parts, if it can be, else whole where that fits, else as a stream; in
    /// parts and as a stream by a second thread where a core is free.
    pub(crate) large_bytes: u64,
    /// Bytes of text of a part at most; 0 where there is no room for parts.
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

/// Buffers of one thread.
pub(crate) struct Buffers {
    budget: Budget,
    /// Cores that long members may be inflated on.
    cores: Arc<FreeCores>,
    /// Bytes that the archive at hand takes of the budget.
    archive_bytes: usize,
    /// A member as it stands in a file that is not in memory.
    compressed: Buffer,
    inflated: Buffer,
    /// For members in parts.
    parts: PartsRoom,
    decompressor: Decompressor,
    chunk: Vec<u8>,
}

impl Buffers {
    /// Long members are inflated ahead of the thread that decodes them where one of `cores` is free.
    pub(crate) fn new(budget: Budget, cores: Arc<FreeCores>) -> Self {
        Self {
            budget,
            cores,
            archive_bytes: 0,
            compressed: Buffer::default(),
            inflated: Buffer::default(),
            parts: PartsRoom::default(),
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
        if archive_bytes.saturating_add(self.inflated.held() + self.parts.held()) > self.budget.bytes {
            self.inflated.release();
            self.parts = PartsRoom::default();
        }
    }

    /// Inflates a member of known length whole; `None` where it does not fit, is not as declared, or may end before its data does.
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

    /// Bytes of the budget that are left for inflating a member, beside those held; `None` where it does not fit, or cannot be true. The room
    /// for parts is given up where it is in the way.
    fn left_for(&mut self, data_bytes: u64, inflated_bytes: u64, held: usize) -> Option<usize> {
        let fits = |left: &usize| inflated_bytes <= *left as u64 && inflated_bytes / RATIO_MAX <= data_bytes;
        let left = self.budget.bytes.checked_sub(held).filter(fits)?;
        let beside_parts = left.checked_sub(self.parts.held()).filter(fits);
        if beside_parts.is_none() {
            self.parts = PartsRoom::default();
        }
        Some(beside_parts.unwrap_or(left))
    }

    /// Calls `visit` with content that is read as a stream, of some `expected_bytes`: a guess that only decides about a second thread.
    pub(super) fn stream<T>(
        &mut self,
        reader: &mut (dyn Read + Send),
        expected_bytes: u64,
        visit: impl FnOnce(&mut dyn Content) -> T,
    ) -> T {
        if expected_bytes >= self.budget.large_bytes {
            return read(&mut ReadPieces(reader), Some(&self.cores), visit).0;
        }
        visit(&mut Streamed { reader, chunk: &mut self.chunk })
    }

    /// Whether a member of so many bytes is to be inflated in parts, if it can be.
    pub(super) fn wants_parts(&self, declared_bytes: u64) -> bool {
        self.budget.part_bytes > 0 && declared_bytes >= self.budget.large_bytes
    }

    /// Begins to inflate the data of a member in parts; `None` where it cannot be had in parts. `may_end_early`: as in
    /// [`Parts::new`].
    pub(super) fn parts<R: Read>(&mut self, data: R, may_end_early: fn(&[u8]) -> bool) -> Option<Parts<R>> {
        if !self.has_room_for(PARTS_IN_TURN) {
            self.compressed.release();
            self.inflated.release();
        }
        let mut parts = Parts::new(data, may_end_early, self.budget.part_bytes, std::mem::take(&mut self.parts));
        match parts.start() {
            Ok(()) => Some(parts),
            Err(Odd) => {
                self.parts = parts.room;
                None
            }
        }
    }

    /// Whether so many parts may be in use beside what is held.
    fn has_room_for(&self, parts: usize) -> bool {
        let beside = self.archive_bytes + self.compressed.held() + self.inflated.held();
        beside + PartsRoom::bytes_for(self.budget.part_bytes, parts) <= self.budget.bytes
    }

    /// Calls `visit` with the content of a member in `parts`; and with that of `stream`, the same read as a stream, where parts turn out
    /// not to be as declared. Tells whether all parts were inflated and are.
    pub(super) fn in_parts<T>(
        &mut self,
        parts: Parts<impl Read + Send>,
        stream: impl Read + Send,
        declared: Sum,
        visit: impl FnOnce(&mut dyn Content) -> T,
    ) -> (T, bool) {
        let mut proven = Proven::new(parts, stream, declared);
        let cores = self.has_room_for(PARTS_AHEAD).then_some(self.cores.as_ref());
        let (outcome, buffer) = read(&mut proven, cores, visit);
        let is_proven = proven.is_proven();
        self.parts = proven.into_room(buffer);
        (outcome, is_proven)
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
        if may_end_early(data) {
            return None;
        }
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
        Buffers::new(Budget { bytes, large_bytes: u64::MAX, part_bytes: 0 }, Arc::default())
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

    #[test]
    fn the_room_for_parts_is_kept_where_the_budget_has_room_for_it() {
        const PART_BYTES: usize = 600 << 10;
        let room = PartsRoom::bytes_for(PART_BYTES, PARTS_IN_TURN);
        let text =
            (0..100_000).map(|number: u32| format!("{:x} ", number.wrapping_mul(0x9e37_79b1))).collect::<String>();
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        let data = encoder.finish().unwrap();
        let declared = Sum::of(text.len() as u64, libdeflater::crc32(text.as_bytes()));
        let left = 5000 + text.len();
        let budget = room + left;
        let mut buffers =
            Buffers::new(Budget { bytes: budget, large_bytes: 0, part_bytes: PART_BYTES }, Arc::default());
        let held = |buffers: &Buffers| buffers.archive_bytes + buffers.inflated.held() + buffers.parts.held();
        // Bytes of the archive, and of a member beside it that is inflated whole: whether the room for parts is kept meanwhile.
        for (archive, whole, is_kept) in
            [(0, 5000, true), (5000, 100, true), (4000, left - 3000, false), (0, budget, false), (left / 2, 3000, true)]
        {
            buffers.begin(archive);
            let parts = buffers.parts(data.as_slice(), |_| true).unwrap();
            let mut found = Vec::new();
            buffers.in_parts(parts, std::io::empty(), declared, |content| {
                while let Ok(piece @ [_, ..]) = content.piece() {
                    found.extend_from_slice(piece);
                }
            });
            assert!(found == text.as_bytes(), "{archive} {whole}");
            assert_eq!(buffers.parts.held(), room, "{archive} {whole}");
            assert!(held(&buffers) <= budget, "{archive} {whole}");
            let _ = buffers.inflate(&vec![0; whole], &Declared { is_deflated: true, bytes: whole as u64 });
            assert_eq!(buffers.parts.held(), if is_kept { room } else { 0 }, "{archive} {whole}");
            assert!(held(&buffers) <= budget, "{archive} {whole}");
        }
    }
}
