//! What is each charger, and how is it reached? Its phases, its currents, its lapse, its protocol.

use super::check_circuits::{find, unique};
use super::code;
use super::compile::Place;
use super::diagnostic::Diagnostic;
use super::ledger::Car;
use super::raw::{Faults, Given, Row};
use super::{ChargerConfig, Secret, secret};
use crate::site::{CircuitId, Currents, Evse, LapseClass, MOST_LISTED, Rotation, Step, Wiring};
use crate::time::Duration;
use crate::units::{Amps, Phase};

/// What the rest of the file says about all chargers.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Ids of the circuits, in the file's order.
    pub circuits: &'a [Option<&'a str>],
    /// The site's; `None`: faulty.
    pub wiring: Option<Wiring>,
    /// May chargers dial in without a password? `None`: faulty.
    pub allow_unauthenticated: Option<bool>,
    /// Where files are.
    pub place: &'a Place,
}

/// A charger as far as it is known.
#[derive(Debug)]
pub struct Draft<'r> {
    /// Its currents and phases.
    pub car: Car<'r>,
    /// How it is reached; `None`: faulty.
    pub reached: Option<ChargerConfig>,
}

/// All chargers, in the file's order.
pub fn compile<'r>(rows: &'r [Row], around: &Surroundings, faults: &mut Faults) -> Vec<Draft<'r>> {
    unique(rows, "id", faults);
    let drafts: Vec<Draft> = rows
        .iter()
        .map(|row| {
            let circuit = find(row, "circuit", code::UNKNOWN_CIRCUIT, around.circuits, faults);
            Draft { car: car(row, circuit, around.wiring, faults), reached: reached(row, around, faults) }
        })
        .collect();
    connectors_once(rows, faults);
    topics_once(rows, faults);
    one_password(&drafts, faults);
    drafts
}

/// As control sees it; `None` while anything is faulty. `circuits` leads from the file's order to the site's.
pub fn evse(car: &Car, circuits: &[CircuitId]) -> Option<Evse> {
    let id = car.row.text("id").ok()?;
    let metering = seconds(car.row, "metering_s")?;
    Some(Evse {
        id: id.to_string(),
        name: car.row.text("name").or(id)?.to_string(),
        circuit: *circuits.get(car.circuit?)?,
        rotation: car.rotation?,
        least: car.least?,
        most: car.most?,
        fallback: car.fallback?,
        step: step(car.row)?,
        lease: seconds(car.row, "lease_s")?,
        response: seconds(car.row, "response_s")?,
        lapse: car.lapse?,
        metering: (!metering.is_zero()).then_some(metering),
    })
}

/// A whole number of seconds.
pub fn seconds(row: &Row, key: &str) -> Option<Duration> {
    Some(Duration::from_secs(u64::try_from(row.whole(key).ok()?).ok()?))
}

/// Evenly spaced, or a list.
fn step(row: &Row) -> Option<Step> {
    match row.currents("step_a") {
        Given::Is(list) => {
            let list: Option<Vec<Amps>> = list.iter().map(|listed| Amps::from_f64(*listed)).collect();
            Currents::new(&list?).map(Step::List)
        }
        Given::Absent | Given::Faulty => amps(row, "step_a").map(Step::Multiple),
    }
}

/// A number of amperes.
pub fn amps(row: &Row, key: &str) -> Option<Amps> {
    Amps::from_f64(row.number(key).ok()?)
}

fn car<'r>(row: &'r Row, circuit: Option<usize>, wiring: Option<Wiring>, faults: &mut Faults) -> Car<'r> {
    let least = amps(row, "least_a");
    let fallback = match row.number("fallback_a") {
        Given::Absent => least,
        Given::Is(number) => Amps::from_f64(number),
        Given::Faulty => None,
    };
    let lapse = match (row.text("lapse"), row.text("protocol")) {
        (Given::Is("a"), _) | (Given::Absent, Given::Is("mqtt")) => Some(LapseClass::A),
        (Given::Is("c"), _) => Some(LapseClass::C),
        (Given::Is(_), _) | (Given::Absent, Given::Is(_)) => Some(LapseClass::B),
        (Given::Faulty, _) | (Given::Absent, _) => None,
    };
    let car = Car {
        row,
        circuit,
        rotation: rotation(row, wiring, faults),
        least,
        most: amps(row, "most_a"),
        fallback,
        lapse,
    };
    check_currents(&car, faults);
    check_times(row, faults);
    tell_latching(&car, faults);
    car
}

fn check_currents(car: &Car, faults: &mut Faults) {
    let row = car.row;
    let (Some(least), Some(most)) = (car.least, car.most) else { return };
    let mut tell = |key: &str, message: String, label: String| {
        faults.push(Diagnostic::at(code::CURRENTS, row.at(key), message).label(label));
    };
    if least > most {
        let key = if row.is_given("least_a") { "least_a" } else { "most_a" };
        tell(key, format!("least_a of {} is above its most_a", row.who), format!("{least} is above {most}"));
        return;
    }
    let key = if row.is_given("step_a") { "step_a" } else { "least_a" };
    match step(row) {
        Some(Step::Multiple(step)) if least.floor_to(step) != least => {
            let message = format!("least_a of {} is no multiple of its step_a", row.who);
            tell(key, message, format!("{least} in steps of {step}"));
        }
        Some(Step::List(list)) if list.least() != least => {
            let message = format!("least_a of {} is not the first of its step_a", row.who);
            tell(key, message, format!("{least}, and the list begins with {}", list.least()));
        }
        None if row.currents("step_a").ok().is_some() => {
            let message = format!("step_a of {} does not rise, or is not 1 to {MOST_LISTED} currents", row.who);
            tell(key, message, "such as [6, 8, 10, 13, 16]".into());
        }
        Some(_) | None => {}
    }
    if let Some(fallback) = car.fallback
        && fallback != Amps::ZERO
        && (fallback < least || fallback > most)
    {
        let message = format!("fallback_a of {} is neither 0 nor from least_a to most_a", row.who);
        tell("fallback_a", message, format!("0, or {least} to {most}"));
    }
}

/// A setpoint is renewed at half its lease, and the renewal must have arrived before the charger falls back.
fn check_times(row: &Row, faults: &mut Faults) {
    let (Some(lease), Some(response)) = (row.whole("lease_s").ok(), row.whole("response_s").ok()) else { return };
    if lease <= 2 * response {
        let key = if row.is_given("lease_s") { "lease_s" } else { "response_s" };
        let message = format!("the lease of {} ends before its renewal has arrived", row.who);
        let label = format!("{lease} s is not more than twice its response_s of {response} s");
        faults.push(Diagnostic::at(code::TIMES, row.at(key), message).label(label));
    }
}

fn tell_latching(car: &Car, faults: &mut Faults) {
    let (Some(LapseClass::C), Some(most)) = (car.lapse, car.most) else { return };
    let message = format!("{} keeps its last limit when headroom is gone", car.row.who);
    let fault = Diagnostic::at(code::LATCHES, car.row.at("lapse"), message);
    faults.push(fault.label(format!("it counts as {most} for ever, whatever its fallback_a says")));
}

fn rotation(row: &Row, wiring: Option<Wiring>, faults: &mut Faults) -> Option<Rotation> {
    let wiring = wiring?;
    let given = row.text("rotation").optional()?.map(Rotation::parse);
    let wired = row.whole("phases").optional()?;
    let mut tell = |key: &str, message: String, label: &str| {
        faults.push(Diagnostic::at(code::ROTATION, row.at(key), message).label(label));
        None
    };
    if wired == Some(2) {
        return tell("phases", format!("{} cannot be wired to two phases", row.who), "1 or 3");
    }
    if wiring == Wiring::Single && wired == Some(3) {
        return tell("phases", format!("{} has three phases, and the site has one", row.who), "1 is needed here");
    }
    let rotation = match (given, wiring, wired) {
        (Some(rotation), _, _) => rotation?,
        (None, Wiring::Single, _) => Rotation::one(Phase::L1),
        (None, Wiring::Star | Wiring::Delta, Some(1)) => {
            let label = match wiring {
                Wiring::Delta => "rotation = \"RS\", \"ST\" or \"TR\" is needed too",
                Wiring::Single | Wiring::Star => "rotation = \"R\", \"S\" or \"T\" is needed too",
            };
            return tell("phases", format!("{} is on one phase, and it is not said which", row.who), label);
        }
        (None, Wiring::Star | Wiring::Delta, _) => Rotation::three(Phase::ALL),
    };
    if wired.is_some_and(|wired| wired != rotation.wired() as i64) {
        let label = match (rotation.lines(), rotation.wired()) {
            (Some(_), _) => "one phase between two lines",
            (None, 1) => "names one phase",
            (None, _) => "names three phases",
        };
        return tell("rotation", format!("the rotation of {} does not match its phases", row.who), label);
    }
    match (wiring, rotation.lines(), rotation.wired()) {
        (Wiring::Delta, None, 1) => {
            let label = "between which lines? \"RS\", \"ST\" or \"TR\"";
            return tell("rotation", format!("{} hangs on one line, and the site has no neutral", row.who), label);
        }
        (Wiring::Single | Wiring::Star, Some(_), _) => {
            let label = "only with wiring = \"delta\"";
            return tell("rotation", format!("{} hangs between two lines, and the site has a neutral", row.who), label);
        }
        (Wiring::Single | Wiring::Star | Wiring::Delta, ..) => {}
    }
    if !rotation.phases().iter().all(|phase| wiring.phases().contains(phase)) {
        let label = "\"R\" is the only phase";
        return tell("rotation", format!("{} is on a phase that the site does not have", row.who), label);
    }
    Some(rotation)
}

fn reached(row: &Row, around: &Surroundings, faults: &mut Faults) -> Option<ChargerConfig> {
    let protocol = row.text("protocol").ok()?;
    let (needed, foreign): (&str, &[&str]) = match protocol {
        "ocpp" => ("identity", &["topic"]),
        _ => ("topic", &["identity", "connector", "password", "password_file"]),
    };
    for key in foreign.iter().filter(|key| row.is_given(key)) {
        let message = format!("{} has \"{key}\", which does not belong to its protocol", row.who);
        let fault = Diagnostic::at(code::MISPLACED, row.key_at(key), message);
        faults.push(fault.label(format!("not with protocol = \"{protocol}\"")));
    }
    let name = row.text(needed).optional()?;
    if name.is_none() {
        let label = format!("protocol = \"{protocol}\" needs \"{needed}\"");
        faults.push(row.missing(needed).label(label));
    }
    if protocol == "mqtt" {
        return Some(ChargerConfig::Mqtt { topic: name?.to_string() });
    }
    let password = password(row, around, faults);
    Some(ChargerConfig::Ocpp {
        identity: name?.to_string(),
        connector: u32::try_from(row.whole("connector").ok()?).ok()?,
        password: password?,
    })
}

fn password(row: &Row, around: &Surroundings, faults: &mut Faults) -> Option<Option<Secret>> {
    /// OCPP 1.6 security whitepaper, edition 3: at least 16 bytes.
    const LEAST_LETTERS: usize = 16;
    let password = secret::read(row, "password", around.place, faults).optional()?;
    match &password {
        Some(Secret(text)) if text.len() < LEAST_LETTERS => {
            let key = if row.is_given("password") { "password" } else { "password_file" };
            let message = format!("the password of {} has fewer than {LEAST_LETTERS} characters", row.who);
            faults.push(Diagnostic::at(code::SHORT_PASSWORD, row.key_at(key), message));
        }
        None if around.allow_unauthenticated == Some(false) => {
            let fault = Diagnostic::at(code::PASSWORD, row.span, format!("{} has no password", row.who))
                .label("\"password_file\" or \"password\" is needed here");
            faults.push(fault.help(
                "chargers without a password may dial in only with allow_unauthenticated = true under [ocpp], \
                 in a network that you trust",
            ));
            return None;
        }
        Some(_) | None => {}
    }
    Some(password)
}

fn connectors_once(rows: &[Row], faults: &mut Faults) {
    let connector = |row: &Row| match row.text("protocol").ok() {
        Some("ocpp") => Some((row.text("identity").ok()?.to_string(), row.whole("connector").ok()?)),
        _ => None,
    };
    for (at, row) in rows.iter().enumerate() {
        let Some((identity, number)) = connector(row) else { continue };
        let is_same = |other: &&Row| connector(other).is_some_and(|other| other == (identity.clone(), number));
        if let Some(first) = rows[..at].iter().find(is_same) {
            let line = faults.line(first.at("identity"));
            let message = format!("{} and {} are the same OCPP connector", first.who, row.who);
            let fault = Diagnostic::at(code::SAME_CHARGER, row.at("identity"), message)
                .label(format!("connector {number} of \"{identity}\" is used on line {line}"));
            faults.push(
                fault.help("give each charger its own identity, or each outlet of one charger its own connector"),
            );
        }
    }
}

fn topics_once(rows: &[Row], faults: &mut Faults) {
    for (at, row) in rows.iter().enumerate() {
        let Some(topic) = row.text("topic").ok() else { continue };
        let is_near = |other: &&Row| other.text("topic").ok().is_some_and(|other| topics_meet(topic, other));
        if let Some(first) = rows[..at].iter().find(is_near) {
            let line = faults.line(first.at("topic"));
            let message = format!("{} and {} share MQTT topics", first.who, row.who);
            let fault = Diagnostic::at(code::SAME_CHARGER, row.at("topic"), message);
            faults.push(fault.label(format!("the topic on line {line} is the same, or one lies below the other")));
        }
    }
}

/// Is one the other, or below it?
pub fn topics_meet(a: &str, b: &str) -> bool {
    let is_below = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_below(a, b) || is_below(b, a)
}

/// The connectors of one charger share its connection, and so its password.
fn one_password(drafts: &[Draft], faults: &mut Faults) {
    let login = |draft: &Draft| match &draft.reached {
        Some(ChargerConfig::Ocpp { identity, connector, password }) => {
            Some((identity.clone(), *connector, password.clone()))
        }
        Some(ChargerConfig::Mqtt { .. }) | None => None,
    };
    for (at, draft) in drafts.iter().enumerate() {
        let Some((identity, connector, password)) = login(draft) else { continue };
        // One connector twice is a fault of its own.
        let differs = |other: &&Draft| {
            login(other)
                .is_some_and(|(same, number, other)| same == identity && number != connector && other != password)
        };
        if let Some(first) = drafts[..at].iter().find(differs) {
            let (first, row) = (first.car.row, draft.car.row);
            let message = format!("{} and {} are one charger with two passwords", first.who, row.who);
            let fault = Diagnostic::at(code::PASSWORD, row.at("identity"), message);
            faults.push(fault.label("the connectors of one identity share one password"));
        }
    }
}
