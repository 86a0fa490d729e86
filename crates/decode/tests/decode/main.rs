//! The decoder from outside: bytes in, rows and rejects out.
//!
//! | file | says |
//! |---|---|
//! | `members.rs` | what is a record and what is a reject, and where: a table of whole members |
//! | `rows.rs` | which member of a record goes to which column, and what `extra` keeps |
//! | `strictness.rs` | which JSON is taken and which is not |
//! | `limits.rs` | long records, batches, memory, failing sinks |
//! | `properties.rs` | for any input: agreement with the plain decoder, neighbours of damage, chunks, round trip |
//! | `shapes.rs` | records of shapes met before: the same outcome as on the general way |
//! | `speed.rs` | how fast (ignored; run by hand) |

// Tests may stop at the first surprise; Clippy knows helpers of a test binary only by this.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod limits;
mod members;
mod properties;
mod rows;
mod shapes;
mod speed;
mod strictness;

use keytrail_decode::reference::{Collected, collect_whole};
use keytrail_decode::{DecodeOptions, MemberSummary};

/// Time of the records that [`expand`] makes.
const TIME: &str = "2026-01-05 08:00:01 UTC";

/// A member in which each `$x` is replaced by a record with the action `x`.
fn expand(pattern: &str) -> String {
    let mut member = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '$' => member.push_str(&record(&characters.next().unwrap().to_string())),
            other => member.push(other),
        }
    }
    member
}

/// 50 bytes and the action.
fn record(action: &str) -> String {
    format!(r#"{{ "time": "{TIME}", "action":"{action}" }}"#)
}

fn decode(member: &[u8]) -> (Collected, MemberSummary) {
    collect_whole(member, DecodeOptions::default()).unwrap()
}

/// Checks that every record has a place of its own and the counts add up.
fn assert_conserved(collected: &Collected, summary: MemberSummary) {
    assert_eq!(summary.read, summary.accepted + summary.rejected);
    assert_eq!(summary.accepted, collected.rows.len() as u64);
    assert_eq!(summary.rejected, collected.rejects.len() as u64);
    let rows = collected.rows.iter().map(|(ordinal, _)| u64::try_from(*ordinal).unwrap());
    let mut ordinals: Vec<u64> = rows.chain(collected.rejects.iter().map(|reject| reject.ordinal)).collect();
    ordinals.sort_unstable();
    assert!(ordinals.iter().copied().eq(0..summary.read), "ordinals {ordinals:?}");
}

/// What came of a member in its order: actions of rows, `!offset"raw"` of rejects.
fn outline(collected: &Collected) -> String {
    let rows = collected.rows.iter().map(|(ordinal, row)| (*ordinal, row.text("action").unwrap_or("-").to_owned()));
    let rejects = collected.rejects.iter().map(|reject| {
        let shown = format!("!{}\"{}\"", reject.offset, String::from_utf8_lossy(&reject.raw));
        (i64::try_from(reject.ordinal).unwrap(), shown)
    });
    let mut all: Vec<(i64, String)> = rows.chain(rejects).collect();
    all.sort();
    all.into_iter().map(|(_, shown)| shown).collect::<Vec<_>>().join(" ")
}

/// As [`decode`], but a member that is no export gives nothing.
fn decode_or_nothing(member: &[u8]) -> (Collected, MemberSummary) {
    collect_whole(member, DecodeOptions::default()).unwrap_or_default()
}
