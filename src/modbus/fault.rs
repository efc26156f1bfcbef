//! What went wrong on the way to a reading, and is the line still to be trusted?

use crate::config::ModbusAddress;
use crate::device::map::{Function, Question};
use crate::time::Duration;
use std::io::ErrorKind;
use tokio_modbus::{Error, ExceptionCode, Response};

/// Why there is no reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or no serial port.
    Unreachable(String),
    /// Nothing came in this time.
    Silent(Duration),
    /// The line ended, before or in an answer.
    Closed(String),
    /// What came does not answer what was asked.
    Garbled(String),
    /// An answer with fewer or more registers than were asked for.
    Short {
        /// Registers that were asked for.
        asked: u16,
        /// Registers that came.
        came: usize,
    },
    /// The device understood, and refuses.
    Refused(Question, ExceptionCode),
    /// The walk along its models takes too long.
    Slow(Duration),
    /// It is not what its device file describes.
    Other(String),
    /// A value that is needed is missing.
    Hole(String),
}

impl Fault {
    /// May the line be used again? After anything but a clear answer it may not: the next answer could be to this
    /// question.
    pub fn keeps_line(&self) -> bool {
        match self {
            Fault::Refused(_, code) => !matches!(code, ExceptionCode::Custom(_)),
            Fault::Other(_) | Fault::Hole(_) | Fault::Slow(_) => true,
            Fault::Unreachable(_) | Fault::Silent(_) | Fault::Closed(_) | Fault::Garbled(_) | Fault::Short { .. } => {
                false
            }
        }
    }

    /// What failed and what to do, for people; the address is in it.
    pub fn words(&self, address: &ModbusAddress, unit: u8) -> String {
        let place = place(address);
        match (self, address) {
            (Fault::Unreachable(why), ModbusAddress::Tcp(_)) => format!(
                "cannot connect to {place} ({why}); check power, network and address, and whether another system \
                 holds its only connection"
            ),
            (Fault::Unreachable(why), ModbusAddress::Rtu { .. }) => {
                format!("cannot open {place} ({why}); check the adapter and the permissions of the port")
            }
            (Fault::Silent(span), _) => {
                format!(
                    "no answer from {place} unit {unit} in {} ms; check power, cable and unit number",
                    span.as_millis()
                )
            }
            (Fault::Closed(why), ModbusAddress::Tcp(_)) => format!(
                "{place} ended the connection ({why}); many devices take one client only: is another system connected?"
            ),
            (Fault::Closed(why), ModbusAddress::Rtu { .. }) => format!("{place} failed ({why}); check the adapter"),
            (Fault::Garbled(what), _) => {
                format!(
                    "the answer from {place} unit {unit} does not fit the question ({what}); asked anew on a new line"
                )
            }
            (Fault::Short { asked, came }, _) => {
                format!(
                    "{place} unit {unit} answered {came} registers where {asked} were asked for; asked anew on a new line"
                )
            }
            (Fault::Refused(_, ExceptionCode::GatewayTargetDevice), _) => {
                format!("the gateway at {place} gets no answer from unit {unit}; check power, cable and unit number")
            }
            (Fault::Refused(Question { function, address, count }, code), _) => format!(
                "{place} unit {unit} refuses {count} {function} registers from {address:#06x} ({code}); is it the \
                 device that its device file describes?"
            ),
            (Fault::Slow(span), _) => format!("{place} unit {unit} has not shown its models in {} s", span.as_secs()),
            (Fault::Other(what), _) => format!("{place} unit {unit}: {what}"),
            (Fault::Hole(what), _) => format!("{place} unit {unit}: {what}"),
        }
    }
}

/// As the installer wrote it: `192.168.1.20:502`, `/dev/ttyUSB0`.
pub fn place(address: &ModbusAddress) -> String {
    match address {
        ModbusAddress::Tcp(host) => host.clone(),
        ModbusAddress::Rtu { path, .. } => path.display().to_string(),
    }
}

/// The words of an answer, if it is one to this question.
pub fn judge(question: Question, answer: Result<Result<Response, ExceptionCode>, Error>) -> Result<Vec<u16>, Fault> {
    let words = match (question.function, answer) {
        (Function::Holding, Ok(Ok(Response::ReadHoldingRegisters(words)))) => words,
        (Function::Input, Ok(Ok(Response::ReadInputRegisters(words)))) => words,
        (_, Ok(Ok(_))) => return Err(Fault::Garbled("another function".into())),
        (_, Ok(Err(code))) => return Err(Fault::Refused(question, code)),
        (_, Err(Error::Protocol(tokio_modbus::ProtocolError::HeaderMismatch { message, .. }))) => {
            return Err(Fault::Garbled(message));
        }
        (_, Err(Error::Protocol(_))) => return Err(Fault::Garbled("another function".into())),
        (_, Err(Error::Transport(why))) if is_framing(why.kind()) => return Err(Fault::Garbled(why.to_string())),
        (_, Err(Error::Transport(why))) => return Err(Fault::Closed(ending(&why))),
    };
    match words.len() == usize::from(question.count) {
        true => Ok(words),
        false => Err(Fault::Short { asked: question.count, came: words.len() }),
    }
}

fn is_framing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof)
}

/// tokio-modbus gives the thread's last error for an orderly end, whatever that was: only a few kinds say something.
fn ending(why: &std::io::Error) -> String {
    match why.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => "connection reset".into(),
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => why.to_string(),
        _ => "before it answered".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Question = Question { function: Function::Input, address: 0, count: 2 };

    #[test]
    fn only_the_registers_asked_for_are_an_answer() {
        let input = |words: &[u16]| judge(QUESTION, Ok(Ok(Response::ReadInputRegisters(words.to_vec()))));
        assert_eq!(input(&[1, 2]), Ok(vec![1, 2]));
        assert_eq!(input(&[1]), Err(Fault::Short { asked: 2, came: 1 }));
        assert_eq!(input(&[1, 2, 3]), Err(Fault::Short { asked: 2, came: 3 }));
        let holding = judge(QUESTION, Ok(Ok(Response::ReadHoldingRegisters(vec![1, 2]))));
        assert!(matches!(holding, Err(Fault::Garbled(_))));
    }

    #[test]
    fn only_a_clear_refusal_keeps_the_line() {
        let refusal = |code| judge(QUESTION, Ok(Err(code))).unwrap_err();
        assert!(refusal(ExceptionCode::IllegalDataAddress).keeps_line());
        assert!(!refusal(ExceptionCode::Custom(77)).keeps_line());
        for kind in [ErrorKind::InvalidData, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe] {
            assert!(!judge(QUESTION, Err(Error::Transport(kind.into()))).unwrap_err().keeps_line());
        }
    }

    #[test]
    fn texts_say_what_failed_and_what_to_do() {
        let tcp = ModbusAddress::Tcp("192.168.1.20:502".into());
        let text = Fault::Silent(Duration::from_secs(1)).words(&tcp, 1);
        assert_eq!(text, "no answer from 192.168.1.20:502 unit 1 in 1000 ms; check power, cable and unit number");
        let text = Fault::Refused(QUESTION, ExceptionCode::IllegalDataAddress).words(&tcp, 7);
        assert!(text.contains("unit 7 refuses 2 input registers from 0x0000"), "{text}");
        assert!(Fault::Closed("connection reset".into()).words(&tcp, 1).contains("one client only"));
    }
}
