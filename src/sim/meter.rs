//! What does a meter tell of its circuit? A sample each interval, a little late, in steps, and sometimes nothing.

use super::arrived;
use super::dice::Dice;
use super::flow::Flow;
use super::script::Script;
use crate::control::Word;
use crate::control::observation::Sample;
use crate::sim::car::VOLTS;
use crate::site::{MeterId, Site, Wiring};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase, PhaseSet};
use std::collections::VecDeque;

/// Samples under way at once: a latency of 6 s at the shortest interval of 100 ms.
const UNDER_WAY_MOST: usize = 64;

/// What a spike adds to one phase (or takes away), and how many samples have one: far beyond a fuse, and rare enough
/// that the samples between look good.
const SPIKE: Amps = Amps::whole(300);
const SPIKES: f64 = 0.02;

/// Voltages are told in steps of so many millivolts, and stray so many steps from their usual value.
const VOLT_STEP: i64 = 100;
const STRAY: i64 = 5;
/// Streams of chance of the voltages.
const VOLT_STREAMS: u64 = 4_000_000;

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
    /// With the other sign on these phases: transformers put on the wrong way round.
    Turned(PhaseSet),
    /// With these two phases exchanged.
    Swapped(Phase, Phase),
    /// Now and then with an absurd current on one phase.
    Spikes,
}

/// A meter that is read at even intervals.
#[derive(Debug, Clone)]
pub struct VirtualMeter {
    id: MeterId,
    interval: Duration,
    resolution: Amps,
    latency: Duration,
    jitter: Duration,
    lost: f64,
    /// `None`: it tells currents only.
    volts: Option<Volts>,
    dice: Dice,
    /// How it answers.
    pub voice: Voice,
    due: Moment,
    last: Flow,
    /// As last told.
    millivolts: Option<PerPhase<i32>>,
    under_way: VecDeque<(Moment, Sample)>,
}

/// What it tells of the voltages: they wander, so that no two samples are quite alike.
#[derive(Debug, Clone)]
struct Volts {
    usual: i32,
    dice: Dice,
}

impl Volts {
    fn read(&mut self) -> PerPhase<i32> {
        PerPhase::from_fn(|_| self.usual + (self.dice.between(-STRAY, STRAY) * VOLT_STEP) as i32)
    }
}

impl VirtualMeter {
    /// Its first sample is due one interval after the start.
    pub fn new(site: &Site, id: MeterId, script: &Script) -> Self {
        let meter = &site.meters[id.0];
        let volts = match site.wiring {
            Wiring::Single | Wiring::Star => VOLTS as f64,
            // Against the virtual neutral, as its watts are.
            Wiring::Delta => VOLTS as f64 / 3.0_f64.sqrt(),
        };
        VirtualMeter {
            id,
            interval: meter.interval,
            resolution: meter.resolution,
            latency: script.meter_latency,
            jitter: script.meter_jitter,
            lost: f64::from(script.meter_lost_permille) / 1000.0,
            volts: script.meter_volts.then(|| Volts {
                usual: (volts * 1000.0) as i32,
                dice: Dice::new(script.seed, VOLT_STREAMS + id.0 as u64),
            }),
            dice: Dice::new(script.seed, id.0 as u64),
            voice: Voice::Clear,
            due: Moment::START + meter.interval,
            last: Flow::default(),
            millivolts: None,
            under_way: VecDeque::new(),
        }
    }

    /// Adds to `words` what it has to say now, `flow` being what flows.
    pub fn live(&mut self, now: Moment, flow: impl FnOnce() -> Flow, words: &mut Vec<Word>) {
        if now >= self.due {
            self.due = self.due + self.interval;
            match self.take(now, &flow()) {
                Ok(_) if self.lost > 0.0 && self.dice.chance(self.lost) => {}
                Ok(sample) => self.tell(now, sample),
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
            Voice::Clear | Voice::Turned(_) | Voice::Swapped(..) | Voice::Spikes => {
                self.last = self.read(*flow);
                self.millivolts = self.volts.as_mut().map(Volts::read);
            }
            Voice::Frozen => {}
            Voice::Silent => return Err("no answer"),
            Voice::NotANumber => return Err("the currents are not available"),
        }
        let watts = self.millivolts.map(|_| self.last.watts);
        Ok(Sample { at: now, current: self.last.current, watts, millivolts: self.millivolts })
    }

    fn read(&mut self, mut flow: Flow) -> Flow {
        match self.voice {
            Voice::Turned(phases) => {
                for phase in phases.iter() {
                    flow.current[phase] = -flow.current[phase];
                    flow.watts[phase] = -flow.watts[phase];
                }
            }
            Voice::Swapped(a, b) => {
                flow.current.0.swap(a.index(), b.index());
                flow.watts.0.swap(a.index(), b.index());
            }
            Voice::Spikes if self.dice.chance(SPIKES) => {
                let phase = Phase::ALL[self.dice.between(0, 2) as usize];
                flow.current[phase] += if self.dice.chance(0.5) { SPIKE } else { -SPIKE };
            }
            Voice::Clear | Voice::Silent | Voice::NotANumber | Voice::Frozen | Voice::Spikes => {}
        }
        let half = Amps::milli(self.resolution.as_milli() / 2);
        let current = PerPhase::from_fn(|phase| (flow.current[phase] + half).floor_to(self.resolution));
        Flow { current, ..flow }
    }

    /// Samples keep their order, however late they are.
    fn tell(&mut self, now: Moment, sample: Sample) {
        if self.under_way.len() == UNDER_WAY_MOST {
            self.under_way.pop_front();
        }
        let late = Duration::from_millis(self.dice.between(0, self.jitter.as_millis() as i64) as u64);
        let told = now + self.latency + late;
        let told = self.under_way.back().map_or(told, |(before, _)| told.max(*before));
        self.under_way.push_back((told, sample));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tests::site;

    fn meter(latency: u64) -> VirtualMeter {
        let script = Script { meter_latency: Duration::from_millis(latency), ..Script::default() };
        VirtualMeter::new(&site(vec![]), MeterId(0), &script)
    }

    /// What it says in each tick up to `to`, with 9.96 A, −2 A and 4 A flowing.
    fn listen(meter: &mut VirtualMeter, to: u64) -> Vec<(u64, Word)> {
        let current = PerPhase([Amps::milli(9_960), Amps::whole(-2), Amps::whole(4)]);
        let flow = Flow { current, watts: PerPhase([2_290, -460, 920]) };
        let heard = |millis: u64| {
            let mut words = Vec::new();
            meter.live(Moment::from_millis(millis), || flow, &mut words);
            words.into_iter().map(move |word| (millis, word))
        };
        (1..=to / 100).map(|tick| tick * 100).flat_map(heard).collect()
    }

    fn samples(meter: &mut VirtualMeter, to: u64) -> Vec<(u64, Sample)> {
        let sample = |(millis, word)| match word {
            Word::Sample(_, sample) => Some((millis, sample)),
            _ => None,
        };
        listen(meter, to).into_iter().filter_map(sample).collect()
    }

    #[test]
    fn a_sample_carries_the_time_it_was_taken_and_comes_later() {
        let words = listen(&mut meter(300), 2_500);
        let [(1_300, Word::Sample(_, first)), (2_300, Word::Sample(..))] = words.as_slice() else {
            panic!("{words:?}")
        };
        assert_eq!(first.at, Moment::from_millis(1_000));
        assert_eq!(first.current, PerPhase([Amps::whole(10), Amps::whole(-2), Amps::whole(4)]));
        assert_eq!(first.watts, Some(PerPhase([2_290, -460, 920])));
    }

    #[test]
    fn words_that_are_not_available_are_no_sample() {
        let mut meter = meter(0);
        meter.voice = Voice::NotANumber;
        let words = listen(&mut meter, 3_000);
        assert_eq!(words.len(), 3);
        assert!(words.iter().all(|(_, word)| matches!(word, Word::MeterFault(..))), "{words:?}");
    }

    #[test]
    fn a_meter_put_in_wrongly_tells_another_sign_or_another_phase() {
        let mut meter = meter(0);
        let mut told = |voice: Voice| {
            meter.voice = voice;
            let flow = Flow { current: PerPhase([1, 2, 3].map(Amps::whole)), watts: PerPhase([230, 460, 690]) };
            let sample = meter.take(Moment::START, &flow).unwrap();
            (sample.current.0.map(|amps| amps.as_milli() / 1000), sample.watts.unwrap().0)
        };
        assert_eq!(told(Voice::Turned(PhaseSet::one(Phase::L2))), ([1, -2, 3], [230, -460, 690]));
        assert_eq!(told(Voice::Swapped(Phase::L1, Phase::L3)), ([3, 2, 1], [690, 460, 230]));
    }

    #[test]
    fn some_samples_come_late_some_never_and_none_out_of_turn() {
        let script =
            Script { meter_jitter: Duration::from_millis(2_500), meter_lost_permille: 100, ..Script::default() };
        let mut site = site(vec![]);
        site.meters[0].interval = Duration::from_millis(100);
        let heard = samples(&mut VirtualMeter::new(&site, MeterId(0), &script), 100_000);
        assert!((840..940).contains(&heard.len()), "{} of 1000", heard.len());
        assert!(heard.windows(2).all(|pair| pair[0].1.at < pair[1].1.at));
        let late = heard.iter().map(|(told, sample)| told - sample.at.as_millis());
        assert!(late.clone().all(|late| (100..=2_600).contains(&late)) && late.clone().any(|late| late > 2_000));
    }

    #[test]
    fn spikes_are_rare_and_absurd() {
        let mut meter = meter(0);
        meter.voice = Voice::Spikes;
        let heard = samples(&mut meter, 1_000_000);
        let spikes =
            heard.iter().filter(|(_, sample)| sample.current.0.iter().any(|amps| amps.abs() > Amps::whole(200)));
        assert!((5..50).contains(&spikes.count()));
    }
}
