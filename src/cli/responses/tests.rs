//! What an admin gets of responses.

use super::*;
use engine::ledger::{Ask, Batch, Order, StepOutcome};
use std::path::Path;

fn place(dir: &Path) -> Where {
    Where { data_dir: Some(dir.to_owned()), config: None, json: false }
}

/// A ledger with three orders, the last of which has hostile names and has failed with a hostile text.
fn filled(dir: &Path) -> Store {
    let mut store = Store::open_file(&dir.join("control.sqlite")).unwrap();
    let order = |id: &str, group: &str| Order {
        id: id.to_owned(),
        at: Micros::from_secs(1_767_225_600),
        group: group.to_owned(),
        payload: json!({"anomaly": {"user": "U\u{1b}[2J"}}).to_string().into_bytes(),
        steps: vec!["end_sessions".to_owned(), "mail:U\u{202e}1".to_owned()],
    };
    let orders = vec![order("a", "E1"), order("b", "E1"), order("c", "E\n2")];
    store.issue(&Batch { orders, ..Batch::default() }, Micros::from_secs(1_767_225_600)).unwrap();
    let ask = Ask { lanes: &["end_sessions"], now_ms: 1_000, lease_ms: 10, limit: 10, per_group: 10 };
    for claim in store.claim(&ask).unwrap() {
        if claim.order.id == "c" {
            let outcome = StepOutcome::Dead { error: "no\u{1b}[31m such\nbox".to_owned() };
            assert_eq!(store.record(&claim, &outcome, &[], 1_500).unwrap(), engine::ledger::Recorded::Applied);
        }
    }
    store
}

#[test]
fn tables_and_trails_are_plain_text() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let orders = store.orders(Page { state: None, group: None, before: None, limit: 9 }).unwrap();
    let listed = table(&orders);
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(listed.contains("E?2") && listed.contains("dead") && listed.contains("no?[31m such?box"), "{listed}");
    let last = pick(&store, "c").unwrap();
    assert_eq!(pick(&store, &last.seq.to_string()).unwrap(), last);
    let shown = show::text(&last, &store.trail("c").unwrap(), &Holds { all: true, groups: vec!["E\n2".to_owned()] });
    assert!(shown.contains("held     with its org, all") && shown.contains("500  dead"), "{shown}");
    let plain = |text: &str| !text.contains(['\u{1b}', '\u{202e}', '\r']);
    assert!(plain(&listed) && plain(&shown));
}

#[test]
fn exit_codes_tell_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let one = |which: &str| One { which: which.to_owned(), place: place(dir.path()) };
    assert_eq!(execute(&Command::Show(one("1"))).unwrap_err().code(), 2, "there is no ledger");
    assert!(!dir.path().join("control.sqlite").exists());
    let store = filled(dir.path());
    for which in ["99", "nothing"] {
        assert_eq!(execute(&Command::Show(one(which))).unwrap_err().code(), 2);
        assert_eq!(execute(&Command::Retry(one(which))).unwrap_err().code(), 2);
    }
    execute(&Command::Retry(one("c"))).unwrap();
    assert_eq!(store.order("c").unwrap().unwrap().state, State::Ready);
    assert_eq!(execute(&Command::Retry(one("a"))).unwrap_err().code(), 2, "it is being worked on");
}

#[test]
fn holds_are_put_on_and_released_each_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let scoped = |which: Option<&str>, org: Option<&str>| {
        let (which, org) = (which.map(str::to_owned), org.map(str::to_owned));
        Scoped { all: which.is_none() && org.is_none(), which, org, place: place(dir.path()) }
    };
    for (which, org) in [(Some("a"), None), (None, Some("E1")), (None, None)] {
        execute(&Command::Hold(scoped(which, org))).unwrap();
    }
    let held = store.holds().unwrap();
    assert!(held.all && held.groups == ["E1"] && store.order("a").unwrap().unwrap().held);
    execute(&Command::Release(scoped(None, None))).unwrap();
    let held = store.holds().unwrap();
    assert!(!held.all && held.groups == ["E1"] && store.order("a").unwrap().unwrap().held);
    assert_eq!(told(&held), "all of org E1 are held: aerie responses release --org E1\n");
    execute(&Command::Release(scoped(None, Some("E1")))).unwrap();
    execute(&Command::Release(scoped(Some("a"), None))).unwrap();
    assert_eq!((store.holds().unwrap(), store.held_orders().unwrap()), (Holds::default(), 0));
}
