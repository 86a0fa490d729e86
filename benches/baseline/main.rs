//! `inflate-only FOLDER [--jobs N]`: the floor below which no conversion of ZIP archives can come.
//!
//! Answers for reading every `*.zip` of a folder and inflating all members with libdeflate on all cores, each worker into one
//! buffer that it uses again. Prints `{"archives":N,"members":N,"bytes":N,"json":N,"seconds":X}`: bytes of the archives, bytes inflated,
//! wall time without the start of the process. Knows nothing of records, and looks at no checksum.

use std::error::Error;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use libdeflater::Decompressor;
use zip::{CompressionMethod, ZipArchive};

type Fault = Box<dyn Error + Send + Sync>;

/// What was inflated: counts, bytes of archives, bytes of JSON.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Inflated {
    archives: u64,
    members: u64,
    bytes: u64,
    json: u64,
}

impl Inflated {
    fn add(&mut self, other: Self) {
        self.archives += other.archives;
        self.members += other.members;
        self.bytes += other.bytes;
        self.json += other.json;
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(line) => match writeln!(std::io::stdout(), "{line}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "inflate-only: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<String, Fault> {
    let (folder, jobs) = match arguments {
        [folder] => (folder, 0),
        [folder, option, jobs] if option == "--jobs" => (folder, jobs.parse()?),
        _ => return Err("usage: inflate-only FOLDER [--jobs N]".into()),
    };
    let start = Instant::now();
    let Inflated { archives, members, bytes, json } = inflate_folder(Path::new(folder), jobs)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!(r#"{{"archives":{archives},"members":{members},"bytes":{bytes},"json":{json},"seconds":{seconds:.6}}}"#))
}

/// Inflates all archives of a folder; `jobs` threads, 0 for one per core. The first fault ends it.
fn inflate_folder(folder: &Path, jobs: usize) -> Result<Inflated, Fault> {
    let paths = archives_of(folder)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()?;
    let next = AtomicUsize::new(0);
    let workers = pool.broadcast(|_| {
        let mut worker = Worker::default();
        let mut sum = Inflated::default();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            sum.add(worker.inflate(path).map_err(|fault| format!("{}: {fault}", path.display()))?);
        }
        Ok::<_, Fault>(sum)
    });
    let mut sum = Inflated::default();
    for worker in workers {
        sum.add(worker?);
    }
    Ok(sum)
}

/// The ZIPs of a folder, largest first, so that no worker is left alone with a large one at the end.
fn archives_of(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "zip") {
            found.push((entry.metadata()?.len(), path));
        }
    }
    found.sort_by(|left, right| right.cmp(left));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Buffers of one thread: an archive as it lies on disk, a member as it inflates.
#[derive(Default)]
struct Worker {
    decompressor: Option<Decompressor>,
    archive: Vec<u8>,
    member: Vec<u8>,
}

impl Worker {
    fn inflate(&mut self, path: &Path) -> Result<Inflated, Fault> {
        self.archive.clear();
        File::open(path)?.read_to_end(&mut self.archive)?;
        let decompressor = self.decompressor.get_or_insert_with(Decompressor::new);
        let mut sum = Inflated { archives: 1, bytes: self.archive.len() as u64, ..Inflated::default() };
        let mut zip = ZipArchive::new(Cursor::new(self.archive.as_slice()))?;
        for index in 0..zip.len() {
            let member = zip.by_index_raw(index)?;
            if member.compression() != CompressionMethod::Deflated {
                return Err("a member is not deflated".into());
            }
            let start = usize::try_from(member.data_start().ok_or("a member without data")?)?;
            let end = start.saturating_add(usize::try_from(member.compressed_size())?);
            let length = usize::try_from(member.size())?;
            if self.member.len() < length {
                self.member.resize(length, 0);
            }
            let deflated = self.archive.get(start..end).ok_or("a member beyond the end of its archive")?;
            let room = self.member.get_mut(..length).ok_or("no room")?;
            sum.json += decompressor.deflate_decompress(deflated, room)? as u64;
            sum.members += 1;
        }
        Ok(sum)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive(path: &Path, members: &[&[u8]], method: CompressionMethod) -> u64 {
        let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
        for (number, member) in members.iter().enumerate() {
            zip.start_file(format!("{number}.json"), SimpleFileOptions::default().compression_method(method)).unwrap();
            zip.write_all(member).unwrap();
        }
        zip.finish().unwrap();
        path.metadata().unwrap().len()
    }

    #[test]
    fn every_member_of_every_zip_is_inflated() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = archive(&folder.path().join("a.zip"), &[b"[1]", &[b' '; 100_000]], CompressionMethod::Deflated);
        bytes += archive(&folder.path().join("b.zip"), &[b"[]"], CompressionMethod::Deflated);
        std::fs::write(folder.path().join("notes.txt"), "not an archive").unwrap();
        let wanted = Inflated { archives: 2, members: 3, bytes, json: 100_005 };
        assert_eq!(inflate_folder(folder.path(), 2).unwrap(), wanted);
    }

    #[test]
    fn what_it_cannot_inflate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        archive(&folder.path().join("stored.zip"), &[b"[]"], CompressionMethod::Stored);
        assert!(
            inflate_folder(folder.path(), 1).unwrap_err().to_string().ends_with("stored.zip: a member is not deflated")
        );
        std::fs::write(
            folder.path().join("zzz.zip"),
            "no ZIP at all, but a longer file than the other, so it comes first. ".repeat(9),
        )
        .unwrap();
        assert!(inflate_folder(folder.path(), 1).unwrap_err().to_string().contains("zzz.zip: "));
        assert!(run(&[]).unwrap_err().to_string().starts_with("usage"));
    }
}
