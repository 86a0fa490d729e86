//! What the checkpoints of the log hold: a list of them with their SHA-256, `STORE/_checkpoints.json`.
//!
//! A checkpoint repeats what the commits say, so a damaged one loses nothing; but other engines read it in place of the commits. The Delta
//! library writes it after the commit, so no commit can hold its hash: this list does. It is replaced after each checkpoint; a run that was
//! killed in between leaves a checkpoint of the last version that is not listed yet, and the next writer lists a new one.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

use crate::layout::{self, Layout};
use crate::sealed_file::sha256;
use crate::{StoreError, durable, seal};

/// The list. Written with a seal of its own.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoints {
    /// SHA-256 by name, of checkpoints and of the hint at the last one.
    pub(crate) files: BTreeMap<String, String>,
    seal: String,
}

impl Checkpoints {
    /// Reads the list; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::DamagedFile`] where it is not what was written.
    pub(crate) fn read(layout: &Layout) -> Result<Option<Self>, StoreError> {
        Self::bytes(layout)?.map(|bytes| Self::parse(layout, &bytes)).transpose()
    }

    /// The bytes of the list; `None` where there is none.
    pub(crate) fn bytes(layout: &Layout) -> Result<Option<Vec<u8>>, StoreError> {
        let path = layout.checkpoints();
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(StoreError::io("read the list of checkpoints", &path)),
        }
    }

    /// The list that bytes hold.
    ///
    /// # Errors
    /// As [`Checkpoints::read`].
    pub(crate) fn parse(layout: &Layout, bytes: &[u8]) -> Result<Self, StoreError> {
        let path = layout.checkpoints();
        let damaged =
            |found: String| StoreError::damaged_file(&path, "the list of checkpoints that was written", found);
        match seal::check(bytes) {
            seal::Seal::Whole => {}
            seal::Seal::Absent => return Err(damaged("a file without a seal".into())),
            seal::Seal::Broken { found, .. } => return Err(damaged(format!("bytes of another seal, {found}"))),
        }
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))
    }

    /// Lists nothing, durably; a store without a list needs none for that.
    pub(crate) fn write_none(layout: &Layout) -> Result<(), StoreError> {
        match layout.checkpoints().exists() {
            true => Self::default().put(layout),
            false => Ok(()),
        }
    }

    /// Lists what is there now, durably.
    pub(crate) fn write(layout: &Layout) -> Result<(), StoreError> {
        let mut files = BTreeMap::new();
        for name in names(layout)? {
            let path = layout.log().join(&name);
            let bytes = fs::read(&path).map_err(StoreError::io("read the checkpoint", &path))?;
            files.insert(name, sha256(&bytes));
        }
        Self { files, ..Self::default() }.put(layout)
    }

    fn put(self, layout: &Layout) -> Result<(), StoreError> {
        let path = layout.checkpoints();
        let list = Self { seal: seal::blank(), ..self };
        let mut bytes = serde_json::to_vec(&list)
            .map_err(|error| StoreError::io("write the list of checkpoints", &path)(error.into()))?;
        bytes.push(b'\n');
        seal::close(&mut bytes);
        durable::replace_file(&path, bytes)
    }
}

/// Whether the checkpoints are those that are listed, all of them.
pub(crate) fn are_whole(layout: &Layout) -> Result<bool, StoreError> {
    let list = match Checkpoints::read(layout) {
        Ok(list) => list.unwrap_or_default(),
        Err(StoreError::DamagedFile { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let names = names(layout)?;
    if !names.iter().eq(list.files.keys()) {
        return Ok(false);
    }
    for (name, expected) in &list.files {
        let path = layout.log().join(name);
        let bytes = fs::read(&path).map_err(StoreError::io("read the checkpoint", &path))?;
        if sha256(&bytes) != *expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The bytes of the hint at the last checkpoint; `None` where there is none.
pub(crate) fn hint(layout: &Layout) -> Result<Option<Vec<u8>>, StoreError> {
    let path = layout.log().join(layout::HINT);
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(StoreError::io("read the hint at the last checkpoint", &path)),
    }
}

/// Names of checkpoints and of the hint at the last one, sorted.
pub(crate) fn names(layout: &Layout) -> Result<Vec<String>, StoreError> {
    let folder = layout.log();
    let listed = fs::read_dir(&folder).map_err(StoreError::io("list the log", &folder))?;
    let mut names = Vec::new();
    for entry in listed {
        let name = entry.map_err(StoreError::io("list the log", &folder))?.file_name().to_string_lossy().into_owned();
        if layout::is_checkpoint(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
