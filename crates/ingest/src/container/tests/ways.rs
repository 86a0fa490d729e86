//! What an archive is read by makes no difference to what is found, and nothing is read twice.

use super::*;

#[test]
fn what_stands_behind_a_member_that_was_given_up_is_found_however_it_is_read() {
    /// Takes nothing of any member.
    #[derive(Default)]
    struct Uninterested(Vec<String>);
    impl Members for Uninterested {
        type Stop = Infallible;
        fn member(&mut self, name: &str, _: &mut dyn Content) -> Result<(), Infallible> {
            self.0.push(name.to_owned());
            Ok(())
        }
        fn admits(&self, bytes: u64) -> bool {
            bytes <= 1 << 20
        }
        fn members_max(&self) -> u64 {
            8
        }
        fn damaged(&mut self, _: Option<&str>, _: String) {}
        fn unreadable(&mut self, _: &io::Error) {}
        fn fault(&mut self, _: Note) {}
        fn note(&mut self, note: Note) {
            if note.kind != "salvage_end" {
                self.0.push(note.text);
            }
        }
    }
    let [small, large] = [500 << 10, 2 << 20].map(|bytes| vec![b' '; bytes]);
    let without_end = |content: &[u8]| {
        let archive = zip(&[member(b"a", 8, content), member(b"b", 0, OTHER)], b"");
        let directory = memchr::memmem::find(&archive, b"PK\x01\x02").unwrap();
        archive[..directory].to_vec()
    };
    let trailing = |content: &[u8]| [gzip(content), b"more".to_vec()].concat();
    let note = "4 bytes that are not gzip follow the last gzip member";
    // What is longer than the visitor admits is not read to its end; where the next member begins is found all the same.
    let cases: [(Vec<u8>, &[&str]); 4] = [
        (without_end(&small), &["a", "b"]),
        (without_end(&large), &["a", "b"]),
        (trailing(&small), &["a", note]),
        (trailing(&large), &["a"]),
    ];
    for (archive, expected) in cases {
        for large_bytes in [0, u64::MAX] {
            let cores = Arc::new(FreeCores::new(1));
            let mut buffers = Buffers::new(Budget { bytes: 0, large_bytes, part_bytes: 0 }, cores);
            let mut told = Uninterested::default();
            let Ok(_) = visit(Source::Memory(&archive), ("a.gz", 9), &mut buffers, true, &mut told);
            assert_eq!(told.0, expected, "{large_bytes}");
        }
    }
}

/// The stream that would tell what is wrong with it is not opened where nothing is.
#[test]
fn a_member_in_parts_is_read_once() {
    let text = text_of_noise(250_000);
    let long = Member { method: 8, data: deflated(&text, 3), ..member(b"a", 0, &text) };
    let in_gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], long.data.as_slice(), &long.crc.to_le_bytes()].concat();
    let in_gzip = [in_gzip.as_slice(), &long.bytes.to_le_bytes()].concat();
    let archives =
        [(zip(&[long, member(b"b", 8, RECORD)], b""), vec![text.as_slice(), RECORD]), (in_gzip, vec![&text])];
    for (archive, contents) in archives {
        is_read_once(&archive, &contents);
    }
}

fn is_read_once(archive: &[u8], contents: &[&[u8]]) {
    let path = std::env::temp_dir().join(format!("keytrail-in-parts-{}", std::process::id()));
    std::fs::write(&path, archive).unwrap();
    let read = AtomicU64::new(0);
    let observer = |progress| {
        if let Progress::Read { bytes } = progress {
            read.fetch_add(bytes, Ordering::Relaxed);
        }
    };
    // In turn, and by a second thread, for which there has to be room.
    for (budget_bytes, cores) in [(1 << 20, 0), (16 << 20, 1)] {
        // All that is read of an archive as long as this is told, but for the last 4 MiB.
        let progress = ArchiveProgress::new(&observer, u64::MAX);
        let budget = Budget { bytes: budget_bytes, large_bytes: 1 << 20, part_bytes: 1 << 20 };
        let mut buffers = Buffers::new(budget, Arc::new(FreeCores::new(cores)));
        let mut told = Told::default();
        let file = ArchiveFile::new(&path, &progress);
        let Ok(_) = visit(Source::File(&file), ("a.zip", archive.len() as u64), &mut buffers, false, &mut told);
        let found = told.members.iter().map(|(_, content)| content.as_slice());
        assert!(found.eq(contents.iter().copied()) && told.damage.is_empty(), "{cores}: {:?}", told.damage);
        let (read, bytes) = (read.swap(0, Ordering::Relaxed), archive.len() as u64);
        assert!(bytes > 4 << 20 && read < bytes + bytes / 2, "{cores}: {read} of {bytes} bytes");
    }
    std::fs::remove_file(&path).unwrap();
}
