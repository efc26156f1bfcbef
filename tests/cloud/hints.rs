//! Does a hint bring the next question forward, and nothing else?

use super::held::{Policies, slow};
use super::*;

/// A cloud that holds nothing but hints, listened to by an edge that asks once in a minute by itself.
async fn listening() -> (Policies, Cloud) {
    let cloud = Policies::start(0, "hints", &document(1));
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    cloud.until("hints are heard", |gateway| gateway.listeners == 1).await;
    (cloud, edge)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_brings_the_change() {
    let (cloud, mut edge) = listening().await;
    for version in 2..4 {
        cloud.put(&document(version));
        holds(&mut edge, version).await;
    }
    assert_eq!(cloud.look(|gateway| gateway.questions.len()), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_is_no_hint_and_does_not_end_the_listening() {
    let (cloud, mut edge) = listening().await;
    for junk in [
        "data: {\"gateway_id\": \"gw_else\", \"version\": 2}\n\n".to_owned(),
        "data: {\"version\": 2}\n\n\n\ndata\n\n: {}\n\n".to_owned(),
        "data: ".to_owned() + &"[".repeat(300_000) + "\n\n",
        "data: {}\n".repeat(50_000) + "\n",
        "\u{0}\u{feff}\r\r\n\n".to_owned(),
    ] {
        cloud.server.say(junk);
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(cloud.look(|gateway| gateway.questions.len()), 1);
    cloud.put(&document(2));
    holds(&mut edge, 2).await;
    assert_eq!(cloud.look(|gateway| gateway.listeners), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_hints_asks_once_a_second_at_most() {
    let (cloud, _edge) = listening().await;
    let clock = Clock::start();
    for _ in 0..100 {
        cloud.server.say("data: {\"gateway_id\": \"gw_7Q2M\", \"version\": 99}\n\n");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let questions = cloud.look(|gateway| gateway.questions.len());
    let most = 2 + clock.now().since(headroom::time::Moment::START).as_secs() as usize;
    assert!((2..=most).contains(&questions), "{questions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_are_listened_to_where_they_are_offered_only() {
    let cloud = Policies::start(0, "ack", &document(1));
    let mut edge = spawn(slow(&cloud.url, &Disk::default()));
    holds(&mut edge, 1).await;
    cloud.until("it is told of", |gateway| gateway.acks.len() == 1).await;
    assert_eq!(cloud.look(|gateway| gateway.listeners), 0);
}
