//! Does a breaker trip through our doing? Control point 8, over days full of faults.

use headroom::sim::builtin::faults;
use headroom::sim::{Action, Breaker, Ears, Frame, Network, Scenario, TICK, Voice, run};
use headroom::site::{CircuitId, EvseId, Meter};
use headroom::time::{Duration, Moment};
use headroom::transient::Transient;
use headroom::units::{Amps, Phase};
use std::sync::atomic::{AtomicU64, Ordering};

/// Tried each time, for so long each: more is for the long run.
const DAYS: u64 = 24;
const PART: Duration = Duration::from_secs(900);
/// A sample that is so much later than its interval is not on its way any more.
const LATE: Duration = Duration::from_secs(4);
/// What a breaker remembers of a fault that is over: two time constants of its fast edge.
const COOLS: Duration = Duration::from_secs(160);

/// Who is to blame when a breaker gets warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// The daemon lives, all chargers below obey, and meters speak; they may be late or full of spikes.
    Obeying,
    /// The same, and a sample of a meter above has stayed away: nobody sees what the house does.
    Blind,
    /// A meter above repeats itself: nobody knows before it is found out.
    Frozen,
    /// The daemon is dead, or a charger below does not hear or do what it is told.
    Otherwise,
}

const WHENS: [When; 4] = [When::Obeying, When::Blind, When::Frozen, When::Otherwise];

/// What came out of a day.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The greatest heat of the fast edge that cars had a share in, by [`When`]; where the house alone trips it, none.
    pub fast: [f64; WHENS.len()],
    /// The same of the slow edge.
    pub slow: [f64; WHENS.len()],
    /// The most that cars have added above a limit while all obeyed, and for how long without a break.
    pub overload: Amps,
    pub longest: Duration,
    /// When the fast edge was hottest, in seconds.
    pub at: [f64; WHENS.len()],
    /// What must not be.
    pub faults: Vec<String>,
    /// The same while a meter repeated itself and was not found out yet: docs/HAZARDS.md.
    pub unseen: Vec<String>,
    /// Fast edges that tripped where `check` warns of it.
    pub warned: u32,
}

/// The worst of many days, and which days they were.
fn worst(days: &[(u64, Outcome)]) -> String {
    let of = |what: &dyn Fn(&Outcome) -> f64| {
        let worst = days.iter().max_by(|(_, one), (_, other)| what(one).total_cmp(&what(other)));
        worst.map_or_else(String::new, |(seed, day)| format!("{:.3} (seed {seed})", what(day)))
    };
    let mut told = format!("{} days", days.len());
    for (index, when) in WHENS.into_iter().enumerate() {
        let (fast, slow) = (of(&|day| day.fast[index]), of(&|day| day.slow[index]));
        let hottest = days.iter().max_by(|(_, one), (_, other)| one.fast[index].total_cmp(&other.fast[index]));
        let at = hottest.map_or(0.0, |(_, day)| day.at[index]);
        told += &format!("\n{when:?}: fast edge at most {fast} at {at:.1} s, slow edge at most {slow}");
    }
    let (overload, longest) = (of(&|day| day.overload.as_f64()), of(&|day| day.longest.as_secs_f64()));
    told += &format!("\noverload by cars that obeyed: at most {overload} A, for {longest} s without a break");
    let unseen: Vec<u64> = days.iter().filter(|(_, day)| !day.unseen.is_empty()).map(|(seed, _)| *seed).collect();
    told += &format!("\n{} days with a trip while a meter repeated itself: {unseen:?}", unseen.len());
    let warned: Vec<u64> = days.iter().filter(|(_, day)| day.warned > 0).map(|(seed, _)| *seed).collect();
    told + &format!("\n{} days with a trip that check warns of: {warned:?}", warned.len())
}

/// One day, or its beginning.
pub fn outcome(scenario: &Scenario, span: Duration) -> Outcome {
    let mut watch = Watch::new(scenario);
    run(&scenario.site, &scenario.policy, &scenario.script, span, |frame| watch.see(frame));
    watch.outcome
}

#[test]
fn no_breaker_trips_through_our_doing_on_days_full_of_faults() {
    let is_long = ["SEED", "SEEDS"].iter().any(|name| std::env::var_os(name).is_some());
    let seeds = crate::seeds(DAYS);
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut days = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return days;
            }
            let day = faults(seed);
            days.push((seed, outcome(&day, if is_long { day.span } else { PART })));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut days: Vec<(u64, Outcome)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    days.sort_by_key(|(seed, _)| *seed);
    println!("{}", worst(&days));
    let broken: Vec<String> = days
        .iter()
        .filter(|(_, day)| !day.faults.is_empty())
        .map(|(seed, day)| format!("SEED={seed}\n  {}", day.faults.join("\n  ")))
        .collect();
    assert!(broken.is_empty(), "{} of {} days\n{}", broken.len(), days.len(), broken.join("\n"));
}

/// Watches one day.
struct Watch<'a> {
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
    pub outcome: Outcome,
}

/// One phase of one circuit.
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

impl<'a> Watch<'a> {
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
        Watch {
            poles: site
                .circuit_ids()
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

    pub fn see(&mut self, frame: &Frame<'_>) {
        let now = frame.plant.now();
        self.follow_the_script(now);
        self.follow_the_troubles(frame);
        for index in 0..self.poles.len() {
            self.see_pole(frame, index);
        }
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
            if *voice == Voice::Frozen {
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

    fn when(&self, circuit: CircuitId, now: Moment) -> When {
        let site = &self.scenario.site;
        let below: Vec<EvseId> = site.evse_ids().filter(|id| site.feeds(circuit, *id)).collect();
        let is_above = |meter: &Meter| below.iter().any(|id| site.feeds(meter.circuit, *id));
        let is_any =
            |until: &[Moment]| site.meters.iter().zip(until).any(|(meter, until)| now < *until && is_above(meter));
        match () {
            () if is_any(&self.frozen_until) => When::Frozen,
            () if below.iter().any(|id| now < self.trouble_until[id.0]) => When::Otherwise,
            () if is_any(&self.blind_until) => When::Blind,
            () => When::Obeying,
        }
    }

    fn see_pole(&mut self, frame: &Frame<'_>, index: usize) {
        let now = frame.plant.now();
        let (circuit, phase) = (self.poles[index].circuit, self.poles[index].phase);
        let (load, house) = (frame.plant.load(circuit)[phase], frame.plant.house(circuit)[phase]);
        let limit = self.scenario.site.circuit(circuit).limit[phase];
        let over = (load - limit).min(load - house);
        let pole = &mut self.poles[index];
        pole.over_since = over.is_positive().then(|| pole.over_since.unwrap_or(now));
        let over_since = pole.over_since;
        let is_same = pole.flow == (load, house);
        if is_same {
            pole.span += TICK;
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
        pole.span = if is_same { Duration::ZERO } else { TICK };
        let is_new = !trips_alone && fast >= 1.0 && !std::mem::replace(&mut pole.has_tripped, fast >= 1.0);
        let is_slow_new = slow >= 1.0 && !std::mem::replace(&mut pole.has_tripped_slow, slow >= 1.0);
        pole.has_tripped = fast >= 1.0;
        let (is_warned, may_freeze_unseen) = (pole.is_warned, pole.may_freeze_unseen);
        if fast < 0.5 && over_since.is_none() {
            return;
        }
        let when = self.when(circuit, now);
        let outcome = &mut self.outcome;
        if matches!(when, When::Obeying | When::Blind)
            && let Some(since) = over_since
        {
            outcome.overload = outcome.overload.max(over);
            outcome.longest = outcome.longest.max(now.since(since));
        }
        // What the house alone heats it to, or cools it from, is none of ours.
        if is_houses {
            return;
        }
        if fast > outcome.fast[when as usize] {
            outcome.fast[when as usize] = fast;
            outcome.at[when as usize] = now.as_millis() as f64 / 1000.0;
        }
        outcome.slow[when as usize] = outcome.slow[when as usize].max(slow);
        let may_trip = |is_warned: bool| matches!(when, When::Otherwise | When::Blind) && is_warned;
        outcome.warned += u32::from(is_new && may_trip(is_warned.0));
        if (is_new && !may_trip(is_warned.0)) || (is_slow_new && !may_trip(is_warned.1)) {
            let id = &self.scenario.site.circuit(circuit).id;
            let seconds = now.as_millis() as f64 / 1000.0;
            let told = format!(
                "{seconds:.1} s: {phase} of {id} is at {fast:.2} of its fast edge and {slow:.2} of its slow one, {when:?}: {load} of {limit}, {house} of it the house's"
            );
            // It is found out before the slowest trips, unless `check` warns that it may not be.
            let is_excused = when == When::Frozen && (!is_slow_new || may_freeze_unseen);
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
    let is_silent = |id: EvseId| !site.evse(id).is_always_known();
    let has_silent = |above: CircuitId| site.evse_ids().any(|id| site.feeds(above, id) && is_silent(id));
    !scenario.script.meter_volts && site.path(circuit).any(|id| site.circuit(id).meter.is_some() && has_silent(id))
}
