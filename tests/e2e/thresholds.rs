//! The promise: what was decided stays decided. A threshold that is changed between a stop and the resume makes no
//! second response to what was answered before.

use crate::inputs::{Event, START, answers};
use crate::outputs::{ledger, snapshots};
use crate::support::{Config, Place, Running};
use engine::ledger::{Ledger, OrderStatus, Page};
use std::collections::BTreeSet;

/// Downloads of each busy user, within the hour. With the first settings the bar is 200, with the second 40.
const DOWNLOADS: u64 = 260;
const BUSY: u64 = 4;
const FILLER: u64 = 60_000;
const FIRST: &str = "[detect.excessive_downloads]\nfloor = 50\nuntaught = 200\n";
const SECOND: &str = "[detect.excessive_downloads]\nfloor = 20\nuntaught = 40\n";

/// Busy users first, one after the other, then much that raises nothing, so that there is something left to do.
fn lines() -> Vec<String> {
    let busy = (0..BUSY).flat_map(|user| {
        (0..DOWNLOADS).map(move |n| {
            let at = START + user * 400 + n;
            Event::new(&format!("d{user}-{n}"), at)
                .user(&format!("B{user}"))
                .session(&format!("s{user}"))
                .download(n)
                .line()
        })
    });
    let filler = (0..FILLER).map(|n| {
        let user = format!("U{}", n % 500);
        Event::new(&format!("f{n}"), START + 3_600 + n).user(&user).session(&user).line()
    });
    busy.chain(filler).collect()
}

fn orders(config: &Config) -> Vec<OrderStatus> {
    let page = Page { state: None, group: None, before: None, limit: 1_000 };
    ledger(&config.data_dir).map_or_else(Vec::new, |store| store.orders(page).expect("orders can be read"))
}

fn ids(orders: &[OrderStatus]) -> BTreeSet<String> {
    orders.iter().map(|order| order.order.id.clone()).collect()
}

/// Runs with the first threshold until all busy users are answered, ends it by `end`, and runs on with the second.
fn decided_stays(snapshot_every: &str, end: impl FnOnce(Running) -> bool) {
    let place = Place::new();
    let input = place.write_lines("events", &lines());
    let config = place
        .config("data", &[input], "", FIRST)
        .control(&place.write_lines("control", &[answers("E1", &["excessive_downloads"])]))
        .settings(&format!("workers = 2\nsnapshot_every = \"{snapshot_every}\""));
    let mut running = config.start();
    running.running_until("a response to each busy user", || {
        !snapshots(&config.data_dir).is_empty() && orders(&config).len() as u64 >= BUSY
    });
    assert!(end(running), "it had ended before it was stopped: the input is too small for this machine");
    let before = orders(&config);
    assert_eq!(before.len() as u64, BUSY, "one each");
    config.clone().sections(SECOND).start().wait().done().totals().assert_conserved();
    let after = orders(&config);
    assert_eq!(ids(&after).len(), after.len());
    assert_eq!(ids(&after), ids(&before), "no response was added or lost");
    for order in &before {
        let now = after.iter().find(|now| now.order.id == order.order.id).expect("it is there");
        assert_eq!(now.order, order.order, "an order is never changed");
    }
}

#[test]
fn after_a_stop() {
    decided_stays("100ms", |running| running.terminate().done().totals().of("received") < BUSY * DOWNLOADS + FILLER);
}

/// Here all is derived again, from the first snapshot on, with the second threshold.
#[test]
fn after_a_kill_that_loses_every_snapshot_but_the_first() {
    decided_stays("1h", Running::kill);
}
