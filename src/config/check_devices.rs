//! How is each meter and inverter read? Its device file, where it is on Modbus, how often.

use super::check_circuits::unique;
use super::code;
use super::compile::Place;
use super::diagnostic::Diagnostic;
use super::raw::{Faults, Given, Row};
use super::suggest::closest;
use super::{DeviceConfig, ModbusAddress, Parity};
use crate::device::{Device, Role};
use crate::time::Duration;
use std::sync::Arc;

/// The devices of one list, in the file's order; `None` stands for a faulty one.
pub fn compile(rows: &[Row], role: Role, place: &Place, faults: &mut Faults) -> Vec<Option<DeviceConfig>> {
    unique(rows, "id", faults);
    let devices: Vec<Option<DeviceConfig>> = rows.iter().map(|row| device(row, role, place, faults)).collect();
    for (at, device) in devices.iter().enumerate() {
        let Some(device) = device else { continue };
        // A device may be a meter and an inverter at once, and one gateway may have meters of two kinds under one unit.
        let is_same = |other: &DeviceConfig| {
            (&other.address, other.unit, &other.device) == (&device.address, device.unit, &device.device)
        };
        if let Some(first) = devices[..at].iter().position(|other| other.as_ref().is_some_and(is_same)) {
            let message = format!("{} and {} are the same device on Modbus", rows[first].who, rows[at].who);
            let key = if rows[at].is_given("serial") { "serial" } else { "address" };
            let fault = Diagnostic::at(code::BUS, rows[at].at(key), message);
            faults.push(fault.label(format!("{} has this address and unit {}", rows[first].who, device.unit)));
        }
    }
    devices
}

/// All devices on one serial line must agree on its settings.
pub fn agree(rows: &[&Row], devices: &[&DeviceConfig], faults: &mut Faults) {
    for (at, device) in devices.iter().enumerate() {
        let ModbusAddress::Rtu { path, .. } = &device.address else { continue };
        let line =
            |other: &&DeviceConfig| matches!(&other.address, ModbusAddress::Rtu { path: same, .. } if same == path);
        if let Some(first) = devices[..at].iter().position(line)
            && devices[first].address != device.address
        {
            let message = format!("{} and {} share a serial line", rows[first].who, rows[at].who);
            let fault = Diagnostic::at(code::BUS, rows[at].at("serial"), message);
            faults.push(fault.label("with other baud, parity or stop_bits than above"));
        }
    }
}

fn device(row: &Row, role: Role, place: &Place, faults: &mut Faults) -> Option<DeviceConfig> {
    let device = known_device(row, role, place, faults);
    let address = address(row, place, faults);
    let id = row.text("id").ok()?;
    Some(DeviceConfig {
        id: id.to_string(),
        name: row.text("name").or(id)?.to_string(),
        device: device?,
        address: address?,
        unit: u8::try_from(row.whole("unit").ok()?).ok()?,
        interval: interval(row)?,
    })
}

/// How often a device is read.
pub fn interval(row: &Row) -> Option<Duration> {
    Some(Duration::from_millis(u64::try_from(row.whole("interval_ms").ok()?).ok()?))
}

fn known_device(row: &Row, role: Role, place: &Place, faults: &mut Faults) -> Option<Arc<Device>> {
    let (name, library) = (row.text("device").ok()?, &place.devices);
    let Some(device) = library.device(name) else {
        if !place.are_devices_known {
            return None;
        }
        let message = format!("{} has an unknown device \"{name}\"", row.who);
        let fault =
            Diagnostic::at(code::UNKNOWN_DEVICE, row.at("device"), message).label("no device file has this name");
        let names = library.names();
        let guess = closest(name, names.iter().map(String::as_str));
        let help = format!("there are: {}; your own files go into device_dir", names.join(", "));
        faults.push(fault.help(help).did_you_mean(guess));
        return None;
    };
    if !device.layout.serves(role) {
        let message = format!("the device file \"{name}\" is for no {role}");
        let fault = Diagnostic::at(code::UNKNOWN_DEVICE, row.at("device"), message);
        faults.push(fault.label(format!("{} needs a file that says `role = \"{role}\"`", row.who)));
        return None;
    }
    Some(device.clone())
}

fn address(row: &Row, place: &Place, faults: &mut Faults) -> Option<ModbusAddress> {
    if row.is_given("address") && row.is_given("serial") {
        let message = format!("{} has both \"address\" and \"serial\"", row.who);
        faults.push(Diagnostic::at(code::MISPLACED, row.key_at("serial"), message).label("only one of the two"));
        return None;
    }
    if row.is_given("address") {
        for key in ["baud", "parity", "stop_bits"].into_iter().filter(|key| row.is_given(key)) {
            let message = format!("{key} of {} belongs to a serial line, and it has an address", row.who);
            faults.push(Diagnostic::at(code::MISPLACED, row.key_at(key), message).label("does not belong here"));
        }
    }
    match (row.text("address"), row.text("serial")) {
        (Given::Is(address), _) => Some(ModbusAddress::Tcp(address.to_lowercase())),
        (_, Given::Is(serial)) => Some(ModbusAddress::Rtu {
            path: place.path(serial),
            baud: u32::try_from(row.whole("baud").ok()?).ok()?,
            parity: match row.text("parity").ok()? {
                "even" => Parity::Even,
                "odd" => Parity::Odd,
                _ => Parity::None,
            },
            stop_bits: u8::try_from(row.whole("stop_bits").ok()?).ok()?,
        }),
        (Given::Absent, Given::Absent) => {
            let fault = row.missing("address");
            faults.push(fault.label("\"address\" (Modbus TCP) or \"serial\" (RTU) is needed here"));
            None
        }
        (Given::Faulty, _) | (_, Given::Faulty) => None,
    }
}
