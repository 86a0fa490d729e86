//! Columns of texts that repeat: one dictionary a row group, indices into it, and plain texts once it is full.

use std::ops::Range;

use arrow::array::{Array as _, DictionaryArray, NullBufferBuilder, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int32Type;
use keytrail_model::key::{KEY_BYTES, KEYS_AT_ONCE, Key as Digits, KeyNumbers};
use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::ColumnDescPtr;

use super::PAGE_ROWS;
use super::bits::width_of;
use super::chunk::{Bound, Chunk, DataPage, DictionaryPage, FinishedChunk};
use super::coded::{CodedTexts, Codes, KeyTexts, Place, TextList};
use super::compress::{Zstd, zstd};
use super::entries::Entries;
use super::hybrid::{put_indices, put_levels};
use super::plain::Plain;

/// An entry of an array that was not looked up yet.
const UNKNOWN: u32 = u32::MAX;

/// Places for keys, as a power of two: more than twice the keys that fit a dictionary.
const KEY_PLACES_BITS: u32 = 19;

/// What a column is allowed and asked for.
pub(super) struct Settings {
    /// Bytes of the dictionary at which plain texts take over.
    pub(super) limit: usize,
    /// Whether rows may be null.
    pub(super) nullable: bool,
    /// Part of the lookups of an absent text that the bloom filter lets through; no filter where absent.
    pub(super) false_positives: Option<f64>,
}

/// Encodes texts as indices into their dictionary.
pub(super) struct Dictionary {
    chunk: Chunk,
    settings: Settings,
    zstd: Zstd,
    entries: Entries,
    page: PageInWork,
    /// For each entry of the array at hand its number in `entries`.
    numbers: Vec<u32>,
    /// The same of keys that come as digits.
    key_numbers: KeyNumbers,
    plain: Option<Plain>,
    scratch: Vec<u8>,
}

/// Rows that are not in a page yet.
struct PageInWork {
    valid: NullBufferBuilder,
    /// Of rows that are not null.
    indices: Vec<u32>,
    /// Entries with the least and the greatest text among them.
    bounds: Option<(u32, u32)>,
}

impl Dictionary {
    pub(super) fn new(column: ColumnDescPtr, settings: Settings) -> Result<Self> {
        Ok(Self {
            chunk: Chunk::new(column, zstd(), true),
            zstd: Zstd::new()?,
            entries: Entries::new(settings.limit),
            settings,
            page: PageInWork { valid: NullBufferBuilder::new(0), indices: Vec::new(), bounds: None },
            numbers: Vec::new(),
            key_numbers: KeyNumbers::within(KEY_PLACES_BITS),
            plain: None,
            scratch: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, array: &DictionaryArray<Int32Type>, texts: &StringArray) -> Result<()> {
        // Also rows whose entry is null are null.
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        self.push_rows(array.keys().values(), nulls.as_ref(), texts)
    }

    pub(super) fn push_coded(&mut self, texts: &CodedTexts<'_>) -> Result<()> {
        let nulls = texts.nulls();
        match texts.codes() {
            Codes::Zero(rows) if nulls.is_some() => self.push_nulls(rows),
            Codes::Zero(rows) => match texts.text(0) {
                Some(text) => self.push_run(text, rows as u64),
                None if rows == 0 => Ok(()),
                None => Err(bad_key(0, texts)),
            },
            Codes::One(codes) => self.push_rows(codes, nulls.as_ref(), texts),
            Codes::Two(codes) => self.push_rows(codes, nulls.as_ref(), texts),
            Codes::Four(codes) => self.push_rows(codes, nulls.as_ref(), texts),
        }
    }

    fn push_rows<K: Place>(&mut self, keys: &[K], nulls: Option<&NullBuffer>, texts: &impl TextList) -> Result<()> {
        if let (None, 1, Some(text), Some(_)) = (nulls, texts.count(), texts.text(0), keys.first())
            && keys.iter().all(|key| key.place() == 0)
        {
            return self.push_run(text, keys.len() as u64);
        }
        let mut from = 0;
        while from < keys.len() && self.plain.is_none() {
            let rows = (keys.len() - from).min(PAGE_ROWS - self.page.valid.len());
            let piece = keys.get(from..from + rows).unwrap_or_default();
            let valid = nulls.map(|nulls| nulls.slice(from, rows));
            self.numbers.clear();
            self.numbers.resize(texts.count(), UNKNOWN);
            let taken = self.push_runs(rows, valid.as_ref(), |dictionary, run| {
                dictionary.push_codes(piece.get(run).unwrap_or_default(), texts)
            })?;
            from += taken;
            self.end_piece(taken < rows)?;
        }
        for (row, key) in keys.iter().enumerate().skip(from) {
            let is_valid = nulls.is_none_or(|nulls| nulls.is_valid(row));
            let place = key.place();
            let text = is_valid.then(|| texts.text(place).ok_or_else(|| bad_key(place, texts))).transpose()?;
            self.push_plain(text)?;
        }
        Ok(())
    }

    /// Appends keys that come as digits.
    pub(super) fn push_keys(&mut self, keys: &KeyTexts<'_>) -> Result<()> {
        let mut from = 0;
        for &(row, text) in keys.others() {
            self.push_keys_only(keys, from..row)?;
            self.push_run(text.as_bytes(), 1)?;
            from = row + 1;
        }
        self.push_keys_only(keys, from..keys.keys().len())
    }

    /// Appends rows that have a key or nothing.
    fn push_keys_only(&mut self, keys: &KeyTexts<'_>, rows: Range<usize>) -> Result<()> {
        let mut from = rows.start;
        while from < rows.end && self.plain.is_none() {
            let count = (rows.end - from).min(PAGE_ROWS - self.page.valid.len());
            let piece = keys.keys().get(from..from + count).unwrap_or_default();
            let valid = keys.valid().map(|valid| valid.slice(from, count)).filter(|valid| valid.null_count() > 0);
            let taken = self.push_digits(piece, valid.as_ref());
            match valid {
                None => self.page.valid.append_n_non_nulls(taken),
                Some(valid) => self.page.valid.append_buffer(&valid.slice(0, taken)),
            }
            from += taken;
            self.end_piece(taken < count)?;
        }
        let mut text = String::new();
        for row in from..rows.end {
            text.clear();
            Digits::from_bytes(keys.keys().get(row).copied().unwrap_or_default()).put_text(&mut text);
            let is_valid = keys.valid().is_none_or(|valid| valid.is_valid(row));
            self.push_plain(is_valid.then_some(text.as_bytes()))?;
        }
        Ok(())
    }

    fn push_nulls(&mut self, rows: usize) -> Result<()> {
        let mut left = rows;
        while left > 0 && self.plain.is_none() {
            let taken = left.min(PAGE_ROWS - self.page.valid.len());
            self.page.valid.append_n_nulls(taken);
            left -= taken;
            if self.page.valid.len() == PAGE_ROWS {
                self.end_page()?;
            }
        }
        (0..left).try_for_each(|_| self.push_plain(None))
    }

    pub(super) fn push_run(&mut self, text: &[u8], rows: u64) -> Result<()> {
        let mut left = rows;
        while left > 0 && self.plain.is_none() {
            let Some(number) = self.entries.number(text) else {
                self.give_up()?;
                break;
            };
            let taken = left.min((PAGE_ROWS - self.page.valid.len()) as u64);
            self.page.indices.extend(std::iter::repeat_n(number, taken as usize));
            self.page.valid.append_n_non_nulls(taken as usize);
            widen(&mut self.page.bounds, number, &self.entries);
            left -= taken;
            if self.page.valid.len() == PAGE_ROWS {
                self.end_page()?;
            }
        }
        for _ in 0..left {
            self.push_plain(Some(text))?;
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        let waiting = self.page.indices.len() + self.plain.as_ref().map_or(0, Plain::bytes);
        self.chunk.bytes() + self.entries.page().len() + waiting
    }

    pub(super) fn finish(mut self) -> Result<FinishedChunk> {
        self.end_page()?;
        let mut bloom = None;
        if let Some(mut plain) = self.plain.take() {
            plain.end_page(&mut self.chunk, &mut self.zstd)?;
            bloom = plain.into_bloom();
        }
        let bloom = self.bloom(bloom)?;
        let entries = self.entries.page();
        let dictionary = DictionaryPage {
            body: self.zstd.compress(entries)?,
            plain_bytes: entries.len(),
            entries: self.entries.len() as u32,
        };
        let dictionary = Some(dictionary).filter(|_| !self.chunk.is_empty());
        self.chunk.finish(dictionary, bloom)
    }

    /// A filter over all texts of the column; `begun` holds those that are not in the dictionary.
    fn bloom(&self, begun: Option<Sbbf>) -> Result<Option<Sbbf>> {
        let Some(false_positives) = self.settings.false_positives else {
            return Ok(None);
        };
        let (mut bloom, oversized) = match begun {
            Some(bloom) => (bloom, true),
            None => (Sbbf::new_with_ndv_fpp(self.entries.len() as u64, false_positives)?, false),
        };
        self.entries.iter().for_each(|text| bloom.insert(text));
        if oversized {
            bloom.fold_to_target_fpp(false_positives);
        }
        Ok(Some(bloom))
    }

    /// Appends rows to the page at hand, which has room for them: `push` takes each run of rows that are not null, as far as the
    /// dictionary has room, and tells how many that were. Returns how many rows were taken.
    fn push_runs(
        &mut self,
        rows: usize,
        valid: Option<&NullBuffer>,
        mut push: impl FnMut(&mut Self, Range<usize>) -> Result<usize>,
    ) -> Result<usize> {
        let Some(valid) = valid else {
            let taken = push(self, 0..rows)?;
            self.page.valid.append_n_non_nulls(taken);
            return Ok(taken);
        };
        let mut taken = rows;
        for (start, end) in valid.valid_slices() {
            let done = push(self, start..end)?;
            if done < end - start {
                taken = start + done;
                break;
            }
        }
        self.page.valid.append_buffer(&valid.slice(0, taken));
        Ok(taken)
    }

    /// Ends the page where it is full, and the dictionary where that is.
    fn end_piece(&mut self, is_full: bool) -> Result<()> {
        match self.page.valid.len() {
            _ if is_full => self.give_up(),
            PAGE_ROWS => self.end_page(),
            _ => Ok(()),
        }
    }

    /// Appends indices for keys that are not null, up to the first one that the dictionary has no room for. Many are asked for before the
    /// first of them is looked at.
    fn push_digits(&mut self, keys: &[[u8; KEY_BYTES]], valid: Option<&NullBuffer>) -> usize {
        let Self { key_numbers, entries, page, .. } = self;
        let mut bounds: Option<[(Digits, u32); 2]> = None;
        let mut taken = 0;
        'keys: for some in keys.chunks(KEYS_AT_ONCE) {
            some.iter().for_each(|&key| key_numbers.ask_for(Digits::from_bytes(key)));
            for &key in some {
                taken += 1;
                if valid.is_some_and(|valid| valid.is_null(taken - 1)) {
                    continue;
                }
                let key = Digits::from_bytes(key);
                let Some(number) = key_numbers.number(key, |text| entries.number(text.as_bytes())) else {
                    taken -= 1;
                    break 'keys;
                };
                page.indices.push(number);
                let [least, greatest] = bounds.get_or_insert([(key, number); 2]);
                if key < least.0 {
                    *least = (key, number);
                } else if key > greatest.0 {
                    *greatest = (key, number);
                }
            }
        }
        bounds.into_iter().flatten().for_each(|(_, number)| widen(&mut page.bounds, number, entries));
        taken
    }

    /// Appends indices for codes, up to the first text that the dictionary has no room for.
    fn push_codes<K: Place>(&mut self, keys: &[K], texts: &impl TextList) -> Result<usize> {
        let start = self.page.indices.len();
        self.page.indices.resize(start + keys.len(), UNKNOWN);
        let indices = self.page.indices.get_mut(start..).unwrap_or_default();
        let mut full = None;
        for (row, (index, &key)) in indices.iter_mut().zip(keys).enumerate() {
            let place = key.place();
            let slot = self.numbers.get_mut(place).ok_or_else(|| bad_key(place, texts))?;
            if *slot == UNKNOWN {
                let text = texts.text(place).ok_or_else(|| bad_key(place, texts))?;
                let Some(number) = self.entries.number(text) else {
                    full = Some(row);
                    break;
                };
                *slot = number;
                widen(&mut self.page.bounds, number, &self.entries);
            }
            *index = *slot;
        }
        let taken = full.unwrap_or(keys.len());
        self.page.indices.truncate(start + taken);
        Ok(taken)
    }

    fn push_plain(&mut self, text: Option<&[u8]>) -> Result<()> {
        match &mut self.plain {
            Some(plain) => plain.push(text, &mut self.chunk, &mut self.zstd),
            None => Ok(()),
        }
    }

    /// The dictionary is full: rows so far keep it, later ones become plain texts.
    fn give_up(&mut self) -> Result<()> {
        self.end_page()?;
        self.plain = Some(Plain::new(self.settings.nullable, self.settings.false_positives)?);
        Ok(())
    }

    fn end_page(&mut self) -> Result<()> {
        let rows = self.page.valid.len();
        if rows == 0 {
            return Ok(());
        }
        self.scratch.clear();
        if self.settings.nullable {
            put_levels(&mut self.scratch, self.page.valid.as_slice(), rows);
        }
        let indices = &self.page.indices;
        let width = width(self.entries.len());
        self.scratch.push(width as u8);
        put_indices(&mut self.scratch, indices, width);
        let text = |entry| Bound::Text(self.entries.get(entry).to_vec());
        self.chunk.push(DataPage {
            body: self.zstd.compress(&self.scratch)?,
            plain_bytes: self.scratch.len(),
            encoding: Encoding::RLE_DICTIONARY,
            rows: rows as u32,
            nulls: (rows - indices.len()) as u32,
            bounds: self.page.bounds.map(|(least, greatest)| (text(least), text(greatest))),
        });
        self.page.valid = NullBufferBuilder::new(0);
        self.page.indices.clear();
        self.page.bounds = None;
        Ok(())
    }
}

/// Bits of an index. Up to eight they divide a byte: compression then sees equal indices as equal bytes, or as equal parts of them,
/// which makes pages up to a fifth smaller than the tightest width does. Beyond eight bits the tightest width is the smallest.
fn width(entries: usize) -> u32 {
    match width_of(entries.saturating_sub(1) as u64).max(1) {
        tight @ 0..=8 => tight.next_power_of_two(),
        tight => tight,
    }
}

fn widen(bounds: &mut Option<(u32, u32)>, entry: u32, entries: &Entries) {
    let text = entries.get(entry);
    match bounds {
        None => *bounds = Some((entry, entry)),
        Some((least, _)) if text < entries.get(*least) => *least = entry,
        Some((_, greatest)) if text > entries.get(*greatest) => *greatest = entry,
        Some(_) => {}
    }
}

fn bad_key(place: usize, texts: &impl TextList) -> ParquetError {
    ParquetError::General(format!("key {place} into a list of {} texts", texts.count()))
}
