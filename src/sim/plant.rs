//! What happens at a site in truth? House, sun, cars, chargers and meters, seeded, told the time.
//!
//! Time passes in ticks of 100 ms, whatever spans it is told in, so the same script gives the same truth to the last
//! milliampere. In each tick: what the script says happens, orders arrive and leases end, cars follow, meters sample,
//! chargers report.

use super::car::{Plugged, VOLTS};
use super::charger::{Charger, Ears};
use super::curve::Curve;
use super::meter::VirtualMeter;
use super::script::{Action, Script};
use crate::control::observation::{Generation, Link, Measured, Plug, Report, Session};
use crate::control::{Order, Word};
use crate::site::{CircuitId, EvseId, MeterId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase};

/// The plant's time step: a tenth of the fastest usual meter interval.
pub const TICK: Duration = Duration::from_millis(100);

/// Plugged in to session begun: what the driver needs to hold up a card.
const SESSION_AFTER: Duration = Duration::from_secs(1);

/// How often the inverter is read.
const INVERTER_INTERVAL: Duration = Duration::from_secs(5);

/// A virtual site.
#[derive(Debug, Clone)]
pub struct Plant {
    site: Site,
    script: Script,
    acted: usize,
    now: Moment,
    house: Vec<PerPhase<Curve>>,
    sun: Curve,
    meters: Vec<VirtualMeter>,
    stands: Vec<Stand>,
    is_gateway_alive: bool,
    sessions: i64,
}

/// A charger and the car in front of it.
#[derive(Debug, Clone)]
struct Stand {
    charger: Charger,
    plugged: Option<Plugged>,
    session: Option<Session>,
    is_stopped: bool,
    measured: Option<Measured>,
    measure_at: Moment,
    told: Report,
}

impl Plant {
    /// At its start: no load, no sun, no cars, all chargers connected, all meters clear.
    pub fn new(site: &Site, script: &Script) -> Self {
        let meters = site.meters.iter().enumerate();
        let stand = |(index, evse)| Stand {
            charger: Charger::new(evse, script.charger_step, Moment::START),
            plugged: None,
            session: None,
            is_stopped: false,
            measured: None,
            // Chargers do not all measure in the same tick.
            measure_at: Moment::START + TICK * (1 + index as u32 % 9),
            told: Report::default(),
        };
        Plant {
            house: vec![PerPhase::default(); site.circuits.len()],
            sun: Curve::default(),
            meters: meters.map(|(id, meter)| VirtualMeter::new(MeterId(id), meter, script.meter_latency)).collect(),
            stands: site.evses.iter().enumerate().map(stand).collect(),
            site: site.clone(),
            script: script.clone(),
            acted: 0,
            now: Moment::START,
            is_gateway_alive: true,
            sessions: 0,
        }
    }

    /// Lets time pass up to `to`; returns what meters and chargers said meanwhile, in order.
    pub fn advance(&mut self, to: Moment) -> Vec<Word> {
        let mut words = Vec::new();
        while self.now + TICK <= to {
            self.now = self.now + TICK;
            self.tick(&mut words);
        }
        words
    }

    /// An order leaves for its charger.
    pub fn obey(&mut self, order: &Order) {
        let now = self.now;
        if let Some(stand) = self.stands.get_mut(order.evse.0) {
            stand.charger.send(*order, now);
        }
    }

    /// Makes something happen now.
    pub fn act(&mut self, action: &Action) {
        let now = self.now;
        match action {
            Action::Load { circuit, amps, over } => {
                for phase in Phase::ALL {
                    self.house[circuit.0][phase].add(now, i64::from(amps[phase].as_milli()), *over);
                }
            }
            Action::Sun { watts, over } => self.sun.head_for(now, i64::from(*watts), *over),
            Action::Arrive(evse, car) => {
                let stand = &mut self.stands[evse.0];
                (stand.session, stand.is_stopped) = (None, false);
                stand.plugged = Some(Plugged::new(car.clone(), now));
            }
            Action::Leave(evse) => {
                let stand = &mut self.stands[evse.0];
                (stand.session, stand.is_stopped) = (None, false);
                stand.plugged = None;
            }
            Action::Stop(evse) => {
                let stand = &mut self.stands[evse.0];
                stand.session = None;
                stand.is_stopped = true;
            }
            Action::Ears(evse, ears) => self.stands[evse.0].charger.ears = *ears,
            Action::Link(evse, is_up) => self.stands[evse.0].charger.set_link(*is_up, now),
            Action::Voice(meter, voice) => self.meters[meter.0].voice = *voice,
            Action::Gateway(is_alive) => {
                self.is_gateway_alive = *is_alive;
                self.stands.iter_mut().for_each(|stand| stand.charger.set_link(*is_alive, now));
            }
        }
    }

    /// The time that it has lived up to.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// The current through this circuit.
    pub fn load(&self, circuit: CircuitId) -> PerPhase<Amps> {
        let mut load = self.house(circuit);
        for evse in self.site.evse_ids().filter(|evse| self.site.feeds(circuit, *evse)) {
            let draw = self.draw(evse);
            Phase::ALL.into_iter().for_each(|phase| load[phase] += draw[phase]);
        }
        load
    }

    /// The current through this circuit without cars; the sun counts against it at the grid connection.
    pub fn house(&self, circuit: CircuitId) -> PerPhase<Amps> {
        PerPhase::from_fn(|phase| {
            let below = self.site.circuit_ids().filter(|id| self.site.path(*id).any(|above| above == circuit));
            let house: i64 = below.map(|id| self.house[id.0][phase].at(self.now)).sum();
            let extra = if circuit == Site::ROOT { self.root_extra(phase) } else { 0 };
            let is_there = self.site.wiring.phases().contains(phase);
            Amps::milli(if is_there { (house + extra) as i32 } else { 0 })
        })
    }

    /// What a car takes, on the site's phases.
    pub fn draw(&self, evse: EvseId) -> PerPhase<Amps> {
        let own = self.stands[evse.0].plugged.as_ref().map(Plugged::draw).unwrap_or_default();
        self.site.evse(evse).rotation.to_site(&own)
    }

    /// What a car takes, on the charger's own terminals.
    pub fn own_draw(&self, evse: EvseId) -> PerPhase<Amps> {
        self.stands[evse.0].plugged.as_ref().map(Plugged::draw).unwrap_or_default()
    }

    /// What a charger offers: the limit that stands in it.
    pub fn offer(&self, evse: EvseId) -> Amps {
        self.stands[evse.0].charger.offer()
    }

    /// Is this charger connected to the gateway?
    pub fn is_linked(&self, evse: EvseId) -> bool {
        matches!(self.stands[evse.0].charger.link, Link::Up { .. })
    }

    /// How this charger takes orders.
    pub fn ears(&self, evse: EvseId) -> Ears {
        self.stands[evse.0].charger.ears
    }

    /// What the connector says.
    pub fn plug(&self, evse: EvseId) -> Plug {
        self.stands[evse.0].plug()
    }

    /// The session that runs, its energy up to now.
    pub fn session(&self, evse: EvseId) -> Option<Session> {
        let stand = &self.stands[evse.0];
        let energy_wh = stand.plugged.as_ref().map(Plugged::energy_wh);
        stand.session.clone().map(|session| Session { energy_wh, ..session })
    }

    /// Generated power in W.
    pub fn sun(&self) -> i32 {
        let measured = self.script.solar.as_ref().map_or(0, |trace| trace.at(self.now));
        self.sun.at(self.now) as i32 + measured
    }

    /// This meter, to be read by someone else than the plant itself.
    pub fn meter(&mut self, meter: MeterId) -> &mut VirtualMeter {
        &mut self.meters[meter.0]
    }

    /// Is there somebody to step?
    pub fn is_gateway_alive(&self) -> bool {
        self.is_gateway_alive
    }

    fn tick(&mut self, words: &mut Vec<Word>) {
        while let Some((at, action)) = self.script.actions.get(self.acted).cloned()
            && at <= self.now
        {
            self.acted += 1;
            self.act(&action);
        }
        for (stand, evse) in self.stands.iter_mut().zip(&self.site.evses) {
            stand.live(self.now, evse.metering, &mut self.sessions);
        }
        for index in 0..self.meters.len() {
            let load = self.load(self.site.meters[index].circuit);
            words.extend(self.meters[index].live(self.now, &load));
        }
        // An inverter sleeps at night and says nothing.
        if self.now.as_millis().is_multiple_of(INVERTER_INTERVAL.as_millis() as u64) && self.sun() > 0 {
            words.push(Word::Generation(0, Generation { at: self.now, watts: self.sun() }));
        }
        for (index, stand) in self.stands.iter_mut().enumerate() {
            words.extend(stand.report().map(|report| Word::Report(EvseId(index), report)));
        }
    }

    /// What flows at the grid connection besides: noise, what was measured, less the sun.
    fn root_extra(&self, phase: Phase) -> i64 {
        let measured = self.script.base.as_ref().map_or(0, |trace| i64::from(trace.at(self.now)[phase].as_milli()));
        self.noise(phase) + measured - self.sun_current(phase)
    }

    fn sun_current(&self, phase: Phase) -> i64 {
        let sunny = self.script.sunny;
        match sunny.contains(phase) {
            true => i64::from(self.sun()) * 1000 / VOLTS / sunny.count() as i64,
            false => 0,
        }
    }

    fn noise(&self, phase: Phase) -> i64 {
        let span = i64::from(self.script.noise.as_milli());
        let second = self.now.as_millis() / 1000;
        let key = self.script.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (second << 2) ^ phase.index() as u64;
        if span == 0 { 0 } else { (scramble(key) % (2 * span as u64 + 1)) as i64 - span }
    }
}

impl Stand {
    fn live(&mut self, now: Moment, metering: Option<Duration>, sessions: &mut i64) {
        self.charger.live(now);
        let offer = self.charger.offer();
        if let Some(plugged) = &mut self.plugged {
            // Without a session the contactor stays open.
            plugged.live(now, TICK, if self.session.is_some() { offer } else { Amps::ZERO });
            if self.session.is_none() && !self.is_stopped && now >= plugged.since + SESSION_AFTER {
                *sessions += 1;
                let token = plugged.car.token.clone();
                self.session = Some(Session { id: *sessions, token, since: now, energy_wh: Some(0) });
            }
        }
        if let Some(interval) = metering
            && now >= self.measure_at
        {
            self.measure_at = self.measure_at + interval;
            let current = self.plugged.as_ref().map(Plugged::draw).unwrap_or_default();
            let watts = current.0.iter().map(|amps| i64::from(amps.as_milli()) * VOLTS / 1000).sum::<i64>() as i32;
            self.measured = Some(Measured { at: now, current, watts: Some(watts) });
            if let (Some(session), Some(plugged)) = (&mut self.session, &self.plugged) {
                session.energy_wh = Some(plugged.energy_wh());
            }
        }
    }

    fn plug(&self) -> Plug {
        let Some(plugged) = &self.plugged else { return Plug::Available };
        let is_drawing = plugged.draw().most().is_positive();
        match (&self.session, self.charger.offer() == Amps::ZERO, is_drawing) {
            (None, _, _) if self.is_stopped => Plug::Finishing,
            (None, _, _) => Plug::Preparing,
            (Some(_), true, _) => Plug::SuspendedEvse,
            (Some(_), false, true) => Plug::Charging,
            (Some(_), false, false) => Plug::SuspendedEv,
        }
    }

    /// The whole report, if something has changed and can be told.
    fn report(&mut self) -> Option<Report> {
        let charger = &self.charger;
        let report = match charger.link {
            Link::Up { .. } => Report {
                link: charger.link,
                epoch: charger.epoch,
                plug: self.plug(),
                session: self.session.clone(),
                measured: self.measured,
                answer: charger.answer,
            },
            // All that the gateway notices is that the connection is gone.
            Link::Never | Link::Down { .. } => Report { link: charger.link, ..self.told.clone() },
        };
        (report != self.told).then(|| {
            self.told = report.clone();
            report
        })
    }
}

/// A number as good as random from one that is not (the finaliser of splitmix64).
fn scramble(mut key: u64) -> u64 {
    key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    key ^ (key >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::observation::Observation;
    use crate::sim::car::Car;
    use crate::sim::meter::Voice;
    use crate::sim::tests::{evse, site};
    use crate::site::{Evse, Rotation};

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn order(amps: i32, lease: u64) -> Order {
        let lease = Duration::from_secs(lease);
        Order { evse: EvseId(0), number: 1, amps: Amps::whole(amps), lease, fallback: Amps::whole(6) }
    }

    #[test]
    fn a_car_falls_to_the_fallback_by_itself_when_the_gateway_dies() {
        let actions = vec![(at(1), Action::Arrive(EvseId(0), Car::default())), (at(50), Action::Gateway(false))];
        let mut plant = Plant::new(&site(vec![evse("left")]), &Script { actions, ..Script::default() });
        plant.advance(at(40));
        plant.obey(&order(16, 60));
        plant.advance(at(100));
        assert_eq!(plant.draw(EvseId(0)), PerPhase::all(Amps::milli(15_500)));
        plant.advance(at(105));
        assert_eq!(plant.draw(EvseId(0)), PerPhase::all(Amps::milli(5_500)));
        assert!(!plant.is_gateway_alive());
    }

    #[test]
    fn a_car_loads_the_phases_that_feed_its_terminals() {
        let turned = Evse { rotation: Rotation::parse("STR").unwrap(), ..evse("left") };
        let actions = vec![(at(1), Action::Arrive(EvseId(0), Car { phases: 1, ..Car::default() }))];
        let mut plant = Plant::new(&site(vec![turned]), &Script { actions, ..Script::default() });
        plant.obey(&order(16, 600));
        plant.advance(at(60));
        assert_eq!(plant.load(Site::ROOT), PerPhase([Amps::ZERO, Amps::milli(15_500), Amps::ZERO]));
        assert_eq!(plant.plug(EvseId(0)), Plug::Charging);
    }

    #[test]
    fn the_sun_takes_from_the_grid_connection_and_may_turn_it_round() {
        let load = Action::Load {
            circuit: CircuitId(0),
            amps: PerPhase([Amps::whole(2), Amps::whole(12), Amps::whole(2)]),
            over: Duration::ZERO,
        };
        let actions = vec![(at(1), load), (at(2), Action::Sun { watts: 6_900, over: Duration::from_secs(10) })];
        let mut plant = Plant::new(&site(vec![]), &Script { actions, ..Script::default() });
        plant.advance(at(7));
        assert_eq!(plant.load(Site::ROOT).0, [Amps::whole(-3), Amps::whole(7), Amps::whole(-3)]);
        plant.advance(at(20));
        assert_eq!(plant.load(Site::ROOT).0, [Amps::whole(-8), Amps::whole(2), Amps::whole(-8)]);
    }

    #[test]
    fn the_same_script_gives_the_same_truth_in_whatever_spans_time_passes() {
        let actions = vec![(at(1), Action::Arrive(EvseId(0), Car::default()))];
        let script = Script { actions, noise: Amps::whole(2), seed: 7, ..Script::default() };
        let site = site(vec![evse("left")]);
        let (mut one, mut other) = (Plant::new(&site, &script), Plant::new(&site, &script));
        let at_once = one.advance(at(90));
        let bit_by_bit: Vec<Word> =
            (1..=2_000).flat_map(|part| other.advance(Moment::from_millis(part * 45))).collect();
        assert_eq!(format!("{at_once:?}"), format!("{bit_by_bit:?}"));
        assert_eq!(one.load(Site::ROOT), other.load(Site::ROOT));
        let mut third = Plant::new(&site, &Script { seed: 8, ..script });
        third.advance(at(90));
        assert_ne!(one.load(Site::ROOT), third.load(Site::ROOT));
    }

    #[test]
    fn what_is_said_about_a_charger_out_of_reach_is_only_that_it_is() {
        let actions = vec![
            (at(1), Action::Arrive(EvseId(0), Car::default())),
            (at(30), Action::Link(EvseId(0), false)),
            (at(40), Action::Leave(EvseId(0))),
            (at(50), Action::Link(EvseId(0), true)),
        ];
        let site = site(vec![Evse { metering: Some(Duration::from_secs(2)), ..evse("left") }]);
        let mut plant = Plant::new(&site, &Script { actions, ..Script::default() });
        let mut observation = Observation::nothing(&site, 1);
        let mut hear = |plant: &mut Plant, to| {
            plant.advance(to).into_iter().for_each(|word| observation.hear(word));
            observation.reports[0].clone()
        };
        let before = hear(&mut plant, at(29));
        assert_eq!((before.plug, before.epoch), (Plug::Charging, 1));
        assert!(before.measured.is_some_and(|measured| measured.current.most() == Amps::milli(5_500)), "{before:?}");
        let away = hear(&mut plant, at(45));
        assert_eq!((away.plug, away.link), (Plug::Charging, Link::Down { since: at(30) }));
        assert_eq!(away.measured.unwrap().at, Moment::from_millis(28_100));
        let back = hear(&mut plant, at(51));
        assert_eq!((back.plug, back.link, back.epoch), (Plug::Available, Link::Up { since: at(50) }, 2));
        assert_eq!(back.session, None);
    }

    #[test]
    fn a_silent_meter_gives_faults_and_no_samples() {
        let actions = vec![(at(5), Action::Voice(MeterId(0), Voice::Silent))];
        let mut plant = Plant::new(&site(vec![]), &Script { actions, ..Script::default() });
        let is_sample = |word: &Word| matches!(word, Word::Sample(..));
        assert_eq!(plant.advance(Moment::from_millis(4_900)).iter().filter(|word| is_sample(word)).count(), 4);
        let words = plant.advance(at(10));
        assert!(!words.is_empty() && !words.iter().any(is_sample), "{words:?}");
    }
}
