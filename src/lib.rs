//! headroom: a smart-meter load balancer for home energy.
//!
//! It reads the grid meter over Modbus, works out how much current each phase still has, shares that among the EV
//! chargers under a policy, and tells them over OCPP and MQTT, each time with a lease and a reason.
//!
//! # The tour
//!
//! 1. [`site`], [`units`], [`time`]: what is there, in which units, and when.
//! 2. [`control`]: how a sample becomes a setpoint. [`control::step`] is pure and told the time.
//! 3. [`daemon`]: how the edges and the step run as one process, by way of the [`inbox`].
//! 4. The edges: [`modbus`] (with [`device`], registers as data), [`ocpp`], [`mqtt`], [`cloud`], [`http`], [`store`]; who charged when: [`sessions`].
//! 5. [`config`]: the installer's file, checked and compiled. [`policy`]: who may charge, and who yields.
//! 6. [`sim`]: the virtual site, for scenarios in simulated time and for the demo.
//!
//! docs/ARCHITECTURE.md has the same with a picture and the invariants.

// Properties and scenarios are read in from tests/, to be run with a bug in.
#[cfg(test)]
extern crate self as headroom;

pub mod breaker;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod control;
pub mod daemon;
pub mod device;
pub mod http;
pub mod inbox;
pub mod journal;
pub mod modbus;
pub mod mqtt;
pub mod notify;
pub mod ocpp;
pub mod policy;
pub mod probe;
pub mod recorder;
pub mod sessions;
pub mod sim;
pub mod site;
pub mod status;
pub mod store;
pub mod time;
pub mod transient;
pub mod units;

#[cfg(feature = "demo")]
pub mod demo;
