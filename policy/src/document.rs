//! Is this a policy document for us, and what does it say? All of it or nothing: one fault refuses the whole document.
//!
//! Field by field it is described in `docs/POLICY.md`. An unknown *field* is a warning, so that a newer cloud can add
//! some; an unknown *word* where only known ones are allowed is a fault, as its meaning may be a restriction.

use crate::admit::Stamp;
use crate::entries::{self, Access, Class, Evse, MOST_CLASSES, MOST_EVSES, Names, Principal, Token};
use crate::fault::{Code, Faults, Findings, Warnings, shown};
use crate::fields::{Fields, Ids, MOST_ID, MOST_WHOLE, Wrong, amps, flag, list, object, text, time, whole};
use crate::json::{MOST_BYTES, Node};
use crate::rules::{self, Boost, MOST_RULES, Modes, OfflineProfile, Quota, Revocation, Schedule};
use chrono::{DateTime, Utc};

/// The most tokens; a site is a home, a yard or a garage.
pub(crate) const MOST_TOKENS: usize = 5_000;

/// The most principals: no more than tokens.
const MOST_PRINCIPALS: usize = 5_000;

/// A document stands so long after its end where it does not say.
const USUAL_GRACE_S: i64 = 7 * 86_400;

/// A document never stands longer than this after its end: 14 days.
const MOST_GRACE_S: i64 = 14 * 86_400;

/// What follows `headroom.policy/`, `headroom.keys/` and `headroom.tombstone/` in a schema that this version reads.
const MAJOR: &str = "1";

/// Where a document does not say in which time zone its schedules are.
const USUAL_TIMEZONE: &str = "UTC";

/// The sections that are obeyed here; `critical` may name no other.
const OBEYED: [&str; 25] = [
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
    "timezone",
    "schedules",
    "quotas",
    "boost",
    "revocation",
    "offline_profile",
    "ageing_s",
    "mode",
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
    /// The SHA-256 of its bytes: by it an acknowledgement says which one was meant.
    pub sha256: [u8; 32],
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
    /// How long it still stands after that, 0…1209600 s (14 days).
    pub grace_s: u32,
    /// How often to ask for it, where it says, 10…86400 s.
    pub refresh_s: Option<u32>,
    /// The IANA name of the time zone of schedules and quotas, as it is in the document: whether there is such a zone
    /// is for whoever knows zones.
    pub timezone: String,
    /// Strangers.
    pub access: Access,
    /// Tiers and shares.
    pub classes: Vec<Class>,
    /// People and groups.
    pub principals: Vec<Principal>,
    /// Cards; their numbers are normalised.
    pub tokens: Vec<Token>,
    /// EVSEs of the location.
    pub evses: Vec<Evse>,
    /// When principals may charge.
    pub schedules: Vec<Schedule>,
    /// How much they may charge.
    pub quotas: Vec<Quota>,
    /// Who may be served first for a while.
    pub boost: Boost,
    /// What becomes of a session whose right has ended.
    pub revocation: Revocation,
    /// How cars charge of which nothing else is said.
    pub mode: Modes,
    /// Share of the main fuse that may be used, in percent, 0…1000.
    pub main_fuse_percent: Option<u16>,
    /// The most that may be imported, each phase, in milliamperes.
    pub import_max_ma: Option<[i32; 3]>,
    /// May names of people be shown?
    pub publish_alias: bool,
    /// Each such span of waiting adds 1 to the priority, 0…86400 s, where it says; 0: none does.
    pub ageing_s: Option<u32>,
    /// What holds once the time of grace is over, where it says.
    pub offline: Option<OfflineProfile>,
    /// What is ignored, and what that means.
    pub warnings: Warnings,
}

impl Document {
    /// Which one it is, for [`crate::admit()`].
    pub fn stamp(&self) -> Stamp {
        Stamp { epoch: self.epoch, version: self.version, sha256: self.sha256 }
    }
}

/// Reads a document.
///
/// # Errors
/// Everything that is wrong with it, each with its place. Times are not compared with a clock here, nor versions with
/// earlier ones: that is for whoever takes it.
pub fn parse(bytes: &[u8], addressee: &Addressee) -> Result<Document, Faults> {
    let (document, warnings) = object(bytes, MOST_BYTES, |top, found| read(top, addressee, found))?;
    Ok(Document { sha256: sha256(bytes), warnings, ..document })
}

/// The SHA-256 of these bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut sum = [0; 32];
    sum.copy_from_slice(digest.as_ref());
    sum
}

/// `None` only together with a fault.
fn read(mut top: Fields, addressee: &Addressee, found: &mut Findings) -> Option<Document> {
    let Head { epoch, version, issued_at, not_before, expires_at, refresh_s, grace_s } =
        head(&mut top, addressee, found);
    let mut classes = top.objects("classes", MOST_CLASSES, found);
    let mut principals = top.objects("principals", MOST_PRINCIPALS, found);
    let mut evses = top.objects("evse", MOST_EVSES, found);
    let tokens = top.objects("tokens", MOST_TOKENS, found);
    let schedules = top.named("schedules", MOST_RULES, found);
    let quotas = top.named("quotas", MOST_RULES, found);
    let names = Names {
        classes: Ids::of(&mut classes, found),
        principals: Ids::of(&mut principals, found),
        evses: Ids::of(&mut evses, found),
        schedules: Ids::named(&schedules),
        quotas: Ids::named(&quotas),
    };
    let access = entries::access(&mut top, &names, found);
    let classes: Vec<(Class, bool)> = classes.into_iter().filter_map(|entry| entries::class(entry, found)).collect();
    let boosted = classes.iter().enumerate().filter(|(_, (_, is_boosted))| *is_boosted).map(|(index, _)| index);
    let boost = rules::boost(&mut top, boosted.collect(), &names, found);
    let principals = principals.into_iter().filter_map(|entry| entries::principal(entry, &names, found)).collect();
    let tokens = entries::tokens(tokens, &names, found);
    let evses = evses.into_iter().filter_map(|entry| entries::evse(entry, &access, &names, found)).collect();
    let schedules = schedules.into_iter().filter_map(|(id, entry)| rules::schedule(id, entry, found)).collect();
    let quotas = quotas.into_iter().filter_map(|(id, entry)| rules::quota(id, entry, &names.classes, found)).collect();
    let revocation = rules::revocation(&mut top, found);
    let mode = rules::mode(&mut top, found);
    let timezone = top.optional("timezone", found, text(MOST_ID));
    let (main_fuse_percent, import_max_ma) = limits(&mut top, found);
    let publish_alias = privacy(&mut top, found);
    let ageing_s = top.optional("ageing_s", found, whole(0..=86_400)).and_then(|span| u32::try_from(span).ok());
    let offline = rules::offline_profile(&mut top, &names, found);
    ignored(&mut top, found);
    top.end(found);
    Some(Document {
        sha256: [0; 32],
        epoch: epoch?.unsigned_abs(),
        version: version?.unsigned_abs(),
        issued_at: issued_at?,
        not_before,
        expires_at: expires_at?,
        grace_s,
        refresh_s,
        timezone: timezone.unwrap_or_else(|| USUAL_TIMEZONE.into()),
        access,
        classes: classes.into_iter().map(|(class, _)| class).collect(),
        principals,
        tokens,
        evses,
        schedules,
        quotas,
        boost,
        revocation,
        mode,
        main_fuse_percent,
        import_max_ma,
        publish_alias,
        ageing_s,
        offline,
        warnings: Warnings::default(),
    })
}

/// Whom it is for, and when.
struct Head {
    epoch: Option<i64>,
    version: Option<i64>,
    issued_at: Option<DateTime<Utc>>,
    not_before: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    refresh_s: Option<u32>,
    grace_s: u32,
}

fn head(top: &mut Fields, addressee: &Addressee, found: &mut Findings) -> Head {
    top.required("schema", found, schema("headroom.policy/"));
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
    Head {
        epoch,
        version,
        issued_at,
        not_before,
        expires_at,
        refresh_s: refresh.and_then(|seconds| u32::try_from(seconds).ok()),
        grace_s: u32::try_from(grace).unwrap_or_default(),
    }
}

/// A schema of this name, and of the major version that is read here.
pub(crate) fn schema(name: &'static str) -> impl Fn(&Node) -> Result<(), Wrong> {
    move |node| {
        let text = text(MOST_ID)(node)?;
        let number = text.strip_prefix(name).and_then(|version| version.split_once('.'));
        match number {
            Some((MAJOR, minor)) if !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
            _ => Err((Code::UnsupportedSchema, format!("\"{}\": this version reads {name}{MAJOR}.x", shown(&text)))),
        }
    }
}

/// Our own id.
pub(crate) fn same(ours: &str, code: Code) -> impl Fn(&Node) -> Result<(), Wrong> {
    move |node| {
        let theirs = text(MOST_ID)(node)?;
        let complaint = || (code, format!("is \"{}\", but this is \"{ours}\"", shown(&theirs)));
        if theirs == ours { Ok(()) } else { Err(complaint()) }
    }
}

fn limits(top: &mut Fields, found: &mut Findings) -> (Option<u16>, Option<[i32; 3]>) {
    let Some(mut limits) = top.object("limits", found) else { return (None, None) };
    let percent = limits.optional("main_fuse_pct", found, whole(0..=1_000));
    let import_max = limits.optional("import_max_a", found, |node| match node {
        Node::List(items) => match items.as_slice() {
            [a, b, c] => Ok([amps(a)?, amps(b)?, amps(c)?]),
            _ => Err((Code::OutOfRange, format!("{} entries: L1, L2 and L3 are three", items.len()))),
        },
        one => amps(one).map(|all| [all; 3]),
    });
    if limits.node("export_max_w").is_some() {
        found.warnings.effect("limits.export_max_w: not enforced by this version: export is NOT limited");
    }
    limits.end(found);
    (percent.and_then(|percent| u16::try_from(percent).ok()), import_max)
}

fn privacy(top: &mut Fields, found: &mut Findings) -> bool {
    let Some(mut privacy) = top.object("privacy", found) else { return false };
    let publish_alias = privacy.optional("publish_alias", found, flag).unwrap_or(false);
    // Card numbers are never shown, whatever this says.
    privacy.optional("publish_token_uid", found, flag);
    privacy.end(found);
    publish_alias
}

/// Sections that this version does not enforce, and what that means for whoever wrote them.
fn ignored(top: &mut Fields, found: &mut Findings) {
    if top.optional("uk_regs", found, flag) == Some(true) {
        found.warnings.effect("uk_regs: not enforced by this version: no off-peak hours, no random delay");
    }
}
