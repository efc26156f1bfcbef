//! What must hold at any site on any day? Checked against the plant's truth, in each of its moments.

use super::day::Day;
use headroom::control::{Freshness, Order};
use headroom::policy::Policy;
use headroom::sim::{Action, Ears, Frame, TICK, Voice};
use headroom::site::{CircuitId, Evse, EvseId, LapseClass, Site, Wiring};
use headroom::time::{Duration, Moment};
use headroom::units::{Amps, PerPhase, Phase};
use std::collections::VecDeque;

/// From the step that finds a lost meter (at most 1 s late) to a car that has followed.
const LOST_TO_FALLBACK: Duration = Duration::from_secs(8);
/// Order, lag and the whole ramp of the slowest car here.
const CAR_FOLLOWS: Duration = Duration::from_secs(7);
/// Reasons that come from the car or its charger, and from policy, people or the sun, not from sharing.
const NOT_SHARED: [&[&str]; 2] = [
    &["no_car", "no_session", "unreachable", "disobeys"],
    &["denied", "schedule", "quota", "revoked", "paused", "off", "solar_wait"],
];

fn is_shared(code: &str) -> bool {
    !code.is_empty() && !NOT_SHARED.iter().any(|codes| codes.contains(&code))
}

/// What must hold, by its number among the promises of control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Every setpoint is zero or least…most, and no decision fails its own check.
    Possible,
    /// No raise breaks the ledger or precedes its cut.
    Fits,
    /// What is decided is sent in the same step.
    AtOnce,
    /// No raise within the hold, nor by a stale meter.
    Holds,
    /// A lower priority does not rise on what a higher one lacks.
    Priority,
    /// A lost meter, or a dead gateway, ends in fallback in time.
    FallsBack,
    /// After a house step the overload is gone in time.
    GoneInTime,
    /// Whatever fails, no slow edge trips.
    Trips,
}

pub struct Judge<'a> {
    day: &'a Day,
    /// What the cloud has said last.
    policy: &'a Policy,
    told: Vec<Told>,
    last_cut: Vec<PerPhase<Option<Moment>>>,
    over_since: Vec<PerPhase<Option<Moment>>>,
    heat: Vec<PerPhase<f64>>,
    /// By circuit: the house in truth for as long back as a decision may look.
    houses: Vec<VecDeque<(Moment, PerPhase<Amps>)>>,
    setpoints_before: Vec<Amps>,
    silent_since: Vec<Option<Moment>>,
    frozen: Vec<bool>,
    trouble_until: Vec<Moment>,
    dead_since: Option<Moment>,
    disturbed_until: Moment,
    acted: usize,
    pub faults: Vec<(Point, String)>,
}

/// What an EVSE was told in the moment before.
#[derive(Clone, Copy, Default)]
struct Told {
    amps: Amps,
    code: &'static str,
    session: Option<i64>,
    order: Option<Order>,
    /// Until when a higher limit than that of the last order may stand.
    higher_until: Moment,
}

/// Until when the limits before one that is told now may stand. Those of class C, and of class B in a charger with a meter
/// of its own, until it has been seen to keep to less.
fn lapses(evse: &Evse, now: Moment) -> Moment {
    let runs_out = evse.lapse == LapseClass::A || (evse.lapse == LapseClass::B && evse.metering.is_none());
    if runs_out { now + evse.lease + evse.response } else { Moment::from_millis(u64::MAX) }
}

impl<'a> Judge<'a> {
    pub fn new(day: &'a Day) -> Self {
        let circuits = day.site.circuits.len();
        Judge {
            day,
            policy: &day.policy,
            told: vec![Told::default(); day.site.evses.len()],
            last_cut: vec![PerPhase::default(); circuits],
            over_since: vec![PerPhase::default(); circuits],
            heat: vec![PerPhase::default(); circuits],
            houses: vec![VecDeque::new(); circuits],
            setpoints_before: vec![Amps::ZERO; day.site.evses.len()],
            silent_since: vec![None; day.site.meters.len()],
            frozen: vec![false; day.site.meters.len()],
            trouble_until: vec![Moment::START; day.site.evses.len()],
            dead_since: None,
            disturbed_until: Moment::START,
            acted: 0,
            faults: Vec::new(),
        }
    }

    pub fn see(&mut self, frame: &Frame<'_>) {
        self.follow_the_script(frame.plant.now());
        self.follow_the_house(frame);
        if !frame.decision.setpoints.is_empty() && frame.plant.is_gateway_alive() {
            self.setpoints(frame);
            self.changes(frame);
            self.priorities(frame);
        }
        self.fallbacks(frame);
        self.overloads(frame);
    }

    fn limit(&self, circuit: CircuitId) -> PerPhase<Amps> {
        let fuse = self.day.site.circuit(circuit).limit;
        if circuit == Site::ROOT { self.policy.main_limit(fuse) } else { fuse }
    }

    fn fault(&mut self, now: Moment, point: Point, what: String) {
        if self.faults.iter().filter(|(other, _)| *other == point).count() < 5 {
            self.faults.push((point, format!("{:7.1} s: {what}", now.as_millis() as f64 / 1000.0)));
        }
    }

    /// A house step that no action tells of: a generated house goes its own way.
    fn follow_the_house(&mut self, frame: &Frame<'_>) {
        let unsteady = self.day.script.noise + self.day.script.noise + Amps::milli(500);
        for circuit in self.day.site.circuit_ids() {
            let (now, house) = (frame.plant.now(), frame.plant.house(circuit));
            let houses = &mut self.houses[circuit.0];
            let before = houses.back().map_or(PerPhase::default(), |(_, house)| *house);
            let script = &self.day.script;
            let meter = self.day.site.circuit(circuit).meter.map(|meter| self.day.site.meters[meter.0].interval);
            let late = (meter.unwrap_or_default() * 3).max(self.day.site.tuning.stale_after);
            let window = late + script.meter_latency + script.meter_jitter + script.network.jitter + CAR_FOLLOWS;
            houses.push_back((now, house));
            while houses.front().is_some_and(|(at, _)| now.since(*at) > window) {
                houses.pop_front();
            }
            if Phase::ALL.iter().any(|phase| (house[*phase] - before[*phase]).abs() > unsteady) {
                self.disturbed_until = self.disturbed_until.max(frame.plant.now());
            }
        }
    }

    fn follow_the_script(&mut self, now: Moment) {
        while let Some((at, action)) = self.day.script.actions.get(self.acted)
            && *at <= now
        {
            self.acted += 1;
            let evses = &self.day.site.evses;
            let lasts = match action {
                Action::Load { over, .. } => *over,
                Action::Policy(policy) => {
                    self.policy = policy;
                    Duration::ZERO
                }
                Action::TimeOfDay(_) | Action::Cloud(_) => Duration::ZERO,
                Action::Ears(evse, ears) if *ears != Ears::Heeds => {
                    self.trouble_until[evse.0] = Moment::from_millis(u64::MAX);
                    Duration::ZERO
                }
                Action::Network(evse, network) if *network == self.day.script.network => {
                    self.trouble_until[evse.0] = now + evses[evse.0].lease;
                    Duration::ZERO
                }
                Action::Network(evse, _) | Action::Link(evse, false) => {
                    self.trouble_until[evse.0] = Moment::from_millis(u64::MAX);
                    Duration::ZERO
                }
                // What it missed is told again within half a lease.
                Action::Ears(evse, _) | Action::Link(evse, true) => {
                    self.trouble_until[evse.0] = now + evses[evse.0].lease;
                    Duration::ZERO
                }
                Action::Reboot(evse, lasts) => {
                    self.trouble_until[evse.0] = now + *lasts + evses[evse.0].lease;
                    Duration::ZERO
                }
                Action::Voice(meter, voice) => {
                    // A frozen meter is found only when a car moves; until then nobody can know.
                    self.silent_since[meter.0] = matches!(voice, Voice::Silent | Voice::NotANumber).then_some(now);
                    self.frozen[meter.0] = *voice == Voice::Frozen;
                    Duration::ZERO
                }
                Action::Gateway(false) => {
                    self.dead_since = Some(now);
                    self.told.fill(Told::default());
                    self.setpoints_before.fill(Amps::ZERO);
                    Duration::ZERO
                }
                Action::Gateway(true) => {
                    self.dead_since = None;
                    let longest = evses.iter().map(|evse| evse.lease).max().unwrap_or_default();
                    self.trouble_until.iter_mut().for_each(|until| *until = (*until).max(now + longest));
                    Duration::ZERO
                }
                Action::Arrive(..) | Action::Leave(_) | Action::Stop(_) | Action::Sun { .. } => Duration::ZERO,
            };
            self.disturbed_until = self.disturbed_until.max(*at + lasts);
        }
    }

    /// Zero or least…most, no breach, nothing above the fallback while a meter is lost.
    fn setpoints(&mut self, frame: &Frame<'_>) {
        let (now, site) = (frame.plant.now(), &self.day.site);
        if frame.decision.is_fatal {
            self.fault(now, Point::Possible, "fatal".into());
        }
        for (id, told) in site.evse_ids().zip(&frame.decision.setpoints) {
            let (evse, code) = (site.evse(id), told.because.code());
            let may = told.amps == Amps::ZERO || (evse.least..=evse.most).contains(&told.amps);
            if code == "breach" || (!may && code != "unreachable") {
                self.fault(now, Point::Possible, format!("{} is told {} ({code})", evse.id, told.amps));
            }
            let is_lost = site.path(evse.circuit).any(|c| frame.decision.rows[c.0].freshness == Freshness::Lost);
            if is_lost && told.amps > evse.fallback && code != "unreachable" {
                self.fault(now, Point::FallsBack, format!("{} is told {} with a lost meter", evse.id, told.amps));
            }
        }
    }

    /// No raise by a step or more while one with a higher effective priority is short on the same full row.
    fn priorities(&mut self, frame: &Frame<'_>) {
        let (now, site, decision) = (frame.plant.now(), &self.day.site, frame.decision);
        let new: Vec<Amps> = decision.setpoints.iter().map(|setpoint| setpoint.amps).collect();
        let before = std::mem::replace(&mut self.setpoints_before, new);
        for id in site.evse_ids() {
            let (evse, setpoint) = (site.evse(id), &decision.setpoints[id.0]);
            // Minimums of all that fit come first, whoever is above; and a session begins with its charger's fallback.
            // A start asks for an ampere more than the least, so that it is worth it; the policy may want more for a start.
            let least = decision.cars[id.0].entitlement.floor.map_or(evse.least, |floor| floor.max(evse.least));
            let from = before[id.0].max(least + Amps::whole(1)).max(evse.fallback);
            let phases = evse.rotation.phases();
            let is_short = |other: &EvseId| {
                let (above, evse) = (&decision.setpoints[other.0], site.evse(*other));
                let is_above = decision.cars[other.0].priority > decision.cars[id.0].priority;
                let lacks = above.because.row().is_some_and(|(c, p)| phases.contains(p) && site.feeds(c, id));
                let worth = match above.amps.is_positive() {
                    true => evse.step.rise(above.amps).max(site.tuning.dead_band),
                    false => evse.least + Amps::whole(1),
                };
                is_above && lacks && setpoint.amps - from >= worth
            };
            if !is_shared(setpoint.because.code()) || setpoint.amps <= before[id.0] {
                continue;
            }
            if let Some(other) = site.evse_ids().find(is_short) {
                let (told, above) = (&decision.setpoints[other.0], &site.evse(other).id);
                let code = told.because.code();
                let what = format!(
                    "{} rises {} to {}, {above} above it has {} ({code})",
                    evse.id, before[id.0], setpoint.amps, told.amps
                );
                self.fault(now, Point::Priority, what);
            }
        }
    }

    /// A change is sent in the step that makes it; raises wait for the hold and for a meter that is not stale, and fit.
    fn changes(&mut self, frame: &Frame<'_>) {
        let (now, site) = (frame.plant.now(), &self.day.site);
        let before = self.told.clone();
        for order in frame.orders {
            self.renewal(frame, order);
            let told = &mut self.told[order.evse.0];
            // A process that has just started does not know what was told before.
            if told.order.is_none_or(|last| last.amps > order.amps) {
                told.higher_until = lapses(site.evse(order.evse), now);
            }
            told.order = Some(*order);
        }
        let mut raised = Vec::new();
        for id in site.evse_ids() {
            let setpoint = frame.decision.setpoints[id.0];
            let (amps, code) = (setpoint.amps, setpoint.because.code());
            let session = frame.plant.session(id).map(|session| session.id);
            let was = &before[id.0];
            let is_same = session == was.session && session.is_some();
            if is_same && amps < was.amps && is_shared(code) && is_shared(was.code) {
                for circuit in site.path(site.evse(id).circuit) {
                    for phase in site.evse(id).rotation.phases().iter() {
                        self.last_cut[circuit.0][phase] = Some(now);
                    }
                }
            }
            let is_linked = frame.plant.is_linked(id) && code != "unreachable";
            let sent = self.told[id.0].order.map(|order| order.amps);
            if is_linked && session.is_some() && sent != Some(amps) {
                self.fault(
                    now,
                    Point::AtOnce,
                    format!("{} has {amps} ({code}), and {sent:?} was sent", site.evse(id).id),
                );
            }
            if is_same && amps > was.amps && is_linked && is_shared(was.code) {
                raised.push((id, was.amps));
            }
            self.told[id.0] = Told { amps, code, session, ..self.told[id.0] };
        }
        for (id, was) in raised {
            self.raise(frame, id, was);
        }
    }

    /// Leases are renewed by a healthy step: with a lost meter they run out, unless less than the fallback is to stand, or
    /// more may stand still.
    fn renewal(&mut self, frame: &Frame<'_>, order: &Order) {
        let (now, site, id) = (frame.plant.now(), &self.day.site, order.evse);
        let evse = site.evse(id);
        let is_lost = site.path(evse.circuit).any(|c| frame.decision.rows[c.0].freshness == Freshness::Lost);
        let is_tightened = self.limit(Site::ROOT) != site.circuit(Site::ROOT).limit;
        // What was lost on its way is told again, and what a new session or connection has not been told yet.
        let is_sure = self.trouble_until[id.0] == Moment::START;
        let session = frame.plant.session(id).map(|session| session.id);
        let is_same =
            self.told[id.0].session == session && self.told[id.0].order.map(|last| last.amps) == Some(order.amps);
        let is_shared = is_shared(frame.decision.setpoints[id.0].because.code());
        let is_lowered = order.amps <= evse.fallback && now < self.told[id.0].higher_until;
        let is_meant = is_lowered || (is_tightened && order.amps < evse.fallback);
        if is_lost && is_same && is_sure && is_shared && !is_meant {
            self.fault(now, Point::FallsBack, format!("{} is told {} again with a lost meter", evse.id, order.amps));
        }
    }

    fn raise(&mut self, frame: &Frame<'_>, id: EvseId, was: Amps) {
        let (now, site) = (frame.plant.now(), &self.day.site);
        let evse = site.evse(id);
        let amps = frame.decision.setpoints[id.0].amps;
        // With a lost meter, whatever the others are, a car may come up to its fallback.
        let freshness = |circuit: CircuitId| frame.decision.rows[circuit.0].freshness;
        let is_lost = site.path(evse.circuit).any(|circuit| freshness(circuit) == Freshness::Lost);
        for circuit in site.path(evse.circuit) {
            if freshness(circuit) == Freshness::Stale && !is_lost {
                self.fault(now, Point::Holds, format!("{} rises {was} to {amps} by a stale meter", evse.id));
            }
            for phase in evse.rotation.phases().iter() {
                if self.last_cut[circuit.0][phase].is_some_and(|at| now < at + site.tuning.hold) {
                    self.fault(
                        now,
                        Point::Holds,
                        format!("{} rises {was} to {amps} within the hold of {phase}", evse.id),
                    );
                }
                self.fits(frame, id, circuit, phase);
            }
        }
    }

    /// The house in truth and all limits that are in force or on their way: what a raise must fit beside. Where all
    /// have meters of their own; elsewhere a car is only assumed to take what it is told.
    fn fits(&mut self, frame: &Frame<'_>, id: EvseId, circuit: CircuitId, phase: Phase) {
        let (now, plant, site) = (frame.plant.now(), frame.plant, &self.day.site);
        let below = || {
            site.evse_ids()
                .filter(|other| site.feeds(circuit, *other) && site.evse(*other).rotation.phases().contains(phase))
        };
        let is_lost = frame.decision.rows.iter().any(|row| row.freshness == Freshness::Lost);
        let is_known = |other: EvseId| speaks_often(site, other);
        // Without a neutral plain sums are more than what flows.
        let is_plain = site.wiring != Wiring::Delta;
        if !is_plain || is_lost || self.frozen.contains(&true) || !below().all(is_known) {
            return;
        }
        // Whichever sample it was decided by, the house had at least so much when it was taken.
        let house = self.houses[circuit.0].iter().map(|(_, house)| house[phase]).min().unwrap_or_default();
        let cars: Amps = below()
            .filter(|other| plant.session(*other).is_some())
            .map(|other| plant.offer(other).max(frame.decision.setpoints[other.0].amps))
            .sum();
        let total = house + cars;
        let limit = self.limit(circuit)[phase];
        // A meter with coarse steps may have said half of one less, twice.
        let resolution = site.circuit(circuit).meter.map_or(Amps::ZERO, |meter| site.meters[meter.0].resolution);
        if total > limit + self.day.script.noise + resolution {
            let told = frame.decision.setpoints[id.0].amps;
            self.fault(
                now,
                Point::Fits,
                format!(
                    "{} rises to {told}, and {total} ({}) of {limit} may flow on {phase} of {}",
                    site.evse(id).id,
                    below()
                        .map(|o| format!(
                            "{} {}/{}",
                            site.evse(o).id,
                            plant.offer(o),
                            frame.decision.setpoints[o.0].amps
                        ))
                        .collect::<Vec<_>>()
                        .join(", "),
                    site.circuit(circuit).id
                ),
            );
        }
    }

    /// A lost meter, a dead gateway: all are at their fallback in time.
    fn fallbacks(&mut self, frame: &Frame<'_>) {
        let (now, site) = (frame.plant.now(), &self.day.site);
        for (meter, since) in site.meters.iter().zip(self.silent_since.clone()) {
            let Some(since) = since else { continue };
            let script = &self.day.script;
            let lost = (meter.interval * 3).max(site.tuning.lost_after) + script.meter_latency + script.meter_jitter;
            let follows = LOST_TO_FALLBACK + script.pilot_pace + script.network.jitter;
            if now < since + lost + follows || self.dead_since.is_some() {
                continue;
            }
            for id in site.evse_ids() {
                // A charger that has missed the cut is told again at half its lease.
                if site.feeds(meter.circuit, id) && self.trouble_until[id.0] <= since {
                    self.is_at_fallback(frame, id, "with a lost meter");
                }
            }
        }
        if let Some(since) = self.dead_since {
            for id in site.evse_ids().filter(|id| site.evse(*id).lapse != LapseClass::C) {
                let script = &self.day.script;
                let order = script.network.round_trip + script.network.jitter;
                if now >= since + order + site.evse(id).lease + CAR_FOLLOWS + script.pilot_pace {
                    self.is_at_fallback(frame, id, "with a dead gateway");
                }
            }
        }
    }

    fn is_at_fallback(&mut self, frame: &Frame<'_>, id: EvseId, when: &str) {
        let (evse, offer, draw) = (self.day.site.evse(id), frame.plant.offer(id), frame.plant.draw(id).most());
        if draw > evse.fallback {
            self.fault(
                frame.plant.now(),
                Point::FallsBack,
                format!("{} offers {offer}, its car takes {draw}, {when}", evse.id),
            );
        }
    }

    /// Where all obey and the meter is alive, what cars add above the limit is gone in time; and whatever fails, no
    /// breaker of the slow edge trips.
    fn overloads(&mut self, frame: &Frame<'_>) {
        let (now, site, script) = (frame.plant.now(), &self.day.site, &self.day.script);
        let tick = TICK.as_secs_f64();
        for circuit in site.circuit_ids() {
            let below: Vec<EvseId> = site.evse_ids().filter(|id| site.feeds(circuit, *id)).collect();
            let load = frame.plant.load(circuit);
            let response = below.iter().map(|id| site.evse(*id).response).max().unwrap_or_default();
            let interval = site.circuit(circuit).meter.map(|meter| site.meters[meter.0].interval).unwrap_or_default();
            let is_healthy = self.dead_since.is_none()
                && !self.frozen.contains(&true)
                && frame.decision.rows.iter().all(|row| row.freshness != Freshness::Lost)
                && below.iter().all(|id| now >= self.trouble_until[id.0]);
            for phase in site.wiring.phases().iter() {
                let limit = self.limit(circuit)[phase];
                let cars: Amps = below.iter().map(|id| frame.plant.draw(*id)[phase]).sum();
                let over = (load[phase] - limit).min(cars);
                let since = &mut self.over_since[circuit.0][phase];
                *since = (over.is_positive() && is_healthy).then(|| since.unwrap_or(now));
                // Of samples that come with gaps three may be missing in a row.
                let gaps = if script.meter_lost_permille > 0 { 4 } else { 1 };
                let sample = interval * gaps + script.meter_latency + script.meter_jitter;
                let bound = sample + Duration::from_secs(1) + response;
                if since.is_some_and(|since| now > since.max(self.disturbed_until) + bound) {
                    *since = None;
                    let id = &site.circuit(circuit).id;
                    self.fault(
                        now,
                        Point::GoneInTime,
                        format!("{over} too much on {phase} of {id} for longer than {bound:?}"),
                    );
                }
                // IEC 60898-1: 1.45 In for an hour at most, as a first-order replica of 154 s.
                let ratio = load[phase].as_f64() / limit.as_f64() / 1.45;
                let heat = &mut self.heat[circuit.0][phase];
                let was = *heat;
                *heat += (ratio * ratio - *heat) * tick / 154.0;
                if was < 1.0 && *heat >= 1.0 {
                    self.fault(
                        now,
                        Point::Trips,
                        format!("the breaker on {phase} of {} trips", site.circuit(circuit).id),
                    );
                }
            }
        }
    }
}

/// Does it have a meter of its own, quick enough to prove what its car takes?
fn speaks_often(site: &Site, id: EvseId) -> bool {
    site.evse(id).metering.is_some_and(|interval| interval.as_secs() <= 10)
}
