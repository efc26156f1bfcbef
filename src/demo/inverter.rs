//! What does the virtual inverter say? SunSpec at 40000: the marker, model 1 (who it is), model 103 (three phases), end.
//!
//! SunSpec Information Model Specification and models 1 and 103 of the SunSpec model definitions; integers with scale
//! factors, what it does not measure says so.

use super::modbus::{Registers, Table, serve};
use super::peer::{Peer, SharedPlant};
use crate::sim::VOLTS;
use std::io;

/// The first of SunSpec's three usual places.
const BASE: u16 = 40_000;
/// "SunS".
const MARKER: [u16; 2] = [0x5375, 0x6e53];
/// Length of model 1 without its header.
const COMMON_LENGTH: u16 = 66;
/// Length of model 103 without its header.
const INVERTER_LENGTH: u16 = 50;
/// An unsigned point that it does not have.
const NO_UNSIGNED: u16 = 0xFFFF;
/// A signed point, or scale factor, that it does not have.
const NO_SIGNED: u16 = 0x8000;
/// Operating states of model 103.
const SLEEPING: u16 = 2;
const PRODUCING: u16 = 4;

/// Serves the inverter on the roof; `port` 0 takes a free one.
///
/// # Errors
/// The port is taken.
pub async fn start(plant: &SharedPlant, port: u16) -> io::Result<Peer> {
    let plant = plant.clone();
    serve(port, Table::Holding, move || Some(registers(plant.with(|plant| plant.sun())))).await
}

fn registers(watts: i32) -> Registers {
    let mut words = MARKER.to_vec();
    words.extend([1, COMMON_LENGTH]);
    words.extend(text("headroom", 16));
    words.extend(text("virtual roof", 16));
    words.extend(text("", 8));
    words.extend(text("1", 8));
    words.extend(text("0001", 16));
    words.extend([1, NO_UNSIGNED]);
    words.extend([103, INVERTER_LENGTH]);
    words.extend(inverter(watts));
    words.extend([0xFFFF, 0]);
    (BASE..).zip(words).collect()
}

/// Model 103 without its header.
fn inverter(watts: i32) -> [u16; INVERTER_LENGTH as usize] {
    let (volts, watts) = (VOLTS as i32, watts.clamp(0, i32::from(i16::MAX)));
    let phase_centiamps = (watts * 100 / volts / 3) as u16;
    let minus_two = -2i16 as u16;
    let mut words = [NO_UNSIGNED; INVERTER_LENGTH as usize];
    words[0] = phase_centiamps * 3;
    words[1..4].fill(phase_centiamps);
    words[4] = minus_two;
    words[8..11].fill(volts as u16);
    words[11] = 0;
    (words[12], words[13]) = (watts as u16, 0);
    (words[14], words[15]) = (5_000, minus_two);
    for signed in [16, 17, 18, 19, 20, 21, 26, 28, 29, 30, 31, 32, 33, 34, 35] {
        words[signed] = NO_SIGNED;
    }
    // An accumulator that is not there is zero.
    (words[22], words[23], words[24]) = (0, 0, 0);
    words[36] = if watts > 0 { PRODUCING } else { SLEEPING };
    words[38..].fill(0);
    words
}

fn text(text: &str, registers: usize) -> Vec<u16> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(registers * 2, 0);
    bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::tests::{shared, site_of};
    use crate::sim::Action;
    use crate::time::Duration;
    use tokio_modbus::client::{Reader, tcp};

    #[tokio::test]
    async fn its_models_can_be_walked_to_the_end() {
        let plant = shared(&site_of(&[]));
        plant.with(|plant| plant.act(&Action::Sun { watts: 4_600, over: Duration::ZERO }));
        let inverter = start(&plant, 0).await.unwrap();
        let mut context = tcp::connect(inverter.address).await.unwrap();
        assert_eq!(context.read_holding_registers(40_000, 2).await.unwrap().unwrap(), MARKER);
        let (mut at, mut models) = (40_002, Vec::new());
        loop {
            let header = context.read_holding_registers(at, 2).await.unwrap().unwrap();
            models.push(header[0]);
            if header[0] == 0xFFFF {
                break;
            }
            if header[0] == 103 {
                let watts = context.read_holding_registers(at + 2 + 12, 2).await.unwrap().unwrap();
                assert_eq!(watts, [4_600, 0]);
            }
            at += 2 + header[1];
        }
        assert_eq!(models, [1, 103, 0xFFFF]);
        inverter.stop().await;
    }
}
