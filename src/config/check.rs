//! In which order is a file checked? Site, circuits, devices, chargers, sums, edges, policy; each whatever the others say.

use super::check_chargers::{self, Surroundings};
use super::compile::Place;
use super::diagnostic::Diagnostic;
use super::ledger::{self, Car};
use super::raw::{Faults, Row};
use super::transient;
use super::{ChargerConfig, Config, DeviceConfig, RecorderConfig};
use super::{
    check_circuits, check_devices, check_edges, check_frozen, check_policy, check_power, check_unbalance, code,
};
use crate::device::{Library, Role};
use crate::site::{CircuitId, Limits, Meter, Site, Tuning, Wiring};
use crate::units::Amps;
use std::path::Path;

/// All checks; then the typed configuration, if every part of it is there.
pub fn config(root: &Row, mut place: Place, faults: &mut Faults) -> Option<Config> {
    let site = root.table("site").ok();
    let device_dir = site.and_then(|row| row.text("device_dir").ok()).map(|dir| place.path(dir));
    if let (Some(row), Some(dir)) = (site, &device_dir) {
        add_devices(row, dir, &mut place, faults);
    }
    let (meters, inverters) = devices(root, &place, faults);
    let (electrical, reached) = electrical(root, site, &place, faults);
    let edges = edges(root, site, &place, faults);

    let (mut spare, mut other_spare, mut third_spare) = (None, None, None);
    let policy_row = root.table_or_defaults("policy", &mut spare);
    let evses = root.rows("charger").len();
    let policy = policy_row.and_then(|row| check_policy::policy(row, evses, root.is_given("cloud"), faults));
    let tuning_row = root.table_or_defaults("control", &mut other_spare);
    let tuning = tuning_row.and_then(|row| check_policy::tuning(row, faults));

    let recorder_row = root.table_or_defaults("recorder", &mut third_spare);
    let recorder = recorder_row.and_then(|row| recorder(row, &place));

    // A section that is there and came to nothing is faulty, or holds a secret that was not to be read.
    let came = [("mqtt", edges.mqtt.is_some()), ("http", edges.http.is_some()), ("cloud", edges.cloud.is_some())];
    if came.iter().any(|(section, is_some)| root.is_given(section) && !is_some) {
        return None;
    }
    Some(Config {
        site: Site { tuning: tuning?, ..electrical? },
        state_dir: place.path(site?.text("state_dir").ok()?),
        meters: meters?,
        inverters: inverters?,
        chargers: reached?,
        ocpp: edges.ocpp,
        mqtt: edges.mqtt,
        cloud: edges.cloud,
        http: edges.http,
        policy: policy?,
        recorder: recorder?,
        prepared: None,
    })
}

/// `None` after a fault, `Some(None)` where nothing is to be recorded.
fn recorder(row: &Row, place: &Place) -> Option<Option<RecorderConfig>> {
    let dir = place.path(row.text("dir").ok()?);
    let most = u64::try_from(row.whole("most_mib").ok()?).ok()? * 1024 * 1024;
    Some(row.flag("enabled").ok()?.then_some(RecorderConfig { dir, most }))
}

/// The files in `device_dir` go before built-in ones of the same name.
fn add_devices(row: &Row, dir: &Path, place: &mut Place, faults: &mut Faults) {
    match Library::load(Some(dir)) {
        Ok(library) => place.devices = library,
        Err(message) => {
            faults.push(Diagnostic::at(code::UNREADABLE, row.at("device_dir"), message));
            place.are_devices_known = false;
        }
    }
}

type Devices = Option<Vec<DeviceConfig>>;

fn devices(root: &Row, place: &Place, faults: &mut Faults) -> (Devices, Devices) {
    let (meter_rows, inverter_rows) = (root.rows("meter"), root.rows("inverter"));
    let meters = check_devices::compile(meter_rows, Role::Meter, place, faults);
    let inverters = check_devices::compile(inverter_rows, Role::Inverter, place, faults);
    let all = meter_rows.iter().chain(inverter_rows).zip(meters.iter().chain(&inverters));
    let (rows, good): (Vec<&Row>, Vec<&DeviceConfig>) =
        all.filter_map(|(row, device)| Some((row, device.as_ref()?))).unzip();
    check_devices::agree(&rows, &good, faults);
    (meters.into_iter().collect(), inverters.into_iter().collect())
}

/// The site without its tuning, and how its chargers are reached.
fn electrical(
    root: &Row,
    row: Option<&Row>,
    place: &Place,
    faults: &mut Faults,
) -> (Option<Site>, Option<Vec<ChargerConfig>>) {
    let wiring = row.and_then(|row| row.text("wiring").ok()).map(|word| match word {
        "single" => Wiring::Single,
        "delta" => Wiring::Delta,
        _ => Wiring::Star,
    });
    let house_worst = row.and_then(|row| check_circuits::per_phase(row, "house_worst_a", wiring, faults)).flatten();
    let drafts = check_circuits::compile(root.rows("circuit"), root.rows("meter"), wiring, faults);
    let ids: Vec<Option<&str>> = drafts.iter().map(|draft| draft.id).collect();
    let mut spare = None;
    let ocpp = root.table_or_defaults("ocpp", &mut spare);
    let around = Surroundings {
        circuits: &ids,
        wiring,
        allow_unauthenticated: ocpp.and_then(|row| row.flag("allow_unauthenticated").ok()),
        place,
    };
    let chargers = check_chargers::compile(root.rows("charger"), &around, faults);
    let (cars, reached): (Vec<Car>, Vec<Option<ChargerConfig>>) =
        chargers.into_iter().map(|draft| (draft.car, draft.reached)).unzip();
    ledger::check(&drafts, &cars, wiring, house_worst, faults);
    if let (Some(row), Some(wiring)) = (row, wiring) {
        check_power::check(row, &cars, wiring, house_worst, faults);
        check_unbalance::check(row, &cars, wiring, faults);
    }

    let mut site = || {
        let (circuits, order) = check_circuits::ordered(&drafts)?;
        let id = row?.text("id").ok()?;
        let [contract, dso] = check_power::compile(row?)?;
        let site = Site {
            id: id.to_string(),
            name: row?.text("name").or(id)?.to_string(),
            wiring: wiring?,
            primary: None,
            limits: Limits { contract, dso, unbalance: check_unbalance::compile(row?, wiring?)? },
            house_worst: house_worst?,
            circuits,
            evses: cars.iter().map(|car| check_chargers::evse(car, &order)).collect::<Option<_>>()?,
            meters: meters(root, &ids, &order, place)?,
            tuning: Tuning::default(),
        };
        if !faults.has_errors() {
            transient::tell(&site, &drafts, &order, !root.rows("inverter").is_empty(), faults);
            check_frozen::tell(&site, root.rows("meter"), place, faults);
        }
        Some(site)
    };
    (site(), reached.into_iter().collect())
}

fn meters(root: &Row, circuits: &[Option<&str>], order: &[CircuitId], at: &Place) -> Option<Vec<Meter>> {
    let meter = |row: &Row| {
        let circuit = row.text("circuit").ok()?;
        let place = circuits.iter().position(|id| *id == Some(circuit))?;
        Some(Meter {
            id: row.text("id").ok()?.to_string(),
            circuit: *order.get(place)?,
            // A fresh poll of a cached word is not a fresh sample.
            interval: check_devices::interval(row)?.max(at.devices.refresh(row.text("device").ok()?)),
            resolution: Amps::from_f64(row.number("resolution_a").ok()?)?,
        })
    };
    root.rows("meter").iter().map(meter).collect()
}

struct Edges {
    ocpp: Option<super::OcppConfig>,
    mqtt: Option<super::MqttConfig>,
    http: Option<super::HttpConfig>,
    cloud: Option<super::CloudConfig>,
}

fn edges(root: &Row, site: Option<&Row>, place: &Place, faults: &mut Faults) -> Edges {
    let chargers = root.rows("charger");
    let site = site.and_then(|row| row.text("id").ok());
    let mut spare = None;
    let ocpp_row = root.table_or_defaults("ocpp", &mut spare);
    let http_row = root.table("http").ok();
    let ocpp = ocpp_row.and_then(|row| check_edges::ocpp(row, chargers, faults));
    let http = http_row.and_then(check_edges::http);
    check_edges::ports(ocpp.as_ref(), http.as_ref(), http_row, faults);
    check_edges::needs_broker(root.is_given("mqtt"), chargers, faults);
    let mqtt = root.table("mqtt").ok();
    let cloud = root.table("cloud").ok();
    Edges {
        ocpp,
        mqtt: mqtt.and_then(|row| check_edges::mqtt(row, site, chargers, place, faults)),
        http,
        cloud: cloud.and_then(|row| check_edges::cloud(row, place, faults)),
    }
}
