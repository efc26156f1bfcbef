//! How long do we wait? For an answer, for a connection, and for silence on a serial line.

use crate::config::ModbusAddress;
use crate::device::map::Question;
use crate::time::Duration;

/// A device that has not answered after this long is taken for silent: common masters allow 1 s, and a sample that
/// took longer would be stale anyway.
const REPLY_MOST: Duration = Duration::from_secs(1);
/// Less is not asked of any device: gateways from TCP to RS-485 need up to this on a busy bus.
const REPLY_LEAST: Duration = Duration::from_millis(300);
/// So many intervals may pass before a device that is polled fast is taken for silent.
const REPLY_INTERVALS: u32 = 3;
/// Connecting in a local network takes milliseconds; 3 s leaves room for one lost SYN and a slow name server.
pub const CONNECT_MOST: Duration = Duration::from_secs(3);
/// All of a SunSpec walk: 40 questions at 100 ms. A device that is slower than that would hold up the others.
pub const LOCATE_MOST: Duration = Duration::from_secs(4);
/// How long `probe` listens to a serial line before it speaks: other masters poll at least every 2 s.
pub const LISTEN: Duration = Duration::from_secs(3);
/// Silence kept after the last moment at which a late answer could have begun.
const SETTLE: Duration = Duration::from_millis(200);
/// Silence before another unit is spoken to: some meters take the answer of another for the start of a question.
/// mbmd waits as long.
const UNIT_CHANGE: Duration = Duration::from_millis(200);
/// Bits of a character on the line: start, eight, parity or a second stop, stop.
const BITS: u64 = 11;

/// How long to wait for the answer to `question` from a device that is read every `interval`.
pub fn patience(address: &ModbusAddress, question: Question, interval: Duration) -> Duration {
    interval.saturating_mul(REPLY_INTERVALS).clamp(REPLY_LEAST, REPLY_MOST) + on_the_wire(address, question)
}

/// How long after a question an answer may still come in, however late: until then a serial line is left alone.
pub fn aftermath(address: &ModbusAddress, question: Question) -> Duration {
    match address {
        // A new connection is a new stream: what comes late ends with the old one.
        ModbusAddress::Tcp(_) => Duration::ZERO,
        ModbusAddress::Rtu { .. } => REPLY_MOST + on_the_wire(address, question) + SETTLE,
    }
}

/// Silence on the line between an answer and the next question: 3.5 characters at least (Modbus over Serial Line V1.02,
/// 2.5.1.1), in whole milliseconds; more where another unit is spoken to.
pub fn gap(address: &ModbusAddress, is_other_unit: bool) -> Duration {
    match address {
        ModbusAddress::Tcp(_) => Duration::ZERO,
        ModbusAddress::Rtu { .. } if is_other_unit => UNIT_CHANGE,
        // Above 19200 baud the standard fixes the gap at 1.75 ms.
        ModbusAddress::Rtu { baud, .. } => {
            Duration::from_millis((3_500 * BITS).div_ceil(u64::from(*baud).clamp(1, 19_200)))
        }
    }
}

/// Question and answer on a serial line: 8 characters, and 5 with two a register.
fn on_the_wire(address: &ModbusAddress, question: Question) -> Duration {
    match address {
        ModbusAddress::Tcp(_) => Duration::ZERO,
        ModbusAddress::Rtu { baud, .. } => {
            let characters = 13 + 2 * u64::from(question.count);
            Duration::from_millis((characters * BITS * 1000).div_ceil(u64::from(*baud).max(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Parity;
    use crate::device::map::Function;

    const QUESTION: Question = Question { function: Function::Input, address: 0, count: 18 };

    fn serial(baud: u32) -> ModbusAddress {
        ModbusAddress::Rtu { path: "/dev/ttyUSB0".into(), baud, parity: Parity::None, stop_bits: 1 }
    }

    #[test]
    fn waits_are_bounded_however_fast_or_slow_a_device_is_polled() {
        let tcp = ModbusAddress::Tcp("meter:502".into());
        assert_eq!(patience(&tcp, QUESTION, Duration::from_millis(100)), Duration::from_millis(300));
        assert_eq!(patience(&tcp, QUESTION, Duration::from_millis(200)), Duration::from_millis(600));
        assert_eq!(patience(&tcp, QUESTION, Duration::from_secs(60)), Duration::from_secs(1));
        assert_eq!(patience(&serial(9600), QUESTION, Duration::from_secs(1)), Duration::from_millis(1_057));
    }

    #[test]
    fn frames_on_a_serial_line_are_apart() {
        assert_eq!(gap(&serial(9600), false), Duration::from_millis(5));
        assert_eq!(gap(&serial(19_200), false), Duration::from_millis(3));
        assert_eq!(gap(&serial(115_200), false), Duration::from_millis(3));
        assert_eq!(gap(&serial(9600), true), UNIT_CHANGE);
        assert_eq!(gap(&ModbusAddress::Tcp("meter:502".into()), true), Duration::ZERO);
    }

    #[test]
    fn a_serial_line_is_left_alone_for_longer_than_any_answer_takes() {
        let wait = patience(&serial(9600), QUESTION, Duration::from_secs(1));
        assert!(aftermath(&serial(9600), QUESTION) > wait);
    }
}
