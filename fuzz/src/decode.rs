//! The decoder: any bytes, against the plain decoder, and its short way against its general one.

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

/// Any bytes as a member, once with records of shapes met before on their own way and once with all on the general one: the same rows,
/// rejects and offsets. The first byte chooses a filler of good records before the bytes, so that their shapes are known.
pub fn decode_both_ways(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let filler = FILLERS.get(usize::from(choice) % (FILLERS.len() + 1)).copied().unwrap_or_default();
    // Behind the last record there must be room for the fast way to look ahead.
    let member = [filler, rest, &[b' '; 320]].concat();
    let decode = |usual_shapes| {
        let options = DecodeOptions { usual_shapes, batch_rows: 7, ..DecodeOptions::default() };
        collect(&mut Decoder::new(options), [member.as_slice()])
    };
    assert_same(&decode(true), &decode(false));
}

/// Starts of members.
const FILLERS: [&[u8]; 4] = [
    br#"[{"time":"2026-01-05 08:00:01 UTC","source":"thales/cloudhsm/1300000000001","resourceID":"0b1c0000-0000-4000-8000-000000000001","actorID":"0b1c0000-0000-4000-8000-000000000002","tenantID":"0b1c0000-0000-4000-8000-0000000000f1","action":"LUNA_SIGN","status":"LUNA_RET_OK","traceID":"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ","meta":"{\"clientip\":\"192.0.2.1\",\"hsmid\":\"500001\",\"partid\":\"1300000000001\",\"ouid\":\"2c00000500000121a1000001\",\"role\":\"CO\"}"},"#,
    br#"{"time":"2026-01-05 08:00:01.5 UTC","action":"LUNA_SIGN","status":"LUNA_RET_OK","meta":{"ouid":null,"role":"CU"}}
"#,
    // Texts that are not plain; and members of unknown names that differ often enough to be values.
    br#"[{"time":"2026-01-05 08:00:01 UTC","request":"a","source":"thales\/1","actorID":"\u00e4","meta":"{\"role\":\"CO\",\"n\":1}"},
{"time":"2026-01-05 08:00:02 UTC","request":"b","source":"thales\/1","actorID":"a\\","meta":"{\"role\":\"CO\",\"n\":2}"},
{"time":"2026-01-05 08:00:03 UTC","request":"c","source":"thales\/1","actorID":"\"","meta":"{\"role\":\"CU\",\"n\":3}"},
{"time":"2026-01-05 08:00:04 UTC","request":"d","source":"thales\/1","actorID":"x","meta":"{\"role\":\"CU\",\"n\":4}"},
"#,
    // Lists and objects of such values.
    br#"{"time":"2026-01-05 08:00:01 UTC","tags":["a",1.5],"meta":{"user":{"id":1,"b":"x"},"on":true}}
{"time":"2026-01-05 08:00:02 UTC","tags":["b",-2],"meta":{"user":{"id":2,"b":"y"},"on":false}}
{"time":"2026-01-05 08:00:03 UTC","tags":["c",0.5],"meta":{"user":{"id":3,"b":"z"},"on":null}}
{"time":"2026-01-05 08:00:04 UTC","tags":["d",4],"meta":{"user":{"id":4,"b":""},"on":4.25}}
{"time":"2026-01-05 08:00:05 UTC","tags":["\n"],"meta":{"user":{"id":null,"b":"\""},"on":[]}}
"#,
];

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
