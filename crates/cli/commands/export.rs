//! `keytrail export`: rows back to records.

use anyhow::Context;
use arrow::array::RecordBatch;
use keytrail_model::export;
use keytrail_model::record::RecordColumns;
use keytrail_store::{Store, StoreError};

use crate::args::{ExportArgs, MetaForm};
use crate::exit::Outcome;

/// Writes the records of the store, or of a month, in the order of its files.
pub(crate) fn run(arguments: &ExportArgs) -> anyhow::Result<Outcome> {
    let snapshot = Store::open(&arguments.store.store)?.snapshot()?;
    let (from, until) = arguments.month.map_or((i64::MIN, i64::MAX), keytrail_model::time::Month::bounds);
    let form = match arguments.meta {
        MetaForm::String => export::MetaForm::Text,
        MetaForm::Object => export::MetaForm::Object,
    };
    super::write_to(arguments.output.as_deref(), |out| {
        let mut each = |batch: &RecordBatch| -> Result<(), ExportError> {
            let columns = RecordColumns::of(batch).context("reading rows")?;
            for row in (0..batch.num_rows()).filter_map(|index| columns.row(index)) {
                writeln!(out, "{}", export::record(&row, form).context("writing a record")?)
                    .map_err(anyhow::Error::from)?;
            }
            Ok(())
        };
        keytrail_store::read_events(&snapshot, from, until.saturating_sub(1), &mut each).map_err(|error| error.0)
    })?;
    Ok(Outcome::Done)
}

/// `read_events` wants an error of the caller that a store error can become.
struct ExportError(anyhow::Error);

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl From<anyhow::Error> for ExportError {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}
