//! What does a policy cloud answer? Policy with entity tag and long poll, hints, acks, events, sessions and requests, all in memory.
//!
//! Tests play against the same server, and can make it lose answers, send junk and say less than it can.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};

/// A gateway's acks that are kept; older ones are forgotten.
const MOST_ACKS: usize = 10_000;
/// Events, and sessions, of a gateway: a year of a busy home.
const MOST_RECORDS: usize = 10_000;
/// What a gateway may post at a time.
const MOST_POST: usize = 1 << 20;
/// What an administrator may put: more than a gateway reads, so that this can be tried.
const MOST_POLICY: usize = 16 << 20;
/// Silent streams are cut on the way; a comment keeps them open.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// How it behaves.
#[derive(Clone)]
pub struct Options {
    /// The bearer token of the gateways.
    pub token: String,
    /// The bearer token for `/admin`.
    pub admin_token: String,
    /// `Headroom-Wait`: the longest that a question is held, in seconds; 0: it is not.
    pub hold_s: u64,
    /// `Headroom-Offers`.
    pub offers: String,
}

/// What it remembers of a gateway; it knows those that were given a document.
#[derive(Default)]
pub struct Gateway {
    policy: Option<(String, Bytes)>,
    /// What was prepared for its site.
    prepared: Option<(String, Bytes)>,
    /// What became of that, in the order in which it came.
    pub preparations: Vec<Value>,
    /// What people want now, as it stands in the list.
    requests: Option<(String, Bytes)>,
    /// What came of it, by id: the first word counts.
    pub results: BTreeMap<String, Value>,
    /// The keys document, where policies are signed.
    keys: Option<Bytes>,
    /// In the order in which they came.
    pub acks: Vec<Value>,
    /// By key, the newest revision.
    pub events: BTreeMap<String, Value>,
    /// By key.
    pub sessions: BTreeMap<String, Value>,
    /// How often a session came that was there already.
    pub repeated: usize,
    /// Questions for the policy, each with its query.
    pub questions: Vec<String>,
    /// How many streams of hints are open, or have been.
    pub listeners: usize,
}

/// The server's state; clones are the same server.
#[derive(Clone)]
pub struct PolicyServer {
    options: Options,
    gateways: Arc<Mutex<BTreeMap<String, Gateway>>>,
    /// Counts changes of policies.
    changes: watch::Sender<u64>,
    /// Bytes for the streams of hints.
    hints: broadcast::Sender<Bytes>,
    /// So many answers to posts are still to be lost, after what was posted has been taken.
    lost: Arc<Mutex<usize>>,
}

impl PolicyServer {
    /// With no gateways yet.
    pub fn new(options: Options) -> Self {
        let (changes, hints) = (watch::channel(0).0, broadcast::channel(16).0);
        PolicyServer { options, gateways: Arc::default(), changes, hints, lost: Arc::default() }
    }

    /// Answers until the task is dropped.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let gateways = Router::new()
            .route("/v1/gateways/{gateway}/policy", get(policy))
            .route("/v1/gateways/{gateway}/preconfiguration", get(prepared))
            .route("/v1/gateways/{gateway}/preconfiguration/result", post(preparation))
            .route("/v1/gateways/{gateway}/keys", get(keys))
            .route("/v1/gateways/{gateway}/hints", get(hints))
            .route("/v1/gateways/{gateway}/policy/ack", post(ack))
            .route("/v1/gateways/{gateway}/events", post(events))
            .route("/v1/gateways/{gateway}/sessions", post(sessions))
            .route("/v1/gateways/{gateway}/requests", get(requests))
            .route("/v1/gateways/{gateway}/requests/results", post(results))
            .layer(DefaultBodyLimit::max(MOST_POST))
            .layer(from_fn_with_state(self.options.token.clone(), authorised));
        let admin = Router::new()
            .route("/admin/{gateway}/policy", put(put_policy))
            .route("/admin/{gateway}/preconfiguration", put(put_prepared))
            .route("/admin/{gateway}/keys", put(put_keys))
            .route("/admin/{gateway}/requests", put(put_requests))
            .route("/admin/{gateway}/{what}", get(show))
            .route("/admin/{gateway}/hints", put(put_hints))
            .route("/admin/{gateway}/lost", put(put_lost))
            .layer(DefaultBodyLimit::max(MOST_POLICY))
            .layer(from_fn_with_state(self.options.admin_token.clone(), authorised));
        axum::serve(listener, gateways.merge(admin).with_state(self)).await
    }

    /// What it knows of all gateways, by id.
    pub fn gateways(&self) -> MutexGuard<'_, BTreeMap<String, Gateway>> {
        self.gateways.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A new document for this gateway; whoever waits for one gets it now.
    pub fn put(&self, gateway: &str, document: Bytes) {
        let tag = format!("\"sha256:{}\"", hash(&document));
        let version = serde_json::from_slice(&document).ok().map_or(Value::Null, |body: Value| body["version"].clone());
        self.gateways().entry(gateway.to_owned()).or_default().policy = Some((tag, document));
        self.changes.send_modify(|changes| *changes += 1);
        // Nobody need be listening.
        let _ = self.hints.send(hint(gateway, &version));
    }

    /// What is prepared for the site of this gateway.
    pub fn prepare(&self, gateway: &str, prepared: Bytes) {
        let tag = format!("\"sha256:{}\"", hash(&prepared));
        self.gateways().entry(gateway.to_owned()).or_default().prepared = Some((tag, prepared));
    }

    /// A new list of requests for this gateway.
    pub fn want(&self, gateway: &str, list: Bytes) {
        let tag = format!("\"sha256:{}\"", hash(&list));
        self.gateways().entry(gateway.to_owned()).or_default().requests = Some((tag, list));
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The keys document for this gateway; it asks for it when it needs it.
    pub fn put_keys(&self, gateway: &str, keys: Bytes) {
        self.gateways().entry(gateway.to_owned()).or_default().keys = Some(keys);
    }

    /// Bytes for all who listen to hints.
    pub fn say(&self, bytes: impl Into<Bytes>) {
        let _ = self.hints.send(bytes.into());
    }

    /// The next answers to posts break off, after what was posted has been taken.
    pub fn lose(&self, answers: usize) {
        *self.lost.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = answers;
    }

    fn answer(&self, answer: Value) -> Response {
        let mut lost = self.lost.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *lost > 0 {
            *lost -= 1;
            return Body::from_stream(stream::iter(
                [Err::<Bytes, _>(io::ErrorKind::ConnectionReset)].map(|lost| lost.map_err(io::Error::from)),
            ))
            .into_response();
        }
        axum::Json(answer).into_response()
    }

    fn offered(&self) -> [(&'static str, String); 2] {
        [("headroom-wait", self.options.hold_s.to_string()), ("headroom-offers", self.options.offers.clone())]
    }
}

/// Lower-case hexadecimal SHA-256.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn authorised(State(token): State<String>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|given| given.to_str().ok());
    if given.and_then(|given| given.strip_prefix("Bearer ")) != Some(&token) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    next.run(request).await
}

async fn policy(
    State(server): State<PolicyServer>,
    Path(gateway): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Some(gateway) = server.gateways().get_mut(&gateway) {
        if gateway.questions.len() == MOST_RECORDS {
            gateway.questions.clear();
        }
        gateway.questions.push(uri.query().unwrap_or_default().to_owned());
    }
    newer(&server, &gateway, &uri, &headers, |gateway| gateway.policy.clone()).await
}

async fn prepared(
    State(server): State<PolicyServer>,
    Path(gateway): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    newer(&server, &gateway, &uri, &headers, |gateway| gateway.prepared.clone()).await
}

async fn preparation(
    State(server): State<PolicyServer>,
    Path(gateway): Path<String>,
    axum::Json(told): axum::Json<Value>,
) -> Response {
    {
        let mut gateways = server.gateways();
        let Some(gateway) = gateways.get_mut(&gateway) else { return StatusCode::NOT_FOUND.into_response() };
        if gateway.preparations.len() == MOST_ACKS {
            gateway.preparations.remove(0);
        }
        gateway.preparations.push(told);
    }
    server.answer(json!({}))
}

async fn put_prepared(State(server): State<PolicyServer>, Path(gateway): Path<String>, prepared: Bytes) -> StatusCode {
    server.prepare(&gateway, prepared);
    StatusCode::NO_CONTENT
}

async fn requests(
    State(server): State<PolicyServer>,
    Path(gateway): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let nothing = || ("\"none\"".to_owned(), Bytes::new());
    newer(&server, &gateway, &uri, &headers, |gateway| Some(gateway.requests.clone().unwrap_or_else(nothing))).await
}

/// What the gateway has not got yet, once there is such a thing.
async fn newer(
    server: &PolicyServer,
    gateway: &str,
    uri: &Uri,
    headers: &HeaderMap,
    what: impl Fn(&Gateway) -> Option<(String, Bytes)>,
) -> Response {
    let query = uri.query().unwrap_or_default();
    let wait = query.split('&').find_map(|part| part.strip_prefix("wait=")?.parse().ok()).unwrap_or(0);
    let end = tokio::time::sleep(Duration::from_secs(wait.min(server.options.hold_s)));
    tokio::pin!(end);
    let theirs = headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let mut changes = server.changes.subscribe();
    loop {
        changes.mark_unchanged();
        let newest = server.gateways().get(gateway).and_then(&what);
        let Some((tag, document)) = newest else { return StatusCode::NOT_FOUND.into_response() };
        if theirs != Some(&tag) {
            if document.is_empty() {
                return (StatusCode::NO_CONTENT, server.offered(), [(ETAG, tag)]).into_response();
            }
            let kind = (CONTENT_TYPE, "application/json");
            return (server.offered(), [(ETAG, tag)], [kind], document).into_response();
        }
        tokio::select! {
            () = &mut end => return (StatusCode::NOT_MODIFIED, server.offered(), [(ETAG, tag)]).into_response(),
            _ = changes.changed() => {}
        }
    }
}

async fn keys(State(server): State<PolicyServer>, Path(gateway): Path<String>) -> Response {
    let keys = server.gateways().get(&gateway).and_then(|gateway| gateway.keys.clone());
    keys.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

async fn hints(State(server): State<PolicyServer>, Path(gateway): Path<String>) -> Response {
    let listening = server.hints.subscribe();
    if let Some(gateway) = server.gateways().get_mut(&gateway) {
        gateway.listeners += 1;
    }
    let said = stream::unfold(listening, |mut listening| async move {
        let said = match tokio::time::timeout(COMMENT_EVERY, listening.recv()).await {
            Ok(Ok(said)) => said,
            Ok(Err(broadcast::error::RecvError::Closed)) => return None,
            // Whoever is too slow has missed something: what is to come says that there is something new as well.
            Ok(Err(broadcast::error::RecvError::Lagged(_))) | Err(_) => Bytes::from_static(b":\n\n"),
        };
        Some((said, listening))
    });
    let first = stream::iter([Bytes::from_static(b": hello\n\n")]);
    let body = Body::from_stream(first.chain(said).map(Ok::<_, io::Error>));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn hint(gateway: &str, version: &Value) -> Bytes {
    format!("data: {}\n\n", json!({"gateway_id": gateway, "version": version})).into()
}

async fn ack(
    State(server): State<PolicyServer>,
    Path(gateway): Path<String>,
    axum::Json(ack): axum::Json<Value>,
) -> Response {
    {
        let mut gateways = server.gateways();
        let Some(Gateway { acks, .. }) = gateways.get_mut(&gateway) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        if acks.len() == MOST_ACKS {
            acks.remove(0);
        }
        acks.push(ack);
    }
    server.answer(json!({}))
}

async fn events(
    State(server): State<PolicyServer>,
    Path(gateway): Path<String>,
    axum::Json(batch): axum::Json<Value>,
) -> Response {
    let Some(events) = batch["events"].as_array() else { return StatusCode::BAD_REQUEST.into_response() };
    {
        let mut gateways = server.gateways();
        let Some(Gateway { events: kept, .. }) = gateways.get_mut(&gateway) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        for event in events {
            let Some(key) = event["key"].as_str() else { return StatusCode::BAD_REQUEST.into_response() };
            let is_newer = kept.get(key).is_none_or(|kept| event["revision"].as_u64() > kept["revision"].as_u64());
            if is_newer && (kept.len() < MOST_RECORDS || kept.contains_key(key)) {
                kept.insert(key.to_owned(), event.clone());
            }
        }
    }
    server.answer(json!({}))
}

async fn sessions(
    State(server): State<PolicyServer>,
    Path(gateway): Path<String>,
    axum::Json(batch): axum::Json<Value>,
) -> Response {
    let Some(records) = batch["records"].as_array() else { return StatusCode::BAD_REQUEST.into_response() };
    let mut acked = vec![];
    {
        let mut gateways = server.gateways();
        let Some(gateway) = gateways.get_mut(&gateway) else { return StatusCode::NOT_FOUND.into_response() };
        for record in records {
            let Some(key) = record["key"].as_str() else { return StatusCode::BAD_REQUEST.into_response() };
            if gateway.sessions.contains_key(key) {
                gateway.repeated += 1;
            } else if gateway.sessions.len() < MOST_RECORDS {
                gateway.sessions.insert(key.to_owned(), record["session"].clone());
            } else {
                continue;
            }
            acked.push(key.to_owned());
        }
    }
    server.answer(json!({"acked": acked}))
}

async fn results(
    State(server): State<PolicyServer>,
    Path(gateway): Path<String>,
    axum::Json(batch): axum::Json<Value>,
) -> Response {
    let Some(results) = batch["results"].as_array() else { return StatusCode::BAD_REQUEST.into_response() };
    {
        let mut gateways = server.gateways();
        let Some(gateway) = gateways.get_mut(&gateway) else { return StatusCode::NOT_FOUND.into_response() };
        for result in results {
            let Some(id) = result["id"].as_str() else { return StatusCode::BAD_REQUEST.into_response() };
            if gateway.results.len() < MOST_RECORDS {
                gateway.results.entry(id.to_owned()).or_insert_with(|| result.clone());
            }
        }
    }
    server.answer(json!({}))
}

async fn put_requests(State(server): State<PolicyServer>, Path(gateway): Path<String>, list: Bytes) -> StatusCode {
    server.want(&gateway, list);
    StatusCode::NO_CONTENT
}

async fn put_policy(State(server): State<PolicyServer>, Path(gateway): Path<String>, document: Bytes) -> StatusCode {
    server.put(&gateway, document);
    StatusCode::NO_CONTENT
}

async fn put_keys(State(server): State<PolicyServer>, Path(gateway): Path<String>, keys: Bytes) -> StatusCode {
    server.put_keys(&gateway, keys);
    StatusCode::NO_CONTENT
}

async fn put_hints(State(server): State<PolicyServer>, said: Bytes) -> StatusCode {
    server.say(said);
    StatusCode::NO_CONTENT
}

async fn put_lost(State(server): State<PolicyServer>, axum::Json(answers): axum::Json<usize>) -> StatusCode {
    server.lose(answers);
    StatusCode::NO_CONTENT
}

async fn show(State(server): State<PolicyServer>, Path((gateway, what)): Path<(String, String)>) -> Response {
    let gateways = server.gateways();
    let Some(gateway) = gateways.get(&gateway) else { return StatusCode::NOT_FOUND.into_response() };
    let shown = match &*what {
        "acks" => json!(gateway.acks),
        "events" => json!(gateway.events),
        "sessions" => json!(gateway.sessions),
        "results" => json!(gateway.results),
        "preparations" => json!(gateway.preparations),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    axum::Json(shown).into_response()
}
