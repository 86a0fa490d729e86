//! When an archive begins, guessed from its first bytes.
//!
//! Only the order in which archives are taken rests on it, and when a month is thought to be complete; both are checked later. So nothing here
//! fails: what cannot be read begins at an unknown time.

use std::io::Read;
use std::path::Path;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder};

use crate::container::{Container, LOCAL_HEADER_BYTES, name_and_extra_bytes};
use crate::digest::open;

/// Bytes that are read of a file.
pub(crate) const HEAD_BYTES: u64 = 16 << 10;
/// Bytes that are looked at of what they inflate to.
const TEXT_BYTES: u64 = 4 << 10;

/// Where the local header of a ZIP's member tells how it is compressed: see PKWARE's APPNOTE, 4.3.7.
const METHOD_AT: usize = 8;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// The time of the first record of a file, in microseconds since 1970.
pub(crate) fn first_time(path: &Path) -> Option<i64> {
    let mut bytes = Vec::new();
    open(path).ok()?.take(HEAD_BYTES).read_to_end(&mut bytes).ok()?;
    keytrail_decode::first_time(&text_of(&bytes)?)
}

/// The first bytes of the JSON in a ZIP, in a gzip file or in none of them.
fn text_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let head = |text: &mut dyn Read| {
        let mut found = Vec::new();
        // An error is the end of what was read.
        let _ = text.take(TEXT_BYTES).read_to_end(&mut found);
        found
    };
    match Container::of(bytes) {
        Container::Gzip => Some(head(&mut MultiGzDecoder::new(bytes))),
        Container::Plain => Some(head(&mut &*bytes)),
        Container::Zip => {
            let (header, behind) = bytes.split_first_chunk::<LOCAL_HEADER_BYTES>()?;
            let mut member = behind.get(name_and_extra_bytes(header)? as usize..)?;
            match u16::from_le_bytes(*header.get(METHOD_AT..)?.first_chunk()?) {
                STORED => Some(head(&mut member)),
                DEFLATED => Some(head(&mut DeflateDecoder::new(member))),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use keytrail_model::time;

    use super::*;

    const RECORDS: &str =
        r#"[{"action":"a","time" : "2026-01-05 08:00:01.000002 UTC"},{"time":"2026-01-04 08:00:01 UTC"}]"#;

    fn zip(method: CompressionMethod, text: &str) -> Vec<u8> {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("a.json", SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn the_first_record_tells_when_an_archive_begins() {
        let begin = Some(time::parse("2026-01-05T08:00:01.000002Z").unwrap().micros);
        let long = RECORDS.repeat(10_000);
        let deflated = zip(CompressionMethod::Deflated, &long);
        let cases: [(&str, Vec<u8>, Option<i64>); 11] = [
            ("ZIP", zip(CompressionMethod::Deflated, RECORDS), begin),
            ("ZIP, stored", zip(CompressionMethod::Stored, RECORDS), begin),
            ("a longer ZIP", deflated.clone(), begin),
            ("gzip", gzip(&long), begin),
            ("text", long.clone().into_bytes(), begin),
            ("no time", zip(CompressionMethod::Deflated, "[]"), None),
            ("a time that is none", br#"{"time":"yesterday"}"#.to_vec(), None),
            ("nothing", Vec::new(), None),
            ("a signature only", b"PK\x03\x04".to_vec(), None),
            ("a header only", deflated.get(..40).unwrap().to_vec(), None),
            ("no DEFLATE", [deflated.get(..40).unwrap(), &[0xff; 99]].concat(), None),
        ];
        let folder = tempfile::tempdir().unwrap();
        for (what, bytes, expected) in cases {
            let path = folder.path().join("archive");
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(first_time(&path), expected, "{what}");
        }
        assert_eq!(first_time(&folder.path().join("missing")), None);
        assert_eq!(first_time(folder.path()), None, "a folder");
        assert_eq!(first_time(Path::new("/dev/zero")), None, "a device");
    }
}
