//! How can a gateway be tried against a cloud of one's own? A policy server in memory:
//! `cargo run --example policy-server -- 127.0.0.1:8090 <gateways' token> <administrator's token>`.
//!
//! `PUT /admin/{gateway}/policy` gives a gateway its document, `keys` its keys document where that is signed, `requests` a list
//! of what people want now, `preconfiguration` what was prepared for its site; `GET /admin/{gateway}/acks`, `events`,
//! `sessions`, `results` and `preparations` show what came from it; bytes put to `hints` go to all who listen for hints, and a
//! number put to `lost` makes so many answers break off. What it answers to gateways: docs/POLICY.md, "Serving it from your own
//! cloud".

mod server;

use server::{Options, PolicyServer};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    let (Some(address), Some(token), Some(admin_token)) = (words.next(), words.next(), words.next()) else {
        return Err("usage: policy-server <address:port> <gateways' token> <administrator's token>".into());
    };
    let listener = TcpListener::bind(&address).await.map_err(|fault| format!("{address}: cannot listen: {fault}"))?;
    let offers = "hints, ack, events, sessions, requests, preconfiguration".into();
    let server = PolicyServer::new(Options { token, admin_token, hold_s: 50, offers });
    eprintln!("listening on {address}");
    server.serve(listener).await.map_err(|fault| fault.to_string())
}
