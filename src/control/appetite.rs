//! How much does a car want of what it is offered? What it leaves for a while is handed to others, until it takes more.

use crate::site::Step;
use crate::time::{Duration, Moment};
use crate::units::Amps;
use serde::{Deserialize, Serialize};

/// A car that keeps to a limit takes no less than this below it (or a tenth): an ampere of its charger's rounding, half
/// an ampere of its own, and what meters differ by. One that takes less rests, is nearly full or can take no more.
pub(super) const FOLLOWS: Amps = Amps::whole(2);
/// Whoever takes less than it is offered for so long leaves the rest.
const LEAVES: Duration = Duration::from_secs(30);
/// What it takes may rise by less than this without saying anything. It is offered [`FOLLOWS`] more than it has taken,
/// and by its own offset a car may stay 1.2 A below that (evcc#14417).
const RISES: Amps = Amps::milli(700);

/// What its own meter says about it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Appetite {
    /// The most that it took in the last [`LEAVES`] in which it took less than it was offered.
    takes: Option<Amps>,
    /// Since when it has done so again, and the most since.
    spell: Option<(Moment, Amps)>,
}

impl Appetite {
    /// It is offered `setpoint` and takes `own`.
    pub(super) fn hear(&mut self, setpoint: Amps, own: Amps, at: Moment) {
        let wants_more = match self.takes {
            Some(takes) => own >= takes + RISES,
            None => own + FOLLOWS.max(setpoint.scaled(1, 10)) >= setpoint,
        };
        // Whoever takes nothing has not begun, or rests: its charger says which.
        if wants_more || !own.is_positive() {
            *self = Appetite::default();
            return;
        }
        let (since, most) = self.spell.map_or((at, own), |(since, most)| (since, most.max(own)));
        let is_over = at >= since + LEAVES;
        self.spell = (!is_over).then_some((since, most));
        if is_over {
            self.takes = Some(most);
        }
    }

    /// The most that is worth offering to it; `None` while it takes what it gets.
    pub(super) fn most(&self, step: Step) -> Option<Amps> {
        self.takes.map(|takes| step.ceil(takes + FOLLOWS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is worth offering after these readings, one a second, beside an offer of 16 A.
    fn offered(readings: impl IntoIterator<Item = i32>) -> Option<Amps> {
        let mut appetite = Appetite::default();
        for (second, milliamps) in (0..).zip(readings) {
            appetite.hear(Amps::whole(16), Amps::milli(milliamps), Moment::from_millis(second * 1_000));
        }
        appetite.most(Step::Multiple(Amps::whole(1)))
    }

    #[test]
    fn whoever_takes_less_for_half_a_minute_is_offered_a_little_more_than_that() {
        assert_eq!(offered([10_000; 30]), None);
        assert_eq!(offered([10_000; 31]), Some(Amps::whole(12)));
        assert_eq!(offered([14_500; 100]), None, "it follows, a little below");
        assert_eq!(offered([0; 100]), None, "it has not begun");
    }

    #[test]
    fn the_offer_falls_with_a_car_that_is_nearly_full_and_is_lifted_when_it_takes_more() {
        let falling = (0..120).map(|second| 12_000 - second * 50);
        assert!(offered(falling).unwrap() <= Amps::whole(11));
        assert_eq!(offered([10_000; 31].into_iter().chain([10_800])), None);
        assert_eq!(offered([10_000; 31].into_iter().chain([10_300; 31])), Some(Amps::whole(13)));
    }
}
