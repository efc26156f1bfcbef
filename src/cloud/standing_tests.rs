//! Which policy holds, through everything that a cloud can say?

use super::super::fixture::{example, ground, us};
use super::*;
use crate::policy::Origin;
use chrono::TimeDelta;
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn without_a_document_the_local_policy_holds() {
    let view = begin(None).look(Moment::START, evening());
    assert_eq!(view.policy.origin, Origin::Local);
    let status = view.state.status(Moment::START, evening());
    assert_eq!((status.source.as_str(), status.state.as_str(), status.version), ("local", "default", None));
}

#[test]
fn a_good_document_holds_and_the_next_version_replaces_it() {
    let mut standing = begin(None);
    assert!(matches!(offer(&mut standing, &example()), Outcome::Taken { .. }));
    assert_eq!(version(&standing), Some(1842));
    assert!(matches!(offer(&mut standing, &with("/version", json!(1843))), Outcome::Taken { .. }));
    assert_eq!(version(&standing), Some(1843));
    let status = standing.look(Moment::START + MINUTE, evening()).state.status(Moment::START + MINUTE, evening());
    assert_eq!((status.source.as_str(), status.state.as_str(), status.age_s), ("cloud", "fresh", Some(60)));
}

#[test]
fn a_faulty_document_changes_nothing_but_is_told() {
    let mut standing = begin(None);
    offer(&mut standing, &example());
    let before = standing.look(Moment::START, evening());
    let mut faulty = with("/version", json!(1843));
    faulty["tokens"][0]["principal"] = json!("nobody");
    assert_eq!(refused(offer(&mut standing, &faulty)), Code::Dangling);
    let after = standing.look(Moment::START, evening());
    assert!(Arc::ptr_eq(&before.policy, &after.policy));
    assert!(after.state.refused.unwrap().starts_with("/tokens/0/principal: "));
    // Its version was never taken, so that the corrected document may have it.
    assert!(matches!(offer(&mut standing, &with("/version", json!(1843))), Outcome::Taken { .. }));
    assert_eq!(standing.look(Moment::START, evening()).state.refused, None);
}

#[test]
fn an_older_version_or_epoch_does_not_come_back() {
    let mut standing = begin(None);
    offer(&mut standing, &example());
    assert_eq!(refused(offer(&mut standing, &with("/version", json!(1841)))), Code::Rollback);
    let mut older = with("/epoch", json!(2));
    older["version"] = json!(9999);
    assert_eq!(refused(offer(&mut standing, &older)), Code::Rollback);
    let mut newer = with("/epoch", json!(4));
    newer["version"] = json!(1);
    assert!(matches!(offer(&mut standing, &newer), Outcome::Taken { .. }));
    assert_eq!(refused(offer(&mut standing, &example())), Code::Rollback);
}

#[test]
fn one_version_has_one_content() {
    let mut standing = begin(None);
    offer(&mut standing, &example());
    assert_eq!(offer(&mut standing, &example()), Outcome::Confirmed);
    assert_eq!(refused(offer(&mut standing, &with("/limits/main_fuse_pct", json!(94)))), Code::Equivocation);
}

#[test]
fn times_are_compared_only_with_a_clock_that_can_be_right() {
    let at = |wall: DateTime<Utc>| begin(None).offer(example().to_string().as_bytes(), None, Moment::START, wall);
    assert_eq!(refused(at(evening() + TimeDelta::days(2))), Code::Expired);
    assert!(matches!(at(DateTime::UNIX_EPOCH), Outcome::Taken { .. }));
    assert!(matches!(at(evening() - TimeDelta::days(30)), Outcome::Taken { .. }));

    let mut later = example();
    later["not_before"] = json!("2026-11-21T20:00:00Z");
    let at = |wall: DateTime<Utc>| begin(None).offer(later.to_string().as_bytes(), None, Moment::START, wall);
    assert_eq!(refused(at(evening())), Code::NotYetValid);
    assert!(matches!(at(evening() + TimeDelta::minutes(116)), Outcome::Taken { .. }));
}

#[test]
fn a_policy_that_nobody_renews_ends_in_the_local_one() {
    let mut standing = begin(None);
    offer(&mut standing, &example());
    let mut seen = Vec::new();
    let mut span = Duration::ZERO;
    for _ in 0..10 {
        let view = standing.look(Moment::START + span, evening() + span);
        seen.push((view.state.age.word(), view.policy.origin != Origin::Local));
        let Some(next) = view.next else { break };
        span += next;
    }
    assert_eq!(seen, [("fresh", true), ("stale", true), ("grace", true), ("default", false)]);
    assert_eq!(span, HOUR * 24 * 8);
}

#[test]
fn confirmations_keep_it_fresh_and_failures_do_not() {
    let mut standing = begin(None);
    offer(&mut standing, &example());
    let after = |standing: &Standing, span: Duration| standing.look(Moment::START + span, evening() + span).state.age;
    assert_eq!(after(&standing, MINUTE * 6), Age::Stale);
    standing.confirm(Moment::START + MINUTE * 6);
    assert_eq!(after(&standing, MINUTE * 6), Age::Fresh);
    standing.refuse(Faults::one(Code::TooLarge, "", "is too long"));
    assert_eq!(after(&standing, MINUTE * 12), Age::Stale);
}

#[test]
fn the_kept_document_holds_after_a_restart_and_its_version_is_remembered() {
    let mut first = begin(None);
    let Outcome::Taken { keep, .. } =
        first.offer(example().to_string().as_bytes(), Some("\"e1\"".into()), Moment::START, evening())
    else {
        panic!("refused")
    };
    let mut second = begin(Some(&keep));
    assert_eq!((version(&second), second.etag()), (Some(1842), Some("\"e1\"")));
    let state = second.look(Moment::START, evening() + MINUTE).state;
    assert_eq!(state.age, Age::Stale);
    assert_eq!(state.status(Moment::START, evening() + MINUTE).age_s, Some(60));
    assert_eq!(refused(offer(&mut second, &with("/version", json!(1841)))), Code::Rollback);
    assert_eq!(offer(&mut second, &example()), Outcome::Confirmed);
    assert_eq!(second.look(Moment::START, evening()).state.age, Age::Fresh);
}

#[test]
fn after_a_restart_with_a_clock_from_before_nothing_expires() {
    let Outcome::Taken { keep, .. } = offer(&mut begin(None), &example()) else { panic!("refused") };
    let standing = begin(Some(&keep));
    let wrong = evening() - TimeDelta::days(100);
    let state = standing.look(Moment::START, wrong).state;
    assert_eq!((state.age, state.wall(wrong)), (Age::Stale, None));
    assert_eq!(state.wall(evening()), Some(evening()));
}

#[test]
fn a_kept_document_over_its_grace_leaves_the_local_policy() {
    let Outcome::Taken { keep, .. } = offer(&mut begin(None), &example()) else { panic!("refused") };
    let view = begin(Some(&keep)).look(Moment::START, evening() + TimeDelta::days(60));
    assert_eq!((view.state.age, view.state.version), (Age::Default, None));
    assert_eq!(view.policy.origin, Origin::Local);
}

#[test]
fn what_was_kept_for_another_gateway_says_nothing_here() {
    let Outcome::Taken { keep, .. } = offer(&mut begin(None), &example()) else { panic!("refused") };
    let moved = Addressee { gateway_id: "gw_new".into(), ..us() };
    let (mut standing, trouble) = Standing::new(moved, ground(), Trust::Unsigned, MINUTE, Some(&keep));
    assert!(trouble.unwrap().contains("other_gateway"));
    let mut first = with("/gateway_id", json!("gw_new"));
    first["epoch"] = json!(0);
    assert!(matches!(offer(&mut standing, &first), Outcome::Taken { .. }));
}

#[test]
fn a_kept_document_that_no_longer_fits_the_site_still_guards_its_version() {
    let Outcome::Taken { keep, .. } = offer(&mut begin(None), &example()) else { panic!("refused") };
    let mut changed = ground();
    changed.site.evses[1].id = "evse2".into();
    changed.chargers.swap(0, 1);
    let (mut standing, trouble) = Standing::new(us(), changed, Trust::Unsigned, MINUTE, Some(&keep));
    assert!(trouble.unwrap().contains("ambiguous"));
    assert_eq!((version(&standing), standing.etag()), (None, None));
    assert_eq!(refused(offer(&mut standing, &with("/version", json!(1841)))), Code::Rollback);
    // The same document is judged anew, not taken for the one that stands.
    assert_eq!(refused(offer(&mut standing, &example())), Code::Ambiguous);
}

#[test]
fn garbage_from_disk_is_nothing() {
    let (standing, trouble) = Standing::new(us(), ground(), Trust::Unsigned, MINUTE, Some(b"\0\0\0"));
    assert!(trouble.is_some());
    assert_eq!(version(&standing), None);
}

fn begin(kept: Option<&[u8]>) -> Standing {
    let (standing, trouble) = Standing::new(us(), ground(), Trust::Unsigned, MINUTE, kept);
    assert_eq!(trouble, None);
    standing
}

fn offer(standing: &mut Standing, document: &Value) -> Outcome {
    standing.offer(document.to_string().as_bytes(), None, Moment::START, evening())
}

fn refused(outcome: Outcome) -> Code {
    let Outcome::Refused(faults) = outcome else { panic!("{outcome:?}") };
    faults.listed()[0].code
}

fn version(standing: &Standing) -> Option<u64> {
    standing.look(Moment::START, evening()).state.version
}

fn with(pointer: &str, value: Value) -> Value {
    let mut document = example();
    *document.pointer_mut(pointer).unwrap() = value;
    document
}

/// When the example was issued.
fn evening() -> DateTime<Utc> {
    "2026-11-21T18:00:00Z".parse().unwrap()
}
