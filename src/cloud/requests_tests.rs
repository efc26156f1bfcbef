//! Is each request carried out once at most, and only while somebody wants it?

use super::*;
use headroom_policy::Place;
use serde_json::{Value, json};

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-11-22T{text}Z").parse().unwrap()
}

fn pair(id: &str, expires_at: &str) -> Request {
    let at_left = Place { evse: Some("left".into()), ocpp: None };
    Request { id: id.into(), kind: RequestKind::Pair { at: at_left }, expires_at: at(expires_at) }
}

fn list(issued_at: &str, requests: Vec<Request>) -> Requests {
    Requests { issued_at: at(issued_at), requests }
}

fn seconds(seconds: u64) -> Moment {
    Moment::START + Duration::from_secs(seconds)
}

/// The verdicts in words.
fn judged(memory: &mut Memory, list: Requests, now: u64, wall: Option<&str>) -> Vec<Value> {
    let verdicts = memory.judge(list, seconds(now), wall.map(at));
    let word = |verdict| match verdict {
        Verdict::New => json!("new"),
        Verdict::Old => json!("old"),
        Verdict::Refused(outcome) => serde_json::to_value(outcome.word).unwrap(),
    };
    verdicts.into_iter().map(|(_, verdict)| word(verdict)).collect()
}

#[test]
fn a_request_is_new_once() {
    let mut memory = Memory::default();
    let twice = || list("10:00:00", vec![pair("a", "10:01:00")]);
    assert_eq!(judged(&mut memory, twice(), 0, Some("10:00:10")), ["new"]);
    for (now, wall) in [(1, "10:00:11"), (300, "10:05:00"), (599, "09:00:00"), (599, "10:00:30")] {
        assert_eq!(judged(&mut memory, twice(), now, Some(wall)), ["old"], "{wall}");
    }
}

#[test]
fn what_nobody_can_want_any_more_is_refused() {
    let mut memory = Memory::default();
    let requests = vec![
        pair("over", "10:00:10"),
        pair("long", "10:05:01"),
        pair("good", "10:05:00"),
        Request { kind: RequestKind::Other("dance".into()), ..pair("odd", "10:01:00") },
    ];
    let words = ["expired", "not_allowed", "new", "unsupported"];
    assert_eq!(judged(&mut memory, list("10:00:00", requests.clone()), 0, Some("10:00:10")), words);
    assert_eq!(judged(&mut memory, list("10:00:00", requests), 1, Some("10:00:11")), ["old"; 4], "each hears it once");
    let later = vec![pair("stamped in time to come", "12:01:00")];
    assert_eq!(judged(&mut memory, list("12:00:00", later), 2, Some("10:00:12")), ["not_allowed"]);
}

#[test]
fn whoever_does_not_know_the_time_does_nothing_then_or_later() {
    let mut memory = Memory::default();
    let requests = || list("10:00:00", vec![pair("a", "10:01:00")]);
    assert_eq!(judged(&mut memory, requests(), 0, None), ["no_clock"]);
    assert_eq!(judged(&mut memory, requests(), 5, Some("10:00:20")), ["old"]);
}

#[test]
fn what_an_earlier_process_took_is_not_done_again_and_told_once() {
    let mut before = Memory::default();
    let requests = || list("10:00:00", vec![pair("a", "10:05:00")]);
    assert_eq!(judged(&mut before, requests(), 0, Some("10:00:10")), ["new"]);
    let mut after = Memory::decode(&before.encode()).unwrap();
    assert_eq!(judged(&mut after, requests(), 0, Some("10:00:12")), ["no_answer"]);
    assert_eq!(judged(&mut after, requests(), 1, Some("10:00:13")), ["old"]);
    assert!(Memory::decode(b"{").is_none());
}

#[test]
fn ids_are_forgotten_only_once_neither_clock_lets_them_be_wanted() {
    let mut memory = Memory::default();
    let requests = || list("10:00:00", vec![pair("a", "10:01:00")]);
    judged(&mut memory, requests(), 0, Some("10:00:00"));
    // The wall clock runs ahead for a minute and is set right again.
    assert_eq!(judged(&mut memory, list("23:00:00", vec![]), 60, Some("23:00:00")), [""; 0]);
    assert_eq!(judged(&mut memory, requests(), 61, Some("10:00:30")), ["old"]);
    assert_eq!(memory.taken.len(), 1);
    judged(&mut memory, list("10:07:00", vec![]), 700, Some("10:07:00"));
    assert_eq!(memory.taken.len(), 0);
}

#[test]
fn ids_are_bounded_and_none_is_forgotten_for_another() {
    let mut memory = Memory::default();
    for index in 0..MOST_TAKEN {
        let requests = list("10:00:00", vec![pair(&index.to_string(), "10:01:00")]);
        assert_eq!(judged(&mut memory, requests, 0, Some("10:00:00")), ["new"]);
    }
    assert_eq!(judged(&mut memory, list("10:00:00", vec![pair("x", "10:01:00")]), 0, Some("10:00:00")), ["busy"]);
    assert_eq!(judged(&mut memory, list("10:00:00", vec![pair("0", "10:01:00")]), 0, Some("10:00:00")), ["old"]);
    let long = "x".repeat(64);
    assert!(memory.encode().len() < MOST_TAKEN * (long.len() + 60));
}

#[test]
fn results_wait_until_they_are_taken_and_the_oldest_make_room() {
    let mut queue = Queue::default();
    assert_eq!(queue.message(), None);
    let card = Outcome { uid: Some("04A2B3C4".into()), ..Outcome::of(Word::Accepted) };
    assert!(!format!("{card:?}").contains("04A2"), "a card's number is for the cloud alone");
    queue.add("a".into(), card);
    queue.add("b".into(), Outcome::of(Word::NotAllowed).because("Expired"));
    let (message, last) = queue.message().unwrap();
    queue.add("c".into(), Outcome::of(Word::NoReader));
    let wanted = json!({"results": [
        {"id": "a", "outcome": "accepted", "uid": "04A2B3C4"},
        {"id": "b", "outcome": "not_allowed", "reason": "Expired"}]});
    assert_eq!(serde_json::from_slice::<Value>(&message).unwrap(), wanted);
    for index in 0..MOST_RESULTS {
        queue.add(index.to_string(), Outcome::of(Word::Busy));
    }
    queue.taken(last);
    assert_eq!(queue.results.len(), MOST_RESULTS, "what came meanwhile waits on");
    let (_, last) = queue.message().unwrap();
    queue.taken(last);
    assert_eq!(queue.message(), None);
}
