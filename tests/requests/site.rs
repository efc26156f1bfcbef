//! Which house do requests go to? Two chargers over OCPP and one by topics, a cloud that holds questions, a gateway that may
//! fall over.

use super::server::{Options, PolicyServer};
use headroom::clock::Clock;
use headroom::config::{CheckOptions, load_over, state_dir};
use headroom::daemon::{Daemon, PREPARED};
use headroom::device::Library;
use headroom::notify::Notifier;
use headroom::status::Status;
use headroom::store::Folder;
use headroom_policy::{KEYS_TYPE, POLICY_TYPE, REQUESTS_TYPE, SigningKey, seal};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// A pairing window stands open for half of it.
pub const PATIENCE: Duration = Duration::from_secs(60);

const GATEWAY: &str = "gw_1";

pub struct Site {
    pub server: PolicyServer,
    pub folder: TempDir,
    url: String,
    keys: Option<[SigningKey; 3]>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn later(seconds: i64) -> String {
    (Clock::start().wall() + chrono::TimeDelta::seconds(seconds)).to_rfc3339()
}

/// When a request ends that is carried out now.
pub fn soon() -> String {
    later(120)
}

pub fn start(id: &str, evse: &str, principal: &str) -> Value {
    // The same text each time: a test asks for the same request twice.
    static END: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let end = END.get_or_init(|| later(200));
    json!({"id": id, "kind": "start", "evse": evse, "principal": principal, "expires_at": end})
}

impl Site {
    pub async fn new() -> Site {
        Site::with(None).await
    }

    /// Takes only what its keys have signed.
    pub async fn signed() -> Site {
        let key = |id: &str, seed| SigningKey::from_seed(id, &[seed; 32]).unwrap();
        Site::with(Some([key("root", 1), key("policy", 2), key("thief", 3)])).await
    }

    async fn with(keys: Option<[SigningKey; 3]>) -> Site {
        super::lines();
        let offers = "hints, ack, events, sessions, requests, preconfiguration".into();
        let options = Options { token: "a-token".into(), admin_token: "admin".into(), hold_s: 50, offers };
        let server = PolicyServer::new(options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(server.clone().serve(listener));
        let site = Site { server, folder: TempDir::new().unwrap(), url, keys, task };
        let document = document().to_string().into_bytes();
        match &site.keys {
            None => site.server.put(GATEWAY, document.into()),
            Some([root, policy, _]) => {
                let keys = json!({"schema": "headroom.keys/1.0", "epoch": 1, "issued_at": "2026-01-01T00:00:00Z",
                    "expires_at": later(86_400), "keys": [{"keyid": "policy", "public": policy.public()}]});
                site.server.put_keys(GATEWAY, seal(KEYS_TYPE, keys.to_string().as_bytes(), &[root]).into());
                site.server.put(GATEWAY, seal(POLICY_TYPE, &document, &[policy]).into());
                std::fs::write(
                    site.folder.path().join("trust.toml"),
                    format!("[root]\nroot = \"{}\"\n", root.public()),
                )
                .unwrap();
            }
        }
        site
    }

    /// A list, not signed.
    pub fn list(&self, requests: Value) -> Vec<u8> {
        let list = json!({"schema": "headroom.requests/1.0", "gateway_id": GATEWAY, "location_id": "loc_1",
            "issued_at": later(0), "requests": requests});
        list.to_string().into_bytes()
    }

    /// Signed by somebody else.
    pub fn forged(&self, requests: Value) -> Vec<u8> {
        seal(REQUESTS_TYPE, &self.list(requests), &[&self.keys.as_ref().unwrap()[2]])
    }

    /// People want these from now on.
    pub fn want(&self, requests: Value) {
        let list = self.list(requests);
        self.want_bytes(match &self.keys {
            None => list,
            Some([_, policy, _]) => seal(REQUESTS_TYPE, &list, &[policy]),
        });
    }

    pub fn want_bytes(&self, list: Vec<u8>) {
        self.server.want(GATEWAY, list.into());
    }

    pub fn has_result(&self, id: &str) -> Option<Value> {
        self.server.gateways().get(GATEWAY).and_then(|gateway| gateway.results.get(id).cloned())
    }

    /// Waits for what came of a request.
    pub async fn result(&self, id: &str) -> Value {
        self.find(&format!("a result of {id}"), || self.has_result(id)).await
    }

    /// Prepared off the site.
    pub fn prepare(&self, toml: &str) {
        let prepared = json!({"schema": "headroom.preconfiguration/1.0", "gateway_id": GATEWAY, "location_id": "loc_1",
            "issued_at": later(0), "toml": toml});
        self.server.prepare(GATEWAY, prepared.to_string().into());
    }

    /// Waits for such a word on what was prepared, the so manieth.
    pub async fn preparation(&self, result: &str, count: usize) -> Value {
        let find = || {
            let gateways = self.server.gateways();
            let gateway = gateways.get(GATEWAY)?;
            gateway.preparations.iter().filter(|told| told["result"] == result).nth(count - 1).cloned()
        };
        self.find(result, find).await
    }

    /// The sessions that the cloud has.
    pub fn sessions(&self) -> Vec<Value> {
        self.server
            .gateways()
            .get(GATEWAY)
            .map(|gateway| gateway.sessions.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Waits for so many of them.
    pub async fn has_sessions(&self, count: usize) -> Vec<Value> {
        self.find("sessions", || Some(self.sessions()).filter(|sessions| sessions.len() >= count)).await
    }

    /// Waits for an event of security.
    pub async fn event(&self, id: &str) -> Value {
        let find = || {
            let gateways = self.server.gateways();
            let is_it = |event: &&Value| event["id"] == id && event["severity"] == "security";
            gateways.get(GATEWAY).and_then(|gateway| gateway.events.values().find(is_it).cloned())
        };
        self.find(id, find).await
    }

    async fn find<T>(&self, what: &str, find: impl Fn() -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = find() {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("never came: {what}"))
    }

    pub async fn open(&self) -> Gateway {
        self.open_with("").await
    }

    /// With more keys in `[cloud]`.
    pub async fn open_with(&self, more: &str) -> Gateway {
        Gateway::start(&self.file(more)).await
    }

    /// The installer's file.
    pub fn file(&self, more: &str) -> std::path::PathBuf {
        let trust = match &self.keys {
            None => "allow_unsigned = true".to_owned(),
            Some(_) => format!("trust_file = \"{}/trust.toml\"", self.folder.path().display()),
        };
        let path = self.folder.path().join("headroom.toml");
        let text = format!(
            r#"
            site = {{ id = "home", wiring = "star", house_worst_a = 5, state_dir = "{folder}" }}
            circuit = [{{ id = "main", fuse_a = 25 }}]
            meter = [{{ id = "grid", circuit = "main", device = "eastron-sdm630", address = "127.0.0.1:1" }}]
            ocpp = {{ listen = "127.0.0.1:0", allow_unauthenticated = true }}
            mqtt = {{ host = "127.0.0.1", port = 1 }}
            recorder = {{ enabled = false }}
            charger = [
                {{ id = "left", circuit = "main", protocol = "ocpp", identity = "HOME-1" }},
                {{ id = "right", circuit = "main", protocol = "ocpp", identity = "HOME-2" }},
                {{ id = "garden", circuit = "main", protocol = "mqtt", topic = "chargers/garden" }},
            ]
            [cloud]
            url = "{url}"
            gateway_id = "{GATEWAY}"
            location_id = "loc_1"
            token = "a-token"
            {trust}
            {more}
            "#,
            folder = self.folder.path().join("state").display(),
            url = self.url,
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn document() -> Value {
    json!({
        "schema": "headroom.policy/1.0", "gateway_id": GATEWAY, "location_id": "loc_1", "epoch": 1, "version": 1,
        "issued_at": "2026-01-01T00:00:00Z", "expires_at": later(86_400),
        "access": {"default_mode": "authorized_only", "remote_start": ["owner"]},
        "classes": [{"id": "owner", "charging_priority": 6}, {"id": "guest", "charging_priority": -3}],
        "principals": [
            {"id": "kari", "class": "owner", "evse": ["*"]},
            {"id": "gast", "class": "guest", "evse": ["*"]},
            {"id": "debtor", "class": "owner", "evse": ["*"]},
        ],
        "tokens": [
            {"uid": super::KARI, "principal": "kari", "status": "Accepted"},
            {"uid": "04B3", "principal": "debtor", "status": "NoCredit"},
        ],
    })
}

/// A daemon that runs in this process.
pub struct Gateway {
    pub ocpp: SocketAddr,
    status: watch::Receiver<Arc<Status>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), String>>,
}

impl Gateway {
    async fn start(configuration: &Path) -> Gateway {
        let library = Library::load(None).unwrap();
        let folder = Folder::look(state_dir(configuration));
        let prepared = folder.ok().and_then(|folder| folder.read(PREPARED).unwrap());
        let prepared = prepared.map(|bytes| String::from_utf8(bytes).unwrap());
        let loaded = load_over(configuration, &library, CheckOptions::default(), prepared.as_deref());
        let config = loaded.config.clone().unwrap_or_else(|| panic!("{}", loaded.render(false)));
        let daemon = Daemon::start(config, Clock::start()).await.unwrap();
        let (ocpp, status) = (daemon.ocpp.unwrap(), daemon.status());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(daemon.run(Notifier::from_environment(), async {
            let _ = stopped.await;
        }));
        Gateway { ocpp, status, stop, task }
    }

    pub async fn until(&mut self, what: &str, is_it: impl Fn(&Status) -> bool) {
        let found = tokio::time::timeout(PATIENCE, self.status.wait_for(|status| is_it(status))).await;
        assert!(found.is_ok(), "it never came true: {what}");
    }

    /// Stops in order.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Waits until it has stopped by itself.
    pub async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends").unwrap().unwrap();
    }

    /// Ends without a word, as a crash does.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}
