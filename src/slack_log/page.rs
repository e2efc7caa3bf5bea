//! A page of Slack's audit log: its entries, each as a line, and the cursor of the next. Owned here: what of an entry is
//! looked at. An entry that lacks something is handed on all the same: what it is worth is judged where all lines are.

use connectors::pages::{Entry, Page};
use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Longer than any cursor.
const CURSOR_BYTES_MAX: usize = 4 << 10;

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A page.
    Page(Page),
    /// A code of what is wrong.
    Error(String),
    /// Neither.
    Nothing,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    entries: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    response_metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    next_cursor: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Facts<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    date_create: Option<Number>,
}

/// Reads a page. An entry without a time stands beside the one before it, the first at the second `from`.
pub(super) fn read(body: &[u8], from: u64) -> Said {
    let Ok(body) = serde_json::from_slice::<Body<'_>>(body) else { return Said::Nothing };
    if let Some(error) = body.error {
        return Said::Error(error.into_owned());
    }
    let Some(raw) = body.entries else { return Said::Nothing };
    let next = body.response_metadata.and_then(|metadata| metadata.next_cursor).filter(|cursor| !cursor.is_empty());
    if next.as_ref().is_some_and(|cursor| cursor.len() > CURSOR_BYTES_MAX) {
        return Said::Nothing;
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
    for raw in raw {
        let beside = entries.last().map_or(from, |entry| entry.at);
        entries.push(entry(raw.get(), beside));
    }
    Said::Page(Page { entries, next: next.map(Cow::into_owned) })
}

fn entry(json: &str, beside: u64) -> Entry {
    let facts = serde_json::from_str::<Facts<'_>>(json).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    facts.id.map_or(json, RawValue::get).hash(&mut hasher);
    let mut line = json.as_bytes().to_vec();
    // A line end cannot stand within a string, so nothing is changed by it.
    line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    Entry { at: facts.date_create.and_then(|date| second(&date)).unwrap_or(beside), id: hasher.finish(), line }
}

fn second(date: &Number) -> Option<u64> {
    date.as_u64().or_else(|| date.as_f64().filter(|date| *date >= 0.0).map(|date| date as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(body: &str) -> Page {
        match read(body.as_bytes(), 100) {
            Said::Page(page) => page,
            other => panic!("{other:?}"),
        }
    }

    fn lines(page: &Page) -> Vec<(u64, &str)> {
        page.entries.iter().map(|entry| (entry.at, std::str::from_utf8(&entry.line).unwrap())).collect()
    }

    #[test]
    fn entries_come_as_they_stand_each_on_one_line() {
        let read = page(
            "{\"entries\": [{\"id\": \"a\",\r\n \"date_create\": 120.9, \"x\": \"\\n\"}, {\"id\":\"b\",\"date_create\":110}],\n\
             \"response_metadata\": {\"next_cursor\": \"dGVhbQ==\"}, \"ok\": true}",
        );
        assert_eq!(
            lines(&read),
            [
                (120, "{\"id\": \"a\",   \"date_create\": 120.9, \"x\": \"\\n\"}"),
                (110, r#"{"id":"b","date_create":110}"#)
            ]
        );
        assert_eq!(read.next.as_deref(), Some("dGVhbQ=="));
    }

    #[test]
    fn the_last_page_names_no_cursor_an_empty_one_or_no_metadata() {
        for rest in ["", ",\"response_metadata\":null", ",\"response_metadata\":{}"] {
            assert_eq!(page(&format!("{{\"entries\":[]{rest}}}")), Page::default());
        }
        for cursor in ["null", "\"\""] {
            let body = format!("{{\"entries\":[],\"response_metadata\":{{\"next_cursor\":{cursor}}}}}");
            assert_eq!(page(&body), Page::default());
        }
    }

    #[test]
    fn what_lacks_a_time_or_an_id_is_handed_on_beside_its_neighbour() {
        let read = page(r#"{"entries":[{"id":1},{"id":"b","date_create":"x"},{"date_create":120},7,{"id":"c"},7]}"#);
        let seconds: Vec<_> = read.entries.iter().map(|entry| entry.at).collect();
        assert_eq!(seconds, [100, 100, 120, 120, 120, 120]);
        let ids: std::collections::BTreeSet<_> = read.entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), 5, "the same line twice is one entry");
    }

    #[test]
    fn what_is_no_page_is_none() {
        let long = format!(r#"{{"entries":[],"response_metadata":{{"next_cursor":"{}"}}}}"#, "x".repeat(5_000));
        let nested = format!(r#"{{"entries":[{}"#, "[".repeat(1 << 20));
        for body in ["", "[]", "{}", "<html>", r#"{"entries":{}}"#, r#"{"entries":[1,]}"#, "{\"entries\":[\"\u{1}\"]}"]
        {
            assert_eq!(read(body.as_bytes(), 0), Said::Nothing, "{body}");
        }
        assert_eq!((read(long.as_bytes(), 0), read(nested.as_bytes(), 0)), (Said::Nothing, Said::Nothing));
        assert_eq!(read(br#"{"ok":false,"error":"ratelimited"}"#, 0), Said::Error("ratelimited".to_owned()));
    }
}
