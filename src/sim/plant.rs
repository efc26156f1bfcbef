//! What happens at a site in truth? House, sun, cars, chargers and meters, seeded, told the time.
//!
//! Time passes in ticks (of 100 ms, if the script says nothing else): the same script gives the same truth to the last
//! milliampere. In each tick the script happens, orders arrive, leases end, cars follow, meters sample, chargers report.
//! Where nothing can change, nothing is reckoned: stands sleep until their next change, and sums are kept until then.

use super::car::{Connection, Plugged, VOLTS};
use super::charger::{Charger, Ears};
use super::curve::Curve;
use super::flow::{Flow, Flows};
use super::meter::VirtualMeter;
use super::outside::Outside;
use super::script::{Action, Script};
use super::stand::Stand;
use crate::control::observation::{Generation, Link, Plug, Session};
use crate::control::{HangUp, Order, Word};
use crate::site::{CircuitId, EvseId, MeterId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase, Phase, PhaseSet};

/// The plant's usual time step: a tenth of the fastest usual meter interval.
pub const TICK: Duration = Duration::from_millis(100);

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
    flows: Flows,
    /// The sums hold until then, unless something happens.
    flows_until: Moment,
    meters: Vec<VirtualMeter>,
    stands: Vec<Stand>,
    /// When each stand lives next, and the first of these times.
    wakes: Vec<Moment>,
    first_wake: Moment,
    inverter_due: Moment,
    is_gateway_alive: bool,
    outside: Outside,
    sessions: i64,
}

impl Plant {
    /// At its start: no load, no sun, no cars, all chargers connected, all meters clear.
    pub fn new(site: &Site, script: &Script) -> Self {
        let stand = |(index, evse)| {
            // Chargers do not all measure in the same tick.
            let measure_at = Moment::START + script.tick * (1 + index as u32 % 9);
            Stand::new(Charger::new(evse, script, index), evse.metering, measure_at)
        };
        let mut plant = Plant {
            house: vec![PerPhase::default(); site.circuits.len()],
            sun: Curve::default(),
            flows: Flows::new(site),
            flows_until: Moment::START,
            meters: (0..site.meters.len()).map(|meter| VirtualMeter::new(site, MeterId(meter), script)).collect(),
            stands: site.evses.iter().enumerate().map(stand).collect(),
            wakes: vec![Moment::START; site.evses.len()],
            first_wake: Moment::START,
            inverter_due: Moment::START + INVERTER_INTERVAL,
            site: site.clone(),
            script: script.clone(),
            acted: 0,
            now: Moment::START,
            is_gateway_alive: true,
            outside: Outside::default(),
            sessions: 0,
        };
        plant.reckon();
        plant
    }

    /// Lets time pass up to `to`; returns what meters and chargers said meanwhile, in order.
    pub fn advance(&mut self, to: Moment) -> Vec<Word> {
        let mut words = Vec::new();
        self.advance_into(to, &mut words);
        words
    }

    /// The same, added to `words`.
    pub fn advance_into(&mut self, to: Moment, words: &mut Vec<Word>) {
        let step = self.step();
        while self.now + step <= to {
            self.now = self.now + step;
            self.tick(words);
        }
    }

    /// Its time step.
    pub fn step(&self) -> Duration {
        self.script.tick.max(Duration::from_millis(1))
    }

    /// An order leaves for its charger.
    pub fn obey(&mut self, order: &Order) {
        let now = self.now;
        if let Some(stand) = self.stands.get_mut(order.evse.0) {
            stand.charger.send(*order, now);
            self.wake(order.evse);
        }
    }

    /// The gateway hangs up on a charger. Each charger has a connection of its own here.
    pub fn hang_up(&mut self, hang_up: &HangUp) {
        let now = self.now;
        if hang_up.evse.0 < self.stands.len() {
            self.awake(hang_up.evse).charger.hang_up(hang_up.until, now);
        }
    }

    /// Makes something happen now.
    pub fn act(&mut self, action: &Action) {
        self.happen(action);
        self.reckon();
    }

    fn happen(&mut self, action: &Action) {
        let now = self.now;
        self.flows_until = now;
        match action {
            Action::Load { circuit, amps, over } => {
                for phase in Phase::ALL {
                    self.house[circuit.0][phase].add(now, i64::from(amps[phase].as_milli()), *over);
                }
            }
            Action::Sun { watts, over } => self.sun.head_for(now, i64::from(*watts), *over),
            Action::Arrive(id, car) => {
                let evse = &self.site.evses[id.0];
                let connection = Connection::of(car, &evse.rotation, self.site.wiring);
                self.stands[id.0].arrive(car, Connection { volts: self.site.volts(), ..connection }, now);
                self.wake(*id);
            }
            Action::Leave(evse) => self.awake(*evse).leave(),
            Action::Stop(evse) => self.awake(*evse).stop(),
            Action::Ears(evse, ears) => self.awake(*evse).charger.ears = *ears,
            Action::Link(evse, is_up) => self.awake(*evse).charger.set_link(*is_up, now),
            Action::Network(evse, network) => self.awake(*evse).charger.network = *network,
            Action::Reboot(evse, lasts) => self.awake(*evse).charger.reboot(now, *lasts),
            Action::Voice(meter, voice) => self.meters[meter.0].voice = *voice,
            Action::TimeOfDay(_) | Action::Cloud(_) | Action::Policy(_) => self.outside.happen(action, now),
            Action::Gateway(is_alive) => {
                self.is_gateway_alive = *is_alive;
                self.site.evse_ids().for_each(|evse| self.awake(evse).charger.set_gateway(*is_alive, now));
            }
        }
    }

    /// What the gateway hears from outside.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// The time that it has lived up to.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// The current through this circuit.
    pub fn load(&self, circuit: CircuitId) -> PerPhase<Amps> {
        self.flow(circuit).current
    }

    /// Current and power through this circuit.
    pub fn flow(&self, circuit: CircuitId) -> Flow {
        self.flows.load(circuit)
    }

    /// The current through this circuit without cars; the sun counts against it at the grid connection.
    pub fn house(&self, circuit: CircuitId) -> PerPhase<Amps> {
        self.flows.house(circuit).current
    }

    /// What a car takes, on the site's phases.
    pub fn draw(&self, evse: EvseId) -> PerPhase<Amps> {
        self.site.evse(evse).rotation.to_site(&self.own_draw(evse))
    }

    /// What a car takes, on the charger's own terminals.
    pub fn own_draw(&self, evse: EvseId) -> PerPhase<Amps> {
        self.stands[evse.0].draw()
    }

    /// The car that is there.
    pub fn plugged(&self, evse: EvseId) -> Option<&Plugged> {
        self.stands[evse.0].plugged()
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
        self.stands[evse.0].session(self.now)
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

    /// Its stand, which will live the next tick.
    fn awake(&mut self, evse: EvseId) -> &mut Stand {
        self.wake(evse);
        &mut self.stands[evse.0]
    }

    fn wake(&mut self, evse: EvseId) {
        self.wakes[evse.0] = Moment::START;
        self.first_wake = Moment::START;
    }

    fn tick(&mut self, words: &mut Vec<Word>) {
        let now = self.now;
        while let Some((at, action)) = self.script.actions.get(self.acted)
            && *at <= now
        {
            let action = action.clone();
            self.acted += 1;
            self.happen(&action);
        }
        let has_awake = self.first_wake <= now;
        if has_awake {
            self.live(now);
        }
        if self.flows_until <= now {
            self.reckon();
        }
        for (meter, known) in self.meters.iter_mut().zip(&self.site.meters) {
            meter.live(now, || self.flows.load(known.circuit), words);
        }
        if now >= self.inverter_due {
            self.inverter_due = now + INVERTER_INTERVAL;
            // An inverter sleeps at night and says nothing.
            let watts = self.sun();
            words.extend((watts > 0).then_some(Word::Generation(0, Generation { at: now, watts })));
        }
        if has_awake {
            self.report(now, words);
        }
    }

    fn live(&mut self, now: Moment) {
        let step = self.step();
        for (stand, wakes) in self.stands.iter_mut().zip(&self.wakes) {
            if *wakes <= now {
                let before = stand.draw();
                stand.live(now, step, &mut self.sessions);
                if stand.draw() != before {
                    self.flows_until = now;
                }
            }
        }
    }

    /// Those that have lived tell what has changed, and sleep until their next change.
    fn report(&mut self, now: Moment, words: &mut Vec<Word>) {
        let mut first = Moment::from_millis(u64::MAX);
        for (index, (stand, wakes)) in self.stands.iter_mut().zip(&mut self.wakes).enumerate() {
            if *wakes <= now {
                words.extend(stand.report().map(|report| Word::Report(EvseId(index), report)));
                *wakes = stand.wakes_at(now);
            }
            first = first.min(*wakes);
        }
        self.first_wake = first;
    }

    /// Sums anew what flows everywhere, and says until when it holds.
    fn reckon(&mut self) {
        let (now, script) = (self.now, &self.script);
        let never = Moment::from_millis(u64::MAX);
        let (measured, measured_until) =
            script.base.as_ref().map_or((PerPhase::default(), never), |trace| trace.held(now));
        let solar_until = script.solar.as_ref().map_or(never, |trace| trace.held(now).1);
        let noise_until = match script.noise.is_positive() {
            true => Moment::from_millis((now.as_millis() / 1000 + 1) * 1000),
            false => never,
        };
        let moves = |curve: &Curve| curve.is_moving(now);
        let is_moving = moves(&self.sun) || self.house.iter().any(|house| house.0.iter().any(moves));
        self.flows_until = if is_moving { now } else { measured_until.min(solar_until).min(noise_until) };

        let sun = sun_current(script.sunny, self.sun());
        let root =
            PerPhase::from_fn(|phase| script.noise_at(now, phase) + i64::from(measured[phase].as_milli()) - sun[phase]);
        let house = &self.house;
        self.flows.begin(|circuit| {
            let own = |phase: Phase| house[circuit.0][phase].at(now);
            let extra = |phase: Phase| if circuit == Site::ROOT { root[phase] } else { 0 };
            PerPhase::from_fn(|phase| (own(phase) + extra(phase)) as f64).0
        });
        for (stand, evse) in self.stands.iter().zip(&self.site.evses) {
            let own = stand.draw();
            if own.most().is_positive() {
                self.flows.add_car(evse.circuit, &evse.rotation, &own);
            }
        }
        self.flows.sum_up();
    }
}

/// Milliamperes that the inverter gives.
fn sun_current(sunny: PhaseSet, watts: i32) -> PerPhase<i64> {
    let each = i64::from(watts) * 1000 / VOLTS / (sunny.count() as i64).max(1);
    PerPhase::from_fn(|phase| if sunny.contains(phase) { each } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::observation::Observation;
    use crate::sim::car::Car;
    use crate::sim::meter::Voice;
    use crate::sim::tests::{evse, site};
    use crate::site::{Evse, LapseClass, Rotation, Wiring};

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
    fn without_a_neutral_lines_carry_phasor_sums_of_house_car_and_sun() {
        let between = Evse { rotation: Rotation::parse("RS").unwrap(), most: Amps::whole(32), ..evse("left") };
        let site = Site { wiring: Wiring::Delta, ..site(vec![between]) };
        let house = PerPhase([Amps::ZERO, Amps::whole(10), Amps::ZERO]);
        let actions = vec![
            (at(1), Action::Load { circuit: Site::ROOT, amps: house, over: Duration::ZERO }),
            (at(2), Action::Arrive(EvseId(0), Car { most: Amps::whole(20), ..Car::default() })),
            (at(60), Action::Sun { watts: 10 * 230, over: Duration::ZERO }),
        ];
        let script = Script { actions, sunny: PhaseSet::one(Phase::L3), ..Script::default() };
        let mut plant = Plant::new(&site, &script);
        plant.obey(&order(32, 600));
        plant.advance(at(50));
        // 20 A between L1 and L2, 10 A between L2 and L3: √(20² + 10² + 200) A in the line they share.
        assert_eq!(plant.load(Site::ROOT).0.map(Amps::as_milli), [20_000, 26_458, 10_000]);
        assert_eq!(plant.draw(EvseId(0)).0, [Amps::whole(20), Amps::whole(20), Amps::ZERO]);
        assert_eq!(plant.flow(Site::ROOT).watts.0.iter().sum::<i32>(), 30 * 230);
        plant.advance(at(61));
        // The sun gives 10 A between L3 and L1: L1 falls only to √(20² + 10² − 200) A, L3 rises to 10 A less 10 A at 120°.
        let (load, house) = (plant.load(Site::ROOT), plant.house(Site::ROOT));
        assert_eq!(load.0.map(Amps::as_milli), [17_321, 26_458, 10_000]);
        assert_eq!(house.0.map(|amps| amps.as_milli().abs()), [10_000, 10_000, 10_000]);
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

    #[test]
    fn a_stand_that_sleeps_misses_nothing() {
        // One is looked at and woken in each tick, the other sleeps as long as it may.
        let car = Car { phases: 1, wants_wh: Some(400), taper_wh: 200, ..Car::default() };
        let actions = vec![(at(1), Action::Arrive(EvseId(0), car)), (at(1_500), Action::Link(EvseId(0), false))];
        let site = site(vec![Evse { lapse: LapseClass::B, lease: Duration::from_secs(60), ..evse("left") }]);
        let script = Script { actions, ..Script::default() };
        let (mut awake, mut asleep) = (Plant::new(&site, &script), Plant::new(&site, &script));
        awake.obey(&order(16, 60));
        asleep.obey(&order(16, 60));
        for tick in 1..=20_000 {
            let now = Moment::from_millis(tick * 100);
            awake.wake(EvseId(0));
            let told = (format!("{:?}", awake.advance(now)), format!("{:?}", asleep.advance(now)));
            assert_eq!(told.0, told.1, "at {} ms", tick * 100);
            let id = EvseId(0);
            let truth = |plant: &Plant| (plant.load(Site::ROOT), plant.offer(id), plant.plug(id), plant.session(id));
            assert_eq!(truth(&awake), truth(&asleep), "at {} ms", tick * 100);
        }
        assert_eq!(asleep.offer(EvseId(0)), Amps::whole(6));
        assert_eq!(asleep.session(EvseId(0)).and_then(|session| session.energy_wh), Some(400));
    }
}
