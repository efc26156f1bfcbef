//! What does a document mean at this site? References become indices, limits become the lower of two.
//!
//! A document can never raise anything: every limit is the minimum of its own and the installer's.

use super::rules;
use crate::config::ChargerConfig;
use crate::policy::{Class, EvseRule, Now, Origin, Policy, Principal, Token};
use crate::site::{EvseId, Site};
use crate::time::Duration;
use crate::units::{Amps, PerPhase};
use headroom_policy::{Code, Document, Faults, Warnings, shown};

/// Words for why a card is blocked that mean that a stranger may have it.
const LOST: [&str; 2] = ["lost", "stolen"];

/// What a document is compiled against.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The EVSEs and their ids.
    pub site: Site,
    /// How each EVSE is reached, by [`EvseId`]: a document may name one by its OCPP identity.
    pub chargers: Vec<ChargerConfig>,
    /// What holds without the cloud, and what no document can loosen: limits and ceilings.
    pub local: Policy,
}

/// Compiles a document; its own warnings are not repeated.
///
/// # Errors
/// Two of its EVSEs are one of ours, or one of its is two of ours.
pub fn compile(document: &Document, ground: &Ground) -> Result<(Policy, Warnings), Faults> {
    let mut warnings = Warnings::default();
    let ours = places(document, ground, &mut warnings)?;
    let here = |evses: &Vec<usize>| evses.iter().filter_map(|index| *ours.get(*index)?).collect();
    let mut policy = Policy {
        origin: Origin::Cloud {
            epoch: document.epoch,
            version: document.version,
            issued_at: document.issued_at,
            expires_at: document.expires_at,
            grace: Duration::from_secs(u64::from(document.grace_s)),
        },
        classes: document.classes.iter().map(class).collect(),
        principals: document
            .principals
            .iter()
            .map(|entry| {
                let (class, until) = rules::own_class(entry, document);
                Principal {
                    id: entry.id.clone(),
                    alias: entry.alias.as_deref().map(Into::into),
                    class,
                    evses: entry.evses.as_ref().map(here),
                    valid_until: [entry.valid_until, until].into_iter().flatten().min(),
                }
            })
            .collect(),
        tokens: document.tokens.iter().map(|entry| (entry.uid.clone(), token(entry))).collect(),
        evses: ground.site.evse_ids().map(|id| rule(id, document, &ours, &ground.local)).collect(),
        unknown: document.access.unknown,
        main_limit_percent: percent(document, &ground.local, &mut warnings),
        import_max: match (document.import_max_ma.map(|most| PerPhase(most.map(Amps::milli))), ground.local.import_max)
        {
            (Some(theirs), Some(ours)) => Some(PerPhase::from_fn(|phase| theirs[phase].min(ours[phase]))),
            (one, other) => one.or(other),
        },
        publish_alias: document.publish_alias && ground.local.publish_alias,
        rules: rules::rules(document, &ground.local.rules)?,
        now: Now::default(),
    };
    policy.add_central_tokens();
    Ok((policy, warnings))
}

/// Which of our EVSEs each of the document's is; `None` for those of other gateways.
fn places(document: &Document, ground: &Ground, warnings: &mut Warnings) -> Result<Vec<Option<EvseId>>, Faults> {
    let mut faults = Faults::default();
    let mut places = Vec::with_capacity(document.evses.len());
    for evse in &document.evses {
        let by_id = ground.site.evse_ids().find(|id| ground.site.evse(*id).id == evse.id);
        let place = match (by_id, by_ocpp(evse, ground)) {
            (Some(one), Some(other)) if one != other => {
                let other = &ground.site.evse(other).id;
                let text = format!("its id is one EVSE here, its ocpp_id and connector are another (\"{other}\")");
                faults.add(Code::Ambiguous, &evse.pointer, text);
                None
            }
            (one, other) => one.or(other),
        };
        if place.is_some() && places.contains(&place) {
            faults.add(Code::Ambiguous, &evse.pointer, "another entry is the same EVSE here");
        }
        if place.is_none() {
            warnings.place(&evse.pointer, &format!("\"{}\" is no EVSE of this gateway, ignored", shown(&evse.id)));
        }
        places.push(place);
    }
    if faults.is_empty() { Ok(places) } else { Err(faults) }
}

fn by_ocpp(evse: &headroom_policy::Evse, ground: &Ground) -> Option<EvseId> {
    let (theirs, number) = evse.ocpp.as_ref()?;
    let is_it = |charger: &ChargerConfig| match charger {
        ChargerConfig::Ocpp { identity, connector, .. } => identity == theirs && connector == number,
        ChargerConfig::Mqtt { .. } => false,
    };
    ground.chargers.iter().position(is_it).map(EvseId).filter(|id| id.0 < ground.site.evses.len())
}

fn class(class: &headroom_policy::Class) -> Class {
    Class {
        id: class.id.as_str().into(),
        priority: class.priority,
        weight: class.weight,
        ceiling: class.ceiling_ma.map(Amps::milli),
        new_sessions: class.new_sessions,
    }
}

fn token(token: &headroom_policy::Token) -> Token {
    Token {
        principal: token.principal,
        status: token.status,
        valid_until: token.valid_until,
        is_offline: token.is_offline_allowed,
        is_concurrent: token.is_concurrent_allowed,
        is_lost: token
            .reason
            .as_deref()
            .is_some_and(|reason| LOST.iter().any(|word| reason.eq_ignore_ascii_case(word))),
        group: token.group.as_deref().map(Into::into),
    }
}

fn rule(id: EvseId, document: &Document, ours: &[Option<EvseId>], local: &Policy) -> EvseRule {
    let evse = ours.iter().position(|place| *place == Some(id)).and_then(|index| document.evses.get(index));
    let installed = local.evses.get(id.0).and_then(|rule| rule.ceiling);
    EvseRule {
        open: evse.map_or(document.access.open, |evse| evse.open),
        plug_and_charge: evse.and_then(|evse| evse.plug_and_charge),
        ceiling: [evse.and_then(|evse| evse.ceiling_ma).map(Amps::milli), installed].into_iter().flatten().min(),
    }
}

fn percent(document: &Document, local: &Policy, warnings: &mut Warnings) -> u8 {
    let most = local.main_limit_percent.min(100);
    let Some(wanted) = document.main_fuse_percent else { return most };
    if wanted > u16::from(most) {
        let text = format!("{wanted} % is above what the configuration file allows: {most} % holds");
        warnings.place("/limits/main_fuse_pct", &text);
    }
    u8::try_from(wanted).map_or(most, |wanted| wanted.min(most))
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
