//! Does the policy that stands survive everything a cloud can do? The edge against a server on a real socket.

#![allow(clippy::unwrap_used, reason = "a test falls over where something is missing")]

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use headroom::clock::Clock;
use headroom::cloud::{Age, Cloud, CloudState, Setup, spawn};
use headroom::config::{ChargerConfig, CloudConfig, Secret};
use headroom::policy::{Origin, Policy, Verdict};
use headroom::site::EvseId;
use headroom_policy::{KEYS_TYPE, POLICY_TYPE, Roots, SigningKey, seal};
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[path = "cloud/held.rs"]
mod held;
#[path = "cloud/hints.rs"]
mod hints;
#[path = "cloud/hostile.rs"]
mod hostile;
#[path = "cloud/kept.rs"]
mod kept;
#[path = "../examples/policy-server/server.rs"]
mod server;
#[path = "cloud/site.rs"]
mod site;
#[path = "cloud/uplink.rs"]
mod uplink;

/// Everything here is decided within a few seconds; a test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_policy_stands_through_everything_that_a_cloud_can_do() {
    let server = Server::start(Act::Serve(document(1))).await;
    let disk = Disk::default();
    let mut cloud = spawn(setup(&server.url, &disk));
    assert_eq!(cloud.policy.borrow().origin, Origin::Local);
    holds(&mut cloud, 1).await;

    // The entity tag goes back with the next question, and "not modified" keeps the policy fresh.
    server.next_answer().await;
    let asked = server.last();
    assert_eq!(asked.path, "/v1/gateways/gw_7Q2M/policy");
    assert_eq!(asked.authorization.as_deref(), Some("Bearer a-token"));
    assert_eq!(asked.if_none_match, Some(tag(&document(1))));
    is_well(&mut cloud).await;

    server.act(Act::Serve(document(2))).await;
    assert_eq!(version(&cloud), Some(2));
    let seen = cloud.policy.borrow().clone();

    let mut dangling = document(3);
    dangling["tokens"][0]["principal"] = json!("nobody");
    for (act, code) in [
        (Act::Bytes(b"{\"schema\": ".to_vec()), "syntax"),
        (Act::Serve(dangling), "dangling"),
        (Act::Serve(document(1)), "rollback"),
        (Act::Endless, "too_large"),
        (Act::Bytes(vec![b' '; 2 << 20]), "too_large"),
    ] {
        server.act(act).await;
        let state = cloud.state.borrow().clone();
        assert!(state.refused.as_ref().is_some_and(|why| why.contains(code)), "{code}: {state:?}");
        assert!(Arc::ptr_eq(&seen, &cloud.policy.borrow()), "{code}");
    }

    server.set(Act::Status(StatusCode::INTERNAL_SERVER_ERROR));
    is_troubled(&mut cloud, "500").await;
    server.set(Act::Stall);
    is_troubled(&mut cloud, "in time").await;
    assert!(Arc::ptr_eq(&seen, &cloud.policy.borrow()));

    server.act(Act::Serve(document(4))).await;
    assert_eq!(version(&cloud), Some(4));
    is_well(&mut cloud).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusing_status_keeps_the_policy() {
    let keeps = |status: u16| async move {
        let server = Server::start(Act::Serve(document(1))).await;
        let mut cloud = spawn(setup(&server.url, &Disk::default()));
        holds(&mut cloud, 1).await;
        server.set(Act::Status(StatusCode::from_u16(status).unwrap()));
        is_troubled(&mut cloud, &status.to_string()).await;
        assert_eq!(version(&cloud), Some(1), "{status}");
    };
    futures_util::future::join_all([401, 403, 404, 410, 429, 503].map(keeps)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kept_policy_holds_at_once_after_a_restart_without_the_cloud() {
    let disk = Disk::default();
    {
        let server = Server::start(Act::Serve(document(7))).await;
        let mut cloud = spawn(setup(&server.url, &disk));
        holds(&mut cloud, 7).await;
        disk.has_something().await;
        cloud.task.abort();
    }
    let gone = spawn(setup("http://127.0.0.1:1", &disk));
    assert_eq!((version(&gone), gone.state.borrow().age), (Some(7), Age::Stale));
    let entitlement = gone.policy.borrow().entitlement(EvseId(0), Some("04:a2"), None);
    assert_eq!((entitlement.verdict, entitlement.priority), (Verdict::Accepted, 6));

    // Nor does an older one come back over the restart.
    let server = Server::start(Act::Serve(document(6))).await;
    let back = spawn(setup(&server.url, &disk));
    server.next_answer().await;
    assert_eq!(version(&back), Some(7));
    assert!(back.state.borrow().refused.as_ref().is_some_and(|why| why.contains("rollback")));
    assert_eq!(disk.writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_over_ends_by_itself_without_any_answer() {
    let mut document = document(1);
    document["expires_at"] = json!(Clock::start().wall() + TimeDelta::seconds(3));
    document["grace_s"] = json!(1);
    let server = Server::start(Act::Serve(document)).await;
    let mut cloud = spawn(setup(&server.url, &Disk::default()));
    holds(&mut cloud, 1).await;
    server.set(Act::Stall);
    let ended = cloud.policy.wait_for(|policy| policy.origin == Origin::Local);
    tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
    assert_eq!(cloud.policy.borrow().main_limit_percent, 80);
    // The policy is out first, the word about it a moment later.
    let told = cloud.state.wait_for(|state| state.age == Age::Default);
    tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_refuses_does_not_keep_the_policy_from_holding() {
    let server = Server::start(Act::Serve(document(1))).await;
    let disk = Disk::default();
    disk.0.lock().unwrap().failures = 2;
    let mut cloud = spawn(setup(&server.url, &disk));
    holds(&mut cloud, 1).await;
    disk.has_something().await;
    assert_eq!(version(&cloud), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_documents_are_taken_only_where_that_is_allowed() {
    let server = Server::start(Act::Serve(document(1))).await;
    let mut setup = setup(&server.url, &Disk::default());
    if let Some(config) = &mut setup.config {
        config.allow_unsigned = false;
    }
    let cloud = spawn(setup);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cloud.policy.borrow().origin, Origin::Local);
    assert_eq!(server.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_asked_for_when_a_signature_is_of_an_unknown_one_and_only_then() {
    let key = |id: &str, seed| SigningKey::from_seed(id, &[seed; 32]).unwrap();
    let (root, policy, thief) = (key("root", 1), key("policy-1", 2), key("policy-1", 3));
    let keys = json!({
        "schema": "headroom.keys/1.0", "epoch": 1, "keys": [{"keyid": "policy-1", "public": policy.public()}],
        "issued_at": "2026-01-01T00:00:00Z", "expires_at": now() + TimeDelta::days(1),
    });
    let keys = seal(KEYS_TYPE, keys.to_string().as_bytes(), &[&root]);
    let signed = |version, key| seal(POLICY_TYPE, document(version).to_string().as_bytes(), &[key]);
    let server = Server::start(Act::Signed(signed(1, &policy), keys.clone())).await;
    let disk = Disk::default();
    let mut setup = setup(&server.url, &disk);
    let roots = Roots::read(&[("root".to_owned(), root.public())].into()).unwrap();
    if let Some(config) = &mut setup.config {
        config.trust = Some(roots);
    }
    let mut cloud = spawn(setup);
    holds(&mut cloud, 1).await;
    server.act(Act::Signed(signed(2, &policy), keys.clone())).await;
    assert_eq!(version(&cloud), Some(2));
    for (act, code) in [(Act::Signed(signed(3, &thief), keys), "bad_signature"), (Act::Serve(document(3)), "not_dsse")]
    {
        server.act(act).await;
        let state = cloud.state.borrow().clone();
        assert!(state.refused.is_some_and(|why| why.contains(code)) && version(&cloud) == Some(2), "{code}");
    }
    let paths: Vec<String> = server.shared.lock().unwrap().1.iter().map(|asked| asked.path.clone()).collect();
    let (asked, once) = ("/v1/gateways/gw_7Q2M/keys", paths.iter().filter(|path| path.ends_with("/keys")).count());
    assert_eq!((paths[1].as_str(), once), (asked, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cloud_the_local_policy_stays() {
    let cloud = spawn(Setup { config: None, ..setup("", &Disk::default()) });
    assert_eq!(cloud.policy.borrow().main_limit_percent, 80);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(cloud.policy.has_changed().is_ok_and(|changed| !changed));
    assert!(!cloud.task.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_no_other_address() {
    let elsewhere = Server::start(Act::Serve(document(1))).await;
    let server = Server::start(Act::Redirect(elsewhere.url.clone())).await;
    let mut cloud = spawn(setup(&server.url, &Disk::default()));
    is_troubled(&mut cloud, "307").await;
    assert_eq!(elsewhere.count(), 0);
}

/// Runs itself again in a process whose trust store is empty.
#[test]
fn plain_http_needs_no_certificates_and_tls_without_them_waits() {
    const MARK: &str = "HEADROOM_TEST_WITHOUT_CERTIFICATES";
    if std::env::var_os(MARK).is_none() {
        let again = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "plain_http_needs_no_certificates_and_tls_without_them_waits", "--nocapture"])
            .envs([(MARK, "1"), ("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")])
            .output()
            .unwrap();
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let server = Server::start(Act::Serve(document(1))).await;
        let mut plain = spawn(setup(&server.url, &Disk::default()));
        holds(&mut plain, 1).await;

        let mut secure = spawn(setup("https://127.0.0.1:1", &Disk::default()));
        is_troubled(&mut secure, "CA certificates").await;
        assert!(!secure.task.is_finished());
    });
}

/// What the server does with the next questions.
#[derive(Clone)]
enum Act {
    /// The document with its entity tag, or "not modified".
    Serve(Value),
    Bytes(Vec<u8>),
    /// Envelopes: the policy, and the keys.
    Signed(Vec<u8>, Vec<u8>),
    /// The policy's envelope with another status, or with an entity tag.
    Answer(StatusCode, Option<&'static str>, Vec<u8>),
    Status(StatusCode),
    Redirect(String),
    /// A body that never stops.
    Endless,
    /// A body that begins and never goes on.
    Stall,
}

#[derive(Clone, Default)]
struct Asked {
    path: String,
    authorization: Option<String>,
    if_none_match: Option<String>,
}

/// What to do next, and what was asked so far.
type Shared = Arc<Mutex<(Act, Vec<Asked>)>>;

struct Server {
    url: String,
    shared: Shared,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(act: Act) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new((act, vec![])));
        let app = axum::Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server { url, shared, task }
    }

    fn set(&self, act: Act) {
        self.shared.lock().unwrap().0 = act;
    }

    /// Changes the answer, and returns when the gateway has taken one of the new ones in.
    async fn act(&self, act: Act) {
        self.set(act);
        self.next_answer().await;
    }

    /// The question after the next one is only asked when the answer to the next one has been taken in.
    async fn next_answer(&self) {
        let wanted = self.count() + 2;
        let answered = async {
            while self.count() < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap();
    }

    fn count(&self) -> usize {
        self.shared.lock().unwrap().1.len()
    }

    fn last(&self) -> Asked {
        self.shared.lock().unwrap().1.last().cloned().unwrap()
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let text = |headers: &HeaderMap, name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let asked = Asked {
        path: request.uri().path().to_owned(),
        authorization: text(request.headers(), AUTHORIZATION),
        if_none_match: text(request.headers(), IF_NONE_MATCH),
    };
    let act = {
        let mut shared = shared.lock().unwrap();
        shared.1.push(asked.clone());
        shared.0.clone()
    };
    let spaces = || Ok::<_, io::Error>(Bytes::from_static(&[b' '; 4096]));
    match act {
        Act::Serve(document) if asked.if_none_match == Some(tag(&document)) => StatusCode::NOT_MODIFIED.into_response(),
        Act::Serve(document) => ([(ETAG, tag(&document))], document.to_string()).into_response(),
        Act::Bytes(bytes) => bytes.into_response(),
        Act::Signed(_, keys) if asked.path.ends_with("/keys") => keys.into_response(),
        Act::Signed(policy, _) => policy.into_response(),
        Act::Answer(_, Some(tag), _) if asked.if_none_match.as_deref() == Some(tag) => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        Act::Answer(status, Some(tag), policy) => (status, [(ETAG, tag)], policy).into_response(),
        Act::Answer(status, None, policy) => (status, policy).into_response(),
        Act::Status(status) => status.into_response(),
        Act::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)]).into_response(),
        Act::Endless => Body::from_stream(stream::repeat_with(spaces)).into_response(),
        Act::Stall => Body::from_stream(stream::iter([spaces()]).chain(stream::pending())).into_response(),
    }
}

fn tag(document: &Value) -> String {
    format!("\"{}-{}\"", document["version"], document.to_string().len())
}

/// What is kept in place of a disk, and how often it still fails.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    bytes: Option<Vec<u8>>,
    writes: usize,
    failures: usize,
}

impl Disk {
    fn save(&self, bytes: &[u8]) -> io::Result<()> {
        let mut kept = self.0.lock().unwrap();
        if kept.failures > 0 {
            kept.failures -= 1;
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        kept.bytes = Some(bytes.to_vec());
        kept.writes += 1;
        Ok(())
    }

    fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    async fn has_something(&self) {
        self.has(1).await;
    }

    /// So many writes have been made.
    async fn has(&self, writes: usize) {
        let written = async {
            while self.writes() < writes {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, written).await.unwrap();
    }
}

fn setup(url: &str, disk: &Disk) -> Setup {
    let config = CloudConfig {
        url: url.into(),
        gateway_id: "gw_7Q2M".into(),
        location_id: "loc_51AF".into(),
        token: Some(Secret("a-token".into())),
        trust: None,
        allow_unsigned: true,
        refresh: Duration::from_millis(100),
        may_reset: false,
    };
    let kept = disk.0.lock().unwrap().bytes.clone();
    let disk = disk.clone();
    Setup {
        config: Some(config),
        site: site::home(),
        chargers: vec![ChargerConfig::Mqtt { topic: "headroom/chargers/left".into() }],
        local: Policy { main_limit_percent: 80, ..Policy::open(1) },
        kept,
        save: Arc::new(move |bytes| disk.save(bytes)),
        kept_events: None,
        save_events: Arc::new(|_| Ok(())),
        status: tokio::sync::watch::channel(Arc::default()).1,
        sessions: None,
        requests: None,
        prepared: None,
        reset: None,
        clock: Clock::start(),
        stop: tokio::sync::watch::channel(false).1,
    }
}

fn document(version: u64) -> Value {
    json!({
        "schema": "headroom.policy/1.0",
        "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
        "epoch": 1, "version": version,
        "issued_at": "2026-01-01T00:00:00Z", "expires_at": now() + TimeDelta::days(1),
        "access": {"default_mode": "authorized_only"},
        "classes": [{"id": "owner", "charging_priority": 6}],
        "principals": [{"id": "kari", "class": "owner", "evse": ["*"]}],
        "tokens": [{"uid": "04A2", "principal": "kari", "status": "Accepted"}],
    })
}

async fn holds(cloud: &mut Cloud, version: u64) {
    let is_it = |policy: &Arc<Policy>| matches!(policy.origin, Origin::Cloud { version: ours, .. } if ours == version);
    tokio::time::timeout(PATIENCE, cloud.policy.wait_for(is_it)).await.unwrap().unwrap();
}

async fn is_well(cloud: &mut Cloud) {
    let is_it = |state: &CloudState| state.age == Age::Fresh && state.refused.is_none() && state.trouble.is_none();
    tokio::time::timeout(PATIENCE, cloud.state.wait_for(is_it)).await.unwrap().unwrap();
}

async fn is_troubled(cloud: &mut Cloud, why: &str) {
    let is_it = |state: &CloudState| state.trouble.as_ref().is_some_and(|trouble| trouble.contains(why));
    tokio::time::timeout(PATIENCE, cloud.state.wait_for(is_it)).await.unwrap().unwrap();
}

fn version(cloud: &Cloud) -> Option<u64> {
    match cloud.policy.borrow().origin {
        Origin::Cloud { version, .. } => Some(version),
        Origin::Local => None,
    }
}

/// One moment for the whole test process, so that a document is the same bytes each time it is served.
fn now() -> DateTime<Utc> {
    static NOW: std::sync::OnceLock<DateTime<Utc>> = std::sync::OnceLock::new();
    *NOW.get_or_init(|| Clock::start().wall())
}
