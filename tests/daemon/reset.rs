//! Does a gateway forget whose it was, and nothing that wires depend on?

use crate::house::{House, LEFT, Stand};
use headroom::status::Status;
use headroom::units::Amps;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const KARI: &str = "[policy]\ntoken = [{ uid = \"04A2B3C4\", alias = \"Kari\", priority = 6 }]";

async fn headroom(arguments: &[&str], said: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroom"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(said.as_bytes()).await.unwrap();
    let ended = child.wait_with_output().await.unwrap();
    (ended.status.code(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
}

fn kept(folder: &Path) -> BTreeSet<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
    std::fs::read_dir(folder).unwrap().map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_at_the_site_forgets_people_and_keeps_what_cars_were_given() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    let file = house.folder.path().join("headroom.toml");
    std::fs::write(&file, house.configuration(KARI)).unwrap();
    let file = file.to_str().unwrap();
    let mut gateway = house.open(KARI).await;
    house.arrive(LEFT, Some("04A2B3C4"));
    let charges = |status: &Status| status.evses.iter().any(|evse| evse.draw_a.most() > Amps::whole(5));
    gateway.until("she charges", charges).await;
    let (code, words) = headroom(&["reset", "--yes", "--config", file], "").await;
    assert!(code == Some(1) && words.contains("the daemon is at work"), "{words}");
    gateway.stop().await;

    let before = kept(house.folder.path());
    let (code, words) = headroom(&["reset", "--config", file], "no\n").await;
    assert!(code == Some(1) && words.contains("nothing has been removed"), "{words}");
    assert_eq!(kept(house.folder.path()), before);

    let (code, words) = headroom(&["reset", "--config", file], "reset\n").await;
    assert!(code == Some(0) && words.contains("removed: sessions"), "{words}");
    // Whatever a daemon keeps must be named in the reset, or stay for a reason.
    let wanted = ["flight", "headroom.toml", "leases.a", "leases.b", "lock", "reset.a", "reset.b"];
    let left = kept(house.folder.path());
    assert!(left.iter().all(|name| wanted.contains(&name.as_str())), "{left:?}");
    assert!(left.contains("leases.a") || left.contains("leases.b"));
    let (_, words) = headroom(&["sessions", "--csv", "--config", file], "").await;
    assert!(!words.contains("Kari") && !words.contains("B3C4"), "{words}");

    let mut gateway = house.open(KARI).await;
    gateway.until("the car goes on", charges).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_reset_leaves_no_configuration_and_says_how_to_go_on() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    let file = house.folder.path().join("headroom.toml");
    std::fs::write(&file, house.configuration("")).unwrap();
    let file = file.to_str().unwrap();
    let (code, words) = headroom(&["reset", "--full", "--yes", "--config", file], "").await;
    assert!(code == Some(0) && words.contains("moved: "), "{words}");
    assert!(!Path::new(file).exists());
    let (code, words) = headroom(&["run", "--config", file], "").await;
    assert_eq!(code, Some(78), "{words}");
    let aside = kept(house.folder.path()).into_iter().find(|name| name.contains("before-reset")).unwrap();
    assert!(words.contains("a factory reset has moved it aside: `mv ") && words.contains(&aside), "{words}");
    std::fs::rename(house.folder.path().join(aside), file).unwrap();
    assert_eq!(headroom(&["check", file], "").await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_do_not_share_a_state_folder() {
    let house = House::with(&[Stand::ocpp("left", "RST")]).await;
    let file = house.folder.path().join("headroom.toml");
    std::fs::write(&file, house.configuration("")).unwrap();
    let gateway = house.open("").await;
    let (code, words) = headroom(&["run", "--config", file.to_str().unwrap()], "").await;
    assert!(code == Some(1) && words.contains("another headroom is at work"), "{words}");
    gateway.stop().await;
}
