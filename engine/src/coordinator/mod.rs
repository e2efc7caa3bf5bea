//! The coordinator: one operator, active on worker 0, that moves the horizon, asks for snapshots and publishes them,
//! and ends the job. It hears frontiers and answers, and speaks by announcements; `conduct` decides, this file wires.

pub mod conduct;
pub mod message;

use crate::time::Stamp;
use conduct::{Conductor, Step};
use message::{Announcement, Answer, Progress};
use std::time::Duration;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};
use timely::progress::frontier::MutableAntichain;

/// How often the coordinator looks at the clock.
const TICK: Duration = Duration::from_millis(10);

/// Builds the operator. Its output is to be broadcast and fed back to everyone who listens.
pub fn coordinator<'s>(
    scope: Scope<'s, Stamp>,
    progress: StreamVec<'s, Stamp, Progress>,
    applied: StreamVec<'s, Stamp, ()>,
    answers: StreamVec<'s, Stamp, Answer>,
    conductor: Option<Conductor>,
) -> StreamVec<'s, Stamp, Announcement> {
    let mut builder = OperatorBuilder::new("coordinator".to_owned(), scope);
    // No input is connected to the output, so the loop through sources and operators is no cycle of time.
    let mut progress = builder.new_input_connection(progress, Exchange::new(|_: &Progress| 0), vec![]);
    let mut applied = builder.new_input_connection(applied, Pipeline, vec![]);
    let mut answers = builder.new_input_connection(answers, Exchange::new(|_: &Answer| 0), vec![]);
    let (output, announcements) = builder.new_output_connection(vec![]);
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Announcement>>>::from(output);
    let activator = scope.activator_for(builder.operator_info().address);

    // Kept until it is done: the last snapshot is published when all time has passed.
    builder.build_reschedule(move |capabilities| {
        let mut conductor = conductor;
        let mut capability = conductor.is_some().then(|| capabilities.into_iter().next()).flatten();
        move |frontiers| {
            let (mut reports, mut heard) = (Vec::new(), Vec::new());
            progress.for_each(|_, data| reports.append(data));
            applied.for_each(|_, data| data.clear());
            answers.for_each(|_, data| heard.append(data));
            let Some(conductor) = &mut conductor else { return false };
            conductor.hear(reports, heard);
            let steps = conductor.conduct(first(&frontiers[0]), first(&frontiers[1]));
            let mut output = output.activate();
            for step in steps {
                take(step, &mut capability, |capability, announcement| {
                    output.session(capability).give(announcement);
                });
            }
            if conductor.done() {
                return false;
            }
            activator.activate_after(TICK);
            true
        }
    });
    announcements
}

fn first(frontier: &MutableAntichain<Stamp>) -> Option<Stamp> {
    frontier.frontier().first().copied()
}

fn take(
    step: Step,
    capability: &mut Option<Capability<Stamp>>,
    mut announce: impl FnMut(&Capability<Stamp>, Announcement),
) {
    let Some(held) = capability else { return };
    match step {
        Step::Announce(announcement) => announce(held, announcement),
        Step::Release(horizon) => held.downgrade(&horizon),
        Step::AnnounceLast(announcement) => {
            held.downgrade(&Stamp::MAX);
            announce(held, announcement);
            *capability = None;
        }
    }
}
