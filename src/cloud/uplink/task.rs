//! How does it get up there? Lanes that know nothing of each other: each sends, waits ever longer where that fails,
//! and sends again. Where the cloud does not offer to take something, its lane rests.

use super::{MOST_RECORDS, Outbox, message, taken};
use crate::clock::Clock;
use crate::cloud::CloudState;
use crate::cloud::ack::Ack;
use crate::cloud::events::{Haste, Queue, Severity};
use crate::cloud::keeping::task::{Keeping, Save};
use crate::cloud::offer::Offers;
use crate::cloud::pace::Pace;
use crate::cloud::requests::task::{Results, send};
use crate::cloud::route::{self, Route};
use crate::cloud::trouble::Trouble;
use crate::status::Status;
use crate::time::{Duration, Moment};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

/// An answer to something that was sent is a list of keys at most; more is not read.
const MOST_ANSWER: usize = 64 << 10;

/// So many events go in one message.
const MOST_EVENTS: usize = 50;

/// From one message of events to the next: what flaps meanwhile is one change.
const EVENTS_GAP: Duration = Duration::from_secs(2);

/// An outbox that was empty is looked at again after this: sessions end a few times a day.
const OUTBOX_LOOK: Duration = Duration::from_secs(10);

/// Events that may be forgotten by a power cut are written no more often than this.
const WRITE_GAP: Duration = Duration::from_secs(60);

/// The events that wait, for all who have one to tell.
#[derive(Debug, Clone)]
pub struct Events {
    queue: Arc<Mutex<Queue>>,
    news: Arc<Notify>,
    /// Something is to be written.
    unkept: Arc<Notify>,
}

impl Events {
    /// Those that wait already.
    pub fn new(queue: Queue) -> Self {
        Events { queue: Arc::new(Mutex::new(queue)), news: Arc::default(), unkept: Arc::default() }
    }

    /// Says something to the queue, at once.
    pub fn tell(&self, say: impl FnOnce(&mut Queue)) {
        say(&mut self.queue());
        self.news.notify_one();
        self.unkept.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Keeps on disk what the cloud has not heard yet.
pub struct Backlog {
    events: Events,
    keeping: Keeping<()>,
    /// What was put there last: what comes and is sent within a minute is never written.
    put: Vec<u8>,
    put_at: Moment,
    is_failing: bool,
}

impl Backlog {
    /// Of these events, which are as `save` was last given them.
    pub fn new(events: Events, save: Save, name: &str, clock: &Clock) -> Self {
        let put = events.queue().encode();
        Backlog { events, keeping: Keeping::new(save, name), put, put_at: clock.now(), is_failing: false }
    }

    /// Writes for good; what may be forgotten once a minute, the rest at once.
    pub async fn run(&mut self, clock: &Clock) {
        loop {
            let Backlog { events, keeping, put_at, .. } = self;
            tokio::select! {
                () = is_due(events, *put_at, clock) => self.put(clock.now()),
                ((), outcome) = keeping.next(clock) => self.written(outcome),
            }
        }
    }

    /// At an orderly stop.
    pub async fn close(&mut self, clock: &Clock) {
        self.put(clock.now());
        let outcome = self.keeping.close(clock).await;
        self.written(outcome);
    }

    fn put(&mut self, now: Moment) {
        self.put_at = now;
        let bytes = self.events.queue().encode();
        if bytes != self.put {
            self.put.clone_from(&bytes);
            self.keeping.put(bytes, ());
        }
    }

    fn written(&mut self, outcome: io::Result<()>) {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        if let Err(error) = outcome.as_ref()
            && !was_failing
        {
            tracing::warn!(%error, "events cannot be kept on disk; a restart forgets what the cloud has not heard. Check the disk");
        }
    }
}

/// Returns when something is to be written now.
async fn is_due(events: &Events, put_at: Moment, clock: &Clock) {
    loop {
        let unkept = events.queue().unkept();
        let rest = match unkept {
            None => None,
            Some(Haste::Now) => return,
            Some(Haste::Later) => Some(WRITE_GAP.saturating_sub(clock.now().since(put_at))),
        };
        let gap = async {
            match rest {
                Some(rest) => tokio::time::sleep(rest).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = gap => return,
            () = events.unkept.notified() => {}
        }
    }
}

/// What the lanes carry.
pub struct Uplink {
    pub route: Arc<Route>,
    pub offers: watch::Receiver<Offers>,
    /// Those that wait, in the order in which they are to go.
    pub acks: watch::Sender<Vec<Arc<Ack>>>,
    pub events: Events,
    /// What the daemon shows, for its alarms.
    pub status: watch::Receiver<Arc<Status>>,
    pub state: watch::Receiver<CloudState>,
    pub sessions: Option<Arc<dyn Outbox>>,
    pub results: Results,
    pub clock: Clock,
}

impl Uplink {
    /// Sends for good.
    pub async fn run(self) {
        let Uplink { route, offers, acks, events, status, state, sessions, results, clock } = self;
        let lane = |what| Lane::new(what, &route, &offers);
        tokio::join!(
            send_acks(lane("policy/ack"), &acks),
            send_events(lane("events"), &events),
            send_sessions(lane("sessions"), sessions),
            send(lane("requests/results"), &results),
            see_alarms(&events, status),
            see_cloud(&events, state, clock),
        );
    }
}

async fn send_acks(mut lane: Lane<'_>, acks: &watch::Sender<Vec<Arc<Ack>>>) {
    let mut news = acks.subscribe();
    loop {
        lane.is_wanted(|offers| offers.acks).await;
        // One that has not got through may have made room for a newer one.
        let Some(ack) = news.borrow_and_update().first().cloned() else {
            if news.changed().await.is_err() {
                return;
            }
            continue;
        };
        match lane.post(ack.encode()).await {
            Ok(_) => {
                acks.send_modify(|acks| acks.retain(|waiting| !Arc::ptr_eq(waiting, &ack)));
                lane.through();
            }
            Err(trouble) => lane.rest(trouble).await,
        }
    }
}

async fn send_events(mut lane: Lane<'_>, events: &Events) {
    loop {
        lane.is_wanted(|offers| offers.events).await;
        let batch = events.queue().next_batch(MOST_EVENTS);
        let Some(batch) = batch else {
            events.news.notified().await;
            continue;
        };
        match lane.post(batch.encode()).await {
            Ok(_) => {
                events.tell(|queue| queue.sent(&batch));
                lane.through();
                tokio::time::sleep(EVENTS_GAP).await;
            }
            Err(trouble) => lane.rest(trouble).await,
        }
    }
}

async fn send_sessions(mut lane: Lane<'_>, outbox: Option<Arc<dyn Outbox>>) {
    let Some(outbox) = outbox else { return };
    loop {
        lane.is_wanted(|offers| offers.sessions).await;
        let records = on_disk(&outbox, |outbox| outbox.next_batch(MOST_RECORDS)).await.unwrap_or_default();
        if records.is_empty() {
            tokio::time::sleep(OUTBOX_LOOK).await;
            continue;
        }
        let (body, keys) = message(&records);
        let answer = lane.post(body).await.map(|answer| taken(&answer, &keys));
        match answer {
            Ok(taken) if !taken.is_empty() => {
                let _ = on_disk(&outbox, move |outbox| outbox.acked(&taken)).await;
                lane.through();
            }
            Ok(_) => lane.rest(Trouble::Meaningless).await,
            Err(trouble) => lane.rest(trouble).await,
        }
    }
}

/// An outbox may wait for its disk: not on the thread of those who wait for nothing. `None` where it fell over.
async fn on_disk<T: Send + 'static>(
    outbox: &Arc<dyn Outbox>,
    ask: impl FnOnce(&dyn Outbox) -> T + Send + 'static,
) -> Option<T> {
    let outbox = outbox.clone();
    tokio::task::spawn_blocking(move || ask(&*outbox)).await.ok()
}

async fn see_alarms(events: &Events, mut status: watch::Receiver<Arc<Status>>) {
    while status.changed().await.is_ok() {
        let seen = status.borrow_and_update().clone();
        events.tell(|queue| queue.see(&seen));
    }
}

/// That the gateway was cut off can only be told once it is not any more.
async fn see_cloud(events: &Events, mut state: watch::Receiver<CloudState>, clock: Clock) {
    const ID: &str = "gateway-offline";
    while state.changed().await.is_ok() {
        let trouble = state.borrow_and_update().trouble.clone();
        events.tell(|queue| match trouble {
            Some(why) => queue.begin(ID, Severity::Warning, &format!("the cloud cannot be asked: {why}"), clock.wall()),
            None => queue.end(ID, clock.wall()),
        });
    }
}

/// One kind of message on its way up.
pub struct Lane<'a> {
    /// The last part of its address.
    what: &'static str,
    route: &'a Route,
    offers: watch::Receiver<Offers>,
    pace: Pace,
    trouble: Option<Trouble>,
}

impl<'a> Lane<'a> {
    /// To this place; nothing has been sent yet.
    pub fn new(what: &'static str, route: &'a Route, offers: &watch::Receiver<Offers>) -> Self {
        Lane { what, route, offers: offers.clone(), pace: Pace::new(route.gateway_id()), trouble: None }
    }

    /// Returns once the cloud takes these; for good not, once nobody asks it any more.
    pub async fn is_wanted(&mut self, wants: impl FnMut(&Offers) -> bool) {
        if self.offers.wait_for(wants).await.is_err() {
            std::future::pending().await
        }
    }

    /// Sends it once.
    pub async fn post(&mut self, body: Vec<u8>) -> Result<Vec<u8>, Trouble> {
        let response = self.route.post(self.what, body)?.send().await.map_err(route::trouble)?;
        if !response.status().is_success() {
            return Err(Trouble::Status(response.status().as_u16()));
        }
        route::task::read(response, MOST_ANSWER).await?.ok_or(Trouble::Meaningless)
    }

    /// It got through.
    pub fn through(&mut self) {
        self.pace.after_answer(Duration::ZERO);
        if self.trouble.take().is_some() {
            tracing::info!(to = self.what, "policy cloud: takes what it is sent again");
        }
    }

    /// It did not: waits before it may be tried again.
    pub async fn rest(&mut self, trouble: Trouble) {
        let wait = self.pace.after_failure();
        if !self.trouble.as_ref().is_some_and(|before| before.is_like(&trouble)) {
            tracing::warn!(to = self.what, %trouble, wait_s = wait.as_secs(), "policy cloud: does not take what it is sent; it is sent again");
        }
        self.trouble = Some(trouble);
        tokio::time::sleep(wait).await;
    }
}
