//! Is only that acked which is on disk, and does nothing wait for the disk?

use super::held::{Policies, slow};
use super::*;
use std::sync::Condvar;

/// A disk that takes its time: each write waits until it is let through.
#[derive(Clone, Default)]
struct Slow(Disk, Arc<(Mutex<usize>, Condvar)>);

impl Slow {
    fn setup(&self, url: &str) -> Setup {
        let this = self.clone();
        let save = move |bytes: &[u8]| {
            let (open, opened) = &*this.1;
            let mut open = opened.wait_while(open.lock().unwrap(), |open| *open == 0).unwrap();
            *open -= 1;
            this.0.save(bytes)
        };
        Setup { save: Arc::new(save), ..slow(url, &self.0) }
    }

    fn let_through(&self, writes: usize) {
        *self.1.0.lock().unwrap() += writes;
        self.1.1.notify_all();
    }
}

fn applied(gateway: &super::server::Gateway) -> Vec<u64> {
    let applied = gateway.acks.iter().filter(|ack| ack["result"] == "applied");
    applied.map(|ack| ack["version"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_holds_at_once_and_is_acked_when_it_is_on_disk() {
    let cloud = Policies::start(50, "ack", &document(1));
    let disk = Slow::default();
    let mut edge = spawn(disk.setup(&cloud.url));
    holds(&mut edge, 1).await;
    // Neither questions nor newer documents wait for the disk, nor does the word of what is refused.
    for version in 2..5 {
        cloud.put(&document(version));
        holds(&mut edge, version).await;
    }
    cloud.put(&document(3));
    let is_refused = |gateway: &super::server::Gateway| gateway.acks.iter().any(|ack| ack["code"] == "rollback");
    cloud.until("the refusal is told", is_refused).await;
    cloud.until("the next question is held", |gateway| gateway.questions.len() == 6).await;
    assert_eq!((cloud.look(applied), disk.0.writes()), (vec![], 0));

    disk.let_through(1);
    cloud.until("the one that was being written is told", |gateway| applied(gateway) == [1]).await;
    disk.let_through(1);
    // Of those that waited the newest is written and told.
    cloud.until("the newest is told", |gateway| applied(gateway) == [1, 4]).await;
    assert_eq!(disk.0.writes(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_refuses_is_acked_with_a_warning_and_again_once_it_is_kept() {
    let cloud = Policies::start(50, "ack", &document(1));
    let disk = Disk::default();
    disk.0.lock().unwrap().failures = 2;
    let mut edge = spawn(slow(&cloud.url, &disk));
    holds(&mut edge, 1).await;
    cloud.until("both are told", |gateway| gateway.acks.len() == 2).await;
    let acks = cloud.look(|gateway| gateway.acks.clone());
    assert!(acks.iter().all(|ack| ack["result"] == "applied" && ack["version"] == 1), "{acks:?}");
    let warnings: Vec<usize> = acks.iter().map(|ack| ack["warnings"].as_array().unwrap().len()).collect();
    assert!(warnings == [1, 0] && acks[0]["warnings"][0].as_str().unwrap().starts_with("not kept on disk"), "{acks:?}");
    assert_eq!(disk.writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_changes_its_mind_all_day_does_not_wear_out_the_card_and_a_stop_keeps_the_newest() {
    let cloud = Policies::start(50, "ack", &document(1));
    let disk = Disk::default();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut edge = spawn(Setup { stop: stopping, ..slow(&cloud.url, &disk) });
    for version in 1..=10 {
        cloud.put(&document(version));
        cloud.until("it is told", |gateway| applied(gateway).last() == Some(&version)).await;
    }
    cloud.put(&document(11));
    holds(&mut edge, 11).await;
    cloud.put(&document(12));
    holds(&mut edge, 12).await;
    assert_eq!((disk.writes(), cloud.look(applied).len()), (10, 10), "the rest waits for its minute");

    stop.send_replace(true);
    tokio::time::timeout(PATIENCE, edge.task).await.unwrap().unwrap();
    assert_eq!(disk.writes(), 11);
    // What could not be acked is, after the restart.
    let _edge = spawn(slow(&cloud.url, &disk));
    cloud.until("it is told", |gateway| applied(gateway).last() == Some(&12)).await;
}
