//! Who are the people, cards and places of a document? Its four lists, entry by entry.

use super::fault::{Code, Findings, shown};
use super::fields::{Fields, Ids, MOST_ID, amps, flag, list, one_of, text, time, whole};
use super::json::Node;
use crate::policy::{VERDICTS, Verdict, normalise};
use crate::units::Amps;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// The most EVSEs of the location, on this gateway and others.
pub(super) const MOST_EVSES: usize = 1_000;

/// The longest card number in characters (OCPP 2.0.1 `idToken`; OCPP 1.6 has 20).
const MOST_UID: usize = 36;

/// The longest name for people, in characters.
const MOST_ALIAS: usize = 100;

/// Weights in one tier compare as 1:1000 at most; more would be a tier of its own.
const MOST_WEIGHT: i64 = 1_000;

/// An entry of `classes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its id.
    pub id: String,
    /// −9…9, higher first.
    pub priority: i8,
    /// Share within a tier, 1…1000.
    pub weight: u32,
    /// Never more than this.
    pub ceiling: Option<Amps>,
    /// May it begin a session?
    pub new_sessions: bool,
}

/// An entry of `principals`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its id.
    pub id: String,
    /// Name for people.
    pub alias: Option<String>,
    /// Index into [`super::document::Document::classes`].
    pub class: usize,
    /// Indices into [`super::document::Document::evses`]; `None`: everywhere.
    pub evses: Option<Vec<usize>>,
    /// Until when.
    pub valid_until: Option<DateTime<Utc>>,
}

/// An entry of `tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The number, normalised.
    pub uid: String,
    /// Index into [`super::document::Document::principals`].
    pub principal: usize,
    /// What it is told.
    pub status: Verdict,
    /// Until when.
    pub valid_until: Option<DateTime<Utc>>,
    /// May it charge where a charger cannot ask us?
    pub is_offline: bool,
    /// May it charge in two places at once?
    pub is_concurrent: bool,
    /// The group whose tokens may end each other's sessions.
    pub group: Option<String>,
}

/// An entry of `evse`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evse {
    /// Where it stands in the document.
    pub pointer: String,
    /// Its id.
    pub id: String,
    /// OCPP identity and connector number, where it says.
    pub ocpp: Option<(String, u32)>,
    /// The class that anybody charges as here; `None`: known ones only.
    pub open: Option<usize>,
    /// Index into [`super::document::Document::principals`]: who plugs in here without a card.
    pub plug_and_charge: Option<usize>,
    /// Never more than this here.
    pub ceiling: Option<Amps>,
}

/// What entries may refer to.
pub(super) struct Names {
    pub classes: Ids,
    pub principals: Ids,
    pub evses: Ids,
    pub schedules: BTreeSet<String>,
    pub quotas: BTreeSet<String>,
}

/// How an EVSE is entered: is it open?
pub(super) const MODES: [(&str, bool); 2] = [("open", true), ("authorized_only", false)];

pub(super) fn class(mut class: Fields, found: &mut Findings) -> Option<Class> {
    let id = class.required("id", &mut Findings::default(), text(MOST_ID));
    if id.as_deref() == Some("deny") {
        found.faults.add(Code::OutOfRange, class.at("id"), "\"deny\" is no name for a class: it means none");
    }
    let priority = class.required("charging_priority", found, whole(-9..=9));
    let weight = class.optional("weight", found, whole(1..=MOST_WEIGHT)).unwrap_or(1);
    let floor = class.optional("floor_a", found, amps);
    let ceiling = class.optional("ceiling_a", found, amps);
    if let (Some(floor), Some(ceiling)) = (floor, ceiling)
        && floor > ceiling
    {
        found.faults.add(Code::OutOfRange, class.at("floor_a"), format!("{floor} is above ceiling_a, {ceiling}"));
    }
    if floor.is_some_and(|floor| floor > Amps::PILOT_LEAST) {
        found.warnings.effect("classes.floor_a: not enforced above 6 A: the charger's own least holds");
    }
    class.optional("throttle", found, one_of(&[("first", ()), ("normal", ()), ("last", ())]));
    if class.optional("boost", found, flag) == Some(true) {
        found.warnings.effect("classes.boost: not enforced by this version: nobody is boosted");
    }
    let new_sessions = class.optional("new_sessions", found, flag).unwrap_or(true);
    class.end(found);
    Some(Class {
        id: id?,
        priority: i8::try_from(priority?).ok()?,
        weight: u32::try_from(weight).ok()?,
        ceiling,
        new_sessions,
    })
}

pub(super) fn principal(mut principal: Fields, names: &Names, found: &mut Findings) -> Option<Principal> {
    let id = principal.required("id", &mut Findings::default(), text(MOST_ID));
    let alias = principal.optional("alias", found, text(MOST_ALIAS));
    let class = principal.required("class", found, names.classes.one("class"));
    let evses = principal.required("evse", found, |node| match node {
        Node::List(items) if *items == [Node::Text("*".into())] => Ok(None),
        other => list(MOST_EVSES, names.evses.one("evse"))(other).map(Some),
    });
    let valid_until = principal.optional("valid_until", found, time);
    principal.optional("schedule", found, one_named("schedule", &names.schedules));
    principal.optional("quota", found, one_named("quota", &names.quotas));
    if principal.optional("billing", found, one_of(&[("free", ()), ("paid", ())])).is_some() {
        found.warnings.effect("principals.billing: not used by this version");
    }
    let profiles = [("CHEAP", ()), ("FAST", ()), ("GREEN", ()), ("REGULAR", ())];
    if principal.optional("default_profile_type", found, one_of(&profiles)).is_some() {
        found.warnings.effect("principals.default_profile_type: not used by this version");
    }
    principal.end(found);
    Some(Principal { id: id?, alias, class: class?, evses: evses?, valid_until })
}

fn one_named(what: &'static str, names: &BTreeSet<String>) -> impl Fn(&Node) -> Result<(), (Code, String)> {
    move |node| {
        let name = text(MOST_ID)(node)?;
        let complaint = || (Code::Dangling, format!("there is no {what} \"{}\"", shown(&name)));
        if names.contains(&name) { Ok(()) } else { Err(complaint()) }
    }
}

/// `IdTokenEnumType` of OCPP 2.0.1.
const TYPES: [(&str, ()); 8] = [
    ("Central", ()),
    ("eMAID", ()),
    ("ISO14443", ()),
    ("ISO15693", ()),
    ("KeyCode", ()),
    ("Local", ()),
    ("MacAddress", ()),
    ("NoAuthorization", ()),
];

pub(super) fn tokens(entries: Vec<Fields>, names: &Names, found: &mut Findings) -> Vec<Token> {
    let mut seen = BTreeSet::new();
    let mut tokens = Vec::with_capacity(entries.len());
    for mut entry in entries {
        let uid = entry.required("uid", found, |node| {
            let uid = normalise(&text(MOST_UID)(node)?);
            if uid.is_empty() { Err((Code::OutOfRange, "has no digits".into())) } else { Ok(uid) }
        });
        if uid.as_ref().is_some_and(|uid| !seen.insert(uid.clone())) {
            found.faults.add(Code::DuplicateId, entry.at("uid"), "another token is the same card");
        }
        tokens.extend(token(entry, uid, names, found));
    }
    tokens
}

fn token(mut token: Fields, uid: Option<String>, names: &Names, found: &mut Findings) -> Option<Token> {
    token.optional("type", found, one_of(&TYPES));
    let principal = token.required("principal", found, names.principals.one("principal"));
    let status = token.required("status", found, one_of(&VERDICTS));
    let valid_until = token.optional("valid_until", found, time);
    let group = token.optional("group", found, text(MOST_ID));
    token.optional("reason", found, text(MOST_ALIAS));
    let is_offline = token.optional("offline", found, flag).unwrap_or(true);
    let is_concurrent = token.optional("concurrent", found, flag).unwrap_or(true);
    if !is_concurrent {
        found
            .warnings
            .effect("tokens.concurrent: not enforced by this version: false may charge at TWO places at once");
    }
    token.end(found);
    Some(Token { uid: uid?, principal: principal?, status: status?, valid_until, is_offline, is_concurrent, group })
}

pub(super) fn evse(
    mut evse: Fields,
    unknown: Option<usize>,
    is_usually_open: bool,
    names: &Names,
    found: &mut Findings,
) -> Option<Evse> {
    let id = evse.required("id", &mut Findings::default(), text(MOST_ID));
    let identity = evse.optional("ocpp_id", found, text(MOST_ID));
    let connector = evse.optional("connector", found, whole(1..=1_000)).unwrap_or(1);
    let is_open = evse.optional("mode", found, one_of(&MODES)).unwrap_or(is_usually_open);
    let open_class = evse.optional("open_class", found, names.classes.one("class"));
    let open = open_class.or(unknown).filter(|_| is_open);
    if is_open && open.is_none() {
        found.faults.add(Code::Missing, evse.at("open_class"), "is missing, and access.unknown_token names no class");
    }
    let plug_and_charge = evse.optional("plug_and_charge", found, names.principals.one("principal"));
    let ceiling = evse.optional("max_a", found, amps);
    let phases = [("auto", false), ("single", true), ("three", false)];
    if evse.optional("phases", found, one_of(&phases)) == Some(true) {
        found.warnings.effect("evse.phases: not enforced by this version: single may use ALL wired phases");
    }
    let pointer = evse.pointer.clone();
    evse.end(found);
    let ocpp = identity.zip(u32::try_from(connector).ok());
    Some(Evse { pointer, id: id?, ocpp, open, plug_and_charge, ceiling })
}
