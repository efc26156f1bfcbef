//! How does the policy get here? Asked for again and again over HTTP; what arrives is judged by [`Standing`].
//!
//! `GET {url}/v1/gateways/{gateway_id}/policy` with the bearer token and the entity tag of what stands. Whatever goes
//! wrong here, a policy stands: the last good one, or the configuration's.

use super::age::Age;
use super::compile::Ground;
use super::document::Addressee;
use super::fault::{Code, Faults};
use super::json::MOST_BYTES;
use super::pace::Pace;
use super::standing::{CloudState, Outcome, Standing};
use super::trouble::Trouble;
use crate::clock::Clock;
use crate::config::{ChargerConfig, CloudConfig};
use crate::policy::Policy;
use crate::site::Site;
use crate::time::{Duration, Moment};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ETAG, HeaderMap, IF_NONE_MATCH};
use reqwest::{Client, Response, StatusCode};
use std::io;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The longest that one question takes, from connecting to the last byte: 1 MiB over a very slow line. It is never longer
/// than the time between two questions, as an answer after that is of no use.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// A question is given at least this long.
const SHORTEST_ANSWER: Duration = Duration::from_secs(1);

/// The age of the policy is looked at this often, whatever was announced: the wall clock may be set at any time.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// Documents are kept on disk no more often than this: a cloud that changes its mind all day must not wear out the card.
const SAVE_GAP: Duration = Duration::from_secs(60);

/// What a gateway's id must not say plainly in a path: all but the unreserved characters of RFC 3986.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Puts the bytes on disk for good, in place of the ones before. It may wait for the disk.
pub type Save = Arc<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

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
    let Setup { config, site, chargers, local, kept, save, clock, stop } = setup;
    let usable = config.filter(|config| {
        if !config.allow_unsigned {
            tracing::warn!(
                url = config.url,
                "policy cloud: this version reads unsigned documents only, and cloud.allow_unsigned is not set; \
                 it is not asked, [policy] of the configuration holds"
            );
        }
        config.allow_unsigned
    });
    let Some(config) = usable else { return alone(local, stop) };
    let addressee = Addressee { gateway_id: config.gateway_id.clone(), location_id: config.location_id.clone() };
    let ground = Ground { site, chargers, local };
    let (standing, trouble) = Standing::new(addressee, ground, config.refresh, kept.as_deref());
    if let Some(why) = trouble {
        tracing::warn!(
            why,
            "policy: the copy on disk cannot be used; [policy] of the configuration holds until the cloud answers"
        );
    }
    if config.token.is_some() && is_plain(&config.url) {
        tracing::warn!(
            url = config.url,
            "policy cloud: the token goes over plain http; everybody on the way can read it"
        );
    }
    let view = standing.look(clock.now(), clock.wall());
    if let Some(version) = view.state.version {
        tracing::info!(version, "policy: the copy on disk holds until the cloud answers");
    }
    let (policy_sender, policy) = watch::channel(view.policy);
    let (state_sender, state) = watch::channel(view.state);
    let told = Told { policy: policy_sender, state: state_sender, trouble: None };
    let task = tokio::spawn(run(standing, config, save, clock, told, stop));
    Cloud { policy, state, task }
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

async fn run(
    mut standing: Standing,
    config: CloudConfig,
    save: Save,
    clock: Clock,
    mut told: Told,
    mut stop: watch::Receiver<bool>,
) {
    // A second call fails and changes nothing: some other part of the program was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut pace = Pace::new(&config.gateway_id);
    let mut keeping = Keeping { save, waiting: None, last: None, is_failing: false };
    let mut question = Question { config: Arc::new(config), client: None };
    let mut wait = Duration::ZERO;
    loop {
        let etag = standing.etag().map(str::to_owned);
        let reply = {
            let pause = wait;
            let round = async {
                keeping.keep(&clock).await;
                tokio::time::sleep(pause).await;
                question.ask(etag).await
            };
            tokio::pin!(round);
            loop {
                let view = standing.look(clock.now(), clock.wall());
                let next = view.next.unwrap_or(LONGEST_LOOK).min(LONGEST_LOOK);
                told.tell(view.policy, view.state);
                tokio::select! {
                    reply = &mut round => break Some(reply),
                    () = stopped(&mut stop) => break None,
                    () = tokio::time::sleep(next) => {}
                }
            }
        };
        let Some(reply) = reply else { return keeping.write().await };
        wait = match reply {
            Ok(reply) => {
                told.end_of_trouble();
                take(reply, &mut standing, &mut keeping, &clock);
                pace.after_answer(standing.refresh())
            }
            Err(trouble) => {
                let wait = pace.after_failure();
                told.trouble(trouble, wait);
                wait
            }
        };
    }
}

/// A stop is said; a sender that is gone says nothing.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

/// What the cloud answered.
enum Reply {
    Unchanged,
    Document {
        bytes: Vec<u8>,
        etag: Option<String>,
    },
    /// More than is read.
    TooLarge,
}

fn take(reply: Reply, standing: &mut Standing, keeping: &mut Keeping, clock: &Clock) {
    let before = standing.look(clock.now(), clock.wall()).state;
    let refused = match reply {
        Reply::Unchanged => return standing.confirm(clock.now()),
        Reply::TooLarge => {
            let faults = Faults::one(Code::TooLarge, "", format!("is longer than {MOST_BYTES} bytes"));
            standing.refuse(faults.clone());
            faults
        }
        Reply::Document { bytes, etag } => match standing.offer(&bytes, etag, clock.now(), clock.wall()) {
            Outcome::Confirmed => return,
            Outcome::Taken { keep, warnings } => {
                let version = standing.look(clock.now(), clock.wall()).state.version;
                if warnings.is_empty() {
                    tracing::info!(version, "policy: a new document of the cloud holds");
                } else {
                    tracing::warn!(version, %warnings, "policy: a new document of the cloud holds, with warnings");
                }
                keeping.waiting = Some(keep);
                return;
            }
            Outcome::Refused(faults) => faults,
        },
    };
    let refused = refused.to_string();
    if before.refused.as_ref() != Some(&refused) {
        tracing::warn!(
            refused,
            standing = before.version,
            "policy: the cloud's document is refused as a whole, the last good policy stands; correct it there"
        );
    }
}

/// Asks, and builds what it takes to ask.
struct Question {
    config: Arc<CloudConfig>,
    /// Built at the first question that can: with no CA certificates (yet) there is no TLS.
    client: Option<Client>,
}

impl Question {
    async fn ask(&mut self, etag: Option<String>) -> Result<Reply, Trouble> {
        let client = match &self.client {
            Some(client) => client,
            None => self.client.insert(build(&self.config).map_err(|error| Trouble::NoClient(words(error)))?),
        };
        let url = &self.config.url;
        let gateway = utf8_percent_encode(&self.config.gateway_id, &RESERVED);
        let mut request = client.get(format!("{}/v1/gateways/{gateway}/policy", url.trim_end_matches('/')));
        if let Some(token) = &self.config.token {
            request = request.bearer_auth(&token.0);
        }
        if let Some(etag) = &etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(trouble)?;
        match response.status() {
            StatusCode::OK => read(response).await,
            StatusCode::NOT_MODIFIED if etag.is_some() => Ok(Reply::Unchanged),
            other => Err(Trouble::Status(other.as_u16())),
        }
    }
}

fn build(config: &CloudConfig) -> reqwest::Result<Client> {
    let answer = config.refresh.clamp(SHORTEST_ANSWER, LONGEST_ANSWER);
    let builder = Client::builder()
        .user_agent(concat!("headroom/", env!("CARGO_PKG_VERSION")))
        // The token is for this address and no other.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(answer);
    // Plain http needs no certificates, and must work on a machine that has none.
    if is_plain(&config.url) { builder.tls_certs_only([]).build() } else { builder.build() }
}

fn is_plain(url: &str) -> bool {
    url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}

/// Reads no more than a document may have, whatever length is announced.
async fn read(mut response: Response) -> Result<Reply, Trouble> {
    if response.content_length().is_some_and(|length| length > MOST_BYTES as u64) {
        return Ok(Reply::TooLarge);
    }
    let etag = tag(response.headers());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(trouble)? {
        if bytes.len() + chunk.len() > MOST_BYTES {
            return Ok(Reply::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Reply::Document { bytes, etag })
}

fn tag(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG)?.to_str().ok().map(str::to_owned)
}

fn trouble(error: reqwest::Error) -> Trouble {
    if error.is_timeout() { Trouble::TooSlow } else { Trouble::NoAnswer(words(error)) }
}

/// The innermost cause, which says most; without the address, which may hold a password.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What waits to be kept on disk.
struct Keeping {
    save: Save,
    waiting: Option<Vec<u8>>,
    last: Option<Moment>,
    is_failing: bool,
}

impl Keeping {
    /// Keeps what waits, unless the last time was a moment ago. After a failure it waits for the next round.
    async fn keep(&mut self, clock: &Clock) {
        let is_early = self.last.is_some_and(|last| clock.now().since(last) < SAVE_GAP);
        if !is_early && self.waiting.is_some() {
            self.write().await;
            self.last = Some(clock.now()).filter(|_| self.waiting.is_none()).or(self.last);
        }
    }

    /// Keeps what waits.
    async fn write(&mut self) {
        let Some(bytes) = self.waiting.clone() else { return };
        let save = self.save.clone();
        let outcome = tokio::task::spawn_blocking(move || save(&bytes)).await.unwrap_or_else(|error| Err(error.into()));
        match outcome {
            Ok(()) => {
                self.waiting = None;
                self.is_failing = false;
            }
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                tracing::warn!(%error, "policy: cannot be kept on disk; it holds until a restart. Check the disk");
            }
            Err(_) => {}
        }
    }
}

/// What others have been told.
struct Told {
    policy: watch::Sender<Arc<Policy>>,
    state: watch::Sender<CloudState>,
    trouble: Option<Trouble>,
}

impl Told {
    fn tell(&mut self, policy: Arc<Policy>, state: CloudState) {
        let state = CloudState { trouble: self.trouble.as_ref().map(Trouble::to_string), ..state };
        let before = self.state.borrow().age;
        let version = state.version.or(self.state.borrow().version);
        match (before, state.age) {
            (before, now) if before == now => {}
            (Age::Stale, Age::Fresh) => tracing::info!(version, "policy: confirmed by the cloud"),
            // Told already: a new document holds.
            (_, Age::Fresh) => {}
            (_, Age::Stale) => {
                tracing::warn!(version, "policy: not confirmed lately, or the clock is wrong; it stands")
            }
            (_, Age::Grace) => {
                tracing::warn!(version, "policy: over, in its time of grace; it stands. Renew it in the cloud")
            }
            (_, Age::Default) => {
                tracing::warn!(version, "policy: its time of grace is over; [policy] of the configuration holds");
            }
        }
        // The policy first: who hears of the state must find its policy in force.
        self.policy.send_if_modified(|told| {
            let is_new = !Arc::ptr_eq(told, &policy);
            *told = policy;
            is_new
        });
        self.state.send_if_modified(|told| {
            let is_new = *told != state;
            *told = state;
            is_new
        });
    }

    fn trouble(&mut self, trouble: Trouble, wait: Duration) {
        if !self.trouble.as_ref().is_some_and(|before| before.is_like(&trouble)) {
            tracing::warn!(%trouble, wait_s = wait.as_secs(), "policy cloud: cannot be asked, the last good policy stands; asks on");
        }
        self.trouble = Some(trouble);
    }

    fn end_of_trouble(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("policy cloud: answers again");
        }
    }
}
