//! Chance as an input: independent streams, each named by (seed, topic, two numbers). A stream does not depend on how
//! many draws another one made, so one more scenario does not change anybody's Monday. Integers only: the same draws
//! on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Topic {
    Person = 1,
    Day = 2,
    Hour = 3,
    Plant = 4,
    Cast = 5,
    Tor = 6,
}

/// One stream of draws.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn of(seed: u64, topic: Topic, a: u64, b: u64) -> Self {
        let mut key = [0; 32];
        for (slot, word) in key.chunks_exact_mut(8).zip([seed, topic as u64, a, b]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        Dice(ChaCha8Rng::from_seed(key))
    }

    /// A number below `n` (at least 1), each as likely as the next to within 2^-32 for the small `n` used here.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n.max(1))) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `per_mille` of a thousand draws.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of a list that is not empty.
    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// Brings a list into a random order.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// A bijection of 64-bit numbers (the finaliser of SplitMix64): what goes in once comes out once.
pub(super) const fn scramble(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
