//! What holds without a cloud, and with which constants does control work?

use super::check_chargers::{amps, seconds};
use super::code;
use super::diagnostic::Diagnostic;
use super::raw::{Faults, Row};
use crate::policy::{Class, EvseRule, Mode, Policy, Principal, Token, normalise};
use crate::site::Tuning;
use crate::units::Amps;

/// The local default; `None` after a fault.
pub fn policy(row: &Row, evses: usize, has_cloud: bool, faults: &mut Faults) -> Option<Policy> {
    let tokens = row.rows("token");
    let is_known_only = row.text("access").ok() == Some("known");
    cards_once(tokens, faults);
    if is_known_only && tokens.is_empty() && !has_cloud {
        let message = "nobody may charge: access is \"known\", and no token is known";
        let fault = Diagnostic::at(code::NOBODY, row.at("access"), message);
        faults.push(fault.help("add tokens here, or access = \"open\""));
    }
    let mut policy =
        Policy { main_limit_percent: u8::try_from(row.whole("main_limit_percent").ok()?).ok()?, ..Policy::open(evses) };
    row.text("access").ok()?;
    policy.rules.mode = Mode::of(row.text("mode").ok()?).unwrap_or_default();
    if is_known_only {
        let closed = EvseRule { open: None, plug_and_charge: None, ceiling: None };
        policy = Policy { classes: Vec::new(), evses: vec![closed; evses], unknown: None, ..policy };
    }
    for (place, token) in tokens.iter().enumerate() {
        let class = class_of(token, &mut policy.classes)?;
        policy.tokens.insert(normalise(token.text("uid").ok()?), Token::of(place));
        policy.principals.push(Principal {
            id: format!("token-{}", place + 1),
            alias: token.text("alias").optional()?.map(Into::into),
            class,
            evses: None,
            valid_until: None,
        });
    }
    Some(policy)
}

/// The constants of control; `None` after a fault.
pub fn tuning(row: &Row, faults: &mut Faults) -> Option<Tuning> {
    let (stale_after, lost_after) = (seconds(row, "stale_after_s")?, seconds(row, "lost_after_s")?);
    if stale_after >= lost_after {
        let key = if row.is_given("stale_after_s") { "stale_after_s" } else { "lost_after_s" };
        let message = "a sample must be stale before it is lost";
        let label = format!("{} s, and lost after {} s", stale_after.as_secs(), lost_after.as_secs());
        faults.push(Diagnostic::at(code::TIMES, row.at(key), message).label(label));
        return None;
    }
    let ageing = seconds(row, "ageing_s")?;
    Some(Tuning {
        hold: seconds(row, "hold_s")?,
        memory: seconds(row, "memory_s")?,
        restart: seconds(row, "restart_s")?,
        dwell: seconds(row, "dwell_s")?,
        ageing: (!ageing.is_zero()).then_some(ageing),
        dead_band: amps(row, "dead_band_a")?,
        stale_after,
        lost_after,
        good_samples: u32::try_from(row.whole("good_samples").ok()?).ok()?,
        ..Tuning::default()
    })
}

/// One class for each distinct entitlement.
fn class_of(token: &Row, classes: &mut Vec<Class>) -> Option<usize> {
    let priority = i8::try_from(token.whole("priority").ok()?).ok()?;
    let weight = u32::try_from(token.whole("weight").ok()?).ok()?;
    let ceiling = token.number("ceiling_a").optional()?.and_then(Amps::from_f64);
    let is_same = |class: &Class| (class.priority, class.weight, class.ceiling) == (priority, weight, ceiling);
    if let Some(class) = classes.iter().position(is_same) {
        return Some(class);
    }
    let most = ceiling.map_or(String::new(), |ceiling| format!("-most-{}", ceiling.as_f64()));
    let id = format!("priority-{priority}-weight-{weight}{most}");
    classes.push(Class { id: id.into(), priority, weight, ceiling, new_sessions: true });
    Some(classes.len() - 1)
}

/// Cards are compared as OCPP and the policy compare them, and never printed.
fn cards_once(tokens: &[Row], faults: &mut Faults) {
    let card = |row: &Row| row.text("uid").ok().map(normalise);
    for (place, row) in tokens.iter().enumerate() {
        let first = tokens[..place].iter().find(|other| card(other).is_some() && card(other) == card(row));
        if let Some(first) = first {
            let line = faults.line(first.at("uid"));
            let message = format!("{} is the same card as another one", row.who);
            let fault = Diagnostic::at(code::DUPLICATE, row.at("uid"), message);
            faults.push(fault.label(format!("already on line {line}")));
        }
    }
}
