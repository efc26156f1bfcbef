//! Who speaks to the devices? One task a bus, which owns its line and throws it away at the first doubt.

use super::fault::{Fault, judge};
use super::reader::{Reader, readers};
use super::schedule::Schedule;
use super::timing;
use crate::clock::Clock;
use crate::config::{Config, ModbusAddress, Parity};
use crate::device::map::{Block, Function, Question};
use crate::device::walk::{Chain, Placed};
use crate::device::{Device, Role};
use crate::inbox::Inbox;
use crate::time::{Duration, Moment};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{self, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_modbus::client::{Client as _, Context, rtu, tcp};
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{ExceptionCode, Request};
use tokio_serial::{ClearBuffer, SerialPort as _, SerialStream};

/// Starts one task for each bus; they run until they are aborted.
pub fn spawn(config: &Config, clock: Clock, inbox: &Inbox) -> Vec<JoinHandle<()>> {
    let start = |(address, readers)| tokio::spawn(serve(Line::new(address, clock), readers, inbox.clone()));
    readers(config).into_iter().map(start).collect()
}

async fn serve(mut line: Line, mut readers: Vec<Reader>, inbox: Inbox) {
    let mut schedule = Schedule::new(readers.iter().map(|reader| reader.interval), line.clock.now());
    while let Some((index, due)) = schedule.next() {
        sleep(due.since(line.clock.now())).await;
        let Some(reader) = readers.get_mut(index) else { return };
        let poll = poll(&mut line, reader).await;
        let now = line.clock.now();
        let (word, is_good) = reader.hear(poll, now);
        schedule.done(index, now, is_good);
        if let Some(word) = word {
            inbox.put(word);
        }
    }
}

async fn poll(line: &mut Line, reader: &mut Reader) -> Result<Vec<Vec<u16>>, Fault> {
    let placed = match reader.placed.take() {
        Some(placed) => placed,
        None => line.locate(reader.unit, &reader.device, reader.role(), reader.interval).await?,
    };
    let placed = reader.placed.insert(placed);
    line.read(reader.unit, placed, reader.interval, |block| block.is_polled).await
}

/// The line to one bus. It opens itself when it is needed.
pub struct Line {
    address: ModbusAddress,
    clock: Clock,
    /// Taken out for each question and put back only after a clear answer, so that neither a fault nor a cancelled
    /// question can leave a line behind on which an old answer is still to come.
    open: Option<Context>,
    /// No frame before this.
    quiet_until: Moment,
    last_unit: Option<u8>,
}

impl Line {
    /// Not yet open.
    pub fn new(address: ModbusAddress, clock: Clock) -> Self {
        Line { address, clock, open: None, quiet_until: Moment::START, last_unit: None }
    }

    /// Where `device` has its registers: asks for SunSpec's models where it must.
    ///
    /// # Errors
    /// It does not answer, or has no model for this role.
    pub async fn locate(&mut self, unit: u8, device: &Device, role: Role, interval: Duration) -> Result<Placed, Fault> {
        let Some(mut walk) = device.walk() else { return device.place(role, &Chain::default()).map_err(Fault::Other) };
        let begun = self.clock.now();
        while let Some(question) = walk.question() {
            match self.ask(unit, question, interval).await {
                Ok(words) => walk.hear(Some(&words)),
                Err(Fault::Refused(_, code)) if code != ExceptionCode::GatewayTargetDevice => walk.hear(None),
                Err(fault) => return Err(fault),
            }
            if self.clock.now().since(begun) > timing::LOCATE_MOST {
                return Err(Fault::Slow(timing::LOCATE_MOST));
            }
        }
        device.place(role, walk.chain()).map_err(Fault::Other)
    }

    /// The words of those blocks that are `wanted`; the others stay empty.
    ///
    /// # Errors
    /// The first fault.
    pub async fn read(
        &mut self,
        unit: u8,
        placed: &Placed,
        interval: Duration,
        wanted: impl Fn(&Block) -> bool,
    ) -> Result<Vec<Vec<u16>>, Fault> {
        let mut blocks = Vec::with_capacity(placed.map.blocks.len());
        for block in &placed.map.blocks {
            blocks.push(if wanted(block) { self.ask(unit, block.question, interval).await? } else { Vec::new() });
        }
        Ok(blocks)
    }

    /// One question, one answer with exactly the registers asked for.
    ///
    /// # Errors
    /// Anything else; the line is closed then, unless the device has clearly refused.
    pub async fn ask(&mut self, unit: u8, question: Question, interval: Duration) -> Result<Vec<u16>, Fault> {
        let mut context = match self.open.take() {
            Some(context) => context,
            None => self.connect().await?,
        };
        if self.last_unit.replace(unit).is_some_and(|last| last != unit) {
            self.quiet_until = self.quiet_until + timing::gap(&self.address, true);
        }
        sleep(self.quiet_until.since(self.clock.now())).await;
        context.set_slave(Slave(unit));
        let Question { function, address, count } = question;
        let request = match function {
            Function::Holding => Request::ReadHoldingRegisters(address, count),
            Function::Input => Request::ReadInputRegisters(address, count),
        };
        let patience = timing::patience(&self.address, question, interval);
        self.quiet_until = self.clock.now() + timing::aftermath(&self.address, question);
        // `call` rather than `read_…_registers`: those assert the length of the answer in debug builds.
        let answer = match timeout(patience, context.call(request)).await {
            Ok(answer) => judge(question, answer),
            Err(_) => Err(Fault::Silent(patience)),
        };
        if answer.as_ref().err().is_none_or(Fault::keeps_line) {
            self.open = Some(context);
            self.quiet_until = self.clock.now() + timing::gap(&self.address, false);
        }
        answer
    }

    /// Listens to a serial line without a word, and counts the bytes that others send. TCP has none: 0.
    ///
    /// # Errors
    /// The port cannot be opened or read.
    pub async fn listen(&mut self) -> Result<usize, Fault> {
        let ModbusAddress::Rtu { path, baud, parity, stop_bits } = &self.address else { return Ok(0) };
        let mut port = open_port(path, *baud, *parity, *stop_bits)?;
        let until = self.clock.now() + timing::LISTEN;
        let (mut heard, mut bytes) = (0, [0; 256]);
        loop {
            let left = until.since(self.clock.now());
            match timeout(left, port.read(&mut bytes)).await {
                Ok(Ok(0)) => return Err(Fault::Closed("the port has ended".into())),
                Ok(Ok(count)) if !left.is_zero() => heard += count,
                Ok(Err(why)) => return Err(Fault::Closed(why.to_string())),
                Ok(Ok(_)) | Err(_) => return Ok(heard),
            }
        }
    }

    async fn connect(&mut self) -> Result<Context, Fault> {
        match &self.address {
            ModbusAddress::Tcp(host) => {
                let unreachable = |why: io::Error| Fault::Unreachable(why.to_string());
                let late = |_| Fault::Unreachable(format!("no answer in {} s", timing::CONNECT_MOST.as_secs()));
                let connecting = timeout(timing::CONNECT_MOST, TcpStream::connect(host.as_str()));
                let stream = connecting.await.map_err(late)?.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                Ok(tcp::attach(stream))
            }
            ModbusAddress::Rtu { path, baud, parity, stop_bits } => {
                // Late answers end on the closed port or are cleared below.
                sleep(self.quiet_until.since(self.clock.now())).await;
                Ok(rtu::attach(Quiet(open_port(path, *baud, *parity, *stop_bits)?)))
            }
        }
    }
}

fn open_port(path: &Path, baud: u32, parity: Parity, stop_bits: u8) -> Result<SerialStream, Fault> {
    let parity = match parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let stop_bits = if stop_bits == 2 { tokio_serial::StopBits::Two } else { tokio_serial::StopBits::One };
    let builder = tokio_serial::new(path.to_string_lossy(), baud).parity(parity).stop_bits(stop_bits);
    let unreachable = |why: tokio_serial::Error| Fault::Unreachable(why.to_string());
    let port = SerialStream::open(&builder).map_err(unreachable)?;
    port.clear(ClearBuffer::All).map_err(unreachable)?;
    Ok(port)
}

/// A serial port on which nothing that came before a question can be its answer: RTU has no number to tell them apart,
/// and a stray or doubled frame would else be taken for the next answer.
struct Quiet(SerialStream);

impl AsyncRead for Quiet {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.clear(ClearBuffer::Input)?;
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    /// The port's own flush blocks the thread until the last bit is out, for ever on a stuck adapter; the kernel sends
    /// without it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_cancelled_question_leaves_no_line_behind() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = ModbusAddress::Tcp(listener.local_addr().unwrap().to_string());
        tokio::spawn(async move {
            for (late, word) in [(200, 1), (0, 2)] {
                let (mut socket, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut question = [0; 12];
                    while socket.read_exact(&mut question).await.is_ok() {
                        sleep(Duration::from_millis(late)).await;
                        let answer = [question[0], question[1], 0, 0, 0, 5, 1, 3, 2, 0, word];
                        let _ = socket.write_all(&answer).await;
                    }
                });
            }
        });
        let mut line = Line::new(address, Clock::start());
        let question = Question { function: Function::Holding, address: 7, count: 1 };
        let pace = Duration::from_secs(1);
        assert!(timeout(Duration::from_millis(50), line.ask(1, question, pace)).await.is_err());
        assert_eq!(line.ask(1, question, pace).await, Ok(vec![2]));
        assert_eq!(line.ask(1, question, pace).await, Ok(vec![2]));
    }
}
