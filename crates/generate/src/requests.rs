//! Side files: the request that each good archive was exported with, and the job's answer, as `docs/request-files.md` describes them.

use std::fs;
use std::path::Path;

use crate::GenerateError;
use crate::clock::{SECOND, rfc3339};
use crate::expected::{ArchiveAnswer, Coverage};
use crate::plan::{ArchivePlan, Plan, span};

/// Time from the end of a window to the start of its job.
const JOB_AFTER: i64 = 600 * SECOND;
/// How long a job takes.
const JOB_TAKES: i64 = 7 * SECOND;

/// Writes a side file beside each good archive, and tells what their windows cover. `None` where the options want none.
pub(crate) fn write(
    plan: &Plan<'_>,
    written: &[ArchiveAnswer],
    folder: &Path,
) -> Result<Option<Coverage>, GenerateError> {
    if !plan.options.requests {
        return Ok(None);
    }
    let mut overlap = 0;
    // Both are in the order of their names, which is that of their times.
    for (archive, answer) in plan.archives.iter().zip(written) {
        let from = window_from(plan, archive);
        overlap += archive.from - from;
        let path = folder.join(format!("{}.request.json", answer.name));
        fs::write(&path, side_file(archive, from)?).map_err(|error| GenerateError::io(&path, error))?;
    }
    let (from, to) = span(plan.options);
    Ok(Some(Coverage {
        from: rfc3339(from),
        to: rfc3339(to),
        windows: plan.archives.len() as u64,
        overlap_seconds: (overlap / SECOND).unsigned_abs(),
    }))
}

/// An archive that repeats the end of the one before it was asked for that, too; in whole seconds, as clients ask.
fn window_from(plan: &Plan<'_>, archive: &ArchivePlan<'_>) -> i64 {
    let from = plan.repeated(archive).map_or(archive.from, |(_, from)| from);
    from.div_euclid(SECOND) * SECOND
}

fn side_file(archive: &ArchivePlan<'_>, from: i64) -> Result<Vec<u8>, GenerateError> {
    let job = format!("00000000-0000-4000-8000-{:012x}", archive.index);
    let (started, ended) = (archive.to + JOB_AFTER, archive.to + JOB_AFTER + JOB_TAKES);
    let mut text = serde_json::to_vec_pretty(&serde_json::json!({
        "request": { "from": rfc3339(from), "to": rfc3339(archive.to) },
        "response": {
            "jobId": job,
            "startedAt": rfc3339(started),
            "endedAt": rfc3339(ended),
            "state": "SUCCEEDED",
            "location": format!("https://exports.example.org/{job}?signature=none"),
        },
    }))?;
    text.push(b'\n');
    Ok(text)
}
