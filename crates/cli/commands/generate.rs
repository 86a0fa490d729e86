//! `keytrail generate`.

use keytrail_generate::{Fault, GenerateOptions, generate};

use crate::args::GenerateArgs;
use crate::exit::{Outcome, UsageError, say};

/// Makes archives and their answers.
pub(crate) fn run(arguments: &GenerateArgs) -> anyhow::Result<Outcome> {
    let options = options(arguments).map_err(UsageError)?;
    options.validate().map_err(|error| UsageError(error.to_string()))?;
    let expected = generate(&options, &arguments.dir)?;
    say(&format!(
        "{} archives with {} records ({:.1} MB of JSON) in {}; the answers are in {}",
        expected.archives.new + expected.archives.known + expected.archives.failed,
        expected.records.read,
        expected.bytes.json as f64 / 1e6,
        arguments.dir.join("archives").display(),
        arguments.dir.join("expected.json").display(),
    ));
    Ok(Outcome::Done)
}

fn options(arguments: &GenerateArgs) -> Result<GenerateOptions, String> {
    fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
        text.parse().map_err(|error: T::Err| error.to_string())
    }
    let usual = GenerateOptions::of_load(parse(&arguments.load)?);
    Ok(GenerateOptions {
        records: arguments.records,
        days: arguments.days,
        first_day: arguments.first_day.parse().map_err(|error| format!("--first-day: {error}"))?,
        archives: arguments.archives,
        archives_per_day: arguments.archives_per_day,
        seed: arguments.seed,
        container: parse(&arguments.container)?,
        members: arguments.members,
        meta: parse(&arguments.meta)?,
        trace_ids: !arguments.no_trace_ids,
        precision: parse(&arguments.precision)?,
        clients: arguments.clients.unwrap_or(usual.clients),
        partitions: arguments.partitions.unwrap_or(usual.partitions),
        keys: arguments.keys.unwrap_or(usual.keys),
        cipher_trust: arguments.cipher_trust,
        overlap: arguments.overlap,
        equal_pairs: arguments.equal_pairs,
        vary_layout: arguments.vary_layout,
        copies: arguments.copies,
        requests: arguments.requests,
        faults: arguments.faults.iter().map(|fault| parse::<Fault>(fault)).collect::<Result<_, _>>()?,
        level: arguments.level,
        jobs: arguments.jobs.map_or(0, std::num::NonZero::get),
        overwrite: arguments.overwrite,
        ..usual
    })
}
