//! The staging area: what was decoded, on disk until its archive's place and its duplicates are known.
//!
//! Order and duplicates can only be settled when the time span of every archive is known, and that takes decoding them all. So each
//! worker appends what it decodes to a file of its own: a block per record batch (Arrow IPC) and, in a second file, time and identity
//! of each record, which is all that the duplicate check reads. Memory holds only where each block lies.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use keytrail_model::record::{Identifier, RecordColumns};
use keytrail_model::time::Month;

use crate::error::IngestError;

/// Bytes of one entry of an identities file: time (8), identity (16), little-endian.
const IDENTITY_BYTES: usize = 24;

/// Where a block of a staging file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    file: u32,
    offset: u64,
    bytes: u64,
}

/// A staged batch of records: rows of one member, in order.
#[derive(Debug, Clone)]
pub(crate) struct StagedBatch {
    /// The rows, in the decoder's schema.
    pub(crate) block: Block,
    /// Their identities.
    identities: Block,
    /// Position of the first row among all rows of its archive.
    pub(crate) first_row: u64,
    /// Rows.
    pub(crate) rows: u32,
    /// Index of the member in the archive's list.
    pub(crate) member: u32,
    /// Earliest and latest time.
    pub(crate) times: (i64, i64),
    /// Rows by month, in the order in which the months first occur.
    pub(crate) months: Vec<(Month, u32)>,
}

/// Time and identity of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) time: i64,
    pub(crate) id: u128,
}

/// The staging files of one worker. They belong to one thread at a time.
pub(crate) struct StagingWriter {
    number: u32,
    blocks: AppendFile,
    identities: AppendFile,
    identifier: Identifier,
    scratch: Vec<u8>,
}

struct AppendFile {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl AppendFile {
    fn create(path: PathBuf) -> Result<Self, IngestError> {
        let file = File::create_new(&path).map_err(IngestError::io("creating", &path))?;
        Ok(Self { file, path, bytes: 0 })
    }

    /// Appends bytes and tells where they start.
    fn append(&mut self, bytes: &[u8]) -> Result<u64, IngestError> {
        self.file.write_all(bytes).map_err(IngestError::io("writing", &self.path))?;
        let offset = self.bytes;
        self.bytes += bytes.len() as u64;
        Ok(offset)
    }
}

fn blocks_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:04}.blocks"))
}

fn identities_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:04}.identities"))
}

impl StagingWriter {
    /// Makes the files of worker `number`. Identities of one run share a seed.
    pub(crate) fn create(folder: &Path, number: u32, seed: u64) -> Result<Self, IngestError> {
        Ok(Self {
            number,
            blocks: AppendFile::create(blocks_path(folder, number))?,
            identities: AppendFile::create(identities_path(folder, number))?,
            identifier: Identifier::with_seed(seed),
            scratch: Vec::new(),
        })
    }

    /// Stages a batch without its identities: rejects are never compared.
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<Block, IngestError> {
        self.scratch.clear();
        let mut writer = StreamWriter::try_new(&mut self.scratch, &batch.schema())?;
        writer.write(batch)?;
        writer.finish()?;
        drop(writer);
        let offset = self.blocks.append(&self.scratch)?;
        Ok(Block { file: self.number, offset, bytes: self.scratch.len() as u64 })
    }

    /// Stages records of a member.
    pub(crate) fn append_records(
        &mut self,
        batch: &RecordBatch,
        member: u32,
        first_row: u64,
    ) -> Result<StagedBatch, IngestError> {
        let block = self.append(batch)?;
        let columns = RecordColumns::of(batch)?;
        let identities = self.append_identities(&columns, |_| true)?;
        let times = columns.times();
        let earliest = times.iter().copied().min().unwrap_or_default();
        let latest = times.iter().copied().max().unwrap_or_default();
        let rows = u32::try_from(times.len()).unwrap_or(u32::MAX);
        Ok(StagedBatch {
            block,
            identities,
            first_row,
            rows,
            member,
            times: (earliest, latest),
            months: count_months(times),
        })
    }

    fn append_identities(
        &mut self,
        columns: &RecordColumns<'_>,
        wanted: impl Fn(i64) -> bool,
    ) -> Result<Block, IngestError> {
        self.scratch.clear();
        let indices = columns.times().iter().enumerate().filter(|(_, time)| wanted(**time));
        for (index, _) in indices {
            if let Some(row) = columns.row(index) {
                let id = self.identifier.identity(&row);
                self.scratch.extend_from_slice(&row.time.to_le_bytes());
                self.scratch.extend_from_slice(&id.to_le_bytes());
            }
        }
        let offset = self.identities.append(&self.scratch)?;
        Ok(Block { file: self.number, offset, bytes: self.scratch.len() as u64 })
    }

    /// Stages identities alone: of rows that the store holds already, those at the times wanted.
    pub(crate) fn append_stored(
        &mut self,
        batch: &RecordBatch,
        wanted: impl Fn(i64) -> bool,
    ) -> Result<StoredIdentities, IngestError> {
        let block = self.append_identities(&RecordColumns::of(batch)?, wanted)?;
        Ok(StoredIdentities { block })
    }
}

/// Identities of rows of the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredIdentities {
    block: Block,
}

impl StoredIdentities {
    pub(crate) fn rows(&self) -> u64 {
        self.block.bytes / IDENTITY_BYTES as u64
    }
}

fn count_months(times: &[i64]) -> Vec<(Month, u32)> {
    let mut months: Vec<(Month, u32)> = Vec::new();
    // Records come nearly in order of time: the month of the last one is the first guess.
    let mut current: Option<(Month, (i64, i64))> = None;
    for &time in times {
        let month = match current {
            Some((month, (from, until))) if (from..until).contains(&time) => month,
            _ => match Month::of(time) {
                Some(month) => month,
                None => continue,
            },
        };
        if current.is_none_or(|(known, _)| known != month) {
            current = Some((month, month.bounds()));
        }
        match months.iter_mut().find(|(known, _)| *known == month) {
            Some((_, count)) => *count += 1,
            None => months.push((month, 1)),
        }
    }
    months
}

/// Reads staged blocks. Each thread has its own.
pub(crate) struct StagingReader {
    folder: PathBuf,
    blocks: Vec<Option<File>>,
    identities: Vec<Option<File>>,
    scratch: Vec<u8>,
}

impl StagingReader {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), blocks: Vec::new(), identities: Vec::new(), scratch: Vec::new() }
    }

    /// The batch of a block.
    pub(crate) fn batch(&mut self, block: Block) -> Result<RecordBatch, IngestError> {
        let path = blocks_path(&self.folder, block.file);
        read_block(&mut self.blocks, &path, block, &mut self.scratch)?;
        let mut reader = StreamReader::try_new(Cursor::new(&self.scratch), None)?;
        let batch = reader.next().transpose()?;
        batch.ok_or_else(|| IngestError::io("reading", &path)(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Calls `each` with the position and the identity of every record of a staged batch.
    pub(crate) fn identities(
        &mut self,
        batch: &StagedBatch,
        each: impl FnMut(u64, Identity),
    ) -> Result<(), IngestError> {
        self.each_identity(batch.identities, each)
    }

    /// The same for rows of the store.
    pub(crate) fn stored_identities(
        &mut self,
        stored: StoredIdentities,
        each: impl FnMut(u64, Identity),
    ) -> Result<(), IngestError> {
        self.each_identity(stored.block, each)
    }

    fn each_identity(&mut self, block: Block, mut each: impl FnMut(u64, Identity)) -> Result<(), IngestError> {
        let path = identities_path(&self.folder, block.file);
        read_block(&mut self.identities, &path, block, &mut self.scratch)?;
        let (entries, _) = self.scratch.as_chunks::<IDENTITY_BYTES>();
        for (position, entry) in (0..).zip(entries) {
            let (time, id) = entry.split_at(8);
            let time = i64::from_le_bytes(time.try_into().unwrap_or_default());
            let id = u128::from_le_bytes(id.try_into().unwrap_or_default());
            each(position, Identity { time, id });
        }
        Ok(())
    }
}

fn read_block(
    files: &mut Vec<Option<File>>,
    path: &Path,
    block: Block,
    scratch: &mut Vec<u8>,
) -> Result<(), IngestError> {
    let failed = |source| IngestError::io("reading", path)(source);
    let index = block.file as usize;
    if files.len() <= index {
        files.resize_with(index + 1, || None);
    }
    let slot = files.get_mut(index).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let file = match slot {
        Some(file) => file,
        None => slot.insert(File::open(path).map_err(failed)?),
    };
    file.seek(SeekFrom::Start(block.offset)).map_err(failed)?;
    scratch.resize(usize::try_from(block.bytes).unwrap_or(usize::MAX), 0);
    file.read_exact(scratch).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_of_a_batch() {
        let time = |text: &str| keytrail_model::time::parse(text).unwrap().micros;
        let times = [
            time("2026-01-31 23:59:59.999999 UTC"),
            time("2026-02-01 00:00:00 UTC"),
            time("2026-01-31 23:59:59 UTC"),
            time("2026-03-01 00:00:00 UTC"),
        ];
        let months: Vec<(String, u32)> = count_months(&times).iter().map(|(m, n)| (m.to_string(), *n)).collect();
        assert_eq!(months, [("2026-01".to_owned(), 2), ("2026-02".to_owned(), 1), ("2026-03".to_owned(), 1)]);
    }
}
