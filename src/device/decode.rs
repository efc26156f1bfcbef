//! Which number do these words mean? Or none: what is not available, no number or absurd is missing, never zero.

use super::map::{Form, Map, Measure, Place, Quantity, Sign};
use std::fmt;

/// No fuse of a house or a block of flats is anywhere near; what claims more is a wrong word order.
const AMPS_MOST: f64 = 10_000.0;
/// Low voltage ends at 1000 V (IEC 61140).
const VOLTS_MOST: f64 = 1_000.0;
/// The two above, together.
const WATTS_MOST: f64 = AMPS_MOST * VOLTS_MOST;
/// SunSpec's scale factors are −10…10 (Information Model Specification, type `sunssf`).
const POWER_OF_TEN_MOST: i16 = 10;

/// A quantity with the words it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// What it is.
    pub measure: Measure,
    /// The words as they came, without a scale factor; empty where its block was not read.
    pub words: Vec<u16>,
    /// V, A, W, Hz or kWh, or why not.
    pub value: Result<f64, Missing>,
}

/// Why there is no number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Missing {
    /// Its block was not read.
    NotRead,
    /// The device says so, by a word set aside for that.
    NotAvailable,
    /// NaN or infinite.
    NoNumber,
    /// Beyond what can be, in its unit.
    Absurd(f64),
}

/// All quantities of a map. `blocks` are the words of its blocks, in order; an empty one was not read.
pub fn decode(map: &Map, blocks: &[Vec<u16>]) -> Vec<Decoded> {
    let one = |quantity: &Quantity| {
        let words = words(blocks, quantity.place, quantity.form.words()).unwrap_or_default();
        let value = match words.is_empty() {
            true => Err(Missing::NotRead),
            false => number(quantity, words, blocks),
        };
        Decoded { measure: quantity.measure, words: words.to_vec(), value }
    };
    map.quantities.iter().map(one).collect()
}

fn words(blocks: &[Vec<u16>], place: Place, count: usize) -> Option<&[u16]> {
    blocks.get(place.block)?.get(place.offset..place.offset + count)
}

fn number(quantity: &Quantity, words: &[u16], blocks: &[Vec<u16>]) -> Result<f64, Missing> {
    let raw = join(words, quantity.is_low_first);
    if quantity.missing.contains(&raw) {
        return Err(Missing::NotAvailable);
    }
    let plain = match quantity.form {
        Form::Uint16 | Form::Uint32 | Form::Uint64 => raw as f64,
        Form::Int16 => f64::from(raw as u16 as i16),
        Form::Int32 => f64::from(raw as u32 as i32),
        Form::Int64 => raw as i64 as f64,
        Form::Float32 => f64::from(f32::from_bits(raw as u32)),
    };
    if !plain.is_finite() {
        return Err(Missing::NoNumber);
    }
    let power = match quantity.power_of_ten {
        None => 0,
        Some(place) => match self::words(blocks, place, 1) {
            None | Some([]) => return Err(Missing::NotRead),
            Some([word, ..]) => *word as i16,
        },
    };
    if power.unsigned_abs() > POWER_OF_TEN_MOST.unsigned_abs() {
        return Err(Missing::NotAvailable); // 0x8000 is "not implemented", and nothing else out of range means anything
    }
    let value = directed(plain * quantity.scale * 10_f64.powi(i32::from(power)), quantity);
    let most = match quantity.measure {
        Measure::Current(_) => AMPS_MOST,
        Measure::Voltage(_) => VOLTS_MOST,
        Measure::Power(_) | Measure::TotalPower | Measure::Generated => WATTS_MOST,
        Measure::Frequency | Measure::Imported | Measure::Exported => f64::MAX,
    };
    if value.abs() > most { Err(Missing::Absurd(value)) } else { Ok(value) }
}

/// One number, high word first.
fn join(words: &[u16], is_low_first: bool) -> u64 {
    let push = |sum: u64, word: &u16| sum << 16 | u64::from(*word);
    if is_low_first { words.iter().rev().fold(0, push) } else { words.iter().fold(0, push) }
}

/// Import positive.
fn directed(value: f64, quantity: &Quantity) -> f64 {
    match (quantity.sign, quantity.measure) {
        (Sign::Import, _) => value,
        (Sign::Export, _) => -value,
        (Sign::None, Measure::Current(_)) => value.abs(),
        (Sign::None, _) => value,
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::NotRead => f.write_str("not read"),
            Missing::NotAvailable => f.write_str("the device says \"not available\""),
            Missing::NoNumber => f.write_str("not a number"),
            Missing::Absurd(value) => write!(f, "{value:.0} is beyond what can be"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Phase;

    const CURRENT: Measure = Measure::Current(Phase::L1);

    fn quantity(form: Form) -> Quantity {
        Quantity {
            measure: Measure::Imported,
            place: Place { block: 0, offset: 0 },
            form,
            is_low_first: false,
            scale: 1.0,
            power_of_ten: None,
            sign: Sign::None,
            missing: vec![],
        }
    }

    fn value(quantity: &Quantity, words: &[u16]) -> Result<f64, Missing> {
        number(quantity, &words[..quantity.form.words()], &[words.to_vec()])
    }

    #[test]
    fn each_type_is_decoded() {
        assert_eq!(value(&quantity(Form::Int16), &[0xFFFE]), Ok(-2.0));
        assert_eq!(value(&quantity(Form::Uint16), &[0xFFFE]), Ok(65534.0));
        assert_eq!(value(&quantity(Form::Int32), &[0xFFFF, 0xFFFE]), Ok(-2.0));
        assert_eq!(value(&quantity(Form::Uint32), &[0x0001, 0x0002]), Ok(65538.0));
        assert_eq!(value(&quantity(Form::Int64), &[0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE]), Ok(-2.0));
        assert_eq!(value(&quantity(Form::Uint64), &[0, 1, 0, 2]), Ok(4_294_967_298.0));
        assert_eq!(value(&quantity(Form::Float32), &[0x4366, 0x4000]), Ok(230.25));
    }

    #[test]
    fn the_low_word_may_come_first() {
        let swapped = Quantity { is_low_first: true, ..quantity(Form::Float32) };
        assert_eq!(value(&swapped, &[0x4000, 0x4366]), Ok(230.25));
        let swapped = Quantity { is_low_first: true, ..quantity(Form::Int64) };
        assert_eq!(value(&swapped, &[0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF]), Ok(-2.0));
    }

    #[test]
    fn a_word_for_not_available_is_missing_and_never_zero() {
        let marked = |form, word| Quantity { missing: vec![word], ..quantity(form) };
        assert_eq!(value(&marked(Form::Int16, 0x8000), &[0x8000]), Err(Missing::NotAvailable));
        assert_eq!(value(&marked(Form::Uint16, 0xFFFF), &[0xFFFF]), Err(Missing::NotAvailable));
        assert_eq!(value(&marked(Form::Int32, 0x8000_0000), &[0x8000, 0]), Err(Missing::NotAvailable));
        assert_eq!(value(&marked(Form::Uint64, u64::MAX), &[0xFFFF; 4]), Err(Missing::NotAvailable));
        let swapped = Quantity { is_low_first: true, ..marked(Form::Int32, 0x8000_0000) };
        assert_eq!(value(&swapped, &[0, 0x8000]), Err(Missing::NotAvailable));
    }

    #[test]
    fn what_is_no_number_is_missing() {
        for words in [[0x7FC0, 0], [0xFFFF, 0xFFFF], [0x7F80, 0], [0xFF80, 0]] {
            assert_eq!(value(&quantity(Form::Float32), &words), Err(Missing::NoNumber));
        }
    }

    #[test]
    fn what_cannot_be_is_missing() {
        let current = Quantity { measure: CURRENT, scale: 1000.0, ..quantity(Form::Uint16) };
        assert_eq!(value(&current, &[10]), Ok(10_000.0));
        assert_eq!(value(&current, &[11]), Err(Missing::Absurd(11_000.0)));
        let voltage = Quantity { measure: Measure::Voltage(Phase::L2), ..quantity(Form::Uint16) };
        assert_eq!(value(&voltage, &[1_001]), Err(Missing::Absurd(1_001.0)));
    }

    #[test]
    fn the_sign_is_turned_to_import() {
        let export = Quantity { measure: CURRENT, sign: Sign::Export, scale: 0.01, ..quantity(Form::Int32) };
        assert_eq!(value(&export, &[0, 500]), Ok(-5.0));
        let unsigned = Quantity { measure: CURRENT, ..quantity(Form::Int16) };
        assert_eq!(value(&unsigned, &[0xFFFE]), Ok(2.0));
    }

    #[test]
    fn a_scale_factor_is_a_power_of_ten() {
        let scaled = Quantity { power_of_ten: Some(Place { block: 0, offset: 1 }), ..quantity(Form::Int16) };
        assert_eq!(value(&scaled, &[1234, -2_i16 as u16]), Ok(12.34));
        assert_eq!(value(&scaled, &[1234, 1]), Ok(12_340.0));
        assert_eq!(value(&scaled, &[1234, 0x8000]), Err(Missing::NotAvailable));
        assert_eq!(value(&scaled, &[1234, 11]), Err(Missing::NotAvailable));
        let elsewhere = Quantity { power_of_ten: Some(Place { block: 1, offset: 0 }), ..scaled };
        assert_eq!(value(&elsewhere, &[1234]), Err(Missing::NotRead));
    }
}
