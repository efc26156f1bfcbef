//! Does the queue keep what matters, in order, and no more than it may?

use super::*;
use crate::status::EvseStatus;
use serde_json::{Value, json};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn ids(batch: Option<Batch>) -> Vec<String> {
    batch.map_or(vec![], |batch| batch.events.into_iter().map(|event| event.id).collect())
}

fn told(queue: &Queue) -> Vec<Value> {
    let body: Value = queue
        .next_batch(MOST_EVENTS)
        .map_or(json!({"events": []}), |batch| serde_json::from_slice(&batch.encode()).unwrap());
    body["events"].as_array().unwrap().clone()
}

#[test]
fn the_most_important_are_sent_first_and_of_these_the_oldest() {
    let mut queue = Queue::new(1);
    queue.happened("start", Severity::Info, "", at(1));
    queue.begin("charger-b", Severity::Warning, "", at(2));
    queue.begin("meter", Severity::Fault, "", at(3));
    queue.begin("charger-a", Severity::Warning, "", at(4));
    queue.happened("rollback", Severity::Security, "", at(5));
    assert_eq!(ids(queue.next_batch(10)), ["rollback", "meter", "charger-b", "charger-a", "start"]);
    assert_eq!(ids(queue.next_batch(2)), ["rollback", "meter"]);
}

#[test]
fn a_flood_drops_the_least_important_and_oldest_and_counts_them() {
    let mut queue = Queue::new(1);
    queue.happened("rollback", Severity::Security, "", at(0));
    queue.happened("first", Severity::Info, "", at(1));
    for index in 0..150 {
        queue.begin(&format!("warning-{index}"), Severity::Warning, "", at(2));
    }
    for index in 0..150 {
        queue.begin(&format!("fault-{index}"), Severity::Fault, "", at(3));
    }
    let batch = queue.next_batch(1000).unwrap();
    assert_eq!((batch.events.len(), batch.dropped), (MOST_EVENTS, 102));
    let ids: Vec<String> = ids(Some(batch));
    assert_eq!((&*ids[0], &*ids[1], &*ids[150]), ("rollback", "fault-0", "fault-149"));
    assert_eq!((&*ids[151], &*ids[199]), ("warning-101", "warning-149"));

    // Something less important than all that waits does not get in.
    queue.happened("late", Severity::Info, "", at(4));
    let batch = queue.next_batch(1000).unwrap();
    assert_eq!((batch.events.iter().any(|event| event.id == "late"), batch.dropped), (false, 103));
}

#[test]
fn what_the_cloud_has_makes_room_before_anything_is_lost() {
    let mut queue = Queue::new(1);
    for index in 0..MOST_EVENTS {
        queue.happened(&format!("fault-{index}"), Severity::Fault, "", at(0));
    }
    queue.sent(&queue.next_batch(MOST_EVENTS).unwrap());
    for index in 0..MOST_EVENTS {
        queue.happened(&format!("info-{index}"), Severity::Info, "", at(1));
    }
    let batch = queue.next_batch(1000).unwrap();
    assert_eq!((batch.events.len(), batch.dropped), (MOST_EVENTS, 0));
    assert_eq!(queue.entries.len(), MOST_EVENTS);
}

#[test]
fn an_alarm_that_flaps_is_one_event_with_a_count() {
    let mut queue = Queue::new(1);
    for minute in 0..20 {
        queue.begin("meter", Severity::Fault, "gone", at(minute * 60));
        queue.end("meter", at(minute * 60 + 30));
    }
    let told = told(&queue);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["count"], &told[0]["since"]), (&json!(20), &json!(at(0))));

    queue.begin("meter", Severity::Fault, "gone", at(19 * 60 + 30 + 600));
    assert_eq!(ids(queue.next_batch(10)), ["meter", "meter"], "long after it is another one");
}

#[test]
fn what_changes_after_it_was_sent_goes_out_again_under_the_same_key() {
    let mut queue = Queue::new(0xabc);
    queue.begin("meter", Severity::Fault, "gone", at(0));
    let first = queue.next_batch(10).unwrap();
    let begun = told(&queue);
    assert_eq!((&begun[0]["key"], &begun[0]["until"]), (&json!("0000000000000abc-1"), &Value::Null));

    // It ends while the first word of it is under way.
    queue.end("meter", at(5));
    queue.sent(&first);
    let over = told(&queue);
    assert_eq!((&over[0]["key"], &over[0]["until"]), (&begun[0]["key"], &json!(at(5))));
    assert!(over[0]["revision"].as_u64() > begun[0]["revision"].as_u64());
    queue.sent(&queue.next_batch(10).unwrap());
    assert_eq!(queue.next_batch(10), None);
}

#[test]
fn the_daemons_alarms_begin_and_end_events() {
    let alarm = |id: &str, severity| Alarm { id: id.into(), severity, text: "gone".into(), since: at(7) };
    let evse = |id: &str, reason: &str| EvseStatus { id: id.into(), reason: reason.into(), ..EvseStatus::default() };
    let lost = Status {
        at: at(10),
        uptime_s: 60,
        alarms: vec![
            alarm("meter-grid-lost", AlarmSeverity::Error),
            alarm("charger-left-unreachable", AlarmSeverity::Warning),
        ],
        evses: vec![evse("left", "meter_lost"), evse("right", "no_car")],
        ..Status::default()
    };
    let mut queue = Queue::new(1);
    queue.see(&Status { uptime_s: 3, ..lost.clone() });
    assert_eq!(queue.next_batch(10), None, "at the start nothing has been heard of anybody");
    queue.see(&lost);
    queue.see(&Status { at: at(11), ..lost });
    let begun = told(&queue);
    let seen: Vec<_> =
        begun.iter().map(|event| (event["id"].as_str().unwrap(), event["severity"].as_str().unwrap())).collect();
    assert_eq!(seen, [("meter-grid-lost", "fault"), ("fallback", "fault"), ("charger-left-unreachable", "warning")]);
    assert_eq!((&begun[0]["since"], &begun[1]["text"]), (&json!(at(7)), &json!("1 of 2 EVSEs on fallback: left")));

    queue.see(&Status { at: at(20), uptime_s: 70, ..Status::default() });
    assert!(
        told(&queue).iter().all(|event| event["until"] == json!(at(20)) && event["count"] == 1),
        "{:?}",
        told(&queue)
    );
}

#[test]
fn an_inverter_is_told_of_when_it_has_been_silent_for_longer_than_a_night() {
    let inverter = |id: &str, age_s| InverterStatus { id: id.into(), age_s, ..InverterStatus::default() };
    let seen = |uptime_s, age_s| Status {
        at: at(0),
        uptime_s,
        inverters: vec![inverter("roof", age_s), inverter("shed", Some(3.0))],
        ..Status::default()
    };
    let mut queue = Queue::new(1);
    queue.see(&seen(100_000, Some(50_000.0)));
    queue.see(&seen(50_000, None));
    assert_eq!(queue.next_batch(10), None);
    queue.see(&seen(100_000, Some(90_000.0)));
    assert_eq!(ids(queue.next_batch(10)), ["inverter-roof-offline"]);
    queue.see(&seen(100_010, Some(2.0)));
    assert_eq!(told(&queue)[0]["until"], json!(at(0)));
    let mut queue = Queue::new(1);
    queue.see(&seen(90_000, None));
    assert_eq!(ids(queue.next_batch(10)), ["inverter-roof-offline"], "it was never heard");
}

/// After a restart, as it was kept.
fn restarted(kept: &[u8]) -> Queue {
    let mut queue = Queue::new(2);
    queue.restore(kept).unwrap();
    queue
}

#[test]
fn what_the_cloud_has_not_heard_and_what_lasts_outlives_a_restart() {
    let mut queue = Queue::new(1);
    queue.happened("rollback", Severity::Security, "", at(0));
    queue.happened("heard", Severity::Security, "", at(1));
    queue.begin("meter", Severity::Fault, "gone", at(2));
    let all = queue.next_batch(10).unwrap();
    queue.sent(&Batch { events: all.events[1..].to_vec(), dropped: 0 });
    let mut queue = restarted(&queue.encode());
    assert_eq!(ids(queue.next_batch(10)), ["rollback"]);
    assert_eq!(queue.next_batch(10).unwrap().events[0], all.events[0], "under its key and revision");

    // What lasts is not begun again, and ends under its key.
    queue.begin("meter", Severity::Fault, "gone", at(100));
    queue.end("meter", at(200));
    let over = queue.next_batch(10).unwrap();
    assert_eq!((over.events.len(), &over.events[1].key, over.events[1].count), (2, &all.events[2].key, 1));
    queue.begin("new", Severity::Fault, "", at(300));
    let keys: BTreeSet<String> = queue.next_batch(10).unwrap().events.into_iter().map(|event| event.key).collect();
    assert_eq!(keys.len(), 3, "no key comes twice");
}

#[test]
fn what_was_sent_and_not_kept_is_older_than_all_that_comes_after_a_restart() {
    let mut queue = Queue::new(1);
    queue.begin("meter", Severity::Fault, "gone", at(0));
    let kept = queue.encode();
    for second in 1..30 {
        queue.end("meter", at(second));
        queue.begin("meter", Severity::Fault, "gone", at(second));
    }
    let heard = queue.next_batch(10).unwrap().events.remove(0);
    let mut queue = restarted(&kept);
    queue.end("meter", at(40));
    let over = queue.next_batch(10).unwrap().events.remove(0);
    assert!(over.key == heard.key && over.revision > heard.revision, "{heard:?} {over:?}");
}

#[test]
fn an_alarm_that_is_over_after_a_restart_ends() {
    let alarm = Alarm { id: "meter".into(), severity: AlarmSeverity::Error, text: "gone".into(), since: at(0) };
    let lost = Status { at: at(0), uptime_s: 60, alarms: vec![alarm], ..Status::default() };
    let mut queue = Queue::new(1);
    queue.see(&lost);
    let mut queue = restarted(&queue.encode());
    queue.see(&Status { at: at(90), uptime_s: 60, ..Status::default() });
    let told = told(&queue);
    assert_eq!((told.len(), &told[0]["until"]), (1, &json!(at(90))), "{told:?}");
}

#[test]
fn what_is_urgent_is_to_be_written_at_once_and_the_rest_later() {
    let mut queue = Queue::new(1);
    assert_eq!(queue.unkept(), None);
    queue.begin("charger", Severity::Warning, "", at(0));
    assert_eq!(queue.unkept(), Some(Haste::Later));
    queue.begin("meter", Severity::Fault, "", at(0));
    queue.happened("start", Severity::Info, "", at(0));
    assert_eq!(queue.unkept(), Some(Haste::Now));
    queue.encode();
    assert_eq!(queue.unkept(), None);
    queue.begin("meter", Severity::Fault, "", at(1));
    assert_eq!(queue.unkept(), None, "it lasts on");
    queue.sent(&queue.next_batch(10).unwrap());
    assert_eq!(queue.unkept(), Some(Haste::Later));
}

#[test]
fn the_most_that_is_kept_fits_on_the_disk_and_rubbish_is_nothing() {
    let mut queue = Queue::new(1);
    for index in 0..2 * MOST_EVENTS {
        queue.begin(&format!("event-{index}"), Severity::Fault, &"\u{1}".repeat(MOST_TEXT), at(0));
    }
    let kept = queue.encode();
    assert!(kept.len() < crate::store::MOST_BYTES / 2, "{}", kept.len());
    assert_eq!(ids(restarted(&kept).next_batch(1_000)).len(), MOST_EVENTS);
    for rubbish in [&b""[..], b"{}", b"\0", &kept[..kept.len() - 1]] {
        assert!(queue.restore(rubbish).is_err());
    }
    assert_eq!(ids(queue.next_batch(1_000)).len(), MOST_EVENTS);
}
