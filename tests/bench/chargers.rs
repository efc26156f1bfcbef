//! When does a setpoint arrive? Virtual OCPP 1.6J chargers in sessions, which note the moment of each frame.

use crate::meter::Grid;
use crate::now;
use futures_util::{SinkExt, StreamExt};
use headroom::clock::Clock;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

/// How often a charger tells what its car takes.
const METERING: Duration = Duration::from_secs(1);

/// A charging profile has come.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// To which charger.
    pub charger: usize,
    /// When its frame was there.
    pub at: Instant,
    /// The limit that holds from now on, in A.
    pub limit: f32,
}

/// Dials in, begins a session and takes what it is told at once, until the gateway hangs up.
pub async fn charge(gateway: SocketAddr, charger: usize, grid: Grid, arrivals: mpsc::Sender<Arrival>) {
    let mut socket = dial(gateway, charger).await;
    for (number, (action, payload)) in [
        ("BootNotification", json!({"chargePointVendor": "headroom", "chargePointModel": "bench"})),
        ("StatusNotification", json!({"connectorId": 1, "errorCode": "NoError", "status": "Preparing"})),
        ("StartTransaction", json!({"connectorId": 1, "idTag": "BENCH", "meterStart": 0, "timestamp": timestamp()})),
        ("StatusNotification", json!({"connectorId": 1, "errorCode": "NoError", "status": "Charging"})),
    ]
    .into_iter()
    .enumerate()
    {
        say(&mut socket, json!([2, format!("begin-{number}"), action, payload])).await;
    }
    let mut transaction = None;
    let mut metering = interval(METERING);
    metering.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            message = socket.next() => {
                let at = now();
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let frame: Value = serde_json::from_str(&text).expect("the gateway speaks JSON");
                match frame[0].as_i64() {
                    Some(2) => {
                        let limit = limit(&frame);
                        say(&mut socket, json!([3, frame[1], answer(&frame)])).await;
                        if let Some(limit) = limit {
                            grid.lock().cars[charger] = limit;
                            arrivals.send(Arrival { charger, at, limit }).await.expect("somebody listens");
                        }
                    }
                    _ => transaction = transaction.or(frame[2]["transactionId"].as_i64()),
                }
            }
            _ = metering.tick(), if transaction.is_some() => {
                let amps = grid.lock().cars[charger];
                let sampled: Vec<Value> = ["L1", "L2", "L3"]
                    .map(|phase| json!({"measurand": "Current.Import", "phase": phase, "unit": "A", "value": amps.to_string()}))
                    .into();
                let values = json!({"connectorId": 1, "transactionId": transaction,
                    "meterValue": [{"timestamp": timestamp(), "sampledValue": sampled}]});
                say(&mut socket, json!([2, "values", "MeterValues", values])).await;
            }
        }
    }
}

async fn dial(gateway: SocketAddr, charger: usize) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(gateway).await.expect("the gateway listens");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let mut request = format!("ws://{gateway}/ocpp/BENCH-{charger}").into_client_request().expect("a request");
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("ocpp1.6"));
    client_async(request, stream).await.expect("the gateway takes us").0
}

async fn say(socket: &mut WebSocketStream<TcpStream>, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.expect("the gateway is there");
}

/// The first period's limit, where this is a profile.
fn limit(call: &Value) -> Option<f32> {
    let periods = &call[3]["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"];
    periods[0]["limit"].as_f64().map(|limit| limit as f32)
}

fn answer(call: &Value) -> Value {
    match call[2].as_str() {
        Some("GetConfiguration") => json!({"configurationKey": [], "unknownKey": []}),
        _ => json!({"status": "Accepted"}),
    }
}

fn timestamp() -> String {
    Clock::start().wall().to_rfc3339()
}
