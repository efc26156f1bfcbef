//! What does a charger offer its car? The last order that it heard and heeds, until that order's lease ends.

use super::arrived;
use super::dice::Dice;
use super::script::Script;
use crate::control::Order;
use crate::control::observation::{Accepted, Answer, Link};
use crate::site::{Evse, LapseClass};
use crate::time::{Duration, Moment};
use crate::units::Amps;
use std::collections::VecDeque;

/// Orders under way to a charger at once: more than any controller sends within a second.
const UNDER_WAY_MOST: usize = 16;

/// Where chargers' streams of chance begin; the meters' lie below.
const CHARGER_STREAMS: u64 = 1_000_000;

/// An answer that does not come is given up after so long, as for OCPP calls.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The way to a charger and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Order sent to offer changed and answer heard.
    pub round_trip: Duration,
    /// Each order and each answer may take up to so much longer; they keep their order.
    pub jitter: Duration,
    /// Of a thousand orders, and of a thousand answers, so many are lost.
    pub lost_permille: u32,
    /// The charger does what it is told, and says so only after so long.
    pub answers_after: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            round_trip: Duration::from_millis(200),
            jitter: Duration::ZERO,
            lost_permille: 0,
            answers_after: Duration::ZERO,
        }
    }
}

/// How a charger takes orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ears {
    /// Says yes and does it.
    #[default]
    Heeds,
    /// Says yes and does nothing.
    Ignores,
    /// Says no and does nothing.
    Refuses,
    /// Says nothing and does nothing.
    Deaf,
}

/// A charger with its own clock and its own fallback.
#[derive(Debug, Clone)]
pub struct Charger {
    least: Amps,
    most: Amps,
    step: Amps,
    pilot_pace: Duration,
    fallback: Amps,
    lease: Duration,
    lapse: LapseClass,
    /// How it takes orders.
    pub ears: Ears,
    /// How orders and answers travel.
    pub network: Network,
    dice: Dice,
    /// Its connection to the gateway.
    pub link: Link,
    is_reachable: bool,
    /// The gateway has hung up, and lets it in again then.
    hung_up_until: Option<Moment>,
    /// While it boots: when it has.
    boots_until: Option<Moment>,
    /// Counts its connections.
    pub epoch: u64,
    /// Its newest answer.
    pub answer: Option<Answer>,
    standing: Option<Standing>,
    under_way: VecDeque<(Moment, Order)>,
    answers: VecDeque<(Moment, Answer)>,
    pilot: Amps,
    pilot_stays_until: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    amps: Amps,
    ends: Moment,
    then: Amps,
}

impl Charger {
    /// Fresh from the factory and connected at the start: nothing but its own fallback stands. Its step is the script's,
    /// which may be coarser than what the configuration says; `index` tells its chances from other chargers'.
    pub fn new(evse: &Evse, script: &Script, index: usize) -> Self {
        let mut charger = Charger {
            least: evse.least,
            most: evse.most,
            step: script.charger_step,
            pilot_pace: script.pilot_pace,
            fallback: evse.fallback,
            lease: evse.lease,
            lapse: evse.lapse,
            ears: Ears::Heeds,
            network: script.network,
            dice: Dice::new(script.seed, CHARGER_STREAMS + index as u64),
            link: Link::Up { since: Moment::START },
            is_reachable: true,
            hung_up_until: None,
            boots_until: None,
            epoch: 1,
            answer: None,
            standing: None,
            under_way: VecDeque::new(),
            answers: VecDeque::new(),
            pilot: Amps::ZERO,
            pilot_stays_until: Moment::START,
        };
        charger.pilot = charger.offer();
        charger
    }

    /// An order leaves for it; lost where there is no connection.
    pub fn send(&mut self, order: Order, now: Moment) {
        if !matches!(self.link, Link::Up { .. }) {
            return;
        }
        if self.is_lost() {
            self.say(order.number, Accepted::Silent, now + ANSWER_WITHIN);
            return;
        }
        if self.under_way.len() == UNDER_WAY_MOST {
            self.under_way.pop_front();
        }
        let arrives = now + self.network.round_trip + self.lateness();
        let arrives = self.under_way.back().map_or(arrives, |(before, _)| arrives.max(*before));
        self.under_way.push_back((arrives, order));
    }

    /// Connects or disconnects it. Orders and answers under way are lost with the connection.
    pub fn set_link(&mut self, is_up: bool, now: Moment) {
        self.is_reachable = is_up;
        self.connect(now);
    }

    /// The gateway dies, or starts again: on whom the one before has hung up it does not know.
    pub fn set_gateway(&mut self, is_alive: bool, now: Moment) {
        self.hung_up_until = None;
        self.set_link(is_alive, now);
    }

    /// The gateway hangs up on it, and does not let it in before `until`.
    pub fn hang_up(&mut self, until: Moment, now: Moment) {
        self.hung_up_until = Some(until);
        self.connect(now);
    }

    /// It boots for so long: no connection, no offer, and afterwards nothing but its own fallback.
    pub fn reboot(&mut self, now: Moment, lasts: Duration) {
        self.boots_until = Some(now + lasts);
        self.standing = None;
        self.connect(now);
    }

    fn connect(&mut self, now: Moment) {
        let can_connect = self.is_reachable && self.boots_until.is_none() && self.hung_up_until.is_none();
        match (can_connect, self.link) {
            (true, Link::Never | Link::Down { .. }) => {
                self.link = Link::Up { since: now };
                self.epoch += 1;
                self.answer = None;
            }
            (false, Link::Up { .. }) => {
                self.link = Link::Down { since: now };
                self.under_way.clear();
                self.answers.clear();
            }
            (true, Link::Up { .. }) | (false, Link::Never | Link::Down { .. }) => {}
        }
    }

    /// Hears what has arrived, lets leases end, and sets the pilot.
    pub fn live(&mut self, now: Moment) {
        if self.boots_until.is_some_and(|until| now >= until) {
            self.boots_until = None;
            self.connect(now);
        }
        if self.hung_up_until.is_some_and(|until| now >= until) {
            self.hung_up_until = None;
            self.connect(now);
        }
        while let Some(order) = arrived(&mut self.under_way, now) {
            self.hear(&order, now);
        }
        while let Some(answer) = arrived(&mut self.answers, now) {
            // An answer given up on may be older than one that came.
            if self.answer.is_none_or(|newest| newest.number <= answer.number) {
                self.answer = Some(answer);
            }
        }
        if let Some(standing) = self.standing {
            let is_over = match self.lapse {
                LapseClass::A => now >= standing.ends,
                LapseClass::B => matches!(self.link, Link::Down { since } if now.since(since) >= self.lease),
                LapseClass::C => false,
            };
            if is_over {
                self.fallback = standing.then;
                self.standing = None;
            }
        }
        self.set_pilot(now);
    }

    /// When something changes by itself.
    pub fn wakes_at(&self) -> Moment {
        let never = Moment::from_millis(u64::MAX);
        let order = self.under_way.front().map_or(never, |(at, _)| *at);
        let answer = self.answers.front().map_or(never, |(at, _)| *at);
        let lapse = self.standing.map_or(never, |standing| match (self.lapse, self.link) {
            (LapseClass::A, _) => standing.ends,
            (LapseClass::B, Link::Down { since }) => since + self.lease,
            (LapseClass::B | LapseClass::C, _) => never,
        });
        let pilot = if self.pilot == self.offer() { never } else { self.pilot_stays_until };
        let returns = [self.boots_until, self.hung_up_until].into_iter().flatten().min().unwrap_or(never);
        order.min(answer).min(lapse).min(pilot).min(returns)
    }

    /// The limit that stands in it: zero, or at least its least.
    pub fn offer(&self) -> Amps {
        if self.boots_until.is_some() {
            return Amps::ZERO;
        }
        let limit = self.standing.map_or(self.fallback, |standing| standing.amps).min(self.most);
        let limit = limit.floor_to(self.step);
        if limit < self.least { Amps::ZERO } else { limit }
    }

    /// What it offers the car.
    pub fn pilot(&self) -> Amps {
        self.pilot
    }

    /// A new duty cycle waits its time; a stop or a start is another state of the pilot and does not.
    fn set_pilot(&mut self, now: Moment) {
        let offer = self.offer();
        let is_free = now >= self.pilot_stays_until || !offer.is_positive() || !self.pilot.is_positive();
        if offer != self.pilot && is_free {
            self.pilot = offer;
            self.pilot_stays_until = now + self.pilot_pace;
        }
    }

    fn hear(&mut self, order: &Order, now: Moment) {
        if self.ears == Ears::Heeds {
            self.standing = Some(Standing { amps: order.amps, ends: now + order.lease, then: order.fallback });
        }
        let verdict = match self.ears {
            Ears::Heeds | Ears::Ignores => Accepted::Yes,
            Ears::Refuses => Accepted::No,
            Ears::Deaf => Accepted::Silent,
        };
        match self.is_lost() {
            true => self.say(order.number, Accepted::Silent, now + ANSWER_WITHIN),
            false => {
                let late = self.lateness();
                self.say(order.number, verdict, now + self.network.answers_after + late);
            }
        }
    }

    /// An answer that will be heard then.
    fn say(&mut self, number: u64, verdict: Accepted, at: Moment) {
        if self.answers.len() == UNDER_WAY_MOST {
            self.answers.pop_front();
        }
        let place = self.answers.partition_point(|(before, _)| *before <= at);
        self.answers.insert(place, (at, Answer { number, at, verdict }));
    }

    fn is_lost(&mut self) -> bool {
        self.network.lost_permille > 0 && self.dice.chance(f64::from(self.network.lost_permille) / 1000.0)
    }

    fn lateness(&mut self) -> Duration {
        Duration::from_millis(self.dice.between(0, self.network.jitter.as_millis() as i64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tests::evse;
    use crate::site::EvseId;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn order(amps: i32) -> Order {
        Order {
            evse: EvseId(0),
            number: 1,
            amps: Amps::whole(amps),
            lease: Duration::from_secs(60),
            fallback: Amps::whole(6),
        }
    }

    fn made(lapse: LapseClass, script: &Script) -> Charger {
        Charger::new(&Evse { lapse, lease: Duration::from_secs(60), ..evse("left") }, script, 0)
    }

    fn with_lapse(lapse: LapseClass) -> Charger {
        made(lapse, &Script { charger_step: Amps::whole(1), ..Script::default() })
    }

    #[test]
    fn an_order_counts_when_it_arrives_and_its_lease_from_then() {
        let mut charger = with_lapse(LapseClass::A);
        charger.send(order(12), at(1_000));
        charger.live(at(1_100));
        assert_eq!(charger.offer(), Amps::whole(6));
        charger.live(at(1_200));
        assert_eq!(charger.offer(), Amps::whole(12));
        charger.live(at(61_100));
        assert_eq!(charger.offer(), Amps::whole(12));
        charger.live(at(61_200));
        assert_eq!(charger.offer(), Amps::whole(6));
    }

    #[test]
    fn a_charger_of_class_b_falls_back_only_when_the_connection_is_lost() {
        let mut charger = with_lapse(LapseClass::B);
        charger.send(order(12), at(0));
        charger.live(at(300_000));
        assert_eq!(charger.offer(), Amps::whole(12));
        charger.set_link(false, at(300_000));
        charger.live(at(359_900));
        assert_eq!(charger.offer(), Amps::whole(12));
        charger.live(at(360_000));
        assert_eq!(charger.offer(), Amps::whole(6));
    }

    #[test]
    fn a_charger_that_is_hung_up_on_falls_back_whatever_it_hears_and_returns_when_it_is_let_in() {
        let mut charger = with_lapse(LapseClass::B);
        charger.send(order(16), at(0));
        charger.live(at(1_000));
        charger.ears = Ears::Ignores;
        (100_000..160_000).step_by(1_000).for_each(|now| charger.hang_up(at(170_000), at(now)));
        charger.live(at(159_900));
        assert_eq!((charger.offer(), charger.link), (Amps::whole(16), Link::Down { since: at(100_000) }));
        assert_eq!(charger.wakes_at(), at(160_000));
        charger.live(at(160_000));
        assert_eq!((charger.offer(), charger.wakes_at()), (Amps::whole(6), at(170_000)));
        charger.set_link(true, at(165_000));
        assert!(matches!(charger.link, Link::Down { .. }), "it dials in vain");
        charger.live(at(170_000));
        assert_eq!((charger.offer(), charger.link), (Amps::whole(6), Link::Up { since: at(170_000) }));
    }

    #[test]
    fn a_charger_of_class_c_keeps_its_last_limit_for_ever() {
        let mut charger = with_lapse(LapseClass::C);
        charger.send(order(12), at(0));
        charger.live(at(200));
        charger.set_link(false, at(1_000));
        charger.live(at(1_000_000_000));
        assert_eq!(charger.offer(), Amps::whole(12));
    }

    #[test]
    fn a_charger_that_ignores_says_yes_all_the_same() {
        let mut charger = with_lapse(LapseClass::A);
        charger.ears = Ears::Ignores;
        charger.send(order(12), at(0));
        charger.live(at(200));
        assert_eq!(charger.offer(), Amps::whole(6));
        assert_eq!(charger.answer, Some(Answer { number: 1, at: at(200), verdict: Accepted::Yes }));
    }

    #[test]
    fn orders_to_a_charger_without_connection_never_arrive() {
        let mut charger = with_lapse(LapseClass::A);
        charger.send(order(12), at(0));
        charger.set_link(false, at(100));
        charger.send(order(13), at(200));
        charger.set_link(true, at(300));
        charger.live(at(10_000));
        assert_eq!(charger.offer(), Amps::whole(6));
        assert_eq!((charger.answer, charger.epoch), (None, 2));
    }

    #[test]
    fn whole_amperes_are_rounded_down_and_less_than_six_is_a_pause() {
        let mut charger = with_lapse(LapseClass::A);
        charger.send(Order { amps: Amps::milli(9_900), ..order(0) }, at(0));
        charger.live(at(200));
        assert_eq!(charger.offer(), Amps::whole(9));
        charger.send(Order { amps: Amps::milli(5_900), ..order(0) }, at(300));
        charger.live(at(500));
        assert_eq!(charger.offer(), Amps::ZERO);
    }

    /// Lives tick by tick; gives each time at which the pilot was another one than before, and what it was.
    fn pilots(charger: &mut Charger, from: u64, to: u64) -> Vec<(u64, Amps)> {
        let mut seen = vec![(from, charger.pilot())];
        for millis in (from + 100..=to).step_by(100) {
            charger.live(at(millis));
            if seen.last().is_some_and(|(_, pilot)| *pilot != charger.pilot()) {
                seen.push((millis, charger.pilot()));
            }
        }
        seen
    }

    #[test]
    fn the_pilot_keeps_its_pace_but_for_a_stop() {
        let script = Script { pilot_pace: Duration::from_secs(5), ..Script::default() };
        let mut charger = made(LapseClass::C, &script);
        charger.send(order(16), at(0));
        charger.send(order(12), at(1_000));
        charger.send(order(9), at(2_000));
        let changes = pilots(&mut charger, 0, 10_000);
        assert_eq!(changes[1..], [(200, Amps::whole(16)), (5_200, Amps::whole(9))]);
        charger.send(order(0), at(10_000));
        charger.send(order(8), at(10_300));
        let changes = pilots(&mut charger, 10_000, 20_000);
        assert_eq!(changes[1..], [(10_200, Amps::ZERO), (10_500, Amps::whole(8))]);
    }

    #[test]
    fn a_charger_that_boots_offers_nothing_and_forgets_its_limit() {
        let mut charger = with_lapse(LapseClass::C);
        charger.send(order(12), at(0));
        charger.live(at(200));
        charger.reboot(at(1_000), Duration::from_secs(30));
        assert_eq!((charger.offer(), charger.link), (Amps::ZERO, Link::Down { since: at(1_000) }));
        charger.send(order(13), at(2_000));
        charger.live(at(30_900));
        assert_eq!(charger.pilot(), Amps::ZERO);
        charger.live(at(31_000));
        assert_eq!((charger.pilot(), charger.link, charger.epoch), (Amps::whole(6), Link::Up { since: at(31_000) }, 2));
        // Out of the network's reach it boots and stays unconnected.
        charger.set_link(false, at(40_000));
        charger.reboot(at(41_000), Duration::from_secs(1));
        charger.live(at(50_000));
        assert_eq!((charger.pilot(), charger.link), (Amps::whole(6), Link::Down { since: at(40_000) }));
    }

    #[test]
    fn a_slow_answer_comes_long_after_the_deed() {
        let mut charger = with_lapse(LapseClass::A);
        charger.network = Network { answers_after: Duration::from_secs(7), ..Network::default() };
        charger.send(order(12), at(0));
        charger.live(at(200));
        assert_eq!((charger.offer(), charger.answer), (Amps::whole(12), None));
        charger.live(at(7_200));
        assert_eq!(charger.answer, Some(Answer { number: 1, at: at(7_200), verdict: Accepted::Yes }));
    }

    #[test]
    fn on_a_bad_line_some_orders_are_lost_some_answers_too_and_none_overtakes() {
        let network = Network { jitter: Duration::from_secs(3), lost_permille: 200, ..Network::default() };
        let mut charger = made(LapseClass::C, &Script { network, ..Script::default() });
        let (mut done, mut said, mut silent) = (0, 0, 0);
        for number in 1..=1_000 {
            let sent = number * 40_000;
            // 11 A, and at once 10 A or 12 A in turns: what is left is the second, unless it is lost.
            let second = Order { number: number * 2 + 1, ..order(if number % 2 == 0 { 10 } else { 12 }) };
            charger.send(Order { number: number * 2, ..order(11) }, at(sent));
            charger.send(second, at(sent));
            (sent + 100..=sent + 38_000).step_by(100).for_each(|millis| charger.live(at(millis)));
            done += usize::from(charger.pilot() == second.amps);
            let answer = charger.answer.unwrap();
            assert_eq!(answer.number, second.number);
            match answer.verdict {
                Accepted::Yes => said += usize::from(charger.pilot() == second.amps),
                Accepted::Silent => silent += 1,
                Accepted::No => panic!("nobody refuses"),
            }
        }
        assert!((760..840).contains(&done), "{done} of 1000 done");
        // Both ways have to be good; who says yes has done it.
        assert!((590..690).contains(&said) && said + silent == 1_000, "{said} said yes, {silent} silent");
    }
}
