//! How long from the meter's reply to the setpoint at the charger? The packaged program, real sockets on loopback.
//!
//! For comparison: what ten bytes to and fro take on this machine without headroom. After each rest a processor has to
//! wake up first; where that takes long (a virtual machine, a busy one), it is part of every number here.
//!
//! The house takes more in steps; each step is one reply that shows too much, and ten chargers that are told less. When
//! they are down at 8 A the house falls back and they rise again, for the next stairs.

use crate::chargers::{self, Arrival};
use crate::meter::{Flow, Grid};
use crate::now;
use crate::program::{Program, Running};
use crate::table::Table;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// At one daemon.
pub const CHARGERS: usize = 10;
/// Stairs, and steps of each: a hundred cuts.
const STAIRS: usize = 5;
const STEPS: usize = 20;
/// The house without its steps: all cars have 32 A then.
const HOUSE_A: f32 = 70.0;
/// A step takes 1.2 A from each car.
const STEP_A: f32 = 12.0;
/// Nearly all that a car can have.
pub const FULL_A: f32 = 31.5;
/// Between steps: the meter shows three times that everybody has obeyed.
const PAUSE: Duration = Duration::from_millis(320);
/// After they have risen: the chargers have told twice what their cars take.
const RISEN: Duration = Duration::from_secs(2);
/// Whoever has not been told by then was not cut.
const CUT_MOST: Duration = Duration::from_secs(1);
/// Connecting, ten good samples and the first shares take about five seconds.
pub const START_MOST: Duration = Duration::from_secs(30);

/// So often ten bytes go to and fro, after a rest as long as the meter's interval.
const ECHOES: usize = 100;
const REST: Duration = Duration::from_millis(100);

/// A thousand latencies.
pub fn measure(program: &Program, table: &mut Table) {
    let echoes = echoes().expect("loopback");
    table.times("for comparison: ten bytes to and fro over loopback, one by one", echoes, "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let times = runtime.block_on(latencies(program));
    let last = times.chunks(CHARGERS).filter_map(|cut| cut.iter().max()).copied().collect();
    table.times("meter reply → setpoint frame, each of 10 OCPP chargers", times, "p99 < 10 ms");
    table.times("meter reply → setpoint frame, the last of the ten", last, "");
}

async fn latencies(program: &Program) -> Vec<Duration> {
    let grid = Grid::default();
    *grid.lock() = Flow { house: HOUSE_A, cars: vec![0.0; CHARGERS], ..Default::default() };
    let ocpp = free_port();
    let _running = Running::start(program, |state| configuration(state, grid.meter(), ocpp));
    wait_for(ocpp).await;
    // Nobody has more than one frame under way.
    let (sender, mut arrivals) = mpsc::channel(4 * CHARGERS);
    for charger in 0..CHARGERS {
        tokio::spawn(chargers::charge(ocpp, charger, grid.clone(), sender.clone()));
    }
    let mut times = Vec::new();
    for stairs in 0..STAIRS {
        grid.lock().house = HOUSE_A;
        let risen = until_all(&grid, &mut arrivals, |amps| amps >= FULL_A);
        timeout(START_MOST, risen).await.expect("all cars rise");
        sleep(RISEN).await;
        for step in 0..STEPS {
            let cut = cut(&grid, &mut arrivals).await;
            assert_eq!(cut.len(), CHARGERS, "stairs {stairs}, step {step}: not all were told within {CUT_MOST:?}");
            times.extend(cut);
            sleep(PAUSE).await;
        }
    }
    times
}

/// One step of the house, and how long after the reply that showed it each charger was told less.
async fn cut(grid: &Grid, arrivals: &mut mpsc::Receiver<Arrival>) -> Vec<Duration> {
    while arrivals.try_recv().is_ok() {}
    let before = {
        let mut flow = grid.lock();
        (flow.house, flow.is_news, flow.shown) = (flow.house + STEP_A, true, None);
        flow.cars.clone()
    };
    let mut told = vec![None; CHARGERS];
    let all = async {
        while told.iter().any(Option::is_none)
            && let Some(Arrival { charger, at, limit }) = arrivals.recv().await
        {
            if limit < before[charger] {
                told[charger].get_or_insert(at);
            }
        }
    };
    _ = timeout(CUT_MOST, all).await;
    let shown = grid.lock().shown.expect("the meter is read ten times a second");
    told.into_iter().flatten().map(|at| at.duration_since(shown)).collect()
}

/// Waits until all cars take so much.
pub async fn until_all(grid: &Grid, arrivals: &mut mpsc::Receiver<Arrival>, is_there: impl Fn(f32) -> bool) {
    while !grid.lock().cars.iter().all(|amps| is_there(*amps)) {
        arrivals.recv().await.expect("the chargers are there");
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing else runs on this thread")]
fn echoes() -> io::Result<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() && far.write_all(&byte).is_ok() {}
    });
    let mut times = Vec::new();
    for _ in 0..ECHOES {
        thread::sleep(REST);
        let begun = now();
        for _ in 0..CHARGERS {
            let mut byte = [1];
            near.write_all(&byte)?;
            near.read_exact(&mut byte)?;
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// Given back at once: it is the program that will listen there.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

async fn wait_for(ocpp: SocketAddr) {
    let there = async {
        while tokio::net::TcpStream::connect(ocpp).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(START_MOST, there).await.expect("the program listens");
}

/// Read as often as a meter can be; no waits before a raise, so that the stairs are short. Cuts know no waits.
pub fn configuration(state: &str, meter: SocketAddr, ocpp: SocketAddr) -> String {
    let mut text = format!(
        r#"
[site]
id = "bench"
wiring = "star"
house_worst_a = 330
state_dir = "{state}"

[[circuit]]
id = "main"
fuse_a = 400

[[meter]]
id = "grid"
circuit = "main"
device = "eastron-sdm630"
address = "{meter}"
interval_ms = 100

[recorder]
dir = "{state}/flight"

[ocpp]
listen = "{ocpp}"
meter_interval_s = 1
allow_unauthenticated = true

[control]
hold_s = 0
memory_s = 0
"#
    );
    for charger in 0..CHARGERS {
        text += &format!(
            r#"
[[charger]]
id = "evse-{charger}"
circuit = "main"
protocol = "ocpp"
identity = "BENCH-{charger}"
most_a = 32
step_a = 0.1
response_s = 1
metering_s = 1
"#
        );
    }
    text
}
