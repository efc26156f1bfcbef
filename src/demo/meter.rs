//! What does the virtual grid meter say? The registers of an Eastron SDM630: input registers, float32, high word first.
//!
//! Volts at 0x0000, amperes at 0x0006 (without a sign), watts at 0x000C, each for L1, L2, L3; total watts at 0x0034,
//! hertz at 0x0046 (Eastron, SDM630 Modbus protocol, table of input registers). A silent meter does not answer; one
//! without values answers with NaN.

use super::modbus::{Registers, Table, serve};
use super::peer::{Peer, SharedPlant};
use crate::control::observation::Sample;
use crate::sim::{Plant, VOLTS, Voice};
use crate::site::{CircuitId, MeterId};
use std::io;

/// The last register that is served: all of the first block of the device.
const LAST: u16 = 0x0057;

/// Serves the meter of the grid connection; `port` 0 takes a free one.
///
/// # Errors
/// The port is taken.
pub async fn start(plant: &SharedPlant, port: u16) -> io::Result<Peer> {
    let plant = plant.clone();
    serve(port, Table::Input, move || plant.with(registers)).await
}

fn registers(plant: &mut Plant) -> Option<Registers> {
    let (now, flow) = (plant.now(), plant.flow(CircuitId(0)));
    let meter = plant.meter(MeterId(0));
    if meter.voice == Voice::Silent {
        return None;
    }
    let values = values(meter.take(now, &flow).ok().as_ref());
    let mut registers: Registers = (0..=LAST).map(|address| (address, 0)).collect();
    for (address, value) in values {
        let bits = value.to_bits();
        registers.insert(address, (bits >> 16) as u16);
        registers.insert(address + 1, bits as u16);
    }
    Some(registers)
}

fn values(sample: Option<&Sample>) -> Vec<(u16, f32)> {
    let mut values = vec![(0x0046, 50.0)];
    let mut total = 0.0;
    for index in 0..3u16 {
        let phase = usize::from(index);
        let amps = sample.map_or(f32::NAN, |sample| sample.current.0[phase].as_f64() as f32);
        let watts = sample.and_then(|sample| sample.watts).map_or(f32::NAN, |watts| watts.0[phase] as f32);
        total += watts;
        values.extend([(2 * index, VOLTS as f32), (6 + 2 * index, amps.abs()), (12 + 2 * index, watts)]);
    }
    values.push((0x0034, total));
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::tests::{shared, site_of};
    use crate::sim::Action;
    use crate::time::Duration;
    use crate::units::{Amps, PerPhase};
    use tokio_modbus::client::{Context, Reader, tcp};

    async fn volts_amps_watts(context: &mut Context) -> Vec<f32> {
        let words = context.read_input_registers(0, 18).await.unwrap().unwrap();
        words.chunks(2).map(|pair| f32::from_bits(u32::from(pair[0]) << 16 | u32::from(pair[1]))).collect()
    }

    #[tokio::test]
    async fn the_meter_reads_as_an_sdm630_does() {
        let plant = shared(&site_of(&[]));
        let amps = PerPhase([Amps::milli(4_200), Amps::whole(-3), Amps::ZERO]);
        plant.with(|plant| plant.act(&Action::Load { circuit: CircuitId(0), amps, over: Duration::ZERO }));
        let meter = start(&plant, 0).await.unwrap();
        let mut context = tcp::connect(meter.address).await.unwrap();
        let values = volts_amps_watts(&mut context).await;
        assert_eq!(values, [230.0, 230.0, 230.0, 4.2, 3.0, 0.0, 966.0, -690.0, 0.0]);
        let total = context.read_input_registers(0x34, 2).await.unwrap().unwrap();
        assert_eq!(f32::from_bits(u32::from(total[0]) << 16 | u32::from(total[1])), 276.0);
        assert!(context.read_holding_registers(0, 2).await.unwrap().is_err(), "it knows input registers only");

        plant.with(|plant| plant.act(&Action::Voice(MeterId(0), Voice::NotANumber)));
        assert!(volts_amps_watts(&mut context).await[3].is_nan());
        plant.with(|plant| plant.act(&Action::Voice(MeterId(0), Voice::Silent)));
        let silence = tokio::time::timeout(Duration::from_millis(200), context.read_input_registers(0, 18)).await;
        assert!(silence.is_err(), "{silence:?}");
        meter.stop().await;
    }
}
