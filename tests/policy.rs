//! Does a home do what its policy says? Owner, member and guest on two chargers behind 20 A, from the document to the setpoint,
//! second by second in simulated time.

#![allow(clippy::unwrap_used, reason = "a test falls over where something is missing")]

use chrono::{DateTime, TimeDelta, Utc};
use headroom::cloud::{Age, Ground, Outcome, Standing};
use headroom::config::ChargerConfig;
use headroom::control::observation::{Link, Measured, Need, Plug, Report, Sample, Session};
use headroom::control::{self, Decision, Observation, State};
use headroom::policy::{Boosted, EvseRule, Memory, Policy, Rights, Scene, Verdict};
use headroom::site::{Circuit, Evse, EvseId, LapseClass, Meter, MeterId, Rotation, Site, Step, Tuning, Wiring};
use headroom::time::{Duration, Moment};
use headroom::units::{Amps, PerPhase, Phase};
use headroom_policy::{Addressee, Trust};
use serde_json::{Value, json};

const LEFT: EvseId = EvseId(0);
const RIGHT: EvseId = EvseId(1);
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

/// The first document.
fn document() -> Value {
    json!({
        "schema": "headroom.policy/1.0", "gateway_id": "gw", "location_id": "loc", "epoch": 1, "version": 1,
        "issued_at": "2026-10-24T12:00:00Z", "expires_at": "2026-10-25T12:00:00Z", "grace_s": 604_800,
        "refresh_after_s": 60, "timezone": "Europe/Oslo",
        "access": {"default_mode": "authorized_only", "unknown_token": "guest", "unknown_token_offline": "deny"},
        "classes": [
            {"id": "owner", "charging_priority": 6}, {"id": "member", "charging_priority": 3},
            {"id": "guest", "charging_priority": -3, "ceiling_a": 10}, {"id": "slow", "charging_priority": -6, "ceiling_a": 6}
        ],
        "principals": [
            {"id": "kari", "class": "owner", "evse": ["*"]}, {"id": "per", "class": "member", "evse": ["*"]}
        ],
        "tokens": [
            {"uid": "KARI", "principal": "kari", "status": "Accepted"},
            {"uid": "PER", "principal": "per", "status": "Accepted", "offline": false}
        ],
        "boost": {"allowed": ["member"], "max_per_month": 1, "max_duration_s": 600}
    })
}

struct Home {
    site: Site,
    standing: Standing,
    rights: Rights,
    state: State,
    seen: Observation,
    document: Value,
    decision: Decision,
    /// In Wh × 3,600 of each session.
    energy: [i64; 2],
    is_cloud_there: bool,
    begun: DateTime<Utc>,
    now: Moment,
    ids: i64,
}

impl Home {
    fn new(begun: &str) -> Self {
        let site = site();
        let closed = EvseRule { open: None, plug_and_charge: None, ceiling: None };
        let local = Policy { evses: vec![closed; 2], unknown: None, ..Policy::open(2) };
        let charger = |identity: &str| ChargerConfig::Ocpp { identity: identity.into(), connector: 1, password: None };
        let ground = Ground { site: site.clone(), chargers: vec![charger("A"), charger("B")], local };
        let us = Addressee { gateway_id: "gw".into(), location_id: "loc".into() };
        let (standing, _) = Standing::new(us, ground, Trust::Unsigned, Duration::from_secs(60), None);
        let mut seen = Observation::nothing(&site, 0);
        for report in &mut seen.reports {
            (report.link, report.plug) = (Link::Up { since: Moment::START }, Plug::Available);
        }
        let state = State::new(&site, Moment::START);
        let begun = begun.parse().unwrap();
        let rights = Rights::new(standing.look(Moment::START, begun).policy, Memory::default());
        let decision = Decision::default();
        let document = document();
        let mut home = Home {
            site,
            standing,
            rights,
            state,
            seen,
            document,
            decision,
            energy: [0; 2],
            is_cloud_there: true,
            begun,
            now: Moment::START,
            ids: 0,
        };
        home.publish(|_| {});
        home.run(30);
        home
    }

    fn wall(&self) -> DateTime<Utc> {
        self.begun + TimeDelta::milliseconds(self.now.as_millis() as i64)
    }

    fn offer(&mut self, bytes: &[u8]) -> Outcome {
        self.standing.offer(bytes, None, self.now, self.wall())
    }

    /// A new version of the document.
    fn publish(&mut self, change: impl FnOnce(&mut Value)) {
        self.document["version"] = json!(self.document["version"].as_i64().unwrap() + 1);
        change(&mut self.document);
        let bytes = self.document.to_string();
        assert!(matches!(self.offer(bytes.as_bytes()), Outcome::Taken { .. }), "{:?}", self.offer(bytes.as_bytes()));
    }

    /// Seconds pass: cars take what they are told, the meter shows it, the cloud confirms each minute.
    fn run(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            if self.is_cloud_there && (self.now.as_millis() / 1000).is_multiple_of(MINUTE) {
                self.standing.confirm(self.now);
            }
            let mut load = Amps::whole(1);
            for (evse, report) in self.seen.reports.iter_mut().enumerate() {
                let told = self.decision.setpoints.get(evse).map_or(Amps::ZERO, |setpoint| setpoint.amps);
                let Some(session) = &mut report.session else { continue };
                report.plug = if told.is_positive() { Plug::Charging } else { Plug::SuspendedEvse };
                report.measured = Some(Measured { at: self.now, current: PerPhase::all(told), watts: None });
                self.energy[evse] += i64::from(told.as_milli()) * 690 / 1_000;
                session.energy_wh = Some(self.energy[evse] / 3_600);
                load += told;
            }
            let current = PerPhase::all(load);
            self.seen.samples[0] = Some(Sample { at: self.now, current, watts: None, millivolts: None });
            self.step();
        }
        self
    }

    fn step(&mut self) {
        let view = self.standing.look(self.now, self.wall());
        self.seen.wall = Some(self.wall());
        let silent = self.now.since(view.state.confirmed.unwrap_or(Moment::START));
        let is_offline = view.state.age != Age::Fresh && silent >= Duration::from_secs(15 * MINUTE);
        let sessions = self.seen.sessions();
        let scene =
            Scene { policy: &view.policy, sessions: &sessions, is_offline, wall: self.seen.wall, now: self.now };
        let policy = self.rights.update(&scene).clone();
        self.decision = control::step(&self.site, &mut self.state, &self.seen, &policy, self.now);
    }

    fn arrives(&mut self, evse: EvseId, card: &str) -> &mut Self {
        self.ids += 1;
        self.energy[evse.0] = 0;
        let session =
            Session { id: self.ids, token: Some(card.into()), since: self.now, energy_wh: None, need: Need::default() };
        let link = Link::Up { since: self.now };
        self.seen.reports[evse.0] = Report {
            link,
            epoch: 1,
            plug: Plug::Charging,
            session: Some(session),
            measured: None,
            answer: None,
            ended: None,
        };
        self
    }

    /// What both are told, and why.
    fn told(&self) -> [(i32, &'static str); 2] {
        [LEFT, RIGHT].map(|evse| {
            let setpoint = self.decision.setpoints[evse.0];
            (setpoint.amps.as_milli() / 1000, setpoint.because.code())
        })
    }

    /// What a card is told that is held to the reader.
    fn asks(&self, evse: EvseId, card: &str) -> Verdict {
        self.rights.policy().entitlement(evse, Some(card), Some(self.wall())).verdict
    }
}

fn site() -> Site {
    let evse = |id: &str| Evse {
        id: id.into(),
        name: id.into(),
        circuit: Site::ROOT,
        rotation: Rotation::three(Phase::ALL),
        least: Amps::whole(6),
        most: Amps::whole(16),
        fallback: Amps::ZERO,
        step: Step::Multiple(Amps::whole(1)),
        lease: Duration::from_secs(120),
        response: Duration::from_secs(4),
        lapse: LapseClass::A,
        metering: Some(Duration::from_secs(2)),
    };
    Site {
        id: "home".into(),
        name: "Home".into(),
        wiring: Wiring::Star,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::all(Amps::whole(7)),
        circuits: vec![Circuit {
            id: "main".into(),
            name: "Main".into(),
            parent: None,
            limit: PerPhase::all(Amps::whole(20)),
            margin: PerPhase::all(Amps::whole(1)),
            meter: Some(MeterId(0)),
            other_load: PerPhase::default(),
        }],
        evses: vec![evse("left"), evse("right")],
        meters: vec![Meter {
            id: "grid".into(),
            circuit: Site::ROOT,
            interval: Duration::from_secs(1),
            resolution: Amps::milli(10),
        }],
        tuning: Tuning { ageing: None, ..Tuning::default() },
    }
}

/// Kari, who owns the place, and Per, who lives there, both hungry. 18 A are left beside the house.
fn both() -> Home {
    let mut home = Home::new("2026-10-24T12:00:10Z");
    home.arrives(LEFT, "kari").arrives(RIGHT, "per").run(3 * MINUTE);
    home
}

#[test]
fn the_owner_comes_first_and_a_boost_puts_the_member_first_for_a_while() {
    let mut home = both();
    assert_eq!(home.told(), [(12, "main_fuse"), (6, "main_fuse")]);
    let boost = |home: &mut Home| home.rights.boost(RIGHT, true, Some(home.wall()), home.now);
    assert_eq!(boost(&mut home), Boosted::Yes);
    home.run(3 * MINUTE);
    assert_eq!(home.told(), [(6, "main_fuse"), (12, "main_fuse")]);
    home.run(10 * MINUTE);
    assert_eq!(home.told(), [(12, "main_fuse"), (6, "main_fuse")], "over");
    assert_eq!(boost(&mut home), Boosted::UsedUp);
}

#[test]
fn a_card_that_is_blocked_in_mid_session_leaves_the_least_and_after_half_an_hour_nothing() {
    let mut home = both();
    home.publish(|document| document["tokens"][1]["status"] = json!("Blocked"));
    home.run(1);
    assert_eq!(home.told()[1], (6, "revoked"));
    assert_eq!(home.asks(LEFT, "PER"), Verdict::Blocked);
    home.run(29 * MINUTE);
    assert_eq!(home.told(), [(12, "main_fuse"), (6, "revoked")]);
    home.run(5 * MINUTE);
    assert_eq!(home.told(), [(16, "full"), (0, "revoked")]);
}

#[test]
fn a_card_that_is_blocked_while_the_cloud_is_away_charges_on_until_it_is_back() {
    let mut home = both();
    home.is_cloud_there = false;
    home.run(HOUR);
    assert_eq!(home.told(), [(12, "main_fuse"), (6, "main_fuse")]);
    home.is_cloud_there = true;
    home.publish(|document| {
        (document["tokens"][1]["status"], document["tokens"][1]["reason"]) = (json!("Blocked"), json!("lost"));
    });
    home.run(1);
    assert_eq!(home.told()[1], (0, "revoked"), "a lost card stops at once");
}

#[test]
fn a_card_that_nobody_knows_is_a_guest_and_refused_while_the_cloud_is_away() {
    let mut home = Home::new("2026-10-24T12:00:10Z");
    assert_eq!(home.asks(LEFT, "STRANGER"), Verdict::Accepted);
    home.arrives(LEFT, "stranger").run(2 * MINUTE);
    assert_eq!(home.told()[0], (10, "policy_ceiling"));
    home.is_cloud_there = false;
    home.run(20 * MINUTE);
    assert_eq!((home.asks(RIGHT, "OTHER"), home.asks(RIGHT, "PER")), (Verdict::Unknown, Verdict::Invalid));
    assert_eq!(home.asks(RIGHT, "KARI"), Verdict::Accepted);
    assert_eq!(home.told()[0], (10, "policy_ceiling"), "who is here already goes on");
    home.arrives(RIGHT, "other").run(MINUTE);
    assert_eq!(home.told()[1], (0, "denied"));
    home.is_cloud_there = true;
    home.run(2 * MINUTE);
    assert_eq!(home.told()[1].1, "main_fuse", "let in once the cloud is back");
}

#[test]
fn a_quota_that_is_used_up_leads_into_a_slower_class() {
    let mut home = both();
    home.publish(|document| {
        document["quotas"] = json!({"day": {"energy_kwh": 2, "period": "day", "on_exceed": "class:slow"}});
        document["principals"][0]["quota"] = json!("day");
    });
    // 12 A on three phases are 8.28 kW: 2 kWh in a quarter of an hour.
    home.run(10 * MINUTE);
    assert_eq!(home.told(), [(12, "main_fuse"), (6, "main_fuse")]);
    home.run(10 * MINUTE);
    assert_eq!(home.told(), [(6, "policy_ceiling"), (12, "main_fuse")]);
}

#[test]
fn hours_follow_the_wall_through_the_night_with_an_hour_twice() {
    // Oslo is two hours before UTC until 01:00 UTC on the 25th, then one.
    let mut home = Home::new("2026-10-24T19:50:00Z");
    home.publish(|document| {
        let window = json!([{"days": [1, 2, 3, 4, 5, 6, 7], "from": "22:00", "to": "02:30"}]);
        document["schedules"] = json!({"night": {"allow": window, "outside": "pause"}});
        document["principals"][0]["schedule"] = json!("night");
    });
    home.arrives(LEFT, "kari").run(5 * MINUTE);
    assert_eq!((home.told()[0], home.asks(RIGHT, "KARI")), ((0, "schedule"), Verdict::Accepted));
    home.run(7 * MINUTE);
    assert_eq!(home.told()[0], (16, "full"), "22:02 on the wall");
    home.run(4 * HOUR + 25 * MINUTE);
    assert_eq!(home.told()[0], (16, "full"), "02:27, the first time");
    home.run(5 * MINUTE);
    assert_eq!(home.told()[0], (0, "schedule"));
    home.run(HOUR);
    assert_eq!(home.told()[0], (0, "schedule"), "02:32, the second time");
}

#[test]
fn whatever_a_server_sends_the_last_good_policy_stands() {
    let mut home = both();
    let good = home.document.to_string();
    let before = home.told();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut document = home.document.clone();
        document["version"] = json!(9);
        change(&mut document);
        document.to_string().into_bytes()
    };
    let bad = [
        ("rollback", changed(&|document| document["version"] = json!(1))),
        (
            "equivocation",
            changed(&|document| {
                document["version"] = json!(2);
                document["grace_s"] = json!(1);
            }),
        ),
        ("syntax", good.as_bytes()[..good.len() / 2].to_vec()),
        ("too_large", [b" ".repeat(10 << 20), good.clone().into_bytes()].concat()),
        ("other_gateway", changed(&|document| document["gateway_id"] = json!("gw2"))),
        (
            "expired",
            changed(&|document| {
                document["issued_at"] = json!("2026-10-20T12:00:00Z");
                document["expires_at"] = json!("2026-10-21T12:00:00Z");
            }),
        ),
        ("dangling", changed(&|document| document["tokens"][0]["principal"] = json!("nobody"))),
        ("unknown_value", changed(&|document| document["timezone"] = json!("Europe/Nowhere"))),
    ];
    for (code, bytes) in bad {
        let Outcome::Refused(faults) = home.offer(&bytes) else { panic!("{code} is taken") };
        assert!(faults.to_string().contains(&format!("({code})")), "{code}: {faults}");
        home.run(MINUTE);
        assert_eq!(home.told(), before, "{code}");
    }
}

#[test]
fn a_server_that_is_gone_for_eight_days_leaves_the_policy_its_time_of_grace_and_then_the_installers() {
    let mut home = both();
    home.is_cloud_there = false;
    let age = |home: &Home| home.standing.look(home.now, home.wall()).state.age;
    assert_eq!(age(&home), Age::Fresh);
    home.run(6 * MINUTE);
    assert_eq!(age(&home), Age::Stale);
    // Nothing happens for days: the clock is put on, and what is seen is seen again.
    let mut sleeps = |hours: i64| {
        home.begun += TimeDelta::hours(hours);
        home.run(2 * MINUTE);
        (age(&home), home.told())
    };
    let charging = [(12, "main_fuse"), (6, "main_fuse")];
    assert_eq!(sleeps(25), (Age::Grace, charging));
    assert_eq!(sleeps(6 * 24), (Age::Grace, charging), "seven days");
    let (age, told) = sleeps(24);
    assert_eq!((age, told[0], told[1]), (Age::Default, (6, "revoked"), (6, "revoked")), "the file knows neither card");
}

#[test]
fn who_waits_behind_a_higher_class_has_his_turn_unless_the_document_lets_waiting_count_for_nothing() {
    let waits = |ageing_s: u32| {
        let mut home = both();
        home.publish(|document| {
            // 9 A, less 1 A of the house and 1 of margin: room for one.
            document["limits"] = json!({"import_max_a": 9});
            document["ageing_s"] = json!(ageing_s);
        });
        home.run(3 * 600);
        let waiting = home.told()[1];
        assert_eq!(waiting.0, 0, "{waiting:?}");
        (0..120).any(|_| home.run(MINUTE).told()[1].0 > 0)
    };
    assert!(waits(600), "three spans lift a member to the owner");
    assert!(!waits(0));
}

#[test]
fn after_the_time_of_grace_the_last_document_may_leave_the_owner_her_right() {
    let mut home = both();
    home.publish(|document| document["offline_profile"] = json!({"after_grace": "owner_only", "site_limit_pct": 80}));
    home.is_cloud_there = false;
    home.begun += TimeDelta::days(8);
    home.run(5 * MINUTE);
    let (age, told) = (home.standing.look(home.now, home.wall()).state.age, home.told());
    // 16 A behind 20, and 1 A of the house and 1 of margin.
    assert_eq!((age, told), (Age::Default, [(8, "main_fuse"), (6, "revoked")]));
    assert_eq!((home.asks(RIGHT, "KARI"), home.asks(RIGHT, "PER")), (Verdict::Accepted, Verdict::Unknown));
}
