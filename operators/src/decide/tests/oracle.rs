//! Decide against a slow version that keeps all there ever was and applies the rules by their words.

use super::*;
use crate::model::control::Ended;

/// A response, or a dry run of one.
struct Past {
    user: String,
    at: Micros,
    /// What is known of the sessions; `None` while nothing else was said.
    ended: Option<Ended>,
    /// Of which anomaly; none of a dry run.
    anomaly: Option<Id>,
}

/// All that happened to one org.
#[derive(Default)]
struct Oracle {
    past: Vec<Past>,
    latched: Option<Micros>,
    resumed: Option<Micros>,
}

const DAY: Span = Span::from_hours(24);

impl Oracle {
    /// Responses to a user that count: those that came to nothing do not.
    fn counted(&self, user: &str) -> impl Iterator<Item = &Past> {
        self.past.iter().filter(move |past| past.user == user && past.ended != Some(Ended::No))
    }

    fn judge(&mut self, anomaly: &Anomaly, dry: bool, latch: bool) -> Outcome {
        let (user, now) = (&*anomaly.user, anomaly.at);
        let since = anomaly.time.min(anomaly.first_seen);
        let is_over = |past: &Past| past.ended != Some(Ended::Unknown) && since <= past.at;
        if self.counted(user).any(is_over) {
            return Outcome::AlreadyAnswered;
        }
        let recent: Vec<Micros> = self.counted(user).map(|past| past.at).filter(|at| now.since(*at) < DAY).collect();
        let last = recent.iter().max().copied();
        let honest = anomaly.marks.iter().all(|mark| mark.known || mark.kind == MarkKind::Network);
        let minutes = last.map(|last| now.since(last).0 / 60_000_000);
        let held = match (honest, recent.len()) {
            (_, 0) => false,
            (true, 1) => minutes < Some(10),
            (true, 2) => minutes < Some(60),
            (true, _) => true,
            (false, many) => many >= 10,
        };
        if held {
            return Outcome::LoopProtected;
        }
        let within = |past: &&Past| {
            past.ended != Some(Ended::No)
                && now.since(past.at) < Span::from_hours(1)
                && self.resumed.is_none_or(|resumed| past.at >= resumed)
        };
        let people: std::collections::BTreeSet<&str> =
            self.past.iter().filter(within).map(|past| &*past.user).collect();
        if self.latched.is_some() || (!people.contains(user) && people.len() >= 10) {
            if latch && !dry {
                self.latched.get_or_insert(now);
            }
            return Outcome::RateLimited;
        }
        self.past.push(Past { user: user.into(), at: now, ended: None, anomaly: (!dry).then(|| anomaly.id.clone()) });
        if dry { Outcome::Shadow } else { Outcome::Responded }
    }

    fn settle(&mut self, user: &str, anomaly: &Id, ended: Ended, now: Micros) {
        let counts = |past: &&mut Past| {
            past.user == user && past.anomaly.as_ref() == Some(anomaly) && past.ended != Some(Ended::No)
        };
        let known = self.past.iter_mut().find(counts);
        let was_known = known.is_some();
        if let Some(past) = known {
            past.ended = Some(if ended == Ended::AfterAll { Ended::No } else { ended });
        }
        let ended = match ended {
            Ended::AfterAll => None,
            Ended::Unknown if !was_known => Some(Ended::Unknown),
            _ => return,
        };
        self.past.push(Past { user: user.into(), at: now, ended, anomaly: Some(anomaly.clone()) });
    }
}

/// What happens, a step a minute or so.
enum Step {
    Anomaly(Box<Anomaly>),
    Settled(String, Id, Ended),
    Resume,
    Shadow(bool),
}

fn steps(dice: &mut ChaCha8Rng) -> Vec<(Micros, Step)> {
    let (mut secs, mut steps, mut seen) = (0u64, Vec::new(), Vec::<(String, Id)>::new());
    // As users leave and come in turn, limits of the org and of single people are both reached.
    let people = [3, 16][dice.random_range(0..2)];
    for n in 0..500u64 {
        secs += [1, 30, 240, 1_500, 9_000][dice.random_range(0..5)] + dice.random_range(0..60);
        let now = at(100_000 + secs);
        let step = match dice.random_range(0..20) {
            0 => Step::Resume,
            1 => Step::Shadow(dice.random_bool(0.3)),
            2..=5 if !seen.is_empty() => {
                let (user, id) = seen[seen.len() - 1 - dice.random_range(0..seen.len().min(8))].clone();
                Step::Settled(user, id, [Ended::No, Ended::Unknown, Ended::AfterAll][dice.random_range(0..3)])
            }
            _ => {
                let user = format!("U{}", dice.random_range(0..people));
                let known = dice.random_bool(0.4);
                let id = Id::of("step", &[&n.to_le_bytes()]);
                seen.push((user.clone(), id.clone()));
                let ago = |dice: &mut ChaCha8Rng| Span::from_secs([0, 0, 60, 4_000][dice.random_range(0..4)]);
                let marks = vec![Mark { kind: MarkKind::Tls, known }, Mark { kind: MarkKind::Network, known: false }];
                let (first_seen, time) = (now.minus(ago(dice)), now.minus(ago(dice)));
                let anomaly = anomaly(0, &[Reason::Tor]);
                Step::Anomaly(Box::new(Anomaly { id, at: now, time, first_seen, user, marks, ..anomaly }))
            }
        };
        steps.push((now, step));
    }
    steps
}

#[test]
fn decisions_are_those_of_a_version_that_forgets_nothing() {
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..60u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let latch = dice.random_bool(0.5);
        let (mut oracle, mut records, mut expected, mut dry) = (Oracle::default(), Vec::new(), Vec::new(), false);
        for (now, step) in steps(&mut dice) {
            match step {
                Step::Anomaly(anomaly) => {
                    expected.push(oracle.judge(&anomaly, dry, latch).name());
                    records.push((*anomaly).into());
                }
                Step::Settled(user, id, ended) => {
                    oracle.settle(&user, &id, ended, now);
                    let response = Id::of("response", &[id.as_str().as_bytes()]);
                    records.push(DecideRecord::user(now, "E1", &user, UserChange::Settled { response, ended }));
                }
                Step::Resume => {
                    if oracle.latched.take().is_some() {
                        oracle.resumed = Some(now);
                    }
                    records.push(DecideRecord::org(now, "E1", OrgChange::Resume { at: now }));
                }
                Step::Shadow(on) => {
                    dry = on;
                    let switch = Some(Switch { on, reasons: None });
                    records.push(DecideRecord::org(now, "E1", OrgChange::Shadow { position: 0, switch }));
                }
            }
        }
        let found = said(records, latch).0;
        assert_eq!(names(&found), expected, "seed {seed}, latch {latch}");
        expected.into_iter().for_each(|name| *reached.entry(name).or_default() += 1);
    }
    assert_eq!(reached.len(), 5, "{reached:?}");
}
