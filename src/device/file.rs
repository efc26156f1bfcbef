//! How is a device file written? TOML, read strictly: an unknown key or a register outside every block is a fault.

use super::map::{
    Block, Device, Evidence, Expect, Form, Function, Layout, Map, Measure, Model, Place, Quantity, Question, Role, Sign,
};
use crate::units::Phase;
use serde::Deserialize;
use std::time::Duration;

/// The most registers that one request may ask for (Modbus Application Protocol V1.1b3, 6.3 and 6.4).
const REGISTERS_MOST: u16 = 125;

/// One device file.
///
/// # Errors
/// What is wrong, for people; with the line where TOML itself knows it.
pub fn read(text: &str) -> Result<Device, String> {
    let raw: RawDevice = toml::from_str(text).map_err(|error| {
        let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or_default());
        format!("line {}: {}", 1 + before.matches('\n').count(), error.message())
    })?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if raw.name.is_empty() || !raw.name.chars().all(is_name) {
        return Err(format!("name \"{}\": use a-z, 0-9 and -", raw.name));
    }
    if raw.document.trim().is_empty() || raw.revision.trim().is_empty() {
        return Err("document and revision: say where the addresses come from".into());
    }
    let layout = match (raw.role, raw.marker.is_empty()) {
        (Some(role), true) if raw.model.is_empty() => Layout::Fixed {
            map: map(role, &raw.block, &raw.quantity)?,
            expects: raw.expect.iter().map(expect).collect::<Result<_, _>>()?,
        },
        (None, false) if raw.block.is_empty() && raw.quantity.is_empty() && raw.expect.is_empty() => {
            Layout::Chain { markers: raw.marker, models: raw.model.iter().map(model).collect::<Result<_, _>>()? }
        }
        _ => return Err("either role, block, quantity and expect, or marker and model".into()),
    };
    Ok(Device {
        name: raw.name,
        title: raw.title,
        evidence: match raw.evidence {
            RawEvidence::Vendor => Evidence::Vendor,
            RawEvidence::Secondary => Evidence::Secondary,
        },
        document: raw.document,
        revision: raw.revision,
        refresh: raw.refresh_ms.map(Duration::from_millis),
        layout,
    })
}

fn model(raw: &RawModel) -> Result<Model, String> {
    let map = map(raw.role, &raw.block, &raw.quantity).map_err(|why| format!("model {:?}: {why}", raw.ids))?;
    // The first block checks at every poll that the model is still where it was found.
    let heads = map.blocks.first().is_some_and(|block| block.is_polled && block.question.address == 0);
    match !raw.ids.is_empty() && heads && map.blocks[0].question.count >= 2 {
        true => Ok(Model { ids: raw.ids.clone(), only_for: raw.only_for.clone(), not_for: raw.not_for.clone(), map }),
        false => Err(format!("model {:?}: give ids, and begin the first block at 0, the ID word", raw.ids)),
    }
}

fn map(role: RawRole, blocks: &[RawBlock], quantities: &[RawQuantity]) -> Result<Map, String> {
    let blocks: Vec<Block> = blocks.iter().map(block).collect::<Result<_, _>>()?;
    if !blocks.iter().any(|block| block.is_polled) {
        return Err("no block is read at each poll".into());
    }
    let quantities: Vec<Vec<Quantity>> =
        quantities.iter().map(|raw| quantity(raw, &blocks)).collect::<Result<_, _>>()?;
    let map = Map { role: raw_role(role), blocks, quantities: quantities.concat() };
    let mut seen: Vec<Measure> = map.quantities.iter().map(|quantity| quantity.measure).collect();
    seen.sort();
    if let Some(twice) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("{} is there twice", twice[0]));
    }
    let needed = match map.role {
        Role::Meter => Measure::Current(Phase::L1),
        Role::Inverter => Measure::Generated,
    };
    match map.polls(needed) {
        true => Ok(map),
        false => Err(format!("a {} needs {needed} in a block that is read at each poll", map.role)),
    }
}

fn block(raw: &RawBlock) -> Result<Block, String> {
    let function = match raw.function {
        3 => Function::Holding,
        4 => Function::Input,
        other => return Err(format!("block {:#06x}: function {other}; only 3 and 4 read registers", raw.address)),
    };
    if raw.count == 0 || raw.count > REGISTERS_MOST || raw.address.checked_add(raw.count - 1).is_none() {
        return Err(format!("block {:#06x}: count {}; 1 to {REGISTERS_MOST}", raw.address, raw.count));
    }
    let question = Question { function, address: raw.address, count: raw.count };
    Ok(Block { question, is_polled: matches!(raw.read, RawRead::Poll) })
}

/// One for each phase, or one alone.
fn quantity(raw: &RawQuantity, blocks: &[Block]) -> Result<Vec<Quantity>, String> {
    let name = format!("quantity {:?}", raw.measure);
    let measures = measures(raw.measure);
    if raw.registers.is_empty() || raw.registers.len() > measures.len() {
        return Err(format!("{name}: {} registers; it has {}", raw.registers.len(), measures.len()));
    }
    if raw.scale == 0.0 || !raw.scale.is_finite() {
        return Err(format!("{name}: scale {}", raw.scale));
    }
    let is_signed = matches!(raw.measure, RawMeasure::Power | RawMeasure::TotalPower);
    if is_signed && matches!(raw.sign, RawSign::None) {
        return Err(format!("{name}: sign is missing: which direction is positive, \"import\" or \"export\"?"));
    }
    let form = form(raw.r#type);
    let bits = 16 * form.words() as u32;
    if let Some(wide) = raw.missing.iter().find(|word| word.checked_shr(bits).unwrap_or(0) != 0) {
        return Err(format!("{name}: missing {wide:#x} has more than {bits} bits"));
    }
    let place = |register: u16, words: usize| {
        place(register, words, blocks)
            .ok_or_else(|| format!("{name}: register {register:#06x} is in no block, or not wholly"))
    };
    let power_of_ten = raw.power_of_ten.map(|register| place(register, 1)).transpose()?;
    let scale = raw.scale * unit(raw.unit, measures[0]).ok_or(format!("{name}: unit {:?}", raw.unit))?;
    let build = |(register, measure): (&u16, &Measure)| {
        Ok(Quantity {
            measure: *measure,
            place: place(*register, form.words())?,
            form,
            is_low_first: matches!(raw.words, RawWords::LowFirst),
            scale,
            power_of_ten,
            sign: match raw.sign {
                RawSign::Import => Sign::Import,
                RawSign::Export => Sign::Export,
                RawSign::None => Sign::None,
            },
            missing: raw.missing.clone(),
        })
    };
    raw.registers.iter().zip(&measures).map(build).collect()
}

fn place(register: u16, words: usize, blocks: &[Block]) -> Option<Place> {
    blocks.iter().enumerate().find_map(|(index, block)| {
        let offset = usize::from(register.checked_sub(block.question.address)?);
        (offset + words <= usize::from(block.question.count)).then_some(Place { block: index, offset })
    })
}

fn expect(raw: &RawExpect) -> Result<Expect, String> {
    match (measures(raw.measure).first(), raw.least < raw.most) {
        (Some(measure), true) => Ok(Expect { measure: *measure, least: raw.least, most: raw.most }),
        _ => Err(format!("expect {:?}: least {} and most {}", raw.measure, raw.least, raw.most)),
    }
}

fn raw_role(raw: RawRole) -> Role {
    match raw {
        RawRole::Meter => Role::Meter,
        RawRole::Inverter => Role::Inverter,
    }
}

fn measures(raw: RawMeasure) -> Vec<Measure> {
    match raw {
        RawMeasure::Voltage => Phase::ALL.map(Measure::Voltage).into(),
        RawMeasure::Current => Phase::ALL.map(Measure::Current).into(),
        RawMeasure::Power => Phase::ALL.map(Measure::Power).into(),
        RawMeasure::TotalPower => vec![Measure::TotalPower],
        RawMeasure::Frequency => vec![Measure::Frequency],
        RawMeasure::Imported => vec![Measure::Imported],
        RawMeasure::Exported => vec![Measure::Exported],
        RawMeasure::Generated => vec![Measure::Generated],
    }
}

fn form(raw: RawType) -> Form {
    match raw {
        RawType::Int16 => Form::Int16,
        RawType::Uint16 => Form::Uint16,
        RawType::Int32 => Form::Int32,
        RawType::Uint32 => Form::Uint32,
        RawType::Int64 => Form::Int64,
        RawType::Uint64 => Form::Uint64,
        RawType::Float32 => Form::Float32,
    }
}

/// What a value in this unit is multiplied by; `None` where the measure has another dimension.
fn unit(raw: RawUnit, measure: Measure) -> Option<f64> {
    let (of, factor) = match raw {
        RawUnit::V => ("V", 1.0),
        RawUnit::A => ("A", 1.0),
        RawUnit::W => ("W", 1.0),
        RawUnit::KiloW => ("W", 1000.0),
        RawUnit::Hz => ("Hz", 1.0),
        RawUnit::KiloWh => ("kWh", 1.0),
        RawUnit::Wh => ("kWh", 0.001),
    };
    (of == measure.unit()).then_some(factor)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    name: String,
    title: String,
    evidence: RawEvidence,
    document: String,
    revision: String,
    refresh_ms: Option<u64>,
    role: Option<RawRole>,
    #[serde(default)]
    expect: Vec<RawExpect>,
    #[serde(default)]
    block: Vec<RawBlock>,
    #[serde(default)]
    quantity: Vec<RawQuantity>,
    #[serde(default)]
    marker: Vec<u16>,
    #[serde(default)]
    model: Vec<RawModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    ids: Vec<u16>,
    #[serde(default)]
    only_for: Vec<String>,
    #[serde(default)]
    not_for: Vec<String>,
    role: RawRole,
    block: Vec<RawBlock>,
    quantity: Vec<RawQuantity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBlock {
    read: RawRead,
    function: u8,
    address: u16,
    count: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuantity {
    measure: RawMeasure,
    registers: Vec<u16>,
    r#type: RawType,
    #[serde(default)]
    words: RawWords,
    unit: RawUnit,
    #[serde(default = "one")]
    scale: f64,
    power_of_ten: Option<u16>,
    #[serde(default)]
    sign: RawSign,
    #[serde(default)]
    missing: Vec<u64>,
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpect {
    measure: RawMeasure,
    least: f64,
    most: f64,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawEvidence {
    Vendor,
    Secondary,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawRole {
    Meter,
    Inverter,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawRead {
    Poll,
    Probe,
}

#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(rename_all = "kebab-case")]
enum RawMeasure {
    Voltage,
    Current,
    Power,
    TotalPower,
    Frequency,
    Imported,
    Exported,
    Generated,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawType {
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float32,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
enum RawWords {
    #[default]
    HighFirst,
    LowFirst,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum RawSign {
    Import,
    Export,
    #[default]
    None,
}

#[derive(Deserialize, Clone, Copy, Debug)]
enum RawUnit {
    V,
    A,
    W,
    #[serde(rename = "kW")]
    KiloW,
    Hz,
    #[serde(rename = "kWh")]
    KiloWh,
    Wh,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "mine"
title = "Mine"
evidence = "vendor"
document = "manual"
revision = "1.0"
refresh_ms = 200
role = "meter"
[[block]]
read = "poll"
function = 3
address = 100
count = 10
[[quantity]]
measure = "current"
registers = [100, 102, 104]
type = "int32"
words = "low-first"
unit = "A"
scale = 0.01
sign = "export"
missing = [0x80000000]
[[quantity]]
measure = "total-power"
registers = [108]
type = "int16"
unit = "kW"
sign = "import"
"#;

    fn fault(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        read(&GOOD.replacen(from, to, 1)).unwrap_err()
    }

    #[test]
    fn a_file_says_where_everything_is() {
        let device = read(GOOD).unwrap();
        assert_eq!(device.refresh, Some(Duration::from_millis(200)));
        let Layout::Fixed { map, .. } = device.layout else { panic!("no chain") };
        assert_eq!(map.quantities.len(), 4);
        assert_eq!(map.quantities[2].place, Place { block: 0, offset: 4 });
        assert!(map.quantities[2].is_low_first && map.quantities[2].sign == Sign::Export);
        assert_eq!(map.quantities[3].scale, 1000.0);
    }

    #[test]
    fn the_manuals_example_is_without_faults() {
        let manual = include_str!("../../docs/DEVICES.md");
        let example = manual.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(read(example).unwrap().name, "acme-3p");
    }

    #[test]
    fn what_is_not_understood_is_a_fault() {
        assert!(fault("refresh_ms", "refresh").contains("line 7"));
        assert!(fault("name = \"mine\"", "name = \"My meter\"").contains("My meter"));
        assert!(fault("document = \"manual\"", "document = \"\"").contains("document"));
        assert!(fault("function = 3", "function = 6").contains("function 6"));
        assert!(fault("count = 10", "count = 126").contains("126"));
        assert!(fault("address = 100", "address = 65535").contains("count"));
        assert!(fault("[108]", "[110]").contains("0x006e is in no block"));
        assert!(fault("[100, 102, 104]", "[100, 102, 109]").contains("not wholly"));
        assert!(fault("[108]", "[108, 109]").contains("2 registers"));
        assert!(fault("\"kW\"", "\"V\"").contains("unit"));
        assert!(fault("scale = 0.01", "scale = 0.0").contains("scale"));
        assert!(fault("0x80000000", "0x100000000").contains("32 bits"));
        assert!(fault("sign = \"import\"", "").contains("which direction"));
        assert!(fault("read = \"poll\"", "read = \"probe\"").contains("no block"));
        assert!(fault("role = \"meter\"", "role = \"inverter\"").contains("generated power"));
        assert!(fault("role = \"meter\"", "").contains("either role"));
        let twice =
            "[[quantity]]\nmeasure = \"frequency\"\nregisters = [106]\ntype = \"int16\"\nunit = \"Hz\"\n".repeat(2);
        assert!(read(&format!("{GOOD}{twice}")).unwrap_err().contains("frequency is there twice"));
    }
}
