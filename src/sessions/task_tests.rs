//! Do step, uploader and disk meet as they should? With the real thread.

use super::*;
use crate::control::observation::{Link, Need, Observation, Plug, Session};
use crate::control::{self, State};
use crate::policy::Policy;
use crate::sessions::cuts::Shared;
use crate::sessions::fixture::record;
use crate::sim::tests::{evse, site};
use crate::site::Site;

struct House {
    site: Site,
    state: State,
    seen: Observation,
    policy: Policy,
    now: Moment,
}

impl House {
    fn new() -> Self {
        let site = site(vec![evse("left")]);
        let seen = Observation::nothing(&site, 0);
        House { state: State::new(&site, Moment::START), site, seen, policy: Policy::open(1), now: Moment::START }
    }

    fn session(&mut self, id: Option<i64>) {
        let report = &mut self.seen.reports[0];
        (report.link, report.plug) = (Link::Up { since: self.now }, Plug::Charging);
        report.session =
            id.map(|id| Session { id, token: None, since: self.now, energy_wh: Some(100), need: Need::default() });
    }

    fn step(&mut self, sessions: &mut Sessions) {
        self.now = self.now + Duration::from_secs(1);
        let decision = control::step(&self.site, &mut self.state, &self.seen, &self.policy, self.now);
        let House { site, seen, policy, now, .. } = &*self;
        sessions.step(&Told { site, seen, decision: &decision, policy, is_offline: false, now: *now });
    }

    /// Steps until the disk has been read and the records of now are with the uploader's counts.
    async fn until(&mut self, sessions: &mut Sessions, is_so: impl Fn(Counts) -> bool) {
        let mut counts = sessions.handle().counts();
        while !is_so(*counts.borrow_and_update()) {
            self.step(sessions);
            let _ = tokio::time::timeout(Duration::from_millis(5), counts.changed()).await;
        }
    }
}

fn on(disk: &Shared) -> Sessions {
    let disk = disk.clone();
    let open = move || {
        let (journal, opened) = Journal::open(disk, Bounds::default()).unwrap();
        (journal, opened.open)
    };
    Sessions::with(open, 1, Clock::start()).unwrap()
}

#[tokio::test]
async fn a_session_reaches_the_uploader_when_it_is_over_and_once() {
    let (disk, mut house) = (Shared::new(), House::new());
    let mut sessions = on(&disk);
    house.session(Some(1));
    house.step(&mut sessions);
    house.session(None);
    house.until(&mut sessions, |counts| counts.waiting == 1).await;
    let handle = sessions.handle();
    let batch = handle.next_batch(10).await.unwrap();
    assert_eq!(batch.len(), 1);
    let record: Record = serde_json::from_slice(&batch[0].1.bytes).unwrap();
    assert_eq!((record.id, record.transaction), (batch[0].0, 1));
    assert_eq!(handle.acked(vec![batch[0].0]).await, Ok(true));
    assert_eq!(handle.next_batch(10).await.unwrap().len(), 0);
    drop(sessions);
    assert_eq!(on(&disk).handle().next_batch(10).await.unwrap().len(), 0, "after a restart neither");
    assert_eq!(handle.next_batch(10).await, Err(Gone));
}

#[tokio::test]
async fn what_runs_at_an_orderly_stop_goes_on_in_the_next_process() {
    let (disk, mut house) = (Shared::new(), House::new());
    let mut sessions = on(&disk);
    house.session(Some(1));
    house.until(&mut sessions, |_| !crate::sessions::read_all(&mut disk.clone()).unwrap().is_empty()).await;
    house.seen.reports[0].session.as_mut().unwrap().energy_wh = Some(2_345);
    house.step(&mut sessions);
    drop(sessions);
    let kept = crate::sessions::read_all(&mut disk.clone()).unwrap();
    assert_eq!((kept.len(), kept[0].energy_wh, kept[0].end), (1, 2_345, None));
    let mut sessions = on(&disk);
    house.until(&mut sessions, |_| true).await;
    house.session(None);
    house.until(&mut sessions, |counts| counts.waiting == 1).await;
    let batch = sessions.handle().next_batch(10).await.unwrap();
    assert_eq!(batch[0].0, kept[0].id);
}

/// Hands in a session that is over.
fn leave(sessions: &Sessions, transaction: u64) -> Key {
    let record = record(transaction);
    sessions.desk.leave(&record);
    record.id
}

#[tokio::test]
async fn without_a_folder_they_wait_in_memory() {
    let sessions = Sessions::start(None, 1, Clock::start()).unwrap();
    let key = leave(&sessions, 1);
    let handle = sessions.handle();
    let mut counts = handle.counts();
    counts.wait_for(|counts| counts.waiting == 1).await.unwrap();
    let batch = handle.next_batch(10).await.unwrap();
    assert_eq!((batch.len(), batch[0].0), (1, key));
    assert_eq!(handle.acked(vec![key]).await, Ok(true));
}

#[tokio::test]
async fn a_disk_that_refuses_is_told_and_the_cloud_gets_its_items_all_the_same() {
    let disk = Shared::new();
    let sessions = on(&disk);
    let handle = sessions.handle();
    assert!(handle.next_batch(10).await.unwrap().is_empty(), "the disk has been read");
    disk.refuse(true);
    let key = leave(&sessions, 1);
    handle.counts().wait_for(|counts| counts.unsaved == 1 && counts.waiting == 1).await.unwrap();
    assert_eq!(handle.next_batch(10).await.unwrap()[0].0, key);
    assert_eq!(handle.acked(vec![key]).await, Ok(false));
    assert_eq!(handle.next_batch(10).await.unwrap(), []);
}

#[tokio::test]
async fn a_folder_on_a_real_disk_keeps_them() {
    let place = tempfile::tempdir().unwrap();
    let start = || Sessions::start(Some(place.path().join("sessions")), 1, Clock::start()).unwrap();
    let key = leave(&start(), 1);
    let sessions = start();
    assert_eq!(sessions.handle().next_batch(10).await.unwrap()[0].0, key);
}
