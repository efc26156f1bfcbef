//! Does a day that was recorded decide again, whatever the site and whatever happens?

use crate::day::{Day, SPAN, day};
use crate::seeds;
use headroom::control::{self, Decision, Observation, State};
use headroom::recorder::{End, Replay, Scribe, Segment, Stepped, difference};
use headroom::sim::{Plant, TICK};
use headroom::time::Moment;
use std::sync::Arc;

/// So many days are recorded each time.
const DAYS: u64 = 30;
/// Bytes of a segment: some of each day, so that snapshots are taken in the middle of everything.
const SEGMENT: usize = 14_000;

#[test]
fn every_day_that_was_recorded_decides_again_bit_for_bit() {
    let (mut recorded, mut days) = (0, 0);
    for seed in seeds(DAYS) {
        days += 1;
        let segments = record(&day(seed));
        recorded += segments.len();
        for (number, bytes) in segments.into_iter().enumerate() {
            let segment = Segment::read(bytes).unwrap();
            let mut replay = Replay::of(&segment);
            let first = replay.by_ref().find_map(|step| Some((step.now, difference(&step, &segment.opening.site)?)));
            assert_eq!(first, None, "SEED={seed}, segment {number}");
            assert_eq!(replay.end(), Some(End::Whole), "SEED={seed}, segment {number}");
        }
    }
    assert!(recorded > 2 * days, "{recorded} segments of {days} days");
}

/// A gateway that records all of its life.
struct Gateway {
    state: State,
    seen: Observation,
    decision: Decision,
    scribe: Scribe,
}

impl Gateway {
    fn new(day: &Day, now: Moment) -> Self {
        Gateway {
            state: State::new(&day.site, now),
            seen: Observation::nothing(&day.site, 1),
            decision: Decision { next: now, ..Decision::default() },
            scribe: Scribe::new(&day.site, 1, SEGMENT),
        }
    }
}

fn record(day: &Day) -> Vec<Vec<u8>> {
    let mut plant = Plant::new(&day.site, &day.script);
    let policy = Arc::new(day.policy.clone());
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let mut gateway: Option<Gateway> = None;
    while plant.now() < Moment::START + SPAN {
        let now = plant.now() + TICK;
        let words = plant.advance(now);
        if !plant.is_gateway_alive() {
            gateway = None;
            continue;
        }
        let alive = gateway.get_or_insert_with(|| {
            let mut new = Gateway::new(day, now);
            segments.push(new.scribe.begin(&new.state, &policy, now, None).unwrap());
            new
        });
        if words.is_empty() && now < alive.decision.next {
            continue;
        }
        words.into_iter().for_each(|word| alive.seen.hear(word));
        alive.decision = control::step(&day.site, &mut alive.state, &alive.seen, &policy, now);
        alive.decision.orders.iter().for_each(|order| plant.obey(order));
        alive.decision.hang_ups.iter().for_each(|hang_up| plant.hang_up(hang_up));
        let (state, seen, decision) = (&alive.state, &alive.seen, &alive.decision);
        let step = Stepped { state, seen, policy: &policy, now, decision };
        let next = alive.scribe.note(&step, segments.last_mut().unwrap()).unwrap();
        segments.extend(next);
    }
    segments
}
