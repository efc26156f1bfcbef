//! Does a change arrive at once where the cloud holds questions, and is it told what became of it?

use super::server::{Gateway, Options, PolicyServer, hash};
use super::*;

/// Of the cloud's offers all.
pub const ALL: &str = "hints, ack, events, sessions";

/// The test policy server on a socket.
pub struct Policies {
    pub server: PolicyServer,
    pub url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Policies {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Policies {
    /// With this document.
    pub async fn start(hold_s: u64, offers: &str, document: &Value) -> Policies {
        let options = Options { token: "a-token".into(), admin_token: "admin".into(), hold_s, offers: offers.into() };
        let server = PolicyServer::new(options);
        let this = Policies::open(server, "127.0.0.1:0").await;
        this.put(document);
        this
    }

    /// A server that knows what it knew before.
    pub async fn open(server: PolicyServer, address: &str) -> Policies {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = server.clone();
        let task = tokio::spawn(async move { serving.serve(listener).await.unwrap() });
        Policies { server, url, task }
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
    let cloud = Policies::start(50, "ack", &document(1)).await;
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
    let cloud = Policies::start(1, "", &document(1)).await;
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    cloud.until("it goes on", |gateway| gateway.questions.len() > 3).await;
    is_well(&mut edge).await;
    assert!(cloud.look(|gateway| gateway.questions[1..].iter().all(|question| question == "wait=1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_does_not_hold_is_asked_at_the_usual_pace_and_told_nothing() {
    let cloud = Policies::start(0, "", &document(1)).await;
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
    let cloud = Policies::start(50, "", &document(1)).await;
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
    let cloud = Policies::start(50, "ack", &document(5)).await;
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 5).await;
    let changed = |version: u64, change: fn(&mut Value)| {
        let mut document = document(version);
        change(&mut document);
        document.to_string().into_bytes()
    };
    let truncated = document(6).to_string().into_bytes()[..200].to_vec();
    let cases: [(&str, &str, Vec<u8>); 8] = [
        ("rollback", "/version", changed(4, |_| {})),
        ("equivocation", "/version", changed(5, |document| document["grace_s"] = json!(7))),
        ("other_gateway", "/gateway_id", changed(6, |document| document["gateway_id"] = json!("gw_else"))),
        ("syntax", "", truncated),
        ("expired", "/expires_at", changed(6, |document| document["expires_at"] = json!("2026-01-02T00:00:00Z"))),
        (
            "dangling",
            "/tokens/0/principal",
            changed(6, |document| document["tokens"][0]["principal"] = json!("nobody")),
        ),
        ("missing", "/access", changed(6, |document| document["access"] = Value::Null)),
        ("too_large", "", vec![b' '; 10 << 20]),
    ];
    for (code, pointer, bytes) in cases {
        let before = cloud.look(|gateway| gateway.acks.len());
        let sha256 = if code == "too_large" { Value::Null } else { json!(hash(&bytes)) };
        // A document that only has to wait is asked for at the usual pace; another gateway would be told at once.
        cloud.put_bytes(bytes);
        cloud.until(code, |gateway| gateway.acks.len() > before).await;
        let ack = cloud.look(|gateway| gateway.acks[before].clone());
        assert_eq!(
            (&ack["result"], &ack["code"], &ack["sha256"]),
            (&json!("rejected"), &json!(code), &sha256),
            "{ack}"
        );
        assert_eq!(ack["faults"][0]["pointer"], pointer, "{ack}");
        assert!(ack["applied_at"].is_null());
        assert_eq!(version(&edge), Some(5));
        if code == "expired" {
            // Its clock may be wrong: it is asked for anew, at the usual pace. A restart asks at once.
            edge.task.abort();
            edge = spawn(slow(&cloud.url, &Disk::default()));
            break;
        }
    }
}
