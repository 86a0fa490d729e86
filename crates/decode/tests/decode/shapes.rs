//! Records of shapes met before are read on a way of their own: with the same outcome as on the general one.

use arrow_array::RecordBatch;
use keytrail_decode::{DecodeOptions, Decoder, MemberSummary, Reject, Rows, Sink, SinkError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// All that leaves a decoder.
#[derive(Debug, Default, PartialEq)]
struct Everything {
    batches: Vec<RecordBatch>,
    rejects: Vec<Reject>,
    summaries: Vec<Result<MemberSummary, String>>,
}

impl Sink for Everything {
    fn rows(&mut self, rows: Rows<'_>) -> Result<(), SinkError> {
        let batch = rows.into_batch()?;
        self.batches.push(batch);
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> Result<(), SinkError> {
        self.rejects.push(reject);
        Ok(())
    }
}

/// What a decoder makes of members, one after the other.
fn everything(members: &[Vec<u8>], cuts: &[Index], options: DecodeOptions) -> Everything {
    let mut decoder = Decoder::new(options);
    let mut found = Everything::default();
    for member in members {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(member.len() + 1)).chain([member.len()]).collect();
        ends.sort_unstable();
        let mut start = 0;
        let pushed = ends.iter().try_for_each(|&end| {
            let chunk = &member[std::mem::replace(&mut start, end)..end];
            decoder.push(chunk, &mut found)
        });
        let summary = pushed.and_then(|()| decoder.finish(&mut found)).map_err(|error| error.to_string());
        decoder.reset();
        found.summaries.push(summary);
    }
    found
}

fn both_ways_agree(members: &[Vec<u8>], cuts: &[Index], options: DecodeOptions) {
    let usual = everything(members, cuts, DecodeOptions { usual_shapes: true, ..options });
    let general = everything(members, cuts, DecodeOptions { usual_shapes: false, ..options });
    assert!(usual == general, "{}\n{usual:#?}\n{general:#?}", members.concat().escape_ascii());
}

/// How the records of an archive are written.
#[derive(Debug, Clone)]
struct Shape {
    /// Members of the envelope, in order; `None` for `meta`.
    names: Vec<&'static str>,
    meta_names: Vec<&'static str>,
    meta_is_text: bool,
    colon: &'static str,
    comma: &'static str,
    ends: (&'static str, &'static str),
}

impl Shape {
    /// A record with these values, as JSON, taken in turn.
    fn record(&self, values: &[String], time: &str) -> String {
        let mut values = values.iter().cycle();
        let mut object = |names: &[&str], meta: &str| {
            let members = names.iter().map(|name| {
                let value = match *name {
                    "time" => time,
                    "meta" if !meta.is_empty() => meta,
                    _ => values.next().unwrap(),
                };
                format!("\"{name}\"{}{value}", self.colon)
            });
            format!("{}{}{}", self.ends.0, members.collect::<Vec<_>>().join(self.comma), self.ends.1)
        };
        let meta = object(&self.meta_names, "");
        let meta = if self.meta_is_text { serde_json::to_string(&meta).unwrap() } else { meta };
        object(&self.names, &meta)
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let names = ["time", "source", "resourceID", "actorID", "tenantID", "action", "status", "traceID", "meta"];
    let meta_names = ["clientip", "hsmid", "partid", "ouid", "role"];
    let subset = |names: Vec<&'static str>| {
        let all = names.len();
        prop_oneof![
            3 => Just(names.clone()),
            1 => Just(names.clone()).prop_shuffle(),
            1 => proptest::sample::subsequence(names, 0..all),
        ]
    };
    let odd_name =
        prop_oneof![6 => Just(None), 1 => select(vec!["x", "Status", "time", "status", "TIME"]).prop_map(Some)];
    let blanks = select(vec![(":", ",", ("{", "}")), (": ", ", ", ("{ ", " }")), ("\t:", ",\n    ", ("{\n  ", "\n}"))]);
    let odd_meta_name = prop_oneof![6 => Just(None), 1 => select(vec!["y", "Role", "role", "time"]).prop_map(Some)];
    let odd_names = (odd_name, odd_meta_name, any::<Index>());
    (subset(names.to_vec()), subset(meta_names.to_vec()), odd_names, any::<bool>(), blanks).prop_map(
        |(mut names, mut meta_names, (odd_name, odd_meta_name, place), meta_is_text, (colon, comma, ends))| {
            if !names.contains(&"time") {
                names.insert(0, "time");
            }
            odd_name.into_iter().for_each(|name| names.insert(place.index(names.len() + 1), name));
            odd_meta_name.into_iter().for_each(|name| meta_names.insert(place.index(meta_names.len() + 1), name));
            let lines_in_text = meta_is_text && comma.contains('\n');
            let (colon, comma, ends) = if lines_in_text { (":", ", ", ("{", "}")) } else { (colon, comma, ends) };
            Shape { names, meta_names, meta_is_text, colon, comma, ends }
        },
    )
}

/// Values as JSON: a few that repeat, new ones, and odd ones.
fn value() -> impl Strategy<Value = String> {
    let repeated = vec![
        "\"LUNA_SIGN\"",
        "\"LUNA_SIGN_INIT\"",
        "\"LUNA_RET_OK\"",
        "\"CO\"",
        "\"public\"",
        "\"192.0.2.1\"",
        "\"192.0.2.110\"",
        "\"0b1c0000-0000-4000-8000-000000000001\"",
        "\"0b1c0000-0000-4000-8000-000000000002\"",
        "\"2c00000500000121a1000001\"",
        "\"2c00000500000121a100000g\"",
        "\"2C00000500000121A1000001\"",
        "\"thales/cloudhsm/1300000000001\"",
        "\"\"",
    ];
    prop_oneof![
        30 => select(repeated).prop_map(str::to_owned),
        3 => "[0-9a-f]{24}".prop_map(|key| format!("\"{key}\"")),
        6 => "[ -!#-\\[\\]-~]{0,70}".prop_map(|text| format!("\"{text}\"")),
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        1 => select(vec!["null", "17", "true", "{}", "[\"a\",\"b\"]", "\"{}\"", "\"\\u0041\"", "\"a\\\"b\"", "\"\u{7f}\"", "\"ä\"", "\"\u{1f}\""])
            .prop_map(str::to_owned),
    ]
}

fn time() -> impl Strategy<Value = String> {
    let times = vec![
        "\"2026-01-05 08:00:01 UTC\"",
        "\"2026-01-05 08:00:01.250 UTC\"",
        "\"2026-01-05 08:00:02.000417 UTC\"",
        "\"2026-01-05 08:00:02.0004:7 UTC\"",
        "\"2026-01-05 08:00:02.00/417 UTC\"",
        "\"2026-01-05 08:0::02.000417 UTC\"",
        "\"2026-01-05 08:00:02.000417 UTD\"",
        "\"2026-01-06T08:00:01Z\"",
        "\"2026-01-05 08:00:01.1234567 UTC\"",
        "\"2026-01-05 25:00:01 UTC\"",
        "\"2026-01-05\"",
        "null",
        "\"2026-01-05T08:00:01+01:00\"",
        "\"\"",
        "\"2026-02-30 08:00:01 UTC\"",
        "\"\\u0032026-01-05 08:00:01 UTC\"",
    ];
    prop_oneof![
        8 => (0..60_u8, 0..1_000_000_u32).prop_map(|(s, us)| format!("\"2026-01-05 08:00:{s:02}.{us:06} UTC\"")),
        1 => select(times).prop_map(str::to_owned),
    ]
}

/// A member whose records have one of a few shapes.
fn member() -> impl Strategy<Value = Vec<u8>> {
    vec(shape(), 1..4).prop_flat_map(member_of)
}

/// Members of the same few shapes.
fn members() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(shape(), 1..4).prop_flat_map(|shapes| vec(member_of(shapes), 1..3))
}

fn member_of(shapes: Vec<Shape>) -> impl Strategy<Value = Vec<u8>> {
    let records = vec((any::<Index>(), vec(value(), 13), time()), 0..40);
    let between = select(vec![",", ",\n", " ,\r\n  ", "\n"]);
    (records, between, any::<bool>()).prop_map(move |(records, between, over_lines)| {
        let is_list = between != "\n";
        let records = records.iter().map(|(shape, values, time)| {
            let record = shapes[shape.index(shapes.len())].record(values, time);
            if is_list || over_lines { record } else { record.replace(['\n', '\t'], " ") }
        });
        let text = records.collect::<Vec<_>>().join(between);
        // What follows the last record must not be what decides how it is read.
        let rest = " ".repeat(300);
        if is_list { format!("[{text}]{rest}") } else { format!("{text}\n{rest}") }.into_bytes()
    })
}

/// Shapes with several members of unknown names, here and there among a few of the known ones.
fn shape_of_unknown() -> impl Strategy<Value = Shape> {
    let unknown = || vec((select(vec!["a", "b", "n", "Zone", "ä", "Source", "x\\u0041"]), any::<Index>()), 0..3);
    let known = proptest::sample::subsequence(vec!["source", "actorID", "status", "traceID"], 0..3);
    let of_meta = proptest::sample::subsequence(vec!["role", "hsmid", "ouid"], 0..3);
    (known, of_meta, unknown(), unknown(), any::<(Index, Index, bool)>()).prop_map(
        |(mut names, mut meta_names, unknown, unknown_of_meta, (time, meta, meta_is_text))| {
            unknown.iter().for_each(|(name, place)| names.insert(place.index(names.len() + 1), name));
            unknown_of_meta.iter().for_each(|(name, place)| meta_names.insert(place.index(meta_names.len() + 1), name));
            names.insert(time.index(names.len() + 1), "time");
            names.insert(meta.index(names.len() + 1), "meta");
            Shape { names, meta_names, meta_is_text, colon: ":", comma: ",", ends: ("{", "}") }
        },
    )
}

/// Values of all kinds, of which many begin or end like what stands between values.
fn odd_value() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        4 => select(FRAGMENTS.to_vec()).prop_map(|text| format!("\"{text}\"")),
        1 => vec(select(FRAGMENTS.to_vec()), 2..4).prop_map(|texts| format!("\"{}\"", texts.concat())),
    ];
    let leaf = prop_oneof![4 => text, 3 => select(TOKENS.to_vec()).prop_map(str::to_owned), 1 => value()];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|values| format!("[{}]", values.join(","))),
            vec((select(vec!["k", "role", "ä"]), inner), 0..3).prop_map(|members| {
                let members = members.iter().map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

/// Members of one or two of these shapes; each of their places has a few values of its own.
fn members_of_unknown() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let tokens = || vec(select(TOKENS.to_vec()).prop_map(str::to_owned), 2..6);
    let texts = || vec(select(FRAGMENTS.to_vec()).prop_map(|text| format!("\"{text}\"")), 2..6);
    let pool = prop_oneof![2 => tokens(), 3 => texts(), 1 => vec(odd_value(), 1..6)];
    (vec(shape_of_unknown(), 1..3), vec(pool, 9)).prop_flat_map(|(shapes, pools)| {
        let records = vec((any::<Index>(), vec(any::<Index>(), 9), time()), 8..60);
        let between = select(vec![",", ",\n", " ,\r\n  ", "\n"]);
        let member = (records, between).prop_map(move |(records, between)| {
            let records = records.iter().map(|(shape, values, time)| {
                let values = values.iter().zip(&pools).map(|(value, pool)| pool[value.index(pool.len())].clone());
                let record = shapes[shape.index(shapes.len())].record(&values.collect::<Vec<_>>(), time);
                if between == "\n" { record.replace(['\n', '\t'], " ") } else { record }
            });
            let text = records.collect::<Vec<_>>().join(between);
            if between == "\n" { text } else { format!("[{text}]") }.into_bytes()
        });
        vec(member, 1..3)
    })
}

/// Some bytes in the place of others.
#[derive(Debug, Clone)]
struct Damage {
    at: Index,
    taken: usize,
    put: Put,
}

#[derive(Debug, Clone)]
enum Put {
    Repeated(u8, usize),
    CopyOf(Index, usize),
}

impl Damage {
    fn done_to(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let at = self.at.index(bytes.len() + 1);
        let end = (at + self.taken).min(bytes.len());
        let put = match &self.put {
            Put::Repeated(byte, times) => vec![*byte; *times],
            Put::CopyOf(from, length) => {
                bytes.iter().skip(from.index(bytes.len() + 1)).take(*length).copied().collect()
            }
        };
        bytes.splice(at..end, put);
        bytes
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte =
        prop_oneof![2 => select(b"\"\\{}[],:; \n\x00\x1f/09@AZ`afgz\x7f\x80\xc3\xff".to_vec()), 1 => any::<u8>()];
    let length = || prop_oneof![2 => Just(1_usize), 1 => 0..30_usize];
    let put = prop_oneof![
        3 => (byte, length()).prop_map(|(byte, times)| Put::Repeated(byte, times)),
        1 => (any::<Index>(), 0..60_usize).prop_map(|(from, length)| Put::CopyOf(from, length)),
    ];
    (any::<Index>(), length(), put).prop_map(|(at, taken, put)| Damage { at, taken, put })
}

const TOKENS: [&str; 12] = ["1", "2", "12", "13", "123", "true", "false", "null", "-1.5", "100000000", "[]", "{}"];
const FRAGMENTS: [&str; 16] = [
    "CO",
    "CU",
    "",
    "\\\"",
    ":\\\"",
    "\\\\",
    "\\\\\\\"",
    ":\"",
    "\":\"",
    "ä",
    ",\\\"role",
    "\\\":\\\"",
    "\\\\\":\\\\\"",
    "e\\\":\\\"CO",
    "\u{80}",
    "\\u0022",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn good_and_odd_records(members in members(), cuts in vec(any::<Index>(), 0..3)) {
        both_ways_agree(&members, &cuts, DecodeOptions { batch_rows: 16, ..DecodeOptions::default() });
    }

    /// Numbers and the like of an unknown name, of other lengths in each record, in front of texts that look like what stands between values.
    #[test]
    fn odd_texts_behind_unknown_values_that_differ(
        records in vec((select(TOKENS.to_vec()), vec(select(FRAGMENTS.to_vec()), 3)), 8..60),
        in_meta: bool,
        meta_is_text: bool,
    ) {
        let records = records.iter().map(|(token, texts)| {
            let [source, role, hsm] = [0, 1, 2].map(|text| texts[text]);
            let quote = if meta_is_text { "\\\"" } else { "\"" };
            let unknown = |quote: &str| format!("{quote}n{quote}:{token},");
            let meta = format!("{}{quote}role{quote}:{quote}{role}{quote},{quote}hsmid{quote}:{quote}{hsm}{quote}", if in_meta { unknown(quote) } else { String::new() });
            let end = if meta_is_text { "\"" } else { "" };
            let envelope = if in_meta { String::new() } else { unknown("\"") };
            format!("{{\"time\":\"2026-01-05 08:00:01 UTC\",{envelope}\"source\":\"{source}\",\"meta\":{end}{{{meta}}}{end}}}")
        });
        both_ways_agree(&[records.collect::<Vec<_>>().join("\n").into_bytes()], &[], DecodeOptions::default());
    }

    #[test]
    fn records_with_many_unknown_members(members in members_of_unknown(), cuts in vec(any::<Index>(), 0..3)) {
        both_ways_agree(&members, &cuts, DecodeOptions { batch_rows: 16, ..DecodeOptions::default() });
    }

    #[test]
    fn damaged_records_with_many_unknown_members(members in members_of_unknown(), damages in vec(damage(), 1..4)) {
        let damage = |member| damages.iter().fold(member, |member, damage| damage.done_to(member));
        let damaged: Vec<Vec<u8>> = members.into_iter().map(damage).collect();
        both_ways_agree(&damaged, &[], DecodeOptions { batch_rows: 16, ..DecodeOptions::default() });
    }

    #[test]
    fn damaged_members(member in member(), damages in vec(damage(), 1..4)) {
        let damaged = damages.iter().fold(member, |member, damage| damage.done_to(member));
        both_ways_agree(&[damaged], &[], DecodeOptions { batch_rows: 16, ..DecodeOptions::default() });
    }

    #[test]
    fn damaged_records_of_a_usual_archive(records in vec((0..60_u32, vec(damage(), 0..2)), 20..60)) {
        let shape = usual_shape();
        let records = records.iter().map(|(number, damages)| {
            let record = usual_record(&shape, *number).into_bytes();
            damages.iter().fold(record, |record, damage| damage.done_to(record))
        });
        let member = records.collect::<Vec<_>>().join(&b',');
        both_ways_agree(&[[b"[", member.as_slice(), b"]"].concat()], &[], DecodeOptions::default());
    }

    #[test]
    fn narrow_limits(member in member(), max_record_bytes in 64..600_usize, batch_bytes in 1..2000_usize, max_depth in 2..4_usize) {
        let options = DecodeOptions { max_record_bytes, batch_bytes, max_depth, ..DecodeOptions::default() };
        both_ways_agree(&[member], &[], options);
    }
}

/// The shape of the service's own records.
fn usual_shape() -> Shape {
    Shape {
        names: vec!["time", "source", "resourceID", "actorID", "tenantID", "action", "status", "traceID", "meta"],
        meta_names: vec!["clientip", "hsmid", "partid", "ouid", "role"],
        meta_is_text: true,
        colon: ":",
        comma: ",",
        ends: ("{", "}"),
    }
}

/// One of the records that an archive of few clients is full of.
fn usual_record(shape: &Shape, number: u32) -> String {
    shape.record(&usual_values(number), &usual_time(number, ""))
}

/// Its time, with more digits.
fn usual_time(number: u32, digits: &str) -> String {
    format!("\"2026-01-{:02} 08:00:{:02}.{number:06}{digits} UTC\"", 1 + number % 28, number % 60)
}

/// Its other values, as JSON, in the order in which [`usual_shape`] takes them.
fn usual_values(number: u32) -> [String; 12] {
    let client = number % 5;
    let meta = [
        format!("11.0.{}.{client}", number % 3 * 100),
        format!("{}", 505_400 + client),
        format!("126913468216{client}"),
        format!("8e000005000001{:010x}", u64::from(number) * 7919),
        "CU".to_owned(),
    ];
    let envelope =
        ["thales/cloudhsm/126913468216", "89108002-ae58-4e2e-b7af-", "86519fe1-1605-44d8-", "e421cab4-094c-"];
    let envelope = envelope.map(|text| format!("{text}{client}"));
    let rest = [
        ["LUNA_SIGN_INIT", "LUNA_SIGN"][number as usize % 2].to_owned(),
        "LUNA_RET_OK".to_owned(),
        format!("{number:043}"),
    ];
    let [address, hsm, serial, key, role] = meta;
    let [source, resource, actor, tenant] = envelope;
    let [action, status, trace] = rest;
    [address, hsm, serial, key, role, source, resource, actor, tenant, action, status, trace]
        .map(|text| format!("\"{text}\""))
}

/// Members that the service may come to write one day, with values that hardly ever change: what they are and where they stand is part of
/// a shape, and of `extra`.
#[test]
fn unknown_members_that_are_alike() {
    let unknown = [
        ("version", vec!["\"1.0\"", "\"1.1\"", "\"1.0\\u0041\"", "\"\""]),
        ("level", vec!["1", "12", "-1.50e3", "1.00", "true", "false", "null", "123456789012345678901234567890"]),
        ("tags", vec!["[]", "{\"a\":1}"]),
        ("Status", vec!["\"x\""]),
        ("OUID", vec!["\"x\"", "null"]),
        ("TIME", vec!["\"x\""]),
        ("ä", vec!["1"]),
    ];
    for (name, values) in &unknown {
        both_ways_agree_with_unknown(name, |number| values[number as usize / 7 % values.len()].to_owned());
    }
}

/// The same where values differ from record to record: then they are no part of a shape.
#[test]
fn unknown_members_that_differ() {
    let odd = [
        "\"\"",
        "0",
        "7",
        "-7",
        "1.50",
        "1e3",
        "007",
        "999999999999999",
        "1000000000000000",
        "12 ",
        "12\t",
        "true",
        "null",
        "[7]",
        "{\"a\":1}",
        "\"\\u0041\"",
        "\"\u{7f}\"",
        "\"ä\"",
        "\"a\\\"b\"",
        "\"}\"",
        "18446744073709551616",
        "\"x\",\"more\":\"y\"",
        "-0",
        "-0.0",
        "0.5",
        "0.00001",
        "-12.25",
        "0.1234567890123456",
        "1E2",
        "trueish",
        "nul",
        "[]",
        "[ ]",
        "[7,8]",
        "[7,]",
        "[[7],[[\"x\"]]]",
        "[[[[[[[[[7]]]]]]]]]",
        "{}",
        "{\"b\":{\"z\":1,\"a\":\"\"},\"a\":[null,true]}",
        "{\"a\":1,\"a\":2}",
        "{\"role\":\"x\",\"time\":\"y\",\"meta\":{}}",
        "{\"ä\":1}",
        "{\"a\":}",
        "{\"a\" : [ 1 , 2.5 ] }",
        "\"a\\nb\"",
        "\"a\\/b\"",
        "\"\\\\\"",
        "\"\\ud800\"",
    ];
    let text = |number: u32| format!("\"{:x}\"", u64::from(number) * 0x9e37_79b9);
    let integer = |number: u32| (u64::from(number).pow(7) * 7919).to_string();
    let fraction = |number: u32| format!("{}", f64::from(number) * 0.0625 - 2.0);
    let nested = |number: u32| {
        format!("{{\"b\":[{number},{{}}],\"a\":{{\"x\":\"{number}\",\"A\":{}}}}}", number.is_multiple_of(2))
    };
    let growing = |number: u32| format!("[{}]", (0..number % 6).map(text).collect::<Vec<_>>().join(","));
    for name in ["request", "Zone", "area", "OUID", "ä"] {
        both_ways_agree_with_unknown(name, text);
        both_ways_agree_with_unknown(name, integer);
        both_ways_agree_with_unknown(name, fraction);
        both_ways_agree_with_unknown(name, nested);
        both_ways_agree_with_unknown(name, growing);
        both_ways_agree_with_unknown(name, |number| {
            format!("[{},{}]", growing(number / 2), odd[number as usize % odd.len()])
        });
        both_ways_agree_with_unknown(name, |number| if number % 2 == 0 { text(number) } else { integer(number) });
        both_ways_agree_with_unknown(name, |number| match number % 3 {
            0 => text(number),
            1 => integer(number),
            _ => odd[number as usize / 3 % odd.len()].to_owned(),
        });
    }
}

/// Texts with escapes and beyond ASCII are known by their bytes once they were parsed; in `meta` that came as text, escapes mean something else.
#[test]
fn texts_that_are_not_plain() {
    let of_client = |number: u32| number % 7;
    let long = |length: usize| format!("\"ä{}\"", "x".repeat(length));
    let texts: [&dyn Fn(u32) -> String; 9] = [
        &|number| format!("\"thales\\/cloudhsm\\/{}\"", of_client(number)),
        &|number| format!("\"Größe {}\"", of_client(number)),
        &|number| format!("\"\\u00e9 {}\"", of_client(number)),
        &|number| format!("\"{}\"", "\\\\".repeat(of_client(number) as usize)),
        &|number| format!("\"a{}\"", "\\\"".repeat(of_client(number) as usize)),
        &|number| format!("\"{}\"", "\\\"\\\\".repeat(of_client(number) as usize)),
        // About as long as texts may be to be known.
        &|number| long(40 + number as usize % 14),
        // Not all of them are texts.
        &|number| {
            ["\"\\/\"", "\"\\x\"", "\"\\ud800\"", "\"\\ud83d\\ude00\"", "\"a\nb\"", "\"a\\nb\"", "\"a\\"]
                [of_client(number) as usize]
                .into()
        },
        &|number| if number % 3 == 0 { "\"plain\"".into() } else { format!("\"ä{}\"", of_client(number)) },
    ];
    for text in texts {
        for place in 0..12 {
            for meta_is_text in [true, false] {
                let shape = Shape { meta_is_text, ..usual_shape() };
                let records = (0..90).map(|number| {
                    let mut values = usual_values(number);
                    values[place] = text(number);
                    shape.record(&values, &usual_time(number, ""))
                });
                let member = format!("[{}]", records.collect::<Vec<_>>().join(",")).into_bytes();
                both_ways_agree(&[member], &[], DecodeOptions { batch_rows: 16, ..DecodeOptions::default() });
            }
        }
    }
}

/// What is remembered of an odd text is where it stands, whatever stands before it.
#[test]
fn odd_texts_behind_a_number_that_differs() {
    let record =
        |n: u32, role: &str| format!(r#"{{"time":"2026-01-05 08:00:01 UTC","n":{n},"meta":{{"role":"{role}"}}}}"#);
    let usual = || [1, 2, 3, 12].map(|n| record(n, "CO")).to_vec();
    let in_text =
        || [1, 2, 3, 12].map(|n| record(n, "CO").replace(r#"{"role":"CO"}"#, r#""{\"role\":\"CO\"}""#)).to_vec();
    for mut records in [usual(), in_text(), [usual(), in_text()].concat()] {
        for role in ["CU", "\\\"", ":\"", "\":\"", "ä"] {
            records.push(record(13, role));
        }
        both_ways_agree(&[records.join("\n").into_bytes()], &[], DecodeOptions::default());
    }
}

/// The same bytes in `meta` as an object and as text.
#[test]
fn texts_of_meta_mean_what_they_mean_where_they_stand() {
    let roles =
        ["a\\/b", "a\\nb", "a\\u0041", "ä", "a\\\\b", "a\\\\\\\\b", "a\\", "\\\\", "a\\\"b", "a\\\\\\\"b", "plain"];
    let record = |role: &str, meta_is_text: bool| {
        let (quote, ends) = if meta_is_text { ("\\\"", "\"") } else { ("\"", "") };
        let meta = [("clientip", "11.0.0.1"), ("role", role), ("hsmid", "505400")];
        let meta = meta.map(|(name, text)| format!("{quote}{name}{quote}:{quote}{text}{quote}")).join(",");
        format!(
            r#"{{"time":"2026-01-05 08:00:01 UTC","action":"LUNA_SIGN","meta":{ends}{{{meta}}}{ends},"status":"LUNA_RET_OK"}}"#
        )
    };
    for first_is_text in [true, false] {
        // In between, plain texts of the same length: the next one is taken to be as long as the one before.
        let records = (0..600).map(|number| {
            let role = roles[number / 4 % roles.len()];
            let role = if number % 4 < 2 { "x".repeat(role.len()) } else { role.to_owned() };
            record(&role, (number % 2 == 0) == first_is_text)
        });
        let member = format!("[{}]", records.collect::<Vec<_>>().join(",")).into_bytes();
        both_ways_agree(&[member], &[], DecodeOptions { batch_rows: 16, ..DecodeOptions::default() });
    }
}

/// With a member more, of this value by the record's number, here and there in the envelope and in `meta`.
fn both_ways_agree_with_unknown(name: &'static str, value: impl Fn(u32) -> String) {
    for place in [0, 4, 9] {
        for (meta_place, meta_is_text) in [(None, true), (Some(0), true), (Some(5), true), (Some(2), false)] {
            let mut shape = Shape { meta_is_text, ..usual_shape() };
            shape.names.insert(place, name);
            meta_place.into_iter().for_each(|place| shape.meta_names.insert(place, name));
            let records = (0..90).map(|number| {
                // In the order in which the shape takes them: those of `meta` first.
                let at = if place > 8 { place - 2 } else { place.saturating_sub(1) };
                let mut all = usual_values(number).to_vec();
                all.insert(5 + at, value(number));
                meta_place.into_iter().for_each(|place| all.insert(place, value(number + 1)));
                shape.record(&all, &usual_time(number, if number % 9 == 0 { "0001" } else { "" }))
            });
            let member = format!("[{}]", records.collect::<Vec<_>>().join(",")).into_bytes();
            both_ways_agree(&[member], &[], DecodeOptions { batch_rows: 16, ..DecodeOptions::default() });
        }
    }
}

/// Texts of a column without end: what is remembered is forgotten in time, and ids that meant something mean nothing then.
#[test]
fn more_texts_than_are_remembered() {
    let shape = usual_shape();
    let record = |number: usize| {
        // Some repeat, some were last seen before all was forgotten.
        let values = (0..13).map(|value| format!("\"value {value} {:08}\"", number % (10_usize.pow(value / 2))));
        shape.record(&values.collect::<Vec<_>>(), "\"2026-01-05 08:00:01 UTC\"")
    };
    let records: Vec<String> = (0..150_000).map(|number| record(number * 7919 % 100_000)).collect();
    let member = format!("[{}]", records.join(",")).into_bytes();
    both_ways_agree(&[member], &[], DecodeOptions { batch_rows: 10_000, ..DecodeOptions::default() });
}

/// A shape that is known from a list may stretch over lines; in lines, each line stands for itself.
#[test]
fn a_shape_of_several_lines_is_none_of_lines() {
    let record = |second: u32, line_end: &str| {
        format!(
            r#"{{"time":"2026-01-05 08:00:{second:02} UTC",{line_end}"source":"x", "meta":{{{line_end}"role":"CO"}}}}"#
        )
    };
    for line_end in ["\n", "\r\n", "\r", " "] {
        let records: Vec<String> = (0..40).map(|second| record(second, line_end)).collect();
        let list = format!("[{}]", records.join(",")).into_bytes();
        let lines = format!("{}\n", records.join("\n")).into_bytes();
        let options = DecodeOptions::default();
        both_ways_agree(&[list.clone(), lines.clone(), list.clone()], &[], options);
        let [alone, behind_list] =
            [vec![lines.clone()], vec![list, lines]].map(|members| everything(&members, &[], options));
        assert_eq!(alone.rejects, behind_list.rejects, "{line_end:?}");
        assert_eq!(alone.rejects.is_empty(), !line_end.contains('\n'), "{line_end:?}");
    }
}

/// The same of keys as digits, some of them in capitals, and of clients whose values go together.
#[test]
fn more_keys_and_clients_than_are_remembered() {
    let shape = usual_shape();
    let record = |number: usize| {
        let (client, key) = (number % 5000, number % 90_000);
        // Lengths are steady for a while, then others.
        let wide = number / 10_000 % 3;
        let key = match number % 100 {
            0 => String::new(),
            1 => format!("{key:024X}"),
            _ => format!("{:024x}", key * 0x1_0000_0001),
        };
        let of_client = |name: &str| format!("{name} {client:0width$}", width = 4 + wide);
        let meta = [of_client("11.0.0"), "500001".into(), of_client("1300"), key, "CU".into()];
        let envelope = ["source", "resource", "actor", "tenant"].map(of_client);
        let rest = [format!("LUNA_SIGN {}", number % 7), "LUNA_RET_OK".into(), format!("{number:043}")];
        let values = meta.into_iter().chain(envelope).chain(rest).map(|text| format!("\"{text}\""));
        shape.record(&values.collect::<Vec<_>>(), "\"2026-01-05 08:00:01.000001 UTC\"")
    };
    let records: Vec<String> = (0..120_000).map(|number| record(number * 7919 % 100_000)).collect();
    let member = format!("[{}]", records.join(",")).into_bytes();
    both_ways_agree(&[member], &[], DecodeOptions::default());
}

/// Bytes that are nothing in the place of digits, before any time was read on the fast path.
#[test]
fn times_of_control_characters() {
    let shape = usual_shape();
    let values = ["\"text\"".to_owned()];
    let record = |time: &str| shape.record(&values, &format!("\"{time}\""));
    let good = record("2026-01-05 08:00:02.000417 UTC");
    for rest in [" 00:00:00 UTC", " 00:00:00.000000 UTC", "\0\0\0\0\0\0:00.000000 UTC"] {
        let odd = record(&format!("\0\0\0\0\0\0\0\0\0\0{rest}"));
        both_ways_agree(&[format!("[{good},{odd},{good}]").into_bytes()], &[], DecodeOptions::default());
    }
}
