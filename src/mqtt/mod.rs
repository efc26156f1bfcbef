//! How does headroom speak MQTT? To chargers below their topics, to people below `<topic>/<site>` (docs/MQTT.md).
//!
//! [`edge`] decides, [`task`] performs. A charger is a state machine ([`charger`]) fed by payloads ([`message`],
//! [`session`]); what people see ([`topics`], [`discovery`]) waits on a [`board`] that keeps the newest of each topic.

mod board;
mod charger;
pub mod discovery;
mod edge;
mod message;
mod session;
mod task;
mod topics;

pub use task::spawn;
