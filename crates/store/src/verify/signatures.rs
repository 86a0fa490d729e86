//! Signatures: whether each is over a head of this store, and whose it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use keytrail_sign::PublicKey;

use super::Findings;
use super::log::Log;
use crate::StoreError;
use crate::signatures::{Files, PUBLIC_KEY, SIGNATURE, Statement, parse_signature, signature_of};

/// A signature over a head in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// Version of the store that it is about.
    pub version: u64,
    /// Number of the key, 16 hex digits.
    pub key_id: String,
    /// What was signed with it: version, head, moment, and the signer's own words.
    pub comment: String,
    /// Whether one of the keys that were given for verification made it. Else it was only compared with the key that lies
    /// beside it, which anybody can make.
    pub by_given_key: bool,
}

/// Checks all signatures of the store.
pub(super) fn check(
    files: &Files,
    log: &Log,
    given: &[PublicKey],
    findings: &mut Findings<'_>,
) -> Vec<VerifiedSignature> {
    let keys = read_keys(files, given, findings);
    let mut verified = Vec::new();
    for ((version, key_id), (statement, signature)) in &files.statements {
        let (statement, signature) = match (statement, signature) {
            (Some(statement), Some(signature)) => (statement, signature),
            (Some(statement), None) => {
                // Signing that was stopped halfway leaves it so. But so does whoever takes a signature away, and one over an earlier version does
                // not stand in for it: what was signed last cannot be checked.
                let name = statement.file_name().unwrap_or_default().to_string_lossy();
                let expected = format!("expected its signature {name}{SIGNATURE} beside it, found none");
                findings
                    .unchecked
                    .push(format!("signatures/{name}: {expected}; keytrail sign makes one of the store as it is now"));
                continue;
            }
            (None, Some(signature)) => {
                findings.damage(&signature.with_extension(""), "the statement that was signed", "no such file");
                continue;
            }
            (None, None) => continue,
        };
        let checked = check_one(*version, statement, signature, keys.get(key_id), log, findings);
        let Some(comment) = findings.get(checked).flatten() else {
            continue;
        };
        let by_given_key = given.iter().any(|key| key.id() == *key_id);
        verified.push(VerifiedSignature { version: *version, key_id: key_id.clone(), comment, by_given_key });
    }
    let temporary =
        files.temporary.iter().map(|path| (path, "left over by signing that was stopped, unless it goes on"));
    for (path, words) in temporary.chain(files.others.iter().map(|path| (path, "not of keytrail"))) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        findings.notes.push(format!("signatures/{name}: {words}"));
    }
    for key in given.iter().filter(|key| !verified.iter().any(|one| one.by_given_key && one.key_id == key.id())) {
        findings.unchecked.push(format!("no sound signature of key {} is in the store", key.id()));
    }
    verified
}

/// The keys that lie in the store, and those given in their place.
fn read_keys(files: &Files, given: &[PublicKey], findings: &mut Findings<'_>) -> BTreeMap<String, PublicKey> {
    let mut keys = BTreeMap::new();
    for (id, path) in &files.keys {
        let text = fs::read(path).map_err(StoreError::io("read the public key", path));
        let Some(text) = findings.get(text) else {
            continue;
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        match PublicKey::from_file_text(&text).filter(|key| key.to_file_text() == text && key.id() == *id) {
            Some(key) => drop(keys.insert(id.clone(), key)),
            None => findings.damage(path, format!("the public key {id}"), "another text"),
        }
    }
    for key in given {
        if let Some(other) = keys.insert(key.id(), key.clone()).filter(|other| other != key) {
            let path = files.keys.get(&key.id()).map_or(Path::new(PUBLIC_KEY), |path| path.as_path());
            findings.damage(path, format!("the key {} that was given", key.to_text()), other.to_text());
        }
    }
    keys
}

/// Checks one signature; its comment where it is sound.
fn check_one(
    version: u64,
    statement: &Path,
    signature: &Path,
    key: Option<&PublicKey>,
    log: &Log,
    findings: &mut Findings<'_>,
) -> Result<Option<String>, StoreError> {
    let text = fs::read(statement).map_err(StoreError::io("read the statement", statement))?;
    let Some(expected) = log.statements.get(&version).map(Statement::to_text) else {
        let found = format!("the last version is {}", log.version);
        findings.damage(statement, format!("version {version}, which was signed"), found);
        return Ok(None);
    };
    if text != expected.as_bytes() {
        let [expected, found] =
            [expected, String::from_utf8_lossy(&text).into_owned()].map(|text| text.trim_end().replace('\n', ", "));
        findings.damage(statement, format!("what the log says: {expected}"), found);
        return Ok(None);
    }
    let Some(key) = key else {
        let name = format!("{}{PUBLIC_KEY}", statement.file_stem().unwrap_or_default().to_string_lossy());
        let name = name.split_once('-').map_or(name.as_str(), |(_, key)| key);
        findings.damage(&statement.with_file_name(name), "the public key of a signature", "no such file");
        return Ok(None);
    };
    debug_assert_eq!(signature, signature_of(statement));
    let bytes = fs::read(signature).map_err(StoreError::io("read the signature", signature))?;
    let parsed = std::str::from_utf8(&bytes).ok().and_then(parse_signature);
    let Some(sound) = parsed.filter(|signature| key.verifies(&text, signature)) else {
        findings.damage(signature, format!("a signature of key {} over the statement beside it", key.id()), "none");
        return Ok(None);
    };
    let comment = sound.trusted_comment().to_owned();
    // No signature covers the first line. Where keytrail signed, it is known.
    if comment.starts_with("keytrail store version ") && !sound.has_usual_comment() {
        findings.damage(signature, "the first line that keytrail writes", "another comment, which is not signed");
        return Ok(None);
    }
    Ok(Some(comment))
}
