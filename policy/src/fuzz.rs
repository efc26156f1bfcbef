//! What must hold for any bytes at all? The bodies of the fuzz targets, run over mutated documents by `cargo test` too.

use crate::document::{Addressee, Document, parse};
use crate::envelope::{KEYS_TYPE, POLICY_TYPE, TOMBSTONE_TYPE};
use crate::fault::Faults;
use crate::keys::Keys;
use crate::prepared::parse_prepared;
use crate::requests::{Requests, parse_requests};
use crate::rules::OnExceed;
use crate::seal::{SigningKey, seal};
use crate::tombstone::{Tombstone, Word};
use crate::trust::{Keyring, Kind, Roots, Trust};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Every field there is.
const EXAMPLE: &[u8] = include_bytes!("../../docs/policy.json");

/// For the gateway of [`EXAMPLE`], signed with it.
const TOMBSTONE: &[u8] = br#"{"schema": "headroom.tombstone/1.0", "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
    "epoch": 3, "version": 1843, "issued_at": "2026-11-21T18:00:00Z"}"#;

/// What somebody wants, and what was prepared.
const REQUESTS: &[u8] = br#"{"schema": "headroom.requests/1.0", "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
    "issued_at": "2026-11-21T18:00:00Z", "requests": [
    {"id": "r-1", "kind": "start", "evse": "left", "principal": "usr_a", "expires_at": "2026-11-21T18:01:00Z"},
    {"id": "r-2", "kind": "pair", "ocpp_id": "HOME-1", "connector": 2, "expires_at": "2026-11-21T18:01:00Z"},
    {"id": "r-3", "kind": "claim", "pin": "01234567", "expires_at": "2026-11-21T18:01:00Z"}]}"#;
const PREPARED: &[u8] = br#"{"schema": "headroom.preconfiguration/1.0", "gateway_id": "gw_7Q2M",
    "location_id": "loc_51AF", "issued_at": "2026-11-21T18:00:00Z", "toml": "[[circuit]]\nid = \"main\""}"#;

/// The signing keys, and what is signed by them.
struct World {
    us: Addressee,
    root: SigningKey,
    key: SigningKey,
    /// Knows both.
    trust: Trust,
    keys: Vec<u8>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let key = |id: &str, seed| SigningKey::from_seed(id, &[seed; 32]).unwrap_or_else(|| panic!("no seed"));
    let (root, key) = (key("root", 1), key("policy-1", 2));
    let keys = format!(
        r#"{{"schema": "headroom.keys/1.0", "epoch": 3, "issued_at": "2026-11-01T00:00:00Z",
        "expires_at": "2028-01-01T00:00:00Z", "keys": [{{"keyid": "policy-1", "public": "{}"}}]}}"#,
        key.public()
    );
    let roots = Roots::read(&[("root".to_owned(), root.public())].into());
    let mut trust = Trust::Signed(Keyring::new(roots.unwrap_or_else(|why| panic!("{why}"))));
    let taken = trust.offer_keys(&seal(KEYS_TYPE, keys.as_bytes(), &[&root]), None);
    assert_eq!(taken, Ok(true));
    let us = Addressee { gateway_id: "gw_7Q2M".into(), location_id: "loc_51AF".into() };
    World { us, root, key, trust, keys: keys.into_bytes() }
});

/// Good documents to begin with, bare and in their envelopes.
pub fn seeds() -> Vec<Vec<u8>> {
    let World { root, key, keys, .. } = &*WORLD;
    vec![
        EXAMPLE.to_vec(),
        TOMBSTONE.to_vec(),
        REQUESTS.to_vec(),
        PREPARED.to_vec(),
        keys.clone(),
        seal(POLICY_TYPE, EXAMPLE, &[key]),
        seal(TOMBSTONE_TYPE, TOMBSTONE, &[key]),
        seal(KEYS_TYPE, keys, &[root]),
    ]
}

/// Reads the bytes as a document of each kind; panics where a promise is broken.
pub fn fuzz(bytes: &[u8]) {
    let us = &WORLD.us;
    match parse(bytes, us) {
        Ok(document) => is_sound(&document),
        Err(faults) => is_reason(&faults),
    }
    let requests = parse_requests(bytes, us);
    if let Ok(requests) = &requests {
        are_few(requests);
    }
    let prepared = parse_prepared(bytes, us).map(drop);
    for outcome in [Keys::parse(bytes).map(drop), Tombstone::parse(bytes, us).map(drop), requests.map(drop), prepared] {
        outcome.unwrap_or_else(|faults| is_reason(&faults));
    }
}

/// Reads the bytes as an envelope, and as what somebody with a key put into one; panics where a promise is broken.
pub fn fuzz_envelope(bytes: &[u8]) {
    let World { us, root, key, trust, keys } = &*WORLD;
    // The secrets are nobody's: what is opened is what was signed, byte for byte.
    match trust.open(bytes, None) {
        Ok(opened) => {
            let signed = if opened.kind == Kind::Policy { EXAMPLE } else { TOMBSTONE };
            assert!(*opened.payload == *signed, "a forged envelope is opened");
        }
        Err(faults) => is_reason(&faults),
    }
    match trust.clone().offer_keys(bytes, None) {
        Ok(is_other) => assert!(!is_other, "forged keys are taken"),
        Err(faults) => is_reason(&faults),
    }
    for payload_type in [POLICY_TYPE, TOMBSTONE_TYPE] {
        let sealed = seal(payload_type, bytes, &[key]);
        match trust.open(&sealed, None) {
            Ok(opened) => {
                assert!(*opened.payload == *bytes, "an envelope changes what is in it");
                match Word::read(&opened, us) {
                    Ok(Word::Policy(document)) => is_sound(&document),
                    Ok(Word::Tombstone(_)) => assert_eq!(opened.kind, Kind::Tombstone),
                    Err(faults) => is_reason(&faults),
                }
            }
            Err(faults) => is_reason(&faults),
        }
    }
    let mut trust = trust.clone();
    let sealed = seal(KEYS_TYPE, bytes, &[root]);
    match trust.offer_keys(&sealed, None) {
        Ok(is_other) => {
            assert!(is_other != (bytes == keys) && trust.vouched() >= Some(3), "older keys are taken");
            assert_eq!(trust.offer_keys(&sealed, None), Ok(false));
        }
        Err(faults) => is_reason(&faults),
    }
}

/// A refusal says why, in one line.
fn is_reason(faults: &Faults) {
    assert!(!faults.is_empty(), "refused without a reason");
    assert!(!faults.to_string().contains(char::is_control), "a fault breaks the line: {faults:?}");
}

/// What whoever carries them out relies on.
fn are_few(requests: &Requests) {
    let ids: BTreeSet<&str> = requests.requests.iter().map(|request| request.id.as_str()).collect();
    assert!(ids.len() == requests.requests.len() && ids.len() <= 20, "an id twice, or too many");
}

/// Everything that a reader of a document relies on.
fn is_sound(document: &Document) {
    let classes = document.classes.len();
    let are_classes = |list: &[usize]| list.iter().all(|class| *class < classes);
    let access = &document.access;
    let strangers = [access.open, access.unknown, access.unknown_offline];
    assert!(strangers.into_iter().flatten().all(|class| class < classes));
    assert!(are_classes(&access.remote_start) && are_classes(&document.boost.allowed));
    assert!(document.boost.allowed.is_sorted() && document.boost.max_duration_s >= 60);
    assert!(document.issued_at < document.expires_at && document.grace_s <= 14 * 86_400);
    for class in &document.classes {
        assert!((-9..=9).contains(&class.priority) && (1..=1_000).contains(&class.weight));
        assert!(class.floor_ma.is_none_or(|floor| floor >= 0 && class.ceiling_ma.is_none_or(|most| floor <= most)));
    }
    for principal in &document.principals {
        let named: BTreeSet<usize> = principal.classes.iter().map(|membership| membership.class).collect();
        assert!(!named.is_empty() && named.len() == principal.classes.len());
        assert!(named.iter().all(|class| *class < classes));
        assert!(principal.evses.iter().flatten().all(|evse| *evse < document.evses.len()));
        assert!(principal.schedule.is_none_or(|index| index < document.schedules.len()));
        assert!(principal.quota.is_none_or(|index| index < document.quotas.len()));
    }
    let cards: BTreeSet<&str> = document.tokens.iter().map(|token| token.uid.as_str()).collect();
    assert!(cards.len() == document.tokens.len() && !cards.contains(""));
    assert!(document.tokens.iter().all(|token| token.principal < document.principals.len()));
    for evse in &document.evses {
        assert!(evse.open.is_none_or(|class| class < classes));
        assert!(evse.plug_and_charge.is_none_or(|principal| principal < document.principals.len()));
        assert!(evse.ceiling_ma.is_none_or(|most| most >= 0));
    }
    for window in document.schedules.iter().flat_map(|schedule| &schedule.windows) {
        assert!(window.days.contains(&true) && window.from_min < 1_440 && window.to_min < 1_440);
    }
    for quota in &document.quotas {
        assert!((1..=1_000_000_000).contains(&quota.energy_wh));
        assert!(!matches!(quota.on_exceed, OnExceed::Class(class) if class >= classes));
    }
    assert!(document.import_max_ma.iter().flatten().all(|most| *most >= 0));
}
