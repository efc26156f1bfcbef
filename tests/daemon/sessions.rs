//! Are sessions remembered, over restarts, and told to people?

use crate::house::{Gateway, House, LEFT, Stand};
use headroom::sessions::{End, FOLDER, Files, Record, read_all};
use headroom::sim::Action;
use headroom::status::Status;
use headroom::units::Amps;
use tokio::process::Command;

/// Kari before others; guests may come.
const KARI: &str = "[policy]\ntoken = [{ uid = \"04A2B3C4\", alias = \"Kari\", priority = 6 }]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_one_session_over_a_restart_and_stands_in_the_table() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    let mut gateway = house.open(KARI).await;
    gateway.until("it is there", |status| status.evses.iter().any(|evse| evse.online)).await;
    house.arrive(LEFT, Some("04A2B3C4"));
    charges(&mut gateway).await;
    gateway.stop().await;
    let begun = kept(&house);
    assert_eq!((begun.len(), begun[0].end, begun[0].alias.as_deref()), (1, None, Some("Kari")));
    assert_eq!(begun[0].token.as_deref(), Some("****B3C4"));

    let mut gateway = house.open(KARI).await;
    charges(&mut gateway).await;
    house.act(Action::Leave(LEFT));
    gateway.until("it has gone", |status| status.evses.iter().all(|evse| evse.session_s.is_none())).await;
    gateway.stop().await;
    let over = kept(&house);
    assert_eq!((over.len(), over[0].id, over[0].end), (1, begun[0].id, Some(End::Stopped)), "{over:?}");
    assert!(over[0].energy_wh >= begun[0].energy_wh && over[0].started_at == begun[0].started_at);

    let folder = house.folder.path().display().to_string();
    let told = Command::new(env!("CARGO_BIN_EXE_headroom"))
        .args(["sessions", "--csv", "--person", "Kari", "--state-dir", folder.as_str()])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert!(told.status.success() && lines.len() == 2, "{text}");
    assert!(lines[0].starts_with("id,evse,person,alias,") && lines[1].contains(",Kari,"), "{text}");
    assert!(!text.contains("04A2"), "no card number: {text}");
}

async fn charges(gateway: &mut Gateway) {
    let takes = |status: &Status| {
        status.evses.iter().any(|evse| evse.session_s.is_some() && evse.draw_a.most() > Amps::whole(5))
    };
    gateway.until("it charges", takes).await;
}

fn kept(house: &House) -> Vec<Record> {
    read_all(&mut Files::at(&house.folder.path().join(FOLDER))).unwrap()
}
