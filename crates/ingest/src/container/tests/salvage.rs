//! `--salvage`: members found by their local headers.

use super::*;

#[test]
fn salvage_steps_over_folders_and_takes_those_with_content_as_members() {
    let with_descriptor = |method: u16| {
        let plain = member(b"d/", method, b"");
        let lengths = [0, u32::try_from(plain.data.len()).unwrap(), 0].map(u32::to_le_bytes).concat();
        let local = Some((plain.name.clone(), method, 0, 0, 0));
        Member { flags: 8, descriptor: [b"PK\x07\x08", lengths.as_slice()].concat(), local, ..plain }
    };
    let bare = Member { data: vec![], ..member(b"d/", 8, b"") };
    let folders = [member(b"d/", 0, b""), member(b"d/", 8, b""), bare, with_descriptor(0), with_descriptor(8)];
    let full = [0, 8].map(|method| member(b"d/", method, RECORD));
    let unsized_one = Member { bytes: 0, ..member(b"d/", 8, RECORD) };
    for (folder, is_empty) in folders
        .into_iter()
        .map(|folder| (folder, true))
        .chain(full.into_iter().chain([unsized_one]).map(|folder| (folder, false)))
    {
        let archive = zip(&[folder, member(b"b", 0, OTHER)], b"");
        let directory = memchr::memmem::find(&archive, b"PK\x01\x02").unwrap();
        let told = told(&archive[..directory], true);
        let found: Vec<_> = told.members.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        let members = [("d/", RECORD), ("b", OTHER)];
        assert_eq!(found, if is_empty { &members[1..] } else { &members[..] }, "{told:?}");
    }
}

/// A local header of a stored member whose lengths are in the extra field of ZIP64, and its data.
fn with_lengths_64(content: &[u8]) -> Vec<u8> {
    let (crc, length) = (libdeflater::crc32(content).to_le_bytes(), (content.len() as u64).to_le_bytes());
    let extra = [[9, 9, 2, 0, 7, 7, 1, 0, 16, 0].as_slice(), &length, &length].concat();
    let fields = [b"PK\x03\x04\x2d\0\0\0\0\0\0\0\x21\0".as_slice(), &crc, &[0xff; 8], &[1, 0, 26, 0]].concat();
    [fields.as_slice(), b"l", &extra, content].concat()
}

/// Whatever is wrong with a member, those behind it are found; and no content is taken twice.
#[test]
fn salvage_goes_on_behind_what_cannot_be_read() {
    let [a, b] = [b"a", b"b"].map(|name| member(name, 8, RECORD));
    let c = member(b"c", 0, OTHER);
    let cut = |members: &[Member]| {
        let archive = zip(members, b"");
        archive[..memchr::memmem::find(&archive, b"PK\x01\x02").unwrap()].to_vec()
    };
    let with_descriptor = |plain: Member, signature: &[u8], wide: bool| {
        let [data_bytes, bytes] = [u32::try_from(plain.data.len()).unwrap(), plain.bytes].map(|length| {
            let length = u64::from(length).to_le_bytes();
            length[..if wide { 8 } else { 4 }].to_vec()
        });
        let descriptor = [signature, &plain.crc.to_le_bytes(), &data_bytes, &bytes].concat();
        let local = Some((plain.name.clone(), plain.method, 0, 0, 0));
        Member { flags: 8, descriptor, local, ..plain }
    };
    let damaged = Member { data: [&a.data[..9], &[0xff; 20], &a.data[29..]].concat(), ..a.clone() };
    let encrypted = Member { flags: 1, ..a.clone() };
    let headers = b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\n\r\n";
    let broken = Member { bytes: u32::MAX, extra: vec![1, 0, 2, 0, 0, 0], ..b.clone() };
    let [zip_a, zip_c] = [&a, &c].map(|member| zip(std::slice::from_ref(member), b""));
    let slack = [a.data.as_slice(), &unnamed(c.clone())].concat();
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        // Name, archive, members that are found, what is told of the others.
        ("a descriptor", cut(&[with_descriptor(a.clone(), b"PK\x07\x08", false), c.clone()]), "a c", ""),
        ("a descriptor without signature", cut(&[with_descriptor(a.clone(), b"", false), c.clone()]), "a c", ""),
        ("a descriptor of ZIP64", cut(&[with_descriptor(a.clone(), b"PK\x07\x08", true), c.clone()]), "a c", ""),
        ("encrypted", cut(&[Member { flags: 1, ..a.clone() }, c.clone()]), "c", "a: encrypted"),
        ("another method", cut(&[Member { method: 12, ..a.clone() }, c.clone()]), "c", "a: compressed by method 12"),
        ("damaged", cut(&[damaged, c.clone()]), "a c", "a: "),
        ("a wrong CRC", cut(&[Member { crc: 7, ..a.clone() }, c.clone()]), "a c", "a: CRC-32: expected 00000007"),
        (
            "stored, with a descriptor",
            cut(&[with_descriptor(member(b"s", 0, RECORD), b"PK\x07\x08", false), c.clone()]),
            "c",
            "s: stored, and its length stands behind its data",
        ),
        ("stored, with lengths of ZIP64", [with_lengths_64(RECORD), unnamed(c.clone())].concat(), "l c", ""),
        ("declared too short", zip(&[Member { bytes: 56, ..a.clone() }], b""), "a", "a: expected 56 bytes, found more"),
        ("two ZIPs joined", [zip_c.as_slice(), &zip_a].concat(), "a c", "the directory names no member at byte 0"),
        ("a ZIP joined to itself", zip_a.repeat(2), "a", "the directory names no member at byte 0"),
        ("a cut ZIP behind HTTP headers", [headers, cut(&[a.clone(), c.clone()]).as_slice()].concat(), "a c", ""),
        ("an offset to no header", zip(&[Member { offset: Some(1), ..a.clone() }, c.clone()], b""), "c a", "a: "),
        ("a copy of an encrypted one", [zip_a.as_slice(), &zip(&[encrypted], b"")].concat(), "a", "a: encrypted"),
        ("an entry that cannot be read", zip(&[broken, c.clone()], b""), "b c", "entry 0 of 2"),
        ("behind the data of another", zip(&[Member { data: slack, ..a }], b""), "a c", "names no member"),
    ];
    for (case, archive, names, expected) in cases {
        let told = told(&archive, true);
        let found: Vec<&str> = told.members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found.join(" "), names, "{case}: {told:?}");
        assert!(told.damage.iter().any(|damage| damage.contains(expected)), "{case}: {told:?}");
        let says_how_far = told.notes.iter().any(|note| note.contains("found by their local headers"));
        assert!(says_how_far || case == "declared too short", "{case}: {told:?}");
        for (name, content) in &told.members {
            let is_damaged = told.damage.iter().any(|damage| damage.starts_with(&format!("{name}: ")));
            let whole = if name == "c" { OTHER } else { RECORD };
            assert!(
                if is_damaged { whole.starts_with(content) || name == "a" } else { content == whole },
                "{case}: {told:?}"
            );
        }
    }
}
