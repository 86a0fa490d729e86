//! A record as JSON text: the envelope, its forms, and its damaged forms.
//!
//! Texts are written byte by byte, without a serializer: no text that the generator makes up needs escaping, except that
//! `meta` as a string needs its quotes escaped.

use crate::clock::Moment;
use crate::options::MetaForm;
use crate::record::{Body, Record, Target};

/// Members of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Time,
    Source,
    Resource,
    Actor,
    Tenant,
    Action,
    Status,
    Trace,
    Meta,
}

const USUAL_ORDER: [Field; 9] = [
    Field::Time,
    Field::Source,
    Field::Resource,
    Field::Actor,
    Field::Tenant,
    Field::Action,
    Field::Status,
    Field::Trace,
    Field::Meta,
];

const OTHER_ORDER: [Field; 9] = [
    Field::Action,
    Field::Actor,
    Field::Meta,
    Field::Resource,
    Field::Source,
    Field::Status,
    Field::Tenant,
    Field::Time,
    Field::Trace,
];

/// Blanks and order of one archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    order: &'static [Field; 9],
    colon: &'static [u8],
    comma: &'static [u8],
    open: &'static [u8],
    close: &'static [u8],
    meta_colon: &'static [u8],
    meta_comma: &'static [u8],
    meta_backwards: bool,
    /// Between two elements of a list.
    pub(crate) between: &'static [u8],
}

impl Style {
    const COMPACT: Self = Self {
        order: &USUAL_ORDER,
        colon: b":",
        comma: b",",
        open: b"{",
        close: b"}",
        meta_colon: b":",
        meta_comma: b",",
        meta_backwards: false,
        between: b",",
    };

    /// The style of an archive; lines have no room for line breaks inside a record.
    pub(crate) fn of_archive(index: u64, vary: bool, lines: bool) -> Self {
        match index % 3 {
            1 if vary => Self {
                colon: b": ",
                comma: b", ",
                meta_colon: b": ",
                meta_comma: b", ",
                meta_backwards: true,
                between: b",\n",
                ..Self::COMPACT
            },
            2 if vary && lines => Self { order: &OTHER_ORDER, ..Self::COMPACT },
            2 if vary => Self {
                order: &OTHER_ORDER,
                colon: b" : ",
                comma: b",\n    ",
                open: b"{\n    ",
                close: b"\n  }",
                between: b",\r\n  ",
                ..Self::COMPACT
            },
            _ => Self::COMPACT,
        }
    }
}

/// What is wrong with a record, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    BareStatus,
    OpenStatus,
    NoBrace,
    NoTime(u64),
    NotObject(u64),
}

/// Whether a record's `meta` is an object in an archive; mixed forms differ from archive to archive.
pub(crate) fn meta_is_object(form: MetaForm, record: &Record<'_>, archive: u64) -> bool {
    match form {
        MetaForm::String => false,
        MetaForm::Object => true,
        MetaForm::Mixed => record.salt >> (archive % 64) & 1 == 1,
    }
}

/// Appends a record.
pub(crate) fn push_record(out: &mut Vec<u8>, record: &Record<'_>, style: &Style, meta_object: bool, flaw: Flaw) {
    if let Flaw::NotObject(variant) = flaw {
        out.extend_from_slice(match variant % 5 {
            0 => b"42",
            1 => b"\"LUNA_LOGIN\"",
            2 => b"null",
            3 => b"[\"time\",\"source\"]",
            _ => b"true",
        });
        return;
    }
    out.extend_from_slice(style.open);
    let mut first = true;
    for &field in style.order {
        let absent = match field {
            Field::Trace => record.trace.is_none(),
            Field::Time => matches!(flaw, Flaw::NoTime(variant) if variant % 4 == 0),
            _ => false,
        };
        if absent {
            continue;
        }
        if !first {
            out.extend_from_slice(style.comma);
        }
        first = false;
        push_field(out, field, record, style, meta_object, flaw);
    }
    if record.novelty {
        out.extend_from_slice(style.comma);
        push_pair(out, b"\"region\"", style.colon, "eu-central");
    }
    if flaw != Flaw::NoBrace {
        out.extend_from_slice(style.close);
    }
}

fn push_field(out: &mut Vec<u8>, field: Field, record: &Record<'_>, style: &Style, meta_object: bool, flaw: Flaw) {
    let colon = style.colon;
    match field {
        Field::Time => push_time(out, record, colon, flaw),
        Field::Source => push_pair(out, b"\"source\"", colon, source(record)),
        Field::Resource => push_pair(out, b"\"resourceID\"", colon, resource(record)),
        Field::Actor => push_pair(out, b"\"actorID\"", colon, actor(record)),
        Field::Tenant => push_pair(out, b"\"tenantID\"", colon, tenant(record)),
        Field::Action => push_pair(out, b"\"action\"", colon, action(record)),
        Field::Status => {
            push_pair(out, b"\"status\"", colon, status(record));
            let closing = out.pop();
            match flaw {
                Flaw::OpenStatus => {}
                Flaw::BareStatus => {
                    let text = status(record);
                    out.truncate(out.len() - text.len() - 1);
                    out.extend_from_slice(text.as_bytes());
                }
                _ => out.extend(closing),
            }
        }
        Field::Trace => {
            out.extend_from_slice(b"\"traceID\"");
            out.extend_from_slice(colon);
            out.push(b'"');
            push_trace(out, record.trace.unwrap_or_default());
            out.push(b'"');
        }
        Field::Meta => {
            out.extend_from_slice(b"\"meta\"");
            out.extend_from_slice(colon);
            if meta_object {
                push_meta(out, record, style, b"\"");
            } else {
                out.push(b'"');
                push_meta(out, record, style, b"\\\"");
                out.push(b'"');
            }
        }
    }
}

fn push_time(out: &mut Vec<u8>, record: &Record<'_>, colon: &[u8], flaw: Flaw) {
    out.extend_from_slice(b"\"time\"");
    out.extend_from_slice(colon);
    if let Flaw::NoTime(variant) = flaw {
        out.extend_from_slice(match variant % 4 {
            1 => b"null",
            2 => b"\"\"",
            _ => b"\"2026-13-45 99:00:00 UTC\"",
        });
        return;
    }
    let moment = Moment::of(record.time);
    out.push(b'"');
    moment.push_date(out);
    out.push(b' ');
    moment.push_clock(out, record.digits);
    out.extend_from_slice(b" UTC\"");
}

fn push_pair(out: &mut Vec<u8>, name: &[u8], colon: &[u8], text: &str) {
    out.extend_from_slice(name);
    out.extend_from_slice(colon);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends `meta` as an object with the given form of quote.
fn push_meta(out: &mut Vec<u8>, record: &Record<'_>, style: &Style, quote: &[u8]) {
    let mut members = MetaMembers { out, style, quote, first: true };
    members.out.push(b'{');
    match &record.body {
        Body::Cipher(deed) => {
            members.text("severity", "info");
            members.text("userid", deed.user);
        }
        Body::Hsm(_) if style.meta_backwards => (0..5).rev().for_each(|number| members.of_hsm(number, record)),
        Body::Hsm(_) => (0..5).for_each(|number| members.of_hsm(number, record)),
    }
    if record.novelty {
        members.name("slot");
        members.out.push(b'3');
    }
    members.out.push(b'}');
}

struct MetaMembers<'a> {
    out: &'a mut Vec<u8>,
    style: &'a Style,
    quote: &'a [u8],
    first: bool,
}

impl MetaMembers<'_> {
    /// One of the five members that an HSM record can have.
    fn of_hsm(&mut self, number: u32, record: &Record<'_>) {
        let Body::Hsm(deed) = &record.body else { return };
        match number {
            0 => {
                if let Some(address) = deed.address {
                    self.text("clientip", &address.text);
                }
            }
            1 => self.text("hsmid", deed.module),
            2 => match deed.target {
                Target::Absent => {}
                Target::Null => {
                    self.name("ouid");
                    self.out.extend_from_slice(b"null");
                }
                Target::Empty => self.text("ouid", ""),
                Target::Key { key, upper } => self.text("ouid", if upper { &key.ouid_upper } else { &key.ouid }),
            },
            3 => self.text("partid", &deed.partition.serial),
            _ => self.text("role", deed.role.name()),
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.out.extend_from_slice(self.quote);
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(self.quote);
    }

    fn name(&mut self, name: &str) {
        if !self.first {
            self.out.extend_from_slice(self.style.meta_comma);
        }
        self.first = false;
        self.out.extend_from_slice(self.quote);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(self.quote);
        self.out.extend_from_slice(self.style.meta_colon);
    }
}

/// Appends 256 bits as 43 characters of base64url.
fn push_trace(out: &mut Vec<u8>, words: [u64; 4]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |bits: u64| ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'A');
    let mut text = [b'A'; 43];
    let (mut carry, mut bits) = (0_u64, 0_u32);
    let mut bytes = words.iter().flat_map(|word| word.to_be_bytes());
    for place in &mut text {
        if bits < 6 {
            // After the last byte two zero bits fill the last letter.
            carry = carry << 8 | u64::from(bytes.next().unwrap_or(0));
            bits += 8;
        }
        bits -= 6;
        *place = letter(carry >> bits);
    }
    out.extend_from_slice(&text);
}

fn source<'r>(record: &'r Record<'_>) -> &'r str {
    match &record.body {
        Body::Hsm(deed) => &deed.partition.source,
        Body::Cipher(_) => "cdsp",
    }
}

fn resource<'r>(record: &'r Record<'_>) -> &'r str {
    match &record.body {
        Body::Hsm(deed) => &deed.partition.resource,
        Body::Cipher(deed) => deed.resource,
    }
}

fn actor<'r>(record: &'r Record<'_>) -> &'r str {
    match &record.body {
        Body::Hsm(deed) => &deed.actor.id,
        Body::Cipher(deed) => deed.user,
    }
}

fn tenant<'r>(record: &'r Record<'_>) -> &'r str {
    match &record.body {
        Body::Hsm(deed) => &deed.partition.tenant,
        Body::Cipher(deed) => deed.tenant,
    }
}

/// The action of a record, as text.
pub(crate) fn action(record: &Record<'_>) -> &'static str {
    match &record.body {
        Body::Hsm(deed) => deed.action.name(),
        Body::Cipher(deed) => deed.action.name(),
    }
}

/// The status of a record, as text.
pub(crate) fn status(record: &Record<'_>) -> &'static str {
    match &record.body {
        Body::Hsm(deed) => deed.status.name(),
        Body::Cipher(deed) => deed.status.name(),
    }
}
