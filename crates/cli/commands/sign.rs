//! `keytrail sign`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use keytrail_sign::SecretKey;
use keytrail_store::Store;

use crate::args::SignArgs;
use crate::exit::{Outcome, UsageError, say};

/// Signs the head of the store or a file, or makes keys.
pub(crate) fn run(arguments: &SignArgs) -> anyhow::Result<Outcome> {
    if let Some(prefix) = &arguments.generate_key {
        return generate(prefix, arguments);
    }
    let path = arguments.secret_key.as_deref().unwrap_or(Path::new(""));
    let key = SecretKey::from_file(path, || password(arguments, &format!("Password of {}: ", path.display())))?;
    match arguments.file.as_deref().or(arguments.report.as_deref()) {
        Some(file) => sign_file(file, &key, arguments.comment.as_deref()),
        None => {
            let snapshot = Store::open(&arguments.store.store)?.snapshot()?;
            super::say_foreign(&snapshot);
            let signed = snapshot.sign(&key, arguments.comment.as_deref())?;
            say(&format!("signed: version {}, head {}, by key {}", signed.version, snapshot.head(), signed.key_id));
            super::write_to(None, |out| Ok(super::write_path(out, &signature_path(&signed.path))?))?;
            Ok(Outcome::Done)
        }
    }
}

fn sign_file(file: &Path, key: &SecretKey, comment: Option<&str>) -> anyhow::Result<Outcome> {
    let content = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().replace(char::is_control, "?");
    let seconds = keytrail_model::time::now() / 1_000_000;
    let mut trusted = format!("timestamp:{seconds} file:{name}");
    if let Some(comment) = comment {
        trusted = format!("{trusted} {comment}");
    }
    let signature = key.sign(&content, trusted.trim())?;
    let target = signature_path(file);
    super::write_to(Some(&target), |out| Ok(out.write_all(signature.to_text().as_bytes())?))?;
    say(&format!("signed: {} by key {}", file.display(), signature.key_id()));
    super::write_to(None, |out| Ok(super::write_path(out, &target)?))?;
    Ok(Outcome::Done)
}

fn signature_path(signed: &Path) -> PathBuf {
    let mut path = signed.as_os_str().to_owned();
    path.push(".minisig");
    path.into()
}

fn generate(prefix: &Path, arguments: &SignArgs) -> anyhow::Result<Outcome> {
    let password = match arguments.no_password {
        true => None,
        false => {
            let first = password(arguments, "Password for the secret key: ")?;
            let is_typed = arguments.password_file.is_none() && std::env::var_os(PASSWORD).is_none();
            if is_typed && rpassword::prompt_password("The same again: ")? != first {
                return Err(UsageError("the two passwords differ".into()).into());
            }
            if first.is_empty() {
                return Err(UsageError("an empty password; --no-password leaves the key unencrypted".into()).into());
            }
            Some(first)
        }
    };
    let public = keytrail_sign::generate_key(prefix, password)?;
    say(&format!("made: {0}.key (secret: keep it) and {0}.pub, key {1}", prefix.display(), public.id()));
    super::write_to(None, |out| Ok(writeln!(out, "{}", public.to_text())?))?;
    Ok(Outcome::Done)
}

/// Variable that may hold the password.
const PASSWORD: &str = "KEYTRAIL_PASSWORD";

fn password(arguments: &SignArgs, prompt: &str) -> anyhow::Result<String> {
    if let Some(path) = &arguments.password_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        let words = format!("the secret key needs a password: give --password-file, {PASSWORD} or a terminal");
        return Err(UsageError(words).into());
    }
    Ok(rpassword::prompt_password(prompt)?)
}
