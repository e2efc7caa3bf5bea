//! The trailing distribution of every org and what its quantile is, maintained by differential dataflow: a change costs
//! what it touches, not what there is. Holds no state of its own across a restart; [`super::histograms`] fills it again.

use super::{Delta, Quantile, Subject, buckets};
use crate::limits::QUANTILE_PERMILLE;
use differential_dataflow::AsCollection;
use engine::time::Micros;
use timely::dataflow::Stream;
use timely::dataflow::operators::vec::{Filter, Map};

/// From changes of distributions to changes of their quantiles, at the same times.
///
/// Every distribution that is to reach zero samples must hold the sentinel; of one that vanishes nothing is said.
pub fn distribution<'scope>(deltas: Stream<'scope, u64, Vec<Delta>>) -> Stream<'scope, u64, Vec<Quantile>> {
    deltas
        .map(|delta: Delta| {
            let Delta { at, org, subject, bucket, change } = delta;
            (((org, subject), bucket), at.stamp(), change as isize)
        })
        .as_collection()
        .reduce_named("Quantile", |_: &(String, Subject), input: &[(&u16, isize)], output: &mut Vec<(_, isize)>| {
            let counts = input.iter().map(|(bucket, count)| (**bucket, *count as i64));
            output.push((buckets::quantile(counts, QUANTILE_PERMILLE), 1));
        })
        .inner
        .filter(|(_, _, change)| *change > 0)
        .map(|(((org, subject), (value, samples)), stamp, _)| Quantile {
            at: Micros::from_stamp(stamp),
            org,
            subject,
            value,
            samples,
        })
}
