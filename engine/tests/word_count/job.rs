//! A small job that knows nothing but words: it counts them, learns how often a letter's words come in an hour, and
//! reports words that come more often than was learned up to an hour ago.

use engine::error::Error;
use engine::flow::{Flow, Read, Stream};
use engine::keyed::operator::Input;
use engine::keyed::{Context, Logic, Record};
use engine::source::{Arrival, Decode, Refused};
use engine::state::store::Stores;
use engine::state::{Row, RowKey, Timer};
use engine::time::{Micros, Span};
use engine::writer::{Line, OpenAppend, Writer};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

pub const HOUR: Span = Span::from_hours(1);
pub const STEP: Span = Span::from_mins(10);
/// The limit of a letter of which nothing was learned.
pub const FIRST_LIMIT: u64 = 3;

/// Reads lines of `MICROS WORD ID`.
pub struct Words;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum CountRecord {
    Word { at: Micros, time: Micros, word: String, id: String },
    Limit { at: Micros, letter: u8, limit: u64 },
}

impl Record for CountRecord {
    fn at(&self) -> Micros {
        match self {
            CountRecord::Word { at, .. } | CountRecord::Limit { at, .. } => *at,
        }
    }

    fn key(&self) -> RowKey<'_> {
        match self {
            CountRecord::Word { word, .. } => RowKey::of(word.as_bytes()),
            CountRecord::Limit { .. } => RowKey::of(b""),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (CountRecord::Limit { letter: a, .. }, CountRecord::Limit { letter: b, .. }) => a.cmp(b),
            (CountRecord::Limit { .. }, _) => Ordering::Less,
            (_, CountRecord::Limit { .. }) => Ordering::Greater,
            (CountRecord::Word { time: t, id: i, word: w, .. }, CountRecord::Word { time: u, id: j, word: x, .. }) => {
                (t, i, w).cmp(&(u, j, x))
            }
        }
    }
}

impl Decode for Words {
    type Record = CountRecord;
    type Aside = Line;
    type Parsed<'a> = (Micros, &'a str, &'a str);
    type Rejection = &'static str;

    fn parse<'a>(&mut self, line: &'a [u8]) -> Result<(Micros, Self::Parsed<'a>), &'static str> {
        let text = std::str::from_utf8(line).map_err(|_| "not text")?;
        let mut parts = text.split(' ');
        let (Some(time), Some(word), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err("not three parts");
        };
        let time = Micros(time.parse().map_err(|_| "no time")?);
        Ok((time, (time, word, id)))
    }

    fn record(
        &mut self,
        _line: &[u8],
        (time, word, id): Self::Parsed<'_>,
        arrival: Arrival,
        out: &mut Vec<CountRecord>,
    ) -> Result<(), &'static str> {
        out.push(CountRecord::Word { at: arrival.at, time, word: word.to_owned(), id: id.to_owned() });
        Ok(())
    }

    fn rejected(&mut self, _line: &[u8], rejection: &'static str, arrival: Arrival) -> Line {
        aside(rejection, arrival)
    }

    fn refused(&mut self, _line: &[u8], refused: Refused, arrival: Arrival) -> Line {
        aside(&format!("{refused:?}"), arrival)
    }

    fn too_late(&mut self, _line: &[u8], (_, _, id): Self::Parsed<'_>, arrival: Arrival) -> Line {
        aside(&format!("too late {id}"), arrival)
    }
}

fn aside(what: &str, arrival: Arrival) -> Line {
    let mut order = arrival.partition.to_be_bytes().to_vec();
    order.extend(arrival.position.to_be_bytes());
    let body = format!("{} {} {} {what}", arrival.at, arrival.partition, arrival.position);
    Line { at: arrival.at, file: "asides".to_owned(), order, class: 0, body }
}

/// Counts each word by the hour of its own time, with duplicates left out.
#[derive(Default)]
pub struct Count {
    limits: BTreeMap<u8, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CountRow {
    hours: BTreeMap<u64, u64>,
    seen: Vec<String>,
    reported: Option<(Micros, u64)>,
}

impl Row for CountRow {
    const TYPE: u16 = 101;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = None;

    fn weight(&self) -> usize {
        self.hours.len() * 40 + self.seen.len() * 40
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum CountOut {
    Seen { at: Micros, letter: u8, count: u64 },
    Report(Line),
}

fn report(at: Micros, word: &str, body: String) -> CountOut {
    CountOut::Report(Line { at, file: "reports".to_owned(), order: word.as_bytes().to_vec(), class: 1, body })
}

impl Logic for Count {
    type Record = CountRecord;
    type Row = CountRow;
    type Out = CountOut;
    const PORTS: usize = 2;
    const TOTALS: &'static [&'static str] = &["words", "duplicates"];

    fn port(out: &CountOut) -> usize {
        matches!(out, CountOut::Report(_)).into()
    }

    fn timer_reaches(_tag: u8, port: usize) -> bool {
        port == 1
    }

    fn apply(&mut self, record: CountRecord, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let (at, time, word, id) = match record {
            CountRecord::Limit { letter, limit, .. } => {
                self.limits.insert(letter, limit);
                return Ok(());
            }
            CountRecord::Word { at, time, word, id } => (at, time, word, id),
        };
        let key = RowKey::of(word.as_bytes());
        let row = context.rows.write(key)?.get_or_insert_default();
        if row.seen.contains(&id) {
            context.totals[1] += 1;
            return Ok(());
        }
        row.seen.push(id.clone());
        if row.seen.len() > 50 {
            row.seen.remove(0);
        }
        let hour = time.0 / HOUR.0;
        let count = row.hours.entry(hour).or_default();
        *count += 1;
        let count = *count;
        while row.hours.len() > 3 {
            row.hours.pop_first();
        }
        context.totals[0] += 1;
        let letter = word.as_bytes()[0];
        context.out.emit(CountOut::Seen { at, letter, count });
        let limit = self.limits.get(&letter).copied().unwrap_or(FIRST_LIMIT);
        if count > limit && row.reported.is_none() {
            row.reported = Some((at, count));
            context.out.emit(report(at, &word, format!("{at} {word} {id} {count} > {limit}")));
            let timer = Timer { at: at.plus(HOUR), group: key.group, key: word.into_bytes(), tag: 0 };
            context.timers.set(timer);
        } else if let Some((last, most)) = &mut row.reported {
            (*last, *most) = (at, count.max(*most));
        }
        Ok(())
    }

    fn fire(&mut self, timer: Timer, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let word = String::from_utf8_lossy(&timer.key).into_owned();
        let row = context.rows.write(RowKey::under(timer.group, &timer.key))?;
        let Some(row) = row else { return Ok(()) };
        let Some((last, most)) = row.reported else { return Ok(()) };
        if last.plus(HOUR) > timer.at {
            context.timers.set(Timer { at: last.plus(HOUR), ..timer });
            return Ok(());
        }
        row.reported = None;
        context.out.emit(report(timer.at, &word, format!("{} {word} quiet after {most}", timer.at)));
        Ok(())
    }
}

/// Learns the most that a letter's words came to in an hour, and says so an hour later.
#[derive(Default)]
pub struct Learn;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    at: Micros,
    key: Vec<u8>,
    count: u64,
}

impl Record for Seen {
    fn at(&self) -> Micros {
        self.at
    }

    fn key(&self) -> RowKey<'_> {
        RowKey::of(&self.key)
    }

    fn order(&self, other: &Self) -> Ordering {
        (&self.key, self.count).cmp(&(&other.key, other.count))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LearnRow {
    most: u64,
    armed: bool,
    /// In force and pending: from when, and what.
    sent: Vec<(Micros, u64)>,
}

impl Row for LearnRow {
    const TYPE: u16 = 102;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = None;

    fn weight(&self) -> usize {
        100
    }
}

impl Logic for Learn {
    type Record = Seen;
    type Row = LearnRow;
    type Out = CountRecord;
    const PORTS: usize = 1;

    fn port(_: &CountRecord) -> usize {
        0
    }

    fn restored(&mut self, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let out = &mut *context.out;
        context.rows.scan(|key, row| {
            for (at, limit) in &row.sent {
                out.emit(CountRecord::Limit { at: *at, letter: key.bytes[0], limit: *limit });
            }
            Ok(())
        })
    }

    fn apply(&mut self, record: Seen, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let key = record.key();
        let row = context.rows.write(key)?.get_or_insert_default();
        row.most = row.most.max(record.count);
        if !row.armed {
            row.armed = true;
            let at = Micros((record.at.0 / STEP.0 + 1) * STEP.0);
            context.timers.set(Timer { at, group: key.group, key: record.key.clone(), tag: 0 });
        }
        Ok(())
    }

    fn fire(&mut self, timer: Timer, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let Some(row) = context.rows.write(RowKey::under(timer.group, &timer.key))? else { return Ok(()) };
        row.armed = false;
        if row.sent.last().map(|(_, limit)| *limit) == Some(row.most) {
            return Ok(());
        }
        let at = timer.at.plus(HOUR);
        while row.sent.len() > 1 && row.sent[1].0 <= timer.at {
            row.sent.remove(0);
        }
        row.sent.push((at, row.most));
        context.out.emit(CountRecord::Limit { at, letter: timer.key[0], limit: row.most });
        Ok(())
    }
}

/// What the assembly needs besides the flow.
#[derive(Clone)]
pub struct Parts {
    pub stores: Arc<dyn Stores>,
    pub budget: usize,
    pub open: Arc<OpenAppend>,
    /// Limits of letters that are known beforehand.
    pub known: Vec<(Micros, u8, u64)>,
}

/// The whole job.
pub fn assemble(flow: &mut Flow<'_>, parts: &Parts) -> Result<(), Error> {
    let Read { records: words, asides } = flow.sources(Words)?;
    let (limits_loop, limits) = flow.feedback(HOUR);
    let limit = |(at, letter, limit)| (at, CountRecord::Limit { at, letter, limit });
    let mut known = parts.known.clone();
    known.sort_by_key(|(at, ..)| *at);
    let known = flow.scheduled(known.into_iter().map(limit), None);
    let stores = &*parts.stores;
    let inputs = vec![Input::Keyed(words), Input::Broadcast(limits.concat(known))];
    let [seen, reports] = take(flow.keyed("count", Count::default(), stores, parts.budget, inputs)?);
    let seen = seen.map(|out| match out {
        CountOut::Seen { at, letter, count } => Seen { at, key: vec![letter], count },
        CountOut::Report(line) => unreachable!("{line:?} goes out on the other port"),
    });
    let [learned] = take(flow.keyed("learn", Learn, stores, parts.budget, vec![Input::Keyed(seen)])?);
    limits_loop.connect(learned);
    let reports = reports.map(|out| match out {
        CountOut::Report(line) => line,
        CountOut::Seen { .. } => unreachable!("counts go out on the other port"),
    });
    let files = vec!["reports".to_owned(), "asides".to_owned()];
    let writer = Writer::new(files, flow.place(), parts.open.clone());
    flow.keyed("writer", writer, stores, parts.budget, vec![Input::Keyed(reports.concat(asides))])?;
    Ok(())
}

fn take<const N: usize, R>(ports: Vec<Stream<'_, R>>) -> [Stream<'_, R>; N] {
    ports.try_into().unwrap_or_else(|ports: Vec<_>| panic!("{} ports, not {N}", ports.len()))
}

/// The same answer by the slowest obvious way: all words in order, and a list of limits with their times. Gives the
/// lines of `reports`.
pub fn oracle(words: &[(Micros, Micros, String, String)]) -> Vec<String> {
    let mut words = words.to_vec();
    words.sort_by(|a, b| (a.0, a.1, &a.3, &a.2).cmp(&(b.0, b.1, &b.3, &b.2)));
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut counts: BTreeMap<(String, u64), u64> = BTreeMap::new();
    let mut most: BTreeMap<(u8, u64), u64> = BTreeMap::new();
    let mut open: BTreeMap<String, (Micros, u64)> = BTreeMap::new();
    let mut lines: Vec<(Micros, String, String)> = Vec::new();
    let close = |now: Micros, open: &mut BTreeMap<String, (Micros, u64)>, lines: &mut Vec<_>| {
        let due: Vec<_> = open.iter().filter(|(_, (last, _))| last.plus(HOUR) < now).map(|(w, _)| w.clone()).collect();
        for word in due {
            let (last, peak) = open.remove(&word).unwrap();
            let at = last.plus(HOUR);
            lines.push((at, word.clone(), format!("{at} {word} quiet after {peak}")));
        }
    };
    for (at, time, word, id) in words {
        close(at, &mut open, &mut lines);
        let ids = seen.entry(word.clone()).or_default();
        if ids.iter().rev().take(50).any(|seen| *seen == id) {
            continue;
        }
        ids.push(id.clone());
        let count = counts.entry((word.clone(), time.0 / HOUR.0)).or_default();
        *count += 1;
        let letter = word.as_bytes()[0];
        // What was learned in steps that ended an hour ago or earlier.
        let ended = at.0.checked_sub(HOUR.0).map_or(0, |past| past / STEP.0);
        let learned = most.iter().filter(|((l, step), _)| *l == letter && *step < ended).map(|(_, most)| *most).max();
        let limit = learned.unwrap_or(FIRST_LIMIT);
        let step = most.entry((letter, at.0 / STEP.0)).or_default();
        *step = (*step).max(*count);
        match open.get_mut(&word) {
            Some((last, peak)) => (*last, *peak) = (at, (*peak).max(*count)),
            None if *count > limit => {
                open.insert(word.clone(), (at, *count));
                lines.push((at, word.clone(), format!("{at} {word} {id} {count} > {limit}")));
            }
            None => {}
        }
    }
    close(Micros(u64::MAX), &mut open, &mut lines);
    lines.sort();
    lines.into_iter().map(|(_, _, line)| line).collect()
}
