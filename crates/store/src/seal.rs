//! The seal of a commit file: its SHA-256 within itself, so that the last commit, which no later one vouches for, shows a change, too.
//!
//! A commit is written with 64 zeros as `commitInfo.keytrail.seal`. They are replaced by the SHA-256 of the bytes with the zeros at the
//! moment the file is written, because the Delta library adds moments and ids of its own that nobody knows before. A seal shows changes by
//! accident or by other software; whoever forges a commit can seal it again, which only the head kept elsewhere, or a signature, shows.

use crate::sealed_file::sha256;

/// Digits of a SHA-256.
const DIGITS: usize = 64;
/// What stands before the digits. Inside a JSON text the quotes would be escaped, so it can only be the member itself.
const BEFORE: &str = "\"seal\":\"";

/// The seal of a commit that is not written yet.
pub(crate) fn blank() -> String {
    "0".repeat(DIGITS)
}

/// Fills in the seal where the bytes hold a blank one.
pub(crate) fn close(bytes: &mut [u8]) {
    let Some(place) = place(bytes) else {
        return;
    };
    if bytes.get(place.clone()) == Some(blank().as_bytes()) {
        let digits = sha256(bytes);
        if let Some(seal) = bytes.get_mut(place) {
            seal.copy_from_slice(digits.as_bytes());
        }
    }
}

/// What a seal says of the bytes that hold it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// There is none: an earlier keytrail wrote the commit.
    Absent,
    /// They are those that were sealed.
    Whole,
    /// They are not.
    Broken {
        /// The seal.
        expected: String,
        /// SHA-256 of the bytes without it.
        found: String,
    },
}

/// Checks the seal of a commit file.
pub(crate) fn check(bytes: &[u8]) -> Seal {
    let Some(place) = place(bytes) else {
        return Seal::Absent;
    };
    let expected = String::from_utf8_lossy(bytes.get(place.clone()).unwrap_or_default()).into_owned();
    let mut unsealed = bytes.to_vec();
    if let Some(seal) = unsealed.get_mut(place) {
        seal.fill(b'0');
    }
    let found = sha256(&unsealed);
    if found == expected { Seal::Whole } else { Seal::Broken { expected, found } }
}

/// Where the digits stand, in line 1.
fn place(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let line = bytes.split(|&byte| byte == b'\n').next()?;
    let before = line.windows(BEFORE.len()).position(|window| window == BEFORE.as_bytes())?;
    let start = before + BEFORE.len();
    let end = start.checked_add(DIGITS)?;
    (line.get(end) == Some(&b'"')).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(seal: &str) -> Vec<u8> {
        format!(
            "{{\"commitInfo\":{{\"options\":\"{{\\\"seal\\\":\\\"00\\\"}}\",\"seal\":\"{seal}\",\"x\":1}}}}\n{{}}\n"
        )
        .into_bytes()
    }

    #[test]
    fn any_changed_byte_breaks_a_seal() {
        let mut bytes = commit(&blank());
        close(&mut bytes);
        assert_eq!(check(&bytes), Seal::Whole);
        let sealed = bytes.clone();
        close(&mut bytes);
        assert_eq!(bytes, sealed, "a commit is sealed once");
        for place in 0..sealed.len() {
            for flip in [1, 0x20, 0x80] {
                let mut changed = sealed.clone();
                changed[place] ^= flip;
                assert_ne!(check(&changed), Seal::Whole, "byte {place}");
            }
        }
        assert_ne!(check(&[sealed.as_slice(), b"\n"].concat()), Seal::Whole, "more bytes at the end");
    }

    #[test]
    fn what_has_no_seal_stays_as_it_is() {
        for text in ["", "{}\n", "{\"seal\":\"12\"}\n", "{}\n{\"seal\":\"00\"}"] {
            let mut bytes = text.as_bytes().to_vec();
            close(&mut bytes);
            assert_eq!(bytes, text.as_bytes());
            assert_eq!(check(&bytes), Seal::Absent);
        }
    }
}
