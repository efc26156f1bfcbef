//! Does what the daemon has recorded decide again, by the same program?

use crate::house::{FALLBACK, House, LEFT, MOST, RIGHT, Stand, amps, has_all};
use crate::program::headroom;
use headroom::recorder::files;
use headroom::time::Duration;
use std::fs;
use std::path::Path;
use tokio::time::sleep;

const CARD: &str = "04A2B3C4D5E680";
const POLICY: &str =
    "[policy]\ntoken = [{ uid = \"04A2B3C4D5E680\", alias = \"Kari Nordmann\", priority = 6, weight = 2 }]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_daemon_has_decided_is_decided_again_and_a_changed_byte_is_found() {
    let house = House::with(&[Stand::ocpp("left", "RST"), Stand::ocpp("right", "S")]).await;
    let mut gateway = house.open(POLICY).await;
    house.arrive(LEFT, Some(CARD));
    gateway.until("it has all", |status| has_all(status, "left")).await;
    // Until its own meter has said so too.
    sleep(Duration::from_millis(1_000)).await;
    house.arrive(RIGHT, None);
    house.load([20, 9, 9]);
    gateway.until("it is cut", |status| amps(status, "left").is_some_and(|amps| amps < MOST)).await;
    gateway.stop().await;
    // The next one ends without a word, and its recording stands beside.
    let mut gateway = house.open(POLICY).await;
    gateway.until("it steps", |status| amps(status, "left").is_some_and(|amps| amps >= FALLBACK)).await;
    sleep(Duration::from_millis(1_500)).await;
    gateway.kill().await;

    let place = house.folder.path().join("flight");
    let directory = place.to_str().unwrap();
    let list = files(&place).unwrap();
    assert_eq!(list.len(), 2);
    for (_, path) in &list {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        for secret in [CARD, "Kari", "Nordmann", "sixteen characters"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
    let told = headroom(&["replay", directory]).await;
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("Test house: ") && told.stdout.contains(" steps in 2 files"), "{}", told.stdout);
    assert!(told.stdout.ends_with("decided again: the same, bit for bit\n"), "{}", told.stdout);
    let all = steps(&told.stdout);

    let traced = headroom(&["replay", directory, "--trace"]).await.stdout;
    let cut = format!("left: {MOST} → ");
    assert!(traced.lines().any(|line| line.contains(&cut) && line.contains("of Main fuse (32 A) is full")), "{traced}");
    let part = headroom(&["replay", directory, "--from", "0.9"]).await;
    assert!(part.code == Some(0) && (1..all).contains(&steps(&part.stdout)), "{}", part.stdout);

    damage(&list[0].1);
    let broken = headroom(&["replay", directory]).await;
    assert_eq!(broken.code, Some(1));
    assert!(broken.stderr.contains("flight-00000001.rec: damaged at byte "), "{}", broken.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_replayed_is_a_matter_of_usage_and_says_why() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("notes.txt");
    fs::write(&file, "bread, milk\n").unwrap();
    let other = place.path().join("flight-00000001.rec");
    fs::write(&other, "headroom-flight 99 7.0.0\nwhat the future brings").unwrap();
    let missing = place.path().join("none");
    for (path, words) in [
        (file.as_path(), "this is no recording of headroom's"),
        (&other, "replay it with 7.0.0"),
        (place.path(), "replay it with 7.0.0"),
        (&missing, "No such file"),
    ] {
        let told = headroom(&["replay", path.to_str().unwrap()]).await;
        assert_eq!(told.code, Some(2), "{}", path.display());
        assert!(told.stderr.contains(words), "{}: {}", path.display(), told.stderr);
    }
    assert_eq!(headroom(&["replay", "--from", "noon", "x"]).await.code, Some(2));
    assert_eq!(headroom(&["replay"]).await.code, Some(2));
}

/// How many steps a summary tells.
fn steps(summary: &str) -> usize {
    let words: Vec<&str> = summary.split_whitespace().collect();
    let at = words.windows(3).position(|words| words[0] == "steps" && words[1] == "in").unwrap();
    words[at - 1].parse().unwrap()
}

/// Changes one bit in the last quarter.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() * 3 / 4;
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}
