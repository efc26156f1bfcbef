//! Transactions, tokens and meter values, as a charger tells them.

use super::*;
use crate::control::observation::{Ended, Plug};
use crate::policy::{Class, EvseRule, Principal, Token, Verdict};
use crate::units::PerPhase;

#[test]
fn a_session_has_its_id_and_token_and_is_saved() {
    let mut bench = Bench::ready();
    let answer = bench.start("04A2");
    let session = bench.reports[0].session.clone().unwrap();
    assert_eq!(answer, json!({"transactionId": session.id, "idTagInfo": {"status": "Accepted"}}));
    assert_eq!(session.token.as_deref(), Some("04A2"));
    assert_eq!((bench.book.open.len(), bench.saves), (1, 1));
    assert_eq!(bench.start("04A2")["transactionId"], answer["transactionId"], "the same start told again");
    assert_eq!(bench.saves, 1);

    bench.meter(session.id, json!([{"value": "3.5", "unit": "kWh"}, {"value": "7", "measurand": "Current.Import"}]));
    assert_eq!(bench.reports[0].session.as_ref().and_then(|s| s.energy_wh), Some(2500));
    assert_eq!(bench.reports[0].measured.map(|m| m.current), Some(PerPhase::all(Amps::whole(7))));

    let stop = json!({"transactionId": session.id, "idTag": "04A2", "meterStop": 9000, "timestamp": OPEN});
    assert_eq!(bench.ask("StopTransaction", stop.clone()), json!({"idTagInfo": {"status": "Accepted"}}));
    assert_eq!((&bench.reports[0].session, bench.book.open.len(), bench.saves), (&None, 0, 2));
    assert_eq!(bench.reports[0].ended, Some(Ended { id: session.id, start_wh: Some(1000), stop_wh: 9000 }));
    bench.ask("StopTransaction", stop);
    assert_eq!(bench.saves, 2);
}

#[test]
fn when_a_session_ends_the_next_car_begins_at_the_fallback() {
    let mut bench = Bench::ready();
    let id = bench.start("A")["transactionId"].clone();
    let sent = bench.order(1, 16_000);
    bench.reply(&sent[0], yes());
    let sent = bench.say("StopTransaction", json!({"transactionId": id, "meterStop": 1, "timestamp": OPEN}));
    assert_eq!((limits(&sent[1]), &sent[1][3]["connectorId"]), (vec![(0, 6.0)], &json!(1)));
    bench.reply(&sent[1], yes());
}

#[test]
fn odd_transactions_are_answered_with_a_result_too() {
    let mut bench = Bench::ready();
    for payload in [json!(null), json!([]), json!({}), json!({"connectorId": 9, "idTag": 5}), json!({"connectorId": 0})]
    {
        let answer = bench.ask("StartTransaction", payload);
        assert!(answer["transactionId"].as_i64().unwrap() > 0);
        assert_eq!(answer["idTagInfo"]["status"], "Invalid");
    }
    for payload in
        [json!(null), json!({"transactionId": -1}), json!({"transactionId": "x"}), json!({"transactionId": 0})]
    {
        bench.ask("StopTransaction", payload.clone());
        assert_eq!(bench.ask("MeterValues", payload), json!({}));
    }
    assert_eq!(bench.book.open.len(), 0);
}

#[test]
fn the_policy_decides_who_may_charge_and_a_refused_session_is_reported() {
    let mut bench = Bench::ready();
    bench.policy.unknown = None;
    bench.policy.evses = vec![EvseRule { open: None, plug_and_charge: None, ceiling: None }; 2];
    let principal =
        Principal { id: "kari".into(), alias: None, class: 0, evses: Some(vec![EvseId(1)]), valid_until: None };
    let over =
        Principal { evses: None, valid_until: Some("2026-01-01T00:00:00Z".parse().unwrap()), ..principal.clone() };
    bench.policy.classes = vec![Class { id: "c".into(), priority: 0, weight: 1, ceiling: None, new_sessions: true }];
    bench.policy.principals = vec![principal, over];
    let lost = Token { status: Verdict::Blocked, ..Token::of(0) };
    for (uid, token) in [("KARI", Token::of(0)), ("OVER", Token::of(1)), ("LOST", lost)] {
        bench.policy.tokens.insert(uid.into(), token);
    }
    let mut authorize = |token: &str| bench.ask("Authorize", json!({"idTag": token}))["idTagInfo"]["status"].clone();
    assert_eq!(["KARI", "OVER", "LOST", "WHO"].map(&mut authorize), ["Accepted", "Expired", "Blocked", "Invalid"]);

    let answer = bench.start("KARI");
    assert_eq!(answer["idTagInfo"]["status"], "Blocked", "it may charge at the other one only");
    assert_eq!(bench.reports[0].session.as_ref().map(|s| s.id), answer["transactionId"].as_i64());
}

#[test]
fn a_restart_takes_open_transactions_up_again() {
    let mut bench = Bench::ready();
    let id = bench.start("04A2")["transactionId"].as_i64().unwrap();
    let saved: Book = serde_json::from_str(&serde_json::to_string(&bench.book).unwrap()).unwrap();
    let mut bench = Bench::with(saved.resume(&["left", "right"], None));
    bench.sent();
    let session = bench.reports[0].session.clone().unwrap();
    assert_eq!((session.id, session.token.as_deref()), (id, Some("04A2")));
    bench.connect();
    bench.ask("StopTransaction", json!({"transactionId": id, "meterStop": 0, "timestamp": OPEN}));
    assert_eq!((&bench.reports[0].session, bench.book.open.len()), (&None, 0));
}

#[test]
fn a_connector_without_a_car_has_no_session() {
    let mut bench = Bench::ready();
    bench.start("A");
    bench.status("Charging");
    assert_eq!(bench.reports[0].plug, Plug::Charging);
    assert!(bench.reports[0].session.is_some());
    bench.status("Available");
    assert_eq!((&bench.reports[0].session, bench.book.open.len()), (&None, 0));
}

#[test]
fn a_foreign_transaction_is_adopted_and_one_that_is_over_is_not() {
    let mut bench = Bench::ready();
    let sampled = json!([{"value": "7", "measurand": "Current.Import"}]);
    bench.meter(77, sampled.clone());
    assert_eq!(bench.reports[0].session, None, "nothing says that it charges");
    bench.status("Charging");
    for id in [0, -1] {
        bench.meter(id, sampled.clone());
    }
    assert_eq!(bench.reports[0].session, None);
    bench.meter(77, sampled.clone());
    assert_eq!(bench.reports[0].session.as_ref().map(|s| s.id), Some(77));
    bench.ask("StopTransaction", json!({"transactionId": 77, "meterStop": 0, "timestamp": OPEN}));
    bench.meter(77, sampled);
    assert_eq!(bench.reports[0].session, None);
}

#[test]
fn meter_values_from_the_queue_are_not_taken_for_now() {
    let mut bench = Bench::ready();
    let of = |at: &str, amps: &str| {
        json!({"connectorId": 1, "meterValue": [{"timestamp": at,
            "sampledValue": [{"value": amps, "measurand": "Current.Import"}]}]})
    };
    bench.wait(70);
    bench.say("MeterValues", of(OPEN, "32"));
    bench.say("MeterValues", of("2019-05-05T00:00:00Z", "32"));
    assert_eq!(bench.reports[0].measured, None);
    bench.say("MeterValues", of("2026-03-01T12:00:30Z", "9"));
    // One that is late keeps its own time: it must not prove a cut that was made after it.
    let measured = bench.reports[0].measured.unwrap();
    let late = TimeDelta::try_seconds(30).unwrap().to_std().unwrap();
    assert_eq!((measured.current, measured.at), (PerPhase::all(Amps::whole(9)), Moment::START + late));
    bench.say("MeterValues", json!({"connectorId": 0, "meterValue": []}));
    bench.say("MeterValues", json!({"connectorId": 9, "meterValue": 7}));
}

#[test]
fn without_a_known_date_ages_mean_nothing() {
    let mut bench = Bench::new();
    bench.wall_offset = -TimeDelta::days(20_000).num_milliseconds();
    bench.connect();
    let queued = json!({"connectorId": 1, "meterValue": [{"timestamp": "1960-01-01T00:00:00Z",
        "sampledValue": [{"value": "9", "measurand": "Current.Import"}]}]});
    bench.say("MeterValues", queued);
    assert!(bench.reports[0].measured.is_some());
}

#[test]
fn where_a_transaction_runs_there_is_a_car() {
    let mut bench = Bench::ready();
    bench.status("Available");
    bench.start("A");
    assert_eq!(bench.reports[0].plug, Plug::Preparing, "the charger tells it later");
    let id = bench.reports[0].session.as_ref().map(|session| session.id);
    bench.ask("StopTransaction", json!({"transactionId": id}));
    assert_eq!(bench.reports[0].plug, Plug::Available);
}
