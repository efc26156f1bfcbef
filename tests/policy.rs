//! Does a home do what its policy says? Owner, member and guest on two chargers behind 20 A, from the document to the setpoint,
//! second by second in simulated time.

#![allow(clippy::unwrap_used, reason = "a test falls over where something is missing")]

#[path = "properties/dice.rs"]
mod dice;
#[path = "policy/home.rs"]
mod home;
#[path = "policy/random.rs"]
mod random;

use chrono::TimeDelta;
use headroom::cloud::{Age, Outcome};
use headroom::policy::{Boosted, Verdict};
use headroom::site::EvseId;
use headroom::units::Amps;
use home::{Home, MINUTE, site};
use serde_json::{Value, json};

const LEFT: EvseId = EvseId(0);
const RIGHT: EvseId = EvseId(1);
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

/// Two chargers behind 20 A, and [`document`].
fn home(begun: &str) -> Home {
    Home::new(site(&["left", "right"], Amps::whole(20)), document(), begun)
}

/// Kari, who owns the place, and Per, who lives there, both hungry. 18 A are left beside the house.
fn both() -> Home {
    let mut home = home("2026-10-24T12:00:10Z");
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
fn who_has_no_credit_left_in_mid_session_finishes_and_begins_no_other() {
    let mut home = both();
    home.publish(|document| document["tokens"][1]["status"] = json!("NoCredit"));
    home.run(MINUTE);
    let (amps, reason) = home.told()[1];
    assert!(amps >= 6 && reason != "revoked" && reason != "denied", "{amps} A, {reason}");
    assert_eq!(home.asks(LEFT, "PER"), Verdict::NoCredit);
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
    let mut home = home("2026-10-24T12:00:10Z");
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
    let mut home = home("2026-10-24T19:50:00Z");
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
    let charging = vec![(12, "main_fuse"), (6, "main_fuse")];
    assert_eq!(sleeps(25), (Age::Grace, charging.clone()));
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
    assert_eq!((age, told), (Age::Default, vec![(8, "main_fuse"), (6, "revoked")]));
    assert_eq!((home.asks(RIGHT, "KARI"), home.asks(RIGHT, "PER")), (Verdict::Accepted, Verdict::Unknown));
}
