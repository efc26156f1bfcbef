//! What stands between two peers? A line that can be cut and led elsewhere, and that remembers what was said.
#![allow(dead_code, reason = "not every test that has a line asks it everything")]

use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A line to somebody who listens, which can be cut and led to another one: what his restart looks like.
pub struct Line {
    pub address: SocketAddr,
    pub dialled: Arc<AtomicUsize>,
    /// What the far end has said, one for each connection.
    said: Arc<Mutex<Vec<Vec<u8>>>>,
    target: watch::Sender<Option<SocketAddr>>,
    acceptor: JoinHandle<()>,
}

impl Line {
    pub async fn to(far: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (target, led_to) = watch::channel(far);
        let dialled = Arc::new(AtomicUsize::new(0));
        let said = Arc::new(Mutex::new(Vec::new()));
        let (count, heard) = (dialled.clone(), said.clone());
        let acceptor = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let mut led_to = led_to.clone();
                let far = *led_to.borrow_and_update();
                let heard = heard.clone();
                tokio::spawn(async move {
                    let Some(far) = far else { return };
                    let Ok(far) = TcpStream::connect(far).await else { return };
                    tokio::select! {
                        () = carry(near, far, &heard) => {}
                        _ = led_to.changed() => {}
                    }
                });
            }
        });
        Line { address, dialled, said, target, acceptor }
    }

    /// Cuts all connections; new ones go there, or nowhere.
    pub fn lead_to(&self, far: Option<SocketAddr>) {
        self.target.send_replace(far);
    }

    /// All messages in JSON that the far end has sent over WebSockets; those of the oldest connection first.
    pub fn said(&self) -> Vec<Value> {
        self.said.lock().unwrap().iter().flat_map(|bytes| messages(bytes)).collect()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Until one of the two has gone.
async fn carry(mut near: TcpStream, mut far: TcpStream, said: &Mutex<Vec<Vec<u8>>>) {
    let (mut near_in, mut near_out) = near.split();
    let (mut far_in, mut far_out) = far.split();
    let connection = {
        let mut said = said.lock().unwrap();
        said.push(Vec::new());
        said.len() - 1
    };
    let back = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = far_in.read(&mut buffer).await {
            said.lock().unwrap()[connection].extend(&buffer[..length]);
            if near_out.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = copy(&mut near_in, &mut far_out) => {}
        () = back => {}
    }
}

/// The text messages after an HTTP handshake. A server does not mask its frames (RFC 6455, 5.1).
fn messages(bytes: &[u8]) -> Vec<Value> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Vec::new() };
    let (mut rest, mut all) = (&bytes[end + 4..], Vec::new());
    while let [first, length, after @ ..] = rest {
        let (length, after) = match (length, after) {
            (126, [high, low, after @ ..]) => (usize::from(*high) << 8 | usize::from(*low), after),
            (126 | 127, _) => break,
            (short, after) => (usize::from(*short), after),
        };
        let Some((payload, next)) = after.split_at_checked(length) else { break };
        if first & 0x0F == 1 {
            all.extend(serde_json::from_slice(payload));
        }
        rest = next;
    }
    all
}
