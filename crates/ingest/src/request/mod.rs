//! The request that an archive was exported with: the side file `X.request.json` beside an archive `X`.
//!
//! `parse` says what a side file may hold, `books` brings requests and archives together. A side file decides nothing about records: one
//! that cannot be used is told, and the archive is stored as without it. `docs/request-files.md` describes the format.

mod books;
mod parse;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use keytrail_model::ledger::{ExportRequest, Note};
use sha2::{Digest, Sha256};

pub(crate) use books::{SideFiles, kept, merged};

/// Ending of the side file that holds the request an archive was exported with.
const SUFFIX: &str = ".request.json";
/// Longest side file. Real ones have some hundred bytes.
const BYTES_MAX: u64 = 1 << 20;

/// Where the request of an archive would lie.
pub(crate) fn side_file_of(archive: &Path) -> PathBuf {
    let mut name = archive.file_name().unwrap_or_default().to_owned();
    name.push(SUFFIX);
    archive.with_file_name(name)
}

/// The archive that a side file is about, by its name; `None` where it has no such name.
pub(crate) fn archive_of(side_file: &Path) -> Option<PathBuf> {
    // Nearly all files have another name, and to find it in a path takes longer.
    if !side_file.as_os_str().as_encoded_bytes().ends_with(SUFFIX.as_bytes()) {
        return None;
    }
    let name = side_file.file_name()?.to_str()?.strip_suffix(SUFFIX).filter(|archive| !archive.is_empty())?;
    Some(side_file.with_file_name(name))
}

/// Whether a file without its archive holds a request and no records.
pub(crate) fn holds_request(path: &Path) -> bool {
    matches!(content(path), Ok(Some(bytes)) if parse::is_request(&bytes))
}

/// Reads a side file. What is wrong with its content is in its notes.
///
/// # Errors
/// The system refuses.
pub(crate) fn read(path: &Path) -> io::Result<ExportRequest> {
    let mut request = match content(path)? {
        Some(bytes) => {
            let request = parse::parse(&bytes);
            ExportRequest { sha256: format!("{:x}", Sha256::digest(&bytes)), ..request }
        }
        None => {
            let text = format!("request side file: expected at most {BYTES_MAX} bytes, found more");
            // A name for what was not read: it is the same the next time.
            let sha256 = format!("{:x}", Sha256::digest(text.as_bytes()));
            ExportRequest { sha256, notes: vec![Note::new("request_unusable", text)], ..ExportRequest::default() }
        }
    };
    request.path = crate::archive::display(path);
    Ok(request)
}

/// The bytes of a side file; `None` where they are too many.
fn content(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= BYTES_MAX).then_some(bytes))
}
