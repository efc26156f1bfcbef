//! Do events and sessions reach the cloud, once each, whatever is lost on the way?

use super::held::{ALL, Policies, slow};
use super::*;
use headroom::cloud::Outbox;
use headroom::status::{Alarm, Severity, Status};
use std::collections::BTreeMap;

/// An outbox in memory.
#[derive(Default)]
struct Sessions(Mutex<BTreeMap<String, Vec<u8>>>);

impl Outbox for Sessions {
    fn next_batch(&self, most: usize) -> Vec<(String, Vec<u8>)> {
        let waiting = self.0.lock().unwrap();
        waiting.iter().take(most).map(|(key, record)| (key.clone(), record.clone())).collect()
    }

    fn acked(&self, keys: &[String]) {
        self.0.lock().unwrap().retain(|key, _| !keys.contains(key));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_arrive_exactly_once_though_answers_get_lost() {
    let cloud = Policies::start(0, "sessions", &document(1));
    let sessions = Arc::new(Sessions::default());
    let record = |index: usize| json!({"evse": "left", "energy_wh": index});
    for index in 0..120 {
        sessions.0.lock().unwrap().insert(format!("{index:04}"), record(index).to_string().into_bytes());
    }
    cloud.server.lose(1);
    let _edge = spawn(Setup { sessions: Some(sessions.clone()), ..slow(&cloud.url, &Disk::default()) });
    cloud.until("all are there", |gateway| gateway.sessions.len() == 120).await;
    for (index, session) in cloud.look(|gateway| gateway.sessions.clone()).into_values().enumerate() {
        assert_eq!(session, record(index));
    }
    // The batch whose answer was lost came twice, and nothing else.
    assert_eq!(cloud.look(|gateway| gateway.repeated), 50);
    let emptied = async {
        while !sessions.0.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, emptied).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_become_events_that_end_though_answers_get_lost() {
    let cloud = Policies::start(0, "events", &document(1));
    let (status, seen) = tokio::sync::watch::channel(Arc::new(Status::default()));
    let alarm = Alarm { id: "meter-grid-lost".into(), severity: Severity::Error, text: "gone".into(), since: now() };
    let lost = Status { uptime_s: 100, at: now(), alarms: vec![alarm], ..Status::default() };
    cloud.server.lose(1);
    let _edge = spawn(Setup { status: seen, ..slow(&cloud.url, &Disk::default()) });
    status.send_replace(Arc::new(lost.clone()));
    let event = |gateway: &super::server::Gateway| {
        gateway.events.values().find(|event| event["id"] == "meter-grid-lost").cloned()
    };
    cloud.until("the alarm is told", |gateway| event(gateway).is_some_and(|event| event["until"].is_null())).await;
    status.send_replace(Arc::new(Status { alarms: vec![], ..lost }));
    cloud.until("its end is told", |gateway| event(gateway).is_some_and(|event| !event["until"].is_null())).await;
    let events = cloud.look(|gateway| gateway.events.clone());
    let ids: Vec<_> =
        events.values().map(|event| (event["id"].as_str().unwrap(), event["severity"].as_str().unwrap())).collect();
    assert_eq!(ids, [("gateway-started", "info"), ("meter-grid-lost", "fault")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_document_is_an_event_of_security() {
    let cloud = Policies::start(50, ALL, &document(5));
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 5).await;
    cloud.put(&document(4));
    let is_told = |event: &Value| event["id"] == "policy-rollback" && event["severity"] == "security";
    cloud.until("it is told", |gateway| gateway.events.values().any(is_told)).await;
}
