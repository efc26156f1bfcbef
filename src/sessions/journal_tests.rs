//! Does the journal keep what it is given, in bounds, and give it out once?

use super::*;
use crate::sessions::cuts::Shared;
use crate::sessions::fixture::record;
use crate::sessions::{End, Keys};

const SMALL: Bounds = Bounds { items: 40, bytes: 64 * BLOCK as u64, segment: 8 * BLOCK as u64 };

fn open(disk: &Shared) -> (Journal<Shared>, Opened) {
    Journal::open(disk.clone(), SMALL).unwrap()
}

fn over(record: &Record) -> Item<'static> {
    let bytes = serde_json::to_vec(record).unwrap().into();
    Item { number: 0, is_open: record.end.is_none(), bytes }
}

fn short(text: &str) -> Item<'static> {
    Item { number: 0, is_open: false, bytes: text.as_bytes().to_vec().into() }
}

fn keys(batch: &[(Key, Item<'static>)]) -> Vec<Key> {
    batch.iter().map(|(key, _)| *key).collect()
}

#[test]
fn what_is_handed_in_is_given_out_in_order_until_it_is_acked_over_restarts() {
    let (disk, mut names) = (Shared::new(), Keys::of(1));
    let (mut journal, opened) = open(&disk);
    assert_eq!(opened, Opened::default());
    let given: Vec<Key> = (0..5).map(|_| names.fresh()).collect();
    given.iter().for_each(|key| journal.put(*key, short(&key.to_string())));
    journal.commit().unwrap();
    for _ in 0..2 {
        let (mut again, _) = open(&disk);
        let batch = again.next_batch(3);
        assert_eq!(keys(&batch), given[..3]);
        assert!(batch.iter().all(|(key, item)| *item.bytes == *key.to_string().as_bytes()));
    }
    let (mut again, _) = open(&disk);
    again.acked(&given[..4]);
    assert_eq!((keys(&again.next_batch(9)), again.is_durable()), (given[4..].to_vec(), false));
    again.commit().unwrap();
    assert_eq!(keys(&open(&disk).0.next_batch(9)), given[4..]);
}

#[test]
fn a_session_goes_to_the_cloud_when_it_is_over_and_not_before() {
    let disk = Shared::new();
    let (mut journal, _) = open(&disk);
    let running = Record { end: None, ..record(1) };
    journal.put(running.id, over(&running));
    journal.acked(&[running.id]);
    journal.commit().unwrap();
    let (mut journal, opened) = open(&disk);
    assert_eq!((opened.open, journal.waiting()), (vec![running.clone()], 0));
    assert!(journal.next_batch(9).is_empty());
    let ended = Record { end: Some(End::Stopped), ..running };
    journal.put(ended.id, over(&ended));
    assert_eq!(journal.waiting(), 1);
    journal.commit().unwrap();
    let (mut journal, opened) = open(&disk);
    assert_eq!((opened.open, keys(&journal.next_batch(9))), (vec![], vec![ended.id]));
}

#[test]
fn weeks_offline_take_no_more_room_than_is_allowed_and_what_is_lost_is_the_oldest_and_counted() {
    let (disk, mut names) = (Shared::new(), Keys::of(1));
    let (mut journal, _) = open(&disk);
    let running = Record { end: None, ..record(1) };
    journal.put(running.id, over(&running));
    let given: Vec<Key> = (0..500).map(|_| names.fresh()).collect();
    for key in &given {
        journal.put(*key, short("offline"));
        journal.commit().unwrap();
        assert!(journal.waiting() <= SMALL.items + 1 && disk.bytes() <= SMALL.bytes + 2 * SMALL.segment);
    }
    let (mut journal, opened) = open(&disk);
    assert_eq!(opened.open, [running], "what runs is never given up");
    let left = journal.next_batch(1000);
    assert_eq!(keys(&left), given[given.len() - left.len()..]);
    assert!(left.len() >= SMALL.items / 8 * 7, "{}", left.len());
    assert_eq!(journal.lost() as usize + left.len(), given.len());
}

#[test]
fn what_the_cloud_has_goes_first_and_nothing_that_it_has_not() {
    let (disk, mut names) = (Shared::new(), Keys::of(1));
    let (mut journal, _) = open(&disk);
    let old = names.fresh();
    journal.put(old, short("nobody has asked for it yet"));
    for _ in 0..500 {
        let key = names.fresh();
        journal.put(key, short("taken at once"));
        journal.commit().unwrap();
        journal.acked(&[key]);
        journal.commit().unwrap();
    }
    let (mut journal, _) = open(&disk);
    assert_eq!((keys(&journal.next_batch(9)), journal.lost()), (vec![old], 0));
}

#[test]
fn a_disk_that_refuses_keeps_nothing_from_the_cloud_and_gets_it_all_later() {
    let (disk, mut names) = (Shared::new(), Keys::of(1));
    let (mut journal, _) = open(&disk);
    let (first, second) = (names.fresh(), names.fresh());
    disk.refuse(true);
    for key in [first, second] {
        journal.put(key, short("x"));
        assert!(journal.commit().is_err());
    }
    assert_eq!((keys(&journal.next_batch(9)), journal.waiting()), (vec![first, second], 2));
    journal.acked(&[first]);
    assert_eq!(keys(&journal.next_batch(9)), [second]);
    disk.refuse(false);
    journal.commit().unwrap();
    assert!(journal.is_durable());
    assert_eq!(keys(&open(&disk).0.next_batch(9)), [second]);
}

#[test]
fn after_a_flush_that_failed_all_is_written_into_a_new_segment() {
    let (disk, mut names) = (Shared::new(), Keys::of(1));
    let (mut journal, _) = open(&disk);
    journal.put(names.fresh(), short("first"));
    journal.commit().unwrap();
    journal.put(names.fresh(), short("second"));
    // The append succeeds, the flush after it does not.
    disk.fail_after(1);
    assert!(journal.commit().is_err());
    let before = disk.clone().list().unwrap();
    journal.commit().unwrap();
    assert_eq!((before.len(), disk.clone().list().unwrap().len()), (1, 2));
    assert_eq!(open(&disk).0.next_batch(9).len(), 2);
}

#[test]
fn without_a_disk_all_is_there_until_the_process_ends() {
    let mut journal = Journal::<Shared>::in_memory(SMALL);
    let key = Keys::of(1).fresh();
    journal.put(key, short("x"));
    journal.commit().unwrap();
    assert_eq!(keys(&journal.next_batch(9)), [key]);
    journal.acked(&[key]);
    assert!(journal.are_acks_durable() && journal.next_batch(9).is_empty());
}

#[test]
fn people_see_every_session_whether_the_cloud_has_it_or_not() {
    let disk = Shared::new();
    let (mut journal, _) = open(&disk);
    let all = [record(1), record(2), Record { end: None, ..record(3) }];
    for record in &all {
        let begun = Record { end: None, ..record.clone() };
        journal.put(begun.id, over(&begun));
        journal.commit().unwrap();
        journal.put(record.id, over(record));
        journal.put(Keys::of(7).fresh(), short("no session"));
        journal.commit().unwrap();
    }
    journal.acked(&[all[0].id]);
    journal.commit().unwrap();
    assert_eq!(read_all(&mut disk.clone()).unwrap(), all);
}

#[test]
fn a_record_costs_one_flush_and_one_block() {
    let disk = Shared::new();
    let (mut journal, _) = Journal::open(disk.clone(), Bounds::default()).unwrap();
    let mut before = (0, 0);
    for number in 1..=100 {
        journal.put(record(number).id, over(&record(number)));
        journal.commit().unwrap();
        let now = (disk.flushes(), disk.bytes());
        // The first one begins a segment, whose name is flushed too.
        assert_eq!((now.0 - before.0, now.1 - before.1), (if number == 1 { 2 } else { 1 }, BLOCK as u64));
        before = now;
    }
}
