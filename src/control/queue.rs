//! Who asks for current, for how much, and in which order?

use super::allocation::Ask;
use super::car::Car;
use super::need;
use super::observation::{Link, Plug, Report, Session};
use super::reason::Reason;
use super::sabotage::{self, Bug};
use super::unbalance;
use crate::policy::{Entitlement, Limit, Policy, Verdict};
use crate::site::{CircuitId, Evse, EvseId, Site};
use crate::time::{Duration, Moment};
use crate::units::Amps;
use chrono::{DateTime, Utc};
use std::cmp::Reverse;

/// Room that a paused car needs above its minimum before it is started again.
const RESTART_ROOM: Amps = Amps::whole(1);
/// Energies that differ by less are alike: two cars that charge side by side do not change places with each report.
const ENERGY_STEP_WH: i64 = 500;
/// Waiting adds at most this to the priority.
const MOST_AGEING: u64 = 3;
/// Some cars do not wake after more pauses: nobody's turn ends more often in a session.
const MOST_YIELDED: u32 = 5;
/// Turns in the stay that is expected of a car, at most: its share of them, with so many pauses between.
const TURNS: u32 = MOST_YIELDED;
/// A change of turns takes about so long, until the cut is proven and the next one has current: it is part of the turn.
const CHANGE: Duration = Duration::from_secs(60);
/// Whoever has stayed for long is expected to stay for half as long again: a greater part makes the last turns longer than
/// others wait in three.
const STAYS_ON: (u32, u32) = (3, 2);
/// How long a car can wait whose driver has not said it, as against those who have.
const USUAL_SLACK: Duration = Duration::from_secs(2 * 3_600);
/// Whoever charges goes on before one who has less time to spare than he by no more than this: each pause is a start.
const START_WORTH: Duration = Duration::from_secs(3_600);

/// An EVSE's wish in this step.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub entitlement: Entitlement,
    /// Declared priority and what waiting has added.
    pub priority: i8,
    /// A reason to give nothing, or an ask.
    pub ask: Result<Ask, Reason>,
}

/// What the meters on an EVSE's path allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Clear,
    /// No raises.
    Stale(CircuitId),
    /// No more than the fallback, and why.
    Lost(Reason),
}

/// What all parts of one step are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub site: &'a Site,
    pub policy: &'a Policy,
    /// `None` while the time of day is not to be trusted.
    pub wall: Option<DateTime<Utc>>,
    /// How many have current, and how many want some.
    pub crowd: (u32, u32),
    pub now: Moment,
    /// The owner's: ageing lifts nobody above it.
    pub highest: i8,
}

impl Setting<'_> {
    /// Does its turn last? For good once enough have ended.
    fn is_turn_of(&self, car: &Car, session: &Session) -> bool {
        let turn = match session.need.departs {
            Some(_) => self.site.tuning.dwell,
            None => self.turn(self.site.tuning.usual_stay.max(self.now.since(session.since) * STAYS_ON.0 / STAYS_ON.1)),
        };
        car.turn_since.is_some_and(|since| self.now.since(since) < turn || car.yielded >= MOST_YIELDED)
    }

    /// How long a turn lasts in such a stay: so that few end in it, and the longer the fewer have to wait for theirs.
    fn turn(&self, stay: Duration) -> Duration {
        let (charging, asking) = (u128::from(self.crowd.0), u128::from(self.crowd.1));
        let share = stay.as_millis() * charging / (asking * u128::from(TURNS));
        let lasting = stay.as_millis() * charging.pow(3) / asking.pow(3);
        let millis = u64::try_from(share.max(lasting)).unwrap_or(u64::MAX);
        self.site.tuning.dwell.max(Duration::from_millis(millis).saturating_sub(CHANGE))
    }
}

/// Where an ask stands in the order of admission.
pub(super) type Rank = (bool, Reverse<i8>, (u8, i64), i64, EvseId);

/// What this EVSE asks for.
pub(super) fn wish(setting: &Setting, id: EvseId, car: &Car, report: &Report, sight: Sight) -> Wish {
    let session = report.session.as_ref().map(|session| (session.id, session.token.as_deref()));
    let entitlement = setting.policy.right(id, session, setting.wall);
    let priority = effective_priority(setting, &entitlement, car, report.session.as_ref());
    let ask = ask(setting, id, &entitlement, car, report, sight).map(|ask| Ask { tier: priority, ..ask });
    Wish { entitlement, priority, ask }
}

/// The order of admission: effective priority; then whose turn it is, who has had least first; then who can wait least, by what his driver has
/// said or by how long he has waited; then whose turn has been longest last; then least energy in this session; then id.
/// After all of them those who are last. `ranks` is memory for it.
pub(super) fn sort(
    asks: &mut Vec<Ask>,
    ranks: &mut Vec<Rank>,
    setting: &Setting,
    wishes: &[Wish],
    cars: &[Car],
    reports: &[Report],
) {
    ranks.clear();
    let rank = |ask| rank(setting, ask, cars, reports);
    ranks.extend(wishes.iter().filter_map(|wish| wish.ask.as_ref().ok()).map(rank));
    ranks.sort_unstable();
    asks.clear();
    asks.extend(ranks.iter().filter_map(|(.., evse)| wishes[evse.0].ask.ok()));
}

fn rank(setting: &Setting, ask: &Ask, cars: &[Car], reports: &[Report]) -> Rank {
    let now = setting.now;
    let (car, session) = (&cars[ask.evse.0], reports[ask.evse.0].session.as_ref());
    let slack = session.and_then(|session| {
        need::slack(session, ask.most, setting.site.volts(), setting.site.evse(ask.evse).rotation.wired(), now)
    });
    let millis = |span: Duration| span.as_millis() as i64;
    let is_turn = session.is_some_and(|session| setting.is_turn_of(car, session)) || sabotage::has(Bug::NoTurns);
    let energy = session.and_then(|session| session.energy_wh).unwrap_or(0) / ENERGY_STEP_WH;
    let (turn, had) = match (car.turn_since, slack) {
        _ if sabotage::has(Bug::InputOrder) => ((0, 0), 0),
        // What does not come out even goes to each for as long as a turn at the least would last.
        (Some(turn), _) if is_turn => (
            (0, car.served.times(ask.least.max(Amps::PILOT_LEAST), setting.site.tuning.dwell)),
            turn.as_millis() as i64,
        ),
        (Some(_), Some(slack)) => ((1, slack - millis(START_WORTH)), energy),
        (None, Some(slack)) => ((1, slack), energy),
        (None, None) => ((1, millis(USUAL_SLACK) - millis(now.since(car.waiting_since.unwrap_or(now)))), energy),
        (Some(turn), None) => ((2, -(turn.as_millis() as i64)), energy),
    };
    (ask.is_last, Reverse(ask.tier), turn, had, ask.evse)
}

/// How many have current, and how many want some.
pub(super) fn crowd(cars: &[Car], reports: &[Report], now: Moment) -> (u32, u32) {
    let wants = |car: &Car, report: &Report| report.session.is_some() && report.plug.has_car() && !car.is_resting(now);
    let asking = || cars.iter().zip(reports).filter(|(car, report)| wants(car, report));
    let charging = asking().filter(|(car, _)| car.setpoint.is_positive());
    (charging.count() as u32, (asking().count() as u32).max(1))
}

fn effective_priority(setting: &Setting, who: &Entitlement, car: &Car, session: Option<&Session>) -> i8 {
    let waited = match car.waiting_since {
        Some(since) => setting.now.since(since),
        None if session.is_some_and(|session| setting.is_turn_of(car, session)) => car.waited,
        None => Duration::ZERO,
    };
    let spans = match setting.policy.rules.ageing.unwrap_or(setting.site.tuning.ageing) {
        Some(span) if !span.is_zero() => (waited.as_millis() / span.as_millis()) as u64,
        _ => 0,
    };
    let effective = (who.priority + spans.min(MOST_AGEING) as i8).min(setting.highest.max(who.priority));
    if sabotage::has(Bug::LowestFirst) { -effective } else { effective }
}

fn ask(
    setting: &Setting,
    id: EvseId,
    who: &Entitlement,
    car: &Car,
    report: &Report,
    sight: Sight,
) -> Result<Ask, Reason> {
    let (evse, tuning, now) = (setting.site.evse(id), &setting.site.tuning, setting.now);
    match report.link {
        Link::Never | Link::Down { .. } => return Err(Reason::Unreachable),
        Link::Up { .. } => {}
    }
    if !report.plug.has_car() || report.plug == Plug::Finishing {
        return Err(Reason::NoCar);
    }
    if report.session.is_none() {
        return Err(Reason::NoSession);
    }
    if who.verdict != Verdict::Accepted {
        return Err(Reason::Denied);
    }
    if let Some(Limit { most: Amps::ZERO, why }) = who.limit {
        return Err(why.into());
    }
    if car.disobeys_since.is_some_and(|since| now >= since + evse.response) {
        // Its least has changed nothing: a pause.
        return Err(Reason::Disobeys);
    }
    if car.is_paused && car.pauses.is_resting(tuning.restart, now) {
        return Err(Reason::Resting);
    }
    let (most, capped) = most(evse, who, car, report, sight);
    let is_paused = !car.setpoint.is_positive() && car.is_paused;
    // A floor is a wish: whatever holds the car below it lets it have that.
    let least = who.floor.map_or(evse.least, |floor| floor.min(most).max(evse.least));
    Ok(Ask {
        evse: id,
        phases: evse.rotation.phases(),
        uneven: unbalance::uneven(setting.site, evse, &car.readings),
        entry: if is_paused { least + RESTART_ROOM } else { least },
        least,
        most,
        capped,
        step: evse.step,
        tier: who.priority,
        weight: who.weight.max(1),
        is_last: car.is_resting(now) || report.session.as_ref().is_some_and(need::is_met),
        need: report.session.as_ref().and_then(|s| need::rate(s, setting.site.volts(), evse.rotation.wired(), now)),
    })
}

fn most(evse: &Evse, who: &Entitlement, car: &Car, report: &Report, sight: Sight) -> (Amps, Reason) {
    let seen = match sight {
        Sight::Lost(because) => Some((evse.fallback, because)),
        Sight::Stale(_) if sabotage::has(Bug::StaleRaises) => None,
        Sight::Stale(circuit) => Some((car.setpoint, Reason::MeterStale(circuit))),
        Sight::Clear => None,
    };
    let caps = [
        who.limit.map(|limit| (limit.most, limit.why.into())),
        who.ceiling.map(|ceiling| (ceiling, Reason::PolicyCeiling)),
        (report.plug == Plug::SuspendedEv).then_some((evse.least, Reason::CarRests)),
        seen,
        car.disobeys_since.map(|_| (evse.least, Reason::Disobeys)),
        car.appetite.most(evse.step).map(|most| (most.max(evse.least), Reason::Full)),
    ];
    // Of equals the first is named.
    let lower = |least: (Amps, Reason), cap: (Amps, Reason)| if cap.0 < least.0 { cap } else { least };
    let (most, capped) = caps.into_iter().flatten().fold((evse.most, Reason::Full), lower);
    (evse.step.floor(most), capped)
}
