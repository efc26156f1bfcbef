//! Is anything lost or doubled when the power is cut? A disk that keeps what it must and no more, cut at each call.

use super::disk::Disk;
use super::fixture::record;
use super::group::{BLOCK, Item};
use super::journal::{Bounds, Journal};
use super::{End, Key, Keys, Record};
use crate::sim::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the power cut leaves of what was not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Everything,
    /// Each block old, new, torn or garbage; each name there or not.
    Some(u64),
}

/// A disk of a computer: what was not flushed may or may not outlive a cut.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Machine>>);

#[derive(Debug, Default)]
struct Machine {
    files: BTreeMap<u64, Written>,
    /// Removed, and that is not flushed.
    removed: BTreeMap<u64, Written>,
    calls: u64,
    flushes: u64,
    cut_at: Option<u64>,
    /// This call fails, and no other.
    fault_at: Option<u64>,
    is_dark: bool,
    /// Says that it has flushed, and has not: what the test must find out.
    lies: Option<Lie>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    Content,
    Names,
}

#[derive(Debug, Default, Clone)]
struct Written {
    bytes: Vec<u8>,
    /// So much of it is flushed.
    durable: usize,
    is_named: bool,
    is_current: bool,
    /// A flush has failed: what was dirty then is never written, whatever a later flush says.
    is_poisoned: bool,
}

impl Machine {
    fn call(&mut self) -> io::Result<()> {
        let number = self.calls;
        self.calls += 1;
        self.is_dark |= self.cut_at == Some(number);
        if self.is_dark || self.fault_at == Some(number) {
            return Err(Error::from(ErrorKind::Other));
        }
        Ok(())
    }

    fn current(&mut self) -> io::Result<&mut Written> {
        self.files.values_mut().find(|file| file.is_current).ok_or_else(|| Error::from(ErrorKind::NotFound))
    }

    /// The power is cut, and comes back.
    fn cut(&mut self, left: Left) {
        let mut dice = Dice::new(if let Left::Some(seed) = left { seed } else { 0 }, 0);
        let mut is_kept = |if_random: f64| match left {
            Left::Nothing => false,
            Left::Everything => true,
            Left::Some(_) => dice.chance(if_random),
        };
        self.files.retain(|_, file| file.is_named || is_kept(0.5));
        for (number, file) in std::mem::take(&mut self.removed) {
            if file.is_named && !is_kept(0.5) {
                self.files.entry(number).or_insert(file);
            }
        }
        for file in self.files.values_mut() {
            let durable = file.durable.min(file.bytes.len());
            match left {
                Left::Nothing => file.bytes.truncate(durable),
                Left::Everything => {}
                Left::Some(seed) => spoil(file, durable, &mut Dice::new(seed, durable as u64)),
            }
            // What has outlived a cut is on the disk.
            *file = Written {
                durable: file.bytes.len(),
                bytes: std::mem::take(&mut file.bytes),
                is_named: true,
                ..Written::default()
            };
        }
        (self.is_dark, self.cut_at, self.fault_at) = (false, None, None);
    }
}

/// Blocks from the first one with something that was not flushed: old, new, torn at a sector, or anything.
fn spoil(file: &mut Written, durable: usize, dice: &mut Dice) {
    if durable == file.bytes.len() {
        return;
    }
    let mut old = file.bytes[..durable].to_vec();
    old.resize(file.bytes.len(), 0);
    let mut start = durable / BLOCK * BLOCK;
    while start < old.len() {
        let end = old.len().min(start + BLOCK);
        let torn = end.min(start + dice.between(1, 7) as usize * 512);
        match dice.between(0, 3) {
            0 => {}
            1 => file.bytes[start..end].copy_from_slice(&old[start..end]),
            2 => file.bytes[torn..end].copy_from_slice(&old[torn..end]),
            _ => file.bytes[start..end].fill(dice.between(0, 255) as u8),
        }
        start = end;
    }
    if dice.chance(0.5) {
        file.bytes.truncate(dice.between(durable as i64, old.len() as i64) as usize);
    }
}

impl Shared {
    pub fn new() -> Self {
        Shared(Arc::default())
    }

    /// This call from now fails, and no other.
    pub fn fail_after(&self, calls: u64) {
        let mut machine = self.machine();
        machine.fault_at = Some(machine.calls + calls);
    }

    /// All calls fail from now on, or none does.
    pub fn refuse(&self, does: bool) {
        self.machine().is_dark = does;
    }

    pub fn flushes(&self) -> u64 {
        self.machine().flushes
    }

    pub fn bytes(&self) -> u64 {
        self.machine().files.values().map(|file| file.bytes.len() as u64).sum()
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap()
    }
}

impl Disk for Shared {
    fn list(&mut self) -> io::Result<Vec<u64>> {
        Ok(self.machine().files.keys().copied().collect())
    }

    fn read(&mut self, segment: u64) -> io::Result<Vec<u8>> {
        self.read_at(segment, 0, usize::MAX)
    }

    fn read_at(&mut self, segment: u64, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let machine = self.machine();
        let file = machine.files.get(&segment).ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        let rest = file.bytes.get(offset as usize..).unwrap_or_default();
        Ok(rest[..length.min(rest.len())].to_vec())
    }

    fn begin(&mut self, segment: u64) -> io::Result<()> {
        let mut machine = self.machine();
        let outcome = machine.call();
        machine.files.values_mut().for_each(|file| file.is_current = false);
        let taken = machine.files.insert(segment, Written { is_current: true, ..Written::default() });
        assert!(taken.is_none(), "segment {segment} is begun twice");
        outcome
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut machine = self.machine();
        let outcome = machine.call();
        let file = machine.current()?;
        // One that fails has done a part of it.
        let done = if outcome.is_ok() { bytes.len() } else { bytes.len() / 2 };
        file.bytes.extend(&bytes[..done]);
        outcome
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut machine = self.machine();
        let (outcome, lies) = (machine.call(), machine.lies);
        machine.flushes += 1;
        let file = machine.current()?;
        match outcome {
            Ok(()) if !file.is_poisoned && lies != Some(Lie::Content) => file.durable = file.bytes.len(),
            Ok(()) => {}
            Err(_) => file.is_poisoned = true,
        }
        outcome
    }

    fn flush_names(&mut self) -> io::Result<()> {
        let mut machine = self.machine();
        machine.call()?;
        machine.flushes += 1;
        if machine.lies != Some(Lie::Names) {
            machine.files.values_mut().for_each(|file| file.is_named = true);
            machine.removed.clear();
        }
        Ok(())
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        let mut machine = self.machine();
        machine.call()?;
        let file = machine.files.remove(&segment).ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        machine.removed.insert(segment, file);
        Ok(())
    }
}

/// What those who handed something in may rely on.
#[derive(Debug, Default)]
struct Promised {
    /// They were told that it is durable.
    durable: BTreeMap<Key, Item<'static>>,
    acked: BTreeSet<Key>,
    /// Handed in, and nobody has said anything yet: any of it may be there or not.
    given: BTreeMap<Key, Vec<Item<'static>>>,
    acking: BTreeSet<Key>,
}

impl Promised {
    fn put(&mut self, journal: &mut Journal<Shared>, key: Key, item: Item<'static>) {
        self.given.entry(key).or_default().push(item.clone());
        journal.put(key, item);
    }

    /// True if it is promised; false where the disk has failed.
    fn commit(&mut self, journal: &mut Journal<Shared>) -> bool {
        let _ = journal.commit();
        if journal.is_durable() {
            for (key, items) in std::mem::take(&mut self.given) {
                self.durable.extend(items.into_iter().last().map(|item| (key, item)));
            }
            self.acked.append(&mut self.acking);
        }
        journal.is_durable()
    }

    /// Compares with what a new process finds; `Err` names what is lost, doubled or made up.
    fn check(&mut self, journal: &mut Journal<Shared>, open: &[Record]) -> Result<(), String> {
        let mut found: BTreeMap<Key, Item<'static>> = BTreeMap::new();
        for (key, item) in journal.next_batch(usize::MAX) {
            if found.insert(key, item).is_some() {
                return Err(format!("{key} is there twice"));
            }
        }
        for record in open {
            if found.insert(record.id, session(record)).is_some() {
                return Err(format!("{} runs and is over", record.id));
            }
        }
        for (key, item) in &self.durable {
            if !found.contains_key(key) && !self.acked.contains(key) && !self.acking.contains(key) {
                return Err(format!("{key} is lost: {}", if item.is_open { "running" } else { "over" }));
            }
        }
        for (key, item) in &found {
            if self.acked.contains(key) {
                return Err(format!("{key} is doubled: the cloud has it"));
            }
            let mut known = self.durable.get(key).into_iter().chain(self.given.get(key).into_iter().flatten());
            if !known.any(|other| (&other.bytes, other.is_open) == (&item.bytes, item.is_open)) {
                return Err(format!("{key} is not what was handed in"));
            }
        }
        if journal.lost() > 0 {
            return Err(format!("{} lost for want of room", journal.lost()));
        }
        // From here on all that was found is durable.
        self.acked.append(&mut self.acking);
        self.acked.retain(|key| !found.contains_key(key));
        self.durable.clone_from(&found);
        self.given.clear();
        Ok(())
    }
}

fn session(record: &Record) -> Item<'static> {
    let bytes = serde_json::to_vec(record).unwrap().into();
    Item { number: 0, is_open: record.end.is_none(), bytes }
}

/// Small segments, so that many begin, are carried over and go.
const BOUNDS: Bounds = Bounds { items: 1_000, bytes: 24 * BLOCK as u64, segment: 3 * BLOCK as u64 };

/// Enough for each segment to be carried over and removed a few times.
const ROUNDS: usize = 60;

/// A process's life: sessions begin, go on and end, some of any length, the cloud takes some. Ends early where the power is cut.
fn live(machine: &Shared, promised: &mut Promised, seed: u64, rounds: usize) -> Result<(), String> {
    let Ok((mut journal, opened)) = Journal::open(machine.clone(), BOUNDS) else { return Ok(()) };
    let mut running = opened.open.clone();
    promised.check(&mut journal, &opened.open)?;
    let (mut dice, mut keys) = (Dice::new(seed, 0), Keys::of(seed));
    for _ in 0..rounds {
        match dice.between(0, 5) {
            0 | 1 if running.len() < 3 => {
                let begun = Record { id: keys.fresh(), end: None, energy_wh: 0, ..record(1) };
                promised.put(&mut journal, begun.id, session(&begun));
                running.push(begun);
            }
            2 => {
                for record in &mut running {
                    record.energy_wh += 1_000;
                    promised.put(&mut journal, record.id, session(record));
                }
            }
            3 if !running.is_empty() => {
                let over = Record { end: Some(End::Stopped), ..running.swap_remove(0) };
                promised.put(&mut journal, over.id, session(&over));
            }
            4 => {
                let bytes = vec![
                    b'0' + dice.between(0, 9) as u8;
                    if dice.chance(0.1) { 6_000 } else { dice.between(0, 300) as usize }
                ]
                .into();
                promised.put(&mut journal, keys.fresh(), Item { number: 0, is_open: false, bytes });
            }
            _ => {
                let most = dice.between(1, 5) as usize;
                let keys: Vec<Key> = journal.next_batch(most).into_iter().map(|(key, _)| key).collect();
                promised.acking.extend(&keys);
                journal.acked(&keys);
                if journal.next_batch(most).iter().any(|(key, _)| keys.contains(key)) {
                    return Err("given out again though the cloud has it".into());
                }
            }
        }
        // Now and then two things are handed in at once.
        if dice.chance(0.8) {
            promised.commit(&mut journal);
        }
        if machine.machine().is_dark {
            return Ok(());
        }
    }
    Ok(())
}

/// How many calls an undisturbed life makes.
fn calls(seed: u64, rounds: usize) -> u64 {
    let machine = Shared::new();
    live(&machine, &mut Promised::default(), seed, rounds).unwrap();
    machine.machine().calls
}

/// Three lives on one disk; the power is cut in the first at this call, in the second at another, and after the third.
fn cut_thrice(seed: u64, at: u64, left: Left, lies: Option<Lie>) -> Result<u64, String> {
    let (machine, mut promised) = (Shared::new(), Promised::default());
    machine.machine().lies = lies;
    let mut cuts = 0;
    for life in 0..3 {
        let begun = machine.machine().calls;
        machine.machine().cut_at = [Some(at), Some(begun + (at * 7 + seed) % 40), None][life as usize];
        live(&machine, &mut promised, seed + 1000 * life, if life == 0 { ROUNDS } else { 15 })?;
        machine.machine().cut(left);
        cuts += 1;
    }
    let (mut journal, opened) = Journal::open(machine.clone(), BOUNDS).map_err(|fault| fault.to_string())?;
    promised.check(&mut journal, &opened.open)?;
    Ok(cuts)
}

#[test]
fn wherever_the_power_is_cut_nothing_durable_is_lost_or_doubled() {
    let (mut cuts, mut places) = (0, 0);
    for seed in 1..=2 {
        for at in 0..calls(seed, ROUNDS) {
            let some = (0..2).map(|number| Left::Some(seed * 1_000_000 + at * 10 + number));
            for left in [Left::Nothing, Left::Everything].into_iter().chain(some) {
                let outcome = cut_thrice(seed, at, left, None);
                cuts += outcome.unwrap_or_else(|why| panic!("seed {seed}, cut at call {at}, {left:?} left: {why}"));
            }
            places += 1;
        }
    }
    println!("sessions and outbox: {cuts} power cuts, each of {places} calls first, 0 lost, 0 doubled");
    assert!(cuts >= 1_000 && places >= 200, "{cuts} cuts at {places} places");
}

#[test]
fn a_disk_that_lies_about_what_it_has_flushed_is_found_out() {
    for lie in [Lie::Content, Lie::Names] {
        let lost = (0..calls(1, ROUNDS)).filter(|at| cut_thrice(1, *at, Left::Nothing, Some(lie)).is_err()).count();
        assert!(lost > 50, "{lie:?}: {lost}");
    }
}

#[test]
fn whichever_call_fails_nothing_durable_is_lost_or_doubled_by_a_cut_after_it() {
    let mut faults = 0;
    for seed in 3..=4 {
        for at in 0..calls(seed, ROUNDS) {
            for left in [Left::Nothing, Left::Some(at), Left::Some(at + 1)] {
                let (machine, mut promised) = (Shared::new(), Promised::default());
                machine.machine().fault_at = Some(at);
                let mut outcome = live(&machine, &mut promised, seed, ROUNDS);
                machine.machine().cut(left);
                outcome = outcome.and_then(|()| live(&machine, &mut promised, seed + 1000, 5));
                outcome.unwrap_or_else(|why| panic!("seed {seed}, fault at call {at}, {left:?} left: {why}"));
                faults += 1;
            }
        }
    }
    println!("sessions and outbox: {faults} faults of the disk, each call first, 0 lost, 0 doubled");
    assert!(faults >= 500, "{faults}");
}
