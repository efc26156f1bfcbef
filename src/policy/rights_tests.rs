//! Are rights what the rules, the clock and the sessions make of them? A day passes at a site with two chargers.

use super::super::calendar::{Period, Schedule, Window, Zone};
use super::super::{Boost, Class, EvseRule, Principal, PrincipalRule, Quota, Revocation, Rules, Token};
use super::*;
use chrono::TimeDelta;

const LEFT: EvseId = EvseId(0);
const RIGHT: EvseId = EvseId(1);
/// Classes.
const OWNER: usize = 0;
const GUEST: usize = 1;
const SLOW: usize = 2;

/// Kari owns the place, Per is a guest; both charge anywhere.
fn policy() -> Policy {
    let class = |id: &str, priority| Class { id: id.into(), priority, weight: 1, ceiling: None, new_sessions: true };
    let person = |id: &str, class| Principal { id: id.into(), alias: None, class, evses: None, valid_until: None };
    let card = Token::of;
    let slow = Class { ceiling: Some(Amps::whole(6)), ..class("slow", -6) };
    Policy {
        classes: vec![class("owner", 6), class("guest", -3), slow],
        principals: vec![person("kari", OWNER), person("per", GUEST)],
        tokens: [("KARI".to_owned(), card(0)), ("PER".to_owned(), card(1))].into(),
        evses: vec![EvseRule { open: None, plug_and_charge: None, ceiling: None }; 2],
        unknown: None,
        rules: Rules {
            zone: Zone::named("Europe/Oslo").unwrap(),
            principals: vec![PrincipalRule::default(); 2],
            ..Rules::default()
        },
        ..Policy::open(2)
    }
}

/// A site with two chargers, and a day that passes.
struct World {
    policy: Arc<Policy>,
    rights: Rights,
    /// Id, token and register, by EVSE.
    sessions: Vec<Option<(i64, &'static str, i64)>>,
    is_offline: bool,
    wall: DateTime<Utc>,
    now: Moment,
    ids: i64,
}

impl World {
    fn new(policy: Policy) -> Self {
        let policy = Arc::new(policy);
        World {
            rights: Rights::new(policy.clone(), Memory::default()),
            policy,
            sessions: vec![None, None],
            is_offline: false,
            wall: "2026-01-12T12:00:00Z".parse().unwrap(),
            now: Moment::from_millis(1_000_000),
            ids: 0,
        }
    }

    fn begins(&mut self, evse: EvseId, token: &'static str) -> &mut Self {
        self.ids += 1;
        self.sessions[evse.0] = Some((self.ids, token, 0));
        self.step()
    }

    fn ends(&mut self, evse: EvseId) -> &mut Self {
        self.sessions[evse.0] = None;
        self.step()
    }

    fn takes(&mut self, evse: EvseId, wh: i64) -> &mut Self {
        self.sessions[evse.0].as_mut().unwrap().2 += wh;
        self.step()
    }

    fn change(&mut self, change: impl FnOnce(&mut Policy)) -> &mut Self {
        change(Arc::make_mut(&mut self.policy));
        self.step()
    }

    fn after(&mut self, minutes: u64) -> &mut Self {
        for _ in 0..minutes {
            self.wall += TimeDelta::minutes(1);
            self.now = self.now + Duration::from_secs(60);
            self.step();
        }
        self
    }

    fn step(&mut self) -> &mut Self {
        let held = |session: &Option<(i64, &'static str, i64)>| {
            session.map(|(id, token, energy)| Held { id, token: Some(token), energy_wh: Some(energy) })
        };
        let sessions: Vec<Option<Held>> = self.sessions.iter().map(held).collect();
        self.rights.update(&Scene {
            policy: &self.policy,
            sessions: &sessions,
            is_offline: self.is_offline,
            wall: Some(self.wall),
            now: self.now,
        });
        self
    }

    /// What the session there is entitled to.
    fn right(&self, evse: EvseId) -> Entitlement {
        let (id, token, _) = self.sessions[evse.0].unwrap();
        self.rights.policy().right(evse, Some((id, Some(token))), Some(self.wall))
    }

    fn limit(&self, evse: EvseId) -> Option<(i32, Why)> {
        self.right(evse).limit.map(|limit| (limit.most.as_milli() / 1000, limit.why))
    }

    /// What a card is told that is held to the reader.
    fn asks(&self, evse: EvseId, token: &str) -> Verdict {
        self.rights.policy().entitlement(evse, Some(token), Some(self.wall)).verdict
    }
}

/// From 22:00 to 06:00.
fn night(begins_outside: bool) -> Schedule {
    Schedule { allow: vec![Window { days: [true; 7], from: 22 * 60, to: 6 * 60 }], begins_outside }
}

fn with_night(begins_outside: bool) -> World {
    let mut policy = policy();
    policy.rules.schedules = vec![night(begins_outside)];
    policy.rules.principals[1].schedule = Some(0);
    World::new(policy)
}

#[test]
fn without_rules_the_policy_is_what_it_was_and_stays_the_same_one() {
    let mut world = World::new(policy());
    let before = world.step().rights.policy().clone();
    assert!(Arc::ptr_eq(world.after(120).rights.policy(), &before), "nothing has changed");
    world.begins(LEFT, "KARI");
    assert_eq!((world.right(LEFT).priority, world.right(LEFT).limit), (6, None));
}

#[test]
fn outside_its_hours_a_session_waits_and_goes_on_when_they_begin() {
    let mut world = with_night(true);
    // It is 13:00 in Oslo.
    world.begins(LEFT, "PER");
    assert_eq!((world.asks(RIGHT, "PER"), world.limit(LEFT)), (Verdict::Accepted, Some((0, Why::Schedule))));
    world.after(9 * 60 - 1);
    assert_eq!(world.limit(LEFT), Some((0, Why::Schedule)));
    world.after(1);
    assert_eq!(world.limit(LEFT), None);
    world.after(8 * 60);
    assert_eq!(world.limit(LEFT), Some((0, Why::Schedule)), "in the morning it ends");
}

#[test]
fn where_hours_deny_no_session_begins_outside_them_and_one_that_runs_waits() {
    let mut world = with_night(false);
    world.begins(LEFT, "PER");
    assert_eq!((world.asks(RIGHT, "PER"), world.right(LEFT).verdict), (Verdict::NotAtThisTime, Verdict::NotAtThisTime));
    assert_eq!(world.asks(RIGHT, "KARI"), Verdict::Accepted);
    world.after(9 * 60);
    assert_eq!(
        (world.right(LEFT).verdict, world.limit(LEFT)),
        (Verdict::Accepted, None),
        "it is let in when it is time"
    );
    world.after(8 * 60);
    assert_eq!((world.right(LEFT).verdict, world.limit(LEFT)), (Verdict::Accepted, Some((0, Why::Schedule))));
}

#[test]
fn hours_hold_nobody_back_while_the_time_is_not_known() {
    let mut world = with_night(false);
    let sessions = [Some(Held { id: 1, token: Some("PER"), energy_wh: None }), None];
    let scene = Scene { policy: &world.policy, sessions: &sessions, is_offline: false, wall: None, now: world.now };
    let right = world.rights.update(&scene).right(LEFT, Some((1, Some("PER"))), None);
    assert_eq!((right.verdict, right.limit), (Verdict::Accepted, None));
}

fn with_quota(excess: Excess) -> World {
    let mut policy = policy();
    policy.rules.quotas = vec![Quota { energy_wh: 10_000, period: Period::Day, excess }];
    policy.rules.principals[1].quota = Some(0);
    World::new(policy)
}

#[test]
fn a_quota_is_counted_over_sessions_and_chargers_and_begins_anew_at_midnight() {
    let mut world = with_quota(Excess::Deny);
    world.begins(LEFT, "PER").takes(LEFT, 6_000).ends(LEFT);
    world.begins(RIGHT, "PER").takes(RIGHT, 3_999);
    assert_eq!(world.limit(RIGHT), None);
    world.takes(RIGHT, 1);
    assert_eq!(world.limit(RIGHT), Some((0, Why::Quota)));
    assert_eq!((world.asks(LEFT, "PER"), world.asks(LEFT, "KARI")), (Verdict::NoCredit, Verdict::Accepted));
    world.after(11 * 60);
    assert_eq!((world.limit(RIGHT), world.asks(LEFT, "PER")), (None, Verdict::Accepted), "midnight in Oslo");
}

#[test]
fn a_quota_can_lead_into_another_class() {
    let mut world = with_quota(Excess::Class(SLOW));
    world.begins(LEFT, "PER").takes(LEFT, 10_000);
    let right = world.right(LEFT);
    assert_eq!((&*right.class, right.priority, right.ceiling), ("slow", -6, Some(Amps::whole(6))));
    assert_eq!(world.asks(RIGHT, "PER"), Verdict::Accepted);
}

#[test]
fn what_was_used_is_remembered_over_a_restart() {
    let mut world = with_quota(Excess::Deny);
    world.begins(LEFT, "PER").takes(LEFT, 9_000);
    let memory = world.rights.unsaved().unwrap();
    assert_eq!(world.rights.unsaved(), None, "nothing new");
    world.rights = Rights::new(world.policy.clone(), memory);
    world.step();
    assert_eq!(world.limit(LEFT), None);
    world.takes(LEFT, 1_000);
    assert_eq!(world.limit(LEFT), Some((0, Why::Quota)));
}

#[test]
fn a_register_that_jumps_is_no_use() {
    let mut world = with_quota(Excess::Deny);
    world.begins(LEFT, "PER").takes(LEFT, 1_000_000).takes(LEFT, -1_000_000).takes(LEFT, 9_999);
    assert_eq!(world.limit(LEFT), None);
    world.takes(LEFT, 1);
    assert_eq!(world.limit(LEFT), Some((0, Why::Quota)));
}

fn with_boost() -> World {
    let mut policy = policy();
    let max_duration = Duration::from_secs(7_200);
    policy.rules.boost = Some(Boost { allowed: vec![OWNER], priority: 9, max_per_month: 2, max_duration });
    World::new(policy)
}

#[test]
fn a_boost_puts_first_for_a_while_and_so_often_a_month() {
    let mut world = with_boost();
    world.begins(LEFT, "KARI").begins(RIGHT, "PER");
    let boost = |world: &mut World, evse| {
        let outcome = world.rights.boost(evse, true, Some(world.wall), world.now);
        world.step();
        outcome
    };
    assert_eq!(boost(&mut world, RIGHT), Boosted::NotAllowed, "guests may not");
    assert_eq!(boost(&mut world, LEFT), Boosted::Yes);
    assert_eq!((world.right(LEFT).priority, world.right(LEFT).is_boosted), (9, true));
    world.after(120);
    assert_eq!((world.right(LEFT).priority, world.right(LEFT).is_boosted), (6, false));
    assert_eq!(boost(&mut world, LEFT), Boosted::Yes);
    world.ends(LEFT).begins(LEFT, "KARI");
    assert_eq!(world.right(LEFT).priority, 6, "a boost ends with its session");
    assert_eq!(boost(&mut world, LEFT), Boosted::UsedUp);
    world.after(20 * 24 * 60);
    assert_eq!(boost(&mut world, LEFT), Boosted::Yes, "in February there are new ones");
    world.ends(LEFT);
    assert_eq!(boost(&mut world, LEFT), Boosted::Nobody);
}

#[test]
fn nobody_is_boosted_by_a_policy_that_is_too_old() {
    let mut world = with_boost();
    world.begins(LEFT, "KARI");
    assert_eq!(world.rights.boost(LEFT, false, Some(world.wall), world.now), Boosted::NotAllowed);
}

fn withdraw(policy: &mut Policy) {
    policy.tokens.get_mut("PER").unwrap().status = Verdict::Blocked;
}

#[test]
fn a_right_that_is_withdrawn_in_mid_session_leaves_the_least_for_a_while_and_then_nothing() {
    let mut world = World::new(policy());
    world.begins(LEFT, "PER").change(withdraw);
    let right = world.right(LEFT);
    assert_eq!((right.verdict, right.priority, world.limit(LEFT)), (Verdict::Accepted, -9, Some((6, Why::Revoked))));
    assert_eq!(world.asks(RIGHT, "PER"), Verdict::Blocked);
    world.after(29);
    assert_eq!(world.limit(LEFT), Some((6, Why::Revoked)));
    world.after(1);
    assert_eq!(world.limit(LEFT), Some((0, Why::Revoked)));
    world.change(|policy| policy.tokens.get_mut("PER").unwrap().status = Verdict::Accepted);
    assert_eq!(world.limit(LEFT), None, "given back");
    world.change(withdraw).ends(LEFT).begins(LEFT, "PER");
    assert_eq!(world.right(LEFT).verdict, Verdict::Blocked, "a new session is refused");
}

#[test]
fn a_right_can_be_withdrawn_at_once() {
    let mut policy = policy();
    policy.rules.revocation = Revocation { stops: true, max: Duration::from_secs(1_800) };
    let mut world = World::new(policy);
    world.begins(LEFT, "PER").change(withdraw);
    assert_eq!(world.limit(LEFT), Some((0, Why::Revoked)));
}

#[test]
fn whoever_charges_with_a_card_that_was_lost_is_stopped_at_once() {
    let mut world = World::new(policy());
    world.begins(LEFT, "PER").change(withdraw);
    world.change(|policy| policy.tokens.get_mut("PER").unwrap().is_lost = true);
    assert_eq!(world.limit(LEFT), Some((0, Why::Revoked)));
}

#[test]
fn a_session_that_was_let_in_is_withdrawn_and_not_refused_after_a_restart_too() {
    let mut world = World::new(policy());
    world.begins(LEFT, "PER");
    let memory = world.rights.unsaved().unwrap();
    Arc::make_mut(&mut world.policy).tokens.get_mut("PER").unwrap().status = Verdict::Blocked;
    world.rights = Rights::new(world.policy.clone(), memory);
    world.step();
    assert_eq!(world.limit(LEFT), Some((6, Why::Revoked)));
}

#[test]
fn a_class_that_begins_no_sessions_keeps_those_that_it_has() {
    let mut world = World::new(policy());
    world.begins(LEFT, "PER").change(|policy| policy.classes[GUEST].new_sessions = false);
    assert_eq!((world.right(LEFT).verdict, world.limit(LEFT)), (Verdict::Accepted, None));
    assert_eq!(world.asks(RIGHT, "PER"), Verdict::Blocked);
}

#[test]
fn of_several_classes_the_highest_that_is_valid_counts() {
    let until: DateTime<Utc> = "2026-01-12T13:00:00Z".parse().unwrap();
    let mut policy = policy();
    policy.rules.principals[1].also = vec![(SLOW, None), (OWNER, Some(until))];
    let mut world = World::new(policy);
    world.begins(LEFT, "PER");
    assert_eq!(&*world.right(LEFT).class, "owner");
    world.after(60);
    assert_eq!(&*world.right(LEFT).class, "guest");
}

#[test]
fn strangers_can_be_met_otherwise_while_the_cloud_is_silent() {
    let mut policy = policy();
    policy.unknown = Some(GUEST);
    policy.rules.unknown_offline = Some(None);
    let mut world = World::new(policy);
    assert_eq!(world.step().asks(LEFT, "STRANGER"), Verdict::Accepted);
    world.begins(LEFT, "STRANGER");
    world.is_offline = true;
    assert_eq!(world.step().asks(RIGHT, "STRANGER"), Verdict::Unknown);
    assert_eq!(world.limit(LEFT), None, "who is here already goes on");
}

#[test]
fn a_card_that_needs_the_cloud_begins_nothing_while_that_is_silent() {
    let mut policy = policy();
    policy.tokens.get_mut("PER").unwrap().is_offline = false;
    let mut world = World::new(policy);
    world.begins(LEFT, "PER");
    world.is_offline = true;
    assert_eq!(world.step().asks(RIGHT, "PER"), Verdict::Invalid);
    assert_eq!(world.asks(RIGHT, "KARI"), Verdict::Accepted);
    assert_eq!(
        (world.right(LEFT).verdict, world.limit(LEFT)),
        (Verdict::Accepted, None),
        "who is here already goes on"
    );
}

#[test]
fn a_card_for_one_place_at_a_time_charges_where_it_was_first() {
    let mut policy = policy();
    policy.tokens.get_mut("PER").unwrap().is_concurrent = false;
    let mut world = World::new(policy);
    world.begins(RIGHT, "PER");
    assert_eq!((world.asks(LEFT, "per"), world.asks(RIGHT, "PER")), (Verdict::ConcurrentTx, Verdict::Accepted));
    world.begins(LEFT, "PER").begins(RIGHT, "PER");
    assert_eq!(world.right(RIGHT).verdict, Verdict::ConcurrentTx, "the left one has it by now");
    assert_eq!((world.right(LEFT).verdict, world.limit(LEFT)), (Verdict::Accepted, None));
    world.ends(LEFT);
    assert_eq!(world.right(RIGHT).verdict, Verdict::Accepted);
}

#[test]
fn a_pause_by_hand_lasts_until_it_is_lifted_or_the_session_ends() {
    let mut world = World::new(policy());
    assert!(!world.step().rights.pause(LEFT, true), "nobody is there");
    world.begins(LEFT, "KARI");
    assert!(world.rights.pause(LEFT, true));
    assert_eq!(world.step().limit(LEFT), Some((0, Why::Paused)));
    assert!(world.rights.pause(LEFT, false));
    assert_eq!(world.step().limit(LEFT), None);
    assert!(world.rights.pause(LEFT, true));
    world.ends(LEFT).begins(LEFT, "KARI");
    assert_eq!(world.limit(LEFT), None);
}

#[test]
fn a_mode_asked_for_at_the_site_holds_for_that_session_and_no_longer() {
    let mut world = World::new(policy());
    world.change(|policy| {
        policy.rules.mode = Mode::Eco;
        policy.rules.principals[1].mode = Some(Mode::Solar);
    });
    assert!(!world.rights.set_mode(LEFT, Mode::Fast), "nobody is there");
    world.begins(LEFT, "KARI").begins(RIGHT, "PER");
    assert_eq!([LEFT, RIGHT].map(|evse| world.right(evse).mode), [Mode::Eco, Mode::Solar], "as the policy says");
    assert!(world.rights.set_mode(LEFT, Mode::Fast) && world.rights.set_mode(RIGHT, Mode::Off));
    world.step();
    assert_eq!([LEFT, RIGHT].map(|evse| world.right(evse).mode), [Mode::Fast, Mode::Off]);
    assert_eq!([LEFT, RIGHT].map(|evse| world.limit(evse)), [None, Some((0, Why::Off))]);
    world.rights.set_mode(RIGHT, Mode::Eco);
    assert_eq!(world.step().limit(RIGHT), None);
    world.ends(LEFT).begins(LEFT, "KARI");
    assert_eq!(world.right(LEFT).mode, Mode::Eco);
}

#[test]
fn what_was_asked_for_at_the_site_survives_a_restart() {
    let mut world = World::new(policy());
    world.begins(LEFT, "KARI").begins(RIGHT, "PER");
    assert!(world.rights.pause(LEFT, true) && world.rights.set_mode(RIGHT, Mode::Solar));
    assert!(world.step().rights.is_urgent());
    let kept = serde_json::to_string(&world.rights.unsaved().unwrap()).unwrap();
    world.rights = Rights::new(world.policy.clone(), serde_json::from_str(&kept).unwrap());
    world.step();
    assert_eq!((world.limit(LEFT), world.right(RIGHT).mode), (Some((0, Why::Paused)), Mode::Solar));
}

#[test]
fn what_was_kept_before_there_were_modes_is_read() {
    let kept = r#"{"people":{},"admitted":{"1":{"principal":"kari","energy_wh":5}}}"#;
    let mut world = World::new(policy());
    world.rights = Rights::new(world.policy.clone(), serde_json::from_str(kept).unwrap());
    world.begins(LEFT, "KARI");
    assert_eq!((world.limit(LEFT), world.right(LEFT).mode), (None, Mode::Fast));
}
