//! Which currents can a charger be told? Multiples of one, or a short list.

use crate::units::Amps;
use serde::{Deserialize, Serialize};

/// A charger with more currents than this has them evenly spaced, and is a [`Step::Multiple`].
pub const MOST_LISTED: usize = 8;

/// The currents that an EVSE can be told, besides zero and its least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Multiples of this, which is above zero (1 A, 0.1 A).
    Multiple(Amps),
    /// These and nothing between.
    List(Currents),
}

/// Up to [`MOST_LISTED`] currents, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Currents {
    amps: [Amps; MOST_LISTED],
    len: usize,
}

impl Currents {
    /// `None` where there is none, where there are too many, and where they do not rise from above zero.
    pub fn new(amps: &[Amps]) -> Option<Self> {
        let rise = amps.first().is_some_and(|first| first.is_positive()) && amps.windows(2).all(|two| two[0] < two[1]);
        let mut all = [Amps::ZERO; MOST_LISTED];
        all.get_mut(..amps.len()).filter(|_| rise)?.copy_from_slice(amps);
        Some(Currents { amps: all, len: amps.len() })
    }

    /// The first.
    pub fn least(&self) -> Amps {
        self.amps[0]
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = Amps> + '_ {
        // What is read from outside may say anything.
        self.amps.iter().take(self.len).copied()
    }
}

impl Step {
    /// The greatest that is no more than this; zero below a list's first.
    pub fn floor(&self, amps: Amps) -> Amps {
        match self {
            Step::Multiple(step) => amps.floor_to(*step),
            Step::List(list) => list.iter().rev().find(|listed| *listed <= amps).unwrap_or(Amps::ZERO),
        }
    }

    /// The smallest that is no less than this; a list's last where none is.
    pub fn ceil(&self, amps: Amps) -> Amps {
        match self.floor(amps) {
            floor if floor == amps => amps,
            floor => self.next(amps).unwrap_or(floor),
        }
    }

    /// The smallest that is more than this; `None` above a list's last.
    pub fn next(&self, amps: Amps) -> Option<Amps> {
        match self {
            Step::Multiple(step) => {
                let step = (*step).max(Amps::milli(1));
                Some(amps.floor_to(step) + step)
            }
            Step::List(list) => list.iter().find(|listed| *listed > amps),
        }
    }

    /// The least raise from here that a charger can follow; zero where there is none.
    pub fn rise(&self, from: Amps) -> Amps {
        self.next(from).map_or(Amps::ZERO, |next| next - from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_rounded_down_to_what_stands_in_it() {
        let step = Step::List(Currents::new(&[8, 16, 24, 32].map(Amps::whole)).unwrap());
        assert_eq!([7, 8, 23, 40].map(|amps| step.floor(Amps::whole(amps))), [0, 8, 16, 32].map(Amps::whole));
        assert_eq!([7, 8, 9, 40].map(|amps| step.ceil(Amps::whole(amps))), [8, 8, 16, 32].map(Amps::whole));
        assert_eq!(step.next(Amps::whole(16)), Some(Amps::whole(24)));
        assert_eq!(step.next(Amps::whole(32)), None);
    }

    #[test]
    fn the_next_multiple_is_a_multiple_from_anywhere() {
        let step = Step::Multiple(Amps::whole(1));
        assert_eq!(step.next(Amps::milli(6_500)), Some(Amps::whole(7)));
        assert_eq!([6_500, 7_000].map(|amps| step.ceil(Amps::milli(amps))), [7, 7].map(Amps::whole));
        assert_eq!(step.next(Amps::whole(7)), Some(Amps::whole(8)));
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        for bad in [&[][..], &[8, 8], &[16, 8], &[0, 8], &[1, 2, 3, 4, 5, 6, 7, 8, 9]] {
            let amps: Vec<Amps> = bad.iter().map(|amps| Amps::whole(*amps)).collect();
            assert_eq!(Currents::new(&amps), None, "{bad:?}");
        }
    }
}
