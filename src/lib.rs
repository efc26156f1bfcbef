//! headroom: a smart-meter load balancer for home energy.

pub mod clock;
pub mod cloud;
pub mod config;
pub mod control;
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
pub mod sim;
pub mod site;
pub mod status;
pub mod store;
pub mod time;
pub mod units;

#[cfg(feature = "demo")]
pub mod demo;
