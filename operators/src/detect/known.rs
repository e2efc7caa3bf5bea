//! The marks of a user as each who asks for them has learned them. Owned here: who asks, and how histories that hardly
//! ever differ are kept. Whether somebody may learn from an event is decided where events are applied.
//!
//! Each rule that looks at marks has a history of its own, which grows by what that rule itself found nothing in, so no
//! rule's findings change another's. Decision asks what was known outside any case, so its history grows by what none
//! found anything in. All of them start as one list, and somebody gets a copy only when something is kept from them
//! that the others learn, until the copy says the same again.

use super::client::Print;
use super::marks::KnownMarks;
use crate::model::anomaly::MarkKind;
use crate::model::reason::Reason;
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who asks what a user is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asker {
    /// Decision, of the marks that an anomaly carries.
    Decision,
    /// The rule of a reason.
    Rule(Reason),
}

impl Asker {
    /// All of them.
    pub const ALL: [Asker; 7] = [
        Asker::Decision,
        Asker::Rule(Reason::IpAddress),
        Asker::Rule(Reason::UserAgent),
        Asker::Rule(Reason::UnexpectedUserAgent),
        Asker::Rule(Reason::UnexpectedClient),
        Asker::Rule(Reason::UnexpectedScraping),
        Asker::Rule(Reason::UnexpectedAdminAction),
    ];

    fn name(self) -> &'static str {
        match self {
            Asker::Decision => "decision",
            Asker::Rule(reason) => reason.code(),
        }
    }
}

/// What a user is known by. At most one list for all and one for each who asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Learned from everything that anybody may learn from.
    all: KnownMarks,
    /// The lists of those from whom something was kept.
    #[serde(with = "super::short")]
    apart: Vec<(Asker, KnownMarks)>,
}

impl Known {
    /// The marks as this one has learned them.
    pub fn to(&self, asker: Asker) -> &KnownMarks {
        self.apart.iter().find(|(other, _)| *other == asker).map_or(&self.all, |(_, marks)| marks)
    }

    /// As [`KnownMarks::learn`], for all but those from whom it is kept.
    pub fn learn(&mut self, kind: MarkKind, print: Print, today: u16, kept_from: &[Asker]) -> bool {
        self.teach(kept_from, |marks| marks.learn(kind, print, today))
    }

    /// As [`KnownMarks::inherit`], for all but those from whom it is kept.
    pub fn inherit(&mut self, kind: MarkKind, from: Print, to: Print, today: u16, kept_from: &[Asker]) -> bool {
        self.teach(kept_from, |marks| marks.inherit(kind, from, to, today))
    }

    fn teach(&mut self, kept_from: &[Asker], lesson: impl Fn(&mut KnownMarks) -> bool) -> bool {
        let before = (!kept_from.is_empty()).then(|| self.all.clone());
        let evicted = lesson(&mut self.all);
        for (asker, marks) in &mut self.apart {
            if !kept_from.contains(asker) {
                lesson(marks);
            }
        }
        if let Some(before) = before.filter(|before| *before != self.all) {
            for asker in kept_from {
                if !self.is_apart(*asker) {
                    self.apart.push((*asker, before.clone()));
                }
            }
        }
        let Known { all, apart } = self;
        apart.retain(|(_, marks)| !marks.serves_as(all));
        evicted
    }

    fn is_apart(&self, asker: Asker) -> bool {
        self.apart.iter().any(|(other, _)| *other == asker)
    }

    /// The marks as decision has them, for people, and beside them the lists of the rules that have them otherwise.
    pub fn view(&self, now: Micros) -> (Value, Value) {
        let apart = self.apart.iter().filter(|(asker, _)| *asker != Asker::Decision);
        let others = apart.map(|(asker, marks)| (asker.name().to_owned(), marks.view(now)));
        let mut others: serde_json::Map<String, Value> = others.collect();
        if self.is_apart(Asker::Decision) {
            others.insert("others".to_owned(), self.all.view(now));
        }
        (self.to(Asker::Decision).view(now), json!(others))
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        let apart: usize = self.apart.iter().map(|(_, marks)| marks.weight()).sum();
        self.all.weight() + self.apart.capacity() * size_of::<(Asker, KnownMarks)>() + apart
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MARK_IDLE_DAYS;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const KINDS: [MarkKind; 3] = [MarkKind::Tls, MarkKind::Client, MarkKind::Network];

    #[test]
    fn everybody_knows_what_a_list_of_their_own_would_say() {
        let (mut joined, mut parted) = (0, 0);
        for seed in 0..60u64 {
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            let (mut known, mut plain) = (Known::default(), Asker::ALL.map(|_| KnownMarks::default()));
            let (prints, often) = (dice.random_range(3..30), dice.random_range(2..40));
            let mut today = 100;
            for _ in 0..600 {
                today += u16::from(dice.random_range(0..6) == 0);
                today += if dice.random_range(0..300) == 0 { MARK_IDLE_DAYS } else { 0 };
                let any = dice.random_range(0..often) == 0;
                let kept_from: Vec<Asker> =
                    Asker::ALL.into_iter().filter(|_| any && dice.random_range(0..3) == 0).collect();
                let (kind, print) = (KINDS[dice.random_range(0..3)], Print(dice.random_range(1..prints)));
                let from = (dice.random_range(0..9) == 0).then(|| Print(dice.random_range(1..prints)));
                let before = known.apart.len();
                for (_, own) in Asker::ALL.iter().zip(&mut plain).filter(|(asker, _)| !kept_from.contains(asker)) {
                    match from {
                        Some(from) => own.inherit(kind, from, print, today),
                        None => own.learn(kind, print, today),
                    };
                }
                match from {
                    Some(from) => known.inherit(kind, from, print, today, &kept_from),
                    None => known.learn(kind, print, today, &kept_from),
                };
                parted += usize::from(known.apart.len() > before);
                joined += usize::from(known.apart.len() < before);
                for (asker, own) in Asker::ALL.iter().zip(&plain) {
                    let shared = known.to(*asker);
                    for (kind, print) in KINDS.iter().flat_map(|kind| (1..prints).map(|print| (*kind, Print(print)))) {
                        assert_eq!(shared.has(kind, print, today), own.has(kind, print, today), "seed {seed}");
                        assert_eq!(shared.knows(kind, print, today), own.knows(kind, print, today), "seed {seed}");
                    }
                }
            }
        }
        assert!(parted > 100 && joined > 30, "{parted} parted, {joined} joined again");
    }

    #[test]
    fn nothing_is_copied_for_what_would_teach_nothing() {
        let mut known = Known::default();
        known.learn(MarkKind::Tls, Print(1), 10, &[]);
        known.learn(MarkKind::Tls, Print(1), 10, &Asker::ALL);
        assert!(known.apart.is_empty());
        known.learn(MarkKind::Tls, Print(1), 11, &[Asker::Decision]);
        assert_eq!(known.apart.len(), 1);
    }
}
