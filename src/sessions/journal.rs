//! How are sessions kept so that none is lost or doubled? An append-only journal in segments, and an index of what waits.
//!
//! Entries are only ever added ([`super::group`]). The last word on a key holds. A segment ends when it is full, when the
//! process ends, and when anything about it goes wrong: then what was not durable is written anew into the next one. The
//! oldest segment is removed to make room, after what the cloud has not got has been carried over into the newest.

use super::disk::Disk;
use super::group::{self, BLOCK, Entry, Item};
use super::pending::Pending;
use super::{Key, Record};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};

/// A batch for the cloud has at most so many bytes, beside its first item.
const MOST_BATCH: usize = 256 * 1024;

/// What an item takes beside its bytes, for the reckoning of room.
const OVERHEAD: u64 = 80;

/// So many segments at most: each start of the process that has something to say begins one.
const MOST_SEGMENTS: usize = 256;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Items that wait for the cloud, at most.
    pub items: usize,
    /// Bytes of all segments together, at most (and a segment more, while one is being moved).
    pub bytes: u64,
    /// A segment ends when it has so many.
    pub segment: u64,
}

impl Default for Bounds {
    /// Weeks of the largest site without the cloud, and years of a house's history.
    fn default() -> Self {
        Bounds { items: 100_000, bytes: 64 * 1024 * 1024, segment: 4 * 1024 * 1024 }
    }
}

/// The journal and its index.
#[derive(Debug)]
pub struct Journal<D> {
    /// `None`: all is in memory, and lost with the process.
    disk: Option<D>,
    bounds: Bounds,
    /// Their bytes.
    segments: BTreeMap<u64, u64>,
    /// The segment that grows, and its blocks.
    current: Option<(u64, u64)>,
    next_segment: u64,
    /// What the cloud has not got, and is durable.
    kept: BTreeMap<Key, Place>,
    /// Those of them that are over, by number.
    waiting: BTreeMap<u64, Key>,
    kept_bytes: u64,
    /// What is not durable yet.
    unsaved: Pending,
    unsaved_acks: BTreeSet<Key>,
    numbers: u64,
    lost: u64,
}

/// Where an item is.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u64,
    block: u64,
    blocks: u64,
    number: u64,
    is_open: bool,
    bytes: u64,
}

/// What was found at the start.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Sessions that ran when the process before ended.
    pub open: Vec<Record>,
    /// Blocks that cannot be read: some at the end of a segment after a cut, more where the disk is dying.
    pub strange: u64,
}

impl<D: Disk> Journal<D> {
    /// Reads what is there. Nothing is written yet.
    ///
    /// # Errors
    /// The segments cannot be listed. One that cannot be read counts as strange.
    pub fn open(mut disk: D, bounds: Bounds) -> io::Result<(Self, Opened)> {
        let mut segments = disk.list()?;
        segments.sort_unstable();
        let mut journal = Journal::in_memory(bounds);
        journal.next_segment = segments.last().map_or(1, |last| last.saturating_add(1));
        let mut opened = Opened::default();
        for segment in segments {
            let bytes = disk.read(segment).unwrap_or_else(|_| {
                opened.strange += 1;
                Vec::new()
            });
            journal.segments.insert(segment, bytes.len() as u64);
            let found = group::read(segment, 0, &bytes);
            opened.strange += found.strange;
            for (block, blocks, entries) in &found.groups {
                journal.learn(segment, *block, *blocks, entries);
            }
        }
        journal.disk = Some(disk);
        for (key, place) in journal.kept.clone().into_iter().filter(|(_, place)| place.is_open) {
            let item = journal.fetch(key, place).ok().flatten();
            match item.and_then(|item| serde_json::from_slice(&item.bytes).ok()) {
                Some(record) => opened.open.push(record),
                None => journal.lose(key),
            }
        }
        Ok((journal, opened))
    }

    /// Keeps all in memory.
    pub fn in_memory(bounds: Bounds) -> Self {
        Journal {
            disk: None,
            bounds,
            segments: BTreeMap::new(),
            current: None,
            next_segment: 1,
            kept: BTreeMap::new(),
            waiting: BTreeMap::new(),
            kept_bytes: 0,
            unsaved: Pending::default(),
            unsaved_acks: BTreeSet::new(),
            numbers: 0,
            lost: 0,
        }
    }

    /// Takes in the newest word on something; it is durable after the next [`Journal::commit`] that succeeds.
    pub fn put(&mut self, key: Key, mut item: Item<'static>) {
        self.numbers += 1;
        item.number = self.numbers;
        self.lost += self.unsaved.put(key, item);
    }

    /// The cloud has these: they are never given out again by this process, and by none after the next
    /// [`Journal::commit`] that succeeds. What is not known, or runs still, is passed over.
    pub fn acked(&mut self, keys: &[Key]) {
        for key in keys {
            let is_kept = self.kept.get(key).is_some_and(|place| !place.is_open);
            let is_unsaved = self.unsaved.get(*key).is_some_and(|item| !item.is_open);
            if is_kept || is_unsaved {
                self.forget(*key);
                self.unsaved.remove(*key);
                // Though it was not durable, a write that failed may have left it on the disk.
                if self.disk.is_some() {
                    self.unsaved_acks.insert(*key);
                }
            }
        }
        while self.unsaved_acks.len() > self.bounds.items {
            self.unsaved_acks.pop_first();
        }
    }

    /// Is everything durable that was handed in?
    pub fn is_durable(&self) -> bool {
        self.unsaved.len() == 0 && self.are_acks_durable()
    }

    /// Is all durable that was acked?
    pub fn are_acks_durable(&self) -> bool {
        self.unsaved_acks.is_empty()
    }

    /// How many wait for the cloud, durable or not.
    pub fn waiting(&self) -> usize {
        let unsaved = self.unsaved.in_order();
        let is_new = |key: &Key| self.kept.get(key).is_none_or(|place| place.is_open);
        self.waiting.len() + unsaved.iter().filter(|(key, item)| !item.is_open && is_new(key)).count()
    }

    /// How many are not durable yet.
    pub fn unsaved(&self) -> usize {
        self.unsaved.len() + self.unsaved_acks.len()
    }

    /// How many the cloud will never get, over all processes.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Makes durable what was handed in, and makes room.
    ///
    /// # Errors
    /// Whatever the disk says: [`Journal::is_durable`] tells whether something still waits. Without a disk there is nothing
    /// to do.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.disk.is_none() || self.is_durable() {
            return Ok(());
        }
        let acks: Vec<Key> = self.unsaved_acks.iter().copied().collect();
        let puts = self.unsaved.take();
        let mut entries: Vec<Entry<'_>> = puts.iter().map(|(key, item)| Entry::Put(*key, item.borrowed())).collect();
        if !acks.is_empty() {
            entries.push(Entry::Acked(acks.into()));
        }
        let outcome = self.write(&entries);
        drop(entries);
        match outcome {
            Ok(()) => self.unsaved_acks.clear(),
            Err(fault) => {
                // They were all in there: none is lost by going back.
                self.lost += puts.into_iter().map(|(key, item)| self.unsaved.put(key, item)).sum::<u64>();
                return Err(fault);
            }
        }
        self.make_room()
    }

    /// The oldest that wait for the cloud, so many at most. Given out again until they are acked.
    pub fn next_batch(&mut self, most: usize) -> Vec<(Key, Item<'static>)> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for key in self.waiting.values().copied().take(most).collect::<Vec<_>>() {
            let Some(place) = self.kept.get(&key).copied() else { continue };
            match self.fetch(key, place) {
                Ok(Some(item)) => {
                    bytes += item.bytes.len();
                    batch.push((key, item));
                }
                // Damaged since it was written: nobody will read it.
                Ok(None) => self.lose(key),
                // Perhaps another time.
                Err(_) => {}
            }
            if bytes > MOST_BATCH {
                return batch;
            }
        }
        // What the disk does not take goes to the cloud all the same.
        for (key, item) in self.unsaved.in_order() {
            if batch.len() >= most || bytes > MOST_BATCH {
                break;
            }
            if !item.is_open && self.kept.get(&key).is_none_or(|place| place.is_open) {
                bytes += item.bytes.len();
                batch.push((key, item.clone()));
            }
        }
        batch
    }

    /// Adds entries to the current segment, or to a new one; what they say holds once they are durable.
    fn write(&mut self, entries: &[Entry<'_>]) -> io::Result<()> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        let is_full = |blocks: u64| blocks * BLOCK as u64 >= self.bounds.segment;
        let current = self.current.take().filter(|(_, blocks)| !is_full(*blocks));
        let (segment, block) = current.unwrap_or((self.next_segment, 0));
        let bytes = group::write(segment, block, entries);
        let outcome = match current {
            Some(_) => disk.append(&bytes).and_then(|()| disk.flush()),
            None => {
                self.next_segment = self.next_segment.saturating_add(1);
                let begun = disk.begin(segment).and_then(|()| disk.append(&bytes));
                begun.and_then(|()| disk.flush()).and_then(|()| disk.flush_names())
            }
        };
        if outcome.is_err() && current.is_none() && disk.remove(segment).is_ok() {
            return outcome;
        }
        *self.segments.entry(segment).or_default() += bytes.len() as u64;
        // After a fault the segment is left as it is: what the kernel still says of it proves nothing.
        outcome?;
        self.current = Some((segment, block + (bytes.len() / BLOCK) as u64));
        for (block, blocks, entries) in group::read(segment, block, &bytes).groups {
            self.learn(segment, block, blocks, &entries);
        }
        Ok(())
    }

    /// What a durable group says holds.
    fn learn(&mut self, segment: u64, block: u64, blocks: u64, entries: &[Entry<'_>]) {
        for entry in entries {
            match entry {
                Entry::Put(key, item) => {
                    self.forget(*key);
                    let (number, is_open, bytes) = (item.number, item.is_open, item.bytes.len() as u64 + OVERHEAD);
                    self.numbers = self.numbers.max(number);
                    self.kept_bytes += bytes;
                    self.kept.insert(*key, Place { segment, block, blocks, number, is_open, bytes });
                    if !is_open {
                        self.waiting.insert(number, *key);
                    }
                }
                Entry::Acked(keys) => keys.iter().for_each(|key| self.forget(*key)),
                Entry::Lost(keys, count) => {
                    keys.iter().for_each(|key| self.forget(*key));
                    self.lost = self.lost.max(*count);
                }
            }
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(place) = self.kept.remove(&key) {
            self.kept_bytes -= place.bytes;
            self.waiting.remove(&place.number);
        }
    }

    fn lose(&mut self, key: Key) {
        self.forget(key);
        self.lost += 1;
    }

    /// The item; `None` where it is damaged.
    fn fetch(&mut self, key: Key, place: Place) -> io::Result<Option<Item<'static>>> {
        let Some(disk) = &mut self.disk else { return Ok(None) };
        let length = place.blocks as usize * BLOCK;
        let bytes = match disk.read_at(place.segment, place.block * BLOCK as u64, length) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let found = group::read(place.segment, place.block, &bytes);
        let entries = found.groups.into_iter().flat_map(|(_, _, entries)| entries);
        // The last word of the group holds.
        let mut items = entries.filter_map(|entry| match entry {
            Entry::Put(other, item) if other == key => Some(item.owned()),
            Entry::Put(..) | Entry::Acked(_) | Entry::Lost(..) => None,
        });
        Ok(items.next_back())
    }

    /// Removes the oldest segments until there is room: first what the cloud has, and only then what it has not.
    fn make_room(&mut self) -> io::Result<()> {
        // Each round removes a segment that was there before: it comes to an end.
        for _ in 0..self.segments.len() {
            self.lose_oldest()?;
            let total: u64 = self.segments.values().sum();
            if total <= self.bounds.bytes && self.segments.len() <= MOST_SEGMENTS {
                return Ok(());
            }
            let Some(oldest) = self.segments.keys().next().copied() else { return Ok(()) };
            self.current.take_if(|(current, _)| *current == oldest);
            self.carry_over(oldest)?;
            if let Some(disk) = &mut self.disk {
                match disk.remove(oldest) {
                    Err(fault) if fault.kind() != ErrorKind::NotFound => return Err(fault),
                    _ => disk.flush_names()?,
                }
            }
            self.segments.remove(&oldest);
        }
        Ok(())
    }

    /// Writes what the cloud has not got of this segment once more.
    fn carry_over(&mut self, segment: u64) -> io::Result<()> {
        let here: Vec<_> =
            self.kept.iter().filter(|(_, place)| place.segment == segment).map(|(k, p)| (*k, *p)).collect();
        let mut carried = Vec::new();
        for (key, place) in here {
            match self.fetch(key, place)? {
                Some(item) => carried.push(Entry::Put(key, item)),
                None => self.lose(key),
            }
        }
        if carried.is_empty() { Ok(()) } else { self.write(&carried) }
    }

    /// Gives up the oldest that wait, where there are too many: by an eighth, so that it is not done for each one.
    fn lose_oldest(&mut self) -> io::Result<()> {
        // Segments are removed one after the other: there must be something to gain from it.
        let most_bytes = self.bounds.bytes / 4 * 3;
        if self.waiting.len() <= self.bounds.items && self.kept_bytes <= most_bytes {
            return Ok(());
        }
        let (mut items, mut bytes) = (self.waiting.len(), self.kept_bytes);
        let mut lost = Vec::new();
        for key in self.waiting.values() {
            if items <= self.bounds.items / 8 * 7 && bytes <= most_bytes / 8 * 7 {
                break;
            }
            items -= 1;
            bytes -= self.kept.get(key).map_or(0, |place| place.bytes);
            lost.push(*key);
        }
        if lost.is_empty() {
            return Ok(());
        }
        let count = self.lost + lost.len() as u64;
        self.write(&[Entry::Lost(lost.into(), count)])
    }
}

impl Item<'_> {
    fn borrowed(&self) -> Item<'_> {
        Item { bytes: Cow::Borrowed(&self.bytes), number: self.number, is_open: self.is_open }
    }

    fn owned(self) -> Item<'static> {
        Item { bytes: self.bytes.into_owned().into(), number: self.number, is_open: self.is_open }
    }
}

/// All sessions that a folder of segments has, whether the cloud has them or not, by their keys: for people, while another
/// process may write to it.
///
/// # Errors
/// The folder or a segment cannot be read.
pub fn read_all(disk: &mut impl Disk) -> io::Result<Vec<Record>> {
    // A segment that goes while it is read has been carried over into a later one: all is read again.
    const TRIES: usize = 5;
    let mut tries = 1;
    loop {
        match read_once(disk) {
            Err(fault) if fault.kind() == ErrorKind::NotFound && tries < TRIES => tries += 1,
            other => return other,
        }
    }
}

fn read_once(disk: &mut impl Disk) -> io::Result<Vec<Record>> {
    let mut records = BTreeMap::new();
    let mut segments = disk.list()?;
    segments.sort_unstable();
    for segment in segments {
        let bytes = disk.read(segment)?;
        for (_, _, entries) in group::read(segment, 0, &bytes).groups {
            for entry in entries {
                if let Entry::Put(key, item) = entry
                    && let Ok(record) = serde_json::from_slice::<Record>(&item.bytes)
                {
                    records.insert(key, record);
                }
            }
        }
    }
    Ok(records.into_values().collect())
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
