//! Who may charge, and who yields? The policy as the rest of the program sees it: compiled, against one site.
//!
//! `cloud` compiles a document into this; the configuration compiles its local default into the same. A policy can
//! only tighten what the installer's file allows: it has no way to name a fuse, a meter or a fallback.

pub mod calendar;
mod mode;
mod rights;
mod rules;

/// The answer to "may this token charge here?", in the words of OCPP 2.0.1.
pub use headroom_policy::Status as Verdict;
pub use headroom_policy::normalise;
pub use mode::Mode;
pub use rights::{Boosted, Held, Memory, Rights, Scene};
pub use rules::{Boost, Excess, Limit, Now, PrincipalNow, PrincipalRule, Quota, Revocation, Rules, Running, Why};

use crate::site::EvseId;
use crate::time::Duration;
use crate::units::{Amps, PerPhase};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a start from afar is charged with begins so: the principal's id follows.
const CENTRAL: &str = "headroom:";

/// `idTag` of OCPP 1.6 has 20 characters at most (`CiString20Type`).
pub const MOST_ID_TAG: usize = 20;

/// An identity token of OCPP 2.0.1 has up to 255 bytes, one of 1.6 up to 20, a card's number 14 or 20.
const SHORT: usize = 64;

/// The rules in force.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Policy {
    /// Where it came from and how old it is.
    pub origin: Origin,
    /// Classes of people, by index.
    pub classes: Vec<Class>,
    /// People or groups, by index.
    pub principals: Vec<Principal>,
    /// Tokens (normalised, see [`normalise`]) and what they stand for.
    pub tokens: BTreeMap<String, Token>,
    /// One rule for each EVSE of the site, by [`EvseId`].
    pub evses: Vec<EvseRule>,
    /// The class of a token that nobody knows; `None`: refused.
    pub unknown: Option<usize>,
    /// Share of the site's main limit that may be used, in percent; 100 or less.
    pub main_limit_percent: u8,
    /// The most that may be imported, each phase; `None`: only the share above holds. See [`Policy::main_limit`].
    pub import_max: Option<PerPhase<Amps>>,
    /// May names of people be shown?
    pub publish_alias: bool,
    /// Hours, allowances, boosts.
    pub rules: Rules,
    /// What they mean at this moment, by [`Rights`].
    pub now: Now,
}

/// Where the policy came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The installer's file.
    #[default]
    Local,
    /// The cloud, or the copy of it kept on disk.
    Cloud {
        /// The document's counter restarts with each epoch.
        epoch: u64,
        /// Counts up with each change.
        version: u64,
        /// When the cloud made it.
        issued_at: DateTime<Utc>,
        /// When it should be replaced.
        expires_at: DateTime<Utc>,
        /// How long it still stands after that.
        grace: Duration,
    },
}

/// What a group of people is entitled to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Its id in the document.
    pub id: Arc<str>,
    /// −9…9, higher first.
    pub priority: i8,
    /// Share within a tier, 1 or more.
    pub weight: u32,
    /// Never more than this; `None`: no ceiling of its own.
    pub ceiling: Option<Amps>,
    /// May it begin a session?
    pub new_sessions: bool,
}

/// A person or a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Its id in the document.
    pub id: String,
    /// Name for people.
    pub alias: Option<Arc<str>>,
    /// Index into [`Policy::classes`].
    pub class: usize,
    /// Where it may charge; `None`: everywhere.
    pub evses: Option<Vec<EvseId>>,
    /// Until when.
    pub valid_until: Option<DateTime<Utc>>,
}

/// A card or app identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Index into [`Policy::principals`].
    pub principal: usize,
    /// Refused unless it is [`Verdict::Accepted`].
    pub status: Verdict,
    /// Until when; `None`: as long as its principal.
    pub valid_until: Option<DateTime<Utc>>,
    /// May it charge where a charger cannot ask us?
    pub is_offline: bool,
    /// May it charge in two places at once?
    pub is_concurrent: bool,
    /// Lost or stolen: whoever charges with it is stopped at once.
    pub is_lost: bool,
    /// Tokens of one group may end each other's sessions.
    pub group: Option<Arc<str>>,
}

impl Token {
    /// A card of this principal (index into [`Policy::principals`]) that may do whatever its holder may.
    pub fn of(principal: usize) -> Self {
        let status = Verdict::Accepted;
        Token {
            principal,
            status,
            valid_until: None,
            is_offline: true,
            is_concurrent: true,
            is_lost: false,
            group: None,
        }
    }
}

/// What holds at one EVSE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvseRule {
    /// May anybody charge here without a token, and as which class?
    pub open: Option<usize>,
    /// Who is meant when a car is plugged in without a token (index into [`Policy::principals`]).
    pub plug_and_charge: Option<usize>,
    /// Never more than this here.
    pub ceiling: Option<Amps>,
}

/// Who a session belongs to, as far as control and people need to know. Names are the policy's own: shared, not copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlement {
    /// May it charge now?
    pub verdict: Verdict,
    /// The class's id; empty where there is none.
    pub class: Arc<str>,
    /// Name for people, if it may be shown; in no recording.
    #[serde(skip)]
    pub alias: Option<Arc<str>>,
    /// −9…9, higher first.
    pub priority: i8,
    /// Share within a tier.
    pub weight: u32,
    /// Never more than this.
    pub ceiling: Option<Amps>,
    /// If it charges, then with this at least, where it fits.
    pub floor: Option<Amps>,
    /// What holds it down for now, and why.
    pub limit: Option<Limit>,
    /// Has it been put first for a while?
    pub is_boosted: bool,
    /// How it charges.
    pub mode: Mode,
}

impl Policy {
    /// Free for all, equal weights: what holds where neither the cloud nor the configuration says anything.
    pub fn open(evses: usize) -> Self {
        Policy {
            classes: vec![Class { id: "open".into(), priority: 0, weight: 1, ceiling: None, new_sessions: true }],
            evses: vec![EvseRule { open: Some(0), plug_and_charge: None, ceiling: None }; evses],
            unknown: Some(0),
            main_limit_percent: 100,
            publish_alias: true,
            ..Policy::default()
        }
    }

    /// What the grid connection with this fuse may carry: the share of it that is allowed, and no more than may be
    /// imported. Never above `fuse`, whatever the policy says.
    pub fn main_limit(&self, fuse: PerPhase<Amps>) -> PerPhase<Amps> {
        let percent = i64::from(self.main_limit_percent.min(100));
        PerPhase::from_fn(|phase| {
            let share = fuse[phase].scaled(percent, 100);
            self.import_max.map_or(share, |most| most[phase].min(share))
        })
    }

    /// What the session (its id and token) at this EVSE is entitled to: what it was let in with, if it runs already.
    pub fn right(
        &self,
        evse: EvseId,
        session: Option<(i64, Option<&str>)>,
        wall: Option<DateTime<Utc>>,
    ) -> Entitlement {
        let running = self.now.running.get(evse.0).and_then(Option::as_ref);
        match (running, session) {
            (Some(running), Some((id, _))) if running.session == id => running.entitlement.clone(),
            _ => self.entitlement(evse, session.and_then(|(_, token)| token), wall),
        }
    }

    /// What `token` (or, without one, whoever plugs in) is entitled to at `evse`, were it to begin now. `wall` is `None`
    /// while the time of day is not known; dates wait until it is.
    pub fn entitlement(&self, evse: EvseId, token: Option<&str>, wall: Option<DateTime<Utc>>) -> Entitlement {
        let Some(rule) = self.evses.get(evse.0) else { return self.refused(Verdict::Unknown) };
        if let Some((text, token)) = token.and_then(|text| Some((text, self.token(text)?))) {
            return match (token.status, is_over(token.valid_until, wall)) {
                (Verdict::Accepted, true) => self.refused(Verdict::Expired),
                (Verdict::Accepted, false) if self.now.is_offline && !token.is_offline => {
                    self.refused(Verdict::Invalid)
                }
                (Verdict::Accepted, false) => {
                    let entitlement = self.of_principal(token.principal, evse, rule, wall);
                    match entitlement.verdict == Verdict::Accepted && self.is_elsewhere(token, evse, text) {
                        true => Entitlement { verdict: Verdict::ConcurrentTx, ..entitlement },
                        false => entitlement,
                    }
                }
                (refused, _) => self.refused(refused),
            };
        }
        if let (None, Some(principal)) = (token, rule.plug_and_charge) {
            return self.of_principal(principal, evse, rule, wall);
        }
        let unknown = self.rules.unknown_offline.filter(|_| self.now.is_offline).unwrap_or(self.unknown);
        match rule.open.or(token.and(unknown)) {
            Some(class) => self.of_class(class, None, rule),
            None => self.refused(Verdict::Unknown),
        }
    }

    /// Does it charge at another EVSE, though it may only at one at a time?
    fn is_elsewhere(&self, token: &Token, evse: EvseId, text: &str) -> bool {
        let others = || self.now.running.iter().enumerate().filter(|(other, _)| *other != evse.0);
        let is_it = |running: &Running| running.is_admitted && running.token.as_deref() == Some(&*normalise(text));
        !token.is_concurrent && others().any(|(_, running)| running.as_ref().is_some_and(is_it))
    }

    /// Who is meant by this token here (an index into [`Policy::principals`]), if it is one's that the policy knows.
    pub fn principal_of(&self, evse: EvseId, token: Option<&str>) -> Option<usize> {
        match token {
            Some(text) => self.token(text).map(|token| token.principal),
            None => self.evses.get(evse.0)?.plug_and_charge,
        }
    }

    /// The class of a token that nobody knows at a charger that cannot ask us; `None`: refused there. A document that
    /// does not say refuses them.
    pub fn unknown_offline(&self) -> Option<usize> {
        self.rules.unknown_offline.unwrap_or(match self.origin {
            Origin::Local => self.unknown,
            Origin::Cloud { .. } => None,
        })
    }

    /// Is this token in the policy, accepted or not?
    pub fn knows(&self, token: &str) -> bool {
        self.token(token).is_some()
    }

    /// The end of a token: its own or its holder's, whichever comes first.
    pub fn ends(&self, token: &Token) -> Option<DateTime<Utc>> {
        let holder = self.principals.get(token.principal).and_then(|principal| principal.valid_until);
        [token.valid_until, holder].into_iter().flatten().min()
    }

    /// Gives whoever may start from afar ([`Rules::remote_start`]) the token that such a start is charged with (see
    /// [`central_token`]). It can what his best card can: whose cards are all refused is refused from afar as well. Where two
    /// would have the same one, neither has it: it could not be told whose session it is.
    pub fn add_central_tokens(&mut self) {
        let mut cards: BTreeMap<usize, Vec<&Token>> = BTreeMap::new();
        for token in self.tokens.values() {
            cards.entry(token.principal).or_default().push(token);
        }
        let mut added: BTreeMap<String, Option<Token>> = BTreeMap::new();
        for (index, principal) in self.principals.iter().enumerate() {
            let also =
                self.rules.principals.get(index).into_iter().flat_map(|rule| rule.also.iter().map(|also| also.0));
            let token = also.chain([principal.class]).any(|class| self.rules.remote_start.contains(&class));
            let token = token.then(|| central(index, cards.get(&index).map_or(&[][..], Vec::as_slice)));
            let uid = normalise(&central_token(&principal.id));
            added.entry(uid).and_modify(|twice| *twice = None).or_insert(token);
        }
        for (uid, token) in added {
            if let Some(token) = token {
                self.tokens.entry(uid).or_insert(token);
            }
        }
    }

    /// The token with which this principal (by its id) starts at this EVSE from afar, if he may now.
    ///
    /// # Errors
    /// Why not: [`Verdict::Invalid`] for whoever may not from afar.
    pub fn remote_start(&self, principal: &str, evse: EvseId, wall: Option<DateTime<Utc>>) -> Result<String, Verdict> {
        let uid = central_token(principal);
        let holder = self.token(&uid).and_then(|token| self.principals.get(token.principal));
        if holder.is_none_or(|holder| holder.id != principal) {
            return Err(Verdict::Invalid);
        }
        let entitlement = self.entitlement(evse, Some(&uid), wall);
        let class = self.classes.iter().position(|class| class.id == entitlement.class);
        match entitlement.verdict {
            // A quota that is used up, or an hour, may have put him into another one.
            Verdict::Accepted if !class.is_some_and(|class| self.rules.remote_start.contains(&class)) => {
                Err(Verdict::Invalid)
            }
            Verdict::Accepted => Ok(uid),
            refused => Err(refused),
        }
    }

    /// The token as the policy has it, however its reader writes it.
    pub fn token(&self, text: &str) -> Option<&Token> {
        // Nearly all are as short as this, and are looked up without a copy on the heap.
        let mut short = [0; SHORT];
        let mut len = 0;
        for byte in text.bytes().filter(|byte| !is_separator(char::from(*byte))) {
            let Some(place) = short.get_mut(len) else { return self.tokens.get(&normalise(text)) };
            *place = byte.to_ascii_uppercase();
            len += 1;
        }
        std::str::from_utf8(&short[..len]).ok().and_then(|text| self.tokens.get(text))
    }

    fn of_principal(&self, index: usize, evse: EvseId, rule: &EvseRule, wall: Option<DateTime<Utc>>) -> Entitlement {
        let Some(principal) = self.principals.get(index) else { return self.refused(Verdict::Unknown) };
        let now = self.now.principals.get(index);
        let is_here = principal.evses.as_ref().is_none_or(|evses| evses.contains(&evse));
        let alias = principal.alias.clone().filter(|_| self.publish_alias);
        let entitlement = self.of_class(now.map_or(principal.class, |now| now.class), alias, rule);
        let mode = self.rules.principals.get(index).and_then(|rule| rule.mode).unwrap_or(entitlement.mode);
        let verdict = match (is_here, is_over(principal.valid_until, wall), now.map(|now| now.verdict)) {
            (false, ..) => Verdict::NotAtThisLocation,
            (true, true, _) => Verdict::Expired,
            (true, false, Some(verdict)) if verdict != Verdict::Accepted => verdict,
            (true, false, _) => entitlement.verdict,
        };
        Entitlement { verdict, mode, ..entitlement }
    }

    fn of_class(&self, index: usize, alias: Option<Arc<str>>, rule: &EvseRule) -> Entitlement {
        let Some(class) = self.classes.get(index) else { return self.refused(Verdict::Unknown) };
        let ceiling = [class.ceiling, rule.ceiling].into_iter().flatten().min();
        Entitlement {
            verdict: if class.new_sessions { Verdict::Accepted } else { Verdict::Blocked },
            class: class.id.clone(),
            alias,
            priority: class.priority,
            weight: class.weight,
            ceiling,
            floor: self.rules.floors.get(index).copied().flatten(),
            limit: None,
            is_boosted: false,
            mode: self.rules.mode,
        }
    }

    fn refused(&self, verdict: Verdict) -> Entitlement {
        Entitlement {
            verdict,
            class: Arc::default(),
            alias: None,
            priority: 0,
            weight: 1,
            ceiling: None,
            floor: None,
            limit: None,
            is_boosted: false,
            mode: Mode::Fast,
        }
    }
}

fn is_over(until: Option<DateTime<Utc>>, wall: Option<DateTime<Utc>>) -> bool {
    matches!((until, wall), (Some(until), Some(now)) if now >= until)
}

/// What a start from afar by this principal is charged with, who has these cards.
fn central(principal: usize, cards: &[&Token]) -> Token {
    let mut good = cards.iter().filter(|card| card.status == Verdict::Accepted).peekable();
    let plain = Token { is_offline: false, ..Token::of(principal) };
    let Some(first) = good.peek() else {
        return cards.first().map_or(plain, |card| Token { is_offline: false, ..(*card).clone() });
    };
    let group = first.group.clone();
    let ends: Option<Vec<_>> = good.clone().map(|card| card.valid_until).collect();
    let is_concurrent = good.any(|card| card.is_concurrent);
    Token { valid_until: ends.and_then(|ends| ends.into_iter().max()), is_concurrent, group, ..plain }
}

/// The token of a session that this principal (by its id) starts from afar: OCPP's type `Central`.
pub fn central_token(principal: &str) -> String {
    CENTRAL.chars().chain(principal.chars()).take(MOST_ID_TAG).collect()
}

/// Is it such a token, and no card?
pub fn is_central(token: &str) -> bool {
    normalise(token).starts_with(&normalise(CENTRAL))
}

fn is_separator(letter: char) -> bool {
    matches!(letter, ':' | '-' | ' ' | '.')
}

#[cfg(test)]
mod tests;
