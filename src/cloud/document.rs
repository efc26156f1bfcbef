//! Is this a policy document for us, and what does it say? All of it or nothing: one fault refuses the whole document.
//!
//! Field by field it is described in `docs/POLICY.md`. An unknown *field* is a warning, so that a newer cloud can add
//! some; an unknown *word* where only known ones are allowed is a fault, as its meaning may be a restriction.

use super::entries::{self, Class, Evse, MODES, MOST_EVSES, Names, Principal, Token};
use super::fault::{Code, Faults, Findings, Warnings, shown};
use super::fields::{Fields, Ids, MOST_ID, MOST_WHOLE, amps, flag, list, one_of, text, time, whole};
use super::json::{self, MOST_BYTES, Node};
use crate::time::Duration;
use crate::units::{Amps, PerPhase};
use chrono::{DateTime, Utc};

/// The most tokens; a site is a home, a yard or a garage.
const MOST_TOKENS: usize = 5_000;

/// The most principals: no more than tokens.
const MOST_PRINCIPALS: usize = 5_000;

/// The most classes: a tier has a few, and there are 19 priorities.
const MOST_CLASSES: usize = 100;

/// A document stands so long after its end where it does not say.
const USUAL_GRACE_S: i64 = 7 * 86_400;

/// A document never stands longer than this after its end: 14 days.
const MOST_GRACE_S: i64 = 14 * 86_400;

/// What follows `headroom.policy/` in a schema that this version reads.
const MAJOR: &str = "1";

/// The sections that are obeyed here; `critical` may name no other.
const OBEYED: [&str; 17] = [
    "schema",
    "gateway_id",
    "location_id",
    "epoch",
    "version",
    "issued_at",
    "not_before",
    "expires_at",
    "refresh_after_s",
    "grace_s",
    "critical",
    "access",
    "classes",
    "principals",
    "tokens",
    "evse",
    "limits",
];

/// Who a document has to be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// This gateway.
    pub gateway_id: String,
    /// The location that it serves.
    pub location_id: String,
}

/// A document without faults. References are indices into its own lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// `version` starts anew with each epoch.
    pub epoch: u64,
    /// Counts up with every change.
    pub version: u64,
    /// When the cloud made it.
    pub issued_at: DateTime<Utc>,
    /// It must not be taken before.
    pub not_before: Option<DateTime<Utc>>,
    /// When it should have been replaced.
    pub expires_at: DateTime<Utc>,
    /// How long it still stands after that.
    pub grace: Duration,
    /// How often to ask for it, where it says.
    pub refresh: Option<Duration>,
    /// The class that anybody charges as at an EVSE that does not say otherwise; `None`: known ones only.
    pub open: Option<usize>,
    /// The class of strangers; `None`: they are refused.
    pub unknown: Option<usize>,
    /// The class of such a card offline, where it says so; inside, `None`: refused.
    pub unknown_offline: Option<Option<usize>>,
    /// Tiers and shares.
    pub classes: Vec<Class>,
    /// People and groups.
    pub principals: Vec<Principal>,
    /// Cards; their numbers are normalised.
    pub tokens: Vec<Token>,
    /// EVSEs of the location.
    pub evses: Vec<Evse>,
    /// Share of the main fuse that may be used, in percent.
    pub main_fuse_percent: Option<i64>,
    /// The most that may be imported, each phase.
    pub import_max: Option<PerPhase<Amps>>,
    /// May names of people be shown?
    pub publish_alias: bool,
    /// What is ignored, and what that means.
    pub warnings: Warnings,
}

/// Reads a document.
///
/// # Errors
/// Everything that is wrong with it, each with its place. Times are not compared with a clock here, nor versions with
/// earlier ones: that is for whoever takes it.
pub fn parse(bytes: &[u8], addressee: &Addressee) -> Result<Document, Faults> {
    if bytes.len() > MOST_BYTES {
        return Err(Faults::one(Code::TooLarge, "", format!("is longer than {MOST_BYTES} bytes")));
    }
    let tree = json::parse(bytes).map_err(|why| Faults::one(Code::Syntax, "", why))?;
    let mut found = Findings::default();
    for pointer in json::duplicates(&tree) {
        found.faults.add(Code::DuplicateKey, pointer, "stands twice");
    }
    let top = Fields::of(&tree, String::new(), &mut found);
    let document = top.and_then(|top| read(top, addressee, &mut found));
    match document {
        Some(document) if found.faults.is_empty() => Ok(Document { warnings: found.warnings, ..document }),
        Some(_) | None => Err(found.faults),
    }
}

/// `None` only together with a fault.
fn read(mut top: Fields, addressee: &Addressee, found: &mut Findings) -> Option<Document> {
    top.required("schema", found, schema);
    top.required("gateway_id", found, same(&addressee.gateway_id, Code::OtherGateway));
    top.required("location_id", found, same(&addressee.location_id, Code::OtherLocation));
    let epoch = top.required("epoch", found, whole(0..=MOST_WHOLE));
    let version = top.required("version", found, whole(0..=MOST_WHOLE));
    let issued_at = top.required("issued_at", found, time);
    let not_before = top.optional("not_before", found, time);
    let expires_at = top.required("expires_at", found, time);
    if let (Some(start), Some(end)) = (not_before.max(issued_at), expires_at)
        && start >= end
    {
        found.faults.add(Code::OutOfRange, "/expires_at", "is not after issued_at and not_before");
    }
    let refresh = top.optional("refresh_after_s", found, whole(10..=86_400));
    let grace = top.optional("grace_s", found, whole(0..=MOST_GRACE_S)).unwrap_or(USUAL_GRACE_S);
    let critical = top.optional("critical", found, list(OBEYED.len(), text(MOST_ID))).unwrap_or_default();
    for name in critical.iter().filter(|name| !OBEYED.contains(&name.as_str())) {
        found.faults.add(Code::Critical, "/critical", format!("\"{}\" is not enforced by this version", shown(name)));
    }

    top.required("classes", found, |_| Ok(()));
    let mut classes = top.objects("classes", MOST_CLASSES, found);
    let mut principals = top.objects("principals", MOST_PRINCIPALS, found);
    let mut evses = top.objects("evse", MOST_EVSES, found);
    let tokens = top.objects("tokens", MOST_TOKENS, found);
    let names = Names {
        classes: Ids::of(&mut classes, found),
        principals: Ids::of(&mut principals, found),
        evses: Ids::of(&mut evses, found),
        schedules: top.names("schedules"),
        quotas: top.names("quotas"),
    };
    let Access { open, unknown, unknown_offline } = access(&mut top, &names, found);
    let classes = classes.into_iter().filter_map(|entry| entries::class(entry, found)).collect();
    let principals = principals.into_iter().filter_map(|entry| entries::principal(entry, &names, found)).collect();
    let tokens = entries::tokens(tokens, &names, found);
    let evses =
        evses.into_iter().filter_map(|entry| entries::evse(entry, unknown, open.is_some(), &names, found)).collect();
    let (main_fuse_percent, import_max) = limits(&mut top, found);
    let publish_alias = privacy(&mut top, found);
    ignored(&mut top, found);
    top.end(found);
    Some(Document {
        epoch: epoch?.unsigned_abs(),
        version: version?.unsigned_abs(),
        issued_at: issued_at?,
        not_before,
        expires_at: expires_at?,
        grace: Duration::from_secs(grace.unsigned_abs()),
        refresh: refresh.map(|seconds| Duration::from_secs(seconds.unsigned_abs())),
        open,
        unknown,
        unknown_offline,
        classes,
        principals,
        tokens,
        evses,
        main_fuse_percent,
        import_max,
        publish_alias,
        warnings: Warnings::default(),
    })
}

fn schema(node: &Node) -> Result<(), (Code, String)> {
    let text = text(MOST_ID)(node)?;
    let number = text.strip_prefix("headroom.policy/").and_then(|version| version.split_once('.'));
    match number {
        Some((MAJOR, minor)) if !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err((
            Code::UnsupportedSchema,
            format!("\"{}\": this version reads headroom.policy/{MAJOR}.x", shown(&text)),
        )),
    }
}

fn same(ours: &str, code: Code) -> impl Fn(&Node) -> Result<(), (Code, String)> {
    move |node| {
        let theirs = text(MOST_ID)(node)?;
        let complaint = || (code, format!("is \"{}\", but this is \"{ours}\"", shown(&theirs)));
        if theirs == ours { Ok(()) } else { Err(complaint()) }
    }
}

#[derive(Default)]
struct Access {
    open: Option<usize>,
    unknown: Option<usize>,
    unknown_offline: Option<Option<usize>>,
}

fn access(top: &mut Fields, names: &Names, found: &mut Findings) -> Access {
    let Some(mut access) = top.required_object("access", found) else { return Access::default() };
    let is_open = access.required("default_mode", found, one_of(&MODES));
    let unknown = access.optional("unknown_token", found, class_or_deny(names)).flatten();
    let open = unknown.filter(|_| is_open == Some(true));
    if is_open == Some(true) && unknown.is_none() {
        let text = "open needs a class for those without a card: name it here";
        found.faults.add(Code::Missing, access.at("unknown_token"), text);
    }
    let unknown_offline = access.optional("unknown_token_offline", found, class_or_deny(names));
    if access.optional("remote_start", found, list(MOST_CLASSES, names.classes.one("class"))).is_some() {
        found.warnings.effect("access.remote_start: not enforced by this version: nobody can start from afar");
    }
    access.end(found);
    Access { open, unknown, unknown_offline }
}

fn class_or_deny(names: &Names) -> impl Fn(&Node) -> Result<Option<usize>, (Code, String)> {
    |node| match node {
        Node::Text(word) if word == "deny" => Ok(None),
        other => names.classes.one("class")(other).map(Some),
    }
}

fn limits(top: &mut Fields, found: &mut Findings) -> (Option<i64>, Option<PerPhase<Amps>>) {
    let Some(mut limits) = top.object("limits", found) else { return (None, None) };
    let percent = limits.optional("main_fuse_pct", found, whole(0..=1_000));
    let import_max = limits.optional("import_max_a", found, |node| match node {
        Node::List(items) => match items.as_slice() {
            [a, b, c] => Ok(PerPhase([amps(a)?, amps(b)?, amps(c)?])),
            _ => Err((Code::OutOfRange, format!("{} entries: L1, L2 and L3 are three", items.len()))),
        },
        one => amps(one).map(PerPhase::all),
    });
    if limits.node("export_max_w").is_some() {
        found.warnings.effect("limits.export_max_w: not enforced by this version: export is NOT limited");
    }
    limits.end(found);
    (percent, import_max)
}

fn privacy(top: &mut Fields, found: &mut Findings) -> bool {
    let Some(mut privacy) = top.object("privacy", found) else { return false };
    let publish_alias = privacy.optional("publish_alias", found, flag).unwrap_or(false);
    // Card numbers are never shown, whatever this says.
    privacy.optional("publish_token_uid", found, flag);
    privacy.end(found);
    publish_alias
}

/// Sections that this version reads over, and what that means for whoever wrote them.
const IGNORED: [(&str, &str); 6] = [
    ("schedules", "schedules: not enforced by this version: principals with one may charge at ANY time"),
    ("quotas", "quotas: not enforced by this version: principals with one may charge BEYOND it"),
    ("boost", "boost: not enforced by this version: nobody is boosted"),
    (
        "mode",
        "mode: not enforced by this version: cars charge from the grid as well as from the sun, which may be MORE",
    ),
    ("revocation", "revocation: not enforced by this version: what classes and tokens say holds at once"),
    (
        "offline_profile",
        "offline_profile: not enforced by this version: after the grace period [policy] of the configuration file holds, \
         which may allow MORE",
    ),
];

fn ignored(top: &mut Fields, found: &mut Findings) {
    for (section, effect) in IGNORED {
        if top.object(section, found).is_some() {
            found.warnings.effect(effect);
        }
    }
    top.optional("timezone", found, text(MOST_ID));
    if top.optional("uk_regs", found, flag) == Some(true) {
        found.warnings.effect("uk_regs: not enforced by this version: no off-peak hours, no random delay");
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
