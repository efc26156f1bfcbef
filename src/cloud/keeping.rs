//! When may the card be written to? Some writes go at once, then one a minute: a cloud that changes its mind all day,
//! or an alarm that flaps, must not wear it out.
//!
//! `task` writes; of what has to wait it keeps the newest only.

pub(super) mod task;

use crate::time::{Duration, Moment};

/// So many writes go at once: an evening of somebody who tries things in a portal.
const AT_ONCE: u32 = 10;

/// After those there is one in each of these: 1,440 a day. A small write costs a card some 64 KiB, which is 100 MB a
/// day; one of 8 GB that bears a thousand writes of each of its cells lasts for two centuries, and with policies of 1
/// MiB for fifteen years.
const GAP: Duration = Duration::from_secs(60);

/// How many writes are left: one more each [`GAP`], up to [`AT_ONCE`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    /// When all are left again.
    full_at: Moment,
}

impl Budget {
    /// How long until the next write may begin.
    pub fn rest(&self, now: Moment) -> Duration {
        self.full_at.since(now).saturating_sub(GAP * (AT_ONCE - 1))
    }

    /// One begins.
    pub fn spend(&mut self, now: Moment) {
        self.full_at = self.full_at.max(now) + GAP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_writes_go_at_once_and_then_one_a_minute() {
        let (mut budget, mut now) = (Budget::default(), Moment::from_millis(5_000));
        let mut begun = vec![];
        for _ in 0..15 {
            now = now + budget.rest(now);
            budget.spend(now);
            begun.push(now);
        }
        assert_eq!(begun[9].since(begun[0]), Duration::ZERO);
        assert!(begun[9..].windows(2).all(|pair| pair[1].since(pair[0]) == GAP), "{begun:?}");
    }

    #[test]
    fn what_was_not_used_for_a_while_is_left_again_and_no_more_than_that() {
        let mut budget = Budget::default();
        let spend_all = |budget: &mut Budget, now| {
            (0..).take_while(|_| budget.rest(now).is_zero().then(|| budget.spend(now)).is_some()).count()
        };
        assert_eq!(spend_all(&mut budget, Moment::START), 10);
        assert_eq!(spend_all(&mut budget, Moment::START + GAP * 3), 3);
        assert_eq!(spend_all(&mut budget, Moment::START + GAP * 1_000), 10);
    }
}
