//! A source of records whose times are known beforehand: each is sent when the horizon passes it. Its watermark is the
//! horizon, so nothing waits for it. After a restore it sends everything again, from the beginning of time.

use crate::coordinator::message::Announcement;
use crate::keyed::Sendable;
use crate::time::{Micros, Stamp};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};

/// Sends `records`, given in order of time, on this worker. Their times are whole milliseconds; `first` is the first
/// stamp that a horizon will be announced for.
pub fn scheduled<'s, R: Sendable>(
    scope: Scope<'s, Stamp>,
    announcements: StreamVec<'s, Stamp, Announcement>,
    first: Stamp,
    records: Vec<(Micros, R)>,
) -> StreamVec<'s, Stamp, R> {
    let mut builder = OperatorBuilder::new("scheduled".to_owned(), scope);
    let mut heard = builder.new_input(announcements, Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<R>>>::from(output);
    builder.build(move |capabilities| {
        let mut records = records.into_iter().peekable();
        let mut start = capabilities.into_iter().next();
        move |_frontiers| {
            let mut output = output.activate();
            let mut due = |before: Stamp| {
                let mut due = Vec::new();
                while let Some((_, record)) = records.next_if(|(at, _)| at.stamp() < before) {
                    due.push(record);
                }
                due
            };
            if let Some(capability) = start.take() {
                output.session(&capability).give_container(&mut due(first));
            }
            heard.for_each(|capability, announcements| {
                for announcement in announcements.drain(..) {
                    if let Announcement::Advance { horizon, .. } = announcement {
                        output.session(&capability).give_container(&mut due(horizon));
                    }
                }
            });
        }
    });
    stream
}
