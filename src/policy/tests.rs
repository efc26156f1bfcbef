//! Does a policy say of each card what it means, wherever and by whomever it is read?

use super::*;
use chrono::TimeDelta;

const LEFT: EvseId = EvseId(0);
const RIGHT: EvseId = EvseId(1);

#[test]
fn without_any_rule_everybody_charges_alike() {
    let policy = Policy::open(2);
    for token in [None, Some("04A2")] {
        let entitlement = policy.entitlement(RIGHT, token, None);
        assert_eq!((entitlement.verdict, entitlement.priority, entitlement.weight), (Verdict::Accepted, 0, 1));
    }
    assert_eq!(policy.entitlement(EvseId(2), None, None).verdict, Verdict::Unknown);
}

#[test]
fn a_card_is_one_card_however_its_reader_writes_it() {
    assert_eq!(normalise("04:a2-b3 c4.d5"), "04A2B3C4D5");
    assert_eq!(policy().entitlement(LEFT, Some("04:a2"), None).verdict, Verdict::Accepted);
    let mut policy = policy();
    for long in ["A".repeat(SHORT), "A".repeat(SHORT + 1), "Ä".repeat(SHORT)] {
        policy.tokens.insert(long.clone(), policy.tokens["04A2"].clone());
        let written = long.to_ascii_lowercase().replacen('a', "-a", 2);
        assert_eq!(policy.entitlement(LEFT, Some(&written), None).verdict, Verdict::Accepted, "{written}");
    }
}

#[test]
fn a_blocked_card_is_refused_even_where_anybody_may_charge() {
    let mut policy = policy();
    policy.evses[0].open = Some(0);
    assert_eq!(policy.entitlement(LEFT, Some("04B3"), None).verdict, Verdict::Blocked);
    assert_eq!(policy.entitlement(LEFT, Some("stranger"), None).verdict, Verdict::Accepted);
}

#[test]
fn a_stranger_is_refused_where_only_known_ones_may_charge() {
    assert_eq!(policy().entitlement(LEFT, Some("stranger"), None).verdict, Verdict::Unknown);
    assert_eq!(policy().entitlement(LEFT, None, None).verdict, Verdict::Unknown);
}

#[test]
fn a_card_is_refused_where_its_holder_may_not_charge() {
    assert_eq!(policy().entitlement(RIGHT, Some("04A2"), None).verdict, Verdict::NotAtThisLocation);
}

#[test]
fn whoever_plugs_in_without_a_card_is_the_one_that_the_evse_names() {
    let mut policy = policy();
    policy.evses[0].plug_and_charge = Some(0);
    assert_eq!(policy.entitlement(LEFT, None, None).alias.as_deref(), Some("Kari"));
    policy.publish_alias = false;
    assert_eq!(policy.entitlement(LEFT, None, None).alias, None);
}

#[test]
fn dates_wait_until_the_time_is_known() {
    let over = DateTime::UNIX_EPOCH;
    let mut policy = policy();
    policy.principals[0].valid_until = Some(over);
    assert_eq!(policy.entitlement(LEFT, Some("04A2"), None).verdict, Verdict::Accepted);
    assert_eq!(policy.entitlement(LEFT, Some("04A2"), Some(over)).verdict, Verdict::Expired);
    policy.principals[0].valid_until = None;
    policy.tokens.get_mut("04A2").unwrap().valid_until = Some(over);
    assert_eq!(policy.entitlement(LEFT, Some("04A2"), Some(over)).verdict, Verdict::Expired);
    let before = over - TimeDelta::seconds(1);
    assert_eq!(policy.entitlement(LEFT, Some("04A2"), Some(before)).verdict, Verdict::Accepted);
}

#[test]
fn a_class_without_new_sessions_begins_none_anywhere() {
    let mut policy = policy();
    policy.classes[0].new_sessions = false;
    policy.evses[1].open = Some(0);
    assert_eq!(policy.entitlement(LEFT, Some("04A2"), None).verdict, Verdict::Blocked);
    assert_eq!(policy.entitlement(RIGHT, None, None).verdict, Verdict::Blocked);
}

#[test]
fn the_lower_ceiling_holds() {
    let mut policy = policy();
    policy.classes[0].ceiling = Some(Amps::whole(16));
    policy.evses[0].ceiling = Some(Amps::whole(10));
    assert_eq!(policy.entitlement(LEFT, Some("04A2"), None).ceiling, Some(Amps::whole(10)));
}

#[test]
fn no_policy_raises_a_fuse() {
    let fuse = PerPhase([Amps::whole(25), Amps::whole(25), Amps::whole(20)]);
    let raising =
        Policy { main_limit_percent: 255, import_max: Some(PerPhase::all(Amps::whole(63))), ..Policy::open(0) };
    assert_eq!(raising.main_limit(fuse), fuse);
    let lowering = Policy {
        main_limit_percent: 80,
        import_max: Some(PerPhase([Amps::whole(10), Amps::whole(63), Amps::whole(63)])),
        ..Policy::open(0)
    };
    assert_eq!(lowering.main_limit(fuse), PerPhase([Amps::whole(10), Amps::whole(20), Amps::whole(16)]));
}

#[test]
fn a_refused_card_is_refused_in_the_policy_s_own_word() {
    let mut policy = policy();
    for verdict in Verdict::all() {
        policy.tokens.get_mut("04A2").unwrap().status = verdict;
        assert_eq!(policy.entitlement(LEFT, Some("04A2"), None).verdict, verdict);
    }
}

#[test]
fn a_start_from_afar_is_charged_to_the_one_who_starts_it() {
    let mut policy = policy();
    policy.rules.remote_start = vec![policy.principals[0].class];
    policy.add_central_tokens();
    assert_eq!(central_token("usr_a"), "headroom:usr_a");
    assert_eq!(policy.entitlement(LEFT, Some("headroom:usr_a"), None).alias.as_deref(), Some("Kari"));
    assert_eq!(policy.entitlement(RIGHT, Some("headroom:usr_a"), None).verdict, Verdict::NotAtThisLocation);
    assert_eq!(policy.entitlement(LEFT, Some("headroom:usr_b"), None).verdict, Verdict::Unknown);
    assert!(is_central("HEADROOM:x") && !is_central("04A2"));
}

#[test]
fn two_people_whose_starts_from_afar_look_alike_have_none() {
    let mut policy = policy();
    let twin = |id: &str| Principal { id: id.into(), ..policy.principals[0].clone() };
    policy.principals.extend(["usr_0123456789", "usr_0123456-other", "usr_b"].map(twin));
    policy.rules.remote_start = vec![policy.principals[0].class];
    policy.add_central_tokens();
    assert_eq!(central_token("usr_0123456789"), "headroom:usr_0123456");
    assert!(!policy.knows("headroom:usr_0123456"));
    assert!(policy.knows("headroom:usr_b"));
}

#[test]
fn only_those_of_a_class_that_may_start_from_afar_do_and_only_while_they_are_in_it() {
    let mut policy = policy();
    policy.add_central_tokens();
    assert_eq!(policy.remote_start("usr_a", LEFT, None), Err(Verdict::Invalid), "no class may");
    let slow = Class { id: "slow".into(), ..policy.classes[0].clone() };
    policy.classes.push(slow);
    policy.rules.remote_start = vec![policy.principals[0].class];
    policy.add_central_tokens();
    assert_eq!(policy.remote_start("usr_a", LEFT, None), Ok("headroom:usr_a".into()));
    assert_eq!(policy.remote_start("usr_a", RIGHT, None), Err(Verdict::NotAtThisLocation));
    assert_eq!(policy.remote_start("usr_b", LEFT, None), Err(Verdict::Invalid));
    let mut later = policy.clone();
    later.now.principals = vec![PrincipalNow { class: policy.classes.len() - 1, verdict: Verdict::Accepted }];
    assert_eq!(
        later.remote_start("usr_a", LEFT, None),
        Err(Verdict::Invalid),
        "his quota has put him into another class"
    );
    policy.now.principals = vec![PrincipalNow { class: policy.principals[0].class, verdict: Verdict::NoCredit }];
    assert_eq!(policy.remote_start("usr_a", LEFT, None), Err(Verdict::NoCredit));
}

#[test]
fn whose_cards_are_all_refused_is_refused_from_afar_too() {
    let mut policy = policy();
    policy.rules.remote_start = vec![policy.principals[0].class];
    policy.tokens.retain(|_, token| token.principal == 0);
    let over = DateTime::UNIX_EPOCH;
    let with = |change: &dyn Fn(&mut Token)| {
        let mut policy = policy.clone();
        policy.tokens.values_mut().for_each(change);
        policy.add_central_tokens();
        policy.remote_start("usr_a", LEFT, Some(over + TimeDelta::days(1)))
    };
    assert_eq!(with(&|card| card.status = Verdict::NoCredit), Err(Verdict::NoCredit));
    assert_eq!(with(&|card| card.status = Verdict::Accepted), Ok("headroom:usr_a".into()));
    let all_over = |card: &mut Token| (card.status, card.valid_until) = (Verdict::Accepted, Some(over));
    assert_eq!(with(&all_over), Err(Verdict::Expired));
    policy.tokens.get_mut("04A2").unwrap().status = Verdict::Accepted;
    policy.tokens.insert("LOST".into(), Token { status: Verdict::Blocked, is_lost: true, ..Token::of(0) });
    policy.add_central_tokens();
    assert_eq!(policy.remote_start("usr_a", LEFT, None), Ok("headroom:usr_a".into()), "he has another card");
}

#[test]
fn a_card_ends_with_its_holder_or_before() {
    let mut policy = policy();
    let (soon, late) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(1));
    let mut card = policy.tokens["04A2"].clone();
    assert_eq!(policy.ends(&card), None);
    policy.principals[0].valid_until = Some(late);
    assert_eq!(policy.ends(&card), Some(late));
    card.valid_until = Some(soon);
    assert_eq!(policy.ends(&card), Some(soon));
}

/// Kari's card works at the left one only; a second card is blocked; nobody else may charge.
fn policy() -> Policy {
    let card = Token::of(0);
    Policy {
        principals: vec![Principal {
            id: "usr_a".into(),
            alias: Some("Kari".into()),
            class: 0,
            evses: Some(vec![LEFT]),
            valid_until: None,
        }],
        tokens: [("04A2", card.clone()), ("04B3", Token { status: Verdict::Blocked, ..card })]
            .map(|(uid, token)| (uid.to_owned(), token))
            .into(),
        evses: vec![EvseRule { open: None, plug_and_charge: None, ceiling: None }; 2],
        unknown: None,
        ..Policy::open(2)
    }
}
