//! What comes out of a seed? Numbers as good as random.
#![allow(dead_code, reason = "not every test draws everything")]

use headroom::time::Duration;
use headroom::units::Amps;

/// Numbers that are as good as random (splitmix64), the same for a seed on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0xA076_1D64_78BD_642F) ^ 0xE703_7ED1_A0B4_28DB)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut key = self.0;
        key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        key ^ (key >> 31)
    }

    /// Both ends included.
    pub fn from(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (most - least + 1).max(1) as u64) as i64
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.from(0, of.len() as i64 - 1) as usize]
    }

    /// True so many times of a hundred.
    pub fn chance(&mut self, percent: i64) -> bool {
        self.from(1, 100) <= percent
    }

    /// A tenth of an ampere exactly; both ends included.
    pub fn amps(&mut self, least: i32, most: i32) -> Amps {
        Amps::milli(self.from(i64::from(least) * 10, i64::from(most) * 10) as i32 * 100)
    }

    /// A tenth of a second exactly; both ends included.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.from(least as i64 / 100, most as i64 / 100) as u64 * 100)
    }
}
