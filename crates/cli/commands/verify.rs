//! `keytrail verify`.

use keytrail_ingest::{Proof, ProofOptions};
use keytrail_sign::PublicKey;
use keytrail_store::{Depth, Store, Verification, VerifyOptions};
use serde_json::{Value, json};

use crate::args::{SummaryFormat, VerifyArgs};
use crate::exit::{Outcome, UsageError, message, say};
use crate::progress::IngestBar;

/// Checks the store and names what is damaged.
pub(crate) fn run(arguments: &VerifyArgs) -> anyhow::Result<Outcome> {
    let keys = arguments.public_keys.iter().map(|text| PublicKey::from_text_or_file(text));
    let keys = keys.collect::<Result<Vec<_>, _>>().map_err(|error| UsageError(error.to_string()))?;
    let options = VerifyOptions {
        depth: if arguments.quick { Depth::Quick } else { Depth::Full },
        heads: arguments.expect_heads.clone(),
        keys,
        jobs: arguments.jobs,
    };
    match keytrail_store::verify_with(&arguments.store.store, &options) {
        Ok(mut found) => {
            let proof = prove(arguments, &mut found);
            tell(arguments, &found, proof.as_ref())
        }
        Err(error) => {
            let error = message(&error.into());
            say(&format!("keytrail: verification could not be done: {error}"));
            if arguments.format == SummaryFormat::Json {
                let told = json!({"verdict": NOT_DONE, "unchecked": [error]});
                super::write_to(None, |out| Ok(writeln!(out, "{told}")?))?;
            }
            Ok(Outcome::NotVerified)
        }
    }
}

const WHOLE: &str = "no damage found";
const DAMAGED: &str = "DAMAGED";
const NOT_DONE: &str = "not all could be checked";

/// Compares the store with its archives, if any were given. Where that cannot be done, it is one more thing that was not checked: what was
/// found in the store itself still holds.
fn prove(arguments: &VerifyArgs, found: &mut Verification) -> Option<Proof> {
    if arguments.archives.is_empty() {
        return None;
    }
    // A store whose log is damaged has no one state that archives could be compared with.
    let snapshot = match Store::open(&arguments.store.store).and_then(|store| store.snapshot()) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let error = message(&error.into());
            found.unchecked.push(format!("the archives, since the store cannot be opened: {error}"));
            return None;
        }
    };
    let options = ProofOptions { jobs: arguments.jobs, memory_bytes: arguments.memory };
    let bar = IngestBar::on_terminal();
    let proof = keytrail_ingest::prove(&arguments.archives, &snapshot, &options, &|step| bar.show(step));
    drop(bar);
    match proof {
        Ok(proof) => Some(proof),
        Err(error) => {
            let error = message(&error.into());
            found.unchecked.push(format!("the archives, compared with the store: {error}"));
            None
        }
    }
}

fn tell(arguments: &VerifyArgs, found: &Verification, proof: Option<&Proof>) -> anyhow::Result<Outcome> {
    let of_proof = |list: fn(&Proof) -> &Vec<String>| proof.map(list).into_iter().flatten().cloned();
    let damages: Vec<String> =
        found.damages.iter().map(ToString::to_string).chain(of_proof(|proof| &proof.damages)).collect();
    let notes: Vec<String> = found.notes.iter().cloned().chain(of_proof(|proof| &proof.notes)).collect();
    let unchecked: Vec<String> = found.unchecked.iter().cloned().chain(of_proof(|proof| &proof.unchecked)).collect();
    let (verdict, outcome) = match (damages.is_empty(), unchecked.is_empty()) {
        (false, _) => (DAMAGED, Outcome::Damaged),
        (true, false) => (NOT_DONE, Outcome::NotVerified),
        (true, true) => (WHOLE, Outcome::Done),
    };
    for (kind, words) in [("note", &notes), ("damage", &damages), ("not checked", &unchecked)] {
        words.iter().for_each(|words| say(&format!("{kind}: {words}")));
    }
    if arguments.format == SummaryFormat::Json {
        let told = json!({
            "verdict": verdict,
            "version": found.version,
            "head": found.head,
            "commits": found.commits,
            "files": found.files,
            "rows": found.rows,
            "bytes": found.bytes,
            "signatures": found.signatures.iter().map(|one| json!({
                "version": one.version, "key": one.key_id, "comment": one.comment, "by_given_key": one.by_given_key,
            })).collect::<Vec<_>>(),
            "archives": proof.map(proof_as_json),
            "damages": found.damages.iter().map(|one| json!({
                "path": one.path, "expected": one.expected, "found": one.found,
            })).chain(of_proof(|proof| &proof.damages).map(Value::from)).collect::<Vec<_>>(),
            "notes": notes,
            "unchecked": unchecked,
        });
        super::write_to(None, |out| Ok(writeln!(out, "{told}")?))?;
        return Ok(outcome);
    }
    super::write_to(None, |out| {
        writeln!(out, "{verdict}: version {}, head {}", found.version, found.head)?;
        writeln!(out, "{} commits, {} files, {} rows, {} bytes", found.commits, found.files, found.rows, found.bytes)?;
        if found.signatures.is_empty() {
            writeln!(out, "unsigned")?;
        }
        for one in &found.signatures {
            let whose = if one.by_given_key { "the given key" } else { "a key that was not given" };
            writeln!(out, "signed: version {} by {whose}, {}: {}", one.version, one.key_id, one.comment)?;
        }
        if let Some(Proof { archives, bytes, rows, records, .. }) = proof {
            writeln!(
                out,
                "{archives} archives ({bytes} bytes) decoded again: {records} records, {rows} rows of the store compared with them"
            )?;
        }
        Ok(())
    })?;
    Ok(outcome)
}

fn proof_as_json(proof: &Proof) -> Value {
    let months = proof.months.iter().map(|month| {
        json!({"month": month.month.to_string(), "rows": month.rows, "digest": month.digest, "whole": month.whole})
    });
    json!({
        "decoded": proof.archives,
        "bytes": proof.bytes,
        "records": proof.records,
        "rows": proof.rows,
        "months": months.collect::<Vec<_>>(),
    })
}
