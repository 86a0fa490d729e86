//! One module for each command: arguments in, the work done by the crate that knows it, words and data out.

pub(crate) mod completions;
pub(crate) mod coverage;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod head;
pub(crate) mod ingest;
pub(crate) mod listing;
pub(crate) mod report;
pub(crate) mod shape;
mod shell;
pub(crate) mod sign;
pub(crate) mod sql;
mod temporary;
pub(crate) mod verify;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use keytrail_model::statuses::StatusCatalogue;
use keytrail_model::time::Month;
use keytrail_query::{STACK_BYTES, Session, SessionOptions};
use keytrail_store::{Snapshot, Store};

use crate::args::EngineArgs;
use crate::exit::is_closed_pipe;

/// Opens the store for SQL, on a runtime of its own.
fn open(arguments: &EngineArgs) -> anyhow::Result<(tokio::runtime::Runtime, Session)> {
    open_snapshot(Store::open(&arguments.store.store)?.snapshot()?, arguments, None)
}

/// The same for a snapshot that was opened, with the months that coverage is wanted of.
fn open_snapshot(
    snapshot: Snapshot,
    arguments: &EngineArgs,
    coverage_months: Option<(Month, Month)>,
) -> anyhow::Result<(tokio::runtime::Runtime, Session)> {
    let threads = arguments.jobs.map(std::num::NonZero::get);
    let options = SessionOptions {
        threads,
        memory_bytes: arguments.memory.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        statuses: statuses(arguments.statuses.as_deref())?,
        coverage_months,
    };
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = crate::runtime::start(threads.unwrap_or_else(cores))?;
    let session = runtime.block_on(Session::new(snapshot, options))?;
    Ok((runtime, session))
}

/// Does something that takes statements of users: these may need more stack than the main thread has.
fn with_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        match thread.context("starting a thread")?.join() {
            Ok(done) => Ok(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn statuses(overrides: Option<&Path>) -> anyhow::Result<StatusCatalogue> {
    let builtin = StatusCatalogue::builtin()?;
    let Some(path) = overrides else {
        return Ok(builtin);
    };
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    builtin.with_overrides(file).with_context(|| path.display().to_string())
}

/// Says where another program committed to the store: what it holds is then not what keytrail put there.
fn say_foreign(snapshot: &Snapshot) {
    if let Some(warning) = snapshot.foreign_warning() {
        crate::exit::say(&format!("keytrail: {warning}"));
    }
}

/// Says what a writer swept when it opened the store.
fn say_swept(swept: &[String]) {
    for path in swept {
        crate::exit::say(&format!("keytrail: swept {path}, {}", keytrail_store::why_swept(path)));
    }
}

/// Writes data to a file, or to stdout where none is given. A file that was there is replaced only when all is written, and who may read
/// it stays the same; a link to it stays one. Pipes and devices are written to as they are.
///
/// A reader who has seen enough and closes the pipe (`keytrail sql ... | head`) ends the writing, and nothing else: what the command
/// found, and so its exit code, does not depend on who listens.
fn write_to(
    output: Option<&Path>,
    write: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match write_all_to(output, write) {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        written => written,
    }
}

/// Writes a path as data: its very bytes, where the system has such, so that it can be opened whatever they are.
fn write_path(out: &mut (dyn Write + Send), path: &Path) -> io::Result<()> {
    out.write_all(path.as_os_str().as_encoded_bytes())?;
    out.write_all(b"\n")
}

/// An output in whose errors its name stands: without it, a pipe or a disk that is full could be taken for that of the store.
struct Named<W> {
    to: W,
    name: String,
}

fn stdout() -> Named<io::Stdout> {
    Named { to: io::stdout(), name: "to stdout".into() }
}

impl<W> Named<W> {
    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("writing {}: {error}", self.name))
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).map_err(|error| self.named(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(|error| self.named(&error))
    }
}

fn write_all_to(
    output: Option<&Path>,
    write: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(path) = output else {
        let mut stdout = BufWriter::new(stdout());
        write(&mut stdout)?;
        return Ok(stdout.flush()?);
    };
    let name = path.display().to_string();
    let writing = || format!("writing {}", path.display());
    if path.exists() && !path.is_file() {
        let file = File::create(path).with_context(writing)?;
        let mut file = BufWriter::new(Named { to: file, name });
        write(&mut file)?;
        return Ok(file.flush()?);
    }
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let draft = draft_of(&target).with_context(writing)?;
    let mut draft = BufWriter::new(Named { to: draft, name });
    write(&mut draft)?;
    let draft = draft.into_inner().map_err(io::IntoInnerError::into_error)?;
    draft.to.persist(target).with_context(writing)?;
    Ok(())
}

/// A file beside another one, to be put in its place, and meanwhile open to nobody who could not open that.
fn draft_of(target: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut draft = tempfile::Builder::new();
    let Ok(present) = fs::metadata(target) else {
        #[cfg(unix)]
        draft.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        return draft.tempfile_in(folder);
    };
    let draft = draft.tempfile_in(folder)?;
    // Only root can give a file away: others own what they write.
    #[cfg(unix)]
    let _ = std::os::unix::fs::fchown(
        draft.as_file(),
        Some(std::os::unix::fs::MetadataExt::uid(&present)),
        Some(std::os::unix::fs::MetadataExt::gid(&present)),
    );
    draft.as_file().set_permissions(present.permissions())?;
    Ok(draft)
}
