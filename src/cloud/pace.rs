//! When is the cloud asked again? At its own interval, spread out; at once where it holds questions, to a rate; after
//! failures ever later, to a limit.

use crate::time::{Duration, Moment};
use std::collections::VecDeque;

/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait after failures: a cloud that comes back is noticed within this (and a policy stands for days).
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// Waits vary by so many thousandths either way, so that gateways which started together do not ask together.
const SPREAD: u64 = 200;

/// Where something new brings the next question forward, there are never more than so many in [`WINDOW`]: a cloud that
/// changes its mind without end is not to keep line and processor busy.
const MOST_IN_WINDOW: usize = 10;

/// See [`MOST_IN_WINDOW`].
const WINDOW: Duration = Duration::from_secs(10);

/// The least time from one question to the one that a hint asks for: hints are not trusted.
const HINT_GAP: Duration = Duration::from_secs(1);

/// When the last questions were asked.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    asked: VecDeque<Moment>,
}

impl Rate {
    /// A question is asked.
    pub fn ask(&mut self, now: Moment) {
        if self.asked.len() == MOST_IN_WINDOW {
            self.asked.pop_front();
        }
        self.asked.push_back(now);
    }

    /// How long until the next one that something new asks for.
    pub fn rest(&self, now: Moment) -> Duration {
        let oldest = self.asked.front().filter(|_| self.asked.len() == MOST_IN_WINDOW);
        oldest.map_or(Duration::ZERO, |oldest| WINDOW.saturating_sub(now.since(*oldest)))
    }

    /// How long until the next one that a hint asks for.
    pub fn rest_of_hint(&self, now: Moment) -> Duration {
        let gap = self.asked.back().map_or(Duration::ZERO, |last| HINT_GAP.saturating_sub(now.since(*last)));
        gap.max(self.rest(now))
    }
}

/// Counts questions and failures. Spread comes from the gateway's own id: the same gateway always asks alike.
#[derive(Debug, Clone)]
pub struct Pace {
    seed: u64,
    questions: u64,
    failures: u32,
}

impl Pace {
    /// For this gateway.
    pub fn new(gateway_id: &str) -> Self {
        // FNV-1a: any cheap hash does that tells ids apart.
        let seed = gateway_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Pace { seed, questions: 0, failures: 0 }
    }

    /// The wait after an answer.
    pub fn after_answer(&mut self, refresh: Duration) -> Duration {
        self.failures = 0;
        self.spread(refresh)
    }

    /// The wait after no answer, or one that says "not now".
    pub fn after_failure(&mut self) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.spread(doubled.min(LONGEST_WAIT))
    }

    fn spread(&mut self, wait: Duration) -> Duration {
        self.questions = self.questions.wrapping_add(1);
        // The last step of splitmix64: neighbouring counts give unrelated numbers.
        let mut mixed = self.seed.wrapping_add(self.questions.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let thousandths = 1000 - SPREAD + (mixed ^ (mixed >> 31)) % (2 * SPREAD + 1);
        wait.saturating_mul(u32::try_from(thousandths).unwrap_or(1000)) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_spread_by_a_fifth_and_do_not_repeat() {
        let mut pace = Pace::new("gw_7Q2M");
        let waits: Vec<_> = (0..200).map(|_| pace.after_answer(Duration::from_secs(60)).as_millis()).collect();
        assert!(waits.iter().all(|wait| (48_000..=72_000).contains(wait)), "{waits:?}");
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*least < 50_000 && *most > 70_000, "{least} {most}");
    }

    #[test]
    fn two_gateways_do_not_ask_together() {
        let first = |id: &str| Pace::new(id).after_answer(Duration::from_secs(60));
        assert_ne!(first("gw_7Q2M"), first("gw_7Q2N"));
    }

    #[test]
    fn no_more_than_ten_questions_are_asked_in_ten_seconds() {
        let mut rate = Rate::default();
        let mut now = Moment::from_millis(5_000);
        let mut asked = vec![];
        for _ in 0..100 {
            now = now + rate.rest(now) + Duration::from_millis(7);
            rate.ask(now);
            asked.push(now);
        }
        assert_eq!(asked[9].since(asked[0]), Duration::from_millis(63), "the first ones wait for nothing");
        assert!(asked.windows(11).all(|window| window[10].since(window[0]) >= WINDOW));
    }

    #[test]
    fn a_hint_asks_once_a_second_at_most() {
        let mut rate = Rate::default();
        assert_eq!(rate.rest_of_hint(Moment::from_millis(100)), Duration::ZERO);
        rate.ask(Moment::from_millis(100));
        assert_eq!(rate.rest_of_hint(Moment::from_millis(300)), Duration::from_millis(800));
        assert_eq!(rate.rest_of_hint(Moment::from_millis(1_100)), Duration::ZERO);
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_a_quarter_of_an_hour() {
        let mut pace = Pace::new("gw_7Q2M");
        let waits: Vec<_> = (0..100).map(|_| pace.after_failure().as_millis()).collect();
        for (index, wait) in waits.iter().enumerate() {
            let plain = (1000u128 << index.min(20)).min(900_000);
            assert!((plain * 8 / 10..=plain * 12 / 10).contains(wait), "{index}: {wait}");
        }
        pace.after_answer(Duration::from_secs(60));
        assert!(pace.after_failure() <= Duration::from_millis(1200));
    }
}
