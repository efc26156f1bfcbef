//! Whatever a policy says: is it fair, is it safe, and does it mean the same in any order? Random policies on random sites;
//! `SEED=7 cargo test --test policy random` repeats one, `SEEDS=1000` tries more.

use super::dice::Dice;
use super::home::{Home, MINUTE, site};
use headroom::site::{EvseId, Rotation, Site, Step};
use headroom::time::Duration;
use headroom::units::{Amps, Phase};
use serde_json::{Value, json};
use std::ops::Range;

/// A night in autumn: hours, and a clock that goes back at three.
const BEGUN: &str = "2026-10-24T21:30:10Z";
const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn each(usual: u64, test: impl Fn(u64, &mut Dice)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Range<u64> = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, many) => 0..many.unwrap_or(usual),
    };
    for seed in seeds {
        test(seed, &mut Dice::new(seed));
    }
}

/// Two to five EVSEs of all kinds.
fn random_site(dice: &mut Dice) -> Site {
    let count = dice.from(2, 5) as usize;
    let fuse = dice.one(&[16, 20, 25, 32, 40]);
    let mut site = site(&IDS[..count], Amps::whole(fuse));
    for evse in &mut site.evses {
        let phase = dice.one(&Phase::ALL);
        evse.rotation = if dice.chance(60) { Rotation::three(Phase::ALL) } else { Rotation::one(phase) };
        evse.most = Amps::whole(dice.one(&[10, 16, 32]));
        evse.step = Step::Multiple(Amps::milli(dice.one(&[100, 1_000])));
    }
    site.tuning.dwell = Duration::from_secs(60);
    site.tuning.restart = Duration::from_secs(20);
    site
}

/// A person with a card for each EVSE, in classes of all kinds.
fn random_document(dice: &mut Dice, site: &Site) -> Value {
    let classes: Vec<Value> = (0..dice.from(1, 4)).map(|index| random_class(dice, &format!("class{index}"))).collect();
    let people = |dice: &mut Dice| {
        let person = |index: usize| {
            let class = format!("class{}", dice.from(0, classes.len() as i64 - 1));
            let mut person = json!({"id": IDS[index], "class": class, "evse": ["*"]});
            if dice.chance(30) {
                person["schedule"] = json!(dice.one(&["night", "day"]));
            }
            if dice.chance(20) {
                person["quota"] = json!("little");
            }
            person
        };
        (0..site.evses.len()).map(person).collect::<Vec<_>>()
    };
    let principals = people(dice);
    let mut document = base(site, &classes, &principals);
    if dice.chance(30) {
        document["limits"] = json!({"main_fuse_pct": dice.from(60, 100)});
    }
    document
}

fn random_class(dice: &mut Dice, id: &str) -> Value {
    let mut class =
        json!({"id": id, "charging_priority": dice.from(-9, 9), "weight": dice.from(1, 4), "new_sessions": true});
    if dice.chance(30) {
        class["ceiling_a"] = json!(dice.from(6, 20));
    }
    if dice.chance(20) {
        class["floor_a"] = json!(6);
    }
    class
}

fn base(site: &Site, classes: &[Value], principals: &[Value]) -> Value {
    let tokens: Vec<Value> = principals
        .iter()
        .map(|person| json!({"uid": card(person["id"].as_str().unwrap()), "principal": person["id"], "status": "Accepted"}))
        .collect();
    let evses: Vec<Value> = site.evses.iter().map(|evse| json!({"id": evse.id, "max_a": 32})).collect();
    json!({
        "schema": "headroom.policy/1.0", "gateway_id": "gw", "location_id": "loc", "epoch": 1, "version": 1,
        "issued_at": "2026-10-24T12:00:00Z", "expires_at": "2026-10-26T12:00:00Z", "timezone": "Europe/Oslo",
        "access": {"default_mode": "authorized_only"},
        "classes": classes, "principals": principals, "tokens": tokens, "evse": evses,
        "schedules": {
            "night": {"allow": [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "23:40", "to": "06:00"}], "outside": "pause"},
            "day": {"allow": [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "06:00", "to": "23:45"}], "outside": "pause"}
        },
        "quotas": {"little": {"energy_kwh": 0.8, "period": "day", "on_exceed": format!("class:{}", classes[0]["id"].as_str().unwrap())}}
    })
}

fn card(person: &str) -> String {
    format!("CARD{person}")
}

/// All have come, within a few minutes.
fn full(site: &Site, document: &Value) -> Home {
    let mut home = Home::new(site.clone(), document.clone(), BEGUN);
    for evse in site.evse_ids() {
        home.arrives(evse, &card(IDS[evse.0])).run(7);
    }
    home
}

/// In Wh, of each.
fn energy(home: &Home) -> Vec<i64> {
    home.energy.iter().map(|energy| energy / 3_600).collect()
}

/// Most that this EVSE may have by what the document says of it, beside what the site says.
fn ceiling(document: &Value, site: &Site, evse: EvseId) -> Amps {
    let class = &document["principals"][evse.0]["class"];
    let classes = document["classes"].as_array().unwrap().iter();
    // A quota that is used up makes it one of the first class.
    let may = classes.filter(|of| of["id"] == *class || document["principals"][evse.0]["quota"].is_string());
    let most = may.map(|class| class["ceiling_a"].as_i64().unwrap_or(i64::MAX)).max().unwrap();
    site.evse(evse).most.min(Amps::milli(i32::try_from(most.saturating_mul(1_000)).unwrap_or(i32::MAX)))
}

#[test]
fn random_policies_that_change_all_the_time_overload_nothing_and_give_nobody_more_than_they_say() {
    each(12, |seed, dice| {
        let site = random_site(dice);
        let mut document = random_document(dice, &site);
        let mut home = full(&site, &document);
        for change in 2..8 {
            document = random_document(dice, &site);
            document["version"] = json!(change + 1);
            home.publish(|of| *of = document.clone());
            let percent = document["limits"]["main_fuse_pct"].as_i64().unwrap_or(100);
            let limit = site.circuits[0].limit[Phase::L1].scaled(percent, 100);
            for second in 0..3 * MINUTE {
                home.run(1);
                let told = &home.decision.setpoints;
                // A policy that lowers is obeyed at once.
                for phase in Phase::ALL {
                    let on = |evse: &EvseId| site.evse(*evse).rotation.phases().contains(phase);
                    let cars: Amps = site.evse_ids().filter(on).map(|evse| told[evse.0].amps).sum();
                    assert!(
                        cars + Amps::whole(1) <= limit,
                        "SEED={seed}: {cars} on {phase} of {limit} after {second} s"
                    );
                }
                for evse in site.evse_ids() {
                    let most = ceiling(&document, &site, evse);
                    let least = site.evse(evse).least;
                    let is_possible =
                        told[evse.0].amps == Amps::ZERO || (least..=most.max(least)).contains(&told[evse.0].amps);
                    assert!(is_possible, "SEED={seed}: {} has {} of {most}", site.evse(evse).id, told[evse.0].amps);
                }
            }
        }
    });
}

#[test]
fn the_same_policy_in_any_order_decides_the_same_to_the_last_ampere_and_word() {
    each(24, |seed, dice| {
        let site = random_site(dice);
        let document = random_document(dice, &site);
        let mut shuffled = document.clone();
        for list in ["classes", "principals", "tokens", "evse"] {
            let entries = shuffled[list].as_array_mut().unwrap();
            for place in (1..entries.len()).rev() {
                entries.swap(place, dice.from(0, place as i64) as usize);
            }
        }
        let (mut one, mut other) = (full(&site, &document), full(&site, &shuffled));
        for minute in 0..15 {
            one.run(MINUTE);
            other.run(MINUTE);
            assert_eq!(one.told(), other.told(), "SEED={seed}: after {minute} minutes of {document:#}");
            assert_eq!(one.energy, other.energy, "SEED={seed}: after {minute} minutes");
        }
    });
}

#[test]
fn more_priority_never_means_less() {
    each(16, |seed, dice| {
        let site = random_site(dice);
        let mut document = random_document(dice, &site);
        // Waiting counts for nothing: what somebody has is his priority's alone. Hours and quotas would blur it.
        document["ageing_s"] = json!(0);
        document["principals"].as_array_mut().unwrap().iter_mut().for_each(|person| {
            person.as_object_mut().unwrap().retain(|field, _| field != "schedule" && field != "quota");
        });
        let who = dice.from(0, site.evses.len() as i64 - 1) as usize;
        let class = document["principals"][who]["class"].clone();
        let classes = document["classes"].as_array_mut().unwrap();
        let mut own = classes.iter().find(|of| of["id"] == class).unwrap().clone();
        let priority = own["charging_priority"].as_i64().unwrap();
        (own["id"], own["charging_priority"]) = (json!("own"), json!(dice.from(priority, 9)));
        classes.push(own.clone());
        let mut raised = document.clone();
        raised["principals"][who]["class"] = json!("own");
        let had = |document: &Value| energy(full(&site, document).run(40 * MINUTE))[who];
        let (before, after) = (had(&document), had(&raised));
        // Who is whose turn at the end is chance: a turn's energy of the largest current.
        let turn = i64::from(site.evses[who].most.as_milli()) * 690 / 1_000 * 10 / 60;
        assert!(after + turn >= before, "SEED={seed}: {before} Wh, and {after} Wh with {own}: {document:#}");
    });
}

#[test]
fn equal_people_differ_by_a_step_at_most_and_nobody_who_may_charge_starves() {
    each(10, |seed, dice| {
        let mut site = random_site(dice);
        // Nobody is thought to stay for long: turns are short.
        site.tuning.usual_stay = Duration::ZERO;
        for evse in &mut site.evses {
            (evse.rotation, evse.most, evse.step) =
                (Rotation::three(Phase::ALL), Amps::whole(16), Step::Multiple(Amps::whole(1)));
        }
        let class = random_class(dice, "all");
        let people: Vec<Value> =
            site.evses.iter().map(|evse| json!({"id": evse.id, "class": "all", "evse": ["*"]})).collect();
        let mut home = full(&site, &base(&site, &[class], &people));
        home.run(10 * MINUTE);
        let (charging, waiting): (Vec<i32>, Vec<i32>) =
            home.told().iter().map(|(amps, _)| *amps).partition(|amps| *amps > 0);
        let (least, most) = (charging.iter().min().unwrap(), charging.iter().max().unwrap());
        assert!(most - least <= 1, "SEED={seed}: {charging:?}");
        let before = energy(&home);
        home.run(60 * MINUTE);
        let had: Vec<i64> = energy(&home).iter().zip(&before).map(|(now, before)| now - before).collect();
        assert!(had.iter().all(|energy| *energy > 0), "SEED={seed}: {had:?}, {} waited", waiting.len());
    });
}
