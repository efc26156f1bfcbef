//! Without a neutral, behind a meter: it tells how much flows in each line, and not at which angle.
//!
//! Truth is phasor arithmetic. Branch voltages L1–L2, L2–L3, L3–L1 stand at 0°, −120° and 120°; cars have unity power factor,
//! houses take or feed in at any angle on any branch.

use super::*;
use proptest::prelude::*;

type Phasor = (f64, f64);

/// Three chargers between lines, or two and one on all three, below a fuse of 25 A with a meter.
struct Lines {
    world: World,
    /// Of each branch.
    house: [Phasor; 3],
}

fn turned(amps: f64, degrees: f64) -> Phasor {
    (amps * degrees.to_radians().cos(), amps * degrees.to_radians().sin())
}

impl Lines {
    fn new(rotations: &[&str]) -> Self {
        let mut world = World::new();
        let named = |text: &&str| Evse { most: Amps::whole(32), ..evse(text, Rotation::parse(text).unwrap()) };
        world.site.wiring = Wiring::Delta;
        world.site.evses = rotations.iter().map(named).collect();
        world.policy = Policy::open(rotations.len());
        world.seen = Observation::nothing(&world.site, 0);
        world.state = State::new(&world.site, Moment::START);
        for evse in 0..rotations.len() {
            world.plug_in(evse);
            world.takes(evse, Amps::ZERO);
        }
        Lines { world, house: [(0.0, 0.0); 3] }
    }

    /// What really flows in each line; negative where it gives power against the virtual neutral, as a meter says it.
    fn truth(&self) -> [f64; 3] {
        let mut branches = self.house;
        let angles = [0.0, -120.0, 120.0];
        let mut add = |branch: usize, amps: f64| {
            let (x, y) = turned(amps, angles[branch]);
            branches[branch] = (branches[branch].0 + x, branches[branch].1 + y);
        };
        for id in self.world.site.evse_ids() {
            let amps = self.world.seen.reports[id.0].measured.map_or(0.0, |own| own.current[Phase::L1].as_f64());
            match self.world.site.evse(id).rotation.lines() {
                Some((from, _)) => add(from.index(), amps),
                None => (0..3).for_each(|branch| add(branch, amps / 3f64.sqrt())),
            }
        }
        std::array::from_fn(|line| {
            let (plus, minus) = (branches[line], branches[(line + 2) % 3]);
            let (x, y) = (plus.0 - minus.0, plus.1 - minus.1);
            let against = turned(1.0, [-30.0, -150.0, 90.0][line]);
            x.hypot(y).copysign(x * against.0 + y * against.1)
        })
    }

    /// A second passes: the meter speaks, and cars take what they were told.
    fn second(&mut self) -> Decision {
        let world = &mut self.world;
        world.now = world.now + Duration::from_secs(1);
        for report in &mut world.seen.reports {
            report.measured.iter_mut().for_each(|own| own.at = world.now);
        }
        let current = PerPhase(self.truth().map(|amps| Amps::milli((amps * 1000.0).round() as i32)));
        let world = &mut self.world;
        // No two voltages are alike.
        let volts = PerPhase::all(230_000 + (world.now.as_millis() / 1000 % 7) as i32);
        world.seen.samples[0] = Some(Sample { at: world.now, current, watts: None, millivolts: Some(volts) });
        let decision = world.step();
        let all: Vec<usize> = (0..world.site.evses.len()).collect();
        world.obey(&decision, &all);
        decision
    }

    fn run(&mut self, seconds: u32) {
        (0..seconds).for_each(|_| drop(self.second()));
    }

    /// A car that is there leaves; where none is one plugs in.
    fn comes_or_goes(&mut self, evse: usize) {
        match self.world.seen.reports[evse].plug {
            Plug::Charging => {
                self.world.seen.reports[evse].plug = Plug::Available;
                self.world.seen.reports[evse].session = None;
            }
            _ => self.world.plug_in(evse),
        }
        self.world.takes(evse, Amps::ZERO);
    }

    fn most(&self) -> f64 {
        self.truth().into_iter().map(f64::abs).fold(0.0, f64::max)
    }
}

const ROTATIONS: [&[&str]; 4] = [&["RS", "ST", "TR"], &["RS", "ST"], &["RST", "TR", "RS"], &["ST", "ST", "RST"]];

/// Up to 3.5 A on each branch, which fits beside all fallbacks, taken or (`feeds_in`) given, at any angle that a house has.
fn house(feeds_in: bool) -> impl Strategy<Value = [Phasor; 3]> {
    let branch = (0..=35, -40..=40, prop::bool::weighted(if feeds_in { 0.5 } else { 0.0 }));
    prop::array::uniform3(branch).prop_map(|branches| {
        let mut angles = [0.0, -120.0, 120.0].into_iter();
        branches.map(|(tenths, lag, gives)| {
            let amps = f64::from(tenths) / 10.0;
            turned(if gives { -amps } else { amps }, angles.next().unwrap_or_default() + f64::from(lag))
        })
    })
}

fn chargers() -> impl Strategy<Value = &'static [&'static str]> {
    prop::sample::select(&ROTATIONS[..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_raise_overloads_a_line_whatever_the_angles_behind_the_meter(
        house in any::<bool>().prop_flat_map(house),
        rotations in chargers(),
        comes_and_goes in prop::collection::vec(0usize..3, 10),
    ) {
        let mut lines = Lines::new(rotations);
        lines.house = house;
        for second in 0..500 {
            if second >= 200 && second % 30 == 0 {
                lines.comes_or_goes(comes_and_goes[(second - 200) / 30] % rotations.len());
            }
            lines.second();
            prop_assert!(lines.most() <= 25.0, "{second} s: {:?} A", lines.truth());
        }
    }

    #[test]
    fn after_a_house_step_one_sample_suffices_where_nothing_feeds_in(
        rotations in chargers(),
        branch in 0usize..3,
        tenths in 40..160,
    ) {
        let mut lines = Lines::new(rotations);
        lines.run(250);
        lines.house[branch] = turned(f64::from(tenths) / 10.0, [0.0, -120.0, 120.0][branch]);
        lines.run(1);
        prop_assert!(lines.most() <= 25.0, "{:?} A", lines.truth());
    }

    #[test]
    fn whatever_the_angles_behind_the_meter_cars_end_at_what_phasors_leave(
        house in house(false),
        rotations in chargers(),
    ) {
        let mut lines = Lines::new(rotations);
        lines.house = house;
        lines.run(900);
        // An ampere more for a car is one more on a line at most, and the margin stays free.
        let full = 25.0 - lines.world.site.circuits[0].margin.most().as_f64() - 1.0;
        // The odd ampere goes round: on its way from one car to the next nobody has it for some seconds.
        let mut least_free = vec![f64::INFINITY; rotations.len()];
        for _ in 0..30 {
            lines.run(1);
            let truth = lines.truth();
            for id in lines.world.site.evse_ids() {
                let (evse, told) = (lines.world.site.evse(id), lines.world.state.cars[id.0].setpoint);
                let fullest = evse.rotation.phases().iter().map(|line| truth[line.index()].abs()).fold(0.0, f64::max);
                let free = if told >= evse.most { 0.0 } else { full - fullest };
                least_free[id.0] = free.min(least_free[id.0]);
            }
        }
        prop_assert!(least_free.iter().all(|free| *free <= 0.0), "free for {rotations:?}: {least_free:?} A");
    }

    #[test]
    fn a_house_step_at_any_angle_is_gone_in_seconds_even_where_something_feeds_in(
        before in house(true),
        step in house(true),
        rotations in chargers(),
    ) {
        let mut lines = Lines::new(rotations);
        lines.house = before;
        lines.run(250);
        lines.house = std::array::from_fn(|branch| (before[branch].0 + step[branch].0, before[branch].1 + step[branch].1));
        lines.run(12);
        let all_pause = lines.world.state.cars.iter().all(|car| !car.setpoint.is_positive());
        prop_assert!(lines.most() <= 25.0 || all_pause, "{:?} A", lines.truth());
    }
}

#[test]
fn what_phasors_leave_over_is_used_sample_by_sample() {
    let mut lines = Lines::new(&["RS", "ST"]);
    lines.run(400);
    let told: f64 = lines.world.state.cars.iter().map(|car| car.setpoint.as_f64()).sum();
    // L2 carries both: as numbers 24 A would be all, as phasors 13.9 A each.
    assert!((26.0..=28.0).contains(&told), "{told} A");
}

#[test]
fn a_line_that_feeds_in_gives_no_room() {
    let mut lines = Lines::new(&["RS"]);
    lines.house[0] = turned(-20.0, 0.0);
    assert_eq!(lines.truth(), [-20.0, -20.0, 0.0]);
    let decision = lines.second();
    assert_eq!(decision.rows[0].load.unwrap(), PerPhase([20, 20, 0].map(Amps::whole)));
}
