//! What the fuzz targets check, as plain functions: each panics where the decoder breaks its word.

use keytrail_decode::reference::{self, Collected, Row, collect};
use keytrail_decode::{DecodeError, DecodeOptions, Decoder, MemberSummary};

type Outcome = Result<(Collected, MemberSummary), DecodeError>;

/// Any bytes as a member: no panic, every record and reject counted once, rejects in order and true to the member's bytes, and the same
/// outcome however the bytes are cut. The first byte chooses limits and chunks.
pub fn decode_any(data: &[u8]) {
    let Some((&choice, member)) = data.split_first() else {
        return;
    };
    let max_record_bytes = if choice & 1 == 0 { 64 } else { 1 << 16 };
    let batch_rows = usize::from(choice >> 1 & 3) + 1;
    let chunk = usize::from(choice >> 3) + 1;
    let mut decoder = Decoder::new(DecodeOptions { max_record_bytes, batch_rows, ..DecodeOptions::default() });
    let whole = collect(&mut decoder, [member]);
    let cut = collect(&mut decoder, member.chunks(chunk));
    assert_same(&whole, &cut);
    if let Ok((collected, summary)) = &whole {
        assert_conserved(collected, *summary);
        assert_eq!(summary.bytes, member.len() as u64);
        assert_rejects(collected, member, max_record_bytes);
    }
}

/// A member within the reach of the plain decoder: the same rows and rejects at the same places.
pub fn decode_against_reference(member: &[u8]) {
    let Some(expected) = reference::decode(member) else {
        return;
    };
    let outcome = collect(&mut Decoder::new(DecodeOptions::default()), [member]);
    let (collected, _) = outcome.expect("the plain decoder takes the member, the decoder does not");
    let mut found: Vec<Option<Row>> = vec![None; expected.len()];
    for (ordinal, row) in collected.rows {
        let place = usize::try_from(ordinal).ok().and_then(|ordinal| found.get_mut(ordinal));
        *place.expect("more records than the plain decoder found") = Some(row);
    }
    let count = collected.rejects.len() + found.iter().flatten().count();
    assert_eq!(count, expected.len(), "rejects {:?}", collected.rejects);
    assert_eq!(found, expected);
}

fn assert_same(whole: &Outcome, cut: &Outcome) {
    match (whole, cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (Err(whole), Err(cut)) => assert_eq!(whole.to_string(), cut.to_string()),
        (whole, cut) => panic!("whole: {whole:?}, in chunks: {cut:?}"),
    }
}

fn assert_conserved(collected: &Collected, summary: MemberSummary) {
    assert_eq!(summary.read, summary.accepted + summary.rejected);
    assert_eq!(summary.accepted, collected.rows.len() as u64);
    assert_eq!(summary.rejected, collected.rejects.len() as u64);
    let rows = collected.rows.iter().map(|(ordinal, _)| u64::try_from(*ordinal).expect("a negative ordinal"));
    let mut ordinals: Vec<u64> = rows.chain(collected.rejects.iter().map(|reject| reject.ordinal)).collect();
    ordinals.sort_unstable();
    assert!(ordinals.into_iter().eq(0..summary.read));
}

fn assert_rejects(collected: &Collected, member: &[u8], max_record_bytes: usize) {
    let mut end = 0;
    for reject in &collected.rejects {
        assert!(reject.offset >= end && reject.raw.len() <= max_record_bytes);
        let start = usize::try_from(reject.offset).expect("an offset beyond the member");
        end = reject.offset + reject.raw.len() as u64;
        let stands = member.get(start..start + reject.raw.len()).expect("a reject beyond the member");
        // Surplus commas are shown without the blanks between them.
        assert!(stands == reject.raw || reject.raw.iter().all(|&byte| byte == b','));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_pass() {
        for seed in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/seeds")).unwrap() {
            let bytes = std::fs::read(seed.unwrap().path()).unwrap();
            decode_against_reference(&bytes);
            for choice in 0..=255 {
                decode_any(&[&[choice], bytes.as_slice()].concat());
            }
        }
    }
}
