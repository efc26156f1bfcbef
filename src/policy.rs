//! Who may charge, and who yields? The policy as the rest of the program sees it: compiled, against one site.
//!
//! `cloud` compiles a document into this; the configuration compiles its local default into the same. A policy can
//! only tighten what the installer's file allows: it has no way to name a fuse, a meter or a fallback.

use crate::site::EvseId;
use crate::time::Duration;
use crate::units::Amps;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// The rules in force.
#[derive(Debug, Clone, Default)]
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
    /// May names of people be shown?
    pub publish_alias: bool,
}

/// Where the policy came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its id in the document.
    pub id: String,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its id in the document.
    pub id: String,
    /// Name for people.
    pub alias: Option<String>,
    /// Index into [`Policy::classes`].
    pub class: usize,
    /// Where it may charge; `None`: everywhere.
    pub evses: Option<Vec<EvseId>>,
    /// Until when.
    pub valid_until: Option<DateTime<Utc>>,
}

/// A card or app identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Index into [`Policy::principals`].
    pub principal: usize,
    /// Blocked tokens are refused.
    pub is_accepted: bool,
}

/// What holds at one EVSE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvseRule {
    /// May anybody charge here without a token, and as which class?
    pub open: Option<usize>,
    /// Who is meant when a car is plugged in without a token (index into [`Policy::principals`]).
    pub plug_and_charge: Option<usize>,
    /// Never more than this here.
    pub ceiling: Option<Amps>,
}

/// The answer to "may this token charge here?", in words that OCPP 1.6 can map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Accepted,
    /// Known, but blocked or not allowed to begin a session.
    Blocked,
    /// Known, but no longer valid.
    Expired,
    /// Known, but not here.
    NotAtThisLocation,
    /// Unknown, and unknown ones are refused.
    Unknown,
}

/// Who a session belongs to, as far as control and people need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// May it charge now?
    pub verdict: Verdict,
    /// The class's id; empty where there is none.
    pub class: String,
    /// Name for people, if it may be shown.
    pub alias: Option<String>,
    /// −9…9, higher first.
    pub priority: i8,
    /// Share within a tier.
    pub weight: u32,
    /// Never more than this.
    pub ceiling: Option<Amps>,
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

    /// What `token` (or, without one, whoever plugs in) is entitled to at `evse`. `wall` is `None` while the time of
    /// day is not known; dates wait until it is.
    pub fn entitlement(&self, evse: EvseId, token: Option<&str>, wall: Option<DateTime<Utc>>) -> Entitlement {
        let Some(rule) = self.evses.get(evse.0) else { return self.refused(Verdict::Unknown) };
        let known = token.and_then(|text| self.tokens.get(&normalise(text)));
        if let Some(token) = known {
            return match token.is_accepted {
                true => self.of_principal(token.principal, evse, rule, wall),
                false => self.refused(Verdict::Blocked),
            };
        }
        if let (None, Some(principal)) = (token, rule.plug_and_charge) {
            return self.of_principal(principal, evse, rule, wall);
        }
        match rule.open.or(token.and(self.unknown)).and_then(|class| self.classes.get(class)) {
            Some(class) => self.of_class(class, None, rule),
            None => self.refused(Verdict::Unknown),
        }
    }

    fn of_principal(&self, index: usize, evse: EvseId, rule: &EvseRule, wall: Option<DateTime<Utc>>) -> Entitlement {
        let Some(principal) = self.principals.get(index) else { return self.refused(Verdict::Unknown) };
        let Some(class) = self.classes.get(principal.class) else { return self.refused(Verdict::Unknown) };
        let is_here = principal.evses.as_ref().is_none_or(|evses| evses.contains(&evse));
        let is_over = matches!((principal.valid_until, wall), (Some(until), Some(now)) if now >= until);
        let verdict = match (is_here, is_over, class.new_sessions) {
            (false, _, _) => Verdict::NotAtThisLocation,
            (true, true, _) => Verdict::Expired,
            (true, false, false) => Verdict::Blocked,
            (true, false, true) => Verdict::Accepted,
        };
        let alias = principal.alias.clone().filter(|_| self.publish_alias);
        Entitlement { verdict, ..self.of_class(class, alias, rule) }
    }

    fn of_class(&self, class: &Class, alias: Option<String>, rule: &EvseRule) -> Entitlement {
        let ceiling = [class.ceiling, rule.ceiling].into_iter().flatten().min();
        Entitlement {
            verdict: Verdict::Accepted,
            class: class.id.clone(),
            alias,
            priority: class.priority,
            weight: class.weight,
            ceiling,
        }
    }

    fn refused(&self, verdict: Verdict) -> Entitlement {
        Entitlement { verdict, class: String::new(), alias: None, priority: 0, weight: 1, ceiling: None }
    }
}

/// Upper case without separators, so that `04:a2-b3` and `04A2B3` are one card. OCPP 1.6 compares idTags without case.
pub fn normalise(token: &str) -> String {
    token.chars().filter(|c| !matches!(c, ':' | '-' | ' ' | '.')).map(|c| c.to_ascii_uppercase()).collect()
}
