//! How fast and how small is it? `cargo bench` measures seven things and prints them as a table:
//!
//! - the step, with 10, 100 and 1,000 EVSEs;
//! - the sharing alone, among 54 to 10,000 EVSEs;
//! - site-days a second in simulated time;
//! - the cloud's change to its ack, and to the setpoint frame at ten OCPP chargers;
//! - the packaged program from the meter's reply to the setpoint frame at ten OCPP chargers;
//! - the memory of the packaged program at a site where everything is there;
//! - its size.
//!
//! `cargo bench -- step allocation days policy wire memory size` measures what is named only. It takes about three minutes, and the
//! time to build the packaged program where that is not there yet. No number here decides over anything: what a run
//! has given is in docs/BENCHMARKS.md.

#![expect(clippy::expect_used, reason = "a benchmark stops where it cannot measure")]

mod allocation;
mod chargers;
mod days;
mod garage;
mod meter;
mod policy;
mod program;
#[path = "../../examples/policy-server/server.rs"]
mod server;
mod step;
mod table;
mod wire;

use std::time::Instant;
use table::Table;

fn main() {
    // Cargo itself adds `--bench`.
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let mut table = Table::default();
    if is_wanted("step") {
        for evses in [10, 100, 1_000] {
            step::measure(evses, &mut table);
        }
    }
    if is_wanted("allocation") {
        for evses in [54, 500, 2_000, 10_000] {
            allocation::measure(evses, &mut table);
        }
    }
    if is_wanted("days") {
        days::measure(&mut table);
    }
    if is_wanted("policy") {
        policy::measure(&mut table);
    }
    if ["wire", "memory", "size"].into_iter().any(is_wanted) {
        let program = program::packaged();
        if is_wanted("wire") {
            wire::measure(&program, &mut table);
        }
        if is_wanted("memory") {
            program::measure_memory(&program, &mut table);
        }
        if is_wanted("size") {
            program::measure_size(&program, &mut table);
        }
    }
    table.print();
}

/// The time on the clock that everything here is measured by.
#[expect(clippy::disallowed_methods, reason = "a benchmark has no other clock")]
fn now() -> Instant {
    Instant::now()
}
