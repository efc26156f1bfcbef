//! Is nothing obeyed that nobody vouches for, over changes of keys and restarts?

use super::super::fixture::{example, ground, us};
use super::*;
use crate::policy::Origin;
use chrono::TimeDelta;
use headroom_policy::{KEYS_TYPE, Keyring, POLICY_TYPE, Roots, SigningKey, TOMBSTONE_TYPE, seal};
use serde_json::{Value, json};

#[test]
fn only_what_a_vouched_key_signed_is_taken() {
    let mut standing = begin(None);
    assert_eq!(refused(offer(&mut standing, example().to_string().as_bytes())), Code::NotDsse);
    let signed = sealed(&example(), "policy-1");
    assert_eq!(refused(offer(&mut standing, &signed)), Code::UnknownKey);
    assert!(standing.needs_keys(&signed, evening()));
    assert_eq!(standing.offer_keys(&keys(3, &["policy-1"]), evening()), Ok(None));
    assert!(!standing.needs_keys(&signed, evening()));
    assert!(matches!(offer(&mut standing, &signed), Outcome::Taken { .. }));
    assert_eq!(offer(&mut standing, &signed), Outcome::Confirmed);

    let mut forged: Value = serde_json::from_slice(&signed).unwrap();
    forged["payload"] = serde_json::from_slice::<Value>(&sealed(&version(1843), "thief")).unwrap()["payload"].clone();
    for (bytes, code) in [
        (forged.to_string().into_bytes(), Code::BadSignature),
        (sealed(&version(1843), "thief"), Code::UnknownKey),
        (seal(KEYS_TYPE, b"{}", &[&key("policy-1")]), Code::PayloadType),
        (version(1843).to_string().into_bytes(), Code::NotDsse),
        (sealed(&version(1841), "policy-1"), Code::Rollback),
        (sealed(&json!({}), "policy-1"), Code::Missing),
    ] {
        assert_eq!(refused(offer(&mut standing, &bytes)), code);
        assert_eq!(standing.look(Moment::START, evening()).state.version, Some(1842), "{code:?}");
    }
}

#[test]
fn a_new_epoch_waits_for_the_word_of_the_root_key() {
    let (mut standing, _) = taken();
    let mut next = version(1);
    next["epoch"] = json!(4);
    let next = sealed(&next, "policy-1");
    assert_eq!(refused(offer(&mut standing, &next)), Code::EpochUnproven);
    assert!(standing.needs_keys(&next, evening()));
    assert!(standing.offer_keys(&keys(4, &["policy-1"]), evening()).is_ok_and(|keep| keep.is_some()));
    assert!(matches!(offer(&mut standing, &next), Outcome::Taken { .. }));
}

#[test]
fn what_was_kept_is_verified_again() {
    let (_, keep) = taken();
    let mut standing = begin(Some(&keep));
    assert_eq!(standing.look(Moment::START, evening()).state.version, Some(1842));
    assert_eq!(offer(&mut standing, &sealed(&example(), "policy-1")), Outcome::Confirmed);
    assert_eq!(refused(offer(&mut standing, &sealed(&version(1841), "policy-1"))), Code::Rollback);
    let older = standing.offer_keys(&keys(2, &["policy-1", "thief"]), evening()).unwrap_err();
    assert!(older.has(Code::Rollback), "{older}");
    // Keys end, and what they signed in time stands on.
    let later = begin(Some(&keep)).look(Moment::START, evening() + TimeDelta::days(3));
    assert_eq!((later.state.age, later.state.version), (Age::Grace, Some(1842)));
}

#[test]
fn a_copy_on_disk_that_somebody_changed_does_not_hold() {
    let (_, keep) = taken();
    let kept = Kept::decode(&keep).unwrap();
    let forgeries = [
        Kept { document: sealed(&version(1843), "thief"), ..kept.clone() },
        Kept { keys: vec![], ..kept.clone() },
        Kept { keys: signed_keys(9, &["thief"], &key("thief")), ..kept.clone() },
        Kept { document: version(9_999).to_string().into_bytes(), ..kept },
    ];
    for forged in forgeries {
        let (standing, trouble) = Standing::new(us(), ground(), distrusting(), HOUR, Some(&forged.encode()));
        assert!(trouble.is_some());
        assert_eq!(standing.look(Moment::START, evening()).state.version, None);
    }
}

#[test]
fn versions_that_anybody_could_say_do_not_count_once_documents_are_signed() {
    let (mut open, _) = Standing::new(us(), ground(), Trust::Unsigned, HOUR, None);
    let Outcome::Taken { keep, .. } = offer(&mut open, version(9_999).to_string().as_bytes()) else {
        panic!("refused")
    };
    let (mut standing, trouble) = Standing::new(us(), ground(), distrusting(), HOUR, Some(&keep));
    assert!(trouble.unwrap().contains("not_dsse"));
    standing.offer_keys(&keys(3, &["policy-1"]), evening()).unwrap();
    assert!(matches!(offer(&mut standing, &sealed(&example(), "policy-1")), Outcome::Taken { .. }));
}

#[test]
fn the_same_document_under_the_next_key_is_kept_under_it() {
    let (mut standing, _) = taken();
    standing.offer_keys(&keys(4, &["policy-2"]), evening()).unwrap();
    assert_eq!(standing.look(Moment::START, evening()).state.version, Some(1842), "it stands on");
    let Outcome::Taken { keep, .. } = offer(&mut standing, &sealed(&example(), "policy-2")) else { panic!("refused") };
    assert_eq!(begin(Some(&keep)).look(Moment::START, evening()).state.version, Some(1842));
}

#[test]
fn a_signed_tombstone_ends_the_policy_until_a_later_document_comes() {
    let (mut standing, _) = taken();
    assert_eq!(refused(offer(&mut standing, &tombstone(1842, "policy-1"))), Code::Equivocation);
    assert_eq!(refused(offer(&mut standing, &tombstone(1843, "thief"))), Code::UnknownKey);
    assert_eq!(standing.look(Moment::START, evening()).state.version, Some(1842));

    let Outcome::Taken { keep, .. } = offer(&mut standing, &tombstone(1843, "policy-1")) else { panic!("refused") };
    let decommissioned = |standing: &Standing, wall| {
        let view = standing.look(Moment::START, wall);
        assert_eq!((view.state.age, view.state.version, view.next), (Age::Tombstone, None, None));
        assert_eq!(view.policy.origin, Origin::Local);
        let status = view.state.status(Moment::START, wall);
        assert_eq!((&*status.source, &*status.state, status.age_s), ("local", "tombstone", None));
    };
    decommissioned(&standing, evening());
    assert_eq!(offer(&mut standing, &tombstone(1843, "policy-1")), Outcome::Confirmed);

    // Over restarts too, and for good; what was before it does not come back.
    let mut standing = begin(Some(&keep));
    decommissioned(&standing, evening() + TimeDelta::days(9_000));
    assert_eq!(refused(offer(&mut standing, &sealed(&example(), "policy-1"))), Code::Rollback);
    assert_eq!(refused(offer(&mut standing, &tombstone(1841, "policy-1"))), Code::Rollback);
    decommissioned(&standing, evening());

    assert!(matches!(offer(&mut standing, &sealed(&version(1844), "policy-1")), Outcome::Taken { .. }));
    assert_eq!(standing.look(Moment::START, evening()).state.version, Some(1844));
    assert_eq!(refused(offer(&mut standing, &tombstone(1843, "policy-1"))), Code::Rollback);
}

#[test]
fn a_tombstone_that_nobody_signed_is_none() {
    let (mut open, _) = Standing::new(us(), ground(), Trust::Unsigned, HOUR, None);
    offer(&mut open, example().to_string().as_bytes());
    let signed = tombstone(1843, "policy-1");
    assert!(!open.may_be_tombstone(&signed));
    assert!(matches!(offer(&mut open, &signed), Outcome::Refused(_)));
    assert_eq!(open.look(Moment::START, evening()).state.version, Some(1842));
}

const HOUR: Duration = Duration::from_secs(3600);

fn begin(kept: Option<&[u8]>) -> Standing {
    let (standing, trouble) = Standing::new(us(), ground(), distrusting(), HOUR, kept);
    assert_eq!(trouble, None);
    standing
}

/// With the example in force, and what is kept of it.
fn taken() -> (Standing, Vec<u8>) {
    let mut standing = begin(None);
    standing.offer_keys(&keys(3, &["policy-1"]), evening()).unwrap();
    let Outcome::Taken { keep, .. } = offer(&mut standing, &sealed(&example(), "policy-1")) else { panic!("refused") };
    (standing, keep)
}

fn distrusting() -> Trust {
    let roots = Roots::read(&[("root".to_owned(), key("root").public())].into()).unwrap();
    Trust::Signed(Keyring::new(roots))
}

/// A key with a seed that follows from its name.
fn key(id: &str) -> SigningKey {
    let mut seed = [7; 32];
    seed[..id.len()].copy_from_slice(id.as_bytes());
    SigningKey::from_seed(id, &seed).unwrap()
}

fn keys(epoch: u64, ids: &[&str]) -> Vec<u8> {
    signed_keys(epoch, ids, &key("root"))
}

fn signed_keys(epoch: u64, ids: &[&str], by: &SigningKey) -> Vec<u8> {
    let keys: Vec<Value> = ids.iter().map(|id| json!({"keyid": id, "public": key(id).public()})).collect();
    let document = json!({
        "schema": "headroom.keys/1.0", "epoch": epoch, "keys": keys,
        "issued_at": "2026-11-21T00:00:00Z", "expires_at": "2026-11-23T00:00:00Z",
    });
    seal(KEYS_TYPE, document.to_string().as_bytes(), &[by])
}

fn sealed(document: &Value, by: &str) -> Vec<u8> {
    seal(POLICY_TYPE, document.to_string().as_bytes(), &[&key(by)])
}

fn tombstone(version: u64, by: &str) -> Vec<u8> {
    let document = json!({
        "schema": "headroom.tombstone/1.0", "gateway_id": "gw_7Q2M", "location_id": "loc_51AF",
        "epoch": 3, "version": version, "issued_at": "2026-11-21T18:00:00Z",
    });
    seal(TOMBSTONE_TYPE, document.to_string().as_bytes(), &[&key(by)])
}

fn version(version: u64) -> Value {
    let mut document = example();
    document["version"] = json!(version);
    document
}

fn offer(standing: &mut Standing, bytes: &[u8]) -> Outcome {
    standing.offer(bytes, None, Moment::START, evening())
}

fn refused(outcome: Outcome) -> Code {
    let Outcome::Refused(faults) = outcome else { panic!("{outcome:?}") };
    faults.listed()[0].code
}

/// When the example was issued.
fn evening() -> DateTime<Utc> {
    "2026-11-21T18:00:00Z".parse().unwrap()
}
