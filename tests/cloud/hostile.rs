//! Does each bad input leave the signed policy in force, and is it told by its own word? A hostile server, row by row:
//!
//! | bad input | code | alarm | test |
//! |---|---|---|---|
//! | no envelope | `not_dsse` | | `a_bare_document` |
//! | cut short | `not_dsse` | | `an_envelope_that_is_cut_short` |
//! | bad base64 | `not_dsse` | | `a_payload_that_is_no_base64` |
//! | 10 MB | `too_large` | | `ten_megabytes` |
//! | another `payloadType` | `payload_type` | | `an_envelope_of_something_else` |
//! | unknown key | `unknown_key` | yes | `a_signature_of_an_unknown_key` |
//! | bad signature | `bad_signature` | yes | `a_signature_that_does_not_fit` |
//! | another gateway | `other_gateway` | yes | `a_document_for_another_gateway` |
//! | another location | `other_location` | yes | `a_document_for_another_location` |
//! | unknown major version | `unsupported_schema` | | `a_schema_of_another_major_version` |
//! | malformed | `syntax` | | `a_signed_document_that_is_no_json` |
//! | a fault of meaning | `dangling`, with its pointer | | `a_reference_to_nobody` |
//! | an older version | `rollback` | yes | `an_older_version` |
//! | an older epoch | `rollback` | yes | `an_older_epoch` |
//! | the same version, other content | `equivocation` | yes | `the_same_version_with_other_content` |
//! | the same version, the same content | stands, and is not fresh by it | | `a_replay_does_not_keep_a_policy_fresh` |
//! | over, by a clock that is trusted | `expired` | | `a_document_that_is_over` |
//! | to come, by a clock that is trusted | `not_yet_valid` | | `a_document_that_is_to_come` |
//! | to come, by a clock that is not | taken, stale | | `dates_wait_for_a_clock_that_is_trusted` |
//! | a new epoch without the root key's word | `epoch_unproven` | yes | `a_new_epoch_that_no_root_key_opened` |
//! | a new epoch with it | taken, from version 1 on | | `a_new_epoch_that_a_root_key_opened` |
//! | forged keys | `unknown_key` | yes, and of the keys | `keys_that_no_root_key_signed` |
//! | older keys | `epoch_unproven` | yes, and of the keys | `older_keys_do_not_come_back` |
//! | `410`, bare or forged | stands | for a forged one | `gone_without_a_good_signature_changes_nothing` |
//! | `410` or `200` with a signed tombstone | the local policy, for good | | `a_signed_tombstone_ends_the_policy_until_a_later_document` |
//!
//! An untrusted clock is one before the document was made, so that nothing is over by it. Each refusal is in the log
//! and among the alarms from the first time on, once for each outcome; "warn after three" would be later.

use super::held::Policies;
use super::*;
use headroom_policy::TOMBSTONE_TYPE;

/// Keys with a seed each; `thief` is nobody's.
fn key(id: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(id, &[seed; 32]).unwrap()
}

fn root() -> SigningKey {
    key("root", 1)
}

fn ours() -> SigningKey {
    key("policy-1", 2)
}

fn keys_of(epoch: u64, of: &[&SigningKey], by: &SigningKey) -> Vec<u8> {
    let keys: Vec<Value> = of.iter().map(|key| json!({"keyid": key.id(), "public": key.public()})).collect();
    let document = json!({
        "schema": "headroom.keys/1.0", "epoch": epoch, "keys": keys,
        "issued_at": "2026-01-01T00:00:00Z", "expires_at": now() + TimeDelta::days(1),
    });
    seal(KEYS_TYPE, document.to_string().as_bytes(), &[by])
}

/// Epoch 3.
fn changed(version: u64, change: impl FnOnce(&mut Value)) -> Value {
    let mut document = document(version);
    document["epoch"] = json!(3);
    change(&mut document);
    document
}

fn signed(document: &Value) -> Vec<u8> {
    seal(POLICY_TYPE, document.to_string().as_bytes(), &[&ours()])
}

fn good(version: u64) -> Vec<u8> {
    signed(&changed(version, |_| {}))
}

fn tombstone(version: u64, by: &SigningKey) -> Vec<u8> {
    let document = json!({
        "schema": "headroom.tombstone/1.0", "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
        "epoch": 3, "version": version, "issued_at": "2026-01-01T00:00:00Z",
    });
    seal(TOMBSTONE_TYPE, document.to_string().as_bytes(), &[by])
}

/// Believes the root key.
fn wary(url: &str, disk: &Disk) -> Setup {
    let mut setup = setup(url, disk);
    let roots = Roots::read(&[("root".to_owned(), root().public())].into()).unwrap();
    if let Some(config) = &mut setup.config {
        (config.trust, config.allow_unsigned) = (Some(roots), false);
    }
    setup
}

/// A gateway with version 5 of epoch 3 in force.
struct Stage {
    cloud: Policies,
    edge: Cloud,
    disk: Disk,
    policy: Arc<Policy>,
}

impl Stage {
    async fn start() -> Stage {
        let cloud = Policies::start(50, "ack, events", &json!({}));
        cloud.server.put("gw_7Q2M", good(5).into());
        cloud.server.put_keys("gw_7Q2M", keys_of(3, &[&ours()], &root()).into());
        let disk = Disk::default();
        let mut edge = spawn(wary(&cloud.url, &disk));
        holds(&mut edge, 5).await;
        cloud.until("it is told of", |gateway| gateway.acks.len() == 1).await;
        let policy = edge.policy.borrow().clone();
        Stage { cloud, edge, disk, policy }
    }

    fn put(&self, bytes: Vec<u8>) {
        self.cloud.server.put("gw_7Q2M", bytes.into());
    }

    /// It is refused for this, and nothing has changed.
    async fn refuses(&mut self, bytes: Vec<u8>, code: &str, pointer: &str) {
        let told = self.cloud.look(|gateway| gateway.acks.len());
        self.put(bytes);
        self.cloud.until(code, |gateway| gateway.acks.len() > told).await;
        let ack = self.cloud.look(|gateway| gateway.acks[told].clone());
        assert_eq!((&ack["result"], &ack["code"]), (&json!("rejected"), &json!(code)), "{ack}");
        assert_eq!((&ack["faults"][0]["pointer"], &ack["applied_at"]), (&json!(pointer), &Value::Null), "{ack}");
        assert!(Arc::ptr_eq(&self.policy, &self.edge.policy.borrow()), "the policy in force is another one");
        let is_shown = self.edge.state.wait_for(|state| state.refused.as_ref().is_some_and(|why| why.contains(code)));
        tokio::time::timeout(PATIENCE, is_shown).await.unwrap().unwrap();
        assert_eq!(self.disk.writes(), 1, "nothing of it is kept");
    }

    /// These are all the alarms so far; and the policy may still be replaced.
    async fn alarms(&mut self, expected: &[&str]) {
        self.put(good(7));
        holds(&mut self.edge, 7).await;
        // Of one severity the oldest is told first: behind this one there is none.
        self.put(signed(&changed(8, |document| document["location_id"] = json!("loc_last"))));
        let is_last = |event: &Value| event["text"].as_str().is_some_and(|text| text.contains("loc_last"));
        self.cloud.until("the last one", |gateway| gateway.events.values().any(is_last)).await;
        let events = self.cloud.look(|gateway| gateway.events.clone());
        let alarms = events.values().filter(|event| event["severity"] == "security" && !is_last(event));
        let mut ids: Vec<&str> = alarms.map(|event| event["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, expected);
    }
}

/// Each row that is refused: its bytes, its code, the place, and its alarm.
macro_rules! rows {
    ($($name:ident: $bytes:expr, $code:literal, $pointer:literal, $alarms:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let mut stage = Stage::start().await;
            stage.refuses($bytes, $code, $pointer).await;
            stage.alarms(&$alarms).await;
        }
    )*};
}

rows! {
    a_bare_document: changed(6, |_| {}).to_string().into_bytes(), "not_dsse", "", [];
    an_envelope_that_is_cut_short: { let good = good(6); good[..good.len() - 9].to_vec() }, "not_dsse", "", [];
    a_payload_that_is_no_base64: with(good(6), "/payload", json!("{\"version\": 6}")), "not_dsse", "", [];
    ten_megabytes: vec![b' '; 10 << 20], "too_large", "", [];
    an_envelope_of_something_else: seal("application/json", b"{}", &[&ours()]), "payload_type", "/payloadType", [];
    a_signature_of_an_unknown_key:
        seal(POLICY_TYPE, changed(6, |_| {}).to_string().as_bytes(), &[&key("thief", 3)]),
        "unknown_key", "/signatures/0/keyid", ["policy-unknown_key"];
    a_signature_that_does_not_fit:
        seal(POLICY_TYPE, changed(6, |_| {}).to_string().as_bytes(), &[&key("policy-1", 3)]),
        "bad_signature", "/signatures/0/sig", ["policy-bad_signature"];
    a_document_for_another_gateway:
        signed(&changed(6, |document| document["gateway_id"] = json!("gw_else"))),
        "other_gateway", "/gateway_id", ["policy-other_gateway"];
    a_schema_of_another_major_version:
        signed(&changed(6, |document| document["schema"] = json!("headroom.policy/2.0"))),
        "unsupported_schema", "/schema", [];
    a_signed_document_that_is_no_json: seal(POLICY_TYPE, b"{\"schema\": ", &[&ours()]), "syntax", "", [];
    a_reference_to_nobody:
        signed(&changed(6, |document| document["tokens"][0]["principal"] = json!("nobody"))),
        "dangling", "/tokens/0/principal", [];
    an_older_version: good(4), "rollback", "/version", ["policy-rollback"];
    an_older_epoch:
        signed(&changed(9_999, |document| document["epoch"] = json!(2))),
        "rollback", "/epoch", ["policy-rollback"];
    the_same_version_with_other_content:
        signed(&changed(5, |document| document["grace_s"] = json!(7))),
        "equivocation", "/version", ["policy-equivocation"];
    a_document_that_is_over:
        signed(&changed(6, |document| document["expires_at"] = json!("2026-01-02T00:00:00Z"))),
        "expired", "/expires_at", [];
    a_document_that_is_to_come:
        signed(&changed(6, |document| document["not_before"] = json!(now() + TimeDelta::minutes(6)))),
        "not_yet_valid", "/not_before", [];
    a_new_epoch_that_no_root_key_opened:
        signed(&changed(1, |document| document["epoch"] = json!(4))),
        "epoch_unproven", "/epoch", ["policy-epoch_unproven"];
}

fn with(envelope: Vec<u8>, place: &str, value: Value) -> Vec<u8> {
    let mut envelope: Value = serde_json::from_slice(&envelope).unwrap();
    *envelope.pointer_mut(place).unwrap() = value;
    envelope.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_for_another_location() {
    let mut stage = Stage::start().await;
    let other = signed(&changed(6, |document| document["location_id"] = json!("loc_else")));
    stage.refuses(other, "other_location", "/location_id").await;
    let is_told = |event: &Value| event["id"] == "policy-other_location" && event["severity"] == "security";
    stage.cloud.until("the alarm", |gateway| gateway.events.values().any(is_told)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_does_not_keep_a_policy_fresh() {
    let server = Server::start(Act::Signed(good(5), keys_of(3, &[&ours()], &root()))).await;
    let mut edge = spawn(wary(&server.url, &Disk::default()));
    holds(&mut edge, 5).await;
    // It comes again and again, from whoever has seen it once.
    let stale = edge.state.wait_for(|state| state.age == Age::Stale);
    tokio::time::timeout(PATIENCE, stale).await.unwrap().unwrap();
    let confirmed = edge.state.borrow().confirmed;
    server.next_answer().await;
    let state = edge.state.borrow().clone();
    assert_eq!((state.age, state.confirmed, state.refused, state.trouble), (Age::Stale, confirmed, None, None));
    assert_eq!(version(&edge), Some(5));
    // "Not modified" is an answer to the question that was asked.
    server.act(Act::Answer(StatusCode::OK, Some("\"5\""), good(5))).await;
    is_well(&mut edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_wait_for_a_clock_that_is_trusted() {
    let mut stage = Stage::start().await;
    // Made tomorrow: the clock is behind.
    stage.put(signed(&changed(6, |document| {
        document["issued_at"] = json!(now() + TimeDelta::days(1));
        document["not_before"] = json!(now() + TimeDelta::days(2));
        document["expires_at"] = json!(now() + TimeDelta::days(3));
    })));
    holds(&mut stage.edge, 6).await;
    stage.cloud.until("it is told of", |gateway| gateway.acks.last().unwrap()["version"] == 6).await;
    let state = stage.edge.state.borrow().clone();
    assert_eq!((state.age, state.wall(now()), state.refused), (Age::Stale, None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_that_a_root_key_opened() {
    let mut stage = Stage::start().await;
    let next = key("policy-2", 4);
    stage.cloud.server.put_keys("gw_7Q2M", keys_of(4, &[&next], &root()).into());
    let first = changed(1, |document| document["epoch"] = json!(4)).to_string();
    stage.put(seal(POLICY_TYPE, first.as_bytes(), &[&next]));
    holds(&mut stage.edge, 1).await;
    stage.cloud.until("it is told of", |gateway| gateway.acks.last().unwrap()["epoch"] == 4).await;
    // What the old key signs is nothing any more, whatever its version.
    stage.policy = stage.edge.policy.borrow().clone();
    stage.put(good(9_999));
    stage.cloud.until("it is refused", |gateway| gateway.acks.last().unwrap()["code"] == "unknown_key").await;
    assert!(Arc::ptr_eq(&stage.policy, &stage.edge.policy.borrow()));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_no_root_key_signed() {
    let mut stage = Stage::start().await;
    let thief = key("thief", 3);
    // With a key of the root key's name, too.
    stage.cloud.server.put_keys("gw_7Q2M", keys_of(9, &[&thief], &key("root", 3)).into());
    let forged = seal(POLICY_TYPE, changed(6, |_| {}).to_string().as_bytes(), &[&thief]);
    stage.refuses(forged, "unknown_key", "/signatures/0/keyid").await;
    stage.alarms(&["keys-bad_signature", "policy-unknown_key"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_keys_do_not_come_back() {
    let mut stage = Stage::start().await;
    stage.cloud.server.put_keys("gw_7Q2M", keys_of(2, &[&ours(), &key("thief", 3)], &root()).into());
    let next = signed(&changed(1, |document| document["epoch"] = json!(4)));
    stage.refuses(next, "epoch_unproven", "/epoch").await;
    stage.alarms(&["keys-rollback", "policy-epoch_unproven"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_without_a_good_signature_changes_nothing() {
    let server = Server::start(Act::Signed(good(5), keys_of(3, &[&ours()], &root()))).await;
    let mut edge = spawn(wary(&server.url, &Disk::default()));
    holds(&mut edge, 5).await;
    for body in [vec![], b"{}".to_vec(), good(6), vec![b' '; 10 << 20]] {
        server.set(Act::Answer(StatusCode::GONE, None, body));
        is_troubled(&mut edge, "410").await;
        assert_eq!(version(&edge), Some(5));
        server.act(Act::Signed(good(5), vec![])).await;
    }
    for (forged, code) in [
        (tombstone(6, &key("policy-1", 3)), "bad_signature"),
        (tombstone(6, &key("thief", 3)), "unknown_key"),
        (tombstone(5, &ours()), "equivocation"),
        (tombstone(4, &ours()), "rollback"),
    ] {
        server.set(Act::Answer(StatusCode::GONE, None, forged));
        let is_refused = |state: &CloudState| state.refused.as_ref().is_some_and(|why| why.contains(code));
        let is_told = tokio::time::timeout(PATIENCE, edge.state.wait_for(is_refused)).await.is_ok();
        assert!(is_told, "{code}: {:?}", edge.state.borrow());
        assert_eq!(version(&edge), Some(5), "{code}");
    }
    // Where nothing is signed nobody can say so.
    let server = Server::start(Act::Serve(document(5))).await;
    let mut edge = spawn(setup(&server.url, &Disk::default()));
    holds(&mut edge, 5).await;
    server.set(Act::Answer(StatusCode::GONE, None, tombstone(6, &ours())));
    is_troubled(&mut edge, "410").await;
    assert_eq!(version(&edge), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_tombstone_ends_the_policy_until_a_later_document() {
    for status in [StatusCode::GONE, StatusCode::OK] {
        let keys = keys_of(3, &[&ours()], &root());
        let server = Server::start(Act::Signed(good(5), keys.clone())).await;
        let disk = Disk::default();
        let mut edge = spawn(wary(&server.url, &disk));
        holds(&mut edge, 5).await;
        server.set(Act::Answer(status, None, tombstone(6, &ours())));
        let is_over = |state: &CloudState| state.age == Age::Tombstone && state.trouble.is_none();
        tokio::time::timeout(PATIENCE, edge.state.wait_for(is_over)).await.unwrap().unwrap();
        assert_eq!(edge.policy.borrow().origin, Origin::Local);
        assert_eq!(edge.policy.borrow().main_limit_percent, 80);
        disk.has(2).await;
        edge.task.abort();

        // Over a restart, without the cloud and with the old policy's return.
        let gone = spawn(wary("http://127.0.0.1:1", &disk));
        assert_eq!((gone.state.borrow().age, gone.policy.borrow().origin.clone()), (Age::Tombstone, Origin::Local));
        let mut edge = spawn(wary(&server.url, &disk));
        server.set(Act::Signed(good(5), keys.clone()));
        let is_rollback = |state: &CloudState| state.refused.as_ref().is_some_and(|why| why.contains("rollback"));
        tokio::time::timeout(PATIENCE, edge.state.wait_for(is_rollback)).await.unwrap().unwrap();
        assert_eq!(edge.state.borrow().age, Age::Tombstone);
        // Claimed anew.
        server.set(Act::Signed(good(7), keys));
        holds(&mut edge, 7).await;
    }
}
