//! How do requests come, and results go? Asked for as the policy is, handed to whoever carries them out, and told.

use super::{Memory, Outcome, Queue, Verdict, Word};
use crate::clock::Clock;
use crate::cloud::CloudState;
use crate::cloud::events::Severity;
use crate::cloud::keeping::task::Save;
use crate::cloud::offer::Offers;
use crate::cloud::pace::{Pace, Rate};
use crate::cloud::route::Route;
use crate::cloud::route::task::{ask, read, tag};
use crate::cloud::trouble::Trouble;
use crate::cloud::uplink::task::{Events, Lane};
use crate::time::Duration;
use headroom_policy::{Addressee, Code, Faults, MOST_REQUESTS_BYTES, Request, Requests, Trust, parse_requests};
use reqwest::StatusCode;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc, watch};

/// Results that wait for the cloud.
#[derive(Debug, Clone, Default)]
pub struct Results {
    queue: Arc<Mutex<Queue>>,
    news: Arc<Notify>,
}

impl Results {
    fn add(&self, id: String, outcome: Outcome) {
        tracing::info!(request = id, ?outcome, "a request of the cloud's is done with");
        self.queue().add(id, outcome);
        self.news.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A request that is to be carried out, once.
#[derive(Debug)]
pub struct Asked {
    /// What.
    pub request: Request,
    results: Results,
}

impl Asked {
    /// This has come of it; the cloud hears of it.
    pub fn answer(self, outcome: Outcome) {
        self.results.add(self.request.id, outcome);
    }
}

/// Who carries requests out, and where their ids are kept.
pub struct Desk {
    /// Takes them.
    pub asked: mpsc::Sender<Asked>,
    /// What [`Desk::save`] was last given, in an earlier run.
    pub kept: Option<Vec<u8>>,
    /// Keeps the ids of what was taken.
    pub save: Save,
    /// What has come of a request of an earlier run, by its id.
    pub done: Option<(String, Outcome)>,
}

/// What it takes to ask for requests.
pub struct Asking {
    pub route: Arc<Route>,
    pub offers: watch::Receiver<Offers>,
    pub addressee: Addressee,
    /// Whose lists are taken: as for documents.
    pub trust: watch::Receiver<Trust>,
    pub state: watch::Receiver<CloudState>,
    pub events: Events,
    pub results: Results,
    pub clock: Clock,
}

impl Asking {
    /// Asks for good, where the cloud offers that.
    pub async fn run(self, desk: Desk) {
        let mut memory = desk.kept.as_deref().and_then(Memory::decode).unwrap_or_default();
        if let Some((id, outcome)) = desk.done.clone() {
            memory.is_told(&id);
            self.results.add(id, outcome);
        }
        let pace = Pace::new(self.route.gateway_id());
        let mut lists =
            Lists { desk, memory, pace, rate: Rate::default(), etag: None, trouble: None, refused: None, edge: self };
        loop {
            if lists.edge.offers.wait_for(|offers| offers.requests).await.is_err() {
                return;
            }
            let pause = match lists.round().await {
                Ok(pause) => pause,
                Err(trouble) => lists.trouble(trouble),
            };
            tokio::time::sleep(pause).await;
        }
    }
}

struct Lists {
    edge: Asking,
    desk: Desk,
    memory: Memory,
    pace: Pace,
    rate: Rate,
    /// Of the list that was judged last.
    etag: Option<String>,
    trouble: Option<Trouble>,
    refused: Option<Faults>,
}

impl Lists {
    /// One question, its answer, and how long to wait until the next one.
    async fn round(&mut self) -> Result<Duration, Trouble> {
        let clock = self.edge.clock;
        let refresh = self.edge.route.refresh();
        let held = self.edge.offers.borrow().hold(refresh).filter(|_| self.etag.is_some());
        let asked_at = clock.now();
        self.rate.ask(asked_at);
        let response = ask(&self.edge.route, "requests", self.etag.as_deref(), held).await?;
        let theirs = tag(response.headers());
        let is_new = match response.status() {
            StatusCode::OK => {
                let taken = match read(response, MOST_REQUESTS_BYTES).await? {
                    Some(bytes) => self.open(&bytes),
                    None => Err(Faults::one(Code::TooLarge, "", format!("is longer than {MOST_REQUESTS_BYTES} bytes"))),
                };
                match taken {
                    Ok(list) => self.take(list).await,
                    // With the next policy there may be a key for it.
                    Err(faults) => {
                        if self.refuse(faults) {
                            return Err(Trouble::Meaningless);
                        }
                    }
                }
                self.etag = theirs;
                true
            }
            StatusCode::NO_CONTENT => {
                self.etag = theirs;
                true
            }
            StatusCode::NOT_MODIFIED if self.etag.is_some() => false,
            other => return Err(Trouble::Status(other.as_u16())),
        };
        if self.trouble.take().is_some() {
            tracing::info!("policy cloud: can be asked for requests again");
        }
        let now = clock.now();
        let is_early = held.is_some_and(|held| now.since(asked_at) < held / 2);
        let can_wait = self.etag.is_some() && (is_new || !is_early);
        let usual = self.pace.after_answer(refresh);
        let is_held = self.edge.offers.borrow().hold(refresh).is_some();
        Ok(if is_held && can_wait { self.rate.rest(now) } else { usual })
    }

    fn open(&self, bytes: &[u8]) -> Result<Requests, Faults> {
        let wall = self.edge.state.borrow().wall(self.edge.clock.wall());
        let trust = self.edge.trust.borrow();
        parse_requests(&trust.open_requests(bytes, wall)?, &self.edge.addressee)
    }

    /// Keeps the ids of what is new, then hands it on.
    async fn take(&mut self, list: Requests) {
        self.refused = None;
        let (now, wall) = (self.edge.clock.now(), self.edge.clock.wall());
        let wall = self.edge.state.borrow().wall(wall);
        let mut new = Vec::new();
        for (request, verdict) in self.memory.judge(list, now, wall) {
            match verdict {
                Verdict::New => new.push(request),
                Verdict::Refused(outcome) => self.edge.results.add(request.id, outcome),
                Verdict::Old => {}
            }
        }
        if new.is_empty() {
            return;
        }
        let (save, bytes) = (self.desk.save.clone(), self.memory.encode());
        let kept = tokio::task::spawn_blocking(move || save(&bytes)).await.unwrap_or_else(|error| Err(error.into()));
        if let Err(error) = &kept {
            tracing::warn!(%error, "requests: their ids cannot be kept, so they are not carried out. Check the disk");
        }
        for request in new {
            if kept.is_err() {
                let outcome = Outcome::of(Word::Rejected).because("the gateway cannot write to its disk");
                self.edge.results.add(request.id, outcome);
                continue;
            }
            tracing::info!(request = request.id, kind = ?request.kind, "a request of the cloud's");
            let asked = Asked { request, results: self.edge.results.clone() };
            if let Err(refused) = self.desk.asked.try_send(asked) {
                refused.into_inner().answer(Outcome::of(Word::Busy));
            }
        }
    }

    /// Tells that a list is refused; may the same one be good later?
    fn refuse(&mut self, faults: Faults) -> bool {
        let is_for_later = faults.has(Code::UnknownKey);
        if self.refused.as_ref() != Some(&faults) {
            tracing::warn!(refused = %faults, "requests: the cloud's list is refused as a whole; correct it there");
            for fault in faults.listed().iter().filter(|fault| fault.code.is_security()) {
                let id = format!("requests-{}", fault.code.word());
                let wall = self.edge.clock.wall();
                self.edge.events.tell(|queue| queue.happened(&id, Severity::Security, &fault.to_string(), wall));
            }
        }
        self.refused = Some(faults);
        is_for_later
    }

    fn trouble(&mut self, trouble: Trouble) -> Duration {
        let wait = self.pace.after_failure();
        let is_told = self.trouble.as_ref().is_some_and(|before| before.is_like(&trouble));
        if !is_told && self.refused.is_none() {
            tracing::warn!(%trouble, wait_s = wait.as_secs(), "policy cloud: cannot be asked for requests; asks on");
        }
        self.trouble = Some(trouble);
        wait
    }
}

/// Tells the cloud what has come of its requests.
pub async fn send(mut lane: Lane<'_>, results: &Results) {
    loop {
        lane.is_wanted(|offers| offers.requests).await;
        let message = results.queue().message();
        let Some((body, last)) = message else {
            results.news.notified().await;
            continue;
        };
        match lane.post(body).await {
            Ok(_) => {
                results.queue().taken(last);
                lane.through();
            }
            Err(trouble) => lane.rest(trouble).await,
        }
    }
}
