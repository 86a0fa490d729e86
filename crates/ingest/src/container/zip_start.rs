//! Where a ZIP begins in its file, as its end record tells.
//!
//! Bytes may stand before it, so offsets count from there. Left to itself the ZIP library searches the whole file for signatures and
//! keeps the place of each: twice the length of a file that is made of them. It also reads a ZIP64 end record of any length into memory.

use std::io::{self, BufReader, Read, Seek};

use super::source::SourceReader;
use super::zip_layout::{
    DIRECTORY_ENTRY, END_LOCATOR_64_BYTES, END_RECORD, END_RECORD_64, END_RECORD_64_BYTES, END_RECORD_BYTES, signature,
    u64_at,
};

const END_LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
/// Bytes at the end of a file in which an end record is looked for: the record, and the longest comment.
pub(super) const TAIL_BYTES: u64 = END_RECORD_BYTES + u16::MAX as u64;
/// Longest ZIP64 end record that is read. Nobody writes into the room behind its fields.
const END_RECORD_64_BYTES_MAX: u64 = 64 << 10;

/// Bytes before the ZIP, by the end record nearest to the end that fits: its directory ends where it begins. 0 where none does.
///
/// # Errors
/// The file cannot be read, or a ZIP64 end record is longer than any is (`InvalidData`).
pub(super) fn bytes_before(file: &mut BufReader<SourceReader<'_>>) -> io::Result<u64> {
    // Nothing is in the buffer yet, and all that follows seeks first.
    let ends = end_records(file.get_mut())?;
    let mut before = 0;
    for &(at, fields) in &ends {
        if let Some(found) = bytes_before_by(file, at, fields)? {
            before = found;
            break;
        }
    }
    for &(at, _) in &ends {
        if let Some(claimed) = claimed_end_record_64(file, at)? {
            check_length(file, claimed)?;
            check_length(file, claimed.saturating_add(before))?;
        }
    }
    Ok(before)
}

/// Length of the directory, and its offset from where the ZIP begins; as an end record says.
type Fields = (u32, u32);

/// All that may be end records, with room for their comment; the last one first.
fn end_records(file: &mut SourceReader<'_>) -> io::Result<Vec<(u64, Fields)>> {
    let (from, tail) = file.tail(TAIL_BYTES)?;
    // Forwards: only that way does the library look at many bytes at once.
    let mut found: Vec<_> = memchr::memmem::find_iter(&tail, &END_RECORD).collect();
    found.reverse();
    let found = found.into_iter().filter_map(|at| {
        let record: &[u8; END_RECORD_BYTES as usize] = tail.get(at..)?.first_chunk()?;
        let [.., s1, s2, s3, s4, o1, o2, o3, o4, _, _] = *record;
        Some((from + at as u64, (u32::from_le_bytes([s1, s2, s3, s4]), u32::from_le_bytes([o1, o2, o3, o4]))))
    });
    Ok(found.collect())
}

fn bytes_before_by(file: &mut (impl Read + Seek), at: u64, (bytes, offset): Fields) -> io::Result<Option<u64>> {
    if let Some(claimed) = claimed_end_record_64(file, at)? {
        let record = at.saturating_sub(END_LOCATOR_64_BYTES + END_RECORD_64_BYTES);
        return Ok((signature(file, record)? == END_RECORD_64).then(|| record.checked_sub(claimed)).flatten());
    }
    let Some(start) = at.checked_sub(bytes.into()) else {
        return Ok(None);
    };
    let is_directory = bytes == 0 || signature(file, start)? == DIRECTORY_ENTRY;
    Ok(is_directory.then(|| start.checked_sub(offset.into())).flatten())
}

/// Where the locator before an end record says that the ZIP64 end record is, not counting what stands before the ZIP.
fn claimed_end_record_64(file: &mut (impl Read + Seek), at: u64) -> io::Result<Option<u64>> {
    match at.checked_sub(END_LOCATOR_64_BYTES) {
        Some(locator) if signature(file, locator)? == END_LOCATOR_64 => u64_at(file, locator + 8).map(Some),
        _ => Ok(None),
    }
}

fn check_length(file: &mut (impl Read + Seek), record: u64) -> io::Result<()> {
    if signature(file, record)? != END_RECORD_64 {
        return Ok(());
    }
    let found = u64_at(file, record.saturating_add(4))?;
    if found > END_RECORD_64_BYTES_MAX {
        let message = format!("ZIP64 end record: expected at most {END_RECORD_64_BYTES_MAX} bytes, found {found}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;

    fn end(bytes: u32, offset: u32) -> Vec<u8> {
        let fields = [bytes.to_le_bytes(), offset.to_le_bytes()].concat();
        [b"PK\x05\x06".as_slice(), &[0; 8], &fields, &[0; 2]].concat()
    }

    fn end_64(record: u64, length: u64) -> Vec<u8> {
        let locator = [b"PK\x06\x07".as_slice(), &[0; 4], &record.to_le_bytes(), &[1, 0, 0, 0]].concat();
        [b"PK\x06\x06".as_slice(), &length.to_le_bytes(), &[0; 44], &locator, &end(u32::MAX, u32::MAX)].concat()
    }

    #[test]
    fn what_stands_before_a_zip() {
        let directory = [b"PK\x01\x02".as_slice(), &[7; 46]].concat();
        let zip = [b"members".as_slice(), &directory, &end(50, 7)].concat();
        let zip_64 = [b"members".as_slice(), &directory, &end_64(57, 44)].concat();
        let cases: [(&str, &[&[u8]], Option<u64>); 12] = [
            ("nothing at all", &[], Some(0)),
            ("nothing", &[&zip], Some(0)),
            ("some bytes", &[b"before", &zip], Some(6)),
            ("another ZIP, whose directory stands at the same offset", &[&zip, &zip], Some(zip.len() as u64)),
            ("bytes behind do not matter", &[b"before", &zip, b"behind PK\x05\x06"], Some(6)),
            ("a directory that is elsewhere", &[b"before", b"members", &directory, &end(49, 7)], Some(0)),
            ("a directory before the file", &[&zip[..57], &end(58, 7)], Some(0)),
            ("an offset beyond", &[&zip[..57], &end(50, 8)], Some(0)),
            ("a ZIP without members", &[b"before", &end(0, 0)], Some(6)),
            ("ZIP64", &[&zip_64], Some(0)),
            ("ZIP64 with bytes before", &[b"before", &zip_64], Some(6)),
            ("a ZIP64 end record without end", &[b"members", &directory, &end_64(57, 1 << 40)], None),
        ];
        for (name, parts, expected) in cases {
            let found = bytes_before(&mut Source::Memory(&parts.concat()).header_reader().unwrap());
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{name}: {found:?}");
        }
        let long = [b"before".as_slice(), b"members", &directory, &end_64(57, 1 << 40)].concat();
        let error = bytes_before(&mut Source::Memory(&long).header_reader().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "ZIP64 end record: expected at most 65536 bytes, found 1099511627776");
    }
}
