//! Who came, when, and for how much? Charging sessions from a CSV file, repeated, as cars that arrive and leave.

use super::car::Car;
use super::file::Scenario;
use super::script::Action;
use crate::control::observation::Need;
use crate::policy::{Class, Policy, Principal, Token, normalise};
use crate::site::{Evse, EvseId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, Phase, PhaseSet};

/// The columns, and the only heading that there may be.
pub const FORM: &str = "arrival,departure,evse,energy_kwh,phases,max_a,priority";

/// Sessions that a file may have: years of a large site. A longer file is refused, not cut.
const LINES_MOST: usize = 1_000_000;
/// Whoever stays on after the end is watched for so long.
const LONGEST_AFTER: Duration = Duration::from_secs(86_400);
/// Sessions that a run may have, repeats included.
const VISITS_MOST: usize = 4_000_000;
/// More seconds than any file reaches: thirty years.
const SECONDS_MOST: f64 = 1e9;
/// More than any battery holds, in kWh.
const ENERGY_MOST: f64 = 10_000.0;
/// More than any car takes from one phase.
const AMPS_MOST: f64 = 1_000.0;
/// A trace is repeated after whole days, so that mornings stay mornings.
const DAY_MILLIS: u64 = 86_400_000;

/// One car's stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Plugs in.
    pub arrival: Moment,
    /// Unplugs; later than that.
    pub departure: Moment,
    /// Where.
    pub evse: EvseId,
    /// Wants so much.
    pub energy_wh: i64,
    /// The charger's terminals that the car uses: the first of them, and how many.
    pub terminals: (usize, usize),
    /// The most that the car takes, each phase.
    pub most: Amps,
    /// −9…9, higher first.
    pub priority: i8,
}

/// Reads sessions, one a line; their order does not matter. Lines that are empty or begin with `#` are passed over.
///
/// # Errors
/// The first line that is wrong, by its number and what is wrong with it.
pub fn read(text: &str, site: &Site) -> Result<Vec<Visit>, String> {
    let mut visits = Vec::new();
    let mut is_begun = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let is_first = !std::mem::replace(&mut is_begun, true);
        if is_first && line.split(',').map(str::trim).eq(FORM.split(',')) {
            continue;
        }
        if visits.len() == LINES_MOST {
            return Err(format!("line {}: more than {LINES_MOST} sessions", index + 1));
        }
        visits.push(visit(line, site).map_err(|what| format!("line {}: {what}: `{line}`", index + 1))?);
    }
    if visits.is_empty() { Err(format!("no lines of `{FORM}`")) } else { Ok(visits) }
}

impl Scenario {
    /// Lets these sessions be the cars of this scenario, whatever it had before; repeated until it ends, and until those
    /// have left who came before (for [`LONGEST_AFTER`] at most): half a stay would say nothing of what it got. At one EVSE
    /// whoever comes ends the stay of the one before him. The cars are of this `kind`, but for what a session says. Where
    /// `is_known`, drivers say when they leave and how much they want.
    ///
    /// # Errors
    /// Too many sessions, for people.
    pub fn visit(&mut self, visits: &[Visit], kind: &Car, is_known: bool) -> Result<(), String> {
        let is_car = |action: &Action| matches!(action, Action::Arrive(..) | Action::Leave(_) | Action::Stop(_));
        self.script.actions.retain(|(_, action)| !is_car(action));
        let mut stays = repeated(visits, self.span)?;
        // By EVSE, then time; of two at the same time the later line stays.
        stays.sort_by_key(|visit| (visit.evse, visit.arrival));
        for index in 0..stays.len() {
            let Visit { evse, arrival, .. } = stays[index];
            let next = stays.get(index + 1).filter(|next| next.evse == evse).map(|next| next.arrival);
            let departure = next.map_or(stays[index].departure, |next| next.min(stays[index].departure));
            if departure > arrival {
                stays[index].departure = departure;
                self.script.actions.push((arrival, Action::Arrive(evse, stays[index].car(kind, is_known))));
                self.script.actions.push((departure, Action::Leave(evse)));
            }
        }
        let last = stays.iter().map(|stay| stay.departure).max().unwrap_or(Moment::START);
        self.after = last.since(Moment::START + self.span).min(LONGEST_AFTER);
        // Whoever leaves leaves before the next one comes.
        self.script.actions.sort_by_key(|(at, action)| (*at, matches!(action, Action::Arrive(..))));
        admit(&mut self.policy, visits);
        Ok(())
    }
}

impl Visit {
    fn car(&self, kind: &Car, is_known: bool) -> Car {
        let (first, phases) = self.terminals;
        let told = Need { departs: Some(self.departure), wants_wh: Some(self.energy_wh) };
        Car {
            phases,
            first,
            most: self.most,
            wants_wh: Some(self.energy_wh),
            token: (self.priority != 0).then(|| token(self.priority)),
            told: if is_known { told } else { Need::default() },
            ..kind.clone()
        }
    }
}

/// All that begin within `span`.
fn repeated(visits: &[Visit], span: Duration) -> Result<Vec<Visit>, String> {
    let end = Moment::START + span;
    let last = visits.iter().map(|visit| visit.departure.as_millis()).max().unwrap_or(0);
    let period = Duration::from_millis(last.div_ceil(DAY_MILLIS).max(1) * DAY_MILLIS);
    let mut stays = Vec::new();
    let mut shift = Duration::ZERO;
    while shift < span && !visits.is_empty() {
        let shifted = visits.iter().map(|visit| Visit {
            arrival: visit.arrival + shift,
            departure: visit.departure + shift,
            ..*visit
        });
        stays.extend(shifted.filter(|visit| visit.arrival < end));
        if stays.len() > VISITS_MOST {
            return Err(format!("more than {VISITS_MOST} sessions in {} days", span.as_secs() / 86_400));
        }
        shift += period;
    }
    Ok(stays)
}

/// A class for each priority that occurs; 0 is what whoever plugs in without a token has.
fn admit(policy: &mut Policy, visits: &[Visit]) {
    for priority in (-9..=9).filter(|priority| *priority != 0) {
        let id = format!("priority{priority}");
        if !visits.iter().any(|visit| visit.priority == priority) || policy.classes.iter().any(|class| *class.id == *id)
        {
            continue;
        }
        policy.classes.push(Class { id: id.as_str().into(), priority, weight: 1, ceiling: None, new_sessions: true });
        let class = policy.classes.len() - 1;
        policy.principals.push(Principal { id, alias: None, class, evses: None, valid_until: None });
        let principal = policy.principals.len() - 1;
        policy.tokens.insert(normalise(&token(priority)), Token::of(principal));
    }
}

/// The card of everybody with this priority.
fn token(priority: i8) -> String {
    format!("sim{}{}", if priority < 0 { "minus" } else { "plus" }, priority.abs())
}

fn visit(line: &str, site: &Site) -> Result<Visit, String> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let Ok([arrival, departure, evse, energy, phases, most, priority]) = <[&str; 7]>::try_from(cells) else {
        return Err(format!("not `{FORM}`"));
    };
    let at = |cell: &str, name: &str| {
        let seconds = number(cell, name, 0.0, SECONDS_MOST)?;
        Ok::<_, String>(Moment::from_millis((seconds * 1000.0).round() as u64))
    };
    let (arrival, departure) = (at(arrival, "arrival")?, at(departure, "departure")?);
    if departure <= arrival {
        return Err("its departure is not after its arrival".into());
    }
    let id = site.evses.iter().position(|known| known.id == evse).map(EvseId).ok_or_else(|| {
        let ids: Vec<&str> = site.evses.iter().map(|evse| evse.id.as_str()).collect();
        format!("no evse `{evse}`; there are {}", ids.join(", "))
    })?;
    let priority = priority.parse().ok().filter(|priority| (-9..=9).contains(priority));
    Ok(Visit {
        arrival,
        departure,
        evse: id,
        energy_wh: (number(energy, "energy_kwh", 0.0, ENERGY_MOST)? * 1000.0).round() as i64,
        terminals: terminals(phases, site.evse(id))?,
        most: Amps::from_f64(number(most, "max_a", 0.0, AMPS_MOST)?).unwrap_or_default(),
        priority: priority.ok_or("priority is not a whole number from -9 to 9")?,
    })
}

fn number(cell: &str, name: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = cell.parse().ok().filter(|number: &f64| (least..=most).contains(number));
    number.ok_or_else(|| format!("{name} is not a number from {least} to {most}"))
}

/// The terminals that a car uses: counted from the charger's first, or those fed by these site phases.
fn terminals(text: &str, evse: &Evse) -> Result<(usize, usize), String> {
    use Phase::{L1, L2, L3};
    let named: &[Phase] = match text {
        "1" | "2" | "3" => {
            let count = usize::from(text.as_bytes()[0] - b'0');
            return Ok((0, count.min(evse.rotation.wired())));
        }
        "L1" => &[L1],
        "L2" => &[L2],
        "L3" => &[L3],
        "L1L2" => &[L1, L2],
        "L2L3" => &[L2, L3],
        "L3L1" => &[L3, L1],
        _ => return Err("phases is none of 1, 2, 3, L1, L2, L3, L1L2, L2L3, L3L1".into()),
    };
    let set = named.iter().fold(PhaseSet::NONE, |set, phase| set.with(*phase));
    let unwired = || format!("evse `{}` is not wired to {text}", evse.id);
    if evse.rotation.lines().is_some() {
        // Between two lines there is one terminal, and both lines are named.
        return if set == evse.rotation.phases() { Ok((0, 1)) } else { Err(unwired()) };
    }
    let fed = |terminal: usize| evse.rotation.site_phase(terminal % 3).is_some_and(|phase| set.contains(phase));
    // Any one or two of three terminals stand in a row, the third before the first.
    let first = (0..evse.rotation.wired()).find(|first| (*first..first + named.len()).all(fed));
    first.map(|first| (first, named.len())).ok_or_else(unwired)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tests::{evse, site};
    use crate::sim::{Plant, Script};
    use crate::site::Rotation;
    use crate::units::PerPhase;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn garage() -> Site {
        let turned = Evse { rotation: Rotation::parse("TRS").unwrap(), ..evse("turned") };
        let single = Evse { rotation: Rotation::parse("S").unwrap(), ..evse("single") };
        let between = Evse { rotation: Rotation::parse("ST").unwrap(), ..evse("between") };
        site(vec![evse("left"), turned, single, between])
    }

    fn scenario(span_s: u64) -> Scenario {
        let site = garage();
        Scenario {
            about: String::new(),
            policy: Policy::open(site.evses.len()),
            site,
            script: Script::default(),
            span: Duration::from_secs(span_s),
            after: Duration::ZERO,
            expect: Vec::new(),
        }
    }

    fn happens(scenario: &Scenario) -> Vec<(u64, &'static str, usize)> {
        let word = |action: &Action| match action {
            Action::Arrive(evse, _) => ("arrives", evse.0),
            Action::Leave(evse) => ("leaves", evse.0),
            other => panic!("{other:?}"),
        };
        let actions = scenario.script.actions.iter();
        actions.map(|(at, action)| (at.as_millis() / 1000, word(action).0, word(action).1)).collect()
    }

    #[test]
    fn lines_are_read_in_whatever_order_with_or_without_the_heading() {
        let text = format!("# from home\n{FORM}\n\n3600, 7200.5, left, 12.3456, 3, 16, -2\n0,60,single,1,1,10.5,9\n");
        let visits = read(&text, &garage()).unwrap();
        let first = Visit {
            arrival: at(3_600),
            departure: Moment::from_millis(7_200_500),
            evse: EvseId(0),
            energy_wh: 12_346,
            terminals: (0, 3),
            most: Amps::whole(16),
            priority: -2,
        };
        assert_eq!((visits[0], visits[1].most, visits.len()), (first, Amps::milli(10_500), 2));
    }

    #[test]
    fn a_wrong_line_is_named_with_what_is_wrong() {
        for (line, fault) in [
            ("0,60,left,1,1,16", "line 2: not `arrival,"),
            ("0,60,left,1,1,16,0,0", "line 2: not `arrival,"),
            ("60,60,left,1,1,16,0", "departure is not after its arrival"),
            ("-1,60,left,1,1,16,0", "arrival is not a number from 0"),
            ("0,inf,left,1,1,16,0", "departure is not a number"),
            ("0,60,left,NaN,1,16,0", "energy_kwh is not a number"),
            ("0,60,left,1,4,16,0", "phases is none of 1, 2, 3, L1"),
            ("0,60,left,1,1,1e9,0", "max_a is not a number"),
            ("0,60,left,1,1,16,10", "priority is not a whole number from -9 to 9"),
            ("0,60,right,1,1,16,0", "no evse `right`; there are left, turned, single, between"),
            ("0,60,single,1,L1,16,0", "evse `single` is not wired to L1"),
            ("0,60,between,1,L2,16,0", "evse `between` is not wired to L2"),
            ("arrival,departure", "not `arrival,"),
        ] {
            let found = read(&format!("0,60,left,1,1,16,0\n{line}\n"), &garage()).unwrap_err();
            assert!(found.contains(fault) && found.starts_with("line 2: "), "{found}");
        }
        assert_eq!(read("# nothing\n", &garage()).unwrap_err(), format!("no lines of `{FORM}`"));
    }

    #[test]
    fn site_phases_are_found_behind_a_rotation() {
        let site = garage();
        let mut scenario = scenario(100);
        for (evse, phases, loads) in [
            ("left", "L2", [0, 1, 0]),
            ("left", "L3L1", [1, 0, 1]),
            ("turned", "1", [0, 0, 1]),
            ("turned", "L1", [1, 0, 0]),
            ("turned", "L2L3", [0, 1, 1]),
            ("turned", "2", [1, 0, 1]),
            ("single", "3", [0, 1, 0]),
            ("between", "L2L3", [0, 1, 1]),
        ] {
            let visits = read(&format!("0,90,{evse},50,{phases},6,0"), &site).unwrap();
            scenario.visit(&visits, &Car::default(), true).unwrap();
            let mut plant = Plant::new(&site, &scenario.script);
            plant.advance(at(60));
            let draw = plant.draw(visits[0].evse);
            let draws = PerPhase::from_fn(|phase| i32::from(draw[phase].is_positive()));
            assert_eq!(draws.0, loads, "{evse} {phases}");
        }
    }

    #[test]
    fn whoever_comes_ends_the_stay_of_the_one_before() {
        let text = "0,100,left,1,1,16,0\n60,90,left,1,1,16,0\n90,120,left,1,1,16,0\n0,50,single,1,1,16,0\n";
        let mut scenario = scenario(1_000);
        scenario.visit(&read(text, &garage()).unwrap(), &Car::default(), false).unwrap();
        let expected = [
            (0, "arrives", 0),
            (0, "arrives", 2),
            (50, "leaves", 2),
            (60, "leaves", 0),
            (60, "arrives", 0),
            (90, "leaves", 0),
            (90, "arrives", 0),
            (120, "leaves", 0),
        ];
        assert_eq!(happens(&scenario), expected);
    }

    #[test]
    fn a_shorter_trace_repeats_after_whole_days_and_ends_with_the_scenario() {
        let mut scenario = scenario(2 * 86_400 + 3_600);
        scenario.visit(&read("3000,7200,left,1,1,16,0", &garage()).unwrap(), &Car::default(), false).unwrap();
        let arrivals: Vec<u64> =
            happens(&scenario).iter().filter(|(_, what, _)| *what == "arrives").map(|(at, ..)| *at).collect();
        assert_eq!(arrivals, [3_000, 89_400, 175_800]);
    }

    #[test]
    fn priorities_become_classes_and_needs_are_told_only_where_they_are_known() {
        let visits = read("0,60,left,1,1,16,-3\n0,60,turned,1,1,16,9\n0,60,single,1,1,16,0", &garage()).unwrap();
        for is_known in [true, false] {
            let mut scenario = scenario(100);
            scenario.visit(&visits, &Car::default(), is_known).unwrap();
            for (at, action) in &scenario.script.actions {
                let Action::Arrive(evse, car) = action else { continue };
                let entitlement = scenario.policy.entitlement(*evse, car.token.as_deref(), None);
                assert_eq!(entitlement.priority, visits[evse.0].priority);
                let told = Need { departs: Some(*at + Duration::from_secs(60)), wants_wh: Some(1_000) };
                assert_eq!(car.told, if is_known { told } else { Need::default() });
            }
        }
    }
}
