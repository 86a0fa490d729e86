//! Signed statements about the store: what is signed, and where it lies. Signing changes nothing that is hashed.
//!
//! `STORE/signatures/<version>-<key>.txt` says what the store was at a version, `<version>-<key>.txt.minisig` is the signature over it, and
//! `<key>.pub` the public key. The text follows from the log alone, so verification makes it again and compares. The key that lies
//! beside a signature only shows that the files are whole; that the signature is who it should be shows a key kept elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keytrail_sign::{SecretKey, Signature};

use crate::folder::entries;
use crate::layout::Layout;
use crate::{Snapshot, StoreError, durable, sweep};

/// Digits of a version in the name of a statement.
const VERSION_DIGITS: usize = 8;
/// Ending of statements.
const STATEMENT: &str = ".txt";
/// Ending of signatures, after that of what they sign.
pub(crate) const SIGNATURE: &str = ".minisig";
/// Ending of public keys.
pub(crate) const PUBLIC_KEY: &str = ".pub";

/// What a store was at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Version of the table's columns, as the last commit of keytrail up to then tells it: a later keytrail must make the same text again.
    pub schema: u64,
    /// Version of the table.
    pub version: u64,
    /// SHA-256 of the commit file that made it, lower-case hex.
    pub head: String,
    /// Ingest runs up to then.
    pub runs: u64,
    /// Rows of `events` at that version.
    pub rows: u64,
    /// Moment of the last of the runs, microseconds since the epoch.
    pub last_run_at: Option<i64>,
}

impl Statement {
    /// The text that is signed: the same for the same history, whoever signs it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let moment = self.last_run_at.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
        format!(
            "keytrail store\nformat: 1\nschema: {}\nversion: {}\nhead: {}\nruns: {}\nrows: {}\nlast run: {}\n",
            self.schema,
            self.version,
            self.head,
            self.runs,
            self.rows,
            moment.map_or_else(|| "none".into(), |moment| moment.to_string()),
        )
    }

    /// The comment that is signed with it.
    fn comment(&self, more: Option<&str>) -> String {
        let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
        let comment = format!("keytrail store version {} head {} signed {now}", self.version, self.head);
        more.map_or(comment.clone(), |more| format!("{comment}: {more}"))
    }
}

/// A statement that was signed. Whether rightly, [`crate::verify`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStatement {
    /// The statement's file; the signature's has `.minisig` behind its name.
    pub path: PathBuf,
    /// Version that it is about, by its name.
    pub version: u64,
    /// Number of the key, 16 hex digits, by its name.
    pub key_id: String,
}

impl Snapshot {
    /// What there is to sign about this state of the store.
    #[must_use]
    pub fn statement(&self) -> Statement {
        Statement {
            schema: self.schema,
            version: self.version(),
            head: self.head().to_owned(),
            runs: self.runs().len() as u64,
            rows: self.rows(),
            last_run_at: self.runs().last().map(|run| run.committed_at),
        }
    }

    /// Signs what this state of the store is, durably. A signature of the same key over the same version is replaced.
    ///
    /// # Errors
    /// The last commit is not what was sealed, commits after it are lost, the key cannot sign, or the files cannot be written.
    pub fn sign(&self, key: &SecretKey, comment: Option<&str>) -> Result<SignedStatement, StoreError> {
        let layout = Layout::new(self.root());
        self.require_seal()?;
        sweep::refuse_cut_log(&layout, self)?;
        let folder = layout.signatures();
        let failed = |source| StoreError::Sign { path: folder.clone(), source };
        let (statement, public) = (self.statement(), key.public_key());
        let text = statement.to_text();
        let signature = key.sign(text.as_bytes(), &statement.comment(comment)).map_err(failed)?;
        durable::create_folder(&folder)?;
        let key_id = public.id();
        let path = folder.join(format!("{:0VERSION_DIGITS$}-{key_id}{STATEMENT}", statement.version));
        let files = [
            (folder.join(format!("{key_id}{PUBLIC_KEY}")), public.to_file_text()),
            (path.clone(), text),
            (signature_of(&path), signature.to_text()),
        ];
        for (path, text) in files {
            durable::replace_file(&path, text.into_bytes())?;
        }
        Ok(SignedStatement { path, version: statement.version, key_id })
    }

    /// The statements about versions up to this one that have a signature, by version and key. Says nothing about whether the
    /// signatures are right: [`crate::verify`] does.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn signatures(&self) -> Result<Vec<SignedStatement>, StoreError> {
        let files = Files::list(&Layout::new(self.root()))?;
        let signed =
            files.statements.into_iter().filter(|(_, (path, signature))| path.is_some() && signature.is_some());
        let signed = signed.map(|((version, key_id), (path, _))| SignedStatement {
            path: path.unwrap_or_default(),
            version,
            key_id,
        });
        Ok(signed.filter(|signed| signed.version <= self.version()).collect())
    }
}

/// Place of the signature of a file.
pub(crate) fn signature_of(path: &std::path::Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SIGNATURE);
    name.into()
}

/// The folder of signatures.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// By version and number of the key: the statement and its signature, as far as they are there.
    pub(crate) statements: BTreeMap<(u64, String), (Option<PathBuf>, Option<PathBuf>)>,
    /// By number of the key, which is the name.
    pub(crate) keys: BTreeMap<String, PathBuf>,
    /// Of signing that was stopped, or goes on: who signs takes no lock, so nobody knows.
    pub(crate) temporary: Vec<PathBuf>,
    /// What keytrail would not have written.
    pub(crate) others: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn list(layout: &Layout) -> Result<Self, StoreError> {
        let mut files = Self::default();
        for entry in entries(&layout.signatures())? {
            let path = entry.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(key) = name.strip_suffix(PUBLIC_KEY) {
                files.keys.insert(key.to_owned(), path);
            } else if let Some(about) = name.strip_suffix(SIGNATURE).and_then(parse_statement) {
                files.statements.entry(about).or_default().1 = Some(path);
            } else if let Some(about) = parse_statement(&name) {
                files.statements.entry(about).or_default().0 = Some(path);
            } else if durable::is_temporary(&name) {
                files.temporary.push(path);
            } else {
                files.others.push(path);
            }
        }
        Ok(files)
    }
}

/// Version and key in the name of a statement.
fn parse_statement(name: &str) -> Option<(u64, String)> {
    let (version, key) = name.strip_suffix(STATEMENT)?.split_once('-')?;
    let is_version = version.len() >= VERSION_DIGITS && version.bytes().all(|digit| digit.is_ascii_digit());
    let is_key = key.len() == 16 && key.bytes().all(|digit| digit.is_ascii_hexdigit());
    (is_version && is_key).then(|| Some((version.parse().ok()?, key.to_owned()))).flatten()
}

/// A signature as its file holds it, and only if its bytes are those that its parts give again.
pub(crate) fn parse_signature(text: &str) -> Option<Signature> {
    Signature::from_text(text).filter(|signature| signature.to_text() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_statements() {
        let key = "49287CCA9DA7A34A";
        assert_eq!(parse_statement(&format!("00000012-{key}.txt")), Some((12, key.into())));
        assert_eq!(parse_statement(&format!("1234567890-{key}.txt")), Some((1_234_567_890, key.into())));
        for name in ["12-49287CCA9DA7A34A.txt", "00000012-49287CCA9DA7A34.txt", "00000012-49287CCA9DA7A34A", "x.txt"] {
            assert_eq!(parse_statement(name), None, "{name}");
        }
    }

    #[test]
    fn the_text_of_a_statement_is_fixed() {
        let statement = Statement {
            schema: 3,
            version: 7,
            head: "ab".into(),
            runs: 6,
            rows: 5,
            last_run_at: Some(1_767_600_001_000_417),
        };
        let text = "keytrail store\nformat: 1\nschema: 3\nversion: 7\nhead: ab\nruns: 6\nrows: 5\nlast run: 2026-01-05T08:00:01.000417Z\n";
        assert_eq!(statement.to_text(), text);
        let empty = Statement { last_run_at: None, ..statement };
        assert!(empty.to_text().ends_with("last run: none\n"));
    }
}
