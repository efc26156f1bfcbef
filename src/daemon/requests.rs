//! Who carries out what people want now? Each request of the cloud's is held against the policy of the moment, asked of the
//! charger once, and answered.

use super::identity::{self, Claimed};
use super::reset::{self, Reset};
use crate::clock::Clock;
use crate::cloud::{Asked, CloudState, RequestOutcome as Outcome, RequestWord as Word};
use crate::config::{ChargerConfig, Config};
use crate::inbox::{Inbox, PolicyWatch};
use crate::ocpp::pairing::WINDOW;
use crate::ocpp::{self, Command, PairingFault, Told};
use crate::site::EvseId;
use crate::store::Folder;
use crate::time::{Duration, Moment};
use headroom_policy::{Pin, Place, Request, RequestKind};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

/// So many requests are under way at most: each waits for a charger or a card.
pub(super) const MOST_UNDER_WAY: usize = 20;

/// So many pairing windows in [`WINDOWS_SPAN`]: cards of a household in a row, and not every card of a yard all day.
const MOST_WINDOWS: usize = 10;

/// See [`MOST_WINDOWS`].
const WINDOWS_SPAN: Duration = Duration::from_secs(60 * 60);

/// A charger answers within a minute or not at all.
const LONGEST_ANSWER: Duration = Duration::from_secs(90);

/// What it takes to carry requests out.
#[derive(Clone)]
pub(super) struct Requests {
    /// How each EVSE is reached.
    pub config: Arc<Config>,
    /// `None` where no charger speaks OCPP.
    pub chargers: Option<ocpp::Desk>,
    /// The policy of the moment.
    pub policy: PolicyWatch,
    /// Is the time known?
    pub state: watch::Receiver<CloudState>,
    /// For what chargers say of their sessions.
    pub inbox: Inbox,
    /// The time.
    pub clock: Clock,
    /// When pairing windows were opened.
    pub windows: Arc<Mutex<VecDeque<Moment>>>,
    /// Where a reset is written down.
    pub folder: Option<Arc<Folder>>,
    /// PINs are tried one after the other.
    pub claims: Arc<Mutex<()>>,
    /// Rung once it is.
    pub reset: Arc<Notify>,
}

impl Requests {
    /// Carries out what is asked, for good.
    pub async fn serve(self, mut asked: mpsc::Receiver<Asked>) {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                next = asked.recv() => match next {
                    None => return,
                    Some(next) if under_way.len() >= MOST_UNDER_WAY => next.answer(Outcome::of(Word::Busy)),
                    Some(next) => {
                        let desk = self.clone();
                        under_way.spawn(async move {
                            if let Some(outcome) = desk.carry_out(&next.request).await {
                                next.answer(outcome);
                            }
                        });
                    }
                },
                Some(_) = under_way.join_next() => {}
            }
        }
    }

    /// What has come of it; `None`: the next process tells.
    async fn carry_out(&self, request: &Request) -> Option<Outcome> {
        let evse = match &request.kind {
            RequestKind::Start { at, .. } | RequestKind::Stop { at, .. } | RequestKind::Pair { at } => self.evse(at),
            RequestKind::Reset => return self.begin_reset(&request.id).await,
            RequestKind::Claim { pin } => return Some(self.claim(pin.clone(), &request.id).await),
            RequestKind::Other(_) => return Some(Outcome::of(Word::Unsupported)),
        };
        let Some(evse) = evse else { return Some(Outcome::of(Word::Unknown)) };
        Some(match &request.kind {
            RequestKind::Start { principal, .. } => self.start(evse, principal).await,
            RequestKind::Stop { principal, .. } => self.stop(evse, principal.as_deref()).await,
            _ => self.pair(evse).await,
        })
    }

    async fn claim(&self, pin: Pin, request: &str) -> Outcome {
        let (Some(folder), Some(cloud)) = (self.folder.clone(), &self.config.cloud) else {
            return Outcome::of(Word::Rejected);
        };
        let (claims, request, wall) = (self.claims.clone(), request.to_owned(), self.clock.wall());
        let whose = (cloud.gateway_id.clone(), cloud.location_id.clone());
        let tried = move || {
            let _turn = claims.lock().unwrap_or_else(PoisonError::into_inner);
            identity::claim(&folder, &pin.0, (&whose.0, &whose.1), &request, wall)
        };
        match tokio::task::spawn_blocking(tried).await.unwrap_or_else(|error| Err(error.into())) {
            Ok(Claimed::Yes { public, proof }) => {
                tracing::warn!("the gateway has been claimed with its PIN; a factory reset makes it free again");
                Outcome { more: [("public_key", public), ("proof", proof)].into(), ..Outcome::of(Word::Accepted) }
            }
            Ok(Claimed::WrongPin) => Outcome::of(Word::WrongPin),
            Ok(Claimed::Locked) => Outcome::of(Word::Locked),
            Ok(Claimed::Taken) => Outcome::of(Word::NotAllowed).because("the gateway is claimed already"),
            Err(fault) => Outcome::of(Word::Rejected).because(fault.to_string()),
        }
    }

    /// Where the installer allows it, writes down that all is to be forgotten, and has the daemon stop for it.
    async fn begin_reset(&self, id: &str) -> Option<Outcome> {
        if !self.config.cloud.as_ref().is_some_and(|cloud| cloud.may_reset) {
            return Some(Outcome::of(Word::NotAllowed).because("the installer has not set cloud.may_reset"));
        }
        let Some(folder) = self.folder.clone() else { return Some(Outcome::of(Word::Rejected)) };
        let reset = Reset::new(self.clock.wall(), Some(id.to_owned()));
        let begun = tokio::task::spawn_blocking(move || reset::begin(&folder, &reset)).await;
        match begun.unwrap_or_else(|error| Err(error.into())) {
            Ok(()) => {
                self.reset.notify_one();
                None
            }
            Err(fault) => Some(Outcome::of(Word::Rejected).because(fault.to_string())),
        }
    }

    /// The EVSE that is meant; `None`: there is none, or it is said to be two.
    fn evse(&self, place: &Place) -> Option<EvseId> {
        let site = &self.config.site;
        let by_id = place.evse.as_ref().map(|id| site.evse_ids().find(|evse| site.evse(*evse).id == *id));
        let is_it = |charger: &ChargerConfig, (identity, connector): &(String, u32)| match charger {
            ChargerConfig::Ocpp { identity: ours, connector: number, .. } => ours == identity && number == connector,
            ChargerConfig::Mqtt { .. } => false,
        };
        let by_ocpp = place
            .ocpp
            .as_ref()
            .map(|theirs| self.config.chargers.iter().position(|charger| is_it(charger, theirs)).map(EvseId));
        match (by_id, by_ocpp) {
            (Some(one), Some(other)) => one.filter(|one| Some(*one) == other),
            (one, other) => one.or(other).flatten(),
        }
    }

    async fn start(&self, evse: EvseId, principal: &str) -> Outcome {
        let wall = self.state.borrow().wall(self.clock.wall());
        let token = self.policy.borrow().remote_start(principal, evse, wall);
        match token {
            Ok(token) => self.tell(Command::Start { evse, token }).await,
            Err(verdict) => Outcome::of(Word::NotAllowed).because(verdict.word()),
        }
    }

    /// Ends what runs there, if it is his who is named.
    async fn stop(&self, evse: EvseId, principal: Option<&str>) -> Outcome {
        let is_his = principal.is_none_or(|principal| {
            let policy = self.policy.borrow();
            let seen = self.inbox.read();
            let session = seen.reports.get(evse.0).and_then(|report| report.session.as_ref());
            let holder = session.and_then(|session| policy.principal_of(evse, session.token.as_deref()));
            holder.and_then(|holder| policy.principals.get(holder)).is_some_and(|holder| holder.id == principal)
        });
        if !is_his {
            return Outcome::of(Word::NotAllowed).because("no session of theirs runs there");
        }
        self.tell(Command::Stop { evse }).await
    }

    async fn tell(&self, command: Command) -> Outcome {
        let Some(chargers) = &self.chargers else { return not_ocpp() };
        if matches!(self.config.charger(command.evse()), ChargerConfig::Mqtt { .. }) {
            return not_ocpp();
        }
        let told = tokio::time::timeout(LONGEST_ANSWER, chargers.tell(command)).await;
        Outcome::of(match told {
            Ok(Ok(Told::Accepted)) => Word::Accepted,
            Ok(Ok(Told::Rejected)) => Word::Rejected,
            Ok(Ok(Told::NoAnswer) | Err(_)) | Err(_) => Word::NoAnswer,
        })
    }

    async fn pair(&self, evse: EvseId) -> Outcome {
        let Some(chargers) = &self.chargers else { return Outcome::of(Word::NoReader) };
        if !self.may_open() {
            return Outcome::of(Word::Busy).because("too many pairing windows in an hour");
        }
        let paired = match chargers.open_pairing(evse) {
            Ok(paired) => paired,
            Err(PairingFault::Busy) => return Outcome::of(Word::Busy),
            Err(PairingFault::NoReader) => return Outcome::of(Word::NoReader),
        };
        match tokio::time::timeout(WINDOW, paired).await {
            Ok(Ok(paired)) => Outcome { uid: Some(paired.uid), ..Outcome::of(Word::Accepted) },
            Ok(Err(_)) | Err(_) => Outcome::of(Word::NoAnswer),
        }
    }

    fn may_open(&self) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        windows.retain(|opened| now.since(*opened) < WINDOWS_SPAN);
        let may = windows.len() < MOST_WINDOWS;
        if may {
            windows.push_back(now);
        }
        may
    }
}

fn not_ocpp() -> Outcome {
    Outcome::of(Word::Rejected).because("the charger does not speak OCPP")
}
