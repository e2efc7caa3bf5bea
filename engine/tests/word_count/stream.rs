//! Random streams of words, from a seed that a failing test prints.

/// A small generator with a fixed sequence per seed (SplitMix64).
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a stream is like.
#[derive(Clone, Copy)]
pub struct Shape {
    pub records: u64,
    /// Mean distance in time, in microseconds.
    pub pace: u64,
    /// Each record comes up to this much behind the newest before it.
    pub disorder: u64,
    /// One in this many is late; 0 for none.
    pub late_one_in: u64,
    /// How late at most.
    pub late_by: u64,
}

pub const START: u64 = 1_767_225_600_000_000;

/// Words in the order of one partition: (event time, word, id).
pub fn stream(seed: u64, shape: Shape) -> Vec<(u64, String, String)> {
    let mut dice = Dice(seed);
    let mut now = START;
    let mut out: Vec<(u64, String, String)> = Vec::new();
    for n in 0..shape.records {
        now += dice.below(shape.pace * 2);
        if dice.one_in(400) {
            now += 3_600_000_000 * dice.below(5);
        }
        let mut time = now - dice.below(shape.disorder + 1);
        if shape.late_one_in > 0 && dice.one_in(shape.late_one_in) {
            time = now - dice.below(shape.late_by);
        }
        // A few words come often and in bursts, many rarely.
        let word = if dice.one_in(3) { dice.below(4) } else { dice.below(40) };
        let word = format!("{}{word}", char::from(b'a' + (word % 5) as u8));
        let id = if dice.one_in(20) && n > 0 { n - 1 - dice.below(n.min(5)) } else { n };
        out.push((time, word, format!("i{id}")));
    }
    out
}

/// As lines.
pub fn lines(words: &[(u64, String, String)]) -> Vec<String> {
    words.iter().map(|(time, word, id)| format!("{time} {word} {id}")).collect()
}

/// Scattered over partitions, each in the order of the whole.
pub fn scatter(lines: &[String], partitions: usize, seed: u64) -> Vec<Vec<String>> {
    let mut dice = Dice(seed ^ 0x5ca7);
    let mut out = vec![Vec::new(); partitions];
    for line in lines {
        out[dice.below(partitions as u64) as usize].push(line.clone());
    }
    out
}
