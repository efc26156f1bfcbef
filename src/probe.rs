//! What stands at this address? `headroom probe`: every quantity with its raw words, and what looks wrong about them.

use crate::clock::Clock;
use crate::config::ModbusAddress;
use crate::device::map::{Expect, Layout, Measure};
use crate::device::walk::Placed;
use crate::device::{Decoded, Device, Library, Reading, Role, decode};
use crate::modbus::{Fault, Line};
use crate::time::Duration;
use crate::units::Phase;
use std::fmt::Write as _;

/// One question a second is the usual pace; it gives each answer the longest wait.
const PACE: Duration = Duration::from_secs(1);
/// EN 50160 allows 230 V ±10 %; beyond this it is no house's mains, or not this register.
const VOLTS: std::ops::RangeInclusive<f64> = 180.0..=280.0;
/// Mains of 50 Hz and of 60 Hz, with more room than EN 50160 gives even an island.
const HERTZ: [std::ops::RangeInclusive<f64>; 2] = [47.0..=53.0, 57.0..=63.0];
/// Numbers that belong together are read at slightly different moments: so much may they differ, in W and as a share.
const APART_WATTS: f64 = 50.0;
const APART_SHARE: f64 = 0.05;
/// A current below this has no direction worth a word.
const AMPS_LEAST: f64 = 0.3;

/// Reads the device at `address` through the named file, or through each known one until one fits.
///
/// # Errors
/// For people: nothing answers, nothing fits, or a serial line on which somebody else speaks.
pub async fn run(address: &ModbusAddress, unit: u8, device: Option<&str>, library: &Library) -> Result<String, String> {
    let mut line = Line::new(address.clone(), Clock::start());
    let words = |fault: Fault| fault.words(address, unit);
    let heard = line.listen().await.map_err(words)?;
    if heard > 0 {
        return Err(format!(
            "heard {heard} bytes before asking anything: another master (the inverter?) uses this line, and two masters \
             garble each other; nothing was sent. Disconnect it, or give headroom a meter or a port of its own"
        ));
    }
    if let Some(name) = device {
        let views = views(&mut line, unit, library.find(name)?).await.map_err(words)?;
        return Ok(views.iter().map(View::report).collect::<Vec<_>>().join("\n"));
    }
    let (mut reports, mut tried) = (Vec::new(), String::new());
    for device in candidates(library) {
        if !reports.is_empty() && matches!(device.layout, Layout::Fixed { .. }) {
            break;
        }
        match views(&mut line, unit, device).await {
            Ok(views) if views.iter().all(View::is_expected) => reports.extend(views.iter().map(View::report)),
            Ok(_) => _ = write!(tried, "\n  {}: it answers, but not with plausible numbers", device.name),
            Err(fault @ Fault::Unreachable(_)) => return Err(words(fault)),
            Err(fault) => _ = write!(tried, "\n  {}: {}", device.name, words(fault)),
        }
    }
    if reports.is_empty() { Err(format!("no device file fits:{tried}")) } else { Ok(reports.join("\n")) }
}

/// A marker is surer than plausible numbers, so chains come first; each may have a part of the device.
fn candidates(library: &Library) -> Vec<&Device> {
    let names = library.names();
    let mut devices: Vec<&Device> = names.iter().filter_map(|name| library.device(name)).map(AsRef::as_ref).collect();
    devices.sort_by_key(|device| matches!(device.layout, Layout::Fixed { .. }));
    devices
}

/// What a device has to show in one role.
#[derive(Debug)]
struct View<'a> {
    device: &'a Device,
    placed: Placed,
    decoded: Vec<Decoded>,
}

/// One view for each role that the device has.
async fn views<'a>(line: &mut Line, unit: u8, device: &'a Device) -> Result<Vec<View<'a>>, Fault> {
    let mut views = Vec::new();
    let mut last = None;
    for role in [Role::Meter, Role::Inverter].into_iter().filter(|role| device.layout.serves(*role)) {
        let placed = match line.locate(unit, device, role, PACE).await {
            Ok(placed) => placed,
            Err(fault @ Fault::Other(_)) => {
                last = Some(fault);
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let mut blocks = Vec::new();
        for block in &placed.map.blocks {
            blocks.push(match line.ask(unit, block.question, PACE).await {
                Ok(words) => words,
                Err(Fault::Refused(..)) if !block.is_polled => Vec::new(),
                Err(fault) => return Err(fault),
            });
        }
        let decoded = decode(&placed.map, &blocks);
        views.push(View { device, placed, decoded });
    }
    match last {
        Some(fault) if views.is_empty() => Err(fault),
        _ => Ok(views),
    }
}

impl View<'_> {
    /// Does it read like the device that the file describes?
    fn is_expected(&self) -> bool {
        let Layout::Fixed { expects, .. } = &self.device.layout else { return true };
        let holds = |expect: &Expect| {
            let found = self.decoded.iter().find(|decoded| decoded.measure == expect.measure);
            found.is_some_and(|found| matches!(found.value, Ok(value) if (expect.least..=expect.most).contains(&value)))
        };
        expects.iter().all(holds)
    }

    fn report(&self) -> String {
        let Device { name, title, evidence, document, revision, .. } = self.device;
        let role = self.placed.map.role;
        let mut text = format!("device = \"{name}\": {title}\nread as {role}");
        if let Some(model) = self.placed.model {
            _ = write!(text, ": SunSpec model {} at {}", model.id, model.address);
        }
        _ = writeln!(text, "\nevidence: {evidence}, {document}, {revision}\n");
        for (decoded, quantity) in self.decoded.iter().zip(&self.placed.map.quantities) {
            let value = match decoded.value {
                Ok(value) => format!("{value:.2} {}", decoded.measure.unit()),
                Err(why) => why.to_string(),
            };
            let words: Vec<String> = decoded.words.iter().map(|word| format!("{word:#06x}")).collect();
            let register = self.placed.map.address(quantity.place).unwrap_or_default();
            _ = writeln!(text, "{:<16} {value:>14}   {register:>5}  {}", decoded.measure.to_string(), words.join(" "));
        }
        let doubts = doubts(&self.decoded);
        if doubts.is_empty() {
            text.push_str("\nnothing looks wrong\n");
        } else {
            text.push_str("\nlooks wrong:\n");
            doubts.iter().for_each(|doubt| _ = writeln!(text, "- {doubt}"));
        }
        text
    }
}

/// What looks wrong, for people.
fn doubts(decoded: &[Decoded]) -> Vec<String> {
    let reading = Reading::of(decoded);
    let missing = decoded.iter().filter_map(|one| Some(format!("{}: {}", one.measure, one.value.err()?)));
    let mut doubts: Vec<String> = missing.collect();
    for phase in Phase::ALL {
        doubts.extend(doubts_of_phase(&reading, phase));
    }
    if let Ok(hertz) = reading.frequency
        && !HERTZ.iter().any(|range| range.contains(&hertz))
    {
        doubts.push(format!("frequency is {hertz:.1} Hz: no mains has that; another device, or another word order?"));
    }
    if let ([Ok(one), Ok(two), Ok(three)], Ok(total)) = (reading.watts.0, reading.total_watts) {
        let sum: f64 = one + two + three;
        if (sum - total).abs() > APART_WATTS.max(APART_SHARE * total.abs()) {
            doubts.push(format!("the phases make {sum:.0} W, the total is {total:.0} W: a phase is counted wrongly"));
        }
    }
    doubts
}

fn doubts_of_phase(reading: &Reading, phase: Phase) -> Vec<String> {
    let mut doubts = Vec::new();
    let (amps, watts, volts) = (reading.current[phase], reading.watts[phase], reading.volts[phase]);
    if let Ok(volts) = volts
        && !VOLTS.contains(&volts)
    {
        let name = Measure::Voltage(phase);
        doubts.push(format!("{name} is {volts:.1} V: 180 to 280 is usual; is the phase connected?"));
    }
    let (Ok(amps), Ok(watts)) = (amps, watts) else { return doubts };
    if watts < 0.0 && amps.abs() >= AMPS_LEAST {
        doubts.push(match amps < 0.0 {
            true => {
                format!("{phase} exports {:.0} W: right only while the sun does that; else its CT is turned", -watts)
            }
            false => format!(
                "{phase} has {watts:.0} W with {amps:.1} A: power negative, current positive. It exports: right only \
                 while the sun does that; else its CT is turned"
            ),
        });
    }
    if watts > 0.0 && amps <= -AMPS_LEAST {
        doubts.push(format!(
            "{phase} has {watts:.0} W and {amps:.1} A: one of the two signs is turned in the device file"
        ));
    }
    if let Ok(volts) = volts
        && watts.abs() > (1.0 + APART_SHARE) * volts.abs() * amps.abs() + APART_WATTS
    {
        doubts.push(format!(
            "{phase} has {watts:.0} W, but {volts:.0} V and {amps:.1} A make {:.0} VA at most: wrong scale or CT ratio?",
            volts * amps.abs()
        ));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Parity;
    use crate::device::Missing;
    use std::future::ready;
    use std::sync::Arc;
    use tokio::io::AsyncWriteExt as _;
    use tokio_modbus::{ExceptionCode, Request, Response};
    use tokio_serial::{SerialPort as _, SerialStream};

    fn measured(values: &[(Measure, f64)]) -> Vec<Decoded> {
        let one = |(measure, value): &(Measure, f64)| Decoded { measure: *measure, words: vec![], value: Ok(*value) };
        values.iter().map(one).collect()
    }

    fn phase(volts: f64, amps: f64, watts: f64) -> Vec<Decoded> {
        let phase = Phase::L2;
        measured(&[(Measure::Voltage(phase), volts), (Measure::Current(phase), amps), (Measure::Power(phase), watts)])
    }

    fn says(decoded: &[Decoded], what: &str) {
        let doubts = doubts(decoded);
        assert!(doubts.iter().any(|doubt| doubt.contains(what)), "{what}: {doubts:?}");
    }

    #[test]
    fn what_looks_wrong_is_named() {
        assert_eq!(doubts(&phase(230.0, 5.0, 1_140.0)), Vec::<String>::new());
        says(&phase(2.3, 5.0, 11.0), "voltage L2 is 2.3 V");
        says(&phase(230.0, 5.0, -1_140.0), "power negative, current positive");
        says(&phase(230.0, -5.0, -1_140.0), "its CT is turned");
        says(&phase(230.0, -5.0, 1_140.0), "signs is turned");
        says(&phase(230.0, 0.5, 1_140.0), "115 VA at most");
        says(&measured(&[(Measure::Frequency, 0.0)]), "frequency is 0.0 Hz");
        let phases = Phase::ALL.map(|phase| (Measure::Power(phase), 100.0));
        let sum = measured(&[phases.as_slice(), &[(Measure::TotalPower, 100.0)]].concat());
        says(&sum, "the phases make 300 W, the total is 100 W");
        let hole = Decoded { measure: Measure::Current(Phase::L3), words: vec![], value: Err(Missing::NoNumber) };
        says(&[hole], "current L3: not a number");
    }

    #[tokio::test]
    async fn a_meter_without_a_name_is_recognised() {
        let mut words = vec![0_u16; 76];
        put(&mut words, 0, &[230.0, 231.0, 229.0, 10.0, 5.0, 1.0, 2300.0, -1155.0, 229.0]);
        put(&mut words, 0x34, &[1374.0]);
        put(&mut words, 0x46, &[50.0, 1234.5, 67.0]);
        let address = device(words, vec![]).await;
        let report = run(&address, 1, None, &Library::load(None).unwrap()).await.unwrap();
        assert!(report.contains("device = \"eastron-sdm630\"") && report.contains("evidence: secondary"), "{report}");
        assert!(report.contains("voltage L1             230.00 V       0  0x4366 0x0000"), "{report}");
        assert!(report.contains("imported energy     1234.50 kWh      72"), "{report}");
        assert!(report.contains("L2 has -1155 W with 5.0 A"), "{report}");
    }

    #[tokio::test]
    async fn a_chain_is_shown_in_each_of_its_roles() {
        let mut words = vec![0x5375, 0x6E53, 103, 50];
        words.resize(54, 0);
        words[2 + 14] = 500;
        words.extend([203, 105]);
        words.resize(54 + 107, 0);
        words.extend([0xFFFF, 0]);
        let address = device(vec![], words).await;
        let report = run(&address, 1, None, &Library::load(None).unwrap()).await.unwrap();
        assert!(report.contains("read as inverter: SunSpec model 103 at 2"), "{report}");
        assert!(report.contains("read as meter: SunSpec model 203 at 54"), "{report}");
        assert!(report.contains("generated power        500.00 W"), "{report}");
    }

    #[tokio::test]
    async fn a_device_that_fits_no_file_is_told_with_what_was_tried() {
        let address = device(vec![0; 80], vec![0; 80]).await;
        let why = run(&address, 1, None, &Library::load(None).unwrap()).await.unwrap_err();
        assert!(why.contains("sunspec: ") && why.contains("no SunSpec marker"), "{why}");
        assert!(why.contains("eastron-sdm630: it answers, but not with plausible numbers"), "{why}");
    }

    #[tokio::test]
    async fn a_serial_line_with_another_master_is_left_alone() {
        let Ok((mut other, port)) = SerialStream::pair() else {
            return eprintln!("SKIPPED: this machine has no pseudo-terminals (/dev/pts)");
        };
        let path = port.name().unwrap().into();
        let address = ModbusAddress::Rtu { path, baud: 9600, parity: Parity::None, stop_bits: 1 };
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                other.write_all(&[1, 4, 0, 0, 0, 18, 0x70, 0x07]).await.unwrap();
            }
        });
        let why = run(&address, 1, None, &Library::load(None).unwrap()).await.unwrap_err();
        assert!(why.contains("another master"), "{why}");
    }

    fn put(words: &mut [u16], at: usize, values: &[f32]) {
        for (index, value) in values.iter().enumerate() {
            words[at + 2 * index] = (value.to_bits() >> 16) as u16;
            words[at + 2 * index + 1] = value.to_bits() as u16;
        }
    }

    struct Registers {
        input: Vec<u16>,
        holding: Vec<u16>,
    }

    impl tokio_modbus::server::Service for Registers {
        type Request = Request<'static>;
        type Response = Response;
        type Exception = ExceptionCode;
        type Future = std::future::Ready<Result<Response, ExceptionCode>>;

        fn call(&self, question: Self::Request) -> Self::Future {
            let words = |table: &[u16], address: u16, count: u16| {
                Some(table.get(usize::from(address)..usize::from(address) + usize::from(count))?.to_vec())
            };
            ready(
                match question {
                    Request::ReadInputRegisters(address, count) => {
                        words(&self.input, address, count).map(Response::ReadInputRegisters)
                    }
                    Request::ReadHoldingRegisters(address, count) => {
                        words(&self.holding, address, count).map(Response::ReadHoldingRegisters)
                    }
                    _ => None,
                }
                .ok_or(ExceptionCode::IllegalDataAddress),
            )
        }
    }

    async fn device(input: Vec<u16>, holding: Vec<u16>) -> ModbusAddress {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = ModbusAddress::Tcp(listener.local_addr().unwrap().to_string());
        let registers = Arc::new(Registers { input, holding });
        tokio::spawn(async move {
            let server = tokio_modbus::server::tcp::Server::new(listener);
            server.serve(&|stream, _| ready(Ok(Some((registers.clone(), stream)))), |_| ()).await
        });
        address
    }
}
