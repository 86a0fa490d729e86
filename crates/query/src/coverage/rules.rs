//! What an archive covers: which time of which services, wholly or in part. The rules; how spans add up is left to SQL.
//!
//! A window that an export was asked for counts where nothing contradicts it, for the services that its filters let through. Without such a
//! window the time from first to last record of each service stands in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keytrail_model::ledger::{ArchiveStatus, ExportRequest, ServiceKey};
use keytrail_model::time::Month;

/// Longest time that a window, or the records of one archive, are taken to cover. The service exports 31 days at most.
const SPAN_MICROS_MAX: i64 = 366 * 86_400_000_000;
/// Months without any archive between months with some, up to which they are listed; a longer time is one of stray dates.
const MONTHS_BETWEEN_MAX: usize = 120;
/// Rows of the calendar. Beyond, it lists for each service only months that an archive touches.
const CALENDAR_ROWS_MAX: usize = 1 << 20;
/// Filters that let through all records of a service or none.
const BY_SERVICE: [&str; 3] = ["resourceId", "source", "tenantId"];

/// An archive, as the ledger has it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) archive: String,
    pub(super) status: ArchiveStatus,
    /// First and last record.
    pub(super) times: Option<(i64, i64)>,
    pub(super) requests: Vec<ExportRequest>,
    /// Services it holds records of, with first and last of them.
    pub(super) services: Vec<(Arc<ServiceKey>, (i64, i64))>,
}

/// Whose records a service's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SourceKind {
    Hsm,
    CipherTrust,
    /// Exports were asked for it, and no record was ever seen.
    Unknown,
}

impl SourceKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hsm => "hsm",
            Self::CipherTrust => "ciphertrust",
            Self::Unknown => "unknown",
        }
    }

    fn of(source: Option<&str>) -> Self {
        if source == Some("cdsp") { Self::CipherTrust } else { Self::Hsm }
    }
}

/// What coverage is told of.
pub(super) type Service = (Option<String>, SourceKind);

/// Time of one month that an archive covers of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Index of the archive.
    pub(super) archive: usize,
    /// Index of the service.
    pub(super) service: usize,
    pub(super) month: Month,
    /// First moment, and the first one behind; microseconds since the epoch.
    pub(super) span: (i64, i64),
    /// Whether it is a window that was asked for, or a guess by records.
    pub(super) is_request: bool,
    /// Why it is covered only in part.
    pub(super) shortfall: Option<Arc<str>>,
}

/// All that the archives of a store cover.
#[derive(Debug, Default)]
pub(super) struct Covered {
    pub(super) services: Vec<Service>,
    pub(super) pieces: Vec<Piece>,
    /// Months of each service, by its index.
    pub(super) calendar: Vec<(usize, Month)>,
}

/// More than can be held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TooMany {
    /// Spans that the archives give, times their services.
    Spans,
    /// Months that were asked for, times the services.
    Months,
}

/// Where records of a service come from, and whose they are.
type Facet = (Option<String>, Option<String>);

/// Tells what archives cover, in `pieces_max` pieces at most. `asked` are the first and last month that somebody wants to hear of: they are
/// in the calendar whatever the archives touch.
pub(super) fn covered(
    archives: &[Source],
    pieces_max: usize,
    asked: Option<(Month, Month)>,
) -> Result<Covered, TooMany> {
    let services = services(archives);
    let tenants = Tenants::of(archives);
    let places: BTreeMap<&Service, usize> = services.keys().zip(0..).collect();
    let mut all = Covered { services: services.keys().cloned().collect(), ..Covered::default() };
    for (index, source) in archives.iter().enumerate().filter(|(_, source)| source.status != ArchiveStatus::Failed) {
        // All tenants of an archive are in one group.
        let own = source.services.iter().find_map(|(key, _)| Some(tenants.group(&lower(key.tenant_id.as_deref())?)));
        let mut put = |service, span, is_request, shortfall| {
            all.add(index, service, span, is_request, shortfall);
            if all.pieces.len() > pieces_max { Err(TooMany::Spans) } else { Ok(()) }
        };
        let windows = source.requests.iter().filter_map(|request| Some((request, window(request, source.times)?)));
        let mut has_window = false;
        for (request, span) in windows {
            has_window = true;
            let shortfall = shortfall(source.status, request);
            for (service, ((resource_id, _), facets)) in services.iter().enumerate() {
                let judge = |facet: &Facet| judge(request, resource_id.as_deref(), facet, own, &tenants);
                let Some(worst) = facets.iter().map(judge).min() else {
                    continue;
                };
                match (worst, facets.iter().map(judge).max()) {
                    (Passes::Yes, _) => put(service, span, true, shortfall.clone())?,
                    (_, Some(Passes::Yes | Passes::Unknown)) => {
                        let unknown = || "whether the request covers all of the service is not known".into();
                        put(service, span, true, Some(shortfall.clone().unwrap_or_else(unknown)))?;
                    }
                    _ => {}
                }
            }
        }
        if !has_window {
            let narrowed = source.requests.iter().find_map(|request| shortfall(source.status, request));
            let salvaged = (source.status == ArchiveStatus::Salvaged).then(|| "salvaged".into());
            let shortfall = salvaged.or(narrowed);
            for (service, span) in by_records(source, &places) {
                put(service, span, false, shortfall.clone())?;
            }
        }
    }
    all.calendar = calendar(&all.pieces, all.services.len(), asked)?;
    Ok(all)
}

impl Covered {
    fn add(
        &mut self,
        archive: usize,
        service: usize,
        (from, until): (i64, i64),
        is_request: bool,
        shortfall: Option<Arc<str>>,
    ) {
        // Records of one archive that are years apart show a stray date rather than an export of years: its ends are told, not as covered.
        let is_far = until.saturating_sub(from) > SPAN_MICROS_MAX;
        let shortfall = shortfall.or_else(|| is_far.then(|| "records more than 366 days apart".into()));
        let (first, last) = (Month::of(from), Month::of(until.saturating_sub(1)));
        let mut next = first;
        while let Some(month) = next {
            let (start, end) = month.bounds();
            let span = (from.max(start), until.min(end));
            if span.0 < span.1 && (!is_far || Some(month) == first || Some(month) == last) {
                let shortfall = shortfall.clone();
                self.pieces.push(Piece { archive, service, month, span, is_request, shortfall });
            }
            next = if end >= until {
                None
            } else if is_far {
                last
            } else {
                Month::of(end)
            };
        }
    }
}

/// All services with what is known of each, also those that are known from requests only.
fn services(archives: &[Source]) -> BTreeMap<Service, BTreeSet<Facet>> {
    let mut services: BTreeMap<Service, BTreeSet<Facet>> = BTreeMap::new();
    for (key, _) in archives.iter().flat_map(|archive| &archive.services) {
        let service = (key.resource_id.clone(), SourceKind::of(key.source.as_deref()));
        services.entry(service).or_default().insert((key.source.clone(), lower(key.tenant_id.as_deref())));
    }
    let seen: BTreeSet<String> = services.keys().filter_map(|(resource_id, _)| lower(resource_id.as_deref())).collect();
    for archive in archives.iter().filter(|archive| archive.status != ArchiveStatus::Failed) {
        let windows = archive.requests.iter().filter(|request| window(request, archive.times).is_some());
        for request in windows {
            let filter = |name: &str| request.filters.get(name).map(String::as_str);
            let Some(resource_id) = lower(filter("resourceId")).filter(|resource_id| !seen.contains(resource_id))
            else {
                continue;
            };
            let kind = match filter("source") {
                None => SourceKind::Unknown,
                source => SourceKind::of(source),
            };
            let facet = (filter("source").map(str::to_owned), lower(filter("tenantId")));
            services.entry((Some(resource_id), kind)).or_default().insert(facet);
        }
    }
    services
}

/// The time that a request's window covers; `None` where there is none or something contradicts it.
fn window(request: &ExportRequest, times: Option<(i64, i64)>) -> Option<(i64, i64)> {
    let (from, to) = request.window_from.zip(request.window_to)?;
    // Nothing later than the start of its job can be in an export.
    let until = to.min(request.job_started_at.unwrap_or(to));
    let is_within = times.is_none_or(|times| request.covers(times));
    (from < until && to.saturating_sub(from) <= SPAN_MICROS_MAX && is_within).then_some((from, until))
}

/// Why an export lacks records of the services it is about.
fn shortfall(status: ArchiveStatus, request: &ExportRequest) -> Option<Arc<str>> {
    if status == ArchiveStatus::Salvaged {
        return Some("salvaged".into());
    }
    if let Some(state) = request.bad_end() {
        return Some(format!("job state {state}").into());
    }
    let others: Vec<&str> =
        request.filters.keys().map(String::as_str).filter(|name| !BY_SERVICE.contains(name)).collect();
    (!others.is_empty()).then(|| format!("filtered by {}", others.join(", ")).into())
}

/// Whether the records of a service pass a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Passes {
    No,
    Unknown,
    Yes,
}

/// `own` is the group of the tenants of the archive's records, if they tell any.
fn judge(
    request: &ExportRequest,
    resource_id: Option<&str>,
    (source, tenant): &Facet,
    own: Option<usize>,
    tenants: &Tenants,
) -> Passes {
    let filter = |name: &str| request.filters.get(name).map(String::as_str);
    let (by_resource, by_source, by_tenant) = (filter("resourceId"), filter("source"), filter("tenantId"));
    if by_resource.is_some_and(|wanted| !resource_id.is_some_and(|found| found.eq_ignore_ascii_case(wanted))) {
        return Passes::No;
    }
    match (by_source, source.as_deref()) {
        (Some(wanted), Some(found)) if wanted != found => return Passes::No,
        (Some(_), None) => return Passes::Unknown,
        _ => {}
    }
    match (by_tenant, tenant.as_deref()) {
        (Some(wanted), Some(found)) if !wanted.eq_ignore_ascii_case(found) => Passes::No,
        (Some(_), _) => Passes::Yes,
        (None, _) if by_resource.is_some() || tenants.groups <= 1 => Passes::Yes,
        (None, Some(tenant)) if own.is_some() => {
            if own == Some(tenants.group(tenant)) {
                Passes::Yes
            } else {
                Passes::No
            }
        }
        (None, _) => Passes::Unknown,
    }
}

/// Tenants in groups: those whose records stand together in some archive can be exported together.
struct Tenants {
    /// Number of the group of each tenant, in lower case.
    numbers: BTreeMap<String, usize>,
    groups: usize,
}

impl Tenants {
    fn of(archives: &[Source]) -> Self {
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        for archive in archives {
            let own: BTreeSet<String> =
                archive.services.iter().filter_map(|(key, _)| lower(key.tenant_id.as_deref())).collect();
            let met: BTreeSet<usize> = own.iter().filter_map(|tenant| numbers.get(tenant).copied()).collect();
            // A group that is new, or all that now turn out to be one.
            let number = met.first().copied().unwrap_or(numbers.len());
            if met.len() > 1 {
                numbers.values_mut().filter(|other| met.contains(other)).for_each(|other| *other = number);
            }
            for tenant in own {
                numbers.entry(tenant).or_insert(number);
            }
        }
        let groups = numbers.values().collect::<BTreeSet<_>>().len();
        Self { numbers, groups }
    }

    /// The group of a tenant; one without records is in none of the others.
    fn group(&self, tenant: &str) -> usize {
        self.numbers.get(tenant).copied().unwrap_or(usize::MAX)
    }
}

/// First to last record of each service of an archive, the first moment and the first one behind.
fn by_records(source: &Source, places: &BTreeMap<&Service, usize>) -> BTreeMap<usize, (i64, i64)> {
    let mut spans: BTreeMap<usize, (i64, i64)> = BTreeMap::new();
    for (key, (first, last)) in &source.services {
        let service = (key.resource_id.clone(), SourceKind::of(key.source.as_deref()));
        let Some(place) = places.get(&service) else {
            continue;
        };
        let span = spans.entry(*place).or_insert((*first, last.saturating_add(1)));
        *span = (span.0.min(*first), span.1.max(last.saturating_add(1)));
    }
    spans
}

/// The months of each service, in order: from the first that a piece of it touches to the last of all, and those that were asked for.
fn calendar(pieces: &[Piece], services: usize, asked: Option<(Month, Month)>) -> Result<Vec<(usize, Month)>, TooMany> {
    let mut first_months: BTreeMap<usize, Month> = BTreeMap::new();
    for piece in pieces {
        let first = first_months.entry(piece.service).or_insert(piece.month);
        *first = piece.month.min(*first);
    }
    let mut rows = touched_months(pieces, &first_months);
    let Some((from, to)) = asked else {
        return Ok(rows.into_iter().collect());
    };
    let first_of_all = first_months.values().min();
    let (mut at_most, mut next) = (CALENDAR_ROWS_MAX, Some(from).filter(|from| *from <= to));
    while let Some(month) = next {
        at_most = at_most.checked_sub(services).ok_or(TooMany::Months)?;
        // A service is missed from its first month on, one that nothing covers in any. Before the first month of all each is: that nothing at
        // all is known of a month must not look as if nothing were missing.
        let is_before_all = first_of_all.is_some_and(|first| month < *first);
        let is_missed =
            |service: &usize| first_months.get(service).is_none_or(|first| is_before_all || *first <= month);
        rows.extend((0..services).filter(is_missed).map(|service| (service, month)));
        // The end of the last month that there is lies in that month.
        next = after(month).filter(|next| *next > month && *next <= to);
    }
    Ok(rows.into_iter().collect())
}

/// The months of each service from its first one to the last that a piece of any touches; not the years before a stray date.
fn touched_months(pieces: &[Piece], first_months: &BTreeMap<usize, Month>) -> BTreeSet<(usize, Month)> {
    let touched: BTreeSet<Month> = pieces.iter().map(|piece| piece.month).collect();
    let mut months: Vec<Month> = Vec::new();
    for month in touched {
        if let Some(last) = months.last() {
            let between =
                || std::iter::successors(after(*last), |month| after(*month)).take_while(|other| *other < month);
            if between().take(MONTHS_BETWEEN_MAX + 1).count() <= MONTHS_BETWEEN_MAX {
                let between: Vec<Month> = between().collect();
                months.extend(between);
            }
        }
        months.push(month);
    }
    let from = |first: Month| months.get(months.partition_point(|month| *month < first)..).unwrap_or_default();
    let rows = first_months.values().map(|first| from(*first).len()).fold(0_usize, usize::saturating_add);
    if rows > CALENDAR_ROWS_MAX {
        return pieces.iter().map(|piece| (piece.service, piece.month)).collect();
    }
    first_months.iter().flat_map(|(service, first)| from(*first).iter().map(|month| (*service, *month))).collect()
}

fn after(month: Month) -> Option<Month> {
    Month::of(month.bounds().1)
}

fn lower(text: Option<&str>) -> Option<String> {
    text.map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn source(name: &str, resource: &str, times: (i64, i64)) -> Source {
        let key = ServiceKey { resource_id: Some(resource.into()), ..ServiceKey::default() };
        Source {
            archive: name.into(),
            status: ArchiveStatus::Stored,
            times: Some(times),
            requests: vec![],
            services: vec![(Arc::new(key), times)],
        }
    }

    fn months(calendar: &[(usize, Month)], service: usize) -> Vec<String> {
        calendar.iter().filter(|row| row.0 == service).map(|row| row.1.to_string()).collect()
    }

    #[test]
    fn months_are_listed_from_the_first_of_a_service_to_the_last_of_all() {
        let january = 1_767_225_600_000_000;
        let archives = [
            source("a", "r1", (january, january + DAY)),
            source("b", "r1", (january + 65 * DAY, january + 66 * DAY)),
            source("c", "r2", (january + 35 * DAY, january + 40 * DAY)),
            // A stray date, centuries before.
            source("d", "r3", (january - 300 * 366 * DAY, january)),
        ];
        let all = covered(&archives, 1000, None).unwrap();
        assert_eq!(months(&all.calendar, 0), ["2026-01", "2026-02", "2026-03"]);
        assert_eq!(months(&all.calendar, 1), ["2026-02", "2026-03"]);
        assert_eq!(months(&all.calendar, 2), ["1725-05", "2026-01", "2026-02", "2026-03"]);
        let stray: Vec<_> = all.pieces.iter().filter(|piece| piece.service == 2).collect();
        assert_eq!(stray.len(), 2);
        assert!(stray.iter().all(|piece| piece.shortfall.is_some()), "{stray:?}");
        assert_eq!(covered(&archives, 4, None).unwrap_err(), TooMany::Spans);
    }

    #[test]
    fn months_that_were_asked_for_are_listed() {
        let january = 1_767_225_600_000_000;
        let archives = [
            source("a", "r1", (january, january + DAY)),
            source("b", "r2", (january + 35 * DAY, january + 40 * DAY)),
            Source { status: ArchiveStatus::Failed, ..source("c", "r3", (january, january + DAY)) },
        ];
        let asked = |from: &str, to: &str| covered(&archives, 1000, Month::parse(from).zip(Month::parse(to)));
        let of = |from: &str, to: &str| {
            let calendar = asked(from, to).unwrap().calendar;
            [0, 1, 2].map(|service| months(&calendar, service).join(" "))
        };
        assert_eq!(of("2026-02", "2026-02"), ["2026-01 2026-02", "2026-02", "2026-02"]);
        assert_eq!(of("2026-01", "2026-01"), ["2026-01 2026-02", "2026-02", "2026-01"], "the second came later");
        assert_eq!(
            of("2026-04", "2026-05"),
            ["2026-01 2026-02 2026-04 2026-05", "2026-02 2026-04 2026-05", "2026-04 2026-05"]
        );
        assert_eq!(of("2025-12", "2026-01"), ["2025-12 2026-01 2026-02", "2025-12 2026-02", "2025-12 2026-01"]);
        assert_eq!(of("2026-05", "2026-04"), ["2026-01 2026-02", "2026-02", ""]);
        assert!(asked("0001-01", "9999-12").is_ok());
        let many: Vec<Source> = (0..100).map(|n| source("a", &format!("r{n}"), (january, january + DAY))).collect();
        let ages = Month::parse("0001-01").zip(Month::parse("9999-12"));
        assert_eq!(covered(&many, 1000, ages).unwrap_err(), TooMany::Months);
        assert_eq!(covered(&[], 1000, ages).unwrap().calendar, []);
    }

    #[test]
    fn tenants_that_were_exported_together_are_a_group() {
        let of = |tenants: &[&str]| {
            let key = |tenant: &&str| ServiceKey { tenant_id: Some((*tenant).into()), ..ServiceKey::default() };
            let services = tenants.iter().map(|tenant| (Arc::new(key(tenant)), (0, 1))).collect();
            Source { services, ..source("a", "r", (0, 1)) }
        };
        type Case<'a> = (&'a [&'a [&'a str]], usize);
        let cases: [Case<'_>; 6] = [
            (&[], 0),
            (&[&["a"], &["A"]], 1),
            (&[&["a"], &["b"], &["c"]], 3),
            (&[&["a", "b"], &["b"], &["c"]], 2),
            (&[&["a"], &["b"], &["c"], &["c", "a"]], 2),
            (&[&["a", "b"], &["c", "d"], &["e"], &["d", "a"], &["e", "b"]], 1),
        ];
        for (archives, groups) in cases {
            let archives: Vec<Source> = archives.iter().map(|tenants| of(tenants)).collect();
            assert_eq!(Tenants::of(&archives).groups, groups, "{archives:?}");
        }
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        for times in [
            (i64::MIN, i64::MAX),
            (i64::MAX, i64::MAX),
            (i64::MIN, i64::MIN),
            (253_402_207_199_999_999, 253_402_207_199_999_999),
        ] {
            covered(&[source("a", "r1", times)], 1000, None).unwrap();
        }
    }
}
