//! Signatures in minisign's file format: Ed25519 over the BLAKE2b hash of a file (prehashed form `ED`), with a trusted comment.
//!
//! Keys and signatures are those of the `minisign` tool, so either program verifies what the other signed. This crate turns texts and
//! files into keys and signatures and back; where they lie, and what is signed, its callers know.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use ct_codecs::{Base64, Decoder as _};
use minisign::{KeyPair, SecretKeyBox, SignatureBox};

/// Untrusted comment of the signatures made here.
const UNTRUSTED_COMMENT: &str = "signature from keytrail";
/// Untrusted comment of the secret keys made here.
const SECRET_KEY_COMMENT: &str = "minisign secret key, made by keytrail";
/// What the file format puts before an untrusted comment.
const COMMENT_PREFIX: &str = "untrusted comment: ";
/// Length of the checksum at the end of a secret key.
const CHECKSUM_BYTES: usize = 32;
/// Kind of key that the file format knows.
const ALGORITHM: &[u8] = b"Ed";

/// A key or a signature that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A file cannot be read or written.
    #[error("{}: cannot {what}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text is no public key.
    #[error("{name}: expected a minisign public key (56 characters that begin with RW), found {found}")]
    PublicKey {
        /// The file, or the text itself.
        name: String,
        /// What it is.
        found: String,
    },
    /// A file holds no secret key, or the password is wrong.
    #[error("{}: expected a minisign secret key{}, found {found}", path.display(), if *encrypted { " and its password" } else { "" })]
    SecretKey {
        /// The file.
        path: PathBuf,
        /// Whether it is encrypted.
        encrypted: bool,
        /// What is wrong.
        found: String,
    },
    /// A comment that a signature cannot hold.
    #[error("trusted comment: expected one line of text without blanks at its ends, found {found:?}")]
    Comment {
        /// The comment.
        found: String,
    },
    /// The system gave no randomness, or signing failed otherwise.
    #[error("cannot sign: {0}")]
    Failed(String),
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SignError {
    let path = path.to_owned();
    move |source| SignError::Io { what, path, source }
}

/// What verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(minisign::PublicKey);

impl PublicKey {
    /// A key from its text (`RW...`), or from a file that `minisign -G` or keytrail wrote.
    ///
    /// # Errors
    /// The text is neither a key nor the path of a file that holds one.
    pub fn from_text_or_file(text: &str) -> Result<Self, SignError> {
        if let Some(key) = Self::from_text(text) {
            return Ok(key);
        }
        let path = Path::new(text);
        let wrong = |found: &str| SignError::PublicKey { name: text.to_owned(), found: found.to_owned() };
        if !path.exists() {
            return Err(wrong("neither a key nor a file"));
        }
        let content = std::fs::read_to_string(path).map_err(io("read the public key", path))?;
        Self::from_file_text(&content).ok_or_else(|| wrong("another text"))
    }

    /// A key from its text (`RW...`).
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let key = minisign::PublicKey::from_base64(text).ok()?;
        // The library reads any bytes; the tool refuses those of another kind.
        (key.to_bytes().get(..2) == Some(ALGORITHM) && key.to_base64() == text).then_some(Self(key))
    }

    /// A key from the text of its file: a comment, and the key in the second line.
    #[must_use]
    pub fn from_file_text(content: &str) -> Option<Self> {
        Self::from_text(content.lines().nth(1)?)
    }

    /// The key's number, 16 hex digits, as the `minisign` tool shows it.
    #[must_use]
    pub fn id(&self) -> String {
        key_id(self.0.keynum())
    }

    /// The key as one word, `RW...`.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.to_base64()
    }

    /// The key as the text of a file.
    #[must_use]
    pub fn to_file_text(&self) -> String {
        format!("{COMMENT_PREFIX}minisign public key {}\n{}\n", self.id(), self.to_text())
    }

    /// Whether `signature` is this key's over `content` and its own comment.
    #[must_use]
    pub fn verifies(&self, content: &[u8], signature: &Signature) -> bool {
        minisign::verify(&self.0, &signature.0, Cursor::new(content), true, false, false).is_ok()
    }
}

/// Number of a key as the tool shows it: a little-endian number in hex.
fn key_id(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

/// What signs.
#[derive(Clone)]
pub struct SecretKey(minisign::SecretKey);

impl SecretKey {
    /// Reads a key from its file. Where it is encrypted, `password` is asked for the password; deriving a key from that takes some
    /// seconds and about a gigabyte of memory, by design of the format.
    ///
    /// # Errors
    /// The file is no key, or the password is not its own. Whatever `password` returns.
    pub fn from_file<E: From<SignError>>(
        path: &Path,
        password: impl FnOnce() -> Result<String, E>,
    ) -> Result<Self, E> {
        let text = std::fs::read_to_string(path).map_err(io("read the secret key", path))?;
        let wrong = |encrypted: bool, found: String| SignError::SecretKey { path: path.to_owned(), encrypted, found };
        let bytes = text.lines().nth(1).and_then(|key| Base64::decode_to_vec(key, None).ok()).unwrap_or_default();
        let [b'E', b'd', derivation @ ..] = bytes.as_slice() else {
            return Err(wrong(false, "another text".into()).into());
        };
        let key = match derivation {
            // The library would take an unencrypted key of the `minisign` tool for damaged: the tool writes no checksum into it. That the
            // two halves of the key belong together shows when a signature is verified that it made.
            [0, 0, ..] if bytes.ends_with(&[0; CHECKSUM_BYTES]) => minisign::SecretKey::from_bytes(&bytes),
            [0, 0, ..] => SecretKeyBox::from(text).into_unencrypted_secret_key(),
            [b'S', b'c', ..] => {
                let key = SecretKeyBox::from(text).into_secret_key(Some(password()?));
                return Ok(Self(key.map_err(|error| wrong(true, error.to_string()))?));
            }
            _ => return Err(wrong(false, "a key of another kind".into()).into()),
        };
        Ok(Self(key.map_err(|error| wrong(false, error.to_string()))?))
    }

    /// The public key that verifies what this one signs.
    ///
    /// # Errors
    /// The secret key holds none.
    pub fn public_key(&self) -> Result<PublicKey, SignError> {
        minisign::PublicKey::from_secret_key(&self.0).map(PublicKey).map_err(|error| SignError::Failed(error.to_string()))
    }

    /// Signs content together with a comment of one line.
    ///
    /// # Errors
    /// The comment has several lines, or the system gives no randomness.
    pub fn sign(&self, content: &[u8], trusted_comment: &str) -> Result<Signature, SignError> {
        if trusted_comment.contains(char::is_control) || trusted_comment.trim() != trusted_comment {
            return Err(SignError::Comment { found: trusted_comment.to_owned() });
        }
        let public = self.public_key()?;
        let signed = minisign::sign(
            Some(&public.0),
            &self.0,
            Cursor::new(content),
            Some(trusted_comment),
            Some(UNTRUSTED_COMMENT),
        );
        signed.map(Signature).map_err(|error| SignError::Failed(error.to_string()))
    }
}

/// A signature over some content and a trusted comment.
#[derive(Clone)]
pub struct Signature(SignatureBox);

impl Signature {
    /// Reads the text of a signature file. `None` where it is none, or has no trusted comment.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let signature = SignatureBox::from_string(text).ok()?;
        signature.trusted_comment().is_ok().then_some(Self(signature))
    }

    /// The text of its file.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.to_string()
    }

    /// What was signed together with the content.
    #[must_use]
    pub fn trusted_comment(&self) -> String {
        self.0.trusted_comment().unwrap_or_default()
    }

    /// Whether the one line that no signature covers is the one that is written here.
    #[must_use]
    pub fn has_usual_comment(&self) -> bool {
        self.0.untrusted_comment().is_ok_and(|comment| comment == UNTRUSTED_COMMENT)
    }

    /// Number of the key that it was made with.
    #[must_use]
    pub fn key_id(&self) -> String {
        key_id(self.0.keynum())
    }
}

/// Makes a pair of keys in `<prefix>.key` (secret, readable by its owner only) and `<prefix>.pub`. Neither is ever replaced. Without a
/// password the secret key is not encrypted.
///
/// # Errors
/// One of the files is there already or cannot be written.
pub fn generate_key(prefix: &Path, password: Option<String>) -> Result<PublicKey, SignError> {
    let failed = |error: minisign::PError| SignError::Failed(error.to_string());
    let [secret_path, public_path] = ["key", "pub"].map(|ending| {
        let mut name = prefix.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        PathBuf::from(name)
    });
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let KeyPair { pk, sk } = pair.map_err(failed)?;
    let public = PublicKey(pk);
    let secret = sk.to_box(Some(SECRET_KEY_COMMENT)).map_err(failed)?.to_string();
    create(&secret_path, &secret, true)?;
    if let Err(error) = create(&public_path, &public.to_file_text(), false) {
        // A secret key without its public one would only be in the way of the next attempt.
        let _ = std::fs::remove_file(&secret_path);
        return Err(error);
    }
    Ok(public)
}

fn create(path: &Path, content: &str, is_secret: bool) -> Result<(), SignError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(path).map_err(io("make the key file", path))?;
    std::io::Write::write_all(&mut file, content.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io("write the key file", path))
}

#[cfg(test)]
mod tests;
