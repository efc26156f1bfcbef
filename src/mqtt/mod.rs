//! (to come)
mod board;
mod charger;
mod message;
mod session;
