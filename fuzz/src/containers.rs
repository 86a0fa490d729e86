//! The container layer: any bytes as an archive file, read in all its ways.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use keytrail_model::ledger::Note;

use crate::container::{ArchiveFile, Budget, Buffers, Container, Content, FreeCores, Members, Source, visit};
use crate::progress::ArchiveProgress;

/// Longest content that is looked at, of a member and of all together.
const MEMBER_BYTES_MAX: usize = 1 << 20;
const ARCHIVE_BYTES_MAX: usize = 4 << 20;
const MEMBERS_MAX: u64 = 50;

/// Any bytes as an archive file: no panic, and the same told of it whether file and members are held in memory, streamed, or read by a
/// second thread, with and without salvage; gzip as flate2 reads it. The first byte chooses salvage, and how much the visitor wants of a
/// member.
pub fn container(data: &[u8]) {
    let Some((&choice, archive)) = data.split_first() else {
        return;
    };
    let salvage = choice & 1 == 1;
    // A decoder that finds no records stops early.
    let wanted = match choice >> 1 & 3 {
        0 => 0,
        1 => 1 + usize::from(choice >> 3),
        2 => 300 << 10,
        _ => MEMBER_BYTES_MAX,
    };
    let (container, told) = HANDS.with_borrow_mut(|hands| hands.read(archive, salvage, wanted));
    if container == Some(Container::Gzip) && wanted == MEMBER_BYTES_MAX {
        assert_gzip(&told, archive);
    }
}

/// A way of reading: whether the file is in memory, how much is held, from which length on members are read in parts, of which length, and
/// whether by a second thread.
#[derive(Debug, Clone, Copy)]
struct Way {
    in_memory: bool,
    held_bytes: usize,
    large_bytes: u64,
    part_bytes: usize,
    ahead: bool,
}

/// All ways, the plainest first.
const WAYS: [Way; 10] = [
    Way { in_memory: false, held_bytes: 0, large_bytes: u64::MAX, part_bytes: 0, ahead: false },
    Way { in_memory: true, held_bytes: 8 << 20, large_bytes: u64::MAX, part_bytes: 0, ahead: false },
    Way { in_memory: true, held_bytes: 0, large_bytes: u64::MAX, part_bytes: 0, ahead: false },
    Way { in_memory: true, held_bytes: 0, large_bytes: 0, part_bytes: 0, ahead: true },
    Way { in_memory: false, held_bytes: 8 << 20, large_bytes: u64::MAX, part_bytes: 0, ahead: false },
    Way { in_memory: false, held_bytes: 0, large_bytes: 0, part_bytes: 0, ahead: true },
    Way { in_memory: true, held_bytes: 8 << 20, large_bytes: 0, part_bytes: 8 << 10, ahead: true },
    Way { in_memory: false, held_bytes: 8 << 20, large_bytes: 0, part_bytes: 400 << 10, ahead: true },
    Way { in_memory: true, held_bytes: 0, large_bytes: 0, part_bytes: 8 << 10, ahead: false },
    Way { in_memory: false, held_bytes: 0, large_bytes: 0, part_bytes: 400 << 10, ahead: false },
];

thread_local! {
    static HANDS: RefCell<Hands> = RefCell::new(Hands::new());
}

/// Buffers for each way, used again as a worker uses them, and a file for the archive.
struct Hands {
    ways: Vec<(Way, Buffers)>,
    file: PathBuf,
}

impl Hands {
    fn new() -> Self {
        let name = format!("keytrail-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let budget = |way: Way| {
            let Way { held_bytes: bytes, large_bytes, part_bytes, .. } = way;
            Budget { bytes, large_bytes, part_bytes }
        };
        let cores = |way: Way| Arc::new(FreeCores::new(way.ahead.into()));
        let buffers = |way| Buffers::new(budget(way), cores(way));
        Self { ways: WAYS.map(|way| (way, buffers(way))).into(), file: folder.join(name) }
    }

    /// Reads in all ways, and tells what all of them tell.
    fn read(&mut self, archive: &[u8], salvage: bool, wanted: usize) -> (Option<Container>, Vec<Told>) {
        std::fs::write(&self.file, archive).expect("the file of the archive cannot be written");
        let mut expected = None;
        for (way, buffers) in &mut self.ways {
            let found = read(&self.file, archive, (*way, buffers), salvage, wanted);
            let expected = expected.get_or_insert_with(|| found.clone());
            assert_eq!(found, *expected, "{way:?} on the left, {:?} on the right", WAYS[0]);
        }
        expected.expect("ways")
    }
}

fn read(
    file: &Path,
    archive: &[u8],
    (way, buffers): (Way, &mut Buffers),
    salvage: bool,
    wanted: usize,
) -> (Option<Container>, Vec<Told>) {
    let progress = ArchiveProgress::new(&|_| (), archive.len() as u64);
    buffers.begin(if way.in_memory { archive.len() } else { 0 });
    let file = ArchiveFile::new(file, &progress);
    let source = if way.in_memory { Source::Memory(archive) } else { Source::File(&file) };
    let mut visitor = Visitor { wanted, bytes: 0, told: Vec::new() };
    let Ok(container) = visit(source, ("a.json.gz", archive.len() as u64), buffers, salvage, &mut visitor);
    (container, visitor.told)
}

impl Drop for Hands {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// What a container told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Member { name: String, content: Vec<u8>, end: End },
    Damaged { name: Option<String>, reason: String },
    Unreadable(Option<i32>),
    Fault(Note),
    Note(Note),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Whole,
    /// The visitor had enough.
    Enough,
    Damaged(String),
    Unreadable(i32),
}

struct Visitor {
    wanted: usize,
    bytes: usize,
    told: Vec<Told>,
}

impl Visitor {
    fn read(&mut self, content: &mut dyn Content) -> (Vec<u8>, End) {
        let wanted = self.wanted.min(ARCHIVE_BYTES_MAX - self.bytes);
        let mut found = Vec::new();
        let end = loop {
            if found.len() >= wanted {
                found.truncate(wanted);
                break End::Enough;
            }
            match content.piece() {
                Ok([]) => break End::Whole,
                Ok(piece) => found.extend_from_slice(piece),
                Err(error) => {
                    break error.raw_os_error().map_or_else(|| End::Damaged(error.to_string()), End::Unreadable);
                }
            }
        };
        self.bytes += found.len();
        (found, end)
    }
}

impl Members for Visitor {
    type Stop = Infallible;

    fn member(&mut self, name: &str, content: &mut dyn Content) -> Result<(), Infallible> {
        let (content, end) = self.read(content);
        self.told.push(Told::Member { name: name.to_owned(), content, end });
        Ok(())
    }

    fn admits(&self, bytes: u64) -> bool {
        bytes <= MEMBER_BYTES_MAX as u64
    }

    fn members_max(&self) -> u64 {
        MEMBERS_MAX
    }

    fn damaged(&mut self, name: Option<&str>, reason: String) {
        self.told.push(Told::Damaged { name: name.map(str::to_owned), reason });
    }

    fn unreadable(&mut self, error: &io::Error) {
        self.told.push(Told::Unreadable(error.raw_os_error()));
    }

    fn fault(&mut self, fault: Note) {
        self.told.push(Told::Fault(fault));
    }

    fn note(&mut self, note: Note) {
        self.told.push(Told::Note(note));
    }
}

/// What is told to be whole is what flate2 finds, up to where trailing bytes begin.
fn assert_gzip(told: &[Told], archive: &[u8]) {
    if let [Told::Member { content, end: End::Whole, .. }, rest @ ..] = told {
        let mut expected = Vec::new();
        let read = MultiGzDecoder::new(archive).take(MEMBER_BYTES_MAX as u64 + 1).read_to_end(&mut expected);
        assert!(read.is_ok() || !rest.is_empty(), "flate2: {read:?}");
        assert!(*content == expected, "flate2 found {} bytes, we {}", expected.len(), content.len());
    }
}
