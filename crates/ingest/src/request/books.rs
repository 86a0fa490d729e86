//! Requests and the archives they belong to: by the hash of the archive, since files move.
//!
//! One archive can have several requests: every export of a quiet time may be the same few bytes, and each of their windows counts.

use std::collections::HashMap;
use std::path::PathBuf;

use keytrail_model::ledger::{ExportRequest, LedgerRow, Note};
use keytrail_model::time;

use crate::digest::cannot_be_read;

/// The side files of a run.
#[derive(Debug, Default)]
pub(crate) struct SideFiles {
    requests: HashMap<String, Vec<ExportRequest>>,
    /// Those that the system did not let us read, with the archive's path.
    pub(crate) unreadable: Vec<(PathBuf, String)>,
}

impl SideFiles {
    /// Reads the side files of archives, given with the hash of each archive.
    pub(crate) fn read(archives: Vec<(PathBuf, String)>) -> Self {
        let mut all = Self::default();
        for (archive, sha256) in archives {
            match super::read(&super::side_file_of(&archive)) {
                Ok(request) => all.requests.entry(sha256).or_default().push(request),
                Err(error) => all.unreadable.push((archive, format!("request side file: {}", cannot_be_read(error)))),
            }
        }
        all
    }

    /// Requests of an archive, by its hash.
    pub(crate) fn of(&self, archive: &str) -> &[ExportRequest] {
        self.requests.get(archive).map(Vec::as_slice).unwrap_or_default()
    }

    /// Rows of archives known before, as they read with what this run learned of their requests. Others are not in it. In the order of the hashes.
    pub(crate) fn late(&self, known: &HashMap<String, LedgerRow>) -> Vec<LedgerRow> {
        let rows = self.requests.iter().filter_map(|(archive, requests)| {
            let row = known.get(archive)?;
            let requests = merged(&row.requests, requests, row.first_time.zip(row.last_time));
            (requests != row.requests).then(|| LedgerRow { requests, ..row.clone() })
        });
        let mut rows: Vec<LedgerRow> = rows.collect();
        rows.sort_unstable_by(|one, other| one.archive.cmp(&other.archive));
        rows
    }
}

/// The requests known before and those that came now, each once, in the order of their windows. A side file about a job takes the place
/// of an earlier one about the same job. `times` are those of the archive's first and last record.
pub(crate) fn merged(before: &[ExportRequest], now: &[ExportRequest], times: Option<(i64, i64)>) -> Vec<ExportRequest> {
    let mut all = before.to_vec();
    for request in now {
        if all.iter().any(|known| known.sha256 == request.sha256) {
            continue;
        }
        all.retain(|known| known.job_id.is_none() || known.job_id != request.job_id);
        let mut request = request.clone();
        request.notes.extend(times.and_then(|times| outside(&request, times)));
        all.push(request);
    }
    all.sort_by(|one, other| (one.window_from, &one.sha256).cmp(&(other.window_from, &other.sha256)));
    all
}

/// Whether records lie outside of the window: then it is not the one they were asked for with.
fn outside(request: &ExportRequest, (first, last): (i64, i64)) -> Option<Note> {
    let (from, to) = request.window_from.zip(request.window_to).filter(|(from, to)| from < to)?;
    if request.covers((first, last)) {
        return None;
    }
    let [first, last, from, to] = [first, last, from, to].map(time::format_service);
    let text = format!(
        "request side file: expected records from {from} to {to}, found some from {first} to {last}: a shifted zone, or another archive's request"
    );
    Some(Note::new("records_outside_window", text))
}

/// What to say about a request that came after its archive.
pub(crate) fn kept(request: &ExportRequest) -> String {
    let told = |moment: Option<i64>| moment.map_or_else(|| "unknown".to_owned(), time::format_service);
    format!("its request was kept: window from {} to {}", told(request.window_from), told(request.window_to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sha256: &str, job_id: Option<&str>, window: Option<(i64, i64)>) -> ExportRequest {
        ExportRequest {
            sha256: sha256.into(),
            job_id: job_id.map(str::to_owned),
            window_from: window.map(|(from, _)| from),
            window_to: window.map(|(_, to)| to),
            ..ExportRequest::default()
        }
    }

    #[test]
    fn requests_of_one_archive_add_up() {
        let (one, two) = (request("1", None, Some((0, 10))), request("2", None, Some((10, 20))));
        let job = |sha256, to| request(sha256, Some("j"), Some((5, to)));
        let cases: [(Vec<ExportRequest>, Vec<ExportRequest>, Vec<&str>); 6] = [
            (vec![], vec![two.clone(), one.clone()], vec!["1", "2"]),
            (vec![one.clone()], vec![one.clone()], vec!["1"]),
            (vec![one.clone()], vec![two.clone(), two.clone()], vec!["1", "2"]),
            (vec![one.clone(), job("3", 6)], vec![job("4", 7)], vec!["1", "4"]),
            (vec![job("3", 6)], vec![], vec!["3"]),
            (vec![request("9", None, None), one.clone()], vec![two.clone()], vec!["9", "1", "2"]),
        ];
        for (before, now, expected) in cases {
            let all = merged(&before, &now, None);
            assert_eq!(all.iter().map(|request| request.sha256.as_str()).collect::<Vec<_>>(), expected);
            assert_eq!(merged(&all, &now, None), all, "the same once more changes nothing");
        }
    }

    #[test]
    fn records_outside_of_the_window_are_said() {
        let second = ExportRequest::END_MICROS;
        for (times, is_said) in [
            (None, false),
            (Some((0, 10 * second)), false),
            (Some((0, 11 * second - 1)), false),
            (Some((0, 11 * second)), true),
            (Some((-1, 5)), true),
        ] {
            let all = merged(&[], &[request("1", None, Some((0, 10 * second)))], times);
            let kinds: Vec<&str> = all[0].notes.iter().map(|note| note.kind.as_str()).collect();
            assert_eq!(kinds.contains(&"records_outside_window"), is_said, "{times:?}");
        }
    }
}
