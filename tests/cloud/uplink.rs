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

/// What lasts at the gateway, and where its events are kept.
struct Stage {
    status: tokio::sync::watch::Sender<Arc<Status>>,
    stop: tokio::sync::watch::Sender<bool>,
    edge: Cloud,
}

fn with_events(url: &str, disk: &Disk) -> Stage {
    let (status, seen) = tokio::sync::watch::channel(Arc::new(Status::default()));
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let (kept_events, disk) = (disk.0.lock().unwrap().bytes.clone(), disk.clone());
    let save_events = Arc::new(move |bytes: &[u8]| disk.save(bytes));
    let setup = Setup { status: seen, stop: stopping, kept_events, save_events, ..slow(url, &Disk::default()) };
    Stage { status, stop, edge: spawn(setup) }
}

fn alarm(id: &str, severity: Severity) -> Arc<Status> {
    let alarm = Alarm { id: id.into(), severity, text: "gone".into(), since: now() };
    Arc::new(Status { uptime_s: 100, at: now(), alarms: vec![alarm], ..Status::default() })
}

fn events(gateway: &super::server::Gateway, id: &str) -> Vec<Value> {
    gateway.events.values().filter(|event| event["id"] == id).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cloud_did_not_hear_is_told_after_a_restart_once_and_ends_there() {
    let (deaf, disk) = (Policies::start(0, "", &document(1)), Disk::default());
    let stage = with_events(&deaf.url, &disk);
    stage.status.send_replace(alarm("meter-grid-lost", Severity::Error));
    // A fault is written at once: the process may be killed.
    disk.has(1).await;
    stage.edge.task.abort();
    let _ = stage.edge.task.await;

    let cloud = Policies::start(0, "events", &document(1));
    let stage = with_events(&cloud.url, &disk);
    cloud.until("it is told", |gateway| !events(gateway, "meter-grid-lost").is_empty()).await;
    stage.status.send_replace(Arc::new(Status { uptime_s: 100, at: now(), ..Status::default() }));
    let is_over = |event: &Value| !event["until"].is_null();
    cloud.until("it is over", |gateway| events(gateway, "meter-grid-lost").iter().any(is_over)).await;
    assert_eq!(cloud.look(|gateway| events(gateway, "meter-grid-lost").len()), 1, "the same event, not another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_keeps_what_was_not_heard() {
    let (deaf, disk) = (Policies::start(0, "", &document(1)), Disk::default());
    let mut stage = with_events(&deaf.url, &disk);
    holds(&mut stage.edge, 1).await;
    stage.status.send_replace(alarm("charger-left-unreachable", Severity::Warning));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(disk.writes(), 0, "a warning waits for its minute");
    stage.stop.send_replace(true);
    tokio::time::timeout(PATIENCE, stage.edge.task).await.unwrap().unwrap();
    assert_eq!(disk.writes(), 1);

    let cloud = Policies::start(0, "events", &document(1));
    let stage = with_events(&cloud.url, &disk);
    cloud.until("it is told", |gateway| !events(gateway, "charger-left-unreachable").is_empty()).await;
    let started = cloud.look(|gateway| events(gateway, "gateway-started"));
    assert_eq!((started.len(), &started[0]["count"]), (1, &json!(2)), "two starts within ten minutes are one event");
    // Nothing of it has to come again after the next stop.
    stage.status.send_replace(Arc::new(Status { uptime_s: 100, at: now(), ..Status::default() }));
    let is_over = |event: &Value| !event["until"].is_null();
    cloud.until("it is over", |gateway| events(gateway, "charger-left-unreachable").iter().any(is_over)).await;
    stage.stop.send_replace(true);
    tokio::time::timeout(PATIENCE, stage.edge.task).await.unwrap().unwrap();
    let kept: Value = serde_json::from_slice(disk.0.lock().unwrap().bytes.as_deref().unwrap()).unwrap();
    assert!(
        kept["entries"].as_array().unwrap().iter().all(|entry| entry["event"]["id"] != "gateway-started"),
        "{kept}"
    );
}
