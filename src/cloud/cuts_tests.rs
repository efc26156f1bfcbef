//! Is nothing forgotten that the cloud was told of, wherever the power is cut? What is kept of policies and events, on a disk that
//! keeps what it must and no more.

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

/// One life: documents come, are written as the disk allows, and acked; until the power is cut. The highest version that was acked.
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
