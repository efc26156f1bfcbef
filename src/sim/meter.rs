//! What does a meter tell of its circuit? A sample each interval, a little late, in steps, and sometimes nothing.

use super::arrived;
use super::flow::Flow;
use crate::control::Word;
use crate::control::observation::Sample;
use crate::sim::car::VOLTS;
use crate::site::{Meter, MeterId};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};
use std::collections::VecDeque;

/// Samples under way at once: a latency of 6 s at the shortest interval of 100 ms.
const UNDER_WAY_MOST: usize = 64;

/// How a meter answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Voice {
    /// With what is true.
    #[default]
    Clear,
    /// Not at all.
    Silent,
    /// With words that say "not available": no sample.
    NotANumber,
    /// With the last values again and again, each with a new time.
    Frozen,
}

/// A meter that is read at even intervals.
#[derive(Debug, Clone)]
pub struct VirtualMeter {
    id: MeterId,
    interval: Duration,
    resolution: Amps,
    /// Taken to told.
    pub latency: Duration,
    /// How it answers.
    pub voice: Voice,
    due: Moment,
    last: Flow,
    under_way: VecDeque<(Moment, Sample)>,
}

impl VirtualMeter {
    /// Its first sample is due one interval after the start.
    pub fn new(id: MeterId, meter: &Meter, latency: Duration) -> Self {
        VirtualMeter {
            id,
            interval: meter.interval,
            resolution: meter.resolution,
            latency,
            voice: Voice::Clear,
            due: Moment::START + meter.interval,
            last: Flow::default(),
            under_way: VecDeque::new(),
        }
    }

    /// Adds to `words` what it has to say now, `flow` being what flows.
    pub fn live(&mut self, now: Moment, flow: impl FnOnce() -> Flow, words: &mut Vec<Word>) {
        if now >= self.due {
            self.due = self.due + self.interval;
            match self.take(now, &flow()) {
                Ok(sample) => {
                    if self.under_way.len() == UNDER_WAY_MOST {
                        self.under_way.pop_front();
                    }
                    self.under_way.push_back((now + self.latency, sample));
                }
                Err(why) => words.push(Word::MeterFault(self.id, why.into())),
            }
        }
        while let Some(sample) = arrived(&mut self.under_way, now) {
            words.push(Word::Sample(self.id, sample));
        }
    }

    /// What it reads now: in steps of its resolution; `Err` where it gives no sample, and why.
    pub fn take(&mut self, now: Moment, flow: &Flow) -> Result<Sample, &'static str> {
        match self.voice {
            Voice::Clear => {
                let half = Amps::milli(self.resolution.as_milli() / 2);
                let current = PerPhase::from_fn(|phase| (flow.current[phase] + half).floor_to(self.resolution));
                self.last = Flow { current, ..*flow };
            }
            Voice::Frozen => {}
            Voice::Silent => return Err("no answer"),
            Voice::NotANumber => return Err("the currents are not available"),
        }
        let millivolts = PerPhase::all(VOLTS as i32 * 1000);
        Ok(Sample { at: now, current: self.last.current, watts: Some(self.last.watts), millivolts: Some(millivolts) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::CircuitId;

    fn meter(latency: u64) -> VirtualMeter {
        let meter = Meter {
            id: "grid".into(),
            circuit: CircuitId(0),
            interval: Duration::from_secs(1),
            resolution: Amps::milli(100),
        };
        VirtualMeter::new(MeterId(0), &meter, Duration::from_millis(latency))
    }

    fn listen(meter: &mut VirtualMeter, to: u64) -> Vec<(u64, Word)> {
        let flow = Flow { current: PerPhase::all(Amps::milli(9_960)), watts: PerPhase::all(2_290) };
        let heard = |millis: u64| {
            let mut words = Vec::new();
            meter.live(Moment::from_millis(millis), || flow, &mut words);
            words.into_iter().map(move |word| (millis, word))
        };
        (1..=to / 100).map(|tick| tick * 100).flat_map(heard).collect()
    }

    #[test]
    fn a_sample_carries_the_time_it_was_taken_and_comes_later() {
        let words = listen(&mut meter(300), 2_500);
        let [(1_300, Word::Sample(_, first)), (2_300, Word::Sample(..))] = words.as_slice() else {
            panic!("{words:?}")
        };
        assert_eq!(first.at, Moment::from_millis(1_000));
        assert_eq!(first.current, PerPhase::all(Amps::whole(10)));
        assert_eq!(first.watts, Some(PerPhase::all(2_290)));
    }

    #[test]
    fn words_that_are_not_available_are_no_sample() {
        let mut meter = meter(0);
        meter.voice = Voice::NotANumber;
        let words = listen(&mut meter, 3_000);
        assert_eq!(words.len(), 3);
        assert!(words.iter().all(|(_, word)| matches!(word, Word::MeterFault(..))), "{words:?}");
    }
}
