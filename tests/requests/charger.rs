//! What does a scripted charger say? Yes to every call, and what a test has it ask.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// A call of its own, and who waits for the answer.
type Call = (&'static str, Value, oneshot::Sender<Value>);

#[derive(Default)]
struct Heard {
    calls: Vec<(String, Value)>,
    deaf_to: Vec<&'static str>,
}

/// One that has dialled in.
pub struct Charger {
    heard: Arc<Mutex<Heard>>,
    asks: mpsc::Sender<Call>,
    task: JoinHandle<()>,
}

impl Drop for Charger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Charger {
    pub async fn dial(gateway: SocketAddr, identity: &str) -> Charger {
        let mut request = format!("ws://{gateway}/ocpp/{identity}").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "ocpp1.6".parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (asks, mut asked) = mpsc::channel::<Call>(8);
        let hears = heard.clone();
        let task = tokio::spawn(async move {
            let mut open = BTreeMap::new();
            loop {
                let frame = tokio::select! {
                    frame = socket.next() => frame,
                    Some((action, payload, answer)) = asked.recv() => {
                        let id = format!("c{}", open.len());
                        let call = json!([2, id, action, payload]).to_string();
                        open.insert(id, answer);
                        socket.send(Message::text(call)).await.unwrap();
                        continue;
                    }
                };
                let text = match frame {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return,
                };
                let frame: Value = serde_json::from_str(&text).unwrap();
                let id = frame[1].as_str().unwrap();
                if frame[0] == 3 {
                    _ = open.insert(id.into(), oneshot::channel().0).unwrap().send(frame[2].clone());
                    continue;
                }
                let action = frame[2].as_str().unwrap();
                let is_deaf = {
                    let mut heard = hears.lock().unwrap();
                    heard.calls.push((action.into(), frame[3].clone()));
                    heard.deaf_to.contains(&action)
                };
                if !is_deaf {
                    _ = socket.send(Message::text(json!([3, id, {"status": "Accepted"}]).to_string())).await;
                }
            }
        });
        let charger = Charger { heard, asks, task };
        charger.ask("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"})).await;
        charger
    }

    /// A call of its own: the answer.
    pub async fn ask(&self, action: &'static str, payload: Value) -> Value {
        let (answer, answered) = oneshot::channel();
        self.asks.send((action, payload, answer)).await.unwrap();
        timeout(super::PATIENCE, answered).await.expect("an answer").unwrap()
    }

    /// It leaves these calls without an answer.
    pub fn is_deaf_to(&self, action: &'static str) {
        self.heard.lock().unwrap().deaf_to.push(action);
    }

    /// Waits for such a call of the gateway's: what was in it.
    pub async fn told(&self, action: &str) -> Value {
        let told = async {
            loop {
                let found = self.heard.lock().unwrap().calls.iter().find(|(name, _)| name == action).cloned();
                if let Some((_, payload)) = found {
                    return payload;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(super::PATIENCE, told).await.unwrap_or_else(|_| panic!("never told: {action}"))
    }

    /// How many such calls there were.
    pub fn calls(&self, action: &str) -> usize {
        self.heard.lock().unwrap().calls.iter().filter(|(name, _)| name == action).count()
    }
}
