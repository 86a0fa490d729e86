use super::*;

fn no_password() -> Result<String, SignError> {
    panic!("not asked for")
}

fn pair(folder: &Path) -> (SecretKey, PublicKey) {
    let public = generate_key(&folder.join("k"), None).unwrap();
    (SecretKey::from_file(&folder.join("k.key"), no_password).unwrap(), public)
}

#[test]
fn what_is_signed_is_verified_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, public) = pair(folder.path());
    assert_eq!(secret.public_key(), public);
    let text = secret.sign(b"content", "a comment: ä").unwrap().to_text();
    let signature = Signature::from_text(&text).unwrap();
    assert_eq!((signature.trusted_comment(), signature.key_id()), ("a comment: ä", public.id()));
    assert!(signature.has_usual_comment() && signature.to_text() == text);
    assert!(public.verifies(b"content", &signature));
    assert!(!public.verifies(b"Content", &signature));
    let other = generate_key(&folder.path().join("other"), None).unwrap();
    assert!(!other.verifies(b"content", &signature));
}

#[test]
fn any_changed_byte_of_a_signature_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, public) = pair(folder.path());
    let text = secret.sign(b"content", "comment").unwrap().to_text();
    for place in 0..text.len() {
        for flip in [1, 2, 0x20] {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= flip;
            let changed = String::from_utf8(bytes).unwrap();
            let passes = Signature::from_text(&changed).is_some_and(|signature| {
                public.verifies(b"content", &signature)
                    && signature.has_usual_comment()
                    && signature.to_text() == changed
            });
            assert!(!passes, "byte {place}: {changed}");
        }
    }
}

#[test]
fn keys_come_from_a_word_or_a_file_and_are_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (_, public) = pair(folder.path());
    let path = folder.path().join("k.pub");
    for text in [public.to_text(), path.to_str().unwrap().to_owned()] {
        assert_eq!(PublicKey::from_text_or_file(&text).unwrap(), public);
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), public.to_file_text());
    assert!(generate_key(&folder.path().join("k"), None).is_err());
    std::fs::remove_file(folder.path().join("k.key")).unwrap();
    assert!(generate_key(&folder.path().join("k"), None).is_err(), "half of a pair is in the way");
    assert!(!folder.path().join("k.key").exists());
    for text in ["", "RWx", "no/such/file", &public.to_text().replace("RW", "RX"), &"A".repeat(56)] {
        assert!(PublicKey::from_text_or_file(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_no_secret_key_is_refused_before_a_password_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    pair(folder.path());
    for content in ["", "x", "x\ny\n", &std::fs::read_to_string(folder.path().join("k.pub")).unwrap()] {
        let path = folder.path().join("no.key");
        std::fs::write(&path, content).unwrap();
        assert!(SecretKey::from_file(&path, no_password).is_err(), "{content}");
    }
    // One byte of the key changed: the checksum tells.
    let whole = std::fs::read_to_string(folder.path().join("k.key")).unwrap();
    let start = whole.find("RW").unwrap();
    let mut changed = whole.into_bytes();
    changed[start + 90] = if changed[start + 90] == b'A' { b'B' } else { b'A' };
    let path = folder.path().join("changed.key");
    std::fs::write(&path, changed).unwrap();
    assert!(SecretKey::from_file(&path, no_password).is_err());
}

#[test]
fn a_comment_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, _) = pair(folder.path());
    for comment in ["a\nb", "a\r", " a", "a ", "\u{85}"] {
        assert!(secret.sign(b"", comment).is_err(), "{comment:?}");
    }
    assert!(secret.sign(b"", "").is_ok());
}

#[test]
fn an_encrypted_key_wants_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let public = generate_key(&folder.path().join("k"), Some("right".into())).unwrap();
    let path = folder.path().join("k.key");
    let open = |password: &str| SecretKey::from_file::<SignError>(&path, || Ok(password.to_owned()));
    let signature = open("right").unwrap().sign(b"x", "c").unwrap();
    assert!(public.verifies(b"x", &signature));
    assert!(open("wrong").err().unwrap().to_string().contains("and its password"));
}

#[test]
fn costs_are_those_of_libsodium() {
    let cost = |operations, memory| {
        let number = [0; 8];
        let stored = StoredKey::of(number, &KeyPair::from_seed(Seed::new([7; 32])));
        StoredKey { operations, memory, ..stored }.cost()
    };
    // What `minisign -G` writes, what is written here, libsodium's interactive limits.
    assert_eq!(cost(1 << 25, 1 << 30), Ok(Cost { log_n: 20, r: 8, p: 1 }));
    assert_eq!(cost(OPERATIONS, MEMORY), Ok(Cost { log_n: 18, r: 8, p: 1 }));
    assert_eq!(cost(1 << 19, 1 << 24), Ok(Cost { log_n: 14, r: 8, p: 1 }));
    for (operations, memory, words) in [
        (1 << 25, 1 << 31, "wants 2147483648 bytes of memory, more than 1073741824"),
        (0, u64::MAX, "wants 18446744073709551615 bytes of memory"),
        (1 << 30, 1 << 20, "wants 1073741824 operations in 1048576 bytes of memory, 32768 lanes, not 1 to 64"),
        (u64::MAX, 1 << 20, "lanes, not 1 to 64"),
        (1 << 15, 0, "lanes, not 1 to 64"),
    ] {
        let found = cost(operations, memory).unwrap_err();
        assert!(found.contains(words), "{operations} {memory}: {found}");
    }
}
