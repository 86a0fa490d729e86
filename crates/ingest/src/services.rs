//! Which services an archive holds records of, how many, and from when to when: counted when they are decoded, before duplicates are
//! told. What an archive shows of a service does not depend on which archive came first.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::hash_map::Entry;
use hashbrown::{Equivalent, HashMap, HashSet};
use keytrail_decode::{CodedRows, Rows};
use keytrail_model::ledger::{ServiceKey, ServiceSpan};

use crate::error::IngestError;

/// Services of an archive that are told apart. Real archives have a few dozen; one with more is told as not counted.
const SERVICES_MAX: usize = 4096;
/// Bytes of the names of a service. Real ones have 150.
const KEY_BYTES_MAX: usize = 1024;
/// Bytes of the names of all services of an archive.
const NAMES_BYTES_MAX: usize = 1 << 20;
/// Bytes that the services of all archives of a run take: a million spans. What the ledger says must not depend on the memory of a run.
const RUN_BYTES_MAX: u64 = 32 << 20;
/// Bytes of a span, and of a name that is kept next to its texts.
const SPAN_BYTES: u64 = size_of::<ServiceSpan>() as u64;
const NAME_BYTES: u64 = 160;

/// Services of the archives of a run, which stay in memory until its ledger is written. Names are shared.
///
/// Where all of them are more than the budget, archives with very many are told as not counted: the bound for an archive is halved until the
/// rest fits. Whatever the order in which archives come, the bound falls as far as all of them together demand, so the outcome does not depend
/// on threads.
#[derive(Debug)]
pub(crate) struct RunServices {
    bytes_max: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    bytes: u64,
    /// Services of an archive at most.
    at_most: usize,
    /// Names, with how many spans have them.
    names: HashMap<Arc<ServiceKey>, u64>,
    /// By SHA-256 of the archive.
    archives: HashMap<String, Vec<ServiceSpan>>,
}

impl Default for RunServices {
    fn default() -> Self {
        Self::within(RUN_BYTES_MAX)
    }
}

impl RunServices {
    fn within(bytes_max: u64) -> Self {
        let kept = Kept { bytes: 0, at_most: SERVICES_MAX, names: HashMap::new(), archives: HashMap::new() };
        Self { bytes_max, kept: Mutex::new(kept) }
    }

    /// Keeps the services of an archive, unless they are too many.
    pub(crate) fn keep(&self, sha256: &str, spans: Vec<ServiceSpan>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Equal files have equal services.
        if spans.len() <= kept.at_most && !kept.archives.contains_key(sha256) {
            kept.add(sha256, spans);
            while kept.bytes > self.bytes_max && kept.at_most > 0 {
                kept.halve();
            }
        }
    }

    /// Services of all archives that are still here.
    pub(crate) fn count(&self) -> usize {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.archives.values().map(Vec::len).sum()
    }

    /// The services of an archive; `None` where they are not counted.
    pub(crate) fn take(&self, sha256: &str) -> Option<Vec<ServiceSpan>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).archives.remove(sha256)
    }
}

impl Kept {
    fn add(&mut self, sha256: &str, mut spans: Vec<ServiceSpan>) {
        for span in &mut spans {
            self.bytes += SPAN_BYTES;
            match self.names.entry(Arc::clone(&span.key)) {
                Entry::Occupied(mut known) => {
                    span.key = Arc::clone(known.key());
                    *known.get_mut() += 1;
                }
                Entry::Vacant(new) => {
                    self.bytes += NAME_BYTES + Names::of(&span.key).bytes() as u64;
                    new.insert(1);
                }
            }
        }
        self.archives.insert(sha256.to_owned(), spans);
    }

    /// Halves the bound for an archive, and drops what is beyond it.
    fn halve(&mut self) {
        self.at_most /= 2;
        let at_most = self.at_most;
        let dropped: Vec<_> = self.archives.extract_if(|_, spans| spans.len() > at_most).collect();
        for span in dropped.into_iter().flat_map(|(_, spans)| spans) {
            self.bytes = self.bytes.saturating_sub(SPAN_BYTES);
            if let Entry::Occupied(mut known) = self.names.entry(span.key) {
                *known.get_mut() -= 1;
                if *known.get() == 0 {
                    self.bytes = self.bytes.saturating_sub(NAME_BYTES + Names::of(known.key()).bytes() as u64);
                    known.remove();
                }
            }
        }
    }
}

/// The names of a service as they stand in rows. Its hash is that of a [`ServiceKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Names<'a> {
    resource_id: Option<&'a str>,
    source: Option<&'a str>,
    tenant_id: Option<&'a str>,
}

impl<'a> Names<'a> {
    fn of(key: &'a ServiceKey) -> Self {
        let ServiceKey { resource_id, source, tenant_id } = key;
        Self { resource_id: resource_id.as_deref(), source: source.as_deref(), tenant_id: tenant_id.as_deref() }
    }

    fn bytes(self) -> usize {
        [self.resource_id, self.source, self.tenant_id].into_iter().flatten().map(str::len).sum()
    }

    fn to_key(self) -> ServiceKey {
        let Self { resource_id, source, tenant_id } = self;
        let owned = |name: Option<&str>| name.map(str::to_owned);
        ServiceKey { resource_id: owned(resource_id), source: owned(source), tenant_id: owned(tenant_id) }
    }
}

impl Equivalent<Arc<ServiceKey>> for Names<'_> {
    fn equivalent(&self, key: &Arc<ServiceKey>) -> bool {
        *self == Names::of(key)
    }
}

/// Names of services met lately, of whatever archives: the next one has nearly the same.
#[derive(Debug, Default)]
pub(crate) struct KnownServices {
    keys: HashSet<Arc<ServiceKey>>,
    bytes: usize,
}

impl KnownServices {
    fn key(&mut self, names: Names<'_>) -> Arc<ServiceKey> {
        if let Some(key) = self.keys.get(&names) {
            return Arc::clone(key);
        }
        let key = Arc::new(names.to_key());
        if self.keys.len() >= SERVICES_MAX || self.bytes > NAMES_BYTES_MAX {
            *self = Self::default();
        }
        self.bytes += names.bytes();
        self.keys.insert(Arc::clone(&key));
        key
    }
}

/// The services met so far.
#[derive(Debug, Default)]
pub(crate) struct Services {
    spans: Vec<ServiceSpan>,
    places: HashMap<Arc<ServiceKey>, usize>,
    /// Bytes of their names.
    names_bytes: usize,
    /// More than can be told apart.
    is_too_much: bool,
}

impl Services {
    /// Counts records.
    pub(crate) fn add(&mut self, rows: &Rows<'_>, known: &mut KnownServices) -> Result<(), IngestError> {
        if self.is_too_much {
            return Ok(());
        }
        let [resources, sources, tenants] =
            [texts(rows, "resource_id")?, texts(rows, "source")?, texts(rows, "tenant_id")?];
        let [resource_codes, source_codes, tenant_codes] =
            [&resources, &sources, &tenants].map(|texts| texts.codes().to_numbers());
        // For each resource the source and tenant it was met with last, nearly always the only ones, and the place of the service.
        let mut newest: Vec<Option<([u32; 2], usize)>> = vec![None; resources.count() + 1];
        let mut places = HashMap::new();
        let codes = resource_codes.into_iter().zip(source_codes.into_iter().zip(tenant_codes));
        for (&time, (resource, (source, tenant))) in rows.times().iter().zip(codes) {
            let Some(newest) = newest.get_mut(resource as usize) else {
                continue;
            };
            let place = match newest {
                Some((pair, place)) if *pair == [source, tenant] => *place,
                _ => {
                    let place = match places.entry([resource, source, tenant]) {
                        Entry::Occupied(place) => *place.get(),
                        Entry::Vacant(new) => {
                            let names = Names {
                                resource_id: resources.text(resource),
                                source: sources.text(source),
                                tenant_id: tenants.text(tenant),
                            };
                            let Some(place) = self.place(names, time, known) else {
                                return Ok(());
                            };
                            *new.insert(place)
                        }
                    };
                    *newest = Some(([source, tenant], place));
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
        if self.spans.is_empty() && !self.is_too_much {
            *self = other;
            return;
        }
        self.is_too_much |= other.is_too_much;
        for span in other.spans {
            if let Some(own) = self.places.get(&span.key).and_then(|place| self.spans.get_mut(*place)) {
                own.records += span.records;
                own.first_time = own.first_time.min(span.first_time);
                own.last_time = own.last_time.max(span.last_time);
            } else if self.has_room(Names::of(&span.key).bytes()) {
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

    fn place(&mut self, names: Names<'_>, time: i64, known: &mut KnownServices) -> Option<usize> {
        if let Some(place) = self.places.get(&names) {
            return Some(*place);
        }
        self.has_room(names.bytes()).then(|| {
            let key = known.key(names);
            self.places.insert(Arc::clone(&key), self.spans.len());
            self.spans.push(ServiceSpan { key, records: 0, first_time: time, last_time: time });
            self.spans.len() - 1
        })
    }

    /// Whether one more can be told apart, whose names take so many bytes; they count from then on.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.names_bytes += bytes;
        self.is_too_much |=
            self.spans.len() >= SERVICES_MAX || bytes > KEY_BYTES_MAX || self.names_bytes > NAMES_BYTES_MAX;
        !self.is_too_much
    }
}

fn texts<'a>(rows: &'a Rows<'_>, column: &str) -> Result<CodedRows<'a>, IngestError> {
    rows.coded(column).ok_or_else(|| IngestError::StagedBlock {
        expected: format!("texts that repeat in `{column}`"),
        found: "something else".into(),
    })
}

#[cfg(test)]
mod tests {
    use keytrail_decode::{DecodeOptions, Decoder, Reject, Sink, SinkError};
    use keytrail_model::time::format_service;
    use serde_json::json;

    use super::*;

    /// A record: time, resource, source.
    type Row = (i64, Option<&'static str>, Option<&'static str>);

    impl Sink for Services {
        fn rows(&mut self, rows: Rows<'_>) -> std::result::Result<(), SinkError> {
            self.add(&rows, &mut KnownServices::default()).map_err(SinkError::new)
        }

        fn reject(&mut self, reject: Reject) -> std::result::Result<(), SinkError> {
            panic!("{reject:?}")
        }
    }

    /// Counts records as they come out of a decoder.
    fn add(services: &mut Services, rows: &[Row]) {
        let record =
            |row: &Row| json!({"time": format_service(row.0), "resourceID": row.1, "source": row.2}).to_string();
        let member: Vec<String> = rows.iter().map(record).collect();
        if !member.is_empty() {
            let mut decoder = Decoder::new(DecodeOptions::default());
            decoder.push(member.join("\n").as_bytes(), services).unwrap();
            decoder.finish(services).unwrap();
        }
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
            let (front, back) = rows.split_at(cut);
            let mut one = Services::default();
            add(&mut one, front);
            add(&mut one, back);
            assert_eq!(told(one), expected);
            let (mut one, mut other) = (Services::default(), Services::default());
            add(&mut one, back);
            add(&mut other, front);
            one.merge(other);
            assert_eq!(told(one), expected);
        }
    }

    #[test]
    fn names_are_shared_between_archives_and_forgotten_when_they_are_too_many() {
        let mut known = KnownServices::default();
        let name = |n: usize| format!("{n:0200}");
        let key = |known: &mut KnownServices, n| {
            known.key(Names { resource_id: Some(&name(n)), source: None, tenant_id: Some("t") })
        };
        let first = key(&mut known, 0);
        assert_eq!(*first, ServiceKey { resource_id: Some(name(0)), source: None, tenant_id: Some("t".into()) });
        for n in 0..3 * SERVICES_MAX {
            let found = key(&mut known, n);
            assert_eq!(found.resource_id, Some(name(n)));
            assert!(Arc::ptr_eq(&found, &key(&mut known, n)), "asked again at once");
            assert!(known.keys.len() <= SERVICES_MAX && known.bytes <= NAMES_BYTES_MAX + KEY_BYTES_MAX);
        }
        assert!(!Arc::ptr_eq(&first, &key(&mut known, 0)));
        assert_eq!(first, key(&mut known, 0), "forgotten, and equal");
    }

    #[test]
    fn what_is_too_much_is_not_told_in_part() {
        let long: &'static str = Box::leak("x".repeat(KEY_BYTES_MAX + 1).into_boxed_str());
        let mut services = Services::default();
        add(&mut services, &[(1, Some("a"), None), (2, Some(long), None)]);
        assert_eq!(services.finish(), None);
        let names: Vec<&'static str> =
            (0..=SERVICES_MAX).map(|n| &*Box::leak(n.to_string().into_boxed_str())).collect();
        let rows: Vec<Row> = names.iter().map(|name| (1, Some(*name), None)).collect();
        for (rows, is_told) in [(&rows[..SERVICES_MAX], true), (&rows[..], false)] {
            let mut services = Services::default();
            add(&mut services, rows);
            assert_eq!(services.finish().is_some(), is_told);
        }
        let long = "x".repeat(KEY_BYTES_MAX - 4);
        let names: Vec<&'static str> =
            (0..=1024).map(|n| &*Box::leak(format!("{n:04}{long}").into_boxed_str())).collect();
        let rows: Vec<Row> = names.iter().map(|name| (1, Some(*name), None)).collect();
        for (rows, is_told) in [(&rows[..1024], true), (&rows[..], false)] {
            let (mut one, mut other) = (Services::default(), Services::default());
            add(&mut one, &rows[..500]);
            add(&mut other, &rows[400..]);
            one.merge(other);
            assert_eq!(one.finish().is_some(), is_told, "names of an archive");
        }
    }

    /// Services of an archive: so many, with numbers from one on.
    fn spans(from: usize, count: usize) -> Vec<ServiceSpan> {
        let span = |n: usize| {
            let key = Arc::new(ServiceKey { source: Some(format!("{n:040}")), ..ServiceKey::default() });
            ServiceSpan { key, records: 1, first_time: 0, last_time: 0 }
        };
        (from..from + count).map(span).collect()
    }

    #[test]
    fn what_a_run_keeps_depends_on_its_archives_and_not_on_their_order() {
        // Archives by their services: first number and count.
        let archives = [(0, 3), (0, 300), (100, 300), (0, 3), (900, 40), (5000, 4000), (0, 0), (7, 90)];
        let kept = |order: &mut dyn Iterator<Item = usize>, bytes: u64| -> Vec<bool> {
            let run = RunServices::within(bytes);
            for index in order {
                let (from, count) = archives[index];
                run.keep(&index.to_string(), spans(from, count));
                run.keep(&index.to_string(), spans(from, count));
            }
            assert!(run.kept.lock().unwrap().bytes <= bytes);
            (0..archives.len())
                .map(|index| {
                    run.take(&index.to_string()).inspect(|spans| assert_eq!(spans.len(), archives[index].1)).is_some()
                })
                .collect()
        };
        let mut seen = std::collections::BTreeSet::new();
        for bytes in [0, 500, 2000, 20_000, 30_000, 100_000, 200_000, 10_000_000] {
            let expected = kept(&mut (0..8), bytes);
            for turn in 0..8 {
                assert_eq!(kept(&mut (0..8).map(|index| (index * 5 + turn) % 8), bytes), expected, "{bytes} {turn}");
                assert_eq!(
                    kept(&mut (0..8).rev().map(|index| (index * 3 + turn) % 8), bytes),
                    expected,
                    "{bytes} {turn}"
                );
            }
            seen.insert(expected.iter().filter(|is_kept| **is_kept).count());
        }
        assert!(seen.len() > 3 && seen.contains(&1) && seen.contains(&8), "{seen:?}");
    }
}
