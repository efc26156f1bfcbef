//! What does a charger offer its car? The last order that it heard and heeds, until that order's lease ends.

use super::arrived;
use crate::control::Order;
use crate::control::observation::{Accepted, Answer, Link};
use crate::site::{Evse, LapseClass};
use crate::time::{Duration, Moment};
use crate::units::Amps;
use std::collections::VecDeque;

/// Orders under way to a charger at once: more than any controller sends within a second.
const UNDER_WAY_MOST: usize = 16;

/// Order sent to offer changed and answer heard: a usual round trip.
pub const ROUND_TRIP: Duration = Duration::from_millis(200);

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
    fallback: Amps,
    lease: Duration,
    lapse: LapseClass,
    /// How it takes orders.
    pub ears: Ears,
    /// Its connection to the gateway.
    pub link: Link,
    /// Counts its connections.
    pub epoch: u64,
    /// Its newest answer.
    pub answer: Option<Answer>,
    standing: Option<Standing>,
    under_way: VecDeque<(Moment, Order)>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    amps: Amps,
    ends: Moment,
    then: Amps,
}

impl Charger {
    /// Fresh from the factory and connected: nothing but its own fallback stands. `step` is its own, which may be
    /// coarser than what the configuration says.
    pub fn new(evse: &Evse, step: Amps, now: Moment) -> Self {
        Charger {
            least: evse.least,
            most: evse.most,
            step,
            fallback: evse.fallback,
            lease: evse.lease,
            lapse: evse.lapse,
            ears: Ears::Heeds,
            link: Link::Up { since: now },
            epoch: 1,
            answer: None,
            standing: None,
            under_way: VecDeque::new(),
        }
    }

    /// An order leaves for it; lost where there is no connection.
    pub fn send(&mut self, order: Order, now: Moment) {
        if matches!(self.link, Link::Up { .. }) {
            if self.under_way.len() == UNDER_WAY_MOST {
                self.under_way.pop_front();
            }
            self.under_way.push_back((now + ROUND_TRIP, order));
        }
    }

    /// Connects or disconnects it. Orders under way are lost with the connection.
    pub fn set_link(&mut self, is_up: bool, now: Moment) {
        match (is_up, self.link) {
            (true, Link::Never | Link::Down { .. }) => {
                self.link = Link::Up { since: now };
                self.epoch += 1;
                self.answer = None;
            }
            (false, Link::Up { .. }) => {
                self.link = Link::Down { since: now };
                self.under_way.clear();
            }
            (true, Link::Up { .. }) | (false, Link::Never | Link::Down { .. }) => {}
        }
    }

    /// Hears what has arrived and lets leases end.
    pub fn live(&mut self, now: Moment) {
        while let Some(order) = arrived(&mut self.under_way, now) {
            let verdict = match self.ears {
                Ears::Heeds | Ears::Ignores => Accepted::Yes,
                Ears::Refuses => Accepted::No,
                Ears::Deaf => Accepted::Silent,
            };
            self.answer = Some(Answer { number: order.number, at: now, verdict });
            if self.ears == Ears::Heeds {
                self.standing = Some(Standing { amps: order.amps, ends: now + order.lease, then: order.fallback });
            }
        }
        let Some(standing) = self.standing else { return };
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

    /// When something changes by itself.
    pub fn wakes_at(&self) -> Moment {
        let never = Moment::from_millis(u64::MAX);
        let order = self.under_way.front().map_or(never, |(at, _)| *at);
        let lapse = self.standing.map_or(never, |standing| match (self.lapse, self.link) {
            (LapseClass::A, _) => standing.ends,
            (LapseClass::B, Link::Down { since }) => since + self.lease,
            (LapseClass::B | LapseClass::C, _) => never,
        });
        order.min(lapse)
    }

    /// What it offers the car: zero, or at least its least.
    pub fn offer(&self) -> Amps {
        let limit = self.standing.map_or(self.fallback, |standing| standing.amps).min(self.most);
        let limit = limit.floor_to(self.step);
        if limit < self.least { Amps::ZERO } else { limit }
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

    fn with_lapse(lapse: LapseClass) -> Charger {
        Charger::new(&Evse { lapse, lease: Duration::from_secs(60), ..evse("left") }, Amps::whole(1), at(0))
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
}
