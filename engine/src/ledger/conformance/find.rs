//! Queries of entries, held against a filter over all of them.

use super::{Check, Open, batch, ok, same};
use crate::ledger::{AnyOf, Batch, Entry, Found, Ledger, Query, Term};
use crate::time::Micros;
use std::collections::BTreeSet;

const GROUPS: [&str; 2] = ["f1", "f2"];

/// Entries whose dates repeat and do not ascend, with terms of three kinds.
fn filed(from: u64) -> Vec<Entry> {
    let plain = batch(&[("f", 0)], &[]).entries.remove(0);
    let entry = |n: u64| Entry {
        id: format!("find{n:03}"),
        at: Micros(from + n),
        dated: Micros(1_000 + n * 7 % 10),
        group: GROUPS[n as usize % 2].to_owned(),
        terms: [(1, n % 3), (2, n % 5), (3, n % 2)]
            .map(|(kind, value)| Term { kind, value: format!("v{value}") })
            .to_vec(),
        ..plain.clone()
    };
    (1..=60).map(entry).collect()
}

pub(super) fn find(open: Open<'_>) -> Check {
    let mut ledger = open();
    let entries = filed(ok(ledger.issued_through())?.0);
    let last = entries.last().map_or(Micros::ZERO, |entry| entry.at);
    ok(ledger.issue(&Batch { entries: entries.clone(), ..Batch::default() }, last))?;
    let all = ok(ledger.entries_before(None, entries.len()))?;
    let through = all.first().map_or(0, |(seq, _)| *seq);
    let of = |kind, values| AnyOf { kind, values };
    let asked: [&[AnyOf<'_>]; 8] = [
        &[],
        &[of(1, &["v0"])],
        &[of(1, &["v0", "v2", "missing"])],
        &[of(1, &["v1", "v2"]), of(2, &["v3"])],
        &[of(1, &["v1"]), of(1, &["v1", "v2"]), of(2, &["v0", "v1", "v2"])],
        &[of(1, &["v0"]), of(1, &["v1"])],
        &[of(3, &[])],
        &[of(9, &["v0"])],
    ];
    for group in GROUPS.into_iter().chain(["none"]) {
        for terms in asked {
            for (from, to) in [(0, u64::MAX), (1_003, 1_007), (1_005, 1_005), (1_006, 1_005)] {
                let query =
                    Query { group, from: Micros(from), to: Micros(to), terms, through, after: None, limit: usize::MAX };
                hold_against(ledger.as_ref(), &all, &query)?;
            }
        }
    }
    later_ones_move_nothing(ledger.as_mut(), &all, through, last)
}

/// In one page and in pages of several lengths, an answer is what a filter finds.
fn hold_against(ledger: &dyn Ledger, all: &[(u64, Entry)], query: &Query<'_>) -> Check {
    let has = |entry: &Entry, any: &AnyOf<'_>| {
        entry.terms.iter().any(|term| term.kind == any.kind && any.values.contains(&term.value.as_str()))
    };
    let mut wanted: Vec<&(u64, Entry)> = all
        .iter()
        .filter(|(seq, entry)| {
            *seq <= query.through
                && entry.group == query.group
                && (query.from..=query.to).contains(&entry.dated)
                && query.terms.iter().all(|any| has(entry, any))
        })
        .collect();
    wanted.sort_by_key(|(seq, entry)| std::cmp::Reverse((entry.dated, *seq)));
    for limit in [1, 3, usize::MAX] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = ok(ledger.find(&Query { after, limit, ..*query }))?;
            let Some((seq, entry)) = page.last() else { break };
            after = Some(Found { dated: entry.dated, seq: *seq });
            found.extend(page);
        }
        same(&format!("pages of {limit} for {query:?}"), &found.iter().collect::<Vec<_>>(), &wanted)?;
    }
    Ok(())
}

fn later_ones_move_nothing(ledger: &mut dyn Ledger, all: &[(u64, Entry)], through: u64, last: Micros) -> Check {
    let mut later = filed(last.0);
    later.iter_mut().for_each(|entry| entry.id.push_str(" later"));
    let end = later.last().map_or(Micros::ZERO, |entry| entry.at);
    ok(ledger.issue(&Batch { entries: later, ..Batch::default() }, end))?;
    let terms = [AnyOf { kind: 1, values: &["v0", "v1"] }];
    let query = Query { group: "f1", from: Micros::ZERO, to: end, terms: &terms, through, after: None, limit: 100 };
    hold_against(ledger, all, &query)?;
    let twice: BTreeSet<String> =
        ok(ledger.find(&Query { through: u64::MAX, ..query }))?.into_iter().map(|(_, e)| e.id).collect();
    let once = ok(ledger.find(&query))?.len();
    same("and are found by who asks anew", &twice.len(), &(2 * once))
}
