//! What a side file says: the body that was posted and the job's answer, as two objects or as one.

use std::fmt;

use keytrail_model::ledger::{ExportRequest, Note};
use keytrail_model::time;
use serde_json::{Map, Value};

/// Members of a request body that the service documents as filters.
const FILTERS: [&str; 6] = ["source", "resourceId", "actorId", "tenantId", "action", "status"];
/// Members of the job's answer. `progress` was seen by one client.
const ANSWER: [&str; 6] = ["jobId", "startedAt", "endedAt", "state", "location", "progress"];
/// Names of the two parts.
const PARTS: [&str; 2] = ["request", "response"];
/// Longest value of a filter that is kept.
const VALUE_CHARS_MAX: usize = 1024;
/// Filters that are kept.
const FILTERS_MAX: usize = 64;
/// Longest window that the service takes.
const WINDOW_DAYS_MAX: i64 = 31;
const DAY_MICROS: i64 = 86_400_000_000;

/// Whether a text is a request and not a record.
pub(super) fn is_request(bytes: &[u8]) -> bool {
    let Ok(object) = object_of(bytes) else {
        return false;
    };
    let has = |name| member(&object, name).is_some();
    !has("time") && (PARTS.iter().any(|part| has(part)) || has("from") && has("to") || has("jobId"))
}

/// Reads a side file; path and hash are the caller's to add.
pub(super) fn parse(bytes: &[u8]) -> ExportRequest {
    let mut made = ExportRequest::default();
    let object = match object_of(bytes) {
        Ok(object) => object,
        Err(found) => {
            made.notes.push(unusable(format!("expected a JSON object, found {found}")));
            return made;
        }
    };
    let [request, response] = PARTS.map(|part| part_of(&object, part, &mut made.notes));
    let (body, answer) = match (request, response) {
        (None, None) => (object.clone(), object),
        (request, response) => (request.unwrap_or_default(), response.unwrap_or_default()),
    };
    read_body(&body, &mut made);
    read_answer(&answer, &mut made);
    check(&mut made);
    made
}

fn unusable(text: impl fmt::Display) -> Note {
    Note::new("request_unusable", format!("request side file: {text}"))
}

fn contradiction(text: impl fmt::Display) -> Note {
    Note::new("request_contradiction", format!("request side file: {text}"))
}

fn object_of(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(kind(&other).to_owned()),
        Err(error) => Err(format!("none: {error}")),
    }
}

/// A member by its name, else by its name in other letters.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let other = || object.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    object.get(name).or_else(other).filter(|value| !value.is_null())
}

fn part_of(object: &Map<String, Value>, part: &str, notes: &mut Vec<Note>) -> Option<Map<String, Value>> {
    match member(object, part)? {
        Value::Object(part) => Some(part.clone()),
        // The body as it went over the line.
        Value::String(text) if object_of(text.as_bytes()).is_ok() => object_of(text.as_bytes()).ok(),
        other => {
            notes.push(unusable(format!("expected an object in `{part}`, found {}", kind(other))));
            Some(Map::new())
        }
    }
}

fn read_body(body: &Map<String, Value>, made: &mut ExportRequest) {
    made.window_from = moment(body, "from", &mut made.notes);
    made.window_to = moment(body, "to", &mut made.notes);
    let is_known = |name: &str| {
        let others = ["from", "to"].iter().chain(&ANSWER).chain(&PARTS);
        others.into_iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    for (name, value) in body.iter().filter(|(name, value)| !is_known(name) && !value.is_null()) {
        let known = FILTERS.iter().find(|known| name.eq_ignore_ascii_case(known));
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text: String = text.chars().take(VALUE_CHARS_MAX).collect();
        if made.filters.len() >= FILTERS_MAX {
            made.notes.push(unusable(format!("expected at most {FILTERS_MAX} filters, found {}", body.len())));
            return;
        }
        let name: String = known.map_or_else(|| name.chars().take(VALUE_CHARS_MAX).collect(), |&known| known.into());
        if known.is_none() {
            let text = format!("request side file: `{name}` is no member that keytrail knows; taken as a filter");
            made.notes.push(Note::new("request_unknown_member", text));
        } else if !value.is_string() {
            made.notes.push(unusable(format!("expected a text in `{name}`, found {}", kind(value))));
        }
        made.filters.insert(name, text);
    }
}

fn read_answer(answer: &Map<String, Value>, made: &mut ExportRequest) {
    let mut text = |name: &str| match member(answer, name)? {
        Value::String(text) => Some(text.chars().take(VALUE_CHARS_MAX).collect::<String>()),
        Value::Number(number) => Some(number.to_string()),
        other => {
            made.notes.push(unusable(format!("expected a text in `{name}`, found {}", kind(other))));
            None
        }
    };
    let (job_id, job_state, location) = (text("jobId"), text("state"), text("location"));
    (made.job_id, made.job_state) = (job_id, job_state);
    made.job_started_at = moment(answer, "startedAt", &mut made.notes);
    made.job_ended_at = moment(answer, "endedAt", &mut made.notes);
    made.location = location.as_deref().and_then(without_secrets);
    if location.is_some() && made.location.is_none() {
        made.notes.push(unusable("expected a URL in `location`, found something else; not kept"));
    }
}

fn moment(object: &Map<String, Value>, name: &str, notes: &mut Vec<Note>) -> Option<i64> {
    let value = member(object, name)?;
    let moment = value.as_str().and_then(time::parse);
    if moment.is_none() {
        let found: String = value.to_string().chars().take(60).collect();
        notes.push(unusable(format!("expected a time such as 2026-01-31T00:00:00Z in `{name}`, found {found}")));
    }
    moment.map(|moment| moment.micros)
}

/// A URL without user, password, query and fragment: a signed one opens the archive to anybody for a day.
fn without_secrets(location: &str) -> Option<String> {
    let (scheme, rest) = location.split_once("://")?;
    let is_plain = |text: &str| !text.is_empty() && !text.chars().any(|letter| letter.is_control() || letter == ' ');
    let rest = rest.split(['?', '#']).next()?;
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = host.rsplit('@').next()?;
    let is_url = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") && is_plain(host);
    (is_url && (path.is_empty() || is_plain(path))).then(|| format!("{scheme}://{host}{path}"))
}

/// What the parts say against each other.
fn check(made: &mut ExportRequest) {
    let (from, to, started, ended) = (made.window_from, made.window_to, made.job_started_at, made.job_ended_at);
    let told = |micros: i64| time::format_service(micros);
    let bad_end = made.bad_end().map(str::to_owned);
    let mut say = |text: String| made.notes.push(contradiction(text));
    match (from, to) {
        (Some(from), Some(to)) if from >= to => {
            say(format!("expected `from` before `to`, found {} and {}", told(from), told(to)));
        }
        (Some(from), Some(to)) if to.saturating_sub(from) > WINDOW_DAYS_MAX * DAY_MICROS => {
            let (from, to) = (told(from), told(to));
            say(format!("expected at most {WINDOW_DAYS_MAX} days, as the service does, found {from} to {to}"));
        }
        (Some(_), Some(_)) => {}
        _ => say("expected both `from` and `to`: without them the window is unknown".into()),
    }
    if let Some(state) = bad_end {
        let succeeded = ExportRequest::SUCCEEDED;
        say(format!("expected the state {succeeded}, found {state}: what the export lacks is unknown"));
    }
    if let (Some(started), Some(ended)) = (started, ended)
        && started > ended
    {
        say(format!("expected `startedAt` before `endedAt`, found {} and {}", told(started), told(ended)));
    }
    if let (Some(started), Some(to)) = (started, to)
        && started < to
    {
        let (started, to) = (told(started), told(to));
        say(format!("the job started at {started}, before the end of its window, {to}: nothing later can be in it"));
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JANUARY: i64 = 1_767_225_600_000_000;
    const DAY: i64 = DAY_MICROS;

    #[test]
    fn forms_of_a_side_file() {
        let full = ExportRequest {
            window_from: Some(JANUARY),
            window_to: Some(JANUARY + DAY),
            filters: [("resourceId".to_owned(), "r".to_owned())].into(),
            job_id: Some("7".into()),
            job_state: Some("SUCCEEDED".into()),
            job_started_at: Some(JANUARY + 2 * DAY),
            job_ended_at: Some(JANUARY + 2 * DAY + 1_000_000),
            location: Some("https://s3.example.org/a/b.zip".into()),
            ..ExportRequest::default()
        };
        let (from, to) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let answer = r#""jobId":"7","startedAt":"2026-01-03T00:00:00Z","endedAt":"2026-01-03T00:00:01Z","state":"SUCCEEDED",
            "location":"https://user:word@s3.example.org/a/b.zip?X-Amz-Signature=5ecre7#x","progress":100"#;
        let texts = [
            format!(r#"{{"request":{{"from":"{from}","to":"{to}","resourceId":"r"}},"response":{{{answer}}}}}"#),
            format!(r#"{{"from":"{from}","to":"{to}","resourceId":"r",{answer},"source":null}}"#),
            format!(
                "\u{feff}\n{{\"FROM\":\"{from}\",\"To\":\"2026-01-02 00:00:00 UTC\",\"resourceid\":\"r\",{answer}}}"
            ),
            format!(
                r#"{{"Request":"{{\"from\":\"{from}\",\"to\":\"2026-01-02T01:00:00+01:00\",\"resourceID\":\"r\"}}","response":{{{answer}}}}}"#
            ),
        ];
        for text in texts {
            assert!(is_request(text.as_bytes()), "{text}");
            assert_eq!(parse(text.as_bytes()), full, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_the_rest_is_kept() {
        let window = r#""from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z""#;
        let cases = [
            // Text, window kept, first note.
            ("{".into(), false, "expected a JSON object, found none: EOF"),
            ("[]".into(), false, "found a list"),
            ("".into(), false, "found none"),
            ("{}".into(), false, "expected both `from` and `to`"),
            (r#"{"request":[1]}"#.into(), false, "expected an object in `request`, found a list"),
            (r#"{"from":"2026-01-01","to":3}"#.into(), false, "expected a time such as"),
            (
                r#"{"from":"2026-01-02T00:00:00Z","to":"2026-01-02T00:00:00Z"}"#.into(),
                true,
                "expected `from` before `to`",
            ),
            (r#"{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:01Z"}"#.into(), true, "at most 31 days"),
            (format!(r#"{{{window},"state":"FAILED"}}"#), true, "expected the state SUCCEEDED, found FAILED"),
            (format!(r#"{{{window},"startedAt":"2026-01-01T12:00:00Z"}}"#), true, "nothing later can be in it"),
            (format!(r#"{{{window},"pageSize":3}}"#), true, "`pageSize` is no member that keytrail knows"),
            (format!(r#"{{{window},"action":["a"]}}"#), true, "expected a text in `action`, found a list"),
            (format!(r#"{{{window},"location":"file:///etc/passwd"}}"#), true, "expected a URL in `location`"),
            (
                format!(r#"{{{window},"startedAt":"2026-01-04T00:00:00Z","endedAt":"2026-01-03T00:00:00Z"}}"#),
                true,
                "`endedAt`",
            ),
        ];
        for (text, has_window, note) in cases {
            let made = parse(text.as_bytes());
            assert_eq!(made.window_from.is_some() && made.window_to.is_some(), has_window, "{text}");
            assert!(made.notes.first().is_some_and(|first| first.text.contains(note)), "{text}: {:?}", made.notes);
        }
        let exact = r#"{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z","state":"succeeded"}"#;
        assert_eq!(parse(exact.as_bytes()).notes, []);
    }

    #[test]
    fn records_are_no_requests() {
        for text in [
            r#"{"time":"2026-01-01 00:00:00 UTC","from":1,"to":2}"#,
            r#"[{"from":"x","to":"y"}]"#,
            r#"{"error":"unauthorized"}"#,
            "{}",
            "",
        ] {
            assert!(!is_request(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn secrets_of_a_location_are_not_kept() {
        for (location, kept) in [
            ("https://h/p?sig=1", Some("https://h/p")),
            ("https://h?sig=1", Some("https://h")),
            ("https://h#f", Some("https://h")),
            ("https://u:p@h:8443/p", Some("https://h:8443/p")),
            ("HTTP://h/a@b", Some("HTTP://h/a@b")),
            ("https://", None),
            ("h/p?sig=1", None),
            ("ftp://h/p", None),
        ] {
            assert_eq!(without_secrets(location).as_deref(), kept, "{location}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_fail(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            parse(&bytes);
        }
    }
}
