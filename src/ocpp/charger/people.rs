//! What is a charger told of people? The list for when it cannot ask, and what somebody wants from afar.

use super::{Asked, Charger, Output};
use crate::ocpp::access::{self, Outcome};
use crate::ocpp::setup::Reply;
use crate::ocpp::{Command, Now, Told};
use crate::policy::{Policy, is_central, normalise};
use crate::site::EvseId;
use crate::time::{Duration, Moment};
use std::sync::Arc;

/// A start from afar may begin so long after it was asked for: the car is plugged in meanwhile. Chargers give that a minute or
/// three (`ConnectionTimeOut`).
const AWAITED: Duration = Duration::from_secs(600);

/// What a token of ours becomes that nobody has asked for, so that it is a stranger's to everybody: no card is written so.
const UNASKED: &str = "?";

/// A command that is not answered yet; one at a time.
#[derive(Debug)]
pub(super) struct Errand {
    command: Command,
    pub(super) since: Moment,
    pub(super) is_sent: bool,
}

/// A start that was asked for.
#[derive(Debug)]
pub(super) struct Awaited {
    evse: EvseId,
    token: String,
    until: Moment,
}

impl Charger {
    /// This policy is in force: what the charger knows of people follows it.
    pub fn govern(&mut self, policy: Arc<Policy>, now: Now) {
        self.access.govern(policy, now.date());
        self.go_on(now);
    }

    /// Somebody wants something; the answer is an [`Output::Told`]. The next one has to wait for it.
    pub fn command(&mut self, command: Command, now: Now) {
        if self.errand.is_some() {
            return self.outputs.push_back(Output::Told(Told::Rejected));
        }
        self.errand = Some(Errand { command, since: now.at, is_sent: false });
        if self.online.is_none() {
            self.drop_errand();
        }
        self.go_on(now);
    }

    /// The command that waits, if one does. True if a call is open now.
    pub(super) fn send_command(&mut self, now: Now) -> bool {
        let Some(errand) = self.errand.as_mut().filter(|errand| !errand.is_sent) else { return false };
        errand.is_sent = true;
        let evse = errand.command.evse();
        let connector = self.connectors.iter().find(|connector| connector.seat.evse == evse);
        let call = connector.and_then(|c| errand.command.call(c.seat.connector, c.session_id()));
        let Some((action, payload)) = call else {
            self.tell(Told::Rejected);
            return false;
        };
        if let Command::Start { evse, token } = &errand.command {
            let awaited = Awaited { evse: *evse, token: normalise(token), until: now.at + AWAITED };
            self.awaited.retain(|other| other.evse != *evse);
            self.awaited.push(awaited);
        }
        tracing::info!(charger = self.settings.identity, action, "asked from afar");
        self.call(Asked::Command, action, &payload, now);
        true
    }

    /// The token as it is taken: one for starts from afar counts for a start that was asked for and for nothing else, as
    /// everybody could write it on a card.
    pub(super) fn taken(&self, token: Option<String>, evse: Option<EvseId>, now: Now) -> Option<String> {
        let token = token?;
        let is_it = |other: &Awaited| {
            now.at < other.until && evse.is_none_or(|evse| evse == other.evse) && normalise(&token) == other.token
        };
        let is_asked_for = !is_central(&token) || self.awaited.iter().any(is_it);
        Some(if is_asked_for { token } else { format!("{UNASKED}{token}") })
    }

    pub(super) fn is_errand_waiting(&self) -> bool {
        self.errand.as_ref().is_some_and(|errand| !errand.is_sent)
    }

    pub(super) fn commanded(&mut self, reply: Reply<'_>) {
        let told = match reply {
            Reply::Silent => Told::NoAnswer,
            reply if reply.is_yes() => Told::Accepted,
            Reply::Said(_) | Reply::Refused => Told::Rejected,
        };
        if let (Told::Rejected, Some(errand)) = (told, &self.errand) {
            let evse = errand.command.evse();
            self.awaited.retain(|awaited| awaited.evse != evse);
        }
        self.tell(told);
    }

    /// The charger will not answer any more.
    pub(super) fn drop_errand(&mut self) {
        self.tell(Told::NoAnswer);
    }

    fn tell(&mut self, told: Told) {
        if self.errand.take().is_some() {
            tracing::info!(charger = self.settings.identity, ?told, "asked from afar");
            self.outputs.push_back(Output::Told(told));
        }
    }

    /// The next thing to say of people. True if a call is open now.
    pub(super) fn send_access(&mut self, now: Now) -> bool {
        let Some((step, action, payload)) = self.access.next_step(now.at, now.date()) else { return false };
        self.call(Asked::Access(step), action, &payload, now);
        true
    }

    pub(super) fn access_answered(&mut self, step: &access::Step, reply: Reply<'_>) {
        let charger = &self.settings.identity;
        match self.access.answered(step, reply) {
            Outcome::Taken => {}
            Outcome::NotTaken => tracing::info!(charger, ?step, "not taken"),
            Outcome::Listed { entries, left_out: 0 } => {
                tracing::info!(charger, entries, "knows its people while the gateway is away");
            }
            Outcome::Listed { entries, left_out } => tracing::warn!(
                charger,
                entries,
                left_out,
                "has no room for all its people: those of lower priority are not on its list, and it does as it will \
                 with them while the gateway is away"
            ),
            Outcome::TriedAgain => tracing::info!(charger, ?step, "not taken; tried again"),
            Outcome::GivenUp => tracing::warn!(
                charger,
                "does not take what it should know of people: while the gateway is away it goes by what it had"
            ),
        }
    }
}
