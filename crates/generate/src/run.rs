//! The whole run: prepare the folder, write all archives on all cores, put the answers together.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::GenerateError;
use crate::archive::{Written, write_archive};
use crate::damaged::{write_copies, write_damaged};
use crate::expected::{ArchiveAnswer, ArchiveCounts, ArchiveStatus, ByteCounts, Expected, RecordCounts, Reject};
use crate::options::GenerateOptions;
use crate::plan::{Plan, deed_limit, span};
use crate::requests;
use crate::schedule;
use crate::tally::Tally;
use crate::world::World;

/// Name of the folder with the archives.
const ARCHIVES: &str = "archives";
/// Name of the file with the answers.
const ANSWERS: &str = "expected.json";

/// Writes `archives/` and `expected.json` into a folder, and returns the answers.
///
/// The folder is created where it is missing. It must be empty, unless
/// [`overwrite`](GenerateOptions::overwrite) is set; then an earlier output in it is removed first, and anything else in
/// the archives folder is an error, because the answers would not cover it.
pub fn generate(options: &GenerateOptions, out_dir: &Path) -> Result<Expected, GenerateError> {
    options.validate()?;
    let folder = prepare(options, out_dir)?;
    let (from, to) = span(options);
    let world = World::new(options, from, to);
    let due = schedule::plan(&world, options.seed, options.lockout_runs, deed_limit(options), from, to);
    let plan = Plan::new(options, &world, &due);
    let (tally, written) = write_all(&plan, &folder)?;
    let mut archives = Vec::with_capacity(written.len());
    let mut rejects = Vec::new();
    for item in written {
        archives.push(item.answer);
        rejects.extend(item.rejects);
    }
    let coverage = requests::write(&plan, &archives, &folder)?;
    let copies = write_copies(options.copies, &archives, &folder)?;
    archives.extend(copies);
    archives.extend(write_damaged(&plan, &folder)?);
    archives.sort_by(|left, right| left.name.cmp(&right.name));
    rejects.sort();
    let expected = Expected { coverage, ..answers(options, &world, tally, archives, rejects) };
    write_answers(&expected, &out_dir.join(ANSWERS))?;
    Ok(expected)
}

/// Makes the folder for the archives, empty.
fn prepare(options: &GenerateOptions, out_dir: &Path) -> Result<PathBuf, GenerateError> {
    let folder = out_dir.join(ARCHIVES);
    fs::create_dir_all(out_dir).map_err(|error| GenerateError::io(out_dir, error))?;
    if !is_empty(out_dir)? {
        if !options.overwrite {
            return Err(GenerateError::NotEmpty { path: out_dir.to_path_buf() });
        }
        remove_earlier(out_dir, &folder)?;
    }
    fs::create_dir_all(&folder).map_err(|error| GenerateError::io(&folder, error))?;
    if is_empty(&folder)? { Ok(folder) } else { Err(GenerateError::NotEmpty { path: folder }) }
}

fn is_empty(folder: &Path) -> Result<bool, GenerateError> {
    Ok(fs::read_dir(folder).map_err(|error| GenerateError::io(folder, error))?.next().is_none())
}

/// Removes files that carry the names this module gives.
fn remove_earlier(out_dir: &Path, folder: &Path) -> Result<(), GenerateError> {
    let answers = out_dir.join(ANSWERS);
    if answers.exists() {
        fs::remove_file(&answers).map_err(|error| GenerateError::io(&answers, error))?;
    }
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(|error| GenerateError::io(folder, error))? {
        let path = entry.map_err(|error| GenerateError::io(folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ["audit-", "copy-", "fault-"].iter().any(|prefix| name.starts_with(prefix)) {
            fs::remove_file(&path).map_err(|error| GenerateError::io(&path, error))?;
        }
    }
    Ok(())
}

/// Writes the good archives. Each worker takes the next archive that nobody has begun and counts into a tally of its own.
fn write_all(plan: &Plan<'_>, folder: &Path) -> Result<(Tally, Vec<Written>), GenerateError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(plan.options.jobs)
        .build()
        .map_err(|error| GenerateError::Threads(error.to_string()))?;
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let workers = pool.broadcast(|_| {
        let mut tally = Tally::new(plan.world);
        let mut written = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(archive) = plan.archives.get(index) else { break };
            match write_archive(plan, archive, folder, &mut tally) {
                Ok(item) => written.push(item),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok((tally, written))
    });
    let mut tally = Tally::new(plan.world);
    let mut written = Vec::with_capacity(plan.archives.len());
    for worker in workers {
        let (its_tally, its_written) = worker?;
        tally.merge(its_tally);
        written.extend(its_written);
    }
    written.sort_by(|left, right| left.answer.name.cmp(&right.answer.name));
    Ok((tally, written))
}

fn answers(
    options: &GenerateOptions,
    world: &World,
    tally: Tally,
    archives: Vec<ArchiveAnswer>,
    rejects: Vec<Reject>,
) -> Expected {
    let duplicates: u64 = archives.iter().map(|archive| archive.repeated).sum();
    let rejected = rejects.len() as u64;
    let mut expected = Expected {
        options: options.clone(),
        archives: count_archives(&archives),
        records: RecordCounts {
            read: tally.records + duplicates + rejected,
            stored: tally.records,
            duplicates,
            rejected,
            equal_pairs: tally.twins,
        },
        bytes: count_bytes(&archives),
        first_time: tally.seen.first(),
        last_time: tally.seen.last(),
        by_source: BTreeMap::from([
            ("cdsp".to_owned(), tally.cipher_trust),
            ("cloudhsm".to_owned(), tally.records - tally.cipher_trust),
        ]),
        by_month: BTreeMap::new(),
        by_action: BTreeMap::new(),
        by_status: BTreeMap::new(),
        by_month_action_status: BTreeMap::new(),
        key_usage: tally.key_usage(world),
        login_failures: tally.login_failures(world),
        zeroize_events: Vec::new(),
        coverage: None,
        archive_list: archives,
        rejects,
    };
    for (month, action, status, count) in tally.codes() {
        *expected.by_month.entry(month.clone()).or_default() += count;
        *expected.by_action.entry(action.to_owned()).or_default() += count;
        *expected.by_status.entry(status.to_owned()).or_default() += count;
        let actions = expected.by_month_action_status.entry(month).or_default();
        *actions.entry(action.to_owned()).or_default().entry(status.to_owned()).or_default() += count;
    }
    expected.zeroize_events = tally.zeroize_events();
    expected
}

fn count_archives(archives: &[ArchiveAnswer]) -> ArchiveCounts {
    let of = |status| archives.iter().filter(|archive| archive.status == status).count() as u64;
    let failed = archives.iter().filter(|archive| archive.status == ArchiveStatus::Failed);
    ArchiveCounts {
        total: archives.len() as u64,
        new: of(ArchiveStatus::Stored),
        known: of(ArchiveStatus::Copy),
        failed: of(ArchiveStatus::Failed),
        failed_names: failed.map(|archive| archive.name.clone()).collect(),
    }
}

fn count_bytes(archives: &[ArchiveAnswer]) -> ByteCounts {
    let stored = archives.iter().filter(|archive| archive.status == ArchiveStatus::Stored);
    ByteCounts {
        archives: stored.map(|archive| archive.bytes).sum(),
        json: archives.iter().map(|archive| archive.json_bytes).sum(),
        files: archives.iter().map(|archive| archive.bytes).sum(),
    }
}

fn write_answers(expected: &Expected, path: &Path) -> Result<(), GenerateError> {
    let io = |error| GenerateError::io(path, error);
    let mut file = BufWriter::new(fs::File::create(path).map_err(io)?);
    serde_json::to_writer_pretty(&mut file, expected)?;
    file.write_all(b"\n").map_err(io)?;
    file.flush().map_err(io)
}
