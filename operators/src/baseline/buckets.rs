//! Histogram buckets: log-linear, as in HdrHistogram. Below 32 every count has its own bucket; above, every power of
//! two is cut into 16 equal parts. With e = max(0, floor(log2 count) - 4), count lies in bucket 16 e + (count >> e),
//! and stands for the middle of its bucket, which is off by at most 1/32 of the count.

/// A bucket that holds no count: it keeps a distribution from being empty, so that its end is seen as a change.
pub const SENTINEL: u16 = u16::MAX;

/// The bucket of a count.
pub fn bucket(count: u32) -> u16 {
    let shift = count.checked_ilog2().unwrap_or(0).saturating_sub(4);
    (16 * shift + (count >> shift)) as u16
}

/// The count that a bucket stands for: its middle, rounded down.
pub fn middle(bucket: u16) -> u64 {
    let shift = u32::from(bucket / 16).saturating_sub(1);
    let lower = u64::from(u32::from(bucket) - 16 * shift) << shift;
    lower + ((1 << shift) - 1) / 2
}

/// The nearest-rank quantile of a distribution and its number of samples: the middle of the first bucket up to which at
/// least `permille` thousandths of the samples lie. `buckets` ascend; the sentinel and empty buckets do not count.
pub fn quantile(buckets: impl Iterator<Item = (u16, i64)> + Clone, permille: u64) -> (u64, u64) {
    let counted = buckets.filter(|(bucket, count)| *bucket != SENTINEL && *count > 0);
    let samples: u64 = counted.clone().map(|(_, count)| count as u64).sum();
    let rank = (samples * permille).div_ceil(1_000).max(1);
    let mut below = 0;
    let at_rank = counted.map(|(bucket, count)| (bucket, count as u64)).find(|(_, count)| {
        below += count;
        below >= rank
    });
    (at_rank.map_or(0, |(bucket, _)| middle(bucket)), samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_counts_are_exact_and_buckets_ascend_without_gaps() {
        assert!((0..32).all(|count| u32::from(bucket(count)) == count && middle(bucket(count)) == u64::from(count)));
        assert!((0..100_000).all(|count| matches!(bucket(count + 1) - bucket(count), 0 | 1)));
        assert_eq!(bucket(u32::MAX), 16 * 27 + 31);
    }

    proptest! {
        #[test]
        fn a_bucket_stands_for_its_counts_within_five_percent(count in 1u32..) {
            let stands_for = middle(bucket(count));
            prop_assert!(stands_for.abs_diff(u64::from(count)) * 20 <= u64::from(count));
            prop_assert_eq!(bucket(stands_for as u32), bucket(count));
        }

        #[test]
        fn a_quantile_is_that_of_the_sorted_samples(
            mut samples in prop::collection::vec(0u32..5_000, 1..300),
            permille in 1u64..=1_000,
        ) {
            let mut counts = std::collections::BTreeMap::from([(SENTINEL, 1i64)]);
            for sample in &samples {
                *counts.entry(bucket(*sample)).or_default() += 1;
            }
            samples.sort_unstable();
            let rank = (samples.len() as u64 * permille).div_ceil(1_000) as usize;
            let expected = middle(bucket(samples[rank - 1]));
            let found = quantile(counts.iter().map(|(b, n)| (*b, *n)), permille);
            prop_assert_eq!(found, (expected, samples.len() as u64));
        }
    }

    #[test]
    fn without_samples_there_is_a_zero() {
        assert_eq!(quantile([(SENTINEL, 1), (7, 0)].into_iter(), 990), (0, 0));
    }
}
