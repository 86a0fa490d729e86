//! An object store that fails: between the Delta library and [`DurableStore`], for one call on one kind of file.
//!
//! What a commit came to is settled by looking at the log, never by doing it again on trust: these tests tell an outcome for each way
//! in which the answer and the effect of a call can differ.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use super::*;
use crate::durable::DurableStore;
use crate::{Depth, verify};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The put does nothing and fails.
    PutFails,
    /// The put does all and fails.
    PutFailsAfter,
    /// The put does all; a retry on the way meets the file and says that it was there before.
    PutMeetsItself,
    /// Another program makes the file first.
    PutConflicts,
    /// The put makes an empty file and fails.
    PutLeavesNothingInIt,
    /// The put makes a file of half the bytes and fails.
    PutTears,
    /// The same, cut after the first line.
    PutCutsLines,
    /// The put makes a file of half the bytes and says that all is well.
    PutTearsInSilence,
    /// The put does nothing and says that all is well.
    PutIsLost,
    /// The get fails.
    GetFails,
    /// The get gives half the bytes.
    GetIsShort,
    /// The listing fails.
    ListFails,
    /// The listing leaves out the file.
    ListIsShort,
}

/// A fault that happens once, at a file whose path ends so.
struct Order {
    fault: Fault,
    at: &'static str,
    left: AtomicU64,
}

static ORDERS: Mutex<BTreeMap<PathBuf, Order>> = Mutex::new(BTreeMap::new());

fn with_orders<T>(work: impl FnOnce(&mut BTreeMap<PathBuf, Order>) -> T) -> T {
    work(&mut ORDERS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Orders faults in the log of a store; gives back how many of them happened when it is dropped or asked.
struct Ordered(PathBuf);

impl Ordered {
    fn of(room: &Room, fault: Fault, at: &'static str, times: u64) -> Self {
        let events = room.root.join("events");
        with_orders(|orders| orders.insert(events.clone(), Order { fault, at, left: AtomicU64::new(times) }));
        Self(events)
    }

    /// Whether all of it happened.
    fn happened(self) -> bool {
        with_orders(|orders| orders.get(&self.0).is_some_and(|order| order.left.load(Ordering::Relaxed) == 0))
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        with_orders(|orders| orders.remove(&self.0));
    }
}

/// The layer, for the table in a folder.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: DurableStore,
    events: PathBuf,
}

/// Puts the layer between.
pub(crate) fn between(events: &Path, inner: DurableStore) -> FaultyStore {
    FaultyStore { inner, events: events.to_owned() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FaultyStore({})", self.inner)
    }
}

fn broken() -> object_store::Error {
    object_store::Error::Generic { store: "FaultyStore", source: "the answer was lost".into() }
}

impl FaultyStore {
    /// The fault that is due at a file, if it is one of those asked for; it is then spent.
    fn due(&self, path: &ObjectPath, among: &[Fault]) -> Option<Fault> {
        with_orders(|orders| {
            let order = orders.get(&self.events)?;
            let meant = path.as_ref().ends_with(order.at) && among.contains(&order.fault);
            let spent = |left: u64| left.checked_sub(1);
            (meant && order.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent).is_ok())
                .then_some(order.fault)
        })
    }

    async fn write(&self, path: &ObjectPath, bytes: Bytes) -> object_store::Result<PutResult> {
        self.inner.put_opts(path, bytes.into(), PutOptions::default()).await
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        path: &ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        const FAULTS: [Fault; 9] = [
            Fault::PutFails,
            Fault::PutFailsAfter,
            Fault::PutMeetsItself,
            Fault::PutConflicts,
            Fault::PutLeavesNothingInIt,
            Fault::PutTears,
            Fault::PutCutsLines,
            Fault::PutTearsInSilence,
            Fault::PutIsLost,
        ];
        let done = PutResult { e_tag: None, version: None };
        let bytes = Bytes::from(payload.clone());
        let half = bytes.slice(..bytes.len() / 2);
        match self.due(path, &FAULTS) {
            Some(Fault::PutFails) => Err(broken()),
            Some(Fault::PutFailsAfter) => {
                self.inner.put_opts(path, payload, options).await?;
                Err(broken())
            }
            Some(Fault::PutMeetsItself) => {
                self.inner.put_opts(path, payload.clone(), options.clone()).await?;
                self.inner.put_opts(path, payload, options).await
            }
            Some(Fault::PutConflicts) => {
                self.write(path, Bytes::from_static(b"{\"commitInfo\":{\"operation\":\"WRITE\"}}\n")).await?;
                self.inner.put_opts(path, payload, options).await
            }
            Some(Fault::PutLeavesNothingInIt) => self.write(path, Bytes::new()).await.and(Err(broken())),
            Some(Fault::PutTears) => self.write(path, half).await.and(Err(broken())),
            Some(Fault::PutCutsLines) => {
                let end = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
                self.write(path, bytes.slice(..end)).await.and(Err(broken()))
            }
            Some(Fault::PutTearsInSilence) => self.write(path, half).await,
            Some(Fault::PutIsLost) => Ok(done),
            _ => self.inner.put_opts(path, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &ObjectPath,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &ObjectPath, options: GetOptions) -> object_store::Result<GetResult> {
        match self.due(path, &[Fault::GetFails, Fault::GetIsShort]) {
            Some(Fault::GetFails) => Err(broken()),
            Some(_) => {
                let whole = self.inner.get_opts(path, options).await?;
                let (meta, range, attributes) = (whole.meta.clone(), whole.range.clone(), whole.attributes.clone());
                let bytes = whole.bytes().await?;
                let half = bytes.slice(Range { start: 0, end: bytes.len() / 2 });
                let payload = GetResultPayload::Stream(futures::stream::iter([Ok(half)]).boxed());
                Ok(GetResult { payload, meta, range, attributes })
            }
            None => self.inner.get_opts(path, options).await,
        }
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<ObjectPath>>,
    ) -> BoxStream<'static, object_store::Result<ObjectPath>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let all: Vec<_> = futures::executor::block_on(self.inner.list(prefix).collect());
        let listed = all.into_iter().filter_map(|meta| match &meta {
            Ok(found) => match self.due(&found.location, &[Fault::ListFails, Fault::ListIsShort]) {
                Some(Fault::ListFails) => Some(Err(broken())),
                Some(_) => None,
                None => Some(meta),
            },
            Err(_) => Some(meta),
        });
        futures::stream::iter(listed.collect::<Vec<_>>()).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// How a commit ends whose call met a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It stands, and the writer says so.
    Stands,
    /// Nothing was committed, and the writer says so; the next one does it.
    Fails,
    /// The store said that all is well, and nothing is there. The writer says that.
    Lost,
    /// Another program's commit stands in its place.
    Conflict,
    /// What the store took for a commit is none. Nobody builds upon it, and all say so.
    Damaged,
}

#[test]
fn what_a_commit_came_to_is_settled_by_looking() {
    let cases = [
        (Fault::PutFails, End::Fails),
        (Fault::PutFailsAfter, End::Stands),
        (Fault::PutMeetsItself, End::Stands),
        (Fault::PutConflicts, End::Conflict),
        (Fault::PutLeavesNothingInIt, End::Damaged),
        (Fault::PutTears, End::Damaged),
        (Fault::PutCutsLines, End::Damaged),
        (Fault::PutTearsInSilence, End::Damaged),
        (Fault::PutIsLost, End::Lost),
    ];
    for (fault, expected) in cases {
        let room = Room::new();
        let mut writer = room.writer();
        let before = commit(&mut writer, "aa", &[&[MORNING]]);
        let order = Ordered::of(&room, fault, "00000000000000000002.json", 1);
        let committed = run(&writer, "bb", &[&[MORNING + 1], &[FEBRUARY]]);
        let result = writer.commit(committed);
        assert!(order.happened(), "{fault:?}");
        let end = match &result {
            Ok(_) => End::Stands,
            Err(StoreError::Conflict { version: 2, .. }) => End::Conflict,
            Err(StoreError::DamagedCommit { found, .. }) if found == "no such file" => End::Lost,
            Err(StoreError::DamagedCommit { .. }) => End::Damaged,
            Err(_) => End::Fails,
        };
        assert_eq!(end, expected, "{fault:?}: {result:?}");
        drop(writer);
        check_what_is_left(&room, &before, fault, expected);
    }
}

fn check_what_is_left(room: &Room, before: &Snapshot, fault: Fault, end: End) {
    if end == End::Damaged {
        let files = room.files();
        let seen = Store::open(&room.root).and_then(|store| store.snapshot());
        for error in [seen.unwrap_err(), Writer::open(&room.root, &mut || ()).unwrap_err()] {
            assert!(error.to_string().contains("00000000000000000002.json: damaged commit"), "{fault:?}: {error}");
        }
        assert!(!verify(&room.root, Depth::Full).unwrap().damages.is_empty(), "{fault:?}");
        assert_eq!(room.files(), files, "{fault:?}: nothing is swept");
        // Cured by hand: without the file that is no commit, the store is as before.
        fs::remove_file(room.commit_file(2)).unwrap();
    }
    let rows = if end == End::Stands { 3 } else { 1 };
    let snapshot = room.snapshot();
    assert_eq!(snapshot.rows(), rows, "{fault:?}");
    if matches!(end, End::Fails | End::Lost | End::Damaged) {
        assert_eq!((snapshot.version(), snapshot.head()), (1, before.head()), "{fault:?}");
    }
    let mut writer = room.writer();
    // Who loses the race for a version clears up at once: by its number nobody could tell later.
    let is_clear = matches!(end, End::Stands | End::Conflict);
    assert_eq!(writer.swept().is_empty(), is_clear, "{fault:?}: {:?}", writer.swept());
    let found = verify(&room.root, Depth::Quick).unwrap();
    assert!(!format!("{found:?}").contains("names it"), "{fault:?}: {found:?}");
    if end != End::Stands {
        let version = if end == End::Conflict { 3 } else { 2 };
        let after = commit(&mut writer, "bb", &[&[MORNING + 1], &[FEBRUARY]]);
        assert_eq!((after.version(), after.rows()), (version, 3), "{fault:?}: the next run completes the work");
    }
    drop(writer);
    // A commit of another program is named, and is all that is wrong.
    let damages = verify(&room.root, Depth::Full).unwrap().damages;
    let foreign = usize::from(end == End::Conflict);
    assert_eq!(damages.len(), foreign, "{fault:?}: {damages:?}");
    assert_eq!(times(&room.snapshot(), i64::MIN, i64::MAX), [MORNING, MORNING + 1, FEBRUARY], "{fault:?}");
}

#[test]
fn a_table_that_could_not_be_made_is_made_by_the_next_run() {
    let cases = [
        (Fault::PutFails, true),
        (Fault::PutFailsAfter, true),
        (Fault::PutMeetsItself, true),
        (Fault::PutIsLost, true),
        (Fault::PutLeavesNothingInIt, false),
        (Fault::PutTears, false),
    ];
    for (fault, is_whole) in cases {
        let room = Room::new();
        let order = Ordered::of(&room, fault, "00000000000000000000.json", 1);
        let opened = Writer::open(&room.root, &mut || ());
        assert!(order.happened() && (opened.is_err() || is_whole), "{fault:?}: {opened:?}");
        drop(opened);
        if !is_whole {
            let error = Writer::open(&room.root, &mut || ()).unwrap_err().to_string();
            assert!(error.contains("00000000000000000000.json: damaged commit"), "{fault:?}: {error}");
            fs::remove_file(room.commit_file(0)).unwrap();
        }
        assert_eq!(commit(&mut room.writer(), "aa", &[&[MORNING]]).rows(), 1, "{fault:?}");
        assert_eq!(verify(&room.root, Depth::Full).unwrap().damages, [], "{fault:?}");
    }
}

#[test]
fn what_the_library_could_not_read_is_never_taken_for_less() {
    let faults = [Fault::GetFails, Fault::GetIsShort, Fault::ListFails, Fault::ListIsShort];
    for (fault, at) in faults.into_iter().flat_map(|fault| [0, 1, 2].map(|version| (fault, version))) {
        let names = ["00000000000000000000.json", "00000000000000000001.json", "00000000000000000002.json"];
        let room = super::damage::store_of_two_runs();
        // Once, then for ever.
        for times in [1, u64::MAX] {
            let order = Ordered::of(&room, fault, names[at], times);
            if let Ok(snapshot) = Store::open(&room.root).and_then(|store| store.snapshot()) {
                assert_eq!((snapshot.version(), snapshot.rows()), (2, 4), "{fault:?} at version {at}, {times} times");
            }
            match Writer::open(&room.root, &mut || ()) {
                Ok(writer) => assert_eq!(writer.snapshot().rows(), 4, "{fault:?} at version {at}, {times} times"),
                Err(error) => assert!(!matches!(error, StoreError::NotFound { .. }), "{fault:?}: {error}"),
            }
            drop(order);
            assert_eq!(room.snapshot().rows(), 4);
        }
        let mut writer = room.writer();
        assert_eq!(writer.swept(), [] as [&str; 0]);
        let order = Ordered::of(&room, fault, names[at], u64::MAX);
        let committed = run(&writer, "cc", &[&[MORNING + 2]]);
        let result = writer.commit(committed);
        drop(order);
        drop(writer);
        let rows = if result.is_ok() { 5 } else { 4 };
        let snapshot = room.snapshot();
        // An answer that came after the commit may be an error; the commit then stands all the same.
        assert!(snapshot.rows() == rows || result.is_err() && snapshot.rows() == 5, "{fault:?} at {at}: {result:?}");
        drop(room.writer());
        assert_eq!(verify(&room.root, Depth::Full).unwrap().damages, [], "{fault:?} at version {at}");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_a_warning() {
    for (fault, at) in [(Fault::PutTears, "checkpoint.parquet"), (Fault::PutFails, "_last_checkpoint")] {
        let room = Room::new();
        let mut writer = room.writer();
        for n in 1..100 {
            commit(&mut writer, &format!("{n:02}"), &[&[MORNING + n]]);
        }
        let order = Ordered::of(&room, fault, at, 1);
        assert_eq!(commit(&mut writer, "100", &[&[MORNING + 100]]).rows(), 100, "{fault:?} {at}");
        assert!(order.happened(), "{fault:?} {at}");
        let warnings = writer.warnings().to_vec();
        assert!(
            warnings.len() == 1 && warnings[0].contains("no checkpoint of version 100"),
            "{fault:?} {at}: {warnings:?}"
        );
        drop(writer);
        assert_eq!(room.snapshot().rows(), 100, "{fault:?} {at}");
        assert_eq!(commit(&mut room.writer(), "101", &[&[MORNING + 101]]).rows(), 101, "{fault:?} {at}");
        assert_eq!(room.snapshot().rows(), 101, "{fault:?} {at}");
        assert_eq!(verify(&room.root, Depth::Full).unwrap().damages, [], "{fault:?} {at}");
    }
}
