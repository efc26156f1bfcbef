//! How are meters and inverters read? One task a bus asks each unit in its turn; what fails is asked anew on a new line.
//!
//! `schedule` says whose turn it is, `reader` and `sample` turn answers into words for the inbox, `timing` says how long
//! to wait and `fault` what went wrong; only `task` touches a socket or a serial port.

mod fault;
mod reader;
mod sample;
mod schedule;
mod task;
mod timing;

pub use fault::Fault;
pub use task::{Line, spawn};
