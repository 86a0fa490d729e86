//! Rows that the store has of archives that are read again.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use keytrail_model::digest::PlacedRows;
use keytrail_model::places::MemberPlaces;
use keytrail_store::RowReader;

use crate::archive::DecodedArchive;
use crate::error::IngestError;

/// Places in the store, by index of their archive. Which of several members of one name gave a row, the store does not say.
#[derive(Default)]
pub(super) struct OwnRows(HashMap<usize, MemberPlaces>);

impl OwnRows {
    /// Reads the rows of the store at the times of archives that are `retried` (by SHA-256): mostly there are none.
    pub(super) fn find(
        archives: &[Box<DecodedArchive>],
        retried: &HashMap<&str, usize>,
        stored: &RowReader<'_>,
    ) -> Result<Self, IngestError> {
        let mut found = Self::default();
        let times = retried.values().filter_map(|&index| archives.get(index)?.times);
        let Some((from, to)) = times.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))) else {
            return Ok(found);
        };
        let mut each = |batch: &RecordBatch| -> Result<(), IngestError> {
            let rows = PlacedRows::of(batch)?;
            for (_, place) in (0..batch.num_rows()).filter_map(|index| rows.row(index)) {
                let Some(&index) = retried.get(place.archive) else {
                    continue;
                };
                let limit = archives.get(index).map_or(0, |archive| archive.read);
                found.0.entry(index).or_default().put(place.member, place.ordinal, limit);
            }
            Ok(())
        };
        stored.read(from, to, &mut each)?;
        Ok(found)
    }

    pub(super) fn of(&self, index: usize) -> Option<&MemberPlaces> {
        self.0.get(&index)
    }
}
