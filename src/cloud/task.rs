//! How does the policy get here? Asked for again and again over HTTP; what arrives is judged by [`Standing`].
//!
//! `GET {url}/v1/gateways/{gateway_id}/policy` with the bearer token and the entity tag of what was judged last. A cloud
//! that offers it holds the question until there is something new. Whatever goes wrong here, a policy stands: the last good
//! one, or the configuration's.

use super::ack::Ack;
use super::age::Age;
use super::beside::task::Beside;
use super::compile::Ground;
use super::events::{Queue, Severity};
use super::hint;
use super::keeping::task::{Keeping, Save};
use super::kept::Kept;
use super::offer::Offers;
use super::pace::{Pace, Rate};
use super::prepare::task::Shelf;
use super::requests::task::{Desk, Results};
use super::route::{self, Route};
use super::standing::{CloudState, Outcome, Standing};
use super::told::Told;
use super::trouble::Trouble;
use super::uplink::Outbox;
use super::uplink::task::{Backlog, Events, Uplink};
use crate::clock::Clock;
use crate::config::{ChargerConfig, CloudConfig};
use crate::policy::Policy;
use crate::site::Site;
use crate::status::Status;
use crate::time::{Duration, Moment};
use chrono::{DateTime, Utc};
use headroom_policy::{Addressee, Code, Faults, Keyring, MOST_ENVELOPE_BYTES, Trust, Warnings};
use reqwest::{Response, StatusCode};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The age of the policy is looked at this often, whatever was announced: the wall clock may be set at any time.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// What the cloud edge needs.
pub struct Setup {
    /// Where the cloud is; `None`: there is none, and the local policy holds.
    pub config: Option<CloudConfig>,
    /// The site that documents are compiled against.
    pub site: Site,
    /// How each EVSE is reached.
    pub chargers: Vec<ChargerConfig>,
    /// What holds without the cloud; documents only tighten its limits.
    pub local: Policy,
    /// What [`Setup::save`] was last given, in an earlier run.
    pub kept: Option<Vec<u8>>,
    /// Keeps the last good document.
    pub save: Save,
    /// What [`Setup::save_events`] was last given, in an earlier run.
    pub kept_events: Option<Vec<u8>>,
    /// Keeps the events that the cloud has not heard of.
    pub save_events: Save,
    /// What the daemon shows: its alarms go to the cloud as events.
    pub status: watch::Receiver<Arc<Status>>,
    /// Sessions that the cloud does not have yet.
    pub sessions: Option<Arc<dyn Outbox>>,
    /// Who carries out what people want now; `None`: nobody.
    pub requests: Option<Desk>,
    /// What became of a preconfiguration, and where one is kept.
    pub prepared: Option<Shelf>,
    /// When a factory reset was asked for that the cloud has not heard of.
    pub reset: Option<DateTime<Utc>>,
    /// The time.
    pub clock: Clock,
    /// Once true, what waits to be kept is kept, and the task ends.
    pub stop: watch::Receiver<bool>,
}

/// The cloud edge at work.
#[derive(Debug)]
pub struct Cloud {
    /// The policy in force, at once when it changes.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// How old it is, and what is wrong with newer ones.
    pub state: watch::Receiver<CloudState>,
    /// Ends at a stop only.
    pub task: JoinHandle<()>,
}

/// Begins to ask. The policy that holds until the first answer is there when this returns.
pub fn spawn(setup: Setup) -> Cloud {
    let Setup { status, sessions, requests, prepared, reset: setup_reset, .. } = setup;
    let Setup { config, site, chargers, local, kept, save, kept_events, save_events, clock, stop, .. } = setup;
    let usable = config.filter(|config| {
        let is_usable = config.trust.is_some() || config.allow_unsigned;
        if !is_usable {
            tracing::warn!(
                url = config.url,
                "policy cloud: there is no cloud.trust_file to verify documents with, and cloud.allow_unsigned is not \
                 set; it is not asked, [policy] of the configuration holds"
            );
        }
        is_usable
    });
    let Some(config) = usable else { return alone(local, stop) };
    let addressee = Addressee { gateway_id: config.gateway_id.clone(), location_id: config.location_id.clone() };
    let to_us = addressee.clone();
    let ground = Ground { site, chargers, local };
    let trust = config.trust.clone().map_or(Trust::Unsigned, |roots| Trust::Signed(Keyring::new(roots)));
    let (standing, trouble) = Standing::new(addressee, ground, trust, config.refresh, kept.as_deref());
    if let Some(why) = trouble {
        tracing::warn!(
            why,
            "policy: the copy on disk cannot be used; [policy] of the configuration holds until the cloud answers"
        );
    }
    if config.token.is_some() && route::is_plain(&config.url) {
        tracing::warn!(
            url = config.url,
            "policy cloud: the token goes over plain http; everybody on the way can read it"
        );
    }
    let view = standing.look(clock.now(), clock.wall());
    let is_held = view.state.age != Age::Default;
    if is_held {
        let (version, state) = (view.state.version, view.state.age.word());
        tracing::info!(version, state, "policy: the copy on disk holds until the cloud answers");
    }
    // What stood before a restart is told once more: the word about it may have been lost with the process.
    let held = kept.as_deref().and_then(Kept::decode).filter(|_| is_held);
    let held = held.map(|kept| {
        let (etag, at) = (kept.header.etag.as_deref(), kept.header.confirmed_at);
        (Ack::applied(&kept.document, etag, &Warnings::default(), at), true)
    });
    let (policy_sender, policy) = watch::channel(view.policy);
    let (state_sender, state) = watch::channel(view.state);
    let acks = watch::Sender::new(vec![]);
    let (offers_sender, offers) = watch::channel(Offers::default());
    let events = remembered(kept_events.as_deref(), clock.wall());
    let backlog = Backlog::new(events.clone(), save_events, &config.gateway_id, &clock);
    events.tell(|queue| queue.happened("gateway-started", Severity::Info, "the gateway has started", clock.wall()));
    if let Some(at) = setup_reset {
        let text = "people, cards, sessions and the policy were removed by a factory reset";
        events.tell(|queue| queue.happened("gateway-reset", Severity::Security, text, at));
    }
    let told = Told {
        policy: policy_sender,
        state: state_sender,
        acks: acks.clone(),
        last: None,
        held,
        is_failing: false,
        refused_keys: None,
        events: events.clone(),
        trouble: None,
    };
    let (trust_sender, trust) = watch::channel(standing.trust().clone());
    let (route, results, state_seen) = (Arc::new(Route::new(config)), Results::default(), state.clone());
    let uplink =
        Uplink { route: route.clone(), offers, acks, events, status, state: state_seen, sessions, results, clock };
    let beside = Beside { uplink, requests, prepared, addressee: to_us, trust };
    let question = Question {
        pace: Pace::new(route.gateway_id()),
        route,
        rate: Rate::default(),
        offers: offers_sender,
        hinted: Arc::default(),
        refused: None,
    };
    let keeping = Keeping::new(save, question.route.gateway_id());
    let edge = Edge { standing, trust: trust_sender, question, keeping, told, clock };
    Cloud { policy, state, task: tokio::spawn(edge.run_beside(beside, backlog, stop)) }
}

/// The events that an earlier run has left.
fn remembered(kept: Option<&[u8]>, wall: DateTime<Utc>) -> Events {
    // The standard library's only dice.
    let mut queue = Queue::new(RandomState::new().hash_one(wall));
    if let Some(Err(fault)) = kept.map(|kept| queue.restore(kept)) {
        tracing::warn!(%fault, "events: what was kept for the cloud cannot be read; starting without it");
    }
    Events::new(queue)
}

/// Without a cloud the local policy holds for good.
fn alone(local: Policy, mut stop: watch::Receiver<bool>) -> Cloud {
    let (policy_sender, policy) = watch::channel(Arc::new(local));
    let (state_sender, state) = watch::channel(CloudState::default());
    let task = tokio::spawn(async move {
        let _senders = (policy_sender, state_sender);
        stopped(&mut stop).await
    });
    Cloud { policy, state, task }
}

/// All that asking and judging needs.
struct Edge {
    standing: Standing,
    /// For others who have to know whose word counts.
    trust: watch::Sender<Trust>,
    question: Question,
    /// Each with what the cloud is to hear once it is kept.
    keeping: Keeping<Option<Ack>>,
    told: Told,
    clock: Clock,
}

impl Edge {
    /// Asks, and beside that listens to hints and does what else there is; none of it waits for the other.
    async fn run_beside(self, others: Beside, mut backlog: Backlog, stop: watch::Receiver<bool>) {
        let (route, hinted, clock) = (self.question.route.clone(), self.question.hinted.clone(), self.clock);
        let hints = hint::task::listen(&route, others.uplink.offers.clone(), &hinted);
        let beside = async {
            tokio::join!(hints, others.run(), backlog.run(&clock));
            std::future::pending().await
        };
        tokio::select! {
            () = self.run(stop) => {}
            () = beside => {}
        }
        backlog.close(&clock).await;
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut next = Next::Asks(Duration::ZERO);
        loop {
            let Some(answer) = self.round(next, &mut stop).await else {
                let outcome = self.keeping.close(&self.clock).await;
                return self.told.written(None, outcome);
            };
            next = match answer {
                Ok(answer) => {
                    self.told.end_of_trouble();
                    let is_early = answer.is_early(self.clock.now());
                    let is_new = self.take(answer);
                    let can_wait = self.standing.etag().is_some() || self.question.refused.is_some();
                    let now = self.clock.now();
                    self.question.next(self.standing.refresh(), can_wait && (is_new || !is_early), now)
                }
                Err(trouble) => {
                    let wait = self.question.pace.after_failure();
                    self.told.trouble(trouble, wait);
                    Next::Fails(wait)
                }
            };
        }
    }

    /// Waits, asks, and tells meanwhile what becomes of the policy's age; `None`: it is time to stop.
    async fn round(&mut self, next: Next, stop: &mut watch::Receiver<bool>) -> Option<Result<Answer, Trouble>> {
        let Edge { standing, question, keeping, told, clock, .. } = self;
        let (etag, refresh) = (standing.etag().map(str::to_owned), standing.refresh());
        let round = async {
            question.wait(next, clock).await;
            let mut answer = question.ask(etag, refresh, clock).await?;
            if answer.is_gone && !matches!(&answer.reply, Reply::Document(bytes) if standing.may_be_tombstone(bytes)) {
                return Err(Trouble::Status(StatusCode::GONE.as_u16()));
            }
            question.offers.send_if_modified(|told| std::mem::replace(told, answer.offers) != answer.offers);
            if let Reply::Document(bytes) = &answer.reply
                && standing.needs_keys(bytes, clock.wall())
            {
                // Without them the document is refused; they are asked for with the next answer.
                answer.keys = question.ask_keys().await.ok();
            }
            Ok(answer)
        };
        tokio::pin!(round);
        loop {
            let view = standing.look(clock.now(), clock.wall());
            let look = view.next.unwrap_or(LONGEST_LOOK).min(LONGEST_LOOK);
            told.tell(view.policy, view.state);
            tokio::select! {
                answer = &mut round => return Some(answer),
                () = stopped(stop) => return None,
                (ack, outcome) = keeping.next(clock) => told.written(ack, outcome),
                () = tokio::time::sleep(look) => {}
            }
        }
    }

    /// Takes in what the cloud said, and lets it know what became of that, once it may; was it anything new?
    fn take(&mut self, answer: Answer) -> bool {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        if let Some(Reply::Document(keys)) = &answer.keys {
            self.take_keys(keys, wall);
        }
        match answer.reply {
            // What was refused is still there.
            Reply::Unchanged if answer.is_of_refused => false,
            Reply::Unchanged => {
                self.standing.confirm(now);
                self.tell();
                self.told.confirmed()
            }
            Reply::TooLarge => {
                let faults = Faults::one(Code::TooLarge, "", format!("is longer than {MOST_ENVELOPE_BYTES} bytes"));
                self.standing.refuse(faults.clone());
                self.refuse(None, answer.etag, &faults)
            }
            Reply::Document(bytes) => match self.standing.offer(&bytes, answer.etag.clone(), now, wall) {
                Outcome::Confirmed => {
                    self.question.refused = None;
                    self.tell();
                    self.told.confirmed()
                }
                Outcome::Taken { keep, warnings } => {
                    self.question.refused = None;
                    let ack = Ack::applied(&bytes, answer.etag.as_deref(), &warnings, wall);
                    self.told.held = Some((ack.clone(), false));
                    self.keeping.put(keep, Some(ack));
                    self.taken(&warnings);
                    self.tell();
                    true
                }
                Outcome::Refused(faults) => self.refuse(Some(&bytes), answer.etag, &faults),
            },
        }
    }

    /// The policy is out before the word about it.
    fn tell(&mut self) {
        let view = self.standing.look(self.clock.now(), self.clock.wall());
        self.told.tell(view.policy, view.state);
    }

    fn take_keys(&mut self, bytes: &[u8], wall: DateTime<Utc>) {
        let outcome = self.standing.offer_keys(bytes, wall);
        self.trust.send_replace(self.standing.trust().clone());
        self.told.keys(outcome.as_ref().err(), wall);
        if let Ok(Some(keep)) = outcome {
            // They lie beside the document that stands.
            self.keeping.put(keep, self.told.unkept());
        }
    }

    fn taken(&self, warnings: &Warnings) {
        let version = self.standing.look(self.clock.now(), self.clock.wall()).state.version;
        if warnings.is_empty() {
            tracing::info!(version, "policy: a new document of the cloud holds");
        } else {
            tracing::warn!(version, %warnings, "policy: a new document of the cloud holds, with warnings");
        }
    }

    fn refuse(&mut self, bytes: Option<&[u8]>, etag: Option<String>, faults: &Faults) -> bool {
        let ack = Ack::rejected(bytes, etag.as_deref(), faults);
        // What only has to wait for its time, or for keys, is asked for again and again.
        let waits = [Code::NotYetValid, Code::Expired, Code::UnknownKey, Code::EpochUnproven];
        let is_for_good = !waits.into_iter().any(|code| faults.has(code));
        self.question.refused = etag.filter(|_| is_for_good);
        if self.told.is_news(&ack) {
            tracing::warn!(
                refused = %faults,
                standing = self.told.state.borrow().version,
                "policy: the cloud's document is refused as a whole, the last good policy stands; correct it there"
            );
            self.told.alert("policy", faults, self.clock.wall());
        }
        self.tell();
        self.told.ack(ack)
    }
}

/// A stop is said; a sender that is gone says nothing.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

/// What the cloud answered.
struct Answer {
    reply: Reply,
    /// It says that there is no such gateway any more: that counts only with a tombstone.
    is_gone: bool,
    /// What it takes beside questions.
    offers: Offers,
    /// What it said when it was asked for keys because of this answer.
    keys: Option<Reply>,
    etag: Option<String>,
    /// The question was about a document that was refused, not about the one that stands.
    is_of_refused: bool,
    /// It was asked to hold the question for so long.
    held: Option<Duration>,
    asked_at: Moment,
}

impl Answer {
    /// Did the cloud answer at once, although it was asked to wait? With nothing new in it, it is asked as one that cannot.
    fn is_early(&self, now: Moment) -> bool {
        self.held.is_some_and(|held| now.since(self.asked_at) < held / 2)
    }
}

enum Reply {
    Unchanged,
    Document(Vec<u8>),
    /// More than is read.
    TooLarge,
}

/// What the next round begins with.
#[derive(Clone, Copy)]
enum Next {
    /// A pause, which a hint cuts short.
    Asks(Duration),
    /// A pause after a failure, which nothing cuts short.
    Fails(Duration),
}

/// Asks, as often as it should.
struct Question {
    route: Arc<Route>,
    pace: Pace,
    rate: Rate,
    /// As the cloud's last answer said.
    offers: watch::Sender<Offers>,
    hinted: Arc<Notify>,
    /// The entity tag of a document that was refused for good: it need not come again.
    refused: Option<String>,
}

impl Question {
    async fn wait(&self, next: Next, clock: &Clock) {
        match next {
            Next::Fails(pause) => tokio::time::sleep(pause).await,
            Next::Asks(pause) => {
                let hinted = async {
                    self.hinted.notified().await;
                    tokio::time::sleep(self.rate.rest_of_hint(clock.now())).await;
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = hinted => {}
                }
            }
        }
    }

    async fn ask(&mut self, held: Option<String>, refresh: Duration, clock: &Clock) -> Result<Answer, Trouble> {
        let (etag, is_of_refused) = (self.refused.clone().or(held), self.refused.is_some());
        let held = self.offers.borrow().hold(refresh).filter(|_| etag.is_some());
        let asked_at = clock.now();
        self.rate.ask(asked_at);
        let response = route::task::ask(&self.route, "policy", etag.as_deref(), held).await?;
        let (offers, theirs) = (Offers::read(response.headers()), route::task::tag(response.headers()));
        let is_gone = response.status() == StatusCode::GONE;
        let reply = match response.status() {
            StatusCode::OK | StatusCode::GONE => read(response).await?,
            StatusCode::NOT_MODIFIED if etag.is_some() => Reply::Unchanged,
            other => return Err(Trouble::Status(other.as_u16())),
        };
        Ok(Answer { reply, is_gone, keys: None, offers, etag: theirs, is_of_refused, held, asked_at })
    }

    /// For the keys that sign policies.
    async fn ask_keys(&self) -> Result<Reply, Trouble> {
        let request = self.route.get("keys")?.timeout(self.route.answer());
        let response = request.send().await.map_err(route::trouble)?;
        match response.status() {
            StatusCode::OK => read(response).await,
            other => Err(Trouble::Status(other.as_u16())),
        }
    }

    /// After an answer: at once, to be held there, where the cloud does that and it is of use; else after the usual time.
    fn next(&mut self, refresh: Duration, is_of_use: bool, now: Moment) -> Next {
        let usual = self.pace.after_answer(refresh);
        let is_held = self.offers.borrow().hold(refresh).is_some();
        Next::Asks(if is_held && is_of_use { self.rate.rest(now) } else { usual })
    }
}

/// A document, in its envelope.
async fn read(response: Response) -> Result<Reply, Trouble> {
    Ok(route::task::read(response, MOST_ENVELOPE_BYTES).await?.map_or(Reply::TooLarge, Reply::Document))
}
