//! Does a restart within the lease change who charges?

use super::*;

impl World {
    /// Two cars on all phases, with room for one of them, with these priorities.
    fn with_one_place(left: i8, right: i8) -> World {
        let mut world = World::new();
        world.site.evses[1].rotation = Rotation::three(Phase::ALL);
        let class =
            |id: &str, priority| crate::policy::Class { id: id.into(), priority, ..world.policy.classes[0].clone() };
        world.policy.classes = vec![class("left", left), class("right", right), class("owner", 9)];
        world.policy.evses[0].open = Some(0);
        world.policy.evses[1].open = Some(1);
        world.house = [15; 3];
        world
    }

    /// Another process, which knows leases and sessions; chargers and meters have yet to be heard.
    fn restart(&mut self) -> Vec<Report> {
        let leases = self.state.leases(&self.site, self.now);
        self.state = State::resume(&self.site, &leases, self.now);
        let silent = Observation::nothing(&self.site, 0).reports;
        let reports = std::mem::replace(&mut self.seen.reports, silent);
        for (report, known) in self.seen.reports.iter_mut().zip(&reports) {
            report.session.clone_from(&known.session);
        }
        self.step();
        reports
    }

    /// Its charger is connected again, and has heard of no order yet.
    fn is_back(&mut self, evse: usize, was: &[Report]) {
        self.seen.reports[evse] = Report { answer: None, epoch: was[evse].epoch + 1, ..was[evse].clone() };
    }
}

#[test]
fn whoever_waits_does_not_start_in_place_of_the_one_who_is_back_before_him() {
    for [first, second] in [[0, 1], [1, 0]] {
        let mut world = World::with_one_place(-3, 6);
        world.plug_in(0);
        world.plug_in(1);
        world.run(300);
        let told = world.amps();
        assert!(told[0] == 0 && told[1] >= 6, "{told:?}");
        let reports = world.restart();
        let load = Amps::whole(15) + reports[1].measured.unwrap().current.most();
        for second_there in 0..60 {
            match second_there {
                3 => world.is_back(first, &reports),
                6 => world.is_back(second, &reports),
                _ => {}
            }
            world.now = world.now + Duration::from_secs(1);
            let sample = Sample { at: world.now, current: PerPhase::all(load), watts: None, millivolts: None };
            world.seen.samples[0] = Some(sample);
            for report in world.seen.reports.iter_mut().filter(|report| matches!(report.link, Link::Up { .. })) {
                report.measured.iter_mut().for_each(|measured| measured.at = world.now);
            }
            world.step();
            assert_eq!(world.amps(), told, "after {second_there} s, {first} is back first");
        }
    }
}

#[test]
fn a_turn_that_was_waited_for_lasts_over_a_restart() {
    let mut world = World::with_one_place(0, -2);
    world.site.tuning.ageing = Some(Duration::from_secs(100));
    world.site.tuning.dwell = Duration::from_secs(1_200);
    world.plug_in(0);
    world.plug_in(1);
    world.run(60);
    assert_eq!(world.amps()[1], 0, "it waits");
    world.run(300);
    let told = world.amps();
    assert!(told[0] == 0 && told[1] >= 6, "{told:?}");
    let reports = world.restart();
    (0..2).for_each(|evse| world.is_back(evse, &reports));
    for second in 0..100 {
        world.run(1);
        let now = world.amps();
        assert!(now[0] == 0 && now[1] >= 6, "{now:?} after {second} s");
    }
}
