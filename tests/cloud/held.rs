//! Does a change arrive at once where the cloud holds questions, and is it told what became of it?

use super::server::{Gateway, Options, PolicyServer, hash};
use super::*;

/// Of the cloud's offers all.
pub const ALL: &str = "hints, ack, events, sessions";

/// The test policy server on a socket.
pub struct Policies {
    pub server: PolicyServer,
    pub url: String,
    /// One of its own: with it all its connections end.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Policies {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Policies {
    /// With this document.
    pub fn start(hold_s: u64, offers: &str, document: &Value) -> Policies {
        let options = Options { token: "a-token".into(), admin_token: "admin".into(), hold_s, offers: offers.into() };
        let server = PolicyServer::new(options);
        let this = Policies::open(server, "127.0.0.1:0");
        this.put(document);
        this
    }

    /// A server that knows what it knew before.
    pub fn open(server: PolicyServer, address: &str) -> Policies {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let serving = server.clone();
        runtime.spawn(async move { serving.serve(tokio::net::TcpListener::from_std(listener).unwrap()).await });
        Policies { server, url, runtime: Some(runtime) }
    }

    pub fn put(&self, document: &Value) {
        self.put_bytes(document.to_string().into_bytes());
    }

    fn put_bytes(&self, bytes: Vec<u8>) {
        self.server.put("gw_7Q2M", bytes.into());
    }

    /// Waits until this holds of what the server knows.
    pub async fn until(&self, what: &str, holds: impl Fn(&Gateway) -> bool) {
        let found = async {
            while !self.server.gateways().get("gw_7Q2M").is_some_and(&holds) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, found).await.is_ok(), "not within {PATIENCE:?}: {what}");
    }

    pub fn look<T>(&self, at: impl FnOnce(&Gateway) -> T) -> T {
        at(&self.server.gateways()["gw_7Q2M"])
    }
}

/// Asks once in a minute by itself: what comes sooner was held or hinted.
pub fn slow(url: &str, disk: &Disk) -> Setup {
    let mut setup = setup(url, disk);
    if let Some(config) = &mut setup.config {
        config.refresh = Duration::from_secs(60);
    }
    setup
}

fn has_ack(gateway: &Gateway, version: u64, result: &str) -> bool {
    gateway.acks.iter().any(|ack| ack["version"] == version && ack["result"] == result)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_question_is_answered_by_the_change() {
    let cloud = Policies::start(50, "ack", &document(1));
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    for version in 2..6 {
        cloud.until("a question is held", |gateway| gateway.questions.len() as u64 == version).await;
        cloud.put(&document(version));
        holds(&mut edge, version).await;
    }
    // The first one cannot know that the cloud holds questions.
    let questions = cloud.look(|gateway| gateway.questions.clone());
    assert_eq!((questions[0].as_str(), questions[1].as_str()), ("", "wait=50"));
    cloud.until("all are told of", |gateway| has_ack(gateway, 5, "applied")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_was_held_in_vain_confirms_the_policy_and_is_asked_again_at_once() {
    let cloud = Policies::start(1, "", &document(1));
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    cloud.until("it goes on", |gateway| gateway.questions.len() > 3).await;
    is_well(&mut edge).await;
    assert!(cloud.look(|gateway| gateway.questions[1..].iter().all(|question| question == "wait=1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_does_not_hold_is_asked_at_the_usual_pace_and_told_nothing() {
    let cloud = Policies::start(0, "", &document(1));
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    cloud.put(&document(2));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(version(&edge), Some(1));
    let seen =
        cloud.look(|gateway| (gateway.questions.clone(), gateway.acks.len(), gateway.events.len(), gateway.listeners));
    assert_eq!(seen, (vec![String::new()], 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_says_it_holds_and_does_not_is_asked_at_the_usual_pace() {
    let asked = Arc::new(Mutex::new(0));
    let counter = asked.clone();
    let app = axum::Router::new().fallback(move |headers: HeaderMap| async move {
        *counter.lock().unwrap() += 1;
        let offers = [("headroom-wait", "50")];
        match headers.contains_key(IF_NONE_MATCH) {
            true => (StatusCode::NOT_MODIFIED, offers).into_response(),
            false => (offers, [(ETAG, "\"1\"")], document(1).to_string()).into_response(),
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let mut edge = spawn(slow(&url, &Disk::default()));
    holds(&mut edge, 1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(*asked.lock().unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_changes_asks_ten_questions_in_ten_seconds_at_most() {
    let cloud = Policies::start(50, "", &document(1));
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    for version in 2..100 {
        cloud.put(&document(version));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let questions = cloud.look(|gateway| gateway.questions.len());
    assert!((5..=10).contains(&questions), "{questions}");
    // The newest one gets through all the same.
    holds(&mut edge, 99).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_refusal_is_told_once_with_its_code_and_place() {
    let changed = |version: u64, change: fn(&mut Value)| {
        let mut document = document(version);
        change(&mut document);
        document.to_string().into_bytes()
    };
    let refused = |(code, pointer, bytes): (&'static str, &'static str, Vec<u8>)| async move {
        let cloud = Policies::start(50, "ack", &document(5));
        let mut edge = spawn(slow(&cloud.url, &Disk::default()));
        holds(&mut edge, 5).await;
        cloud.until("a question is held", |gateway| gateway.questions.len() == 2).await;
        let sha256 = if code == "too_large" { Value::Null } else { json!(hash(&bytes)) };
        cloud.put_bytes(bytes);
        cloud.until(code, |gateway| gateway.acks.len() == 2).await;
        let ack = cloud.look(|gateway| gateway.acks[1].clone());
        assert_eq!(
            (&ack["result"], &ack["code"], &ack["sha256"]),
            (&json!("rejected"), &json!(code), &sha256),
            "{ack}"
        );
        assert_eq!((&ack["faults"][0]["pointer"], &ack["applied_at"]), (&json!(pointer), &Value::Null), "{ack}");
        assert_eq!(version(&edge), Some(5));
        if !["expired", "not_yet_valid"].contains(&code) {
            // It need not come again: the next question is about what may come after it.
            cloud.put(&document(7));
            holds(&mut edge, 7).await;
            cloud.until("the correction is told of", |gateway| gateway.acks.len() == 3).await;
        }
    };
    let cases = [
        ("rollback", "/version", changed(4, |_| {})),
        ("equivocation", "/version", changed(5, |document| document["grace_s"] = json!(7))),
        ("other_gateway", "/gateway_id", changed(6, |document| document["gateway_id"] = json!("gw_else"))),
        ("other_location", "/location_id", changed(6, |document| document["location_id"] = json!("loc_else"))),
        ("unsupported_schema", "/schema", changed(6, |document| document["schema"] = json!("headroom.policy/2.0"))),
        ("syntax", "", document(6).to_string().into_bytes()[..200].to_vec()),
        ("expired", "/expires_at", changed(6, |document| document["expires_at"] = json!("2026-01-02T00:00:00Z"))),
        (
            "not_yet_valid",
            "/not_before",
            changed(6, |document| document["not_before"] = json!(now() + TimeDelta::hours(1))),
        ),
        (
            "dangling",
            "/tokens/0/principal",
            changed(6, |document| document["tokens"][0]["principal"] = json!("nobody")),
        ),
        ("missing", "/access", changed(6, |document| document["access"] = Value::Null)),
        ("too_large", "", vec![b' '; 10 << 20]),
    ];
    futures_util::future::join_all(cases.map(refused)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_told_again_with_each_question() {
    let mut over = document(1);
    over["expires_at"] = json!("2026-01-02T00:00:00Z");
    let cloud = Policies::start(0, "ack", &over);
    let _edge = spawn(setup(&cloud.url, &Disk::default()));
    cloud.until("it is asked on and on", |gateway| gateway.questions.len() > 5).await;
    let acks = cloud.look(|gateway| gateway.acks.clone());
    assert_eq!(acks.iter().map(|ack| &ack["code"]).collect::<Vec<_>>(), ["expired"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_that_is_lost_is_sent_again_and_holds_up_no_question() {
    let cloud = Policies::start(50, "ack", &document(1));
    cloud.server.lose(1);
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    cloud.until("it comes again", |gateway| gateway.acks.len() == 2).await;
    assert!(cloud.look(|gateway| gateway.acks[0] == gateway.acks[1]));

    cloud.server.lose(1_000_000);
    for version in 2..6 {
        cloud.put(&document(version));
        holds(&mut edge, version).await;
    }
    cloud.server.lose(0);
    cloud.until("the newest gets through", |gateway| gateway.acks.last().unwrap()["version"] == 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_told_again_after_a_restart() {
    let cloud = Policies::start(50, "ack", &document(3));
    let disk = Disk::default();
    let mut edge = spawn(slow(&cloud.url, &disk));
    holds(&mut edge, 3).await;
    disk.has_something().await;
    cloud.until("it is told", |gateway| gateway.acks.len() == 1).await;
    edge.task.abort();
    let _edge = spawn(slow(&cloud.url, &disk));
    cloud.until("it is told again", |gateway| gateway.acks.len() == 2).await;
    let acks = cloud.look(|gateway| gateway.acks.clone());
    for field in ["epoch", "version", "sha256", "etag", "result"] {
        assert_eq!(acks[0][field], acks[1][field], "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_was_gone_is_found_again() {
    let cloud = Policies::start(50, ALL, &document(1));
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    cloud
        .until("a question is held, hints are heard", |gateway| gateway.questions.len() == 2 && gateway.listeners == 1)
        .await;
    let (server, address) = (cloud.server.clone(), cloud.url.replace("http://", ""));
    drop(cloud);
    is_troubled(&mut edge, "no answer").await;
    assert_eq!(version(&edge), Some(1));

    let cloud = Policies::open(server, &address);
    cloud.put(&document(2));
    holds(&mut edge, 2).await;
    is_well(&mut edge).await;
    cloud.until("it is told of", |gateway| has_ack(gateway, 2, "applied")).await;
    cloud.until("hints are heard again", |gateway| gateway.listeners == 2).await;
    let is_over = |event: &Value| event["id"] == "gateway-offline" && !event["until"].is_null();
    cloud.until("it hears that the gateway was gone", |gateway| gateway.events.values().any(is_over)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_gives_a_document_and_sees_what_came_of_it() {
    let cloud = Policies::start(50, "ack", &document(1));
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    let admin = |place: &str| format!("{}/admin/gw_7Q2M/{place}", cloud.url);
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let put = |token: &str| client.put(admin("policy")).bearer_auth(token).body(document(2).to_string()).send();
    assert_eq!(put("a-token").await.unwrap().status(), StatusCode::UNAUTHORIZED, "a gateway is no administrator");
    assert!(put("admin").await.unwrap().status().is_success());
    holds(&mut edge, 2).await;
    cloud.until("it is told of", |gateway| has_ack(gateway, 2, "applied")).await;
    let acks = client.get(admin("acks")).bearer_auth("admin").send().await.unwrap().bytes().await.unwrap();
    let acks: Value = serde_json::from_slice(&acks).unwrap();
    assert_eq!(
        (&acks[1]["version"], &acks[1]["sha256"]),
        (&json!(2), &json!(hash(document(2).to_string().as_bytes())))
    );
}
