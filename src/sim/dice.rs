//! What does chance decide? Numbers as good as random, the same for a seed on every machine.

/// A seeded sequence (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of this seed; each `stream` is one of its own.
    pub fn new(seed: u64, stream: u64) -> Self {
        Dice(scramble(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ scramble(stream)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.0)
    }

    /// Both ends included; `least` where `most` is below it.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (most - least + 1).max(1) as u64) as i64
    }

    /// At least 0, below 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True so many times of 1.
    pub fn chance(&mut self, share: f64) -> bool {
        self.share() < share
    }
}

/// A number as good as random from one that is not (the finaliser of splitmix64).
pub fn scramble(mut key: u64) -> u64 {
    key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    key ^ (key >> 31)
}
