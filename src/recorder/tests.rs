//! Does a recording decide again, and does it tell when it cannot?

use super::record::FORMAT;
use super::task::Piece;
use super::*;
use crate::control::observation::Observation;
use crate::control::{self, Decision, State};
use crate::policy::{Policy, Token, Verdict};
use crate::sim::{Action, Car, Plant, Scenario, TICK};
use crate::site::Site;
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};
use chrono::{DateTime, TimeDelta, Utc};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

const KARI: &str = "04A2B3C4D5E680";
/// A mebibyte.
const MIB: u64 = 1024 * 1024;

/// Two cars behind 20 A, one of them with a card, and an oven: cuts, raises, waiting.
const HOUSE: &str = r#"
about = "two cars and an oven"
until_s = 600
circuit = [{ id = "main", fuse_a = 20, margin_a = 1, meter_ms = 1000 }]
evse = [{ id = "left", metering_s = 10 }, { id = "right", rotation = "S" }]
class = [{ id = "owner", priority = 6, weight = 2, tokens = ["04:a2:b3:c4:d5:e6:80"] }]
plant = { noise_a = 0.3 }
at = [
    { t = 0, load_a = 2 },
    { t = 2, arrive = "left", token = "04A2B3C4D5E680" },
    { t = 40, arrive = "right" },
    { t = 120.3, load_a = [9, 5, 0] },
    { t = 300, load_a = [-9, -5, 0] },
]
"#;

/// A virtual site and the control that is recorded.
struct World {
    site: Site,
    plant: Plant,
    state: State,
    seen: Observation,
    policy: Arc<Policy>,
    decision: Decision,
}

impl World {
    fn of(text: &str) -> World {
        let scenario = Scenario::parse(text).unwrap();
        World {
            plant: Plant::new(&scenario.site, &scenario.script),
            state: State::new(&scenario.site, Moment::START),
            seen: Observation::nothing(&scenario.site, 1),
            policy: Arc::new(scenario.policy),
            decision: Decision::default(),
            site: scenario.site,
        }
    }

    /// Lives as in the daemon until then; each step is shown.
    fn live(&mut self, until_s: u64, mut see: impl FnMut(&Stepped<'_>)) {
        while self.plant.now() < at(until_s) {
            let now = self.plant.now() + TICK;
            let words = self.plant.advance(now);
            if words.is_empty() && now < self.decision.next {
                continue;
            }
            words.into_iter().for_each(|word| self.seen.hear(word));
            // Wall time is known after a minute, and set back by some seconds later on.
            let wall = start() + TimeDelta::milliseconds(now.as_millis() as i64) + TimeDelta::nanoseconds(123_456_789);
            let wall = if now < at(200) { wall } else { wall - TimeDelta::seconds(7) };
            self.seen.wall = (now >= at(60)).then_some(wall);
            self.decision = control::step(&self.site, &mut self.state, &self.seen, &self.policy, now);
            self.decision.orders.iter().for_each(|order| self.plant.obey(order));
            self.decision.hang_ups.iter().for_each(|hang_up| self.plant.hang_up(hang_up));
            let World { state, seen, policy, decision, .. } = &*self;
            see(&Stepped { state, seen, policy, now, decision });
        }
    }

    /// The first bytes of the first segment.
    fn begin(&self, scribe: &mut Scribe) -> Vec<u8> {
        scribe.begin(&self.state, &self.policy, self.plant.now(), None).unwrap()
    }

    /// All segments of the next so many seconds, each of at most so many bytes.
    fn record(&mut self, until_s: u64, most: usize) -> Vec<Vec<u8>> {
        let mut scribe = Scribe::new(&self.site, 1, most);
        let mut segments = vec![self.begin(&mut scribe)];
        self.live(until_s, |step| {
            let next = scribe.note(step, segments.last_mut().unwrap()).unwrap();
            segments.extend(next);
        });
        segments
    }
}

fn at(seconds: u64) -> Moment {
    Moment::START + Duration::from_secs(seconds)
}

/// Is this the first step from there on? It is remembered.
fn is_first_after(seconds: u64, now: Moment, when: &mut Option<Moment>) -> bool {
    when.is_none() && now >= at(seconds) && *when.get_or_insert(now) == now
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn segment(bytes: &[u8]) -> Segment {
    Segment::read(bytes.to_vec()).unwrap()
}

/// All steps of a segment again, and how it ends.
fn again(bytes: &[u8]) -> (Vec<Again>, End) {
    let segment = segment(bytes);
    let mut replay = Replay::of(&segment);
    let steps: Vec<Again> = replay.by_ref().collect();
    (steps, replay.end().unwrap())
}

/// Are all the same, to the end of the file?
fn assert_the_same(bytes: &[u8]) -> usize {
    let (steps, end) = again(bytes);
    assert_eq!(end, End::Whole);
    let site = segment(bytes).opening.site;
    assert_eq!(steps.iter().find_map(|step| difference(step, &site)), None);
    steps.len()
}

#[test]
fn a_recorded_house_decides_again_bit_for_bit() {
    let mut world = World::of(HOUSE);
    let mut decisions = Vec::new();
    let mut scribe = Scribe::new(&world.site, 1, 1 << 20);
    let mut bytes = world.begin(&mut scribe);
    world.live(600, |step| {
        assert_eq!(scribe.note(step, &mut bytes), Ok(None));
        decisions.push((step.now, step.seen.wall, format!("{:?}", step.decision)));
    });
    let (steps, end) = again(&bytes);
    assert_eq!((end, steps.len()), (End::Whole, decisions.len()));
    for (step, (now, wall, decision)) in steps.iter().zip(decisions) {
        assert_eq!((step.now, step.wall), (now, wall));
        // Names of people are the only thing that a recording does not know.
        assert_eq!(format!("{:?}", step.decision), decision, "{now:?}");
        assert!(step.is_same && step.were == step.decision.setpoints && step.sent == step.decision.orders);
    }
    let mut told: Vec<Amps> = steps.iter().map(|step| step.were[0].amps).collect();
    told.dedup();
    assert!(!told.is_sorted() && told.len() > 3, "it has had to cut and to raise: {told:?}");
}

#[test]
fn each_segment_alone_decides_again_and_leads_to_the_next() {
    let mut world = World::of(HOUSE);
    let segments = world.record(600, 8_000);
    assert!(segments.len() > 3, "{}", segments.len());
    for (bytes, next) in segments.iter().zip(&segments[1..]) {
        assert!(bytes.len() <= 8_000, "{}", bytes.len());
        assert!(assert_the_same(bytes) > 10);
        let (this, next) = (segment(bytes), segment(next));
        let mut replay = Replay::of(&this);
        replay.by_ref().for_each(drop);
        assert_eq!(next.opening.after, After::Segment);
        let arrival = replay.arrival();
        assert!(arrival.leads_to(&next.opening) && !arrival.leads_to(&this.opening));
    }
    assert_eq!(segment(&segments[0]).opening.after, After::Start);
}

#[test]
fn who_is_hung_up_on_is_decided_again() {
    let mut world = World::of(include_str!("../../tests/scenarios/ignores-for-ever.toml"));
    let bytes = world.record(300, 1 << 20).remove(0);
    assert_the_same(&bytes);
    assert!(again(&bytes).0.iter().any(|step| !step.decision.hang_ups.is_empty()));
}

#[test]
fn a_changed_policy_holds_from_its_step_on() {
    let mut world = World::of(HOUSE);
    let mut scribe = Scribe::new(&world.site, 1, 1 << 20);
    let mut bytes = world.begin(&mut scribe);
    let mut see = |step: &Stepped<'_>| assert_eq!(scribe.note(step, &mut bytes), Ok(None));
    world.live(150, &mut see);
    let tighter = Policy { import_max: Some(PerPhase::all(Amps::whole(9))), ..(*world.policy).clone() };
    world.policy = Arc::new(tighter);
    world.live(200, &mut see);
    assert!(world.decision.setpoints[0].amps < Amps::whole(9));
    assert_the_same(&bytes);
}

#[test]
fn what_was_told_otherwise_is_named_with_its_evse() {
    let mut world = World::of(HOUSE);
    let mut scribe = Scribe::new(&world.site, 1, 1 << 20);
    let mut bytes = world.begin(&mut scribe);
    let mut when = None;
    world.live(200, |step| {
        // Another program has told the second car one ampere more at 100 s.
        let mut decision = step.decision.clone();
        if is_first_after(100, step.now, &mut when) {
            decision.setpoints[1].amps += Amps::whole(1);
        }
        scribe.note(&Stepped { decision: &decision, ..*step }, &mut bytes).unwrap();
    });
    let (steps, end) = again(&bytes);
    assert_eq!(end, End::Whole);
    let others: Vec<&Again> = steps.iter().filter(|step| !step.is_same).collect();
    assert_eq!(others.iter().map(|step| step.now).collect::<Vec<_>>(), [when.unwrap()]);
    let words = difference(others[0], &segment(&bytes).opening.site).unwrap();
    let is = others[0].decision.setpoints[1].amps;
    let wanted = (format!("right: was {} (", is + Amps::whole(1)), format!("is now {is} ("));
    assert!(words.starts_with(&wanted.0) && words.contains(&wanted.1), "{words}");
}

#[test]
fn another_order_or_another_row_is_a_difference_too() {
    let mut world = World::of(HOUSE);
    let site = world.site.clone();
    let mut scribe = Scribe::new(&world.site, 1, 1 << 20);
    let (mut bytes, mut when) = (world.begin(&mut scribe), None);
    world.live(50, |step| {
        let mut decision = step.decision.clone();
        match is_first_after(20, step.now, &mut when) {
            true => decision.rows[0].headroom.0[2] += Amps::milli(1),
            false => decision.orders.iter_mut().for_each(|order| order.lease += Duration::from_secs(1)),
        }
        scribe.note(&Stepped { decision: &decision, ..*step }, &mut bytes).unwrap();
    });
    let words: Vec<String> = again(&bytes).0.iter().filter_map(|step| difference(step, &site)).collect();
    assert!(words.iter().any(|words| words.contains("left: was order 1: ") && words.contains("for 61 s")), "{words:?}");
    assert!(words.iter().any(|words| words.contains("what is shown of circuits and cars is not")), "{words:?}");
}

#[test]
fn wherever_the_file_is_cut_all_whole_steps_are_read() {
    let mut world = World::of(HOUSE);
    let bytes = world.record(8, 1 << 20).remove(0);
    let all = again(&bytes).0.len();
    let mut most = 0;
    for length in 0..bytes.len() {
        let (steps, end) = match Segment::read(bytes[..length].to_vec()) {
            Err(fault) => {
                assert!(matches!(fault, Fault::Empty | Fault::NoRecording), "{fault:?}");
                continue;
            }
            Ok(_) => again(&bytes[..length]),
        };
        assert!(steps.iter().all(|step| step.is_same));
        assert!(!matches!(end, End::Damaged(_)) && steps.len() >= most, "cut after {length} bytes: {end:?}");
        most = steps.len();
    }
    assert_eq!(most, all - 1);
    // A power cut may leave zeros where the tail belongs.
    let zeros = [&bytes[..bytes.len() - 10], &[0; 4096]].concat();
    assert!(matches!(again(&zeros), (steps, End::Damaged(_) | End::Torn(_)) if steps.len() == all - 1));
    assert!(matches!(again(&[&bytes[..], &[0; 4096]].concat()), (steps, End::Torn(_)) if steps.len() == all));
}

#[test]
fn wherever_a_byte_is_changed_it_is_noticed() {
    let mut world = World::of(HOUSE);
    let bytes = world.record(20, 1 << 20).remove(0);
    let all = again(&bytes).0.len();
    let head = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    for index in (head + 1..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[index] ^= 0x10;
        match Segment::read(changed.clone()) {
            Err(fault) => assert!(matches!(fault, Fault::Unreadable { .. } | Fault::Empty), "{index}: {fault:?}"),
            Ok(_) => {
                let (steps, end) = again(&changed);
                assert!(end != End::Whole && steps.len() < all, "{index}: {end:?}");
                assert!(steps.iter().all(|step| step.is_same), "what was read before it is the same");
            }
        }
    }
}

#[test]
fn what_is_no_recording_or_of_another_format_says_so() {
    let fault = |bytes: &[u8]| Segment::read(bytes.to_vec()).unwrap_err();
    assert_eq!(fault(b"PK\x03\x04 something else\n"), Fault::NoRecording);
    assert_eq!(fault(&[0xFF; 4096]), Fault::NoRecording);
    assert_eq!(fault(b"headroom-1 7 3 00000000\nabc"), Fault::NoRecording);
    let later = fault(format!("headroom-flight {} 9.1.0\nwhatever", FORMAT + 1).as_bytes());
    assert!(later.to_string().contains("replay it with 9.1.0"), "{later}");
    let bytes = World::of(HOUSE).record(5, 1 << 20).remove(0);
    let own = format!("{FORMAT} {}\n", env!("CARGO_PKG_VERSION"));
    let text = bytes.windows(own.len()).position(|window| window == own.as_bytes()).unwrap();
    let older = format!("{FORMAT} 0.0.9\n");
    let other = [&bytes[..text], older.as_bytes(), &bytes[text + own.len()..]].concat();
    assert_eq!(segment(&other).program, "0.0.9", "another program's is read where its records are the same");
}

#[test]
fn no_card_and_no_name_is_in_the_bytes_and_each_card_decides_as_before() {
    let mut world = World::of(HOUSE);
    let mut policy = (*world.policy).clone();
    policy.principals[0].alias = Some("Kari Nordmann".into());
    policy.principals[0].id = "usr_kari".into();
    let stranger = Token { status: Verdict::Blocked, group: Some("nordmanns".into()), ..Token::of(0) };
    policy.tokens.insert("STRANGER99".into(), stranger);
    world.policy = Arc::new(policy);
    world
        .plant
        .act(&Action::Arrive(crate::site::EvseId(1), Car { token: Some("str-anger:99".into()), ..Car::default() }));
    let bytes = world.record(35, 1 << 20).remove(0);
    assert_the_same(&bytes);
    let lower = String::from_utf8_lossy(&bytes).to_lowercase();
    for secret in [KARI, "04:a2", "stranger99", "str-anger", "kari", "nordmann", "usr_"] {
        assert!(!lower.contains(&secret.to_lowercase()), "{secret}");
    }
    let (steps, _) = again(&bytes);
    let last = steps.last().unwrap();
    assert_eq!(last.decision.cars[0].priority, 6, "the owner's card is still the owner's");
    assert_eq!(last.were[1].because.code(), "denied");
}

#[test]
fn after_a_gap_a_segment_begins_that_says_so() {
    let mut world = World::of(HOUSE);
    let mut scribe = Scribe::new(&world.site, 1, 1 << 20);
    let (mut segments, mut when) = (vec![world.begin(&mut scribe)], None);
    let mut see = |step: &Stepped<'_>| {
        let next = scribe.note(step, segments.last_mut().unwrap()).unwrap();
        segments.extend(next);
        if is_first_after(100, step.now, &mut when) {
            scribe.break_off();
        }
    };
    world.live(300, &mut see);
    assert_eq!(segments.len(), 2);
    let second = segment(&segments[1]);
    assert_eq!(second.opening.after, After::Gap);
    assert!(second.opening.at > at(100) && second.opening.wall.is_some());
    segments.iter().for_each(|bytes| assert!(assert_the_same(bytes) > 50));
}

#[test]
fn a_site_that_fills_half_a_segment_is_not_recorded_and_says_how_much_it_needs() {
    let world = World::of(HOUSE);
    let mut scribe = Scribe::new(&world.site, 1, 500);
    let TooLarge(bytes) = scribe.begin(&world.state, &world.policy, at(0), None).unwrap_err();
    assert!(bytes > 250, "{bytes}");
}

/// All files of a recording, the oldest first.
fn kept(directory: &Path) -> Vec<Vec<u8>> {
    files(directory).unwrap().iter().map(|(_, path)| fs::read(path).unwrap()).collect()
}

fn recorder(world: &World, directory: &Path, most: u64) -> Recorder {
    let (state, policy) = (&world.state, &world.policy);
    Recorder::start((directory.to_owned(), most), (&world.site, 1), (state, policy), world.plant.now()).unwrap()
}

#[test]
fn a_long_run_stays_within_its_bytes_and_its_newest_part_decides_again() {
    let place = tempfile::tempdir().unwrap();
    let most = MIB / 8;
    let mut world = World::of(HOUSE);
    let mut recorder = recorder(&world, place.path(), most);
    let mut widest = 0;
    world.live(3_000, |step| {
        recorder.note(step);
        // The disk keeps pace: a simulated day is not to outrun it.
        if step.now.as_millis().is_multiple_of(20_000) {
            std::thread::yield_now();
            widest = widest.max(kept(place.path()).iter().map(Vec::len).sum::<usize>());
        }
    });
    drop(recorder);
    let segments = kept(place.path());
    widest = widest.max(segments.iter().map(Vec::len).sum());
    assert!(widest as u64 <= most && widest as u64 > most / 2, "{widest} bytes");
    assert!((2..=8).contains(&segments.len()), "{}", segments.len());
    assert!(files(place.path()).unwrap()[0].0 > 1, "the oldest are gone");
    segments.iter().for_each(|bytes| assert!(assert_the_same(bytes) > 0));
}

#[test]
fn a_restart_goes_on_beside_what_the_process_before_it_left() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("run/headroom");
    for _ in 0..2 {
        let mut world = World::of(HOUSE);
        let mut recorder = recorder(&world, &directory, 8 * MIB);
        world.live(30, |step| recorder.note(step));
    }
    let segments = kept(&directory);
    assert_eq!(segments.len(), 2);
    for bytes in segments {
        assert_eq!(segment(&bytes).opening.after, After::Start);
        assert!(assert_the_same(&bytes) > 20);
    }
}

#[test]
fn a_directory_that_cannot_be_written_stops_nothing() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("file"), b"").unwrap();
    let mut world = World::of(HOUSE);
    let mut recorder = recorder(&world, &place.path().join("file/flight"), 8 * MIB);
    let mut steps = 0;
    world.live(60, |step| {
        recorder.note(step);
        steps += 1;
    });
    assert!(steps > 50);
}

#[test]
fn a_disk_that_stands_still_delays_no_step_and_leaves_a_gap() {
    let mut world = World::of(HOUSE);
    let (release, held): (_, Receiver<()>) = sync_channel(1);
    let written: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let disk = written.clone();
    let write = move |piece: &Piece| {
        let mut segments = disk.lock().unwrap_or_else(PoisonError::into_inner);
        match segments.last_mut() {
            Some(last) if !piece.begins => last.extend(&piece.bytes),
            _ => segments.push(piece.bytes.clone()),
        }
        drop(segments);
        // After each piece it waits to be let go, until nobody holds it back any more.
        let _ = held.recv();
        io::Result::Ok(())
    };
    let mut recorder = Recorder::with(Scribe::new(&world.site, 1, 1 << 20), "here".into(), write).unwrap();
    // Far more than the queue holds.
    world.live(400, |step| recorder.note(step));
    drop(release);
    // The disk flows again; all that waited is written before the next segment begins.
    while written.lock().unwrap().iter().map(Vec::len).sum::<usize>() < 1_000 {
        std::thread::yield_now();
    }
    world.live(500, |step| {
        recorder.note(step);
        std::thread::yield_now();
    });
    drop(recorder);
    let segments = written.lock().unwrap().clone();
    assert!(segments.len() >= 2, "{}", segments.len());
    assert_eq!(segment(segments.last().unwrap()).opening.after, After::Gap);
    segments.iter().for_each(|bytes| {
        assert_the_same(bytes);
    });
    assert!(again(segments.last().unwrap()).0.last().unwrap().now > at(490));
}

#[test]
fn nothing_that_somebody_could_have_forged_makes_it_fall_over() {
    let mut world = World::of(HOUSE);
    let bytes = world.record(60, 1 << 20).remove(0);
    let head = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut contents = Vec::new();
    let mut rest = &bytes[head..];
    while let Some(record::Frame::Whole(content, next)) = record::cut(rest) {
        contents.push(content.to_vec());
        rest = next;
    }
    let mut dice = 1_u64;
    let mut roll = |most: usize| {
        dice = dice.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (dice >> 33) as usize % most
    };
    let mut decided = 0;
    for _ in 0..300 {
        let mut changed = contents.clone();
        // Half of the changes hit the opening, where it hurts most.
        let frame = if roll(2) == 0 { 0 } else { roll(changed.len()) };
        for _ in 0..=roll(3) {
            let at = roll(changed[frame].len());
            changed[frame][at] = [0, 0x7F, 0xFF, roll(256) as u8][roll(4)];
        }
        let mut file = bytes[..head].to_vec();
        changed.iter().for_each(|content| record::frame(content, &mut file));
        let Ok(segment) = Segment::read(file) else { continue };
        for step in Replay::of(&segment) {
            difference(&step, &segment.opening.site);
            decided += 1;
        }
    }
    assert!(decided > 500, "{decided}");
}
