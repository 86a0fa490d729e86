//! Durability: what is written here survives a power cut once the call has returned; a folder's name where [`make_folder`] says so, once
//! its parent is synced.
//!
//! Answers for fsync of files *and* of the folders that name them, in the right order, and for an object store that does so
//! for the Delta library, whose own local store never syncs. Knows nothing of what the files hold.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use crate::failpoint::{Point, reach};
use crate::{StoreError, layout, seal};

/// End of the names of files that are being written: [`TEMPORARY_START`]` ... .tmp`. One that stays is a left-over of a kill.
const TEMPORARY_END: &str = ".tmp";
const TEMPORARY_START: &str = ".";

/// Whether a name is that of a write that did not end.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_START) && name.ends_with(TEMPORARY_END)
}

/// Whether a name is that of a write of this file that did not end.
pub(crate) fn is_temporary_of(path: &Path, name: &str) -> bool {
    let start = format!("{TEMPORARY_START}{}.", path.file_name().unwrap_or_default().to_string_lossy());
    is_temporary(name) && name.starts_with(&start)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    sync(path).map_err(StoreError::io("sync the folder", path))
}

fn sync(path: &Path) -> io::Result<()> {
    reach(Point::FolderSyncing)?;
    File::open(path)?.sync_all()?;
    reach(Point::FolderSynced)
}

/// Makes a folder with all its parents, durably: each new folder's name is synced in its parent.
pub(crate) fn create_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent(path);
    create_folder(parent)?;
    make_folder(path)?;
    sync_folder(parent)
}

/// Makes a folder in one that is there, if there is none. Its name is not durable before that folder is synced.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    match reach(Point::FolderMaking).and_then(|()| fs::create_dir(path)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made.map_err(StoreError::io("make the folder", path))?,
    }
    reach(Point::FolderMade).map_err(StoreError::io("make the folder", path))
}

/// Makes the name of a store's root durable in the folder above it, as far as that is ours to do: we may not be allowed
/// to read the folder above, and then whoever made the root for us answers for its name.
pub(crate) fn sync_name_of_root(root: &Path) -> Result<(), StoreError> {
    match sync_folder(parent(root)) {
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// Writes a file whole and durably, or not at all. With `create` an existing file is left alone and
/// [`ErrorKind::AlreadyExists`] returned, else it is replaced.
fn write_file(path: &Path, payload: &PutPayload, create: bool) -> io::Result<()> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let temporary = temporary_beside(folder, path);
    reach(Point::PutBegun)?;
    let written = write_temporary(&temporary, payload)
        .and_then(|()| reach(Point::PutWritten))
        .and_then(|()| if create { fs::hard_link(&temporary, path) } else { fs::rename(&temporary, path) })
        .and_then(|()| reach(Point::PutNamed));
    if create || written.is_err() {
        // Gone after a rename; after a link it is a second name that nothing needs. The writer's sweep takes what stays.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    reach(Point::PutCleared)?;
    sync(folder)?;
    reach(Point::PutSynced)
}

/// Writes a small file of ours whole and durably; one that is there is replaced.
pub(crate) fn replace_file(path: &Path, bytes: Vec<u8>) -> Result<(), StoreError> {
    write_file(path, &bytes.into(), false).map_err(StoreError::io("write the file", path))
}

fn write_temporary(path: &Path, payload: &PutPayload) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
    file.sync_all()
}

/// A name that no other write uses: two threads that shared one would unlink each other's file.
fn temporary_beside(folder: &Path, path: &Path) -> PathBuf {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (process, write) = (std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed));
    folder.join(format!("{TEMPORARY_START}{name}.{process}.{write}{TEMPORARY_END}"))
}

/// A local file system whose writes are durable when they return. Reads and listings are those of [`LocalFileSystem`], but
/// for names that are hidden.
#[derive(Debug, Clone)]
pub(crate) struct DurableStore {
    inner: Arc<LocalFileSystem>,
    hidden: fn(&ObjectPath) -> bool,
}

impl DurableStore {
    /// A store of the files below an existing folder.
    pub(crate) fn below(folder: &Path) -> object_store::Result<Self> {
        Ok(Self { inner: Arc::new(LocalFileSystem::new_with_prefix(folder)?), hidden: |_| false })
    }

    /// The same store, in which some files seem not to be.
    pub(crate) fn hiding(self, hidden: fn(&ObjectPath) -> bool) -> Self {
        Self { hidden, ..self }
    }

    /// Writes a file that is not there yet.
    pub(crate) fn create(&self, location: &str, text: String) -> object_store::Result<()> {
        self.put(&ObjectPath::parse(location)?, &text.into(), true).map(|_| ())
    }

    fn put(&self, location: &ObjectPath, payload: &PutPayload, create: bool) -> object_store::Result<PutResult> {
        let path = self.inner.path_to_filesystem(location)?;
        let is_commit = location.filename().is_some_and(layout::is_commit);
        let sealed = is_commit.then(|| sealed(payload));
        match write_file(&path, sealed.as_ref().unwrap_or(payload), create) {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(source) if source.kind() == ErrorKind::AlreadyExists => {
                Err(object_store::Error::AlreadyExists { path: location.to_string(), source: source.into() })
            }
            Err(source) => Err(object_store::Error::Generic { store: "DurableStore", source: source.into() }),
        }
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DurableStore({})", self.inner)
    }
}

/// A commit as it is written: with its seal.
fn sealed(payload: &PutPayload) -> PutPayload {
    let mut bytes: Vec<u8> = payload.iter().flat_map(|part| part.iter().copied()).collect();
    seal::close(&mut bytes);
    bytes.into()
}

fn not_supported(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.into(), implementer: "DurableStore".into() }
}

#[async_trait]
impl ObjectStore for DurableStore {
    // Blocks the thread it runs on, which is the caller's own.
    async fn put_opts(
        &self,
        location: &ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        match options.mode {
            PutMode::Create => self.put(location, &payload, true),
            PutMode::Overwrite => self.put(location, &payload, false),
            PutMode::Update(_) => Err(not_supported("put with PutMode::Update")),
        }
    }

    async fn put_multipart_opts(
        &self,
        _: &ObjectPath,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Err(not_supported("put in parts"))
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> object_store::Result<GetResult> {
        if (self.hidden)(location) {
            let source = std::io::Error::from(ErrorKind::NotFound).into();
            return Err(object_store::Error::NotFound { path: location.to_string(), source });
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<ObjectPath>>,
    ) -> BoxStream<'static, object_store::Result<ObjectPath>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let hidden = self.hidden;
        let seen = move |meta: &object_store::Result<ObjectMeta>| {
            std::future::ready(!meta.as_ref().is_ok_and(|meta| hidden(&meta.location)))
        };
        self.inner.list(prefix).filter(seen).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &ObjectPath, _: &ObjectPath, _: CopyOptions) -> object_store::Result<()> {
        Err(not_supported("copy"))
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use object_store::ObjectStoreExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_root_has_a_folder_above() {
        for (root, above) in [("store", "."), ("a/store", "a"), ("/store", "/"), ("/", "/"), ("./store", ".")] {
            assert_eq!(parent(Path::new(root)), Path::new(above), "{root}");
        }
        let folder = tempfile::tempdir().unwrap();
        sync_name_of_root(&folder.path().join("store")).unwrap();
        assert!(sync_name_of_root(&folder.path().join("no/store")).is_err());
    }

    #[test]
    fn create_never_replaces_overwrite_does() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableStore::below(folder.path()).unwrap();
        let location = ObjectPath::from("a file");
        let put = |text: &'static str, mode: PutMode| block_on(store.put_opts(&location, text.into(), mode.into()));
        put("first", PutMode::Create).unwrap();
        assert!(matches!(put("second", PutMode::Create), Err(object_store::Error::AlreadyExists { .. })));
        assert_eq!(block_on(async { store.get(&location).await.unwrap().bytes().await.unwrap() }), "first");
        put("third", PutMode::Overwrite).unwrap();
        assert_eq!(block_on(async { store.get(&location).await.unwrap().bytes().await.unwrap() }), "third");
        assert_eq!(names(folder.path()), ["a file"], "no temporary file stays");
    }

    #[test]
    fn hidden_files_seem_not_to_be() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let store = DurableStore::below(folder.path()).unwrap().hiding(|path| path.as_ref() == "a");
        let seen: Vec<_> = block_on(store.list(None).map(|meta| meta.unwrap().location.to_string()).collect());
        assert_eq!(seen, ["b"]);
        let get = |name: &str| block_on(store.get(&ObjectPath::from(name)));
        assert!(matches!(get("a"), Err(object_store::Error::NotFound { .. })));
        assert!(get("b").is_ok());
    }

    #[test]
    fn threads_do_not_share_temporary_names() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableStore::below(folder.path()).unwrap();
        let won = std::thread::scope(|scope| {
            let race = || {
                let put = |n: usize| {
                    block_on(store.put_opts(&ObjectPath::from(format!("{n}")), "x".into(), PutMode::Create.into()))
                };
                (0..50).filter(|&n| put(n).is_ok()).count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(race)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(won, 50, "each file has exactly one writer");
    }
}
