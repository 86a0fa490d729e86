//! A digest of many rows that does not depend on their order: what is compared when rows are moved between files, or read from their
//! archives a second time.
//!
//! Each row is encoded without ambiguity and hashed with SHA-256; the hashes are added modulo 2^256, and rows are counted. Equal sets of
//! rows (each as often) have equal digests. It shows accidents and faults of programs; whoever can choose many rows freely could work
//! towards an equal sum, which is why files are also held by their own SHA-256. Knows no files.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use sha2::{Digest as _, Sha256};

use crate::record::{ColumnError, RecordColumns, RecordRow, TextColumn, column};
use crate::schema;

/// 64-bit limbs of a sum, the lowest first.
const LIMBS: usize = 4;
/// Digits of a sum in hex.
const DIGITS: usize = LIMBS * 16;

/// Digest of a set of rows in which a row can stand several times. The default is that of no rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RowsDigest {
    rows: u64,
    sum: [u64; LIMBS],
}

/// Where a row was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// SHA-256 of the archive, lower-case hex.
    pub archive: &'a str,
    /// Name of the member.
    pub member: &'a str,
    /// 0-based position in the member.
    pub ordinal: i64,
}

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {DIGITS} hex digits, found `{found}`")]
pub struct DigestError {
    found: String,
}

impl RowsDigest {
    /// The digest that a sum in hex and a number of rows stand for.
    ///
    /// # Errors
    /// The sum is not 64 hex digits.
    pub fn from_parts(rows: u64, sum: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError { found: sum.to_owned() };
        if sum.len() != DIGITS || !sum.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut limbs = [0; LIMBS];
        for (index, limb) in limbs.iter_mut().rev().enumerate() {
            let digits = sum.get(index * 16..(index + 1) * 16).ok_or_else(wrong)?;
            *limb = u64::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self { rows, sum: limbs })
    }

    /// The sum, the lowest 64 bits first.
    #[must_use]
    pub fn limbs(&self) -> [u64; LIMBS] {
        self.sum
    }

    /// The digest of a sum and a number of rows.
    #[must_use]
    pub fn of_limbs(rows: u64, sum: [u64; LIMBS]) -> Self {
        Self { rows, sum }
    }

    /// Adds a digest several times.
    pub fn add_times(&mut self, other: Self, times: u64) {
        let (mut doubled, mut left) = (other, times);
        while left > 0 {
            if left & 1 == 1 {
                *self += doubled;
            }
            doubled += doubled;
            left >>= 1;
        }
    }

    /// Rows added, each as often as it was.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a record by its contents alone: time and the 13 texts.
    pub fn add_record(&mut self, record: &RecordRow<'_>) {
        self.add(Encoding::of(record));
    }

    /// Adds a record at its place.
    pub fn add_row(&mut self, record: &RecordRow<'_>, place: &Provenance<'_>) {
        let mut encoding = Encoding::of(record);
        encoding.text(Some(place.archive));
        encoding.text(Some(place.member));
        encoding.number(place.ordinal);
        self.add(encoding);
    }

    /// Adds all rows of a batch of `events`, each at its place, whatever the encoding of its texts.
    ///
    /// # Errors
    /// A column is missing or has an unexpected type.
    pub fn add_batch(&mut self, batch: &RecordBatch) -> Result<(), ColumnError> {
        let rows = PlacedRows::of(batch)?;
        for index in 0..batch.num_rows() {
            if let Some((record, place)) = rows.row(index) {
                self.add_row(&record, &place);
            }
        }
        Ok(())
    }

    fn add(&mut self, encoding: Encoding) {
        let hash = encoding.0.finalize();
        let mut limbs = [0; LIMBS];
        for (limb, bytes) in limbs.iter_mut().zip(hash.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*bytes);
        }
        *self += Self { rows: 1, sum: limbs };
    }
}

impl std::ops::AddAssign for RowsDigest {
    fn add_assign(&mut self, other: Self) {
        self.rows = self.rows.wrapping_add(other.rows);
        let mut carry = false;
        for (limb, other) in self.sum.iter_mut().zip(other.sum) {
            let (sum, over) = limb.overflowing_add(other);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, over || over_again);
        }
    }
}

/// The sum as 64 hex digits; the number of rows is not part of it.
impl fmt::Display for RowsDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum.iter().rev().try_for_each(|limb| write!(formatter, "{limb:016x}"))
    }
}

/// The rows of a batch of `events` with their places.
pub struct PlacedRows<'a> {
    records: RecordColumns<'a>,
    archives: TextColumn<'a>,
    members: TextColumn<'a>,
    ordinals: &'a arrow_array::Int64Array,
}

impl<'a> PlacedRows<'a> {
    /// Finds the columns by name.
    ///
    /// # Errors
    /// A column is missing or has an unexpected type.
    pub fn of(batch: &'a RecordBatch) -> Result<Self, ColumnError> {
        let text = |name| TextColumn::of(name, column(batch, name)?);
        let ordinal = column(batch, schema::ORDINAL)?;
        let ordinals = ordinal.as_primitive_opt::<Int64Type>();
        let wrong = || ColumnError::new(schema::ORDINAL, "a 64-bit number", ordinal.data_type().to_string());
        Ok(Self {
            records: RecordColumns::of(batch)?,
            archives: text(schema::ARCHIVE)?,
            members: text(schema::MEMBER)?,
            ordinals: ordinals.ok_or_else(wrong)?,
        })
    }

    /// A row with its place, `None` past the end. A place that is null, which no writer of ours makes, reads as an empty text and -1.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<(RecordRow<'a>, Provenance<'a>)> {
        let record = self.records.row(index)?;
        let ordinal = if self.ordinals.is_valid(index) { self.ordinals.values().get(index).copied()? } else { -1 };
        let place = Provenance {
            archive: self.archives.get(index).unwrap_or_default(),
            member: self.members.get(index).unwrap_or_default(),
            ordinal,
        };
        Some((record, place))
    }
}

/// The bytes of a row on their way into a hash: each text with its length before it, so that no two rows run together.
struct Encoding(Sha256);

impl Encoding {
    fn of(record: &RecordRow<'_>) -> Self {
        let mut encoding = Self(Sha256::new());
        encoding.number(record.time);
        record.texts.iter().for_each(|text| encoding.text(*text));
        encoding
    }

    fn number(&mut self, number: i64) {
        self.0.update(number.to_le_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        // One more than the length: 0 is left for a text that is absent.
        let length = text.map_or(0, |text| text.len() as u64 + 1);
        self.0.update(length.to_le_bytes());
        self.0.update(text.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, DictionaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow_schema::{Field, Schema};
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{MEMBER, ORDINAL, TEXT_COLUMNS, TIME};

    type Row = (i64, Option<String>, String, i64);

    fn texts(first: Option<&str>) -> [Option<&str>; TEXT_COLUMNS.len()] {
        let mut texts = [None; TEXT_COLUMNS.len()];
        texts[0] = first;
        texts
    }

    fn of_rows(rows: &[Row]) -> RowsDigest {
        let mut digest = RowsDigest::default();
        for (time, text, member, ordinal) in rows {
            let record = RecordRow { time: *time, texts: texts(text.as_deref()) };
            digest.add_row(&record, &Provenance { archive: "a", member, ordinal: *ordinal });
        }
        digest
    }

    fn batch(rows: &[Row], dictionary: bool) -> RecordBatch {
        let text = |texts: Vec<Option<&str>>| -> ArrayRef {
            match dictionary {
                true => Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>()),
                false => Arc::new(StringArray::from(texts)),
            }
        };
        let times: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<TimestampMicrosecondArray>());
        let mut columns = vec![(TIME, times)];
        for (place, name) in TEXT_COLUMNS.into_iter().enumerate() {
            columns.push((name, text(rows.iter().map(|row| texts(row.1.as_deref())[place]).collect())));
        }
        columns.push((schema::ARCHIVE, text(rows.iter().map(|_| Some("a")).collect())));
        columns.push((MEMBER, text(rows.iter().map(|row| Some(row.2.as_str())).collect())));
        columns.push((ORDINAL, Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Int64Array>())));
        let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
    }

    #[test]
    fn rows_that_differ_in_one_place_differ() {
        let row = |time, text: Option<&str>, member: &str, ordinal| -> Row {
            (time, text.map(str::to_owned), member.into(), ordinal)
        };
        let rows = [
            row(1, Some("ab"), "m", 0),
            row(2, Some("ab"), "m", 0),
            row(1, Some("a"), "m", 0),
            row(1, Some(""), "m", 0),
            row(1, None, "m", 0),
            row(1, None, "", 0),
            row(1, None, "m", 1),
        ];
        let mut digests: Vec<_> = rows.iter().map(|row| of_rows(std::slice::from_ref(row)).to_string()).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), rows.len());
    }

    /// The encoding is a contract: digests stand in commits. Recomputed by hand from the words of this module's header.
    #[test]
    fn the_digest_of_a_row_is_fixed() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&7_i64.to_le_bytes());
        bytes.extend_from_slice(&3_u64.to_le_bytes());
        bytes.extend_from_slice(b"ab");
        bytes.extend_from_slice(&[0; 8 * 12]);
        bytes.extend_from_slice(&2_u64.to_le_bytes());
        bytes.extend_from_slice(b"a");
        bytes.extend_from_slice(&2_u64.to_le_bytes());
        bytes.extend_from_slice(b"m");
        bytes.extend_from_slice(&5_i64.to_le_bytes());
        // The hash is a number with its lowest byte first; hex digits show the highest first.
        let expected: String = Sha256::digest(&bytes).iter().rev().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(of_rows(&[(7, Some("ab".into()), "m".into(), 5)]).to_string(), expected);
        assert_eq!(RowsDigest::default().to_string(), "0".repeat(64));
    }

    #[test]
    fn a_digest_is_added_as_often_as_asked() {
        let one = of_rows(&[(7, Some("ab".into()), "m".into(), 5)]);
        for times in [0, 1, 2, 3, 7, 100] {
            let (mut by_hand, mut at_once) = (RowsDigest::default(), RowsDigest::default());
            (0..times).for_each(|_| by_hand += one);
            at_once.add_times(one, times);
            assert_eq!(at_once, by_hand);
            assert_eq!(RowsDigest::of_limbs(times, at_once.limbs()), at_once);
        }
    }

    #[test]
    fn only_64_hex_digits_are_a_digest() {
        for text in ["", "0", &"g".repeat(64), &"0".repeat(63), &"0".repeat(65), &format!("+{}", "0".repeat(63))] {
            assert!(RowsDigest::from_parts(0, text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_order_or_on_parts(
            rows in prop::collection::vec((0..3_i64, prop::option::of("[ab]{0,2}"), "[mn]{0,1}", 0..3_i64), 0..12),
            cut in 0..12_usize,
        ) {
            let whole = of_rows(&rows);
            let reversed: Vec<_> = rows.iter().rev().cloned().collect();
            prop_assert_eq!(of_rows(&reversed), whole);
            let (left, right) = rows.split_at(cut.min(rows.len()));
            let mut parts = of_rows(left);
            parts += of_rows(right);
            prop_assert_eq!(parts, whole);
            prop_assert_eq!(RowsDigest::from_parts(whole.rows(), &whole.to_string()), Ok(whole));
            for dictionary in [false, true] {
                let mut read = RowsDigest::default();
                read.add_batch(&batch(&rows, dictionary)).unwrap();
                prop_assert_eq!(read, whole);
            }
        }
    }
}
