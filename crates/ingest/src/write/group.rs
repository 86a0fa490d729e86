//! Encodes the columns of a row group from its staged blocks.

use std::cmp::Reverse;
use std::sync::Mutex;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use bytes::Bytes;
use keytrail_model::schema;
use keytrail_store::{ChunkMemory, ColumnEncoder, EncodedColumn};
use rayon::prelude::*;

use super::{RowSource, RowsWritten};
use crate::error::IngestError;
use crate::plan::{PlannedBlock, PlannedGroup};
use crate::staging::{BlockView, Place, StagedColumn};

/// Staged bytes that are looked at at once: the columns walk the same blocks together, a portion at a time, while the next one is read.
const PORTION_BYTES: usize = 4 << 20;

/// Encodes row groups, one after the other, in memory that is used again.
pub(super) struct GroupEncoder<'a> {
    source: &'a RowSource<'a>,
    written: &'a RowsWritten,
    threads: usize,
    memory: GroupMemory,
}

/// What row groups are encoded in, one after the other.
#[derive(Default)]
pub(crate) struct GroupMemory {
    /// Buffers of portions that are done.
    spare: Vec<Vec<u8>>,
    /// By column.
    chunks: Vec<ChunkMemory>,
}

/// A column on its way.
struct Column {
    values: Values,
    encoder: ColumnEncoder,
    /// Staged bytes of the portion at hand: how long it will take, roughly.
    bytes: usize,
}

/// Where the values of a column come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// The archive's hash.
    Archive,
    /// The member's name.
    Member,
    /// A column of the block, by its place in [`schema::decoded_schema`].
    Staged(usize),
}

/// The place of `time`, by which rows are counted.
const TIME: Values = Values::Staged(0);

/// Blocks that are in memory together.
struct Portion<'a> {
    planned: &'a [PlannedBlock<'a>],
    blocks: Vec<Loaded<'a>>,
    /// What those share that were read from files.
    bytes: Bytes,
}

/// A block in memory.
struct Loaded<'a> {
    planned: PlannedBlock<'a>,
    view: BlockView,
    /// Which rows to take, where it is not all of them.
    kept: Option<BooleanArray>,
}

impl<'a> GroupEncoder<'a> {
    /// `threads` encode columns side by side.
    pub(super) fn new(source: &'a RowSource<'a>, written: &'a RowsWritten, threads: usize) -> Self {
        Self::within(source, written, threads, GroupMemory::default())
    }

    /// The same, in memory that was used before.
    pub(super) fn within(
        source: &'a RowSource<'a>,
        written: &'a RowsWritten,
        threads: usize,
        memory: GroupMemory,
    ) -> Self {
        Self { source, written, threads, memory }
    }

    /// The memory, for others to use.
    pub(super) fn into_memory(self) -> GroupMemory {
        self.memory
    }

    /// All columns of [`schema::events_file_schema`], with the rows of the blocks that are no duplicates.
    pub(super) fn encode(&mut self, group: &PlannedGroup<'_>) -> Result<Vec<EncodedColumn>, IngestError> {
        let mut columns = columns()?;
        // Plain texts are most of it.
        let bytes = usize::try_from(group.bytes).unwrap_or_default();
        let chunks = &mut self.memory.chunks;
        chunks.resize_with(columns.len(), ChunkMemory::default);
        columns.iter_mut().zip(&*chunks).for_each(|(column, memory)| column.encoder.reserve(bytes, memory));
        let last = self.push_blocks(&mut columns, &group.blocks)?;
        let encoders: Vec<_> = columns.into_iter().map(|column| column.encoder).collect();
        let (encoded, ()) = self.both(|| self.finish(encoders), || self.give_up(last));
        encoded
    }

    /// Pushes blocks, a portion at a time, and gives up all but the last one, which is told. While a portion is encoded, the one before it
    /// is given up and the next one is read; with little memory no more than one is held.
    fn push_blocks<'b>(
        &mut self,
        columns: &mut [Column],
        blocks: &'b [PlannedBlock<'b>],
    ) -> Result<&'b [PlannedBlock<'b>], IngestError> {
        let mut rest = blocks;
        let mut used: &[PlannedBlock<'_>] = &[];
        let mut portion = self.load_next(&mut rest)?;
        while !portion.planned.is_empty() {
            let planned = portion.planned;
            if self.source.has_little_memory() {
                self.give_up(used);
                self.push_portion(columns, &portion)?;
                self.keep(portion);
                portion = self.load_next(&mut rest)?;
            } else {
                let next = next_portion(&mut rest);
                let buffer = self.buffer_for(next);
                let encoder = &*self;
                let (pushed, loaded) = encoder.both(
                    || encoder.push_portion(columns, &portion),
                    || {
                        encoder.give_up(used);
                        encoder.load(next, buffer)
                    },
                );
                pushed?;
                let done = std::mem::replace(&mut portion, loaded?);
                self.keep(done);
            }
            used = planned;
        }
        Ok(used)
    }

    /// The next portion of the blocks; an empty one where there are no more.
    fn load_next<'b>(&mut self, rest: &mut &'b [PlannedBlock<'b>]) -> Result<Portion<'b>, IngestError> {
        let next = next_portion(rest);
        let buffer = self.buffer_for(next);
        self.load(next, buffer)
    }

    fn push_portion(&self, columns: &mut [Column], portion: &Portion<'_>) -> Result<(), IngestError> {
        for column in columns.iter_mut() {
            column.bytes = portion.blocks.iter().map(|block| column.values.bytes(block)).sum();
        }
        self.on_each(columns, |column| self.push(column, &portion.blocks))
    }

    fn finish(&self, encoders: Vec<ColumnEncoder>) -> Result<Vec<EncodedColumn>, IngestError> {
        let encoded: Result<Vec<_>, _> = match self.threads {
            1 => encoders.into_iter().map(ColumnEncoder::finish).collect(),
            _ => encoders.into_par_iter().with_max_len(1).map(ColumnEncoder::finish).collect(),
        };
        Ok(encoded?)
    }

    /// Does one thing, and another beside it where there are threads.
    fn both<A: Send, B: Send>(&self, first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B + Send) -> (A, B) {
        match self.threads {
            1 => (first(), second()),
            _ => rayon::join(first, second),
        }
    }

    /// A buffer to read a portion into. None of those kept where there is nothing to read.
    fn buffer_for(&mut self, portion: &[PlannedBlock<'_>]) -> Vec<u8> {
        if portion.is_empty() { Vec::new() } else { self.memory.spare.pop().unwrap_or_default() }
    }

    /// Keeps the buffer of a portion for the next one.
    fn keep(&mut self, portion: Portion<'_>) {
        drop(portion.blocks);
        // Nothing shares the bytes now: no copy is made.
        let mut buffer = Vec::from(portion.bytes);
        // What one huge block took is given back.
        buffer.truncate(PORTION_BYTES);
        buffer.shrink_to(PORTION_BYTES);
        self.memory.spare.push(buffer);
    }

    /// Blocks where they lie in memory, the others read into the buffer.
    fn load<'b>(&self, blocks: &'b [PlannedBlock<'b>], mut buffer: Vec<u8>) -> Result<Portion<'b>, IngestError> {
        let in_memory = blocks.iter().map(|planned| self.source.reader.in_memory(planned.block.place));
        let in_memory = in_memory.collect::<Result<Vec<_>, _>>()?;
        let in_files = || blocks.iter().zip(&in_memory).filter(|(_, memory)| memory.is_none()).map(|(block, _)| block);
        let bytes: usize = in_files().map(|planned| planned.block.place.bytes()).sum();
        // No more than that: portions are nearly as long as the buffer, which a vector would double.
        buffer.reserve_exact(bytes.saturating_sub(buffer.len()));
        buffer.resize(bytes, 0);
        let mut rest = buffer.as_mut_slice();
        let mut places = Vec::with_capacity(blocks.len());
        for planned in in_files() {
            // The buffer is as long as all of them.
            let (place, more) =
                std::mem::take(&mut rest).split_at_mut_checked(planned.block.place.bytes()).unwrap_or_default();
            places.push((planned.block.place, place));
            rest = more;
        }
        let read = |(place, bytes): (Place, &mut [u8])| self.source.reader.read(place, bytes);
        match self.threads {
            1 => places.into_iter().try_for_each(read)?,
            _ => places.into_par_iter().try_for_each(read)?,
        }
        let all = Bytes::from(buffer);
        let mut rest = all.clone();
        let views = blocks.iter().zip(in_memory).map(|(&planned, memory)| {
            let bytes = memory.unwrap_or_else(|| rest.split_to(planned.block.place.bytes().min(rest.len())));
            Ok(Loaded { planned, view: BlockView::new(bytes)?, kept: self.kept(planned) })
        });
        Ok(Portion { planned: blocks, blocks: views.collect::<Result<_, IngestError>>()?, bytes: all })
    }

    /// What is staged of these blocks is not needed any longer.
    fn give_up(&self, blocks: &[PlannedBlock<'_>]) {
        let give_up = |planned: &PlannedBlock<'_>| self.source.reader.was_used(planned.block.place);
        match self.threads {
            1 => blocks.iter().for_each(give_up),
            _ => blocks.par_iter().for_each(give_up),
        }
    }

    /// Which rows of a block are no duplicates; `None` where all are.
    fn kept(&self, planned: PlannedBlock<'_>) -> Option<BooleanArray> {
        let duplicates = self.source.duplicates;
        let rows = planned.block.positions();
        (duplicates.count(planned.archive, rows.clone()) > 0)
            .then(|| rows.map(|row| !duplicates.contains(planned.archive, row)).collect::<Vec<_>>().into())
    }

    /// Does something to each column, on all threads, those that take longest first.
    fn on_each(
        &self,
        columns: &mut [Column],
        work: impl Fn(&mut Column) -> Result<(), IngestError> + Sync,
    ) -> Result<(), IngestError> {
        if self.threads == 1 {
            return columns.iter_mut().try_for_each(work);
        }
        let mut queue: Vec<&mut Column> = columns.iter_mut().collect();
        queue.sort_by_key(|column| Reverse(column.bytes));
        let threads = self.threads.min(queue.len());
        let queue = Mutex::new(queue.into_iter());
        let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
        (0..threads).into_par_iter().with_max_len(1).try_for_each(|_| {
            while let Some(column) = next() {
                work(column)?;
            }
            Ok(())
        })
    }

    fn push(&self, column: &mut Column, blocks: &[Loaded<'_>]) -> Result<(), IngestError> {
        for block in blocks {
            match column.values {
                Values::Archive => column.encoder.push_constant(block.planned.sha256, block.rows())?,
                Values::Member => column.encoder.push_constant(block.planned.member, block.rows())?,
                Values::Staged(place) => match block.column(place)? {
                    StagedColumn::Page(page) => column.encoder.push_page(page)?,
                    StagedColumn::Texts(texts) => column.encoder.push_texts(&texts)?,
                    StagedColumn::Coded(texts) => column.encoder.push_coded(&texts)?,
                    StagedColumn::Keys(keys) => column.encoder.push_keys(&keys)?,
                    StagedColumn::Array(array) => {
                        column.encoder.push(&array)?;
                        if column.values == TIME {
                            self.written.add(block.planned.archive, array.len() as u64);
                        }
                    }
                },
            }
        }
        Ok(())
    }
}

impl Loaded<'_> {
    /// Rows to take.
    fn rows(&self) -> u64 {
        self.kept.as_ref().map_or(u64::from(self.planned.block.rows), |kept| kept.true_count() as u64)
    }

    /// A staged column without the rows that are left out. Only a page with such rows is taken apart.
    fn column(&self, place: usize) -> Result<StagedColumn<'_>, IngestError> {
        let column = self.view.column(place)?;
        let Some(kept) = &self.kept else {
            return Ok(column);
        };
        let array: ArrayRef = filter(&column.into_array()?, kept)?;
        Ok(StagedColumn::Array(array))
    }
}

impl Values {
    fn bytes(self, block: &Loaded<'_>) -> usize {
        match self {
            Self::Archive | Self::Member => 0,
            Self::Staged(place) => block.view.bytes(place),
        }
    }
}

fn columns() -> Result<Vec<Column>, IngestError> {
    let staged = schema::decoded_schema();
    let file = schema::events_file_schema();
    let columns = file.fields().iter().map(|field| {
        let values = match field.name().as_str() {
            schema::ARCHIVE => Values::Archive,
            schema::MEMBER => Values::Member,
            name => Values::Staged(staged.index_of(name)?),
        };
        Ok(Column { values, encoder: ColumnEncoder::new(field.name())?, bytes: 0 })
    });
    columns.collect()
}

/// Takes the next portion from the start of the blocks; none where there are no more.
fn next_portion<'a>(blocks: &mut &'a [PlannedBlock<'a>]) -> &'a [PlannedBlock<'a>] {
    let mut bytes = 0;
    let fitting = blocks.iter().take_while(|planned| {
        bytes += planned.block.place.bytes();
        bytes <= PORTION_BYTES
    });
    let (portion, rest) = blocks.split_at_checked(fitting.count().max(1)).unwrap_or_default();
    *blocks = rest;
    portion
}
