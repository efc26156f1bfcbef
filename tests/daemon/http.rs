//! Do the page and the command line show what was decided?

use crate::house::{House, LEFT, Stand, amps, evse};
use crate::program::headroom;
use headroom::status::{Status, picture};
use headroom::units::Amps;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outlet_shows_the_steps_own_decision() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    let mut gateway = house.open("").await;
    house.arrive(LEFT, None);
    gateway
        .until("it takes all", |status| {
            amps(status, "left") > Some(Amps::whole(15)) && evse(status, "left").draw_a.most() > Amps::whole(15)
        })
        .await;
    house.load([0, 20, 0]);
    let decided = gateway.until("L2 is full", |status| amps(status, "left") <= Some(Amps::whole(11))).await;
    assert_eq!(get(gateway.http, "/healthz").await, "ok\n");

    let page: Status = serde_json::from_str(&get(gateway.http, "/status.json").await).unwrap();
    let (shown, decided) = (evse(&page, "left"), evse(&decided, "left"));
    assert_eq!(
        (&shown.setpoint_a, &shown.reason, &shown.words),
        (&decided.setpoint_a, &decided.reason, &decided.words)
    );
    let is_it = |status: &Status| {
        let shown = evse(status, "left");
        (shown.setpoint_a, &shown.words) == (decided.setpoint_a, &decided.words)
    };
    assert!(timeout(Duration::from_secs(5), event(gateway.http, is_it)).await.is_ok(), "no event shows it");
    assert!(get(gateway.http, "/metrics").await.contains("headroom_evse_setpoint_amperes{"));

    let url = format!("http://{}", gateway.http);
    let json = headroom(&["status", "--json", "--url", &url]).await;
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""));
    let parsed: Status = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(evse(&parsed, "left").setpoint_a, decided.setpoint_a);
    let drawn = headroom(&["status", "--url", &format!("{url}/")]).await;
    assert_eq!(drawn.code, Some(0), "{}", drawn.stderr);
    assert!(drawn.stdout.starts_with("Test house") && drawn.stdout.contains(&decided.words), "{}", drawn.stdout);
    assert_eq!(drawn.stdout.lines().count(), picture(&parsed, 80, false).lines().count());
    gateway.stop().await;

    let gone = headroom(&["status", "--url", &url]).await;
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("is the daemon running?"), "{}", gone.stderr);
}

/// What this path of the page answers.
pub async fn get(page: SocketAddr, path: &str) -> String {
    let answer = client().get(format!("http://{page}{path}")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.unwrap()
}

/// Listens until an event is so; they are paced, so that the first may be a moment old.
async fn event(page: SocketAddr, is_it: impl Fn(&Status) -> bool) {
    let mut answer = client().get(format!("http://{page}/events")).send().await.unwrap();
    let mut heard = String::new();
    loop {
        heard += std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap();
        while let Some((event, rest)) = heard.split_once("\n\n") {
            let picture = event.strip_prefix("event: status\ndata: ").map(serde_json::from_str::<Status>);
            if picture.is_some_and(|picture| is_it(&picture.unwrap())) {
                return;
            }
            heard = rest.to_owned();
        }
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(5)).build().unwrap()
}
