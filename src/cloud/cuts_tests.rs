//! Is nothing forgotten that the cloud was told of, wherever the power is cut? What is kept of policies and events, on
//! a disk that keeps what it must and no more.

use super::events::{Batch, Event, Queue, Severity};
use super::fixture::{ground, us};
use super::keeping::task::Keeping;
use super::standing::{Outcome, Standing};
use crate::clock::Clock;
use crate::sim::dice::Dice;
use crate::store::cuts::Machine;
use crate::time::{Duration, Moment};
use chrono::{DateTime, Utc};
use headroom_policy::{Code, Trust};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn document(version: u64) -> Vec<u8> {
    let document = json!({
        "schema": "headroom.policy/1.0", "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
        "epoch": 1, "version": version,
        "issued_at": "2026-11-21T18:00:00Z", "expires_at": "2026-11-22T18:00:00Z",
        "access": {"default_mode": "authorized_only"},
        "classes": [{"id": "owner", "charging_priority": 6}],
    });
    document.to_string().into_bytes()
}

fn evening() -> DateTime<Utc> {
    "2026-11-21T18:00:00Z".parse().unwrap()
}

fn begin(machine: &Machine) -> Option<Standing> {
    let kept = machine.folder().and_then(|folder| folder.read("policy")).ok()?;
    let (standing, trouble) = Standing::new(us(), ground(), Trust::Unsigned, Duration::from_secs(60), kept.as_deref());
    assert_eq!(trouble, None);
    Some(standing)
}

fn version(standing: &Standing) -> u64 {
    standing.look(Moment::START, evening()).state.version.unwrap_or(0)
}

/// One life: documents come, are written as the disk allows, and acked; until the power is cut. The highest version
/// that was acked.
async fn life(machine: &Machine, dice: &mut Dice, made: &mut u64) -> u64 {
    let mut acked = 0;
    let (Some(mut standing), Ok(folder)) = (begin(machine), machine.folder()) else { return acked };
    let (folder, clock) = (Arc::new(folder), Clock::start());
    let mut keeping = Keeping::new(Arc::new(move |bytes: &[u8]| folder.write("policy", bytes)), "gw");
    for _ in 0..8 {
        *made += 1;
        let Outcome::Taken { keep, .. } = standing.offer(&document(*made), None, Moment::START, evening()) else {
            panic!("refused")
        };
        keeping.put(keep, *made);
        // The next one may come while this one waits.
        if dice.chance(0.7) {
            match keeping.next(&clock).await {
                (note, Ok(())) => acked = note,
                (_, Err(_)) => break,
            }
        }
    }
    acked
}

#[test]
fn wherever_the_power_is_cut_no_policy_is_forgotten_that_was_acked_and_none_before_it_comes_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut cuts = 0;
    for seed in 0..5 {
        for first in 0..40 {
            let (machine, mut dice) = (Machine::default(), Dice::new(seed, first));
            let (mut made, mut acked) = (0, 0);
            for count in 0..6 {
                machine.cut_after(if count == 0 { first } else { dice.between(0, 40) as u64 });
                acked = acked.max(runtime.block_on(life(&machine, &mut dice, &mut made)));
                machine.cut(&mut dice);
                cuts += 1;
                let mut standing = begin(&machine).unwrap();
                let held = version(&standing);
                assert!((acked..=made).contains(&held), "seed {seed}, cut {first}: {acked} was acked, {held} is there");
                if let Some(older) = held.checked_sub(1).filter(|older| *older > 0) {
                    let outcome = standing.offer(&document(older), None, Moment::START, evening());
                    assert!(matches!(outcome, Outcome::Refused(faults) if faults.has(Code::Rollback)));
                }
                acked = held;
            }
        }
    }
    println!("policy and its acks: {cuts} power cuts, 0 forgotten");
    assert!(cuts >= 1_000);
}

/// The cloud: the highest revision of each key.
#[derive(Default)]
struct Heard(BTreeMap<String, Event>);

impl Heard {
    fn hear(&mut self, batch: &Batch) {
        for event in &batch.events {
            let newest = self.0.entry(event.key.clone()).or_insert_with(|| event.clone());
            if event.revision > newest.revision {
                *newest = event.clone();
            }
        }
    }

    fn ids(&self) -> Vec<&str> {
        self.0.values().map(|event| event.id.as_str()).collect()
    }
}

fn resumed(machine: &Machine, run: u64) -> Option<Queue> {
    let kept = machine.folder().and_then(|folder| folder.read("events")).ok()?;
    let mut queue = Queue::new(run);
    if let Some(kept) = kept {
        queue.restore(&kept).unwrap();
    }
    Some(queue)
}

/// Events come, are written and sent in any order, until the power is cut. Those that were written or heard are
/// promised.
async fn eventful_life(
    machine: &Machine,
    dice: &mut Dice,
    run: u64,
    made: &mut u64,
    heard: &mut Heard,
) -> BTreeSet<String> {
    let mut promised = BTreeSet::new();
    let (Some(mut queue), Ok(folder)) = (resumed(machine, run), machine.folder()) else { return promised };
    let (folder, clock) = (Arc::new(folder), Clock::start());
    let mut keeping = Keeping::new(Arc::new(move |bytes: &[u8]| folder.write("events", bytes)), "gw");
    for _ in 0..8 {
        *made += 1;
        queue.happened(&format!("event-{made}"), Severity::Fault, "", evening());
        let batch = queue.next_batch(3).unwrap();
        if dice.chance(0.3) {
            heard.hear(&batch);
            // The answer may be lost.
            if dice.chance(0.5) {
                queue.sent(&batch);
            }
        }
        let unsent: Vec<String> =
            queue.next_batch(1_000).map_or(vec![], |batch| batch.events.into_iter().map(|event| event.id).collect());
        keeping.put(queue.encode(), unsent);
        if dice.chance(0.7) {
            match keeping.next(&clock).await {
                (unsent, Ok(())) => promised.extend(unsent),
                (_, Err(_)) => break,
            }
        }
    }
    promised
}

#[test]
fn wherever_the_power_is_cut_no_event_is_lost_that_was_written_and_none_is_doubled() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut cuts = 0;
    for seed in 0..5 {
        for first in 0..40 {
            let (machine, mut dice) = (Machine::default(), Dice::new(seed, first));
            let (mut made, mut heard, mut promised) = (0, Heard::default(), BTreeSet::new());
            for run in 0..6 {
                machine.cut_after(if run == 0 { first } else { dice.between(0, 40) as u64 });
                promised.extend(runtime.block_on(eventful_life(&machine, &mut dice, run, &mut made, &mut heard)));
                machine.cut(&mut dice);
                cuts += 1;
            }
            if let Some(rest) = resumed(&machine, 6).unwrap().next_batch(1_000) {
                heard.hear(&rest);
            }
            let ids = heard.ids();
            let distinct: BTreeSet<&str> = ids.iter().copied().collect();
            assert_eq!(distinct.len(), ids.len(), "seed {seed}, cut {first}: an event is doubled");
            let lost: Vec<&String> = promised.iter().filter(|id| !distinct.contains(id.as_str())).collect();
            assert!(lost.is_empty(), "seed {seed}, cut {first}: {lost:?}");
        }
    }
    println!("events: {cuts} power cuts, 0 lost, 0 doubled");
    assert!(cuts >= 1_000);
}
