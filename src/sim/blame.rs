//! Who is to blame when a breaker gets warm? All that cars have a share in, apart for what went wrong at the time.

use super::breaker::Breaker;
use super::charger::{Ears, Network};
use super::file::Scenario;
use super::meter::Voice;
use super::scenario::Frame;
use super::script::Action;
use crate::site::{CircuitId, EvseId, Meter};
use crate::time::{Duration, Moment};
use crate::transient::Transient;
use crate::units::{Amps, Phase};
use serde::Serialize;

/// A sample that is so much later than its interval is not on its way any more.
const LATE: Duration = Duration::from_secs(4);
/// What a breaker remembers of a fault that is over: two time constants of its fast edge.
const COOLS: Duration = Duration::from_secs(160);

/// What went wrong when a breaker got warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The daemon lives, all chargers below obey, and meters speak; they may be late or full of spikes.
    Obeying,
    /// The same, and a sample of a meter above has stayed away: nobody sees what the house does.
    Blind,
    /// A meter above repeats itself, or was put in wrongly: nobody knows before it is found out.
    Frozen,
    /// The daemon is dead, or a charger below does not hear or do what it is told.
    Otherwise,
}

impl Cause {
    /// Each in its place.
    pub const ALL: [Cause; 4] = [Cause::Obeying, Cause::Blind, Cause::Frozen, Cause::Otherwise];
}

/// The greatest heat that cars had a share in; where the house alone trips a breaker, none. Less than half a trip of the
/// quickest counts as nothing where no limit was passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Peak {
    /// Of the quickest breaker that conforms to its standard: 1 trips.
    pub fast: f64,
    /// Of the slowest.
    pub slow: f64,
    /// When the quickest was hottest, in seconds from the start.
    pub at_s: f64,
}

/// What came out of a day.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// By [`Cause`].
    pub peaks: [Peak; Cause::ALL.len()],
    /// The most that cars have added above a limit while all obeyed.
    pub overload: Amps,
    /// For how long without a break they did.
    pub longest: Duration,
    /// What must not be.
    pub faults: Vec<String>,
    /// The same while a meter repeated itself and was not found out yet: docs/HAZARDS.md.
    pub unseen: Vec<String>,
    /// Fast edges that tripped where `check` warns of it.
    pub warned: u32,
}

/// Watches one day.
#[derive(Debug)]
pub struct Blame<'a> {
    scenario: &'a Scenario,
    poles: Vec<Pole>,
    acted: usize,
    is_dead: bool,
    voices: Vec<Voice>,
    networks: Vec<Network>,
    boots_until: Vec<Moment>,
    /// By EVSE: until then something of what it did not obey may be left.
    trouble_until: Vec<Moment>,
    /// By meter.
    frozen_until: Vec<Moment>,
    blind_until: Vec<Moment>,
    outcome: Outcome,
}

/// One phase of one circuit.
#[derive(Debug)]
struct Pole {
    circuit: CircuitId,
    phase: Phase,
    with_cars: Breaker,
    house_alone: Breaker,
    /// What has flowed since it was reckoned last.
    flow: (Amps, Amps),
    span: Duration,
    has_tripped: bool,
    over_since: Option<Moment>,
    /// `check` warns that it may trip: the quickest device, and the slowest.
    is_warned: (bool, bool),
    /// And that a meter above may say the same for ever without being found out.
    may_freeze_unseen: bool,
    has_tripped_slow: bool,
}

impl<'a> Blame<'a> {
    /// Nothing seen yet.
    pub fn new(scenario: &'a Scenario) -> Self {
        let site = &scenario.site;
        let pole = |circuit: CircuitId, phase: Phase| {
            let breaker = Breaker::miniature(site.circuit(circuit).limit[phase]);
            Pole {
                circuit,
                phase,
                with_cars: breaker.clone(),
                house_alone: breaker,
                flow: (Amps::ZERO, Amps::ZERO),
                span: Duration::ZERO,
                has_tripped: false,
                has_tripped_slow: false,
                over_since: None,
                is_warned: is_warned(scenario, circuit, phase),
                may_freeze_unseen: may_freeze_unseen(scenario, circuit),
            }
        };
        let phases = || site.wiring.phases().iter().collect::<Vec<_>>();
        Blame {
            poles: site
                .circuit_ids()
                // What flows in the lines before a transformer does not flow in a circuit of its own.
                .filter(|id| site.primary.as_ref().is_none_or(|primary| primary.circuit != *id))
                .flat_map(|c| phases().into_iter().map(move |p| (c, p)))
                .map(|(c, p)| pole(c, p))
                .collect(),
            scenario,
            acted: 0,
            is_dead: false,
            voices: vec![Voice::Clear; site.meters.len()],
            networks: vec![scenario.script.network; site.evses.len()],
            boots_until: vec![Moment::START; site.evses.len()],
            trouble_until: vec![Moment::START; site.evses.len()],
            frozen_until: vec![Moment::START; site.meters.len()],
            blind_until: vec![Moment::START; site.meters.len()],
            outcome: Outcome::default(),
        }
    }

    /// One moment of a run: each tick, in order.
    pub fn see(&mut self, frame: &Frame<'_>) {
        let now = frame.plant.now();
        self.follow_the_script(now);
        self.follow_the_troubles(frame);
        for index in 0..self.poles.len() {
            self.see_pole(frame, index);
        }
    }

    /// What came out so far.
    pub fn outcome(self) -> Outcome {
        self.outcome
    }

    fn follow_the_script(&mut self, now: Moment) {
        while let Some((at, action)) = self.scenario.script.actions.get(self.acted)
            && *at <= now
        {
            self.acted += 1;
            match action {
                Action::Voice(meter, voice) => self.voices[meter.0] = *voice,
                Action::Network(evse, network) => self.networks[evse.0] = *network,
                Action::Reboot(evse, lasts) => self.boots_until[evse.0] = now + *lasts,
                Action::Gateway(is_alive) => self.is_dead = !is_alive,
                _ => {}
            }
        }
    }

    fn follow_the_troubles(&mut self, frame: &Frame<'_>) {
        let (now, site) = (frame.plant.now(), &self.scenario.site);
        for id in site.evse_ids() {
            let obeys = !self.is_dead
                && frame.plant.ears(id) == Ears::Heeds
                && frame.plant.is_linked(id)
                && self.networks[id.0] == self.scenario.script.network
                && now >= self.boots_until[id.0];
            if !obeys {
                // What it missed is told again within half a lease, and a restart counts it at its most for a whole one.
                self.trouble_until[id.0] = now + site.evse(id).lease + site.evse(id).response + COOLS;
            }
        }
        for (meter, voice) in self.voices.iter().enumerate() {
            if matches!(voice, Voice::Frozen | Voice::Turned(_) | Voice::Swapped(..)) {
                self.frozen_until[meter] = now + COOLS;
            }
        }
        for (meter, until) in site.meters.iter().zip(&mut self.blind_until) {
            let heard = frame.decision.rows.get(meter.circuit.0).and_then(|row| row.heard);
            if heard.is_none_or(|heard| now.since(heard) > meter.interval + LATE) {
                *until = now + COOLS;
            }
        }
    }

    fn cause(&self, circuit: CircuitId, now: Moment) -> Cause {
        let site = &self.scenario.site;
        let below: Vec<EvseId> = site.evse_ids().filter(|id| site.feeds(circuit, *id)).collect();
        let is_above = |meter: &Meter| below.iter().any(|id| site.feeds(meter.circuit, *id));
        let is_any =
            |until: &[Moment]| site.meters.iter().zip(until).any(|(meter, until)| now < *until && is_above(meter));
        match () {
            () if is_any(&self.frozen_until) => Cause::Frozen,
            () if below.iter().any(|id| now < self.trouble_until[id.0]) => Cause::Otherwise,
            () if is_any(&self.blind_until) => Cause::Blind,
            () => Cause::Obeying,
        }
    }

    fn see_pole(&mut self, frame: &Frame<'_>, index: usize) {
        let now = frame.plant.now();
        let (circuit, phase) = (self.poles[index].circuit, self.poles[index].phase);
        let (load, house) = (frame.plant.load(circuit)[phase], frame.plant.house(circuit)[phase]);
        let (limit, tick) = (self.scenario.site.circuit(circuit).limit[phase], self.scenario.script.tick);
        let over = (load - limit).min(load - house);
        let pole = &mut self.poles[index];
        pole.over_since = over.is_positive().then(|| pole.over_since.unwrap_or(now));
        let over_since = pole.over_since;
        let is_same = pole.flow == (load, house);
        if is_same {
            pole.span += tick;
        }
        if is_same && pole.span < Duration::from_secs(1) {
            return;
        }
        let (with_cars, alone) = pole.flow;
        pole.with_cars.live(with_cars, pole.span);
        pole.house_alone.live(alone, pole.span);
        let trips_alone = pole.house_alone.fast.heat() >= 1.0;
        let is_houses = trips_alone || pole.with_cars.fast.heat() <= pole.house_alone.fast.heat();
        let (fast, slow) = (pole.with_cars.fast.heat(), pole.with_cars.slow.heat());
        pole.flow = (load, house);
        pole.span = if is_same { Duration::ZERO } else { tick };
        let is_new = !trips_alone && fast >= 1.0 && !std::mem::replace(&mut pole.has_tripped, fast >= 1.0);
        let is_slow_new = slow >= 1.0 && !std::mem::replace(&mut pole.has_tripped_slow, slow >= 1.0);
        pole.has_tripped = fast >= 1.0;
        let (is_warned, may_freeze_unseen) = (pole.is_warned, pole.may_freeze_unseen);
        if fast < 0.5 && over_since.is_none() {
            return;
        }
        let cause = self.cause(circuit, now);
        let outcome = &mut self.outcome;
        if matches!(cause, Cause::Obeying | Cause::Blind)
            && let Some(since) = over_since
        {
            outcome.overload = outcome.overload.max(over);
            outcome.longest = outcome.longest.max(now.since(since));
        }
        // What the house alone heats it to, or cools it from, is none of ours.
        if is_houses {
            return;
        }
        let peak = &mut outcome.peaks[cause as usize];
        if fast > peak.fast {
            (peak.fast, peak.at_s) = (fast, now.as_millis() as f64 / 1000.0);
        }
        peak.slow = peak.slow.max(slow);
        let may_trip = |is_warned: bool| matches!(cause, Cause::Otherwise | Cause::Blind) && is_warned;
        outcome.warned += u32::from(is_new && may_trip(is_warned.0));
        if (is_new && !may_trip(is_warned.0)) || (is_slow_new && !may_trip(is_warned.1)) {
            let id = &self.scenario.site.circuit(circuit).id;
            let seconds = now.as_millis() as f64 / 1000.0;
            let told = format!(
                "{seconds:.1} s: {phase} of {id} is at {fast:.2} of its fast edge and {slow:.2} of its slow one, {cause:?}: {load} of {limit}, {house} of it the house's"
            );
            // It is found out before the slowest trips, unless `check` warns that it may not be.
            let is_excused = cause == Cause::Frozen && (!is_slow_new || may_freeze_unseen);
            let list = if is_excused { &mut outcome.unseen } else { &mut outcome.faults };
            if list.len() < 5 {
                list.push(told);
            }
        }
    }
}

/// What `headroom check` warns of: may the quickest device trip, and the slowest?
fn is_warned(scenario: &Scenario, circuit: CircuitId, phase: Phase) -> (bool, bool) {
    let worst = Transient::of(&scenario.site, circuit, phase, scenario.script.solar.is_some());
    (worst.first_to_trip().is_some(), worst.last_to_trip().is_some())
}

/// Does `headroom check` warn (W016) that a meter above may say the same for ever, and nobody finds out?
fn may_freeze_unseen(scenario: &Scenario, circuit: CircuitId) -> bool {
    let site = &scenario.site;
    let is_unseen = |id: CircuitId| site.circuit(id).meter.is_some() && site.seldom_heard(id).next().is_some();
    !scenario.script.meter_volts && site.path(circuit).any(is_unseen)
}
