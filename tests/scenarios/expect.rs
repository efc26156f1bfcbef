//! What may a scenario expect? Something of a circuit's phase or of an EVSE, always or at some time in a span.

use headroom::sim::{Frame, TICK};
use headroom::site::{CircuitId, EvseId, Site};
use headroom::units::{Amps, Phase};
use serde::Deserialize;

/// One `[[expect]]` table. Everything that it names must hold, in each moment of the span (or, with `ever`, in one).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// Seconds, both included.
    between: [f64; 2],
    /// The circuit; default: the grid connection.
    circuit: Option<String>,
    /// Default: each phase.
    phase: Option<Phase>,
    evse: Option<String>,
    #[serde(default)]
    ever: bool,
    // Of the phase, in truth.
    load_below_a: Option<f64>,
    load_above_a: Option<f64>,
    /// The house and all that the chargers offer to cars that are there.
    granted_at_most_a: Option<f64>,
    /// Above the fuse, summed over the span (A·s).
    overload_as_below: Option<f64>,
    /// Of the whole site, net.
    power_below_kw: Option<f64>,
    /// Of all cars together.
    cars_below_kw: Option<f64>,
    /// What one phase carries more than another, at the grid connection.
    unbalance_below_a: Option<f64>,
    // Of the EVSE's car, in truth.
    draw_at_most_a: Option<f64>,
    draw_at_least_a: Option<f64>,
    starts_at_most: Option<u32>,
    // Of the EVSE's setpoint.
    setpoint_a: Option<f64>,
    at_most_a: Option<f64>,
    at_least_a: Option<f64>,
    reason: Option<String>,
    on_at_least_s: Option<f64>,
    /// Of one EVSE, or of all.
    setpoints_at_most: Option<u32>,
}

pub struct Expect {
    raw: Raw,
    table: String,
    circuit: CircuitId,
    evse: Option<EvseId>,
    moments: u32,
    good_moments: u32,
    first_wrong: Option<String>,
    overload_milliamp_ticks: i64,
    on_ticks: u32,
    starts: u32,
    setpoints: u32,
    was_drawing: bool,
}

impl Expect {
    pub fn read(table: toml::Table, site: &Site) -> Self {
        let text = toml::to_string(&table).unwrap().trim().replace('\n', ", ");
        let raw: Raw = table.try_into().unwrap_or_else(|fault| panic!("{text}: {fault}"));
        let circuit =
            raw.circuit.as_ref().map(|id| site.circuits.iter().position(|circuit| circuit.id == *id).unwrap());
        let evse = raw.evse.as_ref().map(|id| EvseId(site.evses.iter().position(|evse| evse.id == *id).unwrap()));
        let of_evse = raw.draw_at_most_a.or(raw.draw_at_least_a).or(raw.setpoint_a).or(raw.at_most_a);
        let of_evse = of_evse.or(raw.at_least_a).or(raw.on_at_least_s).is_some();
        assert!(evse.is_some() || !(of_evse || raw.reason.is_some() || raw.starts_at_most.is_some()), "{text}: evse?");
        Expect {
            circuit: CircuitId(circuit.unwrap_or(0)),
            evse,
            table: text,
            raw,
            moments: 0,
            good_moments: 0,
            first_wrong: None,
            overload_milliamp_ticks: 0,
            on_ticks: 0,
            starts: 0,
            setpoints: 0,
            was_drawing: false,
        }
    }

    pub fn see(&mut self, frame: &Frame<'_>, site: &Site) {
        let at = frame.plant.now().as_millis() as f64 / 1000.0;
        let is_drawing = self.evse.is_some_and(|evse| frame.plant.draw(evse).most().is_positive());
        let has_started = is_drawing && !std::mem::replace(&mut self.was_drawing, is_drawing);
        if !(self.raw.between[0]..=self.raw.between[1]).contains(&at) {
            return;
        }
        self.moments += 1;
        self.count(frame, site, has_started);
        let wrong = self
            .wrong_phase(frame, site)
            .or_else(|| self.wrong_power(frame, site))
            .or_else(|| self.wrong_balance(frame))
            .or_else(|| self.wrong_evse(frame));
        match wrong {
            None => self.good_moments += 1,
            Some(wrong) => drop(self.first_wrong.get_or_insert(format!("at {at} s {wrong}"))),
        }
    }

    pub fn fault(&self) -> Option<String> {
        let per_second = 1.0 / TICK.as_secs_f64();
        let overload = self.overload_milliamp_ticks as f64 / 1000.0 / per_second;
        let on = f64::from(self.on_ticks) / per_second;
        let raw = &self.raw;
        let fault = match () {
            () if self.moments == 0 => "nothing runs then".to_owned(),
            () if raw.ever && self.good_moments == 0 => "never".to_owned(),
            () if !raw.ever && self.first_wrong.is_some() => self.first_wrong.clone()?,
            () if raw.overload_as_below.is_some_and(|most| overload >= most) => format!("it is {overload:.1} A·s"),
            () if raw.on_at_least_s.is_some_and(|least| on < least) => format!("it is {on} s"),
            () if raw.starts_at_most.is_some_and(|most| self.starts > most) => format!("they are {}", self.starts),
            () if raw.setpoints_at_most.is_some_and(|most| self.setpoints > most) => {
                format!("they are {}", self.setpoints)
            }
            () => return None,
        };
        Some(format!("  [{}]: {fault}", self.table))
    }

    fn phases(&self, site: &Site) -> Vec<Phase> {
        self.raw.phase.map_or_else(|| site.wiring.phases().iter().collect(), |phase| vec![phase])
    }

    fn count(&mut self, frame: &Frame<'_>, site: &Site, has_started: bool) {
        for phase in self.phases(site) {
            let over = frame.plant.load(self.circuit)[phase] - site.circuit(self.circuit).limit[phase];
            self.overload_milliamp_ticks += i64::from(over.as_milli().max(0));
        }
        let setpoint = self.evse.and_then(|evse| frame.decision.setpoints.get(evse.0));
        self.on_ticks += u32::from(setpoint.is_some_and(|setpoint| setpoint.amps.is_positive()));
        self.starts += u32::from(has_started);
        let sent = frame.orders.iter().filter(|order| self.evse.is_none_or(|evse| order.evse == evse));
        self.setpoints += sent.count() as u32;
    }

    fn wrong_phase(&self, frame: &Frame<'_>, site: &Site) -> Option<String> {
        self.phases(site).into_iter().find_map(|phase| {
            let load = frame.plant.load(self.circuit)[phase];
            let is_there = |evse: &EvseId| site.feeds(self.circuit, *evse) && frame.plant.plug(*evse).has_car();
            let offers =
                site.evse_ids().filter(is_there).filter(|evse| site.evse(*evse).rotation.phases().contains(phase));
            let granted = frame.plant.house(self.circuit)[phase] + offers.map(|evse| frame.plant.offer(evse)).sum();
            let raw = &self.raw;
            match () {
                () if raw.load_below_a.is_some_and(|most| load.as_f64() >= most) => Some(format!("{phase}: {load}")),
                () if raw.load_above_a.is_some_and(|least| load.as_f64() <= least) => Some(format!("{phase}: {load}")),
                () if raw.granted_at_most_a.is_some_and(|most| granted.as_f64() > most) => {
                    Some(format!("{phase}: {granted} granted"))
                }
                () => None,
            }
        })
    }

    fn wrong_power(&self, frame: &Frame<'_>, site: &Site) -> Option<String> {
        let all = f64::from(frame.plant.flow(Site::ROOT).watts.0.iter().sum::<i32>()) / 1000.0;
        let watts = |evse: EvseId| frame.plant.plugged(evse).map_or(0, |car| car.watts());
        let cars = f64::from(site.evse_ids().map(watts).sum::<i32>()) / 1000.0;
        let is_over = |kilowatts: f64, most: Option<f64>| most.is_some_and(|most| kilowatts >= most);
        let is_wrong = is_over(all, self.raw.power_below_kw) || is_over(cars, self.raw.cars_below_kw);
        is_wrong.then(|| format!("{all} kW, {cars} kW of it cars'"))
    }

    fn wrong_balance(&self, frame: &Frame<'_>) -> Option<String> {
        let load = frame.plant.load(Site::ROOT);
        let apart = load.most() - load.0.into_iter().min().unwrap_or_default();
        self.raw.unbalance_below_a.filter(|most| apart.as_f64() >= *most).map(|_| format!("{apart} apart"))
    }

    fn wrong_evse(&self, frame: &Frame<'_>) -> Option<String> {
        let evse = self.evse?;
        let draw = frame.plant.draw(evse).most();
        let raw = &self.raw;
        let is_off = |amps: Amps, least: Option<f64>, most: Option<f64>| {
            least.is_some_and(|least| amps.as_f64() < least) || most.is_some_and(|most| amps.as_f64() > most)
        };
        if is_off(draw, raw.draw_at_least_a, raw.draw_at_most_a) {
            return Some(format!("it takes {draw}"));
        }
        let is_about_setpoint = raw.setpoint_a.or(raw.at_most_a).or(raw.at_least_a).is_some() || raw.reason.is_some();
        if !is_about_setpoint {
            return None;
        }
        let Some(setpoint) = frame.decision.setpoints.get(evse.0) else { return Some("there is no setpoint".into()) };
        let wrong = is_off(setpoint.amps, raw.at_least_a, raw.at_most_a)
            || is_off(setpoint.amps, raw.setpoint_a, raw.setpoint_a)
            || raw.reason.as_ref().is_some_and(|reason| reason != setpoint.because.code());
        wrong.then(|| format!("it is told {} ({})", setpoint.amps, setpoint.because.code()))
    }
}
