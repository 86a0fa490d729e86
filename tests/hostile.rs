//! Archives made to do harm: they fail by name, within bounded memory and time, and stop no other archive of the run.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

use crate::support::{Bench, counts, measure, record};

/// Memory that any of them may take: a run that plans with 128 MiB, plus what a build without optimisation takes for itself.
const PEAK_BYTES: u64 = 400 << 20;
const SECONDS: f64 = 60.0;

fn good(number: usize) -> String {
    record(&format!("2026-01-05 08:00:{number:02} UTC"), "LUNA_LOGIN") + "\n"
}

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// CRC, data and length of a member's content, deflated.
struct Content(u32, Vec<u8>, u32);

impl Content {
    fn of(content: &[u8]) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        Self(crc.sum(), deflated(content), u32::try_from(content.len()).unwrap())
    }
}

/// A ZIP (with ZIP64 records where it has many members) in which every member has the same content; with `shared`, even the same bytes.
fn zip(names: impl Iterator<Item = Vec<u8>>, content: &Content, shared: bool) -> Vec<u8> {
    let Content(crc, data, length) = content;
    let (mut file, mut directory, mut count) = (Vec::new(), Vec::new(), 0_u64);
    for name in names {
        let numbers = [*crc, u32::try_from(data.len()).unwrap(), *length].map(u32::to_le_bytes).concat();
        let name_bytes = u16::try_from(name.len()).unwrap().to_le_bytes();
        let fields = [&[20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0], numbers.as_slice(), &name_bytes].concat();
        let offset = if shared { 0 } else { u32::try_from(file.len()).unwrap() };
        if !shared || count == 0 {
            file.extend([b"PK\x03\x04", fields.as_slice(), &[0, 0], &name, data].concat());
        }
        directory.extend([b"PK\x01\x02\x14\x03", fields.as_slice(), &[0; 12], &offset.to_le_bytes(), &name].concat());
        count += 1;
    }
    let (at, bytes) = (file.len() as u64, directory.len() as u64);
    let end_64 = [44, 45 | 45 << 16].map(u64::to_le_bytes).concat();
    let places = [[0; 4].as_slice(), &[count, count, bytes, at].map(u64::to_le_bytes).concat()].concat();
    let locator = [b"PK\x06\x07\0\0\0\0".as_slice(), &(at + bytes).to_le_bytes(), &[1, 0, 0, 0]].concat();
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &[0xff; 12], &[0, 0]].concat();
    [file, directory, b"PK\x06\x06".to_vec(), end_64, places, locator, end].concat()
}

/// Ingests one archive between two good ones, with little memory: what was told, when those two are stored.
fn ingest_between_good_ones(name: &str, archive: &[u8]) -> (String, [u64; 7]) {
    let bench = Bench::new();
    bench.write("in/a.json", good(1));
    bench.write(&format!("in/{name}"), archive);
    bench.write("in/z.json", good(2));
    let mut command = bench.command();
    command.args(["ingest", "in", "--format", "json", "--memory", "128M", "--jobs", "2"]);
    let measured = measure(&mut command, SECONDS);
    let ran = measured.ran;
    assert!(ran.code == 3 || ran.code == 0, "{name}: {}: {}", ran.code, ran.stderr);
    assert!(
        !ran.stderr.contains("panicked") && ran.stderr.len() < 100 << 10,
        "{name}: {} bytes said",
        ran.stderr.len()
    );
    let at_most = PEAK_BYTES;
    assert!(measured.peak_bytes < at_most, "{name}: {} bytes, {} at most", measured.peak_bytes, at_most);
    let stored = bench.rows("SELECT count(*) FROM events WHERE action = 'LUNA_LOGIN'");
    assert_eq!(stored, ["2"], "{name}: the good ones are stored");
    println!("{name}: {:.2} s, {} MiB", measured.seconds, measured.peak_bytes >> 20);
    (ran.stderr, counts(&serde_json::from_str(&ran.stdout).unwrap()))
}

#[test]
fn bombs_and_archives_of_very_many_things_fail_and_stop_nothing() {
    let numbered = |count: usize| (0..count).map(|n| format!("{n:07}").into_bytes());
    let blanks = |bytes: usize| vec![b' '; bytes];
    let bomb = Content::of(&blanks(512 << 20));
    let nothing = Content::of(b"");
    let month = |n: usize| record(&format!("{:04}-{:02}-05 08:00:01 UTC", 1 + n / 12, 1 + n % 12), "A") + "\n";
    let months: String = (0..60_000).map(month).collect();
    let one = |content: &[u8]| zip(numbered(1), &Content::of(content), false);
    let signatures =
        |signature: &[u8], end: &[u8]| [b"PK\x03\x04", signature.repeat(5_000_000).as_slice(), end].concat();
    let lost = b"PK\x06\x07\0\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0";
    let astray = b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2f\0\0\0\x05\0\0\0\0\0";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("bomb.zip", zip(numbered(1), &bomb, false), "looks like a bomb"),
        ("bomb.gz", gzip(&blanks(512 << 20)), "looks like a bomb"),
        ("bomb-shared.zip", zip(numbered(1000), &bomb, true), "looks like a bomb"),
        ("zip-in-zip.zip", one(&one(good(3).as_bytes())), "expected '[' or '{', found 'P' at byte 0"),
        ("gzip-in-gzip.gz", gzip(&gzip(good(3).as_bytes())), "expected '[' or '{'"),
        ("million-members.zip", zip(numbered(1_000_000), &nothing, false), "at most 100000 members, found 1000000"),
        ("empty-members.zip", zip(numbered(100_000), &nothing, false), "and 99900 more faults"),
        ("million-gzips.gz", gzip(b"\n").repeat(1_000_000), "more than 100000 gzip members"),
        ("months.zip", one(months.as_bytes()), "records of more than 240 months"),
        ("objects.zip", one("{}\n".repeat(4_000_000).as_bytes()), "rejects of more than 268435456 bytes"),
        ("blank.zip", one(&blanks(200 << 20)), "expected records, found no text"),
        ("directory-signatures.zip", signatures(b"PK\x01\x02", astray), "no readable ZIP directory"),
        ("end-signatures.zip", signatures(b"PK\x06\x06", lost), "no readable ZIP directory"),
        ("deep.json", "[".repeat(2_000_000).into_bytes(), "holds no usable record"),
    ];
    for (name, archive, told) in cases {
        let (stderr, counts) = ingest_between_good_ones(name, &archive);
        assert!(stderr.contains(told), "{name}: {stderr}");
        let [new, known, failed, read, stored, duplicates, rejected] = counts;
        assert_eq!((new, known, failed, stored, duplicates), (2, 0, 1, 2, 0), "{name}: {stderr}");
        assert_eq!(read, stored + rejected, "{name}");
    }
}

/// Services of archives are told apart, and stay in memory and in the ledger: archives with thousands of them must not add up.
#[test]
fn very_many_services_are_not_counted() {
    let bench = Bench::new();
    let archive = |number: usize, name: &dyn Fn(usize) -> String| {
        let line =
            |n: usize| format!(r#"{{"time":"2026-01-05 08:00:01 UTC","action":"A{number}","source":"{}"}}"#, name(n));
        let lines: Vec<String> = (0..4096).map(line).collect();
        gzip(lines.join("\n").as_bytes())
    };
    for number in 0..40 {
        // Six characters each in the ledger, as here.
        let name = |n: usize| format!("{n:04}{}", "\\u0001".repeat(200));
        bench.write(&format!("in/control-{number}.gz"), archive(number, &name));
    }
    for number in 0..400 {
        bench.write(&format!("in/numbers-{number}.gz"), archive(number, &|n| format!("{n:04}")));
    }
    bench.write("in/usual.json", good(1));
    let mut command = bench.command();
    command.args(["ingest", "in", "--memory", "128M", "--jobs", "2"]);
    let measured = measure(&mut command, 2.0 * SECONDS);
    assert_eq!(measured.ran.code, 0, "{}", measured.ran.stderr);
    println!("{:.2} s, {} MiB", measured.seconds, measured.peak_bytes >> 20);
    assert!(measured.peak_bytes < PEAK_BYTES, "{} bytes, {PEAK_BYTES} at most", measured.peak_bytes);
    let counted = bench.rows("SELECT services, count(*) FROM archives GROUP BY services ORDER BY services");
    assert_eq!(counted, ["1,1", ",440"]);
}

/// A hundred faults are told, by the run and by the ledger, and how many more there are.
#[test]
fn the_ledger_says_how_many_faults_an_archive_has() {
    let bench = Bench::new();
    bench.write("in/a.zip", zip((0..300).map(|n| format!("{n:07}").into_bytes()), &Content::of(b""), false));
    let ran = bench.keytrail(&["ingest", "in"]);
    assert!(ran.code == 3 && ran.stderr.contains("and 200 more faults"), "{}", ran.stderr);
    let notes = bench.json("SELECT notes FROM archives");
    let notes: Vec<serde_json::Value> = serde_json::from_str(notes[0]["notes"].as_str().unwrap()).unwrap();
    assert_eq!(notes.len(), 101);
    assert_eq!(notes.last().unwrap()["text"], "and 200 more faults");
}

#[test]
fn names_of_files_and_members_cannot_act_on_a_terminal() {
    let hidden = |letter: char| letter.is_control() && letter != '\n' || ('\u{202a}'..='\u{202e}').contains(&letter);
    let name = "\x1b]0;owned\x07\x1b[2J\u{202e}gpj.\r\n../../etc/passwd";
    let archive = zip(std::iter::once(name.as_bytes().to_vec()), &Content::of((good(3) + "x\n").as_bytes()), false);
    let bench = Bench::new();
    bench.write("in/\x1b[31mred\u{202e}.zip", archive);
    let ran = bench.keytrail(&["ingest", "in"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains(r#"in/\u{1b}[31mred\u{202e}.zip: rejects: member "\u{1b}]0;owned"#), "{}", ran.stderr);
    let shown = ["archives", "rejects"].map(|command| bench.keytrail(&[command]).stdout);
    let rows = bench.keytrail(&["sql", "SELECT member, archive FROM events"]).stdout;
    for text in shown.into_iter().chain([ran.stderr, rows]) {
        assert!(!text.contains(hidden), "{}", text.escape_debug());
    }
    // What is stored is the name as it is.
    assert_eq!(bench.json("SELECT member FROM events")[0]["member"], name);
}

/// Something hostile in one record: the ones before and behind it are kept, and what becomes of it is known.
#[test]
fn hostile_records_cost_themselves_only() {
    let time = r#"{"time":"2026-01-05 08:00:09 UTC","action":"X""#;
    let with = |member: &[u8]| [time.as_bytes(), b",", member, b"}"].concat();
    let (digits, nines) = ("9".repeat(400), "9".repeat(1_000_000));
    let deep = |levels: usize| format!(r#""x":{}{}"#, "[".repeat(levels), "]".repeat(levels));
    let many: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":{n}")).collect();
    let taken: Vec<(&str, Vec<u8>, String)> = vec![
        // What, the member of the record, and what the store has of it.
        ("1e400", b"\"status\":1e400".into(), "1e400".into()),
        ("400 digits", format!("\"status\":{digits}").into(), digits.clone()),
        ("minus nothing", b"\"status\":-0".into(), "-0".into()),
        ("1E5", b"\"status\":1E5".into(), "100000.0".into()),
        ("a million digits", format!("\"status\":{nines}").into(), nines),
        ("1e-99999999999999999999", b"\"status\":1e-99999999999999999999".into(), "1e-99999999999999999999".into()),
        ("the last of equal names", b"\"status\":\"a\",\"status\":\"b\"".into(), "b".into()),
        ("a NUL", b"\"status\":\"a\\u0000b\"".into(), "a\0b".into()),
        ("a text of 1 MB", format!("\"status\":\"{}\"", "x".repeat(1 << 20)).into(), "x".repeat(1 << 20)),
        ("a name of 1 MB", format!("\"{}\":1,\"status\":\"s\"", "k".repeat(1 << 20)).into(), "s".into()),
        ("a hundred thousand names", format!("{},\"status\":\"s\"", many.join(",")).into(), "s".into()),
        ("as deep as it may", format!("{},\"status\":\"s\"", deep(127)).into(), "s".into()),
    ];
    for (name, member, status) in taken {
        let bench = Bench::new();
        let hostile = with(&member);
        bench.write("a.json", [b"[", good(1).as_bytes(), b",", &hostile, b",", good(2).as_bytes(), b"]"].concat());
        let (code, summary, stderr) = bench.ingest(&[&bench.path("a.json")], &[]);
        assert_eq!((code, counts(&summary)), (0, [1, 0, 0, 3, 3, 0, 0]), "{name}: {stderr}");
        let stored = bench.json("SELECT status FROM events WHERE action = 'X'");
        assert!(stored[0]["status"] == status.as_str(), "{name}");
    }
    let refused: Vec<(&str, Vec<u8>, &str)> = vec![
        ("too deep", with(deep(128).as_bytes()), "expected at most 128 levels"),
        (
            "meta as text that is deeper than it may be as an object",
            with(format!("\"meta\":\"{{{}}}\"", deep(127).replace('"', "\\\"")).as_bytes()),
            "the text of `meta`: expected at most 127 levels",
        ),
        ("a hundred thousand levels", with(deep(100_000).as_bytes()), "expected at most 128 levels"),
        (
            "longer than 16 MiB",
            with(format!("\"x\":\"{}\"", "x".repeat(16 << 20)).as_bytes()),
            "at most 16777216 bytes",
        ),
        ("no UTF-8", with(b"\"x\":\"\xff\""), ""),
        ("an overlong slash", with(b"\"x\":\"\xc0\xaf\""), ""),
        ("a surrogate in UTF-8", with(b"\"x\":\"\xed\xa0\x80\""), ""),
        ("a lone surrogate", with(b"\"x\":\"\\ud800\""), ""),
        ("a control character", with(b"\"x\":\"a\x01b\""), ""),
        ("a NUL byte", with(b"\"x\":\0"), ""),
        ("infinity", with(b"\"x\":Infinity"), ""),
        ("nothing", b"{}".to_vec(), "no usable time"),
        ("a time beyond all", br#"{"time":"9999-12-31 23:59:59 UTC"}"#.to_vec(), "no usable time"),
    ];
    for (name, hostile, reason) in refused {
        for (form, [open, between, close]) in [("list", ["[", ",", "]"]), ("lines", ["", "", ""])] {
            let bench = Bench::new();
            let front = format!("{open}{}{between}", good(1));
            let end = if form == "lines" { "\n" } else { between };
            bench.write(
                "a",
                [front.as_bytes(), &hostile, end.as_bytes(), good(2).as_bytes(), close.as_bytes()].concat(),
            );
            let (code, summary, stderr) = bench.ingest(&[&bench.path("a")], &[]);
            assert_eq!((code, counts(&summary)), (3, [1, 0, 0, 3, 2, 0, 1]), "{name}, {form}: {stderr}");
            let place = format!("record 1, byte {}: ", front.len());
            assert!(stderr.contains(&place) && stderr.contains(reason), "{name}, {form}: {stderr}");
        }
    }
    // A whole file in another encoding is no JSON text.
    let utf16 = |to: fn(u16) -> [u8; 2]| {
        "\u{feff}".encode_utf16().chain(good(1).encode_utf16()).flat_map(to).collect::<Vec<u8>>()
    };
    for (name, file) in [("UTF-16LE", utf16(u16::to_le_bytes)), ("UTF-16BE", utf16(u16::to_be_bytes))] {
        let bench = Bench::new();
        let (code, summary, stderr) = bench.ingest(&[&bench.write("a.json", file)], &[]);
        assert_eq!((code, counts(&summary)), (3, [0, 0, 1, 0, 0, 0, 0]), "{name}: {stderr}");
    }
}
