//! Does the whole keep its promises? A daemon with real sockets and the demo's peers around it, one file for each edge.
//!
//! Times are shorter than at a house, and each wait has an end that a busy machine reaches late.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test falls over where something is missing"
)]

#[path = "daemon/cloud.rs"]
mod cloud;
#[path = "daemon/house.rs"]
mod house;
#[path = "daemon/http.rs"]
mod http;
mod line;
#[path = "daemon/modbus.rs"]
mod modbus;
#[path = "daemon/mqtt.rs"]
mod mqtt;
#[path = "daemon/ocpp.rs"]
mod ocpp;
#[path = "daemon/policy.rs"]
mod policy;
#[path = "daemon/program.rs"]
mod program;
#[path = "daemon/replay.rs"]
mod replay;
#[path = "daemon/reset.rs"]
mod reset;
#[path = "daemon/restart.rs"]
mod restart;
#[path = "../examples/policy-server/server.rs"]
#[allow(dead_code, reason = "the other tests and the example use the rest")]
mod server;
#[path = "daemon/sessions.rs"]
mod sessions;
