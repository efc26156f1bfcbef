//! What does the meter show, and since when? An Eastron SDM630 on Modbus TCP that notes when a reply first shows a step.

use crate::now;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

/// The registers that are served from 0x0000: volts, amperes and watts of three phases, as float32.
const REGISTERS: usize = 18;
/// Header (transaction, protocol, length), unit, function, first register, count.
const QUESTION: usize = 12;
const VOLTS: f32 = 230.0;

/// What flows, the same on each phase. Cheap to clone.
#[derive(Clone, Default)]
pub struct Grid(Arc<Mutex<Flow>>);

#[derive(Default)]
pub struct Flow {
    /// What the house takes, in A.
    pub house: f32,
    /// What each car takes, in A.
    pub cars: Vec<f32>,
    /// A step of the house that no reply has shown yet.
    pub is_news: bool,
    /// When the last step was first shown: its reply's last byte is written right after.
    pub shown: Option<Instant>,
}

impl Grid {
    /// To look at it, or to change it.
    pub fn lock(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().expect("nobody panics while he holds this")
    }

    /// A meter for it, on a free port of loopback, until the process ends.
    pub fn meter(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let grid = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let grid = grid.clone();
                thread::spawn(move || grid.answer(stream));
            }
        });
        address
    }

    /// Until the other side hangs up.
    fn answer(&self, mut stream: TcpStream) {
        _ = stream.set_nodelay(true);
        let mut question = [0; QUESTION];
        while stream.read_exact(&mut question).is_ok() {
            // A reply is one write; the moment before it is noted, so that the time in the kernel counts.
            let reply = self.reply(&question);
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
    }

    fn reply(&self, question: &[u8; QUESTION]) -> Vec<u8> {
        let mut flow = self.lock();
        let amps = flow.house + flow.cars.iter().sum::<f32>();
        let values = [[VOLTS; 3], [amps; 3], [amps * VOLTS; 3]].concat();
        let words = values.iter().flat_map(|value| value.to_be_bytes());
        let mut reply =
            [&question[..4], &[0, 3 + 2 * REGISTERS as u8], &question[6..8], &[2 * REGISTERS as u8]].concat();
        reply.extend(words);
        if std::mem::take(&mut flow.is_news) {
            flow.shown = Some(now());
        }
        reply
    }
}
