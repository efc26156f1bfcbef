//! What waits in memory for the disk? The newest word on each session, and no more than fits.

use super::group::Item;
use super::{Key, MOST_ITEM};
use std::collections::BTreeMap;

/// So many wait at most: weeks of a house with a broken disk, and a day of a site with 50 EVSEs.
const MOST: usize = 1_000;

/// And no more bytes than this, of the 96 MB that the process may have.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Items that are not durable yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    items: BTreeMap<Key, Item<'static>>,
    bytes: usize,
}

impl Pending {
    /// Takes it in, instead of what was there under its key. Returns how many are lost by that: where there is no room, a
    /// running session goes first (it is told again), then the newcomer.
    #[must_use]
    pub fn put(&mut self, key: Key, item: Item<'static>) -> u64 {
        if item.bytes.len() > MOST_ITEM {
            return 1;
        }
        self.remove(key);
        while self.items.len() >= MOST || self.bytes + item.bytes.len() > MOST_BYTES {
            let Some(running) = self.items.iter().find(|(_, item)| item.is_open).map(|(key, _)| *key) else {
                return u64::from(!item.is_open);
            };
            self.remove(running);
        }
        self.bytes += item.bytes.len();
        self.items.insert(key, item);
        0
    }

    /// Was it there?
    pub fn remove(&mut self, key: Key) -> bool {
        let item = self.items.remove(&key);
        self.bytes -= item.as_ref().map_or(0, |item| item.bytes.len());
        item.is_some()
    }

    /// What waits under this key.
    pub fn get(&self, key: Key) -> Option<&Item<'static>> {
        self.items.get(&key)
    }

    /// All of them, by the order in which they came.
    pub fn in_order(&self) -> Vec<(Key, &Item<'static>)> {
        let mut items: Vec<_> = self.items.iter().map(|(key, item)| (*key, item)).collect();
        items.sort_by_key(|(_, item)| item.number);
        items
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// All of them, to be taken in elsewhere.
    pub fn take(&mut self) -> Vec<(Key, Item<'static>)> {
        self.bytes = 0;
        let mut items: Vec<_> = std::mem::take(&mut self.items).into_iter().collect();
        items.sort_by_key(|(_, item)| item.number);
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::Keys;

    fn item(number: u64, is_open: bool) -> Item<'static> {
        Item { number, is_open, bytes: number.to_be_bytes().to_vec().into() }
    }

    #[test]
    fn of_each_session_the_newest_word_alone_waits() {
        let (mut pending, mut keys) = (Pending::default(), Keys::of(1));
        let (first, second) = (keys.fresh(), keys.fresh());
        for (number, key) in [(1, first), (2, second), (3, first)] {
            assert_eq!(pending.put(key, item(number, number < 3)), 0);
        }
        let kept: Vec<(Key, u64)> = pending.in_order().iter().map(|(key, item)| (*key, item.number)).collect();
        assert_eq!(kept, [(second, 2), (first, 3)]);
    }

    #[test]
    fn where_there_is_no_room_running_sessions_go_first_and_a_newcomer_that_is_lost_is_counted() {
        let (mut pending, mut keys) = (Pending::default(), Keys::of(1));
        let mut put = |number: u64, is_open| pending.put(keys.fresh(), item(number, is_open));
        assert_eq!(put(0, true), 0);
        assert_eq!((1..=MOST as u64).map(|number| put(number, false)).sum::<u64>(), 0, "the running one went");
        assert_eq!((put(9000, false), put(9001, true)), (1, 0), "one that runs is told again");
        assert_eq!(pending.len(), MOST);
        assert!(pending.in_order().iter().all(|(_, item)| (1..=MOST as u64).contains(&item.number)));
    }

    #[test]
    fn many_large_ones_are_bounded_by_their_bytes() {
        let (mut pending, mut keys) = (Pending::default(), Keys::of(1));
        let large = |number| Item { bytes: vec![b' '; MOST_ITEM].into(), ..item(number, false) };
        let lost: u64 = (0..200).map(|number| pending.put(keys.fresh(), large(number))).sum();
        assert_eq!((lost, pending.len()), (200 - (MOST_BYTES / MOST_ITEM) as u64, MOST_BYTES / MOST_ITEM));
        assert_eq!(pending.put(keys.fresh(), Item { bytes: vec![0; MOST_ITEM + 1].into(), ..item(1, false) }), 1);
        pending.take();
        assert_eq!(pending.put(keys.fresh(), large(1)), 0);
    }
}
