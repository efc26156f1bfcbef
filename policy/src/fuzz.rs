//! What must hold for any bytes at all? The body of the fuzz target, run over mutated documents by `cargo test` too.

use crate::document::{Addressee, Document, parse};
use crate::keys::Keys;
use crate::rules::OnExceed;
use crate::tombstone::Tombstone;
use crate::trust::{Keyring, Roots, Trust};
use std::collections::BTreeSet;

/// Reads the bytes as whatever they may be; panics where a promise is broken.
pub fn fuzz(bytes: &[u8]) {
    // Who the example of the manual is for, so that mutants of it come far.
    let us = Addressee { gateway_id: "gw_7Q2M".into(), location_id: "loc_51AF".into() };
    match parse(bytes, &us) {
        Ok(document) => is_sound(&document),
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            assert!(!faults.to_string().contains(char::is_control), "a fault breaks the line: {faults:?}");
        }
    }
    for outcome in [Keys::parse(bytes).map(drop), Tombstone::parse(bytes, &us).map(drop)] {
        assert!(outcome.is_ok() || outcome.is_err_and(|faults| !faults.is_empty()), "refused without a reason");
    }
    // The secret of this key is nobody's, so every envelope is forged.
    let roots = Roots::read(&[("root".to_owned(), "ab".repeat(32))].into());
    let mut trust = Trust::Signed(Keyring::new(roots.unwrap_or_else(|why| panic!("{why}"))));
    assert!(trust.offer_keys(bytes, None).is_err_and(|faults| !faults.is_empty()), "forged keys are taken");
    assert!(trust.open(bytes, None).is_err_and(|faults| !faults.is_empty()), "a forged envelope is opened");
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
