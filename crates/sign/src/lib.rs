//! Signatures in minisign's file format: Ed25519 over the BLAKE2b hash of a file (prehashed form `ED`), with a trusted comment.
//!
//! Keys and signatures are those of the `minisign` tool, so either program verifies what the other signed. This crate turns texts and
//! files into keys and signatures and back; where they lie, and what is signed, its callers know.

mod scrypt;

use std::path::{Path, PathBuf};

use ct_codecs::{Base64, Decoder as _, Encoder as _};
use ed25519_compact::{KeyPair, Seed};

use crate::scrypt::Cost;

/// Untrusted comment of the signatures made here.
const UNTRUSTED_COMMENT: &str = "signature from keytrail";
/// Untrusted comment of the secret keys made here.
const SECRET_KEY_COMMENT: &str = "minisign secret key, made by keytrail";
/// What the file format puts before an untrusted comment.
const COMMENT_PREFIX: &str = "untrusted comment: ";
/// What it puts before a trusted one.
const TRUSTED_PREFIX: &str = "trusted comment: ";
/// Kind of key and of signature: Ed25519, and the same over the hash of what is signed.
const ALGORITHM: [u8; 2] = *b"Ed";
const PREHASHED: [u8; 2] = *b"ED";
/// How the checksum of a secret key is made.
const CHECKSUM: [u8; 2] = *b"B2";
/// How its encryption key is derived: scrypt, or not at all.
const SCRYPT: [u8; 2] = *b"Sc";
const UNENCRYPTED: [u8; 2] = [0; 2];
/// Costs of the derivation for keys made here, in the terms of the file format: a quarter of a gigabyte, under a second.
const OPERATIONS: u64 = 1 << 23;
const MEMORY: u64 = 1 << 28;
/// Memory that a key may ask for; those of the tool ask for a gigabyte.
const MEMORY_MAX: u64 = 1 << 30;
/// Lanes that a key may ask for; those of the tool ask for one. More than some only take time.
const LANES_MAX: u64 = 64;

/// Number of a key.
type KeyNumber = [u8; 8];

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
    /// The system gave no randomness.
    #[error("cannot make a key: {0}")]
    Random(String),
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SignError {
    let path = path.to_owned();
    move |source| SignError::Io { what, path, source }
}

/// What verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    number: KeyNumber,
    key: [u8; 32],
}

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
        let bytes: [u8; 42] = decode(text)?;
        let mut bytes = Bytes(&bytes);
        (bytes.take()? == ALGORITHM).then_some(())?;
        Some(Self { number: bytes.take()?, key: bytes.take()? })
    }

    /// A key from the text of its file: a comment, and the key in the second line.
    #[must_use]
    pub fn from_file_text(content: &str) -> Option<Self> {
        Self::from_text(content.lines().nth(1)?)
    }

    /// The key's number, 16 hex digits, as the `minisign` tool shows it.
    #[must_use]
    pub fn id(&self) -> String {
        key_id(self.number)
    }

    /// The key as one word, `RW...`.
    #[must_use]
    pub fn to_text(&self) -> String {
        encode(&[&ALGORITHM, &self.number, &self.key])
    }

    /// The key as the text of a file.
    #[must_use]
    pub fn to_file_text(&self) -> String {
        format!("{COMMENT_PREFIX}minisign public key {}\n{}\n", self.id(), self.to_text())
    }

    /// Whether `signature` is this key's over `content` and its own comment.
    #[must_use]
    pub fn verifies(&self, content: &[u8], signature: &Signature) -> bool {
        let key = ed25519_compact::PublicKey::new(self.key);
        let is_signed =
            |bytes: &[u8], signature: [u8; 64]| key.verify(bytes, &ed25519_compact::Signature::new(signature)).is_ok();
        signature.number == self.number
            && is_signed(&hash_of(content), signature.signature)
            && is_signed(&signature.with_comment(), signature.over_comment)
    }
}

/// Number of a key as the tool shows it: a little-endian number in hex.
fn key_id(number: KeyNumber) -> String {
    format!("{:016X}", u64::from_le_bytes(number))
}

/// What is signed of a file.
fn hash_of(content: &[u8]) -> [u8; 64] {
    *blake2b_simd::blake2b(content).as_array()
}

/// Parts as one word in Base64.
fn encode(parts: &[&[u8]]) -> String {
    // Fails for lengths beyond memory only.
    Base64::encode_to_string(parts.concat()).unwrap_or_default()
}

/// The bytes of a word in Base64, where it is one of that length.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    Base64::decode_to_vec(text, None).ok()?.try_into().ok()
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, left) = self.0.split_first_chunk()?;
        self.0 = left;
        Some(*taken)
    }
}

/// What signs.
#[derive(Clone)]
pub struct SecretKey {
    number: KeyNumber,
    pair: KeyPair,
}

impl SecretKey {
    /// Reads a key from its file. Where it is encrypted, `password` is asked for the password; deriving a key from that takes some
    /// seconds and, for keys of the `minisign` tool, a gigabyte of memory, by design of the format.
    ///
    /// # Errors
    /// The file is no key, or the password is not its own. Whatever `password` returns.
    pub fn from_file<E: From<SignError>>(path: &Path, password: impl FnOnce() -> Result<String, E>) -> Result<Self, E> {
        let text = std::fs::read_to_string(path).map_err(io("read the secret key", path))?;
        let wrong = |encrypted: bool, found: &str| SignError::SecretKey {
            path: path.to_owned(),
            encrypted,
            found: found.to_owned(),
        };
        let stored = text.lines().nth(1).and_then(StoredKey::parse);
        let stored = stored.ok_or_else(|| wrong(false, "another text, or a key of another kind"))?;
        if stored.derivation == UNENCRYPTED {
            return Ok(stored.open().ok_or_else(|| wrong(false, "a damaged key"))?);
        }
        let cost = stored.cost().map_err(|found| wrong(true, &found))?;
        let open = stored.decrypt(&password()?, cost).open();
        Ok(open.ok_or_else(|| wrong(true, "another password, or a damaged key"))?)
    }

    /// The public key that verifies what this one signs.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey { number: self.number, key: *self.pair.pk }
    }

    /// Signs content together with a comment of one line.
    ///
    /// # Errors
    /// The comment has several lines or blanks at its ends.
    pub fn sign(&self, content: &[u8], trusted_comment: &str) -> Result<Signature, SignError> {
        if trusted_comment.contains(char::is_control) || trusted_comment.trim() != trusted_comment {
            return Err(SignError::Comment { found: trusted_comment.to_owned() });
        }
        let mut signature = Signature {
            number: self.number,
            signature: *self.pair.sk.sign(hash_of(content), None),
            trusted_comment: trusted_comment.to_owned(),
            over_comment: [0; 64],
            untrusted_comment: UNTRUSTED_COMMENT.to_owned(),
        };
        signature.over_comment = *self.pair.sk.sign(signature.with_comment(), None);
        Ok(signature)
    }
}

/// A secret key as its file holds it.
#[derive(Clone)]
struct StoredKey {
    derivation: [u8; 2],
    salt: [u8; 32],
    operations: u64,
    memory: u64,
    /// Number, both halves of the key, checksum; perhaps encrypted.
    secret: [u8; 104],
}

impl StoredKey {
    fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 158] = decode(text)?;
        let mut bytes = Bytes(&bytes);
        let (algorithm, derivation, checksum): ([u8; 2], [u8; 2], [u8; 2]) =
            (bytes.take()?, bytes.take()?, bytes.take()?);
        let is_known = algorithm == ALGORITHM && checksum == CHECKSUM && [SCRYPT, UNENCRYPTED].contains(&derivation);
        is_known.then_some(())?;
        Some(Self {
            derivation,
            salt: bytes.take()?,
            operations: u64::from_le_bytes(bytes.take()?),
            memory: u64::from_le_bytes(bytes.take()?),
            secret: bytes.take()?,
        })
    }

    fn of(number: KeyNumber, pair: &KeyPair) -> Self {
        let mut secret = [0; 104];
        let parts = number.iter().chain(pair.sk.iter()).copied().chain(checksum(number, &*pair.sk));
        secret.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        Self { derivation: UNENCRYPTED, salt: [0; 32], operations: 0, memory: 0, secret }
    }

    fn to_text(&self) -> String {
        let Self { derivation, salt, operations, memory, secret } = self;
        let (operations, memory) = (operations.to_le_bytes(), memory.to_le_bytes());
        encode(&[&ALGORITHM, derivation, &CHECKSUM, salt, &operations, &memory, secret])
    }

    /// What the derivation costs, as libsodium reckons it from the two limits; else what is too much about it.
    fn cost(&self) -> Result<Cost, String> {
        let (r, operations, memory) = (8, self.operations.max(1 << 15), self.memory);
        if memory > MEMORY_MAX {
            return Err(format!("one that wants {memory} bytes of memory, more than {MEMORY_MAX}"));
        }
        let by_operations = operations < memory / 32;
        let most = if by_operations { operations / (r * 4) } else { memory / (r * 128) };
        let log_n = (1..63).find(|log_n| 1 << log_n > most / 2).unwrap_or(63);
        let lanes = if by_operations { 1 } else { ((operations / 4) >> log_n).min(0x3fff_ffff) / r };
        match usize::try_from(lanes) {
            Ok(p) if (1..=LANES_MAX).contains(&lanes) => Ok(Cost { log_n, r: 8, p }),
            _ => Err(format!(
                "one that wants {operations} operations in {memory} bytes of memory, {lanes} lanes, not 1 to {LANES_MAX}"
            )),
        }
    }

    /// Encrypts, and decrypts again.
    fn decrypt(mut self, password: &str, cost: Cost) -> Self {
        let mut key = [0; 104];
        scrypt::derive(password.as_bytes(), &self.salt, cost, &mut key);
        self.secret.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        self
    }

    /// The key, where it is whole.
    fn open(&self) -> Option<SecretKey> {
        let mut bytes = Bytes(&self.secret);
        let (number, seed, public, sum): (KeyNumber, [u8; 32], [u8; 32], [u8; 32]) =
            (bytes.take()?, bytes.take()?, bytes.take()?, bytes.take()?);
        (seed != [0; 32]).then_some(())?;
        let pair = KeyPair::from_seed(Seed::new(seed));
        // The tool writes no checksum into an unencrypted key. The two halves tell as much.
        let is_whole = sum == checksum(number, &*pair.sk) || self.derivation == UNENCRYPTED && sum == [0; 32];
        (*pair.pk == public && is_whole).then_some(SecretKey { number, pair })
    }
}

fn checksum(number: KeyNumber, secret: &[u8]) -> [u8; 32] {
    let mut hash = blake2b_simd::Params::new().hash_length(32).to_state();
    hash.update(&ALGORITHM).update(&number).update(secret);
    hash.finalize().as_bytes().try_into().unwrap_or_default()
}

/// A signature over some content and a trusted comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    number: KeyNumber,
    signature: [u8; 64],
    trusted_comment: String,
    over_comment: [u8; 64],
    untrusted_comment: String,
}

impl Signature {
    /// Reads the text of a signature file. `None` where it is none, or of the older form over a file that is not hashed.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut line = || lines.next();
        let untrusted_comment = line()?.strip_prefix(COMMENT_PREFIX)?.to_owned();
        let bytes: [u8; 74] = decode(line()?)?;
        let trusted_comment = line()?.strip_prefix(TRUSTED_PREFIX)?.to_owned();
        let over_comment = decode(line()?)?;
        let mut bytes = Bytes(&bytes);
        (bytes.take()? == PREHASHED).then_some(())?;
        let (number, signature) = (bytes.take()?, bytes.take()?);
        Some(Self { number, signature, trusted_comment, over_comment, untrusted_comment })
    }

    /// The text of its file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { number, signature, trusted_comment, over_comment, untrusted_comment } = self;
        let (signature, over_comment) = (encode(&[&PREHASHED, number, signature]), encode(&[over_comment]));
        format!("{COMMENT_PREFIX}{untrusted_comment}\n{signature}\n{TRUSTED_PREFIX}{trusted_comment}\n{over_comment}\n")
    }

    /// What was signed together with the content.
    #[must_use]
    pub fn trusted_comment(&self) -> &str {
        &self.trusted_comment
    }

    /// Whether the one line that no signature covers is the one that is written here.
    #[must_use]
    pub fn has_usual_comment(&self) -> bool {
        self.untrusted_comment == UNTRUSTED_COMMENT
    }

    /// Number of the key that it was made with.
    #[must_use]
    pub fn key_id(&self) -> String {
        key_id(self.number)
    }

    /// What the second signature is over.
    fn with_comment(&self) -> Vec<u8> {
        [self.signature.as_slice(), self.trusted_comment.as_bytes()].concat()
    }
}

/// Makes a pair of keys in `<prefix>.key` (secret, readable by its owner only) and `<prefix>.pub`. Neither is ever replaced. Without a
/// password the secret key is not encrypted.
///
/// # Errors
/// One of the files is there already or cannot be written.
pub fn generate_key(prefix: &Path, password: Option<String>) -> Result<PublicKey, SignError> {
    let [secret_path, public_path] = ["key", "pub"].map(|ending| {
        let mut name = prefix.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        PathBuf::from(name)
    });
    let (mut seed, mut number, mut salt) = ([0; 32], [0; 8], [0; 32]);
    for bytes in [seed.as_mut_slice(), &mut number, &mut salt] {
        getrandom::fill(bytes).map_err(|error| SignError::Random(error.to_string()))?;
    }
    let pair = KeyPair::from_seed(Seed::new(seed));
    let public = PublicKey { number, key: *pair.pk };
    let mut stored = StoredKey::of(number, &pair);
    if let Some(password) = password {
        stored = StoredKey { derivation: SCRYPT, salt, operations: OPERATIONS, memory: MEMORY, ..stored };
        let cost = stored.cost().map_err(SignError::Random)?;
        stored = stored.decrypt(&password, cost);
    }
    let secret = format!("{COMMENT_PREFIX}{SECRET_KEY_COMMENT}\n{}\n", stored.to_text());
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
