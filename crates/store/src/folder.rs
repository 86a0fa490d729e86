//! What is in a folder, which may not be there.

use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::Path;

use crate::StoreError;

/// Entries of a folder, sorted by name; none where there is no such folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(Iterator::collect::<Result<Vec<_>, _>>),
    };
    let mut entries = listed.map_err(StoreError::io("list the folder", folder))?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}
