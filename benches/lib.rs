//! What the benches share: generated archives and baselines.
//!
//! Data is generated anew for each bench from a fixed seed, with trace ids, which are most of what cannot be compressed. Sizes are
//! small enough for a laptop, large enough that set-up costs vanish.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use keytrail_generate::{Expected, GenerateOptions, Load, generate};

/// Archives on disk, with the answers about them.
pub struct Archives {
    folder: tempfile::TempDir,
    /// What the generator knows about them.
    pub expected: Expected,
}

impl Archives {
    /// Generates ZIP archives of one member each: of a busy service, whose records have little in common.
    ///
    /// # Panics
    /// The temporary folder cannot be written.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a bench without data has nothing to measure")]
    pub fn generate(records: u64, archives: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options =
            GenerateOptions { records, days: archives.max(31), archives, ..GenerateOptions::of_load(Load::Busy) };
        let expected = generate(&options, folder.path()).expect("generated archives");
        Self { folder, expected }
    }

    /// Folder that holds the archives and nothing else.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("archives")
    }

    /// The deflated bytes of every archive's member, with its inflated length.
    ///
    /// # Errors
    /// An archive cannot be read.
    pub fn deflated(&self) -> std::io::Result<Vec<Deflated>> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(self.folder())?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        paths.sort();
        paths.iter().map(|path| Deflated::of(path)).collect()
    }
}

/// A member as it lies in its ZIP.
pub struct Deflated {
    /// Raw DEFLATE data.
    pub bytes: Vec<u8>,
    /// Length of what it inflates to.
    pub json_bytes: usize,
}

impl Deflated {
    fn of(path: &Path) -> std::io::Result<Self> {
        let mut archive = zip::ZipArchive::new(File::open(path)?)?;
        let mut member = archive.by_index_raw(0)?;
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;
        let json_bytes = usize::try_from(member.size()).map_err(std::io::Error::other)?;
        Ok(Self { bytes, json_bytes })
    }

    /// Inflates the whole member at once with libdeflate into a buffer that is used again: the floor below which nothing that reads
    /// the JSON can come.
    ///
    /// # Errors
    /// The data is damaged.
    pub fn inflate_whole<'a>(
        &self,
        decompressor: &mut libdeflater::Decompressor,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], libdeflater::DecompressionError> {
        if buffer.len() < self.json_bytes {
            buffer.resize(self.json_bytes, 0);
        }
        let count = decompressor.deflate_decompress(&self.bytes, buffer)?;
        Ok(buffer.get(..count).unwrap_or_default())
    }
}
