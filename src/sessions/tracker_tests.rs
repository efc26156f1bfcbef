//! Are sessions told once, whole, and over restarts? Steps by hand.

use super::*;
use crate::control::observation::{Need, Plug};
use crate::control::{self, State};
use crate::policy::{Principal, Token};
use crate::sim::tests::{evse, site};

/// Two EVSEs; Kari's card is `04A2B3C4`, nobody else is known, and anybody may charge.
struct World {
    site: Site,
    state: State,
    seen: Observation,
    policy: Policy,
    now: Moment,
    tracker: Tracker,
    is_resumed: bool,
    is_offline: bool,
}

impl World {
    fn new() -> Self {
        let mut world = World::starting(1);
        world.resume(vec![]);
        world
    }

    /// A process that has not read yet what ran before.
    fn starting(process: u64) -> Self {
        let site = site(vec![evse("left"), evse("right")]);
        let mut seen = Observation::nothing(&site, 0);
        seen.wall = Some("2026-11-05T17:00:00Z".parse().unwrap());
        let kari =
            Principal { id: "usr_a".into(), alias: Some("Kari".into()), class: 0, evses: None, valid_until: None };
        let card = Token::of(0);
        let policy =
            Policy { principals: vec![kari], tokens: [("04A2B3C4".to_owned(), card)].into(), ..Policy::open(2) };
        World {
            state: State::new(&site, Moment::START),
            site,
            seen,
            policy,
            now: Moment::START,
            tracker: Tracker::new(Keys::of(process), 2),
            is_resumed: false,
            is_offline: false,
        }
    }

    fn resume(&mut self, before: Vec<Record>) {
        self.tracker.resume(before);
        self.is_resumed = true;
    }

    fn pass(&mut self, seconds: u64) -> Vec<Record> {
        let mut news = Vec::new();
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            self.seen.wall = self.seen.wall.map(|wall| wall + TimeDelta::seconds(1));
            let decision = control::step(&self.site, &mut self.state, &self.seen, &self.policy, self.now);
            let World { site, seen, policy, is_offline, now, tracker, .. } = self;
            let told = Told { site, seen, decision: &decision, policy, is_offline: *is_offline, now: *now };
            news.extend(tracker.step(&told, self.is_resumed));
        }
        news
    }

    fn begin(&mut self, evse: usize, id: i64, token: Option<&str>) {
        let report = &mut self.seen.reports[evse];
        report.link = Link::Up { since: self.now };
        report.plug = Plug::Charging;
        let token = token.map(str::to_owned);
        report.session = Some(Session { id, token, since: self.now, energy_wh: None, need: Need::default() });
    }

    fn energy(&mut self, evse: usize, watt_hours: i64) {
        self.seen.reports[evse].session.as_mut().unwrap().energy_wh = Some(watt_hours);
    }

    fn end(&mut self, evse: usize) {
        self.seen.reports[evse].session = None;
    }
}

#[test]
fn a_session_is_told_when_it_begins_and_when_it_is_over() {
    let mut world = World::new();
    assert!(world.pass(5).is_empty());
    world.begin(0, 77, Some("04:a2-b3:c4"));
    let begun = world.pass(1);
    let [begun] = &begun[..] else { panic!("{begun:?}") };
    assert_eq!((begun.evse.as_str(), begun.transaction, begun.end), ("left", 77, None));
    assert_eq!((begun.person.as_deref(), begun.alias.as_deref()), (Some("usr_a"), Some("Kari")));
    assert_eq!(begun.token.as_deref(), Some("****B3C4"));
    world.energy(0, 4_200);
    assert!(world.pass(100).is_empty(), "few writes");
    world.end(0);
    let over = world.pass(1);
    let [over] = &over[..] else { panic!("{over:?}") };
    assert_eq!((over.id, over.end, over.energy_wh, over.is_estimated), (begun.id, Some(End::Stopped), 4_200, false));
    assert_eq!((over.started_at, over.span_s), (begun.started_at, 102));
    assert_eq!(over.ended_at.unwrap() - over.started_at.unwrap(), TimeDelta::seconds(102));
    assert!(!over.changes.is_empty() && over.changes[0].at_s <= 1 && over.review.is_empty());
    assert!(world.pass(5).is_empty());
}

#[test]
fn the_registers_last_word_is_what_was_charged_and_belongs_to_its_own_session_only() {
    let over = |ended: Ended| {
        let mut world = World::new();
        world.begin(0, 77, None);
        world.energy(0, 4_200);
        world.pass(10);
        world.end(0);
        world.seen.reports[0].ended = Some(ended);
        let [over] = &world.pass(1)[..] else { panic!() };
        (over.energy_wh, over.meter_start_wh, over.meter_stop_wh, over.is_estimated)
    };
    let ended = Ended { id: 77, start_wh: Some(10_000), stop_wh: 14_350 };
    assert_eq!(over(ended), (4_350, Some(10_000), Some(14_350), false));
    assert_eq!(over(Ended { id: 76, ..ended }), (4_200, None, None, false), "another session's");
    assert_eq!(over(Ended { stop_wh: 9_000, ..ended }), (4_200, Some(10_000), Some(9_000), false), "it ran back");
    assert_eq!(over(Ended { start_wh: None, ..ended }), (4_200, None, Some(14_350), false));
}

#[test]
fn a_session_that_runs_is_written_down_each_quarter_of_an_hour_and_only_if_something_is_new() {
    let mut world = World::new();
    world.begin(0, 77, None);
    world.pass(1);
    let mut written = 0;
    for minute in 0..60 {
        world.energy(0, minute * 100);
        written += world.pass(60).len();
    }
    assert!((3..=4).contains(&written), "{written}");
    world.pass(900);
    assert_eq!(world.pass(3600).len(), 0, "nothing new");
}

#[test]
fn another_session_at_the_same_evse_ends_the_one_before() {
    let mut world = World::new();
    world.begin(0, 1, None);
    world.pass(1);
    world.begin(0, 2, None);
    let news = world.pass(1);
    let told: Vec<_> = news.iter().map(|record| (record.transaction, record.end)).collect();
    assert_eq!(told, [(1, Some(End::Replaced)), (2, None)]);
    assert_ne!(news[0].id, news[1].id);
}

#[test]
fn a_session_goes_on_over_a_restart_under_its_id() {
    let mut world = World::new();
    world.begin(0, 77, Some("04A2B3C4"));
    let before = world.pass(1).remove(0);
    let mut after = World::starting(2);
    after.seen.wall = world.seen.wall.map(|wall| wall + TimeDelta::seconds(100));
    after.begin(0, 77, Some("04A2B3C4"));
    assert!(after.pass(10).is_empty(), "nothing is said before it is known what ran");
    after.resume(vec![before.clone()]);
    let news = after.pass(1);
    assert_eq!((news.len(), news[0].id, news[0].end), (1, before.id, None));
    assert_eq!((news[0].started_at, news[0].span_s), (before.started_at, 112));
    after.energy(0, 900);
    after.end(0);
    let over = after.pass(1).remove(0);
    assert_eq!((over.id, over.end), (before.id, Some(End::Stopped)));
}

#[test]
fn a_session_that_ended_before_the_disk_was_read_is_one_session_too() {
    let mut world = World::new();
    world.begin(0, 77, None);
    let before = world.pass(1).remove(0);
    let mut after = World::starting(2);
    after.begin(0, 77, None);
    after.pass(5);
    after.end(0);
    after.begin(1, 78, None);
    after.pass(5);
    after.resume(vec![before.clone()]);
    let news = after.pass(1);
    let told: Vec<_> = news.iter().map(|record| (record.transaction, record.end, record.id == before.id)).collect();
    assert_eq!(told, [(77, Some(End::Stopped), true), (78, None, false)]);
}

#[test]
fn a_session_that_is_gone_after_a_restart_is_over_once_its_charger_has_been_heard() {
    let mut world = World::new();
    world.begin(0, 77, None);
    world.energy(0, 3_000);
    let before = world.pass(1).remove(0);
    let mut after = World::starting(2);
    after.resume(vec![before.clone()]);
    assert!(after.pass(30).is_empty(), "its charger may dial in yet");
    after.seen.reports[0].link = Link::Up { since: after.now };
    let over = after.pass(1).remove(0);
    assert_eq!((over.id, over.end, over.energy_wh), (before.id, Some(End::Unseen), 3_000));
    assert_eq!(over.review, [Review::EndUnseen]);
    assert!(after.pass(30).is_empty());
}

#[test]
fn a_session_at_an_evse_that_is_no_longer_there_is_over() {
    let before = Record { evse: "garage".into(), end: None, ..crate::sessions::fixture::record(1) };
    let mut world = World::starting(2);
    world.resume(vec![before]);
    assert_eq!(world.pass(1)[0].end, Some(End::Unseen));
}

#[test]
fn without_a_register_the_energy_is_reckoned_from_currents_and_says_so() {
    let mut world = World::new();
    world.begin(0, 77, None);
    world.pass(3_601);
    world.end(0);
    let over = world.pass(1).remove(0);
    assert!(over.is_estimated);
    assert!((over.energy_wh - 4_140).abs() < 10, "6 A on three phases of 230 V for an hour: {} Wh", over.energy_wh);
}

#[test]
fn where_names_are_not_to_be_shown_the_person_is_an_id_alone() {
    let mut world = World::new();
    world.policy.publish_alias = false;
    world.begin(0, 77, Some("04A2B3C4"));
    let begun = world.pass(1).remove(0);
    assert_eq!((begun.person.as_deref(), &begun.alias), (Some("usr_a"), &None));
    assert!(!serde_json::to_string(&begun).map(|text| text.contains("04A2")).unwrap());
}

#[test]
fn the_time_is_told_once_it_is_known() {
    let mut world = World::new();
    let wall = world.seen.wall.take();
    world.begin(0, 77, None);
    assert_eq!(world.pass(60)[0].started_at, None);
    world.seen.wall = wall;
    world.pass(1);
    world.end(0);
    let over = world.pass(1).remove(0);
    assert_eq!((over.started_at, over.span_s), (wall.map(|wall| wall - TimeDelta::seconds(60)), 62));
}

#[test]
fn who_is_not_entitled_by_the_newest_policy_is_looked_at_and_whether_the_cloud_was_away() {
    for (is_offline, review) in [(true, Review::UnauthorizedOffline), (false, Review::Unauthorized)] {
        let mut world = World::new();
        world.is_offline = is_offline;
        world.begin(0, 77, Some("04A2B3C4"));
        assert_eq!(world.pass(1)[0].is_offline, is_offline);
        world.is_offline = false;
        world.policy.tokens.get_mut("04A2B3C4").unwrap().status = Verdict::Blocked;
        world.pass(2);
        world.end(0);
        let over = world.pass(1).remove(0);
        assert_eq!((over.review.as_slice(), over.end), (&[review][..], Some(End::Denied)));
        assert_eq!(over.person.as_deref(), Some("usr_a"), "it stays his");
    }
}
