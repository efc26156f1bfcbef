//! Who are the people, cards and places of a document? Its four lists, entry by entry, and who has access without.

use crate::fault::{Code, Findings};
use crate::fields::{Fields, Ids, MOST_ID, Wrong, amps, flag, list, one_of, text, time, whole, wrong_type};
use crate::json::Node;
use crate::rules::Mode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most classes: a tier has a few, and there are 19 priorities.
pub(crate) const MOST_CLASSES: usize = 100;

/// The most EVSEs of the location, on this gateway and others.
pub(crate) const MOST_EVSES: usize = 1_000;

/// The longest card number in characters (OCPP 2.0.1 `idToken`; OCPP 1.6 has 20).
const MOST_UID: usize = 36;

/// The longest name for people, in characters.
const MOST_ALIAS: usize = 100;

/// Weights in one tier compare as 1:1000 at most; more would be a tier of its own.
const MOST_WEIGHT: i64 = 1_000;

/// The most classes that one principal is in.
const MOST_MEMBERSHIPS: usize = 10;

/// An entry of `classes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its id.
    pub id: String,
    /// −9…9, higher first.
    pub priority: i8,
    /// Share within a tier, 1…1000.
    pub weight: u32,
    /// Not less than this while it charges, in milliamperes; never above the ceiling.
    pub floor_ma: Option<i32>,
    /// Never more than this, in milliamperes.
    pub ceiling_ma: Option<i32>,
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
    /// Its classes, 1…10, none twice: of those that are valid, the one with the highest priority counts.
    pub classes: Vec<Membership>,
    /// Indices into [`crate::Document::evses`]; `None`: everywhere.
    pub evses: Option<Vec<usize>>,
    /// Until when.
    pub valid_until: Option<DateTime<Utc>>,
    /// When it may charge: an index into [`crate::Document::schedules`]; `None`: at any time.
    pub schedule: Option<usize>,
    /// How much it may charge: an index into [`crate::Document::quotas`]; `None`: as much as it likes.
    pub quota: Option<usize>,
    /// Who pays; `None`: the document does not say.
    pub billing: Option<Billing>,
    /// How its cars charge; `None`: as all do.
    pub mode: Option<Mode>,
}

/// A principal in a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Index into [`crate::Document::classes`].
    pub class: usize,
    /// Until when; `None`: as long as the principal.
    pub valid_until: Option<DateTime<Utc>>,
}

/// Who pays for the energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billing {
    /// The house.
    Free,
    /// The driver.
    Paid,
}

/// An entry of `tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The number, normalised.
    pub uid: String,
    /// What kind of identity it is, where the document says.
    pub kind: Option<TokenType>,
    /// Index into [`crate::Document::principals`].
    pub principal: usize,
    /// Only [`Status::Accepted`] may charge.
    pub status: Status,
    /// Why it has this status, for people.
    pub reason: Option<String>,
    /// Tokens of one group may end each other's sessions (OCPP `groupIdToken`).
    pub group: Option<String>,
    /// Until when; `None`: as long as its principal.
    pub valid_until: Option<DateTime<Utc>>,
    /// May it begin a session while the cloud cannot be reached?
    pub is_offline_allowed: bool,
    /// May it charge at two places at once?
    pub is_concurrent_allowed: bool,
}

/// What a document says of a token, and a gateway to whoever shows it: `AuthorizationStatusEnumType` of OCPP 2.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// It may charge.
    Accepted,
    /// Known, but blocked or not allowed to begin a session.
    Blocked,
    /// Known, but it charges elsewhere already and may do so once only.
    ConcurrentTx,
    /// Known, but no longer valid.
    Expired,
    /// Known to be none that may charge.
    Invalid,
    /// Known, but nobody pays for it.
    NoCredit,
    /// Known, but not at an EVSE of this kind.
    NotAllowedTypeEvse,
    /// Known, but not here.
    NotAtThisLocation,
    /// Known, but not now.
    NotAtThisTime,
    /// Nobody knows it.
    Unknown,
}

impl Status {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        STATUSES.into_iter().map(|(_, status)| status)
    }

    /// The word of the standard.
    pub fn word(self) -> &'static str {
        STATUSES.iter().find(|(_, status)| *status == self).map_or("Unknown", |(word, _)| word)
    }
}

/// What kind of identity a token is: `IdTokenEnumType` of OCPP 2.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenType {
    /// Made by the cloud, such as for an app.
    Central,
    /// A contract of ISO 15118.
    EMaid,
    /// A card of this standard.
    Iso14443,
    /// A card of this standard.
    Iso15693,
    /// Typed by hand.
    KeyCode,
    /// Made by the charger.
    Local,
    /// A car, by its network address.
    MacAddress,
    /// None is needed.
    NoAuthorization,
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
    /// Index into [`crate::Document::principals`]: who plugs in here without a card.
    pub plug_and_charge: Option<usize>,
    /// Never more than this here, in milliamperes.
    pub ceiling_ma: Option<i32>,
}

/// Who has access without being known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The class that anybody charges as at an EVSE that does not say otherwise; `None`: known ones only.
    pub open: Option<usize>,
    /// The class of strangers; `None`: they are refused.
    pub unknown: Option<usize>,
    /// The class of strangers while the cloud cannot be reached; `None`: they are refused, which is the default.
    pub unknown_offline: Option<usize>,
    /// Classes that may start from afar: indices into [`crate::Document::classes`].
    pub remote_start: Vec<usize>,
}

/// What entries may refer to.
pub(crate) struct Names {
    pub classes: Ids,
    pub principals: Ids,
    pub evses: Ids,
    pub schedules: Ids,
    pub quotas: Ids,
}

impl Names {
    /// A reader of a class, or `deny`.
    pub fn class_or_deny(&self) -> impl Fn(&Node) -> Result<Option<usize>, Wrong> {
        |node| match node {
            Node::Text(word) if word == "deny" => Ok(None),
            other => self.classes.one("class")(other).map(Some),
        }
    }
}

/// How an EVSE is entered: is it open?
pub(crate) const MODES: [(&str, bool); 2] = [("open", true), ("authorized_only", false)];

pub(crate) fn access(top: &mut Fields, names: &Names, found: &mut Findings) -> Access {
    let Some(mut access) = top.required_object("access", found) else { return Access::default() };
    let is_open = access.required("default_mode", found, one_of(&MODES));
    let unknown = access.optional("unknown_token", found, names.class_or_deny()).flatten();
    if is_open == Some(true) && unknown.is_none() {
        let text = "open needs a class for those without a card: name it here";
        found.faults.add(Code::Missing, access.at("unknown_token"), text);
    }
    let unknown_offline = access.optional("unknown_token_offline", found, names.class_or_deny()).flatten();
    let starters = list(MOST_CLASSES, names.classes.one("class"));
    let remote_start = access.optional("remote_start", found, starters).unwrap_or_default();
    access.end(found);
    Access { open: unknown.filter(|_| is_open == Some(true)), unknown, unknown_offline, remote_start }
}

/// The class, and whether it says that it may be boosted.
pub(crate) fn class(mut class: Fields, found: &mut Findings) -> Option<(Class, bool)> {
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
        found.faults.add(Code::OutOfRange, class.at("floor_a"), format!("{floor} mA is above ceiling_a, {ceiling} mA"));
    }
    class.optional("throttle", found, one_of(&[("first", ()), ("normal", ()), ("last", ())]));
    let is_boosted = class.optional("boost", found, flag).unwrap_or(false);
    let new_sessions = class.optional("new_sessions", found, flag).unwrap_or(true);
    class.end(found);
    let class = Class {
        id: id?,
        priority: i8::try_from(priority?).ok()?,
        weight: u32::try_from(weight).ok()?,
        floor_ma: floor,
        ceiling_ma: ceiling,
        new_sessions,
    };
    Some((class, is_boosted))
}

pub(crate) fn principal(mut principal: Fields, names: &Names, found: &mut Findings) -> Option<Principal> {
    let id = principal.required("id", &mut Findings::default(), text(MOST_ID));
    let alias = principal.optional("alias", found, text(MOST_ALIAS));
    let classes = memberships(&mut principal, names, found);
    let evses = principal.required("evse", found, |node| match node {
        Node::List(items) if *items == [Node::Text("*".into())] => Ok(None),
        other => list(MOST_EVSES, names.evses.one("evse"))(other).map(Some),
    });
    let valid_until = principal.optional("valid_until", found, time);
    let schedule = principal.optional("schedule", found, names.schedules.one("schedule"));
    let quota = principal.optional("quota", found, names.quotas.one("quota"));
    let billing = principal.optional("billing", found, one_of(&[("free", Billing::Free), ("paid", Billing::Paid)]));
    let profiles = [("CHEAP", None), ("FAST", Some(Mode::Fast)), ("GREEN", Some(Mode::Solar)), ("REGULAR", None)];
    let mode = principal.optional("default_profile_type", found, one_of(&profiles)).flatten();
    principal.end(found);
    Some(Principal { id: id?, alias, classes: classes?, evses: evses?, valid_until, schedule, quota, billing, mode })
}

/// `class`: one, or a list of some; `None` only together with a fault.
fn memberships(principal: &mut Fields, names: &Names, found: &mut Findings) -> Option<Vec<Membership>> {
    let place = principal.at("class");
    let one = names.classes.one("class");
    let always = |class| Membership { class, valid_until: None };
    let items = match principal.node("class") {
        Some(Node::List(items)) => items,
        _ => return principal.required("class", found, one).map(|class| vec![always(class)]),
    };
    if !(1..=MOST_MEMBERSHIPS).contains(&items.len()) {
        let text = format!("{} entries: 1 to {MOST_MEMBERSHIPS} are allowed", items.len());
        found.faults.add(Code::OutOfRange, place, text);
        return None;
    }
    let mut memberships: Vec<Membership> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let pointer = format!("{place}/{index}");
        let membership = match item {
            Node::Object(_) => Fields::of(item, pointer.clone(), found).and_then(|mut fields| {
                let class = fields.required("class", found, &one);
                let valid_until = fields.optional("valid_until", found, time);
                fields.end(found);
                class.map(|class| Membership { class, valid_until })
            }),
            Node::Text(_) => one(item).map_err(|(code, text)| found.faults.add(code, &pointer, text)).ok().map(always),
            other => {
                let (code, text) = wrong_type(other, "the id of a class, or an object");
                found.faults.add(code, &pointer, text);
                None
            }
        };
        let Some(membership) = membership else { continue };
        if memberships.iter().any(|before| before.class == membership.class) {
            found.faults.add(Code::DuplicateId, pointer, "names a class for the second time");
        }
        memberships.push(membership);
    }
    Some(memberships)
}

const STATUSES: [(&str, Status); 10] = [
    ("Accepted", Status::Accepted),
    ("Blocked", Status::Blocked),
    ("ConcurrentTx", Status::ConcurrentTx),
    ("Expired", Status::Expired),
    ("Invalid", Status::Invalid),
    ("NoCredit", Status::NoCredit),
    ("NotAllowedTypeEVSE", Status::NotAllowedTypeEvse),
    ("NotAtThisLocation", Status::NotAtThisLocation),
    ("NotAtThisTime", Status::NotAtThisTime),
    ("Unknown", Status::Unknown),
];

const TYPES: [(&str, TokenType); 8] = [
    ("Central", TokenType::Central),
    ("eMAID", TokenType::EMaid),
    ("ISO14443", TokenType::Iso14443),
    ("ISO15693", TokenType::Iso15693),
    ("KeyCode", TokenType::KeyCode),
    ("Local", TokenType::Local),
    ("MacAddress", TokenType::MacAddress),
    ("NoAuthorization", TokenType::NoAuthorization),
];

/// A card's number as it is compared: upper case without separators, so that `04:a2-b3` and `04A2B3` are one card.
/// OCPP 1.6 compares idTags without case.
pub fn normalise(uid: &str) -> String {
    uid.chars().filter(|c| !matches!(c, ':' | '-' | ' ' | '.')).map(|c| c.to_ascii_uppercase()).collect()
}

pub(crate) fn tokens(entries: Vec<Fields>, names: &Names, found: &mut Findings) -> Vec<Token> {
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
    let kind = token.optional("type", found, one_of(&TYPES));
    let principal = token.required("principal", found, names.principals.one("principal"));
    let status = token.required("status", found, one_of(&STATUSES));
    let valid_until = token.optional("valid_until", found, time);
    let group = token.optional("group", found, text(MOST_ID));
    let reason = token.optional("reason", found, text(MOST_ALIAS));
    let is_offline_allowed = token.optional("offline", found, flag).unwrap_or(true);
    let is_concurrent_allowed = token.optional("concurrent", found, flag).unwrap_or(true);
    token.end(found);
    Some(Token {
        uid: uid?,
        kind,
        principal: principal?,
        status: status?,
        reason,
        group,
        valid_until,
        is_offline_allowed,
        is_concurrent_allowed,
    })
}

pub(crate) fn evse(mut evse: Fields, access: &Access, names: &Names, found: &mut Findings) -> Option<Evse> {
    let id = evse.required("id", &mut Findings::default(), text(MOST_ID));
    let identity = evse.optional("ocpp_id", found, text(MOST_ID));
    let connector = evse.optional("connector", found, whole(1..=1_000)).unwrap_or(1);
    let is_open = evse.optional("mode", found, one_of(&MODES)).unwrap_or(access.open.is_some());
    let open_class = evse.optional("open_class", found, names.classes.one("class"));
    let open = open_class.or(access.unknown).filter(|_| is_open);
    if is_open && open.is_none() {
        found.faults.add(Code::Missing, evse.at("open_class"), "is missing, and access.unknown_token names no class");
    }
    let plug_and_charge = evse.optional("plug_and_charge", found, names.principals.one("principal"));
    let ceiling_ma = evse.optional("max_a", found, amps);
    let phases = [("auto", false), ("single", true), ("three", false)];
    if evse.optional("phases", found, one_of(&phases)) == Some(true) {
        found.warnings.effect("evse.phases: not enforced by this version: single may use ALL wired phases");
    }
    let pointer = evse.pointer.clone();
    evse.end(found);
    let ocpp = identity.zip(u32::try_from(connector).ok());
    Some(Evse { pointer, id: id?, ocpp, open, plug_and_charge, ceiling_ma })
}
