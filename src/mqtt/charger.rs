//! What is known of one charger that speaks MQTT, and what was it told? A state machine without I/O.
//!
//! ```text
//!              status "online", or a state that does not deny it
//!   Never ───────────────────────────────▶ Up (epoch + 1) ◀──────────┐
//!                                           │                        │ the same
//!                 "offline", or broker lost ▼                        │
//!                                          Down ─────────────────────┘
//!
//!   order ──▶ due ── published ──▶ awaited ── state with its number ──▶ Yes (or No)
//!                                     └─────── CONFIRM_WITHIN passes ─▶ Silent
//! ```

use super::message::{self, State};
use super::session::Sessions;
use crate::control::Order;
use crate::control::observation::{Accepted, Answer, Link, Measured, Report};
use crate::time::{Duration, Moment};
use crate::units::Amps;
use std::collections::VecDeque;

/// A charger that has not confirmed a setpoint by then counts as silent: a broker and a charger on the same network need
/// well under a second, and a busy charger a few.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(10);
/// Orders that may wait for their answers at once: more would be more than one a second for [`CONFIRM_WITHIN`].
const AWAITED_MOST: usize = 10;
/// A confirmed setpoint may lie so far above the order: some chargers keep tenths of an ampere.
const CONFIRM_ABOVE: Amps = Amps::milli(100);

/// One charger.
#[derive(Debug)]
pub struct Charger {
    topic: String,
    wired: usize,
    report: Report,
    reported: Report,
    /// What `<topic>/status` said last in this connection to the broker.
    status_says: Option<bool>,
    /// What `<topic>/state` said last in this connection to the broker.
    state_says: Option<bool>,
    held: Option<Held>,
    /// Oldest first.
    awaited: VecDeque<Awaited>,
    sessions: Sessions,
    is_garbled: bool,
}

/// The newest order.
#[derive(Debug)]
struct Held {
    order: Order,
    since: Moment,
    is_due: bool,
}

/// An order that has no answer yet.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    number: u64,
    amps: Amps,
    until: Moment,
}

impl Charger {
    /// A charger below `topic` with `wired` terminals (1 or 3), not heard of yet. `seed` differs from process to process.
    pub fn new(topic: String, wired: usize, seed: i64) -> Self {
        Charger {
            sessions: Sessions::new(&topic, seed),
            topic,
            wired,
            report: Report::default(),
            reported: Report::default(),
            status_says: None,
            state_says: None,
            held: None,
            awaited: VecDeque::new(),
            is_garbled: false,
        }
    }

    /// The broker has taken us (again): the newest order is due once more, for what is left of its lease.
    pub fn broker_up(&mut self) {
        if let Some(held) = &mut self.held {
            held.is_due = true;
        }
    }

    /// The broker is lost, and the charger with it.
    pub fn broker_down(&mut self, now: Moment) {
        (self.status_says, self.state_says) = (None, None);
        self.settle_link(now);
    }

    /// `<topic>/status`.
    pub fn hear_status(&mut self, payload: &[u8], is_retained: bool, now: Moment) {
        let Some(is_online) = message::parse_status(payload) else { return };
        let was_up = matches!(self.report.link, Link::Up { .. });
        self.status_says = Some(is_online);
        if is_online && !is_retained {
            self.state_says = None;
            if was_up {
                // It has come back before anybody saw it leave.
                self.report.link = Link::Down { since: now };
            }
        }
        self.settle_link(now);
    }

    /// `<topic>/state`.
    pub fn hear_state(&mut self, payload: &[u8], is_retained: bool, now: Moment) {
        let state = match State::parse(payload, self.wired) {
            Ok(state) => state,
            Err(why) => {
                if !std::mem::replace(&mut self.is_garbled, true) {
                    tracing::warn!(topic = %self.topic, "charger's state is not understood and is dropped: {why}; see docs/MQTT.md");
                }
                return;
            }
        };
        self.is_garbled = false;
        match (state.is_online, is_retained) {
            (Some(false), _) => self.state_says = Some(false),
            (Some(true), true) => self.state_says = Some(true),
            (None, true) => {}
            // Whoever speaks now is there, whatever was retained.
            (_, false) => (self.status_says, self.state_says) = (None, Some(true)),
        }
        self.settle_link(now);
        if state.is_online == Some(false) {
            return; // a last will: what it knew of the car still holds
        }
        self.report.plug = state.plug;
        self.report.session = self.sessions.follow(self.report.session.take(), &state, now);
        if !is_retained {
            if let Some(current) = state.current {
                self.report.measured = Some(Measured { at: now, current, watts: state.watts });
            }
            self.confirm(&state, now);
        }
    }

    /// A new order: it replaces one that still waits to be published.
    pub fn order(&mut self, order: Order, now: Moment) {
        self.held = Some(Held { order, since: now, is_due: true });
        self.await_answer(&order, now);
    }

    /// What to publish on `<topic>/setpoint`, if anything is due. What is left of the lease goes along, so that a late
    /// or repeated setpoint never stands longer than the order allows.
    pub fn due(&self, now: Moment) -> Option<(String, String)> {
        let held = self.held.as_ref().filter(|held| held.is_due)?;
        let valid_s = held.order.lease.as_secs().saturating_sub(now.since(held.since).as_secs());
        (valid_s > 0).then(|| (format!("{}/setpoint", self.topic), message::setpoint(&held.order, valid_s)))
    }

    /// What was due is on its way.
    pub fn published(&mut self, now: Moment) {
        if let Some(held) = &mut self.held {
            held.is_due = false;
            let order = held.order;
            self.await_answer(&order, now);
        }
    }

    /// Gives up what has not been confirmed in time.
    pub fn tick(&mut self, now: Moment) {
        while let Some(awaited) = self.awaited.front().copied().filter(|awaited| now >= awaited.until) {
            self.awaited.pop_front();
            self.give_up(awaited, now);
        }
    }

    /// [`Charger::tick`] has something to do then.
    pub fn deadline(&self) -> Option<Moment> {
        self.awaited.front().map(|awaited| awaited.until)
    }

    /// The report, if it differs from the one that was taken last.
    pub fn news(&mut self) -> Option<Report> {
        (self.report != self.reported).then(|| {
            self.reported = self.report.clone();
            self.report.clone()
        })
    }

    /// Offline wins: of two words that were retained at different times, nobody knows which is the older.
    fn settle_link(&mut self, now: Moment) {
        let words = [self.status_says, self.state_says];
        let is_online = words.contains(&Some(true)) && !words.contains(&Some(false));
        match (is_online, self.report.link) {
            (true, Link::Up { .. }) | (false, Link::Never | Link::Down { .. }) => {}
            (true, Link::Never | Link::Down { .. }) => {
                self.report.link = Link::Up { since: now };
                self.report.epoch += 1;
                tracing::info!(topic = %self.topic, "charger is online");
            }
            (false, Link::Up { .. }) => {
                self.report.link = Link::Down { since: now };
                tracing::warn!(topic = %self.topic, "charger is offline; it falls back by itself");
            }
        }
    }

    fn await_answer(&mut self, order: &Order, now: Moment) {
        self.awaited.retain(|awaited| awaited.number != order.number);
        if self.awaited.len() >= AWAITED_MOST
            && let Some(oldest) = self.awaited.pop_front()
        {
            self.give_up(oldest, now);
        }
        self.awaited.push_back(Awaited { number: order.number, amps: order.amps, until: now + CONFIRM_WITHIN });
    }

    fn give_up(&mut self, awaited: Awaited, now: Moment) {
        let was_silent = self.report.answer.is_some_and(|answer| answer.verdict == Accepted::Silent);
        if !was_silent {
            tracing::warn!(topic = %self.topic, number = awaited.number, "charger has not confirmed its setpoint within {} s; it counts as not given", CONFIRM_WITHIN.as_secs());
        }
        self.report.answer = Some(Answer { number: awaited.number, at: now, verdict: Accepted::Silent });
    }

    /// Only a number that waits for its answer confirms anything: others are left over from before a restart of ours.
    /// The newest order may still be confirmed after it was given up.
    fn confirm(&mut self, state: &State, now: Moment) {
        let (Some(number), Some(held)) = (state.number, &self.held) else { return };
        let is_newest = number == held.order.number;
        let was_given_up = self.report.answer.is_some_and(|a| a.number == number && a.verdict == Accepted::Silent);
        let amps = match self.awaited.iter().find(|awaited| awaited.number == number) {
            Some(_) if is_newest && held.is_due => return,
            Some(awaited) => awaited.amps,
            None if is_newest && was_given_up => held.order.amps,
            None => return,
        };
        // Who keeps to a number has passed those before it.
        self.awaited.retain(|awaited| awaited.number > number);
        let keeps_to_it = state.setpoint.is_none_or(|kept| kept <= amps + CONFIRM_ABOVE);
        let verdict = if keeps_to_it { Accepted::Yes } else { Accepted::No };
        self.report.answer = Some(Answer { number, at: now, verdict });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::observation::Plug;
    use crate::site::EvseId;
    use crate::units::PerPhase;

    #[test]
    fn it_is_never_seen_until_it_speaks() {
        let mut charger = charger();
        charger.broker_up();
        charger.broker_down(at(1));
        assert_eq!(charger.report.link, Link::Never);
        charger.hear_state(br#"{"plug":"available"}"#, false, at(2));
        assert_eq!((charger.report.link, charger.report.epoch), (Link::Up { since: at(2) }, 1));
    }

    #[test]
    fn its_last_will_takes_the_link_down_and_keeps_what_was_known_of_the_car() {
        for (topic, will) in [("status", &b"offline"[..]), ("state", br#"{"online":false}"#)] {
            let mut charger = charging();
            match topic {
                "status" => charger.hear_status(will, false, at(5)),
                _ => charger.hear_state(will, false, at(5)),
            }
            assert_eq!(charger.report.link, Link::Down { since: at(5) }, "{topic}");
            assert_eq!(charger.report.plug, Plug::Charging);
            assert!(charger.report.session.is_some());
        }
    }

    #[test]
    fn among_retained_words_offline_wins_in_either_order_and_a_live_one_wins_over_both() {
        let online = br#"{"online":true,"plug":"available"}"#;
        let mut first = charger();
        first.hear_status(b"offline", true, at(1));
        first.hear_state(online, true, at(1));
        let mut second = charger();
        second.hear_state(online, true, at(1));
        second.hear_status(b"offline", true, at(1));
        for mut charger in [first, second] {
            assert!(!matches!(charger.report.link, Link::Up { .. }));
            charger.hear_state(online, false, at(2));
            assert_eq!(charger.report.link, Link::Up { since: at(2) });
        }
    }

    #[test]
    fn the_epoch_counts_broker_losses_and_returns_of_the_charger() {
        let mut charger = charging();
        assert_eq!(charger.report.epoch, 1);
        charger.broker_down(at(5));
        assert_eq!(charger.report.link, Link::Down { since: at(5) });
        charger.broker_up();
        charger.hear_status(b"online", true, at(6));
        assert_eq!((charger.report.link, charger.report.epoch), (Link::Up { since: at(6) }, 2));
        charger.hear_status(b"online", false, at(7));
        assert_eq!((charger.report.link, charger.report.epoch), (Link::Up { since: at(7) }, 3), "a quick reboot");
        charger.hear_status(b"something else", false, at(8));
        assert_eq!(charger.report.epoch, 3);
    }

    #[test]
    fn a_retained_state_is_no_measurement_and_no_confirmation() {
        let mut charger = charger();
        charger.order(order(1, 9), at(0));
        charger.published(at(0));
        charger.hear_state(STATE, true, at(1));
        assert_eq!(charger.report.plug, Plug::Charging);
        assert!(charger.report.session.is_some());
        assert_eq!(charger.report.measured, None);
        assert_eq!(charger.report.answer, None);
    }

    #[test]
    fn a_live_state_is_a_measurement_of_its_arrival() {
        let charger = charging();
        let current = PerPhase([Amps::whole(6), Amps::ZERO, Amps::ZERO]);
        assert_eq!(charger.report.measured, Some(Measured { at: at(1), current, watts: Some(1380) }));
    }

    #[test]
    fn a_setpoint_that_is_not_confirmed_in_time_is_silent_and_a_late_yes_still_counts() {
        let mut charger = charging();
        charger.order(order(1, 9), at(10));
        charger.published(at(10));
        charger.tick(at(19));
        assert_eq!(charger.report.answer, None);
        assert_eq!(charger.deadline(), Some(at(20)));
        charger.tick(at(20));
        assert_eq!(charger.report.answer, Some(Answer { number: 1, at: at(20), verdict: Accepted::Silent }));
        charger.hear_state(br#"{"plug":"charging","number":1,"setpoint_a":9}"#, false, at(21));
        assert_eq!(charger.report.answer, Some(Answer { number: 1, at: at(21), verdict: Accepted::Yes }));
    }

    #[test]
    fn a_number_confirms_all_before_it_and_a_higher_setpoint_confirms_nothing() {
        let mut charger = charging();
        for number in 1..=3 {
            charger.order(order(number, 9), at(number));
            charger.published(at(number));
        }
        charger.hear_state(br#"{"number":2,"setpoint_a":9}"#, false, at(4));
        assert_eq!(charger.report.answer, Some(Answer { number: 2, at: at(4), verdict: Accepted::Yes }));
        charger.hear_state(br#"{"number":3,"setpoint_a":16}"#, false, at(5));
        assert_eq!(charger.report.answer, Some(Answer { number: 3, at: at(5), verdict: Accepted::No }));
        charger.tick(at(100));
        assert_eq!(charger.report.answer.unwrap().number, 3, "nothing waits any more");
    }

    #[test]
    fn a_number_of_an_earlier_process_confirms_nothing() {
        let mut charger = charging();
        charger.order(order(1, 9), at(1));
        charger.published(at(1));
        charger.hear_state(br#"{"number":17,"setpoint_a":9}"#, false, at(2));
        assert_eq!(charger.report.answer, None);
    }

    #[test]
    fn orders_in_quick_succession_do_not_hide_that_it_is_deaf() {
        let mut charger = charging();
        for number in 1..=100 {
            charger.order(order(number, 9), Moment::from_millis(number * 100));
            charger.published(Moment::from_millis(number * 100));
        }
        assert_eq!(charger.report.answer.map(|a| a.verdict), Some(Accepted::Silent));
        assert_eq!(charger.awaited.len(), AWAITED_MOST);
    }

    #[test]
    fn a_setpoint_that_is_published_late_or_again_stands_for_the_rest_of_its_lease_only() {
        let mut charger = charger();
        charger.order(order(1, 9), at(0));
        let valid = |charger: &Charger, now| charger.due(now).map(|(_, payload)| payload);
        assert!(valid(&charger, at(0)).unwrap().contains(r#""valid_s":120"#));
        charger.published(at(0));
        assert_eq!(charger.due(at(1)), None);
        charger.broker_down(at(20));
        charger.broker_up();
        assert!(valid(&charger, at(50)).unwrap().contains(r#""valid_s":70"#));
        assert_eq!(charger.due(at(120)), None);
    }

    #[test]
    fn what_is_not_understood_changes_nothing() {
        let mut charger = charging();
        let before = charger.report.clone();
        charger.hear_state(b"{", false, at(9));
        charger.hear_status(b"{", false, at(9));
        assert_eq!(charger.report, before);
    }

    #[test]
    fn a_report_is_news_once() {
        let mut charger = charging();
        assert!(charger.news().is_some());
        assert!(charger.news().is_none());
    }

    const STATE: &[u8] = br#"{"online":true,"plug":"charging","session":"abc","token":"04A2","current_a":[6],
        "power_w":1380,"energy_kwh":1,"setpoint_a":9,"number":1}"#;

    fn charger() -> Charger {
        Charger::new("chargers/left".into(), 1, 7)
    }

    fn charging() -> Charger {
        let mut charger = charger();
        charger.broker_up();
        charger.hear_state(STATE, false, at(1));
        charger
    }

    fn order(number: u64, amps: i32) -> Order {
        Order {
            evse: EvseId(0),
            number,
            amps: Amps::whole(amps),
            lease: Duration::from_secs(120),
            fallback: Amps::whole(6),
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }
}
