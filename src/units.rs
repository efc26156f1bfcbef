//! What is a current, a power, a phase? Integers inside, units in the names.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Index, IndexMut, Neg, Sub, SubAssign};

/// An RMS current in milliamperes; import is positive. ±2 MA is far beyond any site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amps(i32);

impl Amps {
    /// No current.
    pub const ZERO: Amps = Amps(0);
    /// The least current a charger may announce by the control pilot (IEC 61851-1, table A.7): 6 A.
    pub const PILOT_LEAST: Amps = Amps(6_000);

    /// Whole amperes.
    pub const fn whole(amps: i32) -> Self {
        Amps(amps.saturating_mul(1000))
    }

    /// Milliamperes.
    pub const fn milli(milliamps: i32) -> Self {
        Amps(milliamps)
    }

    /// From a measured or configured number of amperes; `None` when it is not finite or beyond ±100 kA.
    pub fn from_f64(amps: f64) -> Option<Self> {
        (amps.is_finite() && amps.abs() <= 100_000.0).then(|| Amps((amps * 1000.0).round() as i32))
    }

    /// The number of milliamperes.
    pub const fn as_milli(self) -> i32 {
        self.0
    }

    /// As a number of amperes, for people and protocols.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// Rounded down to a multiple of `step` (which is above zero); zero stays zero.
    pub fn floor_to(self, step: Amps) -> Self {
        if step.0 <= 0 { self } else { Amps(self.0.div_euclid(step.0) * step.0) }
    }

    /// `self × numerator ÷ denominator` without overflow; zero for a zero denominator.
    pub fn scaled(self, numerator: i64, denominator: i64) -> Self {
        if denominator == 0 {
            return Amps(0);
        }
        let wide = i64::from(self.0) * numerator / denominator;
        Amps(wide.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
    }

    /// The magnitude.
    pub const fn abs(self) -> Self {
        Amps(self.0.saturating_abs())
    }

    /// Is there a current that counts as more than none?
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }
}

impl Add for Amps {
    type Output = Amps;
    fn add(self, other: Amps) -> Amps {
        Amps(self.0.saturating_add(other.0))
    }
}

impl Sub for Amps {
    type Output = Amps;
    fn sub(self, other: Amps) -> Amps {
        Amps(self.0.saturating_sub(other.0))
    }
}

impl Neg for Amps {
    type Output = Amps;
    fn neg(self) -> Amps {
        Amps(self.0.saturating_neg())
    }
}

impl AddAssign for Amps {
    fn add_assign(&mut self, other: Amps) {
        *self = *self + other;
    }
}

impl SubAssign for Amps {
    fn sub_assign(&mut self, other: Amps) {
        *self = *self - other;
    }
}

impl Sum for Amps {
    fn sum<I: Iterator<Item = Amps>>(iter: I) -> Amps {
        iter.fold(Amps::ZERO, Add::add)
    }
}

/// As people write it: `9 A`, `12.5 A`.
impl fmt::Display for Amps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (f64::from(self.0) / 100.0).round() as i64;
        if tenths % 10 == 0 { write!(f, "{} A", tenths / 10) } else { write!(f, "{:.1} A", tenths as f64 / 10.0) }
    }
}

/// Serialised as a number of amperes for people; as milliamperes, exact and short, where no person reads it.
impl Serialize for Amps {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_f64(self.as_f64())
        } else {
            serializer.serialize_i32(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Amps {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i32::deserialize(deserializer).map(Amps);
        }
        let amps = f64::deserialize(deserializer)?;
        Amps::from_f64(amps).ok_or_else(|| serde::de::Error::custom("a current in amperes within ±100000"))
    }
}

/// A phase conductor of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The first.
    L1,
    /// The second.
    L2,
    /// The third.
    L3,
}

impl Phase {
    /// All three, in order.
    pub const ALL: [Phase; 3] = [Phase::L1, Phase::L2, Phase::L3];

    /// 0, 1 or 2.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::L1 => "L1",
            Phase::L2 => "L2",
            Phase::L3 => "L3",
        })
    }
}

/// One value for each phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PerPhase<T>(pub [T; 3]);

impl<T: Copy> PerPhase<T> {
    /// The same on every phase.
    pub const fn all(value: T) -> Self {
        PerPhase([value; 3])
    }
}

impl<T> PerPhase<T> {
    /// Built phase by phase.
    pub fn from_fn(mut value: impl FnMut(Phase) -> T) -> Self {
        PerPhase([value(Phase::L1), value(Phase::L2), value(Phase::L3)])
    }
}

impl PerPhase<Amps> {
    /// The largest of the three.
    pub fn most(&self) -> Amps {
        self.0.iter().copied().max().unwrap_or_default()
    }
}

impl<T> Index<Phase> for PerPhase<T> {
    type Output = T;
    fn index(&self, phase: Phase) -> &T {
        &self.0[phase.index()]
    }
}

impl<T> IndexMut<Phase> for PerPhase<T> {
    fn index_mut(&mut self, phase: Phase) -> &mut T {
        &mut self.0[phase.index()]
    }
}

/// Which phases something uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PhaseSet(u8);

impl PhaseSet {
    /// None.
    pub const NONE: PhaseSet = PhaseSet(0);
    /// All three.
    pub const ALL: PhaseSet = PhaseSet(0b111);

    /// Just this one.
    pub const fn one(phase: Phase) -> Self {
        PhaseSet(1 << phase.index())
    }

    /// With this one added.
    #[must_use]
    pub const fn with(self, phase: Phase) -> Self {
        PhaseSet(self.0 | 1 << phase.index())
    }

    /// Is it among them?
    pub const fn contains(self, phase: Phase) -> bool {
        self.0 & (1 << phase.index()) != 0
    }

    /// Do both use some phase?
    pub const fn meets(self, other: PhaseSet) -> bool {
        self.0 & other.0 != 0
    }

    /// How many.
    pub const fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |phase| self.contains(*phase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amperes_are_written_as_people_write_them() {
        assert_eq!(Amps::whole(9).to_string(), "9 A");
        assert_eq!(Amps::milli(12_460).to_string(), "12.5 A");
        assert_eq!(Amps::milli(-500).to_string(), "-0.5 A");
    }

    #[test]
    fn a_reading_that_is_no_number_is_no_current() {
        assert_eq!(Amps::from_f64(f64::NAN), None);
        assert_eq!(Amps::from_f64(f64::INFINITY), None);
        assert_eq!(Amps::from_f64(1e9), None);
        assert_eq!(Amps::from_f64(6.1234), Some(Amps::milli(6_123)));
    }

    #[test]
    fn rounding_goes_down_to_the_step() {
        assert_eq!(Amps::milli(9_900).floor_to(Amps::whole(1)), Amps::whole(9));
        assert_eq!(Amps::milli(-100).floor_to(Amps::whole(1)), Amps::whole(-1));
    }
}
