//! Does what somebody wants in an app happen at the charger, once, and only if the policy allows it? A daemon between the test
//! policy server and scripted chargers, all on real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test falls over where something is missing"
)]

#[path = "requests/charger.rs"]
mod charger;
#[path = "../examples/policy-server/server.rs"]
#[allow(dead_code, reason = "the other tests and the example use the rest")]
mod server;
#[path = "requests/site.rs"]
mod site;

use base64::Engine;
use charger::Charger;
use headroom::daemon::identity::Identity;
use headroom::store::Folder;
use headroom_policy::open_claim;
use serde_json::{Value, json};
use site::{PATIENCE, Site, start};
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, OnceLock};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

const KARI: &str = "04A2B3C4";
const STRANGER: &str = "04DEADBEEF2222";

#[tokio::test(flavor = "multi_thread")]
async fn a_start_from_afar_is_a_session_of_his_class_and_a_stop_ends_it() {
    let site = Site::new().await;
    let mut gateway = site.open().await;
    let charger = Charger::dial(gateway.ocpp, "HOME-1").await;
    site.want(json!([start("s1", "left", "kari")]));
    let call = charger.told("RemoteStartTransaction").await;
    assert_eq!(call, json!({"connectorId": 1, "idTag": "headroom:kari"}));
    assert_eq!(site.result("s1").await["outcome"], "accepted");
    let begin =
        json!({"connectorId": 1, "idTag": "headroom:kari", "meterStart": 0, "timestamp": "2026-11-22T10:00:00Z"});
    let begun = charger.ask("StartTransaction", begin).await;
    assert_eq!(begun["idTagInfo"]["status"], "Accepted");
    gateway.until("it charges as his class", |status| status.evses[0].class == "owner").await;

    let theirs = |id: &str, principal: &str| json!({"id": id, "kind": "stop", "ocpp_id": "HOME-1", "principal": principal, "expires_at": site::soon()});
    site.want(json!([theirs("s2", "gast"), theirs("s3", "kari")]));
    assert_eq!(site.result("s2").await["outcome"], "not_allowed", "it is somebody else's");
    assert_eq!(charger.told("RemoteStopTransaction").await["transactionId"], begun["transactionId"]);
    assert_eq!(site.result("s3").await["outcome"], "accepted");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_policy_does_not_let_start_from_afar_starts_nothing() {
    let site = Site::new().await;
    let gateway = site.open().await;
    let charger = Charger::dial(gateway.ocpp, "HOME-1").await;
    site.want(json!([
        start("class", "left", "gast"),
        start("nobody", "left", "ola"),
        start("refused", "left", "debtor"),
        start("nowhere", "attic", "kari"),
        start("topics", "garden", "kari"),
        {"id": "reader", "kind": "pair", "evse": "garden", "expires_at": site::soon()},
        {"id": "odd", "kind": "dance", "expires_at": site::soon()},
        {"id": "late", "kind": "stop", "evse": "left", "expires_at": "2026-01-01T00:00:00Z"},
        {"id": "long", "kind": "stop", "evse": "left", "expires_at": site::later(3_600)},
        start("good", "left", "kari"),
    ]));
    charger.told("RemoteStartTransaction").await;
    for (id, outcome, reason) in [
        ("class", "not_allowed", json!("Invalid")),
        ("nobody", "not_allowed", json!("Invalid")),
        ("refused", "not_allowed", json!("NoCredit")),
        ("nowhere", "unknown", Value::Null),
        ("topics", "rejected", json!("the charger does not speak OCPP")),
        ("reader", "no_reader", Value::Null),
        ("odd", "unsupported", Value::Null),
        ("late", "expired", Value::Null),
        ("long", "not_allowed", json!("a request may live for five minutes, not longer")),
        ("good", "accepted", Value::Null),
    ] {
        let result = site.result(id).await;
        assert_eq!((&result["outcome"], &result["reason"]), (&json!(outcome), &reason), "{id}");
    }
    assert_eq!(charger.calls("RemoteStartTransaction"), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_card_in_the_window_is_the_cloud_s_and_nobody_else_s() {
    let lines = lines();
    let site = Site::new().await;
    let gateway = site.open().await;
    let left = Charger::dial(gateway.ocpp, "HOME-1").await;
    let right = Charger::dial(gateway.ocpp, "HOME-2").await;
    let pair = |id: &str, evse: &str| json!({"id": id, "kind": "pair", "evse": evse, "expires_at": site::soon()});
    site.want(json!([pair("p1", "left")]));
    lines.until("offered for pairing evse=0").await;
    site.want(json!([pair("p1", "left"), pair("p2", "right")]));
    assert_eq!(site.result("p2").await["outcome"], "busy", "one window at a time");
    for (charger, card, word) in
        [(&left, KARI, "Accepted"), (&right, "0499887766", "Invalid"), (&left, "04:de:ad:be:ef:22:22", "Invalid")]
    {
        let answer = charger.ask("Authorize", json!({"idTag": card})).await;
        assert_eq!(answer["idTagInfo"]["status"], word, "{card}");
    }
    let result = site.result("p1").await;
    assert_eq!((&result["outcome"], &result["uid"]), (&json!("accepted"), &json!(STRANGER)));
    let said = lines.0.lock().unwrap().to_uppercase();
    assert!(said.contains("…2222") && !said.contains("DEADBEEF") && !said.contains("DE:AD"), "masked in the log");
    let kept = std::fs::read(site.folder.path().join("state/requests.a")).unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains(STRANGER), "and not on the disk");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_in_which_nobody_reads_a_card_closes() {
    let site = Site::new().await;
    let gateway = site.open().await;
    let charger = Charger::dial(gateway.ocpp, "HOME-2").await;
    let pair = |id: &str| json!({"id": id, "kind": "pair", "evse": "right", "expires_at": site::soon()});
    site.want(json!([pair("p1")]));
    charger.ask("Authorize", json!({"idTag": KARI})).await;
    assert_eq!(site.result("p1").await["outcome"], "no_answer");
    site.want(json!([pair("p2")]));
    let read = async {
        while site.has_result("p2").is_none() {
            charger.ask("Authorize", json!({"idTag": "0411223344"})).await;
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the next one opens");
    assert_eq!(site.result("p2").await["uid"], "0411223344");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_twice_though_the_gateway_falls_over_in_between() {
    let site = Site::new().await;
    let gateway = site.open().await;
    let charger = Charger::dial(gateway.ocpp, "HOME-1").await;
    charger.is_deaf_to("RemoteStartTransaction");
    site.want(json!([start("s1", "left", "kari")]));
    charger.told("RemoteStartTransaction").await;
    gateway.kill().await;
    assert_eq!(site.has_result("s1"), None);

    let gateway = site.open().await;
    let charger = Charger::dial(gateway.ocpp, "HOME-1").await;
    let result = site.result("s1").await;
    assert_eq!(result["outcome"], "no_answer", "{result}");
    site.want(json!([start("s1", "left", "kari"), start("s2", "attic", "kari")]));
    site.result("s2").await;
    assert_eq!(charger.calls("RemoteStartTransaction"), 0, "a second start is worse than none");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_lost_on_the_way_is_told_again() {
    let site = Site::new().await;
    let gateway = site.open().await;
    site.server.lose(3);
    site.want(json!([start("s1", "attic", "kari")]));
    assert_eq!(site.result("s1").await["outcome"], "unknown");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_resets_a_gateway_only_where_the_installer_lets_it_and_once() {
    let site = Site::new().await;
    let reset = |id: &str| json!({"id": id, "kind": "reset", "expires_at": site::soon()});
    let gateway = site.open().await;
    site.want(json!([reset("r1")]));
    assert_eq!(site.result("r1").await["outcome"], "not_allowed");
    gateway.stop().await;

    let list = json!([reset("r2")]);
    let mut gateway = site.open_with("may_reset = true").await;
    let charger = Charger::dial(gateway.ocpp, "HOME-1").await;
    gateway.until("the document holds", |status| status.policy.version == Some(1)).await;
    let begin = json!({"connectorId": 1, "idTag": KARI, "meterStart": 0, "timestamp": "2026-11-22T10:00:00Z"});
    charger.ask("StartTransaction", begin).await;
    site.want(list.clone());
    gateway.ended().await;
    let book = |name: &str| site.folder.path().join("state").join(name);
    assert!(std::fs::read(book("transactions.a")).is_ok(), "it was kept until now");
    assert_eq!(site.has_result("r2"), None, "it is not done yet");

    let gateway = site.open_with("may_reset = true").await;
    assert_eq!(site.result("r2").await["outcome"], "accepted");
    site.event("gateway-reset").await;
    let kept = ["a", "b"].map(|slot| std::fs::read(book(&format!("transactions.{slot}"))).unwrap_or_default());
    assert!(!kept.iter().any(|kept| String::from_utf8_lossy(kept).contains(KARI)));
    site.want(json!([list[0], start("s1", "attic", "kari")]));
    site.result("s1").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_types_the_pin_has_the_gateway_and_it_says_so_in_its_own_name() {
    let lines = lines();
    let site = Site::new().await;
    let gateway = site.open().await;
    let identity = Identity::kept(&Folder::look(site.folder.path().join("state")).unwrap()).unwrap().unwrap();
    let claim = |id: &str, pin: &str| json!({"id": id, "kind": "claim", "pin": pin, "expires_at": site::soon()});
    site.want(json!([claim("c1", "guess")]));
    assert_eq!(site.result("c1").await["outcome"], "wrong_pin");
    site.want(json!([claim("c2", &identity.pin)]));
    let result = site.result("c2").await;
    assert_eq!((&result["outcome"], &result["public_key"]), (&json!("accepted"), &json!(identity.public())));
    let key = base64::engine::general_purpose::STANDARD.decode(identity.public()).unwrap().try_into().unwrap();
    let word = open_claim(result["proof"].as_str().unwrap().as_bytes(), &key).unwrap();
    let word: Value = serde_json::from_slice(&word).unwrap();
    assert_eq!(
        (&word["gateway_id"], &word["location_id"], &word["request"]),
        (&json!("gw_1"), &json!("loc_1"), &json!("c2"))
    );
    site.want(json!([claim("c3", &identity.pin)]));
    assert_eq!(site.result("c3").await["outcome"], "not_allowed", "it is claimed once");
    assert!(!lines.0.lock().unwrap().contains(&identity.pin), "it is in no log");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_documents_are_signed_so_are_requests() {
    let site = Site::signed().await;
    let mut gateway = site.open().await;
    gateway.until("the document holds", |status| status.policy.version == Some(1)).await;
    let charger = Charger::dial(gateway.ocpp, "HOME-1").await;
    site.want_bytes(site.list(json!([start("s1", "left", "kari")])));
    lines().until("is no signed envelope").await;
    site.want_bytes(site.forged(json!([start("s2", "left", "kari")])));
    site.event("requests-unknown_key").await;
    assert_eq!(charger.calls("RemoteStartTransaction"), 0);
    site.want(json!([start("s3", "left", "kari")]));
    charger.told("RemoteStartTransaction").await;
    assert_eq!(site.result("s3").await["outcome"], "accepted");
    assert_eq!((site.has_result("s1"), site.has_result("s2")), (None, None));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_holds_from_the_next_start_on_where_the_file_says_nothing_else() {
    let site = Site::new().await;
    let cellar =
        "[[charger]]\nid = 'cellar'\ncircuit = 'main'\nprotocol = 'mqtt'\ntopic = 'chargers/cellar'\nfallback_a = 0\n";
    site.prepare(&format!("[cloud]\nmay_reset = true\n[[circuit]]\nid = 'main'\nfuse_a = 63\n{cellar}"));
    let gateway = site.open().await;
    assert_eq!(site.preparation("kept", 1).await["told"], json!([]));
    gateway.stop().await;

    let mut gateway = site.open().await;
    let told = site.preparation("applied", 1).await["told"].to_string();
    assert!(
        told.contains("fuse_a: the file says 25, prepared is 63") && told.contains("[cloud]: is not taken"),
        "{told}"
    );
    gateway.until("there is one more charger", |status| status.evses.iter().any(|evse| evse.id == "cellar")).await;
    gateway.stop().await;
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_headroom")).arg("check").arg(site.file("")).output();
    let words = String::from_utf8(checked.unwrap().stdout).unwrap();
    assert!(words.contains("preconfiguration: circuit \"main\".fuse_a: the file says 25"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_with_errors_is_not_used_and_a_mended_one_is() {
    let site = Site::new().await;
    site.prepare("[[charger]]\nid = 'cellar'\ncircuit = 'mian'\nprotocol = 'mqtt'\ntopic = 'chargers/cellar'\n");
    let gateway = site.open().await;
    site.preparation("kept", 1).await;
    gateway.stop().await;
    site.prepare(
        "[[charger]]\nid = 'cellar'\ncircuit = 'main'\nprotocol = 'mqtt'\ntopic = 'chargers/cellar'\nfallback_a = 0\n",
    );
    let mut gateway = site.open().await;
    let told = site.preparation("not_applied", 1).await["told"].to_string();
    assert!(told.contains("E011") && told.contains("mian"), "{told}");
    gateway.until("the file stands alone", |status| status.evses.len() == 3).await;
    site.preparation("kept", 2).await;
    gateway.stop().await;
    let mut gateway = site.open().await;
    gateway.until("there is one more charger", |status| status.evses.len() == 4).await;
    gateway.stop().await;
}

/// Every line of the log, with all its fields, at every level.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

fn lines() -> Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    let begin = || {
        let lines = Lines::default();
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines.clone())).unwrap();
        lines
    };
    LINES.get_or_init(begin).clone()
}

impl Lines {
    async fn until(&self, words: &str) {
        let said = async {
            while !self.0.lock().unwrap().contains(words) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, said).await.is_ok(), "never said: {words}");
    }
}

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        _ = write!(self.0.lock().unwrap(), "{field}={value:?} ");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_charged_is_at_the_cloud_once_with_its_holder_and_its_registers_and_over_a_crash() {
    let site = Site::new().await;
    let mut gateway = site.open().await;
    let charger = Charger::dial(gateway.ocpp, "HOME-1").await;
    let charge = async |gateway: &mut site::Gateway, charger: &Charger, from: u64, to: u64| {
        let at = "2026-11-22T10:00:00Z";
        let begin = json!({"connectorId": 1, "idTag": KARI, "meterStart": from, "timestamp": at});
        let id = charger.ask("StartTransaction", begin).await["transactionId"].clone();
        gateway.until("it charges", |status| status.evses[0].class == "owner").await;
        charger.ask("StopTransaction", json!({"transactionId": id, "meterStop": to, "timestamp": at})).await;
        gateway.until("it is over", |status| status.evses[0].class.is_empty()).await;
    };
    charge(&mut gateway, &charger, 1_000, 5_200).await;
    let [session] = &site.has_sessions(1).await[..] else { panic!("{:?}", site.sessions()) };
    for (field, is) in [
        ("person", json!("kari")),
        ("class", json!("owner")),
        ("evse", json!("left")),
        ("token", json!("****B3C4")),
        ("energy_wh", json!(4_200)),
        ("estimated", json!(false)),
        ("meter_start_wh", json!(1_000)),
        ("meter_stop_wh", json!(5_200)),
        ("end", json!("stopped")),
        ("review", json!([])),
    ] {
        assert_eq!(session[field], is, "{field} of {session}");
    }
    assert!(!session.to_string().contains(KARI), "the card's number stays here");

    // Another one, and the process is gone at once: what is on disk goes up later, and nothing twice.
    charge(&mut gateway, &charger, 5_200, 5_900).await;
    gateway.kill().await;
    let gateway = site.open().await;
    let mut energies: Vec<i64> =
        site.has_sessions(2).await.iter().map(|session| session["energy_wh"].as_i64().unwrap()).collect();
    energies.sort_unstable();
    assert_eq!(energies, [700, 4_200]);
    gateway.stop().await;
    assert_eq!(site.sessions().len(), 2);
}
