//! Which services an archive holds records of, how many, and from when to when: counted when they are decoded, before duplicates are
//! told. What an archive shows of a service does not depend on which archive came first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, DictionaryArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use keytrail_model::ledger::{ServiceKey, ServiceSpan};
use keytrail_model::record::RecordColumns;

use crate::error::IngestError;

/// Services of an archive that are told apart. Real archives have a few dozen; one with more is told as not counted.
const SERVICES_MAX: usize = 4096;
/// Bytes of the names of a service. Real ones have 150.
const KEY_BYTES_MAX: usize = 1024;
/// Names remembered from archive to archive.
const NAMES_MAX: usize = 1 << 16;

/// Names of services, shared among the archives of a worker.
#[derive(Debug, Default)]
pub(crate) struct ServiceNames(HashSet<Arc<ServiceKey>>);

impl ServiceNames {
    fn shared(&mut self, key: ServiceKey) -> Arc<ServiceKey> {
        if let Some(known) = self.0.get(&key) {
            return Arc::clone(known);
        }
        if self.0.len() >= NAMES_MAX {
            self.0.clear();
        }
        let key = Arc::new(key);
        self.0.insert(Arc::clone(&key));
        key
    }
}

/// The services met so far.
#[derive(Debug, Default)]
pub(crate) struct Services {
    spans: Vec<ServiceSpan>,
    places: HashMap<Arc<ServiceKey>, usize>,
    /// More than can be told apart.
    is_too_much: bool,
}

impl Services {
    /// Counts the records of a batch.
    pub(crate) fn add(&mut self, batch: &RecordBatch, names: &mut ServiceNames) -> Result<(), IngestError> {
        if self.is_too_much {
            return Ok(());
        }
        let columns = [text(batch, "resource_id")?, text(batch, "source")?, text(batch, "tenant_id")?];
        let [resources, sources, tenants] = &columns;
        let times = RecordColumns::of(batch)?.times();
        // For each resource the pairs of source and tenant it was met with, nearly always one.
        let mut met: Vec<Vec<([usize; 2], usize)>> = vec![Vec::new(); resources.nulls + 1];
        for (row, &time) in times.iter().enumerate() {
            let (resource, rest) = (resources.code(row), [sources.code(row), tenants.code(row)]);
            let Some(met) = met.get_mut(resource) else {
                continue;
            };
            let place = match met.iter().find(|(other, _)| *other == rest) {
                Some((_, place)) => *place,
                None => {
                    let [source, tenant] = rest;
                    let key = ServiceKey {
                        resource_id: resources.text(resource),
                        source: sources.text(source),
                        tenant_id: tenants.text(tenant),
                    };
                    let Some(place) = self.place(key, time, names) else {
                        return Ok(());
                    };
                    met.push((rest, place));
                    place
                }
            };
            if let Some(span) = self.spans.get_mut(place) {
                span.records += 1;
                span.first_time = span.first_time.min(time);
                span.last_time = span.last_time.max(time);
            }
        }
        Ok(())
    }

    /// Adds those of another member.
    pub(crate) fn merge(&mut self, other: Self) {
        self.is_too_much |= other.is_too_much;
        for span in other.spans {
            if let Some(own) = self.places.get(&span.key).and_then(|place| self.spans.get_mut(*place)) {
                own.records += span.records;
                own.first_time = own.first_time.min(span.first_time);
                own.last_time = own.last_time.max(span.last_time);
            } else if self.has_room() {
                self.places.insert(Arc::clone(&span.key), self.spans.len());
                self.spans.push(span);
            }
        }
    }

    /// All of them in order; `None` where there were too many.
    pub(crate) fn finish(self) -> Option<Vec<ServiceSpan>> {
        let mut spans = (!self.is_too_much).then_some(self.spans)?;
        spans.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        spans.shrink_to_fit();
        Some(spans)
    }

    fn place(&mut self, key: ServiceKey, time: i64, names: &mut ServiceNames) -> Option<usize> {
        let texts = [&key.resource_id, &key.source, &key.tenant_id];
        if texts.iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>() > KEY_BYTES_MAX {
            self.is_too_much = true;
            return None;
        }
        let key = names.shared(key);
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        self.has_room().then(|| {
            self.places.insert(Arc::clone(&key), self.spans.len());
            self.spans.push(ServiceSpan { key, records: 0, first_time: time, last_time: time });
            self.spans.len() - 1
        })
    }

    fn has_room(&mut self) -> bool {
        self.is_too_much |= self.spans.len() >= SERVICES_MAX;
        !self.is_too_much
    }
}

/// A text column with codes; the one behind all texts is null.
struct Text<'a> {
    codes: &'a DictionaryArray<Int32Type>,
    texts: &'a StringArray,
    nulls: usize,
}

impl Text<'_> {
    fn code(&self, row: usize) -> usize {
        self.codes.key(row).unwrap_or(self.nulls)
    }

    fn text(&self, code: usize) -> Option<String> {
        (code < self.texts.len() && self.texts.is_valid(code)).then(|| self.texts.value(code).to_owned())
    }
}

fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<Text<'a>, IngestError> {
    let codes = batch.column_by_name(name).and_then(|column| column.as_dictionary_opt::<Int32Type>());
    let texts = codes.and_then(|codes| codes.values().as_string_opt::<i32>());
    let (codes, texts) = codes.zip(texts).ok_or_else(|| IngestError::StagedBlock {
        expected: format!("a dictionary of texts in `{name}`"),
        found: "something else".into(),
    })?;
    Ok(Text { codes, texts, nulls: texts.len() })
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray, new_null_array};
    use keytrail_model::schema;

    use super::*;

    /// A record: time, resource, source.
    type Row = (i64, Option<&'static str>, Option<&'static str>);

    fn batch(rows: &[Row]) -> RecordBatch {
        let columns = schema::decoded_schema();
        let texts = |of: fn(&Row) -> Option<&'static str>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<DictionaryArray<Int32Type>>())
        };
        let arrays = columns.fields().iter().map(|field| match field.name().as_str() {
            "time" => {
                Arc::new(rows.iter().map(|row| Some(row.0)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
                    as ArrayRef
            }
            "ordinal" => Arc::new(Int64Array::from_iter_values(0..rows.len() as i64)),
            "resource_id" => texts(|row| row.1),
            "source" => texts(|row| row.2),
            _ => new_null_array(field.data_type(), rows.len()),
        });
        RecordBatch::try_new(Arc::clone(&columns), arrays.collect()).unwrap()
    }

    fn told(services: Services) -> Vec<String> {
        let spans = services.finish().unwrap();
        let tell = |span: &ServiceSpan| {
            let ServiceKey { resource_id, source, .. } = span.key.as_ref();
            format!("{resource_id:?} {source:?} {} {}..{}", span.records, span.first_time, span.last_time)
        };
        spans.iter().map(tell).collect()
    }

    #[test]
    fn records_are_counted_by_service_in_whatever_batches_and_members_they_come() {
        let rows: Vec<Row> = vec![
            (5, Some("a"), Some("p1")),
            (3, Some("a"), Some("p1")),
            (9, Some("a"), Some("p2")),
            (7, None, Some("p1")),
            (1, Some("b"), None),
            (2, Some("b"), None),
            (8, None, Some("p1")),
        ];
        let expected = [
            r#"None Some("p1") 2 7..8"#,
            r#"Some("a") Some("p1") 2 3..5"#,
            r#"Some("a") Some("p2") 1 9..9"#,
            r#"Some("b") None 2 1..2"#,
        ];
        for cut in 0..=rows.len() {
            let mut names = ServiceNames::default();
            let (front, back) = rows.split_at(cut);
            let mut one = Services::default();
            one.add(&batch(front), &mut names).unwrap();
            one.add(&batch(back), &mut names).unwrap();
            assert_eq!(told(one), expected);
            let (mut one, mut other) = (Services::default(), Services::default());
            one.add(&batch(back), &mut names).unwrap();
            other.add(&batch(front), &mut names).unwrap();
            one.merge(other);
            assert_eq!(told(one), expected);
        }
    }

    #[test]
    fn what_is_too_much_is_not_told_in_part() {
        let long: &'static str = Box::leak("x".repeat(KEY_BYTES_MAX + 1).into_boxed_str());
        let mut services = Services::default();
        services.add(&batch(&[(1, Some("a"), None), (2, Some(long), None)]), &mut ServiceNames::default()).unwrap();
        assert_eq!(services.finish(), None);
        let names: Vec<&'static str> =
            (0..=SERVICES_MAX).map(|n| &*Box::leak(n.to_string().into_boxed_str())).collect();
        let rows: Vec<Row> = names.iter().map(|name| (1, Some(*name), None)).collect();
        for (rows, is_told) in [(&rows[..SERVICES_MAX], true), (&rows[..], false)] {
            let mut services = Services::default();
            services.add(&batch(rows), &mut ServiceNames::default()).unwrap();
            assert_eq!(services.finish().is_some(), is_told);
        }
    }
}
