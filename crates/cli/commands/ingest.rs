//! `keytrail ingest`.

use std::time::{Duration, Instant};

use anyhow::Context;
use keytrail_ingest::{IngestOptions, Limits, Summary};
use serde_json::json;

use crate::args::{IngestArgs, SummaryFormat};
use crate::exit::{Outcome, say};
use crate::progress::IngestBar;

/// Reads the archives and tells the outcome.
pub(crate) fn run(arguments: &IngestArgs) -> anyhow::Result<Outcome> {
    let options = IngestOptions {
        jobs: arguments.jobs,
        memory_bytes: arguments.memory,
        salvage: arguments.salvage,
        limits: Limits::from(&arguments.limits),
        compact: !arguments.no_compact,
        ..IngestOptions::default()
    };
    let store = &arguments.store.store;
    let mut on_wait = || say(&format!("keytrail: another run holds {}; waiting for it to end", store.display()));
    let started = Instant::now();
    let bar = IngestBar::on_terminal();
    let observer = |step| bar.show(step);
    let summary = keytrail_ingest::ingest_observed(&arguments.paths, store, &options, &mut on_wait, &observer);
    drop(bar);
    let summary = summary?;
    let elapsed = started.elapsed();
    super::say_swept(&summary.swept);
    for notice in &summary.notices {
        say(&notice.to_string());
    }
    for warning in &summary.warnings {
        say(&format!("keytrail: {warning}"));
    }
    super::shape::say_compacted(&summary.compacted);
    if summary.freed.0 > 0 {
        super::shape::say_freed(summary.freed.0, summary.freed.1);
    }
    match arguments.format {
        SummaryFormat::Json => {
            let (version, summary) = (summary.store_version, as_json(&summary, elapsed)?);
            super::write_to(None, |out| Ok(writeln!(out, "{summary}")?)).with_context(|| {
                format!(
                    "the run is done ({} is at version {version}), but its summary could not be told",
                    store.display()
                )
            })?;
        }
        SummaryFormat::Human => say(&in_words(&summary, elapsed, store)),
    }
    Ok(if summary.refused_input() { Outcome::RefusedInput } else { Outcome::Done })
}

fn as_json(summary: &Summary, elapsed: Duration) -> anyhow::Result<String> {
    let mut object = serde_json::to_value(summary)?;
    if let Some(members) = object.as_object_mut() {
        members.insert("seconds".into(), json!(elapsed.as_secs_f64()));
        members.insert("version".into(), json!(summary.store_version));
    }
    Ok(object.to_string())
}

fn in_words(summary: &Summary, elapsed: Duration, store: &std::path::Path) -> String {
    let Summary { archives, records, bytes, .. } = summary;
    let seconds = elapsed.as_secs_f64();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    format!(
        "archives: {} new, {} known, {} failed\n\
         records:  {} read = {} stored + {} duplicates + {} rejected\n\
         bytes:    {:.1} MB of archives, {:.1} MB of JSON, in {seconds:.2} s ({:.0} MB/s of JSON)\n\
         store:    {}, version {}",
        archives.new,
        archives.known,
        archives.failed,
        records.read,
        records.stored,
        records.duplicates,
        records.rejected,
        megabytes(bytes.archives),
        megabytes(bytes.json),
        megabytes(bytes.json) / seconds.max(1e-9),
        store.display(),
        summary.store_version,
    )
}
