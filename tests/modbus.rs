//! Do meters get read, whatever stands at the other end? Real sockets and a pty, an honest device and hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

#[path = "modbus/serial.rs"]
mod serial;

use headroom::clock::Clock;
use headroom::config::{Config, DeviceConfig, ModbusAddress, Parity};
use headroom::control::observation::{Observation, Sample};
use headroom::device::Library;
use headroom::inbox::Inbox;
use headroom::modbus;
use headroom::policy::Policy;
use headroom::site::{Circuit, CircuitId, Meter, Site, Tuning, Wiring};
use headroom::units::{Amps, PerPhase};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_modbus::server::Service;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};
use tokio_serial::{SerialPort, SerialStream};

/// What the hostile answers say: no sample may ever show it.
const POISON: f32 = 99.0;

#[tokio::test]
async fn a_meter_is_read_with_the_sign_of_its_power() {
    let (address, _) = honest(sdm630([10.0, -5.0, 0.5])).await;
    let run = Run::start(vec![meter("grid", address, 1)]);
    let sample = run.until_sample().await;
    assert_eq!(sample.current.0, [Amps::whole(10), Amps::whole(-5), Amps::milli(500)]);
    assert_eq!(sample.watts, Some(PerPhase([2300, -1150, 115])));
    assert_eq!(sample.millivolts, Some(PerPhase([230_000; 3])));
}

#[tokio::test]
async fn an_inverter_is_found_by_its_marker() {
    let mut words = vec![0x5375, 0x6E53, 1, 2, 7, 7, 103, 50];
    words.extend([0; 14]);
    words[8 + 12..].copy_from_slice(&[421, 1]);
    words.extend([5000, -2_i16 as u16]);
    words.extend([0; 34]);
    words.extend([0xFFFF, 0]);
    let (address, _) = honest(Device { holding: words, ..Device::default() }).await;
    let mut roof = meter("roof", address, 1);
    roof.device = device("sunspec");
    let run = Run::of(config(vec![], vec![roof]));
    run.until(|observation| observation.inverters[0].map(|generation| generation.watts)).await;
    assert_eq!(run.inbox.read().inverters[0].unwrap().watts, 4210);
}

#[tokio::test]
async fn polling_each_100_ms_is_even() {
    let (address, asked) = honest(sdm630([1.0; 3])).await;
    let run = Run::start(vec![meter("grid", address, 1)]);
    run.until_sample().await;
    let before = asked.load(Ordering::SeqCst);
    sleep(Duration::from_millis(2_000)).await;
    let count = asked.load(Ordering::SeqCst) - before;
    assert!((14..=22).contains(&count), "{count} polls in 2 s"); // a loaded machine may miss some, never gain any
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_one() {
    let outcome = against(|question| Answer::Late(Duration::from_millis(450), question.telegram(POISON))).await;
    assert!(outcome.fault.contains("no answer from 127.0.0.1"), "{}", outcome.fault);
    assert!(outcome.connections >= 2);
}

#[tokio::test]
async fn an_answer_to_another_question_or_from_another_unit_is_none() {
    for header_byte in [1, 2, 6] {
        let outcome = against(move |question| {
            let mut telegram = question.telegram(POISON);
            telegram[header_byte] ^= 0x55;
            Answer::Bytes(telegram)
        })
        .await;
        assert!(outcome.fault.contains("does not fit the question"), "{}", outcome.fault);
        assert!(outcome.connections >= 2);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_short_is_none() {
    let outcome = against(|question| Answer::Bytes(question.telegram_of(&sdm630_words([POISON; 3])[..17]))).await;
    assert!(outcome.fault.contains("answered 17 registers where 18"), "{}", outcome.fault);
    assert!(outcome.connections >= 2);
}

#[tokio::test]
async fn an_answer_with_another_function_is_none() {
    let each = [1, 2, 3, 6, 16, 0x2B, 0x83].map(|function| async move {
        let outcome = against(move |question| {
            let mut telegram = question.telegram(POISON);
            telegram[7] = function;
            Answer::Bytes(telegram)
        })
        .await;
        assert!(outcome.connections >= 2, "function {function}: {}", outcome.fault);
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn half_a_telegram_is_no_answer() {
    let outcome = against(|question| Answer::Bytes(question.telegram(POISON)[..20].to_vec())).await;
    assert!(outcome.fault.contains("no answer"), "{}", outcome.fault);
    assert!(outcome.connections >= 2);
}

#[tokio::test]
async fn a_connection_that_ends_in_an_answer_is_told_as_such() {
    let outcome = against(|question| Answer::Close(question.telegram(POISON)[..20].to_vec())).await;
    assert!(outcome.fault.contains("does not fit") || outcome.fault.contains("ended"), "{}", outcome.fault);
    let outcome = against(|_| Answer::Close(vec![])).await;
    assert!(outcome.fault.contains("one client only"), "{}", outcome.fault);
    assert!(outcome.connections >= 2);
}

#[tokio::test]
async fn a_refusal_is_told_and_keeps_the_connection() {
    let outcome = against(|question| Answer::Bytes(question.exception(2))).await;
    assert!(outcome.fault.contains("refuses 18 input registers from 0x0000"), "{}", outcome.fault);
    assert_eq!(outcome.connections, 1);
}

#[tokio::test]
async fn not_available_is_a_fault_and_no_sample() {
    let outcome = against(|question| {
        let mut words = sdm630_words([POISON; 3]);
        words[8..10].copy_from_slice(&[0x7FC0, 0]); // NaN amperes on L2
        Answer::Bytes(question.telegram_of(&words))
    })
    .await;
    assert!(outcome.fault.contains("no current on L2: not a number"), "{}", outcome.fault);
}

#[tokio::test]
async fn garbage_does_not_stop_the_task() {
    let mut seed = 7_u32;
    let rubbish = move |question: &Question, number: usize| {
        if number > 40 {
            return Answer::Bytes(question.telegram(1.0));
        }
        let mut bytes: Vec<u8> = (0..number * 5)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            })
            .collect();
        // Every second one gets past the header, so that what follows it is looked at.
        if number.is_multiple_of(2) && bytes.len() > 8 {
            let length = (bytes.len() - 6) as u8;
            bytes[..7].copy_from_slice(&[question.transaction[0], question.transaction[1], 0, 0, 0, length, 1]);
        }
        Answer::Close(bytes)
    };
    let (address, _) = peer(rubbish).await;
    // Many meters on one bus, since each is asked less and less while it fails.
    let run = Run::start((0..12).map(|index| meter(&format!("m{index}"), address.clone(), 1)).collect());
    run.until(|observation| observation.samples.iter().all(Option::is_some).then_some(())).await;
}

#[tokio::test]
async fn a_silent_unit_does_not_starve_a_healthy_one() {
    let (address, _) = peer(|question, _| match question.unit {
        1 => Answer::Bytes(question.telegram(1.0)),
        _ => Answer::Nothing,
    })
    .await;
    let run = Run::start(vec![meter("silent", address.clone(), 2), meter("healthy", address, 1)]);
    let (mut samples, mut last) = (0, None);
    let _ = timeout(Duration::from_secs(4), async {
        loop {
            run.inbox.heard().await;
            let newest = run.inbox.read().samples[1];
            samples += usize::from(newest != last);
            last = newest;
        }
    })
    .await;
    assert!(samples >= 15, "{samples} samples of the healthy meter in 4 s");
    let fault = run.inbox.read().faults[0].clone().unwrap();
    assert!(fault.contains("meter \"silent\": no answer") && fault.contains("unit 2"), "{fault}");
}

#[tokio::test]
async fn a_device_that_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = ModbusAddress::Tcp(listener.local_addr().unwrap().to_string());
    drop(listener);
    let run = Run::start(vec![meter("grid", address, 1)]);
    let fault = run.until(|observation| observation.faults[0].clone()).await;
    assert!(fault.contains("cannot connect to 127.0.0.1"), "{fault}");
}

/// A running edge and what it says.
struct Run {
    inbox: Inbox,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Run {
    fn start(meters: Vec<DeviceConfig>) -> Run {
        Run::of(config(meters, vec![]))
    }

    fn of(config: Config) -> Run {
        let inbox = Inbox::new(&config.site, config.inverters.len());
        let tasks = modbus::spawn(&config, Clock::start(), &inbox);
        Run { inbox, tasks }
    }

    async fn until<T>(&self, seen: impl Fn(&Observation) -> Option<T>) -> T {
        timeout(Duration::from_secs(20), async {
            loop {
                if let Some(found) = seen(&self.inbox.read()) {
                    return found;
                }
                self.inbox.heard().await;
            }
        })
        .await
        .expect("heard in time")
    }

    async fn until_sample(&self) -> Sample {
        self.until(|observation| observation.samples[0]).await
    }

    /// For so long, every sample is honest; and there are some.
    async fn watch(&self, span: Duration) {
        let _ = timeout(span, self.honest_samples(usize::MAX)).await;
        let enough = timeout(Duration::from_secs(10), self.honest_samples(3)).await;
        assert!(enough.is_ok(), "fault: {:?}", self.inbox.read().faults[0]);
    }

    async fn honest_samples(&self, count: usize) {
        let mut samples = 0;
        while samples < count {
            self.inbox.heard().await;
            if let Some(sample) = self.inbox.read().samples[0] {
                assert_eq!(sample.current.0, [Amps::whole(10); 3]);
                samples += 1;
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let has_died = self.tasks.iter().any(tokio::task::JoinHandle::is_finished);
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        assert!(std::thread::panicking() || !has_died, "a bus task has ended");
    }
}

struct Outcome {
    fault: String,
    connections: usize,
}

/// The first question gets `first`, all others the truth: 10 A.
async fn against(first: impl Fn(&Question) -> Answer + Send + 'static) -> Outcome {
    let answer = move |question: &Question, number: usize| match number {
        0 => first(question),
        _ => Answer::Bytes(question.telegram(10.0)),
    };
    let (address, connections) = peer(answer).await;
    let run = Run::start(vec![meter("grid", address, 1)]);
    let fault = run.until(|observation| observation.faults[0].clone()).await;
    run.watch(Duration::from_millis(700)).await;
    assert!(fault.starts_with("meter \"grid\": "), "{fault}");
    Outcome { fault, connections: connections.load(Ordering::SeqCst) }
}

enum Answer {
    Bytes(Vec<u8>),
    Late(Duration, Vec<u8>),
    Close(Vec<u8>),
    Nothing,
}

struct Question {
    transaction: [u8; 2],
    unit: u8,
    function: u8,
}

impl Question {
    fn telegram(&self, amps: f32) -> Vec<u8> {
        self.telegram_of(&sdm630_words([amps; 3]))
    }

    fn telegram_of(&self, words: &[u16]) -> Vec<u8> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let [high, low] = self.transaction;
        let length = bytes.len() as u8;
        [&[high, low, 0, 0, 0, length + 3, self.unit, self.function, length], bytes.as_slice()].concat()
    }

    fn exception(&self, code: u8) -> Vec<u8> {
        let [high, low] = self.transaction;
        vec![high, low, 0, 0, 0, 3, self.unit, self.function | 0x80, code]
    }
}

/// A TCP device that answers each question, counted over all connections, as it likes.
async fn peer(
    mut answer: impl FnMut(&Question, usize) -> Answer + Send + 'static,
) -> (ModbusAddress, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = ModbusAddress::Tcp(listener.local_addr().unwrap().to_string());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        let mut number = 0;
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let mut bytes = [0; 12];
            while socket.read_exact(&mut bytes).await.is_ok() {
                let question = Question { transaction: [bytes[0], bytes[1]], unit: bytes[6], function: bytes[7] };
                let answer = answer(&question, number);
                number += 1;
                match answer {
                    Answer::Bytes(telegram) => drop(socket.write_all(&telegram).await),
                    Answer::Late(span, telegram) => {
                        sleep(span).await;
                        drop(socket.write_all(&telegram).await);
                    }
                    Answer::Close(telegram) => {
                        drop(socket.write_all(&telegram).await);
                        break;
                    }
                    Answer::Nothing => {}
                }
            }
        }
    });
    (address, connections)
}

fn sdm630(amps: [f32; 3]) -> Device {
    Device { input: sdm630_words(amps), ..Device::default() }
}

/// 230 V, the magnitude of each current, and the power with its sign.
fn sdm630_words(amps: [f32; 3]) -> Vec<u16> {
    let values = [[230.0; 3], amps.map(f32::abs), amps.map(|amps| amps * 230.0)].concat();
    values.iter().map(|value| value.to_bits()).flat_map(|bits| [(bits >> 16) as u16, bits as u16]).collect()
}

/// Input registers from 0, holding registers from 40000.
#[derive(Default)]
struct Device {
    input: Vec<u16>,
    holding: Vec<u16>,
    asked: Arc<AtomicUsize>,
}

impl Service for Device {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = std::future::Ready<Result<Response, ExceptionCode>>;

    fn call(&self, question: Self::Request) -> Self::Future {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let words = |table: &[u16], from: usize, count: u16| Some(table.get(from..from + usize::from(count))?.to_vec());
        let answer = match question.request {
            Request::ReadHoldingRegisters(address @ 40_000.., count) => {
                words(&self.holding, usize::from(address) - 40_000, count).map(Response::ReadHoldingRegisters)
            }
            Request::ReadInputRegisters(address, count) => {
                words(&self.input, usize::from(address), count).map(Response::ReadInputRegisters)
            }
            _ => None,
        };
        ready(answer.ok_or(ExceptionCode::IllegalDataAddress))
    }
}

/// tokio-modbus's own server with this device, and how often it was asked.
async fn honest(device: Device) -> (ModbusAddress, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = ModbusAddress::Tcp(listener.local_addr().unwrap().to_string());
    let asked = device.asked.clone();
    let device = Arc::new(device);
    tokio::spawn(async move {
        let server = tokio_modbus::server::tcp::Server::new(listener);
        let connected = |stream, _| ready(Ok(Some((device.clone(), stream))));
        server.serve(&connected, |_| ()).await
    });
    (address, asked)
}

fn device(name: &str) -> Arc<headroom::device::Device> {
    Library::load(None).unwrap().find(name).unwrap().clone()
}

fn meter(id: &str, address: ModbusAddress, unit: u8) -> DeviceConfig {
    let device = device("eastron-sdm630");
    DeviceConfig { id: id.into(), name: id.into(), device, address, unit, interval: Duration::from_millis(100) }
}

fn config(meters: Vec<DeviceConfig>, inverters: Vec<DeviceConfig>) -> Config {
    let circuit = Circuit {
        id: "main".into(),
        name: "Main".into(),
        parent: None,
        limit: PerPhase::all(Amps::whole(25)),
        margin: PerPhase::all(Amps::whole(1)),
        meter: None,
        other_load: PerPhase::all(Amps::ZERO),
    };
    let as_meter = |config: &DeviceConfig| Meter {
        id: config.id.clone(),
        circuit: CircuitId(0),
        interval: config.interval,
        resolution: Amps::milli(1),
    };
    let site = Site {
        id: "home".into(),
        name: "Home".into(),
        wiring: Wiring::Star,
        primary: None,
        limits: Default::default(),
        house_worst: PerPhase::all(Amps::ZERO),
        circuits: vec![circuit],
        evses: vec![],
        meters: meters.iter().map(as_meter).collect(),
        tuning: Tuning::default(),
    };
    Config {
        site,
        state_dir: "/nowhere".into(),
        recorder: None,
        prepared: None,
        meters,
        inverters,
        chargers: vec![],
        ocpp: None,
        mqtt: None,
        cloud: None,
        http: None,
        policy: Policy::default(),
    }
}
