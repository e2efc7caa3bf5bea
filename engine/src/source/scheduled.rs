//! A source of records whose times are known beforehand: each is sent when the horizon passes it. Its watermark is the
//! horizon, so nothing waits for it. After a restore it sends everything again, from the beginning of time. Records may
//! also come while the job runs; they get their time here, at the horizon, and are known beforehand from then on.

use crate::coordinator::message::Announcement;
use crate::error::Error;
use crate::fault::Poison;
use crate::keyed::Sendable;
use crate::time::{Micros, Stamp};
use std::collections::VecDeque;
use std::iter::Peekable;
use std::sync::{Arc, Mutex, PoisonError};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};

/// Records that come in while a job runs. It is asked on one worker, each time the horizon may move, and must not wait.
pub trait Arrivals<R>: Send {
    /// What has come in since the last call, each with the time at which it takes effect, in whole milliseconds: not
    /// before `present`. The times are durable on return; after a restart each record is among those known beforehand,
    /// with the time that it was given.
    ///
    /// # Errors
    /// As the store of the times fails. The job stops then, and what came in is lost or stored with its time.
    fn take(&mut self, present: Micros) -> Result<Vec<(Micros, R)>, Error>;
}

/// Where records come in, if they can.
pub type Inbox<R> = Option<Arc<Mutex<dyn Arrivals<R>>>>;

/// Records with their times, in order of time. They are made as they fall due.
pub type Known<R> = Box<dyn Iterator<Item = (Micros, R)>>;

/// Records that wait for the horizon.
struct Waiting<R> {
    known: Peekable<Known<R>>,
    /// What has come in, in order of time.
    came: VecDeque<(Micros, R)>,
    inbox: Inbox<R>,
}

impl<R> Waiting<R> {
    /// Takes in what has come, at `present` or later.
    fn take_in(&mut self, present: Stamp) -> Result<(), Error> {
        let Some(inbox) = &self.inbox else { return Ok(()) };
        let arrived = inbox.lock().unwrap_or_else(PoisonError::into_inner).take(Micros::from_stamp(present))?;
        if let Some((at, _)) = arrived.iter().find(|(at, _)| at.stamp() < present) {
            return Err(Error::Fault(format!("a record came in for {at}, which is over")));
        }
        if !arrived.is_empty() {
            self.came.extend(arrived);
            self.came.make_contiguous().sort_by_key(|(at, _)| *at);
        }
        Ok(())
    }

    /// What takes effect before this, in order of time.
    fn due(&mut self, before: Stamp) -> impl Iterator<Item = R> {
        let is_due = move |(at, _): &(Micros, R)| at.stamp() < before;
        std::iter::from_fn(move || {
            let of_known = self.known.peek().map(|(at, _)| *at);
            let of_came = self.came.front().map(|(at, _)| *at);
            let next = match (of_known, of_came) {
                (Some(known), Some(came)) if came < known => self.came.pop_front_if(|next| is_due(next)),
                (None, Some(_)) => self.came.pop_front_if(|next| is_due(next)),
                _ => self.known.next_if(is_due),
            };
            next.map(|(_, record)| record)
        })
    }
}

/// Sends what is `known`, and what comes into `inbox`, on this worker. Their times are whole
/// milliseconds; `first` is the first stamp that a horizon will be announced for.
pub fn scheduled<'s, R: Sendable>(
    scope: Scope<'s, Stamp>,
    announcements: StreamVec<'s, Stamp, Announcement>,
    first: Stamp,
    known: Known<R>,
    inbox: Inbox<R>,
    poison: Poison,
) -> StreamVec<'s, Stamp, R> {
    let mut builder = OperatorBuilder::new("scheduled".to_owned(), scope);
    let mut heard = builder.new_input(announcements, Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<R>>>::from(output);
    builder.build(move |capabilities| {
        let mut waiting = Waiting { known: known.peekable(), came: VecDeque::new(), inbox };
        let mut start = capabilities.into_iter().next();
        move |_frontiers| {
            let mut output = output.activate();
            if let Some(capability) = start.take() {
                output.session(&capability).give_iterator(waiting.due(first));
            }
            heard.for_each(|capability, announcements| {
                for announcement in announcements.drain(..) {
                    let (Announcement::Advance { horizon, .. }, Some(present)) = (announcement, capability.least())
                    else {
                        continue;
                    };
                    // The horizon still stands there, so nothing later has been applied.
                    if poison.check(waiting.take_in(*present)).is_some() {
                        output.session(&capability).give_iterator(waiting.due(horizon));
                    }
                }
            });
        }
    });
    stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use timely::dataflow::operators::{Input, Inspect, Probe};

    /// What came in, without a time of its own, and what was given one.
    #[derive(Default)]
    struct Post {
        came: Vec<(u64, &'static str)>,
        broken: bool,
    }

    impl Arrivals<String> for Post {
        fn take(&mut self, present: Micros) -> Result<Vec<(Micros, String)>, Error> {
            let dated = |(own, text): (u64, &str)| (Micros::from_stamp(own).max(present), text.to_owned());
            match self.broken {
                true => Err(Error::Unavailable("no post today".to_owned())),
                false => Ok(self.came.drain(..).map(dated).collect()),
            }
        }
    }

    /// Lets the horizon stand at each of these in turn, with what comes in by then; what is sent meanwhile, with the
    /// stamp that it is sent under.
    fn sent(first: Stamp, known: &[(u64, &str)], steps: Vec<(Stamp, Vec<(u64, &'static str)>)>) -> Vec<Vec<String>> {
        let known: Vec<_> = known.iter().map(|(at, text)| (Micros::from_stamp(*at), (*text).to_owned())).collect();
        timely::execute_directly(move |worker| {
            let (post, poison) = (Arc::new(Mutex::new(Post::default())), Poison::default());
            let seen = Arc::new(Mutex::new(Vec::new()));
            let (inbox, heard) = (post.clone() as Arc<Mutex<dyn Arrivals<String>>>, seen.clone());
            let (mut coordinator, probe) = worker.dataflow::<Stamp, _, _>(|scope| {
                let (input, announcements) = scope.new_input::<Vec<Announcement>>();
                let stream =
                    scheduled(scope, announcements, first, Box::new(known.into_iter()), Some(inbox), poison.clone());
                let stream = stream.inspect_core(move |event| {
                    let Ok((stamp, texts)) = event else { return };
                    let stamp = stamp.least().unwrap();
                    heard.lock().unwrap().extend(texts.iter().map(|text| format!("{text}@{stamp}")));
                });
                (input, stream.probe().0)
            });
            coordinator.advance_to(first);
            let mut rounds = Vec::new();
            for (horizon, came) in steps {
                post.lock().unwrap().came.extend(came);
                coordinator.send(Announcement::Advance { horizon, read_to: 0, sources: 0, idle_to: None });
                coordinator.advance_to(horizon);
                worker.step_while(|| probe.less_than(&horizon));
                rounds.push(std::mem::take(&mut *seen.lock().unwrap()));
            }
            assert!(!poison.is_set());
            rounds
        })
    }

    #[test]
    fn what_comes_in_takes_effect_at_its_time_or_at_the_horizon_and_in_order() {
        let known = [(0, "old"), (12, "known")];
        let steps =
            vec![(10, vec![]), (20, vec![(3, "past"), (25, "future"), (15, "due")]), (30, vec![]), (40, vec![])];
        let rounds = sent(5, &known, steps);
        assert_eq!(rounds, [vec!["old@0"], vec!["past@10", "known@10", "due@10"], vec!["future@20"], vec![]]);
    }

    #[test]
    fn after_a_restart_the_same_comes_with_the_times_that_were_given() {
        let known = [(0, "old"), (10, "past"), (12, "known"), (15, "due"), (25, "future")];
        let rounds = sent(13, &known, vec![(20, vec![]), (30, vec![])]);
        assert_eq!(rounds, [vec!["old@0", "past@0", "known@0", "due@13"], vec!["future@20"]]);
    }

    #[test]
    fn a_store_that_fails_or_a_time_that_is_over_stops_the_job() {
        let post = |broken| Post { came: vec![(3, "late")], broken };
        let mut waiting = Waiting {
            known: (Box::new(std::iter::empty()) as Known<String>).peekable(),
            came: VecDeque::new(),
            inbox: Some(Arc::new(Mutex::new(post(true)))),
        };
        assert!(matches!(waiting.take_in(5), Err(Error::Unavailable(_))));
        struct Hasty;
        impl Arrivals<String> for Hasty {
            fn take(&mut self, present: Micros) -> Result<Vec<(Micros, String)>, Error> {
                Ok(vec![(Micros(present.0 - 1), String::new())])
            }
        }
        waiting.inbox = Some(Arc::new(Mutex::new(Hasty)));
        assert!(matches!(waiting.take_in(5), Err(Error::Fault(_))));
        assert!(waiting.due(Stamp::MAX).next().is_none());
    }
}
